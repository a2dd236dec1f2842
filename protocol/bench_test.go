package protocol_test

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/protocol/internal/pb"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// fullDelta is a delta of 256 KiB in items of 600 bytes.
func fullDelta() *saga.Delta {
	m := &saga.Delta{ID: saga.ID(fill('s'))}
	for range saga.MaxPayload / 600 {
		m.Items = append(m.Items, saga.Item{Bytes: bytes.Repeat([]byte("x"), 600)})
	}
	return m
}

// entriesDelta is a delta with a full page of entries.
func entriesDelta() *saga.Delta {
	m := &saga.Delta{ID: saga.ID(fill('s'))}
	for range saga.MaxEntries {
		m.Entries = append(m.Entries, timeline.Entry{Root: fill('r'), Heads: hashes("h")})
	}
	return m
}

func BenchmarkEncode(b *testing.B) {
	for _, bench := range []struct {
		name    string
		message saga.Message
	}{{"items", fullDelta()}, {"entries", entriesDelta()}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(encode(b, bench.message))))
			for b.Loop() {
				if _, err := protocol.Encode(bench.message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, bench := range []struct {
		name    string
		message saga.Message
	}{{"items", fullDelta()}, {"entries", entriesDelta()}} {
		in := encode(b, bench.message)
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				if _, err := protocol.Decode(in); err != nil {
					b.Fatal(err)
				}
			}
		})
		// The generated code, which copies the payload and checks no limit.
		b.Run(bench.name+"/generated", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				if err := proto.Unmarshal(in, new(pb.Envelope)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Deltas of 256 KiB from one host to another over loopback, decoded there.
func BenchmarkConn(b *testing.B) {
	for _, transport := range transports {
		b.Run(transport.name, func(b *testing.B) {
			i, r := pair(b, transport.listen, protocol.Options{}, protocol.Options{})
			payload := fullDelta()
			b.SetBytes(int64(len(encode(b, payload))))
			b.ReportAllocs()
			received := make(chan error, 1)
			go func() {
				for {
					m, _, err := r.Receive(b.Context())
					if err != nil || len(m.(*saga.Delta).Items) == 0 {
						received <- err
						return
					}
				}
			}()
			for b.Loop() {
				if _, err := i.Send(b.Context(), payload); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := i.Send(b.Context(), &saga.Delta{ID: payload.ID}); err != nil {
				b.Fatal(err)
			}
			if err := await(b, "the last message", received); err != nil {
				b.Fatal(err)
			}
		})
	}
}
