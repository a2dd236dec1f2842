package timeline_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// Every way to forge a merge frame that the form does not show is found by its
// own rule, and what stands on such a frame stays out with it.
func TestForgedMergeFrames(t *testing.T) {
	f := newForked(t)
	honest := f.merge(nil)
	dna := honest.Rel("dna")
	if len(dna) != 1 || dna[0] != f.dna[1].Addr() {
		t.Fatalf("the past lacks %v, want the change of the other head", dna)
	}
	fs := newForkedBy(t, data{"v": data{"deep": 1}}, data{"v": nil})

	for _, row := range []struct {
		name  string
		rule  string
		f     forked
		edits map[string]any
	}{
		{"another value", timeline.RuleMergeState, f, map[string]any{"v": 2}},
		{"a member more", timeline.RuleMergeState, f, map[string]any{"w": 2}},
		{"a member less", timeline.RuleMergeState, f, map[string]any{"more": nil}},
		{"another link", timeline.RuleMergeState, f, map[string]any{"comment": []string{"comment^gib"}}},
		{"another ancestor", timeline.RuleMergeState, f, map[string]any{"ancestor": []string{"chat^gib"}}},
		{"an empty list", timeline.RuleMergeState, f, map[string]any{"comment": []string{}}},
		{"isTjp that is false", timeline.RuleMergeState, f, map[string]any{"isTjp": false}},
		{"an op is missing", timeline.RuleMergeDna, f, map[string]any{"dna": nil, "side": "right"}},
		{"an op of which only the dna is missing", timeline.RuleMergeDna, f, map[string]any{"dna": nil}},
		{"an op too many", timeline.RuleMergeDna, f, map[string]any{"dna": append(names(f.dna[1]), names(f.dna[2])...), "w": 2}},
		{"an empty dna list", timeline.RuleMergeDna, newForkedBy(t, data{"a": data{}}, data{"a": nil}), map[string]any{"dna": []string{}}},
		{"the time of the other head", timeline.RuleMergeTime, f, map[string]any{"timestamp": at(2)["timestamp"]}},
		{"a time of its own", timeline.RuleMergeTime, f, map[string]any{"timestampMs": 6}},
		{"no time", timeline.RuleMergeTime, f, map[string]any{"timestamp": nil}},
		{"a skipped op not listed", timeline.RuleSkippedList, fs, map[string]any{timeline.RelSkipped: nil}},
		{"the other op listed as skipped", timeline.RuleSkippedList, fs, map[string]any{timeline.RelSkipped: names(fs.left)}},
		{"an applied op listed as skipped", timeline.RuleSkippedList, f, map[string]any{timeline.RelSkipped: names(f.left)}},
		{"an empty skipped list", timeline.RuleSkippedList, f, map[string]any{timeline.RelSkipped: []string{}}},
		{"the lesser head as past", timeline.RuleMergeForm, f, map[string]any{"past": names(f.left), timeline.RelMerge: names(f.right)}},
		{"a frame below as past", timeline.RuleMergeForm, f, map[string]any{"past": names(f.below), timeline.RelMerge: names(f.right, f.left)}},
		{"n of its own", timeline.RuleNotConsecutive, f, map[string]any{"n": 5}},
		{"a list made by hand", timeline.RuleListHistory, f, map[string]any{timeline.RelMerge: names(f.base)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSpace(t, row.f.all()...)
			forged := row.f.merge(row.edits)
			if honest := row.f.merge(nil); forged.Addr() == honest.Addr() {
				t.Fatal("it is the honest frame")
			}
			s.add(t, forged, row.f.on(forged, map[string]any{"after": 1}))
			if r := s.rejected[forged.Addr()]; r == nil || r.Rule != row.rule || r.Version != timeline.RulesVersion {
				t.Fatalf("kept out by %v, want the rule %s", r, row.rule)
			}
			if len(s.rejected) != 2 {
				t.Errorf("%d frames are kept out, want the forged one and the one on it", len(s.rejected))
			}
			if got, want := s.headAddrs(row.f.tjp.Addr()), names(row.f.left, row.f.right); !slices.Equal(got, want) {
				t.Errorf("heads are %v, want %v", got, want)
			}
		})
	}

	t.Run("of heads that have none", func(t *testing.T) {
		opaque := edited(t, f.left, map[string]any{"side": "by hand"})
		s := newSpace(t, append(f.all(), opaque)...)
		_, err := timeline.Admit(edited(t, honest, map[string]any{timeline.RelMerge: names(opaque)}), s.frame, s.block)
		var r *timeline.Rejection
		if !errors.As(err, &r) || r.Rule != timeline.RuleUnmergeable {
			t.Errorf("Admit returns %v", err)
		}
	})
	t.Run("list changed on an ordinary frame", func(t *testing.T) {
		s := newSpace(t, append(f.all(), honest)...)
		after := f.on(honest, map[string]any{timeline.RelMerge: names(f.base)})
		_, err := timeline.Admit(after, s.frame, s.block)
		var r *timeline.Rejection
		if !errors.As(err, &r) || r.Rule != timeline.RuleMergeForm {
			t.Errorf("Admit returns %v", err)
		}
	})
}

// A merge frame that costs more than its budget is neither admitted nor kept
// out; offered again with more, or with the same and a cache, it is admitted.
func TestAdmitWithinBudget(t *testing.T) {
	f := newForked(t)
	s := newSpace(t, f.all()...)
	last, dna := f.patch(f.right, data{"more": 2})
	s.add(t, dna, last)
	m, err := s.merge(f.tjp.Addr(), timeline.MergeWork{})
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	admit := func(work timeline.MergeWork) (timeline.Frame, error) {
		return timeline.AdmitWithin(m.IbGib, s.frame, s.block, func(tjp ibgib.Addr) timeline.MergeWork {
			if asked++; tjp != f.tjp.Addr() {
				t.Errorf("asked for the budget of %s", tjp)
			}
			return work
		})
	}
	whole := timeline.NewBudget(1 << 30)
	if got, err := admit(timeline.MergeWork{Budget: whole}); err != nil || !sameFrame(got, m.Frame) {
		t.Fatalf("admitted as %+v, %v", got, err)
	}
	cost := 1<<30 - whole.Left()
	if _, err := admit(timeline.MergeWork{Budget: timeline.NewBudget(cost)}); err != nil {
		t.Errorf("with all that it costs: %v", err)
	}
	var r *timeline.Rejection
	if _, err := admit(timeline.MergeWork{Budget: timeline.NewBudget(cost - 1)}); !errors.Is(err, timeline.ErrOverBudget) || errors.As(err, &r) {
		t.Errorf("with less: %v", err)
	}
	var cache timeline.MergeCache
	rounds := 0
	for {
		budget := timeline.NewBudget(cost / 2)
		_, err := admit(timeline.MergeWork{Budget: budget, Cache: &cache})
		if rounds++; err == nil {
			break
		}
		if !errors.Is(err, timeline.ErrOverBudget) || rounds > 10 {
			t.Fatalf("round %d: %v", rounds, err)
		}
	}
	if rounds < 2 {
		t.Errorf("half of the budget was enough")
	}
	if asked != 3+rounds {
		t.Errorf("the budget was asked for %d times in %d checks", asked, 3+rounds)
	}
	// What the form shows costs no budget.
	_, err = timeline.AdmitWithin(edited(t, m.IbGib, map[string]any{"n": 9}), s.frame, s.block, func(ibgib.Addr) timeline.MergeWork {
		t.Error("asked for a budget")
		return timeline.MergeWork{}
	})
	if !errors.As(err, &r) || r.Rule != timeline.RuleNotConsecutive {
		t.Errorf("AdmitWithin returns %v", err)
	}
}
