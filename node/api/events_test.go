package api_test

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

const patience = time.Minute

// follower takes the events of a client.
type follower struct {
	events chan node.Event
	failed chan error // the end, nil if it was asked for
	cancel context.CancelFunc
}

func follow(t *testing.T, c *api.Client, o node.EventOptions) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &follower{make(chan node.Event), make(chan error, 1), cancel}
	go func() {
		for e, err := range c.Events(ctx, o) {
			if err != nil {
				f.failed <- err
				return
			}
			select {
			case f.events <- e:
			case <-ctx.Done():
				f.failed <- nil
				return
			}
		}
		f.failed <- nil
	}()
	t.Cleanup(cancel)
	return f
}

func (f *follower) next(t *testing.T) node.Event {
	t.Helper()
	select {
	case e := <-f.events:
		return e
	case err := <-f.failed:
		t.Fatalf("the stream has ended: %v", err)
	case <-time.After(patience):
		t.Fatal("no event")
	}
	panic("not reached")
}

func (f *follower) end(t *testing.T) error {
	t.Helper()
	for {
		select {
		case <-f.events:
		case err := <-f.failed:
			return err
		case <-time.After(patience):
			t.Fatal("the stream does not end")
		}
	}
}

func create(t *testing.T, c *api.Client, ib string) ibgib.Addr {
	t.Helper()
	change, err := c.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: ib})
	if err != nil {
		t.Fatal(err)
	}
	return change.Addr
}

func TestEvents(t *testing.T) {
	for name, c := range clients(t) {
		t.Run(name, func(t *testing.T) {
			f := follow(t, c, node.EventOptions{})
			ready := f.next(t)
			if ready.Kind != node.EventReady || ready.ID == "" {
				t.Fatalf("first event %+v", ready)
			}
			a := create(t, c, "a")
			first := f.next(t)
			if first.Kind != node.EventHeads || first.Heads.Latest != a || first.Heads.Tjp != a || first.Heads.N == nil || first.ID == "" || first.Time.IsZero() {
				t.Errorf("event %+v", first)
			}
			b := create(t, c, "b")
			if e := f.next(t); e.Heads == nil || e.Heads.Latest != b {
				t.Errorf("event %+v", e)
			}
			peer := openNode(t, t.TempDir()).PeerID().String()
			if _, err := c.Trust(t.Context(), peer); err != nil {
				t.Fatal(err)
			}
			if e := f.next(t); e.Kind != node.EventPeer || e.Peer.Change != node.PeerTrusted || e.Peer.PeerID != peer || !e.Peer.Trusted || e.ID == "" {
				t.Errorf("event %+v", e)
			}
			f.cancel()
			f.end(t)

			// From an id on.
			f = follow(t, c, node.EventOptions{Since: first.ID, Kinds: []node.EventKind{node.EventHeads, node.EventConflict}})
			if e := f.next(t); e.Kind != node.EventReady || e.ID != first.ID {
				t.Errorf("first event %+v", e)
			}
			if e := f.next(t); e.Heads == nil || e.Heads.Latest != b {
				t.Errorf("event %+v", e)
			}
			f = follow(t, c, node.EventOptions{Since: first.ID, Kinds: []node.EventKind{node.EventPeer}})
			if e := f.next(t); e.Kind != node.EventReady {
				t.Errorf("first event %+v", e)
			}
			if e := f.next(t); e.Kind != node.EventPeer || e.Peer.Change != node.PeerTrusted || e.Peer.PeerID != peer || e.ID == "" {
				t.Errorf("event %+v", e)
			}
			for _, o := range []node.EventOptions{{Since: "nonsense"}, {Kinds: []node.EventKind{"other"}}} {
				wantCode(t, follow(t, c, o).end(t), api.CodeBadRequest)
			}
		})
	}
}

// What a change left of a timeline that a client knows.
func TestNewFrames(t *testing.T) {
	for name, c := range clients(t) {
		t.Run(name, func(t *testing.T) {
			var frames []ibgib.Addr
			frames = append(frames, create(t, c, "a"))
			for _, text := range []string{"1", "2", "3"} {
				change, err := c.Mut8(t.Context(), frames[0], ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "v", Value: ibgib.String(text)})})
				if err != nil {
					t.Fatal(err)
				}
				frames = append(frames, change.Addr)
			}
			for known, want := range map[int]int{3: 0, 2: 1, 0: 3} {
				var got []ibgib.Addr
				for f, err := range c.NewFrames(t.Context(), frames[3], frames[known:known+1]) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, f.Addr)
				}
				slices.Reverse(got)
				if !slices.Equal(got, frames[4-want:]) {
					t.Errorf("new since %d: %v", known, got)
				}
			}
			for _, err := range c.NewFrames(t.Context(), frames[3], []ibgib.Addr{create(t, c, "other"), frames[2]}) {
				if err != nil {
					t.Error(err)
				}
			}
			missing, err := ibgib.ParseAddr("a^" + strings.Repeat("0", 64))
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range c.NewFrames(t.Context(), frames[3], []ibgib.Addr{missing}) {
				wantCode(t, err, api.CodeNotFound)
			}
		})
	}
}

// The stream as any client of server-sent events sees it.
func TestEventStream(t *testing.T) {
	n := openNode(t, shortDir(t))
	s := serve(t, n, api.Options{Addr: "127.0.0.1:0"})
	c := dial(t, n)
	token, err := os.ReadFile(filepath.Join(n.DataDir(), "api.token"))
	if err != nil {
		t.Fatal(err)
	}
	open := func(query, last string) (*http.Response, *bufio.Scanner) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr()+"/api/v1/events"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		if last != "" {
			q.Header.Set("Last-Event-ID", last)
		}
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answer.Body.Close() })
		return answer, bufio.NewScanner(answer.Body)
	}
	message := func(in *bufio.Scanner) map[string]string {
		t.Helper()
		fields := make(map[string]string)
		for in.Scan() && in.Text() != "" {
			name, value, _ := strings.Cut(in.Text(), ": ")
			fields[name] = value
		}
		return fields
	}
	answer, in := open("?kinds=heads", "")
	if answer.Header.Get("Content-Type") != "text/event-stream" || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", answer.Header)
	}
	ready := message(in)
	if ready["event"] != "ready" || ready["id"] == "" {
		t.Errorf("first message %v", ready)
	}
	a := create(t, c, "a")
	heads := message(in)
	if heads["event"] != "heads" || heads["id"] == ready["id"] || !strings.Contains(heads["data"], `"latest":"`+a.String()+`"`) {
		t.Errorf("message %v", heads)
	}
	// The header says where to go on, before the query.
	_, in = open("?since="+heads["id"], ready["id"])
	if got := message(in); got["id"] != ready["id"] {
		t.Errorf("first message %v", got)
	}
	if got := message(in); got["id"] != heads["id"] || got["data"] != heads["data"] {
		t.Errorf("message %v", got)
	}
	// The end of the server is said, and not waited for.
	began := time.Now()
	closeServer(t, s)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the server took %s to close", took)
	}
	if got := message(in); got["event"] != "closed" {
		t.Errorf("last message %v", got)
	}
	if in.Scan() {
		t.Errorf("after the last message %q", in.Text())
	}
}

func TestEventsEnd(t *testing.T) {
	n := openNode(t, shortDir(t))
	s := serve(t, n, api.Options{})
	c := dial(t, n)
	f := follow(t, c, node.EventOptions{})
	f.next(t)
	// There is room for so many and no more.
	var failed error
	for range 1000 {
		g := follow(t, c, node.EventOptions{})
		select {
		case <-g.events:
			continue
		case failed = <-g.failed:
		}
		break
	}
	wantCode(t, failed, api.CodeBusy)
	closeServer(t, s)
	wantCode(t, f.end(t), api.CodeClosed)

	// Also when the node is closed first, and when the caller wants no more.
	other := api.InProcess(api.Handler(n, api.Options{}))
	f = follow(t, other, node.EventOptions{})
	f.next(t)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, f.end(t), api.CodeClosed)
	for _, err := range other.Events(t.Context(), node.EventOptions{}) {
		if err == nil {
			t.Error("events of a closed node")
		}
		var e *api.Error
		if !errors.As(err, &e) {
			t.Error(err)
		}
	}
}
