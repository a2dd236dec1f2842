package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/internal/identity"
	"github.com/ibgib/ibgib-node/protocol"
)

// In a meeting of two nodes that trust each other, both show what proves that they speak
// for their keystones: the frames that the other lacks of their primary and of the
// session between the two, which has signed the nonces of the meeting.

// session is Session of protocol.Self: what this node says to a peer of the keystones
// between them. It says nothing to one that it does not trust, nor to one that has said
// nothing, since then there are no credentials.
func (n *Node) session(ctx context.Context, h host.Host, p peer.ID, said *protocol.Session) protocol.Session {
	if _, trusted := n.trust.trusts(p); !trusted || said != nil && said.Genesis == "" {
		return protocol.Session{}
	}
	genesis, err := n.renew(ctx, h, p, said)
	if err != nil {
		n.log.Info("this node cannot prove to a peer who it is", "peer", p, "error", err)
		return protocol.Session{}
	}
	own := protocol.Session{Genesis: genesis.String(), Known: n.newest(n.trust.keystone(p))}
	own.PeerSession = n.newest(n.sessions.own.Theirs(p.String()))
	return own
}

// newest returns the newest frame that is known of a keystone.
func (n *Node) newest(genesis ibgib.Addr) ibgib.Hash {
	h, err := n.book.History(genesis)
	if err != nil {
		return ibgib.Hash{}
	}
	return h.Tip().Hash()
}

// exchange shows the other side of a meeting this node's credentials and takes those of
// the other side: the initiator shows first. It does nothing in a meeting without
// sessions. An error ends the meeting.
func (n *Node) exchange(ctx context.Context, h host.Host, m *protocol.Meeting, initiator bool) error {
	if !m.HasSessions() {
		return nil
	}
	if initiator {
		if err := n.showCredentials(ctx, h, m); err != nil {
			return err
		}
	}
	shown, err := m.Shown(ctx)
	if err != nil {
		return err
	}
	if err := n.takeCredentials(ctx, m, shown); err != nil {
		return sessionFailure(err)
	}
	if !initiator {
		return n.showCredentials(ctx, h, m)
	}
	return nil
}

// showCredentials sends the credentials of this node, after it has signed the nonces of
// the meeting. Once on a connection is enough.
func (n *Node) showCredentials(ctx context.Context, h host.Host, m *protocol.Meeting) error {
	session, err := ibgib.ParseAddr(m.Said().Genesis)
	if err != nil {
		return err
	}
	if !n.sessions.hasTaken(m.Peer, shown{m.Conn(), session}) {
		if err := n.hearOut(ctx, h, m, session); err != nil {
			return err
		}
		target, err := n.connection(m)
		if err != nil {
			return err
		}
		_, err = n.sessions.own.Sign(ctx, m.Peer.String(), session, keystone.Claim{Verb: keystone.VerbConnect, Target: target})
		if errors.Is(err, identity.ErrNoSession) {
			return sessionFailure(&keystone.SessionError{Reason: keystone.ReasonUnknown, Detail: "this node has given up the session that it has named; the next meeting begins another", Err: err})
		}
		if err != nil {
			return err
		}
	}
	var list []*protocol.KeystoneFrames
	for _, part := range []struct {
		genesis ibgib.Addr
		known   ibgib.Hash
	}{{n.handover(m.Known), m.Known}, {n.self.Genesis(), m.Known}, {session, m.SessionKnown}} {
		if part.genesis.IsZero() {
			continue
		}
		answer, err := n.framesAfter(ctx, part.genesis, part.known)
		if err != nil {
			return err
		}
		answer.Genesis = part.genesis.String()
		list = append(list, answer)
	}
	return m.Show(ctx, list)
}

// connection returns what both sides of a meeting sign.
func (n *Node) connection(m *protocol.Meeting) (ibgib.Addr, error) {
	own, other := m.Nonces()
	stone, err := keystone.Connection(
		keystone.End{Peer: n.id.id.String(), Nonce: own},
		keystone.End{Peer: m.Peer.String(), Nonce: other},
	)
	return stone.Addr(), err
}

// handover returns the keystone that this node had when it was last seen by one who
// knows that frame of it; zero if that is its present one, or none.
func (n *Node) handover(known ibgib.Hash) ibgib.Addr {
	if known == (ibgib.Hash{}) {
		return ibgib.Addr{}
	}
	for _, genesis := range slices.Backward(n.self.Summary().Previous) {
		if h, err := n.book.History(genesis); err == nil {
			if _, is := h.Place(known); is {
				return genesis
			}
		}
	}
	return ibgib.Addr{}
}

// takeCredentials judges what the other side of a meeting has shown, and keeps what it
// has proved. Errors of what is not proved are *keystone.SessionError.
func (n *Node) takeCredentials(ctx context.Context, m *protocol.Meeting, shown []*protocol.KeystoneFrames) error {
	bad := func(format string, args ...any) error {
		return &keystone.SessionError{Reason: keystone.ReasonBadProof, Detail: fmt.Sprintf(format, args...)}
	}
	session, err := ibgib.ParseAddr(m.Session)
	if err != nil {
		return bad("%v", err)
	}
	bound := n.trust.keystone(m.Peer)
	if bound.IsZero() {
		return &keystone.SessionError{Reason: keystone.ReasonUnknown, Detail: "the peer has named no keystone"}
	}
	for _, part := range shown[:len(shown)-1] {
		genesis, err := ibgib.ParseAddr(part.Genesis)
		if err != nil || genesis != bound && part.Genesis != m.Genesis {
			return bad("frames of a keystone that the peer has not named")
		}
		if genesis != bound {
			if moved, err := n.moveTrust(m.Peer, bound, genesis); err != nil {
				return err
			} else if !moved {
				continue // nothing is looked at of a keystone that is not trusted
			}
		}
		if err := n.takeFrames(ctx, m.Peer, genesis, m.Said().Known, part); err != nil {
			n.review(bound)
			return &keystone.SessionError{Reason: reasonFor(err), Detail: "the keystone of the peer", Err: err}
		}
	}
	primary, err := n.book.History(n.trust.keystone(m.Peer))
	n.review(bound)
	if err != nil {
		return &keystone.SessionError{Reason: keystone.ReasonUnknown, Detail: "the keystone of the peer is not trusted, or not known"}
	}
	if primary.Status() == keystone.Valid && primary.Genesis().String() != m.Genesis {
		return &keystone.SessionError{Reason: keystone.ReasonUnknown, Detail: "the peer names a keystone that its earlier one has not handed over to; if its owner has made a new one, untrust the peer and trust it again"}
	}
	last := shown[len(shown)-1]
	if err := n.takeSession(ctx, m.Peer, primary, session, m.Said().PeerSession, last); err != nil {
		return err
	}
	return n.judgeSession(ctx, m, primary, session)
}

// takeSession takes the frames of a peer's session. Nothing of one is stored that its
// primary has not authorised.
func (n *Node) takeSession(ctx context.Context, p peer.ID, primary *keystone.History, genesis ibgib.Addr, known ibgib.Hash, shown *protocol.KeystoneFrames) error {
	bad := func(detail string, err error) error {
		return &keystone.SessionError{Reason: keystone.ReasonBadProof, Detail: detail, Err: err}
	}
	if _, err := n.book.History(genesis); err != nil {
		if _, ok := primary.Signed(keystone.VerbSync, genesis); !ok && primary.Status() == keystone.Valid {
			return &keystone.SessionError{Reason: keystone.ReasonUnknown, Detail: "the keystone of the peer does not authorise the session"}
		}
		if key, err := keyOf(p); err != nil || n.book.OfKey(key) >= identity.MaxOfKey {
			return bad("too many sessions of the peer", err)
		}
		if len(shown.Frames) == 0 {
			return bad("the session has no frames", nil)
		}
		first, err := keystone.ReadFrame(ibgib.IbGib{}, shown.Frames[0])
		if err == nil {
			_, err = keystone.ReadSession(first)
		}
		if err != nil {
			return bad("no session", err)
		}
	} else if h, err := n.book.History(genesis); err == nil && h.Len()+len(shown.Frames) > identity.MaxSessionFrames {
		return bad("the session has too many frames", nil)
	}
	if err := n.takeFrames(ctx, p, genesis, known, shown); err != nil {
		return &keystone.SessionError{Reason: reasonFor(err), Detail: "the session of the peer", Err: err}
	}
	return nil
}

// judgeSession decides whether a peer has proved in a meeting that it speaks for its
// keystone, and keeps that it has.
func (n *Node) judgeSession(ctx context.Context, m *protocol.Meeting, primary *keystone.History, genesis ibgib.Addr) error {
	session, err := n.book.History(genesis)
	if err != nil {
		return &keystone.SessionError{Reason: keystone.ReasonUnknown, Detail: "the session is not known", Err: err}
	}
	first, err := n.book.Frames(ctx, genesis, 0, 1)
	if err != nil {
		return err
	}
	peers, err := keystone.PeersOf(n.id.id.String(), m.Peer.String())
	if err != nil {
		return err
	}
	key, err := keyOf(m.Peer)
	if err != nil {
		return err
	}
	terms, err := keystone.CheckSession(primary, session, first[0], peers, key, n.now())
	if err != nil {
		return err
	}
	target, err := n.connection(m)
	if err != nil {
		return err
	}
	own, err := ibgib.ParseAddr(m.Said().Genesis)
	if err != nil {
		return err
	}
	if _, signed := session.Signed(keystone.VerbConnect, target); !signed {
		if pr, ok := n.sessions.of(m.Peer); !ok || pr.conn != m.Conn() || pr.peer.Genesis != genesis {
			return &keystone.SessionError{Reason: keystone.ReasonBadProof, Detail: "the session has not signed this connection"}
		}
	}
	if err := n.sessions.own.Note(m.Peer.String(), genesis); err != nil {
		return err
	}
	n.sessions.keep(m.Peer, proof{conn: m.Conn(), primary: primary.Genesis(), peer: terms, own: own})
	return nil
}

// reasonFor sorts what is wrong with frames that a peer brings.
func reasonFor(err error) keystone.Reason {
	var invalid *keystone.Invalid
	switch {
	case errors.Is(err, keystone.ErrDisputed):
		return keystone.ReasonDisputed
	case errors.As(err, &invalid), errors.Is(err, keystone.ErrDelta):
		return keystone.ReasonBadProof
	}
	return keystone.ReasonUnknown
}
