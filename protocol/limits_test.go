package protocol_test

import (
	"bytes"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/protocol/internal/pb"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

var (
	hash32 = bytes.Repeat([]byte{'h'}, 32)
	id32   = bytes.Repeat([]byte{'s'}, 32)
)

func rising(n int) []byte {
	b := make([]byte, 32*n)
	for i := range n {
		b[32*i], b[32*i+1], b[32*i+2] = byte(i>>16), byte(i>>8), byte(i)
	}
	return b
}

func times[T any](n int, v T) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = v
	}
	return list
}

func pbInit(m *pb.Init) *pb.Envelope {
	if m.Fingerprint == nil {
		m.Fingerprint = hash32
	}
	return &pb.Envelope{SagaId: id32, Kind: &pb.Envelope_Init{Init: m}}
}

func pbAck(m *pb.Ack) *pb.Envelope {
	return &pb.Envelope{SagaId: id32, Kind: &pb.Envelope_Ack{Ack: m}}
}

func pbDelta(m *pb.Delta) *pb.Envelope {
	return &pb.Envelope{SagaId: id32, Kind: &pb.Envelope_Delta{Delta: m}}
}

func pbItems(items ...*pb.Item) *pb.Envelope { return pbDelta(&pb.Delta{Items: items}) }

func full(n int) *pb.Item { return &pb.Item{Form: &pb.Item_Full{Full: make([]byte, n)}} }

func chunk(c *pb.Chunk) *pb.Item { return &pb.Item{Form: &pb.Item_Chunk{Chunk: c}} }

func derived(d *pb.Derived) *pb.Item { return &pb.Item{Form: &pb.Item_Derived{Derived: d}} }

func pbCommit(m *pb.Commit) *pb.Envelope {
	if m.Digest == nil {
		m.Digest = hash32
	}
	return &pb.Envelope{SagaId: id32, Kind: &pb.Envelope_Commit{Commit: m}}
}

func pbError(m *pb.Error) *pb.Envelope {
	return &pb.Envelope{Kind: &pb.Envelope_Error{Error: m}}
}

func pbSeal(m *pb.Seal) *pb.Envelope {
	return &pb.Envelope{SagaId: hash32, Kind: &pb.Envelope_Seal{Seal: m}}
}

func pbHello(m *pb.Hello) *pb.Envelope {
	if m.Nonce == nil {
		m.Nonce = hash32
	}
	return &pb.Envelope{Kind: &pb.Envelope_Hello{Hello: m}}
}

func pbNotice(m *pb.Notice) *pb.Envelope {
	return &pb.Envelope{Kind: &pb.Envelope_Notice{Notice: m}}
}

func pbFrames(m *pb.KeystoneFrames) *pb.Envelope {
	return &pb.Envelope{Kind: &pb.Envelope_KeystoneFrames{KeystoneFrames: m}}
}

// Messages of a hostile peer, written with the generated code, which knows no
// limits. Code 0: the message is accepted, since it is just within its limit.
func TestDecodeLimits(t *testing.T) {
	const (
		fine  = saga.Code(0)
		limit = saga.CodeLimit
		bad   = saga.CodeProtocol
		later = saga.CodeUnsupported
	)
	timelines := func(n int) (list []*pb.Entry) {
		for i, roots := 0, rising(n); i < n; i++ {
			list = append(list, &pb.Entry{Root: roots[32*i : 32*i+32], Heads: hash32})
		}
		return list
	}
	swapped := func(two []*pb.Entry) []*pb.Entry { return []*pb.Entry{two[1], two[0]} }
	root := func(heads int) *pb.Entry { return &pb.Entry{Root: hash32, Heads: rising(heads)} }
	want := func(heads, known int) *pb.Want {
		return &pb.Want{Root: hash32, Heads: rising(heads), Known: rising(known)}
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name string
		in   *pb.Envelope
		code saga.Code
	}{
		{"no message", &pb.Envelope{SagaId: id32}, later},
		{"nothing", &pb.Envelope{}, later},
		{"init without id", &pb.Envelope{Kind: &pb.Envelope_Init{Init: &pb.Init{Fingerprint: hash32}}}, bad},
		{"init with zero id", &pb.Envelope{SagaId: make([]byte, 32), Kind: &pb.Envelope_Init{Init: &pb.Init{Fingerprint: hash32}}}, bad},
		{"short id", &pb.Envelope{SagaId: id32[:31], Kind: &pb.Envelope_Delta{Delta: &pb.Delta{}}}, bad},
		{"long id", &pb.Envelope{SagaId: append(id32, 0), Kind: &pb.Envelope_Delta{Delta: &pb.Delta{}}}, bad},
		{"hello with an id", &pb.Envelope{SagaId: id32, Kind: &pb.Envelope_Hello{Hello: &pb.Hello{Nonce: hash32}}}, bad},

		{"most features", pbInit(&pb.Init{Features: times(saga.MaxFeatures, "x")}), fine},
		{"too many features", pbInit(&pb.Init{Features: times(saga.MaxFeatures+1, "x")}), limit},
		{"longest feature", pbInit(&pb.Init{Features: []string{long(saga.MaxFeature)}}), fine},
		{"feature too long", pbInit(&pb.Init{Features: []string{long(saga.MaxFeature + 1)}}), limit},
		{"mode of a later version", pbInit(&pb.Init{Mode: 3}), later},
		{"strategy of a later version", pbInit(&pb.Init{Strategy: 3}), later},
		{"negative mode", pbInit(&pb.Init{Mode: -1}), later},
		{"most shares", pbInit(&pb.Init{Scope: &pb.Scope{ShareIds: times(saga.MaxShares, "")}}), fine},
		{"too many shares", pbInit(&pb.Init{Scope: &pb.Scope{ShareIds: times(saga.MaxShares+1, "")}}), limit},
		{"longest share", pbInit(&pb.Init{Scope: &pb.Scope{ShareIds: []string{long(protocol.MaxShare)}}}), fine},
		{"share too long", pbInit(&pb.Init{Scope: &pb.Scope{ShareIds: []string{long(protocol.MaxShare + 1)}}}), limit},
		{"most roots", pbInit(&pb.Init{Scope: &pb.Scope{Roots: rising(saga.MaxRoots)}}), fine},
		{"too many roots", pbInit(&pb.Init{Scope: &pb.Scope{Roots: rising(saga.MaxRoots + 1)}}), limit},
		{"root cut", pbInit(&pb.Init{Scope: &pb.Scope{Roots: rising(2)[:63]}}), bad},
		{"no fingerprint", pbInit(&pb.Init{Fingerprint: []byte{}}), bad},
		{"short fingerprint", pbInit(&pb.Init{Fingerprint: hash32[:16]}), bad},
		{"cursor without epoch", pbInit(&pb.Init{Cursor: &pb.Cursor{Sequence: 1}}), bad},
		{"cursor with long epoch", pbInit(&pb.Init{Cursor: &pb.Cursor{Epoch: hash32}}), bad},
		{"most entries", pbInit(&pb.Init{Entries: times(saga.MaxEntries, root(0))}), fine},
		{"too many entries", pbInit(&pb.Init{Entries: times(saga.MaxEntries+1, root(0))}), limit},
		{"most heads", pbInit(&pb.Init{Entries: []*pb.Entry{root(saga.MaxHeads)}}), fine},
		{"too many heads", pbInit(&pb.Init{Entries: []*pb.Entry{root(saga.MaxHeads + 1)}}), limit},
		{"entry without root", pbInit(&pb.Init{Entries: []*pb.Entry{{}}}), bad},
		{"heads not in order", pbInit(&pb.Init{Entries: []*pb.Entry{{Root: hash32, Heads: append(rising(3)[32:], rising(1)...)}}}), bad},
		{"head twice", pbInit(&pb.Init{Entries: []*pb.Entry{{Root: hash32, Heads: append(rising(1), rising(1)...)}}}), bad},
		{"heads cut", pbInit(&pb.Init{Entries: []*pb.Entry{{Root: hash32, Heads: rising(1)[:31]}}}), bad},

		{"ack without fingerprint", pbAck(&pb.Ack{}), fine},
		{"ack with short fingerprint", pbAck(&pb.Ack{Fingerprint: hash32[:31]}), bad},
		{"most wants", pbAck(&pb.Ack{Wants: times(saga.MaxEntries, want(1, 0))}), fine},
		{"too many wants", pbAck(&pb.Ack{Wants: times(saga.MaxEntries+1, want(1, 0))}), limit},
		{"want of nothing", pbAck(&pb.Ack{Wants: []*pb.Want{want(0, 1)}}), bad},
		{"want of most heads", pbAck(&pb.Ack{Wants: []*pb.Want{want(saga.MaxHeads, saga.MaxKnown)}}), fine},
		{"want of too many heads", pbAck(&pb.Ack{Wants: []*pb.Want{want(saga.MaxHeads+1, 0)}}), limit},
		{"too many known", pbAck(&pb.Ack{Wants: []*pb.Want{want(1, saga.MaxKnown+1)}}), limit},

		{"most offers", pbDelta(&pb.Delta{Offers: rising(saga.MaxOffers)}), fine},
		{"too many offers", pbDelta(&pb.Delta{Offers: rising(saga.MaxOffers + 1)}), limit},
		{"answer to nothing", pbDelta(&pb.Delta{Answer: &pb.Answer{}}), bad},
		{"answer too short", pbDelta(&pb.Delta{Answer: &pb.Answer{Count: 9, Lacks: []byte{1}}}), bad},
		{"answer too long", pbDelta(&pb.Delta{Answer: &pb.Answer{Count: 8, Lacks: []byte{1, 0}}}), bad},
		{"answer with stray bits", pbDelta(&pb.Delta{Answer: &pb.Answer{Count: 1, Lacks: []byte{3}}}), bad},
		{"longest answer", pbDelta(&pb.Delta{Answer: &pb.Answer{Count: saga.MaxOffers, Lacks: make([]byte, saga.MaxOffers/8)}}), fine},
		{"answer to too many", pbDelta(&pb.Delta{Answer: &pb.Answer{Count: 1 << 31, Lacks: []byte{1}}}), limit},
		{"answer with too many bits", pbDelta(&pb.Delta{Answer: &pb.Answer{Count: saga.MaxOffers, Lacks: make([]byte, saga.MaxOffers/8+1)}}), limit},

		{"item without form", pbItems(&pb.Item{}), bad},
		{"empty item", pbItems(full(0)), bad},
		{"largest item", pbItems(full(saga.MaxItem)), fine},
		{"item too large", pbItems(full(saga.MaxItem + 1)), limit},
		{"most items", pbItems(times(saga.MaxItems, full(1))...), fine},
		{"too many items", pbItems(times(saga.MaxItems+1, full(1))...), limit},
		{"most payload", pbItems(full(saga.MaxPayload-1), full(1)), fine},
		{"too much payload", pbItems(full(saga.MaxPayload), full(1)), limit},
		{"last chunk", pbItems(chunk(&pb.Chunk{Hash: hash32, Offset: saga.MaxTotal - 1, Total: saga.MaxTotal, Piece: []byte{1}})), fine},
		{"empty chunk", pbItems(chunk(&pb.Chunk{Hash: hash32, Total: 1})), bad},
		{"chunk beyond the end", pbItems(chunk(&pb.Chunk{Hash: hash32, Offset: 10, Total: 10, Piece: []byte{1}})), bad},
		{"chunk far beyond the end", pbItems(chunk(&pb.Chunk{Hash: hash32, Offset: 1<<64 - 1, Total: 10, Piece: []byte{1}})), bad},
		{"chunk of too large a whole", pbItems(chunk(&pb.Chunk{Hash: hash32, Total: saga.MaxTotal + 1, Piece: []byte{1}})), limit},
		{"chunk too large", pbItems(chunk(&pb.Chunk{Hash: hash32, Total: saga.MaxTotal, Piece: make([]byte, saga.MaxItem+1)})), limit},
		{"chunk without hash", pbItems(chunk(&pb.Chunk{Total: 1, Piece: []byte{1}})), bad},
		{"derived", pbItems(derived(&pb.Derived{Addr: long(protocol.MaxAddr), Predecessor: hash32, Dna: hash32, Time: -5})), fine},
		{"derived without address", pbItems(derived(&pb.Derived{Predecessor: hash32, Dna: hash32})), bad},
		{"derived with too long an address", pbItems(derived(&pb.Derived{Addr: long(protocol.MaxAddr + 1), Predecessor: hash32, Dna: hash32})), limit},
		{"derived without dna", pbItems(derived(&pb.Derived{Addr: "a", Predecessor: hash32})), bad},

		{"commit without digest", pbCommit(&pb.Commit{Digest: []byte{}}), bad},
		{"most conflicts", pbCommit(&pb.Commit{Conflicts: rising(saga.MaxConflicts)}), fine},
		{"too many conflicts", pbCommit(&pb.Commit{Conflicts: rising(saga.MaxConflicts + 1)}), limit},
		{"commit cursor without epoch", pbCommit(&pb.Commit{Cursor: &pb.Cursor{Sequence: 1}}), bad},

		{"error without code", pbError(&pb.Error{Text: "x"}), bad},
		{"longest text", pbError(&pb.Error{Code: 1, Text: long(saga.MaxErrorText)}), fine},
		{"text too long", pbError(&pb.Error{Code: 1, Text: long(saga.MaxErrorText + 1)}), limit},

		{"longest reason", pbError(&pb.Error{Code: 1, Reason: long(saga.MaxErrorReason)}), fine},
		{"reason too long", pbError(&pb.Error{Code: 1, Reason: long(saga.MaxErrorReason + 1)}), limit},

		{"longest seal", pbSeal(&pb.Seal{Frame: make([]byte, saga.MaxSeal)}), fine},
		{"seal too long", pbSeal(&pb.Seal{Frame: make([]byte, saga.MaxSeal+1)}), limit},
		{"seal of nothing", pbSeal(&pb.Seal{}), bad},

		{"hello without nonce", pbHello(&pb.Hello{Nonce: []byte{}}), bad},
		{"hello with too long an address", pbHello(&pb.Hello{Genesis: long(protocol.MaxAddr + 1)}), limit},
		{"hello with too long a session", pbHello(&pb.Hello{Session: long(protocol.MaxAddr + 1)}), limit},
		{"hello with too long a proof", pbHello(&pb.Hello{MeshSecretProof: make([]byte, protocol.MaxProof+1)}), limit},
		{"hello with too long a secret", pbHello(&pb.Hello{InviteSecret: make([]byte, protocol.MaxProof+1)}), limit},
		{"hello too large", pbHello(&pb.Hello{Genesis: long(protocol.MaxHello - 100), Session: long(100)}), limit},
		{"notice with too long a share", pbNotice(&pb.Notice{ShareId: long(protocol.MaxShare + 1)}), limit},
		{"notice of nothing", pbNotice(&pb.Notice{}), bad},
		{"most timelines of a notice", pbNotice(&pb.Notice{Timelines: timelines(saga.MaxEntries)}), fine},
		{"notice of a timeline without heads", pbNotice(&pb.Notice{Timelines: []*pb.Entry{root(0)}}), bad},
		{"notice of a timeline twice", pbNotice(&pb.Notice{Timelines: times(2, root(1))}), bad},
		{"notice in another order", pbNotice(&pb.Notice{Timelines: swapped(timelines(2))}), bad},
		{"notice of too many timelines", pbNotice(&pb.Notice{Timelines: times(saga.MaxEntries+1, root(0))}), limit},
		{"most keystone frames", pbFrames(&pb.KeystoneFrames{Frames: times(protocol.MaxFrames, []byte{1})}), fine},
		{"too many keystone frames", pbFrames(&pb.KeystoneFrames{Frames: times(protocol.MaxFrames+1, []byte{1})}), limit},
		{"empty keystone frame", pbFrames(&pb.KeystoneFrames{Frames: [][]byte{{}}}), bad},
		{"keystone frame too large", pbFrames(&pb.KeystoneFrames{Frames: [][]byte{make([]byte, saga.MaxItem+1)}}), limit},
		{"message too large", pbFrames(&pb.KeystoneFrames{Frames: times(3, make([]byte, saga.MaxItem))}), limit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, err := proto.Marshal(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			m, err := protocol.Decode(in)
			if tt.code != fine {
				wantCode(t, err, tt.code)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			encode(t, m) // what may come in may go out
		})
	}
}

func TestDecodeRefusesWhatGeneratedCodeCannotWrite(t *testing.T) {
	field := func(b []byte, n protowire.Number, v []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	varint := func(b []byte, n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
	}
	withID := slices.Clip(field(nil, 1, id32)) // appended to more than once
	init := slices.Clip(field(nil, 5, hash32))
	tests := []struct {
		name string
		in   []byte
		code saga.Code
	}{
		{"two messages", field(field(withID, 2, init), 4, nil), saga.CodeProtocol},
		{"one message twice", field(field(withID, 2, init), 2, init), saga.CodeProtocol},
		{"id twice", field(field(withID, 1, id32), 2, init), saga.CodeProtocol},
		{"field twice", field(withID, 2, field(init, 5, hash32)), saga.CodeProtocol},
		{"flag of 2", field(withID, 4, varint(nil, 4, 2)), saga.CodeProtocol},
		{"wrong wire type", field(withID, 4, field(nil, 4, nil)), saga.CodeProtocol},
		{"message as varint", varint(withID, 4, 1), saga.CodeProtocol},
		{"two forms", field(withID, 4, field(nil, 3, field(field(nil, 1, []byte("x")), 2, nil))), saga.CodeProtocol},
		{"group", append(field(withID, 4, nil), 0xa3, 0x06, 0xa4, 0x06), saga.CodeProtocol},
		{"field number 0", append(field(withID, 4, nil), 0x00, 0x00), saga.CodeProtocol},
		{"field number 2^29", append(field(withID, 4, nil), 0x80, 0x80, 0x80, 0x80, 0x10, 0x00), saga.CodeProtocol},
		{"varint of eleven bytes", append(field(withID, 4, nil), 0xa0, 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), saga.CodeProtocol},
		{"feature not UTF-8", field(withID, 2, field(init, 1, []byte{0xff})), saga.CodeProtocol},
		{"share not UTF-8", field(withID, 2, field(init, 4, field(nil, 1, []byte("a\xc0\x80")))), saga.CodeProtocol},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := protocol.Decode(tt.in)
			wantCode(t, err, tt.code)
		})
	}
}

func TestEncodeRefusesWhatDecodeRefuses(t *testing.T) {
	id := saga.ID(fill('s'))
	delta := func(items ...saga.Item) *saga.Delta { return &saga.Delta{ID: id, Items: items} }
	tests := []struct {
		name string
		in   saga.Message
		code saga.Code
	}{
		{"no id", &saga.Delta{}, saga.CodeProtocol},
		{"too many offers", &saga.Delta{ID: id, Offers: make([]ibgib.Hash, saga.MaxOffers+1)}, saga.CodeLimit},
		{"too many entries", &saga.Init{ID: id, Entries: make([]timeline.Entry, saga.MaxEntries+1)}, saga.CodeLimit},
		{"heads not in order", &saga.Init{ID: id, Entries: []timeline.Entry{{Heads: hashes("ba")}}}, saga.CodeProtocol},
		{"unknown mode", &saga.Init{ID: id, Mode: 3}, saga.CodeUnsupported},
		{"want of nothing", &saga.Ack{ID: id, Wants: []saga.Want{{}}}, saga.CodeProtocol},
		{"answer that does not fit", &saga.Delta{ID: id, Answer: &saga.Answer{Count: 2}}, saga.CodeProtocol},
		{"empty item", delta(saga.Item{}), saga.CodeProtocol},
		{"item too large", delta(saga.Item{Bytes: make([]byte, saga.MaxItem+1)}), saga.CodeLimit},
		{"too much payload", delta(saga.Item{Bytes: make([]byte, saga.MaxPayload)}, saga.Item{Bytes: []byte("x")}), saga.CodeLimit},
		{"unknown form", delta(saga.Item{Form: 9, Bytes: []byte("x")}), saga.CodeProtocol},
		{"derived without content", delta(saga.Item{Form: saga.FormDerived}), saga.CodeProtocol},
		{"full with derived content", delta(saga.Item{Bytes: []byte("x"), Derived: &saga.Derived{}}), saga.CodeProtocol},
		{"full with an offset", delta(saga.Item{Bytes: []byte("x"), Offset: 1}), saga.CodeProtocol},
		{"chunk beyond the end", delta(saga.Item{Form: saga.FormChunk, Bytes: []byte("x")}), saga.CodeProtocol},
		{"error without code", &saga.Error{ID: id}, saga.CodeProtocol},
		{"message too large", &protocol.KeystoneFrames{Frames: times(3, make([]byte, saga.MaxItem))}, saga.CodeLimit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := protocol.Encode(tt.in)
			wantCode(t, err, tt.code)
		})
	}
}

// allocated returns the bytes that a call of f allocates: the least of several
// calls, since other goroutines may allocate too.
func allocated(f func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// A claim costs its sender bytes, not the receiver memory.
func TestHostileMessagesCostLittle(t *testing.T) {
	field := func(n protowire.Number, claimed uint64, v []byte) []byte {
		b := protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.BytesType), claimed)
		return append(b, v...)
	}
	inDelta := func(v []byte) []byte {
		return append(append([]byte{0x0a, 32}, id32...), field(4, uint64(len(v)), v)...)
	}
	tests := []struct {
		name  string
		in    []byte
		most  uint64 // bytes
		allow bool   // accepted, since it is within all limits
	}{
		{"message of 1 GiB claimed", field(4, 1<<30, []byte("x")), 4 << 10, false},
		{"hashes of 32 GB claimed", inDelta(field(1, 32e9, hash32)), 4 << 10, false},
		{"item of 2^63 bytes claimed", inDelta(field(3, 1<<63-1, []byte("x"))), 4 << 10, false},
		{"as many offers as fit", inDelta(field(1, 32*65000, make([]byte, 32*65000))), 4 << 10, false},
		{"as many tiny items as fit", inDelta(bytes.Repeat([]byte{0x1a, 0x03, 0x0a, 0x01, 'x'}, 419_000)), 2 << 20, false},
		{"as many empty items as fit", inDelta(bytes.Repeat([]byte{0x1a, 0x00}, 1_000_000)), 2 << 20, false},
		{"as many empty entries as fit", inDelta(bytes.Repeat([]byte{0x42, 0x00}, 1_000_000)), 1 << 20, false},
		{"as many empty wants as fit", inDelta(bytes.Repeat([]byte{0x6a, 0x00}, 1_000_000)), 1 << 20, false},
		{"as many empty features as fit", append(append([]byte{0x0a, 32}, id32...), field(2, 2e6, bytes.Repeat([]byte{0x0a, 0x00}, 1_000_000))...), 16 << 10, false},
		{"as many unknown fields as fit", inDelta(bytes.Repeat([]byte{0x78, 0x00}, 1_000_000)), 4 << 10, true},
		{"groups within groups", inDelta(bytes.Repeat([]byte{0x7b}, 2_000_000)), 4 << 10, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if len(tt.in) > protocol.MaxMessage {
				t.Fatalf("%d bytes do not get as far as the decoder", len(tt.in))
			}
			var err error
			got := allocated(func() { _, err = protocol.Decode(tt.in) })
			if (err == nil) != tt.allow {
				t.Errorf("error %v", err)
			}
			if got > tt.most {
				t.Errorf("allocated %d bytes, at most %d", got, tt.most)
			}
		})
	}
}
