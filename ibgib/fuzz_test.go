package ibgib_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/ibgib/ibgib-node/ibgib"
)

// ruleOf returns the rule of a refusal, "" for nil.
func ruleOf(t *testing.T, err error) ibgib.Rule {
	t.Helper()
	if err == nil {
		return ""
	}
	var r *ibgib.Refusal
	if !errors.As(err, &r) || r.Rule == "" || r.Detail == "" {
		t.Fatalf("no refusal: %v", err)
	}
	if !utf8.ValidString(r.Error()) || len(r.Error()) > 2000 {
		t.Fatalf("unfit error: %.300q", r.Error())
	}
	return r.Rule
}

func FuzzParse(f *testing.F) {
	for _, c := range readEngine(f).Texts {
		f.Add([]byte(c.Text))
	}
	f.Add([]byte(`{"a":1,"a":1}`))
	f.Add([]byte(`[1e400,-0]`))
	f.Add([]byte(nested(65)))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := ibgib.ParseValue(text)
		rule := ruleOf(t, err)
		if valid := json.Valid(text); rule == "" && !valid || rule == ibgib.RuleBadJSON && valid {
			t.Fatalf("encoding/json calls it valid: %v, we say %q", valid, rule)
		}
		if err != nil {
			return
		}
		for _, canonical := range [][]byte{v.Append(nil), ibgib.Array(v).Append(nil)} {
			again, err := ibgib.ParseValue(canonical)
			if ruleOf(t, err) == ibgib.RuleTooDeep {
				continue // the array was a level too much
			}
			if got := again.Append(nil); !bytes.Equal(got, canonical) {
				t.Fatalf("canonical text changes\nfrom %s\nto   %s", canonical, got)
			}
		}
	})
}

func FuzzCanonicalRoundTrip(f *testing.F) {
	for _, line := range readSpaceLines(f)[:40] {
		f.Add(line)
	}
	var file struct {
		Cases []gibCase `json:"cases"`
	}
	readVectors(f, "gib.json", &file)
	for _, c := range file.Cases {
		f.Add([]byte(c.JSON))
		if g, err := ibgib.Gib([]byte(c.JSON)); err == nil {
			f.Add(g.Stored())
		}
	}
	for _, payload := range []string{"", "hello", "1", `{"past":["a^gib"]}`} {
		if g, err := ibgib.NewBytes("b", []byte(payload), ibgib.Rel8ns{{Name: "a", Addrs: []ibgib.Addr{addr(f, "x^gib")}}}); err == nil {
			f.Add(g.Stored())
			f.Add(g.AppendJSON(nil))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if g, err := ibgib.Gib(raw); err == nil {
			checkGates(t, g)
		} else if rule := ruleOf(t, err); rule == ibgib.RuleNotCanonical {
			t.Fatalf("import asks for the canonical form: %v", err)
		}
		imported, importErr := ibgib.Import(raw)
		verified, verifyErr := ibgib.Verify(raw)
		if verifyErr == nil {
			if !bytes.Equal(verified.Stored(), raw) {
				t.Fatal("Verify changes what is stored")
			}
			checkGates(t, verified)
		}
		if len(raw) > 0 && raw[0] == 0xB1 {
			return
		}
		// The wire takes exactly what import does not change.
		if canonical := importErr == nil && bytes.Equal(imported.Stored(), raw); canonical != (verifyErr == nil) {
			t.Fatalf("Import: %v, Verify: %v", importErr, verifyErr)
		}
		a, b := ruleOf(t, importErr), ruleOf(t, verifyErr)
		if a != b && b != ibgib.RuleNotCanonical && b != ibgib.RuleUnknownMember && b != ibgib.RuleTooLarge {
			t.Fatalf("Import: %v, Verify: %v", importErr, verifyErr)
		}
	})
}

func FuzzAddr(f *testing.F) {
	for _, s := range []string{"", "a^gib", "😀^" + hashA, "x.y^" + hashA + "." + hashB, "a^b^gib", "\ue000^gib", "a\xed\xa0\x80^gib", "\"\\\n^gib"} {
		f.Add(s, "\U00010000^gib")
	}
	f.Fuzz(func(t *testing.T, s, other string) {
		a, err := ibgib.ParseAddr(s)
		// What is an address here is one inside rel8ns, and the reverse.
		text, _ := json.Marshal(s)
		_, inside := ibgib.Gib([]byte(`{"ib":"x","rel8ns":{"a":[` + string(text) + `]}}`))
		if utf8.ValidString(s) && ruleOf(t, err) != ruleOf(t, inside) {
			t.Fatalf("alone: %v, in rel8ns: %v", err, inside)
		}
		if err != nil {
			ruleOf(t, err)
			return
		}
		if a.String() != s || a.Ib()+"^"+a.Gib() != s || a.IsZero() {
			t.Fatalf("%q is read as %q and %q", s, a.Ib(), a.Gib())
		}
		h, ok := a.Hash()
		if ok == a.IsPrimitive() || ok && a.Gib() != h.String() && a.Gib() != h.String()+"."+a.TjpGib() {
			t.Fatalf("%q has the hash %s and the tjp %q", s, h, a.TjpGib())
		}
		b, err := ibgib.ParseAddr(other)
		if err != nil {
			return
		}
		want := slices.Compare(utf16.Encode([]rune(s)), utf16.Encode([]rune(other)))
		if got := ibgib.CompareAddr(a, b); cmp.Compare(got, 0) != want || cmp.Compare(ibgib.CompareAddr(b, a), 0) != -want {
			t.Fatalf("%q and %q compare as %d, want %d", s, other, got, want)
		}
	})
}
