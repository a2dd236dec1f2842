package keystone_test

import (
	"errors"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

// attack is a timeline that somebody made who must not get away with it.
type attack struct {
	name   string
	rule   keystone.Rule
	frames func(t testing.TB) []ibgib.IbGib
}

// Paths in the data of a frame.
func pool(i int, rest ...any) []any { return append([]any{"challengePools", i}, rest...) }
func proof(rest ...any) []any       { return append([]any{"proofs", 0}, rest...) }

// onFirst forges the first frame of a keystone that is not co-signed.
func onFirst(name string, rule keystone.Rule, f func(ibgib.Value) ibgib.Value, path ...any) attack {
	return attack{name, rule, func(t testing.TB) []ibgib.IbGib { return victim(t, false).first(t, f, path...) }}
}

// onVerb forges the newest frame, which signs this verb, of a keystone that is not
// co-signed: whoever has its secret could do the same, and so could whoever has
// seen the solutions.
func onVerb(verb, name string, rule keystone.Rule, f func(ibgib.Value) ibgib.Value, path ...any) attack {
	return attack{name, rule, func(t testing.TB) []ibgib.IbGib {
		id := victim(t, false)
		id.sign(t, verb, target(t, 9))
		return id.last(t, f, path...)
	}}
}

func onRevocation(name string, rule keystone.Rule, f func(ibgib.Value) ibgib.Value, path ...any) attack {
	return attack{name, rule, func(t testing.TB) []ibgib.IbGib {
		id := victim(t, false)
		id.revoke(t)
		return id.last(t, f, path...)
	}}
}

// onCosigned forges the newest frame of a keystone of our own.
func onCosigned(name string, rule keystone.Rule, f func(ibgib.Value) ibgib.Value, path ...any) attack {
	return attack{name, rule, func(t testing.TB) []ibgib.IbGib {
		id := victim(t, true)
		id.sign(t, "post", target(t, 9))
		return id.last(t, f, path...)
	}}
}

func must(v ibgib.Value, ok bool) ibgib.Value {
	if !ok {
		panic("no such member")
	}
	return v
}

func attacks() []attack {
	var all []attack
	for _, list := range [][]attack{firstFrameAttacks(), linkAttacks(), proofAttacks(), poolAttacks(), revocationAttacks(), cosigAttacks()} {
		all = append(all, list...)
	}
	return all
}

// Every attack is found by its rule, by replay of the whole and frame by frame,
// and leaves a history as it was.
func TestAttacksAreRefused(t *testing.T) {
	names := make(map[string]bool)
	for _, a := range attacks() {
		if names[a.name] {
			t.Errorf("two attacks are called %q", a.name)
		}
		names[a.name] = true
		t.Run(a.name, func(t *testing.T) {
			frames := a.frames(t)
			r := keystone.Validate(frames)
			if r.Valid {
				t.Fatal("valid")
			}
			wantRule(t, &keystone.Invalid{Violations: r.Violations}, a.rule)
			for _, v := range r.Violations {
				if v.Detail == "" || len(v.String()) > 2_000 || v.N >= max(len(frames), 1) {
					t.Errorf("violation %+v", v)
				}
			}
			if len(frames) > 0 {
				wantRule(t, replay(t, frames), a.rule)
			}
		})
	}
}

// replay adds frame by frame and returns the first error.
func replay(t *testing.T, frames []ibgib.IbGib) error {
	t.Helper()
	h, err := keystone.Begin(frames[0])
	if err != nil {
		return err
	}
	for _, g := range frames[1:] {
		before, err := h.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Add(g); err != nil {
			after, _ := h.AppendBinary(nil)
			if string(before) != string(after) || h.Tip().Addr() == g.Addr() {
				t.Error("a refused frame left a trace")
			}
			return err
		}
	}
	return errors.New("all frames were accepted")
}
