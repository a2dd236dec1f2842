package protocol

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/saga"
)

// Notices of one peer may come so many at once, and one more with every interval.
// One of many timelines counts for several: for one more with each
// noticeTimelines of them.
const (
	maxNotices      = 400
	noticeInterval  = 5 * time.Millisecond
	noticeTimelines = 16
	// maxNoticePeers bounds the peers whose notices are counted, those that sent
	// some of late. Further ones have to wait.
	maxNoticePeers = 1024
)

// Notify tells a peer that h is connected to of timelines whose heads have moved,
// and returns when the peer has taken the notice, within the notice timeout. It does
// not dial. Errors are *saga.Error: those of Dial, and what the peer answers, which
// is untrusted, busy, or unsupported if it takes no notices.
func Notify(ctx context.Context, h host.Host, to peer.ID, n *Notice, opts Options) error {
	opts, err := opts.withDefaults()
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, opts.NoticeTimeout)
	defer cancel()
	stream, err := h.NewStream(network.WithNoDial(overRelays(within), "notice"), to, ID)
	if err != nil {
		return dialFailure(ctx, within, "no stream to the peer", err)
	}
	conn := newConn(stream, opts)
	defer conn.Abort()
	if _, err := conn.Send(within, n); err != nil {
		return err
	}
	m, _, err := conn.Receive(within)
	switch m := m.(type) {
	case nil:
		if errors.Is(err, io.EOF) {
			return conn.Close()
		}
		return err
	case *saga.Error:
		return m
	default:
		return &saga.Error{Code: saga.CodeProtocol, Text: "the answer to a notice is neither an error nor the end"}
	}
}

// notice serves a notice of a trusted peer.
func (s *Service) notice(ctx context.Context, conn *Conn, n *Notice) *saga.Error {
	switch p := conn.Peer(); {
	case s.handlers.Notice == nil:
		return &saga.Error{Code: saga.CodeUnsupported, Text: "notices are not supported"}
	case !s.notices.take(p, 1+len(n.Timelines)/noticeTimelines):
		return &saga.Error{Code: saga.CodeBusy, Text: "too many notices", Retry: true}
	default:
		s.handlers.Notice(ctx, p, n)
	}
	if err := conn.Close(); err != nil {
		s.opts.Logger.Debug("notice not ended in good order", "peer", conn.Peer(), "error", err)
	}
	return nil
}
