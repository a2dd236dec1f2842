package dht

import (
	"container/list"
	"net/netip"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	manet "github.com/multiformats/go-multiaddr/net"
)

// maxStreams bounds the streams on which others ask, below the 512 that libp2p takes at
// least: it would refuse new ones. Above it, the oldest one ends of whoever has the most.
const maxStreams = 384

// streamPlaces are the streams on which others ask.
type streamPlaces struct {
	mu   sync.Mutex
	open holder // counts streams
	n    int
}

// streamPlace is that of one stream.
type streamPlace struct {
	stream network.Stream
	holder *holder
	at     *list.Element // nil when it has none any more
}

// take gives a stream a place, until leave.
func (p *streamPlaces) take(s network.Stream) *streamPlace {
	x, oldest := p.enter(s)
	if oldest != nil {
		// Not with p.mu held: it waits for a connection that takes nothing.
		_ = oldest.stream.Reset()
	}
	return x
}

// enter gives a stream a place, and returns the one that has lost its own for that, or nil.
func (p *streamPlaces) enter(s network.Stream) (x, oldest *streamPlace) {
	x = &streamPlace{stream: s}
	p.mu.Lock()
	defer p.mu.Unlock()
	x.holder = p.open.below(path(remoteIP(s.Conn()), string(s.Conn().RemotePeer())))
	x.at = x.holder.kept.PushBack(x)
	x.holder.grow(1)
	if p.n++; p.n > maxStreams {
		oldest = p.open.oldestOfMost().(*streamPlace)
		p.end(oldest)
	}
	return x, oldest
}

func (p *streamPlaces) leave(x *streamPlace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.at != nil {
		p.end(x)
	}
}

// end takes a place away, with p.mu held.
func (p *streamPlaces) end(x *streamPlace) {
	x.holder.kept.Remove(x.at)
	x.holder.grow(-1)
	x.at = nil
	p.n--
}

// remoteIP returns the IP address of the other side of a connection, or of the relay.
func remoteIP(c network.Conn) netip.Addr {
	ip, err := manet.ToIP(c.RemoteMultiaddr())
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}
