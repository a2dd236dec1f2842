package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// ForgottenTimeline is a timeline, or a pinned stone, that this node is to have no more.
type ForgottenTimeline struct {
	Tjp ibgib.Addr `json:"tjp"`
	At  time.Time  `json:"at"`
}

// Forget stops a timeline here, in all shares, and keeps it from coming back until
// Remember: no peer is asked for it, and none hears of it from this node. What others
// have of it stays with them. What nothing else links to is freed by GC. addr is the tjp
// or any frame, or a pinned stone; it need not be stored. It fails with ErrInput if as
// many are forgotten as a saga can tell of.
func (n *Node) Forget(ctx context.Context, addr ibgib.Addr) (ForgottenTimeline, error) {
	f, err := n.forget(ctx, addr)
	if err != nil {
		return f, fmt.Errorf("node: forget %s: %w", addr, err)
	}
	return f, nil
}

func (n *Node) forget(ctx context.Context, addr ibgib.Addr) (ForgottenTimeline, error) {
	tjp, err := n.rootOf(ctx, addr)
	if err != nil {
		return ForgottenTimeline{}, err
	}
	n.shares.change.Lock() // a new share takes over what is forgotten
	defer n.shares.change.Unlock()
	for _, sh := range n.shares.all() {
		if err := n.takeOut(ctx, sh, tjp, true); err != nil {
			return ForgottenTimeline{}, err
		}
	}
	if n.announced.has(tjp) {
		if err := n.withdraw(tjp); err != nil {
			return ForgottenTimeline{}, err
		}
	}
	if err := n.changeWants(func() (bool, error) { return n.wants.drop(tjp), nil }); err != nil {
		return ForgottenTimeline{}, err
	}
	return ForgottenTimeline{Tjp: tjp, At: n.now().UTC().Truncate(time.Second)}, nil
}

// rootOf returns what is the entry of an address in an index: the tjp of a frame, a
// stone itself. What is not stored is taken for a tjp.
func (n *Node) rootOf(ctx context.Context, addr ibgib.Addr) (ibgib.Addr, error) {
	h, ok := addr.Hash()
	if !ok {
		return addr, fmt.Errorf("%w: %s names no ibGib that is stored", ErrInput, addr)
	}
	for _, sh := range n.shares.all() {
		f, ok, err := sh.view.Frame(ctx, h)
		if err != nil {
			return addr, err
		}
		if ok && f.Addr == addr {
			return f.Tjp, nil
		}
	}
	if addr.TjpGib() != "" {
		return addr, fmt.Errorf("frame %s: %w", addr, blockstore.ErrNotFound)
	}
	return addr, nil
}

// takeOut takes an entry out of a share.
func (n *Node) takeOut(ctx context.Context, sh *share, root ibgib.Addr, everywhere bool) error {
	roots, err := sh.view.ForgottenRoots(ctx)
	if err != nil {
		return err
	}
	if h, _ := root.Hash(); len(roots) >= saga.MaxForgotten && !slices.Contains(roots, h) {
		return fmt.Errorf("%w: %d timelines are out of the share %s for good, which is as many as there may be", ErrInput, len(roots), sh.Name)
	}
	return n.store.Forget(sh.number, root, everywhere)
}

// Remember ends what Forget began. What is still stored of the timeline is shown again,
// and syncs bring the rest, with who is connected at once. It fails with
// blockstore.ErrNotFound if the timeline is not forgotten.
func (n *Node) Remember(ctx context.Context, addr ibgib.Addr) error {
	err := n.recall(ctx, addr)
	if err != nil {
		return fmt.Errorf("node: remember %s: %w", addr, err)
	}
	return nil
}

func (n *Node) recall(ctx context.Context, addr ibgib.Addr) error {
	tjp, err := n.rootOf(ctx, addr)
	if err != nil {
		return err
	}
	n.shares.change.Lock()
	defer n.shares.change.Unlock()
	found := false
	for _, sh := range n.shares.all() {
		forgotten, err := sh.view.Forgotten(ctx)
		if err != nil {
			return err
		}
		for _, f := range forgotten {
			if f.Root != tjp || !f.Everywhere {
				continue
			}
			root, _ := tjp.Hash()
			if err := n.store.Remember(ctx, sh.number, root, true); err != nil {
				return err
			}
			found = true
			n.liveOf(sh).opened()
		}
	}
	if !found {
		return absence("it is not forgotten; forget --list shows what is")
	}
	return nil
}

// Forgotten returns what Forget has stopped, the latest first.
func (n *Node) Forgotten(ctx context.Context) ([]ForgottenTimeline, error) {
	list := []ForgottenTimeline{}
	forgotten, err := n.shares.def.view.Forgotten(ctx)
	if err != nil {
		return nil, fmt.Errorf("node: forgotten: %w", err)
	}
	for _, f := range forgotten {
		if f.Everywhere {
			list = append(list, ForgottenTimeline{Tjp: f.Root, At: f.At})
		}
	}
	slices.SortFunc(list, func(a, b ForgottenTimeline) int { return cmp.Compare(b.At.UnixMilli(), a.At.UnixMilli()) })
	return list, nil
}

// isForgotten tells whether one of some addresses is what Forget has stopped.
func (n *Node) isForgotten(ctx context.Context, addrs ...ibgib.Addr) (bool, error) {
	forgotten, err := n.shares.def.view.Forgotten(ctx)
	for _, f := range forgotten {
		if f.Everywhere && slices.Contains(addrs, f.Root) {
			return true, err
		}
	}
	return false, err
}

// takenOut names the shares that one of some addresses was taken out of.
func (n *Node) takenOut(ctx context.Context, addrs ...ibgib.Addr) ([]string, error) {
	var names []string
	for _, sh := range n.shares.all() {
		forgotten, err := sh.view.Forgotten(ctx)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(forgotten, func(f blockstore.Forgotten) bool { return f.Out && slices.Contains(addrs, f.Root) }) {
			names = append(names, sh.Name)
		}
	}
	return names, nil
}

// forgetfuls remembers, in memory, what peers have forgotten in each share, as their
// last saga said. Without it a saga with one that has would compare everything anew.
type forgetfuls struct {
	mu   sync.Mutex
	list map[forgetful][]ibgib.Hash
}

type forgetful struct {
	peer  peer.ID
	share string // its id
}

// maxForgetfuls bounds how many are remembered; what is beyond costs a comparison.
const maxForgetfuls = 1000

func newForgetfuls() *forgetfuls { return &forgetfuls{list: make(map[forgetful][]ibgib.Hash)} }

func (x *forgetfuls) of(f forgetful) []ibgib.Hash {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.list[f]
}

// note takes what a peer has said.
func (x *forgetfuls) note(f forgetful, roots []ibgib.Hash) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.list, f)
	if len(roots) > 0 && len(x.list) < maxForgetfuls {
		x.list[f] = roots
	}
}
