package blockstoretest

import (
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// A Starter is an Opener for given options.
type Starter func(t *testing.T, o blockstore.Options) *blockstore.Store

// RunBudgets runs the part of the suite about what peers leave behind.
func RunBudgets(t *testing.T, start Starter) {
	t.Run("counts until committed", func(t *testing.T) { testBudgetCounts(t, newBudgeted(t, start, 0)) })
	t.Run("refuses beyond", func(t *testing.T) { testBudgetRefuses(t, newBudgeted(t, start, 256<<10)) })
	t.Run("fetched", func(t *testing.T) { testBudgetOfFetches(t, newBudgeted(t, start, 256<<10)) })
	t.Run("another peer", func(t *testing.T) { testBudgetMoves(t, newBudgeted(t, start, 0)) })
	t.Run("two at once", func(t *testing.T) { testBudgetTwoAtOnce(t, newBudgeted(t, start, 0)) })
	t.Run("what no head needs", func(t *testing.T) { testBudgetLeavings(t, newBudgeted(t, start, 0)) })
	t.Run("own", func(t *testing.T) { testBudgetOwn(t, newBudgeted(t, start, 0)) })
	t.Run("pins", func(t *testing.T) { testPeerPins(t, start) })
	t.Run("expiry", func(t *testing.T) { testExpiry(t, newBudgeted(t, start, 0)) })
	t.Run("expiry beside writers", func(t *testing.T) { testExpiryBesideWriters(t, start) })
	t.Run("expiry of graphs", func(t *testing.T) {
		for seed := range int64(8) {
			testExpiryModel(t, newBudgeted(t, start, 0), seed)
		}
	})
}

// budgeted is a store with a clock that the test moves.
type budgeted struct {
	*testing.T
	*blockstore.Store
	now time.Time
}

func newBudgeted(t *testing.T, start Starter, budget int64) *budgeted {
	b := &budgeted{T: t, now: time.UnixMilli(1_700_000_000_000)}
	b.Store = start(t, blockstore.Options{PeerBudget: budget, Now: func() time.Time { return b.now }})
	return b
}

// stage begins a stage of a peer, with some ibGibs.
func (b *budgeted) stage(peer string, gs ...ibgib.IbGib) *blockstore.Stage {
	b.Helper()
	st, err := b.NewStage(blockstore.DefaultShare, blockstore.Origin{Peer: peer})
	if err == nil && len(gs) > 0 {
		_, err = st.Put(ctx, gs)
	}
	if err != nil {
		b.Fatal(err)
	}
	return st
}

func (b *budgeted) touch(st *blockstore.Stage, gs ...ibgib.IbGib) *blockstore.Stage {
	b.Helper()
	var hashes []ibgib.Hash
	for _, g := range gs {
		hashes = append(hashes, g.Hash())
	}
	if err := st.Touch(ctx, hashes); err != nil {
		b.Fatal(err)
	}
	return st
}

func (b *budgeted) commit(st *blockstore.Stage) blockstore.CommitResult {
	b.Helper()
	res, err := st.Commit(ctx)
	if err != nil {
		b.Fatal(err)
	}
	Clean(b.T, b.Store)
	return res
}

// cut ends a stage as a saga does that was cut.
func (b *budgeted) cut(st *blockstore.Stage) {
	b.Helper()
	if err := st.Discard(); err != nil {
		b.Fatal(err)
	}
}

// pass lets time go by, and the store do what is due.
func (b *budgeted) pass(d time.Duration) {
	b.Helper()
	b.now = b.now.Add(d)
	if err := b.Maintain(ctx); err != nil {
		b.Fatal(err)
	}
	Clean(b.T, b.Store)
}

// has tells how many of the ibGibs are there.
func (b *budgeted) has(gs ...ibgib.IbGib) int {
	b.Helper()
	n := 0
	for _, g := range gs {
		if _, err := b.Get(ctx, g.Addr()); err == nil {
			n++
		} else if !errors.Is(err, blockstore.ErrNotFound) {
			b.Fatal(err)
		}
	}
	return n
}

// counts demands that a peer has at least the bytes of some ibGibs on its account,
// and little more; nothing at all if there are none.
func (b *budgeted) counts(what, peer string, gs ...ibgib.IbGib) {
	b.Helper()
	size := int64(0)
	for _, g := range gs {
		size += int64(g.Size())
	}
	const each, atAll = 1 << 10, 40 << 10
	if got := b.Loose(peer); got < size || got > size+each*int64(len(gs))+atAll || len(gs) == 0 && got != 0 {
		b.Errorf("%s: %d bytes of %s count, want those of %d ibGibs, %d", what, got, peer, len(gs), size)
	}
}

func testBudgetCounts(t *testing.T, b *budgeted) {
	m := NewMaker(50)
	all := m.Timeline(t, "task")
	for i := range 20 {
		all = append(all, m.Mut8(t, Last(all), "v", fmt.Sprint(i))...)
	}
	b.cut(b.stage("a", all[:10]...))
	b.cut(b.stage("a", all[10:20]...))
	b.counts("after two cuts", "a", all[:20]...)
	st := b.touch(b.stage("a"), all[:20]...)
	b.counts("touched", "a", all[:20]...)
	if _, err := st.Put(ctx, all[20:]); err != nil {
		t.Fatal(err)
	}
	b.counts("all there", "a", all...)
	if res := b.commit(st); res.Moved != 1 {
		t.Errorf("%d moved, want 1", res.Moved)
	}
	if used := b.Loose("a"); used > 8<<10 { // of the two stages themselves
		t.Errorf("%d bytes count after the commit", used)
	}
	b.pass(blockstore.DefaultExpiry)
	b.counts("a week later", "a")
	if n := b.has(all...); n != len(all) {
		t.Errorf("%d of %d are there a week later", n, len(all))
	}
	Put(t, b.Store, m.Timeline(t, "own")...)
	b.counts("nobody's", "")
}

func testBudgetRefuses(t *testing.T, b *budgeted) {
	const budget = 256 << 10
	m := NewMaker(51)
	fill := func(peer string, n int) error {
		t.Helper()
		st := b.stage(peer)
		defer b.cut(st)
		for i := range n {
			if _, err := st.Put(ctx, []ibgib.IbGib{m.Stone(t, peer, fmt.Sprintf("%d %010000d", m.rnd.Int(), i))}); err != nil {
				return err
			}
		}
		return nil
	}
	var over *blockstore.PeerBudgetError
	if err := fill("a", 40); !errors.Is(err, blockstore.ErrPeerBudget) || !errors.As(err, &over) || over.Peer != "a" || over.Budget != budget || !over.Alone {
		t.Fatalf("too much at once: %v", err)
	}
	if used := b.Loose("a"); used > budget || used < budget/2 {
		t.Errorf("%d bytes count, the budget is %d", used, budget)
	}
	if err := fill("a", 5); !errors.As(err, &over) || over.Alone {
		t.Errorf("with what is left: %v", err)
	}
	if err := fill("b", 5); err != nil {
		t.Errorf("another peer: %v", err)
	}
	for range 200 { // again and again, a little each time
		err := fill("b", 1)
		if errors.Is(err, blockstore.ErrPeerBudget) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := len(members(t, b.Store, blockstore.DefaultShare)); n > 2*budget/10_000 || b.Loose("b") > budget {
		t.Errorf("%d members are left by two peers, %d bytes count", n, b.Loose("b"))
	}
	own := m.Timeline(t, "own")
	for i := range 40 {
		own = append(own, m.Mut8(t, Last(own), "v", fmt.Sprintf("%010000d", i))...)
	}
	Put(t, b.Store, own...)
	b.pass(blockstore.DefaultExpiry)
	b.counts("a week later", "a")
	b.counts("a week later", "b")
	if err := fill("a", 5); err != nil {
		t.Errorf("after the expiry: %v", err)
	}
	if n := len(members(t, b.Store, blockstore.DefaultShare)); n != len(own)+5 {
		t.Errorf("%d members, want %d", n, len(own)+5)
	}
	Clean(t, b.Store)
}

// testBudgetOfFetches has many peers bring what together is more than one may.
func testBudgetOfFetches(t *testing.T, b *budgeted) {
	const budget = 256 << 10
	m := NewMaker(58)
	var all []ibgib.IbGib
	var over *blockstore.PeerBudgetError
	bring := func(peer string) error {
		t.Helper()
		st, err := b.NewStage(blockstore.DefaultShare, blockstore.Origin{Peer: peer, Fetched: true})
		if err != nil {
			t.Fatal(err)
		}
		defer b.cut(st)
		g := m.Stone(t, peer, fmt.Sprintf("%010000d", len(all)))
		if _, err = st.Put(ctx, []ibgib.IbGib{g}); err == nil {
			all = append(all, g)
		}
		return err
	}
	for i := range 100 {
		if err := bring(fmt.Sprint("peer ", i)); errors.As(err, &over) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if over == nil || !over.Fetched || over.Alone || len(all) < 10 || b.LooseFetched() > budget {
		t.Fatalf("%d came, %d bytes count, %+v", len(all), b.LooseFetched(), over)
	}
	b.cut(b.stage("peer 0", m.Stone(t, "not fetched", "x")))
	// What becomes this node's own counts no longer.
	own := b.stage("", all...)
	if b.commit(own); b.LooseFetched() > budget/2 {
		t.Errorf("%d bytes count of what is this node's own", b.LooseFetched())
	}
	if err := bring("another peer"); err != nil {
		t.Error(err)
	}
	b.pass(blockstore.DefaultExpiry)
	if b.LooseFetched() != 0 {
		t.Errorf("%d bytes count a week later", b.LooseFetched())
	}
	if n := b.has(all...); n != len(all)-1 {
		t.Errorf("%d of %d are there a week later, want all but the last", n, len(all))
	}
}

// testBudgetMoves lets one peer take over what another has left.
func testBudgetMoves(t *testing.T, b *budgeted) {
	m := NewMaker(52)
	all := m.Timeline(t, "task")
	for i := range 5 {
		all = append(all, m.Mut8(t, Last(all), "v", fmt.Sprint(i))...)
	}
	b.cut(b.stage("a", all...))
	// Only the newest frame is touched; what it needs comes with it.
	b.cut(b.touch(b.stage("b"), Last(all)))
	b.counts("taken over and cut", "b", all...)
	if used := b.Loose("a"); used > 4<<10 {
		t.Errorf("%d bytes of a count, want those of a stage", used)
	}
	if res := b.commit(b.touch(b.stage("a"), Last(all))); res.Moved != 1 {
		t.Errorf("%d moved, want 1", res.Moved)
	}
	if used := b.Loose("a") + b.Loose("b"); used > 8<<10 {
		t.Errorf("%d bytes count after the commit", used)
	}
}

// testBudgetTwoAtOnce has two peers bring the same at the same time: whoever is
// committed gives it a place, and it counts for nobody then.
func testBudgetTwoAtOnce(t *testing.T, b *budgeted) {
	m := NewMaker(53)
	for first := range 2 {
		all := m.Timeline(t, "task")
		last := m.Mut8(t, Last(all), "v", "1")
		stages := []*blockstore.Stage{b.stage("a", all...), b.touch(b.stage("b"), all...)}
		b.counts("brought", "a", all...)
		b.counts("touched while another stage has it", "b")
		if _, err := stages[1].Put(ctx, last); err != nil {
			t.Fatal(err)
		}
		if res := b.commit(stages[first]); res.Moved != 1 {
			t.Errorf("%d moved, want 1", res.Moved)
		}
		b.cut(stages[1-first])
		collect(t, b.Store)
		b.now = b.now.Add(2 * blockstore.DefaultExpiry)
		b.pass(0)
		if n := b.has(all...); n != len(all) {
			t.Errorf("committed by stage %d: %d of %d are there", first, n, len(all))
		}
		if n := b.has(last...); n != first*len(last) {
			t.Errorf("committed by stage %d: %d of the last frame and its dna are there", first, n)
		}
		b.counts("in the end", "a")
		b.counts("in the end", "b")
	}
}

// testBudgetLeavings commits stages with something that no head needs.
func testBudgetLeavings(t *testing.T, b *budgeted) {
	m := NewMaker(54)
	good := m.Timeline(t, "good")
	bad := m.Timeline(t, "bad")
	last := Last(bad)
	gap, err := ibgib.New(last.Ib(), last.Data().With("n", ibgib.Number(7)), last.Rel8ns().With("past", []ibgib.Addr{last.Addr()}).With("tjp", tjpList(t, last)))
	if err != nil {
		t.Fatal(err)
	}
	waits := linking(t, "waits", linking(t, "absent"))
	st := b.stage("a", append(append(good[:len(good):len(good)], bad...), gap, waits)...)
	if res := b.commit(st); res.Moved != 2 || len(res.Rejected) != 1 {
		t.Errorf("%d moved, %d rejected; want 2 and 1", res.Moved, len(res.Rejected))
	}
	b.counts("a rejected frame and one that waits", "a", gap, waits)
	// They come again, and are committed again.
	if res := b.commit(b.touch(b.stage("a"), gap, waits)); res.Moved != 0 {
		t.Errorf("%d moved", res.Moved)
	}
	b.counts("again", "a", gap, waits)
	b.pass(blockstore.DefaultExpiry - time.Hour)
	if n := b.has(gap, waits); n != 2 {
		t.Errorf("%d of 2 are there before their time", n)
	}
	b.pass(2 * time.Hour)
	b.counts("a week later", "a")
	if b.has(gap, waits) != 0 || b.has(append(good, bad...)...) != len(good)+len(bad) {
		t.Error("what expired is still there, or what is needed is not")
	}
	for j := range b.View(blockstore.DefaultShare).Rejected(ctx) {
		t.Errorf("%v is still listed", j)
	}
	for inc := range b.View(blockstore.DefaultShare).Incomplete(ctx) {
		t.Errorf("%v is still listed", inc)
	}

	// Of a cut stage only some heads get a place.
	one, two := m.Timeline(t, "one"), m.Timeline(t, "two")
	b.cut(b.stage("b", append(one[:len(one):len(one)], two...)...))
	if res := b.commit(b.touch(b.stage("b"), Last(one))); res.Moved != 1 {
		t.Errorf("%d moved, want 1", res.Moved)
	}
	b.counts("the other one", "b", two...)
	b.pass(blockstore.DefaultExpiry)
	if b.has(one...) != len(one) || b.has(two...) != 0 {
		t.Error("what expired is still there, or what is needed is not")
	}
}

// testBudgetOwn: what this node has, or builds upon, is no peer's.
func testBudgetOwn(t *testing.T, b *budgeted) {
	m := NewMaker(55)
	again, linked, below := m.Stone(t, "again", "x"), m.Stone(t, "linked", "x"), m.Stone(t, "below", "x")
	above := linking(t, "above", below, linked)
	b.cut(b.stage("a", again, linked, below, above))
	Put(t, b.Store, again)
	Put(t, b.Store, linking(t, "own", above))
	if used := b.Loose("a"); used > 4<<10 {
		t.Errorf("%d bytes count", used)
	}
	b.pass(2 * blockstore.DefaultExpiry)
	if n := b.has(again, linked, below, above); n != 4 {
		t.Errorf("%d of 4 are there", n)
	}
	if report, err := b.GC(ctx, blockstore.GCOptions{Age: -1, KeepOwn: true}, nil); err != nil || report.Removed != 0 {
		t.Errorf("gc removes %d, %v", report.Removed, err)
	}
	// A peer brings what something here waits for.
	missing := m.Timeline(t, "missing")
	Put(t, b.Store, missing[len(missing)-1])
	b.cut(b.stage("a", missing[:len(missing)-1]...))
	b.pass(2 * blockstore.DefaultExpiry)
	if n := b.has(missing...); n != len(missing) {
		t.Errorf("%d of %d are there", n, len(missing))
	}
	b.counts("what this node needs", "a")
}

// testPeerPins lets a peer pin as many stones as it may.
func testPeerPins(t *testing.T, start Starter) {
	const most = 300 // more than one transaction takes
	b := &budgeted{T: t, now: time.UnixMilli(1_700_000_000_000)}
	b.Store = start(t, blockstore.Options{PeerPins: most, Now: func() time.Time { return b.now }})
	m := NewMaker(57)
	var gs []ibgib.IbGib
	var hashes []ibgib.Hash
	for i := range most + 20 {
		gs = append(gs, m.Stone(t, fmt.Sprint("stone ", i), "x"))
		hashes = append(hashes, gs[i].Hash())
	}
	pin := func(peer string, gs []ibgib.IbGib, hashes []ibgib.Hash, moved, rejected int) {
		t.Helper()
		st := b.stage(peer, gs...)
		if err := st.Pin(ctx, hashes); err != nil {
			t.Fatal(err)
		}
		res := b.commit(st)
		for _, r := range res.Rejected {
			if r.Rule != blockstore.RuleManyPins {
				t.Errorf("rejected %+v", r)
			}
		}
		if res.Moved != moved || len(res.Rejected) != rejected {
			t.Errorf("%s: %d pinned and %d not, want %d and %d", peer, res.Moved, len(res.Rejected), moved, rejected)
		}
	}
	all := m.Timeline(t, "task")
	pin("a", append(all, gs...), append(hashes, Last(all).Hash()), most+1, 20)
	b.counts("those without a pin", "a", gs[most:]...)
	if _, ok := Heads(t, b.Store)[tjpOf(all)]; !ok {
		t.Error("the timeline that came with them has no head")
	}
	pin("a", nil, hashes, 0, 20)
	for _, g := range gs[:5] {
		if err := b.RemovePin(ctx, blockstore.DefaultShare, g.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	pin("a", gs[most:], hashes[most:], 5, 15)
	pin("b", gs[most+5:], hashes[most+5:], 15, 0)
	for _, g := range gs[:5] {
		if err := b.SetPin(ctx, blockstore.DefaultShare, g.Addr()); err != nil {
			t.Errorf("a person may pin: %v", err)
		}
	}
	b.pass(blockstore.DefaultExpiry)
	if n := b.has(gs...); n != len(gs) {
		t.Errorf("%d of %d are there", n, len(gs))
	}
	if report, err := b.Repair(ctx, nil); err != nil || report.Mended+len(report.Lost) > 0 {
		t.Errorf("repair %+v, %v", report, err)
	}
	again := restored(t, backup(t, b.Store))
	Clean(t, again)
	if fp, _ := again.View(blockstore.DefaultShare).Fingerprint(ctx); fp.Count() != most+21 {
		t.Errorf("%d entries in the backup, want %d", fp.Count(), most+21)
	}
}

// tjpOf names the timeline that the last of some ibGibs is a frame of.
func tjpOf(gs []ibgib.IbGib) string {
	tjp, _ := timeline.Claims(Last(gs))
	return tjp.String()
}

// testExpiry keeps what is needed for one reason or the other.
func testExpiry(t *testing.T, b *budgeted) {
	m := NewMaker(56)
	stone := func(name string) ibgib.IbGib { return m.Stone(t, name, "x") }
	pinned, held, dead := stone("pinned"), stone("held"), stone("dead")
	borrowed, touched, brought := stone("borrowed"), stone("touched"), stone("brought")
	b.cut(b.stage("a", pinned, held, dead, touched))
	if err := b.SetPin(ctx, blockstore.DefaultShare, pinned.Addr()); err != nil {
		t.Fatal(err)
	}
	release := b.Hold(blockstore.DefaultShare, []ibgib.Addr{held.Addr()})
	open := b.stage("a", borrowed)
	b.touch(open, touched)
	other := b.touch(b.stage("b", brought), borrowed)
	b.pass(2 * blockstore.DefaultExpiry)
	if n := b.has(pinned, held, touched, brought, borrowed); n != 5 || b.has(dead) != 0 {
		t.Errorf("%d of 5 are there, and %d of what nothing needs", n, b.has(dead))
	}
	b.cut(open)
	b.pass(2 * blockstore.DefaultExpiry)
	if n := b.has(borrowed, touched); n != 1 {
		t.Errorf("%d are there of a cut stage, want the one that another stage has touched", n)
	}
	release()
	b.cut(other)
	b.pass(2 * blockstore.DefaultExpiry)
	if b.has(borrowed, touched, brought, held) != 0 || b.has(pinned) != 1 {
		t.Error("something is there of cut stages, or what is pinned is not")
	}
	b.counts("in the end", "a")
	b.counts("in the end", "b")

	// Heads that came in a stage that was cut, and got their place by another one.
	all := m.Timeline(t, "task")
	stages := []*blockstore.Stage{b.stage("a", all...), b.stage("b", all...)}
	b.commit(stages[0])
	b.cut(stages[1])
	b.pass(2 * blockstore.DefaultExpiry)
	if n := b.has(all...); n != len(all) {
		t.Errorf("%d of %d are there", n, len(all))
	}
}

// testExpiryBesideWriters lets things expire again and again while stages build upon
// them: whatever is committed stays whole.
func testExpiryBesideWriters(t *testing.T, start Starter) {
	var days atomic.Int64
	s := start(t, blockstore.Options{Expiry: time.Hour, Now: func() time.Time {
		return time.UnixMilli(1_700_000_000_000).Add(time.Duration(days.Load()) * 24 * time.Hour)
	}})
	stop := make(chan struct{})
	var collector, writers sync.WaitGroup
	collector.Go(func() {
		for {
			days.Add(1)
			if err := s.Maintain(ctx); err != nil {
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
	for i := range 3 {
		writers.Go(func() {
			rnd := rand.New(rand.NewSource(int64(i)))
			var loose []ibgib.IbGib
			for n := range 60 {
				for k := range 5 {
					loose = append(loose, linking(t, fmt.Sprintf("loose %d %d %d", i, n, k), loose[max(0, len(loose)-2):]...))
				}
				st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{Peer: fmt.Sprint("peer ", i)})
				if err == nil {
					_, err = st.Put(ctx, loose[len(loose)-5:])
				}
				if err == nil {
					err = st.Discard()
				}
				if err == nil {
					part := loose[max(0, len(loose)-1-rnd.Intn(20)):]
					_, _, err = s.Apply(ctx, blockstore.DefaultShare, blockstore.Origin{}, []ibgib.IbGib{linking(t, fmt.Sprintf("own %d %d", i, n), part[0])})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	collector.Wait()
	Clean(t, s)
}

// testExpiryModel lets peers bring and leave parts of a random graph, and this node
// link to some, and compares with a plain walk.
func testExpiryModel(t *testing.T, b *budgeted, seed int64) {
	rnd := rand.New(rand.NewSource(seed))
	var all []ibgib.IbGib
	for i := range 300 {
		var to []ibgib.IbGib
		for range rnd.Intn(3) {
			if i > 0 {
				to = append(to, all[rnd.Intn(i)])
			}
		}
		all = append(all, linking(t, fmt.Sprint("node ", seed, " ", i), to...))
	}
	byAddr := make(map[ibgib.Addr]ibgib.IbGib)
	for _, g := range all {
		byAddr[g.Addr()] = g
	}
	get := func(a ibgib.Addr) (ibgib.IbGib, error) { return byAddr[a], nil }
	closure := func(roots ...ibgib.Addr) []ibgib.IbGib {
		list, _, err := timeline.Closure(roots, get, timeline.ClosureOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var gs []ibgib.IbGib
		for _, a := range list {
			gs = append(gs, byAddr[a])
		}
		return timeline.SortTopological(gs)
	}
	var roots []ibgib.Addr // of what is needed
	for range 30 {
		g := all[rnd.Intn(len(all))]
		switch part := closure(g.Addr()); rnd.Intn(5) {
		case 0: // this node links to it
			Put(t, b.Store, part...)
			roots = append(roots, g.Addr())
		case 1: // a peer brings all of it, and a commit
			st := b.stage(fmt.Sprint("peer ", rnd.Intn(3)), part...)
			if err := st.Pin(ctx, []ibgib.Hash{g.Hash()}); err != nil {
				t.Fatal(err)
			}
			b.commit(st)
			roots = append(roots, g.Addr())
		default: // or some of it
			b.cut(b.stage(fmt.Sprint("peer ", rnd.Intn(3)), part[:rnd.Intn(len(part)+1)]...))
		}
		b.now = b.now.Add(time.Hour)
	}
	b.pass(blockstore.DefaultExpiry)
	needed := closure(roots...)
	left := members(t, b.Store, blockstore.DefaultShare)
	for _, g := range needed {
		if !left[g.Addr().String()] {
			t.Errorf("seed %d: %s is gone", seed, g.Addr())
		}
	}
	if len(left) != len(needed) {
		t.Errorf("seed %d: %d are left, want %d", seed, len(left), len(needed))
	}
	for i := range 3 {
		b.counts(fmt.Sprint("seed ", seed), fmt.Sprint("peer ", i))
	}
}
