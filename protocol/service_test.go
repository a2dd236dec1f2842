package protocol_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// unwanted is a handler for services that must not hand on anything.
func unwanted(t *testing.T) handle {
	return func(_ context.Context, p peer.ID, _ *saga.Init, _ saga.Conn) {
		t.Errorf("a saga of %s was handed on", p)
	}
}

// largeInit is more than a stream takes without being read.
func largeInit() *saga.Init {
	m := &saga.Init{ID: saga.ID(fill('s'))}
	for range saga.MaxEntries {
		m.Entries = append(m.Entries, timeline.Entry{Root: fill('r'), Heads: hashes("abcdefghijklmnop")})
	}
	return m
}

func TestUntrusted(t *testing.T) {
	for _, transport := range transports {
		for _, open := range []struct {
			name string
			init *saga.Init
		}{{"small", firstInit}, {"large", largeInit()}} {
			t.Run(transport.name+"/"+open.name, func(t *testing.T) {
				asked := make(chan peer.ID, 1)
				h, _ := serve(t, transport.listen, func(_ context.Context, p peer.ID) error {
					asked <- p
					return errors.New("secret reason")
				}, unwanted(t), protocol.Options{})
				from := newHost(t, transport.listen)
				conn := dial(t, from, h, protocol.Options{})
				send(t, conn, open.init)
				e := receiveError(t, conn, saga.CodeUntrusted)
				if strings.Contains(e.Text, "secret") || e.Retry {
					t.Errorf("the peer was told %#v", e)
				}
				if p := await(t, "the question of trust", asked); p != from.ID() {
					t.Errorf("asked about %s, want %s", p, from.ID())
				}
				conn.Abort()
			})
		}
	}
}

func TestAuthorizeMayChooseTheAnswer(t *testing.T) {
	h, _ := serve(t, transports[0].listen, func(context.Context, peer.ID) error {
		return &saga.Error{Code: saga.CodeInternal, Text: "the trust list cannot be read", Retry: true}
	}, unwanted(t), protocol.Options{})
	conn := dial(t, newHost(t, transports[0].listen), h, protocol.Options{})
	defer conn.Abort()
	send(t, conn, firstInit)
	if e := receiveError(t, conn, saga.CodeInternal); !e.Retry {
		t.Errorf("the peer was told %#v", e)
	}
}

func TestBusy(t *testing.T) {
	tests := []struct {
		name string
		opts protocol.Options
		same bool // the second saga is of the same peer
	}{
		{"per peer", protocol.Options{MaxSagasPerPeer: 1}, true},
		{"in all", protocol.Options{MaxSagas: 1}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			running, release := make(chan struct{}, 1), make(chan struct{})
			h, _ := serve(t, transports[0].listen, everyone, func(_ context.Context, _ peer.ID, _ *saga.Init, conn saga.Conn) {
				running <- struct{}{}
				<-release
			}, tt.opts)
			one := newHost(t, transports[0].listen)
			other := one
			if !tt.same {
				other = newHost(t, transports[0].listen)
			}
			first := dial(t, one, h, protocol.Options{})
			defer first.Abort()
			send(t, first, firstInit)
			await(t, "the first saga", running)

			second := dial(t, other, h, protocol.Options{})
			send(t, second, firstInit)
			if e := receiveError(t, second, saga.CodeBusy); !e.Retry {
				t.Errorf("the peer was told %#v", e)
			}
			second.Abort()

			// The place is free again once the first handler has returned.
			close(release)
			for ctx := testContext(t); ; {
				conn := dial(t, other, h, protocol.Options{})
				send(t, conn, firstInit)
				_, _, err := conn.Receive(ctx)
				conn.Abort()
				if err == nil {
					continue // busy
				}
				wantCode(t, err, saga.CodeUnreachable) // the handler returned at once
				break
			}
		})
	}
}

// A peer that is refused again and again costs a bounded number of streams, and so does
// a trusted one that asks for what is not served.
func TestRefusalsAreBounded(t *testing.T) {
	t.Run("stranger", func(t *testing.T) {
		refusals(t, func(context.Context, peer.ID) error { return errors.New("no") }, firstInit, 4)
	})
	t.Run("trusted", func(t *testing.T) {
		refusals(t, everyone, &protocol.KeystoneFrames{Genesis: "keystone^A"}, 16)
	})
}

// refusals wants so many of 20 streams to be answered.
func refusals(t *testing.T, authorize func(context.Context, peer.ID) error, open saga.Message, want int) {
	h, _ := serve(t, transports[0].listen, authorize, unwanted(t), protocol.Options{CloseTimeout: patience})
	from := newHost(t, transports[0].listen)
	answered := 0
	for range 20 {
		// Neither side closes, so each refusal keeps its stream.
		stream := rawStream(t, from, h)
		if _, err := stream.Write(framed(encode(t, open))); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(stream, make([]byte, 1)); err == nil {
			answered++
		}
		defer func() { _ = stream.Reset() }()
	}
	if answered != want {
		t.Errorf("%d streams were answered, want %d", answered, want)
	}
}

// Strangers that hold on to the answers they got, from as many peers as it
// takes, do not keep a trusted peer out.
func TestStrangersTakeNoPlaceFromTrustedPeers(t *testing.T) {
	trusted := newHost(t, transports[0].listen)
	served := make(chan struct{}, 1)
	h, _ := serve(t, transports[0].listen, func(_ context.Context, p peer.ID) error {
		if p == trusted.ID() {
			return nil
		}
		return errors.New("no")
	}, func(context.Context, peer.ID, *saga.Init, saga.Conn) {
		served <- struct{}{}
	}, protocol.Options{CloseTimeout: patience})
	answered := 0
	for range 17 {
		from := newHost(t, transports[0].listen)
		for range 4 {
			stream := rawStream(t, from, h)
			if _, err := stream.Write(framed(encode(t, firstInit))); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(stream, make([]byte, 1)); err == nil {
				answered++
			}
			defer func() { _ = stream.Reset() }()
		}
	}
	if answered != 64 {
		t.Errorf("%d strangers' streams were answered, want 64", answered)
	}
	conn := dial(t, trusted, h, protocol.Options{})
	defer conn.Abort()
	send(t, conn, firstInit)
	await(t, "the trusted peer's saga", served)
}

func TestWhatAStreamOpensWith(t *testing.T) {
	id := saga.ID(fill('s'))
	tests := []struct {
		name string
		in   []byte
		code saga.Code
	}{
		{"hello", framed(encode(t, &protocol.Hello{Genesis: "keystone^GENESIS"})), saga.CodeUnsupported},
		{"notice", framed(encode(t, noticeOf("q"))), saga.CodeUnsupported},
		{"keystone frames", framed(encode(t, &protocol.KeystoneFrames{})), saga.CodeUnsupported},
		{"ack", framed(encode(t, &saga.Ack{ID: id})), saga.CodeProtocol},
		{"delta", framed(encode(t, &saga.Delta{ID: id})), saga.CodeProtocol},
		{"commit", framed(encode(t, &saga.Commit{ID: id})), saga.CodeProtocol},
		{"a message of a later version", framed([]byte{0x82, 0x01, 0x00}), saga.CodeUnsupported},
		{"garbage", framed([]byte("garbage")), saga.CodeProtocol},
		{"too much", binary.AppendUvarint(nil, 1<<30), saga.CodeLimit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, _ := serve(t, transports[0].listen, everyone, unwanted(t), protocol.Options{CloseTimeout: patience})
			stream := rawStream(t, newHost(t, transports[0].listen), h)
			if _, err := stream.Write(tt.in); err != nil {
				t.Fatal(err)
			}
			if err := stream.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if e := readError(t, stream); e.Code != tt.code {
				t.Errorf("answer %#v, want code %s", e, tt.code)
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		h, _ := serve(t, transports[0].listen, everyone, unwanted(t), quick)
		stream := rawStream(t, newHost(t, transports[0].listen), h)
		// The protocol is negotiated with the first byte written or read.
		if e := readError(t, stream); e.Code != saga.CodeTimeout {
			t.Errorf("answer %#v, want a timeout", e)
		}
	})
}

func TestServiceClose(t *testing.T) {
	t.Run("ends and joins its handlers", func(t *testing.T) {
		running, ended := make(chan struct{}), make(chan error, 1)
		h, s := serve(t, transports[0].listen, everyone, func(ctx context.Context, _ peer.ID, _ *saga.Init, conn saga.Conn) {
			_, _, _ = conn.Receive(ctx)
			close(running)
			_, _, err := conn.Receive(ctx)
			ended <- err
		}, protocol.Options{})
		from := newHost(t, transports[0].listen)
		conn := dial(t, from, h, protocol.Options{})
		defer conn.Abort()
		send(t, conn, firstInit)
		await(t, "the saga", running)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			wantCode(t, err, saga.CodeCanceled)
		default:
			t.Error("Close returned before the handler")
		}
		_, _, err := conn.Receive(testContext(t))
		wantCode(t, err, saga.CodeUnreachable)
		if err := s.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
	})
	t.Run("does not wait forever", func(t *testing.T) {
		running, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		h, s := serve(t, transports[0].listen, everyone, func(context.Context, peer.ID, *saga.Init, saga.Conn) {
			defer close(ended)
			close(running)
			<-release
		}, quick)
		conn := dial(t, newHost(t, transports[0].listen), h, protocol.Options{})
		defer conn.Abort()
		send(t, conn, firstInit)
		await(t, "the saga", running)
		if err := s.Close(); err == nil {
			t.Error("Close did not report the handler that goes on")
		}
		close(release)
		await(t, "the handler's end", ended)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("with its host gone", func(t *testing.T) {
		h, s := serve(t, transports[0].listen, everyone, unwanted(t), protocol.Options{})
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestDialFailures(t *testing.T) {
	from := newHost(t, transports[0].listen)
	stranger := newHost(t, transports[0].listen) // serves nothing
	gone := newHost(t, transports[0].listen)
	goneInfo := infoOf(gone)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	mute, err := multiaddr.NewMultiaddr("/ip4/127.0.0.1/tcp/" + listener.Addr().String()[len("127.0.0.1:"):])
	if err != nil {
		t.Fatal(err)
	}
	plainUDP, err := multiaddr.NewMultiaddr("/ip4/127.0.0.1/udp/1")
	if err != nil {
		t.Fatal(err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	someone := newHost(t, transports[0].listen)
	tests := []struct {
		name string
		ctx  context.Context
		to   peer.AddrInfo
		opts protocol.Options
		code saga.Code
		text string
	}{
		{"nobody listens", t.Context(), goneInfo, protocol.Options{}, saga.CodeUnreachable,
			"no connection to the peer: connection refused at " + goneInfo.Addrs[0].String()},
		{"nobody listens at many addresses", t.Context(), manyAddrs(t, 4), protocol.Options{}, saga.CodeUnreachable,
			"no connection to the peer: connection refused at /ip4/127.0.0.1/tcp/1 and 3 more"},
		{"someone else listens", t.Context(), peer.AddrInfo{ID: stranger.ID(), Addrs: someone.Addrs()}, protocol.Options{}, saga.CodeUnreachable,
			"no connection to the peer: another node, " + someone.ID().String() + ", answers at " + someone.Addrs()[0].String()},
		{"no address", t.Context(), peer.AddrInfo{ID: peer.ID("unheard of")}, protocol.Options{}, saga.CodeUnreachable,
			"no connection to the peer: no address of it is known"},
		{"an address without a transport", t.Context(), peer.AddrInfo{ID: peer.ID("odd"), Addrs: []multiaddr.Multiaddr{plainUDP}}, protocol.Options{}, saga.CodeUnreachable,
			"no connection to the peer: this node cannot use such an address at /ip4/127.0.0.1/udp/1"},
		{"peer does not answer", t.Context(), peer.AddrInfo{ID: gone.ID(), Addrs: []multiaddr.Multiaddr{mute}}, protocol.Options{DialTimeout: 100 * time.Millisecond}, saga.CodeTimeout,
			"the peer did not answer in time"},
		{"peer does not speak the protocol", t.Context(), infoOf(stranger), protocol.Options{}, saga.CodeUnsupported,
			"the peer does not speak /ibgib/sync/1"},
		{"own peer id", t.Context(), infoOf(from), protocol.Options{}, saga.CodeUnreachable,
			"this is the node's own peer id"},
		{"canceled", canceled, infoOf(someone), protocol.Options{}, saga.CodeCanceled,
			"dialing was canceled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := protocol.Dial(tt.ctx, from, tt.to, tt.opts)
			if conn != nil {
				t.Error("a connection was made")
			}
			wantCode(t, err, tt.code)
			if e, ok := errors.AsType[*saga.Error](err); ok && e.Text != tt.text {
				t.Errorf("text %q, want %q", e.Text, tt.text)
			}
		})
	}
}

// manyAddrs returns a peer with so many addresses at which nobody listens.
func manyAddrs(t *testing.T, n int) peer.AddrInfo {
	t.Helper()
	to := peer.AddrInfo{ID: peer.ID("many")}
	for i := range n {
		a, err := multiaddr.NewMultiaddr(fmt.Sprint("/ip4/127.0.0.1/tcp/", i+1))
		if err != nil {
			t.Fatal(err)
		}
		to.Addrs = append(to.Addrs, a)
	}
	return to
}

func TestBadOptions(t *testing.T) {
	h := newHost(t, transports[0].listen)
	for _, opts := range []protocol.Options{
		{IdleTimeout: -1}, {StallTimeout: -1}, {CloseTimeout: -1}, {DialTimeout: -1}, {MeetTimeout: -1}, {NoticeTimeout: -1}, {MaxSagas: -1}, {MaxSagasPerPeer: -1},
	} {
		if _, err := protocol.Serve(t.Context(), h, protocol.Handlers{Authorize: everyone, Saga: unwanted(t)}, opts); err == nil {
			t.Errorf("%+v was accepted", opts)
		}
	}
}
