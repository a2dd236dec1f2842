package node_test

import (
	"errors"
	"reflect"
	"sync"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
)

func newNote(t *testing.T, n *node.Node, ib string) node.Change {
	t.Helper()
	c, err := n.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: ib})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustSync(t *testing.T, from, to *node.Node, opts node.SyncOptions) node.SyncResult {
	t.Helper()
	res, err := from.SyncWith(t.Context(), addrOf(t, to), opts, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestSyncOptions(t *testing.T) {
	a, b := startNode(t, overTCP), startNode(t, overTCP)
	pair(t, a, b)
	here, there := newNote(t, a, "here"), newNote(t, b, "there")

	if res := mustSync(t, a, b, node.SyncOptions{Mode: saga.ModePull}); !res.Converged || res.Sent.IbGibs != 0 || len(headsOf(t, a)) != 2 || len(headsOf(t, b)) != 1 {
		t.Errorf("pull: %+v", res)
	}
	other := newNote(t, a, "other")
	if res := mustSync(t, a, b, node.SyncOptions{Timelines: []ibgib.Addr{here.Tjp}}); !res.Converged || len(headsOf(t, b)) != 2 {
		t.Errorf("one timeline: %+v", res)
	}
	if res := mustSync(t, a, b, node.SyncOptions{Mode: saga.ModePush}); !res.Converged || res.Received.IbGibs != 0 || len(headsOf(t, b)) != 3 {
		t.Errorf("push: %+v", res)
	}
	nobody := newNote(t, openNode(t), "elsewhere")
	if _, err := a.SyncWith(t.Context(), addrOf(t, b), node.SyncOptions{Timelines: []ibgib.Addr{nobody.Tjp}}, nil); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("a timeline that nobody has: %v", err)
	}
	if res := mustSync(t, a, b, node.SyncOptions{Timelines: []ibgib.Addr{nobody.Tjp, there.Tjp}}); !res.Equal || len(res.Absent) != 1 {
		t.Errorf("one of two that nobody has: %+v", res)
	}

	// The timeline diverges.
	for n, text := range map[*node.Node]string{a: "a", b: "b"} {
		if _, err := n.Mut8(t.Context(), other.Tjp, ibgib.Mut8Options{
			Patch: ibgib.Object(ibgib.Member{Name: "text", Value: ibgib.String(text)}),
		}); err != nil {
			t.Fatal(err)
		}
	}
	before := headsOf(t, b)
	res := mustSync(t, a, b, node.SyncOptions{Strategy: saga.StrategyAbort})
	if res.Converged || len(res.Aborted) != 1 || res.Aborted[0] != other.Tjp || len(res.Conflicts) != 0 || !reflect.DeepEqual(headsOf(t, b), before) {
		t.Errorf("abort: %+v", res)
	}
	mustVerify(t, a)
	mustVerify(t, b)
	if res = mustSync(t, a, b, node.SyncOptions{}); !res.Converged || len(res.Merged) != 1 || res.Sent.IbGibs+res.Received.IbGibs != 0 {
		t.Errorf("after abort: %+v", res)
	}
	if !reflect.DeepEqual(headsOf(t, a), headsOf(t, b)) {
		t.Error("the heads differ")
	}
}

// Both nodes begin at once, again and again: both calls succeed each time.
func TestSyncsThatCross(t *testing.T) {
	a, b := startNode(t, overTCP), startNode(t, overTCP)
	pair(t, a, b)
	nodes := [2]*node.Node{a, b}
	for range 5 {
		newNote(t, a, "of a")
		newNote(t, b, "of b")
		var join sync.WaitGroup
		for i, n := range nodes {
			join.Go(func() {
				if res, err := n.Sync(t.Context(), addrOf(t, nodes[1-i]), nil); err != nil || !res.Converged {
					t.Errorf("node %d: %+v, %v", i, res, err)
				}
			})
		}
		join.Wait()
		if !reflect.DeepEqual(headsOf(t, a), headsOf(t, b)) {
			t.Fatal("the heads differ")
		}
	}
}
