package node

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/node/internal/metrics"
)

// MetricsNamespace begins the name of every metric of a node.
const MetricsNamespace = metrics.Namespace

// Metrics returns what there is to tell Prometheus: what the node has counted since it was
// opened, and how it is doing when that is gathered, which ctx ends. Gathering reads no
// index but once in a while (see census), and is safe until after Close: what a closed
// node cannot tell is left out.
func (n *Node) Metrics(ctx context.Context) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*metrics.Family, error) {
		samples := prometheus.NewRegistry()
		if err := samples.Register(n.sampler(ctx)); err != nil {
			return nil, err
		}
		return prometheus.Gatherers{n.metrics, samples}.Gather()
	})
}

// sample is a metric that is read when somebody asks.
type sample struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(tell func(value float64, labels ...string)) error
}

func gauge(name, help string, read func(tell func(float64, ...string)) error, labels ...string) sample {
	return sample{prometheus.NewDesc(prometheus.BuildFQName(metrics.Namespace, "", name), help, labels, nil), prometheus.GaugeValue, read}
}

func counter(name, help string, read func(tell func(float64, ...string)) error, labels ...string) sample {
	s := gauge(name, help, read, labels...)
	s.kind = prometheus.CounterValue
	return s
}

// number reads a metric without labels.
func number[T int | int64 | uint64](read func() T) func(func(float64, ...string)) error {
	return func(tell func(float64, ...string)) error {
		tell(float64(read()))
		return nil
	}
}

// sampler is a prometheus.Collector of samples.
type sampler []sample

// Describe sends what there can be.
func (s sampler) Describe(to chan<- *prometheus.Desc) {
	for _, m := range s {
		to <- m.desc
	}
}

// Collect reads all.
func (s sampler) Collect(to chan<- prometheus.Metric) {
	for _, m := range s {
		err := m.read(func(v float64, labels ...string) { to <- prometheus.MustNewConstMetric(m.desc, m.kind, v, labels...) })
		if err != nil && !errors.Is(err, blockstore.ErrClosed) {
			to <- prometheus.NewInvalidMetric(m.desc, err)
		}
	}
}

func (n *Node) sampler(ctx context.Context) sampler {
	n.mu.Lock()
	h, started := n.host, n.started
	n.mu.Unlock()
	list := append(n.sampleStore(ctx), n.sampleIndex(ctx)...)
	list = append(list, n.sampleWork()...)
	list = append(list, n.samplePeers(h)...)
	if h != nil {
		list = append(list, n.sampleHost(h, started)...)
	}
	return list
}

// sampleStore reads what the store tells.
func (n *Node) sampleStore(ctx context.Context) []sample {
	counts := n.store.Counts()
	return []sample{
		gauge("entries", "Timelines and pinned constants of the default share, and of all named shares together.", func(tell func(float64, ...string)) error {
			entries := map[bool]uint64{}
			for _, sh := range n.shares.all() {
				fp, err := sh.view.Fingerprint(ctx)
				if err != nil {
					return err
				}
				entries[sh == n.shares.def] += fp.Count()
			}
			tell(float64(entries[true]), "default")
			tell(float64(entries[false]), "named")
			return nil
		}, "share"),
		gauge("named_shares", "Shares beside the default one.", number(func() int { return len(n.shares.list()) })),
		counter("stored_ibgibs_total", "ibGibs that have come into the store, made here or elsewhere.", number(func() uint64 { return counts.IbGibs })),
		counter("stored_ibgib_bytes_total", "Bytes of the stored forms of the ibGibs that have come into the store.", number(func() uint64 { return counts.Bytes })),
		counter("heads_moved_total", "Timelines that got other heads, once for each commit, and constants that were pinned.", number(func() uint64 { return counts.Moved })),
		counter("merges_total", "Merges of branches of timelines that became their latest state.", number(func() uint64 { return counts.Merges })),
		counter("overridden_writes_total", "Writes that merges have put a later one in the place of.", number(func() uint64 { return counts.Overridden })),
		counter("skipped_changes_total", "Changes that merges left out, since they did not fit any more.", number(func() uint64 { return counts.Skipped })),
		counter("store_writes_total", "Transactions that the store has written, each of them durable.", func(tell func(float64, ...string)) error {
			e, err := n.store.Engine()
			if err != nil {
				return err
			}
			tell(float64(e.Writes))
			return nil
		}),
		gauge("store_bytes", "Disk space that the files of the store take, as of the last minute: tables, and large values beside them.", func(tell func(float64, ...string)) error {
			e, err := n.store.Engine()
			if err != nil {
				return err
			}
			tell(float64(e.Tables), "tables")
			tell(float64(e.Values), "values")
			return nil
		}, "part"),
		gauge("disk_free_bytes", "Free space of the disk that the store is on.", func(tell func(float64, ...string)) error {
			if free, _, known := n.store.DiskSpace(); known {
				tell(float64(free))
			}
			return nil
		}),
		gauge("disk_floor_bytes", "Free space below which nothing new is stored.", func(tell func(float64, ...string)) error {
			if _, floor, known := n.store.DiskSpace(); known {
				tell(float64(floor))
			}
			return nil
		}),
	}
}

// sampleWork reads what the node is doing.
func (n *Node) sampleWork() []sample {
	sent, received := n.wire.Throttle.Waits()
	list := []sample{
		gauge("sagas_running", "Syncs that are running.", number(n.sagas.count)),
		gauge("wants", "Heads that trusted peers have named and that have not come.", number(n.wants.count)),
		gauge("can_sign", "1 if the keystone of the node can sign, so that trusted peers take part in syncs with it; else 0.", number(func() int {
			if h, err := n.self.History(); err == nil {
				switch signs(n.self.Summary(), h.Status()) {
				case SignsReady, SignsSealed:
					return 1
				}
			}
			return 0
		})),
		gauge("event_subscribers", "Subscriptions to events.", number(n.events.count)),
		counter("rate_limit_waits_total", "Messages that had to wait for the limits of bandwidth.", func(tell func(float64, ...string)) error {
			tell(float64(sent.Count), metrics.Sent)
			tell(float64(received.Count), metrics.Received)
			return nil
		}, "direction"),
		counter("rate_limit_wait_seconds_total", "Time that messages have waited for the limits of bandwidth.", func(tell func(float64, ...string)) error {
			tell(sent.Time.Seconds(), metrics.Sent)
			tell(received.Time.Seconds(), metrics.Received)
			return nil
		}, "direction"),
	}
	shows := n.shows.Load()
	if shows == nil {
		return list
	}
	shown := shows.Counts()
	return append(list,
		counter("fetch_streams_total", "Streams on which others fetched from this node, and those that were refused since there were too many.", func(tell func(float64, ...string)) error {
			tell(float64(shown.Served), "served")
			tell(float64(shown.Refused), "refused")
			return nil
		}, "outcome"),
		counter("shown_ibgibs_total", "ibGibs that others have fetched from this node.", number(func() uint64 { return shown.IbGibs })),
		counter("shown_ibgib_bytes_total", "Bytes of the stored forms of the ibGibs that others have fetched from this node.", number(func() uint64 { return shown.Bytes })),
	)
}

// samplePeers reads who there is.
func (n *Node) samplePeers(h host.Host) []sample {
	trusted, pending := n.trust.counts()
	return []sample{
		gauge("trusted_peers", "Peers that this node trusts.", number(func() int { return trusted })),
		gauge("pending_strangers", "Peers that asked and are not trusted.", number(func() int { return pending })),
		gauge("connected_peers", "Peers that this node is connected to, directly or through a relay.", func(tell func(float64, ...string)) error {
			if h == nil {
				return nil
			}
			peers, own := h.Network().Peers(), 0
			for _, p := range peers {
				if n.trust.has(p) {
					own++
				}
			}
			tell(float64(own), "trusted")
			tell(float64(len(peers)-own), "other")
			return nil
		}, "trust"),
	}
}

// sampleHost reads how the host of a started node is doing.
func (n *Node) sampleHost(h host.Host, started time.Time) []sample {
	var used network.ScopeStat
	_ = h.Network().ResourceManager().ViewSystem(func(s network.ResourceScope) error { // it fails only if this does
		used = s.Stat()
		return nil
	})
	list := []sample{
		gauge("start_time_seconds", "When the node was started.", number(func() int64 { return started.Unix() })),
		gauge("libp2p_connections", "Connections, by who opened them.", func(tell func(float64, ...string)) error {
			tell(float64(used.NumConnsInbound), "inbound")
			tell(float64(used.NumConnsOutbound), "outbound")
			return nil
		}, "direction"),
		gauge("libp2p_connections_limit", "Connections above which none is taken; those of untrusted peers are closed above two thirds of it.", number(func() int { return n.limits.Connections + n.limits.Connections/2 })),
		gauge("libp2p_streams", "Streams, by who opened them.", func(tell func(float64, ...string)) error {
			tell(float64(used.NumStreamsInbound), "inbound")
			tell(float64(used.NumStreamsOutbound), "outbound")
			return nil
		}, "direction"),
		gauge("libp2p_memory_bytes", "Memory that libp2p has reserved for connections and streams.", number(func() int64 { return used.Memory })),
		gauge("libp2p_memory_limit_bytes", "Memory that libp2p may reserve for connections and streams.", number(func() int64 { return n.limits.Memory })),
	}
	if r := n.reachability(h); r != nil {
		list = append(list,
			gauge("reachability", "1 for what is known of whether others beyond the local network can connect to this node.", func(tell func(float64, ...string)) error {
				for _, reach := range []string{ReachPublic, ReachPrivate, ReachUnknown} {
					tell(oneIf(r.Reach == reach), reach)
				}
				return nil
			}, "reach"),
			gauge("relays", "Relays through which others reach this node.", number(func() int { return len(r.Relays) })))
	}
	if d := n.dhtStatus(); d != nil {
		list = append(list, sampleDHT(*d)...)
	}
	return list
}

func sampleDHT(d DHTStatus) []sample {
	return []sample{
		gauge("dht_mode", "1 for the part that this node takes in the DHT: a server answers others, a client only asks.", func(tell func(float64, ...string)) error {
			for _, mode := range []dht.Mode{dht.ModeServer, dht.ModeClient} {
				tell(oneIf(d.Mode == mode), string(mode))
			}
			return nil
		}, "mode"),
		gauge("dht_peers", "Peers in the routing table; 0 if the DHT has not been entered.", number(func() int { return d.Peers })),
		gauge("dht_announced_keys", "Keys that this node announces.", number(func() int { return d.Announced })),
		gauge("dht_records", "Records that this node keeps for others, the newest not counted.", number(func() int { return d.Records })),
		counter("dht_dropped_records_total", "Records of others that were dropped, since there was no room for them.", number(func() int { return d.Dropped })),
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
