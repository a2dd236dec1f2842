package blockstoretest

import (
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// noAge lets GC remove what has just arrived.
var noAge = blockstore.GCOptions{Age: -1}

// collect runs GC without regard to age, and verifies the store.
func collect(t *testing.T, s *blockstore.Store) blockstore.GCReport {
	t.Helper()
	report, err := s.GC(ctx, noAge, nil)
	if err != nil {
		t.Fatal(err)
	}
	Clean(t, s)
	return report
}

// members returns the members of a share by their address.
func members(t *testing.T, s *blockstore.Store, share blockstore.Share) map[string]bool {
	t.Helper()
	set := make(map[string]bool)
	for a, err := range s.View(share).Members(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		set[a.String()] = true
	}
	return set
}

// linking returns an ibGib of no timeline with the given links.
func linking(t *testing.T, ib string, to ...ibgib.IbGib) ibgib.IbGib {
	t.Helper()
	var addrs []ibgib.Addr
	for _, g := range to {
		addrs = append(addrs, g.Addr())
	}
	var rel8ns ibgib.Rel8ns
	if len(addrs) > 0 {
		rel8ns = ibgib.Rel8ns{{Name: "to", Addrs: addrs}}
	}
	g, err := ibgib.New(ib, ibgib.Value{}, rel8ns)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// testGC keeps what is needed for one reason or the other, and only that.
func testGC(t *testing.T, s *blockstore.Store) {
	m := NewMaker(20)
	task := m.Timeline(t, "task")
	task = append(task, m.Mut8(t, Last(task), "v", "1")...)
	linked := m.Stone(t, "linked", "x")
	task = append(append(task[:len(task):len(task)], linked), m.Rel8(t, Last(task), "to", linked.Addr())...)
	dead := []ibgib.IbGib{m.Stone(t, "dead", "1"), m.Stone(t, "dead", "2")}
	dead = append(dead, linking(t, "dead", dead...), linking(t, "waits", linking(t, "absent"), dead[0]))
	shared := m.Stone(t, "shared", "x")
	Put(t, s, task...)
	Put(t, s, append(dead[:len(dead):len(dead)], shared)...)
	if _, _, err := s.Apply(ctx, 7, blockstore.Origin{}, append(m.Timeline(t, "saga"), shared)); err != nil {
		t.Fatal(err)
	}

	young, err := s.GC(ctx, blockstore.GCOptions{}, nil)
	if err != nil || young.Removed != 0 {
		t.Errorf("removed %d although all is young, %v", young.Removed, err)
	}
	dry, err := s.GC(ctx, blockstore.GCOptions{Age: -1, DryRun: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := members(t, s, blockstore.DefaultShare)
	heads := Heads(t, s)
	fp, _ := s.View(blockstore.DefaultShare).Fingerprint(ctx)
	calls := 0
	report, err := s.GC(ctx, noAge, func(int) { calls++ })
	if err != nil {
		t.Fatal(err)
	}
	if dry != report || report.Removed != len(dead)+2 || report.Freed != len(dead)+1 || report.Bytes == 0 {
		t.Errorf("report %+v, dry %+v; want %d removed and %d freed", report, dry, len(dead)+2, len(dead)+1)
	}
	after := members(t, s, blockstore.DefaultShare)
	for _, g := range append(dead, shared) {
		if after[g.Addr().String()] {
			t.Errorf("%s is still a member", g.Addr())
		}
	}
	if len(after) != len(before)-len(dead)-1 {
		t.Errorf("%d members left of %d", len(after), len(before))
	}
	for _, err := range s.View(blockstore.DefaultShare).Incomplete(ctx) {
		t.Errorf("something still waits (%v)", err)
	}
	now, _ := s.View(blockstore.DefaultShare).Fingerprint(ctx)
	if now != fp || len(Heads(t, s)) != len(heads) {
		t.Error("the heads have changed")
	}
	Clean(t, s)
	if again := collect(t, s); again.Removed != 0 {
		t.Errorf("a second run removes %d", again.Removed)
	}
	Put(t, s, append(dead, shared)...) // comes back as if it had never been there
	Clean(t, s)
}

// testGCStages leaves alone what open stages have brought or touched.
func testGCStages(t *testing.T, s *blockstore.Store) {
	m := NewMaker(21)
	all := m.Timeline(t, "task")
	base := m.Stone(t, "base", "x")
	touched, present := linking(t, "touched", base), m.Stone(t, "present", "x")
	Put(t, s, touched, present, base)
	st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(ctx, append(all[:len(all):len(all)], present)); err != nil {
		t.Fatal(err)
	}
	if err := st.Touch(ctx, []ibgib.Hash{touched.Hash()}); err != nil {
		t.Fatal(err)
	}
	if report := collect(t, s); report.Removed != 0 {
		t.Errorf("%d members of an open stage removed", report.Removed)
	}
	if err := st.Discard(); err != nil {
		t.Fatal(err)
	}
	if report := collect(t, s); report.Removed != len(all)+3 || report.Kept != 0 {
		t.Errorf("%+v after the stage was discarded, want %d removed", report, len(all)+3)
	}

	// A frame that closes in a stage other than the one that brought it.
	Put(t, s, all[1:]...)
	st, err = s.NewStage(blockstore.DefaultShare, blockstore.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(ctx, all[:1]); err != nil {
		t.Fatal(err)
	}
	collect(t, s)
	if res, err := st.Commit(ctx); err != nil || res.Moved != 1 {
		t.Errorf("%d heads moved, %v; want 1", res.Moved, err)
	}
	Clean(t, s)
}

func testHold(t *testing.T, s *blockstore.Store) {
	stone := linking(t, "stone")
	held := linking(t, "held", stone)
	Put(t, s, stone, held)
	release := s.Hold(blockstore.DefaultShare, []ibgib.Addr{held.Addr()})
	if report := collect(t, s); report.Removed != 0 {
		t.Errorf("%d held members removed", report.Removed)
	}
	release()
	release()
	if report := collect(t, s); report.Removed != 2 {
		t.Errorf("%d members removed after the release, want 2", report.Removed)
	}
}

// testHoldHeads keeps what is unpinned while heads are held, and lets it be known
// as a head.
func testHoldHeads(t *testing.T, s *blockstore.Store) {
	v := s.View(blockstore.DefaultShare)
	below, before, asked := linking(t, "below"), linking(t, "unpinned before"), linking(t, "asked")
	stone := linking(t, "stone", below)
	Put(t, s, below, before, stone, asked)
	for _, g := range []ibgib.IbGib{stone, before} {
		if err := s.SetPin(ctx, blockstore.DefaultShare, g.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	unpin := func(g ibgib.IbGib) {
		t.Helper()
		if err := s.RemovePin(ctx, blockstore.DefaultShare, g.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	known := func(g ibgib.IbGib) bool {
		t.Helper()
		f, ok, err := v.Frame(ctx, g.Hash())
		if err != nil || ok && (f.Addr != g.Addr() || f.Tjp != g.Addr()) {
			t.Errorf("frame %+v, %v", f, err)
		}
		return ok
	}
	unpin(before)
	releases := []func(){s.HoldHeads(blockstore.DefaultShare), s.HoldHeads(blockstore.LocalArea), s.HoldHeads(blockstore.DefaultShare)}
	unpin(stone)
	if closed, err := v.HasClosed(ctx, []ibgib.Hash{asked.Hash()}); err != nil || !closed[0] {
		t.Fatalf("closed %v, %v", closed, err)
	}
	if report := collect(t, s); report.Removed != 1 || !known(stone) || known(before) || known(below) {
		t.Errorf("%d removed, known %t, %t and %t; want 1, true, false and false", report.Removed, known(stone), known(before), known(below))
	}
	releases[0]()
	if report := collect(t, s); report.Removed != 0 || !known(stone) {
		t.Errorf("%d removed although it is held", report.Removed)
	}
	releases[2]()
	releases[1]()
	if report := collect(t, s); report.Removed != 3 || known(stone) {
		t.Errorf("%d removed after the release, want 3", report.Removed)
	}
}

func testGCRejected(t *testing.T, s *blockstore.Store) {
	m := NewMaker(22)
	all := m.Timeline(t, "task")
	Put(t, s, all...)
	last := Last(all)
	gap, err := ibgib.New(last.Ib(), last.Data().With("n", ibgib.Number(7)), last.Rel8ns().With("past", []ibgib.Addr{last.Addr()}).With("tjp", tjpList(t, last)))
	if err != nil {
		t.Fatal(err)
	}
	Put(t, s, gap)
	if report := collect(t, s); report.Removed != 0 {
		t.Errorf("%d removed, want none", report.Removed)
	}
	report, err := s.GC(ctx, blockstore.GCOptions{Age: -1, DropRejected: true}, nil)
	if err != nil || report.Removed != 1 {
		t.Errorf("%d removed, %v; want the rejected frame", report.Removed, err)
	}
	for j, err := range s.View(blockstore.DefaultShare).Rejected(ctx) {
		t.Errorf("%v is still listed (%v)", j, err)
	}
	Clean(t, s)
}

// testGCModel compares with a plain walk, for random graphs with random pins.
func testGCModel(t *testing.T, open Opener) {
	for seed := range int64(10) {
		rnd := rand.New(rand.NewSource(seed))
		s := open(t)
		var all []ibgib.IbGib
		for i := range 600 {
			var to []ibgib.IbGib
			for range rnd.Intn(3) {
				if i > 0 {
					to = append(to, all[rnd.Intn(i)])
				}
			}
			all = append(all, linking(t, fmt.Sprint("node ", i), to...))
		}
		lost := rnd.Intn(len(all)) // never arrives, so those above it are not closed
		Put(t, s, slices.Delete(slices.Clone(all), lost, lost+1)...)
		var roots []ibgib.Addr
		for range 5 {
			g := all[rnd.Intn(len(all))]
			err := s.SetPin(ctx, blockstore.DefaultShare, g.Addr())
			if err == nil {
				roots = append(roots, g.Addr())
			} else if !errors.Is(err, blockstore.ErrIncomplete) && !errors.Is(err, blockstore.ErrNotFound) {
				t.Fatal(err)
			}
		}
		byAddr := make(map[ibgib.Addr]ibgib.IbGib)
		for _, g := range all {
			byAddr[g.Addr()] = g
		}
		want, _, err := timeline.Closure(roots, func(a ibgib.Addr) (ibgib.IbGib, error) { return byAddr[a], nil }, timeline.ClosureOptions{})
		if err != nil {
			t.Fatal(err)
		}
		report := collect(t, s)
		left := members(t, s, blockstore.DefaultShare)
		if len(left) != len(want) || report.Kept != len(want) || report.Removed != len(all)-1-len(want) {
			t.Errorf("seed %d: %d left, report %+v, want %d left", seed, len(left), report, len(want))
		}
		for _, a := range want {
			if !left[a.String()] {
				t.Errorf("seed %d: %s is gone", seed, a)
			}
		}
	}
}

// testGCBesideWriters runs GC again and again while stages build upon what it
// is about to remove: whatever is committed stays whole.
func testGCBesideWriters(t *testing.T, s *blockstore.Store) {
	stop := make(chan struct{})
	var collector, writers sync.WaitGroup
	collector.Go(func() {
		for {
			if _, err := s.GC(ctx, noAge, nil); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for i := range 4 {
		writers.Go(func() {
			m := NewMaker(int64(100 + i))
			rnd := rand.New(rand.NewSource(int64(i)))
			var loose []ibgib.IbGib
			for n := range 40 {
				for k := range 5 { // in reach of nothing
					loose = append(loose, linking(t, fmt.Sprintf("loose %d %d %d", i, n, k), loose[max(0, len(loose)-2):]...))
				}
				st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{})
				if err != nil {
					t.Error(err)
					return
				}
				_, err = st.Put(ctx, loose[len(loose)-5:])
				if err == nil {
					_, err = st.Commit(ctx)
				}
				if err != nil {
					t.Error(err)
					return
				}
				all := m.Timeline(t, fmt.Sprintf("task %d %d", i, n))
				all = append(all, m.Rel8(t, Last(all), "to", loose[rnd.Intn(len(loose))].Addr())...)
				st, err = s.NewStage(blockstore.DefaultShare, blockstore.Origin{})
				if err != nil {
					t.Error(err)
					return
				}
				for _, gs := range [][]ibgib.IbGib{loose, all} {
					if _, err := st.Put(ctx, gs); err != nil {
						t.Error(err)
						return
					}
				}
				res, err := st.Commit(ctx)
				if err != nil || res.Moved != 1 {
					t.Errorf("%d heads moved, %v", res.Moved, err)
					return
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	collector.Wait()
	collect(t, s)
	if n := len(Heads(t, s)); n != 4*40 {
		t.Errorf("%d timelines, want %d", n, 4*40)
	}
}

// testPins makes a stone an entry, keeps it, and lets it go again.
func testPins(t *testing.T, s *blockstore.Store) {
	m := NewMaker(23)
	v := s.View(blockstore.DefaultShare)
	all := m.Timeline(t, "task")
	below := m.Stone(t, "below", "x")
	stone, loose := linking(t, "stone", below), linking(t, "loose", linking(t, "absent"))
	Put(t, s, append(all[:len(all):len(all)], stone, below, loose)...)
	before, _ := v.Fingerprint(ctx)
	for a, want := range map[ibgib.Addr]error{
		loose.Addr():                  blockstore.ErrIncomplete,
		linking(t, "absent").Addr():   blockstore.ErrNotFound,
		mustAddr(t, "primitive^gib"):  blockstore.ErrNotFound,
		mustAddr(t, "x^"+stone.Gib()): blockstore.ErrNotFound,
		mustAddr(t, "y^"+absentHash):  blockstore.ErrNotFound,
		mustAddr(t, "x^"+below.Gib()): blockstore.ErrNotFound,
	} {
		if err := s.SetPin(ctx, blockstore.DefaultShare, a); !errors.Is(err, want) {
			t.Errorf("pin %s: %v, want %v", a, err, want)
		}
		if err := s.RemovePin(ctx, blockstore.DefaultShare, a); !errors.Is(err, blockstore.ErrNotFound) {
			t.Errorf("remove pin %s: %v", a, err)
		}
	}
	if err := s.SetPin(ctx, 7, stone.Addr()); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("pin in a share that has not got it: %v", err)
	}
	for range 2 {
		for _, g := range []ibgib.IbGib{stone, Last(all)} {
			if err := s.SetPin(ctx, blockstore.DefaultShare, g.Addr()); err != nil {
				t.Fatal(err)
			}
		}
	}
	e, ok, err := v.Entry(ctx, stone.Hash())
	if err != nil || !ok || !e.Stone || e.Root != stone.Addr() || len(e.Heads) != 1 || e.Heads[0] != stone.Addr() || e.Latest != stone.Addr() || e.Seq != 2 {
		t.Errorf("entry %+v, %t, %v", e, ok, err)
	}
	f, ok, err := v.Frame(ctx, stone.Hash())
	if err != nil || !ok || !f.IsUser() || f.Addr != stone.Addr() || f.Tjp != stone.Addr() {
		t.Errorf("frame %+v, %t, %v", f, ok, err)
	}
	if _, ok, _ := v.Frame(ctx, below.Hash()); ok {
		t.Error("a stone that is not pinned is a frame")
	}
	with, _ := v.Fingerprint(ctx)
	if with.Count() != 2 {
		t.Errorf("%d entries, want 2", with.Count())
	}
	if _, _, err := s.Change(ctx, blockstore.DefaultShare, stone.Hash(), nil, nil); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("change of a stone: %v", err)
	}
	if report := Clean(t, s); report.Timelines != 1 {
		t.Errorf("%d timelines, want 1", report.Timelines)
	}
	var pins []ibgib.Addr
	for a, err := range v.Pins(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		pins = append(pins, a)
	}
	if len(pins) != 2 || !slices.Contains(pins, stone.Addr()) || !slices.Contains(pins, Last(all).Addr()) {
		t.Errorf("pins %v", pins)
	}
	if report := collect(t, s); report.Removed != 1 { // loose
		t.Errorf("%d removed, want 1", report.Removed)
	}
	for _, g := range []ibgib.IbGib{stone, Last(all)} {
		if err := s.RemovePin(ctx, blockstore.DefaultShare, g.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	if fp, _ := v.Fingerprint(ctx); fp != before {
		t.Error("the fingerprint differs from before the pin")
	}
	Clean(t, s)
	if report := collect(t, s); report.Removed != 2 {
		t.Errorf("%d removed after the pin, want 2", report.Removed)
	}
}

// testStagedPins pins more stones in a stage than one transaction takes.
func testStagedPins(t *testing.T, s *blockstore.Store) {
	const count = 700
	st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	var gs []ibgib.IbGib
	var hashes []ibgib.Hash
	for i := range count {
		g := linking(t, fmt.Sprint("stone ", i))
		gs, hashes = append(gs, g), append(hashes, g.Hash())
	}
	if err := st.Pin(ctx, append(hashes, ibgib.Hash{1})); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(ctx, gs); err != nil {
		t.Fatal(err)
	}
	if res, err := st.Commit(ctx); err != nil || res.Moved != count {
		t.Errorf("%d entries, %v; want %d", res.Moved, err, count)
	}
	Clean(t, s)
	if report := collect(t, s); report.Kept != count {
		t.Errorf("%d kept, want %d", report.Kept, count)
	}
}

// testGCKeepsOwn keeps a stone that nothing links to if it was put here, and
// not if a peer sent it.
func testGCKeepsOwn(t *testing.T, s *blockstore.Store) {
	m := NewMaker(77)
	own, sent, both := m.Stone(t, "own", "x"), m.Stone(t, "sent", "y"), m.Stone(t, "both", "z")
	for _, from := range []struct {
		peer string
		gs   []ibgib.IbGib
	}{{"", []ibgib.IbGib{own}}, {"a peer", []ibgib.IbGib{sent, both}}, {"", []ibgib.IbGib{both}}} {
		if _, _, err := s.Apply(ctx, blockstore.DefaultShare, blockstore.Origin{Peer: from.peer}, from.gs); err != nil {
			t.Fatal(err)
		}
	}
	report, err := s.GC(ctx, blockstore.GCOptions{Age: -1, KeepOwn: true}, nil)
	if err != nil || report.Removed != 1 {
		t.Errorf("%d removed, %v; want 1", report.Removed, err)
	}
	for _, g := range []ibgib.IbGib{own, both} {
		if _, err := s.Get(ctx, g.Addr()); err != nil {
			t.Errorf("what was put here is gone: %v", err)
		}
	}
	if _, err := s.Get(ctx, sent.Addr()); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("what a peer sent and nothing needs is still there: %v", err)
	}
	Clean(t, s)
}
