package api

import (
	"bufio"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/node"
)

// A stream says something also when nothing happens, and the client takes it as a
// sign of life.
func TestHeartbeat(t *testing.T) {
	n, err := node.Open(node.Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	h := newHandler(n, Options{}, nil)
	h.heartbeat = time.Millisecond
	s := httptest.NewServer(h.mux())
	defer s.Close()
	answer, err := s.Client().Get(s.URL + prefix + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	in := bufio.NewReader(answer.Body)
	alive := 0
	name, _, err := nextMessage(in, func() { alive++ })
	if err != nil || name != string(node.EventReady) {
		t.Fatalf("%q, %v", name, err)
	}
	for range 10 {
		line, err := readLine(in)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(line); text != ":" && text != "" {
			t.Errorf("line %q", text)
		}
	}
	if alive == 0 {
		t.Error("no sign of life")
	}
}
