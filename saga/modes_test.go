package saga_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// runWith is run with the initiator's configuration changed.
func runWith(t *testing.T, a, b *space, change func(*saga.Config)) (ra, rb saga.Result) {
	t.Helper()
	x, y := saga.Pipe(1 << 20)
	c := a.config(saga.Initiator, x)
	change(&c)
	ra, rb, errA, errB := runConfigs(t.Context(), c, b.config(saga.Responder, y))
	if errA != nil || errB != nil {
		t.Fatalf("initiator: %v; responder: %v", errA, errB)
	}
	return ra, rb
}

func rootOf(g ibgib.IbGib) ibgib.Hash {
	tjp, ok := timeline.Claims(g)
	if !ok {
		panic("no frame")
	}
	h, _ := tjp.Hash()
	return h
}

// headsOf returns the heads of one timeline of the space.
func (s *space) headsOf(root ibgib.Hash) []ibgib.Hash {
	for _, e := range s.heads() {
		if e.Root == root {
			return e.Heads
		}
	}
	return nil
}

func TestOneWay(t *testing.T) {
	for _, mode := range []saga.Mode{saga.ModePull, saga.ModePush} {
		a, b := newSpace(t, 1), newSpace(t, 2)
		from, to := a, b
		if mode == saga.ModePull {
			from, to = b, a
		}
		shared := from.create("shared", nil)
		ahead := from.create("the receiver is ahead", nil)
		run(t, a, b, 1<<20)
		from.change(shared, "key", "sender")
		to.change(shared, "key", "receiver")
		to.change(ahead, "key", "receiver")
		from.create("only the sender", nil)
		to.create("only the receiver", nil)
		old := from.heads()

		ra, rb := runWith(t, a, b, func(c *saga.Config) { c.Mode = mode })
		if !ra.Converged || !rb.Converged || ra.Equal || ra.Mode != mode || rb.Mode != mode {
			t.Errorf("mode %d: %+v, %+v", mode, ra, rb)
		}
		if !sameHeads(from.heads(), old) {
			t.Errorf("mode %d: the sender's heads moved", mode)
		}
		if !includes(t, to, to.heads(), old) || len(to.heads()) != 4 || len(to.headsOf(rootOf(shared))) != 2 {
			t.Errorf("mode %d: the receiver has %v", mode, to.heads())
		}
		to.blocks()
		// What is left goes the other way.
		other := saga.ModePull + saga.ModePush - mode
		if ra, rb = runWith(t, a, b, func(c *saga.Config) { c.Mode = other }); !ra.Converged || !rb.Converged {
			t.Errorf("mode %d: %+v, %+v", other, ra, rb)
		}
		if !sameHeads(a.heads(), b.heads()) {
			t.Errorf("mode %d: the heads differ", other)
		}
	}
}

func TestScope(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	one, linked, other := b.create("one", nil), b.create("linked", nil), b.create("other", nil)
	one = b.change(one, "key", "value")
	one = b.link(one, linked)
	mine, own := a.create("mine", nil), a.create("not asked for", nil)
	nobody := ibgib.Hash{1}

	roots := []ibgib.Hash{rootOf(one), rootOf(mine), nobody, nobody}
	ra, rb := runWith(t, a, b, func(c *saga.Config) { c.Roots = roots })
	for _, r := range []saga.Result{ra, rb} {
		if !r.Converged || r.Differing != 2 || !slices.Equal(r.Absent, []ibgib.Hash{nobody}) {
			t.Errorf("%+v", r)
		}
	}
	if !slices.Equal(a.headsOf(rootOf(one)), []ibgib.Hash{one.Hash()}) || a.headsOf(rootOf(linked)) == nil || a.headsOf(rootOf(other)) != nil {
		t.Error("the initiator has something else than asked for and what it links")
	}
	if b.headsOf(rootOf(mine)) == nil || b.headsOf(rootOf(own)) != nil {
		t.Error("the responder has something else than it was asked about")
	}
	a.blocks()
	b.blocks()
	if ra, rb = runWith(t, a, b, func(c *saga.Config) { c.Roots = roots[:2] }); !ra.Equal || !rb.Equal || ra.Absent != nil {
		t.Errorf("again: %+v, %+v", ra, rb)
	}
	if ra, _ = runWith(t, a, b, func(c *saga.Config) { c.Roots = roots[2:] }); !ra.Equal || len(ra.Absent) != 1 {
		t.Errorf("a timeline that nobody has: %+v", ra)
	}
}

func TestAbort(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	shared, fine, linked := a.create("shared", nil), a.create("fine", nil), a.create("linked", nil)
	run(t, a, b, 1<<20)
	onA, onB := a.change(shared, "key", "a"), b.change(shared, "key", "b")
	fine = a.change(fine, "key", "a")
	b.link(linked, onB) // its closure needs the branch, its head moves all the same
	a.create("new", nil)

	abort := func(c *saga.Config) { c.Strategy = saga.StrategyAbort }
	for round := range 2 {
		ra, rb := runWith(t, a, b, abort)
		for _, r := range []saga.Result{ra, rb} {
			if r.Converged || r.Strategy != saga.StrategyAbort || len(r.Conflicts) != 1 || !r.Conflicts[0].Aborted ||
				r.Conflicts[0].Root != rootOf(shared) || len(r.Conflicts[0].Heads) != 2 ||
				!slices.Equal(r.PeerAborted, []ibgib.Hash{rootOf(shared)}) {
				t.Errorf("round %d: %+v", round, r)
			}
		}
		if ra.PeerStrategy != saga.StrategyOptimistic || rb.PeerStrategy != saga.StrategyAbort {
			t.Errorf("round %d: strategies of the other side are %s and %s", round, ra.PeerStrategy, rb.PeerStrategy)
		}
		if ha, hb := a.headsOf(rootOf(shared)), b.headsOf(rootOf(shared)); !slices.Equal(ha, []ibgib.Hash{onA.Hash()}) || !slices.Equal(hb, []ibgib.Hash{onB.Hash()}) {
			t.Errorf("round %d: the diverged timeline was touched: %v, %v", round, ha, hb)
		}
		if !slices.Equal(b.headsOf(rootOf(fine)), []ibgib.Hash{fine.Hash()}) || !slices.Equal(a.headsOf(rootOf(linked)), b.headsOf(rootOf(linked))) || len(a.heads()) != 4 || len(b.heads()) != 4 {
			t.Errorf("round %d: the others did not go on", round)
		}
		if round == 1 && ra.Sent.IbGibs+ra.Received.IbGibs != 0 {
			t.Error("what had come travelled again")
		}
		a.blocks()
		b.blocks()
	}
	// A milder rule lets the branches, which have come, become heads.
	ra, rb := run(t, a, b, 1<<20)
	if !ra.Converged || !rb.Converged || ra.Sent.IbGibs+ra.Received.IbGibs != 0 || len(a.headsOf(rootOf(shared))) != 2 || !sameHeads(a.heads(), b.heads()) {
		t.Errorf("%+v, %+v", ra, rb)
	}
	// One more branch goes to a timeline that has several heads by now: it travels, and
	// stays out.
	before := b.headsOf(rootOf(shared))
	a.change(onA, "key", "again")
	for round := range 2 {
		ra, rb = runWith(t, a, b, abort)
		if len(ra.PeerAborted) != 1 || len(rb.PeerAborted) != 1 || ra.Sent.IbGibs > 0 != (round == 0) {
			t.Errorf("round %d: %v and %v left alone, %d sent", round, ra.PeerAborted, rb.PeerAborted, ra.Sent.IbGibs)
		}
		if got := b.headsOf(rootOf(shared)); !slices.Equal(got, before) {
			t.Errorf("round %d: heads %v, before %v", round, got, before)
		}
	}
}

// What one side has united is no divergence any more: with abort too, one head in whose
// history all heads of the other side are takes their place, whoever begins.
func TestAbortTakesWhatUnites(t *testing.T) {
	for _, mode := range []saga.Mode{saga.ModeSync, saga.ModePush} {
		a, b := newSpace(t, 1), newSpace(t, 2)
		shared := a.create("shared", nil)
		run(t, a, b, 1<<20)
		kept := a.change(shared, "key", "a")
		b.change(shared, "key", "b")
		run(t, a, b, 1<<20)
		var heads []timeline.Frame
		for _, h := range a.headsOf(rootOf(shared)) {
			f, ok, err := a.store.View(blockstore.DefaultShare).Frame(t.Context(), h)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			heads = append(heads, f)
		}
		frame, dna, err := timeline.Keep(kept, heads, time.UnixMilli(1_900_000_000_000))
		if err != nil || len(heads) != 2 {
			t.Fatalf("%d heads, %v", len(heads), err)
		}
		a.add(dna, frame)
		ra, rb := runWith(t, a, b, func(c *saga.Config) { c.Strategy, c.Mode = saga.StrategyAbort, mode })
		if !ra.Converged || !rb.Converged || len(ra.PeerAborted)+len(rb.PeerAborted) > 0 {
			t.Errorf("%s: %v and %v left alone", mode, ra.PeerAborted, rb.PeerAborted)
		}
		if got := b.headsOf(rootOf(shared)); !slices.Equal(got, []ibgib.Hash{frame.Hash()}) {
			t.Errorf("%s: heads %v, want %s", mode, got, frame.Hash())
		}
	}
}

// TestModesSimulated runs sagas of random modes, strategies and scopes in random
// order of events, and compares with what the rules say.
func TestModesSimulated(t *testing.T) {
	for seed := range seedsOf(t, 200).all {
		simulateMode(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d failed: SAGA_SEED=%d", seed, seed)
		}
	}
}

func simulateMode(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 3))
	spaces := [2]*space{openSpace(t, 2*seed), openSpace(t, 2*seed+1)}
	defer spaces[0].close()
	defer spaces[1].close()
	grow(random, spaces, 5+random.IntN(40))
	old := [2][]timeline.Entry{spaces[0].heads(), spaces[1].heads()}
	both := together(t, spaces)

	mode := saga.Mode(random.IntN(3))
	strategies := [2]saga.Strategy{saga.Strategy(random.IntN(3)), saga.Strategy(random.IntN(3))}
	var roots []ibgib.Hash
	if random.IntN(2) == 0 {
		for root := range both {
			roots = append(roots, root)
		}
		slices.SortFunc(roots, func(a, b ibgib.Hash) int { return slices.Compare(a[:], b[:]) })
		random.Shuffle(len(roots), func(i, j int) { roots[i], roots[j] = roots[j], roots[i] })
		roots = append(roots[:random.IntN(len(roots)+1)], ibgib.Hash{1})
	}
	s := newSimWith(t, random, sha256.New(), spaces, func(o *saga.Options) {
		o.Strategy = strategies[o.Role-1]
		if o.Role == saga.Initiator {
			o.Mode, o.Roots = mode, roots
		}
	})
	if !s.run(-1) {
		return
	}
	aborts := max(strategies[0], strategies[1]) == saga.StrategyAbort
	in := func(root ibgib.Hash) bool { return roots == nil || slices.Contains(roots, root) }
	for i, side := range s.sides {
		r, err := side.m.Result()
		if err != nil {
			t.Error(err)
		}
		first := side.role == saga.Initiator
		takes := mode == saga.ModeSync || (mode == saga.ModePull) == first
		heads := spaces[i].heads()
		if !takes && (!sameHeads(heads, old[i]) || r.Received.IbGibs != 0) {
			t.Errorf("side %d got something", i)
		}
		if !includes(t, spaces[i], heads, old[i]) {
			t.Errorf("side %d lost heads", i)
		}
		aborted := false
		for root, n := range both {
			own, peer := find(old[i], root), find(old[1-i], root)
			differs := in(root) && !slices.Equal(own.Heads, peer.Heads)
			switch {
			case differs && aborts && n > 1:
				aborted = true
				if now := find(heads, root); !slices.Equal(now.Heads, own.Heads) {
					t.Errorf("side %d: diverged timeline %s was touched", i, root)
				}
			case differs && takes && len(peer.Heads) > 0:
				if !includes(t, spaces[i], heads, []timeline.Entry{peer}) {
					t.Errorf("side %d lacks heads of %s", i, root)
				}
			}
		}
		if mode == saga.ModeSync && r.Converged == aborted || !aborted && !r.Converged {
			t.Errorf("side %d: converged %v, aborted %v", i, r.Converged, aborted)
		}
		if roots != nil && !slices.Contains(r.Absent, ibgib.Hash{1}) {
			t.Errorf("side %d: absent %v", i, r.Absent)
		}
		s.closed(i)
	}
}

// TestNothingToSay has many timelines of which neither side has anything to say,
// and nothing else that keeps the saga going.
func TestNothingToSay(t *testing.T) {
	spaces := [2]*space{newSpace(t, 1), newSpace(t, 2)}
	var roots []ibgib.Hash
	for i := range 20 {
		roots = append(roots, rootOf(spaces[1].create(fmt.Sprint("timeline ", i), nil)))
	}
	for seed := range uint64(20) {
		s := newSimWith(t, rand.New(rand.NewPCG(seed, 5)), sha256.New(), spaces, func(o *saga.Options) {
			if o.Role == saga.Initiator { // to the side that has everything
				o.Roots, o.Mode = roots, saga.ModePull
				if o.Self == "0" {
					o.Mode = saga.ModePush
				}
			}
		})
		for _, side := range s.sides {
			pace := randomPace(s.random)
			pace.PageRows = 1
			side.m.SetPace(pace)
		}
		if !s.run(-1) {
			t.Fatalf("seed %d", seed)
		}
	}
}

// together returns how many heads each timeline has when all that two spaces
// hold comes together.
func together(t *testing.T, spaces [2]*space) map[ibgib.Hash]int {
	all := newSpace(t, 9)
	defer all.store.Close()
	for _, s := range spaces {
		for h := range closure(t, s) {
			g, err := s.Block(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			all.add(g)
		}
	}
	heads := make(map[ibgib.Hash]int)
	for _, e := range all.heads() {
		heads[e.Root] = len(e.Heads)
	}
	return heads
}

func find(entries []timeline.Entry, root ibgib.Hash) timeline.Entry {
	for _, e := range entries {
		if e.Root == root {
			return e
		}
	}
	return timeline.Entry{Root: root}
}

// Names stand in JSON, that of a log for example, as they do in text.
func TestNamesInJSON(t *testing.T) {
	text, err := json.Marshal([]any{saga.ID{0xAB}, saga.Responder, saga.ModePull, saga.StrategyAbort})
	want := `["ab` + strings.Repeat("0", 62) + `","responder","pull","abort"]`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v, want %s", text, err, want)
	}
}
