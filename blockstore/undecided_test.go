package blockstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// mergeLine is a diverged timeline with its merge frame and a change on that.
type mergeLine struct {
	all    []ibgib.IbGib // of the branches
	tjp    ibgib.Addr
	merged ibgib.IbGib
	after  []ibgib.IbGib // dna and frame of the change on merged
}

func newMergeLine(t *testing.T) mergeLine { return newMergeLineOf(t, 1) }

// newMergeLineOf makes another timeline for each number.
func newMergeLineOf(t *testing.T, number int) mergeLine {
	t.Helper()
	now := time.UnixMilli(1_700_000_000_000)
	env := ibgib.Env{
		Now:  func() time.Time { now = now.Add(time.Second); return now },
		UUID: func() string { return fmt.Sprintf("%064x", number) },
	}
	patch := func(src ibgib.IbGib, name string) []ibgib.IbGib {
		res, err := ibgib.Mut8(src, ibgib.Mut8Options{
			Patch: ibgib.Object(ibgib.Member{Name: name, Value: ibgib.Bool(true)}), NCounter: true, Dna: true, LinkedRel8ns: []string{"past", "dna"},
		}, env)
		if err != nil {
			t.Fatal(err)
		}
		return res.All()
	}
	parent, err := ibgib.ParseAddr("task^gib")
	if err != nil {
		t.Fatal(err)
	}
	res, err := ibgib.Fork(parent, ibgib.ForkOptions{
		DestIb: "task", Tjp: ibgib.TjpOptions{UUID: true, Timestamp: true}, NCounter: true, Dna: true,
	}, env)
	if err != nil {
		t.Fatal(err)
	}
	l := mergeLine{all: res.All(), tjp: res.New.Addr()}
	for _, name := range []string{"left", "right"} {
		last := res.New
		for i := range 5 {
			made := patch(last, fmt.Sprint(name, i))
			l.all = append(l.all, made...)
			last = made[len(made)-1]
		}
	}
	s, err := OpenMemory(Options{Strategy: Optimistic})
	if err != nil {
		t.Fatal(err)
	}
	if err := putAll(s, l.all); err != nil {
		t.Fatal(err)
	}
	if l.merged, err = s.Get(context.Background(), onlyEntry(t, s).Latest); err != nil {
		t.Fatal(err)
	}
	l.after = patch(l.merged, "after")
	return l
}

// rulesOf returns the rule of each frame that is kept out.
func rulesOf(t *testing.T, s *Store) map[ibgib.Addr]string {
	t.Helper()
	rules := make(map[ibgib.Addr]string)
	for r, err := range s.View(DefaultShare).Rejected(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		rules[r.Addr] = r.Rule
	}
	return rules
}

// A merge frame that its peer cannot pay for is undecided, and what stands on it,
// over a restart too; RetryMerges admits both as time passes.
func TestUndecidedFrames(t *testing.T) {
	ctx := context.Background()
	l := newMergeLine(t)
	after := l.after[len(l.after)-1]
	clock := time.UnixMilli(1_800_000_000_000)
	opts := Options{Now: func() time.Time { return clock }}
	disk := NewMemory()
	s, err := disk.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	poor := func(s *Store) { s.merging.ofTimeline, s.merging.ofPeer = 12_000, 1<<30 }
	poor(s)
	if err := putAll(s, slices.Concat(l.all, []ibgib.IbGib{l.merged}, l.after)); err != nil {
		t.Fatal(err)
	}
	want := map[ibgib.Addr]string{l.merged.Addr(): RuleUndecided, after.Addr(): RuleUndecided}
	check := func(what string, s *Store, heads int) {
		t.Helper()
		if got := rulesOf(t, s); len(got) != len(want) || got[l.merged.Addr()] != want[l.merged.Addr()] || got[after.Addr()] != want[after.Addr()] {
			t.Errorf("%s: kept out are %v, want %v", what, got, want)
		}
		if e := onlyEntry(t, s); len(e.Heads) != heads {
			t.Errorf("%s: %d heads, want %d", what, len(e.Heads), heads)
		}
		verifyClean(t, s)
	}
	check("at first", s, 2)

	if s, err = disk.Open(opts); err != nil {
		t.Fatal(err)
	}
	poor(s)
	check("after a restart", s, 2)
	tries := 0
	for {
		res, err := s.RetryMerges(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tries++; res.Left == 0 {
			if res.Moved != 1 {
				t.Errorf("%d entries moved", res.Moved)
			}
			break
		}
		check("tried", s, 2)
		if tries == 1 { // nothing has filled up yet
			if res, err := s.RetryMerges(ctx, nil); res.Left != 1 || err != nil {
				t.Fatalf("%+v, %v", res, err)
			}
		}
		if tries > 10 {
			t.Fatal("it never ends")
		}
		clock = clock.Add(mergeRefill)
	}
	if tries < 2 {
		t.Error("one try was enough")
	}
	clear(want)
	check("in the end", s, 1)
	if e := onlyEntry(t, s); e.Latest != after.Addr() {
		t.Errorf("latest is %s, want %s", e.Latest, after.Addr())
	}
	if res, err := s.RetryMerges(ctx, nil); res.Left != 0 || err != nil {
		t.Errorf("%+v, %v", res, err)
	}
}

// A store that has recorded that nothing is undecided does not look for it when it is
// opened. What becomes undecided after that is found all the same, and Verify and Repair
// see to the record.
func TestUndecidedRecord(t *testing.T) {
	ctx := context.Background()
	l := newMergeLine(t)
	clock := time.UnixMilli(1_800_000_000_000)
	opts := Options{Now: func() time.Time { return clock }, Strategy: Optimistic}
	disk := NewMemory()
	open := func() *Store {
		t.Helper()
		s, err := disk.Open(opts)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	retry := func(s *Store, left int) {
		t.Helper()
		if res, err := s.RetryMerges(ctx, nil); res.Left != left || err != nil {
			t.Fatalf("%+v, %v, want %d left", res, err, left)
		}
	}
	none := func(s *Store) bool {
		t.Helper()
		snap := s.snapshot()
		defer snap.release()
		none, err := noneUndecided(snap)
		if err != nil {
			t.Fatal(err)
		}
		return none
	}
	s := open()
	if none(s) {
		t.Error("a new store records it")
	}
	retry(s, 0)
	if s = open(); !none(s) || !s.undecided.none || !s.undecided.all {
		t.Fatal("it is not recorded that there are none")
	}
	s.merging.ofTimeline = 0
	if err := putAll(s, l.all); err != nil {
		t.Fatal(err)
	}
	if none(s) || onlyEntry(t, s).Conflict.Reason != ReasonUndecided {
		t.Fatalf("none recorded: %t, entry %+v", none(s), onlyEntry(t, s))
	}
	verifyClean(t, s)

	// A record that is wrong.
	b := newBatch()
	b.put(keyUndecided, []byte{0})
	if err := disk.kv.write(b); err != nil {
		t.Fatal(err)
	}
	report, err := s.Verify(ctx, nil)
	if err != nil || len(report.Problems) != 1 || report.Problems[0].Item != l.tjp.String() {
		t.Errorf("%+v, %v", report, err)
	}
	s = open()
	s.merging.ofTimeline = 0
	retry(s, 0) // it believes the record
	if _, err := s.Repair(ctx, nil); err != nil {
		t.Fatal(err)
	}
	verifyClean(t, s)
	retry(s, 1)

	s = open()
	if none(s) {
		t.Error("it is recorded that there are none")
	}
	retry(s, 0)
	if e := onlyEntry(t, s); e.Latest != l.merged.Addr() || !none(s) {
		t.Errorf("none recorded: %t, entry %+v", none(s), e)
	}
	verifyClean(t, s)
}

// A merge frame that turns out to be false takes what stands on it with it.
func TestUndecidedTurnsOutFalse(t *testing.T) {
	ctx := context.Background()
	l := newMergeLine(t)
	forged, err := ibgib.New(l.merged.Ib(), l.merged.Data().With("left0", ibgib.Bool(false)), l.merged.Rel8ns())
	if err != nil {
		t.Fatal(err)
	}
	res, err := ibgib.Rel8(forged, ibgib.Rel8Options{
		Add: ibgib.Rel8ns{{Name: "see", Addrs: []ibgib.Addr{l.tjp}}}, NoTimestamp: true, Dna: true,
	}, ibgib.Env{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenMemory(Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.merging.ofTimeline = 0
	if err := putAll(s, slices.Concat(l.all, []ibgib.IbGib{forged}, res.All())); err != nil {
		t.Fatal(err)
	}
	if got := rulesOf(t, s); got[forged.Addr()] != RuleUndecided || got[res.New.Addr()] != RuleUndecided {
		t.Errorf("kept out are %v", got)
	}
	s.merging = newMerging()
	if res, err := s.RetryMerges(ctx, nil); res.Left != 0 || err != nil {
		t.Errorf("%+v, %v", res, err)
	}
	if got := rulesOf(t, s); got[forged.Addr()] != timeline.RuleMergeState || got[res.New.Addr()] != timeline.RulePredecessorOut {
		t.Errorf("kept out are %v", got)
	}
	verifyClean(t, s)
}

// Heads that cannot be merged for what it costs are presented by the greatest, and
// merged later, also when only a new life of the store has the time.
func TestUndecidedLatest(t *testing.T) {
	ctx := context.Background()
	l := newMergeLine(t)
	disk := NewMemory()
	s, err := disk.Open(Options{Strategy: Optimistic})
	if err != nil {
		t.Fatal(err)
	}
	s.merging.ofTimeline = 0
	if err := putAll(s, l.all); err != nil {
		t.Fatal(err)
	}
	e := onlyEntry(t, s)
	if e.Merged || e.Conflict.Reason != ReasonUndecided || e.Latest != slices.MaxFunc(e.Heads, func(a, b ibgib.Addr) int {
		x, _ := a.Hash()
		y, _ := b.Hash()
		return slices.Compare(x[:], y[:])
	}) {
		t.Errorf("entry %+v", e)
	}
	verifyClean(t, s)
	if res, err := s.RetryMerges(ctx, nil); res.Left != 1 || err != nil {
		t.Errorf("%+v, %v", res, err)
	}
	if s, err = disk.Open(Options{Strategy: Optimistic}); err != nil {
		t.Fatal(err)
	}
	if res, err := s.RetryMerges(ctx, nil); res.Left != 0 || err != nil {
		t.Errorf("%+v, %v", res, err)
	}
	if e := onlyEntry(t, s); !e.Merged || e.Latest != l.merged.Addr() {
		t.Errorf("entry %+v, want the latest %s", e, l.merged.Addr())
	}
	verifyClean(t, s)
}

// What was too expensive to check as a peer's frame is admitted when it is what
// this node computes itself.
func TestUndecidedIsComputedHere(t *testing.T) {
	l := newMergeLine(t)
	s, err := OpenMemory(Options{Strategy: Optimistic})
	if err != nil {
		t.Fatal(err)
	}
	s.merging.ofPeer = 0
	if err := putAll(s, append(slices.Clone(l.all), l.merged)); err != nil {
		t.Fatal(err)
	}
	if got := rulesOf(t, s); got[l.merged.Addr()] != RuleUndecided {
		t.Fatalf("kept out are %v", got)
	}
	if _, err := s.RetryMerges(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if e := onlyEntry(t, s); !e.Merged || len(rulesOf(t, s)) != 0 {
		t.Errorf("entry %+v, kept out are %v", e, rulesOf(t, s))
	}
	verifyClean(t, s)
}

// A frame that came before the merge frame it stands on becomes a head when this
// node computes that one: in the commit that does, when the strategy changes, and
// where it is for another timeline to wait.
func TestHeadThatWaitsForMerge(t *testing.T) {
	ctx := context.Background()
	l := newMergeLine(t)
	after := l.after[len(l.after)-1]
	other, err := ibgib.New("aaa", ibgib.Object(ibgib.Member{Name: "isTjp", Value: ibgib.Bool(true)}), ibgib.Rel8ns{{Name: "see", Addrs: []ibgib.Addr{l.merged.Addr()}}})
	if err != nil {
		t.Fatal(err)
	}
	early := append(slices.Clone(l.after), other)
	check := func(s *Store) {
		t.Helper()
		heads := make(map[ibgib.Addr]bool)
		for e, err := range s.View(DefaultShare).Entries(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			if len(e.Heads) != 1 {
				t.Errorf("entry %+v", e)
			}
			heads[e.Latest] = true
		}
		if !heads[after.Addr()] || !heads[other.Addr()] || len(heads) != 2 {
			t.Errorf("heads are %v", heads)
		}
		verifyClean(t, s)
	}
	put := func(s *Store, o Origin, gs ...ibgib.IbGib) {
		t.Helper()
		if _, _, err := s.Apply(ctx, DefaultShare, o, gs); err != nil {
			t.Fatal(err)
		}
		verifyClean(t, s)
	}
	peer := Origin{Peer: "peer"}
	for _, o := range []Origin{{}, peer} {
		for _, parts := range [][][]ibgib.IbGib{
			{slices.Concat(l.all, early)}, {slices.Concat(early, l.all)}, {early, l.all}, {l.all[:4], early, l.all[4:]},
		} {
			s, err := OpenMemory(Options{Strategy: Optimistic})
			if err != nil {
				t.Fatal(err)
			}
			for _, gs := range parts {
				put(s, o, gs...)
			}
			if o == peer { // what no head needed when it came waits to be brought again
				put(s, peer, early...)
			}
			check(s)
		}
	}

	for _, o := range []Origin{{}, peer} {
		disk := NewMemory()
		s, err := disk.Open(Options{})
		if err != nil {
			t.Fatal(err)
		}
		put(s, o, slices.Concat(l.all, early)...)
		if s, err = disk.Open(Options{Strategy: Optimistic}); err != nil {
			t.Fatal(err)
		}
		verifyClean(t, s)
		if res, err := s.RetryMerges(ctx, nil); res.Left != 0 || err != nil {
			t.Errorf("%+v, %v", res, err)
		}
		verifyClean(t, s)
		if o == peer {
			put(s, peer, early...)
		}
		check(s)
	}
}

// A frame that waits for a merge frame in an open stage becomes a head with that
// stage, whoever computes the merge frame.
func TestOpenStageThatWaitsForMerge(t *testing.T) {
	ctx := context.Background()
	l := newMergeLine(t)
	missing, err := ibgib.ParseAddr(fmt.Sprintf("missing^%064X", 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Origin{{}, {Peer: "peer"}, {Peer: "other"}} {
		s, err := OpenMemory(Options{Strategy: Optimistic})
		if err != nil {
			t.Fatal(err)
		}
		st, err := s.NewStage(DefaultShare, Origin{Peer: "peer"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Put(ctx, l.after); err != nil {
			t.Fatal(err)
		}
		see := ibgib.Rel8ns{{Name: "see", Addrs: []ibgib.Addr{missing}}}
		stray, err := ibgib.New("stray", ibgib.Null(), see) // lets the commit leave something
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Apply(ctx, DefaultShare, o, append(slices.Clone(l.all), stray)); err != nil {
			t.Fatal(err)
		}
		verifyClean(t, s)
		if _, err := st.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		verifyClean(t, s)
		if e := onlyEntry(t, s); len(e.Heads) != 1 || e.Latest != l.after[len(l.after)-1].Addr() {
			t.Errorf("%+v: entry %+v", o, e)
		}
	}
}

// A commit of merges that is cut off after any write leaves a store in order.
func TestCutMergesAtEveryWrite(t *testing.T) {
	l := newMergeLine(t)
	merged := 0
	for cut := 0; ; cut++ {
		engine := newMemoryKV()
		s, err := open(&cutKV{kv: engine, left: cut}, Options{Strategy: Optimistic})
		if err == nil {
			if err = putAll(s, l.all[:len(l.all)/2]); err == nil {
				err = putAll(s, l.all[len(l.all)/2:])
			}
		}
		if err != nil && !errors.Is(err, errCut) {
			t.Fatalf("cut after %d writes: %v", cut, err)
		}
		again, openErr := open(engine, Options{Strategy: Optimistic})
		if openErr != nil {
			t.Fatalf("open after a cut at %d writes: %v", cut, openErr)
		}
		verifyClean(t, again)
		if err := putAll(again, l.all); err != nil {
			t.Fatal(err)
		}
		verifyClean(t, again)
		if e := onlyEntry(t, again); !e.Merged || e.Latest != l.merged.Addr() {
			t.Errorf("cut after %d writes: entry %+v", cut, e)
		} else {
			merged++
		}
		if err == nil {
			break
		}
	}
	if merged < 4 {
		t.Errorf("only %d cuts", merged)
	}
}

// A large commit decides its merges aside, like everything else.
func TestLargeCommitOfMerges(t *testing.T) {
	var all []ibgib.IbGib
	for i := range maxInlineEntries + 50 {
		all = append(all, divergedLine(t, i)...)
	}
	engine := newMemoryKV()
	s, err := open(engine, Options{Strategy: Optimistic})
	if err != nil {
		t.Fatal(err)
	}
	if err := putAll(s, all); err != nil {
		t.Fatal(err)
	}
	check := func(s *Store) {
		t.Helper()
		n := 0
		for e, err := range s.View(DefaultShare).Entries(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Merged {
				n++
			}
		}
		if n != maxInlineEntries+50 {
			t.Errorf("%d timelines are merged", n)
		}
		verifyClean(t, s)
	}
	check(s)

	// Rebuilt by other rules, the index is the same.
	b := newBatch()
	b.put(keyRules, []byte{timeline.RulesVersion + 1})
	if err := engine.write(b); err != nil {
		t.Fatal(err)
	}
	if s, err = open(engine, Options{Strategy: Optimistic}); err != nil {
		t.Fatal(err)
	}
	verifyClean(t, s)
	if res, err := s.RetryMerges(context.Background(), nil); res.Left != 0 || len(res.Merges) != maxInlineEntries+50 || err != nil {
		t.Errorf("%d left, %d merged, %v", res.Left, len(res.Merges), err)
	}
	check(s)
}

// divergedLine is a timeline with two heads that can be merged.
func divergedLine(t *testing.T, i int) []ibgib.IbGib {
	t.Helper()
	d := ibgib.Object(
		ibgib.Member{Name: "isTjp", Value: ibgib.Bool(true)}, ibgib.Member{Name: "i", Value: ibgib.Number(float64(i))},
	)
	tjp, err := ibgib.New("line", ibgib.Stamp{At: time.UnixMilli(0)}.On(d), nil)
	if err != nil {
		t.Fatal(err)
	}
	all := []ibgib.IbGib{tjp}
	for k := range 2 {
		res, err := ibgib.Mut8(tjp, ibgib.Mut8Options{
			Patch: ibgib.Object(ibgib.Member{Name: fmt.Sprint("k", k), Value: ibgib.Number(1)}), Dna: true, LinkedRel8ns: []string{"past", "dna"},
		}, ibgib.Env{Now: func() time.Time { return time.UnixMilli(int64(1000 * k)) }})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, res.All()...)
	}
	return all
}

// Repair computes a merge frame that has been lost.
func TestRepairOfMergeFrame(t *testing.T) {
	l := newMergeLine(t)
	engine := newMemoryKV()
	s, err := open(engine, Options{Strategy: Optimistic})
	if err != nil {
		t.Fatal(err)
	}
	if err := putAll(s, l.all); err != nil {
		t.Fatal(err)
	}
	b := newBatch()
	b.remove(keyOfBlock(t, engine, l.merged))
	if err := engine.write(b); err != nil {
		t.Fatal(err)
	}
	if s, err = open(engine, Options{Strategy: Optimistic}); err != nil {
		t.Fatal(err)
	}
	if report, err := s.Verify(context.Background(), nil); err != nil || len(report.Problems) == 0 {
		t.Fatalf("verify finds %v, %v", report.Problems, err)
	}
	if _, err := s.Repair(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	verifyClean(t, s)
	if res, err := s.RetryMerges(context.Background(), nil); res.Left != 0 || err != nil {
		t.Errorf("%+v, %v", res, err)
	}
	if e := onlyEntry(t, s); !e.Merged || e.Latest != l.merged.Addr() {
		t.Errorf("entry %+v", e)
	}
	if _, err := s.Get(context.Background(), l.merged.Addr()); err != nil {
		t.Error(err)
	}
	verifyClean(t, s)
}
