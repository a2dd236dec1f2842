package protocol

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/saga"
)

// InviteKey is what both sides derive from the secret of an invite. Whoever has it
// can redeem the invite, but cannot tell the secret.
type InviteKey [sha256.Size]byte

// NewInviteKey derives the key of a secret, which must be random and have at least
// MinSecret bytes; else the error is ErrSecret.
func NewInviteKey(secret []byte) (k InviteKey, err error) {
	if n := len(secret); n < MinSecret || n > MaxSecret {
		return k, fmt.Errorf("%w: it has %d bytes, and must have %d to %d", ErrSecret, n, MinSecret, MaxSecret)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "ibgib invite proof v1", len(k))
	if err != nil {
		return k, fmt.Errorf("invite: %w", err)
	}
	return InviteKey(key), nil
}

// prove returns the proof of one end of a meeting. It binds the keystones that the
// two have named (empty for none).
func (k InviteKey) prove(by saga.Role, e Ends, initiator, responder string) []byte {
	role := byte('I')
	if by == saga.Responder {
		role = 'R'
	}
	text := append([]byte("ibgib invite proof v1\x00"), role)
	for _, id := range []peer.ID{e.Initiator, e.Responder} {
		text = binary.AppendUvarint(text, uint64(len(id)))
		text = append(text, id...)
	}
	for _, genesis := range []string{initiator, responder} {
		text = binary.AppendUvarint(text, uint64(len(genesis)))
		text = append(text, genesis...)
	}
	text = append(text, e.InitiatorNonce[:]...)
	text = append(text, e.ResponderNonce[:]...)
	mac := hmac.New(sha256.New, k[:])
	mac.Write(text)
	return mac.Sum(nil)
}

// HasInvite reports whether the other side has given a proof of an invite.
func (m *Meeting) HasInvite() bool { return len(m.invite) > 0 }

// Fits reports whether the other side knows the secret of this invite.
func (m *Meeting) Fits(k InviteKey) bool {
	return m.HasInvite() && hmac.Equal(m.invite, m.inviteProof(k, m.other()))
}

// Accept accepts the invite that the other side has proved to know: the responder
// then proves the same in End. What follows from it has to be stored before, since
// the other side relies on it when it has seen the proof. false if it does not fit.
func (m *Meeting) Accept(k InviteKey) bool {
	if m.Fits(k) {
		m.accepted = &k
	}
	return m.accepted != nil
}

// inviteProof is the proof of one side of the meeting.
func (m *Meeting) inviteProof(k InviteKey, of saga.Role) []byte {
	initiator, responder := m.genesis, m.Genesis
	if m.role == saga.Responder {
		initiator, responder = responder, initiator
	}
	return k.prove(of, m.ends, initiator, responder)
}

// checkInvite demands the other side's proof of the invite that this side has given.
func (m *Meeting) checkInvite() error {
	if m.role != saga.Initiator || m.self.Invite == nil || m.Accept(*m.self.Invite) {
		return nil
	}
	return &saga.Error{Code: saga.CodeUntrusted, Text: "the other side has not proved that the invite is its own"}
}
