package protocol

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"github.com/ibgib/ibgib-node/saga"
)

// Dial connects to a peer, if h is not connected to it yet, and opens a stream.
// Errors are *saga.Error: unreachable, timeout, canceled, or unsupported if the
// peer does not speak the protocol. A peer that refuses this side says so in
// answer to its first message.
func Dial(ctx context.Context, h host.Host, to peer.AddrInfo, opts Options) (*Conn, error) {
	return dial(ctx, h, to, ID, opts)
}

// dial is Dial for a protocol.
func dial(ctx context.Context, h host.Host, to peer.AddrInfo, id protocol.ID, opts Options) (*Conn, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if to.ID == h.ID() {
		return nil, &saga.Error{Code: saga.CodeUnreachable, Text: "this is the node's own peer id"}
	}
	within, cancel := context.WithTimeout(overRelays(ctx), opts.DialTimeout)
	defer cancel()
	if err := h.Connect(within, to); err != nil {
		return nil, dialFailure(ctx, within, "no connection to the peer", err)
	}
	stream, err := h.NewStream(within, to.ID, id)
	if err != nil {
		return nil, dialFailure(ctx, within, "no stream to the peer", err)
	}
	return newConn(stream, opts), nil
}

// overRelays lets a relayed connection do where there is no direct one. What the relay
// does not let through comes with the next saga.
func overRelays(ctx context.Context) context.Context {
	return network.WithAllowLimitedConn(ctx, "sync")
}

// dialFailure says why a dial failed: ctx is the caller's context, within the
// one with the dial timeout.
func dialFailure(ctx, within context.Context, text string, err error) *saga.Error {
	e := &saga.Error{Code: saga.CodeUnreachable, Text: text + ": " + DialReason(err), Retry: true, Err: err}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		e.Code, e.Text = saga.CodeCanceled, "dialing was canceled"
	case within.Err() != nil:
		e.Code, e.Text = saga.CodeTimeout, "the peer did not answer in time"
	case errors.Is(err, multistream.ErrNotSupported[protocol.ID]{}):
		e.Code, e.Text, e.Retry = saga.CodeUnsupported, unspoken(err), false
	}
	return e
}

// unspoken says which protocol the peer does not speak.
func unspoken(err error) string {
	var not multistream.ErrNotSupported[protocol.ID]
	if !errors.As(err, &not) || len(not.Protos) == 0 {
		return "the peer does not speak the protocol"
	}
	return "the peer does not speak " + string(not.Protos[0])
}
