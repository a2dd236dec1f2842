package dht

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/simplelru"
	"github.com/ipfs/go-cid"
	kad "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/provider"
	kadrecords "github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multihash"
)

// Mode says whether a node answers the questions of others in a DHT.
type Mode string

// The modes of a Kad.
const (
	// ModeAuto answers when others can reach this node, as far as the host knows.
	ModeAuto   Mode = "auto"
	ModeClient Mode = "client" // asks only
	ModeServer Mode = "server"
)

const (
	// prefix and publicPrefix begin the names of the protocols of a DHT of ibGib nodes
	// and of the public one of IPFS.
	prefix       protocol.ID = "/ibgib"
	publicPrefix             = kad.DefaultPrefix
	kadProtocol  protocol.ID = "/kad/1.0.0"

	defaultBucketSize = 20
	// announceEvery is how often what is announced is announced again; others keep it
	// for 48 hours.
	announceEvery = 6 * time.Hour
	// maxRememberedPeers bounds Memory.Peers, and maxRememberedAddrs those of each.
	maxRememberedPeers = 200
	maxRememberedAddrs = 8
)

// KadOptions tunes a Kad.
type KadOptions struct {
	Mode Mode // default ModeAuto
	// Public joins the public DHT of IPFS, not one of ibGib nodes alone.
	Public bool
	// Bootstrap are peers by which the DHT can be entered. Their addresses may be
	// names: /dnsaddr.
	Bootstrap []peer.AddrInfo
	// Memory is that of an earlier Kad: its peers are tried before those of Bootstrap.
	Memory Memory
	// BucketSize is how many nodes keep each record. Default 20; all nodes of a DHT
	// have to have the same, and the public one has 20.
	BucketSize int
	// Loopback lets the addresses of loopback interfaces be told and believed, for
	// nodes of one machine.
	Loopback bool

	announceAgain time.Duration // default announceAgainEvery
}

// Memory is what a Kad knows that is worth to be kept until it starts again.
type Memory struct {
	Peers   []peer.AddrInfo `json:"peers"`   // that it asks, at most 200
	Records []Record        `json:"records"` // that it keeps for others, at most 50,000
}

// Kad is a node of a Kademlia DHT. In it nodes announce what they have under a key,
// and are found by that. Its methods are safe for concurrent use.
//
// Nothing is announced but what Announce is called with.
type Kad struct {
	host     host.Host
	opts     KadOptions
	protocol protocol.ID
	records  *records
	filter   func([]ma.Multiaddr) []ma.Multiaddr // of addresses that are told and believed
	dht      *kad.IpfsDHT
	provider *provider.SweepingProvider

	cancel context.CancelFunc
	join   sync.WaitGroup

	more chan struct{} // something is announced that was not

	mu        sync.Mutex
	announced map[string]multihash.Multihash
	failed    error // of the last attempt to enter the DHT
}

// KadProtocols returns the protocols by which nodes of a DHT talk: one peer needs one
// stream of one of them.
func KadProtocols() []protocol.ID {
	return []protocol.ID{prefix + kadProtocol, publicPrefix + kadProtocol}
}

// StartKad lets h take part in a DHT until Close; the end of ctx only ends its
// attempts to enter it. h has to be open for longer.
func StartKad(ctx context.Context, h host.Host, opts KadOptions) (*Kad, error) {
	mode, err := opts.check()
	if err != nil {
		return nil, fmt.Errorf("dht: %w", err)
	}
	k := &Kad{host: h, opts: opts, announced: make(map[string]multihash.Multihash), more: make(chan struct{}, 1), records: newRecords(h.ID(), opts.Memory.Records)}
	theirs := kadHost{h, maxAnswer, addrStore{h.Peerstore(), k.records, h.Network()}, new(streamPlaces)}
	options := []kad.Option{kad.Mode(mode), kad.BucketSize(opts.BucketSize), kad.Datastore(k.records),
		kad.ProviderManagerOpts(kadrecords.ProviderAddrTTL(announcedTTL), kadrecords.Cache(noCache{}))}
	if opts.Public {
		k.protocol = publicPrefix + kadProtocol
		theirs.maxAnswer = maxPublicAnswer
		k.filter = publicOnly
		options = append(options,
			kad.QueryFilter(kad.PublicQueryFilter), kad.RoutingTableFilter(kad.PublicRoutingTableFilter))
	} else {
		k.protocol = prefix + kadProtocol
		k.filter = k.plausible
		options = append(options, kad.ProtocolPrefix(prefix), kad.DisableValues())
	}
	options = append(options, kad.AddressFilter(k.filter))
	if k.dht, err = kad.New(theirs, options...); err != nil {
		return nil, fmt.Errorf("dht: start: %w", err)
	}
	k.provider, err = provider.New(
		provider.WithHost(h),
		provider.WithRouter(k.dht),
		provider.WithMessageSender(k.dht.MessageSender()),
		provider.WithSelfAddrs(k.dht.FilteredAddrs),
		provider.WithAddLocalRecord(func(ctx context.Context, hash multihash.Multihash) error {
			return k.dht.Provide(ctx, cid.NewCidV1(cid.Raw, hash), false)
		}),
		provider.WithReplicationFactor(opts.BucketSize),
		provider.WithReprovideInterval(announceEvery),
	)
	if err != nil {
		return nil, fmt.Errorf("dht: start announcing: %w", errors.Join(err, k.dht.Close()))
	}
	events, err := subscribe(h)
	if err != nil {
		return nil, fmt.Errorf("dht: start: %w", errors.Join(err, k.provider.Close(), k.dht.Close()))
	}
	ctx, k.cancel = context.WithCancel(ctx)
	k.join.Go(func() {
		k.keepJoined(ctx, events.Out())
		_ = events.Close()
	})
	k.join.Go(func() { k.keepOwn(ctx) })
	return k, nil
}

// check fills in the defaults.
func (o *KadOptions) check() (kad.ModeOpt, error) {
	if o.announceAgain == 0 {
		o.announceAgain = announceAgainEvery
	}
	if o.BucketSize == 0 {
		o.BucketSize = defaultBucketSize
	}
	if o.BucketSize < 0 || o.Public && o.BucketSize != defaultBucketSize {
		return 0, fmt.Errorf("bucket size %d", o.BucketSize)
	}
	switch o.Mode {
	case "", ModeAuto:
		return kad.ModeAuto, nil
	case ModeClient:
		return kad.ModeClient, nil
	case ModeServer:
		return kad.ModeServer, nil
	}
	return 0, fmt.Errorf("mode %q is not known: auto, client or server", o.Mode)
}

// plausible leaves out the addresses at which another machine finds only itself, or
// something that is no node: what is on its link may not be on this one.
func (k *Kad) plausible(addrs []ma.Multiaddr) []ma.Multiaddr {
	return bounded(slices.DeleteFunc(slices.Clone(addrs), func(a ma.Multiaddr) bool {
		ip, err := manet.ToIP(a)
		if err != nil {
			return false
		}
		return ip.IsUnspecified() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.Equal(net.IPv4bcast) || ip.IsLoopback() && !k.opts.Loopback
	}))
}

func publicOnly(addrs []ma.Multiaddr) []ma.Multiaddr {
	return bounded(ma.FilterAddrs(addrs, manet.IsPublicAddr))
}

// noCache keeps no providers. The library's cache would not be bounded for each key, and
// would know those that there was no room for.
type noCache struct{ lru.LRUCache }

func (noCache) Add(any, any) bool   { return false }
func (noCache) Get(any) (any, bool) { return nil, false }

// Close ends the part that the host takes, and waits for all that was started. What
// others keep of the node's announcements stays there, for at most 48 hours.
func (k *Kad) Close() error {
	k.cancel()
	k.join.Wait()
	err := errors.Join(k.provider.Close(), k.dht.Close())
	if err != nil {
		return fmt.Errorf("dht: close: %w", err)
	}
	return nil
}

// Announce tells the DHT, now and again and again until Withdraw or Close, that this
// node has what is known under the keys. It does not wait, neither for that nor for
// the DHT to be entered.
func (k *Kad) Announce(keys ...cid.Cid) error {
	hashes := hashesOf(keys)
	k.mu.Lock()
	for _, h := range hashes {
		k.announced[string(h)] = h
	}
	k.mu.Unlock()
	if err := k.provider.StartProviding(false, hashes...); err != nil {
		return fmt.Errorf("dht: announce: %w", err)
	}
	select {
	case k.more <- struct{}{}:
	default:
	}
	return nil
}

// Withdraw ends what Announce began. Others may know it for up to 48 hours still.
func (k *Kad) Withdraw(keys ...cid.Cid) error {
	hashes := hashesOf(keys)
	k.mu.Lock()
	for _, h := range hashes {
		delete(k.announced, string(h))
	}
	k.mu.Unlock()
	if err := k.provider.StopProviding(hashes...); err != nil {
		return fmt.Errorf("dht: withdraw: %w", err)
	}
	return nil
}

// announceAgain tells everything once more, since those who kept it may have lost
// it.
func (k *Kad) announceAgain() {
	_ = k.provider.ProvideOnce(k.allAnnounced()...) // fails only after Close
}

func (k *Kad) allAnnounced() []multihash.Multihash {
	k.mu.Lock()
	defer k.mu.Unlock()
	hashes := make([]multihash.Multihash, 0, len(k.announced))
	for _, h := range k.announced {
		hashes = append(hashes, h)
	}
	return hashes
}

func hashesOf(keys []cid.Cid) []multihash.Multihash {
	hashes := make([]multihash.Multihash, len(keys))
	for i, key := range keys {
		hashes[i] = key.Hash()
	}
	return hashes
}

// FindPeer searches for the addresses of a peer. Bound it by ctx.
func (k *Kad) FindPeer(ctx context.Context, p peer.ID) (peer.AddrInfo, error) {
	info, err := k.dht.FindPeer(ctx, p)
	if err != nil {
		return peer.AddrInfo{}, fmt.Errorf("dht: find peer %s: %w", p, err)
	}
	return info, nil
}

// KadState says how a Kad is doing.
type KadState struct {
	Mode      Mode // ModeServer or ModeClient: what it is now
	Public    bool
	Peers     int   // that it asks
	Announced int   // keys
	Records   int   // that it keeps for others, the newest up to 256 not counted
	Dropped   int   // of others, since there was no room for them, since the start
	Err       error // why the last attempt to enter the DHT failed; nil with Peers
}

// State returns how the Kad is doing.
func (k *Kad) State() KadState {
	s := KadState{Mode: ModeClient, Public: k.opts.Public, Peers: k.dht.RoutingTable().Size(), Records: k.records.count(), Dropped: k.records.dropped()}
	if slices.Contains(k.host.Mux().Protocols(), k.protocol) {
		s.Mode = ModeServer
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s.Announced = len(k.announced)
	if s.Peers == 0 {
		s.Err = k.failed
	}
	return s
}

// Memory returns what is worth to be kept. The newest records are in it only after
// Close.
func (k *Kad) Memory() Memory {
	m := Memory{Records: k.records.all()}
	if m.Records == nil {
		m.Records = []Record{}
	}
	m.Peers = []peer.AddrInfo{}
	for _, p := range k.dht.RoutingTable().ListPeers() {
		addrs := k.host.Peerstore().Addrs(p)
		if len(addrs) > 0 && len(m.Peers) < maxRememberedPeers {
			m.Peers = append(m.Peers, peer.AddrInfo{ID: p, Addrs: addrs[:min(len(addrs), maxRememberedAddrs)]})
		}
	}
	return m
}
