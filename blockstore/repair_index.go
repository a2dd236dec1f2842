package blockstore

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// summary sees that the share's summary can be read, and that its change sequence
// is behind none that has been given.
func (x *shareRepair) summary() error {
	state, err := x.s.state(x.w, x.share)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	readable := err == nil
	last := state.seq
	if err := x.each(prefixEntry, func(_, value []byte) error {
		if e, err := decodeEntry(value); err == nil {
			last = max(last, e.Seq)
		}
		return nil
	}); err != nil {
		return err
	}
	if err := x.each(prefixChange, func(key, _ []byte) error {
		last = max(last, binary.BigEndian.Uint64(key[5:]))
		return nil
	}); err != nil {
		return err
	}
	if !readable || last > state.seq {
		x.newEpoch = true
		state.seq = last
		x.mend(sharePrefix(prefixState, x.share), encodeState(state))
	}
	return nil
}

// index makes frames, heads and fingerprint anew, then the change log.
func (x *shareRepair) index() error {
	x.w.end()
	changed, err := x.s.rebuildShare(x.share, x.moved)
	x.report.Mended += changed
	x.w = x.s.newWriter(x.share, nil)
	if err != nil {
		return err
	}
	logged := make(map[ibgib.Hash]bool)
	if err := x.each(prefixChange, func(key, value []byte) error {
		if len(value) == 32 {
			root := ibgib.Hash(value)
			e, found, err := x.w.entry(root)
			if err != nil {
				return err
			}
			if found && e.Seq == binary.BigEndian.Uint64(key[5:]) && !logged[root] {
				logged[root] = true
				return nil
			}
		}
		x.mend(key, nil)
		return x.w.flushIfFull()
	}); err != nil {
		return err
	}
	state, err := x.s.state(x.w, x.share)
	if err != nil {
		return err
	}
	if err := x.each(prefixEntry, func(key, value []byte) error {
		e, err := decodeEntry(value)
		if err != nil {
			return corrupt("entry", key, err)
		}
		if logged[lastHash(key)] {
			return nil
		}
		x.report.Mended++
		state.seq++
		e.Seq = state.seq
		putDecided(x.w, x.share, decided{entry: e})
		return x.w.flushIfFull()
	}); err != nil {
		return err
	}
	x.w.put(sharePrefix(prefixState, x.share), encodeState(state))
	return x.w.flush()
}

// moved notes an entry that the index has anew, if its heads are others or what a
// person chose as latest is gone.
func (x *shareRepair) moved(root ibgib.Hash, was, now Entry) {
	if was.Pinned && !now.Pinned {
		x.lost("pin", was.Root.String(), "the head that was pinned as latest is gone, and so is the pin")
	}
	if slices.Equal(was.Heads, now.Heads) && !x.unreadable[root] {
		return
	}
	if len(x.report.Moved) >= maxListed {
		x.report.More++
		return
	}
	m := MovedHeads{Share: x.share, Root: now.Root, Was: was.Heads, Now: now.Heads}
	if m.Root.IsZero() {
		m.Root = was.Root
	}
	x.report.Moved = append(x.report.Moved, m)
}
