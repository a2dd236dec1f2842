package blockstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// These tests reach under the store: they cut it off after each single write
// to its engine, and damage its records.

var errCut = errors.New("power cut")

// cutKV lets a number of writes pass and fails every later one.
type cutKV struct {
	kv
	left int
}

func (k *cutKV) write(b *batch) error {
	if k.left == 0 {
		return errCut
	}
	k.left--
	return k.kv.write(b)
}

// manyTimelines returns n timelines of one frame and its dna each, in a random
// order that also separates frames from what they link to.
func manyTimelines(t *testing.T, n int) []ibgib.IbGib {
	t.Helper()
	parent, err := ibgib.ParseAddr("task^gib")
	if err != nil {
		t.Fatal(err)
	}
	var all []ibgib.IbGib
	for i := range n {
		res, err := ibgib.Fork(parent, ibgib.ForkOptions{
			DestIb: fmt.Sprint("task ", i), Tjp: ibgib.TjpOptions{UUID: true}, NoTimestamp: true, NCounter: true, Dna: true,
		}, ibgib.Env{UUID: func() string { return fmt.Sprintf("%064x", i) }})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, res.All()...)
	}
	rand.New(rand.NewSource(1)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func putAll(s *Store, all []ibgib.IbGib) error {
	ctx := context.Background()
	st, err := s.NewStage(DefaultShare, Origin{Peer: "peer"})
	if err != nil {
		return err
	}
	for len(all) > 0 {
		n := min(1000, len(all))
		if _, err := st.Put(ctx, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	_, err = st.Commit(ctx)
	return err
}

func countHeads(t *testing.T, s *Store) int {
	t.Helper()
	n := 0
	for _, err := range s.View(DefaultShare).Entries(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func verifyClean(t *testing.T, s *Store) {
	t.Helper()
	report, err := s.Verify(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Errorf("verify: %s %s: %s", p.Kind, p.Item, p.Detail)
	}
}

// TestCutAtEveryWrite cuts an import of many timelines off after every write,
// on both sides of the deciding one. The store opens, verifies, has all of the
// heads or none, and takes the import again.
func TestCutAtEveryWrite(t *testing.T) {
	const timelines = 1500
	all := manyTimelines(t, timelines)
	sawNone, sawAll := 0, 0
	for cut := 0; ; cut++ {
		engine := newMemoryKV()
		s, err := open(&cutKV{kv: engine, left: cut}, Options{})
		if err == nil {
			err = putAll(s, all)
		}
		if err != nil && !errors.Is(err, errCut) {
			t.Fatalf("cut after %d writes: %v", cut, err)
		}
		if errors.Is(err, ErrHalfApplied) {
			if _, err := s.View(DefaultShare).Empty(context.Background()); !errors.Is(err, ErrHalfApplied) {
				t.Errorf("a store with a half applied commit answers: %v", err)
			}
		}
		again, openErr := open(engine, Options{})
		if openErr != nil {
			t.Fatalf("open after a cut at %d writes: %v", cut, openErr)
		}
		verifyClean(t, again)
		switch n := countHeads(t, again); {
		case n == 0 && err != nil:
			sawNone++
		case n == timelines:
			sawAll++
		default:
			t.Fatalf("cut after %d writes: %d heads of %d, import said %v", cut, n, timelines, err)
		}
		if err := putAll(again, all); err != nil {
			t.Fatalf("again after a cut at %d writes: %v", cut, err)
		}
		if n := countHeads(t, again); n != timelines {
			t.Fatalf("again after a cut at %d writes: %d heads of %d", cut, n, timelines)
		}
		verifyClean(t, again)
		if err == nil {
			break
		}
	}
	if sawNone < 5 || sawAll < 3 {
		t.Errorf("%d cuts before the decision and %d after it: the test no longer cuts on both sides", sawNone, sawAll)
	}
}

// TestCutBesideOpenStages cuts off two large commits after every write. The stage of the
// second one is open, and older, while the first is swept. Nothing is left of what either
// has put aside when the store has been opened again, also after one more commit.
func TestCutBesideOpenStages(t *testing.T) {
	ctx := context.Background()
	const timelines = 600
	all := manyTimelines(t, timelines)
	checkAside := func(cut int, kv kv) {
		t.Helper()
		snap := kv.snapshot()
		defer snap.release()
		for _, prefix := range []byte{prefixDecided, prefixStaged, prefixDecision} {
			if err := snap.scanKeys([]byte{prefix}, nil, func(key []byte) (bool, error) {
				t.Errorf("cut after %d writes: %q is left", cut, key)
				return false, nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	commits := func(s *Store) error {
		var stages []*Stage
		for part := range slices.Chunk(all, len(all)/2) {
			st, err := s.NewStage(DefaultShare, Origin{})
			if err == nil {
				_, err = st.Put(ctx, part)
			}
			if err != nil {
				return err
			}
			stages = append(stages, st)
		}
		for _, st := range slices.Backward(stages) {
			if _, err := st.Commit(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	for cut := 0; ; cut++ {
		engine := newMemoryKV()
		s, err := open(&cutKV{kv: engine, left: cut}, Options{})
		if err == nil {
			err = commits(s)
		}
		if err != nil && !errors.Is(err, errCut) {
			t.Fatalf("cut after %d writes: %v", cut, err)
		}
		for range 2 {
			again, openErr := open(engine, Options{})
			if openErr != nil {
				t.Fatalf("open after a cut at %d writes: %v", cut, openErr)
			}
			checkAside(cut, engine)
			verifyClean(t, again)
			if err := putAll(again, all); err != nil {
				t.Fatalf("again after a cut at %d writes: %v", cut, err)
			}
			checkAside(cut, engine)
			if n := countHeads(t, again); n != timelines {
				t.Fatalf("again after a cut at %d writes: %d heads of %d", cut, n, timelines)
			}
		}
		if err == nil {
			break
		}
	}
}

// unsureKV makes one write and tells that it has failed.
type unsureKV struct {
	kv
	left int // writes before that one
}

func (k *unsureKV) write(b *batch) error {
	k.left--
	if err := k.kv.write(b); err != nil || k.left != -1 {
		return err
	}
	return errCut
}

// TestUnsureWrites lets each write of a large commit fail though it was made. Whoever
// began the stage discards it then, and in a second run goes on with another commit. The
// store opens with all of the heads or none of each.
func TestUnsureWrites(t *testing.T) {
	const timelines = 600
	all, more := manyTimelines(t, timelines), manyTimelines(t, timelines+300)
	for _, goesOn := range []bool{false, true} {
		for unsure, sure := 0, false; !sure; unsure++ {
			engine := newMemoryKV()
			s, err := open(&unsureKV{kv: engine, left: unsure}, Options{})
			if err != nil {
				continue
			}
			st, err := s.NewStage(DefaultShare, Origin{})
			if err == nil {
				_, err = st.Put(t.Context(), all)
			}
			if err == nil {
				_, err = st.Commit(t.Context())
			}
			sure = err == nil
			if !sure && !errors.Is(err, errCut) {
				t.Fatalf("write %d: %v", unsure, err)
			}
			if failed := st.Discard(); failed != nil && !errors.Is(failed, ErrHalfApplied) {
				t.Errorf("write %d: discard: %v", unsure, failed)
			}
			atLeast := 0
			if sure {
				atLeast = timelines
			}
			if goesOn {
				if err = putAll(s, more); err == nil {
					atLeast = timelines + 300
				} else if !errors.Is(err, ErrHalfApplied) && !errors.Is(err, errCut) {
					t.Fatalf("write %d: another commit: %v", unsure, err)
				}
			}
			again, openErr := open(engine, Options{})
			if openErr != nil {
				t.Fatalf("open after write %d was unsure: %v", unsure, openErr)
			}
			verifyClean(t, again)
			if n := countHeads(t, again); n < atLeast || n != 0 && n != timelines && n != timelines+300 {
				t.Errorf("write %d, goes on: %t: %d heads, want %d at least", unsure, goesOn, n, atLeast)
			}
		}
	}
}

// TestCutWhileClosing cuts the cascade that one block sets off.
func TestCutWhileClosing(t *testing.T) {
	const referrers = 9000
	stone, err := ibgib.New("stone", ibgib.String("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []ibgib.IbGib
	for i := range referrers {
		g, err := ibgib.New(fmt.Sprint("referrer ", i), ibgib.Value{}, ibgib.Rel8ns{{Name: "to", Addrs: []ibgib.Addr{stone.Addr()}}})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
	all = append(all, stone)
	for cut := 0; ; cut++ {
		engine := newMemoryKV()
		s, err := open(&cutKV{kv: engine, left: cut}, Options{})
		if err == nil {
			err = putAll(s, all)
		}
		again, openErr := open(engine, Options{})
		if openErr != nil {
			t.Fatalf("open after a cut at %d writes: %v", cut, openErr)
		}
		verifyClean(t, again)
		if err == nil {
			break
		}
	}
}

// TestCutWhileWaiting cuts the Put of an ibGib that waits for more than one
// batch takes, and lets what it waits for arrive before it comes again.
func TestCutWhileWaiting(t *testing.T) {
	var targets []ibgib.Addr
	var stones []ibgib.IbGib
	for i := range 14_000 {
		g, err := ibgib.New(fmt.Sprint("stone ", i), ibgib.Value{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		stones = append(stones, g)
		targets = append(targets, g.Addr())
	}
	big, err := ibgib.New("big", ibgib.Value{}, ibgib.Rel8ns{{Name: "to", Addrs: targets}})
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; ; cut++ {
		engine := newMemoryKV()
		s, err := open(&cutKV{kv: engine, left: cut}, Options{})
		if err == nil {
			err = putAll(s, []ibgib.IbGib{big})
		}
		again, openErr := open(engine, Options{})
		if openErr != nil {
			t.Fatalf("open after a cut at %d writes: %v", cut, openErr)
		}
		verifyClean(t, again)
		for _, gs := range [][]ibgib.IbGib{stones[:100], {big}, stones} {
			if err := putAll(again, gs); err != nil {
				t.Fatalf("after a cut at %d writes: %v", cut, err)
			}
		}
		has, hasErr := again.View(DefaultShare).HasClosed(context.Background(), []ibgib.Hash{big.Hash()})
		if hasErr != nil || !has[0] {
			t.Errorf("after a cut at %d writes: the ibGib is not closed (%v)", cut, hasErr)
		}
		verifyClean(t, again)
		if err == nil {
			break
		}
	}
}

// TestCutAfterOthersClose cuts a stage that closes the frames of one that has
// been committed. When they come again, they move the heads all the same.
func TestCutAfterOthersClose(t *testing.T) {
	const timelines = 300
	var frames, rest []ibgib.IbGib
	for _, g := range manyTimelines(t, timelines) {
		if _, ok := timeline.Claims(g); ok {
			frames = append(frames, g)
		} else {
			rest = append(rest, g)
		}
	}
	for cut := 0; ; cut++ {
		engine := newMemoryKV()
		s, err := open(engine, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := putAll(s, frames); err != nil {
			t.Fatal(err)
		}
		s.kv = &cutKV{kv: engine, left: cut}
		err = putAll(s, rest)
		again, openErr := open(engine, Options{})
		if openErr != nil {
			t.Fatalf("open after a cut at %d writes: %v", cut, openErr)
		}
		verifyClean(t, again)
		for _, gs := range [][]ibgib.IbGib{rest, frames} {
			if err := putAll(again, gs); err != nil {
				t.Fatal(err)
			}
		}
		if n := countHeads(t, again); n != timelines {
			t.Errorf("after a cut at %d writes: %d heads of %d", cut, n, timelines)
		}
		verifyClean(t, again)
		if err == nil {
			break
		}
	}
}

// TestRebuild lets the store believe that other rules wrote its index.
func TestRebuild(t *testing.T) {
	engine := newMemoryKV()
	s, err := open(engine, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := putAll(s, manyTimelines(t, 300)); err != nil {
		t.Fatal(err)
	}
	stone := link(t, "stone")
	if err := putAll(s, []ibgib.IbGib{stone}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPin(context.Background(), DefaultShare, stone.Addr()); err != nil {
		t.Fatal(err)
	}
	before, _ := s.View(DefaultShare).Fingerprint(context.Background())
	b := newBatch()
	b.put(keyRules, []byte{timeline.RulesVersion + 1})
	// Damage that only a rebuild mends: an entry and a frame are gone.
	var entry []byte
	snap := engine.snapshot()
	snap.scanKeys(sharePrefix(prefixEntry, DefaultShare), nil, func(key []byte) (bool, error) {
		entry = append([]byte(nil), key...)
		return lastHash(key) == stone.Hash(), nil
	})
	h := lastHash(entry)
	m, _, err := memberOf(snap, DefaultShare, h)
	if err != nil {
		t.Fatal(err)
	}
	m.frame = nil
	b.remove(entry)
	b.remove(shareKey(prefixEntry, DefaultShare, stone.Hash()))
	b.put(shareKey(prefixMember, DefaultShare, h), encodeMember(m))
	if err := engine.write(b); err != nil {
		t.Fatal(err)
	}
	again, err := open(engine, Options{})
	if err != nil {
		t.Fatal(err)
	}
	after, _ := again.View(DefaultShare).Fingerprint(context.Background())
	if before != after {
		t.Error("the rebuilt index differs")
	}
	report, err := again.Verify(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		if p.Kind != "change-log" { // the entries that were cut away left their changes behind
			t.Errorf("verify: %s %s: %s", p.Kind, p.Item, p.Detail)
		}
	}
}
