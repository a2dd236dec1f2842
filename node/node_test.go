package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

func TestDataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data")
	n := openNodeAt(t, dir, overTCP)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Join(dir, "peer.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("peer key: %v, %v", info.Mode(), err)
	}
	if _, err := node.Open(node.Config{Data: dir}); !errors.Is(err, blockstore.ErrInUse) {
		t.Errorf("second open: %v", err)
	}
	id := n.PeerID()
	if addrs := n.Identity().Addrs; addrs == nil || len(addrs) != 0 {
		t.Errorf("addresses before the first start: %v", addrs)
	}
	made := create(t, n, ibgib.FirstGenOptions{Ib: "note"})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); !errors.Is(err, node.ErrStarted) {
		t.Errorf("second start: %v", err)
	}
	addr := addrOf(t, n)
	if !strings.HasSuffix(addr, "/p2p/"+id.String()) || !strings.HasPrefix(addr, "/ip4/127.0.0.1/tcp/") {
		t.Errorf("address %s", addr)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); !errors.Is(err, node.ErrClosed) {
		t.Errorf("start after close: %v", err)
	}

	again := openNodeAt(t, dir)
	if again.PeerID() != id || addrOf(t, again) != addr {
		t.Errorf("after a restart: %+v", again.Identity())
	}
	if tl, err := again.Latest(t.Context(), made.Tjp); err != nil || tl.Latest != made.Addr {
		t.Errorf("after a restart: %+v, %v", tl, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	newer := t.TempDir()
	if err := os.WriteFile(filepath.Join(newer, "format"), []byte("2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Open(node.Config{Data: newer}); !errors.Is(err, node.ErrNewer) {
		t.Errorf("newer directory: %v", err)
	}
	for _, addr := range []string{"", "127.0.0.1:1", "/ip4/127.0.0.1/tcp/0/wss", "/ip4/127.0.0.1/udp/0", "/ip4/127.0.0.1/tcp/0/webtransport", "/dns4/example.org/tcp/1"} {
		if _, err := node.Open(node.Config{Data: t.TempDir(), Listen: []string{addr}}); !errors.Is(err, node.ErrInput) {
			t.Errorf("listen at %q: %v", addr, err)
		}
	}
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, "peer.key"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Open(node.Config{Data: damaged}); err == nil {
		t.Error("a damaged key was read")
	}
	// The store was closed again: with the key gone the node opens.
	if err := os.Remove(filepath.Join(damaged, "peer.key")); err != nil {
		t.Fatal(err)
	}
	openNodeAt(t, damaged)
}

func TestStartOnTakenPort(t *testing.T) {
	a := startNode(t, overTCP)
	taken := strings.TrimSuffix(addrOf(t, a), "/p2p/"+a.PeerID().String())
	b := openNode(t, taken)
	if err := b.Start(t.Context()); err == nil {
		t.Error("two nodes listen at the same port")
	}
	// The failed start left nothing behind.
	create(t, b, ibgib.FirstGenOptions{Ib: "note"})
}

func TestTrustArguments(t *testing.T) {
	n := openNode(t)
	for _, id := range []string{"", "nobody", n.PeerID().String()} {
		if _, err := n.Trust(t.Context(), id); !errors.Is(err, node.ErrInput) {
			t.Errorf("trust %q: %v", id, err)
		}
	}
	p := openNode(t).PeerID().String()
	if err := n.Untrust(t.Context(), p); !isNotFound(err) {
		t.Errorf("untrust of a stranger: %v", err)
	}
	if got, err := n.Trust(t.Context(), "/ip4/192.0.2.1/tcp/4001/p2p/"+p); err != nil || got.PeerID != p {
		t.Errorf("trust of a multiaddr: %+v, %v", got, err)
	}
}

// silentPeer is a trusted peer that begins a saga and says no more.
func silentPeer(t *testing.T, n *node.Node) (host.Host, *protocol.Conn) {
	t.Helper()
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	if _, err := n.Trust(t.Context(), h.ID().String()); err != nil {
		t.Fatal(err)
	}
	to, err := peer.AddrInfoFromString(addrOf(t, n))
	if err != nil {
		t.Fatal(err)
	}
	node.Believe(t, h, *to)
	conn, err := protocol.Dial(t.Context(), h, *to, protocol.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Abort)
	init := &saga.Init{ID: saga.ID{1}, Complete: true, Credit: saga.InitialCredit}
	init.Fingerprint[0] = 1 // differs
	if _, err := conn.Send(t.Context(), init); err != nil {
		t.Fatal(err)
	}
	// The answer says that the saga runs.
	if m, _, err := conn.Receive(t.Context()); err != nil || m.Stage() != saga.StageAck {
		t.Fatalf("answer %v, %v", m, err)
	}
	return h, conn
}

// receiveUntilEnd reads until the other side ends the saga.
func receiveUntilEnd(t *testing.T, conn *protocol.Conn) {
	t.Helper()
	for {
		m, _, err := conn.Receive(t.Context())
		if err != nil {
			return
		}
		if e, ok := m.(*saga.Error); ok {
			if e.Code != saga.CodeCanceled {
				t.Errorf("the saga ended with %v", e)
			}
			return
		}
	}
}

func TestUntrustEndsRunningSagas(t *testing.T) {
	n := startNode(t, overTCP)
	create(t, n, ibgib.FirstGenOptions{Ib: "note"})
	h, conn := silentPeer(t, n)
	if err := n.Untrust(t.Context(), h.ID().String()); err != nil {
		t.Fatal(err)
	}
	receiveUntilEnd(t, conn)
}

func TestCloseEndsRunningSagas(t *testing.T) {
	n := startNode(t, overQUIC)
	create(t, n, ibgib.FirstGenOptions{Ib: "note"})
	_, conn := silentPeer(t, n)
	closed := make(chan error)
	go func() { closed <- n.Close() }()
	receiveUntilEnd(t, conn)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, err := n.Latest(t.Context(), parseAddr(t, "x^"+strings.Repeat("A", 64))); !errors.Is(err, blockstore.ErrClosed) {
		t.Errorf("call after close: %v", err)
	}
}

// Two nodes that sync with each other at once both get there, or one is told
// to try again.
func TestSyncBothWaysAtOnce(t *testing.T) {
	a, b := startNode(t, overTCP), startNode(t, overTCP)
	importBytes(t, a, readSpace(t, "a.ndjson").file)
	importBytes(t, b, readSpace(t, "b.ndjson").file)
	pair(t, a, b)
	ended := make(chan error)
	for _, way := range [][2]*node.Node{{a, b}, {b, a}} {
		to := addrOf(t, way[1])
		go func() {
			_, err := way[0].Sync(t.Context(), to, nil)
			ended <- err
		}()
	}
	good := 0
	for range 2 {
		err := <-ended
		var e *saga.Error
		switch {
		case err == nil:
			good++
		case !errors.As(err, &e) || e.Code != saga.CodeBusy:
			t.Error(err)
		}
	}
	if good == 0 {
		t.Error("both were busy")
	}
	ha, hb := headsOf(t, a), headsOf(t, b)
	for tjp, heads := range ha {
		if !slices.Equal(heads, hb[tjp]) {
			t.Errorf("heads of %s differ", tjp)
		}
	}
	mustVerify(t, a)
	mustVerify(t, b)
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, listen := range []string{overTCP, overQUIC} {
		a, b := startNode(t, listen), startNode(t, listen)
		pair(t, a, b)
		create(t, a, ibgib.FirstGenOptions{Ib: "note"})
		if _, err := b.Sync(t.Context(), addrOf(t, a), nil); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Fatal(err)
		}
	}
	waitForGoroutines(t, before)
}

// TestMissingParts takes parts of a data directory away: it is not taken for a
// new one.
func TestMissingParts(t *testing.T) {
	for _, part := range []string{"store", "peer.key"} {
		dir := t.TempDir()
		n := openNodeAt(t, dir)
		other := openNode(t)
		if _, err := n.Trust(t.Context(), other.PeerID().String()); err != nil {
			t.Fatal(err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, part)); err != nil {
			t.Fatal(err)
		}
		if _, err := node.Open(node.Config{Data: dir}); !errors.Is(err, blockstore.ErrCorrupt) || !strings.Contains(err.Error(), part) {
			t.Errorf("open without %s: %v", part, err)
		}
		if _, err := os.Stat(filepath.Join(dir, part)); err == nil {
			t.Errorf("open made a new %s", part)
		}
	}
}
