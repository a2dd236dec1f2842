package ibgib_test

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

const (
	hashA = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	hashB = "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"
)

func TestParseAddr(t *testing.T) {
	for _, c := range []struct{ text, ib, gib, tjp string }{
		{"a^gib", "a", "gib", ""},
		{" a b ^gib", " a b ", "gib", ""},
		{"gib^" + hashA, "gib", hashA, ""},
		{"x.y^" + hashA + "." + hashB, "x.y", hashA + "." + hashB, hashB},
		{"😀^" + hashA + "." + hashB + "." + hashA, "😀", hashA + "." + hashB + "." + hashA, hashB + "." + hashA},
	} {
		a := addr(t, c.text)
		h, hashed := a.Hash()
		if a.String() != c.text || a.Ib() != c.ib || a.Gib() != c.gib || a.TjpGib() != c.tjp || a.IsPrimitive() == hashed || a.IsZero() {
			t.Errorf("%s: %q %q %q", c.text, a.Ib(), a.Gib(), a.TjpGib())
		}
		if hashed && h.String() != c.gib[:64] {
			t.Errorf("%s: hash %s", c.text, h)
		}
	}
}

// The ^ is found whatever stands where a gib of another length would have it.
func TestAddrParts(t *testing.T) {
	for n := 1; n < 300; n++ {
		for _, gib := range []string{"gib", hashB, hashA + "." + hashB, hashA + "." + hashB + "." + hashA} {
			for _, ib := range []string{strings.Repeat(".", n), strings.Repeat("A", n), strings.Repeat("ü", n)} {
				if a := addr(t, ib+"^"+gib); a.Ib() != ib || a.Gib() != gib {
					t.Errorf("%s: %q and %q", a, a.Ib(), a.Gib())
				}
			}
		}
	}
}

func TestHashText(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		var want ibgib.Hash
		for i := range want {
			want[i] = byte(rnd.Uint32())
		}
		text := strings.ToUpper(hex.EncodeToString(want[:]))
		if got, err := ibgib.ParseHash(text); err != nil || got != want || got.String() != text {
			t.Fatalf("%s is read as %s, %v", text, got, err)
		}
	}
}

func TestParseAddrRefused(t *testing.T) {
	for _, c := range []struct {
		text string
		rule ibgib.Rule
	}{
		{"", ibgib.RuleBadAddress},
		{"a", ibgib.RuleBadAddress},
		{"^gib", ibgib.RuleBadAddress},
		{"a^", ibgib.RuleBadAddress},
		{"a^b^gib", ibgib.RuleBadAddress},
		{"a^Gib", ibgib.RuleBadAddress},
		{"a^gib.gib", ibgib.RuleBadAddress},
		{"a^" + strings.ToLower(hashA), ibgib.RuleBadAddress},
		{"a^" + hashA[:32], ibgib.RuleBadAddress},
		{"a^" + hashA[:63], ibgib.RuleBadAddress},
		{"a^" + hashA + "A", ibgib.RuleBadAddress},
		{"a^" + hashA[:63] + "G", ibgib.RuleBadAddress},
		{"a^" + hashA[:63] + "/", ibgib.RuleBadAddress},
		{"a^" + hashA[:63] + ":", ibgib.RuleBadAddress},
		{"a^" + hashA[:63] + "@", ibgib.RuleBadAddress},
		{"a^" + hashA[:62] + "é", ibgib.RuleBadAddress},
		{"a^" + hashA + ".", ibgib.RuleBadAddress},
		{"a^." + hashA, ibgib.RuleBadAddress},
		{"a^" + hashA + ".." + hashA, ibgib.RuleBadAddress},
		{"a^" + hashA + ".gib", ibgib.RuleBadAddress},
		{"a^" + hashA + "." + hashA[:32], ibgib.RuleBadAddress},
		{"a^" + hashA + "-" + hashA, ibgib.RuleBadAddress},
		{"a\xff^gib", ibgib.RuleInvalidUTF8},
		{"a\xed\xa0\x80^gib", ibgib.RuleLoneSurrogate},
	} {
		_, err := ibgib.ParseAddr(c.text)
		refusedBy(t, err, c.rule)
	}
}

func TestZeroAddr(t *testing.T) {
	var a ibgib.Addr
	if _, ok := a.Hash(); ok || !a.IsZero() || a.IsPrimitive() || a.Ib() != "" || a.Gib() != "" || a.TjpGib() != "" || a.String() != "<invalid address>" {
		t.Errorf("%v", a)
	}
	if text, err := a.MarshalText(); err != nil || len(text) != 0 || a.UnmarshalText(text) != nil {
		t.Error("zero Addr as text")
	}
}

func TestParseHash(t *testing.T) {
	h, err := ibgib.ParseHash(hashB)
	if err != nil || h.String() != hashB || h.IsZero() {
		t.Error(h, err)
	}
	for _, text := range []string{"", hashB[:62], hashB + "00", strings.ToLower(hashB), "gib"} {
		_, err := ibgib.ParseHash(text)
		refusedBy(t, err, ibgib.RuleBadGib)
	}
}
