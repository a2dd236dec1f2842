package protocol

import (
	"net/netip"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Peers without trust may say hello so many times at once from one address, and
// once more with every interval. Peer ids cost nothing, addresses do: an IPv6
// address counts by its /64.
const (
	maxHellos     = 32
	helloInterval = time.Second
	// maxHelloAddrs bounds the addresses that are remembered, those from which
	// hellos came of late. Further ones have to wait.
	maxHelloAddrs = 1024
)

// allowances bound how often something may be done by each of many: most times at
// once, and once more with every interval.
type allowances[K comparable] struct {
	most     int
	interval time.Duration
	keys     int // that are remembered
	now      func() time.Time

	mu sync.Mutex
	// full says when the allowance of a key will be whole again.
	full map[K]time.Time
}

func newAllowances[K comparable](most int, interval time.Duration, keys int, now func() time.Time) *allowances[K] {
	return &allowances[K]{most: most, interval: interval, keys: keys, now: now, full: make(map[K]time.Time)}
}

// take uses n times of a key's allowance; false if it has not so many left.
func (a *allowances[K]) take(key K, n int) bool {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	full, known := a.full[key]
	if !known && len(a.full) >= a.keys {
		for k, at := range a.full {
			if !at.After(now) {
				delete(a.full, k)
			}
		}
		if len(a.full) >= a.keys {
			return false
		}
	}
	if full.Before(now) {
		full = now
	}
	full = full.Add(time.Duration(n) * a.interval)
	if full.Sub(now) > time.Duration(a.most)*a.interval {
		return false
	}
	a.full[key] = full
	return true
}

// Origin returns the network that a remote address counts for where something is
// bounded by address: the IPv4 address, or the /64 of the IPv6 address. It is the
// zero Prefix for all addresses that are no IP address.
func Origin(remote ma.Multiaddr) netip.Prefix {
	ip, err := manet.ToIP(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(ip)
	addr = addr.Unmap()
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits)
	return prefix
}
