package blockstore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// Entry is one timeline of a share as the index has it, or a pinned stone: then
// root, head and latest are the stone.
type Entry struct {
	Root   ibgib.Addr   // the tjp
	Heads  []ibgib.Addr // sorted by UTF-16 code units; several: the timeline has diverged
	Latest ibgib.Addr   // the one frame that the store presents
	N      int64        // n of Latest
	HasN   bool
	Seq    uint64 // change sequence of the last move, from 1
	Stone  bool   // a pinned stone, not a timeline
	Pinned bool   // a person has chosen Latest; see PinLatest
	Merged bool   // Latest is the merge frame of Heads
	// Held: a stage that asked for it (Origin.Manual) has left several heads to a
	// person, whatever the strategy of the store, until one of them is left.
	Held bool
	// Conflict says why several heads are not merged, if that was tried.
	Conflict Conflict

	pinnedBy uint32 // of a stone: the peer whose saga pinned it; 0: nobody's
}

// Knowledge returns the entry as it is named to peers.
func (e Entry) Knowledge() timeline.Entry {
	root, _ := e.Root.Hash()
	k := timeline.Entry{Root: root, Heads: make([]ibgib.Hash, len(e.Heads))}
	for i, a := range e.Heads {
		k.Heads[i], _ = a.Hash()
	}
	slices.SortFunc(k.Heads, func(a, b ibgib.Hash) int { return bytes.Compare(a[:], b[:]) })
	return k
}

// newEntry makes the entry for a timeline's heads, which are not empty.
func newEntry(heads []timeline.Frame) Entry {
	latest := timeline.Latest(heads)
	e := Entry{Root: latest.Tjp, Latest: latest.Addr, N: latest.N, HasN: latest.HasN}
	for _, f := range heads {
		e.Heads = append(e.Heads, f.Addr)
	}
	slices.SortFunc(e.Heads, ibgib.CompareAddr)
	return e
}

// A View reads one share of a store.
type View struct {
	s     *Store
	share Share
}

// View returns the view of a share.
func (s *Store) View(share Share) *View { return &View{s: s, share: share} }

// read runs f on a consistent picture of the store.
func (s *Store) read(f func(snap snapshot) error) error {
	if err := s.life.enter(); err != nil {
		return fmt.Errorf("blockstore: %w", err)
	}
	defer s.life.leave()
	snap := s.snapshot()
	defer snap.release()
	if err := f(snap); err != nil {
		return fmt.Errorf("blockstore: %w", err)
	}
	return nil
}

// Get returns the ibGib stored under addr in any share. It fails with
// ErrNotFound, which an *AliasError also is.
func (s *Store) Get(ctx context.Context, addr ibgib.Addr) (ibgib.IbGib, error) {
	h, ok := addr.Hash()
	if !ok {
		return ibgib.IbGib{}, fmt.Errorf("blockstore: a primitive is never stored: %w", ErrNotFound)
	}
	g, err := s.blockAnywhere(ctx, h)
	if errors.Is(err, ErrNotFound) {
		return ibgib.IbGib{}, fmt.Errorf("blockstore: %w", ErrNotFound)
	}
	if err != nil {
		return ibgib.IbGib{}, err
	}
	if g.Addr() != addr {
		return ibgib.IbGib{}, fmt.Errorf("blockstore: %w", &AliasError{Asked: addr, Stored: g.Addr()})
	}
	return g, nil
}

// blockAnywhere returns the ibGib stored under a hash in any share.
func (s *Store) blockAnywhere(ctx context.Context, h ibgib.Hash) (g ibgib.IbGib, err error) {
	if err := ctx.Err(); err != nil {
		return g, err
	}
	err = s.read(func(snap snapshot) error {
		m, err := memberAnywhere(snap, DefaultShare, h)
		if err == nil {
			g, err = blockOf(snap, m)
		}
		return err
	})
	return g, err
}

// Block returns the ibGib stored under a hash in the share. It fails with ErrNotFound
// for what is no member of it, wherever else it is stored.
func (v *View) Block(ctx context.Context, h ibgib.Hash) (g ibgib.IbGib, err error) {
	if err := ctx.Err(); err != nil {
		return g, err
	}
	err = v.s.read(func(snap snapshot) error {
		g, err = memberBlock(snap, v.share, h)
		return err
	})
	return g, err
}

// memberAnywhere returns a membership of a block: that in the given share, or else
// one in any other.
func memberAnywhere(snap snapshot, share Share, h ibgib.Hash) (member, error) {
	m, found, err := memberOf(snap, share, h)
	if err != nil || found {
		return m, err
	}
	shares, err := sharesOf(snap)
	if err != nil {
		return m, err
	}
	for _, other := range shares {
		if m, found, err = memberOf(snap, other, h); err != nil || found {
			return m, err
		}
	}
	return m, fmt.Errorf("block %s: %w", h, ErrNotFound)
}

// memberBlock returns the block of a member of the share.
func memberBlock(snap snapshot, share Share, h ibgib.Hash) (ibgib.IbGib, error) {
	m, found, err := memberOf(snap, share, h)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	if !found {
		return ibgib.IbGib{}, fmt.Errorf("block %s: %w", h, ErrNotFound)
	}
	return blockOf(snap, m)
}

// blockOf returns the block of a membership.
func blockOf(snap snapshot, m member) (ibgib.IbGib, error) {
	key := blockKey(m.slot)
	b, found, err := snap.get(key)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	if !found {
		return ibgib.IbGib{}, fmt.Errorf("block %s: %w", m.addr, ErrNotFound)
	}
	g, err := decodeBlock(m.addr, b)
	if err != nil {
		return ibgib.IbGib{}, corrupt("block", key, err)
	}
	return g, nil
}

func memberOf(snap snapshot, share Share, h ibgib.Hash) (member, bool, error) {
	key := shareKey(prefixMember, share, h)
	b, found, err := snap.get(key)
	if err != nil || !found {
		return member{}, false, err
	}
	m, err := decodeMember(h, b)
	if err != nil {
		return member{}, false, corrupt("member", key, err)
	}
	return m, true, nil
}

// HasClosed tells for each hash whether its block is a member of the share and
// closed there.
func (v *View) HasClosed(ctx context.Context, hashes []ibgib.Hash) ([]bool, error) {
	v.s.holds.ask(v.share, hashes)
	has := make([]bool, len(hashes))
	err := v.s.read(func(snap snapshot) error {
		for i, h := range hashes {
			if err := ctx.Err(); err != nil {
				return err
			}
			key := shareKey(prefixMember, v.share, h)
			b, found, err := snap.get(key)
			if err != nil {
				return err
			}
			has[i] = found && len(b) > 0 && b[0]&flagClosed != 0
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return has, nil
}

// Positions tells for each hash where its block lies, which is the order of first
// arrivals; it is 0 where the share has no such member. See Reader.
func (v *View) Positions(ctx context.Context, hashes []ibgib.Hash) ([]uint64, error) {
	positions := make([]uint64, len(hashes))
	err := v.s.read(func(snap snapshot) error {
		for i, h := range hashes {
			if err := ctx.Err(); err != nil {
				return err
			}
			m, _, err := memberOf(snap, v.share, h)
			if err != nil {
				return err
			}
			positions[i] = m.slot
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return positions, nil
}

// Empty tells whether the share has no member.
func (v *View) Empty(ctx context.Context) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	empty := true
	err := v.s.read(func(snap snapshot) error {
		return snap.scanKeys(sharePrefix(prefixMember, v.share), nil, func([]byte) (bool, error) {
			empty = false
			return false, nil
		})
	})
	return empty, err
}

// Frame returns an admitted frame of the share. A pinned stone counts as one,
// which is its own tjp, so that its entry compares like any other; so does one that
// HoldHeads keeps.
func (v *View) Frame(ctx context.Context, h ibgib.Hash) (f timeline.Frame, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return f, false, err
	}
	err = v.s.read(func(snap snapshot) error {
		m, found, err := memberOf(snap, v.share, h)
		if err != nil || !found {
			return err
		}
		if m.frame != nil {
			f, ok = *m.frame, true
			return nil
		}
		e, found, err := entryOf(snap, v.share, h)
		if found && e.Stone || err == nil && m.closed && v.s.holds.wasPinned(v.share, h) {
			f, ok = stoneFrame(m.addr), true
		}
		return err
	})
	return f, ok, err
}

// Entry returns the entry of the timeline with the given root hash.
func (v *View) Entry(ctx context.Context, root ibgib.Hash) (e Entry, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return e, false, err
	}
	err = v.s.read(func(snap snapshot) error {
		e, ok, err = entryOf(snap, v.share, root)
		return err
	})
	return e, ok, err
}

func entryOf(snap snapshot, share Share, root ibgib.Hash) (Entry, bool, error) {
	key := shareKey(prefixEntry, share, root)
	b, found, err := snap.get(key)
	if err != nil || !found {
		return Entry{}, false, err
	}
	e, err := decodeEntry(b)
	if err != nil {
		return Entry{}, false, corrupt("entry", key, err)
	}
	return e, true, nil
}

// Entries ranges over the entries of the share by ascending root hash, all of
// one moment. An error is the last thing it yields.
func (v *View) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		err := v.s.read(func(snap snapshot) error {
			return eachEntry(ctx, snap, v.share, func(e Entry) bool { return yield(e, nil) })
		})
		if err != nil {
			yield(Entry{}, err)
		}
	}
}

func eachEntry(ctx context.Context, snap snapshot, share Share, f func(Entry) bool) error {
	return snap.scan(sharePrefix(prefixEntry, share), nil, func(key, value []byte) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		e, err := decodeEntry(value)
		if err != nil {
			return false, corrupt("entry", key, err)
		}
		return f(e), nil
	})
}

// EntriesOf returns the entries of those timelines, given by their root hashes,
// that the share has, of one moment and in the order of roots, as they are named
// to peers.
func (v *View) EntriesOf(ctx context.Context, roots []ibgib.Hash) ([]timeline.Entry, error) {
	entries := make([]timeline.Entry, 0, len(roots))
	err := v.s.read(func(snap snapshot) error {
		for _, root := range roots {
			if err := ctx.Err(); err != nil {
				return err
			}
			e, found, err := entryOf(snap, v.share, root)
			if err != nil {
				return err
			}
			if found {
				entries = append(entries, e.Knowledge())
			}
		}
		return nil
	})
	return entries, err
}

// Knowledge returns the fingerprint over all entries of the share and the
// entries by ascending root, both of one moment, which is held until release
// is called.
func (v *View) Knowledge(ctx context.Context) (fp timeline.Fingerprint, entries iter.Seq2[timeline.Entry, error], release func(), err error) {
	if err := v.s.life.enter(); err != nil {
		return fp, nil, nil, fmt.Errorf("blockstore: %w", err)
	}
	snap := v.s.snapshot()
	release = func() {
		snap.release()
		v.s.life.leave()
	}
	state, err := stateOf(snap, v.share)
	if err != nil {
		release()
		return fp, nil, nil, fmt.Errorf("blockstore: %w", err)
	}
	entries = func(yield func(timeline.Entry, error) bool) {
		err := eachEntry(ctx, snap, v.share, func(e Entry) bool { return yield(e.Knowledge(), nil) })
		if err != nil {
			yield(timeline.Entry{}, fmt.Errorf("blockstore: %w", err))
		}
	}
	return state.fingerprint, entries, release, nil
}

func stateOf(snap snapshot, share Share) (shareState, error) {
	key := sharePrefix(prefixState, share)
	b, found, err := snap.get(key)
	if err != nil || !found {
		return shareState{}, err
	}
	state, err := decodeState(b)
	if err != nil {
		return state, corrupt("share", key, err)
	}
	return state, nil
}

// Fingerprint returns the fingerprint over the share's entries.
func (v *View) Fingerprint(ctx context.Context) (fp timeline.Fingerprint, err error) {
	if err := ctx.Err(); err != nil {
		return fp, err
	}
	err = v.s.read(func(snap snapshot) error {
		state, err := stateOf(snap, v.share)
		fp = state.fingerprint
		return err
	})
	return fp, err
}

// Members ranges over the addresses of the share's members by ascending hash.
func (v *View) Members(ctx context.Context) iter.Seq2[ibgib.Addr, error] {
	return func(yield func(ibgib.Addr, error) bool) {
		err := v.s.read(func(snap snapshot) error {
			return snap.scan(sharePrefix(prefixMember, v.share), nil, func(key, value []byte) (bool, error) {
				if err := ctx.Err(); err != nil {
					return false, err
				}
				m, err := decodeMember(lastHash(key), value)
				if err != nil {
					return false, corrupt("member", key, err)
				}
				return yield(m.addr, nil), nil
			})
		})
		if err != nil {
			yield(ibgib.Addr{}, err)
		}
	}
}

// Beginning returns the members of the share whose hash begins with some upper-case
// hex digits, by hash; at most so many.
func (v *View) Beginning(ctx context.Context, digits string, most int) ([]ibgib.Addr, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	whole, err := hex.DecodeString(digits[:len(digits)&^1])
	if err != nil {
		return nil, fmt.Errorf("blockstore: %w", err)
	}
	var list []ibgib.Addr
	err = v.s.read(func(snap snapshot) error {
		return snap.scan(append(sharePrefix(prefixMember, v.share), whole...), nil, func(key, value []byte) (bool, error) {
			h := lastHash(key)
			if !strings.HasPrefix(h.String(), digits) {
				return true, nil // the last digit is half a byte
			}
			m, err := decodeMember(h, value)
			if err != nil {
				return false, corrupt("member", key, err)
			}
			list = append(list, m.addr)
			return len(list) < most, nil
		})
	})
	return list, err
}

// Incomplete is a link target that members of a share wait for.
type Incomplete struct {
	Missing  ibgib.Addr // not stored, or stored but itself not closed
	Referrer ibgib.Addr // one of those that wait
}

// Incomplete ranges over what the share's members wait for, by ascending hash
// of the target and then of the referrer.
func (v *View) Incomplete(ctx context.Context) iter.Seq2[Incomplete, error] {
	return func(yield func(Incomplete, error) bool) {
		err := v.s.read(func(snap snapshot) error {
			return snap.scan(sharePrefix(prefixWaiting, v.share), nil, func(key, value []byte) (bool, error) {
				if err := ctx.Err(); err != nil {
					return false, err
				}
				r := reader{b: value}
				inc := Incomplete{Missing: r.addr()}
				if err := r.end(); err != nil {
					return false, corrupt("waiting", key, err)
				}
				m, found, err := memberOf(snap, v.share, lastHash(key))
				if err != nil {
					return false, err
				}
				if found {
					inc.Referrer = m.addr
				}
				return yield(inc, nil), nil
			})
		})
		if err != nil {
			yield(Incomplete{}, err)
		}
	}
}

// Rejected ranges over the frames that a rule keeps out of the share's index.
func (v *View) Rejected(ctx context.Context) iter.Seq2[timeline.Rejection, error] {
	return func(yield func(timeline.Rejection, error) bool) {
		err := v.s.read(func(snap snapshot) error {
			return snap.scan(sharePrefix(prefixRejected, v.share), nil, func(key, value []byte) (bool, error) {
				if err := ctx.Err(); err != nil {
					return false, err
				}
				j, err := decodeRejection(value)
				if err != nil {
					return false, corrupt("rejection", key, err)
				}
				return yield(j, nil), nil
			})
		})
		if err != nil {
			yield(timeline.Rejection{}, err)
		}
	}
}

// eachSorted calls f for each item by ascending hash.
func eachSorted[T any](items map[ibgib.Hash]T, f func(ibgib.Hash, T) error) error {
	keys := slices.SortedFunc(maps.Keys(items), func(a, b ibgib.Hash) int { return bytes.Compare(a[:], b[:]) })
	for _, k := range keys {
		if err := f(k, items[k]); err != nil {
			return err
		}
	}
	return nil
}
