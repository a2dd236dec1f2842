package node

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// dialRule says at which addresses a host dials peers that are not trusted.
//
// Strangers tell private addresses, and most of these lie in networks that are not ours.
// A machine with a public IPv4 address of its own stands in a data centre, mostly, which
// takes connections to private addresses for a search of its network. So there a stranger
// is dialled at a private IPv4 address only if that is in a network of this machine, or
// if a person has named the peer.
type dialRule struct {
	networks *networks
	isSeed   func(peer.ID) bool // named in the configuration

	mu    sync.Mutex
	named map[peer.ID]struct{}
}

// maxNamedPeers bounds how many of the named peers are remembered; beyond it all are
// forgotten but the new one.
const maxNamedPeers = 1000

// name notes that a person has given an address of a peer.
func (d *dialRule) name(p peer.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.named == nil || len(d.named) >= maxNamedPeers {
		d.named = make(map[peer.ID]struct{})
	}
	d.named[p] = struct{}{}
}

// allows tells whether a peer that is not trusted may be dialled at an address. If the
// interfaces cannot be read, it may.
func (d *dialRule) allows(p peer.ID, a ma.Multiaddr) bool {
	if _, err := a.ValueForProtocol(ma.P_CIRCUIT); err == nil {
		return true // how the relay is reached is a question of its own
	}
	if _, err := a.ValueForProtocol(ma.P_IP4); err != nil || !manet.IsPrivateAddr(a) || manet.IsIPLoopback(a) {
		return true
	}
	d.mu.Lock()
	_, named := d.named[p]
	d.mu.Unlock()
	if named || d.isSeed(p) {
		return true
	}
	own, err := d.networks.current()
	return err != nil || own.Has(a) || !slices.ContainsFunc(own, isPublicIPv4)
}

func isPublicIPv4(p netip.Prefix) bool {
	a, err := manet.FromIP(p.Addr().AsSlice())
	return err == nil && p.Addr().Is4() && manet.IsPublicAddr(a)
}
