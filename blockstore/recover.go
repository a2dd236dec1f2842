package blockstore

import (
	"bytes"
	"encoding/binary"

	"github.com/ibgib/ibgib-node/ibgib"
)

// sweep removes what a stage that is over has put aside, and records up to which stage all
// of that is removed. Open begins there: Badger keeps for a while what is removed, and
// passes over it slowly.
func (s *Store) sweep(stage uint64) error {
	for _, prefix := range []byte{prefixDecided, prefixStaged} {
		if err := s.removeAll(stagePrefix(prefix, stage), nil); err != nil {
			return err
		}
	}
	delete(s.aside, stage)
	s.swept = s.marks.stage + 1
	for other := range s.aside {
		s.swept = min(s.swept, other)
	}
	for other := range s.open {
		if other != stage {
			s.swept = min(s.swept, other)
		}
	}
	b := newBatch()
	b.put(keySwept, binary.AppendUvarint(nil, s.swept))
	b.put(keyMarks, encodeMarks(s.marks)) // no lower number is given again
	return s.kv.write(b)
}

// apply rolls a decided commit forward. It may be repeated at any point before what the
// stage has put aside is removed.
func (s *Store) apply(stage uint64, d decision) error {
	s.gate.Lock()
	defer s.gate.Unlock()
	b := newBatch()
	snap := s.kv.snapshot()
	defer snap.release()
	err := snap.scan(stagePrefix(prefixDecided, stage), nil, func(key, value []byte) (bool, error) {
		prev, n := binary.Uvarint(value)
		if n <= 0 {
			return false, corrupt("decided", key, errRecord)
		}
		e, err := decodeEntry(value[n:])
		if err != nil {
			return false, corrupt("decided", key, err)
		}
		putDecided(b, d.share, decided{entry: e, prevSeq: prev})
		if b.full(0, 0) {
			if err := s.kv.write(b); err != nil {
				return false, err
			}
			b.reset()
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	b.put(sharePrefix(prefixState, d.share), encodeState(d.state))
	b.remove(stagePrefix(prefixLoose, stage))
	b.remove(stagePrefix(prefixDecision, stage))
	return s.kv.write(b)
}

// recover completes what a crash interrupted: decided commits and closing
// cascades. What had not been decided is dropped; its blocks stay.
func (s *Store) recover() error {
	snap := s.kv.snapshot()
	decisions := make(map[uint64]decision)
	err := snap.scan([]byte{prefixDecision}, nil, func(key, value []byte) (bool, error) {
		d, err := decodeDecision(value)
		if err != nil {
			return false, corrupt("decision", key, err)
		}
		decisions[binary.BigEndian.Uint64(key[1:])] = d
		return true, nil
	})
	snap.release()
	if err != nil {
		return err
	}
	for id, d := range decisions {
		if err := s.apply(id, d); err != nil {
			return err
		}
		s.loose.set(id, nil)
	}
	for _, prefix := range []byte{prefixDecided, prefixStaged} {
		if err := s.removeAll([]byte{prefix}, stagePrefix(prefix, s.swept)); err != nil {
			return err
		}
	}
	if err := s.dropUnsettled(); err != nil {
		return err
	}
	if err := s.resumeErasing(); err != nil {
		return err
	}
	if err := s.resumeRepair(); err != nil {
		return err
	}
	if err := s.resumeClosing(); err != nil {
		return err
	}
	return s.refreshIndex()
}

// resumeClosing goes on with interrupted closing cascades, for stages that no
// longer exist: what is closed waits for a stage that brings or touches it.
func (s *Store) resumeClosing() error {
	for {
		var key []byte
		snap := s.kv.snapshot()
		err := snap.scanKeys([]byte{prefixClosing}, nil, func(k []byte) (bool, error) {
			key = bytes.Clone(k)
			return false, nil
		})
		snap.release()
		if err != nil || key == nil {
			return err
		}
		share := Share(binary.BigEndian.Uint32(key[1:]))
		h := lastHash(key)
		err = s.rescue(share, func(w *writer) error {
			m, err := w.member(h)
			if err != nil {
				return err
			}
			if m == nil {
				return corrupt("closing", key, ErrNotFound)
			}
			g, err := w.block(h)
			if err != nil {
				return err
			}
			s.waiting[share] = true
			return w.close(h, g, m)
		})
		if err != nil {
			return err
		}
	}
}

// rescue runs f as the writer of a stage that is never committed. Open calls it
// before there are other stages.
func (s *Store) rescue(share Share, f func(w *writer) error) error {
	s.marks.stage++
	st := &Stage{s: s, id: s.marks.stage, share: share, candidates: make(map[ibgib.Hash][]ibgib.Addr)}
	w := s.newWriter(share, nil)
	defer w.end()
	w.onClosed = func(m *member) error {
		err := st.closed(w, m)
		clear(st.candidates)
		return err
	}
	if err := f(w); err != nil {
		return err
	}
	return w.flush()
}
