package scheduler

import (
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

const (
	// A notice that stands for more than slowMoves moves, of which there was one in
	// less than slowRate since the last notice, makes the next one wait twice as long,
	// from slowFirst up to slowLast; any other halves the wait.
	slowMoves = 2
	slowRate  = 10 * time.Millisecond
	slowFirst = 20 * time.Millisecond
	slowLast  = time.Second
	// What came from another peer is told within forwardWithin: whoever is told may
	// hear it from that peer too.
	forwardWithin = 20 * time.Millisecond
)

// outbox is what a peer has to be told: which timelines have other heads here than
// it knows of.
type outbox struct {
	roots rootSet
	spill bool      // more than that have changed
	dueAt time.Time // when roots are to be told
	moves uint64    // that roots stand for, about

	sent rootSet // of the notice that is on its way; nil: there is none

	last     time.Time     // when moves were counted
	at       time.Time     // no notice before
	pace     time.Duration // between two notices
	failures int           // notices in a row that did not get there
}

func (o *outbox) clear() {
	o.roots, o.spill, o.moves, o.failures = make(rootSet), false, 0, 0
	o.at, o.pace = time.Time{}, 0
	if o.sent != nil {
		o.sent = make(rootSet) // it is on its way all the same
	}
}

// busy tells whether a notice is on its way.
func (o *outbox) busy() bool { return o.sent != nil }

// change takes changes that a peer has to be told of, unless they came from it: by the
// moment own if they were made on this node, else by the moment others.
func (o *outbox) change(e Changed, id Peer, own, others time.Time) {
	added := e.All
	for _, change := range e.Changes {
		switch {
		case change.From == id:
			continue
		case change.From == "":
			o.add(change.Root, own)
		default:
			o.add(change.Root, others)
		}
		added = true
	}
	if e.All {
		o.overflow()
	}
	if added {
		o.moves += e.Moves
	}
}

// add notes a timeline that is to be told by a moment, with all that wait.
func (o *outbox) add(root ibgib.Hash, by time.Time) {
	if o.spill {
		return
	}
	if len(o.roots) == 0 || by.Before(o.dueAt) {
		o.dueAt = by
	}
	o.roots.add(root)
	if len(o.roots) > maxRoots {
		o.overflow()
	}
}

func (o *outbox) overflow() {
	o.spill = true
	clear(o.roots)
}

// told notes that the peer has what is here.
func (o *outbox) told(root ibgib.Hash) { delete(o.roots, root) }

// when returns the moment for the next notice, if there is something to tell.
func (o *outbox) when() (at time.Time, ok bool) {
	if o.sent != nil || o.spill || len(o.roots) == 0 {
		return at, false
	}
	if o.dueAt.After(o.at) {
		return o.dueAt, true
	}
	return o.at, true
}

// whole returns the moment for a saga about everything, if there is too much for
// notices.
func (o *outbox) whole() (at time.Time, ok bool) { return o.at, o.spill }

// send hands out a notice.
func (o *outbox) send(now time.Time) []ibgib.Hash {
	o.sent, o.roots = o.roots, make(rootSet)
	o.slow(now)
	return o.sent.sorted()
}

// slow sets the pace when what has moved is being told.
func (o *outbox) slow(now time.Time) {
	moves, since := o.moves, now.Sub(o.last)
	o.moves, o.last = 0, now
	switch {
	case moves > slowMoves && since/slowRate < time.Duration(moves):
		o.pace = min(max(2*o.pace, slowFirst), slowLast)
	case o.pace > slowFirst:
		o.pace /= 2
	default:
		o.pace = 0
	}
}

// handed takes how the notice ended.
func (o *outbox) handed(e Handed, now time.Time, after func(first, last time.Duration, failures int) time.Time) {
	sent := o.sent
	o.sent = nil
	switch e.Outcome {
	case OK, Needless:
		o.failures = 0
		o.at = now.Add(o.pace)
		for _, root := range e.Left {
			if sent.has(root) {
				o.add(root, now)
			}
		}
		return
	case Busy:
		o.at = after(busyFirst, busyLast, o.failures)
	case Broken:
		o.at = after(brokenFirst, brokenLast, o.failures)
	default:
		o.at = after(lostFirst, lostLast, o.failures)
	}
	o.failures++
	for root := range sent {
		o.add(root, now)
	}
}

// cover takes out what a saga about some timelines, or about all if scope is nil,
// lets the peer know.
func (o *outbox) cover(scope rootSet, now time.Time) (covered rootSet, spill bool) {
	if scope == nil {
		covered, spill = o.roots, o.spill
		o.roots, o.spill = make(rootSet), false
		o.slow(now)
		return covered, spill
	}
	covered = make(rootSet)
	for root := range scope {
		if o.roots.has(root) {
			covered.add(root)
			delete(o.roots, root)
		}
	}
	return covered, false
}

// uncover puts back what a saga has covered that failed.
func (o *outbox) uncover(covered rootSet, spill bool, now time.Time) {
	if spill {
		o.overflow()
		return
	}
	for root := range covered {
		o.add(root, now)
	}
}

// restart begins the pace anew at the end of a saga.
func (o *outbox) restart(now time.Time) {
	if at := now.Add(o.pace); o.failures == 0 && at.After(o.at) {
		o.at = at
	}
}
