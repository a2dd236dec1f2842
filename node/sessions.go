package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/internal/identity"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// sessions knows which peers have proved, on a connection that is still open, that they
// speak for the keystone by which they are trusted. Without that no saga runs with them
// and no notice goes to them. What is proved is proved to this process, so it is kept in
// memory; the sessions of this node, and the frames of all, are on disk.
type sessions struct {
	own *identity.Sessions

	mu       sync.Mutex
	proofs   map[peer.ID]proof
	shown    map[peer.ID]shown
	meetings map[peer.ID]*meetings
	// ended has the peers that take a keystone of this node, or a session of it, for
	// revoked or disputed.
	ended map[peer.ID]end
}

// end is what a peer has said of a keystone of this node.
type end struct {
	primary ibgib.Addr
	reason  keystone.Reason
}

// proof says what a peer has proved.
type proof struct {
	conn    network.Conn
	primary ibgib.Addr // the first frame of the peer's keystone
	peer    keystone.Session
	own     ibgib.Addr // the first frame of the session of this node in that meeting
}

// shown says on which connection a peer has taken the credentials of this node.
type shown struct {
	conn network.Conn
	own  ibgib.Addr // the first frame of the session
}

// meetings are those under way with one peer.
type meetings struct {
	count int
	over  chan struct{} // closed when there are none
}

func newSessions(own *identity.Sessions) *sessions {
	return &sessions{own: own, proofs: make(map[peer.ID]proof), shown: make(map[peer.ID]shown), meetings: make(map[peer.ID]*meetings), ended: make(map[peer.ID]end)}
}

// begin notes a meeting with a peer, in which it may prove something. end is to be
// called at its end; once is enough.
func (s *sessions) begin(p peer.ID) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.meetings[p]
	if m == nil {
		m = &meetings{over: make(chan struct{})}
		s.meetings[p] = m
	}
	m.count++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if m.count--; m.count == 0 {
			delete(s.meetings, p)
			close(m.over)
		}
	})
}

// settled waits until no meeting with a peer is under way. Each is bounded in time. The
// error is that of ctx.
func (s *sessions) settled(ctx context.Context, p peer.ID) error {
	for {
		s.mu.Lock()
		m := s.meetings[p]
		s.mu.Unlock()
		if m == nil {
			return nil
		}
		select {
		case <-m.over:
		case <-ctx.Done():
			return stopped(ctx)
		}
	}
}

func (s *sessions) keep(p peer.ID, pr proof) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, before := range s.proofs {
		if before.conn.IsClosed() {
			delete(s.proofs, other)
			delete(s.shown, other)
		}
	}
	s.proofs[p] = pr
}

// took notes that a peer has taken the credentials of this node.
func (s *sessions) took(p peer.ID, sh shown) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown[p] = sh
	delete(s.ended, p)
}

// heard notes what a peer has answered of this node's keystone: whether that has come to
// an end, as it says.
func (s *sessions) heard(p peer.ID, primary ibgib.Addr, err error) {
	var e *saga.Error
	if !errors.As(err, &e) || !e.Remote || e.Code != saga.CodeUntrusted {
		return
	}
	reason := keystone.Reason(e.Reason)
	if reason != keystone.ReasonRevoked && reason != keystone.ReasonDisputed {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[p] = end{primary, reason}
}

// endedFor lists the peers that have said so of a keystone, for a reason.
func (s *sessions) endedFor(primary ibgib.Addr, reason keystone.Reason) []peer.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []peer.ID
	for p, e := range s.ended {
		if e == (end{primary, reason}) {
			list = append(list, p)
		}
	}
	slices.Sort(list)
	return list
}

// hasTaken tells whether it has.
func (s *sessions) hasTaken(p peer.ID, sh shown) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown[p] == sh
}

// isKnown tells whether a peer has taken the credentials of this node on a connection
// that is open.
func (s *sessions) isKnown(p peer.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh, ok := s.shown[p]
	return ok && !sh.conn.IsClosed()
}

// lost notes that a peer knows nothing of the credentials of this node, which then
// proves itself anew when the two meet.
func (s *sessions) lost(p peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.shown, p)
}

// untrusted drops what a peer has said that is not trusted any more. What the two have
// proved stays for as long as the connection does, since no side signs it twice; without
// trust it is good for nothing.
func (s *sessions) untrusted(p peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ended, p)
}

// of returns what a peer has proved on a connection that is open.
func (s *sessions) of(p peer.ID) (proof, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pr, ok := s.proofs[p]
	return pr, ok && !pr.conn.IsClosed()
}

// standing returns what a peer has proved, if it still holds. The error is a
// *keystone.SessionError.
func (n *Node) standing(p peer.ID) (proof, error) {
	refuse := func(reason keystone.Reason, detail string) (proof, error) {
		return proof{}, &keystone.SessionError{Reason: reason, Detail: detail}
	}
	pr, ok := n.sessions.of(p)
	switch {
	case !ok:
		return refuse(keystone.ReasonUnknown, "no session has been proved on this connection")
	case n.trust.keystone(p) != pr.primary:
		return refuse(keystone.ReasonUnknown, "the peer is known by another keystone now")
	case !n.now().Before(pr.peer.Expires):
		return refuse(keystone.ReasonExpired, "the session has expired")
	}
	for _, genesis := range []ibgib.Addr{pr.primary, pr.peer.Genesis} {
		h, err := n.book.History(genesis)
		if err != nil {
			return refuse(keystone.ReasonUnknown, "a keystone of the peer is not known any more")
		}
		switch h.Status() {
		case keystone.Revoked:
			return refuse(keystone.ReasonRevoked, genesis.String()+" is revoked")
		case keystone.Disputed:
			return refuse(keystone.ReasonDisputed, genesis.String()+" is disputed")
		}
	}
	return pr, nil
}

// proved is standing for a peer that has begun something: meetings under way come first.
// Errors are *saga.Error.
func (n *Node) proved(ctx context.Context, p peer.ID) (proof, error) {
	if err := n.sessions.settled(ctx, p); err != nil {
		return proof{}, err
	}
	pr, err := n.standing(p)
	return pr, sessionFailure(err)
}

// prove makes sure that this node and a peer have proved to each other who they are
// before this node begins something: it meets the peer if they have not. Errors are
// *saga.Error: unreachable, what the peer says, or untrusted with a reason.
func (n *Node) prove(ctx context.Context, h host.Host, to peer.AddrInfo) (proof, error) {
	pr, err := n.mutual(ctx, to.ID)
	// A second time if the first has only brought trust, the confirmation of the newest
	// frame of the own keystone, or the news that the peer has to prove itself anew.
	for attempt := range 2 {
		if err == nil {
			return pr, nil
		}
		if cannot := cannotProve(n.sessions.own.Able(to.ID.String())); cannot != nil && !errors.Is(cannot, ErrUnconfirmed) {
			return proof{}, cannot // nor can a peer help
		}
		met := n.greet(ctx, h, to)
		if pr, err = n.mutual(ctx, to.ID); err == nil {
			return pr, nil // perhaps in a meeting that the peer has begun
		}
		if met != nil && (attempt > 0 || !isRefused(met)) {
			return proof{}, met
		}
		if err := n.checkTarget(to.ID); err != nil {
			return proof{}, err
		}
	}
	if err != nil {
		err = n.whyUnproved(ctx, h, to.ID, err)
	}
	return pr, err
}

// mutual is proved for what this node begins: the peer has to know this node, too, and
// this node's keystone has to be good.
func (n *Node) mutual(ctx context.Context, p peer.ID) (proof, error) {
	pr, err := n.proved(ctx, p)
	if err != nil {
		return pr, err
	}
	if own, unknown := n.self.History(); unknown != nil || own.Status() != keystone.Valid || !n.sessions.isKnown(p) {
		return pr, sessionFailure(&keystone.SessionError{Reason: keystone.ReasonUnknown, Detail: "this node has not proved itself on this connection"})
	}
	return pr, nil
}

// whyUnproved finds out why a peer that has been met has proved nothing: this node
// cannot sign, or the peer does not trust it, and says so when it is asked something.
func (n *Node) whyUnproved(ctx context.Context, h host.Host, p peer.ID, err error) error {
	if _, cannot := n.renew(ctx, h, p, nil); cannot != nil {
		return cannotProve(cannot)
	}
	var e *saga.Error
	if _, told := protocol.AskKeystone(ctx, h, p, n.self.Genesis().String(), ibgib.Hash{}, n.wire); errors.As(told, &e) && e.Remote && e.Code == saga.CodeUntrusted {
		return e
	}
	return err
}

// cannotProve makes the error of a node that has no session with a peer; nil for nil. What
// the peer has to do with it stays as it is.
func cannotProve(err error) error {
	var e *saga.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &saga.Error{Code: saga.CodeUntrusted, Text: "this node cannot prove who it is: " + err.Error(), Err: err}
}

// sessionFailure makes the error that a peer is told, and a person sees, of a session
// that is refused; nil for nil.
func sessionFailure(err error) error {
	var e *keystone.SessionError
	if !errors.As(err, &e) {
		return err
	}
	retry := e.Reason != keystone.ReasonRevoked && e.Reason != keystone.ReasonDisputed
	return &saga.Error{Code: saga.CodeUntrusted, Reason: string(e.Reason), Text: e.Error(), Retry: retry, Err: err}
}

// isRefused tells whether a session was refused for a reason that may pass.
func isRefused(err error) bool {
	var e *saga.Error
	return errors.As(err, &e) && e.Code == saga.CodeUntrusted && e.Retry && e.Reason != ""
}

// lostProof tells whether a peer has answered that it knows of no proof of this node,
// which this node takes for given: then the two have to meet again.
func lostProof(err error) bool {
	var e *saga.Error
	return isRefused(err) && errors.As(err, &e) && e.Remote
}

// keyOf returns the key of a peer, which its session must bear.
func keyOf(p peer.ID) (ed25519.PublicKey, error) {
	key, err := p.ExtractPublicKey()
	if err != nil {
		return nil, fmt.Errorf("the peer id %s holds no key: %w", p, err)
	}
	if key.Type() != crypto.Ed25519 {
		return nil, fmt.Errorf("the key of %s is no Ed25519 key", p)
	}
	raw, err := key.Raw()
	return ed25519.PublicKey(raw), err
}

// sealer is saga.Sealer of one saga.
type sealer struct {
	n    *Node
	peer peer.ID
	with proof
}

var _ saga.Sealer = sealer{}

// Seal signs the transcript by the session of this node.
func (s sealer) Seal(ctx context.Context, last ibgib.Addr) ([]byte, error) {
	before, err := s.n.book.History(s.with.own)
	if err != nil {
		return nil, err
	}
	frame, err := s.n.sessions.own.Sign(ctx, s.peer.String(), s.with.own, keystone.Claim{Verb: keystone.VerbTranscript, Target: last})
	if err != nil {
		return nil, err
	}
	return keystone.AppendFrame(nil, before.Tip(), frame), nil
}

// Check takes the frame of the peer's session that signs the transcript.
func (s sealer) Check(ctx context.Context, last ibgib.Addr, item []byte) error {
	h, err := s.n.book.History(s.with.peer.Genesis)
	if err != nil {
		return err
	}
	frame, err := keystone.ReadFrame(h.Tip(), item)
	if err != nil {
		return err
	}
	if genesis, ok := timeline.Claims(frame); !ok || genesis != s.with.peer.Genesis {
		return &keystone.SessionError{Reason: keystone.ReasonBadProof, Detail: "the frame is of another keystone"}
	}
	return s.n.book.Accept(ctx, s.peer.String(), frame, keystone.VerbTranscript, last)
}
