package node_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/node"
)

// The tests of this file kill real processes with SIGKILL at random moments of
// imports and syncs that move many heads. Half of the moments lie in the last
// third, where the deciding record is written. Whatever the moment, the store
// opens, verifies, has the heads from before or all of them, and what the
// killed process had reported as done is there.
//
// Every run kills a few times. NODE_FAULTS=N kills N times in each test, in work
// on 20,000 heads. NODE_SEED=S takes the moments of seed S; the log shows the seed.

// killScale says how often a test kills, and in work on how many heads.
func killScale() (rounds, heads int) {
	if n, err := strconv.Atoi(os.Getenv("NODE_FAULTS")); err == nil {
		return n, 20_000
	}
	return killRounds, killHeads
}

// seeded returns the random numbers of a test and logs their seed.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("NODE_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("NODE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// writeTimelines writes many timelines of one frame as NDJSON.
func writeTimelines(t *testing.T, path string, n int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	m := blockstoretest.NewMaker(20)
	for range n {
		for _, g := range m.Timeline(t, "task") {
			fmt.Fprintf(out, "%s\n", g.Stored())
		}
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
}

// moments gives the random moments within the time that a whole run takes.
type moments struct {
	random *rand.Rand
	whole  time.Duration
}

func (m *moments) next() time.Duration {
	if m.random.IntN(2) == 0 {
		return time.Duration(m.random.Int64N(int64(m.whole)))
	}
	return m.whole*2/3 + time.Duration(m.random.Int64N(int64(m.whole)/3))
}

// killAfter kills victim when d has passed, unless worker has ended before,
// and tells whether worker reported success.
func killAfter(d time.Duration, victim, worker *child) (done bool) {
	timer := time.AfterFunc(d, victim.kill)
	defer timer.Stop()
	return worker.said()
}

// inspect verifies the store of a data directory and returns its number of
// heads.
func inspect(t *testing.T, data string) int {
	t.Helper()
	n, err := node.Open(node.Config{Data: data})
	if err != nil {
		t.Fatalf("open after a kill: %v", err)
	}
	defer n.Close()
	report, err := n.Verify(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Errorf("verify after a kill: %s %s: %s", p.Kind, p.Item, p.Detail)
	}
	heads := 0
	for tl, err := range n.Heads(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		heads += len(tl.Heads)
	}
	return heads
}

// outcomes counts how the rounds of a test ended.
type outcomes struct{ none, all, finished int }

func (o *outcomes) count(t *testing.T, heads, whole int, done bool) {
	t.Helper()
	switch {
	case heads == whole && done:
		o.finished++
	case heads == whole:
		o.all++
	case heads == 0 && !done:
		o.none++
	default:
		t.Errorf("%d heads of %d after a kill, done was reported: %t", heads, whole, done)
	}
}

func TestKillImport(t *testing.T) {
	rounds, whole := killScale()
	m := &moments{random: seeded(t)}
	file := filepath.Join(t.TempDir(), "many.ndjson")
	writeTimelines(t, file, whole)
	task := func(data string) childTask { return childTask{Role: "import", Data: data, File: file} }

	start := time.Now()
	data := t.TempDir()
	if !startChild(t, task(data)).said() {
		t.Fatal("the import failed without a kill")
	}
	m.whole = time.Since(start)
	var o outcomes
	data = t.TempDir()
	for range rounds {
		c := startChild(t, task(data))
		done := killAfter(m.next(), c, c)
		heads := inspect(t, data)
		o.count(t, heads, whole, done)
		if heads > 0 {
			data = t.TempDir()
		}
	}
	t.Logf("whole import %v; of %d kills %d left none of the heads, %d all of them, %d came too late", m.whole, rounds, o.none, o.all, o.finished)
}

// TestKillSync kills the sending or the receiving side, which is either the
// initiator or the responder.
func TestKillSync(t *testing.T) {
	rounds, whole := killScale()
	m := &moments{random: seeded(t)}
	file := filepath.Join(t.TempDir(), "many.ndjson")
	writeTimelines(t, file, whole)
	full := t.TempDir()
	if !startChild(t, childTask{Role: "import", Data: full, File: file}).said() {
		t.Fatal("the import failed")
	}
	var o outcomes
	empty := t.TempDir()
	round := func(receiverInitiates, killInitiator, kill bool) (done bool) {
		here, there := full, empty // initiator, responder
		if receiverInitiates {
			here, there = empty, full
		}
		hereID, thereID := peerID(t, here), peerID(t, there)
		server := startChild(t, childTask{Role: "serve", Data: there, Peer: hereID, Listen: "/ip4/127.0.0.1/tcp/0"})
		defer server.stop()
		worker := startChild(t, childTask{
			Role: "sync", Data: here, Peer: thereID, Listen: "/ip4/127.0.0.1/tcp/0", Addr: server.line(t),
		})
		if !kill {
			return worker.said()
		}
		if killInitiator {
			return killAfter(m.next(), worker, worker)
		}
		return killAfter(m.next(), server, worker)
	}
	start := time.Now()
	if !round(true, false, false) {
		t.Fatal("the sync failed without a kill")
	}
	m.whole = time.Since(start)
	empty = t.TempDir()
	for i := range rounds {
		done := round(i%2 == 0, i/2%2 == 0, true)
		if heads := inspect(t, full); heads != whole {
			t.Errorf("the sending side has %d heads of %d after a kill", heads, whole)
		}
		heads := inspect(t, empty)
		o.count(t, heads, whole, done)
		if heads > 0 {
			empty = t.TempDir()
		}
	}
	if !round(true, false, false) || inspect(t, empty) != whole {
		t.Error("the sync after all kills does not finish the work")
	}
	t.Logf("whole sync %v; of %d kills %d left none of the heads, %d all of them, %d came too late", m.whole, rounds, o.none, o.all, o.finished)
}

// peerID returns the peer id of a data directory that no process uses.
func peerID(t *testing.T, data string) string {
	t.Helper()
	n, err := node.Open(node.Config{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	return n.PeerID().String()
}
