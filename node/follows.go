package node

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
	"github.com/ibgib/ibgib-node/saga"
)

// maxFollows bounds the timelines that a node follows.
const maxFollows = 1000

// Follow says from whom heads of a timeline are taken: over sagas with trusted peers
// that have proved one keystone, or any.
type Follow struct {
	// Timeline is the address that was given, of any frame.
	Timeline ibgib.Addr `json:"timeline"`
	// From is the first frame of that keystone; zero: any trusted peer's.
	From ibgib.Addr `json:"from,omitzero"`
}

// root returns the hash of the tjp.
func (f Follow) root() (ibgib.Hash, error) {
	roots, err := SyncOptions{Timelines: []ibgib.Addr{f.Timeline}}.roots()
	if err != nil {
		return ibgib.Hash{}, err
	}
	return roots[0], nil
}

// follows is the list of timelines that are followed, kept in a file.
type follows struct {
	path string

	mu   sync.Mutex
	list map[ibgib.Hash]Follow // by root
}

// followsFile is the content of the file.
type followsFile struct {
	Version int      `json:"version"`
	Follows []Follow `json:"follows"`
}

const followsFileVersion = 1

// loadFollows reads the file. One that cannot be read is an error: heads would be taken
// from others than those that a person has named.
func loadFollows(path string) (*follows, error) {
	f := &follows{path: path, list: make(map[ibgib.Hash]Follow)}
	var file followsFile
	found, err := datadir.ReadJSON(path, &file)
	if err != nil {
		return nil, fmt.Errorf("followed timelines: %w", err)
	}
	if !found {
		return f, nil
	}
	if file.Version != followsFileVersion || len(file.Follows) > maxFollows {
		return nil, fmt.Errorf("followed timelines: %s has version %d and %d timelines, this program knows version %d and %d",
			path, file.Version, len(file.Follows), followsFileVersion, maxFollows)
	}
	for _, one := range file.Follows {
		root, err := one.root()
		if err != nil {
			return nil, fmt.Errorf("followed timelines: %s: %w", path, err)
		}
		f.list[root] = one
	}
	return f, nil
}

// barred returns the roots of timelines whose heads are not taken from a peer with this
// keystone.
func (f *follows) barred(keystone ibgib.Addr) []ibgib.Hash {
	f.mu.Lock()
	defer f.mu.Unlock()
	var roots []ibgib.Hash
	for root, one := range f.list {
		if !one.From.IsZero() && one.From != keystone {
			roots = append(roots, root)
		}
	}
	return roots
}

// all returns the list by timeline.
func (f *follows) all() []Follow {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sorted(f.list)
}

func (f *follows) sorted(list map[ibgib.Hash]Follow) []Follow {
	all := []Follow{}
	for _, one := range list {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b Follow) int { return ibgib.CompareAddr(a.Timeline, b.Timeline) })
	return all
}

// change stores the list as edit leaves it, and then has it so.
func (f *follows) change(edit func(list map[ibgib.Hash]Follow) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := make(map[ibgib.Hash]Follow, len(f.list)+1)
	for root, one := range f.list {
		next[root] = one
	}
	if err := edit(next); err != nil {
		return err
	}
	if err := datadir.WriteJSON(f.path, followsFile{followsFileVersion, f.sorted(next)}); err != nil {
		return fmt.Errorf("followed timelines: %w", err)
	}
	f.list = next
	return nil
}

// rotated lets follows of a keystone go along to the one that it has handed over to.
func (f *follows) rotated(before, now ibgib.Addr) error {
	if !slices.ContainsFunc(f.all(), func(one Follow) bool { return one.From == before }) {
		return nil
	}
	return f.change(func(list map[ibgib.Hash]Follow) error {
		for root, one := range list {
			if one.From == before {
				one.From = now
				list[root] = one
			}
		}
		return nil
	})
}

// FollowResult tells what came of a Follow.
type FollowResult struct {
	Follow
	Syncs []SyncResult `json:"syncs"` // with the connected peers that it may come from
	// Peers are the trusted peers that it may come from. Without any, nothing comes.
	Peers []string `json:"peers"`
}

// Follow keeps a timeline in sync from now on. addr is the address of any of its
// frames, which need not be here. Its heads are taken over sagas with trusted peers that have proved
// the keystone from, and no others; if that is zero, with all trusted peers, as those
// of timelines that are not followed. It syncs at once with those of them that are
// connected, and afterwards whenever a sync with one comes by itself. What is done here
// is not affected, nor what Fetch brings.
func (n *Node) Follow(ctx context.Context, addr, from ibgib.Addr) (FollowResult, error) {
	res, err := n.follow(ctx, addr, from)
	if err != nil {
		return res, fmt.Errorf("node: follow %s: %w", addr, err)
	}
	return res, nil
}

func (n *Node) follow(ctx context.Context, addr, from ibgib.Addr) (FollowResult, error) {
	one := Follow{Timeline: addr, From: from}
	res := FollowResult{Follow: one, Syncs: []SyncResult{}, Peers: []string{}}
	root, err := one.root()
	if err != nil {
		return res, err
	}
	err = n.follows.change(func(list map[ibgib.Hash]Follow) error {
		if _, known := list[root]; !known && len(list) >= maxFollows {
			return fmt.Errorf("%w: %d timelines are followed, no more can be", ErrInput, maxFollows)
		}
		list[root] = one
		return nil
	})
	if err != nil {
		return res, err
	}
	n.mu.Lock()
	h := n.host
	n.mu.Unlock()
	for _, p := range n.followedFrom(from) {
		res.Peers = append(res.Peers, p.String())
		if h == nil || !isLinked(h, p) {
			continue
		}
		done, err := n.syncWith(ctx, peer.AddrInfo{ID: p}, SyncOptions{Mode: saga.ModePull, Timelines: []ibgib.Addr{addr}}, nil)
		if err != nil {
			n.log.Info("followed timeline not synced", "peer", p, "timeline", addr, "error", err)
			continue
		}
		res.Syncs = append(res.Syncs, done)
	}
	return res, ctx.Err()
}

// followedFrom lists the trusted peers that are known by a keystone; all if it is zero.
func (n *Node) followedFrom(keystone ibgib.Addr) []peer.ID {
	if keystone.IsZero() {
		return n.trust.list()
	}
	return n.trust.withKeystone(keystone)
}

// Unfollow ends what Follow began: the timeline is one like any other again. It fails
// with blockstore.ErrNotFound if it is not followed.
func (n *Node) Unfollow(ctx context.Context, addr ibgib.Addr) (Follow, error) {
	var was Follow
	root, err := Follow{Timeline: addr}.root()
	if err == nil {
		err = n.follows.change(func(list map[ibgib.Hash]Follow) error {
			var known bool
			if was, known = list[root]; !known {
				return errNotFollowed
			}
			delete(list, root)
			return nil
		})
	}
	if err != nil {
		return was, fmt.Errorf("node: unfollow %s: %w", addr, err)
	}
	return was, nil
}

// Follows returns the timelines that are followed.
func (n *Node) Follows(context.Context) ([]Follow, error) { return n.follows.all(), nil }
