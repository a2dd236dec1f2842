package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "naïve 😀 日本 note", "naïve 😀 日本 note"},
		{"quotes and backslash", `a"b\c`, `a"b\c`},
		{"ansi color", "\x1b[31mred", `\u001b[31mred`},
		{"c1 csi", "a\u009b31m", `a\u009b31m`},
		{"bell and delete", "\a\x7f", `\u0007\u007f`},
		{"lines and tabs", "a\nb\tc\r", `a\nb\tc\r`},
		{"bidi override", "abc\u202edef", `abc\u202edef`},
		{"bidi isolate", "\u2066x\u2069", `\u2066x\u2069`},
		{"arabic letter mark", "\u061c", `\u061c`},
		{"line separator", "a\u2028b", `a\u2028b`},
		{"zero width", "a\u200bb\ufeff", `a\u200bb\ufeff`},
		{"tag character", "\U000e0041", `\udb40\udc41`},
		{"invalid", "a\xffb", `a\xffb`},
		{"lone surrogate", "a\xed\xa0\x80b", `a\xed\xa0\x80b`},
		{"replacement character", "\ufffd", `\ufffd`},
		{"right to left letters", "שלום", "שלום"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := printable(c.in); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("note")
	f.Add("\x1b]0;title\a\u202e")
	f.Add("\xed\xa0\x80")
	f.Fuzz(func(t *testing.T, s string) {
		got := printable(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, unsafeRune) {
			t.Errorf("%q is not safe: %q", s, got)
		}
		text, err := toJSON(s)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(strings.TrimSuffix(string(text), "\n"), unsafeRune) {
			t.Errorf("%q is not safe: %q", s, text)
		}
		var back string
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if back != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Errorf("%q became %q", s, back)
		}
	})
}

// However the text is cut into writes, the same value comes out, safe.
func TestJSONEscaper(t *testing.T) {
	value := map[string]any{"a": "x\u009b1m\u202e😀\U000e0041é", "b": []any{1.0, "\u2028"}}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", "\t")
	if err := enc.Encode(value); err != nil {
		t.Fatal(err)
	}
	for size := 1; size <= text.Len(); size++ {
		var out bytes.Buffer
		w := &jsonEscaper{w: &out}
		for rest := text.Bytes(); len(rest) > 0; {
			n := min(size, len(rest))
			if wrote, err := w.Write(rest[:n]); wrote != n || err != nil {
				t.Fatal(wrote, err)
			}
			rest = rest[n:]
		}
		var back map[string]any
		if err := json.Unmarshal(out.Bytes(), &back); err != nil {
			t.Fatalf("cut at %d: %v", size, err)
		}
		if !reflect.DeepEqual(back, value) {
			t.Fatalf("cut at %d: %q", size, out.String())
		}
		if strings.ContainsAny(out.String(), "\u009b\u202e\u2028\U000e0041") {
			t.Fatalf("cut at %d: not safe: %q", size, out.String())
		}
	}
}
