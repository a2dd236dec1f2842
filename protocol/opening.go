package protocol

import (
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// Hello, Notice and KeystoneFrames are saga.Message values without a saga.

// Hello is what the sides of a Meeting say: first Features and Nonce, then, with
// the same nonce, what proves something. Session and Signature have their place and
// are not used by this version.
type Hello struct {
	Features        []string
	Genesis         string   // address of the first frame of the primary keystone
	Session         string   // address of the first frame of the session keystone
	Nonce           [32]byte // random
	Signature       []byte
	MeshSecretProof []byte // see MeshSecret.Prove
	InviteProof     []byte // see InviteKey
}

// Notice tells of changed timelines without opening a saga.
type Notice struct {
	Share     string // empty: the default share
	Timelines []timeline.Entry
}

// KeystoneFrames asks for the frames of a keystone, or, with Reply, brings them.
type KeystoneFrames struct {
	Genesis string     // address of the keystone's first frame
	Known   ibgib.Hash // of the newest frame that the sender has; zero: none
	Reply   bool
	Frames  [][]byte // stored forms, oldest first
	More    bool     // there are more; ask again
}

// SagaID returns the zero ID.
func (m *Hello) SagaID() saga.ID          { return saga.ID{} }
func (m *Notice) SagaID() saga.ID         { return saga.ID{} }
func (m *KeystoneFrames) SagaID() saga.ID { return saga.ID{} }

// Stage returns 0: they are part of no stage.
func (m *Hello) Stage() saga.Stage          { return 0 }
func (m *Notice) Stage() saga.Stage         { return 0 }
func (m *KeystoneFrames) Stage() saga.Stage { return 0 }
