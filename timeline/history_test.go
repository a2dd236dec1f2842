package timeline_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// graph is an index of made-up frames.
type graph struct {
	t       testing.TB
	frames  map[ibgib.Addr]timeline.Frame
	lookups int
}

func newGraph(t testing.TB) *graph {
	return &graph{t: t, frames: make(map[ibgib.Addr]timeline.Frame)}
}

func (g *graph) frame(a ibgib.Addr) (timeline.Frame, bool, error) {
	g.lookups++
	f, ok := g.frames[a]
	return f, ok, nil
}

// put adds the frame number i of the timeline after pred, zero for its tjp.
func (g *graph) put(rng *rand.Rand, kind timeline.FrameKind, withN bool, pred timeline.Frame, links ...timeline.Frame) timeline.Frame {
	f := timeline.Frame{Kind: kind, Pred: pred.Addr, HasN: withN, Tjp: pred.Tjp}
	gib := randomHash(rng).String()
	if kind == timeline.KindTjp {
		f.Addr = addr(g.t, "f^"+gib)
		f.Tjp = f.Addr
	} else {
		f.Addr = addr(g.t, "f^"+gib+"."+f.Tjp.Gib())
	}
	n := pred.N
	for _, l := range links {
		f.Links = append(f.Links, l.Addr)
		n = max(n, l.N)
	}
	if withN && kind != timeline.KindTjp {
		f.N = n + 1
	}
	slices.SortFunc(f.Links, ibgib.CompareAddr)
	g.frames[f.Addr] = f
	return f
}

// below returns the whole history of f, by brute force.
func (g *graph) below(f timeline.Frame) map[ibgib.Addr]bool {
	met := make(map[ibgib.Addr]bool)
	todo := []timeline.Frame{f}
	for len(todo) > 0 {
		f, todo = todo[0], todo[1:]
		for _, a := range append([]ibgib.Addr{f.Pred}, f.Links...) {
			if !a.IsZero() && !met[a] {
				met[a] = true
				todo = append(todo, g.frames[a])
			}
		}
	}
	return met
}

// grow makes a random timeline with user, keep and merge frames. heads is kept
// by Advance.
func grow(g *graph, rng *rand.Rand, size int, withN bool) (all []timeline.Frame) {
	all = []timeline.Frame{g.put(rng, timeline.KindTjp, withN, timeline.Frame{})}
	heads := slices.Clone(all)
	for range size {
		var f timeline.Frame
		switch op := rng.IntN(10); {
		case op < 5: // on any frame
			f = g.put(rng, timeline.KindUser, withN, all[rng.IntN(len(all))])
		case op < 7: // on a head
			f = g.put(rng, timeline.KindUser, withN, heads[rng.IntN(len(heads))])
		case len(heads) == 1:
			continue
		default:
			some := slices.Clone(heads)
			rng.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
			some = some[:2+rng.IntN(len(some)-1)]
			kind := timeline.KindKeep
			if op > 7 {
				kind = timeline.KindMerge
			}
			pred := some[0]
			f = g.put(rng, kind, withN, pred, some[1:]...)
		}
		all = append(all, f)
		var err error
		if heads, err = timeline.Advance(heads, []timeline.Frame{f}, g.frame); err != nil {
			g.t.Fatal(err)
		}
	}
	return all
}

func TestHistoryAgainstBruteForce(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 5))
			g := newGraph(t)
			all := grow(g, rng, 60, seed%3 != 0)
			other := grow(g, rng, 5, true)

			for _, newer := range all {
				history := g.below(newer)
				for _, older := range all {
					got, err := timeline.IsPast(older, newer, g.frame)
					if err != nil || got != history[older.Addr] {
						t.Fatalf("IsPast(%s, %s) is %v, %v", older.Addr, newer.Addr, got, err)
					}
				}
				if got, err := timeline.IsPast(other[0], newer, g.frame); err != nil || got {
					t.Fatalf("IsPast of another timeline's tjp is %v, %v", got, err)
				}
			}

			for range 20 {
				set := slices.Concat(all, other)
				rng.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
				set = set[:1+rng.IntN(8)]
				union := make(map[ibgib.Addr]bool)
				var users []timeline.Frame
				covered := make(map[ibgib.Addr]bool)
				for _, f := range set {
					union[f.Addr] = true
					for a := range g.below(f) {
						union[a] = true
					}
					if f.IsUser() {
						users = append(users, f)
						for a := range g.below(f) {
							covered[a] = true
						}
					}
				}
				var want []string
				for _, f := range users {
					if !covered[f.Addr] {
						want = append(want, f.Addr.String())
					}
				}
				maximal, err := timeline.Maximal(append(set, set...), g.frame)
				if got := addrsOf(maximal); err != nil || !slices.Equal(got, sorted(want)) {
					t.Fatalf("Maximal is %v, %v, want %v", got, err, want)
				}

				h := timeline.NewHistory(g.frame, set...)
				asked := slices.Concat(all, other)
				rng.Shuffle(len(asked), func(i, j int) { asked[i], asked[j] = asked[j], asked[i] })
				for _, f := range asked {
					if got, err := h.Contains(f); err != nil || got != union[f.Addr] {
						t.Fatalf("Contains(%s) is %v, %v, want %v", f.Addr, got, err, union[f.Addr])
					}
				}
			}
		})
	}
}

// Frame by frame, and all at once in any order, Advance gives what Maximal gives.
func TestAdvanceIsMaximal(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 6))
		g := newGraph(t)
		all := grow(g, rng, 80, seed%2 == 0)
		want, err := timeline.Maximal(all, g.frame)
		if err != nil {
			t.Fatal(err)
		}
		var heads []timeline.Frame
		for rest := all; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			added := slices.Clone(rest[:n])
			rest = rest[n:]
			rng.Shuffle(n, func(i, j int) { added[i], added[j] = added[j], added[i] })
			if heads, err = timeline.Advance(heads, added, g.frame); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(addrsOf(heads), addrsOf(want)) {
			t.Errorf("seed %d: Advance gives %v, Maximal %v", seed, addrsOf(heads), addrsOf(want))
		}
	}
}

// Costs that the stores and sagas lean on, in lookups.
func TestHistoryCosts(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	g := newGraph(t)
	const size = 2000
	chain := []timeline.Frame{g.put(rng, timeline.KindTjp, true, timeline.Frame{})}
	for range size {
		chain = append(chain, g.put(rng, timeline.KindUser, true, chain[len(chain)-1]))
	}
	top := chain[size]
	side := g.put(rng, timeline.KindUser, true, chain[size-10])
	cost := func(name string, limit int, run func() error) {
		t.Helper()
		g.lookups = 0
		if err := run(); err != nil {
			t.Fatal(err)
		}
		if g.lookups > limit {
			t.Errorf("%s costs %d lookups, at most %d expected", name, g.lookups, limit)
		}
	}
	cost("IsPast of a near frame", 10, func() error {
		_, err := timeline.IsPast(side, top, g.frame)
		return err
	})
	cost("the heads of a run of frames", size+1, func() error {
		_, err := timeline.Maximal(chain, g.frame)
		return err
	})
	cost("the heads of a near divergence", 25, func() error {
		_, err := timeline.Maximal([]timeline.Frame{top, side}, g.frame)
		return err
	})
	old := g.put(rng, timeline.KindUser, true, chain[0])
	cost("advancing beside an old head", 2, func() error {
		_, err := timeline.Advance([]timeline.Frame{old, chain[size-1]}, []timeline.Frame{top}, g.frame)
		return err
	})
	cost("asking a history from the newest to the oldest", size, func() error {
		h := timeline.NewHistory(g.frame, top)
		for _, f := range slices.Backward(chain) {
			if in, err := h.Contains(f); err != nil || !in {
				return fmt.Errorf("%s: %v, %w", f.Addr, in, err)
			}
		}
		return nil
	})
}

func TestParentsExpandMergeFrames(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	g := newGraph(t)
	tjp := g.put(rng, timeline.KindTjp, true, timeline.Frame{})
	left := g.put(rng, timeline.KindUser, true, tjp)
	right := g.put(rng, timeline.KindUser, true, tjp)
	merge := g.put(rng, timeline.KindMerge, true, left, right)
	both := sorted([]string{left.Addr.String(), right.Addr.String()})
	for name, row := range map[string]struct {
		f    timeline.Frame
		want []string
	}{
		"tjp":             {tjp, nil},
		"user":            {left, []string{tjp.Addr.String()}},
		"merge":           {merge, both},
		"user on a merge": {g.put(rng, timeline.KindUser, true, merge), both},
		"keep on a merge": {g.put(rng, timeline.KindKeep, true, merge, left, right), both},
		"keep on a head":  {g.put(rng, timeline.KindKeep, true, left, right), both},
	} {
		if parents, err := timeline.Parents(row.f, g.frame); err != nil || !slices.Equal(text(parents), row.want) {
			t.Errorf("parents of the %s are %v, %v, want %v", name, parents, err, row.want)
		}
	}
}

func TestLatest(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	g := newGraph(t)
	tjp := g.put(rng, timeline.KindTjp, true, timeline.Frame{})
	one, two := g.put(rng, timeline.KindUser, true, tjp), g.put(rng, timeline.KindUser, true, tjp)
	greater := one
	if two.Hash().String() > one.Hash().String() {
		greater = two
	}
	long := g.put(rng, timeline.KindUser, true, one)
	bare := g.put(rng, timeline.KindTjp, false, timeline.Frame{})
	for _, row := range []struct{ heads []timeline.Frame }{{[]timeline.Frame{one, two}}, {[]timeline.Frame{two, one}}} {
		if got := timeline.Latest(row.heads); got.Addr != greater.Addr {
			t.Errorf("latest of equal n is %s, want the greater hash %s", got.Addr, greater.Addr)
		}
	}
	if got := timeline.Latest([]timeline.Frame{long, greater}); got.Addr != long.Addr {
		t.Errorf("latest is %s, want the greater n", got.Addr)
	}
	if got := timeline.Latest([]timeline.Frame{bare, tjp}); got.Addr != tjp.Addr {
		t.Error("a missing n is not less than 0")
	}
	if !timeline.Latest(nil).IsZero() {
		t.Error("latest of no heads is a frame")
	}
}

func TestBrokenIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	g := newGraph(t)
	tjp := g.put(rng, timeline.KindTjp, true, timeline.Frame{})
	one := g.put(rng, timeline.KindUser, true, tjp)
	two := g.put(rng, timeline.KindUser, true, one)
	stop := errors.New("cancelled")
	delete(g.frames, one.Addr)
	if _, err := timeline.IsPast(tjp, two, g.frame); !errors.Is(err, timeline.ErrIndex) {
		t.Errorf("IsPast over a gap returns %v", err)
	}
	if _, err := timeline.Maximal([]timeline.Frame{tjp, two}, g.frame); !errors.Is(err, timeline.ErrIndex) {
		t.Errorf("Maximal over a gap returns %v", err)
	}
	cancelled := func(ibgib.Addr) (timeline.Frame, bool, error) { return timeline.Frame{}, false, stop }
	if _, err := timeline.NewHistory(cancelled, two).Contains(tjp); !errors.Is(err, stop) {
		t.Errorf("a cancelled History returns %v", err)
	}
}
