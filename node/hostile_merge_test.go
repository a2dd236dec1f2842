package node

import (
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// fork is a timeline with two branches that the victim holds, and their merge frame. The
// branches bear dnas of their own.
type fork struct {
	maker                    *blockstoretest.Maker
	all                      []ibgib.IbGib
	base, left, below, right ibgib.IbGib // right is above below, and the greater head
	merged                   ibgib.IbGib
	foreign                  ibgib.IbGib // frame of another timeline
}

// newFork gives the victim such a timeline.
func (r *arena) newFork(t *testing.T) *fork {
	t.Helper()
	f := &fork{maker: blockstoretest.NewMaker(1 << 40)}
	f.all = f.maker.Timeline(t, "forked")
	change := func(src ibgib.IbGib, name, value string) ibgib.IbGib {
		made := f.maker.Mut8(t, src, name, value)
		f.all = append(f.all, made...)
		return blockstoretest.Last(made)
	}
	f.base = blockstoretest.Last(f.all)
	f.left = change(f.base, "left", "1")
	f.below = change(f.base, "right", "1")
	f.right = change(f.below, "right", "2")
	other := f.maker.Timeline(t, "another")
	f.foreign = blockstoretest.Last(other)
	if _, _, err := r.victim.store.Apply(t.Context(), blockstore.DefaultShare, blockstore.Origin{}, slices.Concat(f.all, other)); err != nil {
		t.Fatal(err)
	}
	e := r.entryOf(t, f.base)
	if !e.Merged || len(e.Heads) != 2 {
		t.Fatalf("entry %+v", e)
	}
	var err error
	if f.merged, err = r.victim.store.Get(t.Context(), e.Latest); err != nil {
		t.Fatal(err)
	}
	r.honest(t) // the friend has it too
	return f
}

// entryOf is what the victim holds of the timeline of a frame.
func (r *arena) entryOf(t *testing.T, g ibgib.IbGib) blockstore.Entry {
	t.Helper()
	tjp, _ := timeline.Claims(g)
	root, _ := tjp.Hash()
	e, ok, err := r.victim.view.Entry(t.Context(), root)
	if err != nil || !ok {
		t.Fatalf("entry of %s: %t, %v", tjp, ok, err)
	}
	return e
}

// withData is g with another member; an absent value takes it away.
func withData(t *testing.T, g ibgib.IbGib, name string, v ibgib.Value) ibgib.IbGib {
	t.Helper()
	d := g.Data().Without(name)
	if v.Kind() != ibgib.KindAbsent {
		d = g.Data().With(name, v)
	}
	return made(t)(ibgib.New(g.Ib(), d, g.Rel8ns()))
}

// withRel is g with another list of links; without any it has no such list.
func withRel(t *testing.T, g ibgib.IbGib, name string, links ...ibgib.IbGib) ibgib.IbGib {
	t.Helper()
	rel8ns := g.Rel8ns().Without(name)
	if len(links) > 0 {
		var addrs []ibgib.Addr
		for _, l := range links {
			addrs = append(addrs, l.Addr())
		}
		slices.SortFunc(addrs, ibgib.CompareAddr)
		rel8ns = g.Rel8ns().With(name, addrs)
	}
	return made(t)(ibgib.New(g.Ib(), g.Data(), rel8ns))
}

func made(t *testing.T) func(g ibgib.IbGib, err error) ibgib.IbGib {
	return func(g ibgib.IbGib, err error) ibgib.IbGib {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
}

// dnaOf is the dna of one change in the timeline.
func (f *fork) dnaOf(t *testing.T, g ibgib.IbGib) ibgib.IbGib {
	t.Helper()
	addr, _ := g.LastRel("dna")
	i := slices.IndexFunc(f.all, func(g ibgib.IbGib) bool { return g.Addr() == addr })
	if i < 0 {
		t.Fatalf("no dna of %s", g.Addr())
	}
	return f.all[i]
}

// TestForgedMerges lets a trusted peer name a head above a frame that is no merge of
// what it claims to unite. In whichever direction the saga goes it comes to a good end,
// the frame is kept out by its rule, and what stands on it with it: heads and latest stay,
// the peer learns that it was kept out, nobody else gets to see it, it is no want, and its
// bytes are on the peer's account.
func TestForgedMerges(t *testing.T) {
	r := newArena(t, func(*Node) {})
	f := r.newFork(t)
	latest := r.entryOf(t, f.base).Latest
	text := ibgib.String
	keep := func(t *testing.T, kept ibgib.IbGib, heads ...ibgib.IbGib) (frame, dna ibgib.IbGib) {
		t.Helper()
		var frames []timeline.Frame
		for _, g := range heads {
			fr, err := r.victim.frameOf(t.Context(), g.Addr())
			if err != nil {
				t.Fatal(err)
			}
			frames = append(frames, fr)
		}
		frame, dna, err := timeline.Keep(kept, frames, f.maker.Env().Now())
		if err != nil {
			t.Fatal(err)
		}
		return frame, dna
	}
	_, keepDna := keep(t, f.right, f.left, f.right)
	for _, c := range []struct {
		name  string
		rule  string
		forge func(t *testing.T) ibgib.IbGib
	}{
		{"another state", timeline.RuleMergeState, func(t *testing.T) ibgib.IbGib { return withData(t, f.merged, "left", text("forged")) }},
		{"a member more", timeline.RuleMergeState, func(t *testing.T) ibgib.IbGib { return withData(t, f.merged, "more", text("forged")) }},
		{"a link more", timeline.RuleMergeState, func(t *testing.T) ibgib.IbGib { return withRel(t, f.merged, "friend", f.foreign) }},
		{"an op is missing", timeline.RuleMergeDna, func(t *testing.T) ibgib.IbGib {
			return withRel(t, withData(t, f.merged, "left", ibgib.Value{}), "dna")
		}},
		{"an op too many", timeline.RuleMergeDna, func(t *testing.T) ibgib.IbGib {
			return withRel(t, f.merged, "dna", f.dnaOf(t, f.left), f.dnaOf(t, f.below))
		}},
		{"the lesser head as past", timeline.RuleMergeForm, func(t *testing.T) ibgib.IbGib {
			return withRel(t, withRel(t, f.merged, "past", f.left), timeline.RelMerge, f.right)
		}},
		{"a frame below as past", timeline.RuleMergeForm, func(t *testing.T) ibgib.IbGib {
			return withRel(t, withRel(t, f.merged, "past", f.below), timeline.RelMerge, f.left, f.right)
		}},
		{"a time of its own", timeline.RuleMergeTime, func(t *testing.T) ibgib.IbGib { return withData(t, f.merged, "timestampMs", ibgib.Number(6)) }},
		{"an n of its own", timeline.RuleNotConsecutive, func(t *testing.T) ibgib.IbGib { return withData(t, f.merged, "n", ibgib.Number(9)) }},
		{"an applied op as skipped", timeline.RuleSkippedList, func(t *testing.T) ibgib.IbGib { return withRel(t, f.merged, timeline.RelSkipped, f.left) }},
		{"a list of what is below", timeline.RuleListHistory, func(t *testing.T) ibgib.IbGib { return withRel(t, f.merged, timeline.RelMerge, f.base) }},
		{"a list of another timeline", timeline.RuleListFrame, func(t *testing.T) ibgib.IbGib { return withRel(t, f.merged, timeline.RelMerge, f.foreign) }},
		{"a list of no frame", timeline.RuleListFrame, func(t *testing.T) ibgib.IbGib {
			return withRel(t, f.merged, timeline.RelMerge, f.dnaOf(t, f.left))
		}},
		{"a list on an ordinary frame", timeline.RuleListHistory, func(t *testing.T) ibgib.IbGib {
			return withRel(t, blockstoretest.Last(f.maker.Mut8(t, f.right, "x", "y")), timeline.RelMerge, f.base)
		}},
		{"an inherited list emptied", timeline.RuleMergeListChange, func(t *testing.T) ibgib.IbGib {
			return withRel(t, blockstoretest.Last(f.maker.Mut8(t, f.merged, "x", "y")), timeline.RelMerge)
		}},
		{"an inherited list changed", timeline.RuleMergeForm, func(t *testing.T) ibgib.IbGib {
			return withRel(t, blockstoretest.Last(f.maker.Mut8(t, f.merged, "x", "y")), timeline.RelMerge, f.right)
		}},
		{"rules of another version", timeline.RuleUnknownMerge, func(t *testing.T) ibgib.IbGib { return withRel(t, f.merged, "ibgib.merge.2", f.left) }},
		{"a keep frame with another state", timeline.RuleKeepState, func(t *testing.T) ibgib.IbGib {
			frame, _ := keep(t, f.right, f.left, f.right)
			return withData(t, frame, "right", text("forged"))
		}},
		{"a keep frame of half the merge", timeline.RuleKeepForm, func(t *testing.T) ibgib.IbGib {
			frame, _ := keep(t, f.merged, f.left, f.right)
			return withRel(t, frame, timeline.RelMerge, f.right)
		}},
	} {
		for _, way := range []struct {
			name  string
			begin func(a *attack)
			back  bool
		}{
			{"the peer begins", func(a *attack) { a.open(a.init()); a.say(a.delta(saga.Delta{WantsDone: true})) }, false},
			{"the victim begins", (*attack).wanted, true},
		} {
			t.Run(c.name+"/"+way.name, func(t *testing.T) {
				a := r.newAttack(t)
				a.by = r.evil
				forged := c.forge(t)
				above := f.maker.Mut8(t, forged, "above", t.Name())
				top := blockstoretest.Last(above)
				dna := f.maker.Mut8(t, f.right, "x", "y")[:1] // of the ordinary frames above
				a.offer(slices.Concat(f.all, dna, []ibgib.IbGib{keepDna, f.merged, f.foreign, forged}, above))
				talk := a.talk
				if way.back {
					talk = a.talkBack
				}
				every := make([]int, len(a.blocks))
				for i := range every {
					every[i] = i
				}
				r.judge(a, hostileCase{ends: true, keeps: every, attack: func(a *attack) {
					way.begin(a)
					a.giveLacking()
					a.say(a.delta(saga.Delta{Done: true}))
					c := next[*saga.Commit](a)
					if c.Refused == 0 || len(c.Refusals) != 0 { // what came before is not counted again
						a.Errorf("the victim says that it keeps out %d frames and refuses %v", c.Refused, c.Refusals)
					}
					a.say(&saga.Commit{ID: a.id, Digest: c.Digest, Count: c.Count})
				}}, talk)
				r.keptOut(t, forged.Addr(), c.rule)
				r.keptOut(t, top.Addr(), timeline.RulePredecessorOut, timeline.RuleUnknownMerge) // it inherits the name
				if e := r.entryOf(t, f.base); e.Latest != latest || !e.Merged || len(e.Heads) != 2 {
					t.Errorf("entry %+v", e)
				}
				if contentsOf(t, r.friend).members[forged.Addr()] {
					t.Error("an honest node has got it")
				}
				if len(r.victim.Wants()) != 0 {
					t.Errorf("wants %+v", r.victim.Wants())
				}
			})
		}
	}
	if r.victim.store.Loose(r.evil.ID().String()) == 0 {
		t.Error("nothing is on the peer's account")
	}
	report, err := r.victim.Verify(t.Context(), nil)
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("verify: %+v, %v", report, err)
	}
}

// giveLacking offers all blocks and sends those that the victim lacks.
func (a *attack) giveLacking() {
	a.Helper()
	for from := 0; from < len(a.offers); from += saga.MaxOffers {
		offers := a.offers[from:min(from+saga.MaxOffers, len(a.offers))]
		a.say(a.delta(saga.Delta{Offers: offers}))
		var answer *saga.Answer
		for answer == nil {
			answer = next[*saga.Delta](a).Answer
		}
		var page []ibgib.IbGib
		size := 0
		for i, g := range a.blocks[from : from+len(offers)] {
			if answer.Lacks[i/8]>>(i%8)&1 == 0 {
				continue
			}
			if size += g.Size(); len(page) > 0 && size > saga.MaxPayload {
				a.say(a.delta(saga.Delta{Items: full(page...)}))
				page, size = nil, g.Size()
			}
			page = append(page, g)
		}
		if len(page) > 0 {
			a.say(a.delta(saga.Delta{Items: full(page...)}))
		}
	}
}

// keptOut wants the victim to keep a frame out by one of some rules.
func (r *arena) keptOut(t *testing.T, a ibgib.Addr, rules ...string) {
	t.Helper()
	for rejected, err := range r.victim.view.Rejected(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if rejected.Addr == a {
			if !slices.Contains(rules, rejected.Rule) || rejected.Version != timeline.RulesVersion {
				t.Errorf("kept out by %v, want the rule %s", rejected, rules)
			}
			return
		}
	}
	t.Errorf("%s is not kept out", a)
}
