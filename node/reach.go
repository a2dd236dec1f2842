package node

import (
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p"
	kad "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/ibgib/ibgib-node/dht"
)

// Role says what a node is for.
type Role string

// The roles of nodes.
const (
	RoleNode Role = "" // for its owner
	// RoleBootstrap is for others: they enter the DHT by it, it relays between those
	// that cannot reach each other, and tells them whether they can be reached. It has
	// to be reachable itself.
	RoleBootstrap Role = "bootstrap"
)

// DHTOff is Reach.DHT of a node that takes part in no DHT.
const DHTOff dht.Mode = "off"

// Reach says how a node finds others beyond the local network, and how they reach it.
type Reach struct {
	Role Role
	// Bootstrap are multiaddrs of nodes by which the DHT is entered, each with /p2p/ and
	// a peer id at its end; names, as in /dnsaddr/NAME/p2p/ID, are looked up. At most 64.
	Bootstrap []string
	// DHT is the part that the node takes in it. Default: DHTOff without Bootstrap,
	// dht.ModeServer for RoleBootstrap, else dht.ModeAuto.
	DHT dht.Mode
	// PublicDHT takes part in the public DHT of IPFS, entered by its own bootstrap
	// nodes where Bootstrap names none.
	PublicDHT bool
	// Known is ReachPublic or ReachPrivate where the owner knows whether others can
	// connect to the node; it is then not found out. Default for RoleBootstrap:
	// ReachPublic.
	Known string
	// BucketSize is dht.KadOptions.BucketSize.
	BucketSize int
}

const maxBootstrap = 64

// reach is a Reach that has been checked.
type reach struct {
	Reach
	seeds []peer.AddrInfo // Bootstrap
}

func newReach(r Reach) (reach, error) {
	c := reach{Reach: r}
	if len(r.Bootstrap) > maxBootstrap {
		return c, fmt.Errorf("%w: %d bootstrap addresses, at most %d", ErrInput, len(r.Bootstrap), maxBootstrap)
	}
	var addrs []ma.Multiaddr
	for _, s := range r.Bootstrap {
		a, err := ma.NewMultiaddr(s)
		if err == nil {
			_, err = peer.AddrInfoFromP2pAddr(a)
		}
		if err != nil {
			return c, fmt.Errorf("%w: bootstrap address %q: must look like /ip4/192.0.2.1/tcp/4200/p2p/12D3KooW... or /dnsaddr/NAME/p2p/12D3KooW..., as the bootstrap node prints it when it is ready", ErrInput, shorten(s))
		}
		addrs = append(addrs, a)
	}
	var err error
	if c.seeds, err = peer.AddrInfosFromP2pAddrs(addrs...); err != nil {
		return c, fmt.Errorf("%w: bootstrap addresses: %w", ErrInput, err)
	}
	if r.PublicDHT && len(c.seeds) == 0 {
		c.seeds = kad.GetDefaultBootstrapPeerAddrInfos()
	}
	switch r.Role {
	case RoleNode, RoleBootstrap:
	default:
		return c, fmt.Errorf("%w: role %q is not known: bootstrap, or none", ErrInput, shorten(string(r.Role)))
	}
	switch r.Known {
	case ReachPublic, ReachPrivate:
	case "":
		if r.Role == RoleBootstrap {
			c.Known = ReachPublic
		}
	default:
		return c, fmt.Errorf("%w: reachability %q is not known: public, private, or none to find out", ErrInput, shorten(r.Known))
	}
	switch r.DHT {
	case DHTOff, dht.ModeAuto, dht.ModeClient, dht.ModeServer:
	case "":
		switch {
		case r.Role == RoleBootstrap:
			c.DHT = dht.ModeServer
		case len(c.seeds) > 0:
			c.DHT = dht.ModeAuto
		default:
			c.DHT = DHTOff
		}
	default:
		return c, fmt.Errorf("%w: part %q in the DHT is not known: auto, client, server or off", ErrInput, shorten(string(r.DHT)))
	}
	return c, nil
}

// isWide tells whether the node has to do with others than those on the local
// network and those that a person names.
func (r reach) isWide() bool { return r.DHT != "" && r.DHT != DHTOff || r.Role == RoleBootstrap }

// isSeed tells whether a peer is one of Bootstrap.
func (r reach) isSeed(p peer.ID) bool {
	return slices.ContainsFunc(r.seeds, func(s peer.AddrInfo) bool { return s.ID == p })
}

// What a bootstrap node relays: enough for a sync that is cut off and goes on, not
// for all traffic between two nodes.
const (
	relayTime         = 10 * time.Minute // a relayed connection lasts
	relayData         = 16 << 20         // bytes each way in it
	relayReservations = 256              // nodes that can be reached through this one
	relayPerAddr      = 16               // of them, at one IP address
)

// options are those of a host. loopback tells that it listens there only.
func (r reach) options(loopback bool) []libp2p.Option {
	if !r.isWide() {
		return []libp2p.Option{libp2p.DisableRelay(), libp2p.DisableIdentifyAddressDiscovery()}
	}
	options := []libp2p.Option{libp2p.EnableRelay(), libp2p.EnableAutoNATv2()}
	switch r.Known {
	case ReachPublic:
		options = append(options, libp2p.ForceReachabilityPublic())
	case ReachPrivate:
		options = append(options, libp2p.ForceReachabilityPrivate())
	}
	if r.Role == RoleBootstrap {
		resources := relay.DefaultResources()
		resources.Limit = &relay.RelayLimit{Duration: relayTime, Data: relayData}
		resources.MaxReservations, resources.MaxReservationsPerIP = relayReservations, relayPerAddr
		return append(options, libp2p.EnableNATService(),
			libp2p.EnableRelayService(relay.WithResources(resources)))
	}
	options = append(options, libp2p.EnableHolePunching())
	if len(r.seeds) > 0 {
		options = append(options, libp2p.EnableAutoRelayWithStaticRelays(r.seeds))
	}
	if !loopback {
		options = append(options, libp2p.NATPortMap())
	}
	return options
}
