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

// A share holds what it was given: the timelines that it lists, with what they link to.
// What comes into it by a peer comes as bytes, in a saga about that share. What comes
// into it from another share of this node is a decision of its owner, or follows from
// one: a timeline that several shares list moves in all of them. But a change may link to
// a frame of a timeline that a share does not list, which would pull that into it. Then
// it is refused, or, if it was not made here just now, held back, until the owner
// includes it.

// OutsideError says that something would pull timelines into a share that the share does
// not list.
type OutsideError struct {
	Share     string       // name
	Timelines []ibgib.Addr // tjps, sorted; at most 1,000
}

func (e *OutsideError) Error() string {
	names := make([]string, 0, 3)
	for _, a := range e.Timelines[:min(3, len(e.Timelines))] {
		names = append(names, a.String())
	}
	more := ""
	if n := len(e.Timelines) - len(names); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("it needs timelines that are not in the share %s, and would bring them there: %s%s", e.Share, strings.Join(names, ", "), more)
}

// pulled is what a share would get with the closure of something.
type pulled struct {
	blocks  []ibgib.Addr // dependencies first
	outside []ibgib.Addr // tjps of timelines that the share does not list, sorted
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
	return p, nil
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
	if len(p.outside) > 0 && !include {
		return &OutsideError{Share: sh.Name, Timelines: p.outside[:min(len(p.outside), maxListed)]}
	}
	return nil
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
// comes before it is known that all may. It fails as pulled.check does. With the default
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

// bring makes members of a share of what pull has found. Frames become part of their
// timelines; stones that are pinned in their own right are so here, too.
func (n *Node) bring(ctx context.Context, sh *share, blocks, pins []ibgib.Addr) (err error) {
	if len(blocks)+len(pins) == 0 {
		return nil
	}
	stage, err := n.store.NewStage(sh.number, blockstore.Origin{Manual: n.strategy >= saga.StrategyManual})
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

// offer offers the heads that one share has of a timeline to another one that lists it.
// With include it brings timelines along that this one does not list; else it fails with
// an *OutsideError if there are such, which is to hold back, or to refuse.
func (n *Node) offer(ctx context.Context, from, to *share, root ibgib.Hash, include bool) error {
	lacking, err := n.lackingIn(ctx, from, to, root)
	if err != nil || len(lacking) == 0 {
		return err
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
	return n.bring(ctx, to, p.blocks, nil)
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

// placeOf returns the end of the change log of a share, for offerMoved; zero if there
// are no shares to offer anything to.
func (n *Node) placeOf(ctx context.Context, sh *share) (blockstore.Place, error) {
	if len(n.shares.list()) == 0 {
		return blockstore.Place{}, nil
	}
	return sh.view.Place(ctx)
}

// offerMoved offers what has changed in a share since a place to the other shares that
// list it, and tells those who follow the events of what has changed in a named one.
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
		if sh.isNamed() {
			e := headsEvent(c)
			e.Share = sh.Name
			n.events.publish(Event{Kind: EventHeads, Heads: e})
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
			n.log.Info("a change is held back from a share", "timeline", e.Root, "share", to.Name, "outside", len(held.Timelines))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// offerRoot offers a timeline that has just been changed here to the other shares that
// list it, and tells those who follow the events of a change in a named one. What is held
// back is no error.
func (n *Node) offerRoot(ctx context.Context, from *share, root ibgib.Hash) error {
	if len(n.shares.list()) == 0 {
		return nil
	}
	e, ok, err := from.view.Entry(ctx, root)
	if err != nil || !ok {
		return err
	}
	if from.isNamed() {
		told := located{e, from}.timeline()
		n.events.publish(Event{Kind: EventHeads, Heads: &HeadsEvent{Timeline: told, Stone: e.Stone}})
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
// share before the program ended and not offered to another.
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
	Share   string       `json:"share"` // that it is kept from
	Head    ibgib.Addr   `json:"head"`
	Outside []ibgib.Addr `json:"outside"` // timelines that it needs and that share does not list; at most 1,000
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
				if len(p.outside) > 0 {
					list = append(list, HeldBack{Share: to.Name, Head: head, Outside: p.outside[:min(len(p.outside), maxListed)]})
				}
			}
		}
	}
	return list, nil
}
