package reference

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// notice is as long as a notice of one timeline with one head, sealed.
var notice = make([]byte, 120)

const topic = "a topic that only members should know of"

func newHost(tb testing.TB) host.Host {
	tb.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := h.Close(); err != nil {
			tb.Error(err)
		}
	})
	return h
}

func newGossip(tb testing.TB, h host.Host) *pubsub.PubSub {
	tb.Helper()
	ps, err := pubsub.NewGossipSub(tb.Context(), h, pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(), pubsub.WithMessageIdFn(func(m *pb.Message) string { return string(m.Data[:16]) }))
	if err != nil {
		tb.Fatal(err)
	}
	return ps
}

func connect(tb testing.TB, a, b host.Host) {
	tb.Helper()
	if err := a.Connect(tb.Context(), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		tb.Fatal(err)
	}
}

// settle waits until every node knows that all others have the topic, and some
// heartbeats more, in which the meshes form.
func settle(tb testing.TB, all []*pubsub.PubSub) {
	tb.Helper()
	heartbeat := time.NewTicker(time.Second)
	defer heartbeat.Stop()
	for beats := 0; beats < 5; {
		<-heartbeat.C
		beats++
		for _, ps := range all {
			if len(ps.ListPeers(topic)) < len(all)-1 {
				beats = 0
			}
		}
	}
}

// BenchmarkGossipsub measures how a small message spreads by gossipsub among nodes in one
// process, each connected to all others: the time until all have it, the bytes that go over
// the wire for it, and for nothing. The bytes count only in a network namespace of its own,
// where there is no other traffic.
func BenchmarkGossipsub(b *testing.B) {
	for _, count := range []int{20, 50} {
		b.Run(fmt.Sprint(count), func(b *testing.B) { gossip(b, count) })
	}
}

func gossip(b *testing.B, count int) {
	var hosts []host.Host
	var all []*pubsub.PubSub
	var topics []*pubsub.Topic
	var subs []*pubsub.Subscription
	for i := range count {
		h := newHost(b)
		ps := newGossip(b, h)
		t, err := ps.Join(topic)
		if err != nil {
			b.Fatal(err)
		}
		sub, err := t.Subscribe()
		if err != nil {
			b.Fatal(err)
		}
		for _, other := range hosts[:i] {
			connect(b, h, other)
		}
		hosts, all, topics, subs = append(hosts, h), append(all, ps), append(topics, t), append(subs, sub)
	}
	settle(b, all)
	idle := loopbackBytes(b)
	const quiet = 20 * time.Second
	<-time.After(quiet)
	idle = loopbackBytes(b) - idle
	const messages = 50
	var spent []time.Duration
	before, began := loopbackBytes(b), time.Now()
	pace := time.NewTicker(400 * time.Millisecond) // that of BenchmarkLiveMany
	defer pace.Stop()
	for b.Loop() {
		for i := range messages {
			message := slices.Clone(notice)
			copy(message, fmt.Sprintf("%16d", time.Now().UnixNano()))
			at := time.Now()
			if err := topics[i%count].Publish(b.Context(), message); err != nil {
				b.Fatal(err)
			}
			var seen sync.WaitGroup
			for _, sub := range subs {
				seen.Go(func() {
					ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
					defer cancel()
					if _, err := sub.Next(ctx); err != nil {
						b.Error(err)
					}
				})
			}
			seen.Wait()
			spent = append(spent, time.Since(at))
			<-pace.C
		}
	}
	// What would have gone over the wire without a message is not counted.
	during := float64(loopbackBytes(b)-before) - float64(idle)*time.Since(began).Seconds()/quiet.Seconds()
	slices.Sort(spent)
	b.ReportMetric(spent[len(spent)/2].Seconds()*1000, "median-ms")
	b.ReportMetric(spent[len(spent)*99/100].Seconds()*1000, "p99-ms")
	b.ReportMetric(during/float64(len(spent)), "loopback-B/message")
	b.ReportMetric(float64(idle)*60/quiet.Seconds()/float64(count), "idle-B/node/min")
	b.ReportMetric(0, "ns/op")
}

// A stranger that connects to a node which uses gossipsub is told the topics that it has
// subscribed to, whatever they are about, and may receive what is published there.
func TestStrangerLearnsTopics(t *testing.T) {
	member, stranger := newHost(t), newHost(t)
	mine, theirs := newGossip(t, member), newGossip(t, stranger)
	joined, err := mine.Join(topic)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := joined.Subscribe(); err != nil {
		t.Fatal(err)
	}
	connect(t, stranger, member)
	limit := time.After(time.Minute)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for len(theirs.ListPeers(topic)) == 0 {
		select {
		case <-look.C:
		case <-limit:
			t.Fatal("the stranger has learned nothing within a minute")
		}
	}
}

// loopbackBytes returns how many bytes have gone over the loopback interface of this
// network namespace.
func loopbackBytes(tb testing.TB) (received uint64) {
	tb.Helper()
	text, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "lo:"); ok {
			if _, err := fmt.Sscan(rest, &received); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return received
}
