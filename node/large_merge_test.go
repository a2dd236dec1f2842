package node_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
)

// divergedLarge lets two nodes, of which the second is started, change a large timeline so
// often that its merge is more work than is done while others wait.
func divergedLarge(t *testing.T) (a, b *node.Node, tjp ibgib.Addr) {
	t.Helper()
	a, b = openNode(t), startNode(t, overTCP)
	pair(t, a, b)
	made, err := a.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{
		Ib: "large", Data: ibgib.Object(ibgib.Member{Name: "pages", Value: ibgib.String(strings.Repeat("0123456789", 80_000))}),
	})
	if err != nil {
		t.Fatal(err)
	}
	mustSync(t, a, b, node.SyncOptions{})
	for i := range 15 {
		setText(t, a, made.Tjp, fmt.Sprint("a", i))
		setText(t, b, made.Tjp, fmt.Sprint("b", i))
	}
	return a, b, made.Tjp
}

// A large merge is made by a node that runs, beside its other work, and by one that does
// not run before it tells what a sync came to.
func TestLargeMerge(t *testing.T) {
	a, b, tjp := divergedLarge(t)
	s := subscribe(t, b, node.EventOptions{Kinds: []node.EventKind{node.EventMerge}})
	next(t, s)
	if res := mustSync(t, a, b, node.SyncOptions{}); !res.Converged || len(res.Merged) != 1 || len(res.Conflicts) != 0 {
		t.Errorf("sync %+v", res)
	}
	began := time.Now()
	if e := next(t, s); e.Kind != node.EventMerge || e.Merge.Tjp != tjp {
		t.Errorf("event %+v", e)
	}
	if waited := time.Since(began); waited > 30*time.Second {
		t.Errorf("the merge was not begun at once: it took %v", waited)
	}
	if x, y := mergedOn(t, a, tjp), mergedOn(t, b, tjp); x != y {
		t.Errorf("latest %s and %s", x, y)
	}
	// What is built on it there is taken here.
	setText(t, b, tjp, "after")
	if res := mustSync(t, a, b, node.SyncOptions{}); !res.Converged || len(res.Rejected) > 0 {
		t.Errorf("sync %+v", res)
	}
	mustVerify(t, a)
	mustVerify(t, b)
}

// A person who accepts a large merge gets it at once.
func TestAcceptLargeMerge(t *testing.T) {
	a, b, tjp := divergedLarge(t)
	mustSync(t, a, b, node.SyncOptions{Strategy: saga.StrategyManual})
	done, err := b.Resolve(t.Context(), tjp, node.Resolution{Merge: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := conflictOf(t, b, tjp); len(got) != 1 || got[0] != done.Addr {
		t.Errorf("heads %v, want %s", got, done.Addr)
	}
	mustVerify(t, b)
}
