package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Pin presents head, one of the heads of a diverged timeline, as its latest on
// this node, and returns the conflict, which goes on. addr is the tjp or any
// frame. Changes made here go on top of it. The pin follows its branch and does
// not travel; see blockstore.Store.PinLatest. It fails with blockstore.ErrNotFound
// if the timeline has not diverged, and with ErrInput if head is none of its heads.
func (n *Node) Pin(ctx context.Context, addr, head ibgib.Addr) (Conflict, error) {
	c, err := n.pin(ctx, addr, head)
	if err != nil {
		return Conflict{}, fmt.Errorf("node: pin %s: %w", addr, err)
	}
	return c, nil
}

func (n *Node) pin(ctx context.Context, addr, head ibgib.Addr) (Conflict, error) {
	e, err := n.entryOf(ctx, addr)
	if err != nil {
		return Conflict{}, err
	}
	if len(e.Heads) < 2 {
		return Conflict{}, errOneHead
	}
	if !slices.Contains(e.Heads, head) {
		return Conflict{}, notAHead(head, e.Entry)
	}
	if e.Entry, err = n.store.PinLatest(ctx, e.in.number, head); err != nil {
		return Conflict{}, err
	}
	return n.conflict(ctx, e.Entry)
}

// Unpin ends what Pin began: the head with the greatest (n, HASH) is presented
// again. It fails with blockstore.ErrNotFound if no head of the timeline is pinned.
func (n *Node) Unpin(ctx context.Context, addr ibgib.Addr) (Conflict, error) {
	c, err := n.unpin(ctx, addr)
	if err != nil {
		return Conflict{}, fmt.Errorf("node: unpin %s: %w", addr, err)
	}
	return c, nil
}

func (n *Node) unpin(ctx context.Context, addr ibgib.Addr) (Conflict, error) {
	e, err := n.entryOf(ctx, addr)
	if err != nil {
		return Conflict{}, err
	}
	if !e.Pinned {
		return Conflict{}, absence("no head of the timeline is pinned")
	}
	root, _ := e.Root.Hash()
	if e.Entry, err = n.store.UnpinLatest(ctx, e.in.number, root); err != nil {
		return Conflict{}, err
	}
	return n.conflict(ctx, e.Entry)
}
