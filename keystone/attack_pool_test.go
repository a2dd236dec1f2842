package keystone_test

import (
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

func poolAttacks() []attack {
	return []attack{
		onVerb("edit", "swapped pools", keystone.RulePoolSet, reversed, "challengePools"),
		onVerb("edit", "a pool less", keystone.RulePoolSet, drop, pool(final)...),
		onVerb("edit", "a pool more", keystone.RulePoolSet, func(v ibgib.Value) ibgib.Value { return appended(v.Items()[0])(v) }, "challengePools"),
		onVerb("edit", "pools missing", keystone.RuleForm, drop, "challengePools"),
		onVerb("edit", "an emptied pool", keystone.RuleReplenish, set(ibgib.Object()), pool(edit, "challenges")...),
		onVerb("edit", "an emptied revoke pool", keystone.RuleOtherPool, set(ibgib.Object()), pool(final, "challenges")...),
		onVerb("edit", "a challenge exchanged in another pool", keystone.RuleOtherPool, renamed("0000000000000000"), pool(final, "challenges")...),
		onVerb("edit", "another pool in another order", keystone.RuleOtherPool, reversed, pool(final, "challenges")...),
		onVerb("edit", "fewer rounds", keystone.RuleConfigChanged, num(1), pool(post, "config", "rounds")...),
		onVerb("edit", "a pool that now signs all", keystone.RuleConfigChanged, set(ibgib.Array()), pool(final, "config", "allowedVerbs")...),
		onVerb("edit", "fewer solutions from now on", keystone.RuleConfigChanged, num(0), pool(edit, "config", "behavior", "selectRandomly")...),
		onVerb("edit", "another salt", keystone.RulePoolID, str("x"), pool(edit, "config", "salt")...),
		onVerb("edit", "a further member of a pool", keystone.RuleConfigChanged, num(1), pool(edit, "x")...),
		onVerb("edit", "a further member of a config", keystone.RuleConfigChanged, num(1), pool(edit, "config", "x")...),
		onVerb("edit", "a kept challenge with another hash", keystone.RuleReplenish, func(v ibgib.Value) ibgib.Value {
			m := v.Members()[0]
			return v.With(m.Name, m.Value.With("hash", ibgib.String(strings.Repeat("0", 64))))
		}, pool(edit, "challenges")...),
		onVerb("edit", "kept challenges in another order", keystone.RuleReplenish, reversed, pool(edit, "challenges")...),
		onVerb("edit", "a challenge too few", keystone.RuleReplenish, func(v ibgib.Value) ibgib.Value {
			return ibgib.Object(v.Members()[:63]...)
		}, pool(edit, "challenges")...),
		onVerb("edit", "a challenge too many", keystone.RuleReplenish, func(v ibgib.Value) ibgib.Value {
			return v.With("0123456789abcdef", v.Members()[0].Value)
		}, pool(edit, "challenges")...),
		onVerb("edit", "a binding map without an id", keystone.RuleBindingMap, set(ibgib.Array()), pool(edit, "bindingMap", "a")...),
		onVerb("edit", "a bucket in another order", keystone.RuleBindingMap, reversed, pool(edit, "bindingMap", "a")...),
		onVerb("edit", "a bucket less", keystone.RuleBindingMap, drop, pool(edit, "bindingMap", "a")...),
		onVerb("post", "consumed and filled again", keystone.RuleReplenish, func(v ibgib.Value) ibgib.Value {
			return v.With("0123456789abcdef", v.Members()[0].Value)
		}, pool(post, "challenges")...),
		onVerb("swap", "a challenge kept by replace-all", keystone.RuleReplenish, func(v ibgib.Value) ibgib.Value {
			return ibgib.Object(v.Members()[:5]...)
		}, pool(swap, "challenges")...),
		{"a solved challenge that is still there", keystone.RuleReplenish, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			id.sign(t, "edit", target(t, 9))
			return id.last(t, set(at(t, id.frames[4].Data(), pool(edit)...)), pool(edit)...)
		}},
		{"a new challenge under an id of an earlier frame", keystone.RuleReusedID, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			old := at(t, id.frames[1].Data(), proof("solutions", 0, "challengeId")...).Str()
			id.sign(t, "edit", target(t, 9))
			return id.last(t, func(v ibgib.Value) ibgib.Value {
				members := append([]ibgib.Member(nil), v.Members()...)
				members[63].Name = old
				return ibgib.Object(members...)
			}, pool(edit, "challenges")...)
		}},
		{"a pool replaced by its old self", keystone.RuleReusedID, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			id.sign(t, "swap", target(t, 9))
			return id.last(t, set(at(t, id.frames[0].Data(), pool(swap)...)), pool(swap)...)
		}},
		{"an id of another pool", keystone.RuleReusedID, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			other := at(t, id.frames[0].Data(), pool(final, "challenges")...).Members()[0].Name
			id.sign(t, "swap", target(t, 9))
			return id.last(t, renamed(other), pool(swap, "challenges")...)
		}},
	}
}

func revocationAttacks() []attack {
	return []attack{
		onRevocation("a revocation without a proof", keystone.RuleNoProof, set(ibgib.Array()), "proofs"),
		onRevocation("revocationInfo without a proof", keystone.RuleForm, drop, "revocationInfo", "proof"),
		onRevocation("revocationInfo that is a text", keystone.RuleForm, str("revoked"), "revocationInfo"),
		onRevocation("revocationInfo without a reason", keystone.RuleForm, drop, "revocationInfo", "reason"),
		onRevocation("the verb revoke without revocationInfo", keystone.RuleRevokeVerb, drop, "revocationInfo"),
		onRevocation("revocationInfo with another proof", keystone.RuleRevocation, func(v ibgib.Value) ibgib.Value {
			return ibgib.Array(v.Items()[0])
		}, "revocationInfo", "proof", "solutions"),
		onRevocation("a revocation of less than the pool asks for", keystone.RuleMissingSolution, func(v ibgib.Value) ibgib.Value {
			return ibgib.Array(v.Items()[0])
		}, proof("solutions")...),
		onRevocation("a revocation that leaves the pool", keystone.RuleReplenish, set(ibgib.Object(ibgib.Member{
			Name: "0123456789abcdef", Value: ibgib.Object(
				ibgib.Member{Name: "type", Value: ibgib.String("hash-reveal-v1")},
				ibgib.Member{Name: "hash", Value: ibgib.String(strings.Repeat("0", 64))},
			)})), pool(final, "challenges")...),
		{"a revocation of another frame", keystone.RuleRevocation, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			id.revoke(t)
			old := id.frames[2].Addr().String()
			g := id.frames[len(id.frames)-1]
			data := change(t, g.Data(), str(old), proof("claim", "target")...)
			data = change(t, data, str(old), "revocationInfo", "proof", "claim", "target")
			return append(id.frames[:len(id.frames)-1], remade(t, g, g.Ib(), data, g.Rel8ns()))
		}},
		{"an ordinary frame dressed as a revocation", keystone.RuleRevocation, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			id.sign(t, "edit", target(t, 9))
			return id.last(t, set(ibgib.Object(
				ibgib.Member{Name: "reason", Value: ibgib.String("")},
				ibgib.Member{Name: "proof", Value: at(t, id.frames[5].Data(), proof()...)},
			)), "revocationInfo")
		}},
	}
}

func cosigAttacks() []attack {
	return []attack{
		onCosigned("no co-signature", keystone.RuleCosig, drop, "frameDetails", "cosig"),
		onCosigned("no frameDetails", keystone.RuleCosig, drop, "frameDetails"),
		onCosigned("frameDetails that are a list", keystone.RuleCosig, func(v ibgib.Value) ibgib.Value { return ibgib.Array(v) }, "frameDetails"),
		onCosigned("a co-signature that is a number", keystone.RuleCosig, num(1), "frameDetails", "cosig"),
		onCosigned("a co-signature with padding", keystone.RuleCosig, func(v ibgib.Value) ibgib.Value { return ibgib.String(v.Str() + "==") }, "frameDetails", "cosig"),
		onCosigned("a co-signature over another detail", keystone.RuleCosig, str("injected"), "frameDetails", "note"),
		onCosigned("a co-signature over another time", keystone.RuleCosig, func(v ibgib.Value) ibgib.Value { return ibgib.Number(v.Number() + 1) }, "timestampMs"),
		onCosigned("a co-signature over another target", keystone.RuleCosig, str("note^"+strings.Repeat("0", 64)), proof("claim", "target")...),
		onCosigned("a co-signature over another scope", keystone.RuleCosig, str("scope^gib"), proof("claim", "scope")...),
		onCosigned("a co-signature over other data", keystone.RuleCosig, num(1), "extra"),
		{"a co-signature over other links", keystone.RuleCosig, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, true)
			n := len(id.frames) - 1
			return id.relinked(t, "past", append(id.frames[n-1].Rel("past"), id.frames[n-1].Addr())...)
		}},
		{"a co-signature of another frame", keystone.RuleCosig, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, true)
			return id.last(t, set(at(t, id.frames[2].Data(), "frameDetails")), "frameDetails")
		}},
		{"a co-signature by another key", keystone.RuleCosig, func(t testing.TB) []ibgib.IbGib {
			// The same keystone, but for the key that it lists.
			mine, theirs := victim(t, true), signer(t, 99)
			first := forged(t, mine.frames[0], str(encodeKey(public(theirs))), "frameDetails", "cosigKeys", 0)
			next := mine.frames[1]
			return []ibgib.IbGib{first, remade(t, next, next.Ib(), next.Data(), ibgib.Rel8ns{
				{Name: "ancestor", Addrs: next.Rel("ancestor")},
				{Name: "past", Addrs: []ibgib.Addr{first.Addr()}},
				{Name: "tjp", Addrs: []ibgib.Addr{first.Addr()}},
			})}
		}},
		{"a revocation with a false co-signature", keystone.RuleCosig, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, true)
			id.revoke(t)
			return id.last(t, str("injected"), "revocationInfo", "reason")
		}},
	}
}
