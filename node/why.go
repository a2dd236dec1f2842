package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Why says what is missing of a timeline or kept out of it, and for what
// reason. addr is its tjp or any ibGib that claims to be one of its frames; of
// an ibGib of no timeline it says what that waits for. It fails with
// blockstore.ErrNotFound if addr is neither stored nor waited for nor wanted.
//
// It looks at everything in the store that waits or is kept out.
func (n *Node) Why(ctx context.Context, addr ibgib.Addr) (Why, error) {
	w, err := n.why(ctx, addr)
	if err != nil {
		return w, fmt.Errorf("node: why %s: %w", addr, err)
	}
	return w, nil
}

func (n *Node) why(ctx context.Context, addr ibgib.Addr) (Why, error) {
	w := Why{Addr: addr, Heads: []ibgib.Addr{}, Missing: []Missing{}, Rejected: []Rejected{}, Wants: []Want{}}
	switch g, err := n.store.Get(ctx, addr); {
	case err == nil:
		w.Stored = true
		w.Tjp, _ = timeline.Claims(g)
	case !errors.Is(err, blockstore.ErrNotFound):
		return w, err
	}
	if root, ok := w.Tjp.Hash(); ok {
		in, e, err := n.shares.homeOf(ctx, root)
		if err != nil {
			return w, err
		}
		if in != nil {
			w.Share = in.label()
		}
		if e.Root == w.Tjp {
			w.Latest, w.Heads, w.Merged = e.Latest, append(w.Heads, e.Heads...), e.Merged
			w.Reason, w.Detail = reasonOf(e)
			w.Opaque = e.Conflict.Opaque
		}
	}
	for _, sh := range n.shares.all() {
		if err := n.whyRejected(ctx, sh, &w); err != nil {
			return w, err
		}
	}
	n.whyWanted(&w)
	var err error
	for _, sh := range n.shares.all() {
		err = errors.Join(err, n.whyMissing(ctx, sh, &w))
	}
	if err == nil {
		w.Held, err = n.heldBack(ctx, w.Tjp)
	}
	if err == nil {
		w.Forgotten, err = n.isForgotten(ctx, w.Addr, w.Tjp)
	}
	if err == nil {
		w.Out, err = n.takenOut(ctx, w.Addr, w.Tjp)
	}
	if err == nil {
		w.LeftAlone, err = n.leftAlone(ctx, w.Tjp)
	}
	if err == nil && !w.Stored && len(w.Missing)+len(w.Wants)+len(w.Out) == 0 && !w.Forgotten {
		err = blockstore.ErrNotFound
	}
	return w, err
}

// about tells whether w is about g.
func (w *Why) about(g ibgib.IbGib) bool {
	if g.Addr() == w.Addr {
		return true
	}
	tjp, ok := timeline.Claims(g)
	return ok && (tjp == w.Tjp || tjp == w.Addr)
}

func (n *Node) whyRejected(ctx context.Context, sh *share, w *Why) error {
	for r, err := range sh.view.Rejected(ctx) {
		if err != nil {
			return err
		}
		g, err := n.store.Get(ctx, r.Addr)
		if errors.Is(err, blockstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if !w.about(g) {
			continue
		}
		if len(w.Rejected) == maxListed {
			w.RejectedMore++
			continue
		}
		w.Rejected = append(w.Rejected, Rejected{Share: sh.label(), Addr: r.Addr, Rule: r.Rule, Detail: r.Detail})
	}
	return nil
}

// whyMissing finds what frames of the timeline wait for: what they link to and
// what that links to, down to what is not stored.
func (n *Node) whyMissing(ctx context.Context, sh *share, w *Why) error {
	var waiting []ibgib.Addr
	referrer := make(map[ibgib.Addr]ibgib.Addr)
	for i, err := range sh.view.Incomplete(ctx) {
		if err != nil {
			return err
		}
		if i.Referrer.IsZero() {
			continue
		}
		if _, met := referrer[i.Missing]; !met {
			referrer[i.Missing] = i.Referrer
		}
		g, err := n.store.Get(ctx, i.Referrer)
		if errors.Is(err, blockstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if w.about(g) || i.Missing == w.Addr {
			waiting = append(waiting, i.Referrer)
		}
	}
	var closed error
	get := func(a ibgib.Addr) (ibgib.IbGib, error) {
		g, err := n.store.Get(ctx, a)
		if errors.Is(err, blockstore.ErrNotFound) {
			return ibgib.IbGib{}, nil
		}
		return g, err
	}
	skip := func(a ibgib.Addr) bool {
		is, err := n.isClosedIn(ctx, sh, a)
		if err != nil {
			closed = err
			return true
		}
		return is
	}
	_, missing, err := timeline.Closure(waiting, get, timeline.ClosureOptions{Skip: skip})
	if err = errors.Join(err, closed); err != nil {
		return err
	}
	for _, a := range missing {
		if len(w.Missing) == maxListed {
			w.MissingMore++
			continue
		}
		m, err := n.missing(ctx, a, referrer[a])
		if err != nil {
			return err
		}
		m.Share = sh.label()
		w.Missing = append(w.Missing, m)
	}
	return nil
}

// missing says of an address that is not stored whether it can be at all.
func (n *Node) missing(ctx context.Context, addr, referrer ibgib.Addr) (Missing, error) {
	m := Missing{Addr: addr, Referrer: referrer}
	_, err := n.store.Get(ctx, addr)
	if alias, ok := errors.AsType[*blockstore.AliasError](err); ok {
		m.BelongsTo = alias.Stored
	}
	if errors.Is(err, blockstore.ErrNotFound) {
		err = nil
	}
	return m, err
}

// leftAlone returns, of the sagas on record with each trusted peer about each share, the
// newest in which a timeline differed, if that has left it as it was.
func (n *Node) leftAlone(ctx context.Context, tjp ibgib.Addr) ([]LeftAlone, error) {
	left := []LeftAlone{}
	root, ok := tjp.Hash()
	if !ok {
		return left, nil
	}
	lists := func(record ibgib.IbGib, name string) bool {
		return slices.ContainsFunc(listIn(record, name), func(v ibgib.Value) bool { return v.Str() == root.String() })
	}
	type pair struct{ peer, share string }
	met := make(map[pair]bool)
	_, err := n.sagaRecords(ctx, func(r SagaRecord, g ibgib.IbGib) bool {
		with := pair{r.Peer, r.Share}
		if met[with] || r.Error != nil || !lists(g, "differed") {
			return false
		}
		met[with] = true
		p, err := peer.Decode(r.Peer)
		if err != nil || !lists(g, "aborted") {
			return false
		}
		if _, trusted := n.trust.trusts(p); trusted {
			alone := LeftAlone{Peer: r.Peer, Share: r.Share, SagaID: r.SagaID, Ended: r.Ended, StrategyBy: []StrategySource{}}
			for _, source := range listIn(g, "strategyBy") {
				alone.StrategyBy = append(alone.StrategyBy, StrategySource(source.Str()))
			}
			left = append(left, alone)
		}
		return false
	})
	return left, err
}
