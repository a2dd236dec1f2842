package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	ma "github.com/multiformats/go-multiaddr"
)

// Reachability says how others beyond the local network reach a node, as far as it
// has found out with their help.
type Reachability struct {
	// Reach is public: they can connect to it; private: they cannot, it is behind a NAT
	// or a firewall; or unknown.
	Reach string `json:"reach"`
	// Public are the multiaddrs at which they have reached it.
	Public []string `json:"public"`
	// Relays are the peers through which they reach it instead.
	Relays []string `json:"relays"`
	// NAT is what the UDP and TCP mappings of the NAT are like: "endpoint independent",
	// through which holes can be punched, or "endpoint dependent"; empty if not known.
	NAT string `json:"nat,omitempty"`
}

// Values of Reachability.Reach.
const (
	ReachPublic  = "public"
	ReachPrivate = "private"
	ReachUnknown = "unknown"
)

// watchReach notes what the host finds out about how it is reached, until ctx ends.
func (n *Node) watchReach(ctx context.Context, h host.Host) error {
	sub, err := h.EventBus().Subscribe([]any{
		new(event.EvtLocalReachabilityChanged), new(event.EvtHostReachableAddrsChanged), new(event.EvtNATDeviceTypeChanged),
	}, eventbus.BufSize(64))
	if err != nil {
		return fmt.Errorf("reachability: %w", err)
	}
	now := Reachability{Reach: ReachUnknown, Public: []string{}}
	if n.reach.Known != "" {
		now.Reach = n.reach.Known
	}
	n.reached.Store(&now)
	n.join.Go(func() {
		defer func() { _ = sub.Close() }()
		nat := make(map[network.NATTransportProtocol]string)
		for {
			select {
			case e, ok := <-sub.Out():
				if !ok {
					return
				}
				next := *n.reached.Load()
				switch e := e.(type) {
				case event.EvtLocalReachabilityChanged:
					next.Reach = strings.ToLower(e.Reachability.String())
				case event.EvtHostReachableAddrsChanged:
					next.Public = []string{}
					for _, a := range e.Reachable {
						next.Public = append(next.Public, a.String())
					}
				case event.EvtNATDeviceTypeChanged:
					nat[e.TransportProtocol] = ""
					switch e.NatDeviceType {
					case network.NATDeviceTypeEndpointIndependent:
						nat[e.TransportProtocol] = "endpoint independent"
					case network.NATDeviceTypeEndpointDependent:
						nat[e.TransportProtocol] = "endpoint dependent"
					}
					next.NAT = describeNAT(nat)
				}
				n.reached.Store(&next)
				n.log.Info("reachability", "reach", next.Reach, "at", next.Public, "nat", next.NAT)
			case <-ctx.Done():
				return
			}
		}
	})
	return nil
}

// isLinked tells whether a host has a connection to a peer, directly or through a relay.
func isLinked(h host.Host, p peer.ID) bool {
	switch h.Network().Connectedness(p) {
	case network.Connected, network.Limited:
		return true
	}
	return false
}

func describeNAT(nat map[network.NATTransportProtocol]string) string {
	var parts []string
	for _, t := range []network.NATTransportProtocol{network.NATTransportUDP, network.NATTransportTCP} {
		if nat[t] != "" {
			parts = append(parts, strings.ToUpper(t.String())+" "+nat[t])
		}
	}
	return strings.Join(parts, ", ")
}

// reachability returns what is known now; nil if the node has nothing to do with
// others than those on the local network.
func (n *Node) reachability(h host.Host) *Reachability {
	known := n.reached.Load()
	if known == nil || h == nil {
		return nil
	}
	r := *known
	r.Relays = []string{}
	for _, a := range h.Addrs() {
		via, _ := ma.SplitFunc(a, func(c ma.Component) bool { return c.Protocol().Code == ma.P_CIRCUIT })
		if len(via) == len(a) {
			continue
		}
		if id, err := via.ValueForProtocol(ma.P_P2P); err == nil && !slices.Contains(r.Relays, id) {
			r.Relays = append(r.Relays, id)
		}
	}
	return &r
}
