package node_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
)

// BenchmarkLiveMany measures how a change spreads among 20 nodes in one process, each
// connected to all others (LIVE_NODES=N changes the number): the time from the moment
// when it is made on one of them, by turns, until all others present it, how many sagas
// that takes, each counted once, and how many of them had nothing to move; in how many of
// them the busiest node took part for one change, on average; the bytes of the
// messages of the sagas, and, in a network namespace of its own, those of all that goes
// over the wire, notices and headers included.
func BenchmarkLiveMany(b *testing.B) {
	count := 20
	if n, err := strconv.Atoi(os.Getenv("LIVE_NODES")); err == nil {
		count = n
	}
	nodes := make([]*node.Node, count)
	for i := range nodes {
		nodes[i] = liveNode(b, b.TempDir())
		for _, other := range nodes[:i] {
			pair(b, nodes[i], other)
		}
	}
	inStep(b, nodes)
	heads := make([]*node.Subscription, count)
	for i, n := range nodes {
		heads[i] = follow(b, n, node.EventHeads)
	}
	note := begin(b, nodes[0], "note")
	for _, s := range heads {
		until(b, s, isLatest(note))
	}
	counting, stop := context.WithCancel(b.Context())
	defer stop()
	var begun, needless atomic.Int64
	took := make([]atomic.Int64, count) // part in sagas
	var counters sync.WaitGroup
	for i, n := range nodes {
		s := follow(b, n, node.EventSaga)
		counters.Go(func() {
			for e, err := s.Next(counting); err == nil; e, err = s.Next(counting) {
				if e.Kind != node.EventSaga || e.Saga.Timelines == 0 {
					continue
				}
				if e.Saga.State == node.SagaBegun {
					took[i].Add(1)
				}
				if e.Saga.Role != saga.Initiator.String() {
					continue
				}
				switch {
				case e.Saga.State == node.SagaBegun:
					begun.Add(1)
				case e.Saga.State == node.SagaEnded && e.Saga.Outcome.Equal:
					needless.Add(1)
				}
			}
		})
	}
	before, loopback := wireBytes(b, nodes), loopbackBytes(b)
	const changes = 50
	var spent []time.Duration
	busiest := int64(0)
	for b.Loop() {
		for i := range changes {
			from := nodes[i%count]
			for i := range took {
				took[i].Store(0)
			}
			began := time.Now()
			made, err := from.Mut8(b.Context(), note, ibgib.Mut8Options{
				Patch: ibgib.Object(ibgib.Member{Name: "change", Value: ibgib.String(fmt.Sprint(i, began))}),
			})
			if err != nil {
				b.Fatal(err)
			}
			var seen sync.WaitGroup
			for _, s := range heads {
				seen.Go(func() { until(b, s, isLatest(made.Addr)) })
			}
			seen.Wait()
			spent = append(spent, time.Since(began))
			most := int64(0)
			for i := range took {
				most = max(most, took[i].Load())
			}
			busiest += most
		}
	}
	// What is still under way is over when all have synced with one by hand.
	for _, n := range nodes[1:] {
		if _, err := n.Sync(b.Context(), nodes[0].PeerID().String(), nil); err != nil {
			b.Fatal(err)
		}
	}
	stop()
	counters.Wait()
	slices.Sort(spent)
	per := float64(len(spent))
	b.ReportMetric(spent[len(spent)/2].Seconds()*1000, "median-ms")
	b.ReportMetric(spent[len(spent)*99/100].Seconds()*1000, "p99-ms")
	b.ReportMetric(float64(begun.Load())/per, "sagas/change")
	b.ReportMetric(float64(needless.Load())/per, "needless/change")
	b.ReportMetric(float64(busiest)/per, "busiest-sagas/change")
	b.ReportMetric(float64(wireBytes(b, nodes)-before)/per, "B/change")
	b.ReportMetric(float64(loopbackBytes(b)-loopback)/per, "loopback-B/change")
	b.ReportMetric(0, "ns/op")
}

// wireBytes sums up the messages of the sagas that nodes have begun, of those that they
// remember.
func wireBytes(b *testing.B, nodes []*node.Node) (sum uint64) {
	b.Helper()
	for _, n := range nodes {
		records, err := n.Sagas(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range records {
			if r.Role == saga.Initiator.String() {
				sum += r.Wire.Sent + r.Wire.Received
			}
		}
	}
	return sum
}
