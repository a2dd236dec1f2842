// Package gather decides which blocks of a closure to ask which peer for. It is pure:
// package node asks, stores and keeps the time.
//
// A closure is gathered from its address down. A block that is needed is one that the
// address or a stored block names, so it is certain that it belongs there. Peers may
// hint at further ones: these are asked for before it is known that they are needed, so
// that a long chain of blocks does not cost a round trip each, and they wait, bounded,
// until a stored block links to them. Hints that lead nowhere are dropped, and whoever
// gave them gives no more.
package gather

import (
	"slices"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Limits of a Plan.
const (
	// MaxAsk bounds what is asked of a peer at once.
	MaxAsk = 256
	// maxEarly and maxEarlyBytes bound the blocks that wait to be needed, those that are
	// under way included.
	maxEarly      = 1024
	maxEarlyBytes = 8 << 20
	// maxHints bounds the hints that are remembered.
	maxHints = 2048
	// stealAfter is how long a peer may take for what it was asked before others are
	// asked for the same.
	stealAfter = 5 * time.Second
	// uselessAfter is how many needed blocks come before hints of which none was needed
	// meanwhile are dropped.
	uselessAfter = 512
)

// Source is a peer, by a number that the caller gives it.
type Source int

// Plan is the state of one gathering. It is not safe for concurrent use.
type Plan struct {
	blocks  map[ibgib.Hash]*block // needed, or in the store
	missing []ibgib.Hash          // needed and not stored, as they became known
	left    int                   // of missing, those that are not stored
	lacks   map[Source]map[ibgib.Hash]bool

	hints   []hint
	early   map[ibgib.Hash]*earlyBlock // hinted at, and asked for or come
	bytes   int                        // of early
	useless int                        // needed blocks that came since an early one was needed
	muted   map[Source]bool
}

type block struct {
	stored bool
	ask
}

// ask is the last question about a block.
type ask struct {
	of Source
	at time.Time // zero: none is open
}

func (a ask) isOpen(now time.Time) bool { return !a.at.IsZero() && now.Sub(a.at) < stealAfter }

type hint struct {
	hash ibgib.Hash
	by   Source
}

type earlyBlock struct {
	by Source // who hinted
	ask
	g ibgib.IbGib // zero: not here yet
}

// New returns a Plan for which nothing is needed.
func New() *Plan {
	return &Plan{
		blocks: make(map[ibgib.Hash]*block),
		lacks:  make(map[Source]map[ibgib.Hash]bool),
		early:  make(map[ibgib.Hash]*earlyBlock),
		muted:  make(map[Source]bool),
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
	p.useless = 0
	b.ask = e.ask
	p.forget(h, e)
	return e.g, !e.g.IsZero()
}

func (p *Plan) forget(h ibgib.Hash, e *earlyBlock) {
	p.bytes -= e.g.Size()
	delete(p.early, h)
}

// Left returns how many needed blocks are not stored.
func (p *Plan) Left() int { return p.left }

// Next returns what to ask a source for now, at most MaxAsk; nothing if all that it may
// have is asked of others. ahead says whether hints are of use.
func (p *Plan) Next(of Source, now time.Time) (wants []ibgib.Hash, ahead bool) {
	rest := p.missing[:0]
	for _, h := range p.missing {
		b := p.blocks[h]
		if b.stored {
			continue
		}
		rest = append(rest, h)
		if len(wants) < MaxAsk && !b.isOpen(now) && !p.lacks[of][h] {
			b.ask = ask{of, now}
			wants = append(wants, h)
		}
	}
	clear(p.missing[len(rest):])
	p.missing = rest
	var later []hint
	for i, x := range p.hints {
		if len(wants) == MaxAsk || len(p.early) >= maxEarly || p.bytes >= maxEarlyBytes {
			later = append(later, p.hints[i:]...)
			break
		}
		switch {
		case p.blocks[x.hash] != nil || p.early[x.hash] != nil || p.muted[x.by]:
		case p.lacks[of][x.hash]:
			later = append(later, x)
		default:
			p.early[x.hash] = &earlyBlock{by: x.by, ask: ask{of, now}}
			wants = append(wants, x.hash)
		}
	}
	p.hints = later
	return wants, len(p.hints) < maxHints/2 && !p.muted[of]
}

// Hint notes what a source names beyond what it was asked for.
func (p *Plan) Hint(by Source, hashes []ibgib.Hash) {
	for _, h := range hashes {
		if len(p.hints) >= maxHints || p.muted[by] {
			return
		}
		if p.blocks[h] == nil && p.early[h] == nil {
			p.hints = append(p.hints, hint{h, by})
		}
	}
}

// Arrived takes a block that has come. It returns whether it is needed: then the caller
// stores it. Another one waits here, or was not asked for and is dropped.
func (p *Plan) Arrived(g ibgib.IbGib) (needed bool) {
	h := g.Hash()
	if b := p.blocks[h]; b != nil {
		return !b.stored
	}
	if e := p.early[h]; e != nil && e.g.IsZero() {
		e.g = g
		p.bytes += g.Size()
	}
	return false
}

// Useful notes that so many needed blocks have been stored. Hints that many of them
// came without are dropped, and who gave them is not listened to any more.
func (p *Plan) Useful(stored int) {
	if p.useless += stored; len(p.early) == 0 {
		p.useless = 0
	}
	if p.useless < uselessAfter {
		return
	}
	p.useless = 0
	for h, e := range p.early {
		if !e.g.IsZero() {
			p.muted[e.by] = true
			p.forget(h, e)
		}
	}
}

// Answered ends the question to a source: what of it has not come may be asked for
// again, and of others.
func (p *Plan) Answered(of Source, asked, absent []ibgib.Hash) {
	if p.lacks[of] == nil {
		p.lacks[of] = make(map[ibgib.Hash]bool)
	}
	for _, h := range absent {
		p.lacks[of][h] = true
	}
	for _, h := range asked {
		if b := p.blocks[h]; b != nil && b.of == of {
			b.at = time.Time{}
		}
		if e := p.early[h]; e != nil && e.of == of && e.g.IsZero() {
			p.forget(h, e)
			if !p.lacks[of][h] && len(p.hints) < maxHints {
				p.hints = append(p.hints, hint{h, e.by})
			}
		}
	}
}

// IsOpen tells whether a source may still be asked for something that is needed.
func (p *Plan) IsOpen(of Source) bool {
	for _, h := range p.missing {
		if !p.blocks[h].stored && !p.lacks[of][h] {
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
