package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
)

// Tests that need a second process start the test binary again, with childVar
// set to the task of the child.
const childVar = "IBGIB_NODE_TEST_CHILD"

// childTask is what a child process does.
type childTask struct {
	Role   string // serve, live, stream, import, sync or first sync
	Data   string // data directory
	Peer   string // serve, live, sync: the peer to trust
	Listen string // serve, live, stream
	Addr   string // sync, live: whom to dial
	File   string // import, stream
	Heap   bool   // serve, first sync: watch the heap and print how it grew
}

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(childVar)
	if !ok {
		os.Exit(m.Run())
	}
	var task childTask
	err := json.Unmarshal([]byte(text), &task)
	if task.Heap {
		blockstoretest.SampleHeap()
	}
	if err == nil {
		err = task.run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (c childTask) run(ctx context.Context) error {
	switch c.Role {
	case "serve":
		return c.withNode(ctx, func(n *node.Node) error {
			var watch *blockstoretest.HeapWatch
			if c.Heap {
				watch = blockstoretest.WatchHeap()
			}
			fmt.Println(n.Identity().Addrs[0])
			_, err := io.Copy(io.Discard, os.Stdin) // until the parent lets go
			if err == nil && watch != nil {
				err = json.NewEncoder(os.Stdout).Encode(watch.Stop())
			}
			return err
		})
	case "sync":
		return c.withNode(ctx, func(n *node.Node) error {
			res, err := n.Sync(ctx, c.Addr, func(p node.SyncProgress) {
				fmt.Println("moved", p.Sent.IbGibs+p.Received.IbGibs)
			})
			var failure *saga.Error
			switch {
			case err == nil && res.Converged:
				fmt.Println("done", res.SagaID)
			case errors.As(err, &failure):
				fmt.Println("failed", failure.Code, failure.Retry)
				return nil
			}
			return err
		})
	case "live":
		return c.withNode(ctx, func(n *node.Node) error { return serveLive(ctx, n, c.Addr) })
	case "first sync":
		return syncFirst(ctx, c)
	case "import":
		n, err := node.Open(node.Config{Data: c.Data})
		if err != nil {
			return err
		}
		defer n.Close()
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := n.Import(ctx, f, nil); err != nil {
			return err
		}
		fmt.Println("done")
		return nil
	case "stream":
		return serveStream(c)
	default:
		return fmt.Errorf("unknown role %q", c.Role)
	}
}

// withNode opens and starts a node that trusts c.Peer.
func (c childTask) withNode(ctx context.Context, f func(n *node.Node) error) error {
	n, err := node.Open(node.Config{Data: c.Data, Listen: []string{c.Listen}, Live: node.Live{Off: c.Role != "live"}})
	if err != nil {
		return err
	}
	defer n.Close()
	if _, err := n.Trust(ctx, c.Peer); err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	return f(n)
}

// child is a running child process.
type child struct {
	task childTask
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

func startChild(tb testing.TB, task childTask) *child {
	tb.Helper()
	text, err := json.Marshal(task)
	if err != nil {
		tb.Fatal(err)
	}
	c := &child{task: task, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), childVar+"="+string(text))
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		tb.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	return c
}

// line returns the next line that the child prints.
func (c *child) line(tb testing.TB) string {
	tb.Helper()
	text, err := c.out.ReadString('\n')
	if err != nil {
		c.stop()
		tb.Fatalf("the child printed nothing: %v", err)
	}
	return strings.TrimSpace(text)
}

// said waits for the end of the child and tells whether it printed "done".
func (c *child) said() bool { return c.syncs(nil).done }

// syncReport is what a child said of its sync.
type syncReport struct {
	done  bool
	saga  string // its id, if it is done
	code  string // a saga.Code if it failed with one
	retry bool   // of that failure
	moved int    // ibGibs either way, as far as it told
}

// syncs waits for the end of a child that syncs, and calls moved, if that is not
// nil, with each number of ibGibs that have moved.
func (c *child) syncs(moved func(n int)) (r syncReport) {
	for {
		text, err := c.out.ReadString('\n')
		if err != nil {
			c.stop()
			return r
		}
		word, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
		switch word {
		case "done":
			r.done, r.saga = true, rest
		case "failed":
			fmt.Sscan(rest, &r.code, &r.retry)
		case "moved":
			fmt.Sscan(rest, &r.moved)
			if moved != nil {
				moved(r.moved)
			}
		}
	}
}

// end lets the child end, waits for it and decodes what it still prints.
func (c *child) end(tb testing.TB, printed any) {
	tb.Helper()
	c.in.Close()
	text, err := io.ReadAll(c.out)
	if err == nil {
		err = c.cmd.Wait()
	}
	if err == nil {
		err = json.Unmarshal(text, printed)
	}
	if err != nil {
		tb.Fatalf("the child printed %q: %v", text, err)
	}
}

// cpu is the CPU time of the child, which has ended.
func (c *child) cpu() time.Duration {
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
}

// stop lets the child end and waits for it.
func (c *child) stop() error {
	c.in.Close()
	return c.cmd.Wait()
}

// kill ends the child with SIGKILL.
func (c *child) kill() { c.cmd.Process.Kill() }
