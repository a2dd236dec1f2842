package blockstore

import (
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

// TestAddressCoding takes addresses of every form there and back.
func TestAddressCoding(t *testing.T) {
	one, two := strings.Repeat("0A", 32), strings.Repeat("F1", 32)
	for text, kind := range map[string]byte{
		"":                                    addrZero,
		"task^gib":                            addrText,
		"x^" + one:                            addrHash,
		"some thing.with dots^" + one:         addrHash,
		"ünï^" + one + "." + two:              addrFrame,
		"a^" + one + "." + two + "." + one:    addrText,
		strings.Repeat("i", 3000) + "^" + two: addrHash,
	} {
		var a ibgib.Addr
		if text != "" {
			var err error
			if a, err = ibgib.ParseAddr(text); err != nil {
				t.Fatal(err)
			}
		}
		b := appendAddr(nil, a)
		r := reader{b: b}
		if got := r.addr(); b[0] != kind || got != a || r.end() != nil {
			t.Errorf("%s: kind %d, back as %s, %v", a, b[0], got, r.err)
		}
		if h, ok := a.Hash(); ok {
			r := reader{b: appendTail(nil, a)}
			if got := r.tail(h); got != a || r.end() != nil {
				t.Errorf("%s: its tail comes back as %s, %v", a, got, r.err)
			}
		}
	}
}

// TestAddressCodingBeside takes addresses there and back that stand in a record
// about another one.
func TestAddressCodingBeside(t *testing.T) {
	one, two, three := strings.Repeat("0A", 32), strings.Repeat("F1", 32), strings.Repeat("3C", 32)
	parse := func(text string) (a ibgib.Addr) {
		if text != "" {
			var err error
			if a, err = ibgib.ParseAddr(text); err != nil {
				t.Fatal(err)
			}
		}
		return a
	}
	for _, c := range []struct {
		text, own string
		size      int
	}{
		{"", "x^" + one, 1},
		{"x^" + one, "x^" + one, 1},
		{"x^" + two, "x^" + one, 35},
		{"x^" + two, "x^" + one + "." + two, 1},
		{"y^" + two, "x^" + one + "." + two, 35},
		{"x^" + three + "." + two, "x^" + one + "." + two, 33},
		{"x^" + three + "." + two, "x^" + one, 67},
		{"x^" + two + "." + three, "x^" + one + "." + two + "." + three, 1},
		{"x^" + two + "." + two + "." + three, "x^" + one + "." + two + "." + three, 33},
		{"x^gib", "x^" + one, 7},
	} {
		a, own := parse(c.text), parse(c.own)
		b := appendAddrBeside(nil, a, own)
		r := reader{b: b}
		if got := r.addrBeside(own); got != a || r.end() != nil || len(b) != c.size {
			t.Errorf("%s beside %s: %d bytes, back as %s, %v", a, own, len(b), got, r.err)
		}
	}
	for _, b := range [][]byte{nil, {addrFirst}, {addrFellow, 1}, {9}} {
		r := reader{b: b}
		if got := r.addrBeside(parse("x^" + one)); r.end() == nil {
			t.Errorf("%x is read as %s", b, got)
		}
	}
}
