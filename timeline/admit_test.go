package timeline_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

func TestKeepDna(t *testing.T) {
	g := build(t, "keep", data{"type": "keep"}, links{"ancestor": {"keep^gib"}})
	if g.Addr().String() != timeline.KeepDna {
		t.Errorf("the keep dna is %s", g.Addr())
	}
}

// Each row: frames that are admitted, then one that a rule keeps out.
func TestAdmitRejects(t *testing.T) {
	l := newTimeLine(t, "ours")
	other := newTimeLine(t, "theirs")
	one := l.on(l.tjp, nil)
	f := newForked(t)
	merge := f.merge(nil)
	onMerge := f.on(merge, map[string]any{"text": "after"})
	withoutN := func() timeLine {
		d := data{"isTjp": true}
		return timeLine{t, build(t, "task", d, links{"ancestor": {"task^gib"}})}
	}()
	keystone := build(t, "keystone", data{"isTjp": true, "n": 0}, links{"ancestor": {"keystone^gib"}})
	keystoneLine := timeLine{t, keystone}
	badN := func(n any) ibgib.IbGib {
		return build(t, "task", data{"isTjp": true, "n": n}, nil)
	}
	skewed := build(t, "task", data{"isTjp": true, "n": 0, "x": "skewed"}, links{"past": {one.Addr().String()}})
	longTjp := addr(t, "task^"+strings.Repeat("A", 64)+"."+strings.Repeat("B", 64)).String()
	hash := func(s string) string { return s + "^" + strings.Repeat("C", 64) }
	many := make([]string, timeline.MaxMergeHeads)
	for i := range many {
		many[i] = fmt.Sprintf("task^%064X", i)
	}

	for _, row := range []struct {
		name  string
		rule  string
		below []ibgib.IbGib
		g     ibgib.IbGib
	}{
		{"stone", timeline.RuleNotAFrame, nil, build(t, "stone", data{"a": 1}, nil)},
		{"tjp frame with a tjp list", timeline.RuleTjpList, []ibgib.IbGib{l.tjp}, build(t, "task", data{"isTjp": true}, links{"tjp": names(l.tjp)})},
		{"tjp list of two", timeline.RuleBadTjp, []ibgib.IbGib{l.tjp}, l.on(l.tjp, map[string]any{"tjp": []string{other.tjp.Addr().String(), l.tjp.Addr().String()}})},
		{"tjp list of twice the same", timeline.RuleBadTjp, []ibgib.IbGib{l.tjp}, l.on(l.tjp, map[string]any{"tjp": append(names(l.tjp), names(l.tjp)...)})},
		{"tjp with a gib of two hashes", timeline.RuleBadTjp, []ibgib.IbGib{l.tjp}, l.on(l.tjp, map[string]any{"tjp": []string{longTjp}})},
		{"tjp is a later frame", timeline.RuleBadTjp, []ibgib.IbGib{l.tjp, one}, l.on(one, map[string]any{"tjp": names(one)})},
		{"no past", timeline.RuleNoPredecessor, []ibgib.IbGib{l.tjp}, l.on(l.tjp, map[string]any{"past": nil})},
		{"empty past", timeline.RuleNoPredecessor, []ibgib.IbGib{l.tjp}, l.on(l.tjp, map[string]any{"past": []string{}})},
		{"primitive past", timeline.RuleNoPredecessor, []ibgib.IbGib{l.tjp}, l.on(l.tjp, map[string]any{"past": []string{"task^gib"}})},
		{"predecessor not admitted", timeline.RulePredecessorOut, []ibgib.IbGib{l.tjp}, l.on(one, nil)},
		{"predecessor under another ib", timeline.RulePredecessorOut, []ibgib.IbGib{l.tjp, one}, l.on(one, map[string]any{"past": []string{"alias^" + one.Gib()}})},
		{"predecessor is a stone", timeline.RulePredecessorOut, []ibgib.IbGib{l.tjp}, l.on(l.tjp, map[string]any{"past": []string{hash("stone")}})},
		{"tjp without isTjp", timeline.RulePredecessorOut, []ibgib.IbGib{build(t, "stone", data{"n": 0}, nil)}, func() ibgib.IbGib {
			stone := build(t, "stone", data{"n": 0}, nil)
			return build(t, "stone", data{"n": 1}, links{"past": names(stone), "tjp": names(stone)})
		}()},
		{"predecessor of another timeline", timeline.RuleForeign, []ibgib.IbGib{l.tjp, other.tjp}, l.on(l.tjp, map[string]any{"past": names(other.tjp)})},
		{"tjp frame of another timeline", timeline.RuleForeign, []ibgib.IbGib{l.tjp, one, skewed}, build(t, "task", data{"n": 2}, links{"past": names(one), "tjp": names(skewed)})},

		{"negative n", timeline.RuleBadN, nil, badN(-1)},
		{"fraction n", timeline.RuleBadN, nil, badN(0.5)},
		{"huge n", timeline.RuleBadN, nil, badN(0x1p53)},
		{"enormous n", timeline.RuleBadN, nil, badN(1e300)},
		{"text n", timeline.RuleBadN, nil, badN("1")},
		{"null n", timeline.RuleBadN, nil, build(t, "task", data{"isTjp": true, "n": nil}, nil)},
		{"fraction n on a later frame", timeline.RuleBadN, []ibgib.IbGib{l.tjp}, l.on(l.tjp, map[string]any{"n": 1.5})},
		{"n repeated", timeline.RuleNotConsecutive, []ibgib.IbGib{l.tjp}, l.on(l.tjp, map[string]any{"n": 0})},
		{"n leaps", timeline.RuleNotConsecutive, []ibgib.IbGib{l.tjp}, l.on(l.tjp, map[string]any{"n": 2})},
		{"n lost", timeline.RuleNotConsecutive, []ibgib.IbGib{l.tjp}, l.on(l.tjp, map[string]any{"n": nil})},
		{"n from nowhere", timeline.RuleNotConsecutive, []ibgib.IbGib{withoutN.tjp}, withoutN.on(withoutN.tjp, map[string]any{"n": 0})},

		{"keystone", timeline.RuleKeystone, nil, keystone},
		{"frame of a keystone", timeline.RuleKeystone, []ibgib.IbGib{keystone}, keystoneLine.on(keystone, nil)},

		{"unknown merge version", timeline.RuleUnknownMerge, []ibgib.IbGib{l.tjp}, l.on(l.tjp, map[string]any{"ibgib.merge.2": []string{}})},
		{"unknown skipped version", timeline.RuleUnknownMerge, []ibgib.IbGib{l.tjp}, l.on(l.tjp, map[string]any{"ibgib.skipped.": names(l.tjp)})},
		{"unknown merge version on a tjp", timeline.RuleUnknownMerge, nil, build(t, "task", data{"isTjp": true}, links{"ibgib.merge.01": {hash("a")}})},

		{"inherited list removed", timeline.RuleMergeListChange, append(f.all(), merge), f.on(merge, map[string]any{timeline.RelMerge: nil})},
		{"inherited list emptied", timeline.RuleMergeListChange, append(f.all(), merge, onMerge), f.on(onMerge, map[string]any{timeline.RelMerge: []string{}})},
		{"skipped list added", timeline.RuleMergeListChange, f.all(), f.on(f.right, map[string]any{timeline.RelSkipped: names(f.left)})},
		{"skipped list added after a merge", timeline.RuleMergeListChange, append(f.all(), merge), f.on(merge, map[string]any{timeline.RelSkipped: names(f.left)})},

		{"merge frame on a merge frame", timeline.RuleMergeForm, append(f.all(), merge), f.on(merge, map[string]any{timeline.RelMerge: names(f.left, f.right)})},
		{"merge frame with a whole past", timeline.RuleMergeForm, f.all(), f.merge(map[string]any{"past": []string{f.base.Addr().String(), f.right.Addr().String()}})},
		{"merge frame on the lesser head", timeline.RuleMergeForm, f.all(), f.on(f.left, map[string]any{timeline.RelMerge: names(f.right), "n": 4})},
		{"merge frame with too many heads", timeline.RuleTooManyHeads, f.all(), f.merge(map[string]any{timeline.RelMerge: many})},
		{"merge list with a repeat", timeline.RuleListOrder, f.all(), f.merge(map[string]any{timeline.RelMerge: append(names(f.left), names(f.left)...)})},
		{"merge list names what is not stored", timeline.RuleListFrame, f.all(), f.merge(map[string]any{timeline.RelMerge: []string{hash("task")}})},
		{"merge list names a primitive", timeline.RuleListFrame, f.all(), f.merge(map[string]any{timeline.RelMerge: []string{"task^gib"}})},
		{"merge list names another timeline", timeline.RuleListFrame, append(f.all(), other.tjp), f.merge(map[string]any{timeline.RelMerge: names(other.tjp)})},
		{"merge list names a merge frame", timeline.RuleListFrame, append(f.all(), merge), f.merge(map[string]any{timeline.RelMerge: names(merge), "n": 5})},
		{"merge list names the past", timeline.RuleListHistory, f.all(), f.merge(map[string]any{timeline.RelMerge: names(f.base)})},
		{"merge list names past and a head", timeline.RuleListHistory, f.all(), f.merge(map[string]any{timeline.RelMerge: names(f.tjp, f.left)})},
		{"merge list names the predecessor", timeline.RuleListHistory, f.all(), f.merge(map[string]any{timeline.RelMerge: names(f.right)})},
		{"merge frame counts by the past frame of the lesser head", timeline.RuleNotConsecutive, f.all(), f.merge(map[string]any{"n": 3})},
		{"merge frame without time", timeline.RuleMergeTime, f.all(), f.merge(map[string]any{"timestamp": nil})},
		{"merge frame with its own time", timeline.RuleMergeTime, f.all(), f.merge(map[string]any{"timestampMs": 6})},
		{"merge frame with an empty skipped list", timeline.RuleSkippedList, f.all(), f.merge(map[string]any{timeline.RelSkipped: []string{}})},
		{"merge frame that skips the tjp", timeline.RuleSkippedList, f.all(), f.merge(map[string]any{timeline.RelSkipped: names(f.tjp)})},
		{"merge frame that skips a stranger", timeline.RuleSkippedList, f.all(), f.merge(map[string]any{timeline.RelSkipped: []string{hash("task")}})},
		{"merge frame that skips what it has not", timeline.RuleSkippedList, append(f.all(), f.on(f.base, map[string]any{"side": 3})), f.merge(map[string]any{timeline.RelSkipped: names(f.on(f.base, map[string]any{"side": 3}))})},

		{"keep with a whole past", timeline.RuleKeepForm, f.all(), f.keep(map[string]any{"past": []string{f.base.Addr().String(), f.right.Addr().String()}})},
		{"keep with more dna", timeline.RuleKeepForm, f.all(), f.keep(map[string]any{"dna": []string{hash("mut8"), timeline.KeepDna}})},
		{"keep with skipped ops", timeline.RuleKeepForm, f.all(), f.keep(map[string]any{timeline.RelSkipped: names(f.left)})},
		{"keep on a merge frame names fewer heads", timeline.RuleKeepForm, append(f.all(), merge), f.on(merge, map[string]any{timeline.RelMerge: names(f.right), "dna": []string{timeline.KeepDna}})},
		{"keep of a stranger", timeline.RuleListFrame, f.all(), f.keep(map[string]any{timeline.RelMerge: []string{hash("task")}})},
		{"keep with a repeat", timeline.RuleListOrder, f.all(), f.keep(map[string]any{timeline.RelMerge: append(names(f.left), names(f.left)...)})},
		{"keep over its own past", timeline.RuleListHistory, f.all(), f.keep(map[string]any{timeline.RelMerge: names(f.base)})},
		{"keep of what is no head", timeline.RuleListHistory, f.all(), f.on(f.base, map[string]any{timeline.RelMerge: names(f.left), "dna": []string{timeline.KeepDna}, "n": 3})},
		{"keep counts by its predecessor only", timeline.RuleNotConsecutive, f.all(), f.on(f.left, map[string]any{timeline.RelMerge: names(f.right), "dna": []string{timeline.KeepDna}})},
		{"keep without time", timeline.RuleKeepTime, f.all(), f.keep(map[string]any{"timestamp": nil})},
		{"keep with another date form", timeline.RuleKeepTime, f.all(), f.keep(map[string]any{"timestamp": "2024-03-09T16:00:03Z"})},
		{"keep on the wrong weekday", timeline.RuleKeepTime, f.all(), f.keep(map[string]any{"timestamp": "Sun, 09 Mar 2024 16:00:03 GMT"})},
		{"keep with a whole second of ms", timeline.RuleKeepTime, f.all(), f.keep(map[string]any{"timestampMs": 1000})},
		{"keep that changes data", timeline.RuleKeepState, f.all(), f.keep(map[string]any{"side": "left"})},
		{"keep that changes rel8ns", timeline.RuleKeepState, f.all(), f.keep(map[string]any{"comment": []string{hash("comment")}})},
		{"keep with another ancestor", timeline.RuleKeepState, f.all(), f.keep(map[string]any{"ancestor": []string{"chat^gib"}})},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSpace(t, row.below...)
			for a, r := range s.rejected {
				if r.Rule != timeline.RuleKeystone {
					t.Fatalf("%s, which stands below, is kept out: %v", a, r)
				}
			}
			_, err := timeline.Admit(row.g, s.frame, s.block)
			var r *timeline.Rejection
			if !errors.As(err, &r) {
				t.Fatalf("Admit returns %v, want the rule %s", err, row.rule)
			}
			if r.Rule != row.rule || r.Addr != row.g.Addr() || r.Version != timeline.RulesVersion || r.Detail == "" {
				t.Errorf("Admit returns %+v, want the rule %s", r, row.rule)
			}
		})
	}
}

// Frames that look unusual and are fine.
func TestAdmitAccepts(t *testing.T) {
	l := newTimeLine(t, "ours")
	one := l.on(l.tjp, nil)
	f := newForked(t)
	merge := f.merge(nil)
	keep := f.keep(nil)
	withoutN := timeLine{t, build(t, "task", data{"isTjp": true}, links{"ancestor": {"task^gib"}})}
	inheriting := build(t, "task", data{"isTjp": true, "n": 0}, links{timeline.RelMerge: names(f.left)})
	odd := timeLine{t, build(t, "task", data{"isTjp": data{}, "n": 7}, nil)}
	fs := newForkedBy(t, data{"v": data{"deep": 1}}, data{"v": nil})
	skipping := fs.merge(nil)
	op, dna := f.patch(f.left, data{"more": 2})
	unseen := append(f.all(), keep, build(t, "keep", data{"type": "keep"}, links{"ancestor": {"keep^gib"}}), op, dna)
	mergeOfKeep := func() ibgib.IbGib {
		s := newSpace(t, unseen...)
		m, err := s.merge(f.tjp.Addr(), timeline.MergeWork{})
		if err != nil {
			t.Fatal(err)
		}
		return m.IbGib
	}()

	for _, row := range []struct {
		name  string
		below []ibgib.IbGib
		g     ibgib.IbGib
		kind  timeline.FrameKind
		n     int64 // -1 for none
	}{
		{"tjp", nil, l.tjp, timeline.KindTjp, 0},
		{"tjp that is another's copy, with its past", []ibgib.IbGib{l.tjp, one}, build(t, "task", data{"isTjp": true, "n": 0}, links{"past": names(l.tjp, one)}), timeline.KindTjp, 0},
		{"tjp that brings a merge list", f.all(), inheriting, timeline.KindTjp, 0},
		{"frame on it", append(f.all(), inheriting), timeLine{t, inheriting}.on(inheriting, nil), timeline.KindUser, 1},
		{"tjp with a truthy object, n from 7", nil, odd.tjp, timeline.KindTjp, 7},
		{"frame on it", []ibgib.IbGib{odd.tjp}, build(t, "task", data{"n": 8}, links{"past": names(odd.tjp), "tjp": names(odd.tjp)}), timeline.KindUser, 8},
		{"keystone ib with other links", nil, build(t, "keystone", data{"isTjp": true, "n": 0}, links{"ancestor": {"task^gib"}}), timeline.KindTjp, 0},
		{"keystone with one link more", nil, build(t, "keystone", data{"isTjp": true, "n": 0}, links{"ancestor": {"keystone^gib"}, "dna": {"fork^gib"}}), timeline.KindTjp, 0},
		{"tjp without n", nil, withoutN.tjp, timeline.KindTjp, -1},
		{"frame without n", []ibgib.IbGib{withoutN.tjp}, withoutN.on(withoutN.tjp, nil), timeline.KindUser, -1},
		{"frame without dna", []ibgib.IbGib{l.tjp}, l.on(l.tjp, map[string]any{"dna": nil}), timeline.KindUser, 1},
		{"frame with another ib", []ibgib.IbGib{l.tjp}, build(t, "chat", data{"n": 1}, links{"past": names(l.tjp), "tjp": names(l.tjp)}), timeline.KindUser, 1},
		{"frame that claims a long past", []ibgib.IbGib{l.tjp, one}, l.on(one, map[string]any{"past": []string{"lie^" + strings.Repeat("D", 64), one.Addr().String()}}), timeline.KindUser, 2},
		{"frame with the keep dna and no list", f.all(), f.on(f.right, map[string]any{"dna": []string{timeline.KeepDna}}), timeline.KindUser, 4},
		{"frame with an empty merge list", f.all(), f.on(f.right, map[string]any{timeline.RelMerge: []string{}}), timeline.KindUser, 4},
		{"merge frame", f.all(), merge, timeline.KindMerge, 4},
		{"merge frame that skipped an op", fs.all(), skipping, timeline.KindMerge, 4},
		{"frame on it", append(fs.all(), skipping), fs.on(skipping, map[string]any{"text": 1}), timeline.KindUser, 5},
		{"keep on it", append(fs.all(), skipping), fs.on(skipping, map[string]any{timeline.RelMerge: names(fs.left, fs.right), timeline.RelSkipped: nil, "dna": []string{timeline.KeepDna}}), timeline.KindKeep, 5},
		{"keep", f.all(), keep, timeline.KindKeep, 4},
		{"keep of the lesser head", f.all(), f.on(f.left, map[string]any{timeline.RelMerge: names(f.right), "dna": []string{timeline.KeepDna}, "n": 4}), timeline.KindKeep, 4},
		{"keep without ms", f.all(), f.keep(map[string]any{"timestampMs": nil}), timeline.KindKeep, 4},
		{"merge of a keep and what it had not seen", unseen, mergeOfKeep, timeline.KindMerge, 5},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSpace(t, row.below...)
			for _, r := range s.rejected {
				t.Fatal(r)
			}
			s.reads = 0
			got, err := timeline.Admit(row.g, s.frame, s.block)
			if err != nil {
				t.Fatal(err)
			}
			n := int64(-1)
			if got.HasN {
				n = got.N
			}
			if got.Addr != row.g.Addr() || got.Kind != row.kind || n != row.n {
				t.Errorf("admitted as %s, a %s frame with n %d, want %s with n %d", got.Addr, got.Kind, n, row.kind, row.n)
			}
			if counted := row.kind == timeline.KindMerge || row.kind == timeline.KindKeep; counted != (len(got.Links) > 0) {
				t.Errorf("a %s frame with %d counted links", got.Kind, len(got.Links))
			}
			if lists := len(row.g.Rel(timeline.RelMerge))+len(row.g.Rel(timeline.RelSkipped)) > 0; lists != got.HasMergeList {
				t.Errorf("HasMergeList is %v", got.HasMergeList)
			}
			if !got.HasMergeList && s.reads > 0 {
				t.Errorf("%d block reads for an ordinary frame", s.reads)
			}
		})
	}
}

// An I/O error is no verdict on the frame.
func TestAdmitReturnsLookupErrors(t *testing.T) {
	l := newTimeLine(t, "ours")
	broken := errors.New("disk")
	none := func(ibgib.Addr) (ibgib.IbGib, error) { return ibgib.IbGib{}, nil }
	_, err := timeline.Admit(l.on(l.tjp, nil), func(ibgib.Addr) (timeline.Frame, bool, error) {
		return timeline.Frame{}, false, broken
	}, none)
	var r *timeline.Rejection
	if !errors.Is(err, broken) || errors.As(err, &r) {
		t.Errorf("Admit returns %v", err)
	}

	f := newForked(t)
	s := newSpace(t, f.all()...)
	_, err = timeline.Admit(f.merge(nil), s.frame, func(ibgib.Addr) (ibgib.IbGib, error) { return ibgib.IbGib{}, broken })
	if !errors.Is(err, broken) {
		t.Errorf("Admit returns %v", err)
	}
	var missing *timeline.MissingError
	if _, err = timeline.Admit(f.merge(nil), s.frame, none); !errors.As(err, &missing) {
		t.Errorf("Admit returns %v", err)
	}
}

// What a rejection quotes of a peer's frame is cut and escaped.
func TestRejectionIsPrintable(t *testing.T) {
	l := newTimeLine(t, "ours")
	ib := "\x1b[2J" + strings.Repeat("é", 50_000)
	g := build(t, ib, data{"n": strings.Repeat("\x07", 50_000)}, links{"tjp": names(l.tjp), "past": names(l.tjp)})
	s := newSpace(t, l.tjp)
	_, err := timeline.Admit(g, s.frame, s.block)
	if err == nil {
		t.Fatal("admitted")
	}
	if msg := err.Error(); len(msg) > 2000 || strings.ContainsAny(msg, "\x1b\x07") || !strings.Contains(msg, timeline.RuleBadN) {
		t.Errorf("the message has %d bytes: %.300q", len(msg), msg)
	}
}

// Ten thousand listed frames cost a lookup each and one walk.
func TestAdmitHugeKeepList(t *testing.T) {
	l := newTimeLine(t, "wide")
	gs := []ibgib.IbGib{l.tjp}
	for i := range 10_001 {
		gs = append(gs, l.on(l.tjp, map[string]any{"branch": i}))
	}
	s := newSpace(t, l.tjp)
	frames := make([]timeline.Frame, 0, len(gs))
	for _, g := range gs[1:] {
		f, err := timeline.Admit(g, s.frame, s.block)
		if err != nil {
			t.Fatal(err)
		}
		s.blocks[g.Addr()], s.frames[g.Addr()] = g, f
		frames = append(frames, f)
	}
	lookups := 0
	count := func(a ibgib.Addr) (timeline.Frame, bool, error) {
		lookups++
		return s.frame(a)
	}
	kept := gs[1]
	keep := l.on(kept, map[string]any{timeline.RelMerge: names(gs[2:]...), "dna": []string{timeline.KeepDna}})
	f, err := timeline.Admit(keep, count, s.block)
	if err != nil || f.Kind != timeline.KindKeep {
		t.Fatalf("Admit returns a %s frame, %v", f.Kind, err)
	}
	if lookups > 4*len(frames) {
		t.Errorf("%d lookups for %d listed frames", lookups, len(frames))
	}
	// A claimed frame of its own history, hidden in the list, is found.
	lying := l.on(kept, map[string]any{timeline.RelMerge: names(slices.Concat(gs[2:], gs[:1])...), "dna": []string{timeline.KeepDna}})
	var r *timeline.Rejection
	if _, err := timeline.Admit(lying, s.frame, s.block); !errors.As(err, &r) || r.Rule != timeline.RuleListHistory {
		t.Errorf("Admit returns %v", err)
	}
}
