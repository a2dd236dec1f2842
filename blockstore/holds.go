package blockstore

import (
	"slices"
	"sync"

	"github.com/ibgib/ibgib-node/ibgib"
)

// holds are the blocks that GC leaves alone for the time being, beside those
// that are needed for good.
type holds struct {
	mu   sync.Mutex // held by GC while it removes
	last uint64
	byID map[uint64]*hold
	// While GC is running, fresh takes the holds that it has not seen.
	watched bool
	fresh   []hold
	// asked are the latest blocks that HasClosed was asked about in shares of which
	// heads are held; next is the place of the oldest once they are maxHeld.
	asked []memberKey
	next  int
}

type hold struct {
	share  Share
	hashes []ibgib.Hash
	heads  bool // and what the share unpins meanwhile
}

// Hold keeps GC from the blocks and their closures until release is called. It is
// kept in memory only.
func (s *Store) Hold(share Share, addrs []ibgib.Addr) (release func()) {
	h := hold{share: share}
	for _, a := range addrs {
		if hash, ok := a.Hash(); ok {
			h.hashes = append(h.hashes, hash)
		}
	}
	return s.holds.add(h)
}

// HoldHeads keeps GC from every head that the share has, or gets, until release is
// called, and View.Frame goes on to know the stones among them: a saga holds so what
// it names to its peer. Only what is unpinned meanwhile needs that; a head of a
// timeline stays in the history of the heads that come after it. Meanwhile GC is also
// kept from the blocks that View.HasClosed was asked about last, some ten thousand,
// which a saga is about to touch or to link to.
func (s *Store) HoldHeads(share Share) (release func()) {
	return s.holds.add(hold{share: share, heads: true})
}

func (x *holds) add(h hold) (release func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last++
	id := x.last
	x.byID[id] = &h
	if x.watched {
		x.fresh = append(x.fresh, h)
	}
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if delete(x.byID, id); len(x.byID) == 0 {
			x.asked, x.next = nil, 0
		}
	}
}

// hasHeads tells whether heads of a share are held.
func (x *holds) hasHeads(share Share) bool {
	for _, h := range x.byID {
		if h.heads && h.share == share {
			return true
		}
	}
	return false
}

// ask notes blocks that are about to be looked up.
func (x *holds) ask(share Share, hashes []ibgib.Hash) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.hasHeads(share) {
		return
	}
	if x.watched {
		x.fresh = append(x.fresh, hold{share: share, hashes: slices.Clone(hashes)})
	}
	for _, h := range hashes {
		if len(x.asked) < maxHeld {
			x.asked = append(x.asked, memberKey{share, h})
			continue
		}
		x.asked[x.next] = memberKey{share, h}
		x.next = (x.next + 1) % maxHeld
	}
}

// unpinned holds a stone that is about to be unpinned, where heads are held.
func (x *holds) unpinned(share Share, stone ibgib.Hash) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, h := range x.byID {
		if h.heads && h.share == share {
			h.hashes = append(h.hashes, stone)
			if x.watched {
				x.fresh = append(x.fresh, hold{share: share, hashes: []ibgib.Hash{stone}})
			}
		}
	}
}

// wasPinned tells whether a stone is held that has been unpinned.
func (x *holds) wasPinned(share Share, stone ibgib.Hash) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, h := range x.byID {
		if h.heads && h.share == share && slices.Contains(h.hashes, stone) {
			return true
		}
	}
	return false
}

// maxHeld bounds how many present blocks a stage remembers for GC.
const maxHeld = 1 << 16

// hold notes a present block that is part of the stage. GC keeps it while the
// stage is open, and leaves the share alone if there are too many of them.
func (st *Stage) hold(h ibgib.Hash) {
	if len(st.held) <= maxHeld {
		st.held = append(st.held, h)
	}
}
