package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// OutsideError says that something would pull timelines into a share that the share does
// not list, or constants that only other named shares have.
type OutsideError struct {
	Share     string       // name
	Timelines []ibgib.Addr // tjps, sorted; at most 1,000
	Stones    []ibgib.Addr // sorted; at most 1,000
}

func (e *OutsideError) Error() string {
	what, list := "timelines that are not in", e.Timelines
	if len(e.Timelines) == 0 {
		what, list = "constants of other shares that are not in", e.Stones
	}
	names := make([]string, 0, 3)
	for _, a := range list[:min(3, len(list))] {
		names = append(names, a.String())
	}
	more := ""
	if n := len(e.Timelines) + len(e.Stones) - len(names); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("it needs %s the share %s, and would bring them there: %s%s", what, e.Share, strings.Join(names, ", "), more)
}

// pulled is what a share would get with the closure of something.
type pulled struct {
	blocks  []ibgib.Addr // dependencies first
	outside []ibgib.Addr // tjps of timelines that the share does not list, sorted
	stones  []ibgib.Addr // constants of other shares, sorted: see isOfAnother
	missing []ibgib.Addr // linked, and stored nowhere
}

// pull finds out what a share would get with the closure of some ibGibs that are, or may
// be, in other shares. own is the tjp of the timeline that they are of, if there is one.
func (n *Node) pull(ctx context.Context, sh *share, from []ibgib.Addr, own ibgib.Addr) (pulled, error) {
	var p pulled
	var failed error
	lists := make(map[ibgib.Addr]bool)
	get := func(a ibgib.Addr) (ibgib.IbGib, error) {
		g, err := n.store.Get(ctx, a)
		if errors.Is(err, blockstore.ErrNotFound) {
			return ibgib.IbGib{}, nil
		}
		return g, err
	}
	there := func(a ibgib.Addr) bool {
		closed, err := n.isClosedIn(ctx, sh, a)
		failed = errors.Join(failed, err)
		return closed || err != nil
	}
	blocks, missing, err := timeline.Closure(from, get, timeline.ClosureOptions{Skip: there})
	if err = errors.Join(err, failed); err != nil {
		return p, err
	}
	p.blocks, p.missing = blocks, missing
	for _, a := range blocks {
		g, err := get(a)
		if err != nil {
			return p, err
		}
		tjp, frame := timeline.Claims(g)
		if !frame && a != own {
			of, err := n.isOfAnother(ctx, sh, a, true)
			if err != nil {
				return p, err
			}
			if of {
				p.stones = append(p.stones, a)
			}
		}
		if !frame || tjp == own || lists[tjp] {
			continue
		}
		lists[tjp] = true
		root, _ := tjp.Hash()
		_, listed, err := sh.view.Entry(ctx, root)
		if err != nil {
			return p, err
		}
		if !listed {
			p.outside = append(p.outside, tjp)
		}
	}
	slices.SortFunc(p.outside, ibgib.CompareAddr)
	slices.SortFunc(p.stones, ibgib.CompareAddr)
	return p, nil
}

// isOfAnother tells whether a constant that is stored was given to other named shares
// only: neither this one nor the default share has it. One that is pinned has been given
// to a share by itself, and not as a part of a timeline.
func (n *Node) isOfAnother(ctx context.Context, sh *share, a ibgib.Addr, pinned bool) (bool, error) {
	h, _ := a.Hash()
	for _, in := range []*share{sh, n.shares.def} {
		if at, err := in.view.Positions(ctx, []ibgib.Hash{h}); err != nil || at[0] > 0 {
			return false, err
		}
	}
	if !pinned {
		return true, nil
	}
	for _, of := range n.shares.list() {
		if _, listed, err := of.view.Entry(ctx, h); err != nil || listed {
			return listed, err
		}
	}
	return false, nil
}

// isClosedIn tells whether an ibGib is in a share under this very address, with all it
// links to.
func (n *Node) isClosedIn(ctx context.Context, sh *share, a ibgib.Addr) (bool, error) {
	h, ok := a.Hash()
	if !ok {
		return true, nil
	}
	closed, err := sh.view.HasClosed(ctx, []ibgib.Hash{h})
	if err != nil || !closed[0] {
		return false, err
	}
	_, err = n.store.Get(ctx, a)
	if errors.Is(err, blockstore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// check fails with an *OutsideError, or a *MissingLinkError, if what p says must not be.
func (p pulled) check(sh *share, include bool) error {
	if len(p.missing) > 0 {
		return &MissingLinkError{p.missing[0]}
	}
	if len(p.outside)+len(p.stones) > 0 && !include {
		return &OutsideError{
			Share: sh.Name, Timelines: p.outside[:min(len(p.outside), maxListed)], Stones: p.stones[:min(len(p.stones), maxListed)],
		}
	}
	return nil
}

// stonesOf returns the constants among some links, and among what these link to, that
// are of another share. What frames link to is part of their timelines.
func (n *Node) stonesOf(ctx context.Context, sh *share, links []ibgib.Addr) ([]ibgib.Addr, error) {
	var outside []ibgib.Addr
	met := make(map[ibgib.Addr]bool)
	for todo := slices.Clone(links); len(todo) > 0; {
		a := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if met[a] || a.IsPrimitive() {
			continue
		}
		met[a] = true
		if closed, err := n.isClosedIn(ctx, sh, a); err != nil || closed {
			if err != nil {
				return nil, err
			}
			continue
		}
		g, err := n.store.Get(ctx, a)
		if errors.Is(err, blockstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if _, frame := timeline.Claims(g); frame {
			continue
		}
		for _, to := range g.Links() {
			todo = append(todo, to)
		}
		of, err := n.isOfAnother(ctx, sh, a, false)
		if err != nil {
			return nil, err
		}
		if of {
			outside = append(outside, a)
		}
	}
	return outside, nil
}

// all returns what is outside, at most maxListed.
func (p pulled) all() []ibgib.Addr {
	outside := slices.Concat(p.outside, p.stones)
	return outside[:min(len(outside), maxListed)]
}

// linksOf returns what some ibGibs link to, but for each other.
func linksOf(gs []ibgib.IbGib) []ibgib.Addr {
	own := make(map[ibgib.Addr]bool)
	for _, g := range gs {
		own[g.Addr()] = true
	}
	var links []ibgib.Addr
	for _, g := range gs {
		for _, a := range g.Links() {
			if !own[a] {
				own[a] = true
				links = append(links, a)
			}
		}
	}
	return links
}

// makeRoom brings into shares what something links to that is to join them: nothing
// comes before it is known that all may. It fails as pulled.check does, also for
// constants that another share has as parts of its timelines. With the default
// share alone there is nothing to bring: what is stored is there.
func (n *Node) makeRoom(ctx context.Context, in []*share, links []ibgib.Addr, own ibgib.Addr, include bool) error {
	if len(n.shares.list()) == 0 {
		return nil
	}
	found := make([]pulled, len(in))
	for i, sh := range in {
		var err error
		if found[i], err = n.pull(ctx, sh, links, own); err != nil {
			return err
		}
		stones, err := n.stonesOf(ctx, sh, links)
		if err != nil {
			return err
		}
		stones = append(stones, found[i].stones...)
		slices.SortFunc(stones, ibgib.CompareAddr)
		found[i].stones = slices.Compact(stones)
		if err := found[i].check(sh, include); err != nil {
			return err
		}
	}
	for i, sh := range in {
		if err := n.bring(ctx, sh, found[i].blocks, nil); err != nil {
			return err
		}
		if err := n.complete(ctx, sh, found[i].outside); err != nil {
			return err
		}
	}
	return nil
}

// makeRoomIn is makeRoom in all shares that list a timeline.
func (n *Node) makeRoomIn(ctx context.Context, root ibgib.Hash, links []ibgib.Addr, own ibgib.Addr, include bool) error {
	if len(links) == 0 || len(n.shares.list()) == 0 {
		return nil
	}
	in, err := n.shares.listing(ctx, root)
	if err != nil {
		return err
	}
	return n.makeRoom(ctx, in, links, own, include)
}

// complete brings a share, which lists some timelines for the first time, up to the
// heads that other shares have of them, as far as that includes nothing more.
func (n *Node) complete(ctx context.Context, sh *share, tjps []ibgib.Addr) error {
	for _, tjp := range tjps {
		root, _ := tjp.Hash()
		for _, from := range n.shares.all() {
			if from.number == sh.number {
				continue
			}
			if err := n.offer(ctx, from, sh, root, false); err != nil && !isHeldBack(err) {
				return err
			}
		}
	}
	return nil
}

// copyBlocks is how many blocks are copied into a share at a time.
const copyBlocks = 256

// bring makes members of a share of what pull has found, or takes up those that have been
// members without being part of anything. Frames become part of their timelines; stones that are pinned in their own right are so here, too.
func (n *Node) bring(ctx context.Context, sh *share, blocks, pins []ibgib.Addr) (err error) {
	if len(blocks)+len(pins) == 0 {
		return nil
	}
	stage, err := n.store.NewStage(sh.number, blockstore.Origin{Manual: n.strategyOf(sh) >= saga.StrategyManual})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Discard()) }()
	for part := range slices.Chunk(blocks, copyBlocks) {
		gs := make([]ibgib.IbGib, 0, len(part))
		for _, a := range part {
			g, err := n.store.Get(ctx, a)
			if err != nil {
				return err
			}
			gs = append(gs, g)
		}
		put, err := stage.Put(ctx, gs)
		if err != nil {
			return err
		}
		if len(put.Refused) > 0 {
			return put.Refused[0]
		}
	}
	var stones []ibgib.Hash
	for _, a := range pins {
		if h, ok := a.Hash(); ok {
			stones = append(stones, h)
		}
	}
	if err := stage.Pin(ctx, stones); err != nil {
		return err
	}
	done, err := stage.Commit(ctx)
	if err == nil {
		n.tellMerges(ctx, done.Merges)
	}
	return err
}
