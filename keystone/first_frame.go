package keystone

import (
	"github.com/ibgib/ibgib-node/ibgib"
)

// judgeFirst applies the rules of a first frame. ok is false if it cannot be
// built on.
func (h *History) judgeFirst(f *findings, g ibgib.IbGib) (d Data, ok bool) {
	if g.Ib() != Ib {
		f.add(RuleNotKeystone, spot{}, "the ib is %s", clip(g.Ib()))
	}
	isTjp, _ := g.Field(memberIsTjp)
	if !isTjp.Bool() {
		f.add(RuleNotKeystone, spot{}, "isTjp is %s", shown(isTjp))
	}
	rel8ns := g.Rel8ns()
	if len(rel8ns) != 1 || !isRoot(rel8ns.Get(relAncestor)) {
		f.add(RuleNotKeystone, spot{}, "it has other links than the ancestor %s", root())
	}
	d, ok = f.data(g)
	if d.N != 0 {
		f.add(RuleNotKeystone, spot{}, "n is %d", d.N)
	}
	if len(d.Proofs) > 0 {
		f.add(RuleGenesisProof, spot{}, "the first frame proves nothing and has a proof")
	}
	if d.Revocation != nil {
		f.add(RuleRevocation, spot{}, "the first frame is a revocation")
	}
	if ok && len(d.Pools) == 0 {
		f.add(RuleForm, spot{}, "there is no pool")
	}
	for i, p := range d.Pools {
		for _, q := range d.Pools[:i] {
			if p.ID() == q.ID() {
				f.add(RulePoolID, spot{pool: p.ID()}, "two pools have this id")
			}
		}
		if got, want := len(p.Challenges), p.Config.Behavior.Size; got != want && ok {
			f.add(RulePoolSize, spot{pool: p.ID()}, "%d challenges, the config says %d", got, want)
		}
		if made := newPool(p.Config).with(p.Challenges...); !equalBuckets(made.Buckets, p.Buckets) {
			f.add(RuleBindingMap, spot{pool: p.ID()}, "the binding map does not list the challenges by their first digit, in their order")
		}
	}
	h.checkFresh(f, nil, d.Pools)
	h.keys = f.cosigKeys(d.Details)
	return d, ok
}

func isRoot(ancestor []ibgib.Addr) bool { return len(ancestor) == 1 && ancestor[0] == root() }

// checkFresh wants the ids that the pools have and did not have before to be new
// to the timeline.
func (h *History) checkFresh(f *findings, before, after []Pool) {
	now := make(map[ChallengeID]bool)
	for _, p := range after {
		var old Pool
		for _, q := range before {
			if q.ID() == p.ID() {
				old = q
			}
		}
		had := make(map[ChallengeID]bool, len(old.Challenges))
		for _, c := range old.Challenges {
			had[c.ID] = true
		}
		for _, c := range p.Challenges {
			if had[c.ID] {
				continue
			}
			at, seen := h.seen[c.ID]
			switch {
			case now[c.ID]:
				f.add(RuleReusedID, spot{p.ID(), c.ID.String()}, "twice in this frame")
			case seen && at < f.n:
				f.add(RuleReusedID, spot{p.ID(), c.ID.String()}, "frame %d brought it", at)
			}
			now[c.ID] = true
		}
	}
	if total := len(h.seen) + len(now); total > MaxIDs {
		f.add(RuleLimit, spot{}, "%d challenge ids in the timeline, the limit is %d", total, MaxIDs)
	}
}
