package node

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
)

// BenchmarkMetrics is what a scrape costs a node with 100,000 timelines, and what a census
// does, which comes with a scrape now and then.
func BenchmarkMetrics(b *testing.B) {
	n := reader(b)
	maker := blockstoretest.NewMaker(7)
	var file bytes.Buffer
	for i := range 100_000 {
		for _, g := range maker.Timeline(b, fmt.Sprintf("note %d", i)) {
			fmt.Fprintf(&file, "%s\n", g.Stored())
		}
	}
	if _, err := n.Import(b.Context(), &file, nil); err != nil {
		b.Fatal(err)
	}
	b.Run("census", func(b *testing.B) {
		for b.Loop() {
			var c counted
			if err := c.countIndex(b.Context(), n); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("scrape", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := n.Metrics(b.Context()).Gather(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
