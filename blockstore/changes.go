package blockstore

import (
	"context"
	"encoding/binary"
	"iter"
	"sync"
	"time"
)

// Place is a place in the change log of a share: behind the change Seq, in the
// life of the store that Epoch names. Seq 0 is the beginning.
type Place struct {
	Epoch [16]byte
	Seq   uint64
}

// Change is an entry at its place in the change log. An entry that changes again
// moves to the end of the log, so there is one Change for each entry at most, and
// it shows the entry as it is now.
type Change struct {
	Entry
	// Origins says where each of the heads came from, in the order of Heads.
	Origins []Origin
	// Newest is the index of the head that arrived last, At when it did.
	Newest int
	At     time.Time
}

// Place returns the end of the share's change log.
func (v *View) Place(ctx context.Context) (p Place, err error) {
	if err := ctx.Err(); err != nil {
		return p, err
	}
	err = v.s.read(func(snap snapshot) error {
		p, err = placeOf(snap, v.share)
		return err
	})
	return p, err
}

func placeOf(snap snapshot, share Share) (Place, error) {
	var p Place
	b, found, err := snap.get(keyEpoch)
	if err != nil {
		return p, err
	}
	if !found || len(b) != len(p.Epoch) {
		return p, corrupt("meta", keyEpoch, errRecord)
	}
	state, err := stateOf(snap, share)
	return Place{[16]byte(b), state.seq}, err
}

// Changes ranges over what has changed since a place, in the order of the last
// changes, all of one moment, which is held until the range ends. An entry that was
// removed does not show. It fails with ErrOtherLog for a place that this change
// log does not have: then everything may have changed.
func (v *View) Changes(ctx context.Context, since Place) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		err := v.s.read(func(snap snapshot) error {
			end, err := placeOf(snap, v.share)
			if err != nil {
				return err
			}
			if since.Epoch != end.Epoch || since.Seq > end.Seq {
				return ErrOtherLog
			}
			names := make(map[uint32]string)
			from := changeKey(v.share, since.Seq+1)
			return snap.scan(sharePrefix(prefixChange, v.share), from, func(key, value []byte) (bool, error) {
				if err := ctx.Err(); err != nil {
					return false, err
				}
				if len(value) != 32 {
					return false, corrupt("change", key, errRecord)
				}
				c, err := changeOf(snap, v.share, [32]byte(value), names)
				if err != nil {
					return false, err
				}
				return yield(c, nil), nil
			})
		})
		if err != nil {
			yield(Change{}, err)
		}
	}
}

// changeOf reads an entry and where its heads came from. names are those of peers
// by number, as far as they have been read.
func changeOf(snap snapshot, share Share, root [32]byte, names map[uint32]string) (Change, error) {
	e, found, err := entryOf(snap, share, root)
	if err == nil && !found {
		err = corrupt("entry", shareKey(prefixEntry, share, root), ErrNotFound)
	}
	if err != nil {
		return Change{}, err
	}
	c := Change{Entry: e, Origins: make([]Origin, len(e.Heads))}
	var last uint64
	for i, a := range e.Heads {
		h, _ := a.Hash()
		m, found, err := memberOf(snap, share, h)
		if err == nil && !found {
			err = corrupt("member", shareKey(prefixMember, share, h), ErrNotFound)
		}
		if err != nil {
			return c, err
		}
		if c.Origins[i].Peer, err = peerOf(snap, m.peer, names); err != nil {
			return c, err
		}
		if m.seq >= last {
			last, c.Newest, c.At = m.seq, i, m.at
		}
	}
	return c, nil
}

// peerOf returns the name of the peer with a number.
func peerOf(snap snapshot, number uint32, names map[uint32]string) (string, error) {
	name, ok := names[number]
	if ok || number == 0 {
		return name, nil
	}
	key := binary.BigEndian.AppendUint32([]byte{prefixPeer}, number)
	b, found, err := snap.get(key)
	if err == nil && !found {
		err = corrupt("peer", key, ErrNotFound)
	}
	names[number] = string(b)
	return string(b), err
}

// Watch returns a channel that holds a value when heads of the share have moved, or
// another one is presented, since the last one was taken: one value, however many commits
// there were. The
// channel is closed when the store is; stop ends the watch before that.
func (v *View) Watch() (moved <-chan struct{}, stop func()) {
	return v.s.watches.add(func(share Share) bool { return share == v.share })
}

// WatchAll is Watch for all shares, the local area left out.
func (s *Store) WatchAll() (moved <-chan struct{}, stop func()) {
	return s.watches.add(func(share Share) bool { return share != LocalArea })
}

// watches are the channels of Watch and WatchAll, and which shares each is about.
type watches struct {
	mu     sync.Mutex
	closed bool
	about  map[chan struct{}]func(Share) bool
}

func newWatches() watches { return watches{about: make(map[chan struct{}]func(Share) bool)} }

func (w *watches) add(about func(Share) bool) (<-chan struct{}, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan struct{}, 1)
	if w.closed {
		close(c)
		return c, func() {}
	}
	w.about[c] = about
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.about, c)
	}
}

// moved tells those that watch the share.
func (w *watches) moved(share Share) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c, about := range w.about {
		if about(share) {
			signal(c)
		}
	}
}

// repaired tells all, since the change log may have begun anew.
func (w *watches) repaired() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.about {
		signal(c)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// close ends all watches.
func (w *watches) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for c := range w.about {
		close(c)
	}
	clear(w.about)
}
