package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

// peerKey proves to others over a connection who this node is.
type peerKey struct {
	key crypto.PrivKey // Ed25519
	id  peer.ID
}

// loadPeerKey reads the key file, and creates it if there is none. The file
// holds the key as libp2p marshals it; only its owner may read it.
func loadPeerKey(path string) (peerKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createPeerKey(path)
	}
	if err != nil {
		return peerKey{}, fmt.Errorf("peer key: %w", err)
	}
	key, err := crypto.UnmarshalPrivateKey(text)
	if err != nil {
		return peerKey{}, fmt.Errorf("peer key: %s: %w; restore it from a backup, or remove it to become a new peer", path, err)
	}
	return newPeerKey(key)
}

func createPeerKey(path string) (peerKey, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return peerKey{}, fmt.Errorf("peer key: %w", err)
	}
	text, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return peerKey{}, fmt.Errorf("peer key: %w", err)
	}
	if err := datadir.WriteFile(path, text, 0o600); err != nil {
		return peerKey{}, fmt.Errorf("peer key: %w", err)
	}
	return newPeerKey(key)
}

func newPeerKey(key crypto.PrivKey) (peerKey, error) {
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return peerKey{}, fmt.Errorf("peer key: %w", err)
	}
	return peerKey{key: key, id: id}, nil
}

// raw returns the key as package crypto/ed25519 has it.
func (k peerKey) raw() (ed25519.PrivateKey, error) {
	raw, err := k.key.Raw()
	if err != nil || len(raw) != ed25519.PrivateKeySize {
		return nil, errors.Join(errors.New("peer key: not an Ed25519 key"), err)
	}
	return raw, nil
}
