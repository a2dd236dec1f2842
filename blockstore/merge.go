package blockstore

import (
	"context"
	"errors"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// Strategy says what the store presents of a timeline with several heads.
type Strategy uint8

const (
	// Manual presents the head with the greatest (n, HASH), until a person resolves
	// the conflict.
	Manual Strategy = iota
	// Optimistic presents the merge frame of the heads, where they have one.
	Optimistic
)

// ReasonUndecided is the reason of a Conflict that is to be merged yet: that would
// have exceeded what merges of its peer may cost for now, or the store has been
// opened with another strategy or other rules. See Store.RetryMerges.
const ReasonUndecided = "undecided"

// Conflict says why a timeline with several heads is not merged. It is zero if it
// is, and if that was not tried.
type Conflict struct {
	Reason string     // ReasonUndecided, or one of the Reason constants of package timeline
	Detail string     // for people
	Base   ibgib.Addr // see timeline.Unmergeable
	Opaque ibgib.Addr
}

// Merge tells of a timeline whose heads a commit has merged.
type Merge struct {
	Root   ibgib.Addr
	Latest ibgib.Addr // the merge frame
	// Last is the frame of the last change in the merge, of which that has its time.
	Last ibgib.Addr
	// Overridden are the writes that the merge overrode, as far as the heads before
	// the commit had not seen both sides of it.
	Overridden []timeline.Overridden
	Skipped    []ibgib.Addr // ops that could not be applied
}

// frameUntil is frame until the end of ctx.
func (w *writer) frameUntil(ctx context.Context) timeline.FrameLookup {
	return func(a ibgib.Addr) (timeline.Frame, bool, error) {
		if err := ctx.Err(); err != nil {
			return timeline.Frame{}, false, err
		}
		return w.frame(a)
	}
}

// entryAfter makes the entry for the heads that a timeline has now. It takes over
// from the entry before what a person chose or is to choose; open tells that
// neither is the case of several heads, which are to be merged then.
func (w *writer) entryAfter(old Entry, heads []timeline.Frame, frame timeline.FrameLookup, manual bool) (e Entry, open bool, err error) {
	e = newEntry(heads)
	if len(heads) < 2 {
		return e, false, nil
	}
	e.Held = old.Held || manual
	if old.Pinned {
		branch, err := branchOf(old.Latest, heads, frame)
		if err != nil {
			return e, false, err
		}
		if len(branch) > 0 {
			e.pin(timeline.Latest(branch))
			return e, false, nil
		}
	}
	return e, !e.Held && w.s.strategy == Optimistic, nil
}

// leaveOpen leaves an entry that is to be merged to RetryMerges.
func (w *writer) leaveOpen(e *Entry, detail string) {
	e.Conflict = Conflict{Reason: ReasonUndecided, Detail: detail}
	w.noteUndecided(e.Root)
}

// mergeHeads merges the heads of an entry, at the expense of the stage's origin, and
// stores the merge frame. It returns nil if that is not possible, or not for now.
func (st *Stage) mergeHeads(w *writer, e *Entry, heads []timeline.Frame, frame timeline.FrameLookup) (*timeline.Merged, error) {
	task := mergeTask{w.share, e.Root, latestOfHeads}
	work, spent := st.s.merging.work(task, st.s.peers[st.origin.Peer], st.s.now())
	merged, err := timeline.Merge(heads, frame, w.blockAt, work)
	spent()
	if none, ok := errors.AsType[*timeline.Unmergeable](err); ok {
		e.Conflict = Conflict{none.Reason, none.Detail, none.Base, none.Opaque}
		return nil, nil
	}
	if errors.Is(err, timeline.ErrOverBudget) {
		w.leaveOpen(e, err.Error())
		return nil, nil
	}
	if err == nil {
		err = st.addMerge(w, merged)
	}
	if err != nil {
		return nil, err
	}
	e.merged(merged.Frame)
	return &merged, nil
}

// merged makes a merge frame the latest.
func (e *Entry) merged(f timeline.Frame) {
	e.Latest, e.N, e.HasN, e.Merged = f.Addr, f.N, f.HasN, true
}

// addMerge stores a merge frame that was computed here, unless it is there.
func (st *Stage) addMerge(w *writer, merged timeline.Merged) error {
	h := merged.IbGib.Hash()
	m, err := w.member(h)
	if err != nil {
		return err
	}
	if m == nil {
		w.computed = &merged.Frame
		_, _, refused, err := w.add(merged.IbGib, func() uint64 { return st.nextSeq(w) }, 0, st.s.arrivalTime())
		w.computed = nil
		if err == nil && refused != nil {
			err = refused
		}
		return err
	}
	if m.frame != nil || !m.closed {
		return nil
	}
	own := *m // it had been too expensive to check
	own.frame = &merged.Frame
	w.setMember(h, &own)
	w.remove(shareKey(prefixRejected, w.share, h))
	return nil
}

// storeMerges stores the merge frames of what the stage makes diverge, where blocks
// of the share wait for others: one that waits for such a frame can be a head, and
// has to be a candidate before anything is decided.
func (st *Stage) storeMerges(ctx context.Context, w *writer) error {
	if st.s.strategy != Optimistic || !st.s.waiting[st.share] {
		return nil
	}
	for before := -1; before != st.added; {
		before = st.added
		err := st.eachCandidate(w, func(root ibgib.Hash, list []ibgib.Addr) error {
			if st.stones[root] {
				return nil
			}
			old, heads, err := st.headsWith(ctx, w, root, list)
			if err != nil {
				return err
			}
			e, open, err := w.entryAfter(old, heads, w.frameUntil(ctx), st.origin.Manual)
			if err != nil || !open {
				return err
			}
			if _, err = st.mergeHeads(w, &e, heads, w.frameUntil(ctx)); err != nil {
				return err
			}
			return w.flushIfFull()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reported is what a commit tells of a merge.
func (w *writer) reported(old Entry, merged timeline.Merged) (*Merge, error) {
	r := &Merge{Root: merged.Frame.Tjp, Latest: merged.Frame.Addr, Last: merged.Keep, Skipped: merged.Skipped}
	if n := len(merged.Replayed); n > 0 {
		r.Last = merged.Replayed[n-1]
	}
	seen := timeline.NewHistory(w.frame)
	for _, a := range old.Heads {
		f, ok, err := w.frame(a)
		if err != nil {
			return nil, err
		}
		if ok {
			seen.Add(f)
		}
	}
	known := make(map[ibgib.Addr]bool)
	knows := func(a ibgib.Addr) (bool, error) {
		if in, ok := known[a]; ok {
			return in, nil
		}
		f, _, err := w.frame(a)
		if err != nil {
			return false, err
		}
		in, err := seen.Contains(f)
		known[a] = in
		return in, err
	}
	for _, o := range merged.Overridden {
		lost, err := knows(o.LostBy)
		if err != nil {
			return nil, err
		}
		won, err := knows(o.WonBy)
		if err != nil {
			return nil, err
		}
		if !lost || !won {
			r.Overridden = append(r.Overridden, o)
		}
	}
	return r, nil
}

// sameLatest tells whether two entries with the same heads present the same.
func sameLatest(a, b Entry) bool {
	return a.Latest == b.Latest && a.N == b.N && a.HasN == b.HasN && a.Pinned == b.Pinned &&
		a.Merged == b.Merged && a.Held == b.Held && a.Conflict == b.Conflict && slices.Equal(a.Heads, b.Heads)
}
