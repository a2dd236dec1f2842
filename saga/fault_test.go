package saga_test

import (
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// faults are what can go wrong in a saga, each at a random step and mostly on
// one side:
//
//   - cut: the connection breaks; what is on the way to one side may still arrive;
//   - drop: nothing that this side says from now on arrives;
//   - stall: this side neither works nor listens any more;
//   - delay: this side is very slow with one kind of work;
//   - duplicate: a second saga of the same two begins;
//   - crash: this side ends as by SIGKILL, and starts again with what was written;
//   - disk full, full at commit: this side's store cannot put, or not commit.
var faults = []string{"cut", "drop", "stall", "delay", "duplicate", "crash", "disk full", "full at commit"}

// TestFaults lets sagas run into schedules of faults and then one run to its
// end. Whatever happens, a saga that does not end well ends with a typed error
// that says that trying again may help, no head ever lacks anything of its
// closure, no head is lost, a store that crashed verifies, and the last saga brings
// both sides to the same heads. Each seed gives the same trace of whole messages.
// Over all seeds, every fault has struck a saga under way on either side, and over
// 10,000 also in every stage.
//
// SAGA_SEEDS=N runs N seeds for as long as it takes, SAGA_SEED=S begins with seed
// S, alone if no number is given; SAGA_TRACE=FILE writes all traces to a file.
func TestFaults(t *testing.T) {
	const most = time.Minute // without SAGA_SEEDS
	seeds := seedsOf(t, 500)
	tally := newTally()
	began := time.Now()
	ran := 0
	for seed := range seeds.all {
		if !seeds.given && time.Since(began) > most {
			t.Logf("stopped before seed %d: %v are over", seed, most)
			break
		}
		trace := withFaults(t, seed, tally)
		if t.Failed() {
			t.Fatalf("seed %d failed: SAGA_SEED=%d", seed, seed)
		}
		if seed%10 == 0 && withFaults(t, seed, newTally()) != trace {
			t.Fatalf("seed %d does not repeat", seed)
		}
		ran++
	}
	t.Logf("%d seeds in %v; ends of a side: %v; faults that struck: %v", ran, time.Since(began).Round(time.Millisecond), tally.ends, tally.struck)
	if ran >= 300 {
		tally.complete(t, ran >= 10_000)
	}
}

// tally counts over many sagas.
type tally struct {
	ends   map[string]int                    // how sides ended
	struck map[string]int                    // faults
	where  map[string]map[string]map[int]int // of these: fault, role of the side, stage of that side
}

func newTally() *tally {
	return &tally{make(map[string]int), make(map[string]int), make(map[string]map[string]map[int]int)}
}

func (c *tally) strike(kind string, side *simSide) {
	c.struck[kind]++
	if c.where[kind] == nil {
		c.where[kind] = make(map[string]map[int]int)
	}
	role := side.role.String()
	if c.where[kind][role] == nil {
		c.where[kind][role] = make(map[int]int)
	}
	c.where[kind][role][int(max(side.m.Progress().Stage, saga.StageInit))]++
}

// complete fails the test if a fault never struck a role, or, after a long run, never
// in a stage.
func (c *tally) complete(t *testing.T, long bool) {
	t.Helper()
	for _, kind := range faults {
		stages := []saga.Stage{saga.StageInit, saga.StageAck, saga.StageDelta, saga.StageCommit}
		switch kind {
		case "disk full", "full at commit":
			stages = []saga.Stage{saga.StageDelta} // nothing is put before, nor after the commit
		}
		for _, role := range []saga.Role{saga.Initiator, saga.Responder} {
			if len(c.where[kind][role.String()]) == 0 {
				t.Errorf("no %s struck the %s", kind, role)
			}
			for _, stage := range stages {
				if long && c.where[kind][role.String()][int(stage)] == 0 {
					t.Errorf("no %s struck the %s in stage %s", kind, role, stage)
				}
			}
		}
	}
	if c.ends["in sync"] == 0 || c.ends["after one commit"] == 0 {
		t.Errorf("ends %v: some were in sync, and in some only one side committed", c.ends)
	}
}

func withFaults(t *testing.T, seed uint64, c *tally) [32]byte {
	random := rand.New(rand.NewPCG(seed, 4))
	trace := newTrace(t, seed)
	spaces := [2]*space{openSpace(t, 2*seed), openSpace(t, 2*seed+1)}
	defer spaces[0].close()
	defer spaces[1].close()
	grow(random, spaces, 5+random.IntN(40))
	for range 1 + random.IntN(3) {
		f := &faulty{t: t, random: random, trace: trace, spaces: spaces, tally: c, ended: make(map[*simSide]error)}
		if f.run(); t.Failed() {
			return [32]byte{}
		}
		grow(random, spaces, random.IntN(6))
	}
	s := newSim(t, random, trace, spaces)
	if !s.run(-1) {
		return [32]byte{}
	}
	for i, side := range s.sides {
		if r, err := side.m.Result(); err != nil || !r.Converged {
			t.Errorf("side %d: the last saga did not converge: %+v, %v", i, r, err)
		}
		s.closed(i)
	}
	if !sameHeads(spaces[0].heads(), spaces[1].heads()) {
		t.Error("the heads differ after the last saga")
	}
	return [32]byte(trace.Sum(nil))
}

// faulty is a saga, or two at once, with a schedule of faults.
type faulty struct {
	t      *testing.T
	random *rand.Rand
	trace  hash.Hash
	spaces [2]*space
	tally  *tally

	sims  []*sim
	ended map[*simSide]error // nil: not by an error of its own
	lazy  []func(side *simSide, lane int) bool
}

func (f *faulty) run() {
	old := [2][]timeline.Entry{f.spaces[0].heads(), f.spaces[1].heads()}
	f.begin()
	var moments []int
	for range 1 + f.random.IntN(3) {
		moments = append(moments, f.random.IntN(1+f.random.IntN(250))) // more of them early
	}
	slices.Sort(moments)
	now := 0
	for _, at := range moments {
		f.steps(at - now)
		now = at
		f.strike(faults[f.random.IntN(len(faults))], f.random.IntN(2))
	}
	f.steps(-1)
	for _, s := range f.sims {
		for i, side := range s.sides {
			// What a driver finds when nothing comes any more.
			f.end(side, &saga.Error{Code: saga.CodeTimeout, Retry: true})
			f.check(i, side)
		}
		if a, b := s.sides[0], s.sides[1]; a.committed != b.committed && f.ended[a] != nil && f.ended[b] != nil {
			f.tally.ends["after one commit"]++
		}
	}
	for i, space := range f.spaces {
		if !includes(f.t, space, space.heads(), old[i]) {
			f.t.Errorf("side %d lost heads", i)
		}
		f.sims[0].closed(i)
	}
}

func (f *faulty) begin() {
	mode, strategy := saga.Mode(f.random.IntN(3)), saga.Strategy(f.random.IntN(3))
	if f.random.IntN(3) > 0 {
		mode, strategy = saga.ModeSync, saga.StrategyManual
	}
	s := newSimWith(f.t, f.random, f.trace, f.spaces, func(o *saga.Options) {
		if o.Strategy = strategy; o.Role == saga.Initiator {
			o.Mode = mode
		}
	})
	f.sims = append(f.sims, s)
	for _, side := range s.sides {
		side.take(s)
	}
}

// running reports whether a side has neither come to its end nor failed.
func (f *faulty) running(side *simSide) bool {
	_, ended := f.ended[side]
	return !ended && !side.m.Done()
}

// strike lets a fault happen to side i of the newest saga, if that is under way.
func (f *faulty) strike(kind string, i int) {
	s := f.sims[len(f.sims)-1]
	side, other := s.sides[i], s.sides[1-i]
	if !f.running(side) {
		return
	}
	fmt.Fprintf(f.trace, "%s of side %d\n", kind, i)
	hit := func() { f.tally.strike(kind, side) }
	switch kind {
	case "cut":
		hit()
		if f.random.IntN(2) == 0 { // what is on the way to this side still arrives
			f.end(other, &saga.Error{Code: saga.CodeUnreachable, Retry: true})
			f.steps(f.random.IntN(50))
		}
		f.end(side, &saga.Error{Code: saga.CodeUnreachable, Retry: true})
		f.end(other, &saga.Error{Code: saga.CodeUnreachable, Retry: true})
	case "drop":
		first, before := true, s.onTheWay
		s.onTheWay = func(from *simSide, m saga.Message) []saga.Message {
			switch {
			case from != side && before != nil:
				return before(from, m)
			case from != side:
				return []saga.Message{m}
			}
			if first {
				hit()
				first = false
			}
			return nil
		}
	case "stall":
		hit()
		f.lazy = append(f.lazy, func(s *simSide, _ int) bool { return s == side })
	case "delay":
		lane, first := f.random.IntN(len(side.lanes)), true
		f.lazy = append(f.lazy, func(s *simSide, l int) bool {
			if s != side || l != lane {
				return false
			}
			if first {
				hit()
				first = false
			}
			return f.random.IntN(50) > 0
		})
	case "duplicate":
		hit()
		if len(f.sims) < 3 {
			f.begin()
		}
	case "crash":
		hit()
		f.crash(i)
		f.steps(f.random.IntN(50)) // the other side does not know yet
		for _, s := range f.sims {
			f.end(s.sides[1-i], &saga.Error{Code: saga.CodeUnreachable, Retry: true})
		}
	case "disk full", "full at commit":
		puts := f.random.IntN(4)
		side.disk = func(commit bool) error {
			if commit != (kind == "full at commit") {
				return nil
			}
			if puts--; !commit && puts >= 0 {
				return nil
			}
			hit()
			return errors.New("no space left on device")
		}
	}
}

// crash ends all that runs on one side, and opens its store again as it was
// written.
func (f *faulty) crash(i int) {
	for _, s := range f.sims {
		side := s.sides[i]
		side.intake, side.release = nil, nil // gone with the process
		f.end(side, &saga.Error{Code: saga.CodeCanceled, Retry: true})
	}
	f.spaces[i].restart()
	blockstoretest.Clean(f.t, f.spaces[i].store)
}

func (f *faulty) other(side *simSide) *simSide {
	for _, s := range f.sims {
		for i := range s.sides {
			if s.sides[i] == side {
				return s.sides[1-i]
			}
		}
	}
	return nil
}

// chance is something that can happen next.
type chance struct {
	sim  *sim
	side *simSide
	lane int
}

// chances returns what can happen next: all of it, and what no lazy side puts
// off.
func (f *faulty) chances() (all, awake []chance) {
	for _, s := range f.sims {
		for _, side := range s.sides {
			if _, ended := f.ended[side]; ended {
				continue
			}
			for lane := range side.lanes {
				if len(side.lanes[lane]) == 0 {
					continue
				}
				c := chance{s, side, lane}
				all = append(all, c)
				if !f.putsOff(c) {
					awake = append(awake, c)
				}
			}
		}
	}
	return all, awake
}

func (f *faulty) putsOff(c chance) bool {
	off := false
	for _, lazy := range f.lazy {
		off = lazy(c.side, c.lane) || off
	}
	return off
}

// steps lets things happen: so many, or, if n is negative, until nothing can.
func (f *faulty) steps(n int) {
	for ; n != 0 && !f.t.Failed(); n-- {
		all, awake := f.chances()
		for tries := 0; len(awake) == 0; tries++ {
			if len(all) == 0 || tries == 1000 { // what is left will never happen
				return
			}
			_, awake = f.chances()
		}
		c := awake[f.random.IntN(len(awake))]
		do := c.side.lanes[c.lane][0]
		c.side.lanes[c.lane] = c.side.lanes[c.lane][1:]
		event := do()
		if c.side.broken != nil {
			f.tell(c.side, &saga.Error{Code: saga.CodeInternal, Retry: true, Err: c.side.broken})
			continue
		}
		if err := c.side.m.Step(event); err != nil {
			var e *saga.Error
			if !errors.As(err, &e) {
				f.t.Errorf("an untyped error: %v", err)
				return
			}
			f.tell(c.side, e)
			continue
		}
		c.side.take(c.sim)
	}
}

// end ends a side that is neither done nor ended by an error.
func (f *faulty) end(side *simSide, err *saga.Error) {
	if _, ended := f.ended[side]; ended {
		return
	}
	if !side.m.Done() {
		f.ended[side] = err
		clear(side.lanes[:])
	}
	side.letGo(f.t)
}

// tell ends a side with an error of its own and tells the other side.
func (f *faulty) tell(side *simSide, err *saga.Error) {
	f.end(side, err)
	if err.Remote {
		return
	}
	other := f.other(side)
	other.lanes[laneReceive] = append(other.lanes[laneReceive], func() saga.Event {
		return saga.Received{Message: &saga.Error{Code: err.Code, Text: err.Text, Retry: err.Retry}}
	})
}

// check looks at how one side ended.
func (f *faulty) check(i int, side *simSide) {
	err := f.ended[side]
	if err == nil {
		if !side.m.Done() {
			f.t.Errorf("side %d neither is done nor failed", i)
		}
		f.tally.ends["in sync"]++
		return
	}
	var e *saga.Error
	if !errors.As(err, &e) || !e.Retry {
		f.t.Errorf("side %d ended with %v, which is not to be tried again", i, err)
		return
	}
	f.tally.ends[e.Code.String()]++
}
