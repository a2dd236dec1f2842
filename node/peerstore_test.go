package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
)

// What a stranger tells of itself when it connects is taken only as far as it is of use.
func TestHostileIdentify(t *testing.T) {
	n := reader(t)
	var addrs []ma.Multiaddr
	for i := range 10 {
		addrs = append(addrs, ma.StringCast(fmt.Sprintf("/dns4/%s%d/tcp/1", strings.Repeat("x", 500), i)))
	}
	for i := range 100 {
		addrs = append(addrs, ma.StringCast(fmt.Sprintf("/ip4/127.0.0.%d/tcp/1", i)))
	}
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics(),
		libp2p.UserAgent(strings.Repeat("u", 1500)),
		libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return addrs }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	for i := range 300 {
		h.SetStreamHandler(protocol.ID(fmt.Sprintf("/stranger/%d", i)), func(s network.Stream) { s.Reset() })
	}
	h.SetStreamHandler(protocol.ID("/stranger/"+strings.Repeat("p", 1000)), func(s network.Stream) { s.Reset() })
	if err := h.Connect(t.Context(), infoOf(t, n)); err != nil {
		t.Fatal(err)
	}
	store := n.host.Peerstore()
	eventually(t, "the stranger is known", func() bool {
		_, err := store.Get(h.ID(), "AgentVersion")
		return err == nil
	})
	taken := store.Addrs(h.ID())
	size := 0
	for _, a := range taken {
		size += len(a.Bytes())
	}
	if len(taken) == 0 || len(taken) > maxPeerAddrs || size > maxPeerAddrBytes {
		t.Errorf("%d addresses of %d bytes are taken", len(taken), size)
	}
	ids, err := store.GetProtocols(h.ID())
	if err != nil || len(ids) == 0 || len(ids) > maxProtocols {
		t.Errorf("%d protocols are taken (%v)", len(ids), err)
	}
	for _, id := range ids {
		if len(id) > maxProtocolBytes {
			t.Errorf("a protocol of %d bytes is taken", len(id))
		}
	}
	if agent, _ := store.Get(h.ID(), "AgentVersion"); len(agent.(string)) > maxAgentBytes {
		t.Errorf("an agent version of %d bytes is taken", len(agent.(string)))
	}
}

// Of peers that have gone, the addresses of the newest are kept, and of those that are
// connected again.
func TestRecentPeersAreBounded(t *testing.T) {
	store, err := newPeerstore()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	addr := []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/1")}
	id := func(i int) peer.ID { return peer.ID(fmt.Sprint("peer ", i)) }
	const back = 3
	for i := range 2 * maxRecentPeers {
		store.AddAddrs(id(i), addr, peerstore.RecentlyConnectedAddrTTL)
		store.AddAddrs(id(0), addr, peerstore.RecentlyConnectedAddrTTL) // goes again and again
		if i == back {
			store.AddAddrs(id(back), addr, peerstore.ConnectedAddrTTL)
		}
	}
	store.AddAddrs("dialled", addr, time.Minute)
	if got := len(store.PeersWithAddrs()); got != maxRecentPeers+2 {
		t.Errorf("addresses of %d peers are kept, want %d", got, maxRecentPeers+2)
	}
	for _, p := range []peer.ID{id(0), id(back), id(2*maxRecentPeers - 1), "dialled"} {
		if len(store.Addrs(p)) != 1 {
			t.Errorf("the addresses of %s are not kept", string(p))
		}
	}
}
