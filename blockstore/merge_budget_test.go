package blockstore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// A peer pays for each timeline and for all together, and nobody pays for another.
func TestMergeAllowances(t *testing.T) {
	m := newMerging()
	m.ofTimeline, m.ofPeer = 100, 150
	now := time.UnixMilli(0)
	root := func(i int) mergeTask {
		a, err := ibgib.ParseAddr(fmt.Sprintf("task^%064X", i))
		if err != nil {
			t.Fatal(err)
		}
		return mergeTask{DefaultShare, a, latestOfHeads}
	}
	// A merge of two heads that costs all that it is granted.
	spend := func(task mergeTask, peer uint32) int64 {
		work, spent := m.work(task, peer, now)
		granted := work.Budget.Left()
		_, err := timeline.Merge([]timeline.Frame{{HasN: true, N: 2}, {HasN: true, N: 1}}, nil, nil, timeline.MergeWork{Budget: work.Budget})
		if granted >= 256 || !errors.Is(err, timeline.ErrOverBudget) {
			t.Fatalf("granted %d, %v", granted, err)
		}
		spent()
		return granted
	}
	take := func(task mergeTask, peer uint32, bytes int64) {
		_, spent := m.work(task, peer, now)
		spent()
		m.allowances[allowanceKey{peer, task.root}].left -= bytes
		m.allowances[allowanceKey{peer: peer}].left -= bytes
	}
	for _, step := range []struct {
		task mergeTask
		peer uint32
		want int64
		take int64
	}{
		{root(1), 1, 100, 70},
		{root(1), 1, 30, 0},
		{root(2), 1, 80, 80},
		{root(3), 1, 0, 0},
		{root(1), 2, 100, 0},
		{root(1), 0, 100, 0},
	} {
		if got := spend(step.task, step.peer); got != step.want {
			t.Errorf("peer %d is granted %d, want %d", step.peer, got, step.want)
		}
		if step.take > 0 {
			take(step.task, step.peer, step.take)
		}
	}
	now = now.Add(mergeRefill / 2)
	if got := spend(root(1), 1); got != 75 {
		t.Errorf("after half of the time it is %d, want 75 of all", got)
	}
	now = now.Add(-time.Hour) // a clock that jumps back gives nothing
	if got := spend(root(1), 1); got != 75 {
		t.Errorf("it is %d, want 75", got)
	}
	now = now.Add(mergeRefill / 10)
	if got := spend(root(1), 1); got != 90 {
		t.Errorf("it is %d, want 90: time goes on from where the clock is now", got)
	}
}

// Caches are kept for those that merged last, within a bound.
func TestMergeCachesAreBounded(t *testing.T) {
	m := newMerging()
	for i := range 1000 {
		a, err := ibgib.ParseAddr(fmt.Sprintf("task^%064X", i))
		if err != nil {
			t.Fatal(err)
		}
		_, spent := m.work(mergeTask{DefaultShare, a, latestOfHeads}, 0, time.Time{})
		spent()
	}
	if len(m.caches) > 256 || len(m.caches) != len(m.recent) {
		t.Errorf("%d caches, %d in order", len(m.caches), len(m.recent))
	}
}

// Work on a large merge is done in slices: changes of other timelines come between. What
// is undecided is told of, and what is left to others stays so over a restart, until more
// is undecided.
func TestMergeInSlices(t *testing.T) {
	ctx := t.Context()
	l := newMergeLine(t)
	disk := NewMemory()
	s, err := disk.Open(Options{Strategy: Optimistic})
	if err != nil {
		t.Fatal(err)
	}
	s.merging.ofTurn, s.merging.slice = 1, 100
	if err := putAll(s, l.all); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Undecided():
	default:
		t.Error("nothing tells that a merge is undecided")
	}
	if e := onlyEntry(t, s); e.Merged || e.Conflict.Reason != ReasonUndecided {
		t.Fatalf("entry %+v", e)
	}
	if err := s.LeaveMerges(); err != nil || !s.MergesLeft() {
		t.Errorf("left %t, %v", s.MergesLeft(), err)
	}
	verifyClean(t, s)
	if s, err = disk.Open(Options{Strategy: Optimistic}); err != nil {
		t.Fatal(err)
	}
	if !s.MergesLeft() {
		t.Error("what is left is forgotten")
	}

	// Too little for all in one go: more than one call, each going on where the last ended.
	s.merging.slice, s.merging.ofTimeline = 100, 6000
	calls, spent := 0, int64(0)
	for !onlyEntry(t, s).Merged {
		res, err := s.RetryMerges(ctx, nil)
		if err != nil || res.Spent > 6000 {
			t.Fatalf("%+v, %v", res, err)
		}
		spent += res.Spent
		if calls++; calls > 100 {
			t.Fatal("it does not end")
		}
	}
	if calls < 2 || s.MergesLeft() {
		t.Errorf("%d calls, left %t", calls, s.MergesLeft())
	}
	if e := onlyEntry(t, s); e.Latest != l.merged.Addr() {
		t.Errorf("latest %s, want %s", e.Latest, l.merged.Addr())
	}
	t.Logf("%d calls, %d spent", calls, spent)
	verifyClean(t, s)
}

// All that RetryMerges does together is bounded, and each timeline gets its turn.
func TestRetryMergesIsBounded(t *testing.T) {
	const lines = 3
	clock := time.UnixMilli(1_800_000_000_000)
	undecided := func() *Store {
		t.Helper()
		s, err := NewMemory().Open(Options{Strategy: Optimistic, Now: func() time.Time { return clock }})
		if err != nil {
			t.Fatal(err)
		}
		s.merging.ofTurn = 1
		for i := range lines {
			if err := putAll(s, newMergeLineOf(t, i).all); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	s := undecided()
	all, err := s.RetryMerges(t.Context(), nil)
	if err != nil || all.Left != 0 || len(all.Merges) != lines {
		t.Fatalf("%+v, %v", all, err)
	}
	s = undecided()
	most := all.Spent / lines * 5 / 4
	s.merging.retries.full = most
	s.merging.slice = most
	merged := 0
	for calls := 1; merged < lines; calls++ {
		res, err := s.RetryMerges(t.Context(), nil)
		if err != nil || res.Spent > most || len(res.Merges)+res.Left > lines-merged {
			t.Fatalf("%+v, %v, at most %d", res, err, most)
		}
		if merged += len(res.Merges); calls == 1 && merged == lines || calls > 3*lines {
			t.Fatalf("%d merged after %d calls", merged, calls)
		}
		clock = clock.Add(mergeRefill)
	}
	verifyClean(t, s)
}
