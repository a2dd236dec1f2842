package blockstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// maxInlineEntries is the number of changed entries up to which a commit is
// one transaction. A larger one is staged: its entries are written aside in
// any number of transactions, one decision record makes it final, and then it
// is applied, again after a crash if need be.
const maxInlineEntries = 256

// CommitResult tells what a commit did.
type CommitResult struct {
	Moved    int     // entries whose heads changed
	Diverged []Entry // those of them with several heads; at most 1,000
	Merges   []Merge // those of them that were merged; at most 1,000
	// Rejected are the frames that a rule kept out of the index; at most 1,000.
	Rejected []timeline.Rejection
	Seq      uint64 // change sequence of the share after the commit
}

// Commit moves the heads of every timeline that the stage's frames extend, and
// ends the stage.
func (st *Stage) Commit(ctx context.Context) (CommitResult, error) {
	var res CommitResult
	err := st.turn(func(w *writer) error {
		var err error
		res, err = st.commit(ctx, w)
		return err
	})
	if err != nil {
		return CommitResult{}, fmt.Errorf("blockstore: commit: %w", err)
	}
	return res, nil
}

// Apply stores the ibGibs of one local change and moves the heads: a small
// change in one transaction.
func (s *Store) Apply(ctx context.Context, share Share, origin Origin, gs []ibgib.IbGib) (PutResult, CommitResult, error) {
	var put PutResult
	var res CommitResult
	st, err := s.NewStage(share, origin)
	if err != nil {
		return put, res, err
	}
	defer st.Discard()
	err = st.turn(func(w *writer) (err error) {
		if put, err = st.putBuffered(ctx, w, gs); err != nil {
			return err
		}
		res, err = st.commit(ctx, w)
		return err
	})
	if err != nil {
		return PutResult{}, CommitResult{}, fmt.Errorf("blockstore: apply: %w", err)
	}
	return put, res, nil
}

// Change is Apply for a change that depends on the latest frame of a timeline:
// f gets it and returns the ibGibs of the change. No other change of the store
// comes between, so two of them never make a timeline diverge. f must not call
// the store. computed is a merge frame among them that the caller has computed from what
// the store has, and which is not computed again; nil for none. It fails with ErrNotFound
// if the share has no such timeline.
func (s *Store) Change(ctx context.Context, share Share, root ibgib.Hash, computed *timeline.Frame, f func(latest ibgib.IbGib) ([]ibgib.IbGib, error)) (PutResult, CommitResult, error) {
	var put PutResult
	var res CommitResult
	st, err := s.NewStage(share, Origin{})
	if err != nil {
		return put, res, err
	}
	defer st.Discard()
	err = st.turn(func(w *writer) error {
		e, found, err := w.entry(root)
		if err != nil {
			return err
		}
		if !found || e.Stone {
			return fmt.Errorf("timeline %s: %w", root, ErrNotFound)
		}
		latest, err := w.blockAt(e.Latest)
		if err != nil {
			return err
		}
		gs, err := f(latest)
		if err != nil {
			return err
		}
		w.computed = computed
		if put, err = st.putBuffered(ctx, w, gs); err != nil {
			return err
		}
		if len(put.Refused) > 0 {
			return put.Refused[0]
		}
		res, err = st.commit(ctx, w)
		return err
	})
	if err != nil {
		return PutResult{}, CommitResult{}, fmt.Errorf("blockstore: change: %w", err)
	}
	return put, res, nil
}

// decided is an entry as it will be, with the change sequence that it had.
type decided struct {
	entry   Entry
	prevSeq uint64 // 0 if the entry is new, or stays where it is in the change log
	still   bool   // the heads are as they were; another latest is presented
}

func (st *Stage) commit(ctx context.Context, w *writer) (CommitResult, error) {
	if err := st.takeBorrowed(w); err != nil {
		return CommitResult{}, err
	}
	if err := st.resolvePins(w); err != nil {
		return CommitResult{}, err
	}
	if err := st.applyBar(ctx, w); err != nil {
		return CommitResult{}, err
	}
	if st.leaves() {
		return st.commitAccepted(ctx, w)
	}
	if err := st.addStones(w); err != nil {
		return CommitResult{}, err
	}
	res := CommitResult{Rejected: st.rejected}
	state, err := st.s.state(w, st.share)
	if err != nil {
		return res, err
	}
	if err := st.storeMerges(ctx, w); err != nil {
		return res, err
	}
	var inline []decided
	var done Counts
	var journal *mergeJournaling // nil: nothing has been merged
	staged := 0
	err = st.eachCandidate(w, func(root ibgib.Hash, list []ibgib.Addr) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		d, merge, err := st.decide(ctx, w, root, list, &state)
		if err != nil || d.entry.Root.IsZero() {
			return err
		}
		if !d.still {
			res.Moved++
		}
		if merge != nil {
			done.Merges++
			done.Overridden += uint64(len(merge.Overridden))
			done.Skipped += uint64(len(merge.Skipped))
			if len(res.Merges) < maxListed {
				res.Merges = append(res.Merges, *merge)
			}
			if journal, err = w.journalMerge(journal, merge); err != nil {
				return err
			}
		}
		if len(d.entry.Heads) > 1 && len(res.Diverged) < maxListed {
			res.Diverged = append(res.Diverged, d.entry)
		}
		inline = append(inline, d)
		if len(inline) > maxInlineEntries {
			staged += len(inline)
			err = st.stageEntries(w, inline)
			inline = inline[:0]
		}
		return err
	})
	if err != nil {
		return res, err
	}
	res.Seq = state.seq
	if staged > 0 {
		if err := st.stageEntries(w, inline); err != nil {
			return res, err
		}
		err = st.commitStaged(w, decision{share: st.share, state: state}, journal)
	} else {
		err = st.commitInline(w, inline, state, journal)
	}
	if err != nil {
		return res, err
	}
	done.Moved = uint64(res.Moved)
	st.s.counts.committed(st.share, done)
	if staged+len(inline) > 0 {
		st.s.watches.moved(st.share)
	}
	if journal != nil {
		st.s.journaled.moved(st.share)
	}
	st.end()
	st.s.loose.set(st.id, nil)
	if peer := st.s.peers[st.origin.Peer]; peer != 0 {
		st.s.pinned[peer] += len(st.stones)
	}
	return res, w.settle()
}

// commitAccepted is commit for a stage of a peer in which something has come that
// no head needs: a new stage takes what the heads need and is committed in place of
// this one. The rest goes on to count against the budget.
func (st *Stage) commitAccepted(ctx context.Context, w *writer) (CommitResult, error) {
	st.end()
	next := st.s.newStage(st.share, st.origin)
	defer next.end()
	next.pins, next.rejected, next.accepted = st.pins, st.rejected, true
	w.onClosed, w.onLink = func(m *member) error { return next.closed(w, m) }, nil // nothing new comes but merge frames
	takeHead := func(h ibgib.Hash) error {
		m, err := w.member(h)
		if err != nil || m == nil {
			return err
		}
		return next.touch(w, h, m)
	}
	if err := st.eachCandidate(w, func(_ ibgib.Hash, list []ibgib.Addr) error {
		for _, a := range list {
			if err := ctx.Err(); err != nil {
				return err
			}
			h, _ := a.Hash()
			if err := takeHead(h); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return CommitResult{}, err
	}
	for _, h := range st.pins {
		if err := takeHead(h); err != nil {
			return CommitResult{}, err
		}
	}
	if l := st.s.loose.byID[st.id]; l.bytes <= stageOverhead { // nothing is left
		st.s.loose.set(st.id, nil)
		w.changeLoose(st.id)
	}
	res, err := next.commit(ctx, w)
	if err == nil && st.spilled {
		err = st.s.sweep(st.id)
	}
	return res, err
}

// eachCandidate calls f for each root the stage touches, by ascending hash.
func (st *Stage) eachCandidate(w *writer, f func(root ibgib.Hash, list []ibgib.Addr) error) error {
	if !st.spilled {
		return eachSorted(st.candidates, f)
	}
	if err := st.spill(w); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	snap := st.s.snapshot() // f may flush, which renews the writer's own
	defer snap.release()
	return snap.scan(stagePrefix(prefixStaged, st.id), nil, func(key, value []byte) (bool, error) {
		list, err := decodeAddrs(value)
		if err != nil {
			return false, corrupt("staged", key, err)
		}
		return true, f(lastHash(key), list)
	})
}

// decide returns the entry that root gets, and enters it in state; the zero value
// if nothing changes, and of a root that is forgotten. merge tells what came of several heads.
func (st *Stage) decide(ctx context.Context, w *writer, root ibgib.Hash, candidates []ibgib.Addr, state *shareState) (d decided, merge *Merge, err error) {
	if st.s.forgotten[st.share][root] {
		return d, nil, nil
	}
	old, found, err := w.entry(root)
	if err != nil {
		return d, nil, err
	}
	if st.stones[root] {
		if found {
			return d, nil, nil
		}
		d.entry = stoneEntry(pin{candidates[0], w.peer(st.origin.Peer)})
		d.enter(state)
		return d, nil, nil
	}
	old, heads, err := st.headsWith(ctx, w, root, candidates)
	still := found && slices.Equal(newEntry(heads).Heads, old.Heads)
	if err != nil || len(heads) == 0 || still && !st.redo[root] {
		return d, nil, err
	}
	e, open, err := w.entryAfter(old, heads, w.frameUntil(ctx), st.origin.Manual)
	if err != nil {
		return d, nil, err
	}
	if open {
		merged, err := st.mergeHeads(w, &e, heads, w.frameUntil(ctx))
		if err != nil {
			return d, nil, err
		}
		if merged != nil {
			if merge, err = w.reported(old, *merged); err != nil {
				return d, nil, err
			}
		}
	}
	if still {
		if e.Seq = old.Seq; sameLatest(e, old) {
			return d, nil, nil
		}
		d = decided{entry: e, prevSeq: old.Seq, still: true}
		state.seq++
		d.entry.Seq = state.seq
		return d, merge, nil
	}
	d = decided{entry: e, prevSeq: old.Seq}
	if found {
		state.fingerprint.Remove(old.Knowledge().Digest())
	}
	d.enter(state)
	return d, merge, nil
}

// headsWith returns the entry of a root and the heads that it has with the
// candidates.
func (st *Stage) headsWith(ctx context.Context, w *writer, root ibgib.Hash, candidates []ibgib.Addr) (old Entry, heads []timeline.Frame, err error) {
	if err := ctx.Err(); err != nil {
		return old, nil, err
	}
	if old, _, err = w.entry(root); err != nil {
		return old, nil, err
	}
	var frames []timeline.Frame
	for i, a := range append(slices.Clone(old.Heads), candidates...) {
		f, ok, err := w.frame(a)
		if err != nil {
			return old, nil, err
		}
		if ok {
			frames = append(frames, f)
		} else if i < len(old.Heads) {
			return old, nil, fmt.Errorf("%w: head %s is no admitted frame", ErrCorrupt, a)
		} // else another stage's turn closed it, and failed before that was written
	}
	heads, err = timeline.Maximal(frames, w.frame)
	return old, heads, err
}

// enter enters the entry in the summary of its share.
func (d *decided) enter(state *shareState) {
	state.fingerprint.Add(d.entry.Knowledge().Digest())
	state.seq++
	d.entry.Seq = state.seq
}

// recorder takes operations: a batch, or a writer.
type recorder interface {
	put(key, value []byte)
	remove(key []byte)
}

func putDecided(b recorder, share Share, d decided) {
	root, _ := d.entry.Root.Hash()
	b.put(shareKey(prefixEntry, share, root), encodeEntry(d.entry))
	if d.entry.Stone {
		b.put(shareKey(prefixPin, share, root), encodePin(pin{d.entry.Root, d.entry.pinnedBy}))
	}
	if d.prevSeq != 0 {
		b.remove(changeKey(share, d.prevSeq))
	}
	b.put(changeKey(share, d.entry.Seq), root[:])
}

func (st *Stage) commitInline(w *writer, list []decided, state shareState, journal *mergeJournaling) error {
	if err := w.flushIfFull(); err != nil {
		return err
	}
	for _, d := range list {
		putDecided(w, st.share, d)
	}
	if len(list) > 0 {
		w.put(sharePrefix(prefixState, st.share), encodeState(state))
	}
	if st.s.loose.byID[st.id] != nil {
		st.s.loose.set(st.id, nil)
		w.changeLoose(st.id)
	}
	if err := journal.settle(w); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	if st.spilled {
		return st.s.sweep(st.id)
	}
	return nil
}

// stageEntries writes decided entries aside.
func (st *Stage) stageEntries(w *writer, list []decided) error {
	st.s.aside[st.id], st.deciding = true, true
	for _, d := range list {
		root, _ := d.entry.Root.Hash()
		value := append(binary.AppendUvarint(nil, d.prevSeq), encodeEntry(d.entry)...)
		w.put(stageKey(prefixDecided, st.id, root), value)
		if err := w.flushIfFull(); err != nil {
			return err
		}
	}
	return nil
}

// commitStaged decides the commit whose entries have been staged, and applies
// it. When the deciding write fails, nobody knows whether it was made until the store is
// opened again: an engine can have failed after it.
func (st *Stage) commitStaged(w *writer, d decision, journal *mergeJournaling) error {
	if err := w.flush(); err != nil {
		return err
	}
	if err := journal.settle(w); err != nil {
		return err
	}
	w.put(stagePrefix(prefixDecision, st.id), encodeDecision(d))
	err := w.flush()
	if err == nil {
		err = st.s.apply(st.id, d)
	}
	if err == nil {
		err = st.s.sweep(st.id)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrHalfApplied, err)
		st.s.life.fail(err)
		return err
	}
	return nil
}

// state returns the summary of a share.
func (s *Store) state(w *writer, share Share) (shareState, error) {
	key := sharePrefix(prefixState, share)
	b, found, err := w.get(key)
	if err != nil || !found {
		return shareState{}, err
	}
	state, err := decodeState(b)
	if err != nil {
		return state, corrupt("share", key, err)
	}
	return state, nil
}
