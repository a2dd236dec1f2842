package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/dht/netlab"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// Two LANs are each behind a router with NAT, and a bootstrap node is out in the open.
// The nodes find out by themselves, with the help of bootstrap nodes, that others cannot
// connect to them, and one in the open that they can. A timeline crosses through a relay;
// then the two nodes punch holes and are connected directly, over QUIC.
func TestTwoLANsBehindNAT(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("no NAT: ", err)
	}
	lab := netlab.New(t)
	dirs := t.TempDir()
	open := lab.Bridge("open")
	server := lab.Machine("server")
	link := server.Plug(open, "11.80.0.1/24")
	behind := func(name, lanNet, outside string) *netlab.Machine {
		lan, router, machine := lab.Bridge("lan"+name), lab.Machine("router"+name), lab.Machine(name)
		router.Plug(lan, lanNet+".1/24")
		out := router.Plug(open, outside)
		machine.Plug(lan, lanNet+".2/24")
		machine.IP("route", "add", "default", "via", lanNet+".1")
		router.Forward(true)
		for _, rule := range []string{
			"add table ip nat", "add chain ip nat out { type nat hook postrouting priority 100; }",
			"add rule ip nat out oifname " + out + " masquerade",
			"add table ip wall", "add chain ip wall pass { type filter hook forward priority 0; policy drop; }",
			"add rule ip wall pass oifname " + out + " accept", "add rule ip wall pass ct state established,related accept",
			// What nobody asked for leaves no trace, or the next packet out would get another port.
			"add chain ip wall in { type filter hook input priority 0; }", "add rule ip wall in iifname " + out + " ct state new drop",
		} {
			if said, err := router.Command(t.Context(), "nft", rule).CombinedOutput(); err != nil {
				t.Skipf("no NAT: %s: %v: %s", rule, err, said)
			}
		}
		return machine
	}
	a, b := behind("a", "10.81.0", "11.80.0.2/24"), behind("b", "10.82.0", "11.80.0.3/24")

	// A node believes in an address of its own that four others have seen.
	var flags []string
	for i := range 4 {
		ip := fmt.Sprint("11.80.0.", 10+i)
		server.IP("addr", "add", ip+"/24", "dev", link)
		boot := runOn(t, server, filepath.Join(dirs, fmt.Sprint("boot", i)), "--no-mdns", "--role", "bootstrap",
			"--listen", "/ip4/"+ip+"/tcp/4200", "--listen", "/ip4/"+ip+"/udp/4200/quic-v1")
		for _, addr := range boot.addrs {
			flags = append(flags, "--bootstrap", addr)
		}
	}
	flags = append(flags, "--no-mdns")
	left, right := runOn(t, a, filepath.Join(dirs, "left"), flags...), runOn(t, b, filepath.Join(dirs, "right"), flags...)
	outside := lab.Machine("outside")
	outside.Plug(open, "11.80.0.50/24")
	free := runOn(t, outside, filepath.Join(dirs, "free"), flags...)
	began := time.Now()
	reach := func(n *lanNode, want string) {
		soon(t, n.name+" has found out that it is "+want, func() bool {
			s, err := n.api.Status(t.Context())
			return err == nil && s.Reachability != nil && s.Reachability.Reach == want
		})
		t.Logf("%s has found out that it is %s within %s", n.name, want, time.Since(began).Round(time.Second))
	}
	reach(free, node.ReachPublic)
	if s, err := free.api.Status(t.Context()); err != nil || !slices.ContainsFunc(s.Reachability.Public, func(a string) bool { return strings.HasPrefix(a, "/ip4/11.80.0.50/") }) {
		t.Errorf("it is public at %+v, %v", s.Reachability, err)
	}
	reach(left, node.ReachPrivate)
	reach(right, node.ReachPrivate)
	for _, pair := range [][2]*lanNode{{left, right}, {right, left}} {
		if _, err := pair[0].api.Trust(t.Context(), pair[1].peer); err != nil {
			t.Fatal(err)
		}
	}
	change, err := left.api.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "crossing"})
	if err != nil {
		t.Fatal(err)
	}
	soon(t, "the change has crossed", func() bool { return slices.Contains(right.heads(t), change.Addr.String()) })
	soon(t, "they are connected directly", func() bool {
		p := right.knows(t, left)
		return p.Connected && !p.Relayed
	})
	t.Logf("connected at %q", right.knows(t, left).Addrs)
}
