package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/dht/netlab"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

// These tests run nodes as a person does, each in a machine of its own on one
// network.

// lanPatience bounds what a test waits for and expects to happen soon.
const lanPatience = 90 * time.Second

// lanNode is a node that runs in a machine.
type lanNode struct {
	name, dir string
	machine   *netlab.Machine
	cmd       *exec.Cmd
	stderr    lockedBuffer
	peer      string
	addrs     []string
	api       *api.Client
}

// lockedBuffer is a buffer that may be read while a process writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// runOn runs a node in a machine until the end of the test, or stop.
func runOn(t *testing.T, m *netlab.Machine, dir string, args ...string) *lanNode {
	t.Helper()
	program, err := exec.LookPath("ibgib-node") // testscript has put the program into PATH
	if err != nil {
		t.Fatal(err)
	}
	n := &lanNode{name: filepath.Base(dir), dir: dir, machine: m}
	n.cmd = m.Command(context.WithoutCancel(t.Context()), program, append([]string{"run", "--data", dir, "--log-level", "debug"}, args...)...)
	n.cmd.Stderr = &n.stderr
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.stop(t)
		if t.Failed() {
			t.Logf("log of %s:\n%s", n.name, n.stderr.String())
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) < 3 || fields[0] != "ready" {
		t.Fatalf("%s did not get ready: %q, %v", n.name, line, err)
	}
	n.peer, n.addrs = fields[1], fields[2:]
	if n.api, err = api.Dial(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return n
}

// stop interrupts the node, which must end in good order.
func (n *lanNode) stop(t *testing.T) {
	t.Helper()
	if n.cmd.ProcessState != nil {
		return
	}
	late := time.AfterFunc(lanPatience, func() { n.cmd.Process.Kill() })
	if err := n.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if err := n.cmd.Wait(); err != nil || !late.Stop() {
		t.Errorf("%s did not end in good order: %v", n.name, err)
	}
}

// kill ends the node at once.
func (n *lanNode) kill(t *testing.T) {
	t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = n.cmd.Wait() // says that it was killed
}

// knows returns what the node knows of another.
func (n *lanNode) knows(t *testing.T, other *lanNode) node.Peer {
	t.Helper()
	peers, err := n.api.Peers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		if p.PeerID == other.peer {
			return p
		}
	}
	return node.Peer{}
}

func (n *lanNode) heads(t *testing.T) (list []string) {
	t.Helper()
	for tl, err := range n.api.Heads(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, tl.Latest.String())
	}
	return list
}

func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.After(lanPatience)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("%s: not within %s", what, lanPatience)
		}
	}
}

// together waits until nodes trust each other for the mesh secret and are
// connected.
func together(t *testing.T, nodes ...*lanNode) {
	t.Helper()
	for _, a := range nodes {
		for _, b := range nodes {
			if a == b {
				continue
			}
			soon(t, a.name+" trusts "+b.name+" and is connected to it", func() bool {
				p := a.knows(t, b)
				return p.Trusted && p.By == "mesh" && p.Connected
			})
		}
	}
}

// newMeshSecret returns a file with a new secret, and the flags of a node that
// trusts it.
func newMeshSecret(t *testing.T) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := node.WriteMeshSecret(path); err != nil {
		t.Fatal(err)
	}
	return []string{"--mesh-secret", path, "--trust", "lan"}
}

func TestTwoNodesOnALAN(t *testing.T) {
	lab := netlab.New(t)
	lan := lab.Bridge("lan")
	mesh := newMeshSecret(t)
	dirs := t.TempDir()
	a, b, c := lab.Machine("a"), lab.Machine("b"), lab.Machine("c")
	a.Plug(lan, "10.77.0.1/24")
	link := b.Plug(lan, "10.77.0.2/24")
	c.Plug(lan, "10.77.0.3/24")

	// A stranger is there before they are.
	stranger := runOn(t, c, filepath.Join(dirs, "stranger"))
	laptop := runOn(t, a, filepath.Join(dirs, "laptop"), mesh...)
	server := runOn(t, b, filepath.Join(dirs, "server"), mesh...)
	together(t, laptop, server)
	if x, y := laptop.knows(t, server).Words, server.knows(t, laptop).Words; x != y || len(strings.Fields(x)) != 6 {
		t.Errorf("words %q and %q", x, y)
	}
	for _, n := range []*lanNode{laptop, server} {
		if p := stranger.knows(t, n); p.PeerID != "" {
			t.Errorf("the stranger has found %s: %+v", n.name, p)
		}
		if p := n.knows(t, stranger); p.PeerID != "" {
			t.Errorf("%s has found the stranger: %+v", n.name, p)
		}
	}

	// What is written on one appears on the other.
	change, err := laptop.api.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "private"})
	if err != nil {
		t.Fatal(err)
	}
	soon(t, "the change is on the server", func() bool { return slices.Contains(server.heads(t), change.Addr.String()) })

	// The stranger gets to know an address, and gets nothing there.
	addr := ""
	for _, s := range laptop.addrs {
		if strings.HasPrefix(s, "/ip4/10.77.0.1/") {
			addr = s
		}
	}
	if _, err := stranger.api.Trust(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.api.Sync(t.Context(), addr, node.SyncOptions{}, nil); !isCode(err, api.CodeUntrusted) {
		t.Errorf("a sync of the stranger: %v", err)
	}
	soon(t, "the stranger is listed", func() bool { return laptop.knows(t, stranger).Asked > 0 })
	pending := laptop.knows(t, stranger)
	if pending.Trusted || pending.Proved || len(pending.Addrs) == 0 || !strings.HasPrefix(pending.Addrs[0], "/ip4/10.77.0.3/") {
		t.Errorf("the stranger is listed as %+v", pending)
	}
	if words := stranger.knows(t, laptop).Words; words != pending.Words {
		t.Errorf("the stranger sees the words %q, laptop %q", words, pending.Words)
	}
	if heads := stranger.heads(t); len(heads) > 0 {
		t.Errorf("the stranger has %q", heads)
	}

	// A link is down when the other node comes, and comes back.
	server.stop(t)
	soon(t, "the server is gone", func() bool { return !laptop.knows(t, server).Connected })
	b.IP("link", "set", link, "down")
	server = runOn(t, b, filepath.Join(dirs, "server"), mesh...)
	soon(t, "the server says that it has no network", func() bool {
		return strings.Contains(server.stderr.String(), "no network interface is up")
	})
	b.IP("link", "set", link, "up")
	together(t, laptop, server)

	// A node comes back with another address.
	server.stop(t)
	b.IP("addr", "del", "10.77.0.2/24", "dev", link)
	b.IP("addr", "add", "10.77.0.99/24", "dev", link)
	server = runOn(t, b, filepath.Join(dirs, "server"), mesh...)
	together(t, laptop, server)
	if p := laptop.knows(t, server); !strings.Contains(fmt.Sprint(p.Addrs), "/ip4/10.77.0.99/") {
		t.Errorf("laptop is connected to the server at %q", p.Addrs)
	}
}

func TestFiveNodesOnALAN(t *testing.T) {
	lab := netlab.New(t)
	lan := lab.Bridge("lan")
	mesh := newMeshSecret(t)
	dirs := t.TempDir()
	var nodes []*lanNode
	for i := range 5 {
		m := lab.Machine(fmt.Sprint("m", i))
		m.Plug(lan, fmt.Sprintf("10.77.0.%d/24", i+1))
		nodes = append(nodes, runOn(t, m, filepath.Join(dirs, fmt.Sprint("n", i)), mesh...))
	}
	together(t, nodes...)
	for _, n := range nodes {
		change, err := n.api.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "of " + n.name})
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range nodes {
			soon(t, "the change of "+n.name+" is on "+other.name, func() bool {
				return slices.Contains(other.heads(t), change.Addr.String())
			})
		}
	}
}
