package protocol

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/saga"
)

const (
	// vouchTimeout bounds one question for whom a peer vouches, and its answer.
	vouchTimeout = 30 * time.Second
	// vouchCost is what a question counts for among the notices of a peer.
	vouchCost = 32
)

// Vouch asks a peer for whom it vouches, or, with Reply, says so.
type Vouch struct {
	Reply bool
	Peers []Vouched
}

// Vouched is a peer that another one trusts.
type Vouched struct {
	Peer    peer.ID
	Genesis string // address of the first frame of its primary keystone
}

// SagaID returns the zero ID.
func (m *Vouch) SagaID() saga.ID { return saga.ID{} }

// Stage returns 0: it is part of no stage.
func (m *Vouch) Stage() saga.Stage { return 0 }

// AskVouch asks a peer that h is connected to for whom it vouches. It does not dial.
// Errors are *saga.Error; refused if the peer vouches for nobody before this one.
func AskVouch(ctx context.Context, h host.Host, to peer.ID, opts Options) ([]Vouched, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, vouchTimeout)
	defer cancel()
	stream, err := h.NewStream(network.WithNoDial(overRelays(within), "vouch"), to, ID)
	if err != nil {
		return nil, dialFailure(ctx, within, "no stream to the peer", err)
	}
	conn := newConn(stream, opts)
	defer conn.Abort()
	if _, err := conn.Send(within, &Vouch{}); err != nil {
		return nil, err
	}
	m, _, err := conn.Receive(within)
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *Vouch:
		if !m.Reply {
			return nil, &saga.Error{Code: saga.CodeProtocol, Text: "a question for an answer"}
		}
		return m.Peers, conn.Close()
	case *saga.Error:
		return nil, m
	default:
		return nil, &saga.Error{Code: saga.CodeProtocol, Text: "that does not answer for whom the peer vouches"}
	}
}

// vouch serves a question of a trusted peer.
func (s *Service) vouch(ctx context.Context, conn *Conn, ask *Vouch) *saga.Error {
	p := conn.Peer()
	switch {
	case s.handlers.Vouch == nil:
		return &saga.Error{Code: saga.CodeUnsupported, Text: "vouching is not supported"}
	case ask.Reply || len(ask.Peers) > 0:
		return &saga.Error{Code: saga.CodeProtocol, Text: "an answer that nobody asked for"}
	case !s.notices.take(p, vouchCost):
		return &saga.Error{Code: saga.CodeBusy, Text: "too many questions", Retry: true}
	}
	within, cancel := context.WithTimeout(ctx, vouchTimeout)
	defer cancel()
	peers, err := s.handlers.Vouch(within, p)
	if err != nil {
		var told *saga.Error
		if !errors.As(err, &told) {
			told = &saga.Error{Code: saga.CodeInternal, Text: "internal error", Err: err}
		}
		return told
	}
	if _, err := conn.Send(within, &Vouch{Reply: true, Peers: peers}); err != nil {
		return tellable(err)
	}
	if err := conn.Close(); err != nil {
		s.opts.Logger.Debug("vouching not ended in good order", "peer", p, "error", err)
	}
	return nil
}
