package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func TestGuard(t *testing.T) {
	n := openNode(t, t.TempDir())
	s := serve(t, n, api.Options{Addr: "127.0.0.1:0"})
	token, err := os.ReadFile(filepath.Join(n.DataDir(), "api.token"))
	if err != nil {
		t.Fatal(err)
	}
	bearer := "Bearer " + strings.TrimSpace(string(token))
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, method, path string
		header             map[string]string
		status             int
		code               api.Code
	}{
		{"good", "GET", "/api/v1/id", map[string]string{"Authorization": bearer}, 200, ""},
		{"own origin", "GET", "/api/v1/id", map[string]string{"Authorization": bearer, "Origin": "http://" + s.Addr()}, 200, ""},
		{"health needs no token", "GET", "/healthz", nil, 200, ""},
		{"no token", "GET", "/api/v1/id", nil, 401, api.CodeUnauthorized},
		{"wrong token", "GET", "/api/v1/id", map[string]string{"Authorization": "Bearer " + strings.Repeat("0", 64)}, 401, api.CodeUnauthorized},
		{"token without scheme", "GET", "/api/v1/id", map[string]string{"Authorization": strings.TrimPrefix(bearer, "Bearer ")}, 401, api.CodeUnauthorized},
		{"other host", "GET", "/api/v1/id", map[string]string{"Authorization": bearer, "Host": "localhost:" + port}, 403, api.CodeForbidden},
		{"rebound host", "GET", "/healthz", map[string]string{"Host": "evil.example:" + port}, 403, api.CodeForbidden},
		{"other origin", "GET", "/api/v1/id", map[string]string{"Authorization": bearer, "Origin": "http://evil.example"}, 403, api.CodeForbidden},
		{"null origin", "POST", "/api/v1/verify", map[string]string{"Authorization": bearer, "Origin": "null"}, 403, api.CodeForbidden},
		{"no endpoint", "GET", "/api/v1/nothing", map[string]string{"Authorization": bearer}, 404, api.CodeNoEndpoint},
		{"no endpoint below one", "GET", "/api/v1/id/nothing", map[string]string{"Authorization": bearer}, 404, api.CodeNoEndpoint},
		{"no prefix", "POST", "/id", map[string]string{"Authorization": bearer}, 404, api.CodeNoEndpoint},
		{"no endpoint and no token", "GET", "/api/v1/nothing", nil, 401, api.CodeUnauthorized},
		{"other method", "POST", "/api/v1/id", map[string]string{"Authorization": bearer, "allow": "GET, HEAD"}, 405, api.CodeWrongMethod},
		{"other method of a change", "GET", "/api/v1/gc", map[string]string{"Authorization": bearer, "allow": "POST"}, 405, api.CodeWrongMethod},
		{"other method of two", "DELETE", "/api/v1/follow", map[string]string{"Authorization": bearer, "allow": "GET, HEAD, POST"}, 405, api.CodeWrongMethod},
		{"other method of health", "POST", "/healthz", map[string]string{"allow": "GET, HEAD"}, 405, api.CodeWrongMethod},
		{"bad body", "POST", "/api/v1/trust", map[string]string{"Authorization": bearer, "body": `{"peer":"x"}`}, 400, api.CodeBadRequest},
		{"body too large", "POST", "/api/v1/timelines/mut8", map[string]string{"Authorization": bearer, "body": strings.Repeat(" ", 17<<20)}, 413, api.CodeTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			header := maps.Clone(tc.header)
			q, err := http.NewRequestWithContext(t.Context(), tc.method, "http://"+s.Addr()+tc.path, strings.NewReader(header["body"]))
			if err != nil {
				t.Fatal(err)
			}
			allow := header["allow"]
			delete(header, "body")
			delete(header, "allow")
			for name, value := range header {
				if name == "Host" {
					q.Host = value
				} else {
					q.Header.Set(name, value)
				}
			}
			answer, err := http.DefaultClient.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			var in struct{ Error *api.Error }
			if err := json.NewDecoder(answer.Body).Decode(&in); err != nil {
				t.Fatal(err)
			}
			code := api.Code("")
			if in.Error != nil {
				code = in.Error.Code
			}
			if answer.StatusCode != tc.status || code != tc.code {
				t.Errorf("status %d, code %q, want %d, %q", answer.StatusCode, code, tc.status, tc.code)
			}
			if got := answer.Header.Get("Allow"); got != allow {
				t.Errorf("allowed are %q, want %q", got, allow)
			}
		})
	}
}

// Whatever follows after the object of a body is named as that, be it JSON or not.
func TestBodyHasOneObject(t *testing.T) {
	handler := api.Handler(openNode(t, t.TempDir()), api.Options{})
	for _, rest := range []string{"{}", "garbage", "]", "1"} {
		q := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/untrust", strings.NewReader(`{"peerId":"x"} `+rest))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, q)
		if got := w.Body.String(); w.Code != 400 || !strings.Contains(got, "something follows after the JSON object") {
			t.Errorf("%s: %d %s", rest, w.Code, got)
		}
	}
}

// What is wrong with a body is said in terms of JSON.
func TestBodyThatCannotBeRead(t *testing.T) {
	handler := api.Handler(openNode(t, t.TempDir()), api.Options{})
	for body, want := range map[string]string{
		"":                   "body: it is empty",
		`{"merge":"yes"}`:    `body: the member \"merge\" is a JSON string, which it cannot be`,
		`[]`:                 "body: it is a JSON array, which it cannot be",
		`{"merge":true,}`:    "body: invalid character",
		`{"nothing":"such"}`: "nothing",
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/conflicts/resolve", strings.NewReader(body)))
		if got := w.Body.String(); w.Code != 400 || !strings.Contains(got, want) || strings.Contains(got, "Go ") {
			t.Errorf("%s: %d %s", body, w.Code, got)
		}
	}
}

func TestOnlyLoopback(t *testing.T) {
	n := openNode(t, t.TempDir())
	for _, addr := range []string{
		"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:80", "example.org:80", "localhost:0", "127.0.0.1", "unix:" + strings.Repeat("x", 200),
	} {
		if s, err := api.Serve(n, api.Options{Addr: addr}); !errors.Is(err, node.ErrInput) {
			t.Errorf("%s: error %v", addr, err)
			if err == nil {
				closeServer(t, s)
			}
		}
	}
}

func TestSocket(t *testing.T) {
	n := openNode(t, shortDir(t))
	s := serve(t, n, api.Options{})
	path, ok := strings.CutPrefix(s.Addr(), "unix:")
	if !ok || filepath.Dir(path) != n.DataDir() {
		t.Errorf("listens at %s", s.Addr())
	}
	for _, file := range []string{path, filepath.Join(n.DataDir(), "api.token"), filepath.Join(n.DataDir(), "api.addr"), filepath.Join(n.DataDir(), "peer.key")} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
	}
	// A data directory whose path is too long for a socket falls back to loopback.
	long := openNode(t, filepath.Join(t.TempDir(), strings.Repeat("long", 30)))
	s = serve(t, long, api.Options{})
	if !strings.HasPrefix(s.Addr(), "127.0.0.1:") {
		t.Errorf("listens at %s", s.Addr())
	}
	if _, err := dial(t, long).ID(t.Context()); err != nil {
		t.Error(err)
	}
}

// A socket that a killed node left behind is replaced.
func TestServeAfterKill(t *testing.T) {
	n := openNode(t, shortDir(t))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(n.DataDir(), "api.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	serve(t, n, api.Options{})
	if _, err := dial(t, n).ID(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	runtime.GC()
	before := runtime.NumGoroutine()
	n, err := node.Open(node.Config{Data: shortDir(t), Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := api.Serve(n, api.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := api.Dial(t.Context(), n.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	// An import that is under way is cut.
	stuck, write := io.Pipe()
	ended := make(chan error)
	go func() {
		_, err := c.Import(t.Context(), stuck, nil)
		ended <- err
	}()
	if _, err := io.WriteString(write, "first line\n"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the import succeeded")
	}
	write.Close()
	c.Close()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	waitForGoroutines(t, before)
}

// waitForGoroutines fails if there are more goroutines than before even after
// those of libraries that only need to be scheduled have ended.
func waitForGoroutines(t *testing.T, before int) {
	t.Helper()
	limit := time.After(time.Minute)
	for runtime.NumGoroutine() > before {
		select {
		case <-limit:
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		default:
			runtime.Gosched()
		}
	}
}
