package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"github.com/ibgib/ibgib-node/saga"
)

// Namespace begins the name of every metric of a node.
const Namespace = "ibgib_node"

// Values of the label direction.
const (
	Sent     = "sent"
	Received = "received"
)

// Family is all that there is of one metric.
type Family = dto.MetricFamily

var _ prometheus.Gatherer = (*Set)(nil)

// Set is what one node counts. Its methods are safe for concurrent use.
type Set struct {
	registry *prometheus.Registry
	process  sync.Once // what is known of the process is in registry

	sagas     [2]map[string]prometheus.Counter // by role and outcome
	durations [2]prometheus.Observer
	ibGibs    both
	bytes     both
	wire      both

	notices both

	fetches       map[string]prometheus.Counter
	fetchedIbGibs prometheus.Counter
	fetchedBytes  prometheus.Counter

	refusals   rules
	rejections rules

	missed  prometheus.Counter
	blocked map[string]prometheus.Counter
	traffic map[string]both
}

// both are the counters of both directions.
type both struct{ sent, received prometheus.Counter }

func bothOf(v *prometheus.CounterVec, labels ...string) both {
	return both{v.WithLabelValues(append(labels, Sent)...), v.WithLabelValues(append(labels, Received)...)}
}

// New returns counters that are 0, in a new registry.
func New() *Set {
	s := &Set{registry: prometheus.NewRegistry()}
	s.countSagas()
	s.countFetches()
	s.notices = bothOf(s.vec("notices_total", "Notices of changed heads, by which peers tell each other what there is to sync.", "direction"))
	s.refusals = rulesOf(s.vec("refused_ibgibs_total", "ibGibs that came in a sync, a fetch or an import and were refused for good, by the rule that they break.", "rule"), refusing)
	s.rejections = rulesOf(s.vec("rejected_frames_total", "Frames that were stored and kept out of their timelines, by rule; one that is decided about again counts again.", "rule"), rejecting)
	s.missed = s.vec("events_missed_total", "Events that subscribers did not get, since they took them too slowly.").WithLabelValues()
	s.blocked, s.traffic = make(map[string]prometheus.Counter), make(map[string]both)
	blocked := s.vec("libp2p_blocked_total", "What the resource manager of libp2p did not allow, since a limit was reached.", "resource")
	for _, resource := range resources {
		s.blocked[resource] = blocked.WithLabelValues(resource)
	}
	traffic := s.vec("libp2p_bytes_total", "Bytes of streams, before encryption, by what they are for.", "protocol", "direction")
	for _, name := range protocols {
		s.traffic[name] = bothOf(traffic, name)
	}
	return s
}

func (s *Set) vec(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: Namespace, Name: name, Help: help}, labels)
	s.registry.MustRegister(v)
	return v
}

func (s *Set) countSagas() {
	ended := s.vec("sagas_total", "Syncs with one peer about one share that have ended, by the role of this node and by how; an attempt that the other side was too busy for is one too.", "role", "outcome")
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: Namespace, Name: "saga_duration_seconds", Help: "How long syncs took that got as far as exchanging messages.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
	}, []string{"role"})
	s.registry.MustRegister(took)
	for i, role := range []saga.Role{saga.Initiator, saga.Responder} {
		s.sagas[i] = make(map[string]prometheus.Counter)
		for _, outcome := range outcomes() {
			s.sagas[i][outcome] = ended.WithLabelValues(role.String(), outcome)
		}
		s.durations[i] = took.WithLabelValues(role.String())
	}
	s.ibGibs = bothOf(s.vec("saga_ibgibs_total", "ibGibs that syncs have moved.", "direction"))
	s.bytes = bothOf(s.vec("saga_ibgib_bytes_total", "Bytes of the stored forms of the ibGibs that syncs have moved.", "direction"))
	s.wire = bothOf(s.vec("saga_message_bytes_total", "Bytes of all messages of syncs, counted when each has ended.", "direction"))
}

// Gather returns what has been counted, with what the Go runtime and the system tell of the
// process.
func (s *Set) Gather() ([]*Family, error) {
	s.process.Do(func() {
		s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	})
	return s.registry.Gather()
}

func index(role saga.Role) int {
	if role == saga.Initiator {
		return 0
	}
	return 1
}

// SagaEnded counts a saga that has ended, or could not begin.
func (s *Set) SagaEnded(role saga.Role, r saga.Result, err error) {
	s.sagas[index(role)][outcomeOf(r, err)].Inc()
}

// SagaTook notes how long a saga took that has run.
func (s *Set) SagaTook(role saga.Role, d time.Duration) {
	s.durations[index(role)].Observe(d.Seconds())
}

// Notice counts a notice.
func (s *Set) Notice(direction string) {
	if direction == Sent {
		s.notices.sent.Inc()
	} else {
		s.notices.received.Inc()
	}
}

// Refused counts an ibGib that was refused, Rejected a frame that was kept out.
func (s *Set) Refused(rule string)  { s.refusals.inc(rule) }
func (s *Set) Rejected(rule string) { s.rejections.inc(rule) }

// Missed counts an event that a subscriber did not get.
func (s *Set) Missed() { s.missed.Inc() }

// Wire counts the bytes of the messages of a saga.
func (s *Set) Wire(w saga.Wire) {
	s.wire.sent.Add(float64(w.Sent))
	s.wire.received.Add(float64(w.Received))
}

// Meter counts what one saga moves, as it does. It is for one goroutine.
type Meter struct {
	s              *Set
	sent, received saga.Totals // counted
}

// Meter returns that of a new saga.
func (s *Set) Meter() *Meter { return &Meter{s: s} }

// Moved tells what the saga has moved by now.
func (m *Meter) Moved(sent, received saga.Totals) {
	add(m.s.ibGibs.sent, sent.IbGibs, m.sent.IbGibs)
	add(m.s.bytes.sent, sent.Bytes, m.sent.Bytes)
	add(m.s.ibGibs.received, received.IbGibs, m.received.IbGibs)
	add(m.s.bytes.received, received.Bytes, m.received.Bytes)
	m.sent, m.received = sent, received
}

func add(c prometheus.Counter, now, before uint64) {
	if now > before {
		c.Add(float64(now - before))
	}
}
