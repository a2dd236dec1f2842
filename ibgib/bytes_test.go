package ibgib_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

// bytesForm writes the stored form with a bytes payload by hand.
func bytesForm(header string, payload []byte) []byte {
	b := binary.AppendUvarint([]byte{0xB1}, uint64(len(header)))
	b = append(b, header...)
	return append(b, payload...)
}

func TestBytesForm(t *testing.T) {
	for _, payload := range []string{
		"", "\x00", "\xff\xfe\x00", "hello", "0", "null", "false", `""`, "{}", "[]", " 1", "1 ", "1.0", "-0", "1e400", "NaN",
		`{"b":1,"a":2}`, `{"a":1,"a":1}`, `{"__proto__":1}`, "\"\xed\xa0\x80\"", `"\ud83d\ude00"`, "tru", nested(65),
		"\xB1\x02{}", strings.Repeat("x", 100_000),
	} {
		for _, rel8ns := range []ibgib.Rel8ns{nil, {{Name: "tjp", Addrs: []ibgib.Addr{addr(t, "x^"+hashA)}}}} {
			g, err := ibgib.NewBytes("a \"name\" 😀", []byte(payload), rel8ns)
			if err != nil {
				t.Fatalf("%.40q: %v", payload, err)
			}
			got, ok := g.Bytes()
			if !ok || string(got) != payload || g.Data().Kind() != ibgib.KindAbsent || g.IsTjp() {
				t.Fatalf("%.40q: came back as %.40q, %v", payload, got, ok)
			}
			if _, ok := g.Field("isTjp"); ok {
				t.Error("a payload has fields")
			}
			header := `{"ib":"a \"name\" 😀","gib":"` + g.Gib() + `"}`
			if rel8ns != nil {
				header = header[:len(header)-1] + `,"rel8ns":{"tjp":["x^` + hashA + `"]}}`
			}
			if want := bytesForm(header, []byte(payload)); !bytes.Equal(g.Stored(), want) {
				t.Errorf("stored %q\nwant   %q", g.Stored(), want)
			}
			if rel8ns != nil && (g.Addr().TjpGib() != hashA || len(g.Rel("tjp")) != 1) {
				t.Errorf("%.40q: %s", payload, g.Addr())
			}
			checkGates(t, g)
		}
	}
}

// Bytes that are the canonical text of a value are the ibGib with that value.
func TestBytesTwin(t *testing.T) {
	for _, text := range []string{
		"1", "true", `"hello"`, `{"a":1,"b":[{"d":1,"c":2}]}`, `"\ud800"`, nested(64),
		`{"isTjp":true}`, `["a^gib"]`, `{"past":["a^gib"],"x":1}`,
	} {
		data, err := ibgib.New("x", parse(t, text), nil)
		if err != nil {
			t.Fatal(err)
		}
		g, err := ibgib.NewBytes("x", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		if g.Addr() != data.Addr() || !bytes.Equal(g.Stored(), data.Stored()) || g.IsTjp() != data.IsTjp() {
			t.Errorf("%s: stored %s", text, g.Stored())
		}
		file := `{"ib":"x","gib":"` + g.Gib() + `","bytes":"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"}`
		imported, err := ibgib.Import([]byte(file))
		if err != nil || !bytes.Equal(imported.Stored(), data.Stored()) {
			t.Errorf("%s: imported %s, %v", text, imported.Stored(), err)
		}
		_, err = ibgib.Verify(bytesForm(`{"ib":"x","gib":"`+g.Gib()+`"}`, []byte(text)))
		refusedBy(t, err, ibgib.RuleBytesTwin)
	}
}

// refusedBytes asserts that no gate takes the payload.
func refusedBytes(t *testing.T, payload string, rel8ns ibgib.Rel8ns, header, gib string, rule ibgib.Rule) {
	t.Helper()
	_, err := ibgib.NewBytes("x", []byte(payload), rel8ns)
	refusedBy(t, err, rule)
	_, err = ibgib.Verify(bytesForm(header, []byte(payload)))
	refusedBy(t, err, rule)
	file := header[:len(header)-1] + `,"bytes":"` + base64.StdEncoding.EncodeToString([]byte(payload)) + `"}`
	_, err = ibgib.Import([]byte(file))
	refusedBy(t, err, rule)
}

func TestBytesTwinRefused(t *testing.T) {
	// The gib of {"past":["a^gib"]} as data is that of the swapped ibGib.
	swapped := gibOf(t, `{"ib":"x","rel8ns":{"past":["a^gib"]}}`)
	refusedBytes(t, `{"past":["a^gib"]}`, nil, `{"ib":"x","gib":"`+swapped+`"}`, swapped, ibgib.RuleSwappedMembers)
	// A tjp with an empty tjp list is refused in either form.
	rel := ibgib.Rel8ns{{Name: "past", Addrs: []ibgib.Addr{addr(t, "x^gib")}}, {Name: "tjp"}}
	refusedBytes(t, `{"isTjp":true}`, rel, `{"ib":"x","gib":"`+hashA+`","rel8ns":{"past":["x^gib"],"tjp":[]}}`, hashA, ibgib.RuleTjpEmptyList)
}

// A twin whose JSON form breaks a limit is no twin: the bytes are the only form.
func TestBytesTwinOverLimit(t *testing.T) {
	text := func(n int) string { return `"` + strings.Repeat("a", n-2) + `"` }
	frame := len(`{"ib":"x","gib":"","data":}`) + 64
	for _, c := range []struct {
		name    string
		payload string
		bytes   bool
	}{
		{"JSON form of the largest size", text(ibgib.MaxSize - frame), false},
		{"JSON form one byte larger", text(ibgib.MaxSize - frame + 1), true},
		{"payload as large as a JSON form may be", text(ibgib.MaxSize), true},
		{"larger payload", text(ibgib.MaxSize + 1), true},
		{"deepest", nested(64), false},
		{"too deep", nested(65), true},
		{"tjp too large", `{"isTjp":true,"text":` + text(ibgib.MaxSize) + `}`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := ibgib.NewBytes("x", []byte(c.payload), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := g.Bytes(); ok != c.bytes {
				t.Errorf("kept as bytes: %v", ok)
			}
			checkGates(t, g)
		})
	}
}

func TestBytesSizeLimit(t *testing.T) {
	payload := make([]byte, ibgib.MaxBytesSize+1)
	g, err := ibgib.NewBytes("x", payload[1:], nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ibgib.Verify(g.Stored()); err != nil {
		t.Error(err)
	}
	_, err = ibgib.NewBytes("x", payload, nil)
	refusedBy(t, err, ibgib.RuleTooLarge)
	_, err = ibgib.Verify(append(g.Stored(), 0))
	if r := refusedBy(t, err, ibgib.RuleTooLarge); r.Addr != g.Addr().String() {
		t.Errorf("refusal names %q", r.Addr)
	}
}

func TestBytesFormRefused(t *testing.T) {
	payload := []byte{1, 2, 3}
	g, err := ibgib.NewBytes("x", payload, ibgib.Rel8ns{{Name: "a", Addrs: []ibgib.Addr{addr(t, "x^gib")}}})
	if err != nil {
		t.Fatal(err)
	}
	header := `{"ib":"x","gib":"` + g.Gib() + `","rel8ns":{"a":["x^gib"]}}`
	if _, err := ibgib.Verify(bytesForm(header, payload)); err != nil {
		t.Fatal(err)
	}
	long := append([]byte{0xB1, byte(len(header)) | 0x80, byte(len(header)>>7) | 0x80, 0}, header...)
	for _, c := range []struct {
		name   string
		stored []byte
		rule   ibgib.Rule
	}{
		{"nothing", []byte{0xB1}, ibgib.RuleBadRecord},
		{"open varint", []byte{0xB1, 0xFF}, ibgib.RuleBadRecord},
		{"varint over 64 bits", bytes.Repeat([]byte{0xB1, 0xFF}, 10), ibgib.RuleBadRecord},
		{"header cut", bytesForm(header, nil)[:100], ibgib.RuleBadRecord},
		{"header too long", binary.AppendUvarint([]byte{0xB1}, 1<<62), ibgib.RuleBadRecord},
		{"empty header", []byte{0xB1, 0}, ibgib.RuleBadJSON},
		{"varint not minimal", append(long, payload...), ibgib.RuleNotCanonical},
		{"header with space", bytesForm(header+" ", payload), ibgib.RuleNotCanonical},
		{"header in another order", bytesForm(`{"gib":"`+g.Gib()+`","ib":"x","rel8ns":{"a":["x^gib"]}}`, payload), ibgib.RuleNotCanonical},
		{"header with null data", bytesForm(strings.Replace(header, `,"rel8ns"`, `,"data":null,"rel8ns"`, 1), payload), ibgib.RuleNotCanonical},
		{"header with data", bytesForm(strings.Replace(header, `,"rel8ns"`, `,"data":1,"rel8ns"`, 1), payload), ibgib.RuleUnknownMember},
		{"header with bytes", bytesForm(strings.Replace(header, `,"rel8ns"`, `,"bytes":"AQID","rel8ns"`, 1), payload), ibgib.RuleUnknownMember},
		{"header with more", bytesForm(strings.Replace(header, `,"rel8ns"`, `,"more":1,"rel8ns"`, 1), payload), ibgib.RuleUnknownMember},
		{"other payload", bytesForm(header, []byte{1, 2}), ibgib.RuleGibMismatch},
		{"suffix", bytesForm(strings.Replace(header, g.Gib(), g.Gib()+"."+hashA, 1), payload), ibgib.RuleTjpMismatch},
		{"primitive", bytesForm(`{"ib":"x","gib":"gib"}`, payload), ibgib.RulePrimitivePayload},
		{"no gib", bytesForm(`{"ib":"x"}`, payload), ibgib.RuleBadRecord},
		{"caret", bytesForm(strings.Replace(header, `"x"`, `"x^"`, 1), payload), ibgib.RuleBadIb},
		{"bad address", bytesForm(strings.Replace(header, `"x^gib"`, `"x"`, 1), payload), ibgib.RuleBadAddress},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ibgib.Verify(c.stored)
			refusedBy(t, err, c.rule)
			_, err = ibgib.Import(c.stored)
			refusedBy(t, err, ibgib.RuleBadJSON) // no form of JSON
		})
	}
}
