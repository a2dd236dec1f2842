package protocol_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/protocol/internal/pb"
	"github.com/ibgib/ibgib-node/saga"
)

// Each kind of message has a target of its own, which fuzzes its fields inside a
// good envelope; FuzzDecode fuzzes whole envelopes, FuzzFrames what comes out of
// a stream. All begin with the messages of testdata and with those of the
// exchanges in SPEC.md.

func FuzzInit(f *testing.F)           { fuzzKind(f, 2) }
func FuzzAck(f *testing.F)            { fuzzKind(f, 3) }
func FuzzDelta(f *testing.F)          { fuzzKind(f, 4) }
func FuzzCommit(f *testing.F)         { fuzzKind(f, 5) }
func FuzzError(f *testing.F)          { fuzzKind(f, 6) }
func FuzzHello(f *testing.F)          { fuzzKind(f, 7) }
func FuzzNotice(f *testing.F)         { fuzzKind(f, 8) }
func FuzzKeystoneFrames(f *testing.F) { fuzzKind(f, 9) }
func FuzzWorking(f *testing.F)        { fuzzKind(f, 10) }
func FuzzFetch(f *testing.F)          { fuzzKind(f, 12) }
func FuzzFetched(f *testing.F)        { fuzzKind(f, 13) }

func FuzzDecode(f *testing.F) {
	for _, message := range seeds(f) {
		f.Add(message)
	}
	f.Add([]byte{})
	f.Fuzz(checkDecode)
}

// fuzzKind fuzzes the message in one field of the envelope.
func fuzzKind(f *testing.F, kind protowire.Number) {
	found := 0
	for _, message := range seeds(f) {
		for rest := message; len(rest) > 0; {
			n, wire, size := protowire.ConsumeField(rest)
			if n == kind && wire == protowire.BytesType {
				_, _, tag := protowire.ConsumeTag(rest)
				body, _ := protowire.ConsumeBytes(rest[tag:])
				f.Add(body)
				found++
			}
			rest = rest[size:]
		}
	}
	if found == 0 {
		f.Fatalf("no seed has a message in field %d", kind)
	}
	id := fill('s')
	f.Fuzz(func(t *testing.T, body []byte) {
		var in []byte
		if kind < 7 || kind == 10 { // the others belong to no saga
			in = protowire.AppendBytes(protowire.AppendTag(in, 1, protowire.BytesType), id[:])
		}
		checkDecode(t, protowire.AppendBytes(protowire.AppendTag(in, kind, protowire.BytesType), body))
	})
}

// checkDecode decodes. Whatever comes in: no panic, a typed error or a message; a
// message encodes again, to a form that decodes to an equal message and that the
// generated code understands too.
func checkDecode(t *testing.T, in []byte) {
	m, err := protocol.Decode(bytes.Clone(in))
	if err != nil {
		var e *saga.Error
		if !errors.As(err, &e) || e.Text == "" {
			t.Fatalf("error %#v is no saga error with a text", err)
		}
		return
	}
	if err := proto.Unmarshal(withoutPlaces(in), new(pb.Envelope)); err != nil {
		t.Fatalf("accepted, but not by the generated code: %v", err)
	}
	out, err := protocol.Encode(m)
	if err != nil {
		t.Fatalf("%#v was accepted but does not encode: %v", m, err)
	}
	again, err := protocol.Decode(bytes.Clone(out))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, again) {
		t.Fatalf("%#v\nbecame\n%#v", m, again)
	}
	second, err := protocol.Encode(again)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out, second) {
		t.Fatalf("%x\nencodes again as\n%x", out, second)
	}
	var envelope pb.Envelope
	if err := proto.Unmarshal(out, &envelope); err != nil {
		t.Fatal(err)
	}
	generated, err := proto.MarshalOptions{Deterministic: true}.Marshal(&envelope)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out, generated) {
		t.Fatalf("encoded as\n%x\nby the generated code as\n%x", out, generated)
	}
}

// withoutPlaces leaves out the fields that sync.proto marks as places, at which a
// receiver does not look.
func withoutPlaces(in []byte) []byte {
	places := map[protowire.Number][]protowire.Number{2: {10}, 3: {7, 10}, 4: {10}}
	var out []byte
	for len(in) > 0 {
		kind, wire, size := protowire.ConsumeField(in)
		if size < 0 {
			return append(out, in...)
		}
		field := in[:size]
		in = in[size:]
		if wire != protowire.BytesType || places[kind] == nil {
			out = append(out, field...)
			continue
		}
		_, _, tag := protowire.ConsumeTag(field)
		body, _ := protowire.ConsumeBytes(field[tag:])
		var kept []byte
		for len(body) > 0 {
			n, _, size := protowire.ConsumeField(body)
			if size < 0 {
				return append(out, in...)
			}
			if !slices.Contains(places[kind], n) {
				kept = append(kept, body[:size]...)
			}
			body = body[size:]
		}
		out = protowire.AppendBytes(protowire.AppendTag(out, kind, wire), kept)
	}
	return out
}

// FuzzFrames sends bytes over a stream, after a good init, to a connection that
// receives until it fails. It ends with io.EOF or a typed error, however the
// bytes are cut into frames.
func FuzzFrames(f *testing.F) {
	var all []byte
	for _, message := range seeds(f) {
		f.Add(framed(message))
		all = append(all, framed(message)...)
	}
	f.Add(all)
	f.Add(all[:len(all)-1])
	f.Add([]byte{})
	f.Add([]byte{0x80, 0x80, 0x80, 0x80, 0x80})
	f.Add(binary.AppendUvarint(nil, protocol.MaxMessage+1))
	ends := make(chan error)
	h, _ := serve(f, transports[0].listen, everyone, func(ctx context.Context, _ peer.ID, _ *saga.Init, conn saga.Conn) {
		for {
			if _, _, err := conn.Receive(ctx); err != nil {
				ends <- err
				return
			}
		}
	}, protocol.Options{})
	from := newHost(f, transports[0].listen)
	first := framed(encode(f, firstInit))
	f.Fuzz(func(t *testing.T, in []byte) {
		stream := rawStream(t, from, h)
		defer func() { _ = stream.Reset() }()
		if _, err := stream.Write(first); err != nil {
			t.Fatal(err)
		}
		// The other side may have seen enough before all has gone.
		_, _ = stream.Write(in)
		_ = stream.CloseWrite()
		err := await(t, "the end of the stream", ends)
		var e *saga.Error
		switch {
		case err == io.EOF:
		case !errors.As(err, &e):
			t.Fatalf("error %#v is no saga error", err)
		case e.Code != saga.CodeProtocol && e.Code != saga.CodeLimit && e.Code != saga.CodeUnsupported && e.Code != saga.CodeUnreachable:
			t.Fatalf("error %v", e)
		}
	})
}

// seeds are the encodings of all samples and of the messages that SPEC.md shows.
func seeds(f *testing.F) [][]byte {
	f.Helper()
	var list [][]byte
	for _, s := range samples() {
		list = append(list, encode(f, s.message))
	}
	spec, err := os.ReadFile("SPEC.md")
	if err != nil {
		f.Fatal(err)
	}
	var frame []byte
	shown := 0
	end := func() {
		if len(frame) > 0 {
			size, n := binary.Uvarint(frame)
			if n <= 0 || size != uint64(len(frame)-n) {
				f.Fatalf("SPEC.md shows %x, which is no frame", frame)
			}
			list = append(list, frame[n:])
			frame = nil
			shown++
		}
	}
	inside := false
	for line := range strings.Lines(string(spec)) {
		switch text := strings.TrimSpace(line); {
		case strings.HasSuffix(text, " bytes") && strings.Contains(text, " to "):
			end()
			inside = true
		case inside && strings.HasPrefix(line, "  "):
			digits, _, _ := strings.Cut(text, " ")
			b, err := hex.DecodeString(digits)
			if err != nil {
				f.Fatalf("SPEC.md shows %q: %v", text, err)
			}
			frame = append(frame, b...)
		case inside:
			end()
			inside = false
		}
	}
	if shown < 10 {
		f.Fatalf("found %d messages in SPEC.md", shown)
	}
	return list
}
