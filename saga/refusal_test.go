package saga_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// tampering spoils the items that hold a text.
type tampering struct {
	saga.Conn
	text string
}

func (c tampering) Send(ctx context.Context, m saga.Message) (saga.Receipt, error) {
	if d, ok := m.(*saga.Delta); ok && len(d.Items) > 0 {
		spoilt := *d
		spoilt.Items = slices.Clone(d.Items)
		for i, it := range spoilt.Items {
			if at := bytes.Index(it.Bytes, []byte(c.text)); at >= 0 {
				it.Bytes = slices.Clone(it.Bytes)
				it.Bytes[at] ^= 1
				spoilt.Items[i] = it
			}
		}
		m = &spoilt
	}
	return c.Conn.Send(ctx, m)
}

// One bad record costs what needs it, and nothing else.
func TestBadRecord(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		a, b := newSpace(t, 1), newSpace(t, 2)
		if !fresh {
			b.create("own", nil)
		}
		bad := a.create("bad", nil)
		base := bad
		bad = a.change(bad, "text", "spoil me")
		spoilt := bad.Hash()
		bad = a.change(bad, "text", "later")
		linking := a.create("linking", nil)
		linking = a.link(linking, bad)
		good := a.create("good", nil)
		for range 20 {
			good = a.change(good, "text", "fine")
		}

		x, y := saga.Pipe(1 << 20)
		ra, rb, errA, errB := runConfigs(t.Context(), a.config(saga.Initiator, tampering{x, "spoil me"}), b.config(saga.Responder, y))
		if errA != nil || errB != nil {
			t.Fatalf("fresh %v: %v, %v", fresh, errA, errB)
		}
		// The frame after it repeats nothing of the text; its dna does not either,
		// but the dna of the change bears the text too.
		if ra.Converged || rb.Converged || len(rb.Refusals) != 2 || !slices.Equal(ra.PeerRefusals, rb.Refusals) {
			t.Errorf("fresh %v: %+v, %+v", fresh, ra, rb)
		}
		if !slices.ContainsFunc(rb.Refusals, func(r saga.Refusal) bool { return r.Hash == spoilt && r.Rule != "" }) {
			t.Errorf("fresh %v: refused %v", fresh, rb.Refusals)
		}
		if len(rb.Lacking) != 2 {
			t.Errorf("fresh %v: lacking %v", fresh, rb.Lacking)
		}
		if !slices.Equal(b.headsOf(rootOf(good)), []ibgib.Hash{good.Hash()}) {
			t.Errorf("fresh %v: the good timeline did not come", fresh)
		}
		for _, head := range b.headsOf(rootOf(base)) {
			if head != base.Hash() {
				t.Errorf("fresh %v: head %s above a refused frame", fresh, head)
			}
		}
		if slices.Contains(b.headsOf(rootOf(linking)), linking.Hash()) {
			t.Errorf("fresh %v: a head whose closure is missing", fresh)
		}
		b.blocks()
		closure(t, b)

		// The next saga brings what lacked, and no more than that.
		ra, rb = run(t, a, b, 1<<20)
		if !ra.Converged || !rb.Converged || rb.Lacking != nil || rb.Received.IbGibs > 8 {
			t.Errorf("fresh %v: afterwards %+v", fresh, rb)
		}
	}
}

func TestTooManyBadRecords(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	for range saga.MaxRefusals + 1 {
		a.create("spoil me", nil)
	}
	x, y := saga.Pipe(1 << 20)
	_, rb, errA, errB := runConfigs(t.Context(), a.config(saga.Initiator, tampering{x, "spoil me"}), b.config(saga.Responder, y))
	wantError(t, errA, saga.CodeRefused, true)
	wantError(t, errB, saga.CodeRefused, false)
	if len(rb.Lacking) == 0 || len(b.heads()) != 0 {
		t.Errorf("%+v", rb)
	}
}

// refusing is an Intake of a store that refuses one block.
type refusing struct {
	saga.Intake
	block ibgib.Hash
}

func (r refusing) Put(ctx context.Context, gs []ibgib.IbGib) error {
	i := slices.IndexFunc(gs, func(g ibgib.IbGib) bool { return g.Hash() == r.block })
	if i < 0 {
		return r.Intake.Put(ctx, gs)
	}
	refusal := &ibgib.Refusal{Addr: gs[i].Addr().String(), Rule: "alias"}
	if err := r.Intake.Put(ctx, slices.Concat(gs[:i], gs[i+1:])); err != nil {
		return err
	}
	return saga.Refusals{refusal}
}

// When the store refuses a head, the frame before it, which nobody named, becomes
// none in its place.
func TestStoreRefusesAHead(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	head := a.change(a.change(a.create("bad", nil), "text", "1"), "text", "2")
	good := a.create("good", nil)
	x, y := saga.Pipe(1 << 20)
	c := b.config(saga.Responder, y)
	open := c.Intake
	c.Intake = func(ctx context.Context) (saga.Intake, error) {
		i, err := open(ctx)
		return refusing{i, head.Hash()}, err
	}
	_, rb, errA, errB := runConfigs(t.Context(), a.config(saga.Initiator, x), c)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if rb.Converged || len(rb.Refusals) != 1 || rb.Refusals[0].Hash != head.Hash() || len(rb.Lacking) != 1 {
		t.Errorf("%+v", rb)
	}
	if heads := b.heads(); len(heads) != 1 || heads[0].Root != rootOf(good) {
		t.Errorf("heads %v", heads)
	}
	if ra, rb := run(t, a, b, 1<<20); !ra.Converged || !rb.Converged || !sameHeads(a.heads(), b.heads()) {
		t.Errorf("afterwards %+v", rb)
	}
}
