package keystone_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

// mutations returns copies of v in each of which one thing is different: a
// scalar changed, a member or item removed, doubled, or exchanged with the next.
// Of long lists and objects only the ends and the middle are touched.
func mutations(v ibgib.Value) []ibgib.Value {
	var list []ibgib.Value
	switch v.Kind() {
	case ibgib.KindNull:
		return []ibgib.Value{ibgib.Bool(false)}
	case ibgib.KindBool:
		return []ibgib.Value{ibgib.Bool(!v.Bool()), ibgib.Null()}
	case ibgib.KindNumber:
		return []ibgib.Value{ibgib.Number(v.Number() + 1), ibgib.Number(v.Number() - 0.5), ibgib.String(v.String()), ibgib.Null()}
	case ibgib.KindString:
		s := v.Str()
		list = append(list, ibgib.String(s+"0"), ibgib.String(""), ibgib.Array(v), ibgib.Null(), ibgib.String(strings.ToUpper(s)+" "))
		if s != "" {
			list = append(list, ibgib.String(s[:len(s)-1]), ibgib.String(s[:len(s)-1]+"~"))
		}
		return list
	case ibgib.KindArray:
		items := v.Items()
		for _, i := range places(len(items)) {
			for _, m := range append(mutations(items[i]), ibgib.Value{}) {
				list = append(list, withItem(items, i, m))
			}
			list = append(list, ibgib.Array(append(append([]ibgib.Value(nil), items...), items[i])...))
			if i+1 < len(items) && !ibgib.EqualValue(ibgib.Array(items[i]), ibgib.Array(items[i+1])) {
				swapped := append([]ibgib.Value(nil), items...)
				swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
				list = append(list, ibgib.Array(swapped...))
			}
		}
		return append(list, ibgib.Array(append([]ibgib.Value{ibgib.String("more")}, items...)...))
	case ibgib.KindObject:
		members := v.Members()
		for _, i := range places(len(members)) {
			for _, m := range append(mutations(members[i].Value), ibgib.Value{}) {
				list = append(list, v.With(members[i].Name, m))
			}
			other := append([]ibgib.Member(nil), members...)
			other[i].Name += "0"
			list = append(list, ibgib.Object(other...))
		}
		return append(list, v.With("more", ibgib.Number(1)))
	}
	return nil
}

func places(n int) []int {
	if n > 8 {
		return []int{0, n / 2, n - 1}
	}
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

func withItem(items []ibgib.Value, at int, v ibgib.Value) ibgib.Value {
	var out []ibgib.Value
	for i, item := range items {
		if i == at {
			item = v
		}
		if item.Kind() != ibgib.KindAbsent {
			out = append(out, item)
		}
	}
	return ibgib.Array(out...)
}

// No frame that differs from a valid one in a single place is accepted in its
// stead, under whatever gib it has.
func TestEveryMutationIsRefused(t *testing.T) {
	for name, end := range map[string]func(*identity){
		"bound":   func(id *identity) { id.sign(t, "edit", target(t, 9)) },
		"consume": func(id *identity) { id.sign(t, "post", target(t, 9)) },
		"details": func(id *identity) {
			g, err := id.Sign(id.History, keystone.Request{
				Claim:   keystone.Claim{Verb: "swap", Target: target(t, 9), Scope: "scope^gib"},
				Demands: []keystone.ChallengeID{id.Data().Pools[swap-post].Challenges[3].ID},
				Details: ibgib.Object(ibgib.Member{Name: "a", Value: ibgib.Array(ibgib.Null())}),
			})
			if err != nil {
				t.Fatal(err)
			}
			id.add(t, g)
		},
		"revoked": func(id *identity) { id.revoke(t) },
	} {
		t.Run(name, func(t *testing.T) {
			configs := forgerConfigs()
			if name != "bound" {
				configs = configs[post:]
			}
			id := begin(t, signer(t, 7), true, configs...)
			id.sign(t, "post", target(t, 1))
			h := id.Clone()
			end(id)
			before, valid := h.Tip(), id.Tip()
			tried := 0
			try := func(g ibgib.IbGib, describe func() string) {
				tried++
				if h.Add(g) != nil {
					return
				}
				h, _ = h.Until(before)
				what := describe()
				// A revocation is valid without its co-signature, and says the same.
				if _, err := id.Weigh(before, valid, g); name == "revoked" && strings.Contains(what, "cosig") {
					wantRule(t, err, keystone.RuleFirstSeen)
					return
				}
				t.Errorf("accepted: %s", what)
			}
			for _, m := range mutations(valid.Data()) {
				g, err := ibgib.New(valid.Ib(), m, valid.Rel8ns())
				if err != nil || g.Addr() == valid.Addr() {
					continue
				}
				try(g, func() string { return diff(valid.Data(), m) })
			}
			for _, rel8ns := range linkMutations(t, valid.Rel8ns()) {
				g, err := ibgib.New(valid.Ib(), valid.Data(), rel8ns)
				if err != nil {
					t.Fatal(err)
				}
				try(g, func() string { return fmt.Sprint(rel8ns) })
			}
			if tried < 300 {
				t.Errorf("only %d mutations", tried)
			}
			if err := h.Add(valid); err != nil {
				t.Errorf("and the frame itself: %v", err)
			}
		})
	}
}

func linkMutations(t testing.TB, rel8ns ibgib.Rel8ns) []ibgib.Rel8ns {
	list := []ibgib.Rel8ns{rel8ns.With("more", []ibgib.Addr{target(t, 1)}), rel8ns.With("more", nil)}
	for _, rel := range rel8ns {
		list = append(list,
			rel8ns.Without(rel.Name),
			rel8ns.With(rel.Name, nil),
			rel8ns.With(rel.Name, append(rel.Addrs[:len(rel.Addrs):len(rel.Addrs)], rel.Addrs[0])),
			rel8ns.With(rel.Name, []ibgib.Addr{target(t, 1)}))
	}
	return list
}

// diff shows the first place where two texts differ.
func diff(a, b ibgib.Value) string {
	x, y := a.String(), b.String()
	i := 0
	for i < len(x) && i < len(y) && x[i] == y[i] {
		i++
	}
	from := max(i-40, 0)
	return fmt.Sprintf("...%s / ...%s", x[from:min(i+40, len(x))], y[from:min(i+40, len(y))])
}

// A first frame that is not what it was begins another keystone: no later frame
// follows it.
func TestMutatedFirstFramesHaveNoSuccessors(t *testing.T) {
	id := begin(t, signer(t, 7), true, forgerConfigs()[post:]...)
	id.sign(t, "post", target(t, 1))
	for i, m := range mutations(id.frames[0].Data()) {
		g, err := ibgib.New("keystone", m, id.frames[0].Rel8ns())
		if err != nil || g.Addr() == id.Genesis() {
			continue
		}
		if r := keystone.Validate([]ibgib.IbGib{g, id.frames[1]}); r.Valid {
			t.Errorf("mutation %d is accepted: %s", i, diff(id.frames[0].Data(), m))
		}
	}
}
