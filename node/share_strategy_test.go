package node_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
)

// TestShareStrategy diverges one timeline in a share and one in the default share, for
// each strategy that one side has for the share: what the share has rules there, on both
// sides, and nothing of it elsewhere.
func TestShareStrategy(t *testing.T) {
	for _, strategy := range []saga.Strategy{saga.StrategyOptimistic, saga.StrategyManual, saga.StrategyAbort} {
		t.Run(strategy.String(), func(t *testing.T) {
			a, b := sharing(t, "family")
			shown, err := b.SetShare(t.Context(), "family", node.ShareSettings{Strategy: &strategy})
			if err != nil || shown.Strategy != strategy || shown.Direction != node.SendReceive {
				t.Fatalf("share %+v, %v", shown, err)
			}
			inside, outside := createIn(t, a, "family", "inside").Tjp, createIn(t, a, "", "outside").Tjp
			syncNow(t, a, b, node.SyncOptions{})
			syncNow(t, a, b, node.SyncOptions{Share: "family"})
			heads := make(map[ibgib.Addr][]ibgib.Addr)
			for _, tjp := range []ibgib.Addr{inside, outside} {
				heads[tjp] = []ibgib.Addr{set(t, a, tjp, "by a").Addr, set(t, b, tjp, "by b").Addr}
			}
			for _, name := range []string{"default", "family"} {
				res := syncNow(t, a, b, node.SyncOptions{Share: name})
				want := saga.StrategyOptimistic
				if name == "family" {
					want = strategy
				}
				if res.Strategy != want || res.Converged != (want != saga.StrategyAbort) {
					t.Errorf("sync of %s: strategy %s, converged %t", name, res.Strategy, res.Converged)
				}
				var by []node.StrategySource
				if want != saga.StrategyOptimistic {
					by = append(by, node.StrategyOfPeer)
				}
				if !slices.Equal(res.StrategyBy, by) {
					t.Errorf("sync of %s: %s is wanted by %v, want %v", name, res.Strategy, res.StrategyBy, by)
				}
			}
			for i, n := range []*node.Node{a, b} {
				if tl, err := n.Latest(t.Context(), outside); err != nil || !tl.Merged {
					t.Errorf("outside: %+v, %v", tl, err)
				}
				tl, err := n.Latest(t.Context(), inside)
				if err != nil {
					t.Fatal(err)
				}
				conflict := false
				for c, err := range n.Conflicts(t.Context()) {
					if err != nil {
						t.Fatal(err)
					}
					conflict = conflict || c.Tjp == inside
				}
				switch {
				case tl.Merged != (strategy == saga.StrategyOptimistic),
					conflict != (strategy == saga.StrategyManual),
					strategy == saga.StrategyAbort && tl.Latest != heads[inside][i]:
					t.Errorf("inside: %+v, conflict %t", tl, conflict)
				}
				why, err := n.Why(t.Context(), inside)
				if err != nil || len(why.LeftAlone) == 1 != (strategy == saga.StrategyAbort) {
					t.Errorf("%+v, %v", why, err)
				}
				source := []node.StrategySource{node.StrategyOfPeer, node.StrategyOfShare}[i]
				for _, left := range why.LeftAlone {
					if !slices.Equal(left.StrategyBy, []node.StrategySource{source}) {
						t.Errorf("left alone by %v, want %s", left.StrategyBy, source)
					}
				}
				mustVerify(t, n)
			}
		})
	}
}

// TestShareStrategyByHand puts a frame that diverges into a share that leaves such
// timelines to a person, and into one that merges them.
func TestShareStrategyByHand(t *testing.T) {
	n := openNode(t)
	for _, strategy := range []saga.Strategy{saga.StrategyManual, saga.StrategyOptimistic} {
		name := strategy.String()
		if _, err := n.CreateShare(t.Context(), node.ShareOptions{Name: name, Strategy: strategy}); err != nil {
			t.Fatal(err)
		}
		made := createIn(t, n, name, "note")
		tjp, err := n.Get(t.Context(), made.Tjp)
		if err != nil {
			t.Fatal(err)
		}
		set(t, n, made.Tjp, "mine")
		theirs, err := ibgib.Mut8(tjp, ibgib.Mut8Options{
			Patch: ibgib.Object(ibgib.Member{Name: "w", Value: ibgib.String("theirs")}), Dna: true, NCounter: true,
		}, ibgib.Env{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range theirs.All() {
			if _, err := n.With(node.ChangeOptions{Share: name}).Put(t.Context(), g.Stored()); err != nil {
				t.Fatal(err)
			}
		}
		tl, err := n.Latest(t.Context(), made.Tjp)
		if err != nil || len(tl.Heads) != 2 || tl.Merged != (strategy == saga.StrategyOptimistic) {
			t.Errorf("%s: %+v, %v", name, tl, err)
		}
	}
	mustVerify(t, n)
}

// TestShareThatLeftAlone diverges a timeline that two shares list, of which one leaves it
// alone: neither a sync nor the other share brings the branch into that. When it leaves
// alone no more, what an earlier saga has brought without moving a head is taken up.
func TestShareThatLeftAlone(t *testing.T) {
	a, b := sharing(t, "family")
	strategies := func(s saga.Strategy) {
		t.Helper()
		for _, n := range []*node.Node{a, b} {
			if _, err := n.SetShare(t.Context(), "family", node.ShareSettings{Strategy: &s}); err != nil {
				t.Fatal(err)
			}
		}
	}
	heads := func(n *node.Node, share string) int {
		t.Helper()
		list, err := n.ShareTimelines(t.Context(), share)
		if err != nil || len(list) != 1 {
			t.Fatalf("%s lists %+v, %v", share, list, err)
		}
		return len(list[0].Heads)
	}
	tjp := createIn(t, a, "family", "note").Tjp
	if _, err := a.AddToShare(t.Context(), "default", tjp, node.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	syncNow(t, a, b, node.SyncOptions{})
	strategies(saga.StrategyAbort)
	set(t, a, tjp, "by a")
	set(t, b, tjp, "by b")
	syncNow(t, a, b, node.SyncOptions{Share: "family"})
	syncNow(t, a, b, node.SyncOptions{Share: "default"})
	for _, n := range []*node.Node{a, b} {
		if in, def := heads(n, "family"), heads(n, "default"); in != 1 || def != 2 {
			t.Errorf("with abort: %d heads in family, %d in default", in, def)
		}
	}
	strategies(saga.StrategyOptimistic)
	for _, n := range []*node.Node{a, b} {
		if in := heads(n, "family"); in != 2 {
			t.Errorf("without abort: %d heads in family", in)
		}
	}
	set(t, a, tjp, "after") // on the merge
	syncNow(t, a, b, node.SyncOptions{Share: "default"})
	for _, n := range []*node.Node{a, b} {
		if in, def := heads(n, "family"), heads(n, "default"); in != 1 || def != 1 {
			t.Errorf("in the end: %d heads in family, %d in default", in, def)
		}
		if tl, err := n.Latest(t.Context(), tjp); err != nil || tl.N == nil || *tl.N < 3 {
			t.Errorf("latest %+v, %v", tl, err)
		}
		mustVerify(t, n)
	}
}

// A share that leaves branches to a person does so with those that come from another share
// of the node, which has merged them.
func TestShareStrategyOfOffers(t *testing.T) {
	a, b := sharing(t, "family")
	manual := saga.StrategyManual
	if _, err := a.SetShare(t.Context(), "family", node.ShareSettings{Strategy: &manual}); err != nil {
		t.Fatal(err)
	}
	tjp := createIn(t, a, "", "note").Tjp
	if _, err := a.AddToShare(t.Context(), "family", tjp, node.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	syncNow(t, a, b, node.SyncOptions{Share: "default"})
	set(t, a, tjp, "by a")
	set(t, b, tjp, "by b")
	syncNow(t, a, b, node.SyncOptions{Share: "default"})
	for share, merged := range map[string]bool{"default": true, "family": false} {
		list, err := a.ShareTimelines(t.Context(), share)
		if err != nil || len(list) != 1 || len(list[0].Heads) != 2 || list[0].Merged != merged {
			t.Errorf("%s lists %+v, %v", share, list, err)
		}
	}
	mustVerify(t, a)
}
