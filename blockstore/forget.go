package blockstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// Forgotten is an entry that a share is to have no more: a timeline or a stone that
// a person has taken out of it. Its frames may still come, where something else links
// to them; they get no entry.
type Forgotten struct {
	Root ibgib.Addr
	// Everywhere tells that the person is done with it, not only with having it in
	// this share.
	Everywhere bool
	At         time.Time
}

// Forget takes a timeline or a pinned stone out of the index of a share, and keeps
// it out until Remember. It need not be there. What nothing else needs is left to GC.
func (s *Store) Forget(ctx context.Context, share Share, root ibgib.Addr, everywhere bool) error {
	h, ok := root.Hash()
	if !ok {
		return fmt.Errorf("blockstore: forget: %s: %w", root, ErrNotFound)
	}
	f := Forgotten{Root: root, Everywhere: everywhere, At: s.arrivalTime()}
	err := s.shareTurn(ctx, func() error {
		w := s.newWriter(share, nil)
		defer w.end()
		if err := w.dropEntry(h); err != nil {
			return err
		}
		w.put(shareKey(prefixForgotten, share, h), encodeForgotten(f))
		if err := w.flush(); err != nil {
			return err
		}
		s.forget(share, h)
		s.undecided.settled(share, root)
		s.watches.moved(share)
		return nil
	})
	if err != nil {
		return fmt.Errorf("blockstore: forget: %w", err)
	}
	return nil
}

// forget notes in memory that a root is forgotten, with s.mu held.
func (s *Store) forget(share Share, root ibgib.Hash) {
	if s.forgotten[share] == nil {
		s.forgotten[share] = make(map[ibgib.Hash]bool)
	}
	s.forgotten[share][root] = true
}

// dropEntry removes the entry of a root, if there is one, with the pin of a stone.
func (w *writer) dropEntry(root ibgib.Hash) error {
	e, found, err := w.entry(root)
	if err != nil || !found {
		return err
	}
	state, err := w.s.state(w, w.share)
	if err != nil {
		return err
	}
	state.fingerprint.Remove(e.Knowledge().Digest())
	w.remove(shareKey(prefixEntry, w.share, root))
	w.remove(changeKey(w.share, e.Seq))
	w.put(sharePrefix(prefixState, w.share), encodeState(state))
	if !e.Stone {
		return nil
	}
	w.s.holds.unpinned(w.share, root)
	w.remove(shareKey(prefixPin, w.share, root))
	if w.s.pinned[e.pinnedBy] > 0 {
		w.s.pinned[e.pinnedBy]--
	}
	return nil
}

// Remember ends what Forget began. What is still stored of the timeline, or the
// stone, is an entry of the share again. It fails with ErrNotFound if the root is not
// forgotten there.
func (s *Store) Remember(ctx context.Context, share Share, root ibgib.Hash) error {
	st, err := s.NewStage(share, Origin{})
	if err != nil {
		return err
	}
	defer st.Discard()
	err = st.turn(func(w *writer) error {
		if !s.forgotten[share][root] {
			return fmt.Errorf("%s is not forgotten: %w", root, ErrNotFound)
		}
		if err := st.recall(ctx, w, root); err != nil {
			return err
		}
		w.remove(shareKey(prefixForgotten, share, root))
		delete(s.forgotten[share], root)
		if _, err := st.commit(ctx, w); err != nil {
			s.forget(share, root)
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("blockstore: remember: %w", err)
	}
	return nil
}

// recall makes candidates of what the share has of a timeline, or of a stone.
func (st *Stage) recall(ctx context.Context, w *writer, root ibgib.Hash) error {
	frames, err := framesOf(ctx, w.snap, st.share, root)
	if err != nil {
		return err
	}
	below := make(map[ibgib.Addr]bool)
	for _, m := range frames {
		parents, err := timeline.Parents(*m.frame, w.frame)
		if err != nil {
			return err
		}
		for _, p := range parents {
			below[p] = true
		}
	}
	for _, m := range frames {
		if _, loose := st.s.loose.at(st.share, m.seq); loose || below[m.frame.Addr] {
			continue
		}
		if err := st.addCandidate(w, *m.frame); err != nil {
			return err
		}
	}
	if len(frames) == 0 {
		st.pins = append(st.pins, root)
	}
	return nil
}

// framesOf returns the user frames of a timeline. It reads all members of the share.
func framesOf(ctx context.Context, snap snapshot, share Share, root ibgib.Hash) ([]member, error) {
	var list []member
	err := snap.scan(sharePrefix(prefixMember, share), nil, func(key, value []byte) (bool, error) {
		m, err := decodeMember(lastHash(key), value)
		if err != nil {
			return false, corrupt("member", key, err)
		}
		if m.frame != nil && m.frame.IsUser() {
			if h, _ := m.frame.Tjp.Hash(); h == root {
				list = append(list, m)
			}
		}
		return true, ctx.Err()
	})
	return list, err
}

// Forgotten returns what is forgotten in the share, by hash.
func (v *View) Forgotten(ctx context.Context) ([]Forgotten, error) {
	var list []Forgotten
	err := v.s.read(func(snap snapshot) error {
		return snap.scan(sharePrefix(prefixForgotten, v.share), nil, func(key, value []byte) (bool, error) {
			f, err := decodeForgotten(key, value)
			if err != nil {
				return false, err
			}
			list = append(list, f)
			return true, ctx.Err()
		})
	})
	return list, err
}

// ForgottenRoots returns the hashes of what is forgotten in the share, ascending.
func (v *View) ForgottenRoots(ctx context.Context) ([]ibgib.Hash, error) {
	var list []ibgib.Hash
	err := v.s.read(func(snap snapshot) error {
		return snap.scanKeys(sharePrefix(prefixForgotten, v.share), nil, func(key []byte) (bool, error) {
			list = append(list, lastHash(key))
			return true, ctx.Err()
		})
	})
	return list, err
}

func encodeForgotten(f Forgotten) []byte {
	b := appendAddr(nil, f.Root)
	everywhere := uint64(0)
	if f.Everywhere {
		everywhere = 1
	}
	b = binary.AppendUvarint(b, everywhere)
	return binary.AppendVarint(b, f.At.UnixMilli())
}

func decodeForgotten(key, b []byte) (Forgotten, error) {
	r := reader{b: b}
	f := Forgotten{Root: r.addr(), Everywhere: r.uvarint() == 1, At: time.UnixMilli(r.varint()).UTC()}
	if err := r.end(); err != nil {
		return Forgotten{}, corrupt("forgotten", key, err)
	}
	return f, nil
}

// loadForgotten reads what is forgotten.
func (s *Store) loadForgotten(snap snapshot) error {
	return snap.scanKeys([]byte{prefixForgotten}, nil, func(key []byte) (bool, error) {
		s.forget(shareOf(key), lastHash(key))
		return true, nil
	})
}
