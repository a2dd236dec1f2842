package dht

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	// What is taken of the addresses of a peer that others or it itself tells. The longest
	// that is of use, with the name of a relay or with hashes of certificates, has some 200
	// bytes.
	maxAddrBytes  = 256
	maxAddrs      = 32
	maxAddrsBytes = 1 << 10 // in all

	// announcedTTL is how long the addresses are told that came with an announcement. By
	// it the library's writes of them are known, so nothing else has that time.
	announcedTTL = 24*time.Hour + time.Second
)

// Bounded leaves out of what a stranger says of his addresses those that are longer than
// any of use, and what is more than so many or so many bytes in all.
func Bounded(addrs []ma.Multiaddr, most, bytes int) []ma.Multiaddr {
	var list []ma.Multiaddr
	for _, a := range addrs {
		n := len(a.Bytes())
		if n <= maxAddrBytes && n <= bytes && len(list) < most {
			list = append(list, a)
			bytes -= n
		}
	}
	return list
}

// bounded leaves out what is too long, and what is too much.
func bounded(addrs []ma.Multiaddr) []ma.Multiaddr {
	return Bounded(addrs, maxAddrs, maxAddrsBytes)
}

// addrStore is the peerstore as the library sees it. What came with announcements is
// among the records, and so as bounded as these.
type addrStore struct {
	peerstore.Peerstore
	records *records
	network network.Network
}

// AddAddrs is called with what was announced, and with what others have answered.
func (s addrStore) AddAddrs(p peer.ID, addrs []ma.Multiaddr, ttl time.Duration) {
	if ttl != announcedTTL {
		s.Peerstore.AddAddrs(p, bounded(addrs), ttl)
		return
	}
	s.records.announced(p, bounded(addrs), s.from(p), time.Now())
}

// from returns the IP address from which a peer is connected, or that of its relay.
func (s addrStore) from(p peer.ID) netip.Addr {
	for _, c := range s.network.ConnsToPeer(p) {
		if ip := remoteIP(c); ip.IsValid() {
			return ip
		}
	}
	return netip.Addr{}
}

// PeerInfo returns the addresses of a peer, those that it has announced included.
func (s addrStore) PeerInfo(p peer.ID) peer.AddrInfo {
	info := s.Peerstore.PeerInfo(p)
	for _, a := range s.records.addrs(p, time.Now()) {
		if !slices.ContainsFunc(info.Addrs, a.Equal) {
			info.Addrs = append(info.Addrs, a)
		}
	}
	info.Addrs = bounded(info.Addrs)
	return info
}

// announced keeps the addresses of a peer in place of those of before.
func (r *records) announced(p peer.ID, addrs []ma.Multiaddr, from netip.Addr, now time.Time) {
	value := binary.BigEndian.AppendUint64(nil, uint64(now.Unix()))
	for _, a := range addrs {
		value = binary.AppendUvarint(value, uint64(len(a.Bytes())))
		value = append(value, a.Bytes()...)
	}
	r.put(Record{Key: addrsNamespace + peerNames.EncodeToString([]byte(p)), Value: value, From: from})
}

// addrs returns the addresses that a peer has announced not too long ago.
func (r *records) addrs(p peer.ID, now time.Time) []ma.Multiaddr {
	r.mu.Lock()
	x := r.get(addrsNamespace + peerNames.EncodeToString([]byte(p)))
	r.mu.Unlock()
	if x == nil || now.Sub(time.Unix(int64(binary.BigEndian.Uint64(x.Value)), 0)) > announcedTTL {
		return nil
	}
	var list []ma.Multiaddr
	for rest := x.Value[8:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest)
		a, err := ma.NewMultiaddrBytes(rest[n : n+int(size)])
		if err == nil {
			list = append(list, a)
		}
		rest = rest[n+int(size):]
	}
	return list
}
