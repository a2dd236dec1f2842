package node

import (
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
)

// lives are what keeps the shares of a started node in step, one for each share, so
// that a share that fails, or waits, holds up no other. Without Live there is none.
type lives struct {
	mu      sync.Mutex
	byShare map[blockstore.Share]*live
	// follow begins to keep a share in step; nil unless the node is started and does so.
	follow func(*share) (*live, error)
}

func (x *lives) of(number blockstore.Share) *live {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.byShare[number]
}

func (x *lives) all() []*live {
	x.mu.Lock()
	defer x.mu.Unlock()
	list := make([]*live, 0, len(x.byShare))
	for _, l := range x.byShare {
		list = append(list, l)
	}
	return list
}

// liveOf returns what keeps a share in step; nil if nothing does, which takes all that
// it is told and does nothing.
func (n *Node) liveOf(sh *share) *live { return n.lives.of(sh.number) }

// begin keeps the shares in step from now on, and those that are made later.
func (x *lives) begin(list []*share, follow func(*share) (*live, error)) error {
	x.mu.Lock()
	x.byShare, x.follow = make(map[blockstore.Share]*live), follow
	x.mu.Unlock()
	for _, sh := range list {
		if err := x.add(sh); err != nil {
			return err
		}
	}
	return nil
}

// add keeps a share in step, if others are.
func (x *lives) add(sh *share) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.follow == nil || x.byShare[sh.number] != nil {
		return nil
	}
	l, err := x.follow(sh)
	if err != nil {
		return fmt.Errorf("share %s: %w", sh.Name, err)
	}
	x.byShare[sh.number] = l
	return nil
}

// remove ends what keeps a share in step.
func (x *lives) remove(sh *share) {
	x.mu.Lock()
	l := x.byShare[sh.number]
	delete(x.byShare, sh.number)
	x.mu.Unlock()
	if l != nil {
		l.stop()
		<-l.ended
	}
}

// stop ends all of them; whoever runs them waits for that.
func (x *lives) stop() {
	for _, l := range x.all() {
		l.stop()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.byShare, x.follow = nil, nil
}

// trustedNow tells of trust that was given or withdrawn. Whoever loses it leaves the
// named shares as well.
func (n *Node) trustedNow(p peer.ID, trusted bool) {
	n.liveOf(n.shares.def).trusted(p, trusted)
	if trusted {
		return
	}
	left, err := n.shares.leave(p)
	if err != nil {
		n.log.Error("peer not taken out of a share", "peer", p, "error", err)
	}
	for _, sh := range left {
		n.liveOf(sh).trusted(p, false)
	}
}
