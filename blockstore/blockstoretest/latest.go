package blockstoretest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// latestOf returns the entry of the timeline that g is a frame of, and checks
// which frame is presented and whether it is pinned.
func latestOf(t *testing.T, s *blockstore.Store, what string, g, want ibgib.IbGib, pinned bool) blockstore.Entry {
	t.Helper()
	tjp, _ := timeline.Claims(g)
	root, _ := tjp.Hash()
	e, ok, err := s.View(blockstore.DefaultShare).Entry(ctx, root)
	if err != nil || !ok {
		t.Fatalf("%s: entry %t, %v", what, ok, err)
	}
	if e.Latest != want.Addr() || e.Pinned != pinned {
		t.Errorf("%s: latest %s, pinned %t; want %s, %t", what, e.Latest, e.Pinned, want.Addr(), pinned)
	}
	return e
}

func pinLatest(t *testing.T, s *blockstore.Store, g ibgib.IbGib) {
	t.Helper()
	e, err := s.PinLatest(ctx, blockstore.DefaultShare, g.Addr())
	if err != nil || e.Latest != g.Addr() || !e.Pinned {
		t.Fatalf("pin %s: %+v, %v", g.Addr(), e, err)
	}
}

// testPinLatest follows a pinned head through what can happen to it.
func testPinLatest(t *testing.T, s *blockstore.Store) {
	m := NewMaker(29)
	first := m.Timeline(t, "task")
	base := Last(first)
	grow := func(src ibgib.IbGib, value string) ibgib.IbGib {
		t.Helper()
		gs := m.Mut8(t, src, "v", value)
		Put(t, s, gs...)
		Clean(t, s)
		return Last(gs)
	}
	Put(t, s, first...)
	if _, err := s.PinLatest(ctx, blockstore.DefaultShare, base.Addr()); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("pin of an only head: %v", err)
	}
	a := grow(base, "a")
	b := grow(grow(base, "b"), "b again")
	c := grow(base, "c")
	tjp, _ := timeline.Claims(base)
	root, _ := tjp.Hash()
	before := latestOf(t, s, "no pin", base, b, false)
	fp, _ := s.View(blockstore.DefaultShare).Fingerprint(ctx)

	for _, addr := range []ibgib.Addr{base.Addr(), mustAddr(t, "x^"+a.Gib()), mustAddr(t, "y^"+absentHash), mustAddr(t, "primitive^gib")} {
		if _, err := s.PinLatest(ctx, blockstore.DefaultShare, addr); !errors.Is(err, blockstore.ErrNotFound) {
			t.Errorf("pin %s, which is no head: %v", addr, err)
		}
	}
	if _, err := s.PinLatest(ctx, 7, a.Addr()); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("pin in a share that has not got it: %v", err)
	}
	if _, err := s.UnpinLatest(ctx, blockstore.DefaultShare, root); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("unpin of what is not pinned: %v", err)
	}

	pinLatest(t, s, a)
	pinLatest(t, s, a)
	e := latestOf(t, s, "pinned", base, a, true)
	if now, _ := s.View(blockstore.DefaultShare).Fingerprint(ctx); now != fp {
		t.Error("the pin changes what peers are told")
	}
	if e.Seq != before.Seq+1 {
		t.Errorf("two pins of one head are at %d in the change log, which was at %d", e.Seq, before.Seq)
	}
	Clean(t, s)
	latestOf(t, restored(t, backup(t, s)), "restored", base, a, true)
	if report, err := s.Repair(ctx, nil); err != nil || report.Mended+len(report.Lost) > 0 {
		t.Errorf("repair %+v, %v", report, err)
	}
	collect(t, s)
	latestOf(t, s, "repaired and collected", base, a, true)

	// A local change goes on top of it; what a peer brings on top is followed too.
	put, _, err := s.Change(ctx, blockstore.DefaultShare, root, nil, func(latest ibgib.IbGib) ([]ibgib.IbGib, error) {
		gs := m.Mut8(t, latest, "v", "here")
		a = Last(gs)
		return gs, nil
	})
	if err != nil || put.Stored == 0 {
		t.Fatalf("%+v, %v", put, err)
	}
	latestOf(t, s, "changed here", base, a, true)
	a = grow(a, "there")
	latestOf(t, s, "extended", base, a, true)
	b = grow(b, "another branch")
	latestOf(t, s, "another branch extended", base, a, true)

	// The branch itself diverges: the greatest of what it has become.
	low, high := m.Mut8(t, a, "v", "low"), m.Mut8(t, a, "v", "high")
	high = append(high, m.Mut8(t, Last(high), "v", "higher")...)
	Put(t, s, append(low, high...)...)
	Clean(t, s)
	a = Last(high)
	latestOf(t, s, "diverged", base, a, true)

	// A keep frame on it is its branch, too; one on another head ends the pin.
	frames := func(gs ...ibgib.IbGib) (list []timeline.Frame) {
		for _, g := range gs {
			f, ok, err := s.View(blockstore.DefaultShare).Frame(ctx, g.Hash())
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			list = append(list, f)
		}
		return list
	}
	keep := func(kept ibgib.IbGib, heads ...ibgib.IbGib) ibgib.IbGib {
		t.Helper()
		frame, dna, err := timeline.Keep(kept, frames(append(heads, kept)...), m.Env().Now())
		if err != nil {
			t.Fatal(err)
		}
		Put(t, s, dna, frame)
		Clean(t, s)
		return frame
	}
	a = keep(a, Last(low))
	latestOf(t, s, "kept", base, a, true)
	kept := keep(c, a)
	latestOf(t, s, "another one kept", base, kept, false)

	pinLatest(t, s, b)
	e, err = s.UnpinLatest(ctx, blockstore.DefaultShare, root)
	if err != nil || e.Pinned || e.Latest != kept.Addr() {
		t.Errorf("unpin %+v, %v", e, err)
	}
	latestOf(t, s, "unpinned", base, kept, false)

	// An only head is the latest without a pin.
	pinLatest(t, s, b)
	only := keep(b, kept)
	latestOf(t, s, "an only head", base, only, false)
}

// testPinLatestLarge moves many diverged timelines in one commit, some of them
// pinned.
func testPinLatestLarge(t *testing.T, s *blockstore.Store) {
	m := NewMaker(31)
	var pinned, others, added []ibgib.IbGib
	for i := range 270 {
		first := m.Timeline(t, fmt.Sprint("task ", i))
		low, high := m.Mut8(t, Last(first), "v", "low"), m.Mut8(t, Last(first), "v", "high")
		high = append(high, m.Mut8(t, Last(high), "v", "higher")...)
		Put(t, s, append(append(first, low...), high...)...)
		if i%3 == 0 {
			pinLatest(t, s, Last(low))
			grown := m.Mut8(t, Last(low), "v", "grown")
			pinned, added = append(pinned, Last(grown)), append(added, grown...)
		} else {
			grown := m.Mut8(t, Last(high), "v", "grown")
			others, added = append(others, Last(grown)), append(added, grown...)
		}
	}
	if res := Put(t, s, added...); res.Moved != 270 {
		t.Errorf("%d moved, want 270", res.Moved)
	}
	Clean(t, s)
	for _, g := range pinned {
		latestOf(t, s, "pinned", g, g, true)
	}
	for _, g := range others {
		latestOf(t, s, "not pinned", g, g, false)
	}
	back := restored(t, backup(t, s))
	Clean(t, back)
	latestOf(t, back, "restored", pinned[0], pinned[0], true)
}
