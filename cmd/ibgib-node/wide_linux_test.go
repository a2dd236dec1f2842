package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/dht/netlab"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// Two LANs have nothing in common but a machine in both, on which a bootstrap node
// runs. Nodes that know each other's peer id and nothing else find each other by it. A
// timeline crosses through its relay; once the machine is a router, they connect
// directly.
func TestTwoLANsAndABootstrapNode(t *testing.T) {
	lab := netlab.New(t)
	dirs := t.TempDir()
	lanA, lanB := lab.Bridge("lanA"), lab.Bridge("lanB")
	between, a, b := lab.Machine("between"), lab.Machine("a"), lab.Machine("b")
	// Only relays with addresses that look public are told to others.
	between.Plug(lanA, "11.81.0.1/24")
	between.Plug(lanB, "11.82.0.1/24")
	a.Plug(lanA, "11.81.0.2/24")
	b.Plug(lanB, "11.82.0.2/24")
	a.IP("route", "add", "default", "via", "11.81.0.1")
	b.IP("route", "add", "default", "via", "11.82.0.1")
	between.Forward(false)

	boot := runOn(t, between, filepath.Join(dirs, "boot"), "--no-mdns", "--role", "bootstrap", "--listen", "/ip4/0.0.0.0/tcp/4200")
	at := func(prefix string) string {
		i := slices.IndexFunc(boot.addrs, func(s string) bool { return strings.HasPrefix(s, prefix) })
		if i < 0 {
			t.Fatalf("the bootstrap node listens at %q", boot.addrs)
		}
		return boot.addrs[i]
	}
	left := runOn(t, a, privateDir(t, dirs, "left"), "--no-mdns", "--bootstrap", at("/ip4/11.81."))
	right := runOn(t, b, privateDir(t, dirs, "right"), "--no-mdns", "--bootstrap", at("/ip4/11.82."))
	for _, pair := range [][2]*lanNode{{left, right}, {right, left}} {
		if _, err := pair[0].api.Trust(t.Context(), pair[1].peer); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []*lanNode{left, right} {
		soon(t, n.name+" is reached through the relay", func() bool {
			s, err := n.api.Status(t.Context())
			return err == nil && s.Reachability != nil && slices.Equal(s.Reachability.Relays, []string{boot.peer})
		})
	}
	change, err := left.api.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "crossing"})
	if err != nil {
		t.Fatal(err)
	}
	soon(t, "the change has crossed", func() bool { return slices.Contains(right.heads(t), change.Addr.String()) })
	if p := right.knows(t, left); !p.Connected || !p.Relayed {
		t.Errorf("right knows of left: %+v", p)
	}

	// Announced on one side, it is found on the other.
	if _, err := left.api.Provide(t.Context(), change.Addr); err != nil {
		t.Fatal(err)
	}
	soon(t, "the timeline is found", func() bool {
		found, err := right.api.Find(t.Context(), change.Addr)
		return err == nil && slices.ContainsFunc(found, func(p node.Provider) bool { return p.PeerID == left.peer })
	})
	if s, err := boot.api.Status(t.Context()); err != nil || s.Entries != 0 {
		t.Errorf("the bootstrap node has %d timelines, %v", s.Entries, err)
	}

	between.Forward(true)
	for _, pair := range [][2]*lanNode{{left, right}, {right, left}} {
		soon(t, pair[0].name+" is connected directly", func() bool {
			p := pair[0].knows(t, pair[1])
			return p.Connected && !p.Relayed
		})
	}
	change, err = right.api.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "back"})
	if err != nil {
		t.Fatal(err)
	}
	soon(t, "the change has come back", func() bool { return slices.Contains(left.heads(t), change.Addr.String()) })
}

// privateDir makes a data directory with the configuration of a node of which its owner
// knows that others cannot connect to it; to find that out would take half a minute.
func privateDir(t *testing.T, dirs, name string) string {
	t.Helper()
	dir := filepath.Join(dirs, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("reachability: private\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
