package node_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/timeline"
)

// vectors is where the golden data are; see its README in the timeline package.
var vectors = filepath.Join("..", "timeline", "testdata")

// Where nodes of tests listen: loopback only.
const (
	overTCP  = "/ip4/127.0.0.1/tcp/0"
	overQUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
)

// openNode opens a node on a fresh data directory.
func openNode(t *testing.T, listen ...string) *node.Node {
	t.Helper()
	return openNodeAt(t, t.TempDir(), listen...)
}

func openNodeAt(t *testing.T, dir string, listen ...string) *node.Node {
	t.Helper()
	n, err := node.Open(node.Config{Data: dir, Listen: listen, Live: node.Live{Off: true}})
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

// startNode opens a node that listens.
func startNode(t *testing.T, listen string) *node.Node {
	t.Helper()
	n := openNode(t, listen)
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// addrOf returns the one address of a node.
func addrOf(t testing.TB, n *node.Node) string {
	t.Helper()
	addrs := n.Identity().Addrs
	if len(addrs) != 1 {
		t.Fatalf("addresses %q, want one", addrs)
	}
	return addrs[0]
}

// pair makes two nodes trust each other.
func pair(t testing.TB, a, b *node.Node) {
	t.Helper()
	for _, way := range [][2]*node.Node{{a, b}, {b, a}} {
		if _, err := way[0].Trust(t.Context(), way[1].PeerID().String()); err != nil {
			t.Fatal(err)
		}
	}
}

func importBytes(t *testing.T, n *node.Node, file []byte) node.ImportResult {
	t.Helper()
	res, err := n.Import(t.Context(), bytes.NewReader(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func mustVerify(t *testing.T, n *node.Node) node.VerifyReport {
	t.Helper()
	report, err := n.Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Problems) > 0 {
		t.Fatalf("verify: %+v", report.Problems)
	}
	return report
}

// headsOf returns the heads of all timelines by tjp.
func headsOf(t *testing.T, n *node.Node) map[string][]string {
	t.Helper()
	heads := make(map[string][]string)
	for tl, err := range n.Heads(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		heads[tl.Tjp.String()] = texts(tl.Heads)
	}
	return heads
}

func texts(addrs []ibgib.Addr) []string {
	list := make([]string, len(addrs))
	for i, a := range addrs {
		list[i] = a.String()
	}
	slices.Sort(list)
	return list
}

func parseAddr(t *testing.T, s string) ibgib.Addr {
	t.Helper()
	a, err := ibgib.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// space is a golden space.
type space struct {
	file  []byte
	lines [][]byte
	gs    map[ibgib.Addr]ibgib.IbGib
}

func readSpace(t *testing.T, name string) space {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(vectors, "spaces", name))
	if err != nil {
		t.Fatal(err)
	}
	s := space{file: file, gs: make(map[ibgib.Addr]ibgib.IbGib)}
	for l := range bytes.Lines(file) {
		s.lines = append(s.lines, l)
		g, err := ibgib.Import(l)
		if err != nil {
			t.Fatal(err)
		}
		s.gs[g.Addr()] = g
	}
	return s
}

// closure returns everything reachable from some heads.
func (s space) closure(t *testing.T, heads []string) map[ibgib.Addr]bool {
	t.Helper()
	var roots []ibgib.Addr
	for _, h := range heads {
		roots = append(roots, parseAddr(t, h))
	}
	get := func(a ibgib.Addr) (ibgib.IbGib, error) { return s.gs[a], nil }
	addrs, missing, err := timeline.Closure(roots, get, timeline.ClosureOptions{})
	if err != nil || len(missing) > 0 {
		t.Fatalf("closure: missing %v, %v", missing, err)
	}
	set := make(map[ibgib.Addr]bool)
	for _, a := range addrs {
		set[a] = true
	}
	return set
}

// expectation is expected.json of the golden spaces. Tips are by tjp.
type expectation struct {
	Groups struct {
		AAhead   []string `json:"aAhead"`
		BAhead   []string `json:"bAhead"`
		Diverged []string `json:"diverged"`
		Same     []string `json:"same"`
		ANew     []string `json:"aNew"`
		BNew     []string `json:"bNew"`
	} `json:"groups"`
	ATips        map[string]string `json:"aTips"`
	BTips        map[string]string `json:"bTips"`
	ACount       int               `json:"aCount"`
	BCount       int               `json:"bCount"`
	ClosureSizes map[string]int    `json:"closureSizes"`
	AfterSync    struct {
		Tips   map[string]string `json:"tips"`
		ALacks int               `json:"aLacks"`
		BLacks int               `json:"bLacks"`
	} `json:"afterSync"`
}

func readExpectation(t *testing.T) expectation {
	t.Helper()
	var want expectation
	readStrict(t, filepath.Join(vectors, "spaces", "expected.json"), &want)
	return want
}

// readStrict reads a JSON file in which every member must be known.
func readStrict(t *testing.T, path string, to any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		t.Fatal(err)
	}
}

func single(tips map[string]string) map[string][]string {
	heads := make(map[string][]string)
	for tjp, tip := range tips {
		heads[tjp] = []string{tip}
	}
	return heads
}

// waitForGoroutines fails if there are more goroutines than before even after those of
// libraries that only need to be scheduled have ended.
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
