package gather

import (
	"cmp"
	"slices"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Limits of what is hinted at.
const (
	// maxEarly and maxEarlyBytes bound the blocks that wait to be needed, those that are
	// under way included. Each source that hints may have as much of that as it leaves
	// free, so there is some left for the hints of others.
	maxEarly      = 2048
	maxEarlyBytes = 16 << 20
	// maxEarlyBlock bounds one of them: a larger one is asked for again when it is needed.
	maxEarlyBlock = 1 << 20
	// maxHints bounds the hints of one source that are remembered.
	maxHints = 1024
	// uselessAfter is how many needed blocks come before hints of which none was needed
	// meanwhile are dropped.
	uselessAfter = 512
	// maxBogus is how many blocks a source may have hinted at and not have itself.
	maxBogus = 16
)

// earlyBlock is one that was hinted at.
type earlyBlock struct {
	by     Source // who hinted
	number int    // in the order in which they were asked for
	open
	g ibgib.IbGib // zero: not here yet
}

// Hint notes what a source names beyond what it was asked for.
func (p *Plan) Hint(by Source, hashes []ibgib.Hash) {
	s := p.source(by)
	for _, h := range hashes {
		if len(s.hints) >= maxHints || s.muted {
			return
		}
		if p.blocks[h] == nil && p.early[h] == nil {
			s.hints = append(s.hints, h)
		}
	}
}

// askEarly adds what is hinted at: by the source itself, and then by the others in turn.
func (p *Plan) askEarly(of Source, s *source, wants *[]ibgib.Hash, now time.Time) {
	if len(*wants) == s.window {
		return
	}
	own := &hinted{by: of, left: s.hints, kept: s.hints[:0]}
	lists := []*hinted{own}
	for _, o := range p.order {
		if hints := p.sources[o].hints; o != of && len(hints) > 0 {
			lists = append(lists, &hinted{by: o, left: hints, kept: hints[:0]})
		}
	}
	ask := func(l *hinted) bool {
		h, ok := p.nextHint(s, l)
		if !ok {
			return false
		}
		e := p.addEarly(h, l.by)
		e.ask(of, now)
		*wants = append(*wants, h)
		return true
	}
	for len(*wants) < s.window && ask(own) {
	}
	for more := true; more; {
		more = false
		for _, l := range lists[1:] {
			if len(*wants) < s.window && ask(l) {
				more = true
			}
		}
	}
	for _, l := range lists {
		p.sources[l.by].hints = append(l.kept, l.left...)
	}
}

// hinted are the hints of a source that are being looked through.
type hinted struct {
	by   Source
	left []ibgib.Hash
	kept []ibgib.Hash // that were looked at, and stay
}

// nextHint takes the next one that a source may be asked for.
func (p *Plan) nextHint(of *source, l *hinted) (ibgib.Hash, bool) {
	by := p.sources[l.by]
	for len(l.left) > 0 && by.early < maxEarly-len(p.early) && by.bytes < maxEarlyBytes-p.bytes {
		h := l.left[0]
		l.left = l.left[1:]
		switch {
		case p.blocks[h] != nil || p.early[h] != nil:
		case of.lacks[h]:
			l.kept = append(l.kept, h)
		default:
			return h, true
		}
	}
	return ibgib.Hash{}, false
}

func (p *Plan) addEarly(h ibgib.Hash, by Source) *earlyBlock {
	s := p.source(by)
	if s.early == 0 {
		s.used = p.used
	}
	s.early++
	p.asked++
	e := &earlyBlock{by: by, number: p.asked}
	p.early[h] = e
	return e
}

func (p *Plan) forget(h ibgib.Hash, e *earlyBlock) {
	s := p.source(e.by)
	s.early--
	s.bytes -= e.g.Size()
	p.bytes -= e.g.Size()
	delete(p.early, h)
}

// underway returns the blocks that were hinted at and have not come, as they were asked
// for.
func (p *Plan) underway() []ibgib.Hash {
	var list []ibgib.Hash
	for h, e := range p.early {
		if e.g.IsZero() && !p.source(e.by).muted {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b ibgib.Hash) int { return cmp.Compare(p.early[a].number, p.early[b].number) })
	return list
}

// arrivedEarly keeps a block that was hinted at, if it is one.
func (p *Plan) arrivedEarly(g ibgib.IbGib) {
	e := p.early[g.Hash()]
	switch {
	case e == nil || !e.g.IsZero():
	case g.Size() > maxEarlyBlock || p.source(e.by).muted:
		p.forget(g.Hash(), e)
	default:
		e.g = g
		p.source(e.by).bytes += g.Size()
		p.bytes += g.Size()
	}
}

// answeredEarly ends a question for a block that was hinted at and has not come.
func (p *Plan) answeredEarly(of Source, h ibgib.Hash, e *earlyBlock) {
	lacks := p.source(of).lacks[h]
	by := p.source(e.by)
	e.end(of)
	if lacks && of == e.by {
		if by.bogus++; by.bogus > maxBogus {
			p.mute(of)
		}
	}
	if len(e.of) > 0 {
		return
	}
	p.forget(h, e)
	if !by.muted && !(lacks && of == e.by) && len(by.hints) < maxHints {
		by.hints = append(by.hints, h)
	}
}

// Useful notes that so many needed blocks have been stored. Hints of a source that many
// of them came without are dropped, and it is not listened to any more.
func (p *Plan) Useful(stored int) {
	p.used += stored
	for _, of := range p.order {
		s := p.sources[of]
		if s.bytes > 0 && p.used-s.used >= uselessAfter {
			p.mute(of)
		}
	}
}

// mute drops the hints of a source, and what has come by them.
func (p *Plan) mute(by Source) {
	s := p.source(by)
	s.muted, s.hints = true, nil
	for h, e := range p.early {
		if e.by == by && !e.g.IsZero() {
			p.forget(h, e)
		}
	}
}
