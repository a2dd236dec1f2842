package api_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

var vectors = filepath.Join("..", "..", "timeline", "testdata", "spaces")

func openNode(t *testing.T, dir string) *node.Node {
	t.Helper()
	n, err := node.Open(node.Config{Data: dir, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func serve(t *testing.T, n *node.Node, o api.Options) *api.Server {
	t.Helper()
	s, err := api.Serve(n, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, s) })
	return s
}

func closeServer(t *testing.T, s *api.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

func dial(t *testing.T, n *node.Node) *api.Client {
	t.Helper()
	c, err := api.Dial(t.Context(), n.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// clients returns a client for each way to reach a node, each with its own node.
func clients(t *testing.T) map[string]*api.Client {
	t.Helper()
	all := make(map[string]*api.Client)
	for name, addr := range map[string]string{"unix": "", "tcp": "127.0.0.1:0"} {
		n := openNode(t, shortDir(t))
		serve(t, n, api.Options{Addr: addr, Version: "v-test"})
		all[name] = dial(t, n)
	}
	n := openNode(t, t.TempDir())
	all["in process"] = api.InProcess(api.Handler(n, api.Options{Version: "v-test"}))
	return all
}

// shortDir returns a folder whose path leaves room for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func wantCode(t *testing.T, err error, code api.Code) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("error %v, want code %s", err, code)
	}
}
