package dht_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	kad "github.com/libp2p/go-libp2p-kad-dht"
	kadpb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/proto"

	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/ibgib"
)

// kadNode is a host that takes part in a DHT.
type kadNode struct {
	*dht.Kad
	host host.Host
}

func newKadHost(t *testing.T, key crypto.PrivKey, listen string) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.Identity(key), libp2p.ListenAddrStrings(listen),
		libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()),
		libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.DisableIdentifyAddressDiscovery())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func newKey(t *testing.T) crypto.PrivKey {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

const anyPort = "/ip4/127.0.0.1/tcp/0"

// smallDHT are options for many nodes on one machine. With the usual bucket size
// each would keep everything, and searches would end where they begin.
func smallDHT(mode dht.Mode, bootstrap ...peer.AddrInfo) dht.KadOptions {
	return dht.KadOptions{Mode: mode, BucketSize: 5, Loopback: true, Bootstrap: bootstrap}
}

func startKad(t *testing.T, h host.Host, opts dht.KadOptions) *kadNode {
	t.Helper()
	k, err := dht.StartKad(t.Context(), h, opts)
	if err != nil {
		t.Fatal(err)
	}
	closeOnce := sync.OnceFunc(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(closeOnce)
	return &kadNode{k, h}
}

func infoOf(h host.Host) peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()} }

// eventually waits for a condition that comes about by itself.
func eventually(t *testing.T, what string, holds func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for look := time.Tick(20 * time.Millisecond); !holds(ctx); {
		select {
		case <-look:
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// finds waits until one of those that have announced a key is found to be who.
func (n *kadNode) finds(t *testing.T, key cid.Cid, who *kadNode) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s finds %s", n.host.ID(), who.host.ID()), func(ctx context.Context) bool {
		for info := range n.FindProviders(ctx, key) {
			if info.ID == who.host.ID() && len(info.Addrs) > 0 {
				return true
			}
		}
		return false
	})
}

// timelineKey returns the key of a timeline from the address of a later frame.
func timelineKey(t *testing.T, name string) cid.Cid {
	t.Helper()
	gib := ibgib.Hash(sha256.Sum256([]byte(name))).String()
	parse := func(text string) ibgib.Addr {
		addr, err := ibgib.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		return addr
	}
	tjp, later := parse("note^"+gib), parse("another name^"+ibgib.Hash{1}.String()+"."+gib)
	key, err := dht.TimelineKey(later)
	if err != nil {
		t.Fatal(err)
	}
	if first, err := dht.TimelineKey(tjp); err != nil || first != key {
		t.Fatalf("the tjp has the key %s (%v), a later frame %s", first, err, key)
	}
	return key
}

// A timeline that one of many nodes announces is found by its address from any
// other, also after the bootstrap node has been restarted, and by a node that comes
// only then.
func TestKadFindsTimelines(t *testing.T) {
	nodes := 30
	if testing.Short() {
		nodes = 12
	}
	bootKey := newKey(t)
	boot := startKad(t, newKadHost(t, bootKey, anyPort), smallDHT(dht.ModeServer))
	seed := infoOf(boot.host)
	all := make([]*kadNode, nodes)
	for i := range all {
		mode := dht.ModeServer
		if i%2 == 0 {
			mode = dht.ModeClient
		}
		all[i] = startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(mode, seed))
	}
	for _, n := range all {
		eventually(t, "a node has entered the DHT", func(context.Context) bool { return n.State().Peers > 0 })
	}
	key := timelineKey(t, "shared")
	began := time.Now()
	if err := all[3].Announce(key); err != nil {
		t.Fatal(err)
	}
	for i, n := range all {
		if i != 3 {
			n.finds(t, key, all[3])
		}
	}
	t.Logf("announced and found by %d others in %s", nodes-1, time.Since(began).Round(time.Millisecond))

	listen := boot.host.Addrs()[0].String()
	if err := boot.Close(); err != nil {
		t.Fatal(err)
	}
	memory, err := json.Marshal(boot.Memory())
	if err != nil {
		t.Fatal(err)
	}
	if err := boot.host.Close(); err != nil {
		t.Fatal(err)
	}
	all[7].finds(t, key, all[3])

	opts := smallDHT(dht.ModeServer)
	if err := json.Unmarshal(memory, &opts.Memory); err != nil {
		t.Fatal(err)
	}
	var again host.Host
	eventually(t, "the port is free again", func(context.Context) bool {
		again, err = libp2p.New(libp2p.Identity(bootKey), libp2p.ListenAddrStrings(listen), libp2p.DisableRelay(), libp2p.DisableMetrics(),
			libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()), libp2p.DisableIdentifyAddressDiscovery())
		return err == nil
	})
	t.Cleanup(func() { again.Close() })
	startKad(t, again, opts)
	late := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeClient, seed))
	late.finds(t, key, all[3])
}

// Among clients the bootstrap node keeps all there is; it still knows it after a
// restart.
func TestKadRemembersRecords(t *testing.T) {
	bootKey := newKey(t)
	boot := startKad(t, newKadHost(t, bootKey, anyPort), smallDHT(dht.ModeServer))
	a := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeClient, infoOf(boot.host)))
	b := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeClient, infoOf(boot.host)))
	key := timelineKey(t, "shared")
	if err := a.Announce(key); err != nil {
		t.Fatal(err)
	}
	b.finds(t, key, a)
	if err := boot.Close(); err != nil {
		t.Fatal(err)
	}
	m := boot.Memory()
	if len(m.Records) != 1 {
		t.Errorf("the bootstrap node remembers %d records, want 1", len(m.Records))
	}
	if state := boot.State(); state.Records != 1 {
		t.Errorf("state: %+v", state)
	}
}

// What was announced is announced again when the bootstrap node comes back with nothing,
// also when that happens twice in a short while.
func TestKadAnnouncesAgain(t *testing.T) {
	bootKey, listen := newKey(t), anyPort
	boot := startKad(t, newKadHost(t, bootKey, listen), smallDHT(dht.ModeServer))
	listen = boot.host.Addrs()[0].String()
	seed := infoOf(boot.host)
	a := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeClient, seed).AnnounceAgainEvery(2*time.Second))
	key := timelineKey(t, "announced again")
	if err := a.Announce(key); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeClient, seed))
		b.finds(t, key, a)
		if err := boot.Close(); err != nil {
			t.Fatal(err)
		}
		if err := boot.host.Close(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is gone", func(context.Context) bool { return a.host.Network().Connectedness(seed.ID) != network.Connected })
		boot = startKad(t, newKadHost(t, bootKey, listen), smallDHT(dht.ModeServer))
		eventually(t, "it is connected again", func(ctx context.Context) bool { return a.host.Connect(ctx, seed) == nil })
	}
	late := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeClient, seed))
	late.finds(t, key, a)
}

// A server that knows no other one names itself to a client that asks it.
func TestKadAmongClients(t *testing.T) {
	server := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeServer))
	key := timelineKey(t, "its own")
	if err := server.Announce(key); err != nil {
		t.Fatal(err)
	}
	client := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeClient, infoOf(server.host)))
	client.finds(t, key, server)
}

// A node without an address of the DHT says so, and enters it through a peer that
// connects to it.
func TestKadWithoutBootstrap(t *testing.T) {
	lone := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeServer))
	eventually(t, "the node says why it is alone", func(context.Context) bool { return lone.State().Err != nil })
	if got := lone.State().Err; got != dht.ErrNoBootstrap {
		t.Errorf("error %v, want %v", got, dht.ErrNoBootstrap)
	}
	startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeServer, infoOf(lone.host)))
	eventually(t, "the node is not alone any more", func(context.Context) bool { s := lone.State(); return s.Peers > 0 && s.Err == nil })
}

// A search for a peer finds where it is.
func TestKadFindsPeers(t *testing.T) {
	boot := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeServer))
	a := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeServer, infoOf(boot.host)))
	b := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeClient, infoOf(boot.host)))
	eventually(t, "b finds a", func(ctx context.Context) bool {
		info, err := b.FindPeer(ctx, a.host.ID())
		return err == nil && slices.ContainsFunc(info.Addrs, func(x multiaddr.Multiaddr) bool { return x.Equal(a.host.Addrs()[0]) })
	})
}

// listener is a DHT server that notes which keys others announce and ask for.
type listener struct {
	mu       sync.Mutex
	announce map[string]int
	ask      map[string]int
}

func (l *listener) heard(_ context.Context, _ network.Stream, m *kadpb.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch m.GetType() {
	case kadpb.Message_ADD_PROVIDER:
		l.announce[string(m.GetKey())]++
	case kadpb.Message_GET_PROVIDERS:
		l.ask[string(m.GetKey())]++
	}
}

func (l *listener) announced(hash multihash.Multihash) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.announce[string(hash)] > 0
}

// What a node announces is what it was told to announce, and nothing else.
func TestKadAnnouncesNothingElse(t *testing.T) {
	l := &listener{announce: make(map[string]int), ask: make(map[string]int)}
	h := newKadHost(t, newKey(t), anyPort)
	server, err := kad.New(h, kad.Mode(kad.ModeServer), kad.ProtocolPrefix("/ibgib"), kad.DisableValues(), kad.OnRequestHook(l.heard))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	a := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeServer, infoOf(h)))
	told, withdrawn, sought, last := timelineKey(t, "told"), timelineKey(t, "withdrawn"), timelineKey(t, "sought"), timelineKey(t, "last")
	rendezvous, err := dht.RendezvousKey("", "tag")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Announce(told, rendezvous, withdrawn); err != nil {
		t.Fatal(err)
	}
	if err := a.Withdraw(withdrawn); err != nil {
		t.Fatal(err)
	}
	for range a.FindProviders(t.Context(), sought) {
	}
	eventually(t, "what was announced is heard", func(context.Context) bool {
		return l.announced(told.Hash()) && l.announced(rendezvous.Hash())
	})
	if err := a.Announce(last); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what is announced later is heard", func(context.Context) bool { return l.announced(last.Hash()) })
	if got := a.State().Announced; got != 3 {
		t.Errorf("%d keys are announced, want 3", got)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.announce {
		// The one withdrawn may have been on its way.
		if h := multihash.Multihash(key); !slices.ContainsFunc([]cid.Cid{told, withdrawn, rendezvous, last}, func(c cid.Cid) bool { return c.Hash().B58String() == h.B58String() }) {
			t.Errorf("announced, but not told to: %s", h)
		}
	}
}

// The public DHT has a protocol of its own. This one talks to nobody: nodes with
// addresses of this machine only are not let into it.
func TestPublicKad(t *testing.T) {
	h := newKadHost(t, newKey(t), anyPort)
	k := startKad(t, h, dht.KadOptions{Mode: dht.ModeServer, Public: true})
	if s := k.State(); !s.Public || s.Mode != dht.ModeServer {
		t.Errorf("state: %+v", s)
	}
	if got := h.Mux().Protocols(); !slices.Contains(got, "/ipfs/kad/1.0.0") || slices.Contains(got, "/ibgib/kad/1.0.0") {
		t.Errorf("it speaks %v", got)
	}
}

func TestKadOptionsAreChecked(t *testing.T) {
	h := newKadHost(t, newKey(t), anyPort)
	for _, opts := range []dht.KadOptions{{Mode: "some"}, {BucketSize: -1}, {Public: true, BucketSize: 5}} {
		if k, err := dht.StartKad(t.Context(), h, opts); err == nil {
			t.Errorf("%+v is taken", opts)
			k.Close()
		}
	}
}

func TestRendezvousKey(t *testing.T) {
	seen := make(map[cid.Cid]string)
	for _, from := range [][2]string{{"", ""}, {"home", ""}, {"", "home"}, {"", "other"}, {"other", ""}} {
		key, err := dht.RendezvousKey(from[0], from[1])
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := seen[key]; ok {
			t.Errorf("mesh and tag %q have the same key as %q", from, before)
		}
		seen[key] = fmt.Sprint(from)
	}
}

// Of the addresses that an answer has, only those are handed out that may be those of
// another node, and not too many.
func TestKadAddressesOfAnswers(t *testing.T) {
	key := timelineKey(t, "answered")
	provider, err := peer.IDFromPublicKey(newKey(t).GetPublic())
	if err != nil {
		t.Fatal(err)
	}
	claim := &kadpb.Message_Peer{Id: []byte(provider)}
	for _, text := range []string{
		"/ip4/127.0.0.1/tcp/22", "/ip6/::1/tcp/22", "/ip4/0.0.0.0/tcp/22", "/ip4/169.254.169.254/tcp/80", "/ip6/fe80::1/tcp/22",
		"/ip4/224.0.0.251/udp/5353/quic-v1", "/ip6/ff02::1/udp/1/quic-v1", "/ip4/255.255.255.255/udp/9/quic-v1", "/ip4/127.0.0.1/udp/53/quic-v1",
		"/ip4/198.51.100.1/tcp/4001",
	} {
		claim.Addrs = append(claim.Addrs, multiaddr.StringCast(text).Bytes())
	}
	for port := range 200 {
		claim.Addrs = append(claim.Addrs, multiaddr.StringCast(fmt.Sprintf("/ip4/198.51.100.1/tcp/%d", 10000+port)).Bytes())
	}
	liar := newKadHost(t, newKey(t), anyPort)
	liar.SetStreamHandler(kadID, func(s network.Stream) {
		defer s.Close()
		for r := bufio.NewReader(s); ; {
			size, err := binary.ReadUvarint(r)
			if err != nil {
				return
			}
			b := make([]byte, size)
			if _, err := io.ReadFull(r, b); err != nil {
				return
			}
			var m kadpb.Message
			if proto.Unmarshal(b, &m) != nil {
				return
			}
			if m.Type == kadpb.Message_GET_PROVIDERS {
				m.ProviderPeers = []*kadpb.Message_Peer{claim}
			}
			if _, err := s.Write(message(t, &m)); err != nil {
				return
			}
		}
	})
	opts := smallDHT(dht.ModeClient, infoOf(liar))
	opts.Loopback = false
	k := startKad(t, newKadHost(t, newKey(t), anyPort), opts)
	eventually(t, "the provider is found", func(ctx context.Context) bool {
		for info := range k.FindProviders(ctx, key) {
			if info.ID != provider {
				continue
			}
			if len(info.Addrs) == 0 || len(info.Addrs) > 32 {
				t.Errorf("%d addresses are handed out", len(info.Addrs))
			}
			for _, a := range info.Addrs {
				if ip, _ := a.ValueForProtocol(multiaddr.P_IP4); ip != "198.51.100.1" {
					t.Errorf("the address %s is handed out", a)
				}
			}
			return true
		}
		return false
	})
	for _, a := range k.host.Peerstore().Addrs(provider) {
		if ip, _ := a.ValueForProtocol(multiaddr.P_IP4); ip != "198.51.100.1" {
			t.Errorf("the address %s is remembered", a)
		}
	}
}
