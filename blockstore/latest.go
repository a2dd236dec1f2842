package blockstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// PinLatest makes head, one of several heads of a timeline, its latest, in place
// of the greatest one, and returns the entry. Nothing of that travels.
//
// The pin stands for a branch: when frames follow the pinned head, the newest of
// them is pinned in its place. It lapses when the head is in the history of
// another branch, when no other head is left, and by UnpinLatest. It fails with
// ErrNotFound if head is not one of several heads in the share.
func (s *Store) PinLatest(ctx context.Context, share Share, head ibgib.Addr) (Entry, error) {
	e, err := s.setLatest(ctx, share, func(w *writer) (Entry, error) {
		if err := s.space.check(); err != nil {
			return Entry{}, err
		}
		f, ok, err := w.frame(head)
		if err != nil {
			return Entry{}, err
		}
		if !ok {
			return Entry{}, fmt.Errorf("%s: %w", head, ErrNotFound)
		}
		root, _ := f.Tjp.Hash()
		e, _, err := w.entry(root)
		if err != nil {
			return e, err
		}
		if len(e.Heads) < 2 || !slices.Contains(e.Heads, head) {
			return e, fmt.Errorf("%s is not one of several heads: %w", head, ErrNotFound)
		}
		e.pin(f)
		return e, nil
	})
	if err != nil {
		return Entry{}, fmt.Errorf("blockstore: pin latest: %w", err)
	}
	return e, nil
}

// UnpinLatest ends what PinLatest began: the latest is what it would be without.
// It fails with ErrNotFound if nothing of the timeline is pinned.
func (s *Store) UnpinLatest(ctx context.Context, share Share, root ibgib.Hash) (Entry, error) {
	e, err := s.setLatest(ctx, share, func(w *writer) (Entry, error) {
		e, _, err := w.entry(root)
		if err != nil {
			return e, err
		}
		if !e.Pinned {
			return e, fmt.Errorf("pin of timeline %s: %w", root, ErrNotFound)
		}
		heads, err := w.headFrames(e)
		if err != nil {
			return e, err
		}
		old := e
		old.Pinned = false
		e, open, err := w.entryAfter(old, heads, w.frame, false)
		if open {
			w.leaveOpen(&e, "the pin has been removed")
		}
		e.Seq = old.Seq
		return e, err
	})
	if err == nil && e.Conflict.Reason == ReasonUndecided {
		e, err = s.mergeNow(ctx, share, e)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("blockstore: unpin latest: %w", err)
	}
	return e, nil
}

// mergeNow merges the heads of an undecided entry, if the disk has room for the
// merge frame, and returns the entry.
func (s *Store) mergeNow(ctx context.Context, share Share, e Entry) (Entry, error) {
	_, err := s.retryMerge(ctx, undecidedTask{share, e.Root}, new(RetryResult))
	if errors.Is(err, ErrDiskFull) {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	root, _ := e.Root.Hash()
	e, _, err = s.View(share).Entry(ctx, root)
	return e, err
}

// headFrames returns the frames of an entry's heads.
func (w *writer) headFrames(e Entry) ([]timeline.Frame, error) {
	heads := make([]timeline.Frame, len(e.Heads))
	for i, a := range e.Heads {
		f, ok, err := w.frame(a)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("%w: head %s is no admitted frame", ErrCorrupt, a)
		}
		heads[i] = f
	}
	return heads, nil
}

// setLatest writes the entry that f returns, of which the heads are as they were, at the
// end of the change log.
func (s *Store) setLatest(ctx context.Context, share Share, f func(w *writer) (Entry, error)) (Entry, error) {
	if err := s.life.enter(); err != nil {
		return Entry{}, err
	}
	defer s.life.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return Entry{}, err
	}
	w := s.newWriter(share, nil)
	defer w.end()
	e, err := f(w)
	if err != nil {
		return e, err
	}
	root, _ := e.Root.Hash()
	if old, _, err := w.entry(root); err != nil || sameLatest(e, old) {
		return e, err
	}
	state, err := s.state(w, share)
	if err != nil {
		return e, err
	}
	e = w.relog(e, &state)
	if err := w.flush(); err != nil {
		return e, err
	}
	s.watches.moved(share)
	return e, nil
}

// relog writes an entry of which the heads are as they were at the end of the change log,
// since another latest is presented.
func (w *writer) relog(e Entry, state *shareState) Entry {
	d := decided{entry: e, prevSeq: e.Seq}
	state.seq++
	d.entry.Seq = state.seq
	putDecided(w, w.share, d)
	w.put(sharePrefix(prefixState, w.share), encodeState(*state))
	return d.entry
}

// pin makes a head the latest by choice of a person.
func (e *Entry) pin(head timeline.Frame) {
	e.Latest, e.N, e.HasN, e.Pinned = head.Addr, head.N, head.HasN, true
	e.Merged, e.Conflict = false, Conflict{}
}

// branchOf returns those of the heads that are the frame at, or that lead to it
// by their predecessors alone.
func branchOf(at ibgib.Addr, heads []timeline.Frame, frame timeline.FrameLookup) ([]timeline.Frame, error) {
	foot, ok, err := frame(at)
	if err != nil || !ok {
		return nil, err
	}
	leads := map[ibgib.Addr]bool{at: true} // frames that have been walked
	var branch []timeline.Frame
	for _, head := range heads {
		var walked []ibgib.Addr
		f := head
		found, known := leads[f.Addr]
		for !known {
			walked = append(walked, f.Addr)
			if f.Pred.IsZero() || foot.HasN && f.N <= foot.N {
				break
			}
			pred := f.Pred
			if f, ok, err = frame(pred); err != nil {
				return nil, err
			}
			if !ok {
				return nil, fmt.Errorf("%w: predecessor %s is no admitted frame", ErrCorrupt, pred)
			}
			found, known = leads[pred]
		}
		for _, a := range walked {
			leads[a] = found
		}
		if found {
			branch = append(branch, head)
		}
	}
	return branch, nil
}
