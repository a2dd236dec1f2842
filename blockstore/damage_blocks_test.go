package blockstore

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// TestDamage finds what is lost of blocks, in which timelines it is, and nothing else.
func TestDamage(t *testing.T) {
	ctx := context.Background()
	one, two := chain(t, "one", 5), chain(t, "two", 5)
	below := link(t, "below")
	pinned, waits := link(t, "pinned", below.Addr()), link(t, "waits", link(t, "absent").Addr())
	all := slices.Concat(one, two, []ibgib.IbGib{below, pinned, waits})
	frames := func(gs []ibgib.IbGib) (list []ibgib.IbGib) {
		for _, g := range gs {
			if _, ok := timeline.Claims(g); ok {
				list = append(list, g)
			}
		}
		return list
	}
	root := func(gs []ibgib.IbGib) ibgib.Hash { return frames(gs)[0].Hash() }
	stone := func(gs []ibgib.IbGib, i int) ibgib.IbGib {
		at := slices.IndexFunc(gs, func(g ibgib.IbGib) bool { return g.Ib() == fmt.Sprint(frames(gs)[0].Ib(), " stone ", i) })
		return gs[at]
	}
	for _, c := range []struct {
		name  string
		lost  []ibgib.IbGib
		roots []ibgib.Hash // nil: not known
	}{
		{"nothing", nil, []ibgib.Hash{}},
		{"a frame", []ibgib.IbGib{frames(one)[3]}, []ibgib.Hash{root(one)}},
		{"the first and the last frame", []ibgib.IbGib{frames(one)[0], frames(one)[5]}, []ibgib.Hash{root(one)}},
		{"a stone of a frame", []ibgib.IbGib{stone(two, 2)}, []ibgib.Hash{root(two)}},
		{"of both", []ibgib.IbGib{stone(two, 2), frames(one)[1]}, []ibgib.Hash{root(one), root(two)}},
		{"a frame with its stone", []ibgib.IbGib{stone(two, 4), frames(two)[5]}, []ibgib.Hash{root(two)}},
		{"below a stone", []ibgib.IbGib{below}, nil},
	} {
		for _, how := range []string{"damaged", "gone", "gone with its member"} {
			if how == "gone with its member" && len(c.lost) > 1 {
				continue // what only one of them links to is not known before that has come
			}
			t.Run(c.name+", "+how, func(t *testing.T) {
				engine := newMemoryKV()
				s, err := open(engine, Options{})
				if err != nil {
					t.Fatal(err)
				}
				if err := putAll(s, all); err != nil {
					t.Fatal(err)
				}
				if err := s.SetPin(ctx, DefaultShare, pinned.Addr()); err != nil {
					t.Fatal(err)
				}
				before := countHeads(t, s)
				var want []ibgib.Hash
				b := newBatch()
				for _, g := range c.lost {
					want = append(want, g.Hash())
					if how == "damaged" {
						b.put(keyOfBlock(t, engine, g), append(appendBlock(nil, g), ' '))
					} else {
						b.remove(keyOfBlock(t, engine, g))
					}
					if how == "gone with its member" {
						b.remove(shareKey(prefixMember, DefaultShare, g.Hash()))
					}
				}
				if err := engine.write(b); err != nil {
					t.Fatal(err)
				}
				s.recent.clear()
				d, err := s.Damage(ctx, DefaultShare, nil)
				if err != nil {
					t.Fatal(err)
				}
				byHash := func(a, b ibgib.Hash) int { return slices.Compare(a[:], b[:]) }
				slices.SortFunc(want, byHash)
				slices.SortFunc(c.roots, byHash)
				if !slices.Equal(d.Blocks, want) || !slices.Equal(d.Roots, c.roots) || (d.Roots == nil) != (c.roots == nil) {
					t.Errorf("damage %v, want %v and %v", d, want, c.roots)
				}
				if err := s.Mend(ctx, c.lost); err != nil {
					t.Fatal(err)
				}
				if report, err := s.Repair(ctx, nil); err != nil || len(report.Lost)+len(report.Moved) > 0 {
					t.Errorf("repair %+v, %v", report, err)
				}
				verifyClean(t, s)
				if n := countHeads(t, s); n != before {
					t.Errorf("%d heads, want %d", n, before)
				}
			})
		}
	}
}
