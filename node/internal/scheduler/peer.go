package scheduler

import (
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// peer is what a Core knows of a peer.
type peer struct {
	id        Peer
	connected bool
	trusted   bool
	shut      bool // it does not trust this node, as it said
	sagas     int  // running with it, by either side
	hold      hold // of sagas that this side begins

	// wholeAt is when the next saga about everything is due.
	wholeAt    time.Time
	wholeBegan time.Time // the last one; zero: none yet
	// opened is when this node last took something again; a saga that began before is
	// not the one that brings it.
	opened time.Time
	turn   time.Time // when a saga with it was last handed out

	later bool // it is told of the last change later than others
	graft graft

	out     outbox
	lacking map[ibgib.Hash]lacking // what it has named, by root
}

// lacking is what a peer has of a timeline and this node lacks.
type lacking struct {
	heads []ibgib.Hash
	since time.Time // when it was named first
}

// active tells whether there may be sagas with the peer.
func (p *peer) active() bool { return p.connected && p.trusted }

// forget drops what a connection was about.
func (p *peer) forget() {
	p.shut, p.later, p.graft = false, false, graft{}
	p.lacking = make(map[ibgib.Hash]lacking)
	p.out.clear()
}

// meet makes a saga about everything due, which stands in for all that was
// remembered.
func (p *peer) meet(at time.Time) {
	p.forget()
	p.wholeAt = at
}

// shutUp leaves the peer alone.
func (p *peer) shutUp() {
	p.forget()
	p.shut = true
}

// open ends that.
func (p *peer) open(now time.Time) {
	if p.shut {
		p.shut = false
		p.wholeAt = now
	}
}

// lack notes what the peer has.
func (p *peer) lack(l Lack, now time.Time) {
	known, is := p.lacking[l.Root]
	if !is {
		known.since = now
		if len(p.lacking) >= maxRoots {
			clear(p.lacking)
			if p.wholeAt.After(now) {
				p.wholeAt = now
			}
			return
		}
	}
	if len(l.Heads) > maxHeads {
		l.Heads = nil
	}
	p.lacking[l.Root] = lacking{l.Heads, known.since}
}

// lackAgain notes what a saga has not brought, but for what was named since.
func (p *peer) lackAgain(l Lack, now time.Time) {
	if _, known := p.lacking[l.Root]; !known {
		p.lack(l, now)
	}
}

// hold keeps sagas from a peer for a while after failures.
type hold struct {
	until  time.Time
	reason Outcome // OK: none
	times  int     // in a row, for that reason
}

// How long the wait is after the first failure of a kind, and at most.
const (
	busyFirst, busyLast     = 200 * time.Millisecond, 10 * time.Second
	lostFirst, lostLast     = time.Second, 5 * time.Minute
	brokenFirst, brokenLast = 10 * time.Minute, 4 * time.Hour
)

// extend counts one more failure.
func (h *hold) extend(reason Outcome, now time.Time, after func(first, last time.Duration, failures int) time.Time) {
	if h.reason != reason {
		*h = hold{reason: reason}
	}
	switch reason {
	case Busy:
		h.until = after(busyFirst, busyLast, h.times)
	case Broken:
		h.until = after(brokenFirst, brokenLast, h.times)
	default:
		h.until = after(lostFirst, lostLast, h.times)
	}
	h.times++
}
