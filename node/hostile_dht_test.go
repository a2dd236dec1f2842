package node

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	kadpb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/proto"

	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/ibgib"
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

// Strangers fill what a DHT server keeps: what others have announced, and announce then,
// is found all the same.
func TestHostileDHTRecords(t *testing.T) {
	boot, way := bootstrapNode(t)
	info := infoOf(t, boot)
	way.DHT = dht.ModeClient
	a, b := wideNode(t, t.TempDir(), Mesh{Secret: meshSecret}, way), wideNode(t, t.TempDir(), Mesh{Secret: otherSecret}, way)
	addr := multiaddr.StringCast("/ip4/127.0.0.1/tcp/9").Bytes()
	announce := func(records int) {
		x := newAnnouncer(t, info)
		for range records {
			x.add(t, randomKey(t), addr)
		}
		x.flush(t)
		if err := x.host.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// Each time others announce 300 records in between, so none is found before it is stored.
	isFound := func(tjp ibgib.Addr) {
		t.Helper()
		eventually(t, "what is announced is found", func() bool {
			announce(300)
			list, err := b.Find(t.Context(), tjp)
			return err == nil && slices.ContainsFunc(list, func(x Provider) bool { return x.PeerID == a.PeerID().String() })
		})
	}
	provide := func(ib string) ibgib.Addr {
		tjp := writeNote(t, a, ib)
		if _, err := a.Provide(t.Context(), tjp); err != nil {
			t.Fatal(err)
		}
		return tjp
	}
	first := provide("first")
	isFound(first)
	for range 26 {
		announce(2000)
	}
	if s := boot.wide.Load().kad.State(); s.Records+s.Dropped < 50_000 || s.Dropped == 0 {
		t.Fatalf("the strangers have not filled the records: %+v", s)
	}
	isFound(first)
	second := provide("second")
	isFound(second)
	for range 3 {
		announce(2000)
		isFound(first)
		isFound(second)
	}
}

// What strangers tell of where they are stays bounded, in announcements of the DHT and
// in what they tell each node that they connect to.
func TestHostileAddresses(t *testing.T) {
	boot, _ := bootstrapNode(t)
	info := infoOf(t, boot)
	const strangers = 40
	// grown is what the heap grows by for each of the strangers, who live in this process
	// too, when they announce some addresses.
	grown := func(addrs func(stranger int) [][]byte) int64 {
		before := collected()
		for i := range strangers {
			x := newAnnouncer(t, info)
			for _, a := range addrs(i) {
				x.add(t, randomKey(t), a)
			}
			all := addrs(i)
			x.add(t, randomKey(t), all[:min(len(all), (30<<10)/len(all[0]))]...)
			x.flush(t)
			if got := len(boot.host.Peerstore().Addrs(x.host.ID())); got > 8 {
				t.Fatalf("%d addresses of a stranger are in the peerstore", got)
			}
			if err := x.host.Close(); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the strangers are gone", func() bool { return len(boot.host.Network().Peers()) == 0 })
		return (collected() - before) / strangers
	}
	usual := grown(func(i int) [][]byte {
		return [][]byte{multiaddr.StringCast(fmt.Sprintf("/ip4/127.0.1.%d/tcp/1", i)).Bytes()}
	})
	many := grown(func(i int) (list [][]byte) {
		for j := range 400 {
			list = append(list, multiaddr.StringCast(fmt.Sprintf("/ip4/127.1.%d.%d/tcp/%d", i, j%256, 1+j)).Bytes())
		}
		return list
	})
	long := grown(func(i int) (list [][]byte) {
		for j := range 64 {
			name := strings.Repeat(string(rune('a'+i%26)), 7900) + string(rune('a'+j%26)) + string(rune('a'+j/26))
			list = append(list, multiaddr.StringCast("/dns4/"+name+"/tcp/1").Bytes())
		}
		return list
	})
	// A record has some 300 bytes.
	if many-usual > 256<<10 || long-usual > 64<<10 {
		t.Errorf("of each stranger stay %d KiB, with many addresses %d, with long ones %d", usual>>10, many>>10, long>>10)
	}
}

// A server of the DHT that names more providers than a search takes, none of which is
// there, keeps out nobody whom another server knows.
func TestHostileDHTAnswers(t *testing.T) {
	_, way := bootstrapNode(t)
	a := wideNode(t, t.TempDir(), Mesh{Secret: meshSecret}, way)
	tjp := writeNote(t, a, "far")
	if _, err := a.Provide(t.Context(), tjp); err != nil {
		t.Fatal(err)
	}
	c := wideNode(t, t.TempDir(), Mesh{Secret: otherSecret}, way)
	eventually(t, "it is announced", func() bool {
		list, err := c.Find(t.Context(), tjp)
		return err == nil && len(list) == 1
	})
	var nobody []*kadpb.Message_Peer
	for i := range 200 {
		nobody = append(nobody, &kadpb.Message_Peer{Id: randomKey(t), Addrs: [][]byte{{4, 127, 0, 0, byte(i + 1), 6, 0, 1}}})
	}
	liar := newPeer(t)
	var asked atomic.Bool
	liar.SetStreamHandler(kadID, func(s network.Stream) {
		defer s.Close()
		for in := bufio.NewReader(s); ; {
			m := readKad(in)
			if m == nil {
				return
			}
			answer := &kadpb.Message{Type: m.Type, Key: m.Key}
			if m.Type == kadpb.Message_GET_PROVIDERS {
				asked.Store(true)
				answer.ProviderPeers = nobody
			}
			b, err := proto.Marshal(answer)
			if err == nil {
				_, err = s.Write(append(binary.AppendUvarint(nil, uint64(len(b))), b...))
			}
			if err != nil {
				return
			}
		}
	})
	way.Bootstrap = append([]string{liar.Addrs()[0].String() + "/p2p/" + liar.ID().String()}, way.Bootstrap...)
	b := wideNode(t, t.TempDir(), Mesh{Secret: otherSecret}, way)
	eventually(t, "both are asked", func() bool {
		_, err := b.Find(t.Context(), tjp)
		return err == nil && asked.Load() && b.dhtStatus().Peers >= 2
	})
	for range 5 {
		list, err := b.Find(t.Context(), tjp)
		if err != nil || !slices.ContainsFunc(list, func(p Provider) bool { return p.PeerID == a.PeerID().String() }) {
			t.Fatalf("%d providers without the one that is there, %v", len(list), err)
		}
		if len(list) > dht.MaxProviders {
			t.Errorf("%d providers", len(list))
		}
	}
	if res, err := b.Fetch(t.Context(), tjp, FetchOptions{}, nil); err != nil || res.IbGibs == 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

// readKad reads a message of the DHT; nil if there is none.
func readKad(in *bufio.Reader) *kadpb.Message {
	size, err := binary.ReadUvarint(in)
	if err != nil || size > 1<<20 {
		return nil
	}
	b := make([]byte, size)
	m := new(kadpb.Message)
	if _, err := io.ReadFull(in, b); err != nil || proto.Unmarshal(b, m) != nil {
		return nil
	}
	return m
}
