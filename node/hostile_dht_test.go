package node

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	"runtime"
	"testing"
	"time"

	kadpb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/proto"
)

const kadID = "/ibgib/kad/1.0.0"

// announcer is a stranger that sends messages of the DHT.
type announcer struct {
	host host.Host
	s    network.Stream
}

func newAnnouncer(t *testing.T, to peer.AddrInfo) *announcer {
	t.Helper()
	h := newPeer(t)
	if err := h.Connect(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	s, err := h.NewStream(t.Context(), to.ID, kadID)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.SetDeadline(time.Now().Add(time.Minute))
	return &announcer{h, s}
}

func (x *announcer) send(t *testing.T, m *kadpb.Message) (length int) {
	t.Helper()
	b, err := proto.Marshal(m)
	if err == nil {
		_, err = x.s.Write(append(binary.AppendUvarint(nil, uint64(len(b))), b...))
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(b)
}

// add announces a key.
func (x *announcer) add(t *testing.T, key multihash.Multihash, addrs ...[]byte) {
	t.Helper()
	x.send(t, &kadpb.Message{Type: kadpb.Message_ADD_PROVIDER, Key: key, ProviderPeers: []*kadpb.Message_Peer{{Id: []byte(x.host.ID()), Addrs: addrs}}})
}

// flush waits until the server has done what it was sent.
func (x *announcer) flush(t *testing.T) {
	t.Helper()
	length := x.send(t, &kadpb.Message{Type: kadpb.Message_PING})
	if _, err := io.ReadFull(x.s, make([]byte, 1+length)); err != nil {
		t.Fatal(err)
	}
}

func randomKey(t *testing.T) multihash.Multihash {
	t.Helper()
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	h, err := multihash.Encode(b, multihash.SHA2_256)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Strangers open as many streams of the DHT as they can, and announce a long message in
// each: others are answered, and the memory stays bounded.
func TestHostileDHTStreams(t *testing.T) {
	boot, _ := bootstrapNode(t)
	info := infoOf(t, boot)
	before := collected()
	memory := func() (bytes int64) {
		_ = boot.host.Network().ResourceManager().ViewProtocol(kadID, func(s network.ProtocolScope) error {
			bytes = s.Stat().Memory
			return nil
		})
		return bytes
	}
	const strangers, length = 20, 32 << 10
	for range strangers {
		h := newPeer(t)
		if err := h.Connect(t.Context(), info); err != nil {
			t.Fatal(err)
		}
		for range 2 * kadStreamsPerPeer {
			s, err := h.NewStream(t.Context(), info.ID, kadID)
			if err == nil {
				_, _ = s.Write(binary.AppendUvarint(nil, length))
			}
		}
	}
	eventually(t, "the node counts what is announced", func() bool { return memory() == strangers*kadStreamsPerPeer*length })
	// The strangers themselves live in this process too.
	if grown := collected() - before; grown > 16<<20 {
		t.Errorf("%d strangers have the heap grow by %d KiB", strangers, grown>>10)
	}
	newAnnouncer(t, info).flush(t)
}

// collected is what lives after a collection.
func collected() int64 {
	runtime.GC()
	runtime.GC() // what a pool holds goes with the second one
	return liveHeap()
}
