package api

import (
	"bytes"
	"net/http"
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/ibgib/ibgib-node/node"
)

// counters are what the API itself tells Prometheus.
type counters struct {
	registry *prometheus.Registry
	requests [6]prometheus.Counter // by the first digit of the status
}

func newCounters(version string) *counters {
	c := &counters{registry: prometheus.NewRegistry()}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: node.MetricsNamespace, Name: "build_info", Help: "1; the labels say which program runs.",
	}, []string{"version", "goversion"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: node.MetricsNamespace, Name: "api_requests_total", Help: "Requests to the control API that have been answered, by the class of the status; a stream may have failed after its status.",
	}, []string{"code"})
	for class := 1; class < len(c.requests); class++ {
		c.requests[class] = requests.WithLabelValues(strconv.Itoa(class) + "xx")
	}
	c.registry.MustRegister(build, requests)
	return c
}

// count counts the answers of h.
func (c *counters) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		noted := &statusNoter{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(noted, q)
		if class := noted.status / 100; class > 0 && class < len(c.requests) {
			c.requests[class].Inc()
		}
	})
}

// statusNoter remembers the status of an answer.
type statusNoter struct {
	http.ResponseWriter
	status int
}

func (w *statusNoter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusNoter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// metricsType is the text format that every version of Prometheus reads.
var metricsType = expfmt.NewFormat(expfmt.TypeTextPlain)

// getMetrics answers a Prometheus server.
func (h *handler) getMetrics(r *reply, q *http.Request) {
	families, err := prometheus.Gatherers{h.n.Metrics(q.Context()), h.counters.registry}.Gather()
	if err != nil {
		r.fail(err)
		return
	}
	var text bytes.Buffer
	encoder := expfmt.NewEncoder(&text, metricsType)
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			r.fail(err)
			return
		}
	}
	r.text(string(metricsType), text.Bytes())
}
