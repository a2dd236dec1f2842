package protocol_test

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// patience bounds what a test waits for and expects to happen at once.
const patience = time.Minute

// quick are options for tests that wait for a timeout to pass.
var quick = protocol.Options{
	IdleTimeout:  100 * time.Millisecond,
	StallTimeout: 100 * time.Millisecond,
	CloseTimeout: 100 * time.Millisecond,
}

// transports are the listening addresses on which the network tests run.
var transports = []struct{ name, listen string }{
	{"tcp", "/ip4/127.0.0.1/tcp/0"},
	{"quic", "/ip4/127.0.0.1/udp/0/quic-v1"},
}

func newHost(t testing.TB, listen string) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings(listen), libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func infoOf(h host.Host) peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()} }

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// everyone trusts every peer.
func everyone(context.Context, peer.ID) error { return nil }

// Handlers of a service, by kind.
type (
	authorize = func(context.Context, peer.ID) error
	handle    = func(context.Context, peer.ID, *saga.Init, saga.Conn)
)

// serve starts a service on a new host and closes it at the end of the test.
func serve(t testing.TB, listen string, trust authorize, run handle, opts protocol.Options) (host.Host, *protocol.Service) {
	t.Helper()
	h := newHost(t, listen)
	return h, serveOn(t, h, protocol.Handlers{Authorize: trust, Saga: run}, opts)
}

func serveOn(t testing.TB, h host.Host, handlers protocol.Handlers, opts protocol.Options) *protocol.Service {
	t.Helper()
	s, err := protocol.Serve(t.Context(), h, handlers, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func dial(t testing.TB, from, to host.Host, opts protocol.Options) *protocol.Conn {
	t.Helper()
	conn, err := protocol.Dial(testContext(t), from, infoOf(to), opts)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// rawStream opens a stream of the protocol on which a test writes what it likes.
func rawStream(t testing.TB, from, to host.Host) network.Stream {
	t.Helper()
	if err := from.Connect(testContext(t), infoOf(to)); err != nil {
		t.Fatal(err)
	}
	stream, err := from.NewStream(testContext(t), to.ID(), protocol.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return stream
}

// readError reads the one frame that a refusing service sends, to its end.
func readError(t testing.TB, stream network.Stream) *saga.Error {
	t.Helper()
	m, err := protocol.Decode(readFrame(t, stream))
	if err != nil {
		t.Fatal(err)
	}
	e, is := m.(*saga.Error)
	if !is {
		t.Fatalf("answer %#v, want an error", m)
	}
	return e
}

func send(t testing.TB, conn saga.Conn, m saga.Message) saga.Receipt {
	t.Helper()
	r, err := conn.Send(testContext(t), m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func receive(t testing.TB, conn saga.Conn) (saga.Message, saga.Receipt) {
	t.Helper()
	m, r, err := conn.Receive(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return m, r
}

// receiveError receives a message, which must be an error with that code.
func receiveError(t testing.TB, conn saga.Conn, code saga.Code) *saga.Error {
	t.Helper()
	m, _ := receive(t, conn)
	e, is := m.(*saga.Error)
	if !is || e.Code != code || !e.Remote {
		t.Fatalf("received %#v, want an error %s of the other side", m, code)
	}
	return e
}

// await waits for what a channel brings.
func await[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not happen", what)
		panic("not reached")
	}
}

// pair returns the two ends of one connection: the initiator's, which has sent
// an init, and the responder's, which has received it. The handler behind the
// responder's end returns at the end of the test.
func pair(t testing.TB, listen string, initiator, responder protocol.Options) (i *protocol.Conn, r saga.Conn) {
	t.Helper()
	conns := make(chan saga.Conn, 1)
	release := make(chan struct{})
	h, _ := serve(t, listen, everyone, func(_ context.Context, _ peer.ID, _ *saga.Init, conn saga.Conn) {
		conns <- conn
		<-release
	}, responder)
	t.Cleanup(func() { close(release) })
	i = dial(t, newHost(t, listen), h, initiator)
	send(t, i, firstInit)
	r = await(t, "accepting the stream", conns)
	receive(t, r)
	return i, r
}

var firstInit = &saga.Init{ID: saga.ID(fill('s')), Fingerprint: fill('f'), Complete: true, Credit: 4 << 20}
