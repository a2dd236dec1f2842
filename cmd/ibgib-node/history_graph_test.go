package main

import (
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

func TestLanes(t *testing.T) {
	for _, c := range []struct {
		name   string
		frames string // each with what it stands on, newest first
		want   []string
	}{
		{"one line", "c b, b a, a", []string{"* c", "* b", "* a"}},
		{"two heads", "c a, b a, a", []string{"* c", "| * b", "|/", "* a"}},
		{"a merge", "m c b, c a, b a, a", []string{"* m", "|\\", "* | c", "| * b", "|/", "* a"}},
		{"three in one", "m d c b, d a, c a, b a, a", []string{
			"* m", "|\\", "| |\\", "* | | d", "| * | c", "| | * b", "|_|/", "|/", "* a",
		}},
		{"a lane between", "m c b, c a, b x, a x, x", nil},
		{"a branch that ends behind another", "d a, c b, b a, e a, a", []string{"* d", "| * c", "| * b", "| | * e", "|_|/", "|/", "* a"}},
	} {
		var l lanes
		var got []string
		for _, f := range strings.Split(c.frames, ", ") {
			words := strings.Fields(f)
			addrs := make([]ibgib.Addr, len(words))
			for i, w := range words {
				var err error
				if addrs[i], err = ibgib.ParseAddr(w + "^gib"); err != nil {
					t.Fatal(err)
				}
			}
			for _, line := range l.place(addrs[0], addrs[1:]) {
				if line.frame {
					line.text += " " + words[0]
				}
				got = append(got, line.text)
			}
		}
		if len(l) != 0 {
			t.Errorf("%s: %d lanes are left", c.name, len(l))
		}
		if c.want != nil && strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}
