package timeline_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

func nothingHad(timeline.Frame) (bool, error) { return false, nil }

// drain pulls all that a walker has.
func drain(t testing.TB, w *timeline.Walker) (addrs []ibgib.Addr) {
	t.Helper()
	for {
		g, more, err := w.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return addrs
		}
		addrs = append(addrs, g.Addr())
	}
}

func TestWalkerFamily(t *testing.T) {
	f := newFamily(t)
	w := timeline.NewWalker(f.frame, f.block, nothingHad)
	if got := drain(t, w); len(got) > 0 {
		t.Errorf("without heads the walk yields %v", got)
	}
	w.Add(f.frames[f.task2.Addr()], f.frames[f.comment1.Addr()])
	got := drain(t, w)
	want := names(f.stone, f.dna, f.task.tjp, f.comment.tjp, f.comment1, f.task1, f.task2)
	if !slices.Equal(sorted(text(got)), want) {
		t.Errorf("the walk yields %v, want %v", text(got), want)
	}
	checkOrder(t, got, f.block, func(ibgib.Addr) bool { return false })

	// It goes on where it ended, and yields nothing twice.
	w.Add(f.frames[f.comment2.Addr()], f.frames[f.task1.Addr()])
	if got := drain(t, w); !slices.Equal(text(got), names(f.comment2)) {
		t.Errorf("then the walk yields %v, want %s", text(got), f.comment2.Addr())
	}
}

// What the receiver's frame links to is not offered again, at the price of one
// more read.
func TestWalkerSparesTheLinksOfAHadFrame(t *testing.T) {
	l := newTimeLine(t, "long")
	s := newSpace(t, l.tjp)
	var dna []string
	last, had := l.tjp, timeline.Frame{}
	for i := range 200 {
		d := build(t, "mut8", data{"i": i}, links{"ancestor": {"mut8^gib"}})
		dna = append(dna, d.Addr().String())
		last = l.on(last, map[string]any{"dna": dna, "timestamp": nil, "timestampMs": nil})
		s.add(t, d, last)
		if i == 197 {
			had = s.frames[last.Addr()]
		}
	}
	history := timeline.NewHistory(s.frame, had)
	s.reads = 0
	w := timeline.NewWalker(s.frame, s.block, history.Contains)
	w.Add(s.frames[last.Addr()])
	if got := drain(t, w); len(got) != 4 {
		t.Errorf("the walk yields %d ibGibs, want two dna and two frames", len(got))
	}
	if s.reads != 5 {
		t.Errorf("%d reads, want one for each and one for the frame that the receiver has", s.reads)
	}
}

// randomSpace makes timelines that refer to each other, fork, diverge, merge
// and share stones.
func randomSpace(t testing.TB, rng *rand.Rand, size int) *space {
	s := newSpace(t, build(t, "keep", data{"type": "keep"}, links{"ancestor": {"keep^gib"}}))
	var all []ibgib.IbGib
	lines := make(map[ibgib.Addr]timeLine) // by frame
	put := func(g ibgib.IbGib) {
		s.add(t, g)
		all = append(all, g)
	}
	some := func() []string {
		out := []string{}
		for range rng.IntN(4) {
			if len(all) > 0 {
				out = append(out, all[rng.IntN(len(all))].Addr().String())
			}
		}
		return out
	}
	for i := range size {
		switch op := rng.IntN(8); {
		case op == 0 || len(lines) == 0:
			l := newTimeLine(t, fmt.Sprint("line ", i))
			l.tjp = build(t, "task", data{"isTjp": true, "n": 0, "i": i}, links{"ancestor": {"task^gib"}, "past": some(), "see": some()})
			lines[l.tjp.Addr()] = l
			put(l.tjp)
		case op == 1:
			put(build(t, "stone", data{"i": i}, links{"see": some()}))
		case op == 2: // stays outside the index
			put(build(t, "kept out", data{"isTjp": true, "n": -1, "i": i}, links{"see": some()}))
		default:
			pred := all[rng.IntN(len(all))]
			l, ok := lines[pred.Addr()]
			if !ok {
				continue
			}
			f := s.frames[pred.Addr()]
			heads := s.heads[f.Tjp]
			switch {
			case op == 7 && len(heads) > 1:
				m, err := s.merge(f.Tjp, timeline.MergeWork{})
				if err != nil {
					t.Fatal(err)
				}
				pred = m.IbGib
				put(pred)
			case op == 6 && len(heads) > 1:
				pred = s.blocks[timeline.Latest(heads).Addr]
				others := slices.DeleteFunc(s.headAddrs(f.Tjp), func(a string) bool { return a == pred.Addr().String() })
				pred = l.on(pred, map[string]any{timeline.RelMerge: others, timeline.RelSkipped: nil, "dna": []string{timeline.KeepDna}})
				put(pred)
			default:
				var dna ibgib.IbGib
				if see := some(); len(see) > 0 {
					pred, dna = l.change(pred, "rel8", data{"rel8nsToAddByAddr": links{"see": see}})
				} else {
					pred, dna = l.patch(pred, data{"i": i})
				}
				s.add(t, dna)
				put(pred)
			}
			lines[pred.Addr()] = l
		}
	}
	return s
}

// Whatever the receiver has: what it lacks comes once, in order, and none of the
// frames that it is known to have.
func TestWalkerProperties(t *testing.T) {
	kinds := make(map[timeline.FrameKind]int)
	for seed := range uint64(80) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 12))
			s := randomSpace(t, rng, 120)
			var all, known, wanted []timeline.Frame
			for _, a := range sortedAddrs(s.frames) {
				f := s.frames[a]
				all = append(all, f)
				kinds[f.Kind]++
			}
			for range rng.IntN(5) {
				known = append(known, all[rng.IntN(len(all))])
			}
			for range 1 + rng.IntN(6) {
				wanted = append(wanted, all[rng.IntN(len(all))])
			}
			receiver := closureOf(t, s, known)
			needed := closureOf(t, s, wanted)

			run := func(wanted []timeline.Frame) []ibgib.Addr {
				history := timeline.NewHistory(s.frame, known...)
				asked := make(map[ibgib.Addr]bool)
				w := timeline.NewWalker(s.frame, s.block, func(f timeline.Frame) (bool, error) {
					if asked[f.Addr] {
						t.Errorf("have is asked twice for %s", f.Addr)
					}
					asked[f.Addr] = true
					return history.Contains(f)
				})
				w.Add(wanted...)
				return drain(t, w)
			}
			got := run(wanted)
			checkOrder(t, got, s.block, func(a ibgib.Addr) bool { return receiver[a] })
			for _, a := range got {
				if !needed[a] {
					t.Errorf("the walk yields %s, which no wanted head needs", a)
				}
			}
			history := timeline.NewHistory(s.frame, known...)
			for a := range needed {
				f, isFrame := s.frames[a]
				had := false
				if isFrame {
					had, _ = history.Contains(f)
				}
				yielded := slices.Contains(got, a)
				if !receiver[a] && !yielded {
					t.Errorf("the walk lacks %s", a)
				}
				if had && yielded {
					t.Errorf("the walk yields %s, which the receiver is known to have", a)
				}
			}
			rng.Shuffle(len(wanted), func(i, j int) { wanted[i], wanted[j] = wanted[j], wanted[i] })
			if again := run(wanted); !slices.Equal(again, got) {
				t.Error("the order of the wanted heads changes the walk")
			}
		})
	}
	if kinds[timeline.KindKeep] < 20 || kinds[timeline.KindMerge] < 20 {
		t.Errorf("too few keep or merge frames: %v", kinds)
	}
}

// For a receiver that has nothing the walk is the same as for one that says so for
// each frame; large frames are among those walked.
func TestWalkerForAReceiverThatHasNothing(t *testing.T) {
	for seed := range uint64(20) {
		s := randomSpace(t, rand.New(rand.NewPCG(seed, 13)), 120)
		large := newTimeLine(t, "large")
		s.add(t, large.tjp)
		last := large.tjp
		for i := range 40 {
			last = large.on(last, map[string]any{"i": i, "filler": strings.Repeat("x", 200*i)})
			s.add(t, last)
		}
		var heads []timeline.Frame
		for _, a := range sortedAddrs(s.frames) {
			heads = append(heads, s.frames[a])
		}
		walk := func(have func(timeline.Frame) (bool, error)) []ibgib.Addr {
			w := timeline.NewWalker(s.frame, s.block, have)
			w.Add(heads...)
			return drain(t, w)
		}
		if got, want := walk(nil), walk(nothingHad); !slices.Equal(got, want) {
			t.Errorf("seed %d: the walk yields %v, want %v", seed, text(got), text(want))
		}
	}
}

func closureOf(t testing.TB, s *space, frames []timeline.Frame) map[ibgib.Addr]bool {
	var roots []ibgib.Addr
	for _, f := range frames {
		roots = append(roots, f.Addr)
	}
	addrs, missing, err := timeline.Closure(roots, s.block, timeline.ClosureOptions{})
	if err != nil || len(missing) > 0 {
		t.Fatalf("missing %v, %v", missing, err)
	}
	set := make(map[ibgib.Addr]bool)
	for _, a := range addrs {
		set[a] = true
	}
	return set
}

func sortedAddrs[V any](m map[ibgib.Addr]V) (addrs []ibgib.Addr) {
	for a := range m {
		addrs = append(addrs, a)
	}
	slices.SortFunc(addrs, ibgib.CompareAddr)
	return addrs
}

// Deep stones that together exceed what a walk holds are read at most twice.
func TestWalkerGivesUpWhatItHolds(t *testing.T) {
	l := newTimeLine(t, "deep")
	s := newSpace(t, l.tjp)
	const levels = 12
	filler := strings.Repeat("x", 2<<20)
	below := names(build(t, "floor", data{"a": 1}, nil))
	s.add(t, build(t, "floor", data{"a": 1}, nil))
	for i := range levels {
		g := build(t, "stone", data{"i": i, "filler": filler}, links{"below": below})
		s.add(t, g)
		below = names(g)
	}
	top := l.on(l.tjp, map[string]any{"below": below})
	s.add(t, top)
	s.reads = 0
	w := timeline.NewWalker(s.frame, s.block, nothingHad)
	w.Add(s.frames[top.Addr()])
	got := drain(t, w)
	if len(got) != levels+3 {
		t.Errorf("the walk yields %d ibGibs, want %d", len(got), levels+3)
	}
	if s.reads <= len(got) || s.reads > 2*len(got) {
		t.Errorf("%d reads for %d ibGibs", s.reads, len(got))
	}
	checkOrder(t, got, s.block, func(ibgib.Addr) bool { return false })
}

func TestWalkerErrors(t *testing.T) {
	f := newFamily(t)
	delete(f.blocks, f.dna.Addr())
	w := timeline.NewWalker(f.frame, f.block, nothingHad)
	w.Add(f.frames[f.task2.Addr()])
	var err error
	for more := true; more && err == nil; {
		_, more, err = w.Next()
	}
	var missing *timeline.MissingError
	if !errors.As(err, &missing) || missing.Addr != f.dna.Addr() || missing.Referrer != f.comment1.Addr() {
		t.Fatalf("the walk ends with %v", err)
	}
	if msg := err.Error(); !strings.Contains(msg, f.dna.Addr().String()) || !strings.Contains(msg, f.comment1.Addr().String()) {
		t.Errorf("the message does not name both addresses: %s", msg)
	}
	if _, more, again := w.Next(); more || again != err {
		t.Errorf("then it returns %v, %v", more, again)
	}

	stop := errors.New("cancelled")
	w = timeline.NewWalker(f.frame, f.block, func(timeline.Frame) (bool, error) { return false, stop })
	w.Add(f.frames[f.task2.Addr()])
	if _, _, err := w.Next(); !errors.Is(err, stop) {
		t.Errorf("a failing have gives %v", err)
	}
	delete(f.frames, f.task1.Addr())
	w = timeline.NewWalker(f.frame, f.block, nothingHad)
	w.Add(f.frames[f.task2.Addr()])
	if _, _, err := w.Next(); !errors.Is(err, timeline.ErrIndex) {
		t.Errorf("a gap in the index gives %v", err)
	}
}
