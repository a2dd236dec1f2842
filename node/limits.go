package node

import (
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/network"
	libprotocol "github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	basic "github.com/libp2p/go-libp2p/p2p/net/connmgr"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/protocol"
)

// Limits bound what a node takes of the machine and of the network. Zero values
// are the defaults, which fit a laptop.
type Limits struct {
	// Connections is how many connections a node keeps. Above it, those of peers
	// that it does not trust are closed, the least useful first, down to three
	// quarters of it. No new one is taken above one and a half times as many.
	// Default 192, for RoleBootstrap 1,000.
	Connections int
	// Memory is what libp2p may use for connections and streams, in bytes.
	// Default 128 MiB.
	Memory int64
	// PeerDisk is how many bytes the ibGibs of one peer may take that are part of no
	// timeline yet: those of a sync under way, and what syncs that were cut have left
	// in the last days. A sync of more than that takes several goes, and a single
	// timeline of more cannot come at all. What all fetches together have brought is
	// bounded by as much, however many peers it came from. Default 1 GiB.
	PeerDisk int64
	// Rates slow down what the node sends and receives.
	Rates protocol.Rates
	// LimitLAN lets Rates hold for peers on the local network too.
	LimitLAN bool
}

const (
	defaultConnections          = 192
	defaultBootstrapConnections = 1000

	defaultMemory = 128 << 20

	// kadStreamsPerPeer bounds the streams on which one peer asks a DHT server. One is
	// enough; more come about when it gives one up.
	kadStreamsPerPeer = 4
	// kadMemoryPart is the part of Memory that messages of the DHT may take, as one of
	// so many.
	kadMemoryPart = 4
)

func (l Limits) withDefaults(role Role) (Limits, error) {
	if l.Connections == 0 {
		l.Connections = defaultConnections
		if role == RoleBootstrap {
			l.Connections = defaultBootstrapConnections
		}
	}
	if l.Memory == 0 {
		l.Memory = defaultMemory
	}
	if l.PeerDisk == 0 {
		l.PeerDisk = blockstore.DefaultPeerBudget
	}
	if l.Connections < 0 || l.Memory < 0 || l.PeerDisk < 0 {
		return l, fmt.Errorf("%w: negative limits", ErrInput)
	}
	return l, checkRates(l.Rates)
}

func checkRates(r protocol.Rates) error {
	for _, rate := range []int{r.Upload, r.Download, r.PeerUpload, r.PeerDownload} {
		if rate != 0 && rate < protocol.MinThrottle {
			return fmt.Errorf("%w: a rate of %d bytes a second, must be %d or more", ErrInput, rate, protocol.MinThrottle)
		}
	}
	return nil
}

// SetRates changes Limits.Rates and Limits.LimitLAN from now on. Whether a
// connection is one on the local network is looked at when a saga begins.
func (n *Node) SetRates(rates protocol.Rates, limitLAN bool) error {
	if err := checkRates(rates); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	n.limitLAN.Store(limitLAN)
	n.wire.Throttle.SetRates(rates)
	return nil
}

// isUnlimited tells whether the rates do not hold for a remote address.
func (n *Node) isUnlimited(remote ma.Multiaddr) bool {
	if n.limitLAN.Load() {
		return false
	}
	own, err := n.networks.current()
	if err != nil {
		n.log.Warn("interfaces not read", "error", err)
	}
	return own.Has(remote)
}

// networks are those that this machine is in, its own addresses included, as they were
// a moment ago: to ask the system takes some 0.1 ms, and each stream needs the answer.
type networks struct {
	mu      sync.Mutex
	subnets dht.Subnets
	read    time.Time
}

// networksFor is how long they are taken for current.
const networksFor = time.Second

// current returns them. After an error the next call asks the system again.
func (x *networks) current() (dht.Subnets, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if time.Since(x.read) > networksFor {
		subnets, err := dht.LocalSubnets(true)
		if err != nil {
			return nil, err
		}
		x.subnets, x.read = subnets, time.Now()
	}
	return x.subnets, nil
}

// managers make what enforces the limits in a host, which closes both, and tells of what
// they did not allow.
func (l Limits) managers(tell rcmgr.MetricsReporter) (network.ResourceManager, connmgr.ConnManager, error) {
	conns := rcmgr.LimitVal(l.Connections + l.Connections/2)
	scaling := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaling)
	kad, kadPeer := make(map[libprotocol.ID]rcmgr.ResourceLimits), make(map[libprotocol.ID]rcmgr.ResourceLimits)
	for _, id := range dht.KadProtocols() {
		kad[id] = rcmgr.ResourceLimits{Memory: rcmgr.LimitVal64(l.Memory / kadMemoryPart)}
		kadPeer[id] = rcmgr.ResourceLimits{StreamsInbound: kadStreamsPerPeer}
	}
	limits := rcmgr.PartialLimitConfig{
		Protocol:     kad,
		ProtocolPeer: kadPeer,
		System: rcmgr.ResourceLimits{
			Conns: conns, ConnsInbound: conns, ConnsOutbound: conns,
			FD:     conns,
			Memory: rcmgr.LimitVal64(l.Memory),
		},
	}.Build(scaling.Scale(l.Memory, int(conns)))
	resources, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits), rcmgr.WithMetricsDisabled(), rcmgr.WithMetrics(tell))
	if err != nil {
		return nil, nil, fmt.Errorf("resource manager: %w", err)
	}
	conn, err := basic.NewConnManager(l.Connections*3/4, l.Connections)
	if err != nil {
		_ = resources.Close()
		return nil, nil, fmt.Errorf("connection manager: %w", err)
	}
	return resources, conn, nil
}
