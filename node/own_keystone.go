package node

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
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
	var named ibgib.Hash
	if said != nil {
		named = said.Known
	}
	if !n.sessions.own.Has(p.String()) && (said == nil || n.lacks(named)) {
		if err := n.catchUp(ctx, h, p, named); err != nil {
			return ibgib.Addr{}, err
		}
	}
	return n.sessions.own.Renew(ctx, p.String())
}

// catchUp takes the frames of this node's keystone that a peer has and this node lacks. It
// fails as long as the peer has not said what it has, or has not brought it: nothing is to
// be signed for it then. One that answers no such questions, as a node that does not run,
// has said all with the frame that it has named.
func (n *Node) catchUp(ctx context.Context, h host.Host, p peer.ID, named ibgib.Hash) error {
	own, err := n.self.History()
	if err != nil {
		return err
	}
	answer, err := protocol.AskKeystone(ctx, h, p, own.Genesis().String(), own.Tip().Hash(), n.wire)
	switch {
	case err == nil && answer.Known != (ibgib.Hash{}):
		named = answer.Known
	case err != nil && !isUnsupported(err):
		return unheard(err)
	}
	// What was signed meanwhile is there before a peer sees it.
	if !n.lacks(named) {
		return ctx.Err()
	}
	if own, err = n.self.History(); err != nil {
		return err
	}
	_, err = n.fetchKeystone(ctx, h, p, own.Genesis())
	now, unknown := n.self.History()
	if unknown != nil {
		return unknown
	}
	if now.Len() > own.Len() {
		n.log.Warn("a peer has more of this node's keystone than this node: an older state of the data directory was restored", "peer", p, "frames", now.Len(), "before", own.Len())
	}
	if !n.lacks(named) {
		return ctx.Err()
	}
	return unheard(err)
}

// unheard makes the error of a peer that has not said what it has of this node's keystone,
// or, with nil, has not brought it. That the peer does not trust this node stays as it is.
func unheard(err error) error {
	const why = "this node signs nothing for a peer before that has told what it knows of this node's keystone"
	var e *saga.Error
	switch {
	case err == nil || isUnsupported(err):
		return sessionFailure(&keystone.SessionError{Reason: keystone.ReasonUnknown, Detail: why + ": it names a frame that this node lacks, and does not bring it"})
	case !errors.As(err, &e) || e.Remote && e.Code == saga.CodeUntrusted:
		return err
	}
	return &saga.Error{Code: e.Code, Retry: e.Retry, Text: why + ": " + e.Text, Err: err}
}

// isUnsupported tells whether a peer does not answer questions of a kind.
func isUnsupported(err error) bool {
	var e *saga.Error
	return errors.As(err, &e) && e.Code == saga.CodeUnsupported
}

// hearOut looks at the frames of this node's keystone and session that a peer has named in
// a meeting, before the session signs. What is lacking of the keystone is taken up. A
// session that has gone on elsewhere is given up, since nothing tells its frames; then
// the next meeting begins another one.
func (n *Node) hearOut(ctx context.Context, h host.Host, m *protocol.Meeting, session ibgib.Addr) error {
	if n.lacks(m.Known) {
		if err := n.catchUp(ctx, h, m.Peer, m.Known); err != nil {
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
