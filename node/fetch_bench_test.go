package node

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkFetch is of a timeline of 3,001 ibGibs in a node that trusts the one that
// fetches, and so does not slow it down, and in others like it.
func BenchmarkFetch(b *testing.B) {
	const changes = 1500
	first, _, frames, at := archive(b, changes)
	last := frames[changes-1]
	providers, from := []*Node{first}, []string{at}
	for range 2 {
		n := reader(b)
		mustFetch(b, n, last, at)
		if _, err := n.Provide(b.Context(), last); err != nil {
			b.Fatal(err)
		}
		providers, from = append(providers, n), append(from, n.Identity().Addrs[0])
	}
	for _, sources := range []int{1, 3} {
		b.Run(fmt.Sprint("sources=", sources), func(b *testing.B) {
			ibgibs, took, extra := 0, time.Duration(0), 0.0
			for b.Loop() {
				b.StopTimer()
				n := reader(b)
				for _, p := range providers {
					if _, err := p.Trust(b.Context(), n.PeerID().String()); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				began := time.Now()
				res := mustFetch(b, n, last, from[:sources]...)
				took += time.Since(began)
				ibgibs += res.IbGibs
				extra = float64(res.Bytes) / float64(res.IbGibs)
			}
			b.ReportMetric(float64(ibgibs)/took.Seconds(), "ibGibs/s")
			b.ReportMetric(extra, "B/ibGib")
		})
	}
}
