package node_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
)

// The tests of this file interrupt first syncs between two processes at random
// moments, in turn with the receiving and the sending side as the initiator. What
// had arrived is counted in the store of the receiving side, after it has been
// opened and verified; what came in the next sync is what that side has on record.
//
// Every run does a few rounds. NODE_FAULTS=N does N of each test with 50,000
// ibGibs, for as long as that takes (a minute for 5 or so). NODE_SEED=S takes the
// moments of seed S; the log shows the seed.

// resumption is what a test of this file works on.
type resumption struct {
	*testing.T
	random *rand.Rand
	rounds int
	ibGibs int

	full, fullID string // the data directory that has all ibGibs, and its peer id

	arrived, again int           // ibGibs, of all rounds
	slowest        time.Duration // next sync
}

func newResumption(t *testing.T) *resumption {
	t.Helper()
	r := &resumption{T: t, random: seeded(t), rounds: resumeRounds, ibGibs: resumeIbGibs}
	if n, err := strconv.Atoi(os.Getenv("NODE_FAULTS")); err == nil {
		r.rounds, r.ibGibs = n, 50_000
	}
	file := filepath.Join(t.TempDir(), "corpus.ndjson")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriter(f)
	for _, g := range blockstoretest.Corpus(t, r.ibGibs) {
		fmt.Fprintf(out, "%s\n", g.Stored())
	}
	if err := errors.Join(out.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	r.full = t.TempDir()
	if !startChild(t, childTask{Role: "import", Data: r.full, File: file}).said() {
		t.Fatal("the import failed")
	}
	r.fullID = peerID(t, r.full)
	return r
}

// start starts a process that serves and one that syncs with it. One has all
// ibGibs, the other the data directory data. Through says at which address the
// second one finds the first.
func (r *resumption) start(data string, receiverInitiates bool, through func(addr string) string) (server, worker *child) {
	r.Helper()
	here, there := data, r.full // initiator, responder
	if !receiverInitiates {
		here, there = r.full, data
	}
	hereID, thereID := peerID(r.T, here), peerID(r.T, there)
	server = startChild(r, childTask{Role: "serve", Data: there, Peer: hereID, Listen: overTCP})
	worker = startChild(r, childTask{Role: "sync", Data: here, Peer: thereID, Listen: overTCP, Addr: through(server.line(r))})
	return server, worker
}

// whole measures a sync that nothing interrupts: the bytes that the initiator
// sends and receives.
func (r *resumption) whole(receiverInitiates bool) (up, down int64) {
	r.Helper()
	data := r.TempDir()
	var p *proxy
	server, worker := r.start(data, receiverInitiates, func(addr string) string {
		p, addr = newProxy(r.T, addr, nil)
		return addr
	})
	report := worker.syncs(nil)
	server.stop()
	p.close()
	if received := r.received(data, report.saga); !report.done || received != r.ibGibs {
		r.Fatalf("a sync without a fault: %+v, %d received", report, received)
	}
	return p.up.Load(), p.down.Load()
}

// afterwards checks a store that was interrupted, lets the next sync finish
// the work and counts what came again.
func (r *resumption) afterwards(what, data string, receiverInitiates bool) {
	r.Helper()
	arrived := r.verified(data)
	began := time.Now()
	server, worker := r.start(data, receiverInitiates, func(addr string) string { return addr })
	report := worker.syncs(nil)
	server.stop()
	r.slowest = max(r.slowest, time.Since(began))
	if !report.done {
		r.Errorf("%s: the next sync does not finish: %+v", what, report)
		return
	}
	received := r.received(data, report.saga)
	again := received + arrived - r.ibGibs
	r.Logf("%s: %d ibGibs had arrived, %d came again", what, arrived, again)
	if again < 0 || again*20 > arrived {
		r.Errorf("%s: so much must not come again", what)
	}
	if n := r.verified(data); n != r.ibGibs {
		r.Errorf("%s: %d ibGibs of %d after the next sync", what, n, r.ibGibs)
	}
	r.arrived, r.again = r.arrived+arrived, r.again+again
}

// verified opens and verifies the store of a data directory and counts its
// ibGibs.
func (r *resumption) verified(data string) int {
	r.Helper()
	n, err := node.Open(node.Config{Data: data})
	if err != nil {
		r.Fatalf("open after a fault: %v", err)
	}
	defer n.Close()
	report, err := n.Verify(r.Context(), nil)
	if err != nil {
		r.Fatal(err)
	}
	for _, p := range report.Problems {
		r.Errorf("verify after a fault: %s %s: %s", p.Kind, p.Item, p.Detail)
	}
	return report.IbGibs
}

// received returns how many ibGibs a saga brought by the record of the store
// that received them; 0 if it has none, as of one that had nothing to move.
func (r *resumption) received(data, id string) int {
	r.Helper()
	n, err := node.Open(node.Config{Data: data})
	if err != nil {
		r.Fatal(err)
	}
	defer n.Close()
	record, err := n.Saga(r.Context(), id)
	if err != nil && !errors.Is(err, blockstore.ErrNotFound) {
		r.Fatal(err)
	}
	return int(record.Received.IbGibs)
}

func (r *resumption) summary(faults string) {
	r.Helper()
	percent := 0.0
	if r.arrived > 0 {
		percent = 100 * float64(r.again) / float64(r.arrived)
	}
	r.Logf("%s; of %d ibGibs each, in all %d had arrived and %d came again (%.2f %%); the slowest next sync took %v",
		faults, r.ibGibs, r.arrived, r.again, percent, r.slowest.Round(time.Millisecond))
}

// TestKillResume kills either side with SIGKILL.
func TestKillResume(t *testing.T) {
	r := newResumption(t)
	killed := map[string]int{}
	late := 0
	for i := 0; i < r.rounds+late; i++ {
		receiverInitiates, killInitiator := i%2 == 0, i/2%2 == 0
		moment, delay := r.random.IntN(r.ibGibs+1), time.Duration(r.random.Int64N(int64(50*time.Millisecond)))
		data := t.TempDir()
		server, worker := r.start(data, receiverInitiates, func(addr string) string { return addr })
		victim := server
		if killInitiator {
			victim = worker
		}
		var once sync.Once
		report := worker.syncs(func(moved int) {
			if moved >= moment {
				once.Do(func() { time.AfterFunc(delay, victim.kill) })
			}
		})
		victim.kill() // if the sync was over before
		server.stop()
		if report.done {
			if late++; late > r.rounds {
				t.Fatalf("%d syncs were over before the kill", late)
			}
			continue
		}
		what := fmt.Sprintf("round %d: %s killed when %d ibGibs had moved", i, victim.task.Role, report.moved)
		killed[victim.task.Role]++
		r.afterwards(what, data, receiverInitiates)
	}
	r.summary(fmt.Sprintf("killed %v, %d syncs were over before", killed, late))
}

// TestCutResume cuts the connection. Both processes live on; that one which
// synced ends with a clean error that says that trying again may help.
func TestCutResume(t *testing.T) {
	r := newResumption(t)
	type traffic struct{ up, down int64 }
	var whole [2]traffic
	for i := range whole {
		whole[i].up, whole[i].down = r.whole(i == 0)
	}
	cuts, codes := map[string]int{}, map[string]int{}
	late := 0
	for i := 0; i < r.rounds+late; i++ {
		receiverInitiates := i%2 == 0
		c := &cut{
			how:      breakage((i + i/4) % int(breakages)),
			up:       receiverInitiates == (r.random.IntN(4) == 0), // mostly the direction in which the ibGibs move
			swallows: r.random.IntN(2) == 0,
			hold:     time.Duration(1 + r.random.Int64N(int64(300*time.Millisecond))),
		}
		if i%16 == 15 || i%16 == 12 {
			c.hold = 0 // to the end of their patience
		}
		most := whole[i%2].down
		if c.up {
			most = whole[i%2].up
		}
		c.after = r.random.Int64N(most)
		data := t.TempDir()
		var p *proxy
		server, worker := r.start(data, receiverInitiates, func(addr string) string {
			p, addr = newProxy(t, addr, c)
			return addr
		})
		report := worker.syncs(nil)
		server.stop()
		p.close()
		if report.done {
			if late++; late > r.rounds {
				t.Fatalf("%d syncs were over before the cut", late)
			}
			continue
		}
		what := fmt.Sprintf("round %d: %s after %d bytes (up %t) when %d ibGibs had moved", i, c.how, c.after, c.up, report.moved)
		if code := report.code; !report.retry || code != saga.CodeUnreachable.String() && code != saga.CodeTimeout.String() {
			t.Errorf("%s: the sync ended with code %q, retry %t", what, code, report.retry)
		}
		cuts[c.how.String()]++
		codes[report.code]++
		r.afterwards(what, data, receiverInitiates)
	}
	r.summary(fmt.Sprintf("cut %v, ended with %v, %d syncs were over before", cuts, codes, late))
}
