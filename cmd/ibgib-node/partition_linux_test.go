package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/dht/netlab"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// trustAll lets all of some nodes trust each other.
func trustAll(t *testing.T, nodes ...*lanNode) {
	t.Helper()
	for _, n := range nodes {
		for _, other := range nodes {
			if n == other {
				continue
			}
			if _, err := n.api.Trust(t.Context(), other.peer); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// have waits until nodes have a head of a timeline.
func have(t *testing.T, what string, head ibgib.Addr, nodes ...*lanNode) {
	t.Helper()
	for _, n := range nodes {
		soon(t, n.name+" has "+what, func() bool { return slices.Contains(n.heads(t), head.String()) })
	}
}

// change sets a member of a timeline on a node.
func change(t *testing.T, n *lanNode, tjp ibgib.Addr, name string) ibgib.Addr {
	t.Helper()
	c, err := n.api.Mut8(t.Context(), tjp, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: name, Value: ibgib.Bool(true)})})
	if err != nil {
		t.Fatal(err)
	}
	return c.Addr
}

// Two LANs are joined by a router, which goes away while both sides go on with the same
// timeline. When it is back, all nodes get to the same state by themselves.
func TestPartitionThatHeals(t *testing.T) {
	lab := netlab.New(t)
	dirs := t.TempDir()
	lans := [2]*netlab.Bridge{lab.Bridge("lanA"), lab.Bridge("lanB")}
	router := lab.Machine("router")
	router.Plug(lans[0], "11.81.0.1/24")
	cut := router.Plug(lans[1], "11.82.0.1/24")
	router.Forward(true)
	boot := runOn(t, router, filepath.Join(dirs, "boot"), "--no-mdns", "--role", "bootstrap", "--listen", "/ip4/0.0.0.0/tcp/4200")
	var machines [4]*netlab.Machine
	start := func(i int) *lanNode {
		return runOn(t, machines[i], filepath.Join(dirs, fmt.Sprint("n", i)), "--no-mdns",
			"--bootstrap", fmt.Sprintf("/ip4/11.8%d.0.1/tcp/4200/p2p/%s", 1+i/2, boot.peer))
	}
	var sides [2][]*lanNode
	for i := range machines {
		side := i / 2
		machines[i] = lab.Machine(fmt.Sprint("m", i))
		machines[i].Plug(lans[side], fmt.Sprintf("11.8%d.0.%d/24", 1+side, 2+i))
		machines[i].IP("route", "add", "default", "via", fmt.Sprintf("11.8%d.0.1", 1+side))
		sides[side] = append(sides[side], start(i))
	}
	all := slices.Concat(sides[0], sides[1])
	trustAll(t, all...)
	made, err := all[0].api.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "shared"})
	if err != nil {
		t.Fatal(err)
	}
	have(t, "the timeline", made.Addr, all...)

	router.IP("link", "set", cut, "down")
	left, right := change(t, sides[0][0], made.Addr, "left"), change(t, sides[1][0], made.Addr, "right")
	have(t, "the change of the left side", left, sides[0]...)
	have(t, "the change of the right side", right, sides[1]...)
	for _, n := range sides[0] {
		if slices.Contains(n.heads(t), right.String()) {
			t.Errorf("%s has what the other side has changed", n.name)
		}
	}

	// One has no connection to the other side any more that could come back by itself.
	sides[1][1].kill(t)
	sides[1][1] = start(3)
	have(t, "the change of the right side", right, sides[1]...)

	router.IP("link", "set", cut, "up")
	began := time.Now()
	all = slices.Concat(sides[0], sides[1])
	var first node.Timeline
	for i, n := range all {
		soon(t, n.name+" has both changes, and all are merged to the same", func() bool {
			at, err := n.api.Latest(t.Context(), made.Addr)
			if err != nil || !at.Merged || !slices.Contains(at.Heads, left) || !slices.Contains(at.Heads, right) {
				return false
			}
			if i == 0 {
				first = at
			}
			return at.Latest == first.Latest
		})
	}
	t.Logf("all are merged to the same %s after the partition has healed", time.Since(began).Round(time.Millisecond))
	for _, n := range all {
		soon(t, n.name+" is connected with all others", func() bool {
			peers, err := n.api.Peers(t.Context())
			connected := 0
			for _, p := range peers {
				if p.Trusted && p.Connected {
					connected++
				}
			}
			return err == nil && connected == len(all)-1
		})
	}
}

// The only bootstrap node is killed and comes back: those that were there stay in step
// without it, and a node that comes only then finds what they have announced before.
func TestKilledBootstrapNode(t *testing.T) {
	lab := netlab.New(t)
	dirs := t.TempDir()
	open := lab.Bridge("open")
	at := func(i int) *netlab.Machine {
		m := lab.Machine(fmt.Sprint("m", i))
		m.Plug(open, fmt.Sprintf("11.80.0.%d/24", i))
		return m
	}
	server := at(1)
	boot := func() *lanNode {
		return runOn(t, server, filepath.Join(dirs, "boot"), "--no-mdns", "--role", "bootstrap", "--listen", "/ip4/11.80.0.1/tcp/4200")
	}
	first := boot()
	run := func(i int) *lanNode {
		return runOn(t, at(i), filepath.Join(dirs, fmt.Sprint("n", i)), "--no-mdns", "--dht", "client", "--bootstrap", first.addrs[0])
	}
	a, b := run(2), run(3)
	trustAll(t, a, b)
	made, err := a.api.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "shared"})
	if err != nil {
		t.Fatal(err)
	}
	have(t, "the timeline", made.Addr, a, b)
	if _, err := a.api.Provide(t.Context(), made.Addr); err != nil {
		t.Fatal(err)
	}
	finds := func(n *lanNode) func() bool {
		return func() bool {
			found, err := n.api.Find(t.Context(), made.Addr)
			return err == nil && slices.ContainsFunc(found, func(p node.Provider) bool { return p.PeerID == a.peer })
		}
	}
	soon(t, "b finds the timeline", finds(b))

	first.kill(t)
	next := change(t, b, made.Addr, "without")
	have(t, "a change without the bootstrap node", next, a, b)
	boot()
	late := run(4)
	began := time.Now()
	soon(t, "a node that comes later finds the timeline", finds(late))
	t.Logf("found %s after the bootstrap node was back", time.Since(began).Round(time.Millisecond))
	soon(t, "it fetches the timeline", func() bool {
		_, err := late.api.Fetch(t.Context(), next, node.FetchOptions{}, nil)
		return err == nil
	})
	soon(t, "it is reached by its peer id", func() bool {
		_, err := b.api.Ping(t.Context(), late.peer)
		return err == nil
	})
}
