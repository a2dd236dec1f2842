package protocol

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

const (
	// keystoneTimeout bounds one question about a keystone and its answer.
	keystoneTimeout = 30 * time.Second
	// keystoneCost is what a question counts for among the notices of a peer.
	keystoneCost = 32
	// MaxKeystoneReply is how many bytes of frames an answer holds, unless it is a
	// single larger one.
	MaxKeystoneReply = 1 << 20
)

// AskKeystone asks a peer that h is connected to for the frames of a keystone that
// follow a known one (all for the zero Hash), and returns its answer: as many as fit,
// oldest first, More if there are others, and in Known the newest that the peer has,
// zero if it has none to show. It does not dial. What is in the answer is what the
// peer claims. Errors are *saga.Error.
func AskKeystone(ctx context.Context, h host.Host, to peer.ID, genesis string, known ibgib.Hash, opts Options) (*KeystoneFrames, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, keystoneTimeout)
	defer cancel()
	stream, err := h.NewStream(network.WithNoDial(overRelays(within), "keystone"), to, ID)
	if err != nil {
		return nil, dialFailure(ctx, within, "no stream to the peer", err)
	}
	conn := newConn(stream, opts)
	defer conn.Abort()
	if _, err := conn.Send(within, &KeystoneFrames{Genesis: genesis, Known: known}); err != nil {
		return nil, err
	}
	m, _, err := conn.Receive(within)
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *KeystoneFrames:
		if !m.Reply || m.Genesis != genesis || m.More && len(m.Frames) == 0 {
			return nil, &saga.Error{Code: saga.CodeProtocol, Text: "that is no answer to a question about this keystone"}
		}
		return m, conn.Close()
	case *saga.Error:
		return nil, m
	default:
		return nil, &saga.Error{Code: saga.CodeProtocol, Text: "the answer is not about a keystone"}
	}
}

// keystone serves a question of a trusted peer.
func (s *Service) keystone(ctx context.Context, conn *Conn, ask *KeystoneFrames) *saga.Error {
	p := conn.Peer()
	switch {
	case s.handlers.Keystone == nil:
		return &saga.Error{Code: saga.CodeUnsupported, Text: "keystones are not supported"}
	case ask.Reply || len(ask.Frames) > 0 || ask.Genesis == "":
		return &saga.Error{Code: saga.CodeProtocol, Text: "that is no question about a keystone"}
	case !s.notices.take(p, keystoneCost):
		return &saga.Error{Code: saga.CodeBusy, Text: "too many questions", Retry: true}
	}
	within, cancel := context.WithTimeout(ctx, keystoneTimeout)
	defer cancel()
	answer, err := s.handlers.Keystone(within, p, ask)
	if err != nil {
		var told *saga.Error
		if !errors.As(err, &told) {
			told = &saga.Error{Code: saga.CodeInternal, Text: "the keystone cannot be read", Err: err}
		}
		return told
	}
	answer.Genesis, answer.Reply = ask.Genesis, true
	if _, err := conn.Send(within, answer); err != nil {
		return tellable(err)
	}
	if err := conn.Close(); err != nil {
		s.opts.Logger.Debug("answer about a keystone not ended in good order", "peer", p, "error", err)
	}
	return nil
}
