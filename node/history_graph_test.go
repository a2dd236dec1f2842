package node_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// A history with a merge comes each frame before those that it stands on, whether the
// timeline counts its frames or not. One who accepts the merge stands on it alone.
func TestHistoryOfAMerge(t *testing.T) {
	for _, counts := range []bool{true, false} {
		t.Run(fmt.Sprint("counts ", counts), func(t *testing.T) {
			n := openNode(t)
			data := ibgib.Object(ibgib.Member{Name: "isTjp", Value: ibgib.Bool(true)})
			if counts {
				data = data.With("n", ibgib.Number(0))
			}
			at := time.UnixMilli(1_700_000_000_000)
			tjp, err := ibgib.New("line", ibgib.Stamp{At: at}.On(data), nil)
			if err != nil {
				t.Fatal(err)
			}
			file := append(bytes.Clone(tjp.Stored()), '\n')
			for k := range 2 {
				src := tjp
				for i := range 2 {
					res, err := ibgib.Mut8(src, ibgib.Mut8Options{
						Patch:    ibgib.Object(ibgib.Member{Name: fmt.Sprint("k", k), Value: ibgib.Number(float64(i))}),
						NCounter: counts, Dna: true, LinkedRel8ns: []string{"past", "dna"},
					}, ibgib.Env{Now: func() time.Time { at = at.Add(time.Second); return at }})
					if err != nil {
						t.Fatal(err)
					}
					for _, g := range res.All() {
						file = append(append(file, g.Stored()...), '\n')
					}
					src = res.New
				}
			}
			importBytes(t, n, file)
			check := func(frames int) node.HistoryFrame {
				t.Helper()
				var first node.HistoryFrame
				seen := make(map[ibgib.Addr]bool)
				for f, err := range n.History(t.Context(), tjp.Addr(), 0) {
					if err != nil {
						t.Fatal(err)
					}
					if len(seen) == 0 {
						first = f
					}
					for _, p := range f.Parents {
						if seen[p] {
							t.Errorf("%s comes after %s, on which it stands", f.Addr, p)
						}
					}
					if seen[f.Addr] {
						t.Errorf("%s comes twice", f.Addr)
					}
					seen[f.Addr] = true
				}
				if len(seen) != frames || !first.Latest {
					t.Errorf("%d frames, want %d; the first is %+v", len(seen), frames, first)
				}
				return first
			}
			if f := check(6); f.Kind != "merge" || len(f.Parents) != 2 {
				t.Errorf("the first is %+v", f)
			}
			merge := mergedOn(t, n, tjp.Addr())
			if _, err := n.Resolve(t.Context(), tjp.Addr(), node.Resolution{Merge: true}); err != nil {
				t.Fatal(err)
			}
			if f := check(7); f.Kind != "keep" || len(f.Parents) != 1 || f.Parents[0] != merge {
				t.Errorf("the first is %+v", f)
			}
		})
	}
}
