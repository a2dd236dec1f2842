package dht

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// An announcement has to fit into a packet that is not cut into pieces: 1,500
// bytes on Ethernet, less the headers of IPv6 and UDP, the names of the records
// and the records beside the addresses.
const (
	maxAnnounced = 1000 // bytes of addresses
	maxFoundText = 64   // addresses that are looked at in what others announce
	maxFound     = 16   // addresses that are handed out
)

// dnsaddr is the form in which libp2p writes an address into a DNS record.
const dnsaddr = "dnsaddr="

// place is an interface with the addresses on it at which a host listens.
type place struct {
	inet
	listening []ma.Multiaddr
}

// announced chooses which addresses are announced, and returns them as texts of a
// DNS record. Every network that the machine is in should hear of one of its own
// first, so the addresses go in rounds: the best one of each interface, then their
// second ones and so on, as many as fit.
func announced(id peer.ID, places []place) []string {
	type ranked struct {
		addr             ma.Multiaddr
		at               int // index of the place
		reach, transport int // the lower, the better
		turn             int // its place among those of the interface
	}
	var list []ranked
	for at, p := range places {
		var here []ranked
		for _, a := range p.listening {
			if ip, _ := directIP(a); announceable(a) {
				here = append(here, ranked{addr: a, at: at, reach: reachOf(ip), transport: transportOf(a)})
			}
		}
		slices.SortStableFunc(here, func(x, y ranked) int {
			return cmp.Or(cmp.Compare(x.reach, y.reach), cmp.Compare(x.transport, y.transport))
		})
		for turn := range here {
			here[turn].turn = turn
		}
		list = append(list, here...)
	}
	slices.SortStableFunc(list, func(x, y ranked) int {
		return cmp.Or(cmp.Compare(x.turn, y.turn), cmp.Compare(x.reach, y.reach), cmp.Compare(x.at, y.at))
	})
	var texts []string
	size := 0
	for _, r := range list {
		text := dnsaddr + r.addr.String() + "/p2p/" + id.String()
		if size += len(text) + 1; size > maxAnnounced {
			break
		}
		texts = append(texts, text)
	}
	return texts
}

// reachOf says how likely it is that a neighbour reaches the address: the lower,
// the likelier.
func reachOf(ip netip.Addr) int {
	switch {
	case ip.Is4() && ip.IsPrivate():
		return 0
	case ip.Is4():
		return 1
	case ip.IsPrivate(): // unique local
		return 2
	default:
		return 3
	}
}

// transportOf puts QUIC before TCP: it notices sooner that a peer is gone.
func transportOf(a ma.Multiaddr) int {
	if _, err := a.ValueForProtocol(ma.P_TCP); err == nil {
		return 1
	}
	return 0
}

// announceable tells whether an address is one of TCP or QUIC and has no zone:
// a link-local one means nothing on another machine.
func announceable(a ma.Multiaddr) bool {
	names := make([]string, 0, 3)
	for _, p := range a.Protocols() {
		names = append(names, p.Name)
	}
	switch strings.Join(names, "/") {
	case "ip4/tcp", "ip6/tcp", "ip4/udp/quic-v1", "ip6/udp/quic-v1":
	default:
		return false
	}
	ip, ok := directIP(a)
	return ok && !ip.IsLinkLocalUnicast() && !ip.IsUnspecified() && !ip.IsMulticast()
}

// found reads the texts of a DNS record. Addresses that lead elsewhere than to a
// neighbour are dropped, or anybody could have this node dial what he likes;
// those in a subnet of this machine come first. false if nothing is left.
func found(texts []string, near Subnets) (peer.AddrInfo, bool) {
	var info peer.AddrInfo
	var here, beyond []ma.Multiaddr
	for _, text := range texts[:min(len(texts), maxFoundText)] {
		text, ok := strings.CutPrefix(text, dnsaddr)
		if !ok {
			continue
		}
		full, err := ma.NewMultiaddr(text)
		if err != nil {
			continue
		}
		a, id := peer.SplitAddr(full)
		if id == "" || a == nil || !announceable(a) {
			continue
		}
		if info.ID == "" {
			info.ID = id
		}
		ip, _ := directIP(a)
		switch {
		case id != info.ID: // one announcement is about one peer
		case near.Has(a):
			here = append(here, a)
		case ip.IsPrivate():
			beyond = append(beyond, a)
		}
	}
	info.Addrs = append(here, beyond...)
	info.Addrs = info.Addrs[:min(len(info.Addrs), maxFound)]
	return info, len(info.Addrs) > 0
}
