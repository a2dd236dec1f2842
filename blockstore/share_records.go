package blockstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A ShareRecord is a named share and what its owner keeps of it: text that the
// store does not read.
type ShareRecord struct {
	Share Share
	Text  []byte // not empty
}

// CreateShare makes a share without members. Its number has never been another
// one's in this store.
func (s *Store) CreateShare(text []byte) (share Share, err error) {
	err = s.shareTurn(func() error {
		last, err := s.lastShare()
		if err != nil {
			return err
		}
		if share = last + 1; share >= LocalArea {
			return fmt.Errorf("no number is left for another share")
		}
		b := newBatch()
		b.put(keyShares, binary.AppendUvarint(nil, uint64(share)))
		b.put(sharePrefix(prefixShare, share), bytes.Clone(text))
		return s.kv.write(b)
	})
	if err != nil {
		return 0, fmt.Errorf("blockstore: create share: %w", err)
	}
	return share, nil
}

// lastShare returns the last number that a share was given.
func (s *Store) lastShare() (Share, error) {
	snap := s.kv.snapshot()
	defer snap.release()
	b, found, err := snap.get(keyShares)
	if err != nil || !found {
		return 0, err
	}
	last, n := binary.Uvarint(b)
	if n <= 0 || last >= uint64(LocalArea) {
		return 0, corrupt("meta", keyShares, errRecord)
	}
	return Share(last), nil
}

// SetShare replaces what is kept of a share. It fails with ErrNotFound if there is
// none.
func (s *Store) SetShare(share Share, text []byte) error {
	err := s.shareTurn(func() error {
		if err := s.hasShare(share); err != nil {
			return err
		}
		b := newBatch()
		b.put(sharePrefix(prefixShare, share), bytes.Clone(text))
		return s.kv.write(b)
	})
	if err != nil {
		return fmt.Errorf("blockstore: set share: %w", err)
	}
	return nil
}

func (s *Store) hasShare(share Share) error {
	snap := s.kv.snapshot()
	defer snap.release()
	b, found, err := snap.get(sharePrefix(prefixShare, share))
	if err == nil && (!found || len(b) == 0) {
		err = fmt.Errorf("share %d: %w", share, ErrNotFound)
	}
	return err
}

// ShareRecords returns the named shares by their numbers.
func (s *Store) ShareRecords() ([]ShareRecord, error) {
	var list []ShareRecord
	err := s.read(func(snap snapshot) error {
		return snap.scan([]byte{prefixShare}, nil, func(key, value []byte) (bool, error) {
			if len(value) > 0 {
				list = append(list, ShareRecord{shareOf(key), bytes.Clone(value)})
			}
			return true, nil
		})
	})
	return list, err
}

// DeleteShare removes a named share with its index and memberships, and the blocks
// that no other share has. Stages of it that are open fail from then on. If the
// program ends before it does, the next Open goes on. It fails with ErrNotFound if
// there is no such share, and with ErrBusy while GC is running.
func (s *Store) DeleteShare(share Share) error {
	err := s.shareTurn(func() error {
		if err := s.hasShare(share); err != nil {
			return err
		}
		if err := s.stopExpiry(); err != nil {
			return err
		}
		b := newBatch()
		b.put(sharePrefix(prefixShare, share), nil)
		if err := s.kv.write(b); err != nil {
			return err
		}
		s.erased[share] = true
		for _, st := range s.open {
			if st.share == share {
				st.end()
			}
		}
		if err := s.erase(share); err != nil {
			err = fmt.Errorf("%w: %w", ErrHalfApplied, err)
			s.life.fail(err)
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("blockstore: delete share: %w", err)
	}
	return nil
}

// shareTurn runs f as the store's writer.
func (s *Store) shareTurn(f func() error) error {
	if err := s.life.enter(); err != nil {
		return err
	}
	defer s.life.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	return f()
}

// resumeErasing goes on with shares that were being deleted.
func (s *Store) resumeErasing() error {
	snap := s.kv.snapshot()
	var doomed []Share
	err := snap.scan([]byte{prefixShare}, nil, func(key, value []byte) (bool, error) {
		if len(value) == 0 {
			doomed = append(doomed, shareOf(key))
		}
		return true, nil
	})
	snap.release()
	for _, share := range doomed {
		if err == nil {
			err = s.erase(share)
		}
	}
	return err
}

// erase removes what a share has, and then its record. It may be repeated at any
// point.
func (s *Store) erase(share Share) error {
	s.gate.Lock()
	defer s.gate.Unlock()
	if err := s.eraseMembers(share); err != nil {
		return err
	}
	for _, prefix := range []byte{
		prefixWaiting, prefixClosing, prefixEntry, prefixChange, prefixState, prefixRejected, prefixPin, prefixForgotten,
	} {
		if err := s.removeAll(sharePrefix(prefix, share), nil); err != nil {
			return err
		}
	}
	b := newBatch()
	for id, l := range s.loose.byID {
		if l.share == share {
			s.loose.set(id, nil)
			b.remove(stagePrefix(prefixLoose, id))
		}
	}
	b.remove(sharePrefix(prefixShare, share))
	if err := s.kv.write(b); err != nil {
		return err
	}
	s.recent.clear()
	delete(s.inhabited, share)
	delete(s.waiting, share)
	delete(s.absent, share)
	delete(s.forgotten, share)
	delete(s.undecided.roots, share)
	clear(s.pinned)
	snap := s.kv.snapshot()
	defer snap.release()
	return s.loadPins(snap)
}

// eraseMembers removes the memberships of a share, with each the block if no other
// share has it.
func (s *Store) eraseMembers(share Share) error {
	snap := s.kv.snapshot()
	defer func() { snap.release() }()
	shares, err := sharesOf(snap)
	if err != nil {
		return err
	}
	w := &writer{s: s, share: share, snap: snap}
	b := newBatch()
	err = snap.scan(sharePrefix(prefixMember, share), nil, func(key, value []byte) (bool, error) {
		h := lastHash(key)
		m, err := decodeMember(h, value)
		if err == nil {
			var shared bool
			if shared, err = w.inOtherShare(h, m.slot, shares); err != nil {
				return false, err
			}
			if !shared {
				b.remove(blockKey(m.slot))
			}
		} // else its block, if any, stays
		b.remove(bytes.Clone(key))
		if b.full(0, 0) {
			if err := s.kv.write(b); err != nil {
				return false, err
			}
			b.reset()
		}
		return true, nil
	})
	if err != nil || b.empty() {
		return err
	}
	return s.kv.write(b)
}
