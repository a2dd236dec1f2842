package blockstore_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// A store counts what has come, once, and what its commits did; nothing of the local area.
func TestCounts(t *testing.T) {
	var rules []string
	s, err := blockstore.Open(filepath.Join(t.TempDir(), "store"), blockstore.Options{
		Strategy: blockstore.Optimistic, Rejected: func(rule string) { rules = append(rules, rule) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sides := [][]ibgib.IbGib{
		blockstoretest.ReadNDJSON(t, filepath.Join(vectors, "spaces", "a.ndjson")),
		blockstoretest.ReadNDJSON(t, filepath.Join(vectors, "spaces", "b.ndjson")),
	}
	var want blockstore.Counts
	come := make(map[ibgib.Addr]int)
	for _, side := range append(sides, sides...) {
		res := blockstoretest.Put(t, s, side...)
		for _, g := range side {
			come[g.Addr()] = g.Size()
		}
		want.Moved += uint64(res.Moved)
		want.Merges += uint64(len(res.Merges))
		for _, m := range res.Merges {
			want.Overridden += uint64(len(m.Overridden))
			want.Skipped += uint64(len(m.Skipped))
			g, err := s.Get(t.Context(), m.Latest)
			if err != nil {
				t.Fatal(err)
			}
			come[m.Latest] = g.Size()
		}
	}
	for _, size := range come {
		want.IbGibs++
		want.Bytes += uint64(size)
	}
	if got := s.Counts(); got != want || got.Overridden == 0 {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	m := blockstoretest.NewMaker(7)
	if _, _, err := s.Apply(t.Context(), blockstore.LocalArea, blockstore.Origin{}, m.Timeline(t, "own")); err != nil {
		t.Fatal(err)
	}
	if got := s.Counts(); got != want {
		t.Errorf("with the local area counted %+v, want %+v", got, want)
	}

	bad := m.Timeline(t, "bad")
	tjp := blockstoretest.Last(bad)
	both, err := ibgib.New(tjp.Ib(), tjp.Data(), tjp.Rel8ns().With("tjp", []ibgib.Addr{tjp.Addr()}))
	if err != nil {
		t.Fatal(err)
	}
	blockstoretest.Put(t, s, append(bad, both)...)
	if !slices.Equal(rules, []string{timeline.RuleTjpList}) {
		t.Errorf("told of %q", rules)
	}
	if e, err := s.Engine(); err != nil || e.Writes == 0 {
		t.Errorf("engine %+v, %v", e, err)
	}
}
