package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// What a person stores by hand is meant to stay: an ibGib of no timeline, to
// which nothing may ever link, is pinned as it is stored. So it survives a
// garbage collection, and peers get it. A frame needs no pin; its timeline keeps
// it.

// Stone is Changes.Stone without options.
func (n *Node) Stone(ctx context.Context, o ibgib.StoneOptions) (PutResult, error) {
	return n.With(ChangeOptions{}).Stone(ctx, o)
}

// Put is Changes.Put without options.
func (n *Node) Put(ctx context.Context, raw []byte) (PutResult, error) {
	return n.With(ChangeOptions{}).Put(ctx, raw)
}

// Stone makes a constant and stores it.
func (c Changes) Stone(ctx context.Context, o ibgib.StoneOptions) (PutResult, error) {
	g, err := ibgib.Stone(o, c.n.env())
	if err != nil {
		return PutResult{}, fmt.Errorf("node: stone: %w", err)
	}
	res, err := c.n.put(ctx, g, c.o)
	if err != nil {
		return res, fmt.Errorf("node: stone: %w", err)
	}
	return res, nil
}

// Put stores the ibGib that raw is, JSON of any form, as it is. A missing gib is
// computed, a given one must fit. What it links to may be missing, and it may
// be a frame that a rule keeps out of its timeline; the result tells.
func (c Changes) Put(ctx context.Context, raw []byte) (PutResult, error) {
	g, err := ibgib.Gib(raw)
	if err != nil {
		return PutResult{}, fmt.Errorf("node: put: %w", err)
	}
	res, err := c.n.put(ctx, g, c.o)
	if err != nil {
		return res, fmt.Errorf("node: put: %w", err)
	}
	return res, nil
}

func (n *Node) put(ctx context.Context, g ibgib.IbGib, to ChangeOptions) (PutResult, error) {
	sh, err := n.shares.byName(to.Share)
	if err != nil {
		return PutResult{}, err
	}
	tjp, isFrame := timeline.Claims(g)
	root, _ := tjp.Hash()
	if len(n.shares.list()) > 0 {
		in := []*share{sh}
		if isFrame {
			of, err := n.shares.listing(ctx, root)
			if err != nil {
				return PutResult{}, err
			}
			in = append(of, in...)
		}
		err := n.makeRoom(ctx, in, linksOf([]ibgib.IbGib{g}), tjp, to.Include)
		if _, waits := errors.AsType[*MissingLinkError](err); err != nil && !waits {
			return PutResult{}, err
		}
	}
	stage, err := n.store.NewStage(sh.number, blockstore.Origin{Manual: sh.Strategy >= saga.StrategyManual})
	if err != nil {
		return PutResult{}, err
	}
	res, err := n.putIn(ctx, sh, stage, g)
	if err != nil {
		return PutResult{}, errors.Join(err, stage.Discard())
	}
	if isFrame {
		err = n.offerRoot(ctx, sh, root)
	}
	return res, err
}

func (n *Node) putIn(ctx context.Context, sh *share, stage *blockstore.Stage, g ibgib.IbGib) (PutResult, error) {
	res := PutResult{Addr: g.Addr(), Missing: []ibgib.Addr{}}
	put, err := stage.Put(ctx, []ibgib.IbGib{g})
	if err != nil {
		return res, err
	}
	if len(put.Refused) > 0 {
		return res, put.Refused[0]
	}
	_, isFrame := timeline.Claims(g)
	if !isFrame {
		if err := stage.Pin(ctx, []ibgib.Hash{g.Hash()}); err != nil {
			return res, err
		}
	}
	done, err := stage.Commit(ctx)
	if err != nil {
		return res, err
	}
	n.tellMerges(ctx, done.Merges)
	res.Stored = put.Stored > 0
	closed, err := sh.view.HasClosed(ctx, []ibgib.Hash{g.Hash()})
	if err != nil {
		return res, err
	}
	res.Pinned = closed[0] && !isFrame
	if !closed[0] {
		res.Missing, err = n.missingBelow(ctx, sh, g)
	}
	if list := rejected(done.Rejected); len(list) > 0 {
		res.Rejected = &list[0]
	}
	return res, err
}

// missingBelow returns the addresses that g links to and that are not closed in a share,
// each once; at most maxListed.
func (n *Node) missingBelow(ctx context.Context, sh *share, g ibgib.IbGib) ([]ibgib.Addr, error) {
	missing := []ibgib.Addr{}
	met := make(map[ibgib.Addr]bool)
	for _, a := range g.Links() {
		if met[a] || len(missing) == maxListed {
			continue
		}
		met[a] = true
		closed, err := n.isClosedIn(ctx, sh, a)
		if err != nil {
			return missing, err
		}
		if !closed {
			missing = append(missing, a)
		}
	}
	return missing, nil
}
