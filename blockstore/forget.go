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
	// Everywhere tells that the person is done with it, Out that it was taken out of this
	// share; at least one of them.
	Everywhere, Out bool
	At              time.Time
}

// Forget takes a timeline or a pinned stone out of the index of a share, and keeps
// it out until Remember: everywhere, of which the caller sees to the other shares, or out
// of this one. It need not be there. What nothing else needs is left to GC.
func (s *Store) Forget(share Share, root ibgib.Addr, everywhere bool) error {
	h, ok := root.Hash()
	if !ok {
		return fmt.Errorf("blockstore: forget: %s: %w", root, ErrNotFound)
	}
	err := s.shareTurn(func() error {
		w := s.newWriter(share, nil)
		defer w.end()
		f, _, err := w.forgotten(h)
		if err != nil {
			return err
		}
		f.Root, f.At = root, s.arrivalTime()
		f.Everywhere, f.Out = f.Everywhere || everywhere, f.Out || !everywhere
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

// forgotten returns the record of a root that is forgotten.
func (w *writer) forgotten(root ibgib.Hash) (f Forgotten, found bool, err error) {
	key := shareKey(prefixForgotten, w.share, root)
	b, found, err := w.get(key)
	if err != nil || !found {
		return f, false, err
	}
	f, err = decodeForgotten(key, b)
	return f, true, err
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

// Remember ends what Forget began, with the same everywhere. Unless it is out for the
// other reason, what is still stored of the timeline, or the stone, is an entry of the
// share again. It fails with ErrNotFound if the root is not forgotten there so.
func (s *Store) Remember(ctx context.Context, share Share, root ibgib.Hash, everywhere bool) error {
	st, err := s.NewStage(share, Origin{})
	if err != nil {
		return err
	}
	defer st.Discard()
	err = st.turn(func(w *writer) error {
		f, _, err := w.forgotten(root)
		if err != nil {
			return err
		}
		if everywhere && !f.Everywhere || !everywhere && !f.Out {
			return fmt.Errorf("%s is not forgotten: %w", root, ErrNotFound)
		}
		if f.Everywhere && f.Out {
			f.Everywhere, f.Out = !everywhere, everywhere
			w.put(shareKey(prefixForgotten, share, root), encodeForgotten(f))
			_, err := st.commit(ctx, w)
			return err
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

// Why something is forgotten, in its record.
const (
	forgottenEverywhere = 1 << iota
	forgottenOut
)

func encodeForgotten(f Forgotten) []byte {
	b := appendAddr(nil, f.Root)
	why := uint64(0)
	if f.Everywhere {
		why |= forgottenEverywhere
	}
	if f.Out {
		why |= forgottenOut
	}
	b = binary.AppendUvarint(b, why)
	return binary.AppendVarint(b, f.At.UnixMilli())
}

func decodeForgotten(key, b []byte) (Forgotten, error) {
	r := reader{b: b}
	f := Forgotten{Root: r.addr()}
	why := r.uvarint()
	f.Everywhere, f.Out = why&forgottenEverywhere != 0, why&forgottenOut != 0
	f.At = time.UnixMilli(r.varint()).UTC()
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
