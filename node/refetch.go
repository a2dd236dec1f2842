package node

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// RepairOptions say where a repair gets what is damaged from.
type RepairOptions struct {
	// From are nodes as in Sync, which are asked one after the other. None: all
	// trusted peers that this node is connected to.
	From []string
}

// RepairReport tells what a repair did.
type RepairReport struct {
	blockstore.RepairReport
	Damaged int            `json:"damaged"` // ibGibs that were damaged or gone
	Fetched int            `json:"fetched"` // of them, those that came from peers
	Sources []RepairSource `json:"sources"` // the peers that were asked, in this order
}

// RepairSource is a peer that was asked for what is damaged.
type RepairSource struct {
	Peer    string `json:"peer"`
	Fetched int    `json:"fetched"`
	Error   string `json:"error,omitempty"` // why it was not heard to the end; may have foreign text
}

// Repair mends what Verify finds. What is damaged or gone comes from trusted peers
// that have it, each piece checked by its hash; what none of them has is listed, and a
// later sync brings it. A peer that is named has to be trusted, or nothing is done and
// the error is a *saga.Error; one that fails is passed over. progress may be nil.
func (n *Node) Repair(ctx context.Context, o RepairOptions, progress func(UpkeepProgress)) (RepairReport, error) {
	report, err := n.repair(ctx, o, upkeep(progress))
	if err != nil {
		return report, fmt.Errorf("node: repair: %w", err)
	}
	return report, nil
}

func (n *Node) repair(ctx context.Context, o RepairOptions, progress func(done int)) (RepairReport, error) {
	report := RepairReport{Sources: []RepairSource{}}
	sources, err := n.repairSources(o.From)
	if err != nil {
		return report, err
	}
	looked := 0
	if len(sources) > 0 {
		damage, err := n.store.Damage(ctx, blockstore.DefaultShare, func(done int) { looked = done; progress(done) })
		if err != nil {
			return report, err
		}
		report.Damaged = len(damage.Blocks)
		f := newRefetch(n, damage)
		for _, from := range sources {
			if f.left() == 0 {
				break
			}
			before := f.left()
			err := f.ask(ctx, from)
			if ctx.Err() != nil {
				return report, stopped(ctx)
			}
			s := RepairSource{Peer: from.ID.String(), Fetched: before - f.left()}
			if err != nil {
				s.Error = err.Error()
			}
			report.Sources = append(report.Sources, s)
			report.Fetched += s.Fetched
		}
	}
	report.RepairReport, err = n.store.Repair(ctx, func(done int) { progress(looked + done) })
	return report, err
}

// repairSources returns the peers to ask.
func (n *Node) repairSources(from []string) ([]peer.AddrInfo, error) {
	var sources []peer.AddrInfo
	for _, s := range from {
		to, err := parseTarget(s)
		if err != nil {
			return nil, err
		}
		if err := n.checkTarget(to.ID); err != nil {
			return nil, err
		}
		sources = append(sources, to)
	}
	n.mu.Lock()
	h := n.host
	n.mu.Unlock()
	if len(from) > 0 || h == nil {
		return sources, nil
	}
	for _, p := range n.trust.list() {
		if isLinked(h, p) {
			sources = append(sources, peer.AddrInfo{ID: p})
		}
	}
	return sources, nil
}

// refetch gets lost blocks from peers, by sagas that pull the timelines that need
// them: this side shows none of these timelines, so the closures of what the other has
// are offered, and answers that it lacks the lost blocks and nothing else. It is the
// Blocks, the Index and the Intake of such a saga.
type refetch struct {
	*blockstore.View
	n     *Node
	roots []ibgib.Hash // of the timelines; none: all

	mu   sync.Mutex
	lost map[ibgib.Hash]bool
}

func newRefetch(n *Node, d blockstore.Damage) *refetch {
	f := &refetch{View: n.view, n: n, roots: d.Roots, lost: make(map[ibgib.Hash]bool)}
	for _, h := range d.Blocks {
		f.lost[h] = true
	}
	return f
}

// left returns how many blocks are still lost.
func (f *refetch) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.lost)
}

// ask runs a saga with one peer.
func (f *refetch) ask(ctx context.Context, from peer.AddrInfo) (err error) {
	for range syncAttempts {
		if err = f.n.sagas.wait(ctx, sagaKey{from.ID, f.n.shares.def.scope(f.roots), saga.Initiator}); err != nil {
			return err
		}
		_, err = f.n.openSaga(ctx, from, f.n.shares.def, f.roots, func(ctx context.Context, conn saga.Conn, id saga.ID, with proof) (saga.Result, error) {
			return saga.Run(ctx, saga.Config{
				Role: saga.Initiator, ID: id, Conn: conn, Self: f.n.id.id.String(), Peer: from.ID.String(),
				Session: with.own, PeerSession: with.peer.Genesis, Sealer: sealer{f.n, from.ID, with},
				Mode: saga.ModePull, Roots: f.roots, IdleTimeout: f.n.idle,
				Blocks: f, Index: f, Intake: func(context.Context) (saga.Intake, error) { return f, nil },
			})
		})
		if !isBusy(err) {
			return err
		}
	}
	return err
}

// HasClosed says of every block that it is there, but of the lost ones.
func (f *refetch) HasClosed(_ context.Context, hashes []ibgib.Hash) ([]bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	has := make([]bool, len(hashes))
	for i, h := range hashes {
		has[i] = !f.lost[h]
	}
	return has, nil
}

// Empty is false, so that blocks are offered before they are sent.
func (f *refetch) Empty(context.Context) (bool, error) { return false, nil }

// Knowledge is that of a side that has no timeline.
func (f *refetch) Knowledge(context.Context) (timeline.Fingerprint, iter.Seq2[timeline.Entry, error], func(), error) {
	return timeline.Fingerprint{}, func(func(timeline.Entry, error) bool) {}, func() {}, nil
}

// EntriesOf finds no timeline.
func (f *refetch) EntriesOf(context.Context, []ibgib.Hash) ([]timeline.Entry, error) { return nil, nil }

// Put mends with what has come, of which it takes only what is lost.
func (f *refetch) Put(ctx context.Context, gs []ibgib.IbGib) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	gs = slices.DeleteFunc(slices.Clone(gs), func(g ibgib.IbGib) bool { return !f.lost[g.Hash()] })
	if err := f.n.store.Mend(ctx, gs); err != nil {
		return err
	}
	for _, g := range gs {
		delete(f.lost, g.Hash())
	}
	return nil
}

// Touch, Commit and Discard have nothing to do: no head moves.
func (f *refetch) Touch(context.Context, []ibgib.Hash) error { return nil }

func (f *refetch) Commit(context.Context, saga.Change) (saga.Committed, error) {
	return saga.Committed{Epoch: f.n.store.Epoch()}, nil
}

func (f *refetch) Discard() error { return nil }

var (
	_ saga.Blocks = (*refetch)(nil)
	_ saga.Index  = (*refetch)(nil)
	_ saga.Intake = (*refetch)(nil)
)
