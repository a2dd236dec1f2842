package protocol

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/saga"
)

// ID is the libp2p protocol id.
const ID = "/ibgib/sync/1"

// A peer that is refused costs a stream until it has taken the answer. Beyond
// these many such streams, of all strangers together and of any one of them, it is
// cut off without one. Strangers never take a place from a trusted peer. One of these
// has more beside its sagas, as its questions and meetings follow each other before it
// is known here that the last one has ended.
const (
	maxRefusals        = 64
	maxRefusalsPerPeer = 4
	maxTrustedStreams  = 16
)

// Handlers do the work of a Service. Authorize and Saga are required. They are
// called from many goroutines at once; the contexts end when the service closes.
type Handlers struct {
	// Authorize decides whether a peer, proven by the secured channel, may open
	// streams. nil trusts it. A *saga.Error is what the peer is told; for any other
	// error it is told that it is not trusted, and no more.
	Authorize func(ctx context.Context, p peer.ID) error
	// Saga runs one saga as its responder. The first Receive of conn returns
	// open. When Saga returns, a connection that it has neither closed nor aborted
	// is aborted.
	Saga func(ctx context.Context, p peer.ID, open *saga.Init, conn saga.Conn)
	// Notice takes a notice of a trusted peer: at least one timeline, by ascending
	// root, each with heads. The peer waits for its next one until Notice returns.
	// Nil: notices are not supported.
	Notice func(ctx context.Context, p peer.ID, n *Notice)
	// Keystone answers a question of a trusted peer about the frames of a keystone that
	// follow those it knows: Known is the newest frame, zero if there is nothing to show,
	// and Frames have at most MaxKeystoneReply bytes, or are one. Nil: such questions are
	// not supported.
	Keystone func(ctx context.Context, p peer.ID, ask *KeystoneFrames) (*KeystoneFrames, error)
	// Vouch answers a trusted peer that asks for whom this node vouches: at most
	// MaxVouched. Nil: such questions are not supported.
	Vouch func(ctx context.Context, p peer.ID) ([]Vouched, error)
	// Meet takes note of a meeting that another peer, trusted or not, has begun,
	// and ends it. What it has not ended is ended when it returns. Nil: hellos are
	// not supported.
	Meet func(ctx context.Context, m *Meeting)
	// Self is what the node says of itself in meetings.
	Self Self
}

// Service answers streams of the protocol on one host. From a peer that is not
// trusted it takes a hello, and nothing else.
type Service struct {
	host     host.Host
	handlers Handlers
	opts     Options
	hellos   *allowances[netip.Prefix] // of peers that are not trusted
	notices  *allowances[peer.ID]

	cancel  context.CancelFunc // ends the context of every handler
	running sync.WaitGroup     // handlers

	mu        sync.Mutex
	closed    bool
	streams   map[network.Stream]bool // of running handlers; true: of a stranger
	strangers int                     // of these
	sagas     int                     // of the others, those that have been handed on
	peers     map[peer.ID]*load
}

// load counts the running handlers of one peer.
type load struct {
	streams int
	sagas   int // of these, those that have been handed on
}

// Serve registers the protocol on h. The context of each handler descends from
// ctx. The service must be closed before h is.
func Serve(ctx context.Context, h host.Host, handlers Handlers, opts Options) (*Service, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Service{
		host: h, handlers: handlers, opts: opts,
		hellos:  newAllowances[netip.Prefix](maxHellos, helloInterval, maxHelloAddrs, time.Now),
		notices: newAllowances[peer.ID](maxNotices, noticeInterval, maxNoticePeers, time.Now),
		cancel:  cancel,
		streams: make(map[network.Stream]bool),
		peers:   make(map[peer.ID]*load),
	}
	h.SetStreamHandler(ID, func(stream network.Stream) { s.serve(ctx, stream) })
	return s, nil
}

// Close stops taking streams, ends the context of every handler and waits for
// them. Handlers that go on for longer than two close timeouts lose their
// streams; the error then says how many there were.
func (s *Service) Close() error {
	s.host.RemoveStreamHandler(ID)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()

	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	timer := time.NewTimer(2 * s.opts.CloseTimeout)
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream := range s.streams {
		_ = stream.Reset()
	}
	return fmt.Errorf("protocol: %d handlers have not ended in time", len(s.streams))
}

// serve takes one stream, from accepting to the end.
func (s *Service) serve(ctx context.Context, stream network.Stream) {
	p := stream.Conn().RemotePeer()
	untrusted := s.trusts(ctx, p)
	if !s.enter(p, stream, untrusted != nil) {
		s.opts.Logger.Debug("stream dropped: too many", "peer", p)
		_ = stream.ResetWithError(network.StreamResourceLimitExceeded)
		return
	}
	defer s.leave(p, stream)

	conn := newConn(stream, s.opts)
	defer conn.Abort()
	var refusal *saga.Error
	if untrusted != nil {
		refusal = s.serveStranger(ctx, conn, untrusted)
	} else {
		refusal = s.serveTrusted(ctx, conn)
	}
	if refusal != nil {
		s.opts.Logger.Debug("stream refused", "peer", p, "code", refusal.Code, "reason", refusal.Err)
		_, _ = conn.Send(ctx, refusal) // a peer that is gone needs no answer
	}
}

// trusts returns nil for a trusted peer, else what it is to be told.
func (s *Service) trusts(ctx context.Context, p peer.ID) *saga.Error {
	err := s.handlers.Authorize(ctx, p)
	var told *saga.Error
	if err == nil || errors.As(err, &told) {
		return told
	}
	return &saga.Error{Code: saga.CodeUntrusted, Text: "this node does not trust you", Err: err}
}

// serveTrusted serves a stream of a trusted peer. It returns what the peer is to
// be told, if anything.
func (s *Service) serveTrusted(ctx context.Context, conn *Conn) *saga.Error {
	first, err := conn.open(ctx)
	if err != nil {
		return tellable(err)
	}
	switch first := first.(type) {
	case *saga.Init:
		p := conn.Peer()
		if !s.beginSaga(p) {
			return &saga.Error{ID: first.ID, Code: saga.CodeBusy, Text: "too many sagas are running", Retry: true}
		}
		defer s.endSaga(p)
		s.handlers.Saga(ctx, p, first, conn)
		return nil
	case *Hello:
		if !s.notices.take(conn.Peer(), meetingCost) {
			return &saga.Error{Code: saga.CodeBusy, Text: "too many hellos", Retry: true}
		}
		return s.meet(ctx, conn, first)
	case *Notice:
		return s.notice(ctx, conn, first)
	case *KeystoneFrames:
		return s.keystone(ctx, conn, first)
	case *Vouch:
		return s.vouch(ctx, conn, first)
	case *saga.Error:
		return nil
	default:
		return &saga.Error{ID: first.SagaID(), Code: saga.CodeProtocol, Text: "a stream opens with init, hello, notice, keystone_frames or vouch"}
	}
}

// serveStranger takes a hello from a peer that is not trusted. To everything
// else the answer is untrusted.
func (s *Service) serveStranger(ctx context.Context, conn *Conn, untrusted *saga.Error) *saga.Error {
	conn.meet()
	first, err := conn.open(ctx)
	if err != nil && tellable(err) == nil {
		return nil
	}
	hello, is := first.(*Hello)
	if !is {
		return untrusted
	}
	if !s.hellos.take(Origin(conn.stream.Conn().RemoteMultiaddr()), 1) {
		return &saga.Error{Code: saga.CodeBusy, Text: "too many hellos", Retry: true}
	}
	return s.meet(ctx, conn, hello)
}

// meet serves a meeting.
func (s *Service) meet(ctx context.Context, conn *Conn, first *Hello) *saga.Error {
	if s.handlers.Meet == nil {
		return &saga.Error{Code: saga.CodeUnsupported, Text: "hello is not supported"}
	}
	m, err := newMeeting(conn, saga.Responder, s.host.ID(), s.handlers.Self)
	if err == nil {
		err = m.respond(ctx, first)
	}
	if err != nil {
		return tellable(err)
	}
	s.handlers.Meet(ctx, m)
	if err := m.End(ctx); err != nil {
		s.opts.Logger.Debug("meeting not ended in good order", "peer", m.Peer, "error", err)
	}
	return nil
}

// tellable returns what the other side is to be told of an error; nil if that is
// nothing, since the peer is gone or knows.
func tellable(err error) *saga.Error {
	var e *saga.Error
	if !errors.As(err, &e) || e.Remote || e.Code == saga.CodeUnreachable {
		return nil
	}
	return e
}

// open reads the first message of a stream. It is kept for Receive if it opens a
// saga.
func (c *Conn) open(ctx context.Context) (saga.Message, error) {
	c.receiving.Lock()
	defer c.receiving.Unlock()
	r, err := c.receive(ctx, c.opts.StallTimeout)
	if err != nil {
		return nil, err
	}
	if _, is := r.message.(*saga.Init); is {
		c.first = &r
	}
	return r.message, nil
}

// enter counts a new handler, or returns false if there are too many.
func (s *Service) enter(p peer.ID, stream network.Stream, stranger bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.peers[p]
	if l == nil {
		l = new(load)
	}
	most := maxTrustedStreams
	if stranger {
		most = maxRefusalsPerPeer
	}
	if s.closed || l.streams-l.sagas >= most || stranger && s.strangers >= maxRefusals {
		return false
	}
	s.peers[p] = l
	l.streams++
	s.streams[stream] = stranger
	if stranger {
		s.strangers++
	}
	s.running.Add(1)
	return true
}

func (s *Service) leave(p peer.ID, stream network.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[stream] {
		s.strangers--
	}
	delete(s.streams, stream)
	if l := s.peers[p]; l.streams > 1 {
		l.streams--
	} else {
		delete(s.peers, p)
	}
	s.running.Done()
}

// beginSaga takes a place among the running sagas, if there is one.
func (s *Service) beginSaga(p peer.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.peers[p]
	if s.sagas >= s.opts.MaxSagas || l.sagas >= s.opts.MaxSagasPerPeer {
		return false
	}
	l.sagas++
	s.sagas++
	return true
}

func (s *Service) endSaga(p peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers[p].sagas--
	s.sagas--
}
