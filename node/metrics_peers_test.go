package node

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libprotocol "github.com/libp2p/go-libp2p/core/protocol"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/protocol"
)

// values returns what a node tells of one metric, by the values of its labels, and how many
// series it tells in all.
func values(t *testing.T, n *Node, name string) (of map[string]float64, series int) {
	t.Helper()
	families, err := n.Metrics(t.Context()).Gather()
	if err != nil {
		t.Fatal(err)
	}
	of = make(map[string]float64)
	for _, f := range families {
		series += len(f.GetMetric())
		if f.GetName() != MetricsNamespace+"_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			key := ""
			for _, l := range m.GetLabel() {
				key += l.GetValue()
			}
			of[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return of, series
}

// However many peers come, and whatever they ask for, there are no more series.
func TestMetricsDoNotGrowWithPeers(t *testing.T) {
	n := reader(t)
	info := peer.AddrInfo{ID: n.PeerID(), Addrs: n.host.Addrs()}
	_, before := values(t, n, "")
	const strangers = 12
	for i := range strangers + 3 {
		h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableRelay(), libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		if i >= strangers {
			if _, err := n.Trust(t.Context(), h.ID().String()); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Connect(t.Context(), info); err != nil {
			t.Fatal(err)
		}
		for _, id := range []libprotocol.ID{protocol.ID, protocol.FetchID, libprotocol.ID(fmt.Sprint("/made/up/", i))} {
			s, err := h.NewStream(network.WithNoDial(t.Context(), "connected"), n.PeerID(), id)
			if err != nil {
				continue // of the made up one
			}
			_, _ = s.Write([]byte("garbage"))
			_ = s.Close()
		}
	}
	eventually(t, "all are counted", func() bool {
		of, _ := values(t, n, "connected_peers")
		return of["other"] == strangers && of["trusted"] == 3
	})
	if _, after := values(t, n, ""); after != before {
		t.Errorf("%d series with %d peers, %d without", after, strangers+3, before)
	}
	if of, _ := values(t, n, "libp2p_bytes_total"); of["receivedother"] == 0 || of["receivedsync"] == 0 || of["receivedfetch"] == 0 || len(of) != 8 {
		t.Errorf("bytes %v", of)
	}
}

// Fetches are counted by who makes them and by who answers.
func TestMetricsOfFetches(t *testing.T) {
	a, _, frames, at := archive(t, 10)
	b := reader(t)
	res := mustFetch(t, b, frames[9], at)
	if of, _ := values(t, b, "fetched_message_bytes_total"); of[""] != float64(res.Bytes) {
		t.Errorf("fetched bytes %v, want %d", of, res.Bytes)
	}
	secret := writeNote(t, a, "secret")
	if _, err := fetchFrom(t, b, secret, at); !errors.Is(err, blockstore.ErrNotFound) {
		t.Fatalf("fetched what is not shown: %v", err)
	}
	if of, _ := values(t, b, "fetches_total"); of["found"] != 1 || of["not_found"] != 1 || of["failed"] != 0 {
		t.Errorf("fetches %v", of)
	}
	if of, _ := values(t, b, "fetched_ibgibs_total"); of[""] != float64(res.IbGibs) {
		t.Errorf("fetched %v, want %d", of, res.IbGibs)
	}
	eventually(t, "the other side has counted", func() bool {
		of, _ := values(t, a, "shown_ibgibs_total")
		streams, _ := values(t, a, "fetch_streams_total")
		return of[""] == float64(res.IbGibs) && streams["served"] == 2 && streams["refused"] == 0
	})
}

// A subscriber that takes nothing misses events, which are counted.
func TestMetricsOfMissedEvents(t *testing.T) {
	n := openHere(t)
	s, err := n.Subscribe(context.WithoutCancel(t.Context()), EventOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const more = 7
	for range eventQueue + more {
		n.events.publish(Event{Kind: EventPeer, Peer: &PeerEvent{Change: PeerConnected}})
	}
	if of, _ := values(t, n, "events_missed_total"); of[""] != more {
		t.Errorf("missed %v, want %d", of, more)
	}
	if of, _ := values(t, n, "event_subscribers"); of[""] != 1 {
		t.Errorf("subscribers %v", of)
	}
}
