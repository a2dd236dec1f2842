package dht

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Subnets are networks that a machine is directly connected to.
type Subnets []netip.Prefix

// LocalSubnets returns the subnets of all interfaces that are up, loopback left
// out unless it is asked for.
func LocalSubnets(loopback bool) (Subnets, error) {
	list, err := interfaces()
	if err != nil {
		return nil, err
	}
	var subnets Subnets
	for _, i := range list {
		if i.Flags&net.FlagLoopback != 0 && !loopback {
			continue
		}
		for _, p := range i.addrs {
			subnets = append(subnets, p.Masked())
		}
	}
	return subnets, nil
}

// Has tells whether a multiaddr begins with an IP address in one of the subnets
// and leads there directly, not through a relay.
func (s Subnets) Has(a ma.Multiaddr) bool {
	ip, direct := directIP(a)
	return direct && slices.ContainsFunc(s, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// directIP returns the IP address at the begin of a multiaddr that leads to a
// peer without a relay and without a look-up of a name.
func directIP(a ma.Multiaddr) (_ netip.Addr, direct bool) {
	if _, err := a.ValueForProtocol(ma.P_CIRCUIT); err == nil {
		return netip.Addr{}, false
	}
	ip, err := manet.ToIP(a)
	if err != nil {
		return netip.Addr{}, false
	}
	addr, ok := netip.AddrFromSlice(ip)
	return addr.Unmap(), ok
}

// inet is an interface that is up, with its addresses.
type inet struct {
	net.Interface
	addrs []netip.Prefix
}

// interfaces returns the interfaces that are up, in the order of the system.
func interfaces() ([]inet, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("dht: interfaces: %w", err)
	}
	var list []inet
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has gone in the meantime
		}
		up := inet{Interface: i}
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			ip, ok := netip.AddrFromSlice(n.IP)
			ones, bits := n.Mask.Size()
			if ip = ip.Unmap(); ok && bits == ip.BitLen() {
				up.addrs = append(up.addrs, netip.PrefixFrom(ip, ones))
			}
		}
		list = append(list, up)
	}
	return list, nil
}
