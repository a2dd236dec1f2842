package node_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

func isNotFound(err error) bool { return errors.Is(err, blockstore.ErrNotFound) }

func patch(name string, v ibgib.Value) ibgib.Mut8Options {
	return ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: name, Value: v})}
}

func create(t testing.TB, n *node.Node, o ibgib.FirstGenOptions) node.Change {
	t.Helper()
	c, err := n.Create(t.Context(), ibgib.Addr{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTimeline(t *testing.T) {
	n := openNode(t)
	made := create(t, n, ibgib.FirstGenOptions{Ib: "note", Data: ibgib.Object(ibgib.Member{Name: "text", Value: ibgib.String("a")})})
	if made.N == nil || *made.N != 1 || made.Addr.Ib() != "note" || made.Stored != 4 {
		t.Errorf("create: %+v", made)
	}
	changed, err := n.Mut8(t.Context(), made.Tjp, patch("text", ibgib.String("b")))
	if err != nil {
		t.Fatal(err)
	}
	other := create(t, n, ibgib.FirstGenOptions{Ib: "other"})
	linked, err := n.Rel8(t.Context(), made.Addr, ibgib.Rel8Options{Add: ibgib.Rel8ns{{Name: "see", Addrs: []ibgib.Addr{other.Addr}}}})
	if err != nil {
		t.Fatal(err)
	}
	if changed.Tjp != made.Tjp || linked.Tjp != made.Tjp || *changed.N != 2 || *linked.N != 3 {
		t.Errorf("mut8: %+v, rel8: %+v", changed, linked)
	}

	g, err := n.Get(t.Context(), linked.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if past := g.Rel("past"); len(past) != 1 || past[0] != changed.Addr {
		t.Errorf("past %v, want linked", past)
	}
	if dna := g.Rel("dna"); len(dna) != 1 {
		t.Errorf("dna %v, want linked", dna)
	}
	if v, _ := g.Field("text"); v.Str() != "b" {
		t.Errorf("text %v", v)
	}

	var log []ibgib.Addr
	for f, err := range n.Log(t.Context(), made.Tjp, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if f.Time.IsZero() {
			t.Errorf("frame %+v without time", f)
		}
		log = append(log, f.Addr)
	}
	if want := []ibgib.Addr{linked.Addr, changed.Addr, made.Addr, made.Tjp}; !slices.Equal(log, want) {
		t.Errorf("log %v, want %v", log, want)
	}
	log = nil
	for f, err := range n.Log(t.Context(), changed.Addr, 2) {
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, f.Addr)
	}
	if want := []ibgib.Addr{changed.Addr, made.Addr}; !slices.Equal(log, want) {
		t.Errorf("log from a frame %v, want %v", log, want)
	}

	if f, err := n.FrameAt(t.Context(), made.Tjp, 2); err != nil || f.Addr != changed.Addr || f.Dna.IsZero() {
		t.Errorf("frame 2: %+v, %v", f, err)
	}
	if _, err := n.FrameAt(t.Context(), made.Tjp, 7); !isNotFound(err) {
		t.Errorf("frame 7: %v", err)
	}
	if tl, err := n.Latest(t.Context(), changed.Addr); err != nil || tl.Latest != linked.Addr || tl.Tjp != made.Tjp || *tl.N != 3 || len(tl.Heads) != 1 {
		t.Errorf("latest: %+v, %v", tl, err)
	}

	fork, err := n.Fork(t.Context(), changed.Addr, ibgib.ForkOptions{DestIb: "copy", CloneData: true})
	if err != nil {
		t.Fatal(err)
	}
	if fork.Tjp == made.Tjp || fork.Addr != fork.Tjp || *fork.N != 0 {
		t.Errorf("fork: %+v", fork)
	}
	mustVerify(t, n)
}

func TestChangesRefused(t *testing.T) {
	n := openNode(t)
	made := create(t, n, ibgib.FirstGenOptions{Ib: "note"})
	unknown := parseAddr(t, "x^"+strings.Repeat("A", 64))
	stone, err := ibgib.New("stone", ibgib.Number(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	importBytes(t, n, stone.Stored())

	var transform *ibgib.TransformError
	if _, err := n.Mut8(t.Context(), made.Tjp, patch("isTjp", ibgib.Bool(true))); !errors.As(err, &transform) || transform.Rule != ibgib.RuleReservedMember {
		t.Errorf("reserved member: %v", err)
	}
	if _, err := n.Mut8(t.Context(), made.Tjp, ibgib.Mut8Options{}); !errors.As(err, &transform) || transform.Rule != ibgib.RuleNothingToDo {
		t.Errorf("nothing to do: %v", err)
	}
	if _, err := n.Mut8(t.Context(), unknown, patch("a", ibgib.Null())); !isNotFound(err) {
		t.Errorf("unknown timeline: %v", err)
	}
	if _, err := n.Mut8(t.Context(), stone.Addr(), patch("a", ibgib.Null())); !isNotFound(err) {
		t.Errorf("a stone: %v", err)
	}
	if _, err := n.Mut8(t.Context(), parseAddr(t, "ib^gib"), patch("a", ibgib.Null())); !errors.Is(err, node.ErrInput) {
		t.Errorf("a primitive: %v", err)
	}
	var missing *node.MissingLinkError
	if _, err := n.Rel8(t.Context(), made.Tjp, ibgib.Rel8Options{Add: ibgib.Rel8ns{{Name: "to", Addrs: []ibgib.Addr{unknown}}}}); !errors.As(err, &missing) || missing.Addr != unknown {
		t.Errorf("missing link: %v", err)
	}
	if _, err := n.Rel8(t.Context(), made.Tjp, ibgib.Rel8Options{Add: ibgib.Rel8ns{{Name: "to", Addrs: []ibgib.Addr{parseAddr(t, "y^"+stone.Gib())}}}}); err == nil {
		t.Error("a link to an alias was accepted")
	}
	if tl, err := n.Latest(t.Context(), made.Tjp); err != nil || tl.Latest != made.Addr {
		t.Errorf("a refused change moved the timeline: %+v, %v", tl, err)
	}
	mustVerify(t, n)
}

// Two writers never make a timeline diverge.
func TestConcurrentChangesStayLinear(t *testing.T) {
	n := openNode(t)
	made := create(t, n, ibgib.FirstGenOptions{Ib: "counter"})
	const writers, each = 20, 5
	var join sync.WaitGroup
	for w := range writers {
		join.Go(func() {
			for i := range each {
				if _, err := n.Mut8(t.Context(), made.Tjp, patch(fmt.Sprintf("w%d", w), ibgib.Number(float64(i)))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	join.Wait()
	tl, err := n.Latest(t.Context(), made.Tjp)
	if err != nil {
		t.Fatal(err)
	}
	if len(tl.Heads) != 1 || *tl.N != writers*each {
		t.Errorf("%d heads, n %d, want 1 and %d", len(tl.Heads), *tl.N, writers*each)
	}
	n2 := int64(writers * each)
	for f, err := range n.Log(t.Context(), made.Tjp, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if *f.N != n2 {
			t.Fatalf("frame %d where %d was expected", *f.N, n2)
		}
		n2--
	}
	if n2 != -1 {
		t.Errorf("the log ends above frame %d", n2)
	}
	mustVerify(t, n)
}
