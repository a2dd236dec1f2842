package blockstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// RuleUndecided is the rule of a frame that is neither admitted nor kept out for
// good: to check the merge frame that it is, or stands on, would have exceeded what
// merges of its peer may cost for now. See Store.RetryMerges.
const RuleUndecided = "merge-undecided"

// undecided are the timelines of which something waits for a merge: frames with
// RuleUndecided, or an entry with ReasonUndecided. Store.mu guards it.
type undecided struct {
	roots map[Share]map[ibgib.Addr]bool
	all   bool // entries that the store had when it was opened are among them
	none  bool // the store has a record that there are none
}

func (u *undecided) note(share Share, root ibgib.Addr) {
	if u.roots == nil {
		u.roots = make(map[Share]map[ibgib.Addr]bool)
	}
	if u.roots[share] == nil {
		u.roots[share] = make(map[ibgib.Addr]bool)
	}
	u.roots[share][root] = true
}

func (u *undecided) settled(share Share, root ibgib.Addr) { delete(u.roots[share], root) }

func (u *undecided) empty() bool {
	for _, roots := range u.roots {
		if len(roots) > 0 {
			return false
		}
	}
	return true
}

// noteUndecided notes a timeline, and records that there are some, before what is
// undecided is written.
func (w *writer) noteUndecided(root ibgib.Addr) {
	w.s.undecided.note(w.share, root)
	w.s.undecided.none = false
	w.put(keyUndecided, []byte{1})
}

// recordUndecided records that there are none, if that is so, so that the store need not
// look for some when it is opened again.
func (s *Store) recordUndecided() error {
	if err := s.life.enter(); err != nil {
		return err
	}
	defer s.life.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.undecided.none || !s.undecided.all || !s.undecided.empty() {
		return nil
	}
	b := newBatch()
	b.put(keyUndecided, []byte{0})
	if err := s.kv.write(b); err != nil {
		return err
	}
	s.undecided.none = true
	return nil
}

// noneUndecided tells whether the store records that nothing is undecided. Without a
// record something may be.
func noneUndecided(snap snapshot) (bool, error) {
	b, _, err := snap.get(keyUndecided)
	return len(b) == 1 && b[0] == 0, err
}

// loadUndecided finds the frames that were undecided when the store was closed.
func (s *Store) loadUndecided(snap snapshot) error {
	none, err := noneUndecided(snap)
	if err != nil || none {
		s.undecided.none, s.undecided.all = none, none
		return err
	}
	return snap.scan([]byte{prefixRejected}, nil, func(key, value []byte) (bool, error) {
		j, err := decodeRejection(value)
		if err != nil || j.Rule != RuleUndecided {
			return true, nil // one that does not decode is for Verify to tell
		}
		g, err := memberBlock(snap, shareOf(key), lastHash(key))
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) {
			return true, nil
		}
		if root, ok := timeline.Claims(g); ok {
			s.undecided.note(shareOf(key), root)
		}
		return true, err
	})
}

// findUndecided adds the entries of which that is so.
func (s *Store) findUndecided(ctx context.Context) error {
	if s.undecided.all {
		return nil
	}
	snap := s.snapshot()
	defer snap.release()
	shares, err := sharesOf(snap)
	if err != nil {
		return err
	}
	for _, share := range shares {
		err := eachEntry(ctx, snap, share, func(e Entry) bool {
			if e.Conflict.Reason == ReasonUndecided {
				s.undecided.note(share, e.Root)
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	s.undecided.all = true
	return nil
}

// standsOnUndecided tells whether a frame is kept out only because what it stands
// on is undecided.
func (w *writer) standsOnUndecided(g ibgib.IbGib, r *timeline.Rejection) (bool, error) {
	if r.Rule != timeline.RulePredecessorOut && r.Rule != timeline.RuleListFrame || len(w.s.undecided.roots[w.share]) == 0 {
		return false, nil
	}
	below := g.Rel(timeline.RelMerge)
	if pred, ok := g.LastRel("past"); ok {
		below = append(below, pred)
	}
	for _, a := range below {
		h, _ := a.Hash()
		key := shareKey(prefixRejected, w.share, h)
		b, found, err := w.get(key)
		if err != nil {
			return false, err
		}
		if !found {
			continue
		}
		j, err := decodeRejection(b)
		if err != nil {
			return false, corrupt("rejection", key, err)
		}
		if j.Rule == RuleUndecided {
			return true, nil
		}
	}
	return false, nil
}

// RetryResult is what RetryMerges did.
type RetryResult struct {
	Left   int     // timelines of which something is still undecided
	Moved  int     // entries whose heads moved
	Merges []Merge // at most 1,000
}

// RetryMerges takes up what is undecided: frames, which may move heads, and entries
// that are not merged. What a merge may cost fills up within a minute, and each try
// goes on where the one before ended as long as memory for that lasts, so call it
// about as often, and first when the store has been opened. progress may be nil; it is
// called before each timeline.
func (s *Store) RetryMerges(ctx context.Context, progress func(done, all int)) (RetryResult, error) {
	var res RetryResult
	tasks, err := s.undecidedRoots(ctx)
	if err != nil {
		return res, fmt.Errorf("blockstore: retry merges: %w", err)
	}
	done, all := 0, 0
	for _, roots := range tasks {
		all += len(roots)
	}
	for _, share := range slices.Sorted(maps.Keys(tasks)) {
		for _, root := range tasks[share] {
			if progress != nil {
				progress(done, all)
			}
			done++
			if err := s.retryMerge(ctx, share, root, &res); err != nil {
				return res, fmt.Errorf("blockstore: retry merge of %s: %w", root, err)
			}
		}
	}
	if err := s.recordUndecided(); err != nil {
		return res, fmt.Errorf("blockstore: retry merges: %w", err)
	}
	return res, nil
}

func (s *Store) undecidedRoots(ctx context.Context) (map[Share][]ibgib.Addr, error) {
	if err := s.life.enter(); err != nil {
		return nil, err
	}
	defer s.life.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.findUndecided(ctx); err != nil {
		return nil, err
	}
	tasks := make(map[Share][]ibgib.Addr)
	for share, roots := range s.undecided.roots {
		tasks[share] = slices.SortedFunc(maps.Keys(roots), ibgib.CompareAddr)
	}
	return tasks, nil
}

// retryMerge decides about the undecided frames of a timeline, moves its heads, and
// merges them.
func (s *Store) retryMerge(ctx context.Context, share Share, root ibgib.Addr, res *RetryResult) error {
	st, err := s.NewStage(share, Origin{})
	if err != nil {
		return err
	}
	defer st.Discard()
	return st.turn(func(w *writer) error {
		left, err := st.admitUndecided(ctx, w, root)
		if err != nil {
			return err
		}
		h, _ := root.Hash()
		st.redo = map[ibgib.Hash]bool{h: true}
		if _, ok := st.candidates[h]; !ok {
			st.candidates[h] = nil // to be looked at
		}
		done, err := st.commit(ctx, w)
		if err != nil {
			return err
		}
		e, _, err := w.entry(h)
		if err != nil {
			return err
		}
		if left == 0 && e.Conflict.Reason != ReasonUndecided {
			s.undecided.settled(share, root)
		} else {
			res.Left++
		}
		res.Moved += done.Moved
		res.Merges = append(res.Merges, done.Merges[:min(len(done.Merges), maxListed-len(res.Merges))]...)
		return nil
	})
}

// admitUndecided offers the undecided frames of a timeline again, each after what
// it stands on, and returns how many are left.
func (st *Stage) admitUndecided(ctx context.Context, w *writer, root ibgib.Addr) (left int, err error) {
	var gs []ibgib.IbGib
	err = w.snap.scan(sharePrefix(prefixRejected, st.share), nil, func(key, value []byte) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		j, err := decodeRejection(value)
		if err != nil {
			return false, corrupt("rejection", key, err)
		}
		if j.Rule != RuleUndecided {
			return true, nil
		}
		g, err := memberBlock(w.snap, st.share, lastHash(key))
		if err != nil {
			return false, err
		}
		if tjp, _ := timeline.Claims(g); tjp == root {
			gs = append(gs, g)
		}
		return true, nil
	})
	if err != nil {
		return 0, err
	}
	for _, g := range timeline.SortTopological(gs) {
		h := g.Hash()
		m, err := w.member(h)
		if err != nil {
			return 0, err
		}
		if m == nil || !m.closed || m.frame != nil {
			continue
		}
		own := *m
		w.remove(shareKey(prefixRejected, w.share, h))
		if err := w.admit(g, &own); err != nil {
			return 0, err
		}
		if o, ok := w.changed(shareKey(prefixRejected, w.share, h)); ok && !o.remove {
			if j, err := decodeRejection(o.value); err == nil && j.Rule == RuleUndecided {
				left++
				continue
			}
		}
		w.setMember(h, &own)
		enter := st.closed
		if _, loose := w.s.loose.at(w.share, own.seq); loose {
			enter = func(w *writer, m *member) error { return st.touch(w, h, m) }
		}
		if err := enter(w, &own); err != nil {
			return 0, err
		}
		if err := w.flushIfFull(); err != nil {
			return 0, err
		}
	}
	return left, nil
}
