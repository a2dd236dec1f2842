package node

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
	"github.com/ibgib/ibgib-node/node/internal/scheduler"
	"github.com/ibgib/ibgib-node/saga"
)

// Want is a head that a trusted peer named, that this node asked for and that it
// still lacks: the saga failed or was cut, or something that the head needs was
// refused. A head that a rule keeps out of its timeline is no want.
type Want struct {
	Share  string `json:"share,omitempty"` // its name; empty: the default share
	Root   string `json:"root"`            // hash of the tjp
	Head   string `json:"head"`            // hash of the frame
	Reason string `json:"reason"`          // a saga.Code by name, or the rule that refused it; "needs-refused" if it needs what was refused
	Detail string `json:"detail"`          // for people; foreign text
	// Peers are those that named it and were asked in vain, the latest last; at
	// most 8.
	Peers    []string  `json:"peers"`
	Attempts int       `json:"attempts"`
	Since    time.Time `json:"since"`
	// Retry is when it is worth beginning a sync for its sake again. Any sync with
	// a trusted peer that has the head asks for it whenever it is.
	Retry time.Time `json:"retry"`
}

// reasonNeedsRefused is Want.Reason of a head below which something was refused.
const reasonNeedsRefused = "needs-refused"

// What is kept of wants, and how long the wait for another attempt is, which
// doubles with each.
const (
	maxWants     = 1000
	maxWantPeers = 8
	firstRetry   = time.Minute
	lastRetry    = 24 * time.Hour
)

// wants is the list of what this node still lacks, kept in a file: the way of
// a want lies between sagas, and must outlast a restart.
type wants struct {
	path string
	now  func() time.Time

	mu   sync.Mutex
	list map[wantKey]Want
}

type wantKey struct {
	root, head ibgib.Hash
	share      string // label
}

// wantsFile is the content of the file.
type wantsFile struct {
	Version int    `json:"version"`
	Wants   []Want `json:"wants"`
}

const wantsFileVersion = 1

func loadWants(path string, now func() time.Time) (*wants, error) {
	w := &wants{path: path, now: now, list: make(map[wantKey]Want)}
	var file wantsFile
	found, err := datadir.ReadJSON(path, &file)
	if err != nil {
		return nil, fmt.Errorf("wants: %w", err)
	}
	if !found {
		return w, nil
	}
	if file.Version != wantsFileVersion {
		return nil, fmt.Errorf("wants: %s has version %d, this program knows %d", path, file.Version, wantsFileVersion)
	}
	for _, want := range file.Wants {
		root, err := ibgib.ParseHash(want.Root)
		if err != nil {
			return nil, fmt.Errorf("wants: %s: %w", path, err)
		}
		head, err := ibgib.ParseHash(want.Head)
		if err != nil {
			return nil, fmt.Errorf("wants: %s: %w", path, err)
		}
		w.list[wantKey{root, head, want.Share}] = want
	}
	return w, nil
}

// Wants returns what this node still lacks of what trusted peers named, by root
// and head; at most 1,000.
func (n *Node) Wants() []Want {
	n.wants.mu.Lock()
	defer n.wants.mu.Unlock()
	return n.wants.sorted()
}

// count returns how many there are.
func (w *wants) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.list)
}

// sorted returns the list, with w.mu held.
func (w *wants) sorted() []Want {
	list := make([]Want, 0, len(w.list))
	for _, want := range w.list {
		want.Peers = slices.Clone(want.Peers)
		list = append(list, want)
	}
	slices.SortFunc(list, func(a, b Want) int {
		if c := strings.Compare(a.Root, b.Root); c != 0 {
			return c
		}
		return cmp.Or(strings.Compare(a.Head, b.Head), strings.Compare(a.Share, b.Share))
	})
	return list
}

// noteWants brings the list up to date after a saga with a peer, which failed if
// failure is not nil.
func (n *Node) noteWants(ctx context.Context, sh *share, p peer.ID, r saga.Result, failure error) error {
	return n.changeWants(func() (changed bool, err error) {
		if failure == nil {
			if changed, err = n.dropWants(ctx); err != nil {
				return changed, err
			}
		}
		forgotten, err := sh.view.ForgottenRoots(ctx)
		if err != nil {
			return changed, err
		}
		for _, lack := range r.Lacking {
			if slices.Contains(forgotten, lack.Root) {
				continue
			}
			for _, head := range lack.Heads {
				if reason, detail := whyLacking(r, head, failure); reason != "" {
					changed = n.wants.add(wantKey{lack.Root, head, sh.label()}, p, reason, detail) || changed
				}
			}
		}
		return changed, nil
	})
}

// settleWants brings the list up to date after an attempt to get what is lacking
// from a peer: what is still wanted of it waits for the next one.
func (n *Node) settleWants(ctx context.Context, sh *share, lacking []scheduler.Lack) error {
	return n.changeWants(func() (bool, error) {
		changed, err := n.dropWants(ctx)
		if err != nil {
			return changed, err
		}
		for _, lack := range lacking {
			for _, head := range lack.Heads {
				changed = n.wants.postpone(wantKey{lack.Root, head, sh.label()}) || changed
			}
		}
		return changed, nil
	})
}

// changeWants keeps what change does to the list, and tells the scheduler.
func (n *Node) changeWants(change func() (changed bool, err error)) error {
	changed, err := n.wants.change(change)
	if changed {
		for _, l := range n.lives.all() {
			l.wanted()
		}
	}
	return err
}

func (w *wants) change(change func() (bool, error)) (changed bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if changed, err = change(); err != nil || !changed {
		return changed, err
	}
	return true, datadir.WriteJSON(w.path, wantsFile{wantsFileVersion, w.sorted()})
}

// dropWants takes what is there by now, or was wanted in a share that is gone, off the
// list, with n.wants.mu held.
func (n *Node) dropWants(ctx context.Context) (changed bool, err error) {
	for key := range n.wants.list {
		sh, err := n.shares.byName(key.share)
		gone := err != nil // and so is what was wanted in it
		if !gone {
			if _, gone, err = sh.view.Frame(ctx, key.head); err != nil {
				return changed, err
			}
		}
		if gone {
			delete(n.wants.list, key)
			changed = true
		}
	}
	return changed, nil
}

// drop takes the wants of a timeline off the list, with w.mu held.
func (w *wants) drop(tjp ibgib.Addr) (changed bool) {
	root, _ := tjp.Hash()
	for key := range w.list {
		if key.root == root {
			delete(w.list, key)
			changed = true
		}
	}
	return changed
}

// untrustedWants takes a peer off the list, and what only that peer has named.
func (n *Node) untrustedWants(p peer.ID) {
	err := n.changeWants(func() (changed bool, err error) {
		for key, want := range n.wants.list {
			left := slices.DeleteFunc(slices.Clone(want.Peers), func(x string) bool { return x == p.String() })
			switch {
			case len(left) == len(want.Peers):
				continue
			case len(left) == 0:
				delete(n.wants.list, key)
			default:
				want.Peers = left
				n.wants.list[key] = want
			}
			changed = true
		}
		return changed, nil
	})
	if err != nil {
		n.log.Error("wants of a peer not dropped", "peer", p, "error", err)
	}
}

// add notes one failed attempt, with w.mu held; false if there is no room.
func (w *wants) add(key wantKey, p peer.ID, reason, detail string) bool {
	want, ok := w.list[key]
	id := p.String()
	if !ok && len(w.list) >= maxWants && !w.makeRoom(id) {
		return false
	}
	now := w.now().UTC().Truncate(time.Millisecond)
	if !ok {
		want = Want{Share: key.share, Root: key.root.String(), Head: key.head.String(), Since: now}
	}
	want.Reason, want.Detail = reason, detail
	want.Peers = append(slices.DeleteFunc(want.Peers, func(x string) bool { return x == id }), id)
	want.Peers = want.Peers[max(0, len(want.Peers)-maxWantPeers):]
	want.tried(now)
	w.list[key] = want
	return true
}

// makeRoom drops a want of the peer that has the most of them, if that is more than
// p has, with w.mu held: who names heads by the thousand takes no place from others.
func (w *wants) makeRoom(p string) bool {
	count := make(map[string]int)
	most := p
	for _, want := range w.list {
		first := want.namer()
		if count[first]++; count[first] > count[most] {
			most = first
		}
	}
	if count[most] <= count[p]+1 {
		return false
	}
	var last wantKey
	for key, want := range w.list {
		if want.namer() == most && key.compare(last) > 0 {
			last = key
		}
	}
	delete(w.list, last)
	return true
}

// namer returns the peer that has named it first, as far as that is known.
func (w *Want) namer() string {
	if len(w.Peers) == 0 {
		return ""
	}
	return w.Peers[0]
}

func (k wantKey) compare(other wantKey) int {
	return cmp.Or(bytes.Compare(k.root[:], other.root[:]), bytes.Compare(k.head[:], other.head[:]), strings.Compare(k.share, other.share))
}

// postpone notes that a want whose time had come was tried in vain, with w.mu held;
// false if there is no such want.
func (w *wants) postpone(key wantKey) bool {
	want, ok := w.list[key]
	now := w.now().UTC().Truncate(time.Millisecond)
	if !ok || want.Retry.After(now) {
		return false
	}
	want.tried(now)
	w.list[key] = want
	return true
}

// tried counts one more attempt.
func (w *Want) tried(now time.Time) {
	wait := lastRetry
	if w.Attempts < 12 {
		wait = min(firstRetry<<w.Attempts, lastRetry)
	}
	w.Attempts++
	w.Retry = now.Add(wait)
}

// whyLacking says why a head has not come; "" if a rule keeps it out.
func whyLacking(r saga.Result, head ibgib.Hash, failure error) (reason, detail string) {
	for _, refusal := range r.Refusals {
		if refusal.Hash == head {
			return string(refusal.Rule), refusal.Detail
		}
	}
	for _, rejection := range r.Refused {
		if h, _ := rejection.Addr.Hash(); h == head {
			return "", ""
		}
	}
	var e *saga.Error
	switch {
	case errors.As(failure, &e):
		return e.Code.String(), e.Text
	case failure != nil:
		return saga.CodeInternal.String(), failure.Error()
	case len(r.Refusals) > 0:
		return reasonNeedsRefused, fmt.Sprintf("%d ibGibs were refused, the first by the rule %s", len(r.Refusals), r.Refusals[0].Rule)
	}
	return "", ""
}
