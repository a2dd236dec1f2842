package timeline_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// mergeSim lets nodes change one timeline, each with the frames that it has met.
type mergeSim struct {
	t      testing.TB
	rng    *rand.Rand
	world  refWorld
	blocks map[string][]ibgib.IbGib // a frame, after the dna that it brings
	tjp    string
	linked []string
	withMs bool
	steps  int
	nodes  []*simNode

	met map[string]int // what happened
}

// simNode is one node: what the package makes of its frames, and the set of them.
type simNode struct {
	*space
	set   map[string]bool
	skew  int // of its clock, in seconds
	cache timeline.MergeCache
}

func newMergeSim(t testing.TB, seed uint64, nodes int) *mergeSim {
	s := &mergeSim{
		t: t, rng: rand.New(rand.NewPCG(seed, 77)), world: make(refWorld),
		blocks: make(map[string][]ibgib.IbGib), met: make(map[string]int),
	}
	s.linked = [][]string{{}, {"past"}, {"past", "dna"}}[s.rng.IntN(3)]
	s.withMs = s.rng.IntN(4) > 0
	d := data{"isTjp": true, "seed": seed, "a": 0, "o": data{"x": 1}, "list": []any{data{"z": 1, "b": 2}}}
	if s.rng.IntN(4) > 0 {
		d["n"] = 0
	}
	first := &refFrame{g: build(t, "task", d, links{"ancestor": {"task^gib"}, "c": {"zero^gib"}}), kind: timeline.KindTjp, n: -1}
	if d["n"] != nil {
		first.n = 0
	}
	s.tjp = first.addr()
	s.world.put(first)
	s.blocks[s.tjp] = []ibgib.IbGib{first.g}
	for range nodes {
		n := &simNode{space: newSpace(t, first.g), set: map[string]bool{s.tjp: true}, skew: []int{0, 0, -40, 90}[s.rng.IntN(4)]}
		s.nodes = append(s.nodes, n)
	}
	return s
}

// stamp is a node's time. Several steps share a second.
func (s *mergeSim) stamp(n *simNode) ibgib.Stamp {
	return ibgib.Stamp{At: time.Unix(1_700_000_000+int64(s.steps/3*10+n.skew), 7e6*int64(s.rng.IntN(2))).UTC(), NoMs: !s.withMs}
}

// change returns a random transform. Some cannot be applied everywhere.
func (s *mergeSim) change() (op string, options map[string]any) {
	some := func(list ...any) any { return list[s.rng.IntN(len(list))] }
	name := func() string { return some("a", "b", "o", "list").(string) }
	linked := slices.Clone(s.linked)
	object := func(members ...any) map[string]any {
		o := make(map[string]any)
		for i := 0; i < len(members); i += 2 {
			o[members[i].(string)] = members[i+1]
		}
		return o
	}
	switch s.rng.IntN(14) {
	case 0:
		options = object("dataToRename", object("a", "b"))
	case 1:
		options = object("dataToRename", object("o", object("x", some("y", "z"))))
	case 2:
		options = object("dataToRemove", object(name(), ""))
	case 3:
		options = object("dataToRemove", object("o", object("x", "")), "dataToAddOrPatch", object("b", s.rng.IntN(9)))
	case 4:
		options = object("mut8Ib", some("task", "chat", "zürich", "\U0001F600", "\uFFFD"))
	case 5, 10, 11:
		options = object("dataToAddOrPatch", object(some("a", "b"), some(nil, object("x", s.rng.IntN(3)))))
	case 6, 7:
		options = object("dataToAddOrPatch", object("o", object(some("x", "y"), some(1, 2, object("deep", s.rng.IntN(3))))))
	case 8, 9:
		options = object("dataToAddOrPatch", object(name(), some(1, "text", true, object("x", 2), json.RawMessage(`[{"z":1,"a":[3]},"q"]`)), name(), s.rng.IntN(100)))
	default:
		op = "rel8"
		list := []string{fmt.Sprintf("l %d^gib", s.rng.IntN(5))}
		options = object("rel8nsToAddByAddr", object(some("c", "d"), list))
		if s.rng.IntN(3) == 0 {
			options = object("rel8nsToRemoveByAddr", object("c", list))
		}
		if s.rng.IntN(4) == 0 {
			linked = append(linked, "c")
		}
	}
	if op == "" {
		op = "mut8"
	}
	options["linkedRel8ns"] = linked
	options["dna"], options["type"] = true, op
	return op, options
}

// put gives a node a frame of its own making.
func (s *mergeSim) put(n *simNode, f *refFrame, extra ...ibgib.IbGib) {
	s.t.Helper()
	s.world.put(f)
	if s.blocks[f.addr()] == nil {
		s.blocks[f.addr()] = append(extra, f.g)
	}
	s.give(n, f.addr())
}

// give gives a node frames and what is below them.
func (s *mergeSim) give(n *simNode, addrs ...string) {
	s.t.Helper()
	var gs []ibgib.IbGib
	for _, a := range addrs {
		all := maps.Clone(s.world[a].history)
		all[a] = true
		for a := range all {
			if !n.set[a] {
				n.set[a] = true
				gs = append(gs, s.blocks[a]...)
			}
		}
	}
	n.add(s.t, gs...)
	for _, r := range n.rejected {
		s.t.Fatalf("step %d: %v", s.steps, r)
	}
}

// op changes pred.
func (s *mergeSim) op(n *simNode, pred *refFrame) {
	s.t.Helper()
	for range 5 {
		op, options := s.change()
		raw, err := json.Marshal(options)
		if err != nil {
			s.t.Fatal(err)
		}
		v, err := ibgib.ParseValue(raw)
		if err != nil {
			s.t.Fatal(err)
		}
		stamp := s.stamp(n)
		res, err := ibgib.Replay(pred.g, op, v, stamp)
		if err != nil {
			continue // not here
		}
		f := &refFrame{
			g: res.New, kind: timeline.KindUser, pred: pred.addr(), n: pred.n,
			instant: stamp.At.UnixMilli(), op: op, options: options, dna: res.Dna[0].Addr().String(),
		}
		if stamp.NoMs {
			f.instant -= f.instant % 1000
		}
		if f.n >= 0 {
			f.n++
		}
		s.put(n, f, res.Dna[0])
		return
	}
}

// opaque makes a frame that no dna explains.
func (s *mergeSim) opaque(n *simNode, pred *refFrame) {
	var dna ibgib.IbGib
	f := &refFrame{kind: timeline.KindUser, pred: pred.addr(), n: pred.n, opaque: true}
	if f.n >= 0 {
		f.n++
	}
	stamp := s.stamp(n)
	f.instant = stamp.At.UnixMilli()
	if s.rng.IntN(2) == 0 {
		f.g, dna = changeAt(s.t, pred.g, "mut8", data{"dataToAddOrPatch": data{"a": 1, "timestampMs": 3}}, stamp)
		s.put(n, f, dna)
		return
	}
	f.g, dna = changeAt(s.t, pred.g, "mut8", data{"dataToAddOrPatch": data{"a": 1}}, stamp)
	f.g = edited(s.t, f.g, map[string]any{"a": 2})
	s.put(n, f, dna)
}

// keep resolves, by a head or by the merge frame.
func (s *mergeSim) keep(n *simNode, pred *refFrame, heads []string) {
	stamp := s.stamp(n)
	f := &refFrame{kind: timeline.KindKeep, pred: pred.addr(), n: pred.n, instant: stamp.At.UnixMilli()}
	for _, h := range heads {
		if h != pred.addr() {
			f.links = append(f.links, h)
		}
		f.n = max(f.n, s.world[h].n)
	}
	r := stateRecord(s.t, pred.g)
	delete(r.Data, "isTjp")
	if f.n >= 0 {
		f.n++
		r.Data["n"] = f.n
	}
	r.Data["timestamp"] = stamp.At.Format("Mon, 02 Jan 2006 15:04:05 GMT")
	r.Data["timestampMs"] = stamp.At.Nanosecond() / 1e6
	r.Rel8ns["past"], r.Rel8ns["dna"], r.Rel8ns["ibgib.merge.1"] = []string{pred.addr()}, []string{timeline.KeepDna}, f.links
	delete(r.Rel8ns, "ibgib.skipped.1")
	f.g = build(s.t, r.Ib, r.Data, r.Rel8ns)

	made, dna, err := timeline.Keep(pred.g, n.heads[addr(s.t, s.tjp)], stamp.At)
	if err != nil || made.Addr() != f.g.Addr() {
		s.t.Fatalf("Keep makes %s, %v, want %s", made.Stored(), err, f.g.Stored())
	}
	s.put(n, f, dna)
}

// latest holds what the package makes of a node's frames against the reference
// and returns the latest frame; false if the node has heads without a merge.
func (s *mergeSim) latest(n *simNode) (latest *refFrame, heads []string, ok bool) {
	s.t.Helper()
	tjp := addr(s.t, s.tjp)
	heads = s.world.heads(n.set)
	if got := n.headAddrs(tjp); !slices.Equal(got, heads) {
		s.t.Fatalf("step %d: heads are %v, want %v", s.steps, got, heads)
	}
	if len(heads) == 1 {
		return s.world[heads[0]], heads, true
	}
	want := s.world.merge(s.t, heads, "")
	shuffled := slices.Clone(n.heads[tjp])
	s.rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	got, err := timeline.Merge(shuffled, n.frame, n.block, timeline.MergeWork{})
	cached, cachedErr := n.merge(tjp, timeline.MergeWork{Cache: &n.cache})
	if len(want.opaque) > 0 {
		var u *timeline.Unmergeable
		if !errors.As(err, &u) || u.Reason != timeline.ReasonOpaque || u.Base.String() != want.base || !slices.Contains(want.opaque, u.Opaque.String()) {
			s.t.Fatalf("step %d: %s, %v, want opaque %v above %s", s.steps, got.IbGib.Addr(), err, want.opaque, want.base)
		}
		if !errors.As(cachedErr, &u) {
			s.t.Fatalf("step %d: %v with the cache", s.steps, cachedErr)
		}
		s.met["opaque"]++
		return nil, heads, false
	}
	if err != nil || cachedErr != nil {
		s.t.Fatalf("step %d: %v, %v", s.steps, err, cachedErr)
	}
	var keep string
	if !got.Keep.IsZero() {
		keep = got.Keep.String()
		s.met["from a keep"]++
	}
	if got.Base.Addr.String() != want.base || keep != want.keep || !slices.Equal(text(got.Replayed), want.replayed) || !slices.Equal(text(got.Skipped), want.skipped) {
		s.t.Fatalf("step %d: base %s keep %s\nreplayed %v\nskipped %v\nwant base %s keep %s\nreplayed %v\nskipped %v", s.steps,
			got.Base.Addr, keep, got.Replayed, got.Skipped, want.base, want.keep, want.replayed, want.skipped)
	}
	if string(got.IbGib.Stored()) != string(want.frame.g.Stored()) {
		s.t.Fatalf("step %d: merged to\n%s, want\n%s", s.steps, got.IbGib.Stored(), want.frame.g.Stored())
	}
	if string(cached.IbGib.Stored()) != string(got.IbGib.Stored()) || !sameFrame(cached.Frame, got.Frame) {
		s.t.Fatalf("step %d: with the cache merged to\n%s, without\n%s", s.steps, cached.IbGib.Stored(), got.IbGib.Stored())
	}
	s.checkOverridden(got)
	if fromFirst := s.world.merge(s.t, heads, s.tjp); len(fromFirst.opaque) == 0 {
		// The base only saves work: a replay of everything leads to the same state.
		a, b := want.state.text(s.t), fromFirst.state.text(s.t)
		if a != b {
			s.t.Fatalf("step %d: from the base %s, from the first frame %s", s.steps, a, b)
		}
		s.met["from the first frame"]++
	}
	s.met["merged"]++
	s.met["skipped"] += len(want.skipped)
	s.met["overridden"] += len(got.Overridden)
	return want.frame, heads, true
}

// checkOverridden wants each overridden write to be that of an applied op, by one
// that was replayed later and had not seen it.
func (s *mergeSim) checkOverridden(m timeline.Merged) {
	s.t.Helper()
	at := make(map[string]int)
	for i, a := range m.Replayed {
		at[a.String()] = i + 1
	}
	for _, o := range m.Overridden {
		lost, won := o.LostBy.String(), o.WonBy.String()
		if at[lost] == 0 || at[won] <= at[lost] || s.world[won].history[lost] || slices.Contains(m.Skipped, o.WonBy) || slices.Contains(m.Skipped, o.LostBy) {
			s.t.Fatalf("step %d: listed as overridden: %+v", s.steps, o)
		}
		if ibgib.EqualValue(o.Lost, o.Won) || o.Tjp.String() != s.tjp {
			s.t.Fatalf("step %d: listed as overridden: %+v", s.steps, o)
		}
	}
}

// step lets one node do something.
func (s *mergeSim) step() {
	s.t.Helper()
	s.steps++
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	latest, heads, ok := s.latest(n)
	users := slices.DeleteFunc(slices.Sorted(maps.Keys(n.set)), func(a string) bool { return !s.world[a].user() })
	switch what := s.rng.IntN(20); {
	case what < 7 && ok:
		if latest.kind == timeline.KindMerge {
			s.put(n, latest)
		}
		s.op(n, latest)
	case what < 10:
		s.op(n, s.world[heads[s.rng.IntN(len(heads))]])
	case what < 11:
		s.op(n, s.world[users[s.rng.IntN(len(users))]])
	case what < 12 && len(heads) > 1:
		pred := s.world[heads[s.rng.IntN(len(heads))]]
		if ok && s.rng.IntN(2) == 0 {
			pred = latest
			s.put(n, latest)
		}
		s.keep(n, pred, heads)
	case what == 12 && s.rng.IntN(6) == 0:
		s.opaque(n, s.world[heads[s.rng.IntN(len(heads))]])
	default:
		from := s.nodes[s.rng.IntN(len(s.nodes))]
		theirs := s.world.heads(from.set)
		s.give(n, theirs[s.rng.IntN(len(theirs))])
	}
	s.latest(n)
}

// meet gives every node everything, in any order, and wants one latest.
func (s *mergeSim) meet() {
	s.t.Helper()
	all := slices.Sorted(maps.Keys(s.world))
	var latest string
	for i, n := range s.nodes {
		s.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for rest := all; len(rest) > 0; {
			k := 1 + s.rng.IntN(len(rest))
			s.give(n, rest[:k]...)
			rest = rest[k:]
			s.latest(n)
		}
		f, _, ok := s.latest(n)
		switch {
		case !ok:
			return
		case i == 0:
			latest = f.addr()
		case f.addr() != latest:
			s.t.Fatalf("node %d presents %s, node 0 %s", i, f.addr(), latest)
		}
	}
	s.met["met"]++
}

// eachMergeSeed runs a test for some seeds: for MERGE_SEEDS of them if that is
// set, for MERGE_SEED only if that is.
func eachMergeSeed(t *testing.T, seeds uint64, run func(t *testing.T, seed uint64)) {
	if n, err := strconv.ParseUint(os.Getenv("MERGE_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	first := uint64(0)
	if seed, err := strconv.ParseUint(os.Getenv("MERGE_SEED"), 10, 64); err == nil {
		first, seeds = seed, 1
	}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { run(t, seed) })
	}
}

// Nodes that change one timeline, partitioned and with skewed clocks, agree with
// the reference at every step, and with each other once they have met.
func TestMergeAgainstReference(t *testing.T) {
	met := make(map[string]int)
	eachMergeSeed(t, 40, func(t *testing.T, seed uint64) {
		s := newMergeSim(t, seed, 2+int(seed%3))
		for range 22 {
			s.step()
		}
		s.meet()
		for what, n := range s.met {
			met[what] += n
		}
	})
	for _, what := range []string{"merged", "met", "opaque", "from a keep", "from the first frame", "skipped", "overridden"} {
		if met[what] < 5 && os.Getenv("MERGE_SEED") == "" {
			t.Errorf("too little of %s: %v", what, met)
		}
	}
	t.Log(met)
}

// latestOf unites sets of frames in the order given and returns the address of
// latest. With present set, every merge frame on the way is stored.
func (s *mergeSim) latestOf(present bool, sets ...map[string]bool) string {
	n := &simNode{space: newSpace(s.t), set: make(map[string]bool)}
	var latest *refFrame
	for _, set := range sets {
		s.give(n, slices.Sorted(maps.Keys(set))...)
		f, _, ok := s.latest(n)
		if latest = f; !ok {
			latest = nil
		} else if present {
			s.put(n, f)
		}
	}
	if latest == nil {
		return "not mergeable"
	}
	return latest.addr()
}

// Latest is a function of the set of user frames: uniting sets is commutative,
// associative and idempotent, a merge of merges is the merge of everything, and it
// does not matter in which order one op after the other comes.
func TestMergeIsAFunctionOfTheSet(t *testing.T) {
	eachMergeSeed(t, 15, func(t *testing.T, seed uint64) {
		s := newMergeSim(t, seed+1000, 3)
		for range 25 {
			s.step()
		}
		a, b, c := s.nodes[0].set, s.nodes[1].set, s.nodes[2].set
		union := func(sets ...map[string]bool) map[string]bool {
			all := make(map[string]bool)
			for _, set := range sets {
				maps.Copy(all, set)
			}
			return all
		}
		want := s.latestOf(false, union(a, b, c))
		for name, sets := range map[string][]map[string]bool{
			"a b c": {a, b, c}, "c b a": {c, b, a}, "b a c": {b, a, c},
			"(a b) c": {union(a, b), c}, "a (b c)": {a, union(b, c)}, "a b a c b": {a, b, a, c, b},
		} {
			for _, present := range []bool{false, true} {
				if got := s.latestOf(present, sets...); got != want {
					t.Errorf("%s, merge frames stored %v: latest is %s, want %s", name, present, got, want)
				}
			}
		}
		var ops []map[string]bool
		for _, a := range slices.Sorted(maps.Keys(union(a, b, c))) {
			if s.world[a].user() {
				ops = append(ops, map[string]bool{a: true})
			}
		}
		for range 2 {
			s.rng.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
			if got := s.latestOf(s.rng.IntN(2) == 0, ops...); got != want {
				t.Errorf("one op after the other: latest is %s, want %s", got, want)
			}
		}
		if once, twice := s.latestOf(true, a), s.latestOf(true, a, a); once != twice {
			t.Errorf("a is %s, a with itself %s", once, twice)
		}
	})
}
