package protocol

import (
	"context"
	"crypto/rand"
	"io"
	"slices"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// featureMeshSecret is the feature of a side that has a mesh secret.
const featureMeshSecret = "mesh-secret"

// meetingCost is what a hello of a trusted peer counts for among its notices: the
// answer to it may have to be signed.
const meetingCost = 40

// Self is what a node says of itself in a meeting. The zero value says nothing.
type Self struct {
	Secret *MeshSecret // of the mesh that it belongs to; nil: none
	// Genesis, if not nil, names the first frame of its primary keystone.
	Genesis func() string
	// Session, if not nil, names the session keystone by which it speaks to a peer, and
	// the newest frames that it has of those of that peer. The zero Session: none. said is
	// what the peer has said of its own; nil if this side is the first to speak.
	Session func(ctx context.Context, p peer.ID, said *Session) Session
	Invite  *InviteKey // that it redeems; nil: none. For Meet only
	Rand    io.Reader  // of nonces; default crypto/rand
}

// Session is what a node says to one peer of the keystones between them.
type Session struct {
	Genesis string // of the session keystone of who says it; empty: none
	// Known and PeerSession are the newest frames that it has of the other's primary and
	// session keystones; zero: none.
	Known, PeerSession ibgib.Hash
}

// Proof says what became of the other side's proof of the mesh secret.
type Proof uint8

// The proofs.
const (
	ProofNone  Proof = iota // none was given, or this side has no secret to compare
	ProofGood               // it knows this side's secret
	ProofWrong              // it was given, for another secret
)

// Meeting is an exchange of hellos between two peers on a stream of its own; see
// SPEC.md. When it is handed out the other side has said what it wants to say
// and its proof has been checked; End then ends it. The responder sends its own
// proof in End, so only to a peer whose proof was good. What is in it is what
// the other side claims, but for Peer and Proof.
type Meeting struct {
	Peer     peer.ID // proven by the secured channel
	Features []string
	Genesis  string // the first frame of its primary keystone; empty: none named
	Session  string // the first frame of its session keystone; empty: none named
	Proof    Proof
	// Known and SessionKnown are the newest frames of this side's keystones that the
	// other side says to have; zero: none.
	Known, SessionKnown ibgib.Hash

	role     saga.Role // of this side
	self     Self
	genesis  string // that this side has named
	own      Session
	shown    *KeystoneFrames // the first of the other side's credentials, read already
	ends     Ends
	invite   []byte     // the other side's proof of an invite
	accepted *InviteKey // that it is of; nil: none of ours
	conn     *Conn
	ended    bool
	said     bool // what sayLast says
}

// Conn returns the connection that the meeting takes place on.
func (m *Meeting) Conn() network.Conn { return m.conn.stream.Conn() }

// Meet connects to a peer, if h is not connected to it yet, and introduces this
// side. Errors are those of Dial, what the other side answers, among them
// saga.CodeUntrusted to a wrong proof, and what is wrong with an answer. The
// meeting must be ended.
func Meet(ctx context.Context, h host.Host, to peer.AddrInfo, self Self, opts Options) (*Meeting, error) {
	conn, err := Dial(ctx, h, to, opts)
	if err != nil {
		return nil, err
	}
	m, err := newMeeting(conn, saga.Initiator, h.ID(), self)
	if err == nil {
		err = m.initiate(ctx)
	}
	if err != nil {
		if told := tellable(err); told != nil {
			_, _ = conn.Send(ctx, told) // a peer that is gone needs no answer
		}
		conn.Abort()
		return nil, err
	}
	return m, nil
}

func newMeeting(conn *Conn, role saga.Role, own peer.ID, self Self) (*Meeting, error) {
	conn.meet()
	m := &Meeting{Peer: conn.Peer(), role: role, self: self, conn: conn}
	if self.Genesis != nil {
		m.genesis = self.Genesis()
	}
	source := self.Rand
	if source == nil {
		source = rand.Reader
	}
	m.ends.Initiator, m.ends.Responder = own, m.Peer
	nonce := &m.ends.InitiatorNonce
	if role == saga.Responder {
		m.ends.Initiator, m.ends.Responder = m.Peer, own
		nonce = &m.ends.ResponderNonce
	}
	if _, err := io.ReadFull(source, nonce[:]); err != nil {
		return nil, &saga.Error{Code: saga.CodeInternal, Text: "no random numbers", Err: err}
	}
	return m, nil
}

func (m *Meeting) initiate(ctx context.Context) error {
	if m.self.Session != nil {
		m.own = m.self.Session(ctx, m.Peer, nil)
	}
	if _, err := m.conn.Send(ctx, m.introduction()); err != nil {
		return err
	}
	first, err := m.next(ctx)
	if err != nil {
		return err
	}
	if first == nil {
		return &saga.Error{Code: saga.CodeUnreachable, Text: "the peer has ended the meeting", Retry: true}
	}
	if err := m.take(first); err != nil {
		return err
	}
	m.raise()
	if !m.canProve() && m.self.Invite == nil {
		return nil
	}
	proof := m.proof(m.canProve())
	if m.self.Invite != nil {
		proof.InviteProof = m.inviteProof(*m.self.Invite, m.role)
	}
	if _, err := m.conn.Send(ctx, proof); err != nil {
		return err
	}
	second, err := m.next(ctx)
	if err != nil {
		return err
	}
	if err := m.check(second); err != nil {
		return err
	}
	return m.checkInvite()
}

// respond does the responder's part up to what End does. first is what the
// stream opened with.
func (m *Meeting) respond(ctx context.Context, first *Hello) error {
	if err := m.take(first); err != nil {
		return err
	}
	if m.self.Session != nil {
		m.own = m.self.Session(ctx, m.Peer, &Session{first.Session, first.Known, first.SessionKnown})
	}
	m.raise()
	if _, err := m.conn.Send(ctx, m.introduction()); err != nil {
		return err
	}
	second, err := m.next(ctx)
	if err != nil {
		return err
	}
	return m.check(second)
}

// raise lets credentials through, if both sides have named a session.
func (m *Meeting) raise() {
	if m.HasSessions() {
		m.conn.trust()
	}
}

// Said returns what this side has said of the keystones between the two.
func (m *Meeting) Said() Session { return m.own }

// Nonces returns those of this side and of the other, in this order.
func (m *Meeting) Nonces() (own, other [32]byte) { return m.nonce(m.role), m.nonce(m.other()) }

// introduction is the first hello of this side.
func (m *Meeting) introduction() *Hello {
	h := &Hello{
		Nonce: m.nonce(m.role), Genesis: m.genesis,
		Session: m.own.Genesis, Known: m.own.Known, SessionKnown: m.own.PeerSession,
	}
	if m.self.Secret != nil {
		h.Features = []string{featureMeshSecret}
	}
	return h
}

// proof is the second hello of this side.
func (m *Meeting) proof(ofMesh bool) *Hello {
	h := &Hello{Nonce: m.nonce(m.role)}
	if ofMesh {
		h.MeshSecretProof = m.self.Secret.Prove(m.role, m.ends)
	}
	return h
}

func (m *Meeting) nonce(of saga.Role) [32]byte {
	if of == saga.Initiator {
		return m.ends.InitiatorNonce
	}
	return m.ends.ResponderNonce
}

func (m *Meeting) other() saga.Role {
	if m.role == saga.Initiator {
		return saga.Responder
	}
	return saga.Initiator
}

// canProve tells whether a proof of the secret means something to both sides.
func (m *Meeting) canProve() bool {
	return m.self.Secret != nil && slices.Contains(m.Features, featureMeshSecret)
}

// take keeps the first hello of the other side.
func (m *Meeting) take(h *Hello) error {
	if len(h.MeshSecretProof) > 0 || len(h.InviteProof) > 0 {
		return &saga.Error{Code: saga.CodeProtocol, Text: "a proof before the nonces of both sides are known"}
	}
	if h.Nonce == m.nonce(m.role) {
		return &saga.Error{Code: saga.CodeProtocol, Text: "the nonces of both sides are the same"}
	}
	m.Features, m.Genesis = h.Features, h.Genesis
	m.Session, m.Known, m.SessionKnown = h.Session, h.Known, h.SessionKnown
	if m.role == saga.Initiator {
		m.ends.ResponderNonce = h.Nonce
	} else {
		m.ends.InitiatorNonce = h.Nonce
	}
	return nil
}

// check looks at the second hello of the other side; nil if there is none.
func (m *Meeting) check(h *Hello) error {
	switch {
	case h == nil:
		return nil
	case h.Nonce != m.nonce(m.other()):
		return &saga.Error{Code: saga.CodeProtocol, Text: "the second hello has another nonce than the first"}
	}
	m.invite = h.InviteProof
	switch {
	case len(h.MeshSecretProof) == 0 || m.self.Secret == nil:
		return nil
	case m.self.Secret.Verify(m.other(), m.ends, h.MeshSecretProof):
		m.Proof = ProofGood
	default:
		m.Proof = ProofWrong
	}
	return nil
}

// next reads a hello; nil if the other side has nothing more to say.
func (m *Meeting) next(ctx context.Context) (*Hello, error) {
	message, _, err := m.conn.Receive(ctx)
	if err == io.EOF {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	switch message := message.(type) {
	case *Hello:
		return message, nil
	case *KeystoneFrames:
		if m.role == saga.Responder && m.HasSessions() {
			m.shown = message // the initiator has nothing to prove
			return nil, nil
		}
		return nil, &saga.Error{Code: saga.CodeProtocol, Text: "keystone frames in a meeting without sessions"}
	case *saga.Error:
		return nil, message
	default:
		return nil, &saga.Error{Code: saga.CodeProtocol, Text: "a meeting has no message but hello and keystone_frames"}
	}
}

// End ends the meeting, which is when the other side has taken what this one
// has said: the initiator's peer may then rely on it. The responder first sends
// its proof to a peer whose own was good, of an invite or of the mesh secret, and an
// error to one whose proof was wrong.
func (m *Meeting) End(ctx context.Context) error {
	if m.ended {
		return nil
	}
	m.ended = true
	err := m.sayLast(ctx)
	if err == nil {
		err = m.conn.hearEnd(ctx)
	}
	if err != nil {
		m.conn.Abort()
		return err
	}
	return m.conn.Close()
}

// sayLast sends what the responder says after it has judged the initiator; once.
func (m *Meeting) sayLast(ctx context.Context) error {
	if m.said {
		return nil
	}
	m.said = true
	var last saga.Message
	switch {
	case m.accepted != nil && m.role == saga.Responder:
		proof := m.proof(m.Proof == ProofGood)
		proof.InviteProof = m.inviteProof(*m.accepted, m.role)
		last = proof
	case m.accepted != nil:
	case m.HasInvite() && m.role == saga.Responder:
		last = &saga.Error{Code: saga.CodeUntrusted, Text: "the invite is none of this node's, or has expired, or was used by another"}
	case m.Proof == ProofWrong:
		last = &saga.Error{Code: saga.CodeUntrusted, Text: "the proof is not that of this node's mesh secret"}
	case m.Proof == ProofGood && m.role == saga.Responder:
		last = m.proof(true)
	}
	if last == nil {
		return nil
	}
	_, err := m.conn.Send(ctx, last)
	return err
}

// Fail ends the meeting for an error, of which the other side is told what is its
// business.
func (m *Meeting) Fail(ctx context.Context, err error) {
	if m.ended {
		return
	}
	m.ended = true
	if told := tellable(err); told != nil {
		_, _ = m.conn.Send(ctx, told) // a peer that is gone needs no answer
	}
	m.conn.Abort()
}

// Refuse ends the meeting with an error that tells the other side that it is not
// trusted, and no more.
func (m *Meeting) Refuse(ctx context.Context) {
	m.Fail(ctx, &saga.Error{Code: saga.CodeUntrusted, Text: "this node does not trust you"})
}
