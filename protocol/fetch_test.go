package protocol_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// bag is a Closure of some blocks.
type bag map[ibgib.Hash]ibgib.IbGib

func (b bag) Blocks(_ context.Context, wants []ibgib.Hash, bytes int) (blocks []ibgib.IbGib, absent []ibgib.Hash, err error) {
	for _, h := range wants {
		g, ok := b[h]
		if !ok {
			absent = append(absent, h)
		} else if bytes -= g.Size(); bytes >= 0 || len(blocks) == 0 {
			blocks = append(blocks, g)
		}
	}
	return blocks, absent, nil
}

func (b bag) Ahead(context.Context, int) ([]ibgib.Hash, error) {
	return []ibgib.Hash{fill('a')}, nil
}
func (b bag) Reads() int { return 0 }

// serveBag serves blocks on a host, to trusted peers or strangers.
func serveBag(t *testing.T, h host.Host, trusted bool, gs ...ibgib.IbGib) {
	t.Helper()
	b := make(bag)
	for _, g := range gs {
		b[g.Hash()] = g
	}
	s, err := protocol.ServeFetch(t.Context(), h, protocol.FetchHandlers{
		Trusts: func(peer.ID) bool { return trusted },
		Open:   func(context.Context, peer.ID, ibgib.Hash) (protocol.Closure, error) { return b, nil },
	}, protocol.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func openFetch(t *testing.T, from, to host.Host) *protocol.Fetching {
	t.Helper()
	f, err := protocol.OpenFetch(t.Context(), from, infoOf(to), fill('t'), protocol.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Abort)
	return f
}

func TestFetch(t *testing.T) {
	server, client := newHost(t, transports[0].listen), newHost(t, transports[0].listen)
	small, err := ibgib.New("small", ibgib.Number(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	large, err := ibgib.NewBytes("large", make([]byte, 3<<20), nil)
	if err != nil {
		t.Fatal(err)
	}
	serveBag(t, server, false, small, large)
	f := openFetch(t, client, server)
	reply, err := f.Ask(t.Context(), []ibgib.Hash{small.Hash(), large.Hash(), fill('x')}, false, nil)
	if err != nil || len(reply.Blocks) != 1 || reply.Blocks[0].Hash() != small.Hash() || len(reply.Absent) != 1 || len(reply.Ahead) != 0 {
		t.Errorf("%+v, %v", reply, err)
	}
	reply, err = f.Ask(t.Context(), []ibgib.Hash{large.Hash()}, true, nil)
	if err != nil || len(reply.Blocks) != 1 || reply.Blocks[0].Size() != large.Size() || len(reply.Ahead) != 1 || reply.Bytes < large.Size() {
		t.Errorf("in chunks: %d blocks, %v", len(reply.Blocks), err)
	}
}

// Strangers from one address share what one gets a second, also one after the other, on
// streams and with peer ids of their own.
func TestFetchesOfStrangersAreSlowedDown(t *testing.T) {
	server := newHost(t, transports[0].listen)
	large, err := ibgib.NewBytes("large", make([]byte, 3<<20), nil)
	if err != nil {
		t.Fatal(err)
	}
	serveBag(t, server, false, large)
	began := time.Now()
	same := newHost(t, transports[0].listen)
	for _, from := range []host.Host{same, same, newHost(t, transports[0].listen), newHost(t, transports[0].listen)} {
		f := openFetch(t, from, server)
		if reply, err := f.Ask(t.Context(), []ibgib.Hash{large.Hash()}, false, nil); err != nil || len(reply.Blocks) != 1 {
			t.Fatalf("%+v, %v", reply, err)
		}
		f.Abort()
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("12 MiB, of which 4 go at once and 4 more a second, took %s", took)
	}
}

// One trusted peer does not take the places of another.
func TestFetchesOfATrustedPeerAreBounded(t *testing.T) {
	server, greedy := newHost(t, transports[0].listen), newHost(t, transports[0].listen)
	serveBag(t, server, true)
	ask := func(from host.Host) error {
		t.Helper()
		_, err := openFetch(t, from, server).Ask(t.Context(), []ibgib.Hash{fill('x')}, false, nil)
		return err
	}
	for i := range 8 {
		if err := ask(greedy); err != nil {
			t.Errorf("stream %d: %v", i, err)
		}
	}
	for range 20 {
		var e *saga.Error
		if err := ask(greedy); !errors.As(err, &e) || e.Code != saga.CodeUnreachable {
			t.Errorf("one more: %v", err)
		}
	}
	if err := ask(newHost(t, transports[0].listen)); err != nil {
		t.Errorf("another peer: %v", err)
	}
}

// Strangers from one address have two streams, and trusted peers other ones.
func TestFetchesAreBounded(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		server := newHost(t, transports[0].listen)
		serveBag(t, server, trusted)
		want, served, refused := 2, 0, 0
		if trusted {
			want = 16
		}
		for range want + 3 {
			f := openFetch(t, newHost(t, transports[0].listen), server)
			if _, err := f.Ask(t.Context(), []ibgib.Hash{fill('x')}, false, nil); err == nil {
				served++
			} else {
				var e *saga.Error
				if !errors.As(err, &e) || e.Code != saga.CodeUnreachable {
					t.Errorf("refused with %v", err)
				}
				refused++
			}
		}
		if served != want || refused != 3 {
			t.Errorf("trusted %t: %d served, %d refused", trusted, served, refused)
		}
	}
}

func TestFetchRefusesOtherMessages(t *testing.T) {
	server := newHost(t, transports[0].listen)
	serveBag(t, server, true)
	ask := encode(t, &protocol.Fetch{Target: fill('t'), Wants: hashes("a")})
	for _, c := range []struct {
		name string
		in   []byte
		code saga.Code
	}{
		{"hello", framed(encode(t, &protocol.Hello{})), saga.CodeProtocol},
		{"an answer", framed(encode(t, &protocol.Fetched{})), saga.CodeProtocol},
		{"another target", append(framed(ask), framed(encode(t, &protocol.Fetch{Target: fill('u'), Wants: hashes("a")}))...), saga.CodeProtocol},
		{"no wants", framed(ask[:36]), saga.CodeProtocol},
		{"a message that is too long", []byte{0x80, 0x80, 0x7f}, saga.CodeLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := newHost(t, transports[0].listen)
			if err := client.Connect(t.Context(), infoOf(server)); err != nil {
				t.Fatal(err)
			}
			stream, err := client.NewStream(network.WithNoDial(t.Context(), "test"), server.ID(), protocol.FetchID)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Write(c.in); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(stream)
			for {
				m := nextMessage(t, in)
				if _, is := m.(*protocol.Fetched); is {
					continue
				}
				if e, is := m.(*saga.Error); !is || e.Code != c.code {
					t.Errorf("answered with %#v", m)
				}
				return
			}
		})
	}
}

// nextMessage reads one message.
func nextMessage(t *testing.T, in *bufio.Reader) saga.Message {
	t.Helper()
	size, err := binary.ReadUvarint(in)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(in, b); err != nil {
		t.Fatal(err)
	}
	m, err := protocol.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
