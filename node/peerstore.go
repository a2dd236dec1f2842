package node

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/ibgib/ibgib-node/dht"
)

const (
	// What is taken of what a peer tells of itself when it connects.
	maxPeerAddrs     = 64
	maxPeerAddrBytes = 2 << 10 // in all
	maxProtocols     = 128
	maxProtocolBytes = 128 // of one
	maxAgentBytes    = 256
	// maxRecentPeers bounds the peers without a connection whose addresses are kept since
	// they were connected a moment ago. What trusted peers need is among the contacts.
	maxRecentPeers = 1000
)

// boundedPeerstore is the peerstore of a host. What libp2p writes into it comes from
// strangers: it takes some of that, and of those that have gone for the newest only.
type boundedPeerstore struct {
	peerstore.Peerstore
	peerstore.CertifiedAddrBook

	mu     sync.Mutex
	recent *list.List // of peer.ID, the one that has gone first at the front
	places map[peer.ID]*list.Element
}

func newPeerstore() (*boundedPeerstore, error) {
	inner, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, err
	}
	return &boundedPeerstore{Peerstore: inner, CertifiedAddrBook: inner, recent: list.New(), places: make(map[peer.ID]*list.Element)}, nil
}

func (b *boundedPeerstore) AddAddr(p peer.ID, addr ma.Multiaddr, ttl time.Duration) {
	b.AddAddrs(p, []ma.Multiaddr{addr}, ttl)
}

func (b *boundedPeerstore) AddAddrs(p peer.ID, addrs []ma.Multiaddr, ttl time.Duration) {
	b.Peerstore.AddAddrs(p, dht.Bounded(addrs, maxPeerAddrs, maxPeerAddrBytes), ttl)
	if ttl == peerstore.RecentlyConnectedAddrTTL {
		b.gone(p)
	}
}

func (b *boundedPeerstore) SetAddr(p peer.ID, addr ma.Multiaddr, ttl time.Duration) {
	b.SetAddrs(p, []ma.Multiaddr{addr}, ttl)
}

func (b *boundedPeerstore) SetAddrs(p peer.ID, addrs []ma.Multiaddr, ttl time.Duration) {
	b.Peerstore.SetAddrs(p, dht.Bounded(addrs, maxPeerAddrs, maxPeerAddrBytes), ttl)
}

// gone notes that the addresses of a peer are kept although it has gone, and gives up
// those of the one that has been gone for longest if there are too many.
func (b *boundedPeerstore) gone(p peer.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, ok := b.places[p]; ok {
		b.recent.MoveToBack(at)
		return
	}
	b.places[p] = b.recent.PushBack(p)
	if b.recent.Len() > maxRecentPeers {
		first := b.recent.Remove(b.recent.Front()).(peer.ID)
		delete(b.places, first)
		b.UpdateAddrs(first, peerstore.RecentlyConnectedAddrTTL, 0) // not those of one that is connected again
	}
}

func (b *boundedPeerstore) SetProtocols(p peer.ID, ids ...protocol.ID) error {
	return b.Peerstore.SetProtocols(p, someProtocols(ids)...)
}

func (b *boundedPeerstore) AddProtocols(p peer.ID, ids ...protocol.ID) error {
	return b.Peerstore.AddProtocols(p, someProtocols(ids)...)
}

func someProtocols(ids []protocol.ID) []protocol.ID {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id protocol.ID) bool { return len(id) > maxProtocolBytes })
	return ids[:min(len(ids), maxProtocols)]
}

// Put keeps no long text.
func (b *boundedPeerstore) Put(p peer.ID, key string, val any) error {
	if text, ok := val.(string); ok && len(text) > maxAgentBytes {
		val = ""
	}
	return b.Peerstore.Put(p, key, val)
}
