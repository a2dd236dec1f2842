package protocol

import (
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// Fetch and Fetched are saga.Message values without a saga: the question and the
// answer of FetchID.

// Fetch asks for blocks of the closure of Target, which is the same in all messages of
// a stream.
type Fetch struct {
	Target ibgib.Hash
	Wants  []ibgib.Hash
	Ahead  bool // name further blocks, see Fetched.Ahead
}

// Fetched answers a Fetch. What it neither brings nor calls absent did not fit and is to
// be asked for again.
type Fetched struct {
	Items  []saga.Item
	Absent []ibgib.Hash // wanted, and not shown
	// Ahead are blocks of the closure that are worth asking for next. A claim: a block
	// belongs to the closure when one that does links to it.
	Ahead []ibgib.Hash
}

// SagaID returns the zero ID.
func (m *Fetch) SagaID() saga.ID   { return saga.ID{} }
func (m *Fetched) SagaID() saga.ID { return saga.ID{} }

// Stage returns 0: they are part of no stage.
func (m *Fetch) Stage() saga.Stage   { return 0 }
func (m *Fetched) Stage() saga.Stage { return 0 }
