package node_test

import (
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
)

// Nothing links to the dna of a fork of ib^gib, which has no rel8ns. It is kept all
// the same, since it was written here.
func TestGCKeepsDnaOfForks(t *testing.T) {
	n := openNode(t)
	root := parseAddr(t, "ib^gib")
	if _, err := n.Fork(t.Context(), root, ibgib.ForkOptions{DestIb: "fork", Dna: true, Tjp: ibgib.TjpOptions{UUID: true}}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Create(t.Context(), root, ibgib.FirstGenOptions{Ib: "made", Dna: true, Tjp: ibgib.TjpOptions{UUID: true}}); err != nil {
		t.Fatal(err)
	}
	before := mustVerify(t, n).IbGibs
	linked := make(map[ibgib.Addr]bool)
	for a, err := range n.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		g, err := n.Get(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		if !linked[a] {
			linked[a] = false
		}
		for _, to := range g.Links() {
			linked[to] = true
		}
	}
	unlinked := 0
	for a := range linked {
		if !linked[a] && a.Ib() == "fork" {
			unlinked++
		}
	}
	if unlinked == 0 {
		t.Fatal("there is no dna that nothing links to; the test shows nothing")
	}
	report, err := n.GC(t.Context(), blockstore.GCOptions{Age: -1}, nil)
	if err != nil || report.Removed != 0 || mustVerify(t, n).IbGibs != before {
		t.Errorf("%+v, %v", report, err)
	}
}
