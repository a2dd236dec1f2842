package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

// scrape gets a path of an API on a loopback address, as Prometheus does.
func scrape(ctx context.Context, client *http.Client, url, token string) (status int, mediaType string, text []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", nil, err
	}
	request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, "", nil, err
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Header.Get("Content-Type"), text, err
}

func tokenOf(t *testing.T, n *node.Node) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.DataDir(), "api.token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// requests returns how many answers were counted with a class of status.
func requests(t *testing.T, text []byte, class string) float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families["ibgib_node_api_requests_total"].GetMetric() {
		if m.GetLabel()[0].GetValue() == class {
			return m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no answers of the class %s are counted", class)
	return 0
}

// Metrics are served at two paths to who has the token, in the text format, with nothing in
// it that a linter finds.
func TestMetrics(t *testing.T) {
	n := openNode(t, t.TempDir())
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := serve(t, n, api.Options{Addr: "127.0.0.1:0", Version: "v-test"})
	var client http.Client
	defer client.CloseIdleConnections()
	at := func(path, token string, want int) []byte {
		t.Helper()
		status, mediaType, text, err := scrape(t.Context(), &client, "http://"+s.Addr()+path, token)
		if err != nil || status != want {
			t.Fatalf("%s: status %d, error %v, want %d", path, status, err, want)
		}
		if is := strings.HasPrefix(mediaType, "text/plain; version=0.0.4"); is != (want == http.StatusOK) {
			t.Errorf("%s: content type %q of an answer with status %d", path, mediaType, want)
		}
		return text
	}
	token := tokenOf(t, n)
	for i, path := range []string{"/metrics", "/api/v1/metrics"} {
		for _, wrong := range []string{"", "wrong", token + "0"} {
			if text := at(path, wrong, http.StatusUnauthorized); bytes.Contains(text, []byte("ibgib_node")) {
				t.Errorf("%s without the token: %s", path, text)
			}
		}
		text := at(path, token, http.StatusOK)
		if got := requests(t, text, "4xx"); got != float64(3*(i+1)) {
			t.Errorf("%s: %v requests of the class 4xx", path, got)
		}
		if got := requests(t, text, "2xx"); got != float64(i) {
			t.Errorf("%s: %v requests of the class 2xx", path, got)
		}
		for _, want := range []string{`ibgib_node_build_info{goversion="go`, `version="v-test"} 1`, "ibgib_node_entries{", "go_goroutines ", "ibgib_node_dht_mode"} {
			if has := bytes.Contains(text, []byte(want)); has != (want != "ibgib_node_dht_mode") {
				t.Errorf("%s: %q is in it: %t", path, want, has)
			}
		}
		for _, secret := range []string{token, n.PeerID().String(), n.DataDir()} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s tells %q", path, secret)
			}
		}
		problems, err := promlint.New(bytes.NewReader(text)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, node.MetricsNamespace) {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Addr()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", answer.StatusCode)
	}
}

// Scrapes that go on while the server and the node close end, and nothing breaks.
func TestMetricsWhileTheServerCloses(t *testing.T) {
	n := openNode(t, shortDir(t))
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := api.Serve(n, api.Options{Version: "v-test"})
	if err != nil {
		t.Fatal(err)
	}
	path, _ := strings.CutPrefix(s.Addr(), "unix:")
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	token := tokenOf(t, n)
	var scrapers sync.WaitGroup
	begun := make(chan error, 4)
	for range cap(begun) {
		scrapers.Go(func() {
			for i := 0; ; i++ {
				status, _, _, err := scrape(t.Context(), &client, "http://node/metrics", token)
				if i == 0 {
					begun <- err
				}
				if err != nil {
					return // the server is gone
				}
				if status != http.StatusOK {
					t.Error(fmt.Errorf("status %d", status))
					return
				}
			}
		})
	}
	for range cap(begun) {
		if err := <-begun; err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	scrapers.Wait()
}
