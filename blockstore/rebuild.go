package blockstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// refreshIndex rebuilds the index if other admission rules wrote it, and applies
// the strategy if the entries show another one. What it leaves to be merged is
// undecided. The records that tell are written last, so an interrupted run begins
// again.
func (s *Store) refreshIndex() error {
	snap := s.kv.snapshot()
	rules, found, err := snap.get(keyRules)
	strategy, known, strategyErr := snap.get(keyStrategy)
	snap.release()
	if err := errors.Join(err, strategyErr); err != nil {
		return err
	}
	shown := Manual // also of stores from before there was a choice
	if known && len(strategy) == 1 {
		shown = Strategy(strategy[0])
	}
	v, n := binary.Uvarint(rules)
	switch {
	case !found || n <= 0 || v != timeline.RulesVersion:
		if err := s.rebuildIndex(); err != nil {
			return fmt.Errorf("rebuild the index: %w", err)
		}
	case shown != s.strategy:
		if err := s.applyStrategy(); err != nil {
			return fmt.Errorf("apply the strategy: %w", err)
		}
	default:
		return nil
	}
	done := newBatch()
	done.put(keyRules, binary.AppendUvarint(nil, timeline.RulesVersion))
	done.put(keyStrategy, []byte{byte(s.strategy)})
	return s.kv.write(done)
}

// applyStrategy makes anew the entries of the timelines with several heads.
func (s *Store) applyStrategy() error {
	shares, err := s.shares()
	if err != nil {
		return err
	}
	for _, share := range shares {
		if err := s.applyStrategyTo(share); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) applyStrategyTo(share Share) error {
	snap := s.snapshot()
	defer snap.release()
	w := s.newWriter(share, nil)
	defer w.end()
	state, err := s.state(w, share)
	if err != nil {
		return err
	}
	err = snap.scan(sharePrefix(prefixEntry, share), nil, func(key, value []byte) (bool, error) {
		old, err := decodeEntry(value)
		if err != nil {
			return false, corrupt("entry", key, err)
		}
		if len(old.Heads) < 2 {
			return true, nil
		}
		heads, err := w.headFrames(old)
		if err != nil {
			return false, err
		}
		e, open, err := w.entryAfter(old, heads, w.frame, false)
		if err != nil {
			return false, err
		}
		if open {
			w.leaveOpen(&e, "the strategy of the store has changed")
		}
		if e.Seq = old.Seq; sameLatest(e, old) {
			return true, nil
		}
		w.relog(e, &state)
		return true, w.flushIfFull()
	})
	if err != nil {
		return err
	}
	return w.flush()
}

// rebuildIndex computes frames, rejections, heads and fingerprints of every
// share anew from the blocks.
func (s *Store) rebuildIndex() error {
	shares, err := s.shares()
	if err != nil {
		return err
	}
	for _, share := range shares {
		if _, err := s.rebuildShare(share, nil); err != nil {
			return err
		}
	}
	return nil
}

// shares returns the shares that have members, ascending.
func (s *Store) shares() ([]Share, error) {
	snap := s.snapshot()
	defer snap.release()
	return sharesOf(snap)
}

func sharesOf(snap snapshot) ([]Share, error) {
	var list []Share
	next := DefaultShare
	for {
		found := false
		err := snap.scanKeys([]byte{prefixMember}, sharePrefix(prefixMember, next), func(key []byte) (bool, error) {
			next, found = Share(binary.BigEndian.Uint32(key[1:])), true
			return false, nil
		})
		if err != nil || !found {
			return list, err
		}
		list = append(list, next)
		if next == LocalArea {
			return list, nil
		}
		next++
	}
}

// A rebuild is the work on one share.
type rebuild struct {
	w       *writer
	share   Share
	changed int                                   // records put right
	moved   func(root ibgib.Hash, was, now Entry) // may be nil
	history map[ibgib.Hash]bool                   // uncommitted arrivals that are in the history of a head all the same
	done    map[ibgib.Hash]bool                   // blocks decided
	heads   map[ibgib.Hash]map[ibgib.Addr]bool    // root -> heads so far
	stones  map[ibgib.Hash]pin                    // those that are pinned
}

// rebuildShare tells moved, if not nil, of each entry as it was and as it is now;
// the zero Entry stands for none. It returns how many records of the index it has
// put right.
func (s *Store) rebuildShare(share Share, moved func(root ibgib.Hash, was, now Entry)) (changed int, err error) {
	r := &rebuild{
		share: share, moved: moved, history: make(map[ibgib.Hash]bool),
		done: make(map[ibgib.Hash]bool), heads: make(map[ibgib.Hash]map[ibgib.Addr]bool),
	}
	r.w = s.newWriter(share, nil)
	defer r.w.end()
	s.recent.clear()
	old := s.snapshot()
	defer old.release()
	entries, err := r.oldEntries(old)
	if err != nil {
		return 0, err
	}
	err = old.scan(sharePrefix(prefixMember, share), nil, func(key, value []byte) (bool, error) {
		m, err := decodeMember(lastHash(key), value)
		if err != nil {
			return false, corrupt("member", key, err)
		}
		if !m.closed {
			return true, nil
		}
		return true, r.visit(lastHash(key))
	})
	if err != nil {
		return 0, err
	}
	if r.stones, err = pinnedStones(old, share); err != nil {
		return 0, err
	}
	if err := r.writeEntries(entries); err != nil {
		return 0, err
	}
	return r.changed, r.w.flush()
}

// oldEntries reads the entries as they were, and notes the uncommitted
// arrivals in their history.
func (r *rebuild) oldEntries(snap snapshot) (map[ibgib.Hash]Entry, error) {
	entries := make(map[ibgib.Hash]Entry)
	err := snap.scan(sharePrefix(prefixEntry, r.share), nil, func(key, value []byte) (bool, error) {
		e, err := decodeEntry(value)
		if err != nil {
			return false, corrupt("entry", key, err)
		}
		entries[lastHash(key)] = e
		return true, nil
	})
	if err != nil || len(r.w.s.loose.byID) == 0 {
		return entries, err
	}
	for _, e := range entries {
		queue := append([]ibgib.Addr(nil), e.Heads...)
		for len(queue) > 0 {
			h, _ := queue[0].Hash()
			queue = queue[1:]
			if r.history[h] {
				continue
			}
			m, found, err := memberOf(snap, r.share, h)
			if err != nil {
				return nil, err
			}
			if !found || m.frame == nil {
				continue
			}
			r.history[h] = true
			queue = append(queue, m.frame.Links...)
			if !m.frame.Pred.IsZero() {
				queue = append(queue, m.frame.Pred)
			}
		}
	}
	return entries, nil
}

// visit decides the block h and, before it, those it links to, which are all
// there, since h is closed.
func (r *rebuild) visit(h ibgib.Hash) error {
	stack := []ibgib.Hash{h}
	for len(stack) > 0 {
		h := stack[len(stack)-1]
		if r.done[h] {
			stack = stack[:len(stack)-1]
			continue
		}
		g, err := r.w.block(h)
		if err != nil {
			return err
		}
		waits := false
		for _, a := range g.Links() {
			if before, ok := a.Hash(); ok && !r.done[before] {
				stack = append(stack, before)
				waits = true
			}
		}
		if waits {
			continue
		}
		r.done[h] = true
		if err := r.decide(g); err != nil {
			return err
		}
	}
	return nil
}

func (r *rebuild) decide(g ibgib.IbGib) error {
	h := g.Hash()
	m, err := r.w.member(h)
	if err != nil {
		return err
	}
	if m == nil || !m.closed {
		return nil
	}
	if _, ok := timeline.Claims(g); !ok {
		return nil
	}
	r.w.remove(shareKey(prefixRejected, r.share, h))
	fresh := *m
	fresh.frame = nil
	if err := r.w.admit(g, &fresh); err != nil {
		return err
	}
	if (m.frame == nil) != (fresh.frame == nil) || m.frame != nil && !sameFrame(*m.frame, *fresh.frame) {
		r.changed++
	}
	r.w.setMember(h, &fresh)
	if err := r.w.flushIfFull(); err != nil {
		return err
	}
	f := fresh.frame
	if f == nil || !f.IsUser() {
		return nil
	}
	if _, loose := r.w.s.loose.at(r.share, fresh.seq); loose && !r.history[h] {
		return nil
	}
	root, _ := f.Tjp.Hash()
	if r.w.s.forgotten[r.share][root] {
		return nil
	}
	heads := r.heads[root]
	if heads == nil {
		heads = make(map[ibgib.Addr]bool)
		r.heads[root] = heads
	}
	parents, err := timeline.Parents(*f, r.w.frame)
	if err != nil {
		return err
	}
	for _, p := range parents {
		delete(heads, p)
	}
	heads[f.Addr] = true
	return nil
}

// writeEntries replaces the old entries by those that the heads give.
func (r *rebuild) writeEntries(old map[ibgib.Hash]Entry) error {
	state, err := r.w.s.state(r.w, r.share)
	if err != nil {
		return err
	}
	before := state.fingerprint
	state.fingerprint = timeline.Fingerprint{}
	for root, e := range old {
		if _, stone := r.stones[root]; !stone && len(r.heads[root]) == 0 {
			r.w.remove(shareKey(prefixEntry, r.share, root))
			r.w.remove(changeKey(r.share, e.Seq))
			if r.moved != nil {
				r.moved(root, e, Entry{})
			}
		}
	}
	err = eachSorted(r.heads, func(root ibgib.Hash, set map[ibgib.Addr]bool) error {
		if len(set) == 0 {
			return nil
		}
		var frames []timeline.Frame
		for a := range set {
			f, ok, err := r.w.frame(a)
			if err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("%w: head %s is no frame", ErrCorrupt, a)
			}
			frames = append(frames, f)
		}
		e, err := r.entryAfter(old[root], frames)
		if err != nil {
			return err
		}
		return r.writeEntry(e, old[root], &state)
	})
	if err != nil {
		return err
	}
	err = eachSorted(r.stones, func(root ibgib.Hash, p pin) error {
		return r.writeEntry(stoneEntry(p), old[root], &state)
	})
	if err != nil {
		return err
	}
	if state.fingerprint != before {
		r.changed++
	}
	r.w.put(sharePrefix(prefixState, r.share), encodeState(state))
	return nil
}

// entryAfter makes the entry of some heads. A repair leaves them merged, if the
// merge frame is still there; by other rules they may have another one.
func (r *rebuild) entryAfter(old Entry, heads []timeline.Frame) (Entry, error) {
	e, open, err := r.w.entryAfter(old, heads, r.w.frame, false)
	if err != nil || !open {
		return e, err
	}
	f, ok, err := r.w.frame(old.Latest)
	if err != nil {
		return e, err
	}
	if r.moved != nil && slices.Equal(e.Heads, old.Heads) && (old.Conflict.Reason != "" || old.Merged && ok && f.Kind == timeline.KindMerge) {
		old.Seq = 0
		return old, nil
	}
	r.w.leaveOpen(&e, "the index has been made anew")
	return e, nil
}

// writeEntry writes an entry in place of the one before, which is zero if there
// was none. It stays at its place in the change log if its heads are the same.
func (r *rebuild) writeEntry(e, before Entry, state *shareState) error {
	d := decided{entry: e}
	d.entry.Seq = before.Seq
	if before.Seq == 0 || !slices.Equal(before.Heads, e.Heads) {
		d.prevSeq = before.Seq
		state.seq++
		d.entry.Seq = state.seq
	}
	if r.moved != nil {
		root, _ := e.Root.Hash()
		r.moved(root, before, e)
		logged, _, err := r.w.get(changeKey(r.share, before.Seq))
		if err != nil {
			return err
		}
		if !bytes.Equal(logged, root[:]) || !sameLatest(e, before) {
			r.changed++
		}
	}
	state.fingerprint.Add(e.Knowledge().Digest())
	putDecided(r.w, r.share, d)
	return r.w.flushIfFull()
}

// pinnedStones returns the stones among the pins of a share.
func pinnedStones(snap snapshot, share Share) (map[ibgib.Hash]pin, error) {
	stones := make(map[ibgib.Hash]pin)
	err := snap.scan(sharePrefix(prefixPin, share), nil, func(key, value []byte) (bool, error) {
		h := lastHash(key)
		p, err := decodePin(key, value)
		if err != nil {
			return false, err
		}
		m, found, err := memberOf(snap, share, h)
		if err != nil || !found || !m.closed || m.addr != p.addr {
			return err == nil, err
		}
		g, err := blockOf(snap, m)
		if err != nil {
			return false, err
		}
		if _, frame := timeline.Claims(g); !frame {
			stones[h] = p
		}
		return true, nil
	})
	return stones, err
}
