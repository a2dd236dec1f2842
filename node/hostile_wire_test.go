package node

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// fields builds messages that no encoder writes.
type fields []byte

func (f fields) bytes(n protowire.Number, v []byte) fields {
	return protowire.AppendBytes(protowire.AppendTag(f, n, protowire.BytesType), v)
}

func (f fields) varint(n protowire.Number, v uint64) fields {
	return protowire.AppendVarint(protowire.AppendTag(f, n, protowire.VarintType), v)
}

// Fields of the envelope.
const (
	fieldID        = 1
	fieldInit      = 2
	fieldAck       = 3
	fieldDelta     = 4
	fieldCommit    = 5
	fieldError     = 6
	fieldKeystones = 9
	fieldWorking   = 10
)

// wireCase is what comes instead of a good frame.
type wireCase struct {
	name string
	code saga.Code
	in   func(id []byte) []byte
	ends bool // the stream is closed for writing after it
}

// framing are bytes that are no frame, or no whole one.
func framing() []wireCase {
	plain := func(b ...byte) func([]byte) []byte { return func([]byte) []byte { return b } }
	length := func(n uint64) func([]byte) []byte { return plain(binary.AppendUvarint(nil, n)...) }
	return []wireCase{
		{"length zero", saga.CodeProtocol, plain(0), false},
		{"length not in its shortest form", saga.CodeProtocol, plain(0x85, 0), false},
		{"length just too much", saga.CodeLimit, length(protocol.MaxMessage + 1), false},
		{"length of 1 GiB", saga.CodeLimit, length(1 << 30), false},
		{"length of 2^64 - 1", saga.CodeLimit, length(1<<64 - 1), false},
		{"length without end", saga.CodeLimit, plain(bytes.Repeat([]byte{0xff}, 1<<20)...), false},
		{"another protocol", saga.CodeProtocol, plain(framed([]byte("GET / HTTP/1.1\r\n\r\n"))...), false},
		{"end at once", 0, plain(), true},
		{"end inside a length", 0, plain(0x85), true},
		{"end inside a message", 0, plain(framed(make([]byte, 1000))[:500]...), true},
	}
}

// malformed are frames that hold no message.
func malformed() []wireCase {
	const (
		bad   = saga.CodeProtocol
		limit = saga.CodeLimit
		later = saga.CodeUnsupported
	)
	hash := bytes.Repeat([]byte{7}, 32)
	good := slices.Clip(fields(nil).bytes(5, hash)) // an init, appended to more than once
	list := []struct {
		name string
		code saga.Code
		in   func(id []byte) fields
	}{
		{"no kind", later, func(id []byte) fields { return fields(nil).bytes(fieldID, id) }},
		{"kind of a later version", later, func(id []byte) fields { return fields(nil).bytes(fieldID, id).bytes(16, nil) }},
		{"two kinds", bad, func(id []byte) fields {
			return fields(nil).bytes(fieldID, id).bytes(fieldInit, good).bytes(fieldDelta, nil)
		}},
		{"one kind twice", bad, func(id []byte) fields {
			return fields(nil).bytes(fieldID, id).bytes(fieldInit, good).bytes(fieldInit, good)
		}},
		{"id twice", bad, func(id []byte) fields {
			return fields(nil).bytes(fieldID, id).bytes(fieldID, id).bytes(fieldInit, good)
		}},
		{"id too short", bad, func(id []byte) fields { return fields(nil).bytes(fieldID, id[:31]).bytes(fieldInit, good) }},
		{"id of zeros", bad, func([]byte) fields {
			return fields(nil).bytes(fieldID, make([]byte, 32)).bytes(fieldInit, good)
		}},
		{"no id", bad, func([]byte) fields { return fields(nil).bytes(fieldInit, good) }},
		{"id as a number", bad, func([]byte) fields { return fields(nil).varint(fieldID, 6).bytes(fieldInit, good) }},
		{"message as a number", bad, func(id []byte) fields { return fields(nil).bytes(fieldID, id).varint(fieldDelta, 1) }},
		{"field number 0", bad, func(id []byte) fields { return append(fields(nil).bytes(fieldID, id), 0, 0) }},
		{"group", bad, func(id []byte) fields {
			return append(fields(nil).bytes(fieldID, id).bytes(fieldWorking, nil), 0xa3, 0x06, 0xa4, 0x06)
		}},
		{"groups within groups", bad, func(id []byte) fields {
			return fields(nil).bytes(fieldID, id).bytes(fieldDelta, bytes.Repeat([]byte{0x7b}, 2_000_000))
		}},
		{"message beyond the frame", bad, func(id []byte) fields {
			return append(fields(nil).bytes(fieldID, id), 0x22, 0xff, 0xff, 0xff, 0x7f)
		}},
	}
	inside := []struct {
		name string
		code saga.Code
		kind protowire.Number
		in   fields
	}{
		{"init without a fingerprint", bad, fieldInit, nil},
		{"field twice", bad, fieldInit, good.bytes(5, hash)},
		{"fingerprint of 31 bytes", bad, fieldInit, fields(nil).bytes(5, hash[:31])},
		{"unknown mode", later, fieldInit, fields(nil).varint(2, 3).bytes(5, hash)},
		{"mode beyond a byte", later, fieldInit, fields(nil).varint(2, 256).bytes(5, hash)},
		{"unknown strategy", later, fieldInit, fields(nil).varint(3, 1<<40).bytes(5, hash)},
		{"feature that is not UTF-8", bad, fieldInit, fields(nil).bytes(1, []byte{0xff}).bytes(5, hash)},
		{"features without end", limit, fieldInit, append(bytes.Repeat([]byte{0x0a, 0}, 900_000), good...)},
		{"entries without end", limit, fieldInit, append(bytes.Repeat(fields(nil).bytes(8, fields(nil).bytes(1, hash)), 50_000), good...)},
		{"roots out of order", bad, fieldInit, fields(nil).bytes(4, fields(nil).bytes(2, append(bytes.Clone(hash), make([]byte, 32)...))).bytes(5, hash)},
		{"heads out of order", bad, fieldInit, good.bytes(8, fields(nil).bytes(1, hash).bytes(2, append(bytes.Clone(hash), make([]byte, 32)...)))},
		{"heads twice", bad, fieldInit, good.bytes(8, fields(nil).bytes(1, hash).bytes(2, append(bytes.Clone(hash), hash...)))},
		{"more heads than allowed", limit, fieldInit, good.bytes(8, fields(nil).bytes(1, hash).bytes(2, make([]byte, 32*(saga.MaxHeads+1))))},
		{"flag of 2", bad, fieldDelta, fields(nil).varint(4, 2)},
		{"number of eleven bytes", bad, fieldDelta, append(fields{0x60}, bytes.Repeat([]byte{0xff}, 11)...)},
		{"hashes of 33 bytes", bad, fieldDelta, fields(nil).bytes(1, make([]byte, 33))},
		{"offers without end", limit, fieldDelta, fields(nil).bytes(1, make([]byte, 32*65_000))},
		{"items without end", limit, fieldDelta, bytes.Repeat([]byte{0x1a, 3, 0x0a, 1, 'x'}, 400_000)},
		{"wants without end", limit, fieldDelta, bytes.Repeat(fields(nil).bytes(13, fields(nil).bytes(1, hash).bytes(2, hash)), 25_000)},
		{"empty item", bad, fieldDelta, fields(nil).bytes(3, fields(nil).bytes(1, nil))},
		{"item of two forms", bad, fieldDelta, fields(nil).bytes(3, fields(nil).bytes(1, []byte("x")).bytes(2, nil))},
		{"item that is too large", limit, fieldDelta, fields(nil).bytes(3, fields(nil).bytes(1, make([]byte, saga.MaxItem+1)))},
		{"chunks of more than anything may have", limit, fieldDelta, fields(nil).bytes(3, fields(nil).bytes(2, fields(nil).bytes(1, hash).varint(3, saga.MaxTotal+1).bytes(4, hash)))},
		{"chunk beyond the total", bad, fieldDelta, fields(nil).bytes(3, fields(nil).bytes(2, fields(nil).bytes(1, hash).varint(2, 1<<63).varint(3, 9).bytes(4, hash)))},
		{"more payload than allowed", limit, fieldDelta, fields(nil).bytes(3, fields(nil).bytes(1, make([]byte, saga.MaxPayload))).bytes(3, fields(nil).bytes(1, []byte("x")))},
		{"answer that does not fit", bad, fieldDelta, fields(nil).bytes(2, fields(nil).varint(1, 9).bytes(2, []byte{1}))},
		{"answer about 2^32 blocks", limit, fieldDelta, fields(nil).bytes(2, fields(nil).varint(1, 1<<32))},
		{"want of nothing", bad, fieldDelta, fields(nil).bytes(13, fields(nil).bytes(1, hash))},
		{"commit without a digest", bad, fieldCommit, nil},
		{"conflicts out of order", bad, fieldCommit, fields(nil).bytes(1, hash).bytes(4, append(bytes.Clone(hash), hash...))},
		{"refusals without end", limit, fieldCommit, append(bytes.Repeat([]byte{0x4a, 0}, 900_000), fields(nil).bytes(1, hash)...)},
		{"error without a code", bad, fieldError, nil},
		{"error with a long text", limit, fieldError, fields(nil).varint(1, 1).bytes(2, make([]byte, saga.MaxErrorText+1))},
	}
	var cases []wireCase
	for _, c := range list {
		cases = append(cases, wireCase{c.name, c.code, func(id []byte) []byte { return framed(c.in(id)) }, false})
	}
	for _, c := range inside {
		cases = append(cases, wireCase{c.name, c.code, func(id []byte) []byte {
			return framed(fields(nil).bytes(fieldID, id).bytes(c.kind, c.in))
		}, false})
	}
	return cases
}

// wireCases sends bytes that are no message: a stranger's first, a trusted peer's
// first, in the middle of a saga that a trusted peer has begun, and as the answer
// to the victim's own init. A stranger learns nothing but that it is one.
func (r *arena) wireCases(t *testing.T) {
	cases := append(framing(), malformed()...)
	each := func(position string, run func(t *testing.T, c wireCase, send func(a *attack))) {
		t.Run(position, func(t *testing.T) {
			for _, c := range cases {
				run(t, c, func(a *attack) {
					a.write(c.in(a.id[:]))
					if c.ends {
						_ = a.stream.CloseWrite()
					}
				})
			}
		})
	}
	each("stranger", func(t *testing.T, c wireCase, send func(a *attack)) {
		want := saga.CodeUntrusted
		if c.ends {
			want = 0
		}
		r.respond(t, r.stranger, hostileCase{name: c.name, want: want, attack: send})
	})
	each("at first", func(t *testing.T, c wireCase, send func(a *attack)) {
		r.respond(t, r.evil, hostileCase{name: c.name, want: c.code, attack: send})
	})
	each("in a saga", func(t *testing.T, c wireCase, send func(a *attack)) {
		r.respond(t, r.evil, hostileCase{name: c.name, want: c.code, attack: func(a *attack) {
			a.open(a.init())
			send(a)
		}})
	})
	each("in answer", func(t *testing.T, c wireCase, send func(a *attack)) {
		want := c.code
		if c.ends {
			want = saga.CodeUnreachable
		}
		r.answer(t, hostileCase{name: c.name, want: want, attack: send})
	})
}
