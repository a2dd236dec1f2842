package blockstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
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
	roots map[Share]map[ibgib.Addr]retry
	all   bool // entries that the store had when it was opened are among them
	none  bool // the store has a record that there are none
	left  bool // or that there are some, which are left; see LeaveMerges

	noted chan struct{} // see Undecided
	next  undecidedTask // where RetryMerges goes on
}

// retry is what is known of the work on one timeline.
type retry struct {
	whole bool // it goes on only in one large slice
}

// undecidedTask is a timeline of a share.
type undecidedTask struct {
	share Share
	root  ibgib.Addr
}

func newUndecided() undecided { return undecided{noted: make(chan struct{}, 1)} }

func (u *undecided) note(share Share, root ibgib.Addr) {
	if u.roots == nil {
		u.roots = make(map[Share]map[ibgib.Addr]retry)
	}
	if u.roots[share] == nil {
		u.roots[share] = make(map[ibgib.Addr]retry)
	}
	if _, known := u.roots[share][root]; !known {
		u.roots[share][root] = retry{}
		u.left = false
		signal(u.noted)
	}
}

// Undecided holds a value when something has become undecided since the last one was
// taken, so that RetryMerges has something to do.
func (s *Store) Undecided() <-chan struct{} { return s.undecided.noted }

// LeaveMerges records that what is undecided is too much for who uses the store now, and
// is left to a node that runs. That lasts until something more is undecided.
func (s *Store) LeaveMerges() error {
	if err := s.life.enter(); err != nil {
		return fmt.Errorf("blockstore: %w", err)
	}
	defer s.life.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.undecided.empty() || s.undecided.left {
		return nil
	}
	b := newBatch()
	b.put(keyUndecided, []byte{2})
	if err := s.kv.write(b); err != nil {
		return fmt.Errorf("blockstore: leave merges: %w", err)
	}
	s.undecided.left = true
	return nil
}

// MergesLeft tells whether all that is undecided was left by LeaveMerges.
func (s *Store) MergesLeft() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.undecided.left
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
	s.undecided.none, s.undecided.left = true, false
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
	record, _, err := snap.get(keyUndecided)
	if err != nil {
		return err
	}
	defer func() { s.undecided.left = bytes.Equal(record, []byte{2}) }()
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
	Spent  int64   // on computing merges
}

// RetryMerges takes up what is undecided: frames, which may move heads, and entries
// that are not merged. It works in slices, between which other changes come, and spends
// what fills up within a minute; each try goes on where the one before ended as long as
// memory for that lasts. So call it about as often, first when the store has been opened,
// and when Undecided says so. progress may be nil; it is called before each timeline.
func (s *Store) RetryMerges(ctx context.Context, progress func(done, all int)) (RetryResult, error) {
	var res RetryResult
	tasks, err := s.undecidedTasks(ctx)
	if err != nil {
		return res, fmt.Errorf("blockstore: retry merges: %w", err)
	}
	for i, task := range tasks {
		if progress != nil {
			progress(i, len(tasks))
		}
		over, err := s.retryMerge(ctx, task, &res)
		if err != nil {
			return res, fmt.Errorf("blockstore: retry merge of %s: %w", task.root, err)
		}
		if over {
			res.Left += len(tasks) - i - 1
			break
		}
	}
	if err := s.recordUndecided(); err != nil {
		return res, fmt.Errorf("blockstore: retry merges: %w", err)
	}
	return res, nil
}

// undecidedTasks returns what there is to do, in order, from where the last RetryMerges
// could not go on.
func (s *Store) undecidedTasks(ctx context.Context) ([]undecidedTask, error) {
	if err := s.life.enter(); err != nil {
		return nil, err
	}
	defer s.life.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.findUndecided(ctx); err != nil {
		return nil, err
	}
	var tasks []undecidedTask
	for share, roots := range s.undecided.roots {
		for root := range roots {
			tasks = append(tasks, undecidedTask{share, root})
		}
	}
	slices.SortFunc(tasks, undecidedTask.compare)
	from, _ := slices.BinarySearchFunc(tasks, s.undecided.next, undecidedTask.compare)
	return append(tasks[from:], tasks[:from]...), nil
}

func (t undecidedTask) compare(o undecidedTask) int {
	return cmp.Or(cmp.Compare(t.share, o.share), ibgib.CompareAddr(t.root, o.root))
}

// retryMerge works on one timeline, slice by slice, until it is decided or has had its
// part. A slice that brings it no further is followed by one twice as large. over tells
// that nothing is left to spend on others either.
func (s *Store) retryMerge(ctx context.Context, task undecidedTask, res *RetryResult) (over bool, err error) {
	var spent int64
	slice, whole := s.firstSlice(task)
	defer func() { s.noteRetry(task, whole) }()
	for {
		done, err := s.retrySlice(ctx, task, slice, spent, res)
		spent += done.spent
		if done.further {
			whole = false
		}
		res.Spent += done.spent
		switch {
		case err != nil || done.decided:
			return false, err
		case done.over || done.granted == 0 || !done.further && done.granted < slice:
			res.Left++
			return done.over, nil
		case !done.further:
			slice, whole = 2*slice, true
		}
	}
}

// firstSlice is how much work is done at first, and whether that is all that there may be.
func (s *Store) firstSlice(task undecidedTask) (slice int64, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.undecided.roots[task.share][task.root].whole {
		return s.merging.ofTimeline, true
	}
	return s.merging.slice, false
}

// noteRetry notes whether the work on a timeline goes on only in one large slice.
func (s *Store) noteRetry(task undecidedTask, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, still := s.undecided.roots[task.share][task.root]; still {
		s.undecided.roots[task.share][task.root] = retry{whole: whole}
	}
}

// sliceDone is what one slice of the work on a timeline came to.
type sliceDone struct {
	granted, spent int64
	decided        bool
	further        bool // more is known than before
	over           bool // nothing is left to spend
}

// retrySlice decides about the undecided frames of a timeline, moves its heads, and
// merges them, as far as a slice of work leads. spent is what the ones before have taken.
func (s *Store) retrySlice(ctx context.Context, task undecidedTask, slice, spent int64, res *RetryResult) (done sliceDone, err error) {
	st, err := s.NewStage(task.share, Origin{})
	if err != nil {
		return done, err
	}
	defer st.Discard()
	err = st.turn(func(w *writer) error {
		m := &s.merging
		m.retries.refill(s.now())
		done.granted = max(0, min(slice, m.ofTimeline-spent, m.retries.left))
		m.turn = done.granted
		known := m.remembered(task.share, task.root)
		waiting, left, err := st.admitUndecided(ctx, w, task.root)
		if err != nil {
			return err
		}
		h, _ := task.root.Hash()
		st.redo = map[ibgib.Hash]bool{h: true}
		if _, ok := st.candidates[h]; !ok {
			st.candidates[h] = nil // to be looked at
		}
		made, err := st.commit(ctx, w)
		if err != nil {
			return err
		}
		e, _, err := w.entry(h)
		if err != nil {
			return err
		}
		done.spent = done.granted - m.turn
		m.retries.left -= done.spent
		done.over = m.retries.left <= 0
		done.further = left < waiting || m.remembered(task.share, task.root) > known
		if done.decided = left == 0 && e.Conflict.Reason != ReasonUndecided; done.decided {
			s.undecided.settled(task.share, task.root)
		} else if done.over {
			s.undecided.next = task
		}
		res.Moved += made.Moved
		res.Merges = append(res.Merges, made.Merges[:min(len(made.Merges), maxListed-len(res.Merges))]...)
		return nil
	})
	return done, err
}

// admitUndecided offers the undecided frames of a timeline again, each after what
// it stands on, and returns how many there were and are left.
func (st *Stage) admitUndecided(ctx context.Context, w *writer, root ibgib.Addr) (waiting, left int, err error) {
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
		return 0, 0, err
	}
	for _, g := range timeline.SortTopological(gs) {
		h := g.Hash()
		m, err := w.member(h)
		if err != nil {
			return 0, 0, err
		}
		if m == nil || !m.closed || m.frame != nil {
			continue
		}
		own := *m
		w.remove(shareKey(prefixRejected, w.share, h))
		if err := w.admit(g, &own); err != nil {
			return 0, 0, err
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
			return 0, 0, err
		}
		if err := w.flushIfFull(); err != nil {
			return 0, 0, err
		}
	}
	return len(gs), left, nil
}
