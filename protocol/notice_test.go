package protocol_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/protocol/internal/pb"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// noticeOf returns a notice of timelines, each with one head.
func noticeOf(roots string) *protocol.Notice {
	n := &protocol.Notice{}
	for _, root := range hashes(roots) {
		n.Timelines = append(n.Timelines, timeline.Entry{Root: root, Heads: hashes("h")})
	}
	return n
}

// largeNotice is a notice of as many timelines as it may have.
func largeNotice() *protocol.Notice {
	n := &protocol.Notice{}
	for i := range saga.MaxEntries {
		var root ibgib.Hash
		binary.BigEndian.PutUint32(root[:], uint32(i))
		n.Timelines = append(n.Timelines, timeline.Entry{Root: root, Heads: hashes("h")})
	}
	return n
}

// listener is a service that takes notices.
type listener struct {
	host    host.Host
	service *protocol.Service
}

func listen(t testing.TB, at string, trust authorize, take func(context.Context, peer.ID, *protocol.Notice), opts protocol.Options) listener {
	t.Helper()
	h := newHost(t, at)
	s := serveOn(t, h, protocol.Handlers{
		Authorize: trust,
		Saga: func(_ context.Context, p peer.ID, _ *saga.Init, _ saga.Conn) {
			t.Errorf("a saga of %s was handed on", p)
		},
		Notice: take,
	}, opts)
	return listener{h, s}
}

func connect(t testing.TB, from, to host.Host) {
	t.Helper()
	if err := from.Connect(testContext(t), infoOf(to)); err != nil {
		t.Fatal(err)
	}
}

// A notice has been taken when Notify returns.
func TestNotice(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			type taken struct {
				from peer.ID
				n    *protocol.Notice
			}
			notices := make(chan taken, 1)
			l := listen(t, transport.listen, everyone, func(_ context.Context, p peer.ID, n *protocol.Notice) {
				notices <- taken{p, n}
			}, protocol.Options{})
			from := newHost(t, transport.listen)
			connect(t, from, l.host)
			for _, n := range []*protocol.Notice{noticeOf("q"), noticeOf("qr"), largeNotice()} {
				if err := protocol.Notify(testContext(t), from, l.host.ID(), n, protocol.Options{}); err != nil {
					t.Fatal(err)
				}
				select {
				case got := <-notices:
					if got.from != from.ID() || !reflect.DeepEqual(got.n, n) {
						t.Errorf("taken from %s: %v", got.from, got.n)
					}
				default:
					t.Fatal("Notify returned before the notice was taken")
				}
			}
		})
	}
}

func TestNoticeRefused(t *testing.T) {
	never := func(context.Context, peer.ID, *protocol.Notice) { t.Error("the notice was taken") }
	nobody := func(context.Context, peer.ID) error { return &saga.Error{Code: saga.CodeUntrusted, Text: "no"} }
	tests := []struct {
		name  string
		trust authorize
		take  func(context.Context, peer.ID, *protocol.Notice)
		n     *protocol.Notice
		code  saga.Code
	}{
		{"of a stranger", nobody, never, noticeOf("q"), saga.CodeUntrusted},
		{"by who takes none", everyone, nil, noticeOf("q"), saga.CodeUnsupported},
		{"of nothing", everyone, never, noticeOf(""), saga.CodeProtocol},
		{"out of order", everyone, never, noticeOf("ra"), saga.CodeProtocol},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := listen(t, transports[0].listen, tt.trust, tt.take, protocol.Options{})
			from := newHost(t, transports[0].listen)
			connect(t, from, l.host)
			wantCode(t, protocol.Notify(testContext(t), from, l.host.ID(), tt.n, protocol.Options{}), tt.code)
		})
	}
}

// Notify does not dial.
func TestNoticeWithoutConnection(t *testing.T) {
	l := listen(t, transports[0].listen, everyone, nil, protocol.Options{})
	from := newHost(t, transports[0].listen)
	from.Peerstore().AddAddrs(l.host.ID(), l.host.Addrs(), time.Hour)
	wantCode(t, protocol.Notify(testContext(t), from, l.host.ID(), noticeOf("q"), protocol.Options{}), saga.CodeUnreachable)
	if len(from.Network().Conns()) > 0 {
		t.Error("a connection was made")
	}
}

// A peer that sends too many notices is told so, and no other one.
func TestTooManyNotices(t *testing.T) {
	taken := 0
	l := listen(t, transports[0].listen, everyone, func(context.Context, peer.ID, *protocol.Notice) { taken++ }, protocol.Options{})
	from, other := newHost(t, transports[0].listen), newHost(t, transports[0].listen)
	connect(t, from, l.host)
	connect(t, other, l.host)
	large := largeNotice()
	var err error
	for range 1000 {
		if err = protocol.Notify(testContext(t), from, l.host.ID(), large, protocol.Options{}); err != nil {
			break
		}
	}
	wantCode(t, err, saga.CodeBusy)
	if taken < 3 {
		t.Errorf("%d large notices were taken, want at least 3", taken)
	}
	if err := protocol.Notify(testContext(t), other, l.host.ID(), large, protocol.Options{}); err != nil {
		t.Errorf("a notice of another peer: %v", err)
	}
}

// Who does not take the notice is not waited for.
func TestNoticeIsBounded(t *testing.T) {
	stuck := make(chan struct{})
	ended := make(chan struct{}, 2)
	l := listen(t, transports[0].listen, everyone, func(ctx context.Context, _ peer.ID, _ *protocol.Notice) {
		stuck <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
	}, protocol.Options{})
	from := newHost(t, transports[0].listen)
	connect(t, from, l.host)
	failed := make(chan error, 1)
	notify := func(ctx context.Context, opts protocol.Options) {
		go func() { failed <- protocol.Notify(ctx, from, l.host.ID(), noticeOf("q"), opts) }()
		await(t, "the notice", stuck)
	}
	notify(testContext(t), protocol.Options{NoticeTimeout: 100 * time.Millisecond})
	wantCode(t, await(t, "the end of the first", failed), saga.CodeTimeout)
	ctx, cancel := context.WithCancel(t.Context())
	notify(ctx, protocol.Options{})
	cancel()
	wantCode(t, await(t, "the end of the second", failed), saga.CodeCanceled)
	if err := l.service.Close(); err != nil {
		t.Error(err)
	}
	if len(ended) != 2 {
		t.Error("Close returned before the handlers")
	}
}

// What follows a notice is not looked at.
func TestAfterANotice(t *testing.T) {
	taken := make(chan struct{}, 1)
	l := listen(t, transports[0].listen, everyone, func(context.Context, peer.ID, *protocol.Notice) { taken <- struct{}{} }, quick)
	stream := rawStream(t, newHost(t, transports[0].listen), l.host)
	if _, err := stream.Write(bytes.Repeat(framed(encode(t, noticeOf("q"))), 2)); err != nil {
		t.Fatal(err)
	}
	await(t, "the notice", taken)
	var frame [1]byte
	if n, err := stream.Read(frame[:]); n > 0 || err == nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if err := l.service.Close(); err != nil {
		t.Error(err)
	}
	if len(taken) > 0 {
		t.Error("a second notice was taken from the same stream")
	}
}

func TestNoticeOfTheSpec(t *testing.T) {
	n := noticeOf("qr")
	n.Timelines[1].Heads = hashes("ab")
	wire := encode(t, n)
	prefix := binary.AppendUvarint(nil, uint64(len(wire)))
	var dump strings.Builder
	fmt.Fprintf(&dump, "sender to receiver: %d bytes\n  %x  # length\n", len(prefix)+len(wire), prefix)
	annotate(&dump, wire, new(pb.Envelope).ProtoReflect().Descriptor(), "  ")
	if *update {
		updateSpec(t, "notice", dump.String())
	}
	if shown := shownInSpec(t, "notice"); shown != dump.String() {
		t.Errorf("SPEC.md shows\n%s\nbut the notice is\n%s\nrun the test with -update if that is meant", shown, dump.String())
	}
}
