package saga_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// FuzzMachine lets a machine with a store hear frames, as its peer's bytes would
// make them. Whatever they say, it goes on or ends with a typed error, after which
// it does nothing; and no head lacks anything of its closure.
func FuzzMachine(f *testing.F) {
	e := newEvil(f)
	frames := func(messages ...saga.Message) (all []byte) {
		for _, m := range messages {
			b, err := protocol.Encode(m)
			if err != nil {
				f.Fatal(err)
			}
			all = append(binary.AppendUvarint(all, uint64(len(b))), b...)
		}
		return all
	}
	ack := &saga.Ack{ID: evilID, Fingerprint: [32]byte{1}, Count: 1, Entries: []timeline.Entry{e.entry}, Credit: saga.InitialCredit}
	payload := []saga.Message{
		delta(saga.Delta{Offers: e.offers}),
		delta(saga.Delta{Items: full(e.blocks...)}),
		delta(saga.Delta{WantsDone: true, Done: true}),
		&saga.Commit{ID: evilID, Digest: [32]byte{1}},
	}
	f.Add(false, frames(append([]saga.Message{e.init(false)}, payload...)...))
	f.Add(false, frames(append([]saga.Message{e.init(true), &saga.Working{ID: evilID}}, payload[1:]...)...))
	f.Add(false, frames(&saga.Init{ID: evilID, Count: 1000}, delta(saga.Delta{Entries: []timeline.Entry{e.entry}, EntriesDone: true, WantsDone: true})))
	f.Add(true, frames(append([]saga.Message{ack}, append(slices.Clone(payload[:2]), delta(saga.Delta{Done: true}), payload[3])...)...))
	f.Add(true, frames(&saga.Ack{ID: evilID, Equal: true}))
	f.Add(true, frames(&saga.Error{Code: saga.CodeBusy, Retry: true}))
	f.Fuzz(func(t *testing.T, initiator bool, in []byte) {
		role := saga.Responder
		if initiator {
			role = saga.Initiator
		}
		s := newSpace(t, 1)
		s.change(s.create("own", nil), "a", "b")
		v := newVictim(t, role, s)
		for len(in) > 0 && v.err == nil {
			size, n := binary.Uvarint(in)
			if n <= 0 || size > uint64(len(in)-n) {
				break
			}
			m, err := protocol.Decode(slices.Clone(in[n : n+int(size)]))
			if err != nil {
				break
			}
			in = in[n+int(size):]
			v.hears(m)
		}
		if v.err != nil {
			var typed *saga.Error
			if !errors.As(v.err, &typed) || typed.Code == 0 {
				t.Errorf("an untyped error: %v", v.err)
			}
			if !v.m.Work().IsEmpty() || v.m.Step(saga.Stored{}) == nil {
				t.Error("the machine goes on after an error")
			}
		}
		s.blocks()
		closure(t, s)
	})
}
