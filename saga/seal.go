package saga

import (
	"context"
	"time"
)

// featureSeal is announced by a side that signs the transcript of a saga in which
// something moved, and wants the other side's signature.
const featureSeal = "seal"

// sealing bounds how long a side that has committed waits for the other side's seal.
const sealing = 10 * time.Second

// seals is the exchange of signatures after the commits. Nothing depends on it: what
// has moved stays, and Result tells whose signature is there.
type seals struct {
	sent    bool  // this side's
	peer    *Seal // that has come; at most one
	checked bool  // it is good
	wire    Wire
}

// arrives takes the seal of a side that has committed, which it may send before this
// side knows that all of its own has gone. false: it is for the machine to judge.
func (s *seals) arrives(d *driver, got incoming) bool {
	seal, is := got.message.(*Seal)
	if !is || got.err != nil || !d.wantsSeals() || s.peer != nil || seal.ID != d.m.ID() {
		return false
	}
	s.peer = seal
	s.wire.Received += uint64(got.receipt.Bytes)
	return true
}

// wantsSeals reports whether seals are exchanged: both sides sign, the other side has
// said all else, and something moved.
func (d *driver) wantsSeals() bool {
	return d.c.Sealer != nil && d.m.PeerHas(featureSeal) && d.m.Ended() && d.m.moves()
}

// seal signs the transcript, and waits for the other side to have done so, if it does.
// What fails here is told by Result alone.
func (d *driver) seal(ctx context.Context) {
	r, err := d.m.Result()
	if err != nil || len(r.Transcript) == 0 || !d.wantsSeals() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(sealing, d.c.IdleTimeout))
	defer cancel()
	last := r.Transcript[len(r.Transcript)-1].Addr()
	if frame, err := d.c.Sealer.Seal(ctx, last); err == nil {
		d.out.put(&Seal{ID: d.m.ID(), Frame: frame})
		d.seals.sent = d.awaitSent(ctx)
	}
	for d.seals.peer == nil && !d.readerEnd {
		select {
		case got := <-d.in:
			if !d.seals.arrives(d, got) {
				d.readerEnd = d.readerEnd || got.err != nil
				if got.err == nil {
					return // it has gone astray
				}
			}
		case <-ctx.Done():
			return
		}
	}
	if d.seals.peer != nil {
		d.seals.checked = d.c.Sealer.Check(ctx, last, d.seals.peer.Frame) == nil
	}
}

// awaitSent waits until the writer has sent the seal, and takes in the other side's
// meanwhile.
func (d *driver) awaitSent(ctx context.Context) bool {
	for {
		in := d.in
		if d.readerEnd {
			in = nil
		}
		select {
		case got := <-in:
			if !d.seals.arrives(d, got) {
				d.readerEnd = true
			}
		case <-d.events.signal:
			for _, e := range d.events.take() {
				if sent, ok := e.event.(Sent); ok {
					d.seals.wire.Sent += uint64(sent.Receipt.Bytes)
					return true
				}
				if e.err != nil && e.sending {
					return false
				}
			}
		case <-ctx.Done():
			return false
		}
	}
}
