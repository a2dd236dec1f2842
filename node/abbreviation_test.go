package node_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node"
)

func TestExpand(t *testing.T) {
	// Two stones whose hashes begin alike.
	var alike [2]ibgib.IbGib
	seen := make(map[string]ibgib.IbGib)
	for i := 0; alike[0].IsZero(); i++ {
		g, err := ibgib.New(fmt.Sprint("stone ", i), ibgib.Value{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[g.Gib()[:node.MinDigits]]; ok {
			alike = [2]ibgib.IbGib{other, g}
		}
		seen[g.Gib()[:node.MinDigits]] = g
	}
	n := openNode(t)
	for _, g := range alike {
		if _, err := n.Put(t.Context(), g.AppendJSON(nil)); err != nil {
			t.Fatal(err)
		}
	}
	digits := alike[0].Gib()[:node.MinDigits]
	_, err := n.Expand(t.Context(), digits)
	if !errors.Is(err, node.ErrInput) || !strings.Contains(err.Error(), alike[0].Addr().String()) || !strings.Contains(err.Error(), alike[1].Addr().String()) {
		t.Errorf("%s: %v, want both named", digits, err)
	}
	for length := node.MinDigits + 1; length <= 64; length++ {
		for i, g := range alike {
			digits := g.Gib()[:length]
			if strings.HasPrefix(alike[1-i].Gib(), digits) {
				continue
			}
			for _, text := range []string{digits, strings.ToLower(digits)} {
				if a, err := n.Expand(t.Context(), text); err != nil || a != g.Addr() {
					t.Errorf("%s: %s, %v; want %s", text, a, err, g.Addr())
				}
			}
		}
	}
	for text, want := range map[string]func(error) bool{
		strings.Repeat("0", 6):  isNotFound,
		strings.Repeat("0", 5):  func(err error) bool { return errors.Is(err, node.ErrInput) },
		strings.Repeat("0", 65): func(err error) bool { return errors.Is(err, node.ErrInput) },
		"":                      func(err error) bool { return errors.Is(err, node.ErrInput) },
		"00000g":                func(err error) bool { return errors.Is(err, node.ErrInput) },
	} {
		if a, err := n.Expand(t.Context(), text); err == nil || !want(err) {
			t.Errorf("%q: %s, %v", text, a, err)
		}
	}
}

// The first digits of a hash name a keystone too, its first frame or a later one, and
// nothing else.
func TestExpandKeystone(t *testing.T) {
	n := openNode(t)
	note, err := n.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "note"})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := n.SignKeystone(t.Context(), keystone.Claim{Verb: "approve", Target: note.Addr})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []ibgib.Addr{signed.Genesis, signed.Addr} {
		digits := strings.Split(want.String(), "^")[1][:20]
		for _, text := range []string{digits, strings.ToLower(digits)} {
			if a, err := n.ExpandKeystone(t.Context(), text); err != nil || a != want {
				t.Errorf("%s: %s, %v; want %s", text, a, err, want)
			}
		}
		if a, err := n.Expand(t.Context(), digits); !isNotFound(err) {
			t.Errorf("%s is taken for %s, %v", digits, a, err)
		}
	}
	digits := strings.Split(note.Addr.String(), "^")[1][:20]
	if a, err := n.ExpandKeystone(t.Context(), digits); !isNotFound(err) {
		t.Errorf("%s is taken for the keystone %s, %v", digits, a, err)
	}
}
