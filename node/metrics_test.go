package node_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
)

// exposed returns what a node tells Prometheus, as text.
func exposed(t testing.TB, n *node.Node) []byte {
	t.Helper()
	families, err := n.Metrics(t.Context()).Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	encoder := expfmt.NewEncoder(&text, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if err := encoder.Encode(f); err != nil {
			t.Fatal(err)
		}
	}
	return text.Bytes()
}

// metricsOf parses what a node tells, without the prefix of its names:
// sagas_total{converged,initiator}, the values of the labels in the order of their names.
// Of a histogram it has the count.
func metricsOf(t testing.TB, n *node.Node) map[string]float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(exposed(t, n)))
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for name, f := range families {
		name, ours := strings.CutPrefix(name, node.MetricsNamespace+"_")
		for _, m := range f.GetMetric() {
			if !ours {
				continue
			}
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			key := name
			if labels != nil {
				key += "{" + strings.Join(labels, ",") + "}"
			}
			values[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

// expect waits until metrics of a node are as wanted: what the other side of a saga has
// done is counted a moment after it.
func expect(t *testing.T, name string, n *node.Node, want map[string]float64) {
	t.Helper()
	limit := time.After(time.Minute)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		got := metricsOf(t, n)
		wrong := maps.Clone(want)
		maps.DeleteFunc(wrong, func(key string, v float64) bool {
			value, there := got[key]
			return there && value == v
		})
		if len(wrong) == 0 {
			return
		}
		select {
		case <-look.C:
		case <-limit:
			for key, v := range wrong {
				value, there := got[key]
				t.Errorf("%s: %s is %v (there: %t), want %v", name, key, value, there, v)
			}
			return
		}
	}
}

// Two nodes sync and count the same things from both sides; a third one in the same process
// counts none of it.
func TestMetricsOfASync(t *testing.T) {
	want := readExpectation(t)
	a, b, c := startNode(t, overTCP), startNode(t, overTCP), startNode(t, overTCP)
	importBytes(t, a, readSpace(t, "a.ndjson").file)
	importBytes(t, b, readSpace(t, "b.ndjson").file)
	before := map[*node.Node]map[string]float64{a: metricsOf(t, a), b: metricsOf(t, b)}
	pair(t, a, b)
	res, err := a.Sync(t.Context(), addrOf(t, b), nil)
	if err != nil {
		t.Fatal(err)
	}
	overridden, skipped := 0, 0
	for _, tl := range res.Merged {
		d, err := a.Conflict(t.Context(), tl.Tjp)
		if err != nil {
			t.Fatal(err)
		}
		overridden += len(d.Overridden)
		skipped += len(d.Skipped)
	}
	if overridden == 0 || len(res.Merged) != len(want.Groups.Diverged) || res.Sent.IbGibs == res.Received.IbGibs {
		t.Fatalf("%d writes overridden, result %+v: the test shows less than it should", overridden, res)
	}
	merged := float64(len(res.Merged))
	sides := map[*node.Node]struct {
		name, role     string
		sent, received node.Traffic
		wire           node.Wire
	}{
		a: {"a", "initiator", res.Sent, res.Received, res.Wire},
		b: {"b", "responder", res.Received, res.Sent, node.Wire{Sent: res.Wire.Received, Received: res.Wire.Sent}},
	}
	for n, side := range sides {
		expect(t, side.name, n, map[string]float64{
			"sagas_total{converged," + side.role + "}": 1,
			"sagas_total{equal," + side.role + "}":     0,
			"saga_duration_seconds{" + side.role + "}": 1,
			"saga_ibgibs_total{sent}":                  float64(side.sent.IbGibs),
			"saga_ibgibs_total{received}":              float64(side.received.IbGibs),
			"saga_ibgib_bytes_total{sent}":             float64(side.sent.Bytes),
			"saga_ibgib_bytes_total{received}":         float64(side.received.Bytes),
			"saga_message_bytes_total{sent}":           float64(side.wire.Sent),
			"saga_message_bytes_total{received}":       float64(side.wire.Received),
			"stored_ibgibs_total":                      before[n]["stored_ibgibs_total"] + float64(side.received.IbGibs) + merged,
			"merges_total":                             merged,
			"overridden_writes_total":                  float64(overridden),
			"skipped_changes_total":                    float64(skipped),
			"entries{default}":                         float64(len(afterSync(want))),
			"entries{named}":                           0,
			"trusted_peers":                            1,
			"connected_peers{trusted}":                 1,
			"connected_peers{other}":                   0,
			"sagas_running":                            0,
			"wants":                                    0,
			"can_sign":                                 1,
			"libp2p_blocked_total{connection}":         0,
			"rate_limit_waits_total{sent}":             0,
		})
		after := metricsOf(t, n)
		if after["heads_moved_total"] <= before[n]["heads_moved_total"] {
			t.Errorf("%s: heads moved %v, before the sync %v", side.name, after["heads_moved_total"], before[n]["heads_moved_total"])
		}
		if got := after["libp2p_bytes_total{sent,sync}"]; got < float64(side.wire.Sent) {
			t.Errorf("%s: %v bytes left in streams, %d in messages of the saga", side.name, got, side.wire.Sent)
		}
		if after["disk_free_bytes"] <= after["disk_floor_bytes"] || after["libp2p_connections{inbound}"]+after["libp2p_connections{outbound}"] != 1 {
			t.Errorf("%s: metrics %v", side.name, after)
		}
	}
	if _, err := b.Sync(t.Context(), addrOf(t, a), nil); err != nil {
		t.Fatal(err)
	}
	expect(t, "a", a, map[string]float64{"sagas_total{equal,responder}": 1, "sagas_total{converged,initiator}": 1, "saga_duration_seconds{responder}": 1})
	expect(t, "b", b, map[string]float64{"sagas_total{equal,initiator}": 1, "sagas_total{converged,responder}": 1})
	for name, v := range metricsOf(t, c) {
		if plain, _, _ := strings.Cut(name, "{"); strings.HasSuffix(plain, "_total") && plain != "store_writes_total" && v != 0 {
			t.Errorf("the node that did nothing has counted %s %v", name, v)
		}
	}
}

// What goes wrong is counted too.
func TestMetricsOfFailures(t *testing.T) {
	a, b := startNode(t, overTCP), startNode(t, overTCP)
	if _, err := a.Trust(t.Context(), b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	_, err := a.Sync(t.Context(), addrOf(t, b), nil)
	if e, ok := errors.AsType[*saga.Error](err); !ok || e.Code != saga.CodeUntrusted {
		t.Fatalf("sync with a node that does not trust this one: %v", err)
	}
	expect(t, "a", a, map[string]float64{"sagas_total{untrusted,initiator}": 1, "saga_ibgibs_total{sent}": 0})
	expect(t, "b", b, map[string]float64{"pending_strangers": 1, "connected_peers{other}": 1, "trusted_peers": 0})

	forged := []byte(`{"ib":"note","gib":"` + strings.Repeat("A", 64) + `","data":{"text":"x"},"rel8ns":{"ancestor":["note^gib"]}}` + "\n")
	if res := importBytes(t, a, forged); len(res.Refused) != 1 {
		t.Fatalf("imported %+v", res)
	}
	expect(t, "a", a, map[string]float64{"refused_ibgibs_total{gib-mismatch}": 1, "stored_ibgibs_total": 0})
}

// The exposition is what Prometheus wants it to be.
func TestMetricsAreWellFormed(t *testing.T) {
	n := startNode(t, overTCP)
	text := exposed(t, n)
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, node.MetricsNamespace) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, name := range []string{"go_goroutines", "ibgib_node_conflicts", "ibgib_node_sagas_total"} {
		if !bytes.Contains(text, []byte("\n# TYPE "+name+" ")) {
			t.Errorf("%s is missing", name)
		}
	}
}

// What the README names is there.
func TestMetricsOfTheReadme(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Prometheus\n")
	section, _, _ = strings.Cut(section, "\n## ")
	n, err := node.Open(node.Config{Data: t.TempDir(), Listen: []string{overTCP}, Reach: node.Reach{Role: node.RoleBootstrap}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool)
	for key := range metricsOf(t, n) {
		name, _, _ := strings.Cut(key, "{")
		there[name] = true
	}
	named := 0
	for _, m := range regexp.MustCompile("ibgib_node_([a-z][a-z0-9_]*)|`([a-z0-9]+_[a-z0-9_]+|conflicts|wants|timelines)(?:{[a-z,]+})?`").FindAllStringSubmatch(section, -1) {
		name := m[1] + m[2]
		if name == "credentials_file" || name == "ibgib_node_" {
			continue
		}
		if named++; !there[name] {
			t.Errorf("the README names %s, which no node tells", name)
		}
	}
	if named < 30 {
		t.Errorf("found %d names in the README, so this test looks in the wrong place", named)
	}
}

// A scrape does not stand in the way of Close, nor fail after it.
func TestMetricsWhileANodeCloses(t *testing.T) {
	n, err := node.Open(node.Config{Data: t.TempDir(), Listen: []string{overTCP}, Reach: node.Reach{Role: node.RoleBootstrap}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := metricsOf(t, n); got["dht_mode{server}"]+got["dht_mode{client}"] != 1 || got["reachability{public}"]+got["reachability{private}"]+got["reachability{unknown}"] != 1 {
		t.Errorf("metrics %v", got)
	}
	stop := make(chan struct{})
	var scrapers sync.WaitGroup
	for range 4 {
		scrapers.Go(func() {
			for {
				if _, err := n.Metrics(t.Context()).Gather(); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	close(stop)
	scrapers.Wait()
	keys := slices.Collect(maps.Keys(metricsOf(t, n)))
	if slices.Contains(keys, "entries{default}") || !slices.Contains(keys, "sagas_total{converged,initiator}") {
		t.Errorf("a closed node tells %q", keys)
	}
}
