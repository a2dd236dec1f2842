package node

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/ibgib/ibgib-node/node/internal/metrics"
)

// TestIdleStrangersAreBounded lets more strangers connect, and stay, than there
// is room for; a trusted peer still gets in. It looks at the host of a node,
// which the package does not export.
func TestIdleStrangersAreBounded(t *testing.T) {
	id, err := loadPeerKey(filepath.Join(t.TempDir(), "peer.key"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := loadTrust(filepath.Join(t.TempDir(), "trust.json"), time.Now, ignoreChange)
	if err != nil {
		t.Fatal(err)
	}
	server, err := newHost(id, list, Limits{Connections: defaultConnections, Memory: defaultMemory}, reach{}, nil, newDialRule(), nobody, metrics.New())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	if err := server.Network().Listen(ma.StringCast("/ip4/127.0.0.1/tcp/0")); err != nil {
		t.Fatal(err)
	}
	info := peer.AddrInfo{ID: server.ID(), Addrs: server.Addrs()}
	dialler := func() host.Host {
		h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		return h
	}
	for range maxStrangerConnsPerAddr + 16 {
		// A refused connection may look well to the dialler at first: what the
		// server keeps is what counts.
		_ = dialler().Connect(context.WithoutCancel(t.Context()), info)
	}
	if n := len(server.Network().Conns()); n > maxStrangerConnsPerAddr || n == 0 {
		t.Errorf("%d strangers are connected from one address, room is for %d", n, maxStrangerConnsPerAddr)
	}
	friend := dialler()
	if err := list.add(friend.ID()); err != nil {
		t.Fatal(err)
	}
	if err := friend.Connect(t.Context(), info); err != nil {
		t.Fatal(err)
	}
	if len(server.Network().ConnsToPeer(friend.ID())) == 0 {
		t.Error("a trusted peer is not let in beside strangers")
	}
}

// gated is a connection that asks to be let in, or was.
type gated struct {
	network.Conn // nothing of it is used but what follows
	peer         peer.ID
	from         ma.Multiaddr
}

func (g *gated) RemotePeer() peer.ID           { return g.peer }
func (g *gated) RemoteMultiaddr() ma.Multiaddr { return g.from }
func (g *gated) LocalMultiaddr() ma.Multiaddr  { return g.from }
func (g *gated) Stat() network.ConnStats {
	return network.ConnStats{Stats: network.Stats{Direction: network.DirInbound}}
}
func (g *gated) Close() error { return nil }

// One machine does not take the places of all strangers, and peers that have
// become trusted take none.
func TestPlacesOfStrangers(t *testing.T) {
	list, err := loadTrust(filepath.Join(t.TempDir(), "trust.json"), time.Now, ignoreChange)
	if err != nil {
		t.Fatal(err)
	}
	s := newStrangers(list, Limits{}, RoleNode, newDialRule(), nobody)
	var in []*gated
	t.Cleanup(func() {
		for _, g := range in {
			s.Disconnected(nil, g)
		}
	})
	// comes returns how many of n strangers from an address get in.
	comes := func(n int, from string) (entered int) {
		for i := range n {
			g := &gated{peer: peer.ID(fmt.Sprint(from, i)), from: ma.StringCast(from)}
			if s.InterceptSecured(network.DirInbound, g.peer, g) {
				entered++
				s.Connected(nil, g)
				in = append(in, g)
			}
		}
		return entered
	}
	if n := comes(100, "/ip4/192.0.2.1/tcp/1"); n != maxStrangerConnsPerAddr {
		t.Errorf("%d came in from one address, room is for %d", n, maxStrangerConnsPerAddr)
	}
	if n := comes(100, "/ip6/2001:db8::1/tcp/1"); n != maxStrangerConnsPerAddr {
		t.Errorf("%d came in from another address, room is for %d", n, maxStrangerConnsPerAddr)
	}
	for i := range 100 {
		comes(1, fmt.Sprintf("/ip4/198.51.100.%d/tcp/1", i))
	}
	if n := len(in); n != maxStrangerConns {
		t.Errorf("%d are in, room is for %d", n, maxStrangerConns)
	}
	for _, g := range in[:2] {
		if err := list.add(g.peer); err != nil {
			t.Fatal(err)
		}
	}
	if n := comes(10, "/ip4/203.0.113.1/tcp/1"); n != 2 {
		t.Errorf("%d came in when two were trusted", n)
	}
}

// A stranger's connection outlasts its time while a fetch is served over it.
func TestServedStrangersStay(t *testing.T) {
	list, err := loadTrust(filepath.Join(t.TempDir(), "trust.json"), time.Now, ignoreChange)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 3)
	served := 3
	s := newStrangers(list, Limits{}, RoleNode, newDialRule(), func(peer.ID) bool {
		asked <- struct{}{}
		served--
		return served > 0
	})
	s.stay = time.Millisecond
	g := &closing{gated: gated{peer: "p", from: ma.StringCast("/ip4/192.0.2.1/tcp/1")}, closed: make(chan struct{})}
	s.Connected(nil, g)
	t.Cleanup(func() { s.Disconnected(nil, g) })
	select {
	case <-g.closed:
	case <-time.After(time.Minute):
		t.Fatal("the connection stays for good")
	}
	if len(asked) != 3 {
		t.Errorf("it was closed when asked %d times whether it is served, want 3", len(asked))
	}
}

// closing is a connection that tells when it is closed.
type closing struct {
	gated
	closed chan struct{}
}

func (c *closing) Close() error {
	close(c.closed)
	return nil
}

// nobody is served with a fetch.
func nobody(peer.ID) bool { return false }

func newDialRule() *dialRule { return &dialRule{networks: new(networks), isSeed: nobody} }
