package node

import (
	"context"
	"errors"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
)

// idleSession is for how long a session has signed nothing before it may be forgotten: one
// that is just beginning is not in use yet.
const idleSession = time.Hour

// dropSessions forgets the sessions that are of no use any more: those that neither this
// node nor a peer uses, and that speak in no saga which is remembered. Others stay, so
// that the records can be verified.
func (n *Node) dropSessions(ctx context.Context) error {
	used, err := n.spokenIn(ctx)
	if err != nil {
		return err
	}
	for _, genesis := range n.sessions.own.InUse() {
		used[genesis] = true
	}
	for _, genesis := range n.book.Genesis() {
		h, err := n.book.History(genesis)
		if err != nil || used[genesis] || !h.IsSession() || n.now().Sub(h.Data().At) < idleSession {
			continue
		}
		if err := n.book.Drop(ctx, genesis); err != nil {
			return err
		}
	}
	return nil
}

// spokenIn returns the sessions that speak in the sagas that are remembered.
func (n *Node) spokenIn(ctx context.Context) (map[ibgib.Addr]bool, error) {
	spoken := make(map[ibgib.Addr]bool)
	for e, err := range n.store.View(blockstore.LocalArea).Entries(ctx) {
		if err != nil {
			return nil, err
		}
		if !isSaga(e) {
			continue
		}
		g, err := n.store.Get(ctx, e.Latest)
		if errors.Is(err, blockstore.ErrNotFound) {
			continue // it has just been dropped
		}
		if err != nil {
			return nil, err
		}
		for _, a := range g.Rel("identity") {
			spoken[a] = true
		}
	}
	return spoken, nil
}
