package blockstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// SetPin keeps a block of a share, with its closure, until RemovePin. A pinned
// stone (an ibGib of no timeline) also becomes an entry of the share, so that it
// is part of what the share syncs. To pin what is pinned changes nothing. It
// fails with ErrNotFound if addr is no member of the share, and with
// ErrIncomplete if it is not closed there.
func (s *Store) SetPin(ctx context.Context, share Share, addr ibgib.Addr) error {
	st, err := s.NewStage(share, Origin{})
	if err != nil {
		return err
	}
	defer st.Discard()
	err = st.turn(func(w *writer) error {
		h, _ := addr.Hash()
		m, err := w.member(h)
		if err != nil {
			return err
		}
		if m == nil || m.addr != addr {
			return fmt.Errorf("%s: %w", addr, ErrNotFound)
		}
		if !m.closed {
			return fmt.Errorf("%s: %w", addr, ErrIncomplete)
		}
		g, err := w.block(h)
		if err != nil {
			return err
		}
		if _, frame := timeline.Claims(g); frame {
			w.put(shareKey(prefixPin, share, h), encodePin(pin{addr: addr}))
		} else {
			st.pins = append(st.pins, h)
		}
		_, err = st.commit(ctx, w)
		return err
	})
	if err != nil {
		return fmt.Errorf("blockstore: pin: %w", err)
	}
	return nil
}

// DefaultPeerPins is how many stones the stages of one peer may have pinned.
const DefaultPeerPins = 1 << 18

// RuleManyPins keeps a stone out of the index that a peer would have pinned beyond
// what it may (Options.PeerPins).
const RuleManyPins = "too-many-pins"

// Pin lets Commit pin those of the blocks that are stones and closed members of the
// share by then, as SetPin does and at the moment when the heads move. If a peer has
// no room for them, the result lists them as rejected, by RuleManyPins.
func (st *Stage) Pin(ctx context.Context, hashes []ibgib.Hash) error {
	err := st.turn(func(w *writer) error {
		for _, h := range hashes {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, err := w.member(h); err != nil { // tells a running GC
				return err
			}
			st.hold(h)
			st.pins = append(st.pins, h)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("blockstore: pin: %w", err)
	}
	return nil
}

// resolvePins makes candidates of the stones that the stage is to pin. The others it
// forgets.
func (st *Stage) resolvePins(w *writer) error {
	hashes := st.pins
	if st.pins = nil; len(hashes) == 0 {
		return nil
	}
	peer := w.peer(st.origin.Peer)
	for _, h := range hashes {
		m, err := w.member(h)
		if err != nil {
			return err
		}
		if m == nil || !m.closed {
			continue
		}
		g, err := w.block(h)
		if err != nil {
			return err
		}
		if _, frame := timeline.Claims(g); frame {
			continue
		}
		if _, pinned, err := w.entry(h); err != nil {
			return err
		} else if pinned || st.stones[h] {
			continue
		}
		if most := st.s.maxPins; peer != 0 && most >= 0 && st.s.pinned[peer]+len(st.stones) >= most {
			st.rejects = true
			st.s.tellRejected(st.share, RuleManyPins)
			if len(st.rejected) < maxListed {
				st.rejected = append(st.rejected, timeline.Rejection{
					Addr: m.addr, Rule: RuleManyPins, Version: timeline.RulesVersion,
					Detail: fmt.Sprintf("the peer has pinned %d ibGibs here, which is as many as it may", most),
				})
			}
			continue
		}
		if st.stones == nil {
			st.stones = make(map[ibgib.Hash]bool)
		}
		st.stones[h] = true
		st.pins = append(st.pins, h)
	}
	return nil
}

// addStones makes candidates of the stones that are to be pinned.
func (st *Stage) addStones(w *writer) error {
	for _, h := range st.pins {
		m, err := w.member(h)
		if err != nil {
			return err
		}
		st.candidates[h] = []ibgib.Addr{m.addr}
	}
	return nil
}

// pin is what the record of a pin says.
type pin struct {
	addr ibgib.Addr
	peer uint32 // whose saga it was that pinned it; 0: nobody's
}

func encodePin(p pin) []byte {
	b := appendAddr(nil, p.addr)
	if p.peer != 0 {
		b = binary.AppendUvarint(b, uint64(p.peer))
	}
	return b
}

func decodePin(key, b []byte) (pin, error) {
	r := reader{b: b}
	p := pin{addr: r.addr()}
	if len(r.b) > 0 {
		p.peer = uint32(r.uvarint())
	}
	if err := r.end(); err != nil {
		return pin{}, corrupt("pin", key, err)
	}
	return p, nil
}

// loadPins counts the pins of peers.
func (s *Store) loadPins(snap snapshot) error {
	return snap.scan([]byte{prefixPin}, nil, func(key, value []byte) (bool, error) {
		if p, err := decodePin(key, value); err == nil && p.peer != 0 { // a bad one is for Verify to tell
			s.pinned[p.peer]++
		}
		return true, nil
	})
}

// stoneEntry is the entry of a pinned stone: its own root and its own head.
func stoneEntry(p pin) Entry {
	return Entry{Root: p.addr, Heads: []ibgib.Addr{p.addr}, Latest: p.addr, Stone: true, pinnedBy: p.peer}
}

// stoneFrame is the frame that stands for a pinned stone where a peer's heads
// are compared: a timeline of one frame that never grows.
func stoneFrame(a ibgib.Addr) timeline.Frame {
	return timeline.Frame{Addr: a, Tjp: a, Kind: timeline.KindTjp}
}

// RemovePin ends what SetPin began; what nothing else needs is left to GC. It
// fails with ErrNotFound if addr is not pinned.
func (s *Store) RemovePin(ctx context.Context, share Share, addr ibgib.Addr) error {
	err := s.removePin(ctx, share, addr)
	if err != nil {
		return fmt.Errorf("blockstore: remove pin: %w", err)
	}
	return nil
}

func (s *Store) removePin(ctx context.Context, share Share, addr ibgib.Addr) error {
	if err := s.life.enter(); err != nil {
		return err
	}
	defer s.life.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	w := s.newWriter(share, nil)
	defer w.end()
	h, _ := addr.Hash()
	key := shareKey(prefixPin, share, h)
	b, found, err := w.get(key)
	if err != nil {
		return err
	}
	p, err := decodePin(key, b)
	if found && err != nil {
		return err
	} else if p.addr != addr {
		return fmt.Errorf("%s: %w", addr, ErrNotFound)
	}
	w.remove(key)
	e, found, err := entryOf(w.snap, share, h)
	if err != nil {
		return err
	}
	if found && e.Stone {
		s.holds.unpinned(share, h)
		state, err := s.state(w, share)
		if err != nil {
			return err
		}
		state.fingerprint.Remove(e.Knowledge().Digest())
		w.remove(shareKey(prefixEntry, share, h))
		w.remove(changeKey(share, e.Seq))
		w.put(sharePrefix(prefixState, share), encodeState(state))
	}
	if err := w.flush(); err != nil {
		return err
	}
	if s.pinned[p.peer] > 0 {
		s.pinned[p.peer]--
	}
	return nil
}

// Pins ranges over what is pinned in the share, by ascending hash.
func (v *View) Pins(ctx context.Context) iter.Seq2[ibgib.Addr, error] {
	return func(yield func(ibgib.Addr, error) bool) {
		err := v.s.read(func(snap snapshot) error {
			return snap.scan(sharePrefix(prefixPin, v.share), nil, func(key, value []byte) (bool, error) {
				if err := ctx.Err(); err != nil {
					return false, err
				}
				p, err := decodePin(key, value)
				if err != nil {
					return false, err
				}
				return yield(p.addr, nil), nil
			})
		})
		if err != nil {
			yield(ibgib.Addr{}, err)
		}
	}
}

// decodeAddr reads the address that the record under key consists of.
func decodeAddr(key, b []byte) (ibgib.Addr, error) {
	r := reader{b: b}
	a := r.addr()
	if err := r.end(); err != nil {
		return ibgib.Addr{}, corrupt("record", key, err)
	}
	return a, nil
}
