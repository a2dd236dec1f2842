package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/internal/identity"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/timeline"
)

// Nodes that trust each other ask each other for the keystones that they have named,
// when they have met: so a revocation, a rotation or an equivocation gets known, and
// a node that was restored learns what it has signed.

const (
	// learnTimeout bounds what is asked after a meeting.
	learnTimeout = time.Minute
	// maxAsked bounds the questions about one keystone after one meeting; the rest is
	// asked after the next.
	maxAsked = 64
	// maxShown bounds the frames of one answer: to write one takes some 2 ms.
	maxShown = 64
	// announceTimeout bounds how long connected peers are told of a change of this
	// node's keystone.
	announceTimeout = 5 * time.Second
	// maxAnnounced bounds how many of them are told at the same time.
	maxAnnounced = 8
)

// learn asks a peer that has just been met about keystones: its own, if it has not shown
// it in the meeting, and this node's, if that is to be confirmed. It does nothing for a
// peer that is not trusted, nor for one that does not trust this node.
func (n *Node) learn(ctx context.Context, h host.Host, m *protocol.Meeting, shown bool) {
	if _, trusted := n.trust.trusts(m.Peer); !trusted {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, learnTimeout)
	defer cancel()
	if err := n.confirm(ctx, h, m.Peer); err != nil {
		n.log.Debug("the own keystone was not confirmed", "peer", m.Peer, "error", err)
	}
	if shown {
		return
	}
	if err := n.learnFrom(ctx, h, m); err != nil {
		n.log.Debug("keystone of a peer not learned", "peer", m.Peer, "error", err)
	}
}

// confirm lets a trusted peer confirm the newest frame of this node's keystone, if
// that is in doubt. What the peer has beyond it is taken up.
func (n *Node) confirm(ctx context.Context, h host.Host, p peer.ID) error {
	if n.self.Summary().Confirmed {
		return nil
	}
	newest, err := n.fetchKeystone(ctx, h, p, n.self.Genesis())
	if err != nil {
		return err
	}
	own, err := n.self.History()
	if err != nil || own.Tip().Hash() != newest {
		return err
	}
	confirmed, err := n.self.Confirm(own.Tip().Addr())
	if confirmed {
		n.log.Info("the newest frame of the keystone is confirmed: the node signs again", "peer", p)
	}
	return err
}

// learnFrom brings what is known of the peer's keystone up to date.
func (n *Node) learnFrom(ctx context.Context, h host.Host, m *protocol.Meeting) error {
	bound := n.trust.keystone(m.Peer)
	if bound.IsZero() {
		return nil
	}
	_, err := n.fetchKeystone(ctx, h, m.Peer, bound)
	next, unreadable := ibgib.ParseAddr(m.Genesis)
	if unreadable != nil || next == bound {
		n.review(bound)
		return err
	}
	moved, failed := n.moveTrust(m.Peer, bound, next)
	if !moved || failed != nil {
		n.review(bound)
		return errors.Join(err, failed)
	}
	_, err = n.fetchKeystone(ctx, h, m.Peer, next)
	n.review(next)
	return err
}

// moveTrust gives the trust in a peer's keystone to the next one, if that has been handed
// over to.
func (n *Node) moveTrust(p peer.ID, from, to ibgib.Addr) (moved bool, err error) {
	h, unknown := n.book.History(from)
	if unknown != nil || !h.RotatedTo(to) {
		return false, nil
	}
	if err := n.trust.rotate(p, from, to); err != nil {
		return false, err
	}
	if err := n.follows.rotated(from, to); err != nil {
		return false, err
	}
	n.log.Info("a trusted peer has rotated its keystone", "peer", p, "before", from, "now", to)
	return true, nil
}

// fetchKeystone asks a peer for the frames of a keystone that this node lacks, and
// takes those that are valid. It returns the newest one that the peer has.
func (n *Node) fetchKeystone(ctx context.Context, h host.Host, p peer.ID, genesis ibgib.Addr) (newest ibgib.Hash, err error) {
	for range maxAsked {
		known := n.newest(genesis)
		answer, err := protocol.AskKeystone(ctx, h, p, genesis.String(), known, n.wire)
		if err != nil {
			return newest, err
		}
		newest = answer.Known
		if err := n.takeFrames(ctx, p, genesis, known, answer); err != nil || !answer.More {
			return newest, err
		}
		if after := n.newest(genesis); after == known {
			return newest, nil
		}
	}
	return newest, nil
}

// takeFrames takes the frames of a keystone that a peer brings: those that follow the
// frame known, or all of them.
func (n *Node) takeFrames(ctx context.Context, p peer.ID, genesis ibgib.Addr, known ibgib.Hash, brought *protocol.KeystoneFrames) error {
	if len(brought.Frames) == 0 {
		return nil
	}
	prev, err := n.book.Frame(ctx, genesis, known)
	if err != nil && !errors.Is(err, identity.ErrUnknown) {
		return err // of another keystone, after which nothing is written as a delta
	}
	frames := make([]ibgib.IbGib, len(brought.Frames))
	for i, item := range brought.Frames {
		if frames[i], err = keystone.ReadFrame(prev, item); err != nil {
			return err
		}
		prev = frames[i]
	}
	if of, _ := timeline.Claims(frames[0]); of != genesis {
		return fmt.Errorf("frames of the keystone %s, not %s", of, genesis)
	}
	_, err = n.book.Extend(ctx, p.String(), frames)
	return err
}

// endOf returns what trust in those who have a keystone is withdrawn for; empty: it is
// good. One that has handed over authorises nothing either, but the peer can still show
// its new one.
func endOf(h *keystone.History) (by string) {
	switch h.Status() {
	case keystone.Disputed:
		return byDispute
	case keystone.Revoked:
		if !h.HandedOver() {
			return byRevocation
		}
	}
	return ""
}

// review withdraws trust from those whose keystone is revoked or disputed.
func (n *Node) review(genesis ibgib.Addr) {
	h, err := n.book.History(genesis)
	if err != nil {
		return
	}
	by := endOf(h)
	if by == "" {
		return
	}
	for _, p := range n.trust.withKeystone(genesis) {
		was, err := n.trust.remove(p, by)
		switch {
		case err != nil:
			n.log.Error("trust not withdrawn", "peer", p, "error", err)
		case was:
			n.log.Warn("trust withdrawn from a peer", "peer", p, "keystone", genesis, "reason", by)
		}
	}
}

// answerKeystone is Keystone of protocol.Handlers: a trusted peer may ask about this
// node's keystones, the session between the two, and about its own, once it has proved that
// it is its own: to be known by a keystone it is enough to name it.
func (n *Node) answerKeystone(ctx context.Context, p peer.ID, ask *protocol.KeystoneFrames) (*protocol.KeystoneFrames, error) {
	answer := new(protocol.KeystoneFrames)
	genesis, err := ibgib.ParseAddr(ask.Genesis)
	if err != nil {
		return answer, nil
	}
	own := n.self.Summary()
	session := genesis == n.sessions.own.Of(p.String())
	isOwn := session || genesis == own.Genesis || slices.Contains(own.Previous, genesis)
	if !isOwn && !n.hasProved(p, genesis) || (session || genesis == own.Genesis) && !own.Confirmed {
		return answer, nil // nothing to show, or nothing that is certain
	}
	return n.framesAfter(ctx, genesis, ask.Known)
}

// hasProved tells whether a peer that is known by a keystone has proved itself by it, now
// or before: by a session that it has authorised.
func (n *Node) hasProved(p peer.ID, genesis ibgib.Addr) bool {
	theirs := n.sessions.own.Theirs(p.String())
	if theirs.IsZero() || n.trust.keystone(p) != genesis {
		return false
	}
	h, err := n.book.History(genesis)
	if err != nil {
		return false // it is not kept here
	}
	_, authorised := h.Signed(keystone.VerbSync, theirs)
	return authorised
}

// framesAfter returns the frames of a keystone that follow a known one, all of them if
// that is none of it: as many as fit into a message. What is not kept here has none.
func (n *Node) framesAfter(ctx context.Context, genesis ibgib.Addr, known ibgib.Hash) (*protocol.KeystoneFrames, error) {
	answer := new(protocol.KeystoneFrames)
	h, err := n.book.History(genesis)
	if err != nil {
		return answer, nil
	}
	answer.Known = h.Tip().Hash()
	var prev ibgib.IbGib
	first := 0
	if at, ok := h.Place(known); ok {
		first = at + 1
		if prev, err = n.book.Frame(ctx, genesis, known); err != nil {
			return nil, err
		}
	}
	for size := 0; first < h.Len(); first++ {
		list, err := n.book.Frames(ctx, genesis, first, 1)
		if err != nil {
			return nil, err
		}
		item := keystone.AppendFrame(nil, prev, list[0])
		if size += len(item); len(answer.Frames) == maxShown || size > protocol.MaxKeystoneReply && len(answer.Frames) > 0 {
			answer.More = true
			break
		}
		answer.Frames, prev = append(answer.Frames, item), list[0]
	}
	return answer, nil
}

// announce meets the trusted peers that are connected once more, so that they learn
// of a change of this node's keystone. It is over when they have, or in a while.
func (n *Node) announce(ctx context.Context) {
	n.mu.Lock()
	h := n.host
	n.mu.Unlock()
	if h == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	var greeting sync.WaitGroup
	defer greeting.Wait()
	places := make(chan struct{}, maxAnnounced)
	for _, p := range n.trust.list() {
		if !isLinked(h, p) {
			continue
		}
		places <- struct{}{}
		greeting.Go(func() {
			defer func() { <-places }()
			if err := n.greet(ctx, h, peer.AddrInfo{ID: p}); err != nil {
				n.log.Debug("a peer was not told of the keystone", "peer", p, "error", err)
			}
		})
	}
}
