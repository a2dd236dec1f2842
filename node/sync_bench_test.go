package node_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"

	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/node"
)

const (
	corpusSize = 100_000
	rawStream  = protocol.ID("/ibgib/bench/raw/1")
)

// benchTransports are the addresses at which the children listen.
var benchTransports = map[string]string{
	"tcp":  "/ip4/127.0.0.1/tcp/0",
	"quic": "/ip4/127.0.0.1/udp/0/quic-v1",
}

// serveStream writes a file of length-prefixed records to whoever opens a
// stream, in large buffers and without looking at them.
func serveStream(c childTask) error {
	records, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	h, err := libp2p.New(libp2p.ListenAddrStrings(c.Listen))
	if err != nil {
		return err
	}
	defer h.Close()
	h.SetStreamHandler(rawStream, func(s network.Stream) {
		defer s.Close()
		for rest := records; len(rest) > 0; {
			n := min(256<<10, len(rest))
			if _, err := s.Write(rest[:n]); err != nil {
				s.Reset()
				return
			}
			rest = rest[n:]
		}
	})
	fmt.Printf("%s/p2p/%s\n", h.Addrs()[0], h.ID())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// writeCorpus writes the corpus as NDJSON, and as length-prefixed records.
func writeCorpus(b *testing.B, ndjson, records io.Writer) (bytes int64) {
	b.Helper()
	var length []byte
	for _, g := range blockstoretest.Corpus(b, corpusSize) {
		bytes += int64(g.Size())
		length = binary.AppendUvarint(length[:0], uint64(g.Size()))
		for _, p := range [][]byte{length, g.Stored()} {
			if _, err := records.Write(p); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := fmt.Fprintf(ndjson, "%s\n", g.Stored()); err != nil {
			b.Fatal(err)
		}
	}
	return bytes
}

// BenchmarkFirstSync syncs an empty node with one in another process that has
// the corpus. wire/payload counts the bytes of all messages both ways; the µs are
// the CPU time of each process from its start to its end for one ibGib.
func BenchmarkFirstSync(b *testing.B) {
	sides := newFirstSync(b)
	for name, listen := range benchTransports {
		b.Run(name, func(b *testing.B) {
			var total firstSyncResult
			for range b.N {
				r := sides.run(b, listen, false)
				total.Spent += r.Spent
				total.Wire = r.Wire
				total.sender += r.sender
				total.receiver += r.receiver
			}
			synced := float64(corpusSize * b.N)
			b.ReportMetric(0, "ns/op") // with the start of the processes it says nothing
			b.ReportMetric(float64(total.Wire)/float64(sides.size), "wire/payload")
			b.ReportMetric(float64(total.sender.Microseconds())/synced, "sender-µs/ibgib")
			b.ReportMetric(float64(total.receiver.Microseconds())/synced, "receiver-µs/ibgib")
			b.ReportMetric(synced/total.Spent.Seconds(), "ibgibs/s")
		})
	}
}

// BenchmarkFirstSyncHeap is BenchmarkFirstSync with a watch on the live heap of
// both processes, which makes it slower. For each it reports what the heap grows
// by at most over what it was before the sync: the node's own part and libp2p's
// together, and Badger's.
func BenchmarkFirstSyncHeap(b *testing.B) {
	sides := newFirstSync(b)
	for name, listen := range benchTransports {
		b.Run(name, func(b *testing.B) {
			var sent, got blockstoretest.Heap
			for range b.N {
				r := sides.run(b, listen, true)
				sent, got = sent.Max(r.senderHeap), got.Max(r.Heap)
			}
			b.ReportMetric(0, "ns/op")
			for _, side := range []struct {
				name string
				heap blockstoretest.Heap
			}{{"sender", sent}, {"receiver", got}} {
				b.ReportMetric(float64(side.heap.Own+side.heap.Rest)/(1<<20), side.name+"-own-MB")
				b.ReportMetric(float64(side.heap.Badger)/(1<<20), side.name+"-badger-MB")
			}
		})
	}
}

// firstSync is a node with the corpus that empty nodes sync with.
type firstSync struct {
	serving   string // data directory
	servingID string
	size      int64 // bytes of the corpus
}

func newFirstSync(b *testing.B) firstSync {
	b.Helper()
	var ndjson bytes.Buffer
	f := firstSync{serving: b.TempDir()}
	f.size = writeCorpus(b, &ndjson, io.Discard)
	f.servingID = fillNode(b, f.serving, &ndjson)
	return f
}

// fillNode makes a data directory with what is in a file, and returns its peer id.
func fillNode(b *testing.B, data string, ndjson io.Reader) string {
	b.Helper()
	n, err := node.Open(node.Config{Data: data})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := n.Import(context.Background(), ndjson, nil); err != nil {
		b.Fatal(err)
	}
	if err := n.Close(); err != nil {
		b.Fatal(err)
	}
	return n.PeerID().String()
}

// firstSyncResult is what the receiving child prints, and what its parent adds.
type firstSyncResult struct {
	Converged bool
	Equal     bool
	Rounds    int
	Received  node.Traffic
	Wire      uint64 // bytes of all messages, both ways
	Spent     time.Duration
	Heap      blockstoretest.Heap

	sender, receiver time.Duration // CPU time
	senderHeap       blockstoretest.Heap
}

func (f firstSync) run(b *testing.B, listen string, heap bool) firstSyncResult {
	b.Helper()
	data := b.TempDir()
	id := fillNode(b, data, strings.NewReader(""))
	sender := startChild(b, childTask{Role: "serve", Data: f.serving, Peer: id, Listen: listen, Heap: heap})
	addr := sender.line(b)
	receiver := startChild(b, childTask{Role: "first sync", Data: data, Peer: f.servingID, Listen: listen, Addr: addr, Heap: heap})
	var r firstSyncResult
	receiver.end(b, &r)
	r.receiver = receiver.cpu()
	if heap {
		sender.end(b, &r.senderHeap)
	} else if err := sender.stop(); err != nil {
		b.Fatal(err)
	}
	r.sender = sender.cpu()
	if !r.Converged || r.Received.IbGibs != corpusSize || int64(r.Received.Bytes) != f.size {
		b.Fatalf("result %+v", r)
	}
	return r
}

// syncFirst is the receiving child.
func syncFirst(ctx context.Context, c childTask) error {
	return c.withNode(ctx, func(n *node.Node) error {
		var watch *blockstoretest.HeapWatch
		if c.Heap {
			watch = blockstoretest.WatchHeap()
		}
		start := time.Now()
		res, err := n.Sync(ctx, c.Addr, nil)
		if err != nil {
			return err
		}
		r := firstSyncResult{
			Converged: res.Converged, Equal: res.Equal, Rounds: res.Rounds,
			Received: res.Received, Wire: res.Wire.Sent + res.Wire.Received,
		}
		r.Spent = time.Since(start)
		if watch != nil {
			r.Heap = watch.Stop()
		}
		return json.NewEncoder(os.Stdout).Encode(r)
	})
}

// BenchmarkNothingChanged syncs two nodes that both have 100,000 timelines, the same.
// wire-B counts the bytes of all messages both ways, rounds the round trips of the saga.
func BenchmarkNothingChanged(b *testing.B) {
	maker := blockstoretest.NewMaker(7)
	var ndjson bytes.Buffer
	for i := range 100_000 {
		for _, g := range maker.Timeline(b, fmt.Sprintf("note %d", i)) {
			fmt.Fprintf(&ndjson, "%s\n", g.Stored())
		}
	}
	serving, data := b.TempDir(), b.TempDir()
	servingID := fillNode(b, serving, bytes.NewReader(ndjson.Bytes()))
	id := fillNode(b, data, &ndjson)
	b.ResetTimer()
	var r firstSyncResult
	for range b.N {
		sender := startChild(b, childTask{Role: "serve", Data: serving, Peer: id, Listen: benchTransports["tcp"]})
		receiver := startChild(b, childTask{Role: "first sync", Data: data, Peer: servingID, Listen: benchTransports["tcp"], Addr: sender.line(b)})
		receiver.end(b, &r)
		if err := sender.stop(); err != nil {
			b.Fatal(err)
		}
		if !r.Converged || !r.Equal {
			b.Fatalf("result %+v", r)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(r.Wire), "wire-B")
	b.ReportMetric(float64(r.Rounds), "rounds")
	b.ReportMetric(float64(r.Spent.Microseconds())/1e3, "ms")
}

// BenchmarkRawStream is the reference: the same records over one libp2p
// stream from another process, read and split, but neither looked at nor
// stored.
func BenchmarkRawStream(b *testing.B) {
	file := b.TempDir() + "/records"
	var records bytes.Buffer
	writeCorpus(b, io.Discard, &records)
	if err := os.WriteFile(file, records.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	for name, listen := range benchTransports {
		b.Run(name, func(b *testing.B) {
			var spent time.Duration
			for range b.N {
				spent += rawRead(b, file, listen)
			}
			b.ReportMetric(float64(corpusSize*b.N)/spent.Seconds(), "ibgibs/s")
		})
	}
}

func rawRead(b *testing.B, file, listen string) time.Duration {
	ctx := context.Background()
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	c := startChild(b, childTask{Role: "stream", File: file, Listen: listen})
	defer c.stop()
	addr, err := multiaddr.NewMultiaddr(c.line(b))
	if err != nil {
		b.Fatal(err)
	}
	info, err := peer.AddrInfoFromP2pAddr(addr)
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	if err := h.Connect(ctx, *info); err != nil {
		b.Fatal(err)
	}
	s, err := h.NewStream(ctx, info.ID, rawStream)
	if err != nil {
		b.Fatal(err)
	}
	in := bufio.NewReaderSize(s, 256<<10)
	n := 0
	for ; ; n++ {
		length, err := binary.ReadUvarint(in)
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
		record := make([]byte, length)
		if _, err := io.ReadFull(in, record); err != nil {
			b.Fatal(err)
		}
	}
	if n != corpusSize {
		b.Fatalf("%d records, want %d", n, corpusSize)
	}
	return time.Since(start)
}

// BenchmarkImport imports the corpus as NDJSON into an empty node: parse,
// canonical form, gib, store, index.
func BenchmarkImport(b *testing.B) {
	var ndjson bytes.Buffer
	b.SetBytes(writeCorpus(b, &ndjson, io.Discard))
	b.ResetTimer()
	for range b.N {
		n, err := node.Open(node.Config{Data: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		res, err := n.Import(context.Background(), bytes.NewReader(ndjson.Bytes()), nil)
		if err != nil || res.Stored != corpusSize {
			b.Fatalf("%d stored, %v", res.Stored, err)
		}
		if err := n.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(corpusSize*b.N)/b.Elapsed().Seconds(), "ibgibs/s")
}
