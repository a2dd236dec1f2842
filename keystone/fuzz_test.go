package keystone_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

// FuzzValidate replays whatever comes, one ibGib a line: it never panics, names
// its violations, and agrees with the replay frame by frame.
func FuzzValidate(f *testing.F) {
	for _, cosigned := range []bool{true, false} {
		f.Add(lines(tiny(f, cosigned).frames))
	}
	f.Add(lines(newNode(f, 1, "a", "b").session.frames))
	f.Fuzz(func(t *testing.T, text []byte) {
		var frames []ibgib.IbGib
		for line := range bytes.Lines(text) {
			// A gib that does not fit is computed, so that changes get past the gate.
			var g ibgib.IbGib
			v, err := ibgib.ParseValue(line)
			if err == nil {
				g, err = ibgib.Gib(v.Without("gib").Append(nil))
			}
			if err == nil {
				frames = append(frames, g)
			}
		}
		r := keystone.Validate(frames)
		if r.Valid != (len(r.Violations) == 0) || r.Frames != len(frames) {
			t.Fatalf("%+v", r)
		}
		for _, v := range r.Violations {
			if v.Rule == "" || len(v.String()) > 2_000 {
				t.Fatalf("violation %+v", v)
			}
		}
		if len(frames) == 0 {
			return
		}
		h, err := keystone.Begin(frames[0])
		for _, g := range frames[1:] {
			if err == nil && !h.Has(g.Addr()) {
				err = h.Add(g)
			}
		}
		if r.Valid && err != nil {
			t.Fatalf("valid as a whole, but: %v", err)
		}
		if h != nil {
			resumed, err := keystone.Resume(snapshot(t, h), h.Tip())
			if err != nil || resumed.Len() != h.Len() {
				t.Fatalf("resumed: %v", err)
			}
		}
	})
}

// FuzzParse reads any data: what is read is written back byte for byte.
func FuzzParse(f *testing.F) {
	for _, g := range tiny(f, true).frames {
		f.Add(g.Data().Append(nil))
	}
	f.Add(newNode(f, 1, "a", "b").session.Tip().Data().Append(nil))
	f.Add(ibgib.Array(forgerConfigs()[edit].Value()).Append(nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := ibgib.ParseValue(text)
		if err != nil {
			return
		}
		g, err := ibgib.New("keystone", v, nil)
		if err != nil {
			return
		}
		d, err := keystone.Parse(g)
		var invalid *keystone.Invalid
		switch {
		case errors.As(err, &invalid):
		case err != nil:
			t.Fatal(err)
		case !ibgib.EqualValue(d.Value(), g.Data()):
			t.Fatalf("came back as\n%s\nwas\n%s", d.Value(), g.Data())
		}
		for _, x := range append(v.Items(), v) {
			if c, err := keystone.ParseConfig(x); err == nil && !ibgib.EqualValue(ibgib.Array(c.Value()), ibgib.Array(x)) {
				t.Fatalf("config came back as %s, was %s", c.Value(), x)
			}
		}
		if s, err := keystone.ReadSession(g); err == nil && s.Genesis != g.Addr() {
			t.Fatalf("session %+v", s)
		}
	})
}

// FuzzResume reads any snapshot: it never panics, and takes only what is written
// back as it was.
func FuzzResume(f *testing.F) {
	id := tiny(f, true)
	tip := id.Tip()
	f.Add(snapshot(f, id.History))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, saved []byte) {
		h, err := keystone.Resume(saved, tip)
		if err != nil {
			return
		}
		if again := snapshot(t, h); !bytes.Equal(again, saved) {
			t.Fatalf("came back as %x, was %x", again, saved)
		}
	})
}

// FuzzFromDelta reads any delta: what it makes is written back as it was.
func FuzzFromDelta(f *testing.F) {
	frames := tiny(f, true).frames
	for n, g := range frames[1:] {
		delta, err := keystone.AppendDelta(nil, frames[n], g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(delta, n)
	}
	f.Fuzz(func(t *testing.T, delta []byte, n int) {
		prev := frames[uint(n)%uint(len(frames))]
		g, err := keystone.FromDelta(prev, delta)
		if err != nil {
			return
		}
		if again, err := keystone.AppendDelta(nil, prev, g); err == nil && !bytes.Equal(again, delta) {
			t.Fatalf("came back as %s, was %s", again, delta)
		}
	})
}

// tiny is a keystone of small pools, so that the fuzzer has less to change: edit,
// post and revoke.
func tiny(f *testing.F, cosigned bool) *identity {
	f.Helper()
	configs := forgerConfigs()
	configs = []keystone.Config{configs[edit], configs[post], configs[final]}
	for i := range configs {
		configs[i].Behavior.Size, configs[i].Behavior.BindingChars = 2, 0
	}
	id := begin(f, signer(f, 1), cosigned, configs...)
	id.sign(f, "edit", target(f, 1))
	id.sign(f, "post", target(f, 2))
	id.revoke(f)
	return id
}

// lines writes one ibGib a line.
func lines(frames []ibgib.IbGib) []byte {
	var b []byte
	for _, g := range frames {
		b = append(g.AppendJSON(b), '\n')
	}
	return b
}
