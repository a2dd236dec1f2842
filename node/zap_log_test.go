package node_test

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	golog "github.com/ipfs/go-log/v2"

	"github.com/ibgib/ibgib-node/node"
)

// The logs are one for the whole process, so it happens in another one.
func TestDHTLogIsRouted(t *testing.T) {
	const child = "IBGIB_NODE_TEST_DHT_LOG"
	if os.Getenv(child) != "" {
		node.RouteLibp2pLog(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug}))
		golog.Logger("dht").With("a", 1).Errorw("no answer", "peer", "x")
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDHTLogIsRouted$")
	cmd.Env = append(os.Environ(), child+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"level=DEBUG", `msg="no answer"`, "a=1", "peer=x", "logger=dht"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in %s", want, out)
		}
	}
	if stderr.Len() > 0 {
		t.Errorf("standard error: %s", &stderr)
	}
}
