package blockstore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// checkBudgets demands that what counts against the budgets is just what the members
// say that are there.
func checkBudgets(t *testing.T, s *Store) {
	t.Helper()
	want := make(map[uint64]int64)
	used := make(map[uint32]int64)
	fetched := int64(0)
	snap := s.snapshot()
	defer snap.release()
	for id, l := range s.loose.byID {
		used[l.peer] += l.bytes
		if l.fetched {
			fetched += l.bytes
		}
		if l.peer != 0 {
			want[id] = stageOverhead
		}
		b, found, err := snap.get(stagePrefix(prefixLoose, id))
		if stored, derr := decodeLoose(b); err != nil || !found || derr != nil || fmt.Sprint(stored.ranges, stored.peer, stored.bytes, stored.fetched) != fmt.Sprint(l.ranges, l.peer, l.bytes, l.fetched) {
			t.Errorf("stage %d: %+v is stored, want %+v (%v)", id, stored, *l, errors.Join(err, derr))
		}
	}
	if err := snap.scan(sharePrefix(prefixMember, DefaultShare), nil, func(key, value []byte) (bool, error) {
		m, err := decodeMember(lastHash(key), value)
		if err != nil {
			return false, err
		}
		if id, ok := s.loose.at(DefaultShare, m.seq); ok && m.peer != 0 && m.peer == s.loose.byID[id].peer {
			g, err := blockOf(snap, m)
			if err != nil {
				return false, err
			}
			want[id] += blockCharge(g.Size())
		}
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	for id, l := range s.loose.byID {
		if l.bytes != want[id] {
			t.Errorf("stage %d of peer %d counts %d bytes, want %d", id, l.peer, l.bytes, want[id])
		}
	}
	for peer, n := range used {
		if peer != 0 && s.loose.used[peer] != n {
			t.Errorf("peer %d: %d bytes count, its stages have %d", peer, s.loose.used[peer], n)
		}
	}
	if s.loose.fetched != fetched {
		t.Errorf("%d bytes count as fetched, the stages have %d", s.loose.fetched, fetched)
	}
	if len(s.loose.used) > len(used) {
		t.Errorf("used %v, want %v", s.loose.used, used)
	}
}

// budgetStory lets two peers bring and leave things, commits some of them, and lets
// the rest expire. It returns the first error.
func budgetStory(t *testing.T, s *Store, now *time.Time) error {
	t.Helper()
	ctx := context.Background()
	one, two := chain(t, "one", 6), chain(t, "two", 6)
	last := one[len(one)-1]
	gap, err := ibgib.New(last.Ib(), last.Data().With("n", ibgib.Number(99)), last.Rel8ns().With("past", []ibgib.Addr{last.Addr()}))
	if err != nil {
		t.Fatal(err)
	}
	waits := link(t, "waits", link(t, "absent").Addr())
	hashes := func(gs []ibgib.IbGib) (list []ibgib.Hash) {
		for _, g := range gs {
			list = append(list, g.Hash())
		}
		return list
	}
	stage := func(peer string, do func(st *Stage) error) error {
		st, err := s.NewStage(DefaultShare, Origin{Peer: peer, Fetched: peer == "b"})
		if err == nil {
			err = do(st)
		}
		if err == nil && !st.done {
			err = st.Discard()
		}
		*now = now.Add(time.Hour)
		return err
	}
	put := func(st *Stage, gs ...ibgib.IbGib) error {
		for len(gs) > 0 {
			n := min(3, len(gs))
			if _, err := st.Put(ctx, gs[:n]); err != nil {
				return err
			}
			gs = gs[n:]
		}
		return nil
	}
	commit := func(st *Stage) error {
		_, err := st.Commit(ctx)
		return err
	}
	steps := []func() error{
		func() error { return stage("a", func(st *Stage) error { return put(st, one[:10]...) }) },
		func() error { return stage("b", func(st *Stage) error { return put(st, two...) }) },
		func() error {
			return stage("a", func(st *Stage) error {
				return errors.Join(st.Touch(ctx, hashes(one[:10])), put(st, one[10:]...), put(st, gap, waits), commit(st))
			})
		},
		func() error {
			return stage("b", func(st *Stage) error {
				return stage("a", func(other *Stage) error {
					return errors.Join(st.Touch(ctx, hashes(two[:8])), other.Touch(ctx, hashes(two[:8])), other.Touch(ctx, hashes(two)))
				})
			})
		},
		func() error {
			return stage("", func(st *Stage) error { return errors.Join(put(st, link(t, "own", two[1].Addr())), commit(st)) })
		},
		func() error {
			*now = now.Add(DefaultExpiry)
			return s.Maintain(ctx)
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
		checkBudgets(t, s)
	}
	return nil
}

// TestCutBudgets cuts such a story off after every write: what counts is right when
// the store opens again, and in the end there is what is needed and nothing else.
func TestCutBudgets(t *testing.T) {
	for cut := 0; ; cut++ {
		now := time.UnixMilli(1_700_000_000_000)
		opts := Options{Now: func() time.Time { return now }}
		engine := newMemoryKV()
		s, err := open(&cutKV{kv: engine, left: cut}, opts)
		if err == nil {
			err = budgetStory(t, s, &now)
		}
		if err != nil && !errors.Is(err, errCut) {
			t.Fatalf("cut after %d writes: %v", cut, err)
		}
		again, openErr := open(engine, opts)
		if openErr != nil {
			t.Fatalf("open after a cut at %d writes: %v", cut, openErr)
		}
		verifyClean(t, again)
		checkBudgets(t, again)
		now = now.Add(time.Hour)
		if err := budgetStory(t, again, &now); err != nil {
			t.Fatalf("again after a cut at %d writes: %v", cut, err)
		}
		verifyClean(t, again)
		if n := countHeads(t, again); n != 1 {
			t.Errorf("after a cut at %d writes: %d heads, want 1", cut, n)
		}
		for peer, used := range again.loose.used {
			t.Errorf("after a cut at %d writes: %d bytes of peer %d count in the end", cut, used, peer)
		}
		if t.Failed() {
			t.Fatalf("cut after %d writes", cut)
		}
		if err == nil {
			t.Logf("%d writes", cut)
			break
		}
	}
}
