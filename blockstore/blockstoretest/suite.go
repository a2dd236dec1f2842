// Package blockstoretest is the conformance suite of the block store: what
// every store must do, whatever engine is under it. It also makes ibGibs for
// tests.
package blockstoretest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// An Opener opens a new, empty store and closes it when the test ends.
type Opener func(t *testing.T) *blockstore.Store

// Run runs the suite. vectors is the folder with spaces/ and merge.json.
func Run(t *testing.T, vectors string, open Opener) {
	t.Run("spaces", func(t *testing.T) { testSpaces(t, vectors, open) })
	t.Run("merge heads", func(t *testing.T) { testMergeHeads(t, vectors, open) })
	t.Run("closing", func(t *testing.T) { testClosing(t, open(t)) })
	t.Run("many links", func(t *testing.T) { testManyLinks(t, open(t)) })
	t.Run("reader", func(t *testing.T) { testReader(t, open(t)) })
	t.Run("alias", func(t *testing.T) { testAlias(t, open) })
	t.Run("stage", func(t *testing.T) { testStage(t, open(t)) })
	t.Run("shares", func(t *testing.T) { testShares(t, open(t)) })
	t.Run("named shares", func(t *testing.T) { testNamedShares(t, open(t)) })
	t.Run("forget", func(t *testing.T) { testForget(t, open(t)) })
	t.Run("change", func(t *testing.T) { testChange(t, open(t)) })
	t.Run("changes", func(t *testing.T) { testChanges(t, open(t)) })
	t.Run("watch", func(t *testing.T) { testWatch(t, open(t)) })
	t.Run("large commit", func(t *testing.T) { testLargeCommit(t, open(t)) })
	t.Run("rejected", func(t *testing.T) { testRejected(t, open(t)) })
	t.Run("prune local", func(t *testing.T) { testPruneLocal(t, open(t)) })
	t.Run("pins", func(t *testing.T) { testPins(t, open(t)) })
	t.Run("staged pins", func(t *testing.T) { testStagedPins(t, open(t)) })
	t.Run("pinned latest", func(t *testing.T) { testPinLatest(t, open(t)) })
	t.Run("pinned latest in a large commit", func(t *testing.T) { testPinLatestLarge(t, open(t)) })
	t.Run("gc keeps own", func(t *testing.T) { testGCKeepsOwn(t, open(t)) })
	t.Run("gc", func(t *testing.T) { testGC(t, open(t)) })
	t.Run("gc and stages", func(t *testing.T) { testGCStages(t, open(t)) })
	t.Run("gc and rejected", func(t *testing.T) { testGCRejected(t, open(t)) })
	t.Run("gc of graphs", func(t *testing.T) { testGCModel(t, open) })
	t.Run("gc beside writers", func(t *testing.T) { testGCBesideWriters(t, open(t)) })
	t.Run("hold", func(t *testing.T) { testHold(t, open(t)) })
	t.Run("hold heads", func(t *testing.T) { testHoldHeads(t, open(t)) })
	t.Run("repair", func(t *testing.T) { testRepair(t, open(t)) })
	t.Run("backup", func(t *testing.T) { testBackup(t, open(t)) })
	t.Run("backup beside writers", func(t *testing.T) { testBackupBesideWriters(t, open(t)) })
	t.Run("damaged backup", func(t *testing.T) { testDamagedBackup(t, open(t)) })
	t.Run("closed store", func(t *testing.T) { testClosedStore(t, open(t)) })
}

var ctx = context.Background()

// Clean fails the test if the store does not verify.
func Clean(t testing.TB, s *blockstore.Store) blockstore.VerifyReport {
	t.Helper()
	report, err := s.Verify(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Errorf("verify: %s %s: %s", p.Kind, p.Item, p.Detail)
	}
	return report
}

// Put puts the ibGibs into the default share, and fails the test if one is
// refused.
func Put(t testing.TB, s *blockstore.Store, gs ...ibgib.IbGib) blockstore.CommitResult {
	t.Helper()
	st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	for chunk := range slices.Chunk(gs, 500) {
		res, err := st.Put(ctx, chunk)
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Refused) > 0 {
			t.Fatal(res.Refused[0])
		}
	}
	res, err := st.Commit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Heads returns the heads of each timeline in the default share, by tjp.
func Heads(t testing.TB, s *blockstore.Store) map[string][]string {
	t.Helper()
	heads := make(map[string][]string)
	for e, err := range s.View(blockstore.DefaultShare).Entries(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range e.Heads {
			heads[e.Root.String()] = append(heads[e.Root.String()], h.String())
		}
	}
	return heads
}

// sameHeads compares heads with a map of single heads.
func sameHeads(t *testing.T, got map[string][]string, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d timelines, want %d", len(got), len(want))
	}
	for tjp, head := range want {
		if !slices.Equal(got[tjp], []string{head}) {
			t.Errorf("heads of %s are %v, want %s", tjp, got[tjp], head)
		}
	}
}

func testSpaces(t *testing.T, vectors string, open Opener) {
	var expected struct {
		ATips, BTips   map[string]string
		ACount, BCount int
	}
	readJSON(t, filepath.Join(vectors, "spaces", "expected.json"), &expected)
	for _, space := range []struct {
		file  string
		tips  map[string]string
		count int
	}{
		{"a.ndjson", expected.ATips, expected.ACount},
		{"b.ndjson", expected.BTips, expected.BCount},
	} {
		all := ReadNDJSON(t, filepath.Join(vectors, "spaces", space.file))
		orders := map[string]func(s *blockstore.Store){
			"one run":      func(s *blockstore.Store) { Put(t, s, all...) },
			"shuffled":     func(s *blockstore.Store) { Put(t, s, NewMaker(1).Shuffle(all)...) },
			"line by line": func(s *blockstore.Store) { eachAlone(t, s, all) },
			"shuffled line by line": func(s *blockstore.Store) {
				eachAlone(t, s, NewMaker(2).Shuffle(all))
			},
		}
		var fingerprints [][32]byte
		for name, put := range orders {
			t.Run(space.file+" "+name, func(t *testing.T) {
				s := open(t)
				put(s)
				sameHeads(t, Heads(t, s), space.tips)
				report := Clean(t, s)
				if report.IbGibs != space.count || report.Timelines != len(space.tips) {
					t.Errorf("verify counts %d ibGibs and %d timelines, want %d and %d", report.IbGibs, report.Timelines, space.count, len(space.tips))
				}
				fp, err := s.View(blockstore.DefaultShare).Fingerprint(ctx)
				if err != nil {
					t.Fatal(err)
				}
				fingerprints = append(fingerprints, fp.Sum())
			})
		}
		for _, fp := range fingerprints {
			if fp != fingerprints[0] {
				t.Errorf("%s: the order of arrival shows in the fingerprint", space.file)
			}
		}
	}
}

func eachAlone(t *testing.T, s *blockstore.Store, all []ibgib.IbGib) {
	t.Helper()
	for _, g := range all {
		Put(t, s, g)
	}
}

func testMergeHeads(t *testing.T, vectors string, open Opener) {
	var file struct {
		Cases []struct {
			Name   string
			IbGibs []json.RawMessage
			Heads  []string
		}
	}
	readJSON(t, filepath.Join(vectors, "merge.json"), &file)
	if len(file.Cases) == 0 {
		t.Fatal("no cases")
	}
	for i, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			var all []ibgib.IbGib
			for _, raw := range c.IbGibs {
				g, err := ibgib.Import(raw)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, g)
			}
			s := open(t)
			Put(t, s, NewMaker(int64(i)).Shuffle(all)...)
			slices.Sort(c.Heads)
			for tjp, heads := range Heads(t, s) {
				slices.Sort(heads)
				if !slices.Equal(heads, c.Heads) {
					t.Errorf("heads of %s are %v, want %v", tjp, heads, c.Heads)
				}
			}
			Clean(t, s)
		})
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// testStage checks that heads move only in Commit, and that what a discarded
// stage brought counts for a later one.
func testStage(t *testing.T, s *blockstore.Store) {
	m := NewMaker(5)
	all := m.Timeline(t, "task")
	first := Last(all)
	Put(t, s, all...)
	more := m.Mut8(t, first, "v", "1")
	st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{Peer: "a peer"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(ctx, more); err != nil {
		t.Fatal(err)
	}
	tjp, _ := timeline.Claims(first)
	expect := func(what string, want ibgib.IbGib) {
		t.Helper()
		if got := Heads(t, s)[tjp.String()]; !slices.Equal(got, []string{want.Addr().String()}) {
			t.Errorf("%s: heads %v, want %s", what, got, want.Addr())
		}
		Clean(t, s)
	}
	expect("before commit", first)
	if err := st.Discard(); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(ctx, more); err == nil {
		t.Error("a discarded stage takes more")
	}
	expect("after discard", first)

	// A rival stage does not move what arrived in the other one.
	other := m.Timeline(t, "other")
	Put(t, s, other...)
	expect("after an unrelated commit", first)

	st, err = s.NewStage(blockstore.DefaultShare, blockstore.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Touch(ctx, []ibgib.Hash{Last(more).Hash()}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := st.Discard(); err != nil {
		t.Errorf("discard after commit: %v", err)
	}
	expect("after touch and commit", Last(more))
}

// testChange checks that concurrent changes of one timeline follow each other.
func testChange(t *testing.T, s *blockstore.Store) {
	m := NewMaker(7)
	all := m.Timeline(t, "task")
	Put(t, s, all...)
	tjp, _ := timeline.Claims(Last(all))
	root, _ := tjp.Hash()
	var wg sync.WaitGroup
	for i := range 16 {
		maker := NewMaker(int64(100 + i))
		wg.Go(func() {
			_, _, err := s.Change(ctx, blockstore.DefaultShare, root, nil, func(latest ibgib.IbGib) ([]ibgib.IbGib, error) {
				return maker.Mut8(t, latest, "v", fmt.Sprint(i)), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	e, ok, err := s.View(blockstore.DefaultShare).Entry(ctx, root)
	if err != nil || !ok || len(e.Heads) != 1 || e.N != 16 {
		t.Errorf("entry %+v, %t, %v; want one head with n 16", e, ok, err)
	}
	if _, _, err := s.Change(ctx, blockstore.DefaultShare, ibgib.Hash{1}, nil, nil); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("change of an unknown timeline: %v", err)
	}
	Clean(t, s)
}

// testLargeCommit commits more entries than one transaction takes, while
// readers look: they see all or nothing.
func testLargeCommit(t *testing.T, s *blockstore.Store) {
	const timelines = 5000
	m := NewMaker(8)
	begin := place(t, s)
	st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	var batch []ibgib.IbGib
	for i := range timelines {
		batch = append(batch, m.Timeline(t, fmt.Sprintf("task %d", i))...)
	}
	if _, err := st.Put(ctx, batch); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if n := len(Heads(t, s)); n != 0 && n != timelines {
				t.Errorf("a reader saw %d of %d timelines", n, timelines)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	res, err := st.Commit(ctx)
	close(stop)
	wg.Wait()
	if err != nil || res.Moved != timelines {
		t.Fatalf("%d entries moved, %v; want %d", res.Moved, err, timelines)
	}
	if n := len(changesSince(t, s, begin)); n != timelines {
		t.Errorf("%d changes, want %d", n, timelines)
	}
	if report := Clean(t, s); report.Timelines != timelines {
		t.Errorf("%d timelines, want %d", report.Timelines, timelines)
	}
}

// testRejected keeps a keystone and a frame with a gap in n out of the index.
func testRejected(t *testing.T, s *blockstore.Store) {
	m := NewMaker(9)
	all := m.Timeline(t, "task")
	all = append(all, m.Mut8(t, Last(all), "v", "1")...)
	Put(t, s, all...)
	last := Last(all)
	gap, err := ibgib.New(last.Ib(), last.Data().With("n", ibgib.Number(7)), last.Rel8ns().With("past", []ibgib.Addr{last.Addr()}).With("tjp", tjpList(t, last)))
	if err != nil {
		t.Fatal(err)
	}
	keystone, err := ibgib.New("keystone",
		ibgib.Object(ibgib.Member{Name: "isTjp", Value: ibgib.Bool(true)}, ibgib.Member{Name: "n", Value: ibgib.Number(0)}),
		ibgib.Rel8ns{{Name: "ancestor", Addrs: []ibgib.Addr{mustAddr(t, "keystone^gib")}}})
	if err != nil {
		t.Fatal(err)
	}
	res := Put(t, s, gap, keystone)
	rules := []string{}
	for _, j := range res.Rejected {
		rules = append(rules, j.Rule)
	}
	if !slices.Equal(rules, []string{timeline.RuleNotConsecutive, timeline.RuleKeystone}) {
		t.Errorf("rejected by %v", rules)
	}
	if res.Moved != 0 {
		t.Errorf("%d entries moved, want none", res.Moved)
	}
	if _, err := s.Get(ctx, gap.Addr()); err != nil {
		t.Errorf("a frame that is kept out is not stored: %v", err)
	}
	listed := 0
	for _, err := range s.View(blockstore.DefaultShare).Rejected(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		listed++
	}
	if listed != 2 {
		t.Errorf("%d frames listed as kept out, want 2", listed)
	}
	Clean(t, s)
}

func tjpList(t *testing.T, g ibgib.IbGib) []ibgib.Addr {
	t.Helper()
	tjp, ok := timeline.Claims(g)
	if !ok {
		t.Fatal("no frame")
	}
	return []ibgib.Addr{tjp}
}

// testPruneLocal keeps the newest timelines of the local area, and what another
// share has too.
func testPruneLocal(t *testing.T, s *blockstore.Store) {
	m := NewMaker(10)
	var made [][]ibgib.IbGib
	for i := range 5 {
		all := m.Timeline(t, fmt.Sprint("saga ", i))
		made = append(made, all)
		if _, _, err := s.Apply(ctx, blockstore.LocalArea, blockstore.Origin{}, all); err != nil {
			t.Fatal(err)
		}
	}
	Put(t, s, made[1]...)
	n, err := s.PruneLocal(ctx, 2)
	if err != nil || n != 3 {
		t.Fatalf("%d removed, %v; want 3", n, err)
	}
	for i, all := range made {
		_, err := s.Get(ctx, Last(all).Addr())
		if kept := err == nil; kept != (i == 1 || i > 2) {
			t.Errorf("timeline %d: %v", i, err)
		}
	}
	Clean(t, s)
	tjp, _ := timeline.Claims(Last(made[4]))
	root, _ := tjp.Hash()
	if err := s.DropLocal(ctx, root, ibgib.Hash{1}); err != nil {
		t.Fatal(err)
	}
	for i, gone := range map[int]bool{3: false, 4: true} {
		if _, err := s.Get(ctx, Last(made[i]).Addr()); errors.Is(err, blockstore.ErrNotFound) != gone {
			t.Errorf("timeline %d after one was dropped: %v", i, err)
		}
	}
	Clean(t, s)
}

func testClosedStore(t *testing.T, s *blockstore.Store) {
	st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{}); !errors.Is(err, blockstore.ErrClosed) {
		t.Errorf("new stage: %v", err)
	}
	if _, err := st.Put(ctx, nil); !errors.Is(err, blockstore.ErrClosed) {
		t.Errorf("put: %v", err)
	}
	if _, err := s.View(blockstore.DefaultShare).Empty(ctx); !errors.Is(err, blockstore.ErrClosed) {
		t.Errorf("empty: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

// testRepair finds nothing to do in a sound store, whatever is in it.
func testRepair(t *testing.T, s *blockstore.Store) {
	m := NewMaker(40)
	all := m.Timeline(t, "task")
	for i := range 20 {
		all = append(all, m.Mut8(t, Last(all), "v", fmt.Sprint(i))...)
	}
	Put(t, s, m.Shuffle(all)...)
	Put(t, s, m.Timeline(t, "waits")[1:]...)
	if _, _, err := s.Apply(ctx, blockstore.LocalArea, blockstore.Origin{}, all); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPin(ctx, blockstore.DefaultShare, all[0].Addr()); err != nil {
		t.Fatal(err)
	}
	heads := Heads(t, s)
	report, err := s.Repair(ctx, nil)
	if err != nil || report.Mended+len(report.Lost)+len(report.Moved) > 0 {
		t.Errorf("report %+v, %v", report, err)
	}
	if fmt.Sprint(heads) != fmt.Sprint(Heads(t, s)) {
		t.Error("the heads have changed")
	}
	Clean(t, s)
}
