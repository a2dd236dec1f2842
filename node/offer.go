package node

import (
	"context"
	"errors"
	"slices"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// A share holds what it was given: the timelines that it lists, with what they link to.
// What comes into it by a peer comes as bytes, in a saga about that share. What comes
// into it from another share of this node is a decision of its owner, or follows from
// one: a timeline that several shares list moves in all of them. But a change may link to
// a frame of a timeline that a share does not list, or to a constant that was given to
// another share by itself, which would pull that into it. Then it is refused, or, if it
// was not made here just now, held back, until the owner includes it.

// offer offers the heads that one share has of a timeline to another one that lists it.
// With include it brings timelines along that this one does not list; else it fails with
// an *OutsideError if there are such, which is to hold back, or to refuse.
func (n *Node) offer(ctx context.Context, from, to *share, root ibgib.Hash, include bool) error {
	lacking, err := n.lackingIn(ctx, from, to, root)
	if err != nil || len(lacking) == 0 {
		return err
	}
	if n.strategyOf(to) >= saga.StrategyAbort {
		if diverges, err := n.divergesIn(ctx, to, root, lacking); err != nil || diverges {
			return err // it stays as it is
		}
	}
	var held *OutsideError
	for _, head := range lacking {
		err := n.offerHead(ctx, to, head, include)
		if errors.As(err, &held) {
			continue // the others may do without
		}
		if err != nil {
			return err
		}
	}
	if held != nil {
		return held
	}
	return nil
}

func (n *Node) offerHead(ctx context.Context, to *share, head ibgib.Addr, include bool) error {
	f, err := n.frameOf(ctx, head)
	if err != nil {
		return err
	}
	p, err := n.pull(ctx, to, []ibgib.Addr{head}, f.Tjp)
	if err == nil {
		err = p.check(to, include)
	}
	if err != nil {
		return err
	}
	blocks := p.blocks
	if !slices.Contains(blocks, head) {
		blocks = append(blocks, head) // a saga has brought it and moved no head
	}
	return n.bring(ctx, to, blocks, nil)
}

// lackingIn returns the heads of a timeline in one share that are not in the history of
// those in another one that lists it. Of a stone there are none.
func (n *Node) lackingIn(ctx context.Context, from, to *share, root ibgib.Hash) ([]ibgib.Addr, error) {
	has, ok, err := from.view.Entry(ctx, root)
	if err != nil || !ok || has.Stone {
		return nil, err
	}
	lists, ok, err := to.view.Entry(ctx, root)
	if err != nil || !ok {
		return nil, err
	}
	row := saga.Row{Root: root, Own: lists.Knowledge().Heads, Peer: has.Knowledge().Heads}
	lacking, err := saga.Lacking(ctx, to.view, row)
	if err != nil || len(lacking) == 0 {
		return nil, err
	}
	var heads []ibgib.Addr
	for _, a := range has.Heads {
		if h, _ := a.Hash(); slices.Contains(lacking, h) {
			heads = append(heads, a)
		}
	}
	return heads, nil
}

// divergesIn tells whether a timeline has several heads in a share once that has some more.
func (n *Node) divergesIn(ctx context.Context, sh *share, root ibgib.Hash, more []ibgib.Addr) (bool, error) {
	e, _, err := sh.view.Entry(ctx, root)
	if err != nil {
		return false, err
	}
	frames, err := n.frames(ctx, slices.Concat(e.Heads, more))
	if err != nil {
		return false, err
	}
	heads, err := timeline.Maximal(frames, n.frameLookup(ctx))
	return len(heads) > 1, err
}

// placeOf returns the end of the change log of a share, for offerMoved; zero if there
// are no shares to offer anything to.
func (n *Node) placeOf(ctx context.Context, sh *share) (blockstore.Place, error) {
	if len(n.shares.list()) == 0 {
		return blockstore.Place{}, nil
	}
	return sh.view.Place(ctx)
}

// offerMoved offers what has changed in a share since a place to the other shares that
// list it.
func (n *Node) offerMoved(ctx context.Context, sh *share, since blockstore.Place) error {
	if since == (blockstore.Place{}) {
		return nil
	}
	for c, err := range sh.view.Changes(ctx, since) {
		if errors.Is(err, blockstore.ErrOtherLog) {
			return n.offerShare(ctx, sh)
		}
		if err != nil {
			return err
		}
		if err := n.offerEntry(ctx, sh, c.Entry, false); err != nil {
			return err
		}
	}
	return nil
}

// offerEntry offers one timeline of a share to the others that list it. What is held
// back is no error; why tells of it.
func (n *Node) offerEntry(ctx context.Context, from *share, e blockstore.Entry, include bool) error {
	if e.Stone {
		return nil
	}
	root, _ := e.Root.Hash()
	for _, to := range n.shares.all() {
		if to.number == from.number {
			continue
		}
		err := n.offer(ctx, from, to, root, include)
		if held, ok := errors.AsType[*OutsideError](err); ok {
			n.log.Info("a change is held back from a share", "timeline", e.Root, "share", to.Name, "outside", len(held.Timelines)+len(held.Stones))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// offerRoot offers a timeline that has just been changed here to the other shares that
// list it. What is held back is no error.
func (n *Node) offerRoot(ctx context.Context, from *share, root ibgib.Hash) error {
	if len(n.shares.list()) == 0 {
		return nil
	}
	e, ok, err := from.view.Entry(ctx, root)
	if err != nil || !ok {
		return err
	}
	return n.offerEntry(ctx, from, e, false)
}

// offerShare offers all that a share has.
func (n *Node) offerShare(ctx context.Context, sh *share) error {
	for e, err := range sh.view.Entries(ctx) {
		if err == nil {
			err = n.offerEntry(ctx, sh, e, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// offerAll goes through the timelines of all named shares, for what was accepted in one
// share and not offered to another before the program ended, or left alone by that.
func (n *Node) offerAll(ctx context.Context) {
	for _, sh := range n.shares.list() {
		for e, err := range sh.view.Entries(ctx) {
			if err == nil {
				err = n.offerEntry(ctx, sh, e, false)
			}
			if root, _ := e.Root.Hash(); err == nil {
				for _, from := range n.shares.all() {
					if from.number == sh.number {
						continue
					}
					if err = n.offer(ctx, from, sh, root, false); isHeldBack(err) {
						err = nil
					}
					if err != nil {
						break
					}
				}
			}
			if err != nil {
				if ctx.Err() == nil {
					n.log.Warn("changes not offered to other shares", "share", sh.Name, "error", err)
				}
				return
			}
		}
	}
}

func isHeldBack(err error) bool {
	_, held := errors.AsType[*OutsideError](err)
	return held
}

// HeldBack is a head that one share has of a timeline and that is kept from another one
// which lists it.
type HeldBack struct {
	Share string     `json:"share"` // that it is kept from
	Head  ibgib.Addr `json:"head"`
	// Outside are timelines that it needs and that share does not list, and constants of
	// other shares; at most 1,000.
	Outside []ibgib.Addr `json:"outside"`
}

// heldBack lists what is held back of a timeline.
func (n *Node) heldBack(ctx context.Context, tjp ibgib.Addr) ([]HeldBack, error) {
	list := []HeldBack{}
	root, ok := tjp.Hash()
	if !ok || len(n.shares.list()) == 0 {
		return list, nil
	}
	for _, to := range n.shares.all() {
		met := make(map[ibgib.Addr]bool)
		for _, from := range n.shares.all() {
			heads, err := n.lackingIn(ctx, from, to, root)
			if err != nil {
				return list, err
			}
			for _, head := range heads {
				if met[head] || len(list) == maxListed {
					continue
				}
				met[head] = true
				p, err := n.pull(ctx, to, []ibgib.Addr{head}, tjp)
				if err != nil {
					return list, err
				}
				if outside := p.all(); len(outside) > 0 {
					list = append(list, HeldBack{Share: to.Name, Head: head, Outside: outside})
				}
			}
		}
	}
	return list, nil
}
