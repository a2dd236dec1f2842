package blockstore

import (
	"math/rand"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

// TestAbsence fills an absence until it gives up: it never denies what was
// added, and seldom fails to deny what was not.
func TestAbsence(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	random := func() (h ibgib.Hash) {
		rnd.Read(h[:])
		return h
	}
	var a absence
	var first, last ibgib.Hash
	for n := 1; !a.full; n++ {
		last = random()
		if n == 1 {
			first = last
		}
		a.add(&last)
		if n%64 == 1 && (a.lacks(&first) || a.lacks(&last)) {
			t.Fatalf("after %d: denies what was added", n)
		}
		if n == 5_000 || n == 500_000 {
			unsure := 0
			for range 10_000 {
				if h := random(); !a.lacks(&h) {
					unsure++
				}
			}
			if unsure > 500 {
				t.Errorf("after %d: unsure of %d in 10,000", n, unsure)
			}
		}
		if n > 5_000_000 {
			t.Fatal("grows without end")
		}
	}
}
