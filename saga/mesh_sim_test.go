package saga_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// TestMesh lets whole nodes, each a store that merges and the machines of its sagas,
// change the same timelines with clocks that are wrong, while they are partitioned,
// sagas are cut, stall or run twice, and nodes crash, start again and join with
// nothing. Everything happens in virtual time and one goroutine, from one seed. Then
// all meet, and hold one latest for each timeline, equal byte for byte: the one that
// reference computes from the user frames alone. Every change of a person is in its
// history, a set of changes has one merge frame on all nodes, and nothing that an honest
// node made was refused.
//
// SAGA_SEEDS=N runs N seeds, SAGA_SEED=S begins with seed S, alone if no number is
// given; SAGA_TRACE=FILE writes all traces to a file. MESH_NODES and MESH_EDITS run one
// seed of that size. A seed that fails is run again without the steps that it fails
// without as well, and what happens in those that are left is printed last.
func TestMesh(t *testing.T) {
	size := func(name string, usual int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return usual
	}
	if nodes := size("MESH_NODES", 0); nodes > 0 {
		began := time.Now()
		m := newMesh(t, max(1, seedsOf(t, 1).first), nodes)
		defer m.close()
		edits := size("MESH_EDITS", 100*nodes)
		for i := uint64(0); m.edits < edits && !t.Failed(); i++ {
			m.step(i)
		}
		m.heal()
		t.Logf("%d nodes, %d edits in %v: %v", len(m.nodes), m.edits, time.Since(began).Round(time.Millisecond), m.met)
		return
	}
	met := make(map[string]int)
	ran := 0
	for seed := range seedsOf(t, 100).all {
		var trace [32]byte
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { trace = meshSeed(t, seed, nil, met) }) {
			fewest(t, seed)
			t.FailNow()
		}
		if seed%25 == 0 && meshSeed(t, seed, nil, make(map[string]int)) != trace {
			t.Fatalf("seed %d does not repeat", seed)
		}
		ran++
	}
	t.Logf("%d seeds: %v", ran, met)
	if ran >= 100 {
		for _, what := range []string{"edit", "keep", "merge accepted", "saga", "cut", "crash", "partition", "join", "merged", "twice"} {
			if met[what] == 0 {
				t.Errorf("nothing of %q has happened", what)
			}
		}
	}
}

// fewest finds steps none of which can be left out if a seed is to fail, and shows what
// happens in them.
func fewest(t *testing.T, seed uint64) {
	without := make(map[int]bool)
	fails := func(name string) bool {
		return !t.Run(fmt.Sprintf("seed %d %s", seed, name), func(t *testing.T) { meshSeed(t, seed, without, make(map[string]int)) })
	}
	for few := 64; few > 0; few /= 2 { // many at once as long as that goes
		for from := 0; from < maxMeshSteps; from += few {
			before := maps.Clone(without)
			for i := from; i < min(from+few, maxMeshSteps); i++ {
				without[i] = true
			}
			if len(without) > len(before) && !fails(fmt.Sprintf("without %d to %d", from, from+few)) {
				without = before
			}
		}
	}
	if !fails("with the fewest steps") {
		t.Errorf("seed %d has failed once and does not fail again", seed)
	}
}

// maxMeshSteps bounds the steps of a seed.
const maxMeshSteps = 180

// meshSeed runs one seed, without some of its steps, and returns a digest of all that
// happened.
func meshSeed(t *testing.T, seed uint64, without map[int]bool, met map[string]int) [32]byte {
	m := newMesh(t, seed, 2+int(seed%3))
	defer m.close()
	defer func() {
		if t.Failed() && without != nil {
			t.Logf("SAGA_SEED=%d, what happened:\n%s", seed, strings.Join(m.events, "\n"))
		}
	}()
	for i := range maxMeshSteps - m.random.IntN(120) {
		if !without[i] {
			m.step(uint64(i))
		}
	}
	m.heal()
	for what, n := range m.met {
		met[what] += n
	}
	return [32]byte(m.trace.Sum(nil))
}

// mesh are some nodes, and what is known of the changes that they made.
type mesh struct {
	t       *testing.T
	random  *rand.Rand
	source  *rand.PCG // of random
	trace   hash.Hash
	seed    uint64
	now     time.Time
	nodes   []*meshNode
	running []*meshSaga
	roots   []ibgib.Addr
	frames  map[ibgib.Addr]*userFrame // of all timelines
	sets    map[ibgib.Addr]opSet      // of merge frames: the user frames in their history
	edits   int
	events  []string
	met     map[string]int // what happened
}

type opSet map[ibgib.Addr]bool

// meshNode is one node. Its clock is wrong by skew; nodes of different groups do not
// reach each other.
type meshNode struct {
	*space
	skew  time.Duration
	group int
}

// meshSaga is a saga under way between two nodes.
type meshSaga struct {
	*sim
	between [2]*meshNode
}

// userFrame is a frame that a person made, as the reference sees it.
type userFrame struct {
	g       ibgib.IbGib
	root    ibgib.Addr
	instant int64
	n       float64
	history opSet // the user frames below it
	keep    bool
	apply   func(meshState) // what it does to a state
}

// meshState is a state of a timeline.
type meshState struct {
	data  map[string]string
	links *[]string
}

func newMesh(t *testing.T, seed uint64, nodes int) *mesh {
	source := rand.NewPCG(seed, 9)
	m := &mesh{
		t: t, random: rand.New(source), source: source, trace: newTrace(t, seed), seed: seed,
		now:    time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC),
		frames: make(map[ibgib.Addr]*userFrame), sets: make(map[ibgib.Addr]opSet), met: make(map[string]int),
	}
	for range nodes {
		m.join()
	}
	for range 1 + m.random.IntN(3) {
		m.create(m.anyNode())
	}
	return m
}

func (m *mesh) close() {
	for len(m.running) > 0 {
		m.end(m.running[0], nil)
	}
	for _, n := range m.nodes {
		n.close()
	}
}

// join adds a node that has nothing.
func (m *mesh) join() {
	i := uint64(len(m.nodes))
	n := &meshNode{space: &space{t: m.t, disk: blockstore.NewMemory(), env: seededEnv(m.seed*1000 + i)}}
	n.skew = []time.Duration{0, 0, -40 * time.Second, 90 * time.Second, 48 * time.Hour}[m.random.IntN(5)]
	n.env.Now = func() time.Time { return m.now.Add(n.skew) }
	n.opts = blockstore.Options{Strategy: blockstore.Optimistic, Now: func() time.Time { return m.now }}
	n.restart()
	m.nodes = append(m.nodes, n)
	m.met["join"]++
}

func (m *mesh) anyNode() *meshNode { return m.nodes[m.random.IntN(len(m.nodes))] }

func (m *mesh) note(what string, args ...any) {
	m.met[what]++
	line := fmt.Sprintln(append([]any{what}, args...)...)
	fmt.Fprint(m.trace, line)
	m.events = append(m.events, strings.TrimSpace(line))
}

// step lets one thing happen. What its randomness is depends on the seed and on the
// number of the step alone, so steps can be left out and the others stay what they are.
func (m *mesh) step(number uint64) {
	m.t.Helper()
	m.source.Seed(m.seed, 10+number)
	if m.random.IntN(3) > 0 { // else within some milliseconds
		m.now = m.now.Add(time.Duration(m.random.IntN(3000)) * time.Millisecond)
	}
	m.now = m.now.Add(time.Duration(m.random.IntN(3)) * time.Millisecond)
	switch what := m.random.IntN(100); {
	case what < 22:
		m.edit(m.anyNode())
	case what < 25:
		m.resolve(m.anyNode())
	case what < 26:
		m.create(m.anyNode())
	case what < 42:
		m.meet()
	case what < 44:
		m.cut()
	case what < 46:
		m.crash(m.anyNode())
	case what < 49:
		m.note("partition")
		for _, n := range m.nodes {
			n.group = m.random.IntN(2) * m.random.IntN(2)
		}
	case what < 50 && len(m.nodes) < 6:
		m.join()
	default:
		m.proceed(1 + m.random.IntN(60))
	}
}

// create begins a timeline.
func (m *mesh) create(n *meshNode) {
	m.t.Helper()
	name := fmt.Sprintf("note %d", len(m.roots))
	g := n.create(name, nil)
	root, _ := g.LastRel("tjp")
	h, _ := root.Hash()
	first, err := n.Block(m.t.Context(), h)
	if err != nil {
		m.t.Fatal(err)
	}
	m.roots = append(m.roots, root)
	m.add(&userFrame{g: first, root: root, history: opSet{}})
	m.add(&userFrame{g: g, root: root, history: opSet{root: true}, apply: func(s meshState) { s.data["name"] = name }})
	m.note("create", slices.Index(m.nodes, n), root)
}

func (m *mesh) add(f *userFrame) {
	m.t.Helper()
	stamp, ok := ibgib.StampOf(f.g)
	if !ok {
		m.t.Fatalf("%s has no time", f.g.Addr())
	}
	n, _ := f.g.Field("n")
	f.instant, f.n = stamp.At.UnixMilli(), n.Number()
	m.frames[f.g.Addr()] = f
}

// below returns the user frames in the history of a frame that a node has, itself
// included if it is one.
func (m *mesh) below(n *meshNode, a ibgib.Addr) opSet {
	m.t.Helper()
	all := make(opSet)
	if f := m.frames[a]; f != nil {
		maps.Copy(all, f.history)
		all[a] = true
		return all
	}
	if set, ok := m.sets[a]; ok {
		return set
	}
	h, _ := a.Hash()
	g, err := n.Block(m.t.Context(), h)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, head := range append(g.Rel("past"), g.Rel(timeline.RelMerge)...) {
		maps.Copy(all, m.below(n, head))
	}
	m.sets[a] = all
	return all
}

// edit changes a timeline of a node.
func (m *mesh) edit(n *meshNode) {
	m.t.Helper()
	root := m.roots[m.random.IntN(len(m.roots))]
	f := &userFrame{root: root}
	key, value, target := "key"+strconv.Itoa(m.random.IntN(4)), strconv.Itoa(m.random.IntN(1000)), "zero^gib"
	kind := m.random.IntN(5)
	made := func(latest ibgib.IbGib) ([]ibgib.IbGib, error) {
		f.history = m.below(n, latest.Addr())
		linked := []string{"past", "dna"}
		var res ibgib.Result
		var err error
		switch kind {
		case 0:
			f.apply = func(s meshState) { delete(s.data, key) }
			res, err = ibgib.Mut8(latest, ibgib.Mut8Options{
				Remove: ibgib.Object(ibgib.Member{Name: key, Value: ibgib.String("")}), NCounter: true, Dna: true, LinkedRel8ns: linked,
			}, n.env)
		case 1:
			target = fmt.Sprintf("link %d^gib", m.random.IntN(6))
			f.apply = func(s meshState) {
				if !slices.Contains(*s.links, target) {
					*s.links = append(*s.links, target)
				}
			}
			a, parseErr := ibgib.ParseAddr(target)
			if parseErr != nil {
				return nil, parseErr
			}
			res, err = ibgib.Rel8(latest, ibgib.Rel8Options{
				Add: ibgib.Rel8ns{{Name: "friend", Addrs: []ibgib.Addr{a}}}, NCounter: true, Dna: true, LinkedRel8ns: linked,
			}, n.env)
		default:
			f.apply = func(s meshState) { s.data[key] = value }
			res, err = ibgib.Mut8(latest, ibgib.Mut8Options{
				Patch: ibgib.Object(ibgib.Member{Name: key, Value: ibgib.String(value)}), NCounter: true, Dna: true, LinkedRel8ns: linked,
			}, n.env)
		}
		f.g = res.New
		return res.All(), err
	}
	if m.change(n, root, made) {
		m.add(f)
		m.edits++
		m.note("edit", slices.Index(m.nodes, n), f.g.Addr(), "at", f.instant, "of kind", kind, key, value, target)
	}
}

// change lets a node change a timeline, unless it does not have it.
func (m *mesh) change(n *meshNode, root ibgib.Addr, made func(latest ibgib.IbGib) ([]ibgib.IbGib, error)) bool {
	m.t.Helper()
	h, _ := root.Hash()
	_, res, err := n.store.Change(m.t.Context(), blockstore.DefaultShare, h, nil, made)
	if errors.Is(err, blockstore.ErrNotFound) {
		return false
	}
	if err != nil || len(res.Rejected) > 0 {
		m.t.Fatalf("change of %s: %v, %v", root, err, res.Rejected)
	}
	return true
}

// resolve lets a person end a divergence that a node has, by a head or the merge.
func (m *mesh) resolve(n *meshNode) {
	m.t.Helper()
	for e, err := range n.Entries(m.t.Context()) {
		if err != nil {
			m.t.Fatal(err)
		}
		if len(e.Heads) < 2 {
			continue
		}
		f := &userFrame{root: e.Root, keep: true, history: make(opSet)}
		heads := make([]timeline.Frame, len(e.Heads))
		for i, a := range e.Heads {
			h, _ := a.Hash()
			if heads[i], _, err = n.Frame(m.t.Context(), h); err != nil {
				m.t.Fatal(err)
			}
			maps.Copy(f.history, m.below(n, a))
		}
		kept, what := e.Latest, "merge accepted"
		if m.random.IntN(2) == 0 {
			kept, what = e.Heads[m.random.IntN(len(e.Heads))], "keep"
		}
		h, _ := kept.Hash()
		block, err := n.Block(m.t.Context(), h)
		if err != nil {
			m.t.Fatal(err)
		}
		frame, dna, err := timeline.Keep(block, heads, n.env.Now())
		if err != nil {
			m.t.Fatal(err)
		}
		f.g = frame
		if m.change(n, e.Root, func(ibgib.IbGib) ([]ibgib.IbGib, error) { return []ibgib.IbGib{dna, frame}, nil }) {
			m.add(f)
			m.note(what, slices.Index(m.nodes, n), frame.Addr())
		}
		return
	}
}

// meet begins a saga between two nodes that reach each other.
func (m *mesh) meet() {
	a, b := m.anyNode(), m.anyNode()
	if a == b || a.group != b.group || len(m.running) > 6 {
		return
	}
	for _, s := range m.running {
		if s.between == [2]*meshNode{a, b} || s.between == [2]*meshNode{b, a} {
			m.note("twice")
		}
	}
	m.note("saga", slices.Index(m.nodes, a), slices.Index(m.nodes, b))
	s := &meshSaga{newSim(m.t, m.random, m.trace, [2]*space{a.space, b.space}), [2]*meshNode{a, b}}
	s.begin()
	m.running = append(m.running, s)
}

// proceed lets one saga under way go on for so many steps. The others stall.
func (m *mesh) proceed(steps int) {
	if len(m.running) == 0 {
		return
	}
	s := m.running[m.random.IntN(len(m.running))]
	for range steps {
		if s.between[0].group != s.between[1].group {
			break // nothing arrives for now
		}
		side, err := s.step()
		if err != nil {
			m.t.Fatalf("a saga failed: %v", err)
		}
		if side == nil {
			m.end(s, nil)
			return
		}
	}
}

// end ends a saga, as it is. What dead held in its store is gone.
func (m *mesh) end(s *meshSaga, dead *meshNode) {
	m.running = slices.DeleteFunc(m.running, func(o *meshSaga) bool { return o == s })
	for _, side := range s.sides {
		if dead != nil && side.space == dead.space {
			side.intake, side.release = nil, nil
			continue
		}
		if r, err := side.m.Result(); err != nil || len(r.Refused)+len(r.Refusals) > 0 {
			m.t.Errorf("a saga refused %v %v, %v", r.Refused, r.Refusals, err)
		}
		side.letGo(m.t)
	}
}

// cut ends a saga under way.
func (m *mesh) cut() {
	if len(m.running) > 0 {
		m.note("cut")
		m.end(m.running[m.random.IntN(len(m.running))], nil)
	}
}

// crash ends a node as by SIGKILL; it starts again with what was written.
func (m *mesh) crash(n *meshNode) {
	m.note("crash", slices.Index(m.nodes, n))
	for _, s := range slices.Clone(m.running) {
		if slices.Contains(s.between[:], n) {
			m.end(s, n)
		}
	}
	n.restart()
}

// heal ends the partition, lets all nodes meet, and looks at what they have.
func (m *mesh) heal() {
	m.t.Helper()
	for len(m.running) > 0 {
		m.end(m.running[0], nil)
	}
	m.join()
	for range 2 {
		for _, n := range m.nodes[1:] {
			m.whole(m.nodes[0], n)
		}
	}
	for _, n := range m.nodes[1:] {
		if !m.whole(m.nodes[0], n).Equal {
			m.t.Error("two nodes that have met still differ")
		}
	}
	merges := make(map[string]ibgib.Addr) // by set of user frames
	for i, n := range m.nodes {
		if i == int(m.seed)%len(m.nodes) { // one is enough, over many seeds
			if report, err := n.store.Verify(m.t.Context(), nil); err != nil || len(report.Problems) > 0 {
				m.t.Errorf("node %d: %v, %v", i, report.Problems, err)
			}
		}
		for r, err := range n.Rejected(m.t.Context()) {
			m.t.Errorf("node %d keeps out %v, %v", i, r, err)
		}
		m.uniqueMerges(n, merges)
	}
	for _, root := range m.roots {
		m.checkLatest(root)
	}
}

// whole runs a saga to its end.
func (m *mesh) whole(a, b *meshNode) saga.Result {
	m.t.Helper()
	s := newSim(m.t, m.random, m.trace, [2]*space{a.space, b.space})
	if !s.run(-1) {
		m.t.Fatal("a saga did not end")
	}
	r, err := s.sides[0].m.Result()
	if err != nil || !r.Converged || len(r.Refused)+len(r.Refusals) > 0 {
		m.t.Fatalf("%+v, %v", r, err)
	}
	return r
}

// uniqueMerges wants one merge frame for a set of user frames, whoever computed it.
func (m *mesh) uniqueMerges(n *meshNode, known map[string]ibgib.Addr) {
	m.t.Helper()
	for a, err := range n.Members(m.t.Context()) {
		if err != nil {
			m.t.Fatal(err)
		}
		h, _ := a.Hash()
		f, isFrame, err := n.Frame(m.t.Context(), h)
		if err != nil {
			m.t.Fatal(err)
		}
		if !isFrame || f.Kind != timeline.KindMerge {
			continue
		}
		set := fmt.Sprint(slices.SortedFunc(maps.Keys(m.below(n, a)), ibgib.CompareAddr))
		if other, ok := known[set]; ok && other != a {
			m.t.Errorf("the same changes merge to %s and %s", a, other)
		}
		known[set] = a
	}
}

// checkLatest holds the latest of a timeline on all nodes against the reference.
func (m *mesh) checkLatest(root ibgib.Addr) {
	m.t.Helper()
	h, _ := root.Hash()
	set := make(opSet)
	for a, f := range m.frames {
		if f.root == root {
			set[a] = true
		}
	}
	want := m.reference(set)
	var first ibgib.IbGib
	for i, n := range m.nodes {
		e, ok, err := n.Entry(m.t.Context(), h)
		if err != nil || !ok {
			m.t.Fatalf("node %d lacks %s: %v", i, root, err)
		}
		lh, _ := e.Latest.Hash()
		g, err := n.Block(m.t.Context(), lh)
		if err != nil {
			m.t.Fatal(err)
		}
		if len(e.Heads) > 1 && !e.Merged {
			m.t.Errorf("node %d does not merge %s: %+v", i, root, e)
		}
		if i == 0 {
			first = g
			if e.Merged {
				m.met["merged"]++
			}
		}
		if !bytes.Equal(g.Stored(), first.Stored()) {
			m.t.Errorf("node %d presents\n%s, node 0\n%s", i, g.Stored(), first.Stored())
		}
		below := m.below(n, e.Latest)
		for a := range set {
			if !below[a] {
				m.t.Errorf("node %d: %s is not in the history of %s", i, a, e.Latest)
			}
		}
		if got := stateOf(g); !maps.Equal(got.data, want.data) || !slices.Equal(*got.links, *want.links) {
			m.t.Errorf("node %d: state %v %v, want %v %v", i, got.data, *got.links, want.data, *want.links)
		}
	}
}

func stateOf(g ibgib.IbGib) meshState {
	s := meshState{make(map[string]string), new([]string)}
	for _, member := range g.Data().Members() {
		switch member.Name {
		case "n", "timestamp", "timestampMs", "isTjp":
		default:
			s.data[member.Name] = member.Value.Str()
		}
	}
	for _, a := range g.Rel("friend") {
		*s.links = append(*s.links, a.String())
	}
	return s
}

// reference computes the state of a timeline from all its user frames, by the letter of
// the rules and from the first frame on: the changes are made one after the other, each
// time the one with the smallest key of those in whose history none is left, above the
// keep frame that is in no other's history and has the greatest key.
func (m *mesh) reference(set opSet) meshState {
	less := func(a, b *userFrame) int {
		x, y := a.g.Hash(), b.g.Hash()
		return cmp.Or(cmp.Compare(a.instant, b.instant), cmp.Compare(a.n, b.n), bytes.Compare(x[:], y[:]))
	}
	var start *userFrame
	left := make(opSet)
	for a := range set {
		f := m.frames[a]
		if len(f.history) == 0 && start == nil {
			start = f // the first frame, unless there is a keep frame
		}
		if f.apply != nil {
			left[a] = true
		}
	}
	var keep *userFrame
	for a := range set {
		f := m.frames[a]
		inner := false
		for b := range set {
			inner = inner || m.frames[b].keep && m.frames[b].history[a]
		}
		if f.keep && !inner && (keep == nil || less(f, keep) > 0) {
			keep = f
		}
	}
	if keep != nil {
		start = keep
		maps.DeleteFunc(left, func(a ibgib.Addr, _ bool) bool { return keep.history[a] })
	}
	s := stateOf(start.g)
	for len(left) > 0 {
		var next *userFrame
		for a := range left {
			f := m.frames[a]
			waits := false
			for b := range left {
				waits = waits || f.history[b]
			}
			if !waits && (next == nil || less(f, next) < 0) {
				next = f
			}
		}
		next.apply(s)
		delete(left, next.g.Addr())
	}
	return s
}
