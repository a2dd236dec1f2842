package node_test

import (
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
)

func newStone(t *testing.T, n *node.Node, ib string) ibgib.Addr {
	t.Helper()
	res, err := n.Stone(t.Context(), ibgib.StoneOptions{Ib: ib, Parent: "ib", Data: ibgib.Object(ibgib.Member{Name: "text", Value: ibgib.String(ib)})})
	if err != nil || !res.Pinned {
		t.Fatalf("%+v, %v", res, err)
	}
	return res.Addr
}

func stones(t *testing.T, n *node.Node) int {
	t.Helper()
	stats, err := n.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stats.Stones
}

// Stones that a person made on one node are pinned on the other after a sync, in
// every mode and also when the sync is about one of them alone.
func TestSyncStones(t *testing.T) {
	a, b := startNode(t, overTCP), startNode(t, overTCP)
	pair(t, a, b)
	red, _ := newStone(t, a, "red"), newStone(t, a, "green")
	newStone(t, b, "blue")
	if res := mustSync(t, b, a, node.SyncOptions{Timelines: []ibgib.Addr{red}}); !res.Converged || res.Received.IbGibs != 1 || stones(t, b) != 2 {
		t.Errorf("one stone: %+v, %d stones", res, stones(t, b))
	}
	if res := mustSync(t, b, a, node.SyncOptions{Mode: saga.ModePull}); !res.Converged || stones(t, a) != 2 || stones(t, b) != 3 {
		t.Errorf("pull: %+v, %d and %d stones", res, stones(t, a), stones(t, b))
	}
	if res := mustSync(t, b, a, node.SyncOptions{Mode: saga.ModePush}); !res.Converged || stones(t, a) != 3 {
		t.Errorf("push: %+v, %d stones", res, stones(t, a))
	}
	newStone(t, a, "white")
	newNote(t, b, "note")
	if res := mustSync(t, a, b, node.SyncOptions{}); !res.Converged || stones(t, a) != 4 || stones(t, b) != 4 {
		t.Errorf("sync: %+v, %d and %d stones", res, stones(t, a), stones(t, b))
	}
	if res := mustSync(t, b, a, node.SyncOptions{}); !res.Equal {
		t.Errorf("again: %+v", res)
	}
	mustVerify(t, a)
	mustVerify(t, b)
}
