package keystone_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

func firstFrameAttacks() []attack {
	return []attack{
		{"first frame with another ib", keystone.RuleNotKeystone, func(t testing.TB) []ibgib.IbGib {
			g := victim(t, false).frames[0]
			return []ibgib.IbGib{remade(t, g, "keystones", g.Data(), g.Rel8ns())}
		}},
		{"first frame with another ancestor", keystone.RuleNotKeystone, func(t testing.TB) []ibgib.IbGib {
			g := victim(t, false).frames[0]
			return []ibgib.IbGib{remade(t, g, g.Ib(), g.Data(), ibgib.Rel8ns{{Name: "ancestor", Addrs: []ibgib.Addr{addr(t, "comment^gib")}}})}
		}},
		{"first frame with a link into private data", keystone.RuleNotKeystone, func(t testing.TB) []ibgib.IbGib {
			g := victim(t, false).frames[0]
			return []ibgib.IbGib{remade(t, g, g.Ib(), g.Data(), g.Rel8ns().With("comment", []ibgib.Addr{target(t, 1)}))}
		}},
		onFirst("first frame without isTjp", keystone.RuleNotKeystone, drop, "isTjp"),
		onFirst("first frame with isTjp that is only truthy", keystone.RuleNotKeystone, str("yes"), "isTjp"),
		onFirst("first frame with n 1", keystone.RuleNotKeystone, num(1), "n"),
		onFirst("first frame without n", keystone.RuleN, drop, "n"),
		onFirst("first frame with a huge n", keystone.RuleN, num(1e300), "n"),
		onFirst("first frame without a time", keystone.RuleTime, drop, "timestamp"),
		onFirst("first frame without milliseconds", keystone.RuleTime, drop, "timestampMs"),
		onFirst("first frame without uuid", keystone.RuleUUID, drop, "uuid"),
		onFirst("first frame with a short uuid", keystone.RuleUUID, str("abc"), "uuid"),
		{"first frame with a proof", keystone.RuleGenesisProof, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			return id.first(t, set(at(t, id.frames[1].Data(), "proofs")), "proofs")
		}},
		{"first frame that revokes", keystone.RuleRevocation, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			return id.first(t, set(at(t, id.revoke(t).Data(), "revocationInfo")), "revocationInfo")
		}},
		onFirst("data that is a list", keystone.RuleForm, set(ibgib.Array(ibgib.Number(1)))),
		onFirst("pools that are an object", keystone.RuleForm, set(ibgib.Object(ibgib.Member{Name: "a", Value: ibgib.Null()})), "challengePools"),
		onFirst("no pools", keystone.RuleForm, set(ibgib.Array()), "challengePools"),
		onFirst("a pool that is null", keystone.RuleForm, set(ibgib.Null()), pool(1)...),
		onFirst("a pool without challenges", keystone.RuleForm, drop, pool(1, "challenges")...),
		onFirst("a pool without binding map", keystone.RuleForm, drop, pool(1, "bindingMap")...),
		onFirst("challenges in a list", keystone.RuleForm, set(ibgib.Array()), pool(1, "challenges")...),
		onFirst("a challenge id in upper case", keystone.RuleForm, renamed("ABCDEF0123456789"), pool(1, "challenges")...),
		onFirst("a challenge id of 15 digits", keystone.RuleForm, renamed("abcdef012345678"), pool(1, "challenges")...),
		onFirst("a challenge with a further member", keystone.RuleForm, func(v ibgib.Value) ibgib.Value {
			return ibgib.Object(ibgib.Member{Name: v.Members()[0].Name, Value: v.Members()[0].Value.With("x", ibgib.Number(1))})
		}, pool(1, "challenges")...),
		onFirst("a hash of the wrong function", keystone.RuleForm, str("SHA-512"), pool(0, "config", "algo")...),
		onFirst("an unknown hash function", keystone.RuleConfig, str("MD5"), pool(0, "config", "algo")...),
		onFirst("an unknown strategy", keystone.RuleForm, str("hash-reveal-v2"), pool(0, "config", "type")...),
		onFirst("a config that is a text", keystone.RuleForm, str("x"), pool(0, "config")...),
		onFirst("an unknown replenish rule", keystone.RuleConfig, str("forever"), pool(0, "config", "behavior", "replenish")...),
		onFirst("no rounds", keystone.RuleLimit, num(0), pool(0, "config", "rounds")...),
		onFirst("half a round", keystone.RuleForm, num(0.5), pool(0, "config", "rounds")...),
		onFirst("too many rounds", keystone.RuleLimit, num(keystone.MaxRounds+1), pool(0, "config", "rounds")...),
		onFirst("rounds beyond any number", keystone.RuleForm, num(1e300), pool(0, "config", "rounds")...),
		onFirst("a proof that would take too long to check", keystone.RuleLimit, func(v ibgib.Value) ibgib.Value {
			return v.With("rounds", ibgib.Number(keystone.MaxRounds)).With("behavior", must(v.Get("behavior")).With("selectRandomly", ibgib.Number(40)))
		}, pool(0, "config")...),
		onFirst("a proof of no solution", keystone.RuleConfig, func(v ibgib.Value) ibgib.Value {
			return v.With("selectSequentially", ibgib.Number(0)).With("selectRandomly", ibgib.Number(0))
		}, pool(1, "config", "behavior")...),
		onFirst("a proof of more solutions than challenges", keystone.RuleConfig, num(65), pool(0, "config", "behavior", "selectRandomly")...),
		onFirst("a negative selection", keystone.RuleForm, num(-1), pool(0, "config", "behavior", "selectRandomly")...),
		onFirst("bound to more digits than a hash has", keystone.RuleConfig, num(65), pool(0, "config", "behavior", "targetBindingChars")...),
		onFirst("a pool of another size than its config", keystone.RulePoolSize, num(63), pool(0, "config", "behavior", "size")...),
		onFirst("a size beyond the limit", keystone.RuleLimit, num(keystone.MaxPoolSize+1), pool(0, "config", "behavior", "size")...),
		{"a huge pool", keystone.RuleLimit, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			challenge := at(t, id.frames[0].Data(), pool(0, "challenges")...).Members()[0].Value
			var many []ibgib.Member
			for i := range keystone.MaxPoolSize + 1 {
				many = append(many, ibgib.Member{Name: fmt.Sprintf("%016x", i), Value: challenge})
			}
			return id.first(t, set(ibgib.Object(many...)), pool(0, "challenges")...)
		}},
		{"too many pools", keystone.RuleLimit, func(t testing.TB) []ibgib.IbGib {
			id := victim(t, false)
			return id.first(t, func(v ibgib.Value) ibgib.Value {
				for range keystone.MaxPools {
					v = appended(v.Items()[0])(v)
				}
				return v
			}, "challengePools")
		}},
		onFirst("a salt beyond the limit", keystone.RuleLimit, str(strings.Repeat("x", keystone.MaxSalt+1)), pool(0, "config", "salt")...),
		onFirst("a verb that is no text", keystone.RuleForm, set(ibgib.Array(ibgib.Number(1))), pool(0, "config", "allowedVerbs")...),
		onFirst("too many verbs", keystone.RuleLimit, func(ibgib.Value) ibgib.Value {
			var verbs []ibgib.Value
			for i := range keystone.MaxVerbs + 1 {
				verbs = append(verbs, ibgib.String(fmt.Sprint("verb ", i)))
			}
			return ibgib.Array(verbs...)
		}, pool(0, "config", "allowedVerbs")...),
		onFirst("verbs that are a text", keystone.RuleForm, str("post"), pool(0, "config", "allowedVerbs")...),
		onFirst("a verb twice", keystone.RuleConfig, set(ibgib.Array(ibgib.String("a"), ibgib.String("a"))), pool(0, "config", "allowedVerbs")...),
		onFirst("a pool id that is not its salt", keystone.RulePoolID, str("other"), pool(0, "id")...),
		onFirst("two pools of one id", keystone.RulePoolID, func(v ibgib.Value) ibgib.Value { return appended(v.Items()[0])(v) }, "challengePools"),
		onFirst("one challenge in two pools", keystone.RuleReusedID, func(v ibgib.Value) ibgib.Value { return appended(v.Items()[0])(v) }, "challengePools"),
		onFirst("a binding map in another order", keystone.RuleBindingMap, reversed, pool(0, "bindingMap", "0")...),
		onFirst("an empty binding map", keystone.RuleBindingMap, set(ibgib.Object()), pool(0, "bindingMap")...),
		onFirst("a binding map with a key that is no digit", keystone.RuleForm, renamed("A"), pool(0, "bindingMap")...),
		onFirst("cosigKeys that are no list", keystone.RuleCosigKeys, set(ibgib.Object(ibgib.Member{Name: "cosigKeys", Value: ibgib.String("x")})), "frameDetails"),
		onFirst("cosigKeys without a key", keystone.RuleCosigKeys, set(ibgib.Object(ibgib.Member{Name: "cosigKeys", Value: ibgib.Array()})), "frameDetails"),
		onFirst("a cosig key of 31 bytes", keystone.RuleCosigKeys, set(ibgib.Object(ibgib.Member{Name: "cosigKeys", Value: ibgib.Array(ibgib.String(strings.Repeat("A", 42)))})), "frameDetails"),
		onFirst("a cosig key with stray bits", keystone.RuleCosigKeys, set(ibgib.Object(ibgib.Member{Name: "cosigKeys", Value: ibgib.Array(ibgib.String(strings.Repeat("A", 42) + "B"))})), "frameDetails"),
		onFirst("a cosig key with a line break", keystone.RuleCosigKeys, set(ibgib.Object(ibgib.Member{Name: "cosigKeys", Value: ibgib.Array(ibgib.String(strings.Repeat("A", 42) + "\n"))})), "frameDetails"),
		{"no frames", keystone.RuleNoFrames, func(testing.TB) []ibgib.IbGib { return nil }},
		{"nothing in the place of a frame", keystone.RuleNotKeystone, func(testing.TB) []ibgib.IbGib { return make([]ibgib.IbGib, 2) }},
		{"a timeline of notes", keystone.RuleNotKeystone, func(t testing.TB) []ibgib.IbGib {
			g, err := ibgib.New("note", ibgib.Object(ibgib.Member{Name: "isTjp", Value: ibgib.Bool(true)}), nil)
			if err != nil {
				t.Fatal(err)
			}
			return []ibgib.IbGib{g}
		}},
		{"bytes for data", keystone.RuleForm, func(t testing.TB) []ibgib.IbGib {
			g, err := ibgib.NewBytes("keystone", []byte{0, 1, 2}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return []ibgib.IbGib{g}
		}},
	}
}
