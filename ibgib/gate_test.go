package ibgib_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

// gibOf computes the gib of a record without one.
func gibOf(t testing.TB, record string) string {
	t.Helper()
	g, err := ibgib.Gib([]byte(record))
	if err != nil {
		t.Fatalf("%s: %v", record, err)
	}
	return g.Gib()
}

// withGib puts a gib where the stored form has it, after the ib.
func withGib(record, gib string) string {
	ib, rest, _ := strings.Cut(record, `"ib":`)
	value, rest, found := strings.Cut(rest, `,`)
	if !found {
		value = strings.TrimSuffix(value, `}`)
		return ib + `"ib":` + value + `,"gib":"` + gib + `"}`
	}
	return ib + `"ib":` + value + `,"gib":"` + gib + `",` + rest
}

// TestIntakeTable has the rows of the gate's table. Each text is a record as a
// peer would send it, with the gib hashA where none is given; import and wire
// refuse it by the same rule unless wire names another.
func TestIntakeTable(t *testing.T) {
	const tjp = `"tjp":["x^` + hashA + `"]`
	data1 := gibOf(t, `{"ib":"x","data":1}`)
	frame := gibOf(t, `{"ib":"x","data":1,"rel8ns":{`+tjp+`}}`)
	for _, c := range []struct {
		name, json string
		rule, wire ibgib.Rule
	}{
		{"gib of other content", `{"ib":"x","data":1}`, ibgib.RuleGibMismatch, ""},
		{"gib of other content, suffix right", withGib(`{"ib":"x","data":2,"rel8ns":{`+tjp+`}}`, frame), ibgib.RuleGibMismatch, ""},
		{"suffix without tjp", withGib(`{"ib":"x","data":1}`, data1+"."+hashA), ibgib.RuleTjpMismatch, ""},
		{"tjp without suffix", withGib(`{"ib":"x","data":1,"rel8ns":{`+tjp+`}}`, frame[:64]), ibgib.RuleTjpMismatch, ""},
		{"suffix of another tjp", withGib(`{"ib":"x","data":1,"rel8ns":{`+tjp+`}}`, frame[:65]+hashB), ibgib.RuleTjpMismatch, ""},
		{"suffix and more", withGib(`{"ib":"x","data":1,"rel8ns":{`+tjp+`}}`, frame+"."+hashB), ibgib.RuleTjpMismatch, ""},
		{"suffix on a tjp", withGib(`{"ib":"x","data":{"isTjp":true}}`, gibOf(t, `{"ib":"x","data":{"isTjp":true}}`)+"."+hashA), ibgib.RuleTjpMismatch, ""},

		{"duplicate in the record", `{"ib":"x","ib":"y"}`, ibgib.RuleDuplicateMember, ""},
		{"duplicate in data", `{"ib":"x","data":{"a":1,"a":2}}`, ibgib.RuleDuplicateMember, ""},
		{"duplicate inside an array", `{"ib":"x","data":[{"b":1,"a":1,"b":2}]}`, ibgib.RuleDuplicateMember, ""},
		{"duplicate index inside an array", `{"ib":"x","data":[{"1":1,"1":2}]}`, ibgib.RuleDuplicateMember, ""},
		{"duplicate rel8n", `{"ib":"x","rel8ns":{"a":["x^gib"],"a":["x^gib"]}}`, ibgib.RuleDuplicateMember, ""},
		{"proto in the record", `{"ib":"x","__proto__":{}}`, ibgib.RuleProtoMember, ""},
		{"proto in data", `{"ib":"x","data":{"__proto__":{"a":1},"b":2}}`, ibgib.RuleProtoMember, ""},
		{"proto deep down", `{"ib":"x","data":{"a":[[{"__proto__":1}]]}}`, ibgib.RuleProtoMember, ""},
		{"proto as rel8n", `{"ib":"x","rel8ns":{"__proto__":["x^gib"]}}`, ibgib.RuleProtoMember, ""},
		{"proto in a dropped member", `{"ib":"x","more":{"__proto__":1}}`, ibgib.RuleProtoMember, ""},

		{"number overflow", `{"ib":"x","data":{"v":1e400}}`, ibgib.RuleNumberRange, ""},
		{"NaN", `{"ib":"x","data":NaN}`, ibgib.RuleNumberRange, ""},
		{"minus Infinity", `{"ib":"x","data":[-Infinity]}`, ibgib.RuleNumberRange, ""},

		{"invalid UTF-8 in ib", "{\"ib\":\"x\xff\"}", ibgib.RuleInvalidUTF8, ""},
		{"invalid UTF-8 in data", "{\"ib\":\"x\",\"data\":{\"a\":\"\xc3(\"}}", ibgib.RuleInvalidUTF8, ""},
		{"encoded surrogate in data", "{\"ib\":\"x\",\"data\":\"\xed\xa0\x80\"}", ibgib.RuleInvalidUTF8, ""},
		{"lone surrogate in ib", `{"ib":"x\ud800"}`, ibgib.RuleLoneSurrogate, ""},
		{"lone surrogate in a rel8n name", `{"ib":"x","rel8ns":{"a\udc00":["x^gib"]}}`, ibgib.RuleLoneSurrogate, ""},
		{"lone surrogate in an address", `{"ib":"x","rel8ns":{"a":["x\ud83d^gib"]}}`, ibgib.RuleLoneSurrogate, ""},

		{"caret in ib", `{"ib":"x^y"}`, ibgib.RuleBadIb, ""},
		{"empty ib", `{"ib":""}`, ibgib.RuleBadIb, ""},
		{"ib no text", `{"ib":1}`, ibgib.RuleBadIb, ""},
		{"ib missing", `{"data":1}`, ibgib.RuleBadRecord, ""},
		{"gib no text", `{"ib":"x","gib":null,"data":1}`, ibgib.RuleBadGib, ""},
		{"gib empty", `{"ib":"x","gib":"","data":1}`, ibgib.RuleBadGib, ""},
		{"gib lower case", withGib(`{"ib":"x","data":1}`, strings.ToLower(data1)), ibgib.RuleBadGib, ""},
		{"gib 32 digits", withGib(`{"ib":"x","data":1}`, data1[:32]), ibgib.RuleBadGib, ""},
		{"gib with an empty piece", withGib(`{"ib":"x","data":1}`, data1+"."), ibgib.RuleBadGib, ""},
		{"gib with a short piece", withGib(`{"ib":"x","data":1}`, data1+"."+hashA[:32]), ibgib.RuleBadGib, ""},
		{"gib with a caret", withGib(`{"ib":"x","data":1}`, "^"+data1), ibgib.RuleBadGib, ""},
		{"tjp that is a primitive", `{"ib":"x","data":{"n":1},"rel8ns":{"tjp":["x^gib"]}}`, ibgib.RuleBadGib, ""},

		{"rel8ns a list", `{"ib":"x","rel8ns":["x^gib"]}`, ibgib.RuleBadRel8ns, ""},
		{"rel8ns text", `{"ib":"x","rel8ns":"x^gib"}`, ibgib.RuleBadRel8ns, ""},
		{"rel8n an address", `{"ib":"x","rel8ns":{"a":"x^gib"}}`, ibgib.RuleBadRel8ns, ""},
		{"rel8n null", `{"ib":"x","rel8ns":{"a":null,"b":["x^gib"]}}`, ibgib.RuleBadRel8ns, ""},
		{"rel8n of numbers", `{"ib":"x","rel8ns":{"a":[1]}}`, ibgib.RuleBadRel8ns, ""},
		{"rel8n of lists", `{"ib":"x","rel8ns":{"a":[["x^gib"]]}}`, ibgib.RuleBadRel8ns, ""},
		{"rel8n with null", `{"ib":"x","rel8ns":{"a":["x^gib",null]}}`, ibgib.RuleBadRel8ns, ""},
		{"address without caret", `{"ib":"x","rel8ns":{"a":["x"]}}`, ibgib.RuleBadAddress, ""},
		{"address without ib", `{"ib":"x","rel8ns":{"a":["^gib"]}}`, ibgib.RuleBadAddress, ""},
		{"address with two carets", `{"ib":"x","rel8ns":{"a":["x^y^gib"]}}`, ibgib.RuleBadAddress, ""},
		{"address with a lower-case gib", `{"ib":"x","rel8ns":{"a":["x^` + strings.ToLower(hashA) + `"]}}`, ibgib.RuleBadAddress, ""},
		{"address empty", `{"ib":"x","rel8ns":{"a":["x^gib",""]}}`, ibgib.RuleBadAddress, ""},

		{"swapped", `{"ib":"x","data":{"past":["a^gib"]}}`, ibgib.RuleSwappedMembers, ""},
		{"swapped, an empty list among them", `{"ib":"x","data":{"b":[],"past":["a^` + hashA + `"]}}`, ibgib.RuleSwappedMembers, ""},
		{"swapped, rel8ns with only empty lists", `{"ib":"x","data":{"past":["a^gib"]},"rel8ns":{"past":[]}}`, ibgib.RuleSwappedMembers, ""},

		{"isTjp with an empty tjp list", `{"ib":"x","data":{"isTjp":true},"rel8ns":{"past":["x^gib"],"tjp":[]}}`, ibgib.RuleTjpEmptyList, ""},
		{"isTjp with only empty lists", `{"ib":"x","data":{"isTjp":"false"},"rel8ns":{"tjp":[]}}`, ibgib.RuleTjpEmptyList, ""},

		{"primitive with data", `{"ib":"x","gib":"gib","data":1}`, ibgib.RulePrimitivePayload, ""},
		{"primitive with rel8ns", `{"ib":"x","gib":"gib","rel8ns":{"a":["x^gib"]}}`, ibgib.RulePrimitivePayload, ""},
		{"primitive with swapped members", `{"ib":"x","gib":"gib","data":{"a":["x^gib"]}}`, ibgib.RulePrimitivePayload, ""},
		{"primitive", `{"ib":"x","gib":"gib"}`, ibgib.RulePrimitivePayload, ""},

		{"nesting", `{"ib":"x","data":` + nested(65) + `}`, ibgib.RuleTooDeep, ""},
		{"nesting of objects", `{"ib":"x","data":` + strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64) + `}`, ibgib.RuleTooDeep, ""},
		{"nesting of a dropped member", `{"ib":"x","more":` + nested(65) + `}`, ibgib.RuleTooDeep, ""},
		{"size", `{"ib":"x","data":"` + strings.Repeat("a", ibgib.MaxSize) + `"}`, ibgib.RuleTooLarge, ""},
		{"addresses", `{"ib":"x","rel8ns":{"a":["x^gib"` + strings.Repeat(`,"x^gib"`, ibgib.MaxLinks) + `]}}`, ibgib.RuleTooManyLinks, ""},
		{"addresses in two lists", `{"ib":"x","rel8ns":{"a":["x^gib"],"b":["x^gib"` + strings.Repeat(`,"x^gib"`, ibgib.MaxLinks-1) + `]}}`, ibgib.RuleTooManyLinks, ""},

		{"empty", ``, ibgib.RuleBadJSON, ""},
		{"no JSON", `x`, ibgib.RuleBadJSON, ""},
		{"two records", `{"ib":"x","gib":"` + hashA + `"}{"ib":"x"}`, ibgib.RuleBadJSON, ""},
		{"a list", `[]`, ibgib.RuleBadRecord, ""},
		{"null", `null`, ibgib.RuleBadRecord, ""},
		{"data and bytes", `{"ib":"x","data":1,"bytes":"AA=="}`, ibgib.RuleBadRecord, ""},
		{"null data and bytes", `{"ib":"x","data":null,"bytes":"AA=="}`, ibgib.RuleBadRecord, ""},
		{"bytes no base64", `{"ib":"x","bytes":"A"}`, ibgib.RuleBadRecord, ""},
		{"bytes no text", `{"ib":"x","bytes":[0]}`, ibgib.RuleBadRecord, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			record := c.json
			if strings.HasPrefix(record, `{"ib":"`) && !strings.Contains(record, `"gib":`) {
				record = withGib(record, hashA)
			}
			_, err := ibgib.Import([]byte(record))
			checkRefusal(t, refusedBy(t, err, c.rule), record)
			wire := c.wire
			if wire == "" {
				wire = c.rule
			}
			_, err = ibgib.Verify([]byte(record))
			checkRefusal(t, refusedBy(t, err, wire), record)
		})
	}
}

// checkRefusal asserts what every refusal promises: the claimed address where
// there is one, and bounded, printable text.
func checkRefusal(t *testing.T, r *ibgib.Refusal, record string) {
	t.Helper()
	if strings.HasPrefix(record, `{"ib":"x","gib":"`+hashA+`"`) && r.Addr != "x^"+hashA {
		t.Errorf("refusal names the address %q", r.Addr)
	}
	if r.Detail == "" || len(r.Error()) > 2000 {
		t.Errorf("%d bytes of error: %.300s", len(r.Error()), r.Error())
	}
	for _, c := range r.Error() {
		if c < 0x20 || c == 0x7F || c == 0xFFFD {
			t.Errorf("unprintable %q in %.300q", c, r.Error())
		}
	}
}

// What import brings to order the wire refuses.
func TestCanonicalised(t *testing.T) {
	for _, c := range []struct {
		name, json, want string // without gib
		wire             ibgib.Rule
	}{
		{"space", `{"ib":"x", "data":1}`, `{"ib":"x","data":1}`, ibgib.RuleNotCanonical},
		{"newline at the end", "{\"ib\":\"x\",\"data\":1}\n", `{"ib":"x","data":1}`, ibgib.RuleNotCanonical},
		{"order of the record", `{"data":1,"ib":"x"}`, `{"ib":"x","data":1}`, ibgib.RuleNotCanonical},
		{"order of data", `{"ib":"x","data":{"b":1,"a":1}}`, `{"ib":"x","data":{"a":1,"b":1}}`, ibgib.RuleNotCanonical},
		{"order of indices inside an array", `{"ib":"x","data":[{"a":1,"0":1}]}`, `{"ib":"x","data":[{"0":1,"a":1}]}`, ibgib.RuleNotCanonical},
		{"order of rel8ns", `{"ib":"x","rel8ns":{"b":["x^gib"],"a":[]}}`, `{"ib":"x","rel8ns":{"a":[],"b":["x^gib"]}}`, ibgib.RuleNotCanonical},
		{"number", `{"ib":"x","data":1.0}`, `{"ib":"x","data":1}`, ibgib.RuleNotCanonical},
		{"minus zero", `{"ib":"x","data":[-0]}`, `{"ib":"x","data":[0]}`, ibgib.RuleNotCanonical},
		{"long integer", `{"ib":"x","data":9007199254740993}`, `{"ib":"x","data":9007199254740992}`, ibgib.RuleNotCanonical},
		{"exponent", `{"ib":"x","data":1e-07}`, `{"ib":"x","data":1e-7}`, ibgib.RuleNotCanonical},
		{"escape", `{"ib":"\u0078","data":"\/"}`, `{"ib":"x","data":"/"}`, ibgib.RuleNotCanonical},
		{"escaped pair", `{"ib":"x","data":"\ud83d\ude00"}`, `{"ib":"x","data":"😀"}`, ibgib.RuleNotCanonical},
		{"case of an escape", `{"ib":"x","data":"\uD800"}`, `{"ib":"x","data":"\ud800"}`, ibgib.RuleNotCanonical},
		{"data {}", `{"ib":"x","data":{}}`, `{"ib":"x"}`, ibgib.RuleNotCanonical},
		{"data []", `{"ib":"x","data":[]}`, `{"ib":"x"}`, ibgib.RuleNotCanonical},
		{"data 0", `{"ib":"x","data":-0.0}`, `{"ib":"x"}`, ibgib.RuleNotCanonical},
		{"data false", `{"ib":"x","data":false}`, `{"ib":"x"}`, ibgib.RuleNotCanonical},
		{"data null", `{"ib":"x","data":null}`, `{"ib":"x"}`, ibgib.RuleNotCanonical},
		{"data text", `{"ib":"x","data":""}`, `{"ib":"x"}`, ibgib.RuleNotCanonical},
		{"rel8ns {}", `{"ib":"x","rel8ns":{}}`, `{"ib":"x"}`, ibgib.RuleNotCanonical},
		{"rel8ns null", `{"ib":"x","rel8ns":null}`, `{"ib":"x"}`, ibgib.RuleNotCanonical},
		{"rel8ns empty lists", `{"ib":"x","rel8ns":{"past":[],"tjp":[]}}`, `{"ib":"x"}`, ibgib.RuleNotCanonical},
		{"other member", `{"ib":"x","data":1,"more":[1,2]}`, `{"ib":"x","data":1}`, ibgib.RuleUnknownMember},
		{"file form of bytes", `{"ib":"x","bytes":"AA=="}`, "", ibgib.RuleUnknownMember},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := ibgib.Gib([]byte(c.json))
			if err != nil {
				t.Fatal(err)
			}
			record := withGib(c.json, g.Gib())
			imported, err := ibgib.Import([]byte(record))
			if err != nil {
				t.Fatal(err)
			}
			if want := withGib(c.want, g.Gib()); c.want != "" && string(imported.Stored()) != want {
				t.Errorf("stored %s\nwant   %s", imported.Stored(), want)
			}
			checkGates(t, imported)
			_, err = ibgib.Verify([]byte(record))
			refusedBy(t, err, c.wire)
		})
	}
}

// What looks like a breach of the table and is none.
func TestKept(t *testing.T) {
	for _, record := range []string{
		`{"ib":"x","data":{"\ud800":"\udc00"}}`,
		`{"ib":"x","data":{"past":["a^gib"]},"rel8ns":{"a":["x^gib"]}}`,
		`{"ib":"x","data":{"past":["a^gib",1]}}`,
		`{"ib":"x","data":{"past":["a^gib"],"n":1}}`,
		`{"ib":"x","data":{"past":["a^g"]}}`,
		`{"ib":"x","data":{"past":["\ud800^gib"]}}`,
		`{"ib":"x","data":{"past":[],"b":[]}}`,
		`{"ib":"x","data":["a^gib"]}`,
		`{"ib":"x","rel8ns":{"past":["a^gib"]}}`,
		`{"ib":"x","data":{"isTjp":0},"rel8ns":{"past":["x^gib"],"tjp":[]}}`,
		`{"ib":"x","data":{"a":{"isTjp":true}},"rel8ns":{"past":["x^gib"],"tjp":[]}}`,
		`{"ib":"x","data":{"isTjp":true},"rel8ns":{"tjp":["x^gib"]}}`,
		`{"ib":"x","rel8ns":{"tjp":["x^gib","x^` + hashA + `"]}}`,
		`{"ib":"x","rel8ns":{"a":["x^gib","x^gib"],"":["x^gib"]}}`,
		`{"ib":"a\\b\"c\n","data":1}`,
		`{"ib":"x","data":` + nested(64) + `}`,
		`{"ib":"x","data":` + strings.Repeat(`{"a":`, 63) + "{}" + strings.Repeat("}", 63) + `}`,
		`{"ib":"x","rel8ns":{"a":["x^gib"` + strings.Repeat(`,"x^gib"`, ibgib.MaxLinks-1) + `]}}`,
	} {
		g, err := ibgib.Gib([]byte(record))
		if err != nil {
			t.Errorf("%.200s: %v", record, err)
			continue
		}
		checkGates(t, g)
	}
}

func TestImportNeedsGib(t *testing.T) {
	_, err := ibgib.Import([]byte(`{"ib":"x","data":1}`))
	refusedBy(t, err, ibgib.RuleBadRecord)
	_, err = ibgib.Verify([]byte(`{"ib":"x","data":1}`))
	refusedBy(t, err, ibgib.RuleBadRecord)
}

func TestSizeLimit(t *testing.T) {
	empty, err := ibgib.New("x", ibgib.String("a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	room := ibgib.MaxSize - empty.Size() + 1
	largest, err := ibgib.New("x", ibgib.String(strings.Repeat("a", room)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if largest.Size() != ibgib.MaxSize {
		t.Fatalf("size %d", largest.Size())
	}
	checkGates(t, largest)
	_, err = ibgib.New("x", ibgib.String(strings.Repeat("a", room+1)), nil)
	refusedBy(t, err, ibgib.RuleTooLarge)
	// A larger text may have a canonical form within the limit.
	padded := bytes.Replace(largest.Stored(), []byte(`,`), []byte(` , `), 1)
	if g, err := ibgib.Import(padded); err != nil || g.Addr() != largest.Addr() {
		t.Errorf("%v", err)
	}
}

func TestNewRefused(t *testing.T) {
	rel8n := func(name string, addrs ...ibgib.Addr) ibgib.Rel8ns { return ibgib.Rel8ns{{Name: name, Addrs: addrs}} }
	one := ibgib.Number(1)
	deep := one
	for range 64 {
		deep = ibgib.Array(deep)
	}
	for _, c := range []struct {
		name   string
		ib     string
		data   ibgib.Value
		rel8ns ibgib.Rel8ns
		rule   ibgib.Rule
	}{
		{"empty ib", "", one, nil, ibgib.RuleBadIb},
		{"caret in ib", "a^b", one, nil, ibgib.RuleBadIb},
		{"invalid UTF-8 in ib", "\xff", one, nil, ibgib.RuleInvalidUTF8},
		{"lone surrogate in ib", "\xed\xa0\x80", one, nil, ibgib.RuleLoneSurrogate},
		{"invalid UTF-8 in data", "x", ibgib.String("\xff"), nil, ibgib.RuleInvalidUTF8},
		{"invalid UTF-8 in a name", "x", ibgib.Object(ibgib.Member{Name: "\xe2\x82", Value: one}), nil, ibgib.RuleInvalidUTF8},
		{"NaN", "x", ibgib.Array(ibgib.Number(math.NaN())), nil, ibgib.RuleNumberRange},
		{"NaN alone", "x", ibgib.Number(math.NaN()), nil, ibgib.RuleNumberRange},
		{"Infinity", "x", ibgib.Number(math.Inf(-1)), nil, ibgib.RuleNumberRange},
		{"duplicate", "x", ibgib.Object(ibgib.Member{Name: "a", Value: one}, ibgib.Member{Name: "a", Value: one}), nil, ibgib.RuleDuplicateMember},
		{"proto", "x", ibgib.Object(ibgib.Member{Name: "__proto__", Value: one}), nil, ibgib.RuleProtoMember},
		{"too deep", "x", deep, nil, ibgib.RuleTooDeep},
		{"duplicate rel8n", "x", one, append(rel8n("a"), rel8n("a", addr(t, "x^gib"))...), ibgib.RuleDuplicateMember},
		{"zero address", "x", one, rel8n("a", ibgib.Addr{}), ibgib.RuleBadAddress},
		{"proto as rel8n", "x", one, rel8n("__proto__", addr(t, "x^gib")), ibgib.RuleProtoMember},
		{"swapped", "x", parse(t, `{"a":["x^gib"]}`), nil, ibgib.RuleSwappedMembers},
		{"isTjp with an empty tjp list", "x", parse(t, `{"isTjp":1}`), rel8n("tjp"), ibgib.RuleTjpEmptyList},
		{"too large", "x", ibgib.String(strings.Repeat("a", ibgib.MaxSize)), nil, ibgib.RuleTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ibgib.New(c.ib, c.data, c.rel8ns)
			refusedBy(t, err, c.rule)
		})
	}
	// Two halves of a pair, joined in memory, are one character in the ib too.
	g, err := ibgib.New("\xed\xa0\xbd\xed\xb8\x80", one, nil)
	if err != nil || g.Ib() != "😀" {
		t.Errorf("%q, %v", g.Ib(), err)
	}
}
