package timeline_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

var update = flag.Bool("update", false, "write the golden files")

// The diverged timelines of the two spaces have one latest, whichever side unites
// them. The golden file guards against an accidental change of the rules: where it
// changes, nodes of two versions present different frames.
func TestSpacesMerge(t *testing.T) {
	a, b, want := loadSpaces(t)
	const golden = "testdata/merged_spaces.ndjson"
	var got []byte
	s := newSpace(t, slices.Concat(a, b)...)
	other := newSpace(t, slices.Concat(b, a)...)
	for _, name := range sorted(want.Groups.Diverged) {
		tjp := addr(t, name)
		m, err := s.merge(tjp, timeline.MergeWork{})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := other.merge(tjp, timeline.MergeWork{}); err != nil || again.IbGib.Addr() != m.IbGib.Addr() {
			t.Errorf("one side presents %s, the other %s, %v", m.IbGib.Addr(), again.IbGib.Addr(), err)
		}
		got = append(m.IbGib.AppendJSON(got), '\n')
	}
	if len(want.Groups.Diverged) == 0 {
		t.Fatal("none has diverged")
	}
	if *update {
		if err := os.WriteFile(golden, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, file) {
		t.Errorf("merged to\n%swant\n%s", got, file)
	}
}

// unmergeable wants a reason why there is no merge.
func unmergeable(t *testing.T, s *space, tjp ibgib.Addr) *timeline.Unmergeable {
	t.Helper()
	m, err := s.merge(tjp, timeline.MergeWork{})
	var u *timeline.Unmergeable
	if !errors.As(err, &u) {
		t.Fatalf("merged to %s, %v", m.IbGib.Addr(), err)
	}
	return u
}

// As many heads as allowed are merged; with one more the timeline waits for a
// person, whose keep frame makes it one head again.
func TestMergeManyHeads(t *testing.T) {
	l := newTimeLine(t, "wide")
	gs := []ibgib.IbGib{l.tjp}
	add := func(i int) {
		g, dna := l.patch(l.tjp, data{fmt.Sprint("k", i): i})
		gs = append(gs, dna, g)
	}
	for i := range timeline.MaxMergeHeads {
		add(i)
	}
	s := newSpace(t, gs...)
	m, err := s.merge(l.tjp.Addr(), timeline.MergeWork{})
	if err != nil || len(m.Replayed) != timeline.MaxMergeHeads || len(m.IbGib.Data().Members()) != timeline.MaxMergeHeads+4 {
		t.Fatalf("%d ops, %d members, %v", len(m.Replayed), len(m.IbGib.Data().Members()), err)
	}
	add(timeline.MaxMergeHeads)
	s.add(t, gs[len(gs)-2:]...)
	if u := unmergeable(t, s, l.tjp.Addr()); u.Reason != timeline.ReasonTooManyHeads {
		t.Errorf("not mergeable: %v", u)
	}
	keep, dna, err := timeline.Keep(gs[2], s.heads[l.tjp.Addr()], keepTime)
	if err != nil {
		t.Fatal(err)
	}
	s.add(t, dna, keep)
	if got := s.headAddrs(l.tjp.Addr()); len(got) != 1 || got[0] != keep.Addr().String() {
		t.Errorf("%d heads after the keep frame", len(got))
	}
	if _, err := timeline.Merge(s.heads[l.tjp.Addr()], s.frame, s.block, timeline.MergeWork{}); err == nil {
		t.Error("one head has been merged")
	}
}

// An op whose result would break a limit is skipped; a state that is within them
// and a merge frame that is not has no merge.
func TestMergeLimits(t *testing.T) {
	size := func(left, right int) (*space, forked) {
		f := newForkedBy(t, data{"left": strings.Repeat("x", left)}, data{"right": strings.Repeat("x", right)})
		return newSpace(t, f.all()...), f
	}
	const half = ibgib.MaxSize / 2
	room := ibgib.MaxSize - half - len(`{"ib":"task","data":{"left":"","name":"forked","right":"","side":"right","v":1}}`)
	s, f := size(half, room) // as large as a state can be, and the merge frame is larger
	if u := unmergeable(t, s, f.tjp.Addr()); u.Reason != timeline.ReasonGate || u.Base != f.base.Addr() {
		t.Errorf("not mergeable: %+v", u)
	}
	s, f = size(half, room+1)
	m, err := s.merge(f.tjp.Addr(), timeline.MergeWork{})
	if err != nil || !slices.Equal(text(m.Skipped), names(f.right)) {
		t.Errorf("skipped %v, %v, want the last op", m.Skipped, err)
	}

	many := func(list string, n int) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = fmt.Sprintf("%s%d^gib", list, i)
		}
		return out
	}
	linked := func(left, right int) (*space, ibgib.IbGib, forked) {
		f := newForked(t)
		l, ldna := f.change(f.left, "rel8", data{"rel8nsToAddByAddr": links{"c": many("l", left)}})
		r, rdna := f.change(f.right, "rel8", data{"rel8nsToAddByAddr": links{"c": many("r", right)}})
		return newSpace(t, append(f.all(), l, ldna, r, rdna)...), r, f
	}
	s, _, f = linked(60_000, ibgib.MaxLinks-60_000)
	if u := unmergeable(t, s, f.tjp.Addr()); u.Reason != timeline.ReasonGate {
		t.Errorf("not mergeable: %+v", u)
	}
	s, last, f := linked(60_000, ibgib.MaxLinks-60_000+1)
	if m, err = s.merge(f.tjp.Addr(), timeline.MergeWork{}); err != nil || !slices.Equal(text(m.Skipped), names(last)) {
		t.Errorf("skipped %v, %v, want the last op", m.Skipped, err)
	}
}

func TestMergeWhereNEnds(t *testing.T) {
	l := timeLine{t, build(t, "task", data{"isTjp": true, "n": int64(1<<53 - 2)}, links{"ancestor": {"task^gib"}})}
	gs := []ibgib.IbGib{l.tjp}
	for i := range 2 {
		g, dna := changeAt(t, l.tjp, "mut8", data{"dataToAddOrPatch": data{"i": i}}, timeOf(1))
		gs = append(gs, g, dna)
	}
	s := newSpace(t, gs...)
	if u := unmergeable(t, s, l.tjp.Addr()); u.Reason != timeline.ReasonNoN {
		t.Errorf("not mergeable: %+v", u)
	}
}

// The walk passes what lies above the base and little more, however long the
// timeline is below.
func TestMergeReadsAboveTheBase(t *testing.T) {
	for _, withN := range []bool{true, false} {
		l := newTimeLine(t, "long")
		d := data{"isTjp": true, "name": "long"}
		if withN {
			d["n"] = 0
		}
		l.tjp = build(t, "task", d, nil)
		s := newSpace(t, l.tjp)
		grow := func(from ibgib.IbGib, n int, name string) ibgib.IbGib {
			for i := range n {
				var dna ibgib.IbGib
				from, dna = changeAt(t, from, "mut8", data{"dataToAddOrPatch": data{name: i}}, timeOf(s.reads+i))
				s.add(t, dna, from)
			}
			return from
		}
		base := grow(l.tjp, 400, "base")
		grow(base, 30, "left")
		grow(base, 2, "right")
		lookups := 0
		s.reads = 0
		m, err := timeline.Merge(s.heads[l.tjp.Addr()], func(a ibgib.Addr) (timeline.Frame, bool, error) {
			lookups++
			return s.frame(a)
		}, s.block, timeline.MergeWork{})
		if err != nil || m.Base.Addr != base.Addr() || len(m.Replayed) != 32 {
			t.Fatalf("with n %v: base %s, %d ops, %v", withN, m.Base.Addr, len(m.Replayed), err)
		}
		if limit := 80; lookups > limit || s.reads > limit {
			t.Errorf("with n %v: %d lookups and %d reads for 32 ops, want at most %d", withN, lookups, s.reads, limit)
		}
	}
}

// What comes last costs only itself with a cache; what comes in between, the
// replay without recognition.
func TestMergeCacheSavesReads(t *testing.T) {
	f := newForked(t)
	s := newSpace(t, f.all()...)
	last := f.right
	for i := range 50 {
		var dna ibgib.IbGib
		last, dna = f.patch(last, data{"more": i + 2})
		s.add(t, dna, last)
	}
	var cache timeline.MergeCache
	work := func() (spent int64, merged timeline.Merged) {
		budget := timeline.NewBudget(1 << 30)
		m, err := s.merge(f.tjp.Addr(), timeline.MergeWork{Budget: budget, Cache: &cache})
		if err != nil {
			t.Fatal(err)
		}
		plain, err := s.merge(f.tjp.Addr(), timeline.MergeWork{})
		if err != nil || plain.IbGib.Addr() != m.IbGib.Addr() || len(plain.Overridden) != len(m.Overridden) {
			t.Fatalf("with the cache %s, without %s, %v", m.IbGib.Addr(), plain.IbGib.Addr(), err)
		}
		return 1<<30 - budget.Left(), m
	}
	first, _ := work()
	again, _ := work()
	g, dna := f.patch(last, data{"more": "last"})
	s.add(t, dna, g)
	after, _ := work()
	g, dna = changeAt(t, f.left, "mut8", data{"dataToAddOrPatch": data{"between": 1}}, timeOf(5))
	s.add(t, dna, g)
	between, _ := work()
	if !(again < after && after < between && between < first) || after > first/4 {
		t.Errorf("costs: first %d, again %d, one more at the end %d, one more in between %d", first, again, after, between)
	}
}

func TestMergeReturnsLookupErrors(t *testing.T) {
	f := newForked(t)
	s := newSpace(t, f.all()...)
	heads := s.heads[f.tjp.Addr()]
	broken := errors.New("disk")
	_, err := timeline.Merge(heads, func(ibgib.Addr) (timeline.Frame, bool, error) { return timeline.Frame{}, false, broken }, s.block, timeline.MergeWork{})
	if !errors.Is(err, broken) {
		t.Errorf("Merge returns %v", err)
	}
	for reads := range 10 {
		left := reads
		_, err := timeline.Merge(heads, s.frame, func(a ibgib.Addr) (ibgib.IbGib, error) {
			if left--; left < 0 {
				return ibgib.IbGib{}, broken
			}
			return s.block(a)
		}, timeline.MergeWork{})
		if !errors.Is(err, broken) {
			t.Errorf("after %d reads Merge returns %v", reads, err)
		}
	}
	for _, a := range []ibgib.Addr{f.base.Addr(), f.left.Addr(), f.dna[1].Addr()} {
		_, err := timeline.Merge(heads, s.frame, func(asked ibgib.Addr) (ibgib.IbGib, error) {
			if asked == a {
				return ibgib.IbGib{}, nil
			}
			return s.block(asked)
		}, timeline.MergeWork{})
		var missing *timeline.MissingError
		if !errors.As(err, &missing) || missing.Addr != a {
			t.Errorf("without %s Merge returns %v", a, err)
		}
	}
}

// What people are told of the writes that a merge overrode.
func TestOverridden(t *testing.T) {
	mut8 := func(s string) []data { return []data{{"op": "mut8", "options": s}} }
	rel8 := func(s string) []data { return []data{{"op": "rel8", "options": s}} }
	for _, row := range []struct {
		name          string
		first, second []data // ops of the two branches; all of first are replayed before second
		want          []string
	}{
		{"other keys", mut8(`{"dataToAddOrPatch":{"a":1}}`), mut8(`{"dataToAddOrPatch":{"b":2}}`), nil},
		{"the same value", mut8(`{"dataToAddOrPatch":{"a":1}}`), mut8(`{"dataToAddOrPatch":{"a":1}}`), nil},
		{"one key", mut8(`{"dataToAddOrPatch":{"a":1}}`), mut8(`{"dataToAddOrPatch":{"a":2}}`), []string{"data.a 1 2"}},
		{"one key twice", append(mut8(`{"dataToAddOrPatch":{"a":1}}`), mut8(`{"dataToAddOrPatch":{"a":3}}`)...), mut8(`{"dataToAddOrPatch":{"a":2}}`), []string{"data.a 3 2"}},
		{"seen within the branch", mut8(`{"dataToAddOrPatch":{"b":1}}`), append(mut8(`{"dataToAddOrPatch":{"a":1}}`), mut8(`{"dataToAddOrPatch":{"a":2}}`)...), nil},
		{"nested, other keys", mut8(`{"dataToAddOrPatch":{"o":{"p":1}}}`), mut8(`{"dataToAddOrPatch":{"o":{"q":2}}}`), nil},
		{"nested, one key", mut8(`{"dataToAddOrPatch":{"o":{"p":{"q":1}}}}`), mut8(`{"dataToAddOrPatch":{"o":{"p":{"q":2}}}}`), []string{"data.o.p.q 1 2"}},
		{"an object replaced", mut8(`{"dataToAddOrPatch":{"o":{"p":1,"q":[2]}}}`), mut8(`{"dataToAddOrPatch":{"o":5}}`), []string{"data.o.p 1 ", "data.o.q [2] "}},
		{"replaced by an object", mut8(`{"dataToAddOrPatch":{"o":5}}`), mut8(`{"dataToAddOrPatch":{"o":{"p":1}}}`), []string{`data.o 5 {"p":1}`}},
		{"removed", mut8(`{"dataToAddOrPatch":{"a":1,"o":{"p":1}}}`), mut8(`{"dataToRemove":{"a":"","o":""}}`), []string{"data.a 1 ", "data.o.p 1 "}},
		{"written again", mut8(`{"dataToRemove":{"a":""}}`), mut8(`{"dataToAddOrPatch":{"a":1}}`), []string{"data.a  1"}},
		{"removed twice", mut8(`{"dataToRemove":{"a":""}}`), mut8(`{"dataToRemove":{"a":""}}`), nil},
		{"removed inside", mut8(`{"dataToAddOrPatch":{"o":{"x":2}}}`), mut8(`{"dataToRemove":{"o":{"x":""}}}`), []string{"data.o.x 2 "}},
		{"renamed, its write goes along", mut8(`{"dataToAddOrPatch":{"a":1}}`), mut8(`{"dataToRename":{"a":"b"}}`), nil},
		{"renamed over a write", mut8(`{"dataToAddOrPatch":{"b":1}}`), mut8(`{"dataToRename":{"a":"b"}}`), []string{"data.b 1 "}},
		{"a write over what was renamed", mut8(`{"dataToRename":{"a":"b"}}`), mut8(`{"dataToAddOrPatch":{"b":1}}`), []string{"data.b 0 1"}},
		{"renamed twice", mut8(`{"dataToRename":{"a":"b"}}`), mut8(`{"dataToRename":{"a":"b"}}`), nil},
		{"renamed inside", mut8(`{"dataToAddOrPatch":{"o":{"y":3}}}`), mut8(`{"dataToRename":{"o":{"x":"y"}}}`), []string{"data.o.y 3 "}},
		{"ib", mut8(`{"mut8Ib":"one"}`), mut8(`{"mut8Ib":"two"}`), []string{`ib "one" "two"`}},
		{"links added", rel8(`{"rel8nsToAddByAddr":{"c":["a^gib"]}}`), rel8(`{"rel8nsToAddByAddr":{"c":["b^gib"]}}`), nil},
		{"a link removed", rel8(`{"rel8nsToAddByAddr":{"c":["a^gib"]}}`), rel8(`{"rel8nsToAddByAddr":{"c":["z^gib"]},"rel8nsToRemoveByAddr":{"c":["a^gib"]}}`), []string{`rel8ns.c "a^gib" `}},
		{"a link added again", rel8(`{"rel8nsToRemoveByAddr":{"c":["zero^gib"]}}`), rel8(`{"rel8nsToAddByAddr":{"c":["zero^gib"]}}`), []string{`rel8ns.c  "zero^gib"`}},
		{"only the newest link kept", rel8(`{"rel8nsToAddByAddr":{"c":["a^gib"]},"linkedRel8ns":["c"]}`), rel8(`{"rel8nsToAddByAddr":{"c":["b^gib"]},"linkedRel8ns":["c"]}`), []string{`rel8ns.c "a^gib" "b^gib"`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			first := build(t, "task", data{"isTjp": true, "n": 0, "a": 0, "o": data{"x": 1}}, links{"c": {"zero^gib"}})
			s := newSpace(t, first)
			seconds := 0
			for _, branch := range [][]data{row.first, row.second} {
				last := first
				for _, op := range branch {
					var options map[string]json.RawMessage
					if err := json.Unmarshal([]byte(op["options"].(string)), &options); err != nil {
						t.Fatal(err)
					}
					all := data{}
					for name, v := range options {
						all[name] = v
					}
					seconds++
					var dna ibgib.IbGib
					last, dna = changeAt(t, last, op["op"].(string), all, timeOf(seconds))
					s.add(t, dna, last)
				}
			}
			m, err := s.merge(first.Addr(), timeline.MergeWork{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range m.Overridden {
				got = append(got, fmt.Sprintf("%s %s %s", strings.Join(o.Path, "."), o.Lost, o.Won))
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("overridden are %q, want %q", got, row.want)
			}
		})
	}
}

func TestBase(t *testing.T) {
	f := newForked(t)
	s := newSpace(t, f.all()...)
	heads := s.heads[f.tjp.Addr()]
	for _, row := range []struct {
		heads []timeline.Frame
		want  ibgib.Addr
	}{
		{nil, ibgib.Addr{}},
		{heads[:1], heads[0].Addr},
		{heads, f.base.Addr()},
	} {
		if b, err := timeline.FindBranches(row.heads, s.frame); err != nil || b.Base.Addr != row.want {
			t.Errorf("the base of %v is %s, %v, want %s", addrsOf(row.heads), b.Base.Addr, err, row.want)
		}
	}
}

// Three branches, of which two stand on the merge of what was two before: each has all
// that is in its history above the base, and what two have is shared.
func TestFindBranches(t *testing.T) {
	f := newForked(t)
	merge := f.merge(nil)
	one, oneDna := f.patch(merge, data{"one": 1})
	two, twoDna := f.patch(merge, data{"two": 2})
	late, lateDna := f.patch(f.base, data{"late": 3})
	s := newSpace(t, append(f.all(), merge, oneDna, one, twoDna, two, lateDna, late)...)
	b, err := timeline.FindBranches(s.heads[f.tjp.Addr()], s.frame)
	if err != nil || b.Base.Addr != f.base.Addr() {
		t.Fatalf("base %s, %v", b.Base.Addr, err)
	}
	united := []ibgib.IbGib{merge, f.left, f.right, f.below}
	for _, row := range []struct {
		head   ibgib.IbGib
		shared []ibgib.IbGib
	}{{one, united}, {two, united}, {late, nil}} {
		want := map[ibgib.Addr]bool{row.head.Addr(): false}
		for _, g := range row.shared {
			want[g.Addr()] = true
		}
		got := make(map[ibgib.Addr]bool)
		var order []ibgib.Addr
		for frame, shared := range b.Of(row.head.Addr()) {
			got[frame.Addr] = shared
			order = append(order, frame.Addr)
		}
		if !maps.Equal(got, want) || len(order) != len(want) || order[0] != row.head.Addr() {
			t.Errorf("branch of %s: %v, want %v", row.head.Addr(), got, want)
		}
		if len(order) > 1 && (order[1] != merge.Addr() || slices.Index(order, f.right.Addr()) > slices.Index(order, f.below.Addr())) {
			t.Errorf("branch of %s in the order %v", row.head.Addr(), order)
		}
	}
}

// That a frame is opaque costs once, with a cache, and nothing is free.
func TestOpaqueFramesCost(t *testing.T) {
	l := newTimeLine(t, "opaque")
	s := newSpace(t, l.tjp)
	for _, side := range []string{"left", "right"} {
		last := l.tjp
		for i := range 20 {
			last = l.on(last, map[string]any{side: i})
			s.add(t, last)
		}
	}
	var cache timeline.MergeCache
	var spent []int64
	for range 2 {
		budget := timeline.NewBudget(1 << 30)
		_, err := s.merge(l.tjp.Addr(), timeline.MergeWork{Budget: budget, Cache: &cache})
		var u *timeline.Unmergeable
		if !errors.As(err, &u) || u.Reason != timeline.ReasonOpaque {
			t.Fatal(err)
		}
		spent = append(spent, 1<<30-budget.Left())
	}
	size := int64(l.tjp.Size())
	if spent[0] < 40*size || spent[1] > spent[0]/2 {
		t.Errorf("it costs %v for 40 frames of some %d bytes", spent, size)
	}
}
