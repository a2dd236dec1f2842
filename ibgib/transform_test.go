package ibgib_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

const testUUID = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func testEnv() ibgib.Env {
	at := time.Date(2026, time.January, 2, 3, 4, 5, 678_900_000, time.FixedZone("", 3600))
	return ibgib.Env{
		Now:  func() time.Time { return at },
		UUID: func() string { return testUUID },
	}
}

func value(t testing.TB, text string) ibgib.Value {
	t.Helper()
	v, err := ibgib.ParseValue([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// tjpFrame is the first frame of a timeline with that data.
func tjpFrame(t testing.TB, data string) ibgib.IbGib {
	t.Helper()
	g, err := ibgib.New("note", value(t, data).With("isTjp", ibgib.Bool(true)),
		ibgib.Rel8ns{{Name: "ancestor", Addrs: []ibgib.Addr{addr(t, "note^gib")}}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// transformRefused asserts that err is a TransformError by that rule.
func transformRefused(t *testing.T, err error, rule ibgib.Rule) {
	t.Helper()
	var failed *ibgib.TransformError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want a TransformError by %s", err, rule)
	}
	if failed.Rule != rule {
		t.Fatalf("refused by %s (%v), want %s", failed.Rule, err, rule)
	}
	if failed.Op == "" || failed.Detail == "" || len(err.Error()) > 600 {
		t.Errorf("poor error: %v", err)
	}
}

func mut8As(t *testing.T, src ibgib.IbGib, options string) (ibgib.Result, error) {
	t.Helper()
	o, err := ibgib.ParseMut8Options(value(t, options))
	if err != nil {
		return ibgib.Result{}, err
	}
	return ibgib.Mut8(src, o, testEnv())
}

func TestMut8Data(t *testing.T) {
	tests := []struct{ name, data, options, want string }{
		{"patch of an empty object", `{"o":{}}`, `{"dataToAddOrPatch":{"o":{"a":1}}}`, `{"o":{"a":1}}`},
		{"patch of an array by an object", `{"o":[1]}`, `{"dataToAddOrPatch":{"o":{"0":2}}}`, `{"o":{"0":2}}`},
		{"patch of an array by null", `{"o":[1]}`, `{"dataToAddOrPatch":{"o":null}}`, `{"o":null}`},
		{"patch of null by an object", `{"o":null}`, `{"dataToAddOrPatch":{"o":{"a":null}}}`, `{"o":{"a":null}}`},
		{"rename over a member", `{"a":1,"b":2}`, `{"dataToRename":{"a":"b"}}`, `{"b":1}`},
		{"rename in the written order", `{"a":1,"b":2}`, `{"dataToRename":{"b":"c","a":"b"}}`, `{"b":1,"c":2}`},
		{"rename chain", `{"a":1,"b":2}`, `{"dataToRename":{"a":"b","b":"c"}}`, `{"c":1}`},
		{"rename, array indices first", `{"1":1,"b":2}`, `{"dataToRename":{"b":"c","1":"b"}}`, `{"c":1}`},
		{"rename to itself removes", `{"a":1,"b":2}`, `{"dataToRename":{"a":"a"}}`, `{"b":2}`},
		{"rename of what is not there", `{"b":2}`, `{"dataToRename":{"a":"x","c":{"d":"e"}}}`, `{"b":2}`},
		{"rename inside an array", `{"l":[{"x":1,"y":2,"z":3}]}`, `{"dataToRename":{"l":{"0":{"x":"w"}}}}`, `{"l":[{"y":2,"z":3,"w":1}]}`},
		{"rename inside an array keeps a place", `{"l":[{"x":1,"y":2,"w":3}]}`, `{"dataToRename":{"l":{"0":{"y":"x"}}}}`, `{"l":[{"x":2,"w":3}]}`},
		{"rename into a number", `{"a":1}`, `{"dataToRename":{"a":{"b":"c"}}}`, `{"a":1}`},
		{"rename into a text", `{"a":"\u00e9\ud83d\ude00"}`, `{"dataToRename":{"a":{"3":"c","x":"y"}}}`, "{\"a\":\"\u00e9\U0001f600\"}"},
		{"rename of what is not there to timestamp", `{"b":2}`, `{"dataToRename":{"a":"timestamp"}}`, `{"b":2}`},
		{"remove then patch", `{"a":{"b":1}}`, `{"dataToRemove":{"a":""},"dataToAddOrPatch":{"a":{"c":2}}}`, `{"a":{"c":2}}`},
		{"remove with an empty object", `{"a":{"b":1}}`, `{"dataToRemove":{"a":{}}}`, `{"a":{"b":1}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// Without a time, so that want is all of the data.
			o, err := ibgib.ParseMut8Options(value(t, test.options).With("noTimestamp", ibgib.Bool(true)))
			if err != nil {
				t.Fatal(err)
			}
			res, err := ibgib.Mut8(tjpFrame(t, test.data), o, ibgib.Env{})
			if err != nil {
				t.Fatal(err)
			}
			if got := res.New.Data().String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			checkGates(t, res.New)
		})
	}
}

// Objects longer than a search goes through one by one behave the same.
func TestMut8LongObject(t *testing.T) {
	var members []ibgib.Member
	for c := 'a'; c <= 'z'; c++ {
		for d := 'a'; d <= 'z'; d++ {
			members = append(members, ibgib.Member{Name: string(c) + string(d), Value: ibgib.Number(1)})
		}
	}
	long := ibgib.Object(members...)
	rename := value(t, `{"aa":"ab","zz":"new","new":"newer"}`)
	src, err := ibgib.New("x", long, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := ibgib.Mut8(src, ibgib.Mut8Options{Rename: rename, Remove: value(t, `{"bb":"","missing":""}`), Patch: value(t, `{"aa":2}`), NoTimestamp: true}, testEnv())
	if err != nil {
		t.Fatal(err)
	}
	want := long.Without("bb").Without("zz").With("newer", ibgib.Number(1)).With("aa", ibgib.Number(2))
	if got := res.New.Data(); !ibgib.EqualValue(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTransformRefused(t *testing.T) {
	src := tjpFrame(t, `{"o":{"a":1},"l":[1],"s":"text","z":null}`)
	tests := []struct {
		options string
		rule    ibgib.Rule
	}{
		{`{"mut8Ib":"a^b"}`, ibgib.RuleDelimiter},
		{`{"mut8Ib":7}`, ibgib.RuleBadOption},
		{`{"mut8Ib":""}`, ibgib.RuleNothingToDo},
		{`{}`, ibgib.RuleNothingToDo},
		{`{"type":"rel8","mut8Ib":"x"}`, ibgib.RuleBadOption},
		{`{"src":{},"mut8Ib":"x"}`, ibgib.RuleBadOption},
		{`{"srcAddr":"a^gib","mut8Ib":"x"}`, ibgib.RuleBadOption},
		{`{"dna":"yes","mut8Ib":"x"}`, ibgib.RuleBadOption},
		{`{"linkedRel8ns":"past","mut8Ib":"x"}`, ibgib.RuleBadOption},
		{`{"linkedRel8ns":[1],"mut8Ib":"x"}`, ibgib.RuleBadOption},
		{`{"linkedRel8ns":["__proto__"],"mut8Ib":"x"}`, ibgib.RuleProtoMember},
		{`{"dataToAddOrPatch":[1]}`, ibgib.RuleBadOption},
		{`{"dataToAddOrPatch":"text"}`, ibgib.RuleBadOption},
		{`{"dataToAddOrPatch":{"o":null}}`, ibgib.RuleNullOverObject},
		{`{"dataToRename":{"o":"__proto__"}}`, ibgib.RuleProtoMember},
		{`{"dataToRename":{"o":{"a":"__proto__"}}}`, ibgib.RuleProtoMember},
		{`{"dataToRename":{"o":"timestamp"}}`, ibgib.RuleReservedMember},
		{`{"dataToRename":{"o":{"timestamp":"x"}}}`, ibgib.RuleReservedMember},
		{`{"dataToRename":{"o":null}}`, ibgib.RuleBadOption},
		{`{"dataToRename":{"l":{"0":"x"}}}`, ibgib.RuleArrayElement},
		{`{"dataToRemove":{"l":{"0":""}}}`, ibgib.RuleArrayElement},
		{`{"dataToRename":{"s":{"3":"b"}}}`, ibgib.RuleNotObject},
		{`{"dataToRemove":{"z":{"a":"b"}}}`, ibgib.RuleNotObject},
	}
	for _, test := range tests {
		t.Run(test.options, func(t *testing.T) {
			_, err := mut8As(t, src, test.options)
			transformRefused(t, err, test.rule)
		})
	}
}

func TestFork(t *testing.T) {
	src := tjpFrame(t, `{"a":1,"uuid":"old"}`)
	res, err := ibgib.Fork(src, ibgib.ForkOptions{DestIb: "x", NoTimestamp: true}, ibgib.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"a":1,"isTjp":true,"uuid":"old"}`; res.New.Data().String() != want {
		t.Errorf("a fork that gets no data keeps that of the source: got %s", res.New.Data())
	}
	res, err = ibgib.Fork(addr(t, "ib^gib"), ibgib.ForkOptions{NCounter: true, Dna: true}, testEnv())
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"n":0,"timestamp":"Fri, 02 Jan 2026 02:04:05 GMT","timestampMs":678}`; res.New.Data().String() != want {
		t.Errorf("got %s, want %s", res.New.Data(), want)
	}
	if len(res.Dna) != 1 || !res.New.Rel8ns().IsEmpty() {
		t.Errorf("a fork of the root has no links, but dna: got %s", res.New.Stored())
	}

	bytesSrc, err := ibgib.NewBytes("x", []byte{0xFF}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ibgib.Fork(bytesSrc, ibgib.ForkOptions{}, testEnv()); err != nil {
		t.Error(err)
	}
	_, err = ibgib.Fork(bytesSrc, ibgib.ForkOptions{CloneData: true}, testEnv())
	transformRefused(t, err, ibgib.RuleNotObject)
	_, err = ibgib.Fork(bytesSrc, ibgib.ForkOptions{NoTimestamp: true}, testEnv())
	transformRefused(t, err, ibgib.RuleNotObject)
	_, err = ibgib.Mut8(bytesSrc, ibgib.Mut8Options{Ib: "y"}, testEnv())
	transformRefused(t, err, ibgib.RuleNotObject)
	_, err = ibgib.Fork(nil, ibgib.ForkOptions{}, testEnv())
	transformRefused(t, err, ibgib.RuleNoSource)
	_, err = ibgib.Fork(ibgib.IbGib{}, ibgib.ForkOptions{}, testEnv())
	transformRefused(t, err, ibgib.RuleNoSource)
	_, err = ibgib.Fork(src.Addr(), ibgib.ForkOptions{}, testEnv())
	transformRefused(t, err, ibgib.RuleNoSource)
	_, err = ibgib.Mut8(ibgib.IbGib{}, ibgib.Mut8Options{Ib: "y"}, testEnv())
	transformRefused(t, err, ibgib.RuleNoSource)
}

// Data that is no object is carried along where nothing has to be set in it.
func TestPlainData(t *testing.T) {
	tests := []struct{ data, want string }{
		{`[1,{"b":1,"a":2}]`, `[1,{"b":1,"a":2}]`},
		{`"text"`, `"text"`},
		{`7`, ``},
		{`true`, ``},
	}
	for _, test := range tests {
		src, err := ibgib.New("x", value(t, test.data), nil)
		if err != nil {
			t.Fatal(err)
		}
		link := ibgib.Rel8ns{{Name: "to", Addrs: []ibgib.Addr{addr(t, "a^gib")}}}
		res, err := ibgib.Rel8(src, ibgib.Rel8Options{Add: link, NoTimestamp: true}, testEnv())
		if err != nil {
			t.Fatal(err)
		}
		if got := res.New.Data().String(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.data, got, test.want)
		}
		_, err = ibgib.Rel8(src, ibgib.Rel8Options{Add: link}, testEnv())
		if test.want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		transformRefused(t, err, ibgib.RuleNotObject)
		_, err = ibgib.Mut8(src, ibgib.Mut8Options{Patch: value(t, `{"a":1}`), NoTimestamp: true}, testEnv())
		transformRefused(t, err, ibgib.RuleNotObject)
	}
}

func TestRel8(t *testing.T) {
	src, err := ibgib.New("x", value(t, `{"a":1}`), ibgib.Rel8ns{{Name: "to", Addrs: []ibgib.Addr{addr(t, "a^gib"), addr(t, "b^gib")}}})
	if err != nil {
		t.Fatal(err)
	}
	run := func(options string) (ibgib.Result, error) {
		o, err := ibgib.ParseRel8Options(value(t, options))
		if err != nil {
			return ibgib.Result{}, err
		}
		return ibgib.Rel8(src, o, testEnv())
	}
	// Only what the list had before is passed over.
	res, err := run(`{"rel8nsToAddByAddr":{"to":["b^gib","c^gib","c^gib"],"none":[]},"linkedRel8ns":["past"]}`)
	if err != nil {
		t.Fatal(err)
	}
	var to []string
	for _, a := range res.New.Rel("to") {
		to = append(to, a.String())
	}
	if got := strings.Join(to, " "); got != "a^gib b^gib c^gib c^gib" {
		t.Errorf("got %s", got)
	}
	if past := res.New.Rel("past"); !slices.Equal(past, []ibgib.Addr{src.Addr()}) {
		t.Errorf("past %v", past)
	}

	for options, rule := range map[string]ibgib.Rule{
		`{}`:                       ibgib.RuleNothingToDo,
		`{"rel8nsToAddByAddr":{}}`: ibgib.RuleNothingToDo,
		`{"rel8nsToAddByAddr":{"dna":["a^gib"]}}`:         ibgib.RuleReservedRel8n,
		`{"rel8nsToRemoveByAddr":{"ancestor":["a^gib"]}}`: ibgib.RuleReservedRel8n,
		`{"rel8nsToAddByAddr":{"constructor":["a^gib"]}}`: ibgib.RuleReservedRel8n,
		`{"rel8nsToAddByAddr":{"to":["a"]}}`:              ibgib.RuleBadOption,
		`{"rel8nsToAddByAddr":{"to":"a^gib"}}`:            ibgib.RuleBadOption,
		`{"rel8nsToAddByAddr":{"to":[null]}}`:             ibgib.RuleBadOption,
		`{"rel8nsToAddByAddr":["a^gib"]}`:                 ibgib.RuleBadOption,
	} {
		_, err := run(options)
		transformRefused(t, err, rule)
	}
	_, err = ibgib.Rel8(src, ibgib.Rel8Options{Add: ibgib.Rel8ns{{Name: "to", Addrs: make([]ibgib.Addr, 1)}}}, testEnv())
	transformRefused(t, err, ibgib.RuleBadAddress)
}

// A tjp that a patch makes gets a second tjp, as there.
func TestTjpFrames(t *testing.T) {
	src := tjpFrame(t, `{"a":1}`)
	first, err := mut8As(t, src, `{"dataToAddOrPatch":{"a":2}}`)
	if err != nil {
		t.Fatal(err)
	}
	if first.New.Addr().TjpGib() != src.Gib() || first.New.IsTjp() {
		t.Errorf("got %s", first.New.Stored())
	}
	second, err := mut8As(t, first.New, `{"dataToAddOrPatch":{"isTjp":true}}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := second.New.Rel("tjp"); !slices.Equal(got, []ibgib.Addr{src.Addr(), first.New.Addr()}) {
		t.Errorf("tjp %v", got)
	}
	if second.New.Addr().TjpGib() != first.New.Gib() || second.New.IsTjp() {
		t.Errorf("got %s", second.New.Stored())
	}
}

func TestTransformOverLimit(t *testing.T) {
	src := tjpFrame(t, `{"a":1}`)
	big := ibgib.Object(ibgib.Member{Name: "big", Value: ibgib.String(strings.Repeat("x", ibgib.MaxSize))})
	_, err := ibgib.Mut8(src, ibgib.Mut8Options{Patch: big}, testEnv())
	transformRefused(t, err, ibgib.RuleTooLarge)
	refusedBy(t, err, ibgib.RuleTooLarge)

	deep := ibgib.Number(1)
	for range ibgib.MaxDepth {
		deep = ibgib.Array(deep)
	}
	_, err = ibgib.Mut8(src, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "deep", Value: deep}), Dna: true}, testEnv())
	transformRefused(t, err, ibgib.RuleTooDeep)
}

func TestStone(t *testing.T) {
	plain, err := ibgib.Stone(ibgib.StoneOptions{Ib: "tag a", Parent: "tag", Data: value(t, `{"text":"a"}`)}, ibgib.Env{})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"ib":"tag a","gib":"` + plain.Hash().String() + `","data":{"text":"a"},"rel8ns":{"ancestor":["tag^gib"]}}`
	if string(plain.Stored()) != want {
		t.Errorf("got %s, want %s", plain.Stored(), want)
	}
	checkGates(t, plain)

	with, err := ibgib.Stone(ibgib.StoneOptions{Ib: "tag a", Parent: "tag", UUID: true}, testEnv())
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"uuid":"` + testUUID + `"}`; with.Data().String() != want {
		t.Errorf("got %s, want %s", with.Data(), want)
	}

	for rule, o := range map[ibgib.Rule]ibgib.StoneOptions{
		ibgib.RuleDelimiter:      {Ib: "a^b", Parent: "p"},
		ibgib.RuleBadIb:          {Ib: "", Parent: "p"},
		ibgib.RuleBadOption:      {Ib: "a", Parent: ""},
		ibgib.RuleReservedMember: {Ib: "a", Parent: "p", Data: value(t, `{"isTjp":1}`)},
		ibgib.RuleNotObject:      {Ib: "a", Parent: "p", Data: value(t, `[1]`), UUID: true},
	} {
		_, err := ibgib.Stone(o, testEnv())
		transformRefused(t, err, rule)
	}
}

func TestStampOf(t *testing.T) {
	tests := []struct {
		data string
		ok   bool
		ms   int64
	}{
		{`{"timestamp":"Fri, 02 Jan 2026 02:04:05 GMT","timestampMs":678}`, true, 1767319445678},
		{`{"timestamp":"Fri, 02 Jan 2026 02:04:05 GMT"}`, true, 1767319445000},
		{`{"timestamp":"Thu, 02 Jan 2026 02:04:05 GMT","timestampMs":0}`, false, 0},
		{`{"timestamp":"Fri, 2 Jan 2026 02:04:05 GMT","timestampMs":0}`, false, 0},
		{`{"timestamp":"Fri, 02 Jan 2026 02:04:05 GMT","timestampMs":1000}`, false, 0},
		{`{"timestamp":"Fri, 02 Jan 2026 02:04:05 GMT","timestampMs":0.5}`, false, 0},
		{`{"timestamp":"Fri, 02 Jan 2026 02:04:05 GMT","timestampMs":null}`, false, 0},
		{`{"timestamp":1}`, false, 0},
		{`{"a":1}`, false, 0},
	}
	for _, test := range tests {
		s, ok := ibgib.StampOf(tjpFrame(t, test.data))
		if ok != test.ok || ok && s.At.UnixMilli() != test.ms {
			t.Errorf("%s: got %v, %v", test.data, s, ok)
		}
	}
}

func TestReplay(t *testing.T) {
	src := tjpFrame(t, `{"timestamp":"Fri, 02 Jan 2026 02:04:05 GMT","timestampMs":1}`)
	at := time.Date(2020, time.May, 1, 0, 0, 0, 0, time.UTC)
	res, err := ibgib.Replay(src, "mut8", value(t, `{"dataToAddOrPatch":{"a":1},"dna":true}`), ibgib.Stamp{At: at, NoMs: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"a":1,"timestamp":"Fri, 01 May 2020 00:00:00 GMT"}`; res.New.Data().String() != want {
		t.Errorf("got %s, want %s", res.New.Data(), want)
	}
	// What only local changes may not do can be replayed.
	if _, err := ibgib.Replay(src, "rel8", value(t, `{"rel8nsToAddByAddr":{"ibgib.merge.1":["a^gib"]},"later":1}`), ibgib.Stamp{At: at}); err != nil {
		t.Error(err)
	}
	_, err = ibgib.Replay(src, "fork", value(t, `{}`), ibgib.Stamp{At: at})
	transformRefused(t, err, ibgib.RuleNotReplayable)
	_, err = ibgib.Replay(src, "mut8", ibgib.Null(), ibgib.Stamp{At: at})
	transformRefused(t, err, ibgib.RuleBadOption)
	_, err = ibgib.Replay(src, "rel8", value(t, `{"type":"mut8"}`), ibgib.Stamp{At: at})
	transformRefused(t, err, ibgib.RuleBadOption)
}
