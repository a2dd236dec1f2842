package saga_test

import (
	"bufio"
	"os"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// load stores the lines of an NDJSON file.
func (s *space) load(path string) {
	s.t.Helper()
	f, err := os.Open(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	var all []ibgib.IbGib
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, ibgib.MaxSize)
	for lines.Scan() {
		g, err := ibgib.Import(lines.Bytes())
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, g)
	}
	if err := lines.Err(); err != nil {
		s.t.Fatal(err)
	}
	s.add(all...)
}

// The spaces written by the TypeScript implementation, with full and with linked
// past: each side gets exactly what it lacks, and all else costs under a tenth of it.
func TestGoldenSpaces(t *testing.T) {
	for _, swapped := range []bool{false, true} {
		a, b := newSpace(t, 1), newSpace(t, 2)
		a.load("../timeline/testdata/spaces/a.ndjson")
		b.load("../timeline/testdata/spaces/b.ndjson")
		if swapped {
			a, b = b, a
		}
		before := [2]int{a.blocks(), b.blocks()}
		all := members(t, a)
		for h := range members(t, b) {
			all[h] = true
		}
		ra, rb, ca, cb := runCounted(t, a, b)
		if !ra.Converged || !rb.Converged || len(ra.Conflicts) != 7 || !sameHeads(a.heads(), b.heads()) {
			t.Errorf("converged %v and %v, %d conflicts", ra.Converged, rb.Converged, len(ra.Conflicts))
		}
		if int(ra.Received.IbGibs) != len(all)-before[0] || int(rb.Received.IbGibs) != len(all)-before[1] {
			t.Errorf("received %d and %d of %d", ra.Received.IbGibs, rb.Received.IbGibs, len(all))
		}
		offered := 0
		for _, m := range append(ca.messages, cb.messages...) {
			if d, ok := m.(*saga.Delta); ok {
				offered += len(d.Offers)
			}
		}
		moved, payload := ra.Sent.IbGibs+ra.Received.IbGibs, ra.Sent.Bytes+ra.Received.Bytes
		if bytes := uint64(ca.bytes + cb.bytes); bytes > payload*11/10 || uint64(offered) > 2*moved {
			t.Errorf("%d ibGibs of %d bytes moved; %d offered, %d bytes in all", moved, payload, offered, bytes)
		}
	}
}
