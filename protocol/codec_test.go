package protocol_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/protocol/internal/pb"
	"github.com/ibgib/ibgib-node/saga"
)

func encode(t testing.TB, m saga.Message) []byte {
	t.Helper()
	b, err := protocol.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// unhex reads hex digits with any white space between them.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wantCode fails unless err is a *saga.Error with that code.
func wantCode(t testing.TB, err error, code saga.Code) {
	t.Helper()
	var e *saga.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want a saga error %s", err, code)
	}
	if e.Code != code {
		t.Fatalf("error %v, want %s", err, code)
	}
}

// The .hex files were made by protoc from the .txtpb files beside them:
//
//	protoc --encode=ibgib.sync.v1.Envelope sync.proto <x.txtpb | xxd -p -c 32
func TestMessagesAgreeWithProtobuf(t *testing.T) {
	names := map[string]bool{}
	for _, s := range samples() {
		names[s.name] = true
		t.Run(s.name, func(t *testing.T) {
			base := filepath.Join("testdata", "messages", s.name)
			text, err := os.ReadFile(base + ".txtpb")
			if err != nil {
				t.Fatal(err)
			}
			digits, err := os.ReadFile(base + ".hex")
			if err != nil {
				t.Fatal(err)
			}
			want := unhex(t, string(digits))

			var envelope pb.Envelope
			if err := prototext.Unmarshal(text, &envelope); err != nil {
				t.Fatal(err)
			}
			generated, err := proto.MarshalOptions{Deterministic: true}.Marshal(&envelope)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(generated, want) {
				t.Errorf("generated code encodes the text as\n%x\nwant\n%x", generated, want)
			}
			if got := encode(t, s.message); !bytes.Equal(got, want) {
				t.Errorf("encoded as\n%x\nwant\n%x", got, want)
			}
			got, err := protocol.Decode(want)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, s.message) {
				t.Errorf("decoded as\n%#v\nwant\n%#v", got, s.message)
			}
		})
	}
	files, err := filepath.Glob("testdata/messages/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		if !names[name] {
			t.Errorf("%s belongs to no sample", file)
		}
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	for _, s := range samples() {
		whole := encode(t, s.message)
		for n := range whole {
			m, err := protocol.Decode(bytes.Clone(whole[:n]))
			if err == nil {
				// A cut between two fields of the envelope leaves no message.
				t.Fatalf("%s cut at %d of %d decodes as %#v", s.name, n, len(whole), m)
			}
			var e *saga.Error
			if !errors.As(err, &e) {
				t.Fatalf("%s cut at %d: error %v is no saga error", s.name, n, err)
			}
		}
	}
}

func TestTrailingGarbageIsRefused(t *testing.T) {
	for _, s := range samples() {
		for _, garbage := range [][]byte{{0}, {0x07}, {0xff}, {0x0b}, {0x12}, bytes.Repeat([]byte{0xff}, 11)} {
			if m, err := protocol.Decode(append(encode(t, s.message), garbage...)); err == nil {
				t.Errorf("%s with % x after it decodes as %#v", s.name, garbage, m)
			}
		}
	}
}

// Unknown fields, the places of sync.proto, another order of fields and zeros
// written out are all allowed.
func TestLenientForms(t *testing.T) {
	id := fill('s')
	field := func(b []byte, n protowire.Number, v []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	varint := func(b []byte, n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
	}
	fingerprint := fill('f')
	init := field(nil, 5, fingerprint[:])
	tests := []struct {
		name string
		in   []byte
	}{
		{"plain", field(field(nil, 1, id[:]), 2, init)},
		{"id last", field(field(nil, 2, init), 1, id[:])},
		{"zeros", field(field(nil, 1, id[:]), 2, varint(varint(varint(init, 2, 0), 6, 0), 9, 0))},
		{"empty lists", field(field(nil, 1, id[:]), 2, field(init, 4, field(nil, 2, nil)))},
		{"a range", field(field(nil, 1, id[:]), 2, field(init, 10, []byte("not looked at")))},
		{"unknown fields", varint(field(field(field(nil, 1, id[:]), 2, field(varint(init, 15, 9), 500, nil)), 100, nil), 1<<20, 7)},
		{"unknown fixed fields", append(field(field(nil, 1, id[:]), 2, init), 0xa5, 0x06, 1, 2, 3, 4, 0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8)},
	}
	want := &saga.Init{ID: id, Fingerprint: fingerprint}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := protocol.Decode(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("decoded as %#v, want %#v", got, want)
			}
		})
	}
}

func TestErrorOfALaterVersion(t *testing.T) {
	b, err := proto.Marshal(&pb.Envelope{Kind: &pb.Envelope_Error{Error: &pb.Error{Code: 77, Text: "new"}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := protocol.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if want := (&saga.Error{Code: saga.CodeInternal, Text: "new"}); !reflect.DeepEqual(got, want) {
		t.Errorf("decoded as %#v, want %#v", got, want)
	}
}

func TestErrorTextIsMadeToFit(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"long", strings.Repeat("a", 3000), strings.Repeat("a", saga.MaxErrorText)},
		{"long, cut before a character", strings.Repeat("a", saga.MaxErrorText-1) + "ß", strings.Repeat("a", saga.MaxErrorText-1)},
		{"not UTF-8", "a\xff\xfeb", "a\uFFFDb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := protocol.Decode(encode(t, &saga.Error{Code: saga.CodeInternal, Text: tt.text}))
			if err != nil {
				t.Fatal(err)
			}
			if got := m.(*saga.Error).Text; got != tt.want {
				t.Errorf("text %q, want %q", got, tt.want)
			}
		})
	}
}

// What is received is not copied, and cannot be grown over its neighbour.
func TestPayloadAliasesTheInput(t *testing.T) {
	in := encode(t, &saga.Delta{ID: saga.ID(fill('s')), Items: []saga.Item{{Bytes: []byte("one")}, {Bytes: []byte("two")}}})
	m, err := protocol.Decode(in)
	if err != nil {
		t.Fatal(err)
	}
	items := m.(*saga.Delta).Items
	in[bytes.Index(in, []byte("one"))] = 'O'
	if string(items[0].Bytes) != "One" {
		t.Error("the payload was copied")
	}
	_ = append(items[0].Bytes, "xxxxxxxxxx"...)
	if string(items[1].Bytes) != "two" {
		t.Error("appending to one item changed the next")
	}
}
