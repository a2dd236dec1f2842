package protocol_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"reflect"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// framed puts the length prefix before an encoding.
func framed(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }

// readFrame reads a stream to its end: one frame.
func readFrame(t testing.TB, stream network.Stream) []byte {
	t.Helper()
	b, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	size, n := binary.Uvarint(b)
	if n <= 0 || uint64(len(b)-n) != size {
		t.Fatalf("% x is not one frame", b)
	}
	return b[n:]
}

func TestExchange(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			type end struct {
				receipts []saga.Receipt
				err      error
			}
			payload := fullDelta()
			commit := &saga.Commit{ID: payload.ID, Digest: fill('d')}
			ack := &saga.Ack{ID: payload.ID, Fingerprint: fill('g')}
			responder := make(chan end, 1)
			h, _ := serve(t, transport.listen, everyone, func(ctx context.Context, p peer.ID, open *saga.Init, conn saga.Conn) {
				var e end
				defer func() { responder <- e }()
				for _, want := range []saga.Message{open, payload} {
					m, r, err := conn.Receive(ctx)
					if err != nil {
						e.err = err
						return
					}
					if !reflect.DeepEqual(m, want) {
						t.Errorf("received %T that differs from what was sent", m)
					}
					e.receipts = append(e.receipts, r)
					if m == saga.Message(open) {
						r, err := conn.Send(ctx, ack)
						if err != nil {
							e.err = err
							return
						}
						e.receipts = append(e.receipts, r)
					}
				}
				r, err := conn.Send(ctx, commit)
				if err != nil {
					e.err = err
					return
				}
				e.receipts = append(e.receipts, r)
				e.err = conn.Close()
			}, protocol.Options{})

			conn := dial(t, newHost(t, transport.listen), h, protocol.Options{})
			if conn.Peer() != h.ID() {
				t.Errorf("peer %s, want %s", conn.Peer(), h.ID())
			}
			var mine []saga.Receipt
			mine = append(mine, send(t, conn, firstInit))
			m, r := receive(t, conn)
			if !reflect.DeepEqual(m, ack) {
				t.Errorf("received %#v, want %#v", m, ack)
			}
			mine = append(mine, r, send(t, conn, payload))
			m, r = receive(t, conn)
			if !reflect.DeepEqual(m, commit) {
				t.Errorf("received %#v, want %#v", m, commit)
			}
			mine = append(mine, r)
			if _, _, err := conn.Receive(testContext(t)); err != io.EOF {
				t.Errorf("after the last message: %v, want EOF", err)
			}
			if err := conn.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			theirs := await(t, "the responder's end", responder)
			if theirs.err != nil {
				t.Fatal(theirs.err)
			}
			if !reflect.DeepEqual(mine, theirs.receipts) {
				t.Errorf("receipts differ:\n%v\n%v", mine, theirs.receipts)
			}
		})
	}
}

// Both sides send more than any buffer holds before either has stopped.
func TestBothDirectionsAtOnce(t *testing.T) {
	const messages = 100 // more than the windows of either transport hold
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			i, r := pair(t, transport.listen, protocol.Options{}, protocol.Options{})
			ctx := testContext(t)
			payload := fullDelta()
			errs := make(chan error, 4)
			for _, conn := range []saga.Conn{i, r} {
				go func() {
					for range messages {
						if _, err := conn.Send(ctx, payload); err != nil {
							errs <- err
							return
						}
					}
					errs <- nil
				}()
				go func() {
					var first saga.Receipt
					for n := range messages {
						m, receipt, err := conn.Receive(ctx)
						if err != nil {
							errs <- err
							return
						}
						if n == 0 {
							first = receipt
						}
						if receipt != first || len(m.(*saga.Delta).Items) != len(payload.Items) {
							t.Error("a message arrived changed")
						}
					}
					errs <- nil
				}()
			}
			for range 4 {
				if err := await(t, "the end of a direction", errs); err != nil {
					t.Fatal(err)
				}
			}
			closed := make(chan error, 1)
			go func() { closed <- r.Close() }()
			if err := i.Close(); err != nil {
				t.Error(err)
			}
			if err := await(t, "closing", closed); err != nil {
				t.Error(err)
			}
		})
	}
}

// A decoded message is not changed by what arrives after it.
func TestPayloadIsOwnedByItsMessage(t *testing.T) {
	i, r := pair(t, transports[0].listen, protocol.Options{}, protocol.Options{})
	id := saga.ID(fill('s'))
	for _, text := range []string{"first", "other"} {
		send(t, i, &saga.Delta{ID: id, Items: []saga.Item{{Bytes: []byte(text)}}})
	}
	first, _ := receive(t, r)
	receive(t, r)
	if got := first.(*saga.Delta).Items[0].Bytes; string(got) != "first" {
		t.Errorf("payload is now %q", got)
	}
}

func TestSilentPeer(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			i, r := pair(t, transport.listen, quick, protocol.Options{})
			_, _, err := i.Receive(testContext(t))
			wantCode(t, err, saga.CodeTimeout)
			i.Abort()
			_, _, err = r.Receive(testContext(t))
			wantCode(t, err, saga.CodeUnreachable)
		})
	}
}

// A peer that reads nothing stops a sender only until the stall timeout.
func TestPeerThatDoesNotRead(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			// The time for a message grows with its size, so the messages are small.
			i, _ := pair(t, transport.listen, quick, protocol.Options{})
			m := &saga.Delta{ID: saga.ID(fill('s')), Offers: hashes("abcd")}
			ctx := testContext(t)
			for {
				if _, err := i.Send(ctx, m); err != nil {
					wantCode(t, err, saga.CodeTimeout)
					return
				}
			}
		})
	}
}

func TestContextEndsSendAndReceive(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			i, _ := pair(t, transport.listen, protocol.Options{}, protocol.Options{})
			ctx, cancel := context.WithCancel(t.Context())
			errs := make(chan error, 2)
			go func() {
				_, _, err := i.Receive(ctx)
				errs <- err
			}()
			sent := make(chan struct{})
			go func() {
				m := &saga.Delta{ID: saga.ID(fill('s')), Offers: hashes("abcd")}
				for n := 0; ; n++ {
					if _, err := i.Send(ctx, m); err != nil {
						errs <- err
						return
					}
					if n == 0 {
						close(sent)
					}
				}
			}()
			await(t, "a message sent", sent)
			cancel()
			for range 2 {
				wantCode(t, await(t, "an end", errs), saga.CodeCanceled)
			}

			expired, cancel := context.WithTimeout(t.Context(), 0)
			defer cancel()
			_, _, err := i.Receive(expired)
			wantCode(t, err, saga.CodeTimeout)
		})
	}
}

func TestAbortIsSeenByTheOtherSide(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			i, r := pair(t, transport.listen, protocol.Options{}, protocol.Options{})
			r.Abort()
			_, _, err := i.Receive(testContext(t))
			wantCode(t, err, saga.CodeUnreachable)
			if err := i.Close(); err == nil {
				t.Error("an aborted connection closed in good order")
			}
		})
	}
}

// An error message is not lost, although the connection is aborted right after
// it and the other side has sent much that nobody has read.
func TestErrorOutlivesAbort(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			i, r := pair(t, transport.listen, protocol.Options{}, protocol.Options{})
			payload := fullDelta()
			for range 4 {
				go func() { _, _ = i.Send(t.Context(), payload) }()
				receive(t, r)
			}
			flood := make(chan struct{})
			go func() {
				defer close(flood)
				for range 8 {
					if _, err := i.Send(t.Context(), payload); err != nil {
						return
					}
				}
			}()
			send(t, r, &saga.Error{ID: payload.ID, Code: saga.CodeRefused, Text: "no"})
			aborted := make(chan struct{})
			go func() {
				defer close(aborted)
				r.Abort()
			}()
			if e := receiveError(t, i, saga.CodeRefused); e.Text != "no" || e.ID != payload.ID {
				t.Errorf("received %#v", e)
			}
			await(t, "the end of sending", flood)
			i.Abort()
			await(t, "the end of aborting", aborted)
		})
	}
}

// Abort after an error does not wait for a peer that goes on forever.
func TestAbortAfterErrorIsBounded(t *testing.T) {
	i, r := pair(t, transports[0].listen, protocol.Options{}, quick)
	payload := fullDelta()
	flood := make(chan error, 1)
	go func() {
		for {
			if _, err := i.Send(t.Context(), payload); err != nil {
				flood <- err
				return
			}
		}
	}()
	send(t, r, &saga.Error{Code: saga.CodeInternal, Text: "no"})
	r.Abort()
	wantCode(t, await(t, "the end of sending", flood), saga.CodeUnreachable)
}

func TestCloseWaitsForTheOtherSide(t *testing.T) {
	t.Run("which stays silent", func(t *testing.T) {
		i, _ := pair(t, transports[0].listen, quick, protocol.Options{})
		wantCode(t, i.Close(), saga.CodeTimeout)
	})
	t.Run("which says more", func(t *testing.T) {
		i, r := pair(t, transports[0].listen, protocol.Options{}, protocol.Options{})
		send(t, r, &saga.Delta{ID: saga.ID(fill('s'))})
		wantCode(t, i.Close(), saga.CodeProtocol)
	})
	t.Run("with a receive under way", func(t *testing.T) {
		i, r := pair(t, transports[0].listen, protocol.Options{}, protocol.Options{})
		ended := make(chan error, 1)
		go func() {
			_, _, err := i.Receive(t.Context())
			ended <- err
		}()
		closed := make(chan error, 1)
		go func() { closed <- i.Close() }()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := await(t, "closing", closed); err != nil {
			t.Error(err)
		}
		if err := await(t, "the end of receiving", ended); err != io.EOF {
			t.Errorf("receive: %v, want EOF", err)
		}
	})
	t.Run("only once", func(t *testing.T) {
		i, _ := pair(t, transports[0].listen, quick, protocol.Options{})
		i.Abort()
		i.Abort()
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What breaks the framing, as seen by the side that reads it.
func TestBrokenFrames(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
		code saga.Code
	}{
		{"length zero", []byte{0}, saga.CodeProtocol},
		{"length not in its shortest form", []byte{0x85, 0x00}, saga.CodeProtocol},
		{"length just too much", binary.AppendUvarint(nil, protocol.MaxMessage+1), saga.CodeLimit},
		{"length of 1 GiB", binary.AppendUvarint(nil, 1<<30), saga.CodeLimit},
		{"length of 2^64 - 1", binary.AppendUvarint(nil, 1<<64-1), saga.CodeLimit},
		{"endless length", bytes.Repeat([]byte{0xff}, 100), saga.CodeLimit},
		{"not a message", framed([]byte("GET / HTTP/1.1")), saga.CodeProtocol},
		{"end inside the length", []byte{0x85}, saga.CodeUnreachable},
		{"end inside a message", framed(make([]byte, 100))[:50], saga.CodeUnreachable},
	}
	first := framed(encode(t, firstInit))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			failed := make(chan error, 1)
			h, _ := serve(t, transports[0].listen, everyone, func(ctx context.Context, _ peer.ID, _ *saga.Init, conn saga.Conn) {
				for {
					if _, _, err := conn.Receive(ctx); err != nil {
						failed <- err
						return
					}
				}
			}, protocol.Options{})
			stream := rawStream(t, newHost(t, transports[0].listen), h)
			if _, err := stream.Write(append(bytes.Clone(first), tt.in...)); err != nil {
				t.Fatal(err)
			}
			// It fails if the other side has seen enough already, and reset the stream.
			_ = stream.CloseWrite()
			wantCode(t, await(t, "a failure", failed), tt.code)
		})
	}
}

// A message that has begun and stops is an error as well.
func TestMessageThatStops(t *testing.T) {
	failed := make(chan error, 1)
	h, _ := serve(t, transports[0].listen, everyone, func(ctx context.Context, _ peer.ID, _ *saga.Init, conn saga.Conn) {
		_, _, err := conn.Receive(ctx)
		if err == nil {
			_, _, err = conn.Receive(ctx)
		}
		failed <- err
	}, quick)
	stream := rawStream(t, newHost(t, transports[0].listen), h)
	if _, err := stream.Write(append(framed(encode(t, firstInit)), framed(make([]byte, 400))[:50]...)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, await(t, "a failure", failed), saga.CodeTimeout)
}
