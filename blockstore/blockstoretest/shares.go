package blockstoretest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
)

// testShares checks that membership of one share does not count in another.
func testShares(t *testing.T, s *blockstore.Store) {
	m := NewMaker(6)
	all := m.Timeline(t, "task")
	put := func(share blockstore.Share, gs []ibgib.IbGib) {
		t.Helper()
		if _, _, err := s.Apply(ctx, share, blockstore.Origin{}, gs); err != nil {
			t.Fatal(err)
		}
	}
	put(blockstore.LocalArea, all[:len(all)-1])
	put(blockstore.DefaultShare, all[len(all)-1:])
	if heads := Heads(t, s); len(heads) != 0 {
		t.Errorf("heads %v from blocks of another share", heads)
	}
	if empty, err := s.View(7).Empty(ctx); err != nil || !empty {
		t.Errorf("empty is %t, %v", empty, err)
	}
	put(blockstore.DefaultShare, all[:len(all)-1])
	if heads := Heads(t, s); len(heads) != 1 {
		t.Errorf("heads %v, want one timeline", heads)
	}
	Clean(t, s)
}

// newShare makes a named share that has some blocks.
func newShare(t *testing.T, s *blockstore.Store, text string, gs ...ibgib.IbGib) blockstore.Share {
	t.Helper()
	share, err := s.CreateShare([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Apply(ctx, share, blockstore.Origin{}, gs); err != nil {
		t.Fatal(err)
	}
	return share
}

// texts returns what is kept of the named shares.
func texts(t *testing.T, s *blockstore.Store) []string {
	t.Helper()
	records, err := s.ShareRecords()
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, r := range records {
		list = append(list, fmt.Sprintf("%d %s", r.Share, r.Text))
	}
	return list
}

// entriesIn returns the roots of the entries of a share.
func entriesIn(t *testing.T, s *blockstore.Store, share blockstore.Share) []ibgib.Addr {
	t.Helper()
	roots := []ibgib.Addr{}
	for e, err := range s.View(share).Entries(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, e.Root)
	}
	return roots
}

// testNamedShares makes shares, changes what is kept of them, and deletes one: what
// only it had is gone, what another one has stays, and its number is not used again.
func testNamedShares(t *testing.T, s *blockstore.Store) {
	m := NewMaker(31)
	both, own := m.Timeline(t, "both"), m.Timeline(t, "own")
	Put(t, s, both...)
	share := newShare(t, s, "one", append(slices.Clone(both), own...)...)
	stone := m.Stone(t, "stone", "kept")
	if _, _, err := s.Apply(ctx, share, blockstore.Origin{}, []ibgib.IbGib{stone}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPin(ctx, share, stone.Addr()); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(share, both[0].Addr(), false); err != nil {
		t.Fatal(err)
	}
	if err := s.SetShare(share, []byte("uno")); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, s); !slices.Equal(got, []string{fmt.Sprint(share, " uno")}) {
		t.Errorf("shares %q", got)
	}
	Clean(t, s)

	h := Last(own).Hash()
	for name, block := range map[string]func() error{
		"view":   func() error { _, err := s.View(blockstore.DefaultShare).Block(ctx, h); return err },
		"reader": func() error { _, err := s.View(blockstore.DefaultShare).Reader().Block(ctx, h); return err },
		"a neighbour": func() error {
			r := s.View(blockstore.DefaultShare).Reader()
			if _, err := r.Block(ctx, Last(both).Hash()); err != nil {
				return err
			}
			_, err := r.Block(ctx, h)
			return err
		},
	} {
		if err := block(); !errors.Is(err, blockstore.ErrNotFound) {
			t.Errorf("%s of a share shows the block of another one: %v", name, err)
		}
	}
	if _, err := s.Get(ctx, Last(own).Addr()); err != nil {
		t.Errorf("a block of a named share: %v", err)
	}

	open, err := s.NewStage(share, blockstore.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteShare(share); err != nil {
		t.Fatal(err)
	}
	if _, err := open.Put(ctx, own); err == nil {
		t.Error("a stage of a deleted share takes blocks")
	}
	if _, err := s.NewStage(share, blockstore.Origin{}); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("a stage of a deleted share: %v", err)
	}
	for what, err := range map[string]error{
		"again": s.DeleteShare(share), "set": s.SetShare(share, []byte("x")),
	} {
		if !errors.Is(err, blockstore.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.Get(ctx, Last(own).Addr()); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("a block of a deleted share: %v", err)
	}
	if _, err := s.Get(ctx, Last(both).Addr()); err != nil {
		t.Errorf("a block of both shares: %v", err)
	}
	Clean(t, s)
	if next := newShare(t, s, "two"); next == share || len(entriesIn(t, s, next)) != 0 {
		t.Errorf("the next share has number %d, and entries %v", next, entriesIn(t, s, next))
	}
	if got := len(entriesIn(t, s, blockstore.DefaultShare)); got != 1 {
		t.Errorf("%d entries of the default share", got)
	}
}

// testForget takes a timeline and a stone out of a share; they do not come back with
// what links to them, nor with a change, until they are remembered.
func testForget(t *testing.T, s *blockstore.Store) {
	m := NewMaker(32)
	stays, gone := m.Timeline(t, "stays"), m.Timeline(t, "gone")
	stone := m.Stone(t, "stone", "pinned")
	Put(t, s, append(append(slices.Clone(stays), gone...), stone)...)
	if err := s.SetPin(ctx, blockstore.DefaultShare, stone.Addr()); err != nil {
		t.Fatal(err)
	}
	root := gone[0].Addr()
	for _, g := range gone {
		if g.IsTjp() {
			root = g.Addr()
		}
	}
	for _, a := range []ibgib.Addr{root, stone.Addr()} {
		if err := s.Forget(blockstore.DefaultShare, a, true); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, want int) {
		t.Helper()
		if got := entriesIn(t, s, blockstore.DefaultShare); len(got) != want {
			t.Errorf("%s: entries %v, want %d", when, got, want)
		}
		Clean(t, s)
	}
	check("forgotten", 1)
	list, err := s.View(blockstore.DefaultShare).Forgotten(ctx)
	if err != nil || len(list) != 2 || !list[0].Everywhere || list[0].At.IsZero() {
		t.Errorf("forgotten %+v, %v", list, err)
	}
	if roots, err := s.View(blockstore.DefaultShare).ForgottenRoots(ctx); err != nil || len(roots) != 2 {
		t.Errorf("forgotten roots %v, %v", roots, err)
	}
	more := m.Mut8(t, Last(gone), "text", "more")
	Put(t, s, more...)
	check("a change of it", 1)
	Put(t, s, m.Rel8(t, Last(stays), "about", Last(more).Addr())...)
	check("a link to it", 1)
	if _, err := s.Repair(ctx, nil); err != nil {
		t.Fatal(err)
	}
	check("repaired", 1)

	h, _ := root.Hash()
	if err := s.Forget(blockstore.DefaultShare, root, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Remember(ctx, blockstore.DefaultShare, h, true); err != nil {
		t.Fatal(err)
	}
	check("forgotten for another reason", 1)
	if err := s.Remember(ctx, blockstore.DefaultShare, h, true); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("remembered again: %v", err)
	}
	if err := s.Remember(ctx, blockstore.DefaultShare, h, false); err != nil {
		t.Fatal(err)
	}
	check("remembered", 2)
	e, ok, err := s.View(blockstore.DefaultShare).Entry(ctx, h)
	if err != nil || !ok || len(e.Heads) != 1 || e.Heads[0] != Last(more).Addr() {
		t.Errorf("entry %+v, %t, %v", e, ok, err)
	}
	if err := s.Remember(ctx, blockstore.DefaultShare, h, true); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("remembered twice: %v", err)
	}
	if err := s.Remember(ctx, blockstore.DefaultShare, stone.Hash(), true); err != nil {
		t.Fatal(err)
	}
	check("the stone too", 3)

	lone := m.Timeline(t, "lone")
	Put(t, s, lone...)
	for _, g := range lone {
		if g.IsTjp() {
			root = g.Addr()
		}
	}
	if err := s.Forget(blockstore.DefaultShare, root, true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GC(ctx, blockstore.GCOptions{Age: -1, KeepOwn: true}, nil); err != nil {
		t.Fatal(err)
	}
	for _, g := range lone {
		if _, err := s.Get(ctx, g.Addr()); !errors.Is(err, blockstore.ErrNotFound) {
			t.Errorf("after gc: %s: %v", g.Addr(), err)
		}
	}
	check("collected", 3)
	h, _ = root.Hash()
	if err := s.Remember(ctx, blockstore.DefaultShare, h, true); err != nil {
		t.Fatal(err)
	}
	check("of which nothing is left", 3)
	Put(t, s, lone...)
	check("come again", 4)
}
