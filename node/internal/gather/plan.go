// Package gather decides which blocks of a closure to ask which peer for. It is pure:
// package node asks, stores and keeps the time.
//
// A closure is gathered from its address down. A block that is needed is one that the
// address or a stored block names, so it is certain that it belongs there. Peers may
// hint at further ones: these are asked for before it is known that they are needed, so
// that a long chain of blocks does not cost a round trip each, and they wait, bounded,
// until a stored block links to them. Hints that lead nowhere are dropped, and whoever
// gave them gives no more (hints.go).
//
// Nobody holds up what others could give: a source is asked for as much at once as it
// has been giving (source.go), and one that has nothing else to do is asked for what
// another one has been asked for and has not given for some time (open.go).
package gather

import (
	"slices"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// MaxAsk bounds what is asked of a peer at once.
const MaxAsk = 256

// Plan is the state of one gathering. It is not safe for concurrent use.
type Plan struct {
	blocks  map[ibgib.Hash]*block // needed, or in the store
	missing []ibgib.Hash          // needed and not stored, as they became known
	left    int                   // of missing, those that are not stored
	sources map[Source]*source
	order   []Source // of sources, as they became known

	early map[ibgib.Hash]*earlyBlock // hinted at, and asked for or come
	bytes int                        // of early
	asked int                        // of early, in all: to keep their order
	used  int                        // needed blocks that have been stored
}

type block struct {
	stored bool
	open
}

// New returns a Plan for which nothing is needed.
func New() *Plan {
	return &Plan{
		blocks:  make(map[ibgib.Hash]*block),
		sources: make(map[Source]*source),
		early:   make(map[ibgib.Hash]*earlyBlock),
	}
}

// Knows tells whether a block is needed or stored.
func (p *Plan) Knows(h ibgib.Hash) bool { return p.blocks[h] != nil }

// Stored notes that a block is in the store.
func (p *Plan) Stored(h ibgib.Hash) {
	b := p.blocks[h]
	if b == nil {
		p.blocks[h] = &block{stored: true}
		return
	}
	if !b.stored {
		b.stored = true
		p.left--
	}
}

// Lost takes Stored back for a block that was needed: it could not be stored.
func (p *Plan) Lost(h ibgib.Hash) {
	if b := p.blocks[h]; b != nil && b.stored {
		*b = block{}
		p.left++
		if !slices.Contains(p.missing, h) {
			p.missing = append(p.missing, h)
		}
	}
}

// Need notes that a block belongs to the closure and is not stored. If it has come
// early, it is returned: the caller stores it.
func (p *Plan) Need(h ibgib.Hash) (ibgib.IbGib, bool) {
	if p.blocks[h] != nil {
		return ibgib.IbGib{}, false
	}
	b := &block{}
	p.blocks[h] = b
	p.missing = append(p.missing, h)
	p.left++
	e := p.early[h]
	if e == nil {
		return ibgib.IbGib{}, false
	}
	p.source(e.by).used = p.used
	b.open = e.open
	p.forget(h, e)
	return e.g, !e.g.IsZero()
}

// Left returns how many needed blocks are not stored.
func (p *Plan) Left() int { return p.left }

// Next returns what to ask a source for now: as much as it has been giving, at most
// MaxAsk. It is nothing if all that the source may have is asked of others; then again
// says when some of that may be asked of it too, unless it is zero. ahead says whether
// hints are of use.
func (p *Plan) Next(of Source, now time.Time) (wants []ibgib.Hash, ahead bool, again time.Time) {
	s := p.source(of)
	ask := func(h ibgib.Hash, o *open) {
		o.ask(of, now)
		wants = append(wants, h)
	}
	// First what nobody has been asked for, then what another one takes too long for.
	var overdue []ibgib.Hash
	steal := func(h ibgib.Hash, o *open) {
		switch at, ok := p.mayAlso(of, o, now); {
		case !ok:
		case !at.After(now):
			overdue = append(overdue, h)
		case again.IsZero() || at.Before(again):
			again = at
		}
	}
	rest := p.missing[:0]
	for _, h := range p.missing {
		b := p.blocks[h]
		if b.stored {
			continue
		}
		rest = append(rest, h)
		switch {
		case len(wants) == s.window || s.lacks[h]:
		case len(b.of) == 0:
			ask(h, &b.open)
		default:
			steal(h, &b.open)
		}
	}
	clear(p.missing[len(rest):])
	p.missing = rest
	for _, h := range overdue[:min(len(overdue), s.window-len(wants))] {
		ask(h, &p.blocks[h].open)
	}
	p.askEarly(of, s, &wants, now)
	if len(wants) == 0 {
		overdue = overdue[:0]
		for _, h := range p.underway() {
			if !s.lacks[h] {
				steal(h, &p.early[h].open)
			}
		}
		for _, h := range overdue[:min(len(overdue), s.window)] {
			ask(h, &p.early[h].open)
		}
	}
	if len(wants) == 0 {
		switch h, at, ok := p.probe(of); {
		case !ok:
		case !at.After(now):
			ask(h, &p.blocks[h].open)
		case again.IsZero() || at.Before(again):
			again = at
		}
	}
	if len(wants) > 0 {
		s.since = now
	}
	return wants, len(s.hints) < maxHints/2 && !s.muted, again
}

// Arrived takes a block that has come. It returns whether it is needed: then the caller
// stores it. Another one waits here, or was not asked for and is dropped.
func (p *Plan) Arrived(g ibgib.IbGib) (needed bool) {
	h := g.Hash()
	if b := p.blocks[h]; b != nil {
		return !b.stored
	}
	p.arrivedEarly(g)
	return false
}

// Answer is what came of a question.
type Answer struct {
	Blocks int          // of those that were asked for
	Absent []ibgib.Hash // which the source does not have
	Bytes  int          // of the blocks
}

// Answered ends the question to a source: what of it has not come may be asked for
// again, and of others.
func (p *Plan) Answered(of Source, now time.Time, asked []ibgib.Hash, a Answer) {
	s := p.source(of)
	s.answered(now, len(asked), a)
	for _, h := range a.Absent {
		s.lacks[h] = true
	}
	for _, h := range asked {
		if b := p.blocks[h]; b != nil {
			b.end(of)
		}
		if e := p.early[h]; e != nil && e.g.IsZero() {
			p.answeredEarly(of, h, e)
		}
	}
}

// IsOpen tells whether a source may still be asked for something that is needed.
func (p *Plan) IsOpen(of Source) bool {
	for _, h := range p.missing {
		if !p.blocks[h].stored && !p.source(of).lacks[h] {
			return true
		}
	}
	return false
}

// Missing returns needed blocks that are not stored, at most most.
func (p *Plan) Missing(most int) []ibgib.Hash {
	var list []ibgib.Hash
	for _, h := range p.missing {
		if len(list) < most && !p.blocks[h].stored {
			list = append(list, h)
		}
	}
	return list
}
