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
	var names []string
	for name, a := range g.Links() {
		want = append(want, a)
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
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
	if got := slices.Collect(g.RelNames()); !slices.Equal(got, names) || len(got) != 4 {
		t.Errorf("names %q, want %q", got, names)
	}
}
