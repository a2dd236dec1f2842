package gather

import (
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// What a source is asked for at once, its window, follows what it gives.
const (
	// firstAsk is the window of a source that has given nothing yet. It doubles with
	// each answer that leaves nothing out, and halves with each that is slow, but not
	// below slowAsk: one whose answers take a long way shall not be asked for less and less.
	firstAsk = 32
	slowAsk  = 16
	// slowAnswer is how long an answer may take that is not slow.
	slowAnswer = time.Second
	// fullAnswer is how many bytes an answer has that may leave something out because
	// of its size.
	fullAnswer = 256 << 10
)

// Source is a peer, by a number that the caller gives it.
type Source int

// source is what is known of one.
type source struct {
	lacks  map[ibgib.Hash]bool
	muted  bool // its hints lead nowhere
	window int

	since   time.Time     // when the question that is open was asked; zero: none is
	typical time.Duration // of its answers, smoothed; 0: there was none
	// slow is when the answers began that are slow or leave out what had room in them;
	// zero: the last one was none of these.
	slow time.Time
}

func (p *Plan) source(of Source) *source {
	s := p.sources[of]
	if s == nil {
		s = &source{lacks: make(map[ibgib.Hash]bool), window: firstAsk}
		p.sources[of] = s
	}
	return s
}

// answered learns from an answer to a question for so many blocks.
func (s *source) answered(now time.Time, asked int, a Answer) {
	since := s.since
	took := now.Sub(since)
	s.since = time.Time{}
	if s.typical == 0 {
		s.typical = took
	}
	s.typical = (3*s.typical + took) / 4
	given := a.Blocks + len(a.Absent)
	switch {
	case given < asked:
		s.window = max(1, min(s.window, 2*given))
	case took <= slowAnswer || s.window < slowAsk:
		s.window = min(2*s.window, MaxAsk)
	default:
		s.window = max(s.window/2, slowAsk)
	}
	switch {
	case took <= slowAnswer && (given == asked || a.Bytes >= fullAnswer):
		s.slow = time.Time{}
	case s.slow.IsZero():
		s.slow = since
	}
}

// Slow returns since when a source has been slow: since the answers began that took
// long or left out what would have fitted, or since the question that has been open for
// long. It is zero for one that is not.
func (p *Plan) Slow(of Source, now time.Time) time.Time {
	return p.source(of).slowSince(now)
}

func (s *source) slowSince(now time.Time) time.Time {
	if s.slow.IsZero() && !s.since.IsZero() && now.Sub(s.since) > slowAnswer {
		return s.since
	}
	return s.slow
}

// Began notes that the time of a source runs as if it had been asked: it is being
// connected to.
func (p *Plan) Began(of Source, now time.Time) { p.source(of).since = now }

// Ready notes that a source can be asked, and so has answered a question for nothing.
func (p *Plan) Ready(of Source) { p.source(of).since = time.Time{} }
