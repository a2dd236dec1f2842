package dht

import (
	"context"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// kadHost is a host as the library sees it, which bounds what the library holds of
// others: streams, messages while they come or go, and addresses.
type kadHost struct {
	host.Host
	maxAnswer uint64
	addrs     addrStore
	places    *streamPlaces
}

func (h kadHost) SetStreamHandler(id protocol.ID, handle network.StreamHandler) {
	h.Host.SetStreamHandler(id, func(s network.Stream) {
		defer h.places.leave(h.places.take(s))
		handle(&messageStream{Stream: s, max: maxRequest})
	})
}

func (h kadHost) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return &messageStream{Stream: s, max: h.maxAnswer}, nil
}

func (h kadHost) Peerstore() peerstore.Peerstore { return h.addrs }
