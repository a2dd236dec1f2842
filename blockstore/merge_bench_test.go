package blockstore_test

import (
	"fmt"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/ibgib"
)

// BenchmarkMergeBranches is the commit that brings the second one of two branches, of
// 1,000 changes each, to a timeline of so many frames in a store on disk, and so merges
// them.
func BenchmarkMergeBranches(b *testing.B) {
	for _, frames := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("frames=%d", frames), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				commit := secondBranch(b, frames)
				b.StartTimer()
				commit()
			}
		})
	}
}

// BenchmarkMergeBranchesHeap is the live heap that such a commit adds at its worst. It
// does not grow with the timeline.
func BenchmarkMergeBranchesHeap(b *testing.B) {
	blockstoretest.SampleHeap()
	for _, frames := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("frames=%d", frames), func(b *testing.B) {
			var peak blockstoretest.Heap
			for b.Loop() {
				commit := secondBranch(b, frames)
				w := blockstoretest.WatchHeap()
				percent := debug.SetGCPercent(5) // a look every few MB
				commit()
				debug.SetGCPercent(percent)
				peak = peak.Max(w.Stop())
			}
			b.ReportMetric(float64(peak.Own)/1e6, "own-MB")
			b.ReportMetric(float64(peak.Badger)/1e6, "badger-MB")
		})
	}
}

// secondBranch makes a store with the timeline and its first branch, in which all blocks
// of the second one lie that is yet to be committed.
func secondBranch(b *testing.B, frames int) (commit func()) {
	b.Helper()
	s, err := blockstore.Open(b.TempDir(), blockstore.Options{Strategy: blockstore.Optimistic})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	m := blockstoretest.NewMaker(1)
	grow := func(all []ibgib.IbGib, n int) []ibgib.IbGib {
		for i := range n {
			all = append(all, m.Mut8(b, blockstoretest.Last(all), fmt.Sprint("member ", i%40), fmt.Sprintf("the text that change %d writes", i))...)
		}
		return all
	}
	stem := m.Timeline(b, "task")
	stem = grow(stem, frames-2)
	left := grow(slices.Clone(stem), 1000)
	right := grow(slices.Clone(stem), 1000)[len(stem):]
	blockstoretest.Put(b, s, left...)
	st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{Peer: "peer"})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := st.Put(b.Context(), right); err != nil {
		b.Fatal(err)
	}
	return func() {
		res, err := st.Commit(b.Context())
		if err != nil || len(res.Merges) != 1 {
			b.Fatalf("%+v, %v", res, err)
		}
	}
}
