package protocol_test

import (
	"bytes"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// fill returns 32 times the character, so that hashes can be told apart in text.
func fill(c byte) (h [32]byte) {
	copy(h[:], bytes.Repeat([]byte{c}, len(h)))
	return h
}

func hashes(characters string) []ibgib.Hash {
	var list []ibgib.Hash
	for _, c := range []byte(characters) {
		list = append(list, fill(c))
	}
	return list
}

// sample is a message with the name of its file in testdata/messages.
type sample struct {
	name    string
	message saga.Message
}

// samples returns messages that together fill every field that this version
// encodes.
func samples() []sample {
	id := saga.ID(fill('s'))
	epoch := [16]byte([]byte("the store epoch!"))
	return []sample{
		{"init", &saga.Init{
			ID: id, Features: []string{"chunks", "later"}, Mode: saga.ModePush, Strategy: saga.StrategyManual,
			Shares: []string{"", "family"}, Roots: hashes("rq"),
			Fingerprint: fill('f'), Count: 2, Cursor: &saga.Cursor{Epoch: epoch, Sequence: 300},
			Entries: []timeline.Entry{
				{Root: fill('q'), Heads: hashes("ab")},
				{Root: fill('r')},
			},
			Complete: true, Fresh: true, Credit: 4 << 20,
			Forgotten: hashes("uv"), Without: fill('w'),
		}},
		{"init_least", &saga.Init{ID: id}},
		{"ack", &saga.Ack{
			ID: id, Features: []string{"chunks"}, Mode: saga.ModePull, Strategy: saga.StrategyAbort,
			Fingerprint: fill('g'), Count: 1,
			Entries:     []timeline.Entry{{Root: fill('q'), Heads: hashes("c")}},
			NeedEntries: true, Fresh: true, Credit: 1,
			Wants: []saga.Want{{Root: fill('q'), Heads: hashes("ba"), Known: hashes("cxy")}},
			More:  true, Forgotten: hashes("u"),
		}},
		{"ack_equal", &saga.Ack{ID: id, Equal: true, Fingerprint: fill('f'), Count: 1 << 40}},
		{"delta_offers", &saga.Delta{
			ID: id, Offers: hashes("zyx"),
			Entries:     []timeline.Entry{{Root: fill('q'), Heads: hashes("ab")}},
			EntriesDone: true,
			Wants:       []saga.Want{{Root: fill('q'), Heads: hashes("c")}},
			WantsDone:   true, Credit: 524288,
		}},
		{"delta_answer", &saga.Delta{ID: id, Answer: &saga.Answer{Count: 9, Lacks: []byte{0x81, 0x01}}}},
		{"delta_items", &saga.Delta{ID: id, Items: []saga.Item{
			{Bytes: []byte(`{"ib":"a","gib":"..."}`)},
			{Form: saga.FormChunk, Bytes: []byte("piece"), Hash: fill('h'), Offset: 1 << 20, Total: 1<<20 + 5},
			{Form: saga.FormDerived, Derived: &saga.Derived{
				Addr: "a^GIB", Predecessor: fill('p'), Dna: fill('d'), Time: -1, HasMillis: true,
			}},
		}, Done: true}},
		{"delta_empty", &saga.Delta{ID: id}},
		{"commit", &saga.Commit{
			ID: id, Digest: fill('f'), Count: 7, Received: saga.Totals{IbGibs: 3, Bytes: 1800},
			Conflicts: hashes("qr"), Aborted: hashes("r"), Refused: 1,
			Refusals: []saga.Refusal{{Hash: fill('h'), Rule: "gib-mismatch", Detail: "another"}, {Rule: "bad-json"}},
			LastSeq:  301, StoreEpoch: epoch,
		}},
		{"working", &saga.Working{ID: id}},
		{"seal", &saga.Seal{ID: id, Frame: []byte("frame 3")}},
		{"error", &saga.Error{ID: id, Code: saga.CodeBusy, Text: "too many sagas · later", Retry: true, Reason: "expired"}},
		{"error_least", &saga.Error{Code: saga.CodeUntrusted}},
		{"hello", &protocol.Hello{
			Features: []string{"chunks"}, Genesis: "keystone^GENESIS", Session: "keystone^SESSION", Nonce: fill('n'),
			MeshSecretProof: []byte("proof"), InviteProof: []byte("secret"),
			Known: fill('k'), SessionKnown: fill('l'),
		}},
		{"notice", &protocol.Notice{Share: "family", Timelines: []timeline.Entry{{Root: fill('q'), Heads: hashes("ab")}}}},
		{"keystone_frames", &protocol.KeystoneFrames{
			Genesis: "keystone^GENESIS", Known: fill('k'), Reply: true,
			Frames: [][]byte{[]byte("frame 1"), []byte("frame 2")}, More: true,
		}},
		{"vouch", &protocol.Vouch{Reply: true, Peers: []protocol.Vouched{
			{Peer: "a peer id", Genesis: "keystone^GENESIS"}, {Peer: "another", Genesis: "keystone^OTHER"},
		}}},
		{"fetch", &protocol.Fetch{Target: fill('t'), Wants: hashes("ab"), Ahead: true}},
		{"fetched", &protocol.Fetched{
			Items:  []saga.Item{{Bytes: []byte(`{"ib":"a","gib":"..."}`)}},
			Absent: hashes("b"), Ahead: hashes("cd"),
		}},
	}
}
