package blockstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// testClosing lets a long chain arrive newest first: nothing is a head before
// the first frame is there, then everything is.
func testClosing(t *testing.T, s *blockstore.Store) {
	m := NewMaker(3)
	all := m.Timeline(t, "task")
	for i := range 40 {
		all = append(all, m.Mut8(t, Last(all), "v", fmt.Sprint(i))...)
	}
	newest := Last(all)
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	v := s.View(blockstore.DefaultShare)
	Put(t, s, backwards[:len(backwards)-1]...)
	if heads := Heads(t, s); len(heads) != 0 {
		t.Errorf("heads %v although the first ibGib is missing", heads)
	}
	waits := 0
	for _, err := range v.Incomplete(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		waits++
	}
	if waits == 0 {
		t.Error("nothing is reported as incomplete")
	}
	Clean(t, s)
	has, err := v.HasClosed(ctx, []ibgib.Hash{newest.Hash(), all[0].Hash()})
	if err != nil || has[0] || has[1] {
		t.Errorf("closed is %v, %v; want none", has, err)
	}
	res := Put(t, s, all[0])
	if res.Moved != 1 {
		t.Errorf("%d entries moved, want 1", res.Moved)
	}
	tjp, _ := timeline.Claims(newest)
	if got := Heads(t, s)[tjp.String()]; !slices.Equal(got, []string{newest.Addr().String()}) {
		t.Errorf("heads %v, want %s", got, newest.Addr())
	}
	for range v.Incomplete(ctx) {
		t.Error("something still waits")
	}
	Clean(t, s)
}

// testManyLinks puts an ibGib that waits for more than one transaction takes.
func testManyLinks(t *testing.T, s *blockstore.Store) {
	const links = 35_000
	m := NewMaker(11)
	stone := m.Stone(t, "one", "there")
	targets := []ibgib.Addr{stone.Addr()}
	for i := range links {
		targets = append(targets, mustAddr(t, fmt.Sprintf("%s^%064X", strings.Repeat("x", 45), i)))
	}
	big, err := ibgib.New("big", ibgib.Value{}, ibgib.Rel8ns{{Name: "to", Addrs: targets}})
	if err != nil {
		t.Fatal(err)
	}
	Put(t, s, big)
	Put(t, s, stone)
	waits := 0
	for _, err := range s.View(blockstore.DefaultShare).Incomplete(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		waits++
	}
	if waits != links {
		t.Errorf("waits for %d, want %d", waits, links)
	}
	Clean(t, s)
}

// testAlias stores a stone, what links to it under another ib, and what links to
// that, in every order and in one stage or several: the outcome is the same. From a
// peer it is refused.
func testAlias(t *testing.T, open Opener) {
	m := NewMaker(4)
	stone := m.Stone(t, "real", "x")
	alias, err := ibgib.ParseAddr("other^" + stone.Gib())
	if err != nil {
		t.Fatal(err)
	}
	linkTo := func(ib string, to ...ibgib.Addr) ibgib.IbGib {
		t.Helper()
		g, err := ibgib.New(ib, ibgib.Value{}, ibgib.Rel8ns{{Name: "to", Addrs: to}})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	referrer := linkTo("referrer", alias)
	above := linkTo("above", referrer.Addr(), stone.Addr())
	all := []ibgib.IbGib{stone, referrer, above}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		for _, together := range []bool{false, true} {
			s := open(t)
			var gs []ibgib.IbGib
			for _, i := range order {
				gs = append(gs, all[i])
			}
			if together {
				Put(t, s, gs...)
			} else {
				for _, g := range gs {
					Put(t, s, g)
				}
			}
			what := fmt.Sprintf("order %v, together %t", order, together)
			var wrong *blockstore.AliasError
			if _, err := s.Get(ctx, alias); !errors.As(err, &wrong) || !errors.Is(err, blockstore.ErrNotFound) || wrong.Stored != stone.Addr() {
				t.Errorf("%s: get of the alias: %v", what, err)
			}
			v := s.View(blockstore.DefaultShare)
			closed, err := v.HasClosed(ctx, []ibgib.Hash{stone.Hash(), referrer.Hash(), above.Hash()})
			if err != nil || !slices.Equal(closed, []bool{true, false, false}) {
				t.Errorf("%s: closed %v, %v", what, closed, err)
			}
			waits := make(map[ibgib.Addr]ibgib.Addr)
			for inc, err := range v.Incomplete(ctx) {
				if err != nil {
					t.Fatal(err)
				}
				waits[inc.Referrer] = inc.Missing
			}
			if len(waits) != 2 || waits[referrer.Addr()] != alias || waits[above.Addr()] != referrer.Addr() {
				t.Errorf("%s: what waits is %v", what, waits)
			}
			Clean(t, s)
			if report, err := s.Repair(ctx, nil); err != nil || report.Mended+len(report.Lost) > 0 {
				t.Errorf("%s: repair %+v, %v", what, report, err)
			}
		}
	}

	s := open(t)
	Put(t, s, stone)
	both := linkTo("both", mustAddr(t, "p^"+absentHash), mustAddr(t, "q^"+absentHash))
	for peer, want := range map[string][]ibgib.IbGib{"": {both}, "a peer": {referrer, both}} {
		st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{Peer: peer})
		if err != nil {
			t.Fatal(err)
		}
		res, err := st.Put(ctx, []ibgib.IbGib{referrer, both})
		if err != nil {
			t.Fatal(err)
		}
		var refused []ibgib.IbGib
		for _, r := range res.Refused {
			i := slices.IndexFunc(want, func(g ibgib.IbGib) bool { return g.Addr().String() == r.Addr })
			if r.Rule != blockstore.RuleAlias || i < 0 {
				t.Fatalf("from %q: refused %v", peer, r)
			}
			refused = append(refused, want[i])
		}
		if len(refused) != len(want) {
			t.Errorf("from %q: %d refused, want %d", peer, len(refused), len(want))
		}
		if err := st.Discard(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx, both.Addr()); !errors.Is(err, blockstore.ErrNotFound) {
			t.Errorf("a refused ibGib is stored: %v", err)
		}
		collect(t, s)
		Put(t, s, stone)
	}
	Clean(t, s)
}

const absentHash = "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF"

func mustAddr(t *testing.T, s string) ibgib.Addr {
	t.Helper()
	a, err := ibgib.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// testReader reads blocks in the order in which they came, backwards and without
// any order, with large ones and such of another share between them.
func testReader(t *testing.T, s *blockstore.Store) {
	var all []ibgib.IbGib
	for i := range 5 {
		var list []ibgib.IbGib
		for j := range 500 {
			list = append(list, linking(t, fmt.Sprint("stone ", i, " ", j)))
		}
		large, err := ibgib.NewBytes(fmt.Sprint("large ", i), bytes.Repeat([]byte{1, byte(i)}, 100<<10), nil)
		if err != nil {
			t.Fatal(err)
		}
		Put(t, s, append(list, large)...)
		local := linking(t, fmt.Sprint("local ", i))
		if _, _, err := s.Apply(ctx, blockstore.LocalArea, blockstore.Origin{}, []ibgib.IbGib{local}); err != nil {
			t.Fatal(err)
		}
		all = append(append(all, list...), large)
	}
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	r := s.View(blockstore.DefaultShare).Reader()
	for name, list := range map[string][]ibgib.IbGib{
		"forwards": all, "backwards": backwards, "mixed": NewMaker(9).Shuffle(all),
	} {
		for _, want := range list {
			g, err := r.Block(ctx, want.Hash())
			if err != nil || g.Addr() != want.Addr() || !bytes.Equal(g.Stored(), want.Stored()) {
				t.Fatalf("%s: %s is read as %s, %v", name, want.Addr(), g.Addr(), err)
			}
		}
	}
	if _, err := r.Block(ctx, linking(t, "nowhere").Hash()); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("what is not stored: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := r.Block(ended, all[0].Hash()); !errors.Is(err, context.Canceled) {
		t.Errorf("without time: %v", err)
	}
}
