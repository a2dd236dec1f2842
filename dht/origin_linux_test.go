package dht_test

import (
	"crypto/rand"
	"io"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	kadpb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multihash"

	"github.com/ibgib/ibgib-node/dht"
)

// many announces keys as a new peer from an IP address of this machine.
func many(t *testing.T, to *kadNode, ip string, keys int) {
	t.Helper()
	// With a port to share, it connects from where it listens.
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/"+ip+"/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.DisableIdentifyAddressDiscovery())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	ping := message(t, &kadpb.Message{Type: kadpb.Message_PING})
	s := open(t, h, to.host, nil)
	from, err := manet.ToIP(h.Network().ConnsToPeer(to.host.ID())[0].LocalMultiaddr())
	if err != nil || from.String() != ip {
		t.Fatalf("it connects from %s (%v), want %s", from, err, ip)
	}
	addr := multiaddr.StringCast("/ip4/127.0.0.9/tcp/9").Bytes()
	for range keys {
		digest := make([]byte, 32)
		_, _ = rand.Read(digest)
		key, err := multihash.Encode(digest, multihash.SHA2_256)
		if err != nil {
			t.Fatal(err)
		}
		add := &kadpb.Message{Type: kadpb.Message_ADD_PROVIDER, Key: key, ProviderPeers: []*kadpb.Message_Peer{{Id: []byte(h.ID()), Addrs: [][]byte{addr}}}}
		if _, err := s.Write(message(t, add)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Write(ping); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, make([]byte, len(ping))); err != nil {
		t.Fatal(err)
	}
}

// A peer that has announced more than each of very many others, which are at one other
// address, loses nothing to them.
func TestKadSharesByOrigin(t *testing.T) {
	server := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeServer))
	client := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeClient, infoOf(server.host)))
	seeker := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeClient, infoOf(server.host)))
	keys := make([]cid.Cid, 600)
	for i := range keys {
		keys[i] = timelineKey(t, time.Duration(i).String())
	}
	if err := client.Announce(keys...); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		seeker.finds(t, key, client)
	}
	for range 140 {
		many(t, server, "127.0.0.2", 400)
	}
	if s := server.State(); s.Dropped == 0 {
		t.Fatalf("the strangers have not filled the records: %+v", s)
	}
	for _, key := range keys {
		seeker.finds(t, key, client)
	}
}
