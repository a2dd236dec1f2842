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

// family is a small graph: a task timeline that refers to a comment timeline,
// and the other way round in its later frame.
type family struct {
	*space
	stone, dna          ibgib.IbGib
	task, comment       timeLine
	task1, comment1     ibgib.IbGib
	task2               ibgib.IbGib // a head, not reached from the others
	comment2, unrelated ibgib.IbGib // heads
}

func newFamily(t testing.TB) family {
	f := family{task: newTimeLine(t, "task"), comment: newTimeLine(t, "comment")}
	f.stone = build(t, "stone", data{"a": 1}, nil)
	f.dna = build(t, "mut8", data{"type": "mut8"}, links{"ancestor": {"mut8^gib"}})
	f.comment1 = f.comment.on(f.comment.tjp, map[string]any{"dna": names(f.dna), "of": names(f.task.tjp)})
	f.task1 = f.task.on(f.task.tjp, map[string]any{"comment": names(f.comment1), "dna": names(f.dna)})
	f.task2 = f.task.on(f.task1, map[string]any{"picture": names(f.stone)})
	f.comment2 = f.comment.on(f.comment1, map[string]any{"text": "edited"})
	f.unrelated = newTimeLine(t, "unrelated").tjp
	f.space = newSpace(t, f.stone, f.dna, f.task.tjp, f.comment.tjp, f.comment1, f.task1, f.task2, f.comment2, f.unrelated)
	return f
}

func (f family) headsOf(tjp ibgib.Addr) ([]ibgib.Addr, error) {
	var out []ibgib.Addr
	for _, h := range f.heads[tjp] {
		out = append(out, h.Addr)
	}
	return out, nil
}

func TestClosureOptions(t *testing.T) {
	f := newFamily(t)
	plain := names(f.task1, f.task.tjp, f.comment1, f.comment.tjp, f.dna)
	for name, row := range map[string]struct {
		root ibgib.IbGib
		opts timeline.ClosureOptions
		want []string
	}{
		"plain":     {f.task1, timeline.ClosureOptions{}, plain},
		"primitive": {build(t, "r", nil, links{"ancestor": {"x^gib"}}), timeline.ClosureOptions{Only: []string{"none"}}, nil},
		"skip an address": {f.task1, timeline.ClosureOptions{Skip: func(a ibgib.Addr) bool { return a == f.comment1.Addr() }},
			names(f.task1, f.task.tjp, f.dna)},
		"skip the root": {f.task1, timeline.ClosureOptions{Skip: func(a ibgib.Addr) bool { return a == f.task1.Addr() }}, nil},
		"avoid a rel8n": {f.task1, timeline.ClosureOptions{Avoid: []string{"comment", "dna"}}, names(f.task1, f.task.tjp)},
		"only some":     {f.task2, timeline.ClosureOptions{Only: []string{"picture", "past"}}, names(f.task2, f.task1, f.task.tjp, f.stone)},
		"avoid wins":    {f.task2, timeline.ClosureOptions{Only: []string{"picture", "past"}, Avoid: []string{"past"}}, names(f.task2, f.stone)},
	} {
		t.Run(name, func(t *testing.T) {
			if len(row.want) == 0 && row.root.Ib() == "r" {
				f.blocks[row.root.Addr()] = row.root
				row.want = names(row.root)
			}
			addrs, missing, err := timeline.Closure([]ibgib.Addr{row.root.Addr(), row.root.Addr()}, f.block, row.opts)
			if err != nil || len(missing) > 0 {
				t.Fatalf("missing %v, %v", missing, err)
			}
			if got := sorted(text(addrs)); !slices.Equal(got, row.want) {
				t.Errorf("the closure is %v, want %v", got, row.want)
			}
		})
	}
}

func TestLiveClosure(t *testing.T) {
	f := newFamily(t)
	scope := names(f.task.tjp, f.comment.tjp)
	heads := func(tjp ibgib.Addr) ([]ibgib.Addr, error) {
		if !slices.Contains(scope, tjp.String()) {
			return nil, nil
		}
		return f.headsOf(tjp)
	}
	whole := names(f.stone, f.dna, f.task.tjp, f.comment.tjp, f.comment1, f.task1, f.task2, f.comment2)
	root := []ibgib.Addr{f.comment1.Addr()}
	addrs, missing, err := timeline.LiveClosure(root, f.block, heads, timeline.ClosureOptions{})
	if err != nil || len(missing) > 0 || !slices.Equal(sorted(text(addrs)), whole) {
		t.Errorf("the live closure is %v, missing %v, %v, want %v", text(addrs), missing, err, whole)
	}
	checkOrder(t, addrs, f.block, func(ibgib.Addr) bool { return false })

	// The comment refers to the task's first frame only; out of scope, its head stays out.
	scope = names(f.comment.tjp)
	addrs, _, err = timeline.LiveClosure(root, f.block, heads, timeline.ClosureOptions{})
	if want := names(f.dna, f.task.tjp, f.comment.tjp, f.comment1, f.comment2); err != nil || !slices.Equal(sorted(text(addrs)), want) {
		t.Errorf("inside its scope the live closure is %v, %v, want %v", text(addrs), err, want)
	}

	stop := errors.New("cancelled")
	_, _, err = timeline.LiveClosure(root, f.block, func(ibgib.Addr) ([]ibgib.Addr, error) { return nil, stop }, timeline.ClosureOptions{})
	if !errors.Is(err, stop) {
		t.Errorf("a failing heads function gives %v", err)
	}
}

func TestClosureReportsAllThatIsMissing(t *testing.T) {
	f := newFamily(t)
	absent := addr(t, "absent^"+strings.Repeat("E", 64))
	alias := addr(t, "alias^"+f.stone.Gib()) // the hash is stored, the address cannot exist
	aliasing := build(t, "aliasing", data{"a": 1}, links{"a": {alias.String()}, "b": {f.stone.Addr().String()}})
	f.blocks[aliasing.Addr()] = aliasing
	delete(f.blocks, f.dna.Addr())
	addrs, missing, err := timeline.Closure([]ibgib.Addr{f.task2.Addr(), absent, aliasing.Addr()}, f.block, timeline.ClosureOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := sorted([]string{absent.String(), alias.String(), f.dna.Addr().String()}); !slices.Equal(text(missing), want) {
		t.Errorf("missing %v, want %v", missing, want)
	}
	if want := names(f.stone, f.task.tjp, f.comment.tjp, f.comment1, f.task1, f.task2, aliasing); !slices.Equal(sorted(text(addrs)), want) {
		t.Errorf("the rest is %v, want %v", addrs, want)
	}
}

func TestClosureEndsWithTheLookup(t *testing.T) {
	f := newFamily(t)
	stop := errors.New("cancelled")
	left := 3
	_, _, err := timeline.Closure([]ibgib.Addr{f.task2.Addr()}, func(a ibgib.Addr) (ibgib.IbGib, error) {
		if left--; left < 0 {
			return ibgib.IbGib{}, stop
		}
		return f.block(a)
	}, timeline.ClosureOptions{})
	if !errors.Is(err, stop) {
		t.Errorf("Closure returns %v", err)
	}
}

// A long chain costs no recursion, and each block is read once.
func TestClosureOfALongChain(t *testing.T) {
	l := newTimeLine(t, "long")
	s := newSpace(t, l.tjp)
	last := l.tjp
	const size = 5000
	for i := range size {
		last = build(t, "task", data{"n": i + 1}, links{"past": names(last), "tjp": names(l.tjp)})
		s.add(t, last)
	}
	s.reads = 0
	addrs, missing, err := timeline.Closure([]ibgib.Addr{last.Addr()}, s.block, timeline.ClosureOptions{})
	if err != nil || len(missing) > 0 || len(addrs) != size+1 {
		t.Fatalf("%d ibGibs, missing %d, %v", len(addrs), len(missing), err)
	}
	if s.reads != size+1 {
		t.Errorf("%d reads", s.reads)
	}
	checkOrder(t, addrs, s.block, func(ibgib.Addr) bool { return false })
}

// Levels whose links together exceed what a walk holds are read again, at most
// once each, and nothing is lost.
func TestClosureGivesUpWhatItHolds(t *testing.T) {
	s := newSpace(t)
	many := make([]string, 40_000)
	for i := range many {
		many[i] = fmt.Sprintf("%s^%064X", strings.Repeat("m", 20), i)
	}
	var root ibgib.IbGib
	const levels = 9
	for i := range levels {
		rel := links{"z": many}
		if i > 0 {
			rel["a"] = names(root)
		}
		root = build(t, "level", data{"i": i + 1}, rel)
		s.add(t, root)
	}
	s.reads = 0
	addrs, missing, err := timeline.Closure([]ibgib.Addr{root.Addr()}, s.block, timeline.ClosureOptions{})
	if err != nil || len(addrs) != levels || len(missing) != len(many) {
		t.Fatalf("%d ibGibs, missing %d, %v", len(addrs), len(missing), err)
	}
	if s.reads <= levels+len(many) || s.reads > 2*levels+len(many) {
		t.Errorf("%d reads for %d blocks and %d gaps", s.reads, levels, len(many))
	}
	checkOrder(t, addrs, s.block, func(a ibgib.Addr) bool {
		_, ok := slices.BinarySearchFunc(missing, a, ibgib.CompareAddr)
		return ok
	})
}

func TestSortTopological(t *testing.T) {
	a, _, _ := loadSpaces(t)
	blocks := newSpace(t, a...)
	inSpace := func(gs []ibgib.IbGib) (addrs []ibgib.Addr) {
		for _, g := range gs {
			addrs = append(addrs, g.Addr())
		}
		return addrs
	}
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 11))
		rng.Shuffle(len(a), func(i, j int) { a[i], a[j] = a[j], a[i] })
		batch := a[:1+rng.IntN(len(a))]
		given := inSpace(batch)
		in := make(map[ibgib.Addr]bool)
		for _, x := range given {
			in[x] = true
		}
		out := timeline.SortTopological(batch)
		if !slices.Equal(given, inSpace(batch)) {
			t.Fatal("the batch is reordered in place")
		}
		if len(out) != len(batch) {
			t.Fatalf("%d of %d ibGibs", len(out), len(batch))
		}
		checkOrder(t, inSpace(out), blocks.block, func(x ibgib.Addr) bool { return !in[x] })
		if again := timeline.SortTopological(out); !slices.Equal(inSpace(again), inSpace(out)) {
			t.Error("a sorted batch is reordered")
		}
	}
	twice := timeline.SortTopological([]ibgib.IbGib{a[0], a[0]})
	if len(twice) != 2 {
		t.Errorf("%d of 2 equal ibGibs", len(twice))
	}
	if got := timeline.SortTopological(nil); len(got) != 0 {
		t.Errorf("nothing sorts to %v", got)
	}
}

func TestSortTimelines(t *testing.T) {
	at := func(name string) ibgib.Addr { return addr(t, name+"^"+strings.Repeat("F", 64)) }
	for _, row := range []struct {
		name  string
		edges map[string]string // from: to
		want  string
	}{
		{"unrelated", map[string]string{"a": "", "c": "", "b": ""}, "abc"},
		{"chain", map[string]string{"a": "b", "b": "c", "c": ""}, "cba"},
		{"diamond", map[string]string{"a": "bc", "b": "d", "c": "d", "d": ""}, "dbca"},
		{"itself and strangers", map[string]string{"a": "ax", "b": "y"}, "ab"},
		{"cycle", map[string]string{"c": "b", "b": "a", "a": "c"}, "abc"},
		{"cycle that another needs", map[string]string{"a": "z", "z": "y", "y": "z", "b": ""}, "yzab"},
		{"cycle over another", map[string]string{"a": "b", "b": "ad", "d": "", "c": ""}, "dabc"},
		{"two cycles", map[string]string{"a": "b", "b": "ac", "c": "d", "d": "c"}, "cdab"},
	} {
		var tjps []ibgib.Addr
		for name := range row.edges { // in any order
			tjps = append(tjps, at(name))
		}
		got := ""
		for _, a := range timeline.SortTimelines(tjps, func(tjp ibgib.Addr) (to []ibgib.Addr) {
			for _, name := range row.edges[tjp.Ib()] {
				to = append(to, at(string(name)))
			}
			return to
		}) {
			got += a.Ib()
		}
		if got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}
