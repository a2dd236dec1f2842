package saga

import (
	"context"
	"iter"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// Receipt is what a Conn knows of one message as it travelled.
type Receipt struct {
	Digest [32]byte // SHA-256 of the message's encoding, without its length prefix
	Bytes  int      // of that encoding with its length prefix
}

// Conn is one saga's connection. Send and Receive may be called concurrently
// with each other, each from one goroutine at a time. Both end when ctx ends.
type Conn interface {
	Send(ctx context.Context, m Message) (Receipt, error)
	// Receive returns io.EOF when the other side has closed in good order.
	Receive(ctx context.Context) (Message, Receipt, error)
	// Close ends the connection in good order: what was sent still arrives,
	// and a Receive under way returns.
	Close() error
	// Abort ends it at once; the other side sees an error.
	Abort()
}

// Blocks reads blocks of one share.
type Blocks interface {
	// Block returns the ibGib stored under hash.
	Block(ctx context.Context, hash ibgib.Hash) (ibgib.IbGib, error)
	// HasClosed tells for each hash whether its block is a member of the
	// share and closed there.
	HasClosed(ctx context.Context, hashes []ibgib.Hash) ([]bool, error)
	// Positions tells where blocks lie: read in this order they cost least. For one
	// that is not there it is 0.
	Positions(ctx context.Context, hashes []ibgib.Hash) ([]uint64, error)
	// Empty tells whether the share has no block at all.
	Empty(ctx context.Context) (bool, error)
}

// Index reads the timeline index of one share.
type Index interface {
	// Knowledge returns the fingerprint over all entries and the entries by
	// ascending root, both of one snapshot, which lives until the sequence
	// has been ranged over or release is called.
	Knowledge(ctx context.Context) (fp timeline.Fingerprint, entries iter.Seq2[timeline.Entry, error], release func(), err error)
	// EntriesOf returns the entries of those timelines that the share has, of one
	// moment. roots ascend, each once, and so do the entries.
	EntriesOf(ctx context.Context, roots []ibgib.Hash) ([]timeline.Entry, error)
	// Frame returns an admitted frame.
	Frame(ctx context.Context, hash ibgib.Hash) (timeline.Frame, bool, error)
}

// Intake takes what arrives in one saga. Blocks are durable when Put returns;
// heads move only in Commit, all or none. It is used by one goroutine.
type Intake interface {
	// Put stores blocks whose dependencies are stored or earlier in gs. If the
	// store refuses some of them for good, the error is a Refusals and the others
	// are stored. If it takes no more from this peer, the error is an *Error with
	// CodeLimit; the saga is at its end then, but Commit with Only is still called,
	// for the heads of which all has come.
	Put(ctx context.Context, gs []ibgib.IbGib) error
	// Touch makes present, closed blocks part of the change.
	Touch(ctx context.Context, hashes []ibgib.Hash) error
	// Commit moves the heads as c says.
	Commit(ctx context.Context, c Change) (Committed, error)
	// Discard drops what Commit has not decided; stored blocks stay.
	Discard() error
}

// Sealer signs the transcript of a saga in which something moved, and checks the other
// side's signature. last is the last frame of the transcript, which stands for all.
type Sealer interface {
	// Seal returns this side's signature, as Seal.Frame has it. It is durable.
	Seal(ctx context.Context, last ibgib.Addr) ([]byte, error)
	// Check returns an error unless frame is the other side's, and keeps it.
	Check(ctx context.Context, last ibgib.Addr, frame []byte) error
}

// Refusals is the error of an Intake that has stored all but these.
type Refusals []*ibgib.Refusal

func (r Refusals) Error() string {
	if len(r) == 0 {
		return "saga: nothing was refused"
	}
	return r[0].Error()
}

// Change says what a commit does.
type Change struct {
	// Only, if not nil, leaves all timelines as they are but those of the heads in
	// it; what else has come stays stored.
	Only []ibgib.Hash
	// Stones are to become entries of the share: they are pinned, but for those that
	// are not there, not closed, or frames.
	Stones []ibgib.Hash
	// Strategy is the stricter of both sides': with StrategyOptimistic what has several
	// heads afterwards may be merged, else it is left to a person.
	Strategy Strategy
}

// Committed is what an Intake's Commit did.
type Committed struct {
	Moved   int                  // entries whose heads changed
	Refused []timeline.Rejection // frames kept out by a rule
	Seq     uint64               // change log sequence after the commit
	Epoch   [16]byte             // of the store
	// Overridden counts the writes that merges of this commit have overridden, Skipped the
	// changes that they have left out.
	Overridden, Skipped int
}
