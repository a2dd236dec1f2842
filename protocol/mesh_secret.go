package protocol

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/saga"
)

// MinSecret and MaxSecret bound a mesh secret, in bytes. What is shorter could
// be guessed by whoever has seen a proof.
const (
	MinSecret = 16
	MaxSecret = 4096
)

// ErrSecret says that a mesh secret is too short or too long.
var ErrSecret = errors.New("unusable mesh secret")

// MeshSecret is what all nodes of a mesh know and nobody else. It proves this to
// another node that knows it; see SPEC.md. Only keys derived from the secret are
// kept.
type MeshSecret struct {
	proof []byte
	tag   string
}

// NewMeshSecret derives the keys of a secret; white space around it does not
// count. The error is ErrSecret.
func NewMeshSecret(secret []byte) (*MeshSecret, error) {
	secret = bytes.Trim(secret, " \t\r\n")
	if n := len(secret); n < MinSecret || n > MaxSecret {
		return nil, fmt.Errorf("%w: it has %d bytes, and must have %d to %d", ErrSecret, n, MinSecret, MaxSecret)
	}
	proof, err := hkdf.Key(sha256.New, secret, nil, "ibgib mesh secret proof v1", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("mesh secret: %w", err)
	}
	tag, err := hkdf.Key(sha256.New, secret, nil, "ibgib mesh secret tag v1", 16)
	if err != nil {
		return nil, fmt.Errorf("mesh secret: %w", err)
	}
	return &MeshSecret{proof: proof, tag: hex.EncodeToString(tag)}, nil
}

// Tag names the secret: equal for equal secrets, and of no use for a proof.
func (s *MeshSecret) Tag() string { return s.tag }

// Ends are the two ends of a meeting: who they are, and the nonce that each has
// chosen for it.
type Ends struct {
	Initiator, Responder           peer.ID
	InitiatorNonce, ResponderNonce [32]byte
}

// Prove returns the proof of one end. It is good for this meeting, in this
// direction, and for no other.
func (s *MeshSecret) Prove(by saga.Role, e Ends) []byte {
	role := byte('I')
	if by == saga.Responder {
		role = 'R'
	}
	text := append([]byte("ibgib mesh secret proof v1\x00"), role)
	for _, id := range []peer.ID{e.Initiator, e.Responder} {
		text = binary.AppendUvarint(text, uint64(len(id)))
		text = append(text, id...)
	}
	text = append(text, e.InitiatorNonce[:]...)
	text = append(text, e.ResponderNonce[:]...)
	mac := hmac.New(sha256.New, s.proof)
	mac.Write(text)
	return mac.Sum(nil)
}

// Verify tells whether proof is that of the end.
func (s *MeshSecret) Verify(by saga.Role, e Ends, proof []byte) bool {
	return hmac.Equal(proof, s.Prove(by, e))
}
