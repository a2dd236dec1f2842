package keystone

import (
	"errors"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// parent is a frame that another one is judged by.
type parent struct {
	g ibgib.IbGib
	d Data
}

// judgeNext applies the rules of a later frame, given the one before it. ok is
// false if it cannot be built on.
func (h *History) judgeNext(f *findings, prev parent, g ibgib.IbGib) (d Data, ok bool) {
	if g.Ib() != Ib {
		f.add(RuleIb, spot{}, "the ib is %s", clip(g.Ib()))
	}
	h.checkLinks(f, prev.g, g)
	d, ok = f.data(g)
	if d.N != prev.d.N+1 {
		f.add(RuleN, spot{}, "n is %d, the frame before has %d", d.N, prev.d.N)
	}
	if d.UUID != h.uuid {
		f.add(RuleUUID, spot{}, "uuid is %s, the first frame's is %s", clip(d.UUID), clip(h.uuid))
	}
	if prev.d.Revocation != nil {
		f.add(RuleAfterEnd, spot{}, "the frame before revokes the keystone")
	}
	if len(d.Proofs) == 0 {
		if !slices.ContainsFunc(f.list, func(v Violation) bool { return v.Rule == RuleSeveralProofs }) {
			f.add(RuleNoProof, spot{}, "nothing authorises the frame")
		}
		if ok {
			f.checkPools(prev.d.Pools, d.Pools, nil)
		}
	} else {
		used := f.checkProof(prev.d.Pools, d.Proofs[0])
		if ok {
			f.checkPools(prev.d.Pools, d.Pools, used)
		}
		f.checkRevocation(prev.g.Addr(), d)
	}
	if ok {
		h.checkFresh(f, prev.d.Pools, d.Pools)
	}
	if len(h.keys) > 0 {
		_, signed := d.Details.Get(memberCosig)
		if !signed && d.Revocation == nil {
			f.add(RuleCosig, spot{}, "the frame is not co-signed")
		}
		f.cosigned(g, d, h.keys[0])
	}
	return d, ok
}

// checkLinks wants the links of a frame after prev, and no others.
func (h *History) checkLinks(f *findings, prev, g ibgib.IbGib) {
	if g.IsTjp() {
		f.add(RuleTjp, spot{}, "isTjp on a later frame")
	}
	for _, rel := range g.Rel8ns() {
		switch rel.Name {
		case relAncestor, relPast, relTjp:
		default:
			f.add(RuleLinks, spot{}, "a list %s", clip(rel.Name))
		}
	}
	if !isRoot(g.Rel(relAncestor)) {
		f.add(RuleLinks, spot{}, "the ancestor is not %s alone", root())
	}
	if tjp := g.Rel(relTjp); len(tjp) != 1 || tjp[0] != h.genesis {
		f.add(RuleTjp, spot{}, "tjp is not %s alone", clip(h.genesis.String()))
	}
	past := g.Rel(relPast)
	switch last := len(past) - 1; {
	case last < 0:
		f.add(RulePast, spot{}, "there is no past")
	case past[last] != prev.Addr():
		f.add(RulePast, spot{}, "past ends in %s, the frame before is %s", clip(past[last].String()), clip(prev.Addr().String()))
	case last > 0 && !slices.Equal(past[:last], prev.Rel(relPast)):
		f.add(RulePast, spot{}, "past is neither the frame before alone nor that after its own past")
	}
}

// use says what a proof took from which pool.
type use struct {
	pool string
	ids  []ChallengeID
}

// checkProof applies the rules of a proof to the pools of the frame before. It
// returns what the proof takes from them, nil if that cannot be told.
func (f *findings) checkProof(pools []Pool, proof Proof) *use {
	claim := proof.Claim
	if claim.Verb == "" {
		f.add(RuleNoVerb, spot{}, "the claim has no verb")
	}
	if claim.Target.IsZero() {
		f.add(RuleNoTarget, spot{}, "the claim has no target")
	}
	if len(proof.Solutions) == 0 {
		f.add(RuleMissingSolution, spot{}, "the proof has no solution")
		return nil
	}
	id := proof.Solutions[0].Pool
	at := spot{pool: id}
	i := slices.IndexFunc(pools, func(p Pool) bool { return p.ID() == id })
	if i < 0 {
		f.add(RuleUnknownPool, at, "the frame before has no such pool")
		return nil
	}
	pool := pools[i]
	switch {
	case !pool.Config.allows(claim.Verb):
		f.add(RuleWrongPool, at, "the pool does not allow the verb %s", clip(claim.Verb))
	case claim.Verb == VerbRevoke && id != PoolRevoke:
		f.add(RuleWrongPool, at, "only the pool %s revokes", PoolRevoke)
	}
	used := &use{pool: id}
	for _, s := range proof.Solutions {
		at := spot{id, s.ID.String()}
		switch {
		case s.Pool != id:
			f.add(RuleMixedPools, spot{s.Pool, s.ID.String()}, "the first solution is of pool %s", clip(id))
		case slices.Contains(used.ids, s.ID):
			f.add(RuleDuplicateSolution, at, "solved twice")
		default:
			used.ids = append(used.ids, s.ID)
		}
	}
	f.checkSelection(pool, proof, used.ids)
	f.checkSolutions(pool, proof.Solutions)
	return used
}

// checkSelection wants the proof to solve exactly what it has to: the mandatory
// challenges in their order, and as many more as the config says.
func (f *findings) checkSelection(pool Pool, proof Proof, solved []ChallengeID) {
	at := spot{pool: pool.ID()}
	for i, id := range proof.Demands {
		if _, has := pool.Challenge(id); !has || slices.Contains(proof.Demands[:i], id) {
			f.add(RuleDemands, spot{pool.ID(), id.String()}, "demanded twice, or not in the pool")
			return
		}
	}
	s, err := pool.choose(proof.Claim.Target, proof.Demands)
	if exhausted, ok := errors.AsType[*ExhaustedError](err); ok {
		f.add(RuleExhausted, at, "%s", exhausted)
		return
	}
	for i, id := range s.mandatory {
		switch at := (spot{pool.ID(), id.String()}); {
		case !slices.Contains(solved, id):
			f.add(RuleMissingSolution, at, "it had to be solved, number %d", i)
		case solved[min(i, len(solved)-1)] != id:
			f.add(RuleSelection, at, "it had to be solved as number %d", i)
		}
	}
	others := slices.DeleteFunc(slices.Clone(solved), func(id ChallengeID) bool { return slices.Contains(s.mandatory, id) })
	switch random := pool.Config.Behavior.Randomly; {
	case len(others) < random:
		f.add(RuleMissingSolution, at, "%d solutions beside the mandatory ones, %d needed", len(others), random)
	case len(others) > random:
		for _, id := range others[random:] {
			f.add(RuleSurplusSolution, spot{pool.ID(), id.String()}, "%d solutions beside the mandatory ones, %d needed", len(others), random)
		}
	}
}

// checkSolutions wants each solution to hash to its challenge.
func (f *findings) checkSolutions(pool Pool, solutions []Solution) {
	strategy := pool.Config.Strategy
	if work := pool.Config.work(len(solutions)); work > MaxWork {
		f.add(RuleLimit, spot{pool: pool.ID()}, "the proof takes %d rounds to check, the limit is %d", work, MaxWork)
		return
	}
	for _, s := range solutions {
		if s.Pool != pool.ID() {
			continue
		}
		at := spot{pool.ID(), s.ID.String()}
		challenge, has := pool.Challenge(s.ID)
		switch {
		case !has:
			f.add(RuleUnknownChallenge, at, "the frame before has no such challenge")
		case !isHex(s.Value, strategy.Algo.digits()) || strategy.Hash(s.Value, s.ID) != challenge.Hash:
			f.add(RuleSolution, at, "the value does not hash to the challenge")
		}
	}
}

// checkPools wants the pools after a frame to be exactly those before it, but
// for what the replenish rule does to the one that was used.
func (f *findings) checkPools(before, after []Pool, used *use) {
	same := slices.EqualFunc(before, after, func(p, q Pool) bool { return p.ID() == q.ID() })
	if !same {
		f.add(RulePoolSet, spot{}, "%d pools, the frame before has %d, or in another order", len(after), len(before))
		return
	}
	for i, p := range before {
		q := after[i]
		at := spot{pool: p.ID()}
		switch {
		case p.shell != q.shell:
			f.add(RuleConfigChanged, at, "the config, or another member that never changes, differs from the frame before")
		case used != nil && used.pool == p.ID():
			f.checkReplenished(p, q, used.ids)
		case !p.equal(q):
			f.add(RuleOtherPool, at, "the pool was not signed with and has changed")
		}
	}
}

func (f *findings) checkReplenished(before, after Pool, solved []ChallengeID) {
	rule := before.Config.Behavior.Replenish
	left, fresh := before.replenishment(solved)
	for _, id := range solved {
		if _, has := after.Challenge(id); has {
			f.add(RuleReplenish, spot{before.ID(), id.String()}, "it has been solved and is still there")
			return
		}
	}
	if got, want := len(after.Challenges), len(left.Challenges)+fresh; got != want {
		f.add(RuleReplenish, spot{pool: before.ID()}, "%d challenges, %s gives %d", got, rule, want)
		return
	}
	for i, c := range left.Challenges {
		if after.Challenges[i] != c {
			f.add(RuleReplenish, spot{before.ID(), c.ID.String()}, "%s leaves it as number %d, unchanged", rule, i)
			return
		}
	}
	if made := left.with(after.Challenges[len(left.Challenges):]...); !equalBuckets(made.Buckets, after.Buckets) {
		f.add(RuleBindingMap, spot{pool: before.ID()}, "the binding map is not what %s gives", rule)
	}
}

// checkRevocation wants a frame that revokes to say so, and the other way round.
func (f *findings) checkRevocation(prev ibgib.Addr, d Data) {
	proof := d.Proofs[0]
	if d.Revocation == nil {
		if proof.Claim.Verb == VerbRevoke {
			f.add(RuleRevokeVerb, spot{}, "the verb is %s and there is no revocationInfo", VerbRevoke)
		}
		return
	}
	switch {
	// proofs is a list, where member order counts, and revocationInfo is not.
	case !ibgib.EqualValue(d.Revocation.Proof.Value(), proof.Value()):
		f.add(RuleRevocation, spot{}, "the proof in revocationInfo is not that of the frame")
	case !proof.Claim.Says(VerbRevoke, prev):
		f.add(RuleRevocation, spot{}, "the claim is not verb %s, target the frame before", VerbRevoke)
	}
}
