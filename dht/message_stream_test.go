package dht_test

import (
	"context"
	"encoding/binary"
	"io"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	kadpb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"

	"github.com/ibgib/ibgib-node/dht"
)

const kadID protocol.ID = "/ibgib/kad/1.0.0"

// liveHeap returns the bytes that are alive after a collection.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what a pool holds goes with the second one
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// open opens a stream of the DHT and writes to it.
func open(t *testing.T, h, to host.Host, first []byte) network.Stream {
	t.Helper()
	if err := h.Connect(t.Context(), infoOf(to)); err != nil {
		t.Fatal(err)
	}
	s, err := h.NewStream(t.Context(), to.ID(), kadID)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.SetDeadline(time.Now().Add(patience))
	if _, err := s.Write(first); err != nil {
		t.Fatal(err)
	}
	return s
}

// message returns a message of the DHT with its length before it.
func message(t *testing.T, m *kadpb.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.AppendUvarint(nil, uint64(len(b))), b...)
}

// A length that a stranger announces costs the server no more than it may announce.
func TestKadLengths(t *testing.T) {
	server := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeServer))
	stranger := newKadHost(t, newKey(t), anyPort)
	ping := message(t, &kadpb.Message{Type: kadpb.Message_PING})
	for name, length := range map[string][]byte{
		"longest of the library": binary.AppendUvarint(nil, network.MessageSizeMax),
		"too long by one":        binary.AppendUvarint(nil, 32<<10+1),
		"never ending":           {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80},
		"more than 64 bits":      {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
	} {
		s := open(t, stranger, server.host, ping)
		if _, err := io.ReadFull(s, make([]byte, len(ping))); err != nil {
			t.Fatalf("a ping is not answered: %v", err)
		}
		if _, err := s.Write(length); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Fatalf("%s: %v, want the stream to be reset", name, err)
		}
	}

	before := liveHeap()
	const streams, length = 60, 32 << 10
	for range streams {
		open(t, stranger, server.host, binary.AppendUvarint(nil, length))
	}
	memory := func() (bytes int64) {
		_ = server.host.Network().ResourceManager().ViewProtocol(kadID, func(s network.ProtocolScope) error {
			bytes = s.Stat().Memory
			return nil
		})
		return bytes
	}
	eventually(t, "the lengths are counted as memory", func(context.Context) bool { return memory() >= streams*length })
	if grown := liveHeap() - before; grown > 2*streams*length+4<<20 {
		t.Errorf("%d streams with a length of %d KiB each have the heap grow by %d KiB", streams, length>>10, grown>>10)
	}
	if err := stranger.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what was counted is given back", func(context.Context) bool { return memory() == 0 })
}

// A question of many bytes is answered, and what was counted for it is given back.
func TestKadLongQuestion(t *testing.T) {
	server := startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeServer))
	h := newKadHost(t, newKey(t), anyPort)
	ping := message(t, &kadpb.Message{Type: kadpb.Message_PING, Key: make([]byte, 30<<10)})
	s := open(t, h, server.host, nil)
	for range 3 {
		if _, err := s.Write(ping); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(s, make([]byte, len(ping))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "what was counted is given back", func(context.Context) bool {
		used := int64(1)
		_ = server.host.Network().ResourceManager().ViewProtocol(kadID, func(s network.ProtocolScope) error {
			used = s.Stat().Memory
			return nil
		})
		return used == 0
	})
}

func isTimeout(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// A server that announces a long answer costs the one who asks nothing.
func TestKadLongAnswer(t *testing.T) {
	liar := newKadHost(t, newKey(t), anyPort)
	refused := make(chan error, 64)
	liar.SetStreamHandler(kadID, func(s network.Stream) {
		buf := make([]byte, 1<<10)
		if _, err := s.Read(buf); err != nil {
			return
		}
		_, _ = s.Write(binary.AppendUvarint(nil, 1<<20+1))
		// The library itself would wait for 10 s.
		_ = s.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := s.Read(buf)
		select {
		case refused <- err:
		default:
		}
	})
	startKad(t, newKadHost(t, newKey(t), anyPort), smallDHT(dht.ModeClient, infoOf(liar)))
	select {
	case err := <-refused:
		if err == nil || isTimeout(err) {
			t.Errorf("%v, want the stream to be reset", err)
		}
	case <-time.After(patience):
		t.Error("the liar is not asked")
	}
}
