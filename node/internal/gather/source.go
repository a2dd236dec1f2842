package gather

import (
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// What a source is asked for at once, its window, follows what it gives.
const (
	// firstAsk is the window of a source that has given nothing yet. It doubles with
	// each answer that leaves nothing out, and halves with each that is slow because there
	// is so much in it, but not below slowAsk.
	firstAsk = 32
	slowAsk  = 16
	// slowAnswer is how long an answer may take that is not slow.
	slowAnswer = time.Second
	// SlowPace is what a source gives in a second at least that is not slow: blocks, and
	// as much as one for each heavyBlock bytes.
	SlowPace   = 64
	heavyBlock = 4 << 10
	// paceTime is how long ago that may be, in time for which it has been asked.
	paceTime = 8 * time.Second
	// maxFar is how long an answer may take because of the way.
	maxFar = 3 * time.Second
	// fartherPace is how much more a source gives in a second at least, when it is asked
	// for twice as much, for which it is the way that takes long.
	fartherPace = 1.25
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
	given float64       // lately, as of SlowPace
	busy  time.Duration // that it took for that
	tardy time.Duration // as of Tardy, without the question that is open

	full     int     // blocks of the last answer, if it left out nothing
	fullPace float64 // of that answer, as of SlowPace
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
	s.took, s.rests, s.began = took, now, time.Time{}
	given := a.Blocks + len(a.Absent)
	gave := float64(given) + float64(a.Bytes)/heavyBlock
	if given < asked && a.Bytes < fullAnswer || took > maxFar || s.window < slowAsk {
		s.tardy += took
	}
	far := s.isFar(asked, given, took, gave)
	switch {
	case given < asked:
		s.window = max(1, min(s.window, 2*given))
	case took <= slowAnswer || s.window < slowAsk || far:
		s.window = min(2*s.window, MaxAsk)
	default:
		s.window = max(s.window/2, slowAsk)
	}
	s.given, s.busy = s.lately(took, gave)
	s.slow = took > slowAnswer || gave < SlowPace*took.Seconds() || given < asked && a.Bytes < fullAnswer
}

// isFar tells, of an answer that took long, whether that was because of the way: then it
// takes no longer for more. What this is compared with is the answer before.
func (s *source) isFar(asked, given int, took time.Duration, gave float64) bool {
	last, lastPace := s.full, s.fullPace
	if s.full = 0; given < asked {
		return false
	}
	s.full, s.fullPace = asked, gave/max(took, 1).Seconds()
	switch {
	case took > maxFar:
		return false
	case last == 0:
		return true
	case asked < last:
		return lastPace >= fartherPace*s.fullPace
	case asked == last:
		return fartherPace*s.fullPace >= lastPace
	}
	return s.fullPace >= fartherPace*lastPace
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

// Tardy returns for how long in all a source has been asked when it did not give what it
// was asked for, or was asked for little because it does not, or took longer than any way.
func (p *Plan) Tardy(of Source, now time.Time) time.Duration {
	s := p.source(of)
	if open := now.Sub(s.since); !s.since.IsZero() && open > maxFar {
		return s.tardy + open
	}
	return s.tardy
}

// Pace returns what a source has given in a second lately, as of SlowPace, while it was
// asked, and for how long that was.
func (p *Plan) Pace(of Source, now time.Time) (given float64, asked time.Duration) {
	return p.source(of).pace(now)
}

func (s *source) pace(now time.Time) (given float64, asked time.Duration) {
	given, asked = s.given, s.busy
	if !s.since.IsZero() {
		given, asked = s.lately(now.Sub(s.since), 0)
	}
	if asked <= 0 {
		return 0, 0
	}
	return given / asked.Seconds(), asked
}

// lately returns what a source has given in the last paceTime for which it was asked, and
// in how much of that, when so much more has come in the time that it took.
func (s *source) lately(took time.Duration, gave float64) (given float64, busy time.Duration) {
	given, busy = s.given, s.busy
	if before := max(paceTime-took, 0); busy > before {
		given, busy = given*float64(before)/float64(busy), before
	}
	return given + gave, busy + took
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
