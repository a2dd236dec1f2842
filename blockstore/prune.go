package blockstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// PruneLocal keeps the newest keep timelines of the local area, by their last
// change, and the keystones, and removes the others with everything they link to. The
// timelines of the local area do not link to each other, but for keystones that speak
// in them. It returns how many it removed.
func (s *Store) PruneLocal(ctx context.Context, keep int) (int, error) {
	if err := s.life.enter(); err != nil {
		return 0, fmt.Errorf("blockstore: %w", err)
	}
	defer s.life.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	removed, err := s.pruneLocal(ctx, keep)
	if err != nil {
		return removed, fmt.Errorf("blockstore: prune: %w", err)
	}
	return removed, nil
}

// keystoneIb is the ib of all frames of a keystone.
const keystoneIb = "keystone"

func (s *Store) pruneLocal(ctx context.Context, keep int) (int, error) {
	w := s.newWriter(LocalArea, nil)
	defer w.end()
	state, err := s.state(w, LocalArea)
	if err != nil || state.fingerprint.Count() <= uint64(keep) {
		return 0, err
	}
	var entries []Entry
	if err := eachEntry(ctx, w.snap, LocalArea, func(e Entry) bool {
		if e.Root.Ib() != keystoneIb {
			entries = append(entries, e)
		}
		return true
	}); err != nil {
		return 0, err
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	removed := 0
	for _, e := range entries[:max(0, len(entries)-keep)] {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		state.fingerprint.Remove(e.Knowledge().Digest())
		if err := w.dropTimeline(e, state); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// DropLocal removes timelines from the local area, by the hashes of their first frames,
// with everything they link to. Those that are not there are passed over.
func (s *Store) DropLocal(ctx context.Context, roots ...ibgib.Hash) error {
	if err := s.life.enter(); err != nil {
		return fmt.Errorf("blockstore: %w", err)
	}
	defer s.life.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.dropLocal(ctx, roots); err != nil {
		return fmt.Errorf("blockstore: drop: %w", err)
	}
	return nil
}

func (s *Store) dropLocal(ctx context.Context, roots []ibgib.Hash) error {
	w := s.newWriter(LocalArea, nil)
	defer w.end()
	state, err := s.state(w, LocalArea)
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, ok, err := entryOf(w.snap, LocalArea, root)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		state.fingerprint.Remove(e.Knowledge().Digest())
		if err := w.dropTimeline(e, state); err != nil {
			return err
		}
	}
	return nil
}

// dropTimeline removes an entry and the closure of its heads from the writer's
// share, and the blocks that no other share has. state is the share's summary
// without the entry.
func (w *writer) dropTimeline(e Entry, state shareState) error {
	root, _ := e.Root.Hash()
	w.remove(shareKey(prefixEntry, w.share, root))
	w.remove(changeKey(w.share, e.Seq))
	w.put(sharePrefix(prefixState, w.share), encodeState(state))
	closure, _, err := timeline.Closure(append(e.Heads, e.Latest), w.blockAt, timeline.ClosureOptions{})
	if err != nil {
		return err
	}
	shares, err := sharesOf(w.snap)
	if err != nil {
		return err
	}
	for _, a := range closure {
		if a.Ib() == keystoneIb && e.Root.Ib() != keystoneIb {
			continue
		}
		h, _ := a.Hash()
		m, err := w.member(h)
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		w.remove(shareKey(prefixMember, w.share, h))
		w.remove(shareKey(prefixRejected, w.share, h))
		shared, err := w.inOtherShare(h, m.slot, shares)
		if err != nil {
			return err
		}
		if !shared {
			w.remove(blockKey(m.slot))
		}
	}
	w.s.recent.clear()
	return w.flush()
}

// inOtherShare tells whether another share has a member whose block lies there.
func (w *writer) inOtherShare(h ibgib.Hash, slot uint64, shares []Share) (bool, error) {
	for _, share := range shares {
		if share == w.share {
			continue
		}
		m, found, err := memberOf(w.snap, share, h)
		if err != nil || found && m.slot == slot {
			return err == nil, err
		}
	}
	return false, nil
}
