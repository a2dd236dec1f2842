package timeline_test

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// expected is spaces/expected.json: lists of tjps, maps from tjp to head.
type expected struct {
	Groups struct {
		AAhead, BAhead, Diverged, Same, ANew, BNew []string
	}
	ATips, BTips   map[string]string
	ACount, BCount int
	ClosureSizes   map[string]int
	AfterSync      struct {
		Tips           map[string]string
		ALacks, BLacks int
	}
}

func loadSpaces(t testing.TB) (a, b []ibgib.IbGib, want expected) {
	t.Helper()
	decode(t, "testdata/spaces/expected.json", &want)
	return readNDJSON(t, "testdata/spaces/a.ndjson"), readNDJSON(t, "testdata/spaces/b.ndjson"), want
}

func single(tips map[string]string) map[string][]string {
	heads := make(map[string][]string)
	for tjp, tip := range tips {
		heads[tjp] = []string{tip}
	}
	return heads
}

func TestSpacesHeads(t *testing.T) {
	a, b, want := loadSpaces(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, side := range []struct {
		name  string
		gs    []ibgib.IbGib
		tips  map[string]string
		count int
	}{{"a", a, want.ATips, want.ACount}, {"b", b, want.BTips, want.BCount}} {
		t.Run(side.name, func(t *testing.T) {
			for range 3 {
				s := newSpace(t, side.gs...)
				if len(s.blocks) != side.count {
					t.Errorf("%d ibGibs, want %d", len(s.blocks), side.count)
				}
				if len(s.rejected) > 0 {
					t.Errorf("kept out: %v", s.rejected)
				}
				if got := s.allHeads(); !reflect.DeepEqual(got, single(side.tips)) {
					t.Errorf("heads are %v, want %v", got, side.tips)
				}
				rng.Shuffle(len(side.gs), func(i, j int) { side.gs[i], side.gs[j] = side.gs[j], side.gs[i] })
			}
		})
	}
}

// The union of both spaces is what a sync leads to.
func TestSpacesUnionHeads(t *testing.T) {
	a, b, want := loadSpaces(t)
	for name, gs := range map[string][]ibgib.IbGib{"a then b": slices.Concat(a, b), "b then a": slices.Concat(b, a)} {
		t.Run(name, func(t *testing.T) {
			s := newSpace(t, gs...)
			heads := single(want.AfterSync.Tips)
			if len(want.Groups.Diverged) != 7 {
				t.Fatalf("%d diverged timelines in the vector, want 7", len(want.Groups.Diverged))
			}
			for _, tjp := range want.Groups.Diverged {
				heads[tjp] = sorted([]string{want.ATips[tjp], want.BTips[tjp]})
			}
			if got := s.allHeads(); !reflect.DeepEqual(got, heads) {
				t.Errorf("heads are %v, want %v", got, heads)
			}
		})
	}
}

// The groups tell for each timeline which side's head is in the other's history.
func TestSpacesIsPast(t *testing.T) {
	a, b, want := loadSpaces(t)
	s := newSpace(t, slices.Concat(a, b)...)
	check := func(group []string, aInB, bInA bool) {
		for _, tjp := range group {
			tipA, tipB := s.frames[addr(t, want.ATips[tjp])], s.frames[addr(t, want.BTips[tjp])]
			if got, err := timeline.IsPast(tipA, tipB, s.frame); err != nil || got != aInB {
				t.Errorf("IsPast(a, b) on %s is %v, %v, want %v", tjp, got, err, aInB)
			}
			if got, err := timeline.IsPast(tipB, tipA, s.frame); err != nil || got != bInA {
				t.Errorf("IsPast(b, a) on %s is %v, %v, want %v", tjp, got, err, bInA)
			}
		}
	}
	check(want.Groups.AAhead, false, true)
	check(want.Groups.BAhead, true, false)
	check(want.Groups.Diverged, false, false)
	check(want.Groups.Same, false, false)
	if n := len(want.Groups.ANew) + len(want.Groups.BNew); n == 0 {
		t.Error("no timelines that only one side has")
	}
}

func TestSpacesClosureSizes(t *testing.T) {
	a, b, want := loadSpaces(t)
	s := newSpace(t, slices.Concat(a, b)...)
	for head, size := range want.ClosureSizes {
		addrs, missing, err := timeline.Closure([]ibgib.Addr{addr(t, head)}, s.block, timeline.ClosureOptions{})
		if err != nil || len(missing) > 0 {
			t.Fatalf("%s: missing %v, %v", head, missing, err)
		}
		if len(addrs) != size {
			t.Errorf("closure of %s has %d ibGibs, want %d", head, len(addrs), size)
		}
		checkOrder(t, addrs, s.block, func(ibgib.Addr) bool { return false })
	}
}

// What a walk yields and the receiver does not hold is exactly what it lacks; of
// the timelines that diverged, the branch comes on top.
func TestSpacesWalk(t *testing.T) {
	a, b, want := loadSpaces(t)
	spaceA, spaceB := newSpace(t, a...), newSpace(t, b...)
	t.Run("to a", func(t *testing.T) { walkSpaces(t, spaceB, spaceA, want, want.AfterSync.ALacks) })
	t.Run("to b", func(t *testing.T) { walkSpaces(t, spaceA, spaceB, want, want.AfterSync.BLacks) })
}

func walkSpaces(t *testing.T, from, to *space, want expected, lacks int) {
	// What the sender knows of the receiver: the heads it named that the sender
	// holds, and the sender's own heads that it said it has.
	var known []timeline.Frame
	for _, side := range []*space{from, to} {
		for _, heads := range side.heads {
			for _, f := range heads {
				_, sent := from.frames[f.Addr]
				if _, received := to.frames[f.Addr]; sent && received {
					known = append(known, f)
				}
			}
		}
	}
	walk := func(tjps []ibgib.Addr) (yielded, new []ibgib.Addr) {
		history := timeline.NewHistory(from.frame, known...)
		w := timeline.NewWalker(from.frame, from.block, history.Contains)
		for _, tjp := range tjps {
			for _, f := range from.heads[tjp] {
				if _, ok := to.blocks[f.Addr]; !ok {
					w.Add(f)
				}
			}
		}
		from.reads = 0
		for {
			g, more, err := w.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !more {
				break
			}
			yielded = append(yielded, g.Addr())
			if _, ok := to.blocks[g.Addr()]; !ok {
				new = append(new, g.Addr())
			}
		}
		if limit := len(yielded) + len(tjps); from.reads > limit {
			t.Errorf("%d block reads for %d ibGibs of %d timelines", from.reads, len(yielded), len(tjps))
		}
		checkOrder(t, yielded, from.block, func(a ibgib.Addr) bool { _, ok := to.blocks[a]; return ok })
		return yielded, new
	}

	all := slices.Collect(maps.Keys(from.heads))
	plain := slices.DeleteFunc(slices.Clone(all), func(tjp ibgib.Addr) bool {
		return slices.Contains(want.Groups.Diverged, tjp.String())
	})
	yielded, new := walk(plain)
	if len(new) != lacks {
		t.Errorf("%d ibGibs are new to the receiver, want %d", len(new), lacks)
	}
	for _, a := range yielded {
		// Of a diverged timeline the sender cannot tell where the receiver branched off.
		f, isFrame := from.frames[a]
		diverged := slices.Contains(want.Groups.Diverged, f.Tjp.String())
		if isFrame && !diverged && !slices.Contains(new, a) {
			t.Errorf("the walk yields the frame %s, which the receiver has", a)
		}
	}

	_, new = walk(all)
	for _, a := range new {
		to.add(t, from.blocks[a])
	}
	heads := single(want.AfterSync.Tips)
	for _, tjp := range want.Groups.Diverged {
		heads[tjp] = sorted([]string{want.ATips[tjp], want.BTips[tjp]})
	}
	for tjp := range from.heads {
		if got := to.headAddrs(tjp); !reflect.DeepEqual(got, heads[tjp.String()]) {
			t.Errorf("heads of %s after the walk are %v, want %v", tjp, got, heads[tjp.String()])
		}
	}
}
