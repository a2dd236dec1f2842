package node_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// What a new session costs on the wire, between nodes that know each other's keystones:
// at most 16 KiB both ways beyond what a connection with a known session takes, and
// that is little.
func TestSessionCostOnTheWire(t *testing.T) {
	dirs := [2]string{t.TempDir(), t.TempDir()}
	var made ibgib.Addr
	// once lets the first node sync with the second one over a connection of its own, and
	// returns the bytes of that connection.
	once := func(change, fresh bool) int64 {
		t.Helper()
		if fresh {
			for _, dir := range dirs {
				if err := os.Remove(filepath.Join(dir, "sessions.json")); err != nil {
					t.Fatal(err)
				}
			}
		}
		var nodes [2]*node.Node
		for i, dir := range dirs {
			n, err := node.Open(node.Config{Data: dir, Listen: []string{overTCP}, Live: node.Live{Off: true}})
			if err != nil {
				t.Fatal(err)
			}
			nodes[i] = n
			defer n.Close()
		}
		if err := nodes[1].Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if made.IsZero() {
			pair(t, nodes[0], nodes[1])
		}
		if change {
			c, err := nodes[0].Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "note"})
			if err != nil {
				t.Fatal(err)
			}
			made = c.Addr
		}
		p, addr := newProxy(t, addrOf(t, nodes[1]), nil)
		res, err := nodes[0].Sync(t.Context(), addr, nil)
		if err != nil || !res.Converged || res.Equal == change {
			t.Fatalf("%+v, %v", res, err)
		}
		for _, n := range nodes {
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
		}
		p.close()
		return p.up.Load() + p.down.Load()
	}
	strangers := once(true, false) // whole keystones travel
	known := once(false, false)
	fresh := once(false, true)
	t.Logf("a connection with equal sides: %d bytes with a known session, %d with a new one; the first of all, with a saga: %d", known, fresh, strangers)
	if cost := fresh - known; cost > 16<<10 {
		t.Errorf("a new session costs %d bytes", cost)
	}
	if known > 16<<10 {
		t.Errorf("a connection takes %d bytes", known)
	}
}
