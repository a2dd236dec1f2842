package keystone_test

import (
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

func linkAttacks() []attack {
	return []attack{
		{"truncated: the first frame is missing", keystone.RuleNotKeystone, func(t testing.TB) []ibgib.IbGib {
			return victim(t, false).frames[1:]
		}},
		{"truncated: a frame in the middle is missing", keystone.RulePast, func(t testing.TB) []ibgib.IbGib {
			f := victim(t, false).frames
			return append(f[:1:1], f[2:]...)
		}},
		{"reordered", keystone.RulePast, func(t testing.TB) []ibgib.IbGib {
			f := victim(t, false).frames
			return []ibgib.IbGib{f[0], f[2], f[1], f[3]}
		}},
		{"a frame of another keystone", keystone.RuleTjp, func(t testing.TB) []ibgib.IbGib {
			other := begin(t, signer(t, 8), false, forgerConfigs()...)
			return append(victim(t, false).frames, other.sign(t, "edit", target(t, 1)))
		}},
		{"the first frame again", keystone.RuleTjp, func(t testing.TB) []ibgib.IbGib {
			f := victim(t, false).frames
			return append(f, forged(t, f[0], num(5), "n"))
		}},
		{"a later frame under another ib", keystone.RuleIb, func(t testing.TB) []ibgib.IbGib {
			f := victim(t, false).frames
			last := f[len(f)-1]
			return append(f[:len(f)-1:len(f)-1], remade(t, last, "keystone x", last.Data(), last.Rel8ns()))
		}},
		{"nothing in the place of a later frame", keystone.RuleForm, func(t testing.TB) []ibgib.IbGib {
			return append(victim(t, false).frames, ibgib.IbGib{})
		}},
		{"no past", keystone.RulePast, func(t testing.TB) []ibgib.IbGib { return victim(t, false).relinked(t, "past") }},
		{"a past with a frame that was not there", keystone.RulePast, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			return id.relinked(t, "past", target(t, 1), id.frames[len(id.frames)-2].Addr())
		}},
		{"a past that goes on after the frame before", keystone.RulePast, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			return id.relinked(t, "past", id.frames[len(id.frames)-2].Addr(), target(t, 1))
		}},
		{"no tjp", keystone.RuleTjp, func(t testing.TB) []ibgib.IbGib { return victim(t, false).relinked(t, "tjp") }},
		{"two tjps", keystone.RuleTjp, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			return id.relinked(t, "tjp", target(t, 1), id.Genesis())
		}},
		{"no ancestor", keystone.RuleLinks, func(t testing.TB) []ibgib.IbGib { return victim(t, false).relinked(t, "ancestor") }},
		{"dna", keystone.RuleLinks, func(t testing.TB) []ibgib.IbGib { return victim(t, false).relinked(t, "dna", target(t, 1)) }},
		onVerb("edit", "n that skips one", keystone.RuleN, num(7), "n"),
		onVerb("edit", "n of the frame before", keystone.RuleN, num(4), "n"),
		onVerb("edit", "another uuid", keystone.RuleUUID, str(strings.Repeat("0", 64)), "uuid"),
		onVerb("edit", "a time that is no date", keystone.RuleTime, str("yesterday"), "timestamp"),
		{"a frame after the revocation", keystone.RuleAfterEnd, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			next := id.sign(t, "edit", target(t, 9))
			id.frames = id.frames[:len(id.frames)-1]
			id.History, _ = keystone.Begin(id.frames[0])
			for _, g := range id.frames[1:] {
				if err := id.Add(g); err != nil {
					t.Fatal(err)
				}
			}
			end := id.revoke(t)
			data := change(t, next.Data(), num(6), "n")
			return append(id.frames, remade(t, next, "keystone", data, next.Rel8ns().With("past", []ibgib.Addr{end.Addr()})))
		}},
	}
}

func proofAttacks() []attack {
	return []attack{
		onVerb("edit", "no proofs", keystone.RuleNoProof, set(ibgib.Array()), "proofs"),
		onVerb("edit", "proofs missing", keystone.RuleForm, drop, "proofs"),
		onVerb("edit", "an empty proof", keystone.RuleMissingSolution, set(ibgib.Array()), proof("solutions")...),
		onVerb("edit", "a proof that is a text", keystone.RuleForm, str("trust me"), proof()...),
		onVerb("edit", "solutions in an object", keystone.RuleForm, set(ibgib.Object()), proof("solutions")...),
		onVerb("edit", "a claim that is a list", keystone.RuleForm, set(ibgib.Array()), proof("claim")...),
		onVerb("edit", "two proofs", keystone.RuleSeveralProofs, func(v ibgib.Value) ibgib.Value { return appended(v.Items()[0])(v) }, "proofs"),
		onVerb("edit", "no verb", keystone.RuleNoVerb, drop, proof("claim", "verb")...),
		onVerb("edit", "a verb beyond the limit", keystone.RuleLimit, str(strings.Repeat("x", keystone.MaxVerb+1)), proof("claim", "verb")...),
		onVerb("edit", "no target", keystone.RuleNoTarget, drop, proof("claim", "target")...),
		onVerb("edit", "a target that is no address", keystone.RuleForm, str("somewhere"), proof("claim", "target")...),
		onVerb("edit", "a target without digits", keystone.RuleExhausted, str("ib^gib"), proof("claim", "target")...),
		onVerb("edit", "a rewritten target", keystone.RuleMissingSolution, func(v ibgib.Value) ibgib.Value {
			ib, gib, _ := strings.Cut(v.Str(), "^")
			return ibgib.String(ib + "^" + strings.Map(func(c rune) rune { return rune("123456789ABCDEF0"[strings.IndexRune("0123456789ABCDEF", c)]) }, gib))
		}, proof("claim", "target")...),
		onVerb("edit", "a rewritten verb that the pool does not sign", keystone.RuleWrongPool, str(keystone.VerbRevoke), proof("claim", "verb")...),
		onVerb("post", "a verb of another pool", keystone.RuleWrongPool, str("edit"), proof("claim", "verb")...),
		onVerb("edit", "a pool that is not there", keystone.RuleUnknownPool, func(v ibgib.Value) ibgib.Value {
			var items []ibgib.Value
			for _, item := range v.Items() {
				items = append(items, item.With("poolId", ibgib.String("elsewhere")))
			}
			return ibgib.Array(items...)
		}, proof("solutions")...),
		onVerb("edit", "a solution of another pool", keystone.RuleMixedPools, str("post"), proof("solutions", 1, "poolId")...),
		onVerb("edit", "a forged solution", keystone.RuleSolution, str(strings.Repeat("0", 64)), proof("solutions", 0, "value")...),
		onVerb("edit", "a solution that is no hash", keystone.RuleSolution, str("x"), proof("solutions", 0, "value")...),
		onVerb("edit", "a solution in upper case", keystone.RuleSolution, func(v ibgib.Value) ibgib.Value { return ibgib.String(strings.ToUpper(v.Str())) }, proof("solutions", 0, "value")...),
		onVerb("edit", "swapped solutions", keystone.RuleSolution, func(v ibgib.Value) ibgib.Value {
			a, b := v.Items()[0], v.Items()[1]
			x, _ := a.Get("value")
			y, _ := b.Get("value")
			items := append([]ibgib.Value{a.With("value", y), b.With("value", x)}, v.Items()[2:]...)
			return ibgib.Array(items...)
		}, proof("solutions")...),
		onVerb("edit", "solutions in another order", keystone.RuleSelection, reversed, proof("solutions")...),
		onVerb("edit", "a missing solution", keystone.RuleMissingSolution, drop, proof("solutions", 0)...),
		onVerb("edit", "a missing random solution", keystone.RuleMissingSolution, drop, proof("solutions", 5)...),
		onVerb("edit", "a duplicate solution", keystone.RuleDuplicateSolution, func(v ibgib.Value) ibgib.Value { return appended(v.Items()[0])(v) }, proof("solutions")...),
		onVerb("edit", "a solution with a further member", keystone.RuleForm, func(v ibgib.Value) ibgib.Value { return v.With("x", ibgib.Null()) }, proof("solutions", 0)...),
		onVerb("edit", "a solution of an id that is none", keystone.RuleForm, str("0"), proof("solutions", 0, "challengeId")...),
		onVerb("edit", "a demand that is not in the pool", keystone.RuleDemands, set(ibgib.Array(ibgib.String("0123456789abcdef"))), proof("requiredChallengeIds")...),
		onVerb("edit", "an empty list of demands", keystone.RuleForm, set(ibgib.Array()), proof("requiredChallengeIds")...),
		onVerb("edit", "a demand that was not met first", keystone.RuleSelection, func(v ibgib.Value) ibgib.Value {
			last, _ := must(v.Get("solutions")).Items()[5].Get("challengeId")
			return v.With("requiredChallengeIds", ibgib.Array(last))
		}, proof()...),
		{"a demand twice", keystone.RuleDemands, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			id.sign(t, "edit", target(t, 9))
			solved := at(t, id.frames[5].Data(), proof("solutions", 0, "challengeId")...)
			return id.last(t, set(ibgib.Array(solved, solved)), proof("requiredChallengeIds")...)
		}},
		{"a surplus solution", keystone.RuleSurplusSolution, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			before, _ := keystone.Parse(id.frames[4])
			id.sign(t, "post", target(t, 9))
			// The secret is at hand: the surplus solution itself is right.
			p := before.Pools[post]
			c := p.Challenges[len(p.Challenges)-1]
			if strings.Contains(string(id.frames[5].Stored()), `"challengeId":"`+c.ID.String()) {
				c = p.Challenges[len(p.Challenges)-2]
			}
			s := p.Config.Strategy
			return id.last(t, appended(ibgib.Object(
				ibgib.Member{Name: "type", Value: ibgib.String("hash-reveal-v1")},
				ibgib.Member{Name: "poolId", Value: ibgib.String(p.ID())},
				ibgib.Member{Name: "challengeId", Value: ibgib.String(c.ID.String())},
				ibgib.Member{Name: "value", Value: ibgib.String(s.Solution(s.PoolSecret(id.Secret, p.ID()), c.ID))},
			)), proof("solutions")...)
		}},
		{"a proof of an earlier frame", keystone.RuleUnknownChallenge, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			id.sign(t, "edit", target(t, 9))
			return id.last(t, set(at(t, id.frames[4].Data(), "proofs")), "proofs")
		}},
		{"a proof from another keystone", keystone.RuleUnknownChallenge, func(t testing.TB) []ibgib.IbGib {
			other := begin(t, signer(t, 8), false, forgerConfigs()...)
			id := victim(t, false)
			id.sign(t, "post", target(t, 9))
			return id.last(t, set(at(t, other.sign(t, "post", target(t, 9)).Data(), "proofs")), "proofs")
		}},
		{"a pool that ran out", keystone.RuleExhausted, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			for i := range 3 {
				id.sign(t, "post", target(t, i))
			}
			last := id.frames[len(id.frames)-1]
			data := change(t, last.Data(), num(8), "n")
			return append(id.frames, remade(t, last, "keystone", data, last.Rel8ns().With("past", []ibgib.Addr{last.Addr()})))
		}},
		{"more work than a proof may make", keystone.RuleLimit, func(t testing.TB) []ibgib.IbGib {
			c := forgerConfigs()[post]
			c.Strategy = keystone.Strategy{Algo: keystone.SHA256, Rounds: 10_000}
			c.Behavior.Size = 4
			id := begin(t, signer(t, 8), false, c)
			id.sign(t, "post", target(t, 1))
			return id.last(t, func(v ibgib.Value) ibgib.Value {
				for range 19 {
					v = appended(v.Items()[0])(v)
				}
				return v
			}, proof("solutions")...)
		}},
	}
}
