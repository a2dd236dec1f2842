package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// refusedCases are items that are asked for, in the place of which comes something
// that is no ibGib, or not the one that it says, or in another form. Each costs
// itself: the saga goes on to its end, and the victim says by which rule it refused.
func refusedCases() []hostileCase {
	hash := strings.Repeat("0", 64)
	stone := func(change func(text string) string) func(a *attack) []byte {
		return func(a *attack) []byte { return []byte(change(string(a.stone().Stored()))) }
	}
	raw := func(text string) func(a *attack) []byte { return func(*attack) []byte { return []byte(text) } }
	list := []struct {
		name string
		rule ibgib.Rule
		item func(a *attack) []byte
	}{
		{"no JSON", ibgib.RuleBadJSON, raw("hello")},
		{"JSON without end", ibgib.RuleBadJSON, raw(`{"ib":"x","gib":"` + hash + `","data":[`)},
		{"not UTF-8", ibgib.RuleInvalidUTF8, raw("{\"ib\":\"\xff\",\"gib\":\"" + hash + "\"}")},
		{"another kind of record", ibgib.RuleBadRecord, raw(`{"id":1}`)},
		{"a list", ibgib.RuleBadRecord, raw(`[]`)},
		{"white space", ibgib.RuleNotCanonical, stone(func(s string) string { return " " + s })},
		{"members in another order", ibgib.RuleNotCanonical, stone(func(s string) string {
			i := strings.Index(s, `,"data"`)
			return strings.Replace(`{"data"`+s[i+7:len(s)-1]+","+s[1:i]+"}", "\n", "", -1)
		})},
		{"a member twice", ibgib.RuleDuplicateMember, stone(func(s string) string {
			return strings.Replace(s, `{"ib"`, `{"ib":"x","ib"`, 1)
		})},
		{"a member too much", ibgib.RuleUnknownMember, stone(func(s string) string { return strings.TrimSuffix(s, "}") + `,"x":1}` })},
		{"a prototype", ibgib.RuleProtoMember, raw(`{"ib":"x","gib":"` + hash + `","data":{"__proto__":1}}`)},
		{"a number beyond all", ibgib.RuleNumberRange, raw(`{"ib":"x","gib":"` + hash + `","data":1e999}`)},
		{"half a surrogate pair", ibgib.RuleLoneSurrogate, raw(`{"ib":"\ud800","gib":"` + hash + `"}`)},
		{"depth without end", ibgib.RuleTooDeep, raw(`{"ib":"x","gib":"` + hash + `","data":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`)},
		{"an ib with a delimiter", ibgib.RuleBadIb, raw(`{"ib":"a^b","gib":"` + hash + `"}`)},
		{"a gib of no form", ibgib.RuleBadGib, raw(`{"ib":"x","gib":"short"}`)},
		{"a primitive", ibgib.RulePrimitivePayload, raw(`{"ib":"x","gib":"gib"}`)},
		{"a link that is no address", ibgib.RuleBadAddress, raw(`{"ib":"x","gib":"` + hash + `","rel8ns":{"to":["nowhere"]}}`)},
		{"links that are no list", ibgib.RuleBadRel8ns, raw(`{"ib":"x","gib":"` + hash + `","rel8ns":{"to":"x^gib"}}`)},
		{"a forged gib", ibgib.RuleGibMismatch, stone(func(s string) string { return strings.Replace(s, "spam of", "ham of", 1) })},
		{"a forged timeline", ibgib.RuleTjpMismatch, func(a *attack) []byte {
			gib := a.head.Addr().Gib()
			forged := strings.ToUpper(hex.EncodeToString(bytes.Repeat([]byte{7}, 32)))
			punctiliar, _, _ := strings.Cut(gib, ".")
			return bytes.Replace(a.head.Stored(), []byte(gib), []byte(punctiliar+"."+forged), 1)
		}},
		{"a twin with data and links swapped", ibgib.RuleSwappedMembers, func(a *attack) []byte {
			return bytes.Replace(a.linking("x^gib").Stored(), []byte(`"rel8ns"`), []byte(`"data"`), 1)
		}},
		{"bytes that are their JSON twin", ibgib.RuleBytesTwin, func(*attack) []byte { return bytesTwin() }},
		{"bytes with a header that never ends", ibgib.RuleBadRecord, raw("\xb1\xff\xff\xff\xff\xff\xff\xff\xff\x7f")},
	}
	var cases []hostileCase
	for _, c := range list {
		cases = append(cases, hostileCase{name: c.name, ends: true, attack: func(a *attack) {
			a.refused(c.item(a), c.rule)
		}})
	}
	return append(cases,
		hostileCase{name: "a link to an alias", ends: true, attack: func(a *attack) {
			g, err := a.victim.store.View(blockstore.DefaultShare).Block(a.Context(), a.arena.own.Heads[0])
			if err != nil {
				a.Fatal(err)
			}
			alias, err := ibgib.ParseAddr("alias^" + g.Addr().Gib())
			if err != nil {
				a.Fatal(err)
			}
			a.offer(append(a.blocks, a.maker.Rel8(a, a.head, "friend", alias)...))
			a.open(a.init())
			a.asked()
			a.say(a.delta(saga.Delta{Items: full(a.blocks...), WantsDone: true, Done: true}))
			a.ended(blockstore.RuleAlias)
		}, keeps: []int{0, 1, 2, 3, 4, 5, 6}},
		hostileCase{name: "forged items without end", want: saga.CodeRefused, attack: func(a *attack) {
			a.open(a.init())
			a.offers = hashes(saga.MaxRefusals + 1)
			a.asked()
			for range saga.MaxRefusals + 1 {
				a.say(a.delta(saga.Delta{Items: []saga.Item{{Bytes: []byte("hello")}}}))
			}
		}},
		hostileCase{name: "what needs the forged one", ends: true, attack: func(a *attack) {
			a.open(a.init())
			a.asked()
			list := full(a.blocks...)
			for i, g := range a.blocks { // all frames need the first one
				list[i].Bytes = bytes.Replace(g.Stored(), []byte(`"isTjp":true`), []byte(`"isTjp":1`), 1)
			}
			a.say(a.delta(saga.Delta{Items: list, WantsDone: true, Done: true}))
			a.ended(ibgib.RuleGibMismatch)
		}, keeps: []int{0, 1, 2, 3, 4, 5}},
	)
}

// refused sends an item that was asked for, and ends the saga.
func (a *attack) refused(item []byte, rule ibgib.Rule) {
	a.Helper()
	a.open(a.init())
	a.offers = a.offers[:1]
	a.asked()
	a.say(a.delta(saga.Delta{Items: []saga.Item{{Bytes: item}}, WantsDone: true, Done: true}))
	a.ended(rule)
}

// ended hears that the victim has committed what it could, and by which rule it
// has refused one ibGib, and ends the saga in good order.
func (a *attack) ended(rule ibgib.Rule) {
	a.Helper()
	c := next[*saga.Commit](a)
	if len(c.Refusals) != 1 || c.Refusals[0].Rule != rule {
		a.Errorf("refusals %+v, want one by rule %s", c.Refusals, rule)
	}
	a.say(&saga.Commit{ID: a.id, Digest: c.Digest, Count: c.Count})
}

// bytesTwin are the bytes of a JSON value, as an ibGib with bytes.
func bytesTwin() []byte {
	h := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return strings.ToUpper(hex.EncodeToString(sum[:]))
	}
	data := `{"a":1}`
	header := `{"ib":"twin","gib":"` + h(h("twin")+h(data)) + `"}`
	return append(append([]byte{0xb1, byte(len(header))}, header...), data...)
}

// linking is an ibGib that links an address.
func (a *attack) linking(to string) ibgib.IbGib {
	a.Helper()
	addr, err := ibgib.ParseAddr(to)
	if err != nil {
		a.Fatal(err)
	}
	g, err := ibgib.New("linking", ibgib.Value{}, ibgib.Rel8ns{{Name: "to", Addrs: []ibgib.Addr{addr}}})
	if err != nil {
		a.Fatal(err)
	}
	return g
}
