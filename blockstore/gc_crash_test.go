package blockstore

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

func link(t *testing.T, ib string, to ...ibgib.Addr) ibgib.IbGib {
	t.Helper()
	var rel8ns ibgib.Rel8ns
	if len(to) > 0 {
		rel8ns = ibgib.Rel8ns{{Name: "to", Addrs: to}}
	}
	g, err := ibgib.New(ib, ibgib.Value{}, rel8ns)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// fillForGC gives a store timelines, a pinned stone, and much that is not
// needed: chains, what waits, and an import that was never committed.
func fillForGC(t *testing.T, s *Store) {
	t.Helper()
	ctx := context.Background()
	var dead []ibgib.IbGib
	for i := range 400 {
		to := []ibgib.Addr{link(t, fmt.Sprint("absent ", i)).Addr()}
		if i%2 == 0 {
			to = nil
		}
		for _, g := range dead[max(0, len(dead)-3):] {
			if i%7 > 0 {
				to = append(to, g.Addr())
			}
		}
		dead = append(dead, link(t, fmt.Sprint("dead ", i), to...))
	}
	stone := link(t, "stone")
	pinned := link(t, "pinned", stone.Addr())
	for _, gs := range [][]ibgib.IbGib{manyTimelines(t, 50), dead, {stone, pinned}} {
		if err := putAll(s, gs); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetPin(ctx, DefaultShare, pinned.Addr()); err != nil {
		t.Fatal(err)
	}
	st, err := s.NewStage(DefaultShare, Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(ctx, manyTimelines(t, 300)[100:]); err != nil {
		t.Fatal(err)
	}
	if err := st.Discard(); err != nil {
		t.Fatal(err)
	}
}

func countKeys(t *testing.T, engine kv, prefix byte) int {
	t.Helper()
	n := 0
	if err := engine.snapshot().scanKeys([]byte{prefix}, nil, func([]byte) (bool, error) {
		n++
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCutWhileCollecting cuts GC off after each of its writes. The store opens
// and verifies, has its heads and pins, and the next GC finishes the work.
func TestCutWhileCollecting(t *testing.T) {
	ctx := context.Background()
	var want map[byte]int
	cuts := 0
	for ; ; cuts++ {
		engine := newMemoryKV()
		s, err := open(engine, Options{})
		if err != nil {
			t.Fatal(err)
		}
		fillForGC(t, s)
		heads := countHeads(t, s)
		fp, _ := s.View(DefaultShare).Fingerprint(ctx)
		s.kv = &cutKV{kv: engine, left: cuts}
		_, err = s.GC(ctx, GCOptions{Age: -1}, nil)
		if err != nil && !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		again, openErr := open(engine, Options{})
		if openErr != nil {
			t.Fatalf("open after a cut at %d writes: %v", cuts, openErr)
		}
		verifyClean(t, again)
		if _, err := again.GC(ctx, GCOptions{Age: -1}, nil); err != nil {
			t.Fatal(err)
		}
		verifyClean(t, again)
		if now, _ := again.View(DefaultShare).Fingerprint(ctx); now != fp || countHeads(t, again) != heads {
			t.Errorf("after a cut at %d writes: other heads", cuts)
		}
		left := make(map[byte]int)
		for _, prefix := range []byte{prefixBlock, prefixMember, prefixEntry, prefixPin, prefixWaiting, prefixRejected, prefixLoose, prefixClosing} {
			left[prefix] = countKeys(t, engine, prefix)
		}
		if want == nil {
			want = left
			if left[prefixBlock] != left[prefixMember] || left[prefixMember] != 2*50+2 || left[prefixEntry] != 51 ||
				left[prefixWaiting]+left[prefixLoose]+left[prefixClosing] != 0 {
				t.Errorf("keys left: %v", left)
			}
		}
		if fmt.Sprint(left) != fmt.Sprint(want) {
			t.Errorf("after a cut at %d writes: keys left %v, want %v", cuts, left, want)
		}
		if err == nil {
			break
		}
	}
	if cuts < 4 {
		t.Errorf("only %d cuts", cuts)
	}
}

// TestCollectKeepsWhatWritersSee lets a stage come upon members, and bring new
// ones that link to them, when GC has already found them dead.
func TestCollectKeepsWhatWritersSee(t *testing.T) {
	ctx := context.Background()
	s, err := open(newMemoryKV(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	below := link(t, "below")
	seen := link(t, "seen", below.Addr())
	linked := link(t, "linked", below.Addr())
	held := link(t, "held", below.Addr())
	dead := link(t, "dead", seen.Addr(), linked.Addr(), held.Addr())
	if err := putAll(s, []ibgib.IbGib{below, seen, linked, held, dead}); err != nil {
		t.Fatal(err)
	}
	c := &collection{s: s, opts: GCOptions{Age: -1}, dropped: make(map[memberKey]struct{})}
	if err := c.begin(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GC(ctx, GCOptions{}, nil); !errors.Is(err, ErrBusy) {
		t.Errorf("a second GC: %v", err)
	}
	if _, err := s.Repair(ctx, nil); !errors.Is(err, ErrBusy) {
		t.Errorf("repair beside GC: %v", err)
	}
	if err := s.Maintain(ctx); err != nil {
		t.Errorf("maintenance beside GC: %v", err)
	}
	step := func(f func() (bool, error)) {
		t.Helper()
		for done := false; !done; {
			var err error
			if done, err = c.turn(ctx, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	step(func() (bool, error) {
		c.start(DefaultShare)
		c.markHeld()
		return true, nil
	})
	step(c.roots(prefixMember, c.memberRoots))
	step(c.blacken)
	step(c.roots(prefixMember, c.arrange))
	if len(c.order) != 5 {
		t.Fatalf("%d members found dead, want 5", len(c.order))
	}
	st, err := s.NewStage(DefaultShare, Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(ctx, []ibgib.IbGib{link(t, "new", linked.Addr())}); err != nil {
		t.Fatal(err)
	}
	if err := st.Touch(ctx, []ibgib.Hash{seen.Hash()}); err != nil {
		t.Fatal(err)
	}
	s.Hold(DefaultShare, []ibgib.Addr{held.Addr()})
	step(c.sweep)
	step(c.tidy())
	c.end()
	if c.report.Removed != 1 || c.report.Kept != 4 {
		t.Errorf("report %+v, want 1 removed and 4 kept", c.report)
	}
	verifyClean(t, s)
}
