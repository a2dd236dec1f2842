package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// asker asks a node and holds each answer against the document.
type asker struct {
	t    *testing.T
	doc  *document
	n    *node.Node
	http http.Client
	seen map[string]bool // endpoints that have answered well
}

// newAsker starts a node that listens on loopback only.
func newAsker(t *testing.T, c node.Config) *asker {
	t.Helper()
	c.Data, c.Listen = t.TempDir(), []string{"/ip4/127.0.0.1/tcp/0"}
	n, err := node.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &asker{t: t, doc: readDocument(t), n: n, http: http.Client{Transport: inProcess{Handler(n, Options{Version: "v-test"})}}, seen: make(map[string]bool)}
}

// quiet is a node that syncs only when it is told to.
var quiet = node.Config{Live: node.Live{Off: true}}

// ask sends a request and returns the answer, or the last line of it, as JSON values.
// query is name, value, name, value...
func (a *asker) ask(endpoint, body string, want int, query ...string) any {
	a.t.Helper()
	q := make(url.Values)
	for i := 0; i < len(query); i += 2 {
		q.Add(query[i], query[i+1])
	}
	method, path, _ := strings.Cut(endpoint, " ")
	request, err := http.NewRequestWithContext(a.t.Context(), method, "http://node"+prefix+path+"?"+q.Encode(), strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	answer, err := a.http.Do(request)
	if err != nil {
		a.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if answer.StatusCode != want {
		a.t.Errorf("%s: status %d, want %d: %s", endpoint, answer.StatusCode, want, text)
		return nil
	}
	mediaType, s := a.doc.answer(endpoint)
	if want != http.StatusOK {
		mediaType, s = "application/json", a.doc.at("components", "schemas", "Failure")
	}
	if got := answer.Header.Get("Content-Type"); got != mediaType {
		a.t.Errorf("%s: content type %q, want %q", endpoint, got, mediaType)
	}
	parts := [][]byte{text}
	if mediaType == "application/x-ndjson" {
		parts = bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	}
	var last any
	for _, part := range parts {
		last = a.hold(endpoint, s, part)
	}
	if want == http.StatusOK {
		a.seen[endpoint] = true
	}
	return last
}

// hold checks JSON text against a schema.
func (a *asker) hold(at string, s schema, text []byte) (v any) {
	a.t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		a.t.Errorf("%s: %v: %s", at, err, text)
		return nil
	}
	for _, wrong := range a.doc.check(at, s, v) {
		a.t.Error(wrong)
	}
	return v
}

// text returns a string in a JSON value, by the names of members.
func text(v any, names ...string) string {
	for _, name := range names {
		of, _ := v.(schema)
		v = of[name]
	}
	s, _ := v.(string)
	return s
}

func jsonOf(pairs ...string) string {
	m := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	b, _ := json.Marshal(m)
	return string(b)
}

// TestAnswersAreAsDescribed asks two connected nodes.
func TestAnswersAreAsDescribed(t *testing.T) {
	a, b := newAsker(t, node.Config{}), newAsker(t, node.Config{})
	ok := http.StatusOK
	for _, e := range []string{
		"GET /version", "GET /id", "GET /keystones", "GET /keystone", "GET /keystone/verify", "GET /keystone/frames", "GET /peers",
		"GET /trust/log", "GET /timelines/heads", "GET /ibgibs", "GET /stats", "GET /status", "GET /doctor", "GET /wants",
		"GET /provide", "GET /follow", "GET /shares", "GET /shares/timelines", "GET /shares/out", "GET /forget", "GET /sagas", "GET /conflicts",
	} {
		a.ask(e, "", ok) // where there is nothing yet
	}

	invite := a.ask("POST /invite", "{}", ok)
	b.ask("POST /invite/accept", jsonOf("invite", text(invite, "invite")), ok)
	peer := b.n.PeerID().String()
	a.ask("POST /ping", jsonOf("peerId", peer), ok)
	a.ask("POST /introductions", `{"peerId":"`+peer+`","introducer":true}`, ok)

	tjp := text(a.ask("POST /timelines/create", `{"options":{"ib":"note","data":{"text":"one"}}}`, ok), "addr")
	frame := text(a.ask("POST /timelines/mut8", `{"addr":"`+tjp+`","options":{"dataToAddOrPatch":{"text":"two"}}}`, ok), "addr")
	fork := text(a.ask("POST /timelines/fork", `{"addr":"`+frame+`","options":{"destIb":"other"}}`, ok), "tjp")
	stone := text(a.ask("POST /ibgibs/stone", `{"ib":"stone","parent":"stone","data":{"n":1}}`, ok), "addr")
	a.ask("POST /timelines/rel8", `{"addr":"`+tjp+`","options":{"rel8nsToAddByAddr":{"see":["`+stone+`"]}}}`, ok)
	a.ask("POST /sync", jsonOf("addr", b.n.Identity().Addrs[0]), ok)

	a.ask("GET /timelines/log", "", ok, "addr", tjp)
	a.ask("GET /timelines/log", "", ok, "addr", tjp, "graph", "")
	a.ask("GET /timelines/log", "", ok, "addr", tjp, "known", frame)
	a.ask("GET /timelines/frame", "", ok, "addr", tjp, "n", "1")
	a.ask("GET /timelines/latest", "", ok, "addr", tjp)
	got := a.ask("GET /ibgibs/get", "", ok, "addr", tjp)
	if text(got, "ib") != "note" {
		t.Errorf("got %v", got)
	}
	put, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	a.ask("POST /ibgibs/put", string(put), ok)
	me := text(a.ask("GET /keystone", "", ok), "genesis")
	a.ask("GET /keystone/expand", "", ok, "digits", strings.Split(me, "^")[1][:20])
	a.ask("GET /ibgibs/expand", "", ok, "digits", strings.ToLower(strings.Split(frame, "^")[1][:20]))
	a.ask("GET /ibgibs/diff", "", ok, "from", tjp, "to", frame)
	a.ask("GET /ibgibs/graph", "", ok, "addr", frame, "limit", "3")
	a.ask("GET /why", "", ok, "addr", tjp)
	a.ask("POST /keystone/sign", jsonOf("target", frame, "verb", "agree"), ok)
	a.ask("POST /follow", jsonOf("addr", fork), ok)
	a.ask("GET /follow", "", ok)
	a.ask("POST /unfollow", jsonOf("addr", fork), ok)

	a.ask("POST /export", `{"all":true}`, ok)
	a.ask("POST /import", `{"ib":"x","gib":"nothing"}`+"\n", ok)
	a.ask("POST /verify", "", ok)
	a.ask("POST /gc", `{"dryRun":true}`, ok)
	a.ask("POST /backup", "", ok)
	a.ask("POST /repair", "{}", ok)

	a.ask("POST /shares/create", `{"name":"family","members":["`+peer+`"]}`, ok)
	a.ask("POST /shares/set", jsonOf("share", "family", "strategy", "manual"), ok)
	a.ask("POST /shares/add", `{"share":"family","addr":"`+fork+`","include":true}`, ok)
	a.ask("GET /shares/timelines", "", ok, "share", "family")
	a.ask("POST /shares/members/remove", jsonOf("share", "family", "peerId", peer), ok)
	a.ask("POST /shares/members/add", jsonOf("share", "family", "peerId", peer), ok)
	b.ask("GET /shares", "", ok)
	a.ask("POST /shares/remove", jsonOf("share", "family", "addr", fork), ok)
	a.ask("POST /shares/delete", jsonOf("share", "family"), ok)
	a.ask("POST /forget", jsonOf("addr", fork), ok)
	a.ask("GET /forget", "", ok)
	a.ask("GET /shares/out", "", ok)
	a.ask("POST /remember", jsonOf("addr", fork), ok)

	for _, e := range []string{"GET /peers", "GET /trust/log", "GET /timelines/heads", "GET /ibgibs", "GET /stats", "GET /status", "GET /doctor", "GET /sagas", "GET /keystones"} {
		a.ask(e, "", ok)
		b.ask(e, "", ok)
	}
	sagas, err := a.n.Sagas(t.Context())
	if err != nil || len(sagas) == 0 {
		t.Fatalf("sagas %v, error %v", sagas, err)
	}
	a.ask("GET /sagas/show", "", ok, "id", sagas[len(sagas)-1].SagaID)
	a.ask("GET /sagas/verify", "", ok, "id", sagas[len(sagas)-1].SagaID)
	a.ask("POST /keystone/rotate", `{"reason":"new laptop"}`, ok)
	a.ask("POST /keystone/revoke", `{"reason":"lost"}`, ok)
	a.ask("POST /keystone/new", "{}", ok)
	a.ask("POST /untrust", jsonOf("peerId", peer), ok)
	a.ask("POST /trust", jsonOf("peerId", peer), ok)

	maps.Copy(a.seen, b.seen)
	for endpoint := range wire {
		if !a.seen[endpoint] && !slices.Contains(unasked, endpoint) {
			t.Errorf("%s was not asked", endpoint)
		}
	}
}

// unasked are endpoints that other tests ask, but for keystone/settle, which needs a
// keystone in dispute.
var unasked = []string{
	"GET /openapi.yaml", "GET /metrics", "GET /events",
	"GET /find", "POST /provide", "POST /unprovide", "POST /fetch",
	"GET /conflicts/show", "POST /conflicts/resolve", "POST /conflicts/pin", "POST /conflicts/unpin",
	"POST /keystone/settle", "POST /keystone/import",
}

// TestConflictsAreAsDescribed lets two nodes, which sync when they are told to, change the
// same timeline.
func TestConflictsAreAsDescribed(t *testing.T) {
	a, b := newAsker(t, quiet), newAsker(t, quiet)
	ok := http.StatusOK
	b.ask("POST /invite/accept", jsonOf("invite", text(a.ask("POST /invite", "{}", ok), "invite")), ok)
	tjp := text(a.ask("POST /timelines/create", `{"options":{"ib":"note","data":{"text":"one"}}}`, ok), "addr")
	sync := jsonOf("addr", b.n.Identity().Addrs[0], "strategy", "manual")
	a.ask("POST /sync", sync, ok)
	for i, x := range []*asker{a, b} {
		x.ask("POST /timelines/mut8", `{"addr":"`+tjp+`","options":{"dataToAddOrPatch":{"text":"by `+string(rune('a'+i))+`"}}}`, ok)
	}
	result := a.ask("POST /sync", sync, ok)
	if list, _ := result.(schema)["result"].(schema)["conflicts"].([]any); len(list) != 1 {
		t.Fatalf("synced %v, want a conflict", result)
	}
	a.ask("GET /conflicts", "", ok)
	shown := a.ask("GET /conflicts/show", "", ok, "addr", tjp)
	head := text(shown.(schema)["branches"].([]any)[0], "head")
	if pinned := a.ask("POST /conflicts/pin", jsonOf("addr", tjp, "head", head), ok); text(pinned, "latest") != head {
		t.Errorf("pinned %v, want %s", pinned, head)
	}
	a.ask("POST /conflicts/unpin", jsonOf("addr", tjp), ok)
	a.ask("POST /conflicts/resolve", jsonOf("addr", tjp, "keep", head), ok)
	if left := a.ask("GET /conflicts", "", ok); left.(schema)["result"].(schema)["count"] != 0.0 {
		t.Errorf("conflicts that are left: %v", left)
	}
}

// TestFetchIsAsDescribed fetches from a bootstrap node what it has made public, and finds it
// in the DHT.
func TestFetchIsAsDescribed(t *testing.T) {
	b := newAsker(t, node.Config{Reach: node.Reach{Role: node.RoleBootstrap}})
	a := newAsker(t, node.Config{Reach: node.Reach{Bootstrap: b.n.Identity().Addrs}})
	ok := http.StatusOK
	tjp := text(b.ask("POST /timelines/create", `{"options":{"ib":"note"}}`, ok), "addr")
	b.ask("POST /provide", jsonOf("addr", tjp), ok)
	b.ask("GET /provide", "", ok)
	fetched := a.ask("POST /fetch", `{"addr":"`+tjp+`","from":["`+b.n.Identity().Addrs[0]+`"]}`, ok)
	if n, _ := fetched.(schema)["result"].(schema)["ibGibs"].(float64); n == 0 {
		t.Errorf("fetched %v", fetched)
	}
	addr, err := ibgib.ParseAddr(tjp)
	if err != nil {
		t.Fatal(err)
	}
	limit := time.After(time.Minute)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for found, err := a.n.Find(t.Context(), addr); len(found) == 0; found, err = a.n.Find(t.Context(), addr) {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("nobody found within a minute: %v", err)
		}
	}
	a.ask("GET /find", "", ok, "addr", tjp)
	b.ask("POST /unprovide", jsonOf("addr", tjp), ok)
}

// TestImportOfAKeystoneIsAsDescribed imports the keystone of another node.
func TestImportOfAKeystoneIsAsDescribed(t *testing.T) {
	a, b := newAsker(t, quiet), newAsker(t, quiet)
	var file []byte
	for g, err := range b.n.KeystoneFrames(t.Context(), ibgib.Addr{}) {
		if err != nil {
			t.Fatal(err)
		}
		file = append(g.AppendJSON(file), '\n')
	}
	if got := a.ask("POST /keystone/import", string(file), http.StatusOK); text(got, "result", "genesis") == "" {
		t.Errorf("imported %v", got)
	}
}

// TestFailuresAreAsDescribed makes requests fail in several ways.
func TestFailuresAreAsDescribed(t *testing.T) {
	a := newAsker(t, node.Config{})
	nowhere := "nothing^" + strings.Repeat("A", 64)
	for _, c := range []struct {
		endpoint, body string
		status         int
		code           Code
		query          []string
	}{
		{"GET /ibgibs/get", "", 400, CodeBadRequest, []string{"addr", "no address"}},
		{"GET /ibgibs/get", "", 404, CodeNotFound, []string{"addr", nowhere}},
		{"GET /timelines/log", "", 400, CodeBadRequest, []string{"addr", nowhere, "limit", "-1"}},
		{"GET /timelines/log", "", 404, CodeNotFound, []string{"addr", nowhere}},
		{"GET /timelines/latest", "", 404, CodeNotFound, []string{"addr", nowhere}},
		{"GET /ibgibs/expand", "", 400, CodeBadRequest, []string{"digits", "x"}},
		{"GET /keystone/expand", "", 404, CodeNotFound, []string{"digits", strings.Repeat("A", 20)}},
		{"GET /ibgibs/expand", "", 404, CodeNotFound, []string{"digits", strings.Repeat("A", 20)}},
		{"GET /sagas/show", "", 404, CodeNotFound, []string{"id", "nothing"}},
		{"GET /find", "", 501, CodeUnsupported, []string{"addr", nowhere}},
		{"POST /trust", `{"peerId":"nobody"}`, 400, CodeBadRequest, nil},
		{"POST /trust", `{"peer":"nobody"}`, 400, CodeBadRequest, nil},
		{"POST /gc", `{"dryRun":true} {}`, 400, CodeBadRequest, nil},
		{"POST /trust", ``, 400, CodeBadRequest, nil},
		{"POST /trust", `"` + strings.Repeat("x", maxBody) + `"`, 413, CodeTooLarge, nil},
		{"POST /timelines/mut8", `{"addr":"` + nowhere + `","options":{}}`, 404, CodeNotFound, nil},
		{"POST /timelines/mut8", `{"addr":1,"options":{}}`, 400, CodeBadRequest, nil},
		{"POST /timelines/create", `{"options":{"ib":"bad^ib"}}`, 422, CodeRefused, nil},
		{"POST /ibgibs/put", `{"ib":"x","gib":"` + strings.Repeat("A", 64) + `"}`, 422, CodeRefused, nil},
		{"POST /ibgibs/stone", `[]`, 400, CodeBadRequest, nil},
		{"POST /conflicts/resolve", `{}`, 400, CodeBadRequest, nil},
		{"POST /sync", `{"addr":"/ip4/127.0.0.1/tcp/1/p2p/` + a.n.PeerID().String() + `"}`, 400, CodeBadRequest, nil},
		{"POST /shares/delete", `{"share":"none"}`, 404, CodeNotFound, nil},
		{"GET /shares/timelines", "", 404, CodeNotFound, []string{"share", "none"}},
		{"GET /shares/out", "", 404, CodeNotFound, []string{"share", "none"}},
		{"GET /events", "", 400, CodeBadRequest, []string{"kinds", "none"}},
	} {
		v := a.ask(c.endpoint, c.body, c.status, c.query...)
		if code := text(v, "error", "code"); code != string(c.code) {
			t.Errorf("%s %s: error %q, want %q", c.endpoint, c.body[:min(len(c.body), 80)], code, c.code)
		}
	}
	// What fails after a stream has begun says so in its last line.
	v := a.ask("POST /keystone/import", "no frame", http.StatusOK)
	if text(v, "error", "code") == "" {
		t.Errorf("the import ended with %v, want an error", v)
	}
}

// TestEventsAreAsDescribed reads the events of a change.
func TestEventsAreAsDescribed(t *testing.T) {
	a := newAsker(t, node.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+prefix+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := a.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	mediaType, s := a.doc.answer("GET /events")
	if got := answer.Header.Get("Content-Type"); got != mediaType {
		t.Errorf("content type %q, want %q", got, mediaType)
	}
	in := bufio.NewReader(answer.Body)
	for _, kind := range []string{"ready", "heads"} {
		name, data, err := nextMessage(in, func() {})
		if err != nil {
			t.Fatal(err)
		}
		if v := a.hold("event", s, data); name != kind || text(v, "kind") != kind {
			t.Errorf("event %s %v, want %s", name, v, kind)
		}
		if kind == "ready" {
			a.ask("POST /timelines/create", `{"options":{"ib":"note"}}`, http.StatusOK)
		}
	}
}

func TestDocumentIsServed(t *testing.T) {
	a := newAsker(t, node.Config{})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://node"+prefix+"/openapi.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := a.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil || !bytes.Equal(got, openAPI) || answer.Header.Get("Content-Type") != "application/yaml" {
		t.Errorf("%d bytes of %q, error %v; want the document", len(got), answer.Header.Get("Content-Type"), err)
	}
}
