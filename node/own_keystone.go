package node

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/protocol"
)

// A data directory may be older than what the node has signed without showing it: files
// were restored over those that were there, or a whole disk went back. Peers know what
// they have seen, so they are listened to before anything is signed for them: another
// frame after the same one would cost the identity.

// renew returns a session of this node with a peer, which may begin now: then the peer is
// asked first what it has of this node's keystone, if it has not said that by itself.
func (n *Node) renew(ctx context.Context, h host.Host, p peer.ID, said *protocol.Session) (ibgib.Addr, error) {
	if err := n.sessions.own.Able(p.String()); err != nil {
		return ibgib.Addr{}, err
	}
	if !n.sessions.own.Has(p.String()) && (said == nil || n.lacks(said.Known)) {
		if err := n.catchUp(ctx, h, p); err != nil {
			return ibgib.Addr{}, err
		}
	}
	return n.sessions.own.Renew(ctx, p.String())
}

// catchUp takes the frames of this node's keystone that a peer has and this node lacks. A
// peer that does not say is no hindrance: perhaps it does not know this node yet.
func (n *Node) catchUp(ctx context.Context, h host.Host, p peer.ID) error {
	own, err := n.self.History()
	if err != nil {
		return err
	}
	before := own.Tip().Hash()
	answer, err := protocol.AskKeystone(ctx, h, p, own.Genesis().String(), before, n.wire)
	if err != nil || answer.Known == (ibgib.Hash{}) {
		return ctx.Err()
	}
	// What was signed meanwhile is there before a peer sees it.
	if own, err = n.self.History(); err != nil {
		return err
	}
	if _, is := own.Place(answer.Known); is {
		return nil
	}
	_, err = n.fetchKeystone(ctx, h, p, own.Genesis())
	now, unknown := n.self.History()
	switch {
	case unknown != nil:
		return unknown
	case now.Len() > own.Len():
		n.log.Warn("a peer has more of this node's keystone than this node: an older state of the data directory was restored", "peer", p, "frames", now.Len(), "before", own.Len())
	case errors.Is(err, keystone.ErrDisputed):
		return err
	case err != nil:
		n.log.Debug("frames of the own keystone not taken", "peer", p, "error", err)
	}
	return ctx.Err()
}

// hearOut looks at the frames of this node's keystone and session that a peer has named in
// a meeting, before the session signs. What is lacking of the keystone is taken up. A
// session that has gone on elsewhere is given up, since nothing tells its frames; then
// the next meeting begins another one.
func (n *Node) hearOut(ctx context.Context, h host.Host, m *protocol.Meeting, session ibgib.Addr) error {
	if n.lacks(m.Known) {
		if err := n.catchUp(ctx, h, m.Peer); err != nil {
			return err
		}
	}
	if m.SessionKnown == (ibgib.Hash{}) || n.has(session, m.SessionKnown) {
		return nil
	}
	return n.sessions.own.GiveUp(m.Peer.String(), session)
}

// lacks tells whether a frame that a peer has of this node's keystone, or of an earlier
// one of this node, is not here. The zero Hash is none.
func (n *Node) lacks(known ibgib.Hash) bool {
	return known != (ibgib.Hash{}) && n.handover(known).IsZero() && !n.has(n.self.Genesis(), known)
}

// has tells whether a frame of a keystone is known.
func (n *Node) has(genesis ibgib.Addr, frame ibgib.Hash) bool {
	h, err := n.book.History(genesis)
	if err != nil {
		return false
	}
	_, is := h.Place(frame)
	return is
}
