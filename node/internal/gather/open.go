package gather

import (
	"slices"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// When a source may be asked for what another one has been asked for.
const (
	// patience is how many of its own answers a source waits for that of another.
	patience = 4
	// A source that has not answered yet waits firstPatience; all wait at least
	// minPatience, and at most maxPatience.
	firstPatience = 250 * time.Millisecond
	minPatience   = 50 * time.Millisecond
	maxPatience   = 5 * time.Second
	// maxRest is how long a source that has nothing to do waits until it is asked for a
	// single block all the same: it may have become quick.
	maxRest = time.Second
	// maxAskers bounds the sources that are asked for the same block at the same time,
	// those that are slow apart.
	maxAskers = 3
)

// open is how far the questions about a block have come.
type open struct {
	first time.Time // when it was asked for first
	of    []Source  // that are being asked, in this order
	// pieces says that it is so large that it comes in pieces, some of which have come.
	pieces bool
}

func (o *open) ask(of Source, now time.Time) {
	if o.first.IsZero() {
		o.first = now
	}
	o.of = append(o.of, of)
}

func (o *open) end(of Source) {
	o.of = slices.DeleteFunc(o.of, func(s Source) bool { return s == of })
}

// mayAlso returns from when on a source may be asked for what others are being asked
// for: each of them is given its time, counted from the first question. Those that are
// slow get none if the source is not slow itself.
func (p *Plan) mayAlso(of Source, o *open, now time.Time) (at time.Time, ok bool) {
	if slices.Contains(o.of, of) {
		return time.Time{}, false
	}
	s := p.source(of)
	slow := s.took > 0 && s.isSlow(now) // one that has not been asked yet is not known to be
	askers := 0
	var due time.Time // when the first of them is slow
	for _, other := range o.of {
		x := p.source(other)
		if !slow && x.isSlow(now) {
			continue
		}
		askers++
		if at := x.since.Add(slowAnswer + 1); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	if o.pieces {
		return o.first.Add(time.Duration(min(askers, 1)+max(askers-maxAskers+1, 0)) * maxPatience), true
	}
	if askers >= maxAskers && !slow {
		return due, true
	}
	wait := s.patience()
	return o.first.Add(time.Duration(min(askers, maxAskers)) * wait), true
}

// probe returns a block that a source may be asked for because it has not been asked for
// anything for long, and when.
func (p *Plan) probe(of Source) (h ibgib.Hash, at time.Time, ok bool) {
	s := p.source(of)
	if s.rests.IsZero() {
		return h, at, false
	}
	for _, h := range p.missing {
		b := p.blocks[h]
		if !b.stored && !b.pieces && !s.lacks[h] && !slices.Contains(b.of, of) {
			return h, s.rests.Add(maxRest), true
		}
	}
	return h, at, false
}

// patience is how long a source waits for one that was asked before.
func (s *source) patience() time.Duration {
	if s.took == 0 {
		return firstPatience
	}
	return min(max(patience*s.took, minPatience), maxPatience)
}

// Piece notes that a source has sent so many bytes of a block, which are not the last.
func (p *Plan) Piece(of Source, h ibgib.Hash, bytes int, now time.Time) {
	s := p.source(of)
	s.given, s.busy = s.lately(now.Sub(s.since), float64(bytes)/heavyBlock)
	s.since = now
	if b := p.blocks[h]; b != nil {
		b.pieces = true
	}
	if e := p.early[h]; e != nil {
		e.pieces = true
	}
}
