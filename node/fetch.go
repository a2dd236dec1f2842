package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// FetchOptions say where a fetch gets blocks from.
type FetchOptions struct {
	// From are nodes as in Sync, trusted or not. None: trusted peers that this node is
	// connected to, and whoever announces the timeline in the DHT.
	From []string `json:"from,omitempty"`
}

// FetchProgress tells how far a fetch has come.
type FetchProgress struct {
	IbGibs int   `json:"ibGibs"` // that have come
	Bytes  int64 `json:"bytes"`  // of messages
	// Known are those that are known to lack; what they link to is not known yet.
	Known int `json:"known"`
	Peers int `json:"peers"` // that are being asked
}

// FetchResult tells what a fetch has brought.
type FetchResult struct {
	Addr   ibgib.Addr `json:"addr"`
	IbGibs int        `json:"ibGibs"` // that came
	Bytes  int64      `json:"bytes"`  // of messages
	// Moved says that the timeline has another head now, or the stone an entry.
	Moved bool `json:"moved"`
	// Rejected are frames that came and that a rule keeps out of their timeline.
	Rejected []Rejected    `json:"rejected,omitempty"`
	Sources  []FetchSource `json:"sources"` // the peers that were asked, in this order
}

// FetchSource is a peer that was asked.
type FetchSource struct {
	Peer   string `json:"peer"`
	IbGibs int    `json:"ibGibs"`          // that came from it first
	Error  string `json:"error,omitempty"` // why it was not asked any more; may have foreign text
	Mark   string `json:"mark,omitempty"`  // MarkLied or MarkFailed: it is avoided from now on
}

// Fetch gets what addr reaches, which is an exact address, and makes it the head of its
// timeline (or pins it, if it is a stone) when all of it is here, in one step. It comes
// from several nodes at the same time, trusted or not: every block is checked by its
// hash, and none is taken that the address does not lead to. A node that gives something
// else, or nothing, is marked and the others are asked; one that is slow holds up nobody.
// What has come when a fetch fails is kept for some days, and the next one goes on from
// there.
//
// Frames of other timelines come along where they are linked to; their timelines get no
// head of them. It fails with blockstore.ErrNotFound if nobody was found who has it, and
// with a *saga.Error if those that were found did not give all; the result then says who
// was asked. progress may be nil; it is called on the caller's goroutine.
//
// Nodes that are named are asked even if this one is not started.
func (n *Node) Fetch(ctx context.Context, addr ibgib.Addr, o FetchOptions, progress func(FetchProgress)) (FetchResult, error) {
	res, err := n.fetch(ctx, addr, o, progress)
	n.metrics.Fetched(res.IbGibs, res.Bytes, err)
	if err != nil {
		return res, fmt.Errorf("node: fetch %s: %w", addr, err)
	}
	return res, nil
}

func (n *Node) fetch(ctx context.Context, addr ibgib.Addr, o FetchOptions, progress func(FetchProgress)) (FetchResult, error) {
	none := FetchResult{Addr: addr, Sources: []FetchSource{}}
	target, ok := addr.Hash()
	if !ok {
		return none, fmt.Errorf("%w: a primitive is never fetched: it is always there", ErrInput)
	}
	var named []peer.AddrInfo
	for _, s := range o.From {
		to, err := parseTarget(s)
		if err != nil {
			return none, err
		}
		if to.ID == n.id.id {
			return none, fmt.Errorf("%w: that is this node itself", ErrInput)
		}
		n.dials.name(to.ID)
		named = append(named, to)
	}
	if err := n.takes(ctx, addr); err != nil {
		return none, err
	}
	ctx, end, err := n.fetches.begin(ctx, target)
	if err != nil {
		return none, err
	}
	defer end()
	f := newFetcher(n, target)
	if err := f.seek(ctx); err != nil {
		return none, err
	}
	if f.left() > 0 {
		err = f.gather(ctx, addr, named, progress)
	}
	res := f.result(none)
	if err == nil {
		err = f.fatal
	}
	if err == nil {
		err = f.commit(context.WithoutCancel(ctx), addr, &res)
	}
	return res, err
}

// takes fails if the timeline of addr is not to come to this node.
func (n *Node) takes(ctx context.Context, addr ibgib.Addr) error {
	roots, err := SyncOptions{Timelines: []ibgib.Addr{addr}}.roots()
	if err != nil {
		return err
	}
	out, err := n.view.ForgottenRoots(ctx)
	if err == nil && slices.Contains(out, roots[0]) {
		err = fmt.Errorf("%w: the timeline is forgotten here, or kept in a share", ErrInput)
	}
	return err
}

// commit makes the target a head, or pins it.
func (f *fetcher) commit(ctx context.Context, addr ibgib.Addr, res *FetchResult) error {
	n := f.n
	if got, err := n.store.Get(ctx, addr); err != nil {
		return err // an alias, for one
	} else if closed, err := n.view.HasClosed(ctx, []ibgib.Hash{got.Hash()}); err != nil {
		return err
	} else if !closed[0] {
		return &saga.Error{Code: saga.CodeInternal, Retry: true, Text: "what came before has been removed meanwhile: fetch it again"}
	}
	stage, err := n.store.NewStage(blockstore.DefaultShare, blockstore.Origin{})
	if err != nil {
		return err
	}
	defer stage.Discard()
	target := []ibgib.Hash{f.target}
	if err := stage.Touch(ctx, target); err != nil {
		return err
	}
	if err := stage.Pin(ctx, target); err != nil {
		return err
	}
	done, err := stage.Commit(ctx)
	if err != nil {
		return err
	}
	n.tellMerges(ctx, done.Merges)
	res.Moved, res.Rejected = done.Moved > 0, rejected(done.Rejected)
	return nil
}

// maxFetches bounds the fetches of a node that run at the same time.
const maxFetches = 8

// fetches are those that run: of one address one at a time.
type fetches struct {
	mu      sync.Mutex
	closed  bool
	running map[ibgib.Hash]context.CancelCauseFunc
	join    sync.WaitGroup
}

func newFetches() *fetches {
	return &fetches{running: make(map[ibgib.Hash]context.CancelCauseFunc)}
}

// begin takes a place for a fetch; end gives it back. The context returned ends when
// the node closes.
func (f *fetches) begin(ctx context.Context, target ibgib.Hash) (_ context.Context, end func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, nil, ErrClosed
	case f.running[target] != nil:
		return nil, nil, &saga.Error{Code: saga.CodeBusy, Retry: true, Text: "it is being fetched already"}
	case len(f.running) >= maxFetches:
		return nil, nil, &saga.Error{Code: saga.CodeBusy, Retry: true, Text: "too many fetches are running"}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	f.running[target] = cancel
	f.join.Add(1)
	return ctx, func() {
		cancel(nil)
		f.mu.Lock()
		delete(f.running, target)
		f.mu.Unlock()
		f.join.Done()
	}, nil
}

// close ends all and waits for them.
func (f *fetches) close() {
	f.mu.Lock()
	f.closed = true
	for _, cancel := range f.running {
		cancel(errClosing)
	}
	f.mu.Unlock()
	f.join.Wait()
}

// errNobody is absence of peers to ask.
var errNobody error = absence("nobody was found who has it")

// maxTold bounds the nodes whose failures an error tells of.
const maxTold = 8

// incomplete says in its own words why a fetch did not bring all: who was asked, and what
// came of it.
func (f *fetcher) incomplete(last error) error {
	sources := f.result(FetchResult{}).Sources
	if len(sources) == 1 && last != nil {
		return fmt.Errorf("%s: %w", sources[0].Peer, last)
	}
	text := fmt.Sprintf("%d nodes were asked, and none gave what is missing, %s for one", len(sources), f.example())
	for i, s := range sources {
		if i == maxTold {
			text += fmt.Sprintf("; and %d more", len(sources)-i)
			break
		}
		text += fmt.Sprintf("; %s: %s", s.Peer, cmp.Or(s.Error, "nothing more"))
	}
	if errors.Is(last, errNotShown) {
		return absence(text)
	}
	return &saga.Error{Code: saga.CodeUnreachable, Text: text, Retry: true, Err: last}
}
