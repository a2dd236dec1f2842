package blockstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// chain returns a timeline of so many changes, each linking to a stone of its
// own, dependencies first.
func chain(t *testing.T, name string, changes int) []ibgib.IbGib {
	t.Helper()
	parent, err := ibgib.ParseAddr("task^gib")
	if err != nil {
		t.Fatal(err)
	}
	env := ibgib.Env{UUID: func() string { return fmt.Sprintf("%064x", len(name)) }}
	linked := []string{"past", "dna"}
	res, err := ibgib.Fork(parent, ibgib.ForkOptions{
		DestIb: name, Tjp: ibgib.TjpOptions{UUID: true}, NoTimestamp: true, NCounter: true, Dna: true, LinkedRel8ns: linked,
	}, env)
	if err != nil {
		t.Fatal(err)
	}
	all := res.All()
	for i := range changes {
		stone := link(t, fmt.Sprint(name, " stone ", i))
		res, err := ibgib.Rel8(all[len(all)-1], ibgib.Rel8Options{
			Add: ibgib.Rel8ns{{Name: "to", Addrs: []ibgib.Addr{stone.Addr()}}}, NoTimestamp: true, NCounter: true, Dna: true, LinkedRel8ns: linked,
		}, env)
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(all, stone), res.All()...)
	}
	return all
}

// mendFrom gives a store what it has lost of some ibGibs, and returns how many that
// were.
func mendFrom(t *testing.T, s *Store, all []ibgib.IbGib) int {
	t.Helper()
	d, err := s.Damage(context.Background(), DefaultShare, nil)
	if err != nil {
		t.Fatal(err)
	}
	var gs []ibgib.IbGib
	for _, g := range all {
		if slices.Contains(d.Blocks, g.Hash()) {
			gs = append(gs, g)
		}
	}
	if err := s.Mend(context.Background(), gs); err != nil && !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	return len(gs)
}

// dump returns all records but those that a repair may change for good.
func dump(t *testing.T, engine kv) map[string]string {
	t.Helper()
	all := make(map[string]string)
	if err := engine.snapshot().scan(nil, nil, func(key, value []byte) (bool, error) {
		if key[0] != prefixMeta && key[0] != prefixChange {
			all[string(key)] = string(value)
		}
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRepairNothing leaves a sound store as it is.
func TestRepairNothing(t *testing.T) {
	engine := newMemoryKV()
	s, err := open(engine, Options{})
	if err != nil {
		t.Fatal(err)
	}
	fillForGC(t, s) // has what waits, and what was not committed
	before, epoch := dump(t, engine), s.Epoch()
	report, err := s.Repair(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if report.Mended+len(report.Lost)+len(report.Moved) > 0 {
		t.Errorf("report %+v of a sound store", report)
	}
	if !maps.Equal(before, dump(t, engine)) || s.Epoch() != epoch {
		t.Error("the store has changed")
	}
	verifyClean(t, s)
}

// TestRepairBeginsAnotherLog tells those that follow the change log that theirs is
// over.
func TestRepairBeginsAnotherLog(t *testing.T) {
	ctx := context.Background()
	engine := newMemoryKV()
	s, err := open(engine, Options{})
	if err != nil {
		t.Fatal(err)
	}
	fillForGC(t, s)
	view := s.View(DefaultShare)
	since, err := view.Place(ctx)
	if err != nil {
		t.Fatal(err)
	}
	moved, stop := view.Watch()
	defer stop()
	b := newBatch()
	b.put(sharePrefix(prefixState, DefaultShare), nil)
	if err := engine.write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Repair(ctx, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-moved:
	default:
		t.Error("a watch is not told")
	}
	var failed error
	for _, err := range view.Changes(ctx, since) {
		failed = err
	}
	if !errors.Is(failed, ErrOtherLog) {
		t.Errorf("changes since a place of the log before: %v", failed)
	}
	verifyClean(t, s)
}

// TestRepairMends repairs what Verify finds, with and without a place to get what is
// lost from.
func TestRepairMends(t *testing.T) {
	ctx := context.Background()
	for _, c := range damages(t) {
		for _, mending := range []bool{true, false} {
			t.Run(fmt.Sprint(c.name, " mending ", mending), func(t *testing.T) {
				engine := newMemoryKV()
				s, err := open(engine, Options{})
				if err != nil {
					t.Fatal(err)
				}
				stone := link(t, "stone")
				all := append(manyTimelines(t, 3), stone)
				if err := putAll(s, all); err != nil {
					t.Fatal(err)
				}
				if err := s.SetPin(ctx, DefaultShare, stone.Addr()); err != nil {
					t.Fatal(err)
				}
				fp, _ := s.View(DefaultShare).Fingerprint(ctx)
				b := newBatch()
				c.do(engine.snapshot(), b)
				if err := engine.write(b); err != nil {
					t.Fatal(err)
				}
				s.recent.clear()
				mended := 0
				if mending {
					mended = mendFrom(t, s, all)
				}
				report, err := s.Repair(ctx, nil)
				if err != nil {
					t.Fatal(err)
				}
				verifyClean(t, s)
				if mended+report.Mended+len(report.Lost) == 0 || mending && c.kind == "gib" && len(report.Lost) > 0 {
					t.Errorf("%d mended, report %+v", mended, report)
				}
				now, _ := s.View(DefaultShare).Fingerprint(ctx)
				lostPin := c.name == "pin gone" // who is to know that there was one
				if whole := mending || len(report.Lost) == 0 || c.kind == "pin"; whole && !lostPin && now != fp {
					t.Errorf("the entries differ; report %+v", report)
				}
				if err := putAll(s, all); err != nil {
					t.Fatal(err)
				}
				if n := countHeads(t, s); n < 3 {
					t.Errorf("%d heads after the ibGibs came again", n)
				}
				verifyClean(t, s)
			})
		}
	}
}

// TestRepairFallsBack loses a stone that a frame in the middle of a timeline
// links to: the head falls back below that frame, and goes on when the stone
// comes again.
func TestRepairFallsBack(t *testing.T) {
	ctx := context.Background()
	engine := newMemoryKV()
	s, err := open(engine, Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := chain(t, "task", 6)
	if err := putAll(s, all); err != nil {
		t.Fatal(err)
	}
	var frames []ibgib.IbGib
	var lost ibgib.IbGib
	for _, g := range all {
		if _, ok := timeline.Claims(g); ok {
			frames = append(frames, g)
		}
		if g.Ib() == "task stone 3" {
			lost = g
		}
	}
	b := newBatch()
	b.put(keyOfBlock(t, engine, lost), append(appendBlock(nil, lost), ' '))
	if err := engine.write(b); err != nil {
		t.Fatal(err)
	}
	report, err := s.Repair(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	verifyClean(t, s)
	if len(report.Lost) != 1 || report.Lost[0].Item != lost.Addr().String() {
		t.Errorf("lost %+v, want %s", report.Lost, lost.Addr())
	}
	was, now := []ibgib.Addr{frames[6].Addr()}, []ibgib.Addr{frames[3].Addr()}
	if len(report.Moved) != 1 || !slices.Equal(report.Moved[0].Was, was) || !slices.Equal(report.Moved[0].Now, now) || report.Moved[0].Root != frames[0].Addr() {
		t.Errorf("moved %+v, want from %v to %v", report.Moved, was, now)
	}
	waits := 0
	for inc, err := range s.View(DefaultShare).Incomplete(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if inc.Missing == lost.Addr() {
			waits++
		}
	}
	if waits != 3 { // the frame, its dna, and the one after it, which repeats the link
		t.Logf("%d wait for the lost one", waits)
	}
	if waits == 0 {
		t.Error("nobody waits for the lost one")
	}
	if err := putAll(s, []ibgib.IbGib{lost}); err != nil {
		t.Fatal(err)
	}
	e, _, err := s.View(DefaultShare).Entry(ctx, frames[0].Hash())
	if err != nil || !slices.Equal(e.Heads, was) {
		t.Errorf("heads %v, %v; want %v", e.Heads, err, was)
	}
	verifyClean(t, s)
}

// keyOfBlock returns the key under which a block of the default share lies.
func keyOfBlock(t *testing.T, engine kv, g ibgib.IbGib) []byte {
	t.Helper()
	m, found, err := memberOf(engine.snapshot(), DefaultShare, g.Hash())
	if err != nil || !found {
		t.Fatalf("%s is no member, %v", g.Addr(), err)
	}
	return blockKey(m.slot)
}

// ruin damages n records of every kind at random: it changes a byte, cuts the
// value or removes the record. What Open needs is spared, and what nothing else
// tells of: memberships and pins.
func ruin(t *testing.T, engine kv, rnd *rand.Rand, n int) {
	t.Helper()
	type record struct{ key, value []byte }
	var all []record
	if err := engine.snapshot().scan(nil, nil, func(key, value []byte) (bool, error) {
		if key[0] != prefixMeta && key[0] != prefixPeer && key[0] != prefixLoose {
			all = append(all, record{bytes.Clone(key), bytes.Clone(value)})
		}
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	b := newBatch()
	for range n {
		r := all[rnd.Intn(len(all))]
		kind := rnd.Intn(3)
		if len(r.value) == 0 || kind == 0 && r.key[0] != prefixMember && r.key[0] != prefixPin {
			b.remove(r.key)
			continue
		}
		value := bytes.Clone(r.value)
		if kind == 1 {
			value = value[:rnd.Intn(len(value))]
		} else {
			value[rnd.Intn(len(value))] ^= byte(1 + rnd.Intn(255))
		}
		b.put(r.key, value)
	}
	if err := engine.write(b); err != nil {
		t.Fatal(err)
	}
}

// TestRepairRuins repairs stores with many damaged records, and cuts some of the
// repairs off: in the end the store verifies, and takes everything again.
func TestRepairRuins(t *testing.T) {
	ctx := context.Background()
	var all []ibgib.IbGib
	for _, name := range []string{"a", "bb", "ccc"} {
		all = append(all, chain(t, name, 8)...)
	}
	sound := newMemoryKV()
	s, err := open(sound, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := putAll(s, all); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPin(ctx, DefaultShare, all[4].Addr()); err != nil {
		t.Fatal(err)
	}
	heads := countHeads(t, s)
	seeds := int64(300)
	if testing.Short() {
		seeds = 60
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewSource(seed))
		engine := &memoryKV{tree: sound.tree.Clone()}
		ruin(t, engine, rnd, 1+rnd.Intn(12))
		s, err := open(engine, Options{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		mending := seed%3 != 0
		if seed%2 == 0 {
			s.kv = &cutKV{kv: engine, left: rnd.Intn(12)}
			if mending {
				mendFrom(t, s, all)
			}
			if _, err := s.Repair(ctx, nil); err != nil && !errors.Is(err, errCut) {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if s, err = open(engine, Options{}); err != nil {
				t.Fatalf("seed %d, open after a cut: %v", seed, err)
			}
			if engine.snapshot() != nil {
				if cut, _ := engine.snapshot().has(keyRepair); cut {
					t.Fatalf("seed %d: the repair was not resumed", seed)
				}
			}
		}
		if mending {
			mendFrom(t, s, all)
		}
		report, err := s.Repair(ctx, nil)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		verifyClean(t, s)
		if err := putAll(s, all); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if n := countHeads(t, s); n < heads-1 { // the pin may be lost
			t.Errorf("seed %d: %d heads of %d; report %+v", seed, n, heads, report)
		}
		for _, name := range []string{"a", "bb", "ccc"} {
			checkHead(t, s, all, name, seed)
		}
		verifyClean(t, s)
		if t.Failed() {
			t.Fatalf("seed %d: report %+v", seed, report)
		}
	}
}

// checkHead demands that the timeline with the given ib has its last frame as its
// only head.
func checkHead(t *testing.T, s *Store, all []ibgib.IbGib, ib string, seed int64) {
	t.Helper()
	var first, last ibgib.IbGib
	for _, g := range all {
		if _, ok := timeline.Claims(g); ok && g.Ib() == ib {
			if first.IsZero() {
				first = g
			}
			last = g
		}
	}
	e, _, err := s.View(DefaultShare).Entry(context.Background(), first.Hash())
	if err != nil || !slices.Equal(e.Heads, []ibgib.Addr{last.Addr()}) {
		t.Errorf("seed %d: heads of %s are %v, %v; want %s", seed, ib, e.Heads, err, last.Addr())
	}
}
