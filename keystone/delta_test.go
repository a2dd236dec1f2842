package keystone_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

// Every frame of every kind comes out of its delta byte for byte.
func TestDelta(t *testing.T) {
	var timelines [][]ibgib.IbGib
	for _, v := range readVectors(t).Timelines {
		timelines = append(timelines, v.frames(t))
	}
	for _, cosigned := range []bool{false, true} {
		id := victim(t, cosigned)
		id.revoke(t)
		timelines = append(timelines, id.frames)
	}
	timelines = append(timelines, newNode(t, 1, "a", "b").primary.frames)
	for i, frames := range timelines {
		for n, g := range frames[1:] {
			delta, err := keystone.AppendDelta([]byte("x"), frames[n], g)
			if err != nil {
				t.Fatalf("timeline %d frame %d: %v", i, n+1, err)
			}
			again, err := keystone.FromDelta(frames[n], delta[1:])
			if err != nil {
				t.Fatalf("timeline %d frame %d: %v", i, n+1, err)
			}
			if !bytes.Equal(again.Stored(), g.Stored()) {
				t.Errorf("timeline %d frame %d is another one", i, n+1)
			}
		}
	}
}

// A frame travels as a delta where there is a frame before it, else whole.
func TestFramesAsTheyTravel(t *testing.T) {
	n := newNode(t, 1, "12D3-a", "12D3-b")
	var prev ibgib.IbGib
	for i, g := range n.primary.frames {
		item := keystone.AppendFrame(nil, prev, g)
		if whole := bytes.Equal(item, g.Stored()); whole != (i == 0) {
			t.Errorf("frame %d takes %d bytes of %d", i, len(item), g.Size())
		}
		again, err := keystone.ReadFrame(prev, item)
		if err != nil || again.Addr() != g.Addr() {
			t.Errorf("frame %d: %v", i, err)
		}
		prev = g
	}
	other := n.session.frames[0]
	for name, prev := range map[string]ibgib.IbGib{"no frame": {}, "another keystone": other} {
		item := keystone.AppendFrame(nil, n.primary.frames[0], n.primary.frames[1])
		if _, err := keystone.ReadFrame(prev, item); !errors.Is(err, keystone.ErrDelta) {
			t.Errorf("after %s: %v", name, err)
		}
		// What cannot be a delta travels whole.
		if item := keystone.AppendFrame(nil, other, n.primary.frames[1]); !bytes.Equal(item, n.primary.frames[1].Stored()) {
			t.Error("a delta against another keystone")
		}
	}
	if _, err := keystone.ReadFrame(other, nil); err == nil {
		t.Error("nothing is a frame")
	}
}

// BenchmarkAppendFrame is what each frame costs who sends it.
func BenchmarkAppendFrame(b *testing.B) {
	n := newNode(b, 1, "12D3-a", "12D3-b")
	for b.Loop() {
		keystone.AppendFrame(nil, n.primary.frames[0], n.primary.frames[1])
	}
}

func TestDeltaIsSmall(t *testing.T) {
	n := newNode(t, 1, "12D3-a", "12D3-b")
	delta, err := keystone.AppendDelta(nil, n.primary.frames[0], n.primary.frames[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes for a frame of %d", len(delta), n.primary.frames[1].Size())
	if len(delta) > 2_500 {
		t.Errorf("the delta of an authorising frame takes %d bytes", len(delta))
	}
}

// What the rules refuse cannot be written as a delta, or comes out as it was and
// is refused then.
func TestDeltaOfForgeries(t *testing.T) {
	for _, a := range attacks() {
		frames := a.frames(t)
		for n := 1; n < len(frames); n++ {
			delta, err := keystone.AppendDelta(nil, frames[n-1], frames[n])
			if err != nil {
				if !errors.Is(err, keystone.ErrDelta) {
					t.Errorf("%s: %v", a.name, err)
				}
				continue
			}
			if g, err := keystone.FromDelta(frames[n-1], delta); err != nil || g.Addr() != frames[n].Addr() {
				t.Errorf("%s: %v", a.name, err)
			}
		}
	}
}

func TestFromDeltaRefuses(t *testing.T) {
	id := victim(t, true)
	prev, g := id.frames[3], id.frames[4]
	delta, err := keystone.AppendDelta(nil, prev, g)
	if err != nil {
		t.Fatal(err)
	}
	v, err := ibgib.ParseValue(delta)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(f func(ibgib.Value) ibgib.Value, path ...any) []byte { return change(t, v, f, path...).Append(nil) }
	for name, text := range map[string][]byte{
		"nothing":              nil,
		"no JSON":              []byte("{"),
		"not canonical":        append([]byte(" "), delta...),
		"a member more":        changed(num(1), "x"),
		"a member less":        changed(drop, "fresh"),
		"pools":                changed(set(ibgib.Array()), "data", "challengePools"),
		"a member renamed":     bytes.Replace(delta, []byte("wholePast"), []byte("wHolePast"), 1),
		"another hash":         changed(str(g.Addr().TjpGib()), "hash"),
		"no proof":             changed(drop, "data", "proofs"),
		"a proof of elsewhere": changed(str("nowhere"), "data", "proofs", 0, "solutions", 0, "poolId"),
		"a malformed proof":    changed(num(1), "data", "proofs", 0, "claim"),
		"a challenge less":     changed(drop, "fresh", 0),
		"no pair":              changed(set(ibgib.Array()), "fresh", 0),
		"no id":                changed(str("x"), "fresh", 0, 0),
		"another time":         changed(num(1), "data", "timestampMs"),
		"the whole past":       changed(set(ibgib.Bool(true)), "wholePast"),
		"a huge list":          changed(set(ibgib.Array(make([]ibgib.Value, keystone.MaxPoolSize+1)...)), "fresh"),
	} {
		if _, err := keystone.FromDelta(prev, text); !errors.Is(err, keystone.ErrDelta) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := keystone.FromDelta(id.frames[2], delta); !errors.Is(err, keystone.ErrDelta) {
		t.Errorf("against another frame: %v", err)
	}
	note, _ := ibgib.New("note", ibgib.String("x"), nil)
	if _, err := keystone.FromDelta(note, delta); !errors.Is(err, keystone.ErrDelta) {
		t.Errorf("against a note: %v", err)
	}
	if _, err := keystone.AppendDelta(nil, note, g); !errors.Is(err, keystone.ErrDelta) {
		t.Errorf("of no frame: %v", err)
	}
}
