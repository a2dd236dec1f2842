package node

import (
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/transport"
	libp2pwebrtc "github.com/libp2p/go-libp2p/p2p/transport/webrtc"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	libp2pwebtransport "github.com/libp2p/go-libp2p/p2p/transport/webtransport"
	ma "github.com/multiformats/go-multiaddr"
)

// webTransports are those by which browsers, too, can connect. A node has the ones that
// a listen address asks for.
var webTransports = []struct {
	protocols []string // of listen addresses
	option    libp2p.Option
}{
	{[]string{"ip4/tcp/ws", "ip6/tcp/ws"}, libp2p.Transport(websocket.New)},
	{[]string{"ip4/udp/quic-v1/webtransport", "ip6/udp/quic-v1/webtransport"}, libp2p.Transport(libp2pwebtransport.New)},
	{[]string{"ip4/udp/webrtc-direct", "ip6/udp/webrtc-direct"}, libp2p.Transport(libp2pwebrtc.New)},
}

// webOptions are the options of a host for the listen addresses of a node.
func webOptions(listen []string) []libp2p.Option {
	var options []libp2p.Option
	for _, t := range webTransports {
		if slices.ContainsFunc(listen, func(s string) bool {
			a, err := ma.NewMultiaddr(s)
			return err == nil && slices.Contains(t.protocols, protocolsOf(a))
		}) {
			options = append(options, t.option)
		}
	}
	return options
}

// checkListen refuses what newHost has no transport for.
func checkListen(addrs []string) error {
	known := []string{"ip4/tcp", "ip6/tcp", "ip4/udp/quic-v1", "ip6/udp/quic-v1"}
	for _, t := range webTransports {
		known = append(known, t.protocols...)
	}
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil || !slices.Contains(known, protocolsOf(a)) {
			return fmt.Errorf("listen address %q: must look like /ip4/ADDRESS/tcp/PORT or /ip4/ADDRESS/udp/PORT/quic-v1, or the same with ip6; /ws after the first, /webtransport after the second, or /webrtc-direct in the place of /quic-v1 let browsers connect", s)
		}
	}
	return nil
}

// withCertificates adds to an address at which h listens the hashes of certificates
// that others need to connect there, if it is of such a transport.
func withCertificates(h host.Host, a ma.Multiaddr) ma.Multiaddr {
	finder, ok := h.Network().(interface {
		TransportForListening(ma.Multiaddr) transport.Transport
	})
	if !ok {
		return a
	}
	if t, ok := finder.TransportForListening(a).(interface {
		AddCertHashes(ma.Multiaddr) (ma.Multiaddr, bool)
	}); ok {
		if whole, ok := t.AddCertHashes(a); ok {
			return whole
		}
	}
	return a
}
