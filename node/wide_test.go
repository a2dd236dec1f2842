package node

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	kad "github.com/libp2p/go-libp2p-kad-dht"
	kadpb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-multihash"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// wideNode starts a node that listens on loopback only and takes part in a DHT.
func wideNode(t *testing.T, dir string, mesh Mesh, reach Reach) *Node {
	t.Helper()
	n, err := Open(Config{Data: dir, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Mesh: mesh, Reach: reach})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// bootstrapNode starts a bootstrap node, and returns how others enter by it.
func bootstrapNode(t *testing.T) (*Node, Reach) {
	t.Helper()
	n := wideNode(t, t.TempDir(), Mesh{}, Reach{Role: RoleBootstrap})
	return n, Reach{Bootstrap: n.Identity().Addrs}
}

// writeNote starts a timeline, and returns its tjp.
func writeNote(t testing.TB, n *Node, ib string) ibgib.Addr {
	t.Helper()
	c, err := n.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: ib})
	if err != nil {
		t.Fatal(err)
	}
	tjp, err := n.tjpOf(t.Context(), c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return tjp
}

// Nodes of one mesh that know only a bootstrap node find each other through the DHT;
// what they then prove decides about trust. The bootstrap node is trusted by nobody.
func TestMeshMeetsThroughTheDHT(t *testing.T) {
	boot, way := bootstrapNode(t)
	mesh := Mesh{Secret: meshSecret, Trust: TrustLAN}
	a, b := wideNode(t, t.TempDir(), mesh, way), wideNode(t, t.TempDir(), mesh, way)
	other := wideNode(t, t.TempDir(), Mesh{Secret: otherSecret, Trust: TrustLAN}, way)
	eventually(t, "they trust each other and are connected", func() bool {
		x, y := known(a, b), known(b, a)
		return x.Trusted && x.Connected && y.Trusted && y.Connected
	})
	for _, n := range []*Node{a, b} {
		if known(n, boot).Trusted || known(n, other).Trusted {
			t.Errorf("%s trusts a node that is not of its mesh", n.PeerID())
		}
	}
	s, err := boot.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.DHT == nil || s.DHT.Mode != dht.ModeServer || s.DHT.Peers != 0 && s.DHT.Problem != "" || s.Reachability == nil || s.Reachability.Reach != ReachPublic {
		t.Errorf("status of the bootstrap node: %+v, %+v", s.DHT, s.Reachability)
	}
	eventually(t, "a has entered the DHT", func() bool {
		s, err := a.Status(t.Context())
		return err == nil && s.DHT != nil && s.DHT.Peers > 0 && s.DHT.Mode == dht.ModeClient && s.DHT.Announced == 1
	})
	d, err := a.Diagnose(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(d.Checks, func(c Check) bool { return c.Name == "DHT" && c.State == CheckOK }) {
		t.Errorf("diagnosis: %+v", d.Checks)
	}

	// A peer that is found by its id alone.
	eventually(t, "the other node reaches a", func() bool {
		p, err := other.Ping(t.Context(), a.PeerID().String())
		return err == nil && len(p.Times) == pings && !p.Relayed && p.Addr != ""
	})
	if _, err := other.Ping(t.Context(), other.PeerID().String()); !errors.Is(err, ErrInput) {
		t.Errorf("ping of itself: %v", err)
	}
}

// recorder notes which keys are announced to a DHT server.
type recorder struct {
	mu   sync.Mutex
	keys map[string]bool
}

func (r *recorder) heard(_ context.Context, _ network.Stream, m *kadpb.Message) {
	if m.GetType() == kadpb.Message_ADD_PROVIDER {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.keys[string(m.GetKey())] = true
	}
}

func (r *recorder) has(key cid.Cid) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[string(key.Hash())]
}

// A timeline is announced when a person says so, and found by its address; nothing
// else ever is but the key of the mesh. The mark outlasts a restart.
func TestProvideAndFind(t *testing.T) {
	r := &recorder{keys: make(map[string]bool)}
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	server, err := kad.New(h, kad.Mode(kad.ModeServer), kad.ProtocolPrefix("/ibgib"), kad.DisableValues(), kad.OnRequestHook(r.heard))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	way := Reach{Bootstrap: []string{h.Addrs()[0].String() + "/p2p/" + h.ID().String()}}

	dir, mesh := t.TempDir(), Mesh{Secret: meshSecret}
	a, b := wideNode(t, dir, mesh, way), wideNode(t, t.TempDir(), Mesh{Secret: otherSecret}, way)
	shared, private := writeNote(t, a, "shared"), writeNote(t, a, "private")
	first, err := a.Provide(t.Context(), shared)
	if err != nil || first.Tjp != shared {
		t.Fatalf("provide: %+v, %v", first, err)
	}
	find := func(n *Node, addr ibgib.Addr) []Provider {
		t.Helper()
		found, err := n.Find(t.Context(), addr)
		if err != nil && code(err) != saga.CodeUnreachable { // it has not entered the DHT yet
			t.Fatal(err)
		}
		return found
	}
	isThere := func(found []Provider) bool {
		return len(found) == 1 && found[0].PeerID == a.PeerID().String() && len(found[0].Addrs) > 0 && !found[0].Trusted
	}
	eventually(t, "b finds the timeline", func() bool { return isThere(find(b, shared)) })
	if found := find(b, private); len(found) > 0 {
		t.Errorf("what is not announced is found: %+v", found)
	}

	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = wideNode(t, dir, mesh, way)
	list, err := a.Provided(t.Context())
	if err != nil || !slices.Equal(list, []Announcement{first}) {
		t.Errorf("after a restart: %+v, %v", list, err)
	}
	eventually(t, "b finds the timeline after the restart", func() bool { return isThere(find(b, shared)) })

	if _, err := a.Unprovide(t.Context(), shared); err != nil {
		t.Fatal(err)
	}
	if list, err := a.Provided(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("announced still: %+v, %v", list, err)
	}
	for name, err := range map[string]error{
		"unprovide twice": func() error { _, err := a.Unprovide(t.Context(), shared); return err }(),
		"provide unknown": func() error { _, err := b.Provide(t.Context(), shared); return err }(),
	} {
		if !errors.Is(err, blockstore.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}

	key, err := dht.RendezvousKey("", a.mesh.tag())
	if err != nil {
		t.Fatal(err)
	}
	others, err := dht.RendezvousKey("", b.mesh.tag())
	if err != nil {
		t.Fatal(err)
	}
	told, err := dht.TimelineKey(shared)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the keys of the meshes are announced", func() bool { return r.has(key) && r.has(others) })
	r.mu.Lock()
	defer r.mu.Unlock()
	for heard := range r.keys {
		if !slices.ContainsFunc([]cid.Cid{key, others, told}, func(k cid.Cid) bool { return string(k.Hash()) == heard }) {
			t.Errorf("announced, and not to be: %s", multihash.Multihash(heard))
		}
	}
}

// A node that has been in the DHT enters it again without a bootstrap address, by those
// whom it asked before. A file that is damaged keeps it from nothing.
func TestDHTIsEnteredAgain(t *testing.T) {
	_, way := bootstrapNode(t)
	dir := t.TempDir()
	way.DHT = dht.ModeClient
	entered := func(n *Node) func() bool {
		return func() bool {
			s, err := n.Status(t.Context())
			return err == nil && s.DHT != nil && s.DHT.Peers > 0
		}
	}
	n := wideNode(t, dir, Mesh{}, way)
	eventually(t, "it enters the DHT", entered(n))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = wideNode(t, dir, Mesh{}, Reach{DHT: dht.ModeClient})
	eventually(t, "it enters the DHT by those that it knows", entered(n))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.dir.DHT(), []byte(`{"version":1,"peers":[{"ID":`), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it enters the DHT with a damaged file", entered(wideNode(t, dir, Mesh{}, way)))
}

// As long as nobody is there to be asked, a search says so.
func TestFindBeforeTheDHTIsEntered(t *testing.T) {
	nobody := "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWDUbgj5n8GTB9wFEnmY3MwuWvqc9vKuuEJfB5LM8aQiz4"
	n := wideNode(t, t.TempDir(), Mesh{}, Reach{Bootstrap: []string{nobody}})
	note := writeNote(t, n, "note")
	eventually(t, "the node says that it has not entered the DHT", func() bool {
		_, err := n.Find(t.Context(), note)
		return code(err) == saga.CodeUnreachable && strings.Contains(err.Error(), "no peer of it was reached")
	})
	d, err := n.Diagnose(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(d.Checks, func(c Check) bool { return c.Name == "DHT" && c.State == CheckProblem }) {
		t.Errorf("diagnosis: %+v", d.Checks)
	}
}

func TestWithoutDHT(t *testing.T) {
	n := meshNode(t, t.TempDir(), Mesh{})
	tjp := writeNote(t, n, "note")
	if _, err := n.Find(t.Context(), tjp); !errors.Is(err, ErrNoDHT) {
		t.Errorf("find: %v", err)
	}
	if _, err := n.Provide(t.Context(), tjp); err != nil {
		t.Errorf("provide: %v", err)
	}
	s, err := n.Status(t.Context())
	if err != nil || s.DHT != nil || s.Reachability != nil {
		t.Errorf("status %+v, %+v, %v", s.DHT, s.Reachability, err)
	}
}

func TestReachIsChecked(t *testing.T) {
	const id = "12D3KooWDUbgj5n8GTB9wFEnmY3MwuWvqc9vKuuEJfB5LM8aQiz4"
	for _, tt := range []struct {
		reach Reach
		dht   dht.Mode
		seeds int
		fails string
	}{
		{reach: Reach{}, dht: DHTOff},
		{reach: Reach{Role: RoleBootstrap}, dht: dht.ModeServer},
		{reach: Reach{Bootstrap: []string{"/ip4/192.0.2.1/tcp/4200/p2p/" + id, "/ip4/192.0.2.1/udp/4200/quic-v1/p2p/" + id}}, dht: dht.ModeAuto, seeds: 1},
		{reach: Reach{Bootstrap: []string{"/dnsaddr/boot.example.org/p2p/" + id}, DHT: dht.ModeClient}, dht: dht.ModeClient, seeds: 1},
		{reach: Reach{Bootstrap: []string{"/dnsaddr/boot.example.org/p2p/" + id}, DHT: DHTOff}, dht: DHTOff, seeds: 1},
		{reach: Reach{PublicDHT: true}, dht: dht.ModeAuto, seeds: len(kad.GetDefaultBootstrapPeerAddrInfos())},
		{reach: Reach{Bootstrap: []string{"/ip4/192.0.2.1/tcp/4200"}}, fails: "bootstrap address"},
		{reach: Reach{Bootstrap: slices.Repeat([]string{"/ip4/192.0.2.1/tcp/4200/p2p/" + id}, maxBootstrap+1)}, fails: "at most 64"},
		{reach: Reach{Role: "king"}, fails: "role"},
		{reach: Reach{DHT: "some"}, fails: "part"},
		{reach: Reach{Known: "perhaps"}, fails: "reachability"},
	} {
		r, err := newReach(tt.reach)
		switch {
		case tt.fails != "":
			if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("%+v: %v", tt.reach, err)
			}
		case err != nil || r.DHT != tt.dht || len(r.seeds) != tt.seeds:
			t.Errorf("%+v: DHT %q, %d seeds, %v", tt.reach, r.DHT, len(r.seeds), err)
		}
	}
}
