package node_test

import (
	"errors"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
)

// latestIs checks what a node presents of a timeline.
func latestIs(t *testing.T, n *node.Node, what string, tjp, want ibgib.Addr, pinned bool) {
	t.Helper()
	tl, err := n.Latest(t.Context(), tjp)
	if err != nil || tl.Latest != want || tl.Pinned != pinned {
		t.Errorf("%s: %+v, %v; want %s, pinned %t", what, tl, err, want, pinned)
	}
}

// A pin is this node's own: it is not told to the other side, follows what the
// other side does to the branch, and ends when the other side ends the conflict.
func TestPin(t *testing.T) {
	a, b, tjp := diverged(t, saga.StrategyManual)
	heads := conflictOf(t, a, tjp)
	tl, err := a.Latest(t.Context(), tjp)
	if err != nil {
		t.Fatal(err)
	}
	greatest := tl.Latest
	low := heads[0]
	if low == greatest {
		low = heads[1]
	}
	if _, err := a.Pin(t.Context(), tjp, tjp); !errors.Is(err, node.ErrInput) {
		t.Errorf("pin of what is no head: %v", err)
	}
	if _, err := a.Unpin(t.Context(), tjp); !isNotFound(err) {
		t.Errorf("unpin of nothing: %v", err)
	}
	told := subscribe(t, a, node.EventOptions{Kinds: []node.EventKind{node.EventHeads}})
	next(t, told)
	c, err := a.Pin(t.Context(), greatest, low)
	if err != nil || c.Latest != low || !c.Pinned || len(c.Heads) != 2 || c.Tjp != tjp {
		t.Fatalf("%+v, %v", c, err)
	}
	if e := next(t, told); e.Heads == nil || e.Heads.Latest != low || !e.Heads.Pinned || e.ID == "" {
		t.Errorf("event of a pin: %+v", e)
	}
	if c, err := a.Unpin(t.Context(), tjp); err != nil || c.Latest != greatest {
		t.Errorf("%+v, %v", c, err)
	}
	if e := next(t, told); e.Heads == nil || e.Heads.Latest != greatest || e.Heads.Pinned {
		t.Errorf("event of the end of a pin: %+v", e)
	}
	if _, err := a.Pin(t.Context(), tjp, low); err != nil {
		t.Fatal(err)
	}
	if res, err := a.Sync(t.Context(), addrOf(t, b), nil); err != nil || !res.Equal {
		t.Errorf("sync after a pin: %+v, %v", res, err)
	}
	latestIs(t, b, "the other side", tjp, greatest, false)

	ours := setText(t, a, tjp, "on the pinned branch")
	latestIs(t, a, "changed here", tjp, ours, true)
	if _, err := b.Pin(t.Context(), tjp, low); err != nil {
		t.Fatal(err)
	}
	theirs := setText(t, b, tjp, "there, on the same branch")
	mustSync(t, a, b, node.SyncOptions{})
	if got := conflictOf(t, a, tjp); len(got) != 3 {
		t.Fatalf("heads %v", got)
	}
	latestIs(t, a, "the branch has diverged", tjp, ours, true)
	latestIs(t, b, "the branch has diverged, on the other side", tjp, theirs, true)
	theirs = setText(t, b, tjp, "there, once more")
	mustSync(t, a, b, node.SyncOptions{})
	latestIs(t, a, "another head has grown", tjp, ours, true)
	latestIs(t, b, "the pinned head has grown", tjp, theirs, true)

	kept, err := b.Resolve(t.Context(), tjp, node.Resolution{Keep: greatest})
	if err != nil {
		t.Fatal(err)
	}
	mustSync(t, a, b, node.SyncOptions{})
	latestIs(t, a, "resolved on the other side", tjp, kept.Addr, false)
	if _, err := a.Pin(t.Context(), tjp, kept.Addr); !isNotFound(err) {
		t.Errorf("pin of an only head: %v", err)
	}
	mustVerify(t, a)
	mustVerify(t, b)
}
