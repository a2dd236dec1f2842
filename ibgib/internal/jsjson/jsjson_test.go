package jsjson_test

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/ibgib/ibgib-node/ibgib/internal/jsjson"
)

// scan reports whether text is canonical by the Scanner.
func scan(text []byte, o jsjson.Options) bool {
	s := jsjson.Scanner{Text: text, MaxLevel: o.MaxLevel}
	return s.Value(o.Level, o.KeepOrder) && s.Pos == len(text)
}

func TestScanner(t *testing.T) {
	many := "{"
	for i := range 40 {
		many += `"m` + strings.Repeat("x", i) + `":0,`
	}
	for _, c := range []struct {
		text         string
		sorted, kept bool
	}{
		{`{"a":1,"b":2}`, true, true},
		{`{"b":1,"a":2}`, false, true},
		{`{"a":1,"a":2}`, false, false},
		{`{"9":0,"10":0,"a":0}`, true, true},
		{`{"10":0,"9":0}`, false, false},
		{`{"a":0,"9":0}`, false, false},
		{`{"01":0,"9":0}`, false, false},
		{`{"4294967294":0,"4294967295":0}`, true, true},
		{`{"4294967295":0,"4294967294":0}`, false, false},
		{`{"😀":0,"\uFFFD":0}`, false, false},
		{"{\"😀\":0,\"\uFFFD\":0}", true, true},
		{"{\"\uFFFD\":0,\"😀\":0}", false, true},
		{`{"\ud800":0,"😀":0}`, true, true},
		{`{"😀":0,"\ud800":0}`, false, true},
		{`{"\n":0," ":0}`, true, true},
		{`{"\"":0,"\\":0}`, true, true},
		{many + `"n":0}`, true, true},
		{many + `"mx":0}`, false, false},
		{`{}`, true, true}, {`[]`, true, true}, {`[{}]`, true, true},
		{`{"a":1,}`, false, false}, {`{,}`, false, false}, {`[1,]`, false, false}, {`[,1]`, false, false},
		{`{"__proto__":0}`, false, false}, {`[{"__proto__":0}]`, false, false},
		{`-1`, true, true}, {`-0`, false, false}, {`-`, false, false}, {`01`, false, false}, {`-01`, false, false},
		{`123456789012345`, true, true}, {`1234567890123456`, true, true}, {`9007199254740993`, false, false},
		{`0.1`, true, true}, {`0.10`, false, false}, {`1e21`, false, false}, {`1e+21`, true, true}, {`1E+21`, false, false},
		{`-0.0000012345678901234567`, true, true},
		{`"\u001f"`, true, true}, {`"\u001F"`, false, false}, {`"\u0008"`, false, false}, {`"\u0041"`, false, false}, {`"\/"`, false, false},
		{`"\ud83d\ude00"`, false, false}, {`"\ud83d\ud83d"`, true, true}, {`"\ude00\ud83d"`, true, true}, {`"\uD83D"`, false, false},
		{"\"\xed\xa0\x80\"", false, false}, {"\"\x7f\"", true, true}, {"\"\x1f\"", false, false},
	} {
		for _, keep := range []bool{false, true} {
			want := c.sorted
			if keep {
				want = c.kept
			}
			if got := scan([]byte(c.text), jsjson.Options{Level: 1, MaxLevel: 5, KeepOrder: keep}); got != want {
				t.Errorf("%s (kept %v): %v", c.text, keep, got)
			}
		}
	}
}

func TestLastString(t *testing.T) {
	for text, want := range map[string]string{
		`[]`: "", `["a"]`: "a", `["a","b"]`: "b", `["a","\",\"b"]`: `\",\"b`, `["a","b\\"]`: `b\\`, `["[\""]`: `[\"`, `[""]`: "", ``: "", `"`: "", `"]`: "",
	} {
		if got := jsjson.LastString([]byte(text)); string(got) != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// FuzzScanner holds the Scanner against Canonical: it must take exactly the
// text that Canonical leaves as it is. And Skip must find the ends.
func FuzzScanner(f *testing.F) {
	for _, text := range []string{`{"a":[{"b":1,"a":2}],"c":{"10":0,"9":1}}`, `"\ud800"`, "1e+21", "[[],{}]", `{"😀":1,"\uFFFD":2}`, `[{"a":0,"1":0}]`} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, keep bool) {
		o := jsjson.Options{Level: 1, MaxLevel: 8, KeepOrder: keep}
		canonical, err := jsjson.Canonical(nil, text, o)
		if got, want := scan(text, o), err == nil && bytes.Equal(canonical, text); got != want {
			t.Fatalf("Scanner: %v; Canonical: %s, %v", got, canonical, err)
		}
		if err != nil {
			for range jsjson.Glimpse(text) {
			}
			for range jsjson.Members(text) {
			}
			for range jsjson.Elements(text) {
			}
			jsjson.LastString(text)
			return
		}
		if !scan(canonical, o) {
			t.Fatalf("Scanner refuses %s", canonical)
		}
		if end := jsjson.Skip(append(canonical, ']'), 0); end != len(canonical) {
			t.Fatalf("Skip stops at %d in %s", end, canonical)
		}
		if body := jsjson.Body(canonical); body != nil && canonical[0] == '"' {
			s := string(jsjson.Unquote(nil, body))
			if got := jsjson.AppendQuote(nil, s); !bytes.Equal(got, canonical) {
				t.Fatalf("%s is quoted as %s", canonical, got)
			}
			if !jsjson.ValidWTF8(s) {
				t.Fatalf("%q is no WTF-8", s)
			}
		}
	})
}

// units encodes WTF-8 as UTF-16 code units.
func units(s string) []uint16 {
	var out []uint16
	for i := 0; i < len(s); {
		if i+2 < len(s) && s[i] == 0xED && s[i+1] >= 0xA0 {
			out = append(out, 0xD000|uint16(s[i+1]&0x3F)<<6|uint16(s[i+2]&0x3F))
			i += 3
			continue
		}
		r := []rune(s[i:])[0]
		out = utf16.AppendRune(out, r)
		i += len(string(r))
	}
	return out
}

func TestOrder(t *testing.T) {
	pieces := []string{"", "a", "b", "\\", "\"", "\n", "é", "ߟ", "日", "\ud7ff", "\ue000", "\uffff", "😀", "😁", "\U00010000", "\U0010ffff", "\xed\xa0\x80", "\xed\xa0\xbd", "\xed\xb8\x80", "\xed\xbf\xbf"}
	var names []string
	for _, a := range pieces {
		for _, b := range pieces {
			if s := a + b; jsjson.ValidWTF8(s) {
				names = append(names, s, "_"+s)
			}
		}
	}
	body := func(s string) []byte { return jsjson.Body(jsjson.AppendQuote(nil, s)) }
	for _, a := range names {
		for _, b := range names {
			want := slices.Compare(units(a), units(b))
			if got := cmp.Compare(jsjson.CompareUTF16(a, b), 0); got != want {
				t.Fatalf("CompareUTF16(%q, %q) = %d, want %d", a, b, got, want)
			}
			if got := cmp.Compare(jsjson.CompareNames(body(a), body(b)), 0); got != want {
				t.Fatalf("CompareNames(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
}
