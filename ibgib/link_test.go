package ibgib_test

import (
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

// TestTargets compares what links tell one by one with the parsed addresses.
func TestTargets(t *testing.T) {
	g, err := ibgib.New("x", ibgib.Value{}, ibgib.Rel8ns{
		{Name: "ancestor", Addrs: []ibgib.Addr{addr(t, "x^gib")}},
		{Name: "past", Addrs: []ibgib.Addr{addr(t, "x^"+hashA), addr(t, "x^"+hashB+"."+hashA)}},
		{Name: "see", Addrs: []ibgib.Addr{addr(t, "a \"quoted\" \\ ib.^"+hashB), addr(t, "x^"+hashA), addr(t, "\n^gib")}},
		{Name: "\"strange\"", Addrs: []ibgib.Addr{addr(t, "😀^"+hashA+"."+hashB+"."+hashA)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []ibgib.Addr
	for _, a := range g.Links() {
		want = append(want, a)
	}
	var got []ibgib.Addr
	for link := range g.Targets() {
		a := link.Addr()
		got = append(got, a)
		h, ok := link.Hash()
		if wantHash, wantOK := a.Hash(); h != wantHash || ok != wantOK {
			t.Errorf("%s: hash %s, %t", a, h, ok)
		}
		for _, other := range want {
			if link.Is(other) != (a == other) {
				t.Errorf("%s is %s: %t", a, other, a != other)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("targets %v, want %v", got, want)
	}
}

// TestRelNames has the prefix in names, in a name further on, and in an address.
func TestRelNames(t *testing.T) {
	to := []ibgib.Addr{addr(t, "ibgib.x^gib")}
	g, err := ibgib.New("ibgib.x", ibgib.Value{}, ibgib.Rel8ns{
		{Name: "ancestor", Addrs: to}, {Name: "ibgib.b", Addrs: to}, {Name: "an ibgib.", Addrs: to},
		{Name: "ibgib", Addrs: to}, {Name: "ibgib.\"a\""},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		prefix string
		want   []string
	}{
		{"ibgib.", []string{"ibgib.\"a\"", "ibgib.b"}},
		{"a", []string{"an ibgib.", "ancestor"}},
		{"tjp", nil},
	} {
		if got := g.RelNames(c.prefix); !slices.Equal(got, c.want) {
			t.Errorf("names that begin with %q: %q, want %q", c.prefix, got, c.want)
		}
	}
}
