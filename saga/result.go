package saga

import (
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// Result is what a saga came to. After a failure it tells how far the saga got.
type Result struct {
	SagaID ID

	Mode     Mode
	Strategy Strategy // the stricter of both sides'
	// PeerStrategy is that of the other side; optimistic as long as it is not known.
	PeerStrategy Strategy

	// Converged says that both sides have committed and agree on the heads of
	// every timeline that differed; in a saga that goes one way, that the
	// receiving side has all that the sender named. Equal says that no timeline
	// differed: nothing moved.
	Converged bool
	Equal     bool

	// Committed says that this side's heads have moved, or that there was
	// nothing to move, for good: also when the saga failed afterwards.
	Committed bool

	Rounds    int          // round trips; see Machine.Rounds
	Differing int          // timelines
	Differed  []ibgib.Hash // their roots, ascending; at most 1,000
	Sent      Totals
	Received  Totals
	Wire      Wire

	Conflicts []Conflict // diverged timelines, by root
	// PeerConflicts are those that have diverged on the other side, ascending.
	PeerConflicts []ibgib.Hash
	// Overridden counts the writes that the merges of this side's commit have overridden,
	// Skipped the changes that no longer fit; see timeline.Merged.
	Overridden, Skipped int
	// PeerAborted are the timelines that the other side has left as they were
	// because they have diverged, ascending.
	PeerAborted []ibgib.Hash
	// Absent are the timelines that the saga was asked to be about and that
	// neither side has, ascending.
	Absent  []ibgib.Hash
	Refused []timeline.Rejection // frames that a rule kept out here
	// Refusals are ibGibs that came and were refused, PeerRefusals those that the
	// other side refused; at most MaxRefusals each. What links to them was
	// dropped with them.
	Refusals     []Refusal
	PeerRefusals []Refusal
	// Lacking are the heads that the other side named and that this side asked for
	// and does not hold: all of those that have not come when a saga fails, and
	// those that were refused, or kept out by a rule, when it ends well. By root,
	// at most 1,000.
	Lacking []Want
	// PeerRefused counts the frames that a rule kept out on the other side.
	PeerRefused uint64
	// Unnamed are the timelines with more than MaxHeads heads, which a saga
	// leaves out.
	Unnamed []ibgib.Hash

	// PeerForgotten are the roots that the other side wants nothing of, ascending.
	PeerForgotten []ibgib.Hash

	// Transcript is the record of a saga that had something to move,
	// dependencies first; nil otherwise.
	Transcript []ibgib.IbGib
	// Sealed says that this side has signed the transcript and sent that, PeerSealed
	// that the other side's signature has come and is good.
	Sealed, PeerSealed bool
}

// maxDiffered bounds Result.Differed.
const maxDiffered = 1000

// Wire counts the bytes of all messages as they travelled, with their length
// prefixes, before what the connection adds.
type Wire struct{ Sent, Received uint64 }

// Conflict is a timeline that has diverged.
type Conflict struct {
	Root  ibgib.Hash
	Heads []ibgib.Hash // of both sides, as far as they are known here; ascending; at least two
	// Aborted says that the timeline was left as it was, on both sides, by
	// StrategyAbort.
	Aborted bool
}

// Progress is a saga as it runs.
type Progress struct {
	SagaID    ID
	Role      Role
	Stage     Stage // of the latest message either way
	Differing int   // timelines; 0 until known
	Sent      Totals
	Received  Totals

	Latest ibgib.Addr // the ibGib that came or went last; zero if none did

	// Wanted is how many heads this side has asked for so far, Lacking how many have
	// not come yet; Owed is how many the other side has asked for, Owing how many
	// have not been sent. Queued is how many blocks wait to be sent, as far as the
	// walk has come, and QueuedBytes how much they are.
	Wanted      int
	Lacking     int
	Owed        int
	Owing       int
	Queued      int
	QueuedBytes uint64
}

// Result returns what the saga came to so far. The error is that of making the
// transcript, which does not fail for names that are valid UTF-8.
func (m *Machine) Result() (Result, error) {
	r := Result{
		SagaID:   m.id,
		Mode:     m.talk.mode,
		Strategy: m.talk.strategy,

		PeerStrategy: m.talk.peerStrategy,
		Overridden:   m.end.committed.Overridden,
		Skipped:      m.end.committed.Skipped,

		Converged: m.Done() && m.converged(),
		Equal:     m.Done() && m.talk.equal,
		Committed: m.talk.equal || m.end.decided,
		Rounds:    m.Rounds(),
		Sent:      m.out.sent,
		Received:  m.in.received,
		Wire:      m.wire,
		Conflicts: m.end.conflicts,
		Refused:   m.end.committed.Refused,
		Refusals:  m.in.refusals,
		Lacking:   m.lacking(),
		Unnamed:   m.know.skipped,

		PeerForgotten: m.know.peerForgotten,
	}
	if m.know.complete {
		r.Differing = len(m.know.gap.rows)
		for _, row := range m.know.gap.rows[:min(r.Differing, maxDiffered)] {
			r.Differed = append(r.Differed, row.Root)
		}
	}
	for _, root := range m.know.absent {
		if _, ok := m.know.find(root); !ok {
			r.Absent = append(r.Absent, root)
		}
	}
	if m.end.peer != nil {
		r.PeerRefused = m.end.peer.Refused
		r.PeerConflicts = m.end.peer.Conflicts
		r.PeerAborted = m.end.peer.Aborted
		r.PeerRefusals = m.end.peer.Refusals
	}
	if !m.Done() || !m.moves() {
		return r, nil
	}
	parties := [2]Party{{m.opts.Self, m.opts.Session}, {m.opts.Peer, m.opts.PeerSession}}
	if m.opts.Role == Responder {
		slices.Reverse(parties[:])
	}
	var err error
	r.Transcript, err = m.rec.transcript(m.id, parties)
	return r, err
}

// lacking returns what this side still lacks. Before the outcome is known that is
// all that the other side named, whether or not it has come since.
func (m *Machine) lacking() []Want {
	if m.end.complete || !m.know.complete || !m.takes() {
		return m.end.lacking
	}
	var lack []Want
	for _, row := range m.know.gap.rows {
		if heads := lacking(row.Peer, row.Own); len(heads) > 0 && len(lack) < maxLacking {
			lack = append(lack, Want{Root: row.Root, Heads: heads})
		}
	}
	return lack
}

// Progress returns how far the saga is.
func (m *Machine) Progress() Progress {
	p := Progress{
		SagaID:      m.id,
		Role:        m.opts.Role,
		Stage:       m.rec.latest,
		Sent:        m.out.sent,
		Received:    m.in.received,
		Latest:      m.latest,
		Wanted:      m.in.heads,
		Lacking:     len(m.in.wanted),
		Owed:        m.out.owed,
		Owing:       m.out.owed - m.out.paid,
		Queued:      m.out.ready.len(),
		QueuedBytes: uint64(m.out.readied),
	}
	if m.know.complete {
		p.Differing = len(m.know.gap.rows)
	}
	return p
}

// Rounds returns how many round trips the saga takes by the order in which its
// messages depend on each other, as both sides can tell: 1 for init and ack, 1
// more each if the entries that differ go back before the responder can ask, if
// something was offered before it was sent, and if something was sent or had to
// be confirmed at all. Waiting for a window of offers or for credit is not
// counted: that is the speed of the line or of the store.
func (m *Machine) Rounds() int {
	switch {
	case m.talk.equal:
		return 1
	case !m.know.complete:
		return 0
	}
	// The initiator speaks in the odd turns, the responder in the even ones.
	offered, answered := m.out.total > 0, m.in.total > 0
	if m.opts.Role == Responder {
		offered, answered = answered, offered
	}
	initiatorDone, responderDone := 3, 4
	if m.know.needEntries {
		initiatorDone += 2
	}
	if offered {
		initiatorDone += 2
	}
	if answered {
		responderDone += 2
	}
	return max(initiatorDone+1, responderDone) / 2
}
