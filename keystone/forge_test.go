package keystone_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

// change returns v with f applied to what lies at path: names of members and
// indices of items. What f returns as absent is removed.
func change(t testing.TB, v ibgib.Value, f func(ibgib.Value) ibgib.Value, path ...any) ibgib.Value {
	t.Helper()
	if len(path) == 0 {
		return f(v)
	}
	switch at := path[0].(type) {
	case string:
		old, _ := v.Get(at)
		changed := change(t, old, f, path[1:]...)
		if changed.Kind() == ibgib.KindAbsent {
			return v.Without(at)
		}
		return v.With(at, changed)
	case int:
		var items []ibgib.Value
		for i, item := range v.Items() {
			if i == at {
				item = change(t, item, f, path[1:]...)
			}
			if item.Kind() != ibgib.KindAbsent {
				items = append(items, item)
			}
		}
		return ibgib.Array(items...)
	}
	t.Fatalf("no path: %v", path)
	return ibgib.Value{}
}

// at returns what lies at path.
func at(t testing.TB, v ibgib.Value, path ...any) ibgib.Value {
	t.Helper()
	change(t, v, func(x ibgib.Value) ibgib.Value { v = x; return x }, path...)
	return v
}

// forged returns a frame with other data, under the gib that it then has.
func forged(t testing.TB, g ibgib.IbGib, f func(ibgib.Value) ibgib.Value, path ...any) ibgib.IbGib {
	t.Helper()
	return remade(t, g, g.Ib(), change(t, g.Data(), f, path...), g.Rel8ns())
}

func remade(t testing.TB, g ibgib.IbGib, ib string, data ibgib.Value, rel8ns ibgib.Rel8ns) ibgib.IbGib {
	t.Helper()
	made, err := ibgib.New(ib, data, rel8ns)
	if err != nil {
		t.Fatal(err)
	}
	if made.Addr() == g.Addr() {
		t.Fatal("nothing was forged")
	}
	return made
}

// set and drop are what forged does with a value.
func set(v ibgib.Value) func(ibgib.Value) ibgib.Value {
	return func(ibgib.Value) ibgib.Value { return v }
}

func drop(ibgib.Value) ibgib.Value { return ibgib.Value{} }

func str(s string) func(ibgib.Value) ibgib.Value  { return set(ibgib.String(s)) }
func num(x float64) func(ibgib.Value) ibgib.Value { return set(ibgib.Number(x)) }

// reversed turns a list or the members of an object round.
func reversed(v ibgib.Value) ibgib.Value {
	if v.Kind() == ibgib.KindArray {
		var items []ibgib.Value
		for _, item := range v.Items() {
			items = append([]ibgib.Value{item}, items...)
		}
		return ibgib.Array(items...)
	}
	var members []ibgib.Member
	for _, m := range v.Members() {
		members = append([]ibgib.Member{m}, members...)
	}
	return ibgib.Object(members...)
}

// renamed gives the first member of an object another name.
func renamed(name string) func(ibgib.Value) ibgib.Value {
	return func(v ibgib.Value) ibgib.Value {
		members := append([]ibgib.Member(nil), v.Members()...)
		members[0].Name = name
		return ibgib.Object(members...)
	}
}

// appended adds an item to a list.
func appended(item ibgib.Value) func(ibgib.Value) ibgib.Value {
	return func(v ibgib.Value) ibgib.Value {
		return ibgib.Array(append(append([]ibgib.Value(nil), v.Items()...), item)...)
	}
}

// Pools of the keystones that the forger works on: their place in the list.
const (
	edit  = 0 // bound to targets, top-up
	post  = 1 // consume
	swap  = 2 // replace-all
	final = 3 // revoke
)

func forgerConfigs() []keystone.Config {
	behavior := func(size, binding int, rule keystone.Replenish) keystone.Behavior {
		return keystone.Behavior{Size: size, Replenish: rule, Sequentially: 1, Randomly: 1, BindingChars: binding}
	}
	one := keystone.Strategy{Algo: keystone.SHA256, Rounds: 1}
	return []keystone.Config{
		{Salt: "edit", Verbs: []string{}, Behavior: behavior(64, 4, keystone.TopUp), Strategy: one},
		{Salt: "post", Verbs: []string{"post"}, Behavior: behavior(8, 0, keystone.Consume), Strategy: keystone.Strategy{Algo: keystone.SHA512, Rounds: 2}},
		{Salt: "swap", Verbs: []string{"swap", "exchange"}, Behavior: behavior(6, 0, keystone.ReplaceAll), Strategy: one},
		{Salt: keystone.PoolRevoke, Verbs: []string{keystone.VerbRevoke}, Behavior: behavior(8, 0, keystone.ScorchedEarth), Strategy: one},
	}
}

// victims keeps what victim has made, plain and co-signed.
var victims [2]struct {
	once sync.Once
	made *identity
}

// victim is a keystone with frames of all kinds: edit, post, swap, edit.
func victim(t testing.TB, cosigned bool) *identity {
	t.Helper()
	v := &victims[0]
	if cosigned {
		v = &victims[1]
	}
	v.once.Do(func() {
		v.made = begin(t, signer(t, 7), cosigned, forgerConfigs()...)
		for i, verb := range []string{"edit", "post", "swap", "edit"} {
			v.made.sign(t, verb, target(t, i))
		}
	})
	// The same secret and key, other draws.
	s := signer(t, 7)
	s.Draws = keystone.Random(seeded(8))
	return &identity{s, v.made.Clone(), slices.Clip(v.made.frames)}
}

// last replaces the newest frame by a forgery.
func (id *identity) last(t testing.TB, f func(ibgib.Value) ibgib.Value, path ...any) []ibgib.IbGib {
	t.Helper()
	n := len(id.frames) - 1
	return append(id.frames[:n:n], forged(t, id.frames[n], f, path...))
}

// first is the first frame, forged.
func (id *identity) first(t testing.TB, f func(ibgib.Value) ibgib.Value, path ...any) []ibgib.IbGib {
	t.Helper()
	return []ibgib.IbGib{forged(t, id.frames[0], f, path...)}
}

// relinked replaces one list of links of the newest frame.
func (id *identity) relinked(t testing.TB, name string, list ...ibgib.Addr) []ibgib.IbGib {
	t.Helper()
	n := len(id.frames) - 1
	g := id.frames[n]
	rel8ns := g.Rel8ns().With(name, list)
	if list == nil {
		rel8ns = g.Rel8ns().Without(name)
	}
	return append(id.frames[:n:n], remade(t, g, g.Ib(), g.Data(), rel8ns))
}
