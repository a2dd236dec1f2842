package blockstore

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/ibgib/ibgib-node/ibgib"
)

// A Reader is a View for one who reads many blocks of which those that arrived
// together are needed together: a closure, the history of a timeline. Block reads
// the neighbours of a block with it, which costs a fraction of asking for each, and
// remembers them for a while; when they turn out not to be needed, it goes back to
// single blocks. It is safe for concurrent use, and takes up to about 16 MiB.
type Reader struct {
	*View

	mu     sync.Mutex // guards what follows
	nearby blockCache
	window uint64 // slots to read around a block; 0: the block alone
	loaded int    // blocks that the last window brought and that were not known
	used   int    // times that one of what is remembered was asked for since then
	single int    // blocks read alone since then
}

const (
	minWindow   = 8
	maxWindow   = 256
	windowBytes = 512 << 10
	// probeAfter is how many blocks are read alone before a window is tried again.
	probeAfter = 32
	// cacheBytes bounds each of the two generations of what a Reader remembers.
	cacheBytes = 4 << 20
)

// Reader returns a Reader of the share.
func (v *View) Reader() *Reader { return &Reader{View: v, window: minWindow} }

// Block returns the ibGib stored under a hash in the share, as View.Block does.
func (r *Reader) Block(ctx context.Context, h ibgib.Hash) (g ibgib.IbGib, err error) {
	if err := ctx.Err(); err != nil {
		return g, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if g, ok := r.nearby.get(h); ok && !r.s.mixed.Load() {
		r.used++
		return g, nil
	}
	err = r.s.read(func(snap snapshot) error {
		m, found, err := memberOf(snap, r.share, h)
		if err == nil && !found {
			err = fmt.Errorf("block %s: %w", h, ErrNotFound)
		}
		if err != nil {
			return err
		}
		var ok bool
		if g, ok = r.nearby.get(h); ok { // a neighbour may belong to another share
			r.used++
			return nil
		}
		if r.tryWindow() {
			if err := r.load(snap, m.slot); err != nil {
				return err
			}
			if g, ok = r.nearby.get(h); ok {
				return nil
			}
		}
		g, err = blockOf(snap, m)
		return err
	})
	return g, err
}

// tryWindow decides by what the last window was good for whether to read one.
func (r *Reader) tryWindow() bool {
	if r.window == 0 {
		r.single++
		if r.single <= probeAfter {
			return false
		}
		r.window = minWindow
		return true
	}
	if r.loaded == 0 {
		return true
	}
	if r.used >= r.loaded/2 {
		r.window = min(2*r.window, maxWindow)
		return true
	}
	r.window /= 2
	if r.window < minWindow {
		r.window, r.single, r.loaded = 0, 0, 0
		return false
	}
	return true
}

// load reads the window that a slot lies in. Blocks for the value log, and what is
// damaged, are left to those who ask for them.
func (r *Reader) load(snap snapshot, slot uint64) error {
	r.loaded, r.used = 0, 0
	first := slot &^ (r.window - 1)
	left := windowBytes
	return snap.scanSmall([]byte{prefixBlock}, blockKey(first), bigValue, func(key, value []byte) (bool, error) {
		if blockSlot(key) >= first+r.window || left < 0 {
			return false, nil
		}
		left -= len(value)
		content, err := blockContent(value)
		if err != nil {
			return true, nil
		}
		g, err := ibgib.Reload(bytes.Clone(content))
		if err != nil {
			return true, nil
		}
		if _, known := r.nearby.get(g.Hash()); !known {
			r.nearby.put(g)
			r.loaded++
		}
		return true, nil
	})
}

// blockCache remembers blocks in two generations: when the younger one is full, the
// older one is forgotten. What is asked for becomes young again.
type blockCache struct {
	young, old map[ibgib.Hash]ibgib.IbGib
	bytes      int // of young
}

func (c *blockCache) get(h ibgib.Hash) (ibgib.IbGib, bool) {
	if g, ok := c.young[h]; ok {
		return g, true
	}
	g, ok := c.old[h]
	if ok {
		c.put(g)
	}
	return g, ok
}

func (c *blockCache) put(g ibgib.IbGib) {
	const overhead = 400 // of the map, the ibGib and its address
	if c.young == nil || c.bytes >= cacheBytes {
		c.young, c.old, c.bytes = make(map[ibgib.Hash]ibgib.IbGib), c.young, 0
	}
	c.young[g.Hash()] = g
	c.bytes += g.Size() + overhead
}
