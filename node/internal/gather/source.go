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
	// SlowPace is what a source gives in a second at least that is not slow: blocks, and
	// as much as one for each heavyBlock bytes.
	SlowPace   = 64
	heavyBlock = 4 << 10
	paceTime   = 16 * time.Second
	// fullAnswer is how many bytes an answer has that may leave something out because
	// of its size.
	fullAnswer = 256 << 10
)

// Source is a peer, by a number that the caller gives it.
type Source int

// source is what is known of one.
type source struct {
	lacks  map[ibgib.Hash]bool
	window int

	hints []ibgib.Hash // that it has given, and nobody has been asked for
	early int          // of Plan.early, those that it hinted at
	bytes int          // of these
	used  int          // Plan.used, when one of these was needed, or the first one came
	bogus int          // hints at what it does not have
	muted bool         // its hints lead nowhere

	since time.Time     // when the question that is open was asked; zero: none is
	began time.Time     // when its time began to run; zero: it has answered meanwhile
	took  time.Duration // its last answer; 0: there was none
	rests time.Time     // since when it has not been asked; zero: it was never
	slow  bool          // so was the last answer, or it left out what had room in it
	given float64       // in all, as of SlowPace
	busy  time.Duration // that it took for that
}

func (p *Plan) source(of Source) *source {
	s := p.sources[of]
	if s == nil {
		s = &source{lacks: make(map[ibgib.Hash]bool), window: firstAsk}
		p.sources[of] = s
		p.order = append(p.order, of)
	}
	return s
}

// answered learns from an answer to a question for so many blocks.
func (s *source) answered(now time.Time, asked int, a Answer) {
	took := now.Sub(s.since)
	s.since = time.Time{}
	s.busy += took
	s.took, s.rests, s.began = took, now, time.Time{}
	given := a.Blocks + len(a.Absent)
	switch {
	case given < asked:
		s.window = max(1, min(s.window, 2*given))
	case took <= slowAnswer || s.window < slowAsk:
		s.window = min(2*s.window, MaxAsk)
	default:
		s.window = max(s.window/2, slowAsk)
	}
	gave := float64(given) + float64(a.Bytes)/heavyBlock
	s.given += gave
	if s.busy > paceTime { // what was long ago counts less
		s.given, s.busy = s.given/2, s.busy/2
	}
	s.slow = took > slowAnswer || gave < SlowPace*took.Seconds() || given < asked && a.Bytes < fullAnswer
}

// Slow tells whether a source is slow: its last answer has taken long for what it was or
// has left out what would have fitted, or the question that is open has been so for long,
// or it has been there for long and has answered nothing. Or it has been slow so far.
func (p *Plan) Slow(of Source, now time.Time) bool { return p.source(of).isSlow(now) }

func (s *source) isSlow(now time.Time) bool {
	for _, waits := range []time.Time{s.since, s.began} {
		if !waits.IsZero() && now.Sub(waits) > slowAnswer {
			return true
		}
	}
	pace, asked := s.pace(now)
	return s.slow || asked > slowAnswer && pace < SlowPace
}

// Pace returns what a source has given in a second, as of SlowPace, while it was asked,
// and for how long that was in all.
func (p *Plan) Pace(of Source, now time.Time) (given float64, asked time.Duration) {
	return p.source(of).pace(now)
}

func (s *source) pace(now time.Time) (given float64, asked time.Duration) {
	asked = s.busy
	if !s.since.IsZero() {
		asked += now.Sub(s.since)
	}
	if asked <= 0 {
		return 0, 0
	}
	return s.given / asked.Seconds(), asked
}

// Began notes that the time of a source runs as if it had been asked: it is being
// connected to.
func (p *Plan) Began(of Source, now time.Time) {
	s := p.source(of)
	s.since, s.began = now, now
}

// Ready notes that a source can be asked: it need not be waited for any more.
func (p *Plan) Ready(of Source, now time.Time) {
	s := p.source(of)
	s.since, s.began, s.rests = time.Time{}, now, now
}
