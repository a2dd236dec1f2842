package saga_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// forget takes a timeline out of the space.
func (s *space) forget(root ibgib.Addr) {
	s.t.Helper()
	if err := s.store.Forget(0, root, true); err != nil {
		s.t.Fatal(err)
	}
}

func (s *space) forgotten() []ibgib.Hash {
	s.t.Helper()
	roots, err := s.ForgottenRoots(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return roots
}

// runForgetful is run between sides that say what they have forgotten; known is what the
// initiator remembers of the responder.
func runForgetful(t *testing.T, a, b *space, known []ibgib.Hash) (ra, rb saga.Result) {
	t.Helper()
	x, y := saga.Pipe(1 << 20)
	ca, cb := a.config(saga.Initiator, x), b.config(saga.Responder, y)
	ca.Forgotten, ca.PeerForgotten, cb.Forgotten = a.forgotten(), known, b.forgotten()
	ra, rb, errA, errB := runConfigs(t.Context(), ca, cb)
	if errA != nil || errB != nil {
		t.Fatalf("initiator: %v; responder: %v", errA, errB)
	}
	return ra, rb
}

// TestForgotten lets both sides forget timelines, which others link to. The sides
// converge, nothing that was forgotten comes back, what is left is the same on both, and
// the next saga finds nothing to do, in one round trip.
func TestForgotten(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 7))
		a, b := newSpace(t, 2*seed), newSpace(t, 2*seed+1)
		spaces := [2]*space{a, b}
		var frames []ibgib.IbGib
		for range 3 + random.IntN(40) {
			frames = append(frames, spaces[random.IntN(2)].create("task", nil))
		}
		run(t, a, b, 1<<20)
		gone := make(map[ibgib.Hash]int) // bit i: side i has forgotten it
		for range 1 + random.IntN(4) {
			f := frames[random.IntN(len(frames))]
			side := random.IntN(2)
			spaces[side].forget(tjpOf(f))
			gone[rootOf(f)] |= 1 << side
		}
		for range random.IntN(20) {
			side, f := random.IntN(2), frames[random.IntN(len(frames))]
			if gone[rootOf(f)]&(1<<side) != 0 {
				continue
			}
			if to := frames[random.IntN(len(frames))]; random.IntN(2) == 0 {
				spaces[side].link(f, to)
			} else {
				spaces[side].change(f, "key", "value")
			}
		}
		ra, rb := runForgetful(t, a, b, nil)
		if !ra.Converged || !rb.Converged {
			t.Errorf("seed %d: converged %t, %t", seed, ra.Converged, rb.Converged)
		}
		for i, s := range spaces {
			s.blocks()
			for _, e := range s.heads() {
				if gone[e.Root]&(1<<i) != 0 {
					t.Errorf("seed %d: side %d has timeline %s again", seed, i, e.Root)
				}
				if gone[e.Root] == 0 && !slices.Equal(e.Heads, spaces[1-i].headsOf(e.Root)) {
					t.Errorf("seed %d: the heads of %s differ", seed, e.Root)
				}
			}
		}
		if !slices.Equal(ra.PeerForgotten, b.forgotten()) || !slices.Equal(rb.PeerForgotten, a.forgotten()) {
			t.Errorf("seed %d: forgotten %v and %v", seed, ra.PeerForgotten, rb.PeerForgotten)
		}
		if ra, rb = runForgetful(t, a, b, ra.PeerForgotten); !ra.Equal || !rb.Equal || ra.Rounds != 1 {
			t.Errorf("seed %d: the next saga: %+v, %+v", seed, ra, rb)
		}
	}
}

// TestForgottenNoMore lets the responder remember what the initiator thinks that it has
// forgotten. It gets it back with the second saga at the latest.
func TestForgottenNoMore(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	for range 30 {
		a.create("task", nil)
	}
	back := a.create("back", nil)
	first, _ := runForgetful(t, a, b, []ibgib.Hash{rootOf(back)})
	second, _ := runForgetful(t, a, b, first.PeerForgotten)
	if !first.Converged || !second.Converged || !slices.Equal(a.headsOf(rootOf(back)), b.headsOf(rootOf(back))) {
		t.Errorf("converged %t, %t; heads %v and %v", first.Converged, second.Converged, a.headsOf(rootOf(back)), b.headsOf(rootOf(back)))
	}
}

func tjpOf(g ibgib.IbGib) ibgib.Addr {
	if g.IsTjp() {
		return g.Addr()
	}
	tjp, _ := g.LastRel("tjp")
	return tjp
}

// TestShareOfSaga runs sagas about a named share, and such whose sides mean different
// ones.
func TestShareOfSaga(t *testing.T) {
	for _, c := range []struct {
		a, b string
		code saga.Code
	}{{"x", "x", 0}, {"x", "", saga.CodeUnsupported}, {"", "x", saga.CodeUnsupported}, {"x", "y", saga.CodeUnsupported}} {
		a, b := newSpace(t, 1), newSpace(t, 2)
		a.create("task", nil)
		x, y := saga.Pipe(1 << 20)
		ca, cb := a.config(saga.Initiator, x), b.config(saga.Responder, y)
		ca.Share, cb.Share = c.a, c.b
		ra, _, errA, errB := runConfigs(t.Context(), ca, cb)
		if c.code == 0 {
			if errA != nil || errB != nil || !ra.Converged {
				t.Errorf("%v: %v, %v", c, errA, errB)
			}
			continue
		}
		wantError(t, errB, c.code, false)
		if len(b.heads()) != 0 {
			t.Errorf("%v: something has come", c)
		}
	}
}

// TestDirections lets both sides say which way payload may travel.
func TestDirections(t *testing.T) {
	for _, c := range []struct {
		asked, allowed saga.Mode
		toA, toB       bool
		code           saga.Code
	}{
		{saga.ModeSync, saga.ModeSync, true, true, 0},
		{saga.ModeSync, saga.ModePull, true, false, 0},
		{saga.ModeSync, saga.ModePush, false, true, 0},
		{saga.ModePull, saga.ModeSync, true, false, 0},
		{saga.ModePush, saga.ModePush, false, true, 0},
		{saga.ModePush, saga.ModePull, false, false, saga.CodeUnsupported},
		{saga.ModePull, saga.ModePush, false, false, saga.CodeUnsupported},
	} {
		for _, timelines := range []int{1, 30} { // with the map in the init, and without
			a, b := newSpace(t, 1), newSpace(t, 2)
			for range timelines {
				a.create("of a", nil)
				b.create("of b", nil)
			}
			x, y := saga.Pipe(1 << 20)
			ca, cb := a.config(saga.Initiator, x), b.config(saga.Responder, y)
			ca.Mode, cb.Mode = c.asked, c.allowed
			ra, rb, errA, errB := runConfigs(t.Context(), ca, cb)
			if c.code != 0 {
				wantError(t, errA, c.code, true)
				wantError(t, errB, c.code, false)
			} else if errA != nil || errB != nil || !ra.Converged || !rb.Converged || ra.Mode != rb.Mode {
				t.Errorf("%v: %v, %v, converged %t, %t, modes %v, %v", c, errA, errB, ra.Converged, rb.Converged, ra.Mode, rb.Mode)
			}
			if gotA, gotB := len(a.heads()) > timelines, len(b.heads()) > timelines; gotA != c.toA || gotB != c.toB {
				t.Errorf("%v: something came to a: %t, to b: %t", c, gotA, gotB)
			}
		}
	}
}
