package saga_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// The frames say what sync.md says, and a store takes them as one timeline.
func TestTranscript(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	a.populate(3, 3)
	b.create("own", nil)
	ra, rb, ca, cb := runCounted(t, a, b)
	if len(ra.Transcript) != 12 || len(rb.Transcript) != 12 {
		t.Fatalf("%d and %d ibGibs, want 12", len(ra.Transcript), len(rb.Transcript))
	}
	id := saga.ID{1, 2, 3}.String()
	digests := make(map[string]hashed)
	for side, messages := range map[string][]saga.Message{"a": ca.messages, "b": cb.messages} {
		x, y := saga.Pipe(1 << 30) // gives the digests again
		for _, m := range messages {
			r, err := x.Send(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			y.Receive(t.Context())
			key := side + " " + m.Stage().String()
			h := digests[key]
			h.n++
			h.all = append(h.all, r.Digest[:]...)
			digests[key] = h
		}
	}
	turns := []string{"a init", "b ack", "a delta", "b delta", "a commit", "b commit"}
	var first, last ibgib.IbGib
	for i, turn := range turns {
		stone, frame := ra.Transcript[2*i], ra.Transcript[2*i+1]
		if stone.Addr() != rb.Transcript[2*i].Addr() || frame.Addr() != rb.Transcript[2*i+1].Addr() {
			t.Errorf("%s: the sides differ", turn)
		}
		from, stage := turn[:1], turn[2:]
		h := digests[turn]
		sum := sha256.Sum256(h.all)
		wantStone := fmt.Sprintf(`{"digest":"%s","from":"%s","messages":%d,"sagaId":"%s","stage":"%s"}`,
			hex.EncodeToString(sum[:]), from, h.n, id, stage)
		if got := stone.Data().String(); got != wantStone {
			t.Errorf("%s: stone has data\n%s, want\n%s", turn, got, wantStone)
		}
		if stone.Ib() != "sync_msg "+id+" "+stage || stone.Rel("ancestor")[0].String() != "sync_msg^gib" {
			t.Errorf("%s: stone %s", turn, stone.Addr())
		}
		wantFrame, wantPast := fmt.Sprintf(`{"stage":"%s","uuid":"%s"}`, stage, id), []ibgib.Addr{last.Addr()}
		wantTjp := []ibgib.Addr{first.Addr()}
		if i == 0 {
			wantFrame = fmt.Sprintf(`{"isTjp":true,"stage":"%s","uuid":"%s"}`, stage, id)
			wantPast, wantTjp = nil, nil
			first = frame
		}
		if got := frame.Data().String(); got != wantFrame {
			t.Errorf("%s: frame has data %s, want %s", turn, got, wantFrame)
		}
		if frame.Ib() != "sync "+id || fmt.Sprint(frame.Rel("past")) != fmt.Sprint(wantPast) ||
			fmt.Sprint(frame.Rel("tjp")) != fmt.Sprint(wantTjp) || frame.Rel("syncmsg")[0] != stone.Addr() ||
			frame.Rel("ancestor")[0].String() != "sync^gib" || len(frame.Rel("dna")) > 0 {
			t.Errorf("%s: frame %s", turn, frame.Stored())
		}
		last = frame
	}
	_, res, err := a.store.Apply(t.Context(), blockstore.LocalArea, blockstore.Origin{}, ra.Transcript)
	if err != nil || len(res.Rejected) > 0 {
		t.Fatal(err, res.Rejected)
	}
	h := first.Hash()
	entry, ok, err := a.store.View(blockstore.LocalArea).Entry(t.Context(), h)
	if err != nil || !ok || len(entry.Heads) != 1 || entry.Heads[0] != last.Addr() {
		t.Errorf("%v, %v, %v", err, ok, entry)
	}
}

type hashed struct {
	n   int
	all []byte
}

// A transcript reads back, and nothing that differs from one does.
func TestReadTranscript(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	a.populate(3, 3)
	b.create("own", nil)
	ra, _, _, _ := runCounted(t, a, b)
	list := ra.Transcript
	got, err := saga.ReadTranscript(list)
	if err != nil || got.Initiator.Name != "a" || got.Responder.Name != "b" || got.Last != list[11].Addr() || got.ID != ra.SagaID.String() {
		t.Fatalf("%+v, %v", got, err)
	}
	c, d := newSpace(t, 3), newSpace(t, 4)
	c.create("other", nil)
	other, _, _, _ := runCounted(t, c, d)
	forged, err := ibgib.New(list[2].Ib(), list[2].Data().With("messages", ibgib.Number(7)), ibgib.Rel8ns{{Name: "ancestor", Addrs: list[2].Rel("ancestor")}})
	if err != nil {
		t.Fatal(err)
	}
	replaced := func(i int, g ibgib.IbGib) []ibgib.IbGib {
		l := slices.Clone(list)
		l[i] = g
		return l
	}
	for name, l := range map[string][]ibgib.IbGib{
		"nothing":                    nil,
		"the first stages":           list[:8],
		"a stone without its frame":  list[:11],
		"without the beginning":      list[2:],
		"in another order":           slices.Concat(list[:4], list[6:8], list[4:6], list[8:]),
		"twice":                      slices.Concat(list, list),
		"a stone of another saga":    replaced(0, other.Transcript[0]),
		"a frame of another saga":    replaced(11, other.Transcript[len(other.Transcript)-1]),
		"the end of another saga":    slices.Concat(list[:10], other.Transcript[len(other.Transcript)-2:]),
		"another number of messages": replaced(2, forged),
		"a frame in a stone's place": replaced(2, list[3]),
		"only frames":                {list[1], list[1], list[3], list[3]},
		"the zero ibGib":             replaced(4, ibgib.IbGib{}),
	} {
		if _, err := saga.ReadTranscript(l); err == nil {
			t.Errorf("%s is a transcript", name)
		}
	}
}
