package api_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
	"github.com/ibgib/ibgib-node/saga"
)

func TestClient(t *testing.T) {
	for name, c := range clients(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			v, err := c.Version(ctx)
			if err != nil || v.Version != "v-test" || v.API != "v1" || v.Protocol != "/ibgib/sync/1" {
				t.Errorf("version %+v, %v", v, err)
			}
			id, err := c.ID(ctx)
			if err != nil || id.PeerID == "" || id.Addrs == nil {
				t.Errorf("id %+v, %v", id, err)
			}

			// A lone surrogate and the order of members inside an array survive.
			data, err := ibgib.ParseValue([]byte(`{"text":"<\ud800>","list":[{"b":1,"a":2}]}`))
			if err != nil {
				t.Fatal(err)
			}
			made, err := c.Create(ctx, ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "ünicode & <note>", Data: data})
			if err != nil {
				t.Fatal(err)
			}
			changed, err := c.Mut8(ctx, made.Tjp, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "x", Value: ibgib.Null()})})
			if err != nil {
				t.Fatal(err)
			}
			fork, err := c.Fork(ctx, made.Addr, ibgib.ForkOptions{DestIb: "fork"})
			if err != nil {
				t.Fatal(err)
			}
			linked, err := c.Rel8(ctx, made.Tjp, ibgib.Rel8Options{Add: ibgib.Rel8ns{{Name: "see", Addrs: []ibgib.Addr{fork.Addr}}}})
			if err != nil {
				t.Fatal(err)
			}
			g, err := c.Get(ctx, linked.Addr)
			if err != nil {
				t.Fatal(err)
			}
			if text, _ := g.Field("text"); !strings.Contains(string(g.Stored()), `\ud800`) || text.Kind() != ibgib.KindString {
				t.Errorf("the surrogate is gone: %s", g.Stored())
			}
			if !strings.Contains(string(g.Stored()), `[{"b":1,"a":2}]`) {
				t.Errorf("the order is gone: %s", g.Stored())
			}

			var log []ibgib.Addr
			for f, err := range c.Log(ctx, made.Tjp, 0) {
				if err != nil {
					t.Fatal(err)
				}
				log = append(log, f.Addr)
			}
			if want := []ibgib.Addr{linked.Addr, changed.Addr, made.Addr, made.Tjp}; !slices.Equal(log, want) {
				t.Errorf("log %v, want %v", log, want)
			}
			if f, err := c.FrameAt(ctx, made.Tjp, 2); err != nil || f.Addr != changed.Addr {
				t.Errorf("frame 2: %+v, %v", f, err)
			}
			if tl, err := c.Latest(ctx, made.Addr); err != nil || tl.Latest != linked.Addr {
				t.Errorf("latest %+v, %v", tl, err)
			}
			heads := 0
			for _, err := range c.Heads(ctx) {
				if err != nil {
					t.Fatal(err)
				}
				heads++
			}
			if heads != 2 {
				t.Errorf("%d timelines, want 2", heads)
			}
			for a, err := range c.List(ctx) { // the reader may stop
				if err != nil || a.IsZero() {
					t.Errorf("list: %v, %v", a, err)
				}
				break
			}
			for range c.Conflicts(ctx) {
				t.Error("a conflict")
			}
			var checked node.VerifyReport
			if checked, err = c.Verify(ctx, nil); err != nil || checked.Timelines != 2 || len(checked.Problems) != 0 {
				t.Errorf("verify %+v, %v", checked, err)
			}

			p := openNode(t, t.TempDir()).PeerID().String()
			if got, err := c.Trust(ctx, p); err != nil || got.PeerID != p || !got.Trusted {
				t.Errorf("trust: %+v, %v", got, err)
			}
			if peers, err := c.Peers(ctx); err != nil || len(peers) != 1 || peers[0].PeerID != p {
				t.Errorf("peers: %+v, %v", peers, err)
			}
			if err := c.Untrust(ctx, p); err != nil {
				t.Error(err)
			}
			wantCode(t, c.Untrust(ctx, p), api.CodeNotFound)
		})
	}
}

func TestErrorCodes(t *testing.T) {
	unknown, err := ibgib.ParseAddr("x^" + strings.Repeat("A", 64))
	if err != nil {
		t.Fatal(err)
	}
	n := openNode(t, t.TempDir())
	c := api.InProcess(api.Handler(n, api.Options{}))
	ctx := t.Context()
	made, err := c.Create(ctx, ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "note"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Get(ctx, unknown)
	wantCode(t, err, api.CodeNotFound)
	_, err = c.Mut8(ctx, made.Tjp, ibgib.Mut8Options{})
	wantCode(t, err, api.CodeRefused)
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Rule != string(ibgib.RuleNothingToDo) {
		t.Errorf("rule of %v", err)
	}
	_, err = c.Rel8(ctx, made.Tjp, ibgib.Rel8Options{Add: ibgib.Rel8ns{{Name: "to", Addrs: []ibgib.Addr{unknown}}}})
	wantCode(t, err, api.CodeMissingLink)
	_, err = c.Conflict(ctx, made.Tjp)
	wantCode(t, err, api.CodeNotFound)
	_, err = c.Trust(ctx, "nobody")
	wantCode(t, err, api.CodeBadRequest)
	_, err = c.Sync(ctx, "nowhere", node.SyncOptions{}, nil)
	wantCode(t, err, api.CodeBadRequest)
	other := openNode(t, t.TempDir()).PeerID().String()
	_, err = c.Sync(ctx, "/ip4/127.0.0.1/tcp/1/p2p/"+other, node.SyncOptions{}, nil)
	wantCode(t, err, api.CodeUntrusted)
	if _, err := c.Trust(ctx, other); err != nil {
		t.Fatal(err)
	}
	_, err = c.Sync(ctx, "/ip4/127.0.0.1/tcp/1/p2p/"+other, node.SyncOptions{}, nil)
	wantCode(t, err, api.CodeUnreachable)
	_, err = c.Sync(ctx, other, node.SyncOptions{}, nil)
	wantCode(t, err, api.CodeUnreachable)
	for _, err := range c.Log(ctx, unknown, 0) {
		wantCode(t, err, api.CodeNotFound)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = c.Latest(ctx, made.Tjp)
	wantCode(t, err, api.CodeClosed)
}

func TestSyncOverAPI(t *testing.T) {
	a, b := openNode(t, t.TempDir()), openNode(t, t.TempDir())
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ca := api.InProcess(api.Handler(a, api.Options{}))
	cb := api.InProcess(api.Handler(b, api.Options{}))
	ctx := t.Context()
	if _, err := ca.Create(ctx, ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "note"}); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Trust(ctx, b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	id, err := ca.ID(ctx)
	if err != nil || len(id.Addrs) != 1 {
		t.Fatalf("%+v, %v", id, err)
	}
	if _, err := cb.Trust(ctx, id.Addrs[0]); err != nil {
		t.Fatal(err)
	}
	var last node.SyncProgress
	res, err := cb.Sync(ctx, id.Addrs[0], node.SyncOptions{}, func(p node.SyncProgress) { last = p })
	if err != nil {
		t.Fatal(err)
	}
	if !res.Converged || res.Received.IbGibs == 0 || last.Received != res.Received {
		t.Errorf("result %+v, last progress %+v", res, last)
	}
	made, err := ca.Create(ctx, ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "another"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cb.Create(ctx, ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "stays"}); err != nil {
		t.Fatal(err)
	}
	pull := node.SyncOptions{Mode: saga.ModePull, Strategy: saga.StrategyAbort, Timelines: []ibgib.Addr{made.Addr}}
	res, err = cb.Sync(ctx, id.Addrs[0], pull, nil)
	if err != nil || !res.Converged || res.Mode != saga.ModePull || res.Strategy != saga.StrategyAbort ||
		res.Sent.IbGibs != 0 || res.Received.IbGibs == 0 {
		t.Errorf("pull: %+v, %v", res, err)
	}
}

func TestDialWithoutNode(t *testing.T) {
	dir := shortDir(t)
	_, err := api.Dial(t.Context(), dir)
	wantCode(t, err, api.CodeNoDaemon)

	n := openNode(t, dir)
	for _, addr := range []string{"", "127.0.0.1:0"} {
		s := serve(t, n, api.Options{Addr: addr})
		if _, err := dial(t, n).ID(t.Context()); err != nil {
			t.Error(err)
		}
		closeServer(t, s)
		_, err = api.Dial(t.Context(), dir)
		wantCode(t, err, api.CodeNoDaemon)

		// What a killed node leaves behind.
		if err := os.WriteFile(filepath.Join(dir, "api.addr"), []byte(s.Addr()+"\n"+dir+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = api.Dial(t.Context(), dir)
		wantCode(t, err, api.CodeNoDaemon)
	}

	// Another program has taken the port: it does not get the token.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan http.Header, 1)
	other := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		got <- q.Header
		fmt.Fprintln(w, `{"ok":true}`)
	})}
	served := make(chan error)
	go func() { served <- other.Serve(l) }()
	if err := os.WriteFile(filepath.Join(dir, "api.addr"), []byte(l.Addr().String()+"\n"+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = api.Dial(t.Context(), dir)
	wantCode(t, err, api.CodeNoDaemon)
	if h := <-got; h.Get("Authorization") != "" {
		t.Error("the token was sent to somebody else")
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	<-served
}

// TestDialInACopy copies the data directory of a running node: the copy does
// not lead to the original.
func TestDialInACopy(t *testing.T) {
	n := openNode(t, shortDir(t))
	defer closeServer(t, serve(t, n, api.Options{}))
	if _, err := dial(t, n).ID(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"api.addr", "api.token"} {
		text, err := os.ReadFile(filepath.Join(n.DataDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := api.Dial(t.Context(), dir)
	wantCode(t, err, api.CodeNoDaemon)
}
