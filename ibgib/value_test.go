package ibgib_test

import (
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

// engine is what a JavaScript engine answered; see testdata/javascript.json.
type engine struct {
	About   string `json:"about"`
	Numbers []struct {
		Bits string `json:"bits"` // IEEE 754, hex
		Text string `json:"text"`
	} `json:"numbers"`
	Texts []struct {
		Text string `json:"text"`
		JSON string `json:"json"` // JSON.stringify(JSON.parse(text))
	} `json:"texts"`
	// Both in the order of Array.prototype.sort.
	Sorted []string `json:"sorted"` // strings as JSON
	Addrs  []string `json:"addrs"`
}

func readEngine(t testing.TB) engine {
	var e engine
	readVectors(t, "javascript.json", &e)
	return e
}

func TestNumbersPrintAsInJavaScript(t *testing.T) {
	for _, n := range readEngine(t).Numbers {
		bits, err := strconv.ParseUint(n.Bits, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		f := math.Float64frombits(bits)
		if got := ibgib.Number(f).String(); got != n.Text {
			t.Errorf("%s prints as %s, want %s", n.Bits, got, n.Text)
		}
		v := parse(t, n.Text)
		if v.Number() != f {
			t.Errorf("%s reads as %v, want %v", n.Text, v.Number(), f)
		}
	}
}

func TestTextsPrintAsInJavaScript(t *testing.T) {
	for _, c := range readEngine(t).Texts {
		// Inside an array members keep their order, as JSON.stringify does.
		if got := ibgib.Array(parse(t, c.Text)).String(); got != "["+c.JSON+"]" {
			t.Errorf("%s prints as\n%s, want\n[%s]", c.Text, got, c.JSON)
		}
	}
}

func TestNamesSortAsInJavaScript(t *testing.T) {
	e := readEngine(t)
	var addrs []ibgib.Addr
	for i := len(e.Addrs) - 1; i >= 0; i-- {
		addrs = append(addrs, addr(t, e.Addrs[i]))
	}
	slices.SortFunc(addrs, ibgib.CompareAddr)
	for i, a := range addrs {
		if a.String() != e.Addrs[i] {
			t.Errorf("address %d is %q, want %q", i, a, e.Addrs[i])
		}
	}
	var want []string
	for _, text := range e.Sorted {
		want = append(want, parse(t, text).Str())
	}
	// As member names, array indices go first; the others keep this order.
	var members []ibgib.Member
	for i := len(want) - 1; i >= 0; i-- {
		members = append(members, ibgib.Member{Name: want[i], Value: ibgib.Null()})
	}
	v := parse(t, "["+ibgib.Object(members...).String()+"]").Items()[0]
	indices := []string{"0", "1", "9", "10", "4294967294"}
	for i, m := range v.Members()[:len(indices)] {
		if m.Name != indices[i] {
			t.Errorf("member %d is %q, want %q", i, m.Name, indices[i])
		}
	}
	rest := slices.DeleteFunc(want, func(name string) bool { return slices.Contains(indices, name) })
	for i, m := range v.Members()[len(indices):] {
		if m.Name != rest[i] {
			t.Errorf("member %d after the indices is %q, want %q", i, m.Name, rest[i])
		}
	}
}

func TestCanonicalText(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"white space", " { \"a\" :\t[ 1 ,\n2 ] }\r\n", `{"a":[1,2]}`},
		{"minus zero", `[-0,-0.0,-0e5,0.0]`, `[0,0,0,0]`},
		{"underflow", `[1e-400,-1e-400]`, `[0,0]`},
		{"half of the smallest", `2.4703282292062327e-324`, `0`},
		{"sorted outside arrays", `{"b":{"d":1,"c":2},"a":3}`, `{"a":3,"b":{"c":2,"d":1}}`},
		{"kept inside arrays", `{"l":[{"b":{"d":1,"c":2},"a":3}]}`, `{"l":[{"b":{"d":1,"c":2},"a":3}]}`},
		{"indices first", `{"a":1,"10":2,"9":3,"01":4}`, `{"9":3,"10":2,"01":4,"a":1}`},
		{"indices first inside arrays", `[{"b":1,"10":2,"a":3,"9":4}]`, `[{"9":4,"10":2,"b":1,"a":3}]`},
		{"escapes", `"\u0000\u0008\u0009\u000a\u000b\u000C\u000d\u001F\"\\\/\u007f\u2028\u003c"`, "\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\\\"\\\\/\u007f\u2028<\""},
		{"lone surrogates", `"\uD800 \uDc00\ud800"`, `"\ud800 \udc00\ud800"`},
		{"pair", `"\ud83d\uDE00\ud83d"`, `"😀\ud83d"`},
		{"pair after a high one", `"\ud83d\ud83d\ude00"`, `"\ud83d😀"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := parse(t, c.text).String(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestValueRefused(t *testing.T) {
	for _, c := range []struct {
		name, text string
		rule       ibgib.Rule
	}{
		{"empty", "", ibgib.RuleBadJSON},
		{"only space", " \n", ibgib.RuleBadJSON},
		{"two values", "1 2", ibgib.RuleBadJSON},
		{"byte order mark", "\uFEFF1", ibgib.RuleBadJSON},
		{"form feed as space", "\f1", ibgib.RuleBadJSON},
		{"leading zero", "01", ibgib.RuleBadJSON},
		{"plus", "+1", ibgib.RuleBadJSON},
		{"no digit after the point", "1.", ibgib.RuleBadJSON},
		{"no digit before the point", ".5", ibgib.RuleBadJSON},
		{"no exponent", "1e", ibgib.RuleBadJSON},
		{"hex", "0x10", ibgib.RuleBadJSON},
		{"underscore", "1_000", ibgib.RuleBadJSON},
		{"comma at the end", "[1,]", ibgib.RuleBadJSON},
		{"comma at the end of an object", `{"a":1,}`, ibgib.RuleBadJSON},
		{"two commas", "[1,,2]", ibgib.RuleBadJSON},
		{"no colon", `{"a" 1}`, ibgib.RuleBadJSON},
		{"name without quotes", `{a:1}`, ibgib.RuleBadJSON},
		{"single quotes", `'a'`, ibgib.RuleBadJSON},
		{"comment", `/**/1`, ibgib.RuleBadJSON},
		{"wrong bracket", `[1}`, ibgib.RuleBadJSON},
		{"open array", `[1`, ibgib.RuleBadJSON},
		{"open string", `"a`, ibgib.RuleBadJSON},
		{"open escape", `"\`, ibgib.RuleBadJSON},
		{"unknown escape", `"\x41"`, ibgib.RuleBadJSON},
		{"short escape", `"\u12"`, ibgib.RuleBadJSON},
		{"signed escape", `"\u+123"`, ibgib.RuleBadJSON},
		{"control character", "\"a\nb\"", ibgib.RuleBadJSON},
		{"half a literal", "tru", ibgib.RuleBadJSON},
		{"literal and more", "nullx", ibgib.RuleBadJSON},
		{"NaN", "[NaN]", ibgib.RuleNumberRange},
		{"Infinity", "Infinity", ibgib.RuleNumberRange},
		{"minus Infinity", "-Infinity", ibgib.RuleNumberRange},
		{"overflow", "1e400", ibgib.RuleNumberRange},
		{"just over", "1.7976931348623159e308", ibgib.RuleNumberRange},
		{"huge exponent", "-1e99999999999999999999", ibgib.RuleNumberRange},
		{"continuation byte", "\"\x80\"", ibgib.RuleInvalidUTF8},
		{"overlong", "\"\xc0\xaf\"", ibgib.RuleInvalidUTF8},
		{"encoded surrogate", "\"\xed\xa0\x80\"", ibgib.RuleInvalidUTF8},
		{"encoded surrogate pair", "\"\xed\xa0\xbd\xed\xb8\x80\"", ibgib.RuleInvalidUTF8},
		{"beyond Unicode", "\"\xf4\x90\x80\x80\"", ibgib.RuleInvalidUTF8},
		{"cut short", "\"\xe2\x82\"", ibgib.RuleInvalidUTF8},
		{"duplicate", `{"a":1,"a":1}`, ibgib.RuleDuplicateMember},
		{"duplicate apart", `{"a":1,"b":1,"a":1}`, ibgib.RuleDuplicateMember},
		{"duplicate by escape", `{"a":1,"\u0061":1}`, ibgib.RuleDuplicateMember},
		{"duplicate inside an array", `[{"a":1,"b":1,"a":1}]`, ibgib.RuleDuplicateMember},
		{"duplicate pair", `{"😀":1,"\ud83d\ude00":1}`, ibgib.RuleDuplicateMember},
		{"proto", `{"__proto__":1}`, ibgib.RuleProtoMember},
		{"proto by escape", `[[{"\u005f_proto__":1}]]`, ibgib.RuleProtoMember},
		{"too deep", nested(65), ibgib.RuleTooDeep},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ibgib.ParseValue([]byte(c.text))
			refusedBy(t, err, c.rule)
		})
	}
	parse(t, nested(64))
}

func TestTruthy(t *testing.T) {
	for text, want := range map[string]bool{
		"null": false, "false": false, "0": false, "-0": false, `""`: false, "1e-999": false,
		"true": true, "1": true, "-1": true, `"false"`: true, `"0"`: true, "[]": true, "{}": true,
	} {
		if got := parse(t, text).Truthy(); got != want {
			t.Errorf("%s is truthy: %v", text, got)
		}
	}
	if (ibgib.Value{}).Truthy() || ibgib.Number(math.NaN()).Truthy() {
		t.Error("absent or NaN is truthy")
	}
}

func TestValueEdits(t *testing.T) {
	v := parse(t, `{"b":1,"a":2}`)
	edited := v.With("b", ibgib.Null()).With("c", ibgib.Bool(true)).Without("a")
	if got := ibgib.Array(v, edited).String(); got != `[{"b":1,"a":2},{"b":null,"c":true}]` {
		t.Error(got)
	}
	if x, ok := v.Get("a"); !ok || x.Number() != 2 {
		t.Error("Get a")
	}
	if _, ok := v.Get("z"); ok {
		t.Error("Get z")
	}
	if !ibgib.EqualValue(v, parse(t, `{"a":2,"b":1.0}`)) {
		t.Error("member order outside arrays counts")
	}
	if ibgib.EqualValue(ibgib.Null(), ibgib.Value{}) {
		t.Error("absent equals null")
	}
	if got := ibgib.Object(ibgib.Member{Name: "a"}).String(); got != "{}" {
		t.Error("an absent member prints: ", got)
	}
}

// A pair of surrogates that comes about by joining two strings is one character.
func TestJoinedSurrogates(t *testing.T) {
	joined := ibgib.String(parse(t, `"\ud83d"`).Str() + parse(t, `"\ude00"`).Str())
	if got := joined.String(); got != `"😀"` {
		t.Error(got)
	}
	if got := ibgib.String("\xed\xa0\xbd!").String(); got != `"\ud83d!"` {
		t.Error(got)
	}
}

func parse(t testing.TB, text string) ibgib.Value {
	t.Helper()
	v, err := ibgib.ParseValue([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}
