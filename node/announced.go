package node

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

// maxProvided bounds the timelines that a node announces.
const maxProvided = 1000

// announced is the list of timelines that a person has marked for announcing, kept in
// a file.
type announced struct {
	path string

	mu   sync.Mutex
	tjps []ibgib.Addr // sorted
}

// announcedFile is the content of the file.
type announcedFile struct {
	Version   int          `json:"version"`
	Timelines []ibgib.Addr `json:"timelines"` // their tjps
}

const announcedFileVersion = 1

// loadAnnounced reads the file. One that cannot be read is an error: that a timeline
// is announced no longer should not go unseen.
func loadAnnounced(path string) (*announced, error) {
	a := &announced{path: path}
	var file announcedFile
	found, err := datadir.ReadJSON(path, &file)
	if err != nil {
		return nil, fmt.Errorf("announced timelines: %w", err)
	}
	if !found {
		return a, nil
	}
	if file.Version != announcedFileVersion {
		return nil, fmt.Errorf("announced timelines: %s has version %d, this program knows %d", path, file.Version, announcedFileVersion)
	}
	a.tjps = file.Timelines[:min(len(file.Timelines), maxProvided)]
	return a, nil
}

// keys returns the keys of the timelines.
func (a *announced) keys() []cid.Cid {
	a.mu.Lock()
	defer a.mu.Unlock()
	var keys []cid.Cid
	for _, tjp := range a.tjps {
		if key, err := dht.TimelineKey(tjp); err == nil { // as it was when it was marked
			keys = append(keys, key)
		}
	}
	return keys
}

func (a *announced) all() []ibgib.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]ibgib.Addr{}, a.tjps...)
}

// has tells whether a timeline is marked.
func (a *announced) has(tjp ibgib.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, marked := slices.BinarySearchFunc(a.tjps, tjp, ibgib.CompareAddr)
	return marked
}

// set marks a timeline, or takes the mark away. The list is stored before it
// changes.
func (a *announced) set(tjp ibgib.Addr, on bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, marked := slices.BinarySearchFunc(a.tjps, tjp, ibgib.CompareAddr)
	if marked == on {
		return nil
	}
	next := slices.Clone(a.tjps)
	if on {
		if len(next) >= maxProvided {
			return fmt.Errorf("%w: %d timelines are announced, no more can be", ErrInput, maxProvided)
		}
		next = slices.Insert(next, at, tjp)
	} else {
		next = slices.Delete(next, at, at+1)
	}
	if err := datadir.WriteJSON(a.path, announcedFile{announcedFileVersion, next}); err != nil {
		return fmt.Errorf("announced timelines: %w", err)
	}
	a.tjps = next
	return nil
}

// Announcement is a timeline that others can find in the DHT.
type Announcement struct {
	Tjp ibgib.Addr `json:"tjp"`
	CID string     `json:"cid"` // under which it is found
}

func announcementOf(tjp ibgib.Addr) (Announcement, error) {
	key, err := dht.TimelineKey(tjp)
	if err != nil {
		return Announcement{}, err
	}
	return Announcement{tjp, key.String()}, nil
}

// Provide announces a timeline in the DHT from now on, while the node runs and takes
// part in one: that this node has it, not what it holds. addr is the address of any of
// its frames. It fails with blockstore.ErrNotFound if the timeline is not stored.
func (n *Node) Provide(ctx context.Context, addr ibgib.Addr) (Announcement, error) {
	a, err := n.provide(ctx, addr)
	if err != nil {
		return Announcement{}, fmt.Errorf("node: provide %s: %w", addr, err)
	}
	return a, nil
}

func (n *Node) provide(ctx context.Context, addr ibgib.Addr) (Announcement, error) {
	e, err := n.entryOf(ctx, addr)
	if err != nil {
		return Announcement{}, err
	}
	if e.in.number != blockstore.DefaultShare {
		return Announcement{}, fmt.Errorf("%w: it is kept in the share %s, of which nothing is made public", ErrInput, e.in.Name)
	}
	a, err := announcementOf(e.Root)
	if err != nil {
		return Announcement{}, err
	}
	if err := n.announced.set(e.Root, true); err != nil {
		return Announcement{}, err
	}
	if w := n.wide.Load(); w != nil {
		key, err := dht.TimelineKey(e.Root)
		if err == nil {
			err = w.kad.Announce(key)
		}
		if err != nil {
			return Announcement{}, err
		}
	}
	return a, nil
}

// Unprovide ends what Provide began. Others in the DHT may say for up to 48 hours
// still that this node has the timeline. It fails with blockstore.ErrNotFound if it is
// not announced.
func (n *Node) Unprovide(ctx context.Context, addr ibgib.Addr) (Announcement, error) {
	a, err := n.unprovide(addr)
	if err != nil {
		return Announcement{}, fmt.Errorf("node: unprovide %s: %w", addr, err)
	}
	return a, nil
}

func (n *Node) unprovide(addr ibgib.Addr) (Announcement, error) {
	key, err := dht.TimelineKey(addr)
	if err != nil {
		return Announcement{}, err
	}
	for _, tjp := range n.announced.all() {
		a, err := announcementOf(tjp)
		if err != nil || a.CID != key.String() {
			continue
		}
		return a, n.withdraw(tjp)
	}
	return Announcement{}, errNotAnnounced
}

// withdraw takes the mark from a timeline, if it has one.
func (n *Node) withdraw(tjp ibgib.Addr) error {
	if err := n.announced.set(tjp, false); err != nil {
		return err
	}
	key, err := dht.TimelineKey(tjp)
	if w := n.wide.Load(); err == nil && w != nil {
		err = w.kad.Withdraw(key)
	}
	return err
}

// Provided returns the timelines that are announced, by the address of their tjp.
func (n *Node) Provided(ctx context.Context) ([]Announcement, error) {
	list := []Announcement{}
	for _, tjp := range n.announced.all() {
		a, err := announcementOf(tjp)
		if err != nil {
			return nil, fmt.Errorf("node: provided: %w", err)
		}
		list = append(list, a)
	}
	return list, nil
}
