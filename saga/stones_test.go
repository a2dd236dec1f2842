package saga_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// stone makes a constant, with links if any are given, and stores it.
func (s *space) stone(text string, links ...ibgib.IbGib) ibgib.IbGib {
	s.t.Helper()
	var rel8ns ibgib.Rel8ns
	for _, g := range links {
		rel8ns = append(rel8ns, ibgib.Rel8n{Name: fmt.Sprint("to", len(rel8ns)), Addrs: []ibgib.Addr{g.Addr()}})
	}
	g, err := ibgib.New("stone", ibgib.String(text), rel8ns)
	if err != nil {
		s.t.Fatal(err)
	}
	s.add(g)
	return g
}

func (s *space) pin(g ibgib.IbGib) ibgib.IbGib {
	s.t.Helper()
	if err := s.store.SetPin(s.t.Context(), blockstore.DefaultShare, g.Addr()); err != nil {
		s.t.Fatal(err)
	}
	return g
}

func (s *space) unpin(g ibgib.IbGib) {
	s.t.Helper()
	if err := s.store.RemovePin(s.t.Context(), blockstore.DefaultShare, g.Addr()); err != nil {
		s.t.Fatal(err)
	}
}

// pins returns the hashes of what is pinned, ascending.
func (s *space) pins() []ibgib.Hash {
	s.t.Helper()
	var list []ibgib.Hash
	for a, err := range s.Pins(s.t.Context()) {
		if err != nil {
			s.t.Fatal(err)
		}
		h, _ := a.Hash()
		list = append(list, h)
	}
	return list
}

// verify checks the store of a space.
func (s *space) verify() {
	s.t.Helper()
	report, err := s.store.Verify(s.t.Context(), nil)
	if err != nil || len(report.Problems) > 0 {
		s.t.Errorf("verify: %v, %v", report.Problems, err)
	}
}

// between runs a saga with a mode and a scope, and demands that it converges.
func between(t *testing.T, a, b *space, mode saga.Mode, roots ...ibgib.IbGib) (ra, rb saga.Result) {
	t.Helper()
	ca, cb := saga.Pipe(1 << 20)
	from := a.config(saga.Initiator, ca)
	from.Mode = mode
	for _, g := range roots {
		from.Roots = append(from.Roots, g.Hash())
	}
	ra, rb, errA, errB := runConfigs(t.Context(), from, b.config(saga.Responder, cb))
	if errA != nil || errB != nil || !ra.Converged || !rb.Converged {
		t.Fatalf("initiator: %v, converged %t; responder: %v, converged %t", errA, ra.Converged, errB, rb.Converged)
	}
	a.verify()
	b.verify()
	return ra, rb
}

// Pinned stones are entries: both sides have the same ones after a saga, with
// what they link.
func TestPinnedStones(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	note := a.create("note", nil)
	below := a.stone("below", note)
	for i := range 50 {
		a.pin(a.stone(fmt.Sprint("of a ", i), below))
		b.pin(b.stone(fmt.Sprint("of b ", i)))
	}
	a.pin(a.stone("of both"))
	b.pin(b.stone("of both"))
	ra, rb := between(t, a, b, saga.ModeSync)
	if len(ra.Lacking)+len(rb.Lacking) > 0 {
		t.Errorf("lacking %v and %v", ra.Lacking, rb.Lacking)
	}
	if !sameHeads(a.heads(), b.heads()) || len(a.pins()) != 101 || !slices.Equal(a.pins(), b.pins()) {
		t.Errorf("%d pins and %d, want the same 101", len(a.pins()), len(b.pins()))
	}
	if ra, _ := between(t, b, a, saga.ModeSync); !ra.Equal {
		t.Error("a second saga finds differences")
	}
	for _, s := range []*space{a, b} {
		if report, err := s.store.GC(t.Context(), blockstore.GCOptions{Age: -1, KeepOwn: true}, nil); err != nil || report.Removed != 0 {
			t.Errorf("gc removes %d, %v", report.Removed, err)
		}
	}
}

// A stone goes one way, by itself, and alone where the saga is about nothing else.
func TestPinnedStonesOneWay(t *testing.T) {
	for _, mode := range []saga.Mode{saga.ModePull, saga.ModePush} {
		for _, alone := range []bool{false, true} {
			t.Run(fmt.Sprintf("mode %d, alone %t", mode, alone), func(t *testing.T) {
				a, b := newSpace(t, 1), newSpace(t, 2)
				from, to := a, b
				if mode == saga.ModePull {
					from, to = b, a
				}
				one, other := from.pin(from.stone("one")), from.pin(from.stone("other"))
				to.pin(to.stone("not to travel"))
				want := []ibgib.IbGib{one, other}
				if alone {
					between(t, a, b, mode, one)
					want = want[:1]
				} else {
					between(t, a, b, mode)
				}
				if len(from.pins()) != 2 || len(to.pins()) != 1+len(want) {
					t.Errorf("%d pins and %d", len(from.pins()), len(to.pins()))
				}
				for _, g := range want {
					if !slices.Contains(to.pins(), g.Hash()) {
						t.Errorf("%s is not pinned", g.Addr())
					}
				}
			})
		}
	}
}

// A stone that is there as part of something else becomes an entry without
// travelling.
func TestPinnedStoneThatIsThere(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	stone := a.stone("linked")
	note := a.link(a.create("note", nil), stone)
	run(t, a, b, 1<<20)
	a.pin(stone)
	ra, rb := between(t, a, b, saga.ModeSync)
	if ra.Sent.IbGibs+rb.Sent.IbGibs != 0 {
		t.Errorf("%d and %d ibGibs travelled", ra.Sent.IbGibs, rb.Sent.IbGibs)
	}
	if !slices.Equal(b.pins(), []ibgib.Hash{stone.Hash()}) {
		t.Errorf("pins %v, want %s", b.pins(), stone.Hash())
	}
	if _, ok, _ := b.Frame(t.Context(), note.Hash()); !ok {
		t.Error("the note is gone")
	}
}

// The only frame of a timeline looks like a stone to who has only its hash, but
// is not pinned when it turns out to be there.
func TestFirstFrameIsNoStone(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	first, err := ibgib.New("note", ibgib.Object(ibgib.Member{Name: "isTjp", Value: ibgib.Bool(true)}), nil)
	if err != nil {
		t.Fatal(err)
	}
	a.add(first)
	cut, err := b.intake(t.Context()) // a saga that ended before its commit
	if err == nil {
		err = cut.Put(t.Context(), []ibgib.IbGib{first})
	}
	if err == nil {
		err = cut.Discard()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, rb := between(t, a, b, saga.ModeSync); rb.Received.IbGibs != 0 {
		t.Errorf("%d ibGibs travelled", rb.Received.IbGibs)
	}
	if len(b.pins()) > 0 || len(b.heads()) != 1 {
		t.Errorf("pins %v, %d heads; want the timeline and no pin", b.pins(), len(b.heads()))
	}
}

// What one side unpins the other side brings back; what both unpin is gone.
func TestUnpinTakesBoth(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	stone := a.pin(a.stone("x"))
	between(t, a, b, saga.ModeSync)
	a.unpin(stone)
	if _, err := a.store.GC(t.Context(), blockstore.GCOptions{Age: -1}, nil); err != nil {
		t.Fatal(err)
	}
	between(t, a, b, saga.ModeSync)
	if !slices.Equal(a.pins(), []ibgib.Hash{stone.Hash()}) {
		t.Error("the other side's pin was not taken over")
	}
	a.unpin(stone)
	b.unpin(stone)
	if ra, _ := between(t, a, b, saga.ModeSync); !ra.Equal || len(a.pins())+len(b.pins()) > 0 {
		t.Errorf("%d and %d pins are left", len(a.pins()), len(b.pins()))
	}
}

// A stone that is unpinned, and collected, while a saga runs that has named it still
// arrives.
func TestUnpinWhileSagaRuns(t *testing.T) {
	for seed := range uint64(20) {
		a, b := newSpace(t, 1), newSpace(t, 2)
		stone := a.pin(a.stone("x", a.stone("below")))
		b.create("note", nil)
		release := a.store.HoldHeads(blockstore.DefaultShare)
		s := newSim(t, rand.New(rand.NewPCG(seed, 6)), sha256.New(), [2]*space{a, b})
		named := false
		s.onTheWay = func(_ *simSide, m saga.Message) []saga.Message {
			if s.sides[0].m.Progress().Differing > 0 && !named {
				named = true
				a.unpin(stone)
				if _, err := a.store.GC(t.Context(), blockstore.GCOptions{Age: -1}, nil); err != nil {
					t.Fatal(err)
				}
			}
			return []saga.Message{m}
		}
		s.run(-1)
		for i, side := range s.sides {
			if r, err := side.m.Result(); err != nil || !named || !r.Converged || s.failed[i] != nil {
				t.Errorf("seed %d, side %d: unpinned %t, converged %t, %v, %v", seed, i, named, r.Converged, err, s.failed[i])
			}
		}
		if !slices.Equal(b.pins(), []ibgib.Hash{stone.Hash()}) {
			t.Errorf("seed %d: pins %v, want %s", seed, b.pins(), stone.Hash())
		}
		release()
		if report, err := a.store.GC(t.Context(), blockstore.GCOptions{Age: -1}, nil); err != nil || report.Removed != 2 {
			t.Errorf("seed %d: gc removes %d after the saga, %v; want 2", seed, report.Removed, err)
		}
	}
}
