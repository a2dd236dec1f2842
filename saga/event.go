package saga

import (
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// Event is what a Machine takes in: one of the types below. Answers to work of
// one kind come in the order in which that work was handed out.
type Event interface{ isEvent() }

type (
	// Received is a message of the other side.
	Received struct {
		Message Message
		Receipt Receipt
	}
	// Sent reports that the oldest message of Work.Send not reported so far has
	// been handed to the connection.
	Sent struct{ Receipt Receipt }

	// Opened answers Work.Open, of the timelines in Work.Scope.
	Opened struct {
		Fingerprint [32]byte     // without the entries of Work.Without
		Count       uint64       // entries of that
		Empty       bool         // the share has no block at all
		Absent      []ibgib.Hash // of Work.Scope, those without an entry, ascending
	}
	// Mapped answers Work.Map: all entries of the snapshot that Opened was
	// taken from, by ascending root, heads ascending; those of the scope.
	Mapped struct{ Entries []timeline.Entry }
	// Located answers one Locate: what is to be asked for, by ascending root.
	Located struct{ Wants []Want }

	// Walked answers one Walk.
	Walked struct {
		Blocks []ibgib.IbGib // dependencies first
		End    bool          // nothing is left of the wants handed out up to that Walk
	}
	// Loaded answers one list of Work.Load.
	Loaded struct{ Blocks []ibgib.IbGib }
	// Checked answers one list of Work.Check: which are closed members.
	Checked struct{ Closed []bool }

	// Stored reports that so many of the oldest Store works are durable.
	Stored struct {
		Count   int
		Refused []*ibgib.Refusal // of their blocks, those that the store refused; nil usually
	}
	// Decided answers Work.Commit.
	Decided struct{ Committed Committed }
	// Judged answers one list of Work.Judge: which of the timelines would have
	// several heads if the heads that the row names, and that the index has,
	// were put together.
	Judged struct{ Diverged []bool }
	// Agreed answers one list of Work.Agree.
	Agreed struct{ Outcomes []Outcome }
)

func (Received) isEvent() {}
func (Sent) isEvent()     {}
func (Opened) isEvent()   {}
func (Mapped) isEvent()   {}
func (Located) isEvent()  {}
func (Walked) isEvent()   {}
func (Loaded) isEvent()   {}
func (Checked) isEvent()  {}
func (Stored) isEvent()   {}
func (Decided) isEvent()  {}
func (Judged) isEvent()   {}
func (Agreed) isEvent()   {}

// Work is what a Machine asks for, each part answered by the event named. Its
// parts may be done at the same time, with two rules: Store works and Commit
// are done in order, and messages are sent in order. Nothing in Send waits for
// other parts of the same Work: a message that may be sent only after something
// is durable is handed out after the event that says so.
type Work struct {
	Store  []Store // Stored
	Commit bool    // Decided
	Change Change  // with Commit

	Open  bool         // Opened
	Scope []ibgib.Hash // with Open: the roots of the timelines it is about, ascending; none: all
	// Without are, with Open, roots whose entries the fingerprint leaves out, ascending.
	Without []ibgib.Hash
	Map     bool           // Mapped
	Locate  [][]Row        // Located, one for each
	Walk    []Walk         // Walked, one for each
	Load    [][]ibgib.Hash // Loaded, one for each
	Check   [][]ibgib.Hash // Checked, one for each
	Judge   [][]Row        // Judged, one for each
	Agree   [][]Row        // Agreed, one for each

	Send []Message // Sent, one for each
}

// IsEmpty reports whether there is nothing to do.
func (w Work) IsEmpty() bool {
	return len(w.Store) == 0 && !w.Commit && !w.Open && !w.Map && len(w.Locate) == 0 &&
		len(w.Walk) == 0 && len(w.Load) == 0 && len(w.Check) == 0 && len(w.Judge) == 0 && len(w.Agree) == 0 && len(w.Send) == 0
}

// Outcome is what stands of one row when all is over.
type Outcome struct {
	Root ibgib.Hash
	// Heads are those that the row names and the index has, without those in
	// the history of others; ascending.
	Heads []ibgib.Hash
	// Held are the peer's heads that the index has, ascending.
	Held []ibgib.Hash
}

// Store is one step of storing: blocks to put, or blocks that are present and
// belong to the change.
type Store struct {
	Put   []ibgib.IbGib // dependencies are stored or come earlier
	Touch []ibgib.Hash
}

// Walk asks for further blocks of the closures that the other side wants,
// dependencies first, without what it surely has.
type Walk struct {
	Wants []Want // join those of earlier Walks
	Gap   *Gap   // the same in every Walk of a saga
	Fresh bool   // the other side has nothing

	Blocks int // at most so many
	Bytes  int // stop when their stored forms have reached so many bytes
}
