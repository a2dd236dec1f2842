package protocol

import (
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// Hello, Notice and KeystoneFrames are saga.Message values without a saga.

// Hello is what the sides of a Meeting say: first who they are, and a nonce, then, with
// the same nonce, what proves something.
type Hello struct {
	Features        []string
	Genesis         string   // address of the first frame of the primary keystone
	Session         string   // address of the first frame of the session keystone
	Nonce           [32]byte // random
	MeshSecretProof []byte   // see MeshSecret.Prove
	InviteProof     []byte   // see InviteKey
	// Known and SessionKnown are the newest frames that the sender has of the keystones of
	// the receiver; zero: none.
	Known, SessionKnown ibgib.Hash
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
