package node_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// TestSharesKeepApart lets three nodes with two shares make, change and link timelines at
// random, within a share and out of it, and sync in any order. What was made in a share is
// on its members and on nobody else, whatever links were tried, and the members end with
// the same.
func TestSharesKeepApart(t *testing.T) {
	for seed := range uint64(3) {
		random := rand.New(rand.NewPCG(seed, 3))
		nodes := []*node.Node{startNode(t, overTCP), startNode(t, overTCP), startNode(t, overTCP)}
		for i, n := range nodes {
			for _, other := range nodes[:i] {
				pair(t, n, other)
			}
		}
		// Who is a member of what.
		members := map[string][]int{"": {0, 1, 2}, "left": {0, 1}, "right": {1, 2}}
		share(t, "left", nodes[0], nodes[1])
		share(t, "right", nodes[1], nodes[2])

		type made struct {
			tjp   ibgib.Addr
			share string
		}
		var all []made
		known := func(i int) (list []made) { // timelines that a node shows
			for _, m := range all {
				if _, err := nodes[i].Latest(t.Context(), m.tjp); err == nil {
					list = append(list, m)
				}
			}
			return list
		}
		refused := 0
		for step := range 60 {
			i := random.IntN(3)
			switch mine := known(i); {
			case random.IntN(4) == 0 || len(mine) == 0:
				names := []string{"", "left", "right"}
				name := names[random.IntN(3)]
				if name == "left" && i == 2 || name == "right" && i == 0 {
					continue
				}
				all = append(all, made{createIn(t, nodes[i], name, fmt.Sprint("task ", step)).Tjp, name})
			case random.IntN(3) == 0:
				other := (i + 1 + random.IntN(2)) % 3
				syncNow(t, nodes[i], nodes[other], node.SyncOptions{})
			case random.IntN(2) == 0:
				set(t, nodes[i], mine[random.IntN(len(mine))].tjp, fmt.Sprint(step))
			default:
				from, to := mine[random.IntN(len(mine))], mine[random.IntN(len(mine))]
				_, err := nodes[i].Rel8(t.Context(), from.tjp, linkTo(to.tjp))
				var outside *node.OutsideError
				if errors.As(err, &outside) != (from.share != to.share) || err != nil && outside == nil {
					t.Fatalf("seed %d: a link from the share %q to %q: %v", seed, from.share, to.share, err)
				}
				if outside != nil {
					refused++
				}
			}
		}
		for range 3 {
			for _, two := range [][2]int{{0, 1}, {1, 2}, {0, 2}} {
				syncNow(t, nodes[two[0]], nodes[two[1]], node.SyncOptions{})
			}
		}
		for _, m := range all {
			want := ibgib.Addr{}
			for i, n := range nodes {
				isMember := false
				for _, j := range members[m.share] {
					isMember = isMember || i == j
				}
				if !isMember {
					if has(t, n, m.tjp) {
						t.Errorf("seed %d: node %d has %s of the share %q", seed, i, m.tjp, m.share)
					}
					continue
				}
				tl, err := n.Latest(t.Context(), m.tjp)
				if err != nil || tl.Share != m.share || !want.IsZero() && tl.Latest != want {
					t.Errorf("seed %d: node %d has %+v of %q, want %s, %v", seed, i, tl, m.share, want, err)
				}
				want = tl.Latest
			}
		}
		if refused == 0 {
			t.Errorf("seed %d: no link was refused", seed)
		}
		for _, n := range nodes {
			mustVerify(t, n)
		}
	}
}
