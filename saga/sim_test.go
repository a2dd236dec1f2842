package saga_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// The simulator runs two machines in one goroutine. It keeps what each of them
// asked for and what is on its way between them, and lets a random one of these
// things happen next, in every order that a driver and a connection could bring
// about. Everything random comes from one seed.
//
// SAGA_SEEDS=N runs N seeds, SAGA_SEED=S begins with seed S, alone if no number is
// given; SAGA_TRACE=FILE writes all traces to a file.

// seeds are those that a simulation runs.
type seeds struct {
	first, count uint64
	given        bool // the number
}

// seedsOf reads them from the environment, or takes the usual number, of which a
// short run takes a tenth.
func seedsOf(t *testing.T, usual uint64) seeds {
	s := seeds{first: 1, count: usual}
	if testing.Short() {
		s.count = usual / 10
	}
	if first, err := strconv.ParseUint(os.Getenv("SAGA_SEED"), 10, 64); err == nil {
		s.first, s.count = first, 1
	}
	if n, err := strconv.ParseUint(os.Getenv("SAGA_SEEDS"), 10, 64); err == nil {
		s.count, s.given = n, true
	}
	return s
}

func (s seeds) all(yield func(seed uint64) bool) {
	for seed := s.first; seed < s.first+s.count && yield(seed); seed++ {
	}
}

// trace takes all messages, and is written to a file as well if one is given.
type trace struct {
	hash.Hash
	file io.Writer
}

func newTrace(t *testing.T, seed uint64) hash.Hash {
	t.Helper()
	name := os.Getenv("SAGA_TRACE")
	if name == "" {
		return sha256.New()
	}
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	fmt.Fprintf(file, "%s, seed %d\n", t.Name(), seed)
	return trace{sha256.New(), file}
}

func (t trace) Write(b []byte) (int, error) {
	if _, err := t.file.Write(b); err != nil {
		return 0, err
	}
	return t.Hash.Write(b)
}

func TestSimulation(t *testing.T) {
	for seed := range seedsOf(t, 200).all {
		trace := simulate(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d failed: SAGA_SEED=%d", seed, seed)
		}
		if seed%10 == 0 && simulate(t, seed) != trace {
			t.Fatalf("seed %d does not repeat", seed)
		}
	}
}

// simulate builds two spaces, may cut some sagas between them, and then lets one
// run to its end. It returns a digest of all that happened.
func simulate(t *testing.T, seed uint64) [32]byte {
	random := rand.New(rand.NewPCG(seed, 1))
	trace := newTrace(t, seed)
	spaces := [2]*space{openSpace(t, 2*seed), openSpace(t, 2*seed+1)}
	defer spaces[0].close()
	defer spaces[1].close()
	grow(random, spaces, 5+random.IntN(40))

	for range random.IntN(3) {
		if !simulateCut(t, random, trace, spaces) {
			return [32]byte{}
		}
		grow(random, spaces, random.IntN(10))
	}

	before := [2]map[ibgib.Hash]bool{members(t, spaces[0]), members(t, spaces[1])}
	want := [2]map[ibgib.Hash]bool{closure(t, spaces[1]), closure(t, spaces[0])}
	var lacks [2]int
	for i := range want {
		for h := range want[i] {
			if !before[i][h] {
				lacks[i]++
			}
		}
	}

	s := newSim(t, random, trace, spaces)
	if !s.run(-1) {
		return [32]byte{}
	}
	var results [2]saga.Result
	for i, side := range s.sides {
		var err error
		if results[i], err = side.m.Result(); err != nil {
			t.Error(err)
		}
		r := results[i]
		after := members(t, spaces[i])
		for h := range want[i] {
			if !after[h] {
				t.Errorf("side %d lacks %s", i, h)
			}
		}
		if !r.Converged || int(r.Received.IbGibs) != lacks[i] || len(after) != len(before[i])+lacks[i] {
			t.Errorf("side %d: converged %v, received %d, lacked %d, has %d of %d",
				i, r.Converged, r.Received.IbGibs, lacks[i], len(after), len(before[i])+lacks[i])
		}
		s.closed(i)
	}
	if !sameHeads(spaces[0].heads(), spaces[1].heads()) {
		t.Error("the heads differ")
	}
	if results[0].Sent != results[1].Received || results[1].Sent != results[0].Received || results[0].Rounds != results[1].Rounds {
		t.Errorf("the results differ: %v %v %d, %v %v %d", results[0].Sent, results[0].Received, results[0].Rounds,
			results[1].Sent, results[1].Received, results[1].Rounds)
	}
	checkConflicts(t, spaces[0], results)
	if !slices.EqualFunc(results[0].Transcript, results[1].Transcript, func(a, b ibgib.IbGib) bool {
		return a.Addr() == b.Addr()
	}) {
		t.Error("the transcripts differ")
	}

	again := newSim(t, random, trace, spaces)
	if again.run(-1) {
		for _, side := range again.sides {
			if r, err := side.m.Result(); err != nil || !r.Equal || r.Rounds != 1 || r.Transcript != nil {
				t.Errorf("a second saga: %v, %+v", err, r)
			}
		}
	}
	return [32]byte(trace.Sum(nil))
}

// simulateCut runs a saga for a random number of steps. After that each side has
// its old heads or those that the saga leads to.
func simulateCut(t *testing.T, random *rand.Rand, trace hash.Hash, spaces [2]*space) bool {
	old := [2][]timeline.Entry{spaces[0].heads(), spaces[1].heads()}
	s := newSim(t, random, trace, spaces)
	if !s.run(random.IntN(150)) {
		return false
	}
	for i, side := range s.sides {
		heads := spaces[i].heads()
		switch {
		case !side.committed && !sameHeads(heads, old[i]):
			t.Errorf("side %d: heads moved without a commit", i)
		case side.committed && !includes(t, spaces[i], heads, old[1-i]):
			t.Errorf("side %d: the commit left heads out", i)
		}
		s.closed(i)
	}
	return !t.Failed()
}

// includes reports whether all of named are in the history of heads.
func includes(t *testing.T, s *space, heads, named []timeline.Entry) bool {
	rows := make([]saga.Row, len(named))
	own := make(map[ibgib.Hash][]ibgib.Hash)
	for _, e := range heads {
		own[e.Root] = e.Heads
	}
	for i, e := range named {
		rows[i] = saga.Row{Root: e.Root, Own: own[e.Root], Peer: e.Heads}
	}
	wants, err := saga.Locate(t.Context(), s, rows)
	if err != nil {
		t.Error(err)
	}
	return len(wants) == 0
}

func checkConflicts(t *testing.T, s *space, results [2]saga.Result) {
	diverged := make(map[ibgib.Hash][]ibgib.Hash)
	for _, e := range s.heads() {
		if len(e.Heads) > 1 {
			diverged[e.Root] = e.Heads
		}
	}
	for _, r := range results {
		for _, c := range r.Conflicts {
			if !slices.Equal(diverged[c.Root], c.Heads) {
				t.Errorf("conflict %v, heads %v", c, diverged[c.Root])
			}
		}
	}
	if len(results[0].Conflicts) != len(results[1].Conflicts) {
		t.Error("the conflicts differ")
	}
}

// grow lets random things happen in two spaces.
func grow(random *rand.Rand, spaces [2]*space, steps int) {
	for range steps {
		i := random.IntN(2)
		s := spaces[i]
		frames, stones := s.headBlocks(random)
		pick := func() ibgib.IbGib { return frames[random.IntN(len(frames))] }
		switch n := random.IntN(11); {
		case n == 0 || len(frames) == 0:
			s.create("timeline "+strconv.Itoa(random.IntN(1000)), nil)
		case n == 10:
			stone := s.stone(strconv.Itoa(random.IntN(20)))
			if random.IntN(2) == 0 {
				stone = s.stone(strconv.Itoa(random.IntN(1000)), append(stones, pick())[0])
			}
			if random.IntN(4) > 0 {
				s.pin(stone)
			} else {
				s.link(pick(), stone)
			}
		case n < 5:
			frame := pick()
			for range 1 + random.IntN(6) {
				frame = s.change(frame, "key"+strconv.Itoa(random.IntN(5)), strconv.Itoa(random.Int()))
			}
		case n < 7:
			s.link(pick(), pick())
		case n == 7:
			s.attach(pick(), make([]byte, random.IntN(3000)))
		default: // something the other space has comes by another way
			s.copyFrom(spaces[1-i], random)
		}
	}
}

// headBlocks returns one head of each timeline, and the pinned stones.
func (s *space) headBlocks(random *rand.Rand) (frames, stones []ibgib.IbGib) {
	s.t.Helper()
	for _, e := range s.heads() {
		g, err := s.Block(s.t.Context(), e.Heads[random.IntN(len(e.Heads))])
		if err != nil {
			s.t.Fatal(err)
		}
		if _, frame := timeline.Claims(g); frame {
			frames = append(frames, g)
		} else {
			stones = append(stones, g)
		}
	}
	return frames, stones
}

// attach stores bytes, and makes the next frame of a timeline that links them.
func (s *space) attach(frame ibgib.IbGib, payload []byte) ibgib.IbGib {
	s.t.Helper()
	payload = append(payload, 0)
	blob, err := ibgib.NewBytes("bytes", payload, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.add(blob)
	return s.link(frame, blob)
}

// copyFrom takes over one timeline of another space.
func (s *space) copyFrom(other *space, random *rand.Rand) {
	heads := other.heads()
	if len(heads) == 0 {
		return
	}
	h := heads[random.IntN(len(heads))].Heads[0]
	var all []ibgib.IbGib
	get := func(a ibgib.Addr) (ibgib.IbGib, error) {
		h, _ := a.Hash()
		return other.Block(s.t.Context(), h)
	}
	g, err := other.Block(s.t.Context(), h)
	if err != nil {
		s.t.Fatal(err)
	}
	addrs, missing, err := timeline.Closure([]ibgib.Addr{g.Addr()}, get, timeline.ClosureOptions{})
	if err != nil || len(missing) > 0 {
		s.t.Fatal(err, missing)
	}
	for _, a := range addrs {
		g, err := get(a)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, g)
	}
	s.add(all...)
}

func members(t *testing.T, s *space) map[ibgib.Hash]bool {
	all := make(map[ibgib.Hash]bool)
	for a, err := range s.Members(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		h, _ := a.Hash()
		all[h] = true
	}
	return all
}

// closure returns what the heads of a space need.
func closure(t *testing.T, s *space) map[ibgib.Hash]bool {
	var roots []ibgib.Addr
	get := func(a ibgib.Addr) (ibgib.IbGib, error) {
		h, _ := a.Hash()
		return s.Block(t.Context(), h)
	}
	for _, e := range s.heads() {
		for _, h := range e.Heads {
			g, err := s.Block(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			roots = append(roots, g.Addr())
		}
	}
	addrs, missing, err := timeline.Closure(roots, get, timeline.ClosureOptions{})
	if err != nil || len(missing) > 0 {
		t.Fatal(err, missing)
	}
	all := make(map[ibgib.Hash]bool)
	for _, a := range addrs {
		h, _ := a.Hash()
		all[h] = true
	}
	return all
}

// sim is one saga.
type sim struct {
	t      *testing.T
	random *rand.Rand
	trace  hash.Hash
	sides  [2]*simSide

	// onTheWay, if not nil, says what arrives of a message.
	onTheWay func(from *simSide, m saga.Message) []saga.Message
	failed   [2]error // of the machines, with onTheWay
}

// simSide is one machine and what it waits for.
type simSide struct {
	*space
	m      *saga.Machine
	role   saga.Role
	walker *saga.Walker
	intake saga.Intake

	// disk, if not nil, says whether storing fails; broken is the failure.
	disk   func(commit bool) error
	broken error

	snapshot  iter.Seq2[timeline.Entry, error]
	release   func()
	committed bool

	// Each lane is done in order; between lanes any order is possible.
	lanes [10][]func() saga.Event
}

// The lanes.
const (
	laneStore = iota
	laneOpen
	laneLocate
	laneAgree
	laneJudge
	laneCheck
	laneLoad
	laneWalk
	laneSend
	laneReceive
)

func newSim(t *testing.T, random *rand.Rand, trace hash.Hash, spaces [2]*space) *sim {
	return newSimWith(t, random, trace, spaces, func(*saga.Options) {})
}

// newSimWith lets change alter the options of both sides, the initiator's first.
func newSimWith(t *testing.T, random *rand.Rand, trace hash.Hash, spaces [2]*space, change func(*saga.Options)) *sim {
	s := &sim{t: t, random: random, trace: trace}
	first := random.IntN(2) // who begins
	for _, i := range []int{first, 1 - first} {
		o := saga.Options{Role: saga.Initiator, ID: saga.ID{byte(random.IntN(255)), 1}, Self: strconv.Itoa(i), Peer: strconv.Itoa(1 - i)}
		if i != first {
			o.Role, o.ID = saga.Responder, saga.ID{}
		}
		change(&o)
		m, err := saga.NewMachine(o)
		if err != nil {
			t.Fatal(err)
		}
		m.SetPace(randomPace(random))
		s.sides[i] = &simSide{space: spaces[i], m: m, role: o.Role, walker: saga.NewWalker(t.Context(), spaces[i], spaces[i])}
	}
	return s
}

func randomPace(random *rand.Rand) saga.Pace {
	return saga.Pace{
		InlineEntries: random.IntN(8), PageEntries: 1 + random.IntN(5), PageHashes: 1 + random.IntN(20), PageRows: 1 + random.IntN(5),
		Offers: 1 + random.IntN(9), WalkBlocks: 1 + random.IntN(9), WalkBytes: 1 + random.IntN(2000),
		Payload: 1 + random.IntN(4000), Item: 1 << 10, Credit: 1 + random.IntN(8000), Held: random.IntN(3000),
	}
}

// run lets things happen until both machines are done, or so many steps if that
// is not negative.
func (s *sim) run(steps int) bool {
	defer func() {
		for _, side := range s.sides {
			side.letGo(s.t)
		}
	}()
	s.begin()
	for n := 0; steps < 0 || n < steps; n++ {
		side, err := s.step()
		switch {
		case err != nil && s.onTheWay != nil:
			s.fail(side, err)
			return true
		case err != nil:
			s.t.Errorf("step %d: %v", n, err)
			return false
		case side != nil:
			continue
		case s.onTheWay != nil:
			return true // a driver would run into its timeout
		case s.sides[0].m.Done() && s.sides[1].m.Done():
			return true
		case steps < 0 || !s.sides[0].m.Done() && !s.sides[1].m.Done():
			s.t.Error("nothing can happen any more")
			return false
		}
		return true
	}
	return true
}

// begin takes the first work of both machines.
func (s *sim) begin() {
	for _, side := range s.sides {
		side.take(s)
	}
}

// step lets one thing happen on one side, and returns that; nil if nothing can happen
// any more. The error is that of the side's machine.
func (s *sim) step() (*simSide, error) {
	type choice struct {
		side *simSide
		lane int
	}
	var choices []choice
	for _, side := range s.sides {
		for lane := range side.lanes {
			if len(side.lanes[lane]) > 0 {
				choices = append(choices, choice{side, lane})
			}
		}
	}
	if len(choices) == 0 {
		return nil, nil
	}
	c := choices[s.random.IntN(len(choices))]
	do := c.side.lanes[c.lane][0]
	c.side.lanes[c.lane] = c.side.lanes[c.lane][1:]
	if err := c.side.m.Step(do()); err != nil {
		return c.side, err
	}
	c.side.take(s)
	return c.side, nil
}

// take puts the work that a machine hands out into its lanes.
func (x *simSide) take(s *sim) {
	ctx := s.t.Context()
	fail := func(err error) {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	add := func(lane int, f func() saga.Event) { x.lanes[lane] = append(x.lanes[lane], f) }
	peer := s.sides[0]
	if peer == x {
		peer = s.sides[1]
	}
	w := x.m.Work()
	for _, st := range w.Store {
		add(laneStore, func() saga.Event {
			x.open(s)
			if x.fails(false) {
				return nil
			}
			var refusals saga.Refusals
			if len(st.Put) > 0 {
				if err := x.intake.Put(ctx, st.Put); !errors.As(err, &refusals) {
					fail(err)
				}
			}
			if len(st.Touch) > 0 {
				fail(x.intake.Touch(ctx, st.Touch))
			}
			return saga.Stored{Count: 1, Refused: refusals}
		})
	}
	if w.Commit {
		add(laneStore, func() saga.Event {
			if x.fails(true) {
				return nil
			}
			c, err := x.intake.Commit(ctx, w.Change)
			fail(err)
			x.committed = true
			return saga.Decided{Committed: c}
		})
	}
	if w.Open {
		add(laneOpen, func() saga.Event {
			empty, err := x.Empty(ctx)
			fail(err)
			if len(w.Scope) > 0 {
				entries, err := x.EntriesOf(ctx, w.Scope)
				fail(err)
				x.snapshot = sequence(entries)
				opened := saga.Survey(entries, w.Scope, w.Without)
				opened.Empty = empty
				return opened
			}
			fp, all, release, err := x.Knowledge(ctx)
			fail(err)
			x.snapshot, x.release = all, release
			without, err := x.EntriesOf(ctx, w.Without)
			fail(err)
			for _, e := range without {
				fp.Remove(e.Digest())
			}
			return saga.Opened{Fingerprint: fp.Sum(), Count: fp.Count(), Empty: empty}
		})
	}
	if w.Map {
		add(laneOpen, func() saga.Event {
			var m saga.Mapped
			for e, err := range x.snapshot {
				fail(err)
				m.Entries = append(m.Entries, e)
			}
			return m
		})
	}
	for _, rows := range w.Locate {
		add(laneLocate, func() saga.Event {
			wants, err := saga.Locate(ctx, x, rows)
			fail(err)
			return saga.Located{Wants: wants}
		})
	}
	for _, rows := range w.Agree {
		add(laneAgree, func() saga.Event {
			outcomes, err := saga.Agree(ctx, x, rows)
			fail(err)
			return saga.Agreed{Outcomes: outcomes}
		})
	}
	for _, rows := range w.Judge {
		add(laneJudge, func() saga.Event {
			diverged, err := saga.Judge(ctx, x, rows)
			fail(err)
			return saga.Judged{Diverged: diverged}
		})
	}
	for _, hashes := range w.Check {
		add(laneCheck, func() saga.Event {
			closed, err := x.HasClosed(ctx, hashes)
			fail(err)
			return saga.Checked{Closed: closed}
		})
	}
	for _, hashes := range w.Load {
		add(laneLoad, func() saga.Event {
			var l saga.Loaded
			for _, h := range hashes {
				g, err := x.Block(ctx, h)
				fail(err)
				l.Blocks = append(l.Blocks, g)
			}
			return l
		})
	}
	for _, step := range w.Walk {
		add(laneWalk, func() saga.Event {
			walked, err := x.walker.Step(step)
			fail(err)
			return walked
		})
	}
	for _, m := range w.Send {
		add(laneSend, func() saga.Event {
			text, err := json.Marshal(m)
			fail(err)
			fmt.Fprintf(s.trace, "%T %s\n", m, text)
			r := saga.Receipt{Digest: sha256.Sum256(text), Bytes: len(text)}
			arriving := []saga.Message{m}
			if s.onTheWay != nil {
				arriving = s.onTheWay(x, m)
			}
			for _, m := range arriving {
				peer.lanes[laneReceive] = append(peer.lanes[laneReceive], func() saga.Event {
					return saga.Received{Message: m, Receipt: r}
				})
			}
			return saga.Sent{Receipt: r}
		})
	}
}

func (x *simSide) fails(commit bool) bool {
	if x.disk != nil {
		x.broken = x.disk(commit)
	}
	return x.broken != nil
}

// sequence ranges over entries as a snapshot does.
func sequence(entries []timeline.Entry) iter.Seq2[timeline.Entry, error] {
	return func(yield func(timeline.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (x *simSide) open(s *sim) {
	if x.intake == nil {
		var err error
		if x.intake, err = x.space.intake(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// letGo gives back what a side holds of its store.
func (x *simSide) letGo(t *testing.T) {
	if x.intake != nil {
		if err := x.intake.Discard(); err != nil {
			t.Error(err)
		}
	}
	if x.release != nil {
		x.release()
	}
	x.intake, x.release = nil, nil
}

// closed checks that no head of a side lacks anything of its closure.
func (s *sim) closed(i int) {
	closure(s.t, s.sides[i].space)
	s.sides[i].blocks()
}
