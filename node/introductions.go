package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// A person with several devices need not pair each with each. One of them is told to let
// another know whom it trusts (Introduce), and that one to trust whom it vouches for
// (Introducer). Those are trusted for as long as it does, and it is trusted itself: it is
// asked when it connects and every few minutes, and who is no more in its answer loses
// the trust. An introduced peer introduces nobody further, and whom a person has put out
// no introducer brings back.

// introduceEvery is how often introducers are asked.
const introduceEvery = 5 * time.Minute

// Introductions say what a trusted peer has to do with introductions. nil leaves as it is.
type Introductions struct {
	Introducer *bool `json:"introducer,omitempty"` // trust whom it vouches for
	Introduce  *bool `json:"introduce,omitempty"`  // let it know whom this node trusts
}

// SetIntroductions says whether a trusted peer is an introducer, and whether this node is
// one to it. Whoever was introduced by one that is none any more loses the trust. It fails
// with ErrInput for a peer that is not trusted, or was introduced itself.
func (n *Node) SetIntroductions(ctx context.Context, id string, o Introductions) (Peer, error) {
	to, err := parsePeer(id)
	if err == nil {
		err = n.trust.setIntroductions(to.ID, o)
	}
	if err != nil {
		return Peer{}, fmt.Errorf("node: introductions: %w", err)
	}
	if o.Introducer != nil && !*o.Introducer {
		n.introduced(to.ID, nil)
	}
	n.introducers.wake()
	return n.peerNow(to.ID), ctx.Err()
}

// wakeup lets a goroutine know that there is something to do.
type wakeup chan struct{}

func (w wakeup) wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// askIntroducers asks introducers for whom they vouch, until ctx ends.
func (n *Node) askIntroducers(ctx context.Context, h host.Host) {
	tick := time.NewTicker(introduceEvery)
	defer tick.Stop()
	for {
		for _, p := range n.trust.introducers() {
			if isLinked(h, p) {
				n.askIntroducer(ctx, h, p)
			}
		}
		select {
		case <-tick.C:
		case <-n.introducers:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) askIntroducer(ctx context.Context, h host.Host, p peer.ID) {
	if _, err := n.prove(ctx, h, peer.AddrInfo{ID: p}); err != nil {
		n.log.Debug("introducer not asked", "peer", p, "error", err)
		return
	}
	list, err := protocol.AskVouch(ctx, h, p, n.wire)
	var e *saga.Error
	if errors.As(err, &e) && e.Remote && e.Code == saga.CodeRefused {
		list, err = nil, nil // it vouches for nobody any more
	}
	if err != nil {
		n.log.Debug("introducer not asked", "peer", p, "error", err)
		return
	}
	n.introduced(p, list)
}

// introduced trusts whom an introducer vouches for, and nobody else for its sake. One that
// it names with a keystone that has come to an end is not trusted.
func (n *Node) introduced(by peer.ID, list []protocol.Vouched) {
	list = slices.DeleteFunc(list, func(v protocol.Vouched) bool { return v.Peer == n.id.id || n.hasEnded(v.Genesis) })
	fresh, gone, err := n.trust.introduced(by, list)
	if err != nil {
		n.log.Error("introductions not stored", "peer", by, "error", err)
		return
	}
	for _, p := range gone {
		n.trust.changed(p, PeerUntrusted)
	}
	for _, p := range fresh {
		n.trust.changed(p, PeerTrusted)
	}
}

// hasEnded tells whether a keystone is known to be revoked or disputed.
func (n *Node) hasEnded(genesis string) bool {
	addr, err := ibgib.ParseAddr(genesis)
	if err != nil {
		return false // nobody is trusted for that
	}
	h, err := n.book.History(addr)
	return err == nil && endOf(h) != ""
}

// vouchFor answers a trusted peer that asks for whom this node vouches. It is Vouch of
// protocol.Handlers.
func (n *Node) vouchFor(ctx context.Context, p peer.ID) ([]protocol.Vouched, error) {
	if _, err := n.proved(ctx, p); err != nil {
		return nil, err
	}
	list, ok := n.trust.vouched(p)
	if !ok {
		return nil, &saga.Error{Code: saga.CodeRefused, Text: "this node vouches for nobody before you; its owner has to let it introduce you"}
	}
	return list, nil
}

// setIntroductions does what Node.SetIntroductions does to the list.
func (t *trust) setIntroductions(p peer.ID, o Introductions) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, ok := t.trusted[p]
	if !ok || before.introduced != "" {
		return fmt.Errorf("%w: %s is not trusted by a person of this node", ErrInput, p)
	}
	g := before
	if o.Introducer != nil {
		g.introducer = *o.Introducer
	}
	if o.Introduce != nil {
		g.introduce = *o.Introduce
	}
	t.trusted[p] = g
	if err := t.save(); err != nil {
		t.trusted[p] = before
		return err
	}
	return nil
}

// introducers returns the peers whose vouching is taken.
func (t *trust) introducers() []peer.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []peer.ID
	for p, g := range t.trusted {
		if g.introducer {
			list = append(list, p)
		}
	}
	return list
}

// orphans returns who has introduced a peer that is trusted for it, and is no introducer.
func (t *trust) orphans() []peer.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []peer.ID
	for _, g := range t.trusted {
		if g.introduced != "" && !t.trusted[g.introduced].introducer && !slices.Contains(list, g.introduced) {
			list = append(list, g.introduced)
		}
	}
	return list
}

// vouched returns whom this node vouches for before a peer: those whose keystone it knows
// and whom nobody has introduced. ok is false if it does so for nobody.
func (t *trust) vouched(before peer.ID) (list []protocol.Vouched, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.trusted[before].introduce {
		return nil, false
	}
	for p, g := range t.trusted {
		if p != before && g.introduced == "" && !g.keystone.IsZero() && len(list) < protocol.MaxVouched {
			list = append(list, protocol.Vouched{Peer: p, Genesis: g.keystone.String()})
		}
	}
	return list, true
}

// introduced makes the list of those that are trusted for the sake of an introducer. The
// caller tells changed.
func (t *trust) introduced(by peer.ID, list []protocol.Vouched) (fresh, gone []peer.ID, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.trusted[by].introducer {
		list = nil
	}
	before := make(map[peer.ID]grant)
	var log []TrustChange
	vouched := make(map[peer.ID]bool)
	for _, v := range list {
		vouched[v.Peer] = true
		genesis, err := ibgib.ParseAddr(v.Genesis)
		_, was := t.trusted[v.Peer]
		if _, denied := t.denied[v.Peer]; err != nil || was || denied {
			continue
		}
		g := grant{since: t.now().UTC().Truncate(time.Second), introduced: by, keystone: genesis}
		t.trusted[v.Peer] = g
		fresh = append(fresh, v.Peer)
		log = append(log, t.change(v.Peer, TrustGiven, g))
	}
	for p, g := range t.trusted {
		if g.introduced == by && !vouched[p] {
			before[p] = g
			delete(t.trusted, p)
			gone = append(gone, p)
			log = append(log, t.change(p, TrustWithdrawn, g))
		}
	}
	if len(log) == 0 {
		return nil, nil, nil
	}
	if err := t.save(log...); err != nil {
		for _, p := range fresh {
			delete(t.trusted, p)
		}
		for p, g := range before {
			t.trusted[p] = g
		}
		return nil, nil, err
	}
	for _, p := range fresh {
		t.pending.forget(p)
	}
	return fresh, gone, nil
}
