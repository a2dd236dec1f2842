package node

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/ibgib/ibgib-node/protocol"
)

const (
	// maxStrangerConns bounds the connections that peers without trust hold open
	// to a node, all together. It is far below what the resource manager allows,
	// so that they never take a place from a trusted peer.
	maxStrangerConns = 64
	// maxStrangerConnsPerAddr bounds those from one address, so that one machine
	// does not keep out all other strangers.
	maxStrangerConnsPerAddr = 16
	// strangerTime is how long such a connection may stay, unless the peer has
	// become trusted by then, or is being served with a fetch. Asking for a saga takes less.
	strangerTime = 30 * time.Second

	// A bootstrap node is there for strangers. It holds maxBootstrapPerAddr of one
	// address, and as many as the connection manager lets it in all, which closes
	// those of least use when there are too many.
	maxBootstrapPerAddr = 64
)

// strangers bounds what peers without trust cost a host in connections. It is
// the host's connection gater, and is told of connections as a
// network.Notifiee.
type strangers struct {
	trust        *trust
	most, atAddr int           // connections, and those from one address
	stay         time.Duration // 0: as long as the connection manager lets them
	dials        *dialRule
	isServed     func(peer.ID) bool // with a fetch, which may take longer

	mu    sync.Mutex
	conns map[network.Conn]*time.Timer // inbound, of peers that were not trusted when they came
}

func newStrangers(t *trust, limits Limits, role Role, dials *dialRule, isServed func(peer.ID) bool) *strangers {
	s := &strangers{
		trust: t, most: maxStrangerConns, atAddr: maxStrangerConnsPerAddr, stay: strangerTime, dials: dials, isServed: isServed,
		conns: make(map[network.Conn]*time.Timer),
	}
	if role == RoleBootstrap {
		s.most, s.atAddr, s.stay = limits.Connections, maxBootstrapPerAddr, 0
	}
	return s
}

func (s *strangers) trusts(p peer.ID) bool {
	_, ok := s.trust.trusts(p)
	return ok
}

// InterceptSecured decides when a peer has proven who it is.
func (s *strangers) InterceptSecured(dir network.Direction, p peer.ID, conn network.ConnMultiaddrs) bool {
	if dir == network.DirOutbound || s.trusts(p) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	from := protocol.Origin(conn.RemoteMultiaddr())
	all, here := 0, 0
	for c := range s.conns {
		if s.trusts(c.RemotePeer()) {
			continue // by now
		}
		all++
		if protocol.Origin(c.RemoteMultiaddr()) == from {
			here++
		}
	}
	return all < s.most && here < s.atAddr
}

// Connected begins to count a stranger's connection.
func (s *strangers) Connected(_ network.Network, c network.Conn) {
	p := c.RemotePeer()
	if c.Stat().Direction == network.DirOutbound || s.trusts(p) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stay == 0 {
		s.conns[c] = nil
		return
	}
	s.conns[c] = time.AfterFunc(s.stay, func() { s.overstayed(c) })
}

// overstayed closes a connection whose time is over, or looks again later if the peer
// is being served.
func (s *strangers) overstayed(c network.Conn) {
	p := c.RemotePeer()
	if s.trusts(p) {
		return
	}
	if !s.isServed(p) {
		_ = c.Close() // which Disconnected tells of
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if timer := s.conns[c]; timer != nil {
		timer.Reset(s.stay)
	}
}

// Disconnected ends the count.
func (s *strangers) Disconnected(_ network.Network, c network.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if timer := s.conns[c]; timer != nil {
		timer.Stop()
	}
	delete(s.conns, c)
}

// InterceptAddrDial decides before an address is dialled.
func (s *strangers) InterceptAddrDial(p peer.ID, a ma.Multiaddr) bool {
	return s.trusts(p) || s.dials.allows(p, a)
}

// What a gater and a Notifiee must have besides.

func (*strangers) InterceptPeerDial(peer.ID) bool              { return true }
func (*strangers) InterceptAccept(network.ConnMultiaddrs) bool { return true }
func (*strangers) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) {
	return true, 0
}
func (*strangers) Listen(network.Network, ma.Multiaddr)      {}
func (*strangers) ListenClose(network.Network, ma.Multiaddr) {}
