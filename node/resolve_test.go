package node_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
)

// diverged returns two nodes that trust each other, of which one is started,
// with a timeline that has two heads on both, and its tjp. strategy is that of the
// sync by which it came to have two.
func diverged(t *testing.T, strategy saga.Strategy) (a, b *node.Node, tjp ibgib.Addr) {
	t.Helper()
	a, b = openNode(t), startNode(t, overTCP)
	pair(t, a, b)
	made, err := a.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "note"})
	if err != nil {
		t.Fatal(err)
	}
	mustSync(t, a, b, node.SyncOptions{})
	for _, n := range []*node.Node{a, b} {
		setText(t, n, made.Tjp, n.PeerID().String())
	}
	if res := mustSync(t, a, b, node.SyncOptions{Strategy: strategy}); !res.Converged {
		t.Fatalf("sync %+v", res)
	}
	return a, b, made.Tjp
}

func setText(t *testing.T, n *node.Node, addr ibgib.Addr, text string) ibgib.Addr {
	t.Helper()
	change, err := n.Mut8(t.Context(), addr, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "text", Value: ibgib.String(text)})})
	if err != nil {
		t.Fatal(err)
	}
	return change.Addr
}

func conflictOf(t *testing.T, n *node.Node, addr ibgib.Addr) []ibgib.Addr {
	t.Helper()
	tl, err := n.Latest(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	return tl.Heads
}

func TestResolveTravels(t *testing.T) {
	a, b, tjp := diverged(t, saga.StrategyManual)
	heads := conflictOf(t, a, tjp)
	if len(heads) != 2 {
		t.Fatalf("heads %v", heads)
	}
	if _, err := a.Resolve(t.Context(), tjp, node.Resolution{Keep: tjp}); !errors.Is(err, node.ErrInput) {
		t.Errorf("to keep what is no head: %v", err)
	}
	change, err := a.Resolve(t.Context(), tjp, node.Resolution{Keep: heads[0]})
	if err != nil {
		t.Fatal(err)
	}
	if got := conflictOf(t, a, tjp); len(got) != 1 || got[0] != change.Addr {
		t.Errorf("heads %v, want %s", got, change.Addr)
	}
	if _, err := a.Resolve(t.Context(), tjp, node.Resolution{Keep: heads[0]}); !isNotFound(err) {
		t.Errorf("to resolve what has one head: %v", err)
	}
	res, err := a.Sync(t.Context(), addrOf(t, b), nil)
	if err != nil || !res.Converged || len(res.Conflicts) != 0 {
		t.Fatalf("sync %+v, %v", res, err)
	}
	if got := conflictOf(t, b, tjp); len(got) != 1 {
		t.Errorf("heads %v on the other side", got)
	}
	setText(t, b, tjp, "after")
	mustVerify(t, a)
	mustVerify(t, b)
}

// Both sides resolve at once: the two keep frames are a conflict that one more
// resolves. Changes made beside a resolution make no timeline diverge.
func TestResolveBesideOtherChanges(t *testing.T) {
	a, b, tjp := diverged(t, saga.StrategyManual)
	heads := conflictOf(t, a, tjp)
	if _, err := a.Resolve(t.Context(), tjp, node.Resolution{Keep: heads[0]}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Resolve(t.Context(), tjp, node.Resolution{Keep: heads[1]}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sync(t.Context(), addrOf(t, b), nil); err != nil {
		t.Fatal(err)
	}
	heads = conflictOf(t, a, tjp)
	if len(heads) != 2 {
		t.Fatalf("heads %v", heads)
	}
	latest, err := a.Latest(t.Context(), tjp)
	if err != nil {
		t.Fatal(err)
	}
	var join sync.WaitGroup
	for i := range 4 {
		join.Go(func() {
			if i == 0 {
				// It may come too late: what it names is no head any more, or the only one.
				_, err := a.Resolve(t.Context(), tjp, node.Resolution{Keep: latest.Latest})
				if err != nil && !errors.Is(err, node.ErrInput) && !isNotFound(err) {
					t.Error(err)
				}
				return
			}
			if _, err := a.Mut8(t.Context(), tjp, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "i", Value: ibgib.Number(float64(i))})}); err != nil {
				t.Error(err)
			}
		})
	}
	join.Wait()
	if got := conflictOf(t, a, tjp); len(got) > 2 {
		t.Errorf("heads %v", got)
	}
	mustVerify(t, a)
}

// mergedOn returns the latest of a timeline that must be merged on a node.
func mergedOn(t *testing.T, n *node.Node, tjp ibgib.Addr) ibgib.Addr {
	t.Helper()
	tl, err := n.Latest(t.Context(), tjp)
	if err != nil || !tl.Merged || len(tl.Heads) < 2 {
		t.Fatalf("%+v, %v", tl, err)
	}
	return tl.Latest
}

// Both sides merge the same, go on from there, and are in step after that.
func TestMergedTimelineGoesOn(t *testing.T) {
	a, b, tjp := diverged(t, saga.StrategyOptimistic)
	s := subscribe(t, b, node.EventOptions{Kinds: []node.EventKind{node.EventMerge, node.EventConflict, node.EventHeads}})
	next(t, s)
	latest := mergedOn(t, a, tjp)
	if got := mergedOn(t, b, tjp); got != latest {
		t.Fatalf("latest %s and %s", latest, got)
	}
	if res := mustSync(t, a, b, node.SyncOptions{}); !res.Equal {
		t.Errorf("sync of what is merged: %+v", res)
	}
	detail, err := a.Conflict(t.Context(), tjp)
	if err != nil || !detail.Merged || len(detail.Branches) != 2 || len(detail.Overridden) != 1 || len(detail.Skipped) != 0 {
		t.Fatalf("%+v, %v", detail, err)
	}
	if o := detail.Overridden[0]; strings.Join(o.Path, "/") != "data/text" || string(o.Lost) == string(o.Won) || o.LostBy == o.WonBy {
		t.Errorf("overridden %+v", o)
	}

	// A change on the merge ends the divergence, there too.
	after := setText(t, a, tjp, "after")
	if res := mustSync(t, a, b, node.SyncOptions{}); !res.Converged || len(res.Merged)+len(res.Conflicts) != 0 {
		t.Errorf("sync %+v", res)
	}
	for _, n := range []*node.Node{a, b} {
		if got := conflictOf(t, n, tjp); len(got) != 1 || got[0] != after {
			t.Errorf("heads %v, want %s", got, after)
		}
		mustVerify(t, n)
	}
	if e := next(t, s); e.Kind != node.EventHeads || len(e.Heads.Heads) != 1 {
		t.Errorf("event %+v", e)
	}

	// Both change it again.
	setText(t, a, tjp, "a")
	setText(t, b, tjp, "b")
	mustSync(t, a, b, node.SyncOptions{})
	if mergedOn(t, a, tjp) != mergedOn(t, b, tjp) {
		t.Error("two merges differ")
	}
	seen := make(map[node.EventKind]node.Event)
	for seen[node.EventMerge].Merge == nil || seen[node.EventHeads].Heads == nil || !seen[node.EventHeads].Heads.Merged {
		e := next(t, s)
		seen[e.Kind] = e
	}
	if m := seen[node.EventMerge].Merge; m.Tjp != tjp || m.Latest != mergedOn(t, b, tjp) || len(m.Overridden) != 1 {
		t.Errorf("merge event %+v", m)
	}
	if _, ok := seen[node.EventConflict]; ok {
		t.Error("a conflict is told of")
	}
}

// A merge that one accepts is the timeline's latest on both sides, also of one that had
// been left to a person.
func TestAcceptMerge(t *testing.T) {
	for _, strategy := range []saga.Strategy{saga.StrategyOptimistic, saga.StrategyManual} {
		a, b, tjp := diverged(t, strategy)
		s := subscribe(t, b, node.EventOptions{Kinds: []node.EventKind{node.EventResolved}})
		next(t, s)
		done, err := a.Resolve(t.Context(), tjp, node.Resolution{Merge: true})
		if err != nil {
			t.Fatal(err)
		}
		if res := mustSync(t, a, b, node.SyncOptions{Strategy: strategy}); !res.Converged || len(res.Conflicts)+len(res.Merged) != 0 {
			t.Errorf("%s: sync %+v", strategy, res)
		}
		for _, n := range []*node.Node{a, b} {
			if got := conflictOf(t, n, tjp); len(got) != 1 || got[0] != done.Addr {
				t.Errorf("%s: heads %v", strategy, got)
			}
			mustVerify(t, n)
		}
		if e := next(t, s); e.Kind != node.EventResolved || e.Heads.Latest != done.Addr {
			t.Errorf("%s: event %+v", strategy, e)
		}
	}
}

// A head that is forked off is a timeline of its own; the other one goes on.
func TestForkOff(t *testing.T) {
	a, _, tjp := diverged(t, saga.StrategyOptimistic)
	heads := conflictOf(t, a, tjp)
	mine, err := a.Get(t.Context(), heads[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []node.Resolution{
		{}, {Fork: heads[0]}, {Fork: tjp, ForkIb: "mine"}, {Fork: heads[0], Keep: heads[0], ForkIb: "mine"}, {Keep: heads[0], Merge: true},
	} {
		if _, err := a.Resolve(t.Context(), tjp, bad); !errors.Is(err, node.ErrInput) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	done, err := a.Resolve(t.Context(), tjp, node.Resolution{Fork: heads[0], ForkIb: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	forked, err := a.Get(t.Context(), done.Forked)
	if err != nil || forked.Ib() != "mine" || !forked.IsTjp() || !sameText(forked, mine) {
		t.Errorf("%s, %v", forked.Stored(), err)
	}
	kept, err := a.Get(t.Context(), done.Addr)
	other, otherErr := a.Get(t.Context(), heads[1])
	if err != nil || otherErr != nil || !sameText(kept, other) {
		t.Errorf("%s, %v, %v", kept.Stored(), err, otherErr)
	}
	if got := conflictOf(t, a, tjp); len(got) != 1 || got[0] != done.Addr {
		t.Errorf("heads %v", got)
	}
	mustVerify(t, a)
}

func sameText(a, b ibgib.IbGib) bool {
	x, _ := a.Field("text")
	y, _ := b.Field("text")
	return x.Str() != "" && x.Str() == y.Str()
}

// What no longer fits is skipped on both sides, and is the latest of neither: one puts an
// object in the place of a text, the other one null, later, which no object takes.
func TestSkippedOnBothSides(t *testing.T) {
	a, b := openNode(t), startNode(t, overTCP)
	pair(t, a, b)
	made, err := a.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "note", Data: ibgib.Object(ibgib.Member{Name: "v", Value: ibgib.String("text")})})
	if err != nil {
		t.Fatal(err)
	}
	mustSync(t, a, b, node.SyncOptions{})
	set := func(n *node.Node, members ...ibgib.Member) ibgib.Addr {
		t.Helper()
		change, err := n.Mut8(t.Context(), made.Tjp, ibgib.Mut8Options{Patch: ibgib.Object(members...)})
		if err != nil {
			t.Fatal(err)
		}
		return change.Addr
	}
	set(a, ibgib.Member{Name: "v", Value: ibgib.Object(ibgib.Member{Name: "deep", Value: ibgib.Number(1)})})
	set(b, ibgib.Member{Name: "before", Value: ibgib.Bool(true)}) // so that the next one is the later of two of one millisecond
	skipped := set(b, ibgib.Member{Name: "v", Value: ibgib.Null()}, ibgib.Member{Name: "with", Value: ibgib.Bool(true)})
	mustSync(t, a, b, node.SyncOptions{})
	latest := mergedOn(t, a, made.Tjp)
	if other := mergedOn(t, b, made.Tjp); other != latest {
		t.Fatalf("latest %s and %s", latest, other)
	}
	for _, n := range []*node.Node{a, b} {
		detail, err := n.Conflict(t.Context(), made.Tjp)
		if err != nil || len(detail.Skipped) != 1 || detail.Skipped[0] != skipped {
			t.Errorf("skipped %v, %v, want %s", detail.Skipped, err, skipped)
		}
		g, err := n.Get(t.Context(), latest)
		if err != nil {
			t.Fatal(err)
		}
		_, with := g.Field("with")
		v, _ := g.Field("v")
		if deep, _ := v.Get("deep"); deep.Number() != 1 || with {
			t.Errorf("merged to %s", g.Stored())
		}
		if _, err := n.Get(t.Context(), skipped); err != nil {
			t.Error(err)
		}
		mustVerify(t, n)
	}
}

// What two have decided in two ways is settled by the later keep frame: the merge goes out
// from it, and says so. What a merge below a branch has united is in that branch.
func TestConflictShowsAll(t *testing.T) {
	a, b, tjp := diverged(t, saga.StrategyOptimistic)
	late := startNode(t, overTCP)
	pair(t, a, late)
	mustSync(t, a, late, node.SyncOptions{})
	united := mergedOn(t, a, tjp)
	setText(t, late, tjp, "on the merge, there")
	setText(t, a, tjp, "on the merge, here")
	mustSync(t, a, late, node.SyncOptions{})
	detail, err := a.Conflict(t.Context(), tjp)
	if err != nil || detail.Base.Addr != united || len(detail.Branches) != 2 || !detail.From.IsZero() {
		t.Fatalf("%+v, %v", detail, err)
	}
	theirs := setText(t, b, tjp, "on the merge, by the third")
	mustSync(t, a, b, node.SyncOptions{})
	detail, err = a.Conflict(t.Context(), tjp)
	if err != nil || len(detail.Branches) != 3 {
		t.Fatalf("%+v, %v", detail, err)
	}

	// The first two are settled in one way here, all three in another way there, later.
	heads := conflictOf(t, late, tjp)
	mine, err := late.Resolve(t.Context(), tjp, node.Resolution{Keep: heads[0]})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := a.Resolve(t.Context(), tjp, node.Resolution{Keep: theirs})
	if err != nil {
		t.Fatal(err)
	}
	detail, err = a.Conflict(t.Context(), tjp)
	if err != nil || detail.Ended != kept.Addr || detail.Kept != theirs || detail.Merged || len(detail.Branches) != 3 {
		t.Errorf("after a keep: %+v, %v", detail, err)
	}
	mustSync(t, a, late, node.SyncOptions{})
	detail, err = a.Conflict(t.Context(), tjp)
	if err != nil || !detail.Merged || detail.From != kept.Addr && detail.From != mine.Addr || len(detail.Branches) != 2 {
		t.Fatalf("after two keeps: %+v, %v", detail, err)
	}
	for _, branch := range detail.Branches {
		want := map[ibgib.Addr]int{mine.Addr: 3, kept.Addr: 4}[branch.Head] // the keep frame and what it has settled
		if len(branch.Frames) != want {
			t.Errorf("branch of %s: %+v", branch.Head, branch.Frames)
		}
		for _, f := range branch.Frames {
			if f.Shared == (f.Addr == branch.Head || f.Addr == theirs) {
				t.Errorf("%+v of the branch of %s", f, branch.Head)
			}
		}
	}
	if _, err := a.Conflict(t.Context(), kept.Addr); err != nil {
		t.Error(err)
	}
}
