package node

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// maxClosure bounds the blocks of one closure that a stream is shown, and so the memory
// that it costs.
const maxClosure = 1 << 18

// closure is what one stream of a fetch may see: the closure of its target, as far as it
// is public. These are the frames of timelines that a person has announced, and the
// stones that they link to. A peer that is trusted sees no more: for all else there are
// sagas, in which it proves who it is. It walks the closure from the target down, and only as far as it is asked for.
type closure struct {
	blocks   *blockstore.Reader
	isPublic func(tjp ibgib.Addr) bool
	out      []ibgib.Hash // timelines that are not to be shown all the same, ascending

	seen    map[ibgib.Hash]seenBlock
	pending []ibgib.Hash // of seen, breadth first; what they link to may not be in seen yet
	reads   int
}

// seenBlock is what a stream has had of a block of the closure.
type seenBlock struct {
	walked bool // what it links to is in seen
	told   bool // it was returned or named
}

var _ protocol.Closure = (*closure)(nil)

// showClosure is Open of protocol.FetchHandlers.
func (n *Node) showClosure(ctx context.Context, _ peer.ID, target ibgib.Hash) (protocol.Closure, error) {
	c := &closure{blocks: n.view.Reader(), isPublic: n.announced.has, seen: make(map[ibgib.Hash]seenBlock)}
	// A timeline that is forgotten, or has moved to a share, has blocks here until a GC.
	var err error
	if c.out, err = n.view.ForgottenRoots(ctx); err != nil {
		return nil, err
	}
	// What is closed has all that it reaches, and stays so while something names it.
	closed, err := n.view.HasClosed(ctx, []ibgib.Hash{target})
	if err != nil || !closed[0] {
		return c, err
	}
	g, err := c.block(ctx, target)
	if err != nil || g.IsZero() {
		return c, err
	}
	if _, frame := timeline.Claims(g); !frame && !c.shows(g.Addr()) {
		return c, nil // a stone is shown as part of what links to it, or if it is announced itself
	}
	return c, c.see(target)
}

// shows tells whether a timeline is public, or a stone by itself.
func (c *closure) shows(root ibgib.Addr) bool {
	h, ok := root.Hash()
	_, out := slices.BinarySearchFunc(c.out, h, func(a, b ibgib.Hash) int { return bytes.Compare(a[:], b[:]) })
	return ok && !out && c.isPublic(root)
}

// block returns a block that may be shown, or none.
func (c *closure) block(ctx context.Context, h ibgib.Hash) (ibgib.IbGib, error) {
	c.reads++
	g, err := c.blocks.Block(ctx, h)
	if errors.Is(err, blockstore.ErrNotFound) {
		return ibgib.IbGib{}, nil
	}
	if err != nil {
		return ibgib.IbGib{}, err
	}
	if tjp, frame := timeline.Claims(g); frame && !c.shows(tjp) {
		return ibgib.IbGib{}, nil
	}
	return g, nil
}

// see takes a block into the closure.
func (c *closure) see(h ibgib.Hash) error {
	if _, known := c.seen[h]; known {
		return nil
	}
	if len(c.seen) >= maxClosure {
		return &saga.Error{Code: saga.CodeLimit, Text: "it reaches more ibGibs than this node shows at once"}
	}
	c.seen[h] = seenBlock{}
	c.pending = append(c.pending, h)
	return nil
}

// walk takes what a block of the closure links to into it.
func (c *closure) walk(g ibgib.IbGib) error {
	at := c.seen[g.Hash()]
	if at.walked {
		return nil
	}
	at.walked = true
	c.seen[g.Hash()] = at
	for to := range g.Targets() {
		if h, ok := to.Hash(); ok {
			if err := c.see(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// step walks the next block; it returns one that may be shown, or none.
func (c *closure) step(ctx context.Context) (ibgib.IbGib, error) {
	h := c.pending[0]
	c.pending = c.pending[1:]
	g, err := c.block(ctx, h)
	if err != nil || g.IsZero() {
		return g, err
	}
	return g, c.walk(g)
}

func (c *closure) Blocks(ctx context.Context, wants []ibgib.Hash, bytes int) (blocks []ibgib.IbGib, absent []ibgib.Hash, err error) {
	for _, h := range wants {
		for _, in := c.seen[h]; !in && len(c.pending) > 0; _, in = c.seen[h] {
			if _, err := c.step(ctx); err != nil {
				return nil, nil, err
			}
		}
		at, in := c.seen[h]
		if !in {
			absent = append(absent, h)
			continue
		}
		g, err := c.block(ctx, h)
		if err != nil {
			return nil, nil, err
		}
		if g.IsZero() {
			absent = append(absent, h)
			continue
		}
		if bytes -= g.Size(); bytes < 0 && len(blocks) > 0 {
			break
		}
		if err := c.walk(g); err != nil {
			return nil, nil, err
		}
		at = c.seen[h]
		at.told = true
		c.seen[h] = at
		blocks = append(blocks, g)
	}
	return blocks, absent, nil
}

func (c *closure) Ahead(ctx context.Context, most int) ([]ibgib.Hash, error) {
	var ahead []ibgib.Hash
	for len(ahead) < most && len(c.pending) > 0 {
		g, err := c.step(ctx)
		if err != nil {
			return nil, err
		}
		if g.IsZero() {
			continue
		}
		if at := c.seen[g.Hash()]; !at.told {
			at.told = true
			c.seen[g.Hash()] = at
			ahead = append(ahead, g.Hash())
		}
	}
	return ahead, nil
}

func (c *closure) Reads() int { return c.reads }

// isShown tells whether a peer is being served with a fetch.
func (n *Node) isShown(p peer.ID) bool {
	s := n.shows.Load()
	return s != nil && s.Serves(p)
}
