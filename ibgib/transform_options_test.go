package ibgib_test

import (
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Values made in Go do not pass ParseValue, so transforms look for __proto__
// themselves.
func TestProtoRefused(t *testing.T) {
	proto := ibgib.Object(ibgib.Member{Name: "a", Value: ibgib.Array(ibgib.Object(ibgib.Member{Name: "__proto__", Value: ibgib.String("x")}))})
	lists := ibgib.Rel8ns{{Name: "__proto__", Addrs: []ibgib.Addr{addr(t, "a^gib")}}}
	src := tjpFrame(t, `{"a":1}`)
	for name, run := range map[string]func() error{
		"rename": func() error { _, err := ibgib.Mut8(src, ibgib.Mut8Options{Rename: proto}, testEnv()); return err },
		"remove": func() error { _, err := ibgib.Mut8(src, ibgib.Mut8Options{Remove: proto}, testEnv()); return err },
		"patch":  func() error { _, err := ibgib.Mut8(src, ibgib.Mut8Options{Patch: proto}, testEnv()); return err },
		"add":    func() error { _, err := ibgib.Rel8(src, ibgib.Rel8Options{Add: lists}, testEnv()); return err },
		"unlink": func() error { _, err := ibgib.Rel8(src, ibgib.Rel8Options{Remove: lists}, testEnv()); return err },
		"stone": func() error {
			_, err := ibgib.Stone(ibgib.StoneOptions{Ib: "x", Parent: "y", Data: proto}, testEnv())
			return err
		},
		"data":    func() error { _, err := ibgib.FirstGen(ibgib.FirstGenOptions{Data: proto}, testEnv()); return err },
		"rel8ns":  func() error { _, err := ibgib.FirstGen(ibgib.FirstGenOptions{Rel8ns: lists}, testEnv()); return err },
		"unknown": func() error { _, err := ibgib.ParseForkOptions(proto); return err },
		"itself": func() error {
			_, err := ibgib.ParseRel8Options(ibgib.Object(ibgib.Member{Name: "__proto__", Value: ibgib.Null()}))
			return err
		},
		"tjp part": func() error {
			_, err := ibgib.ParseForkOptions(ibgib.Object(ibgib.Member{Name: "tjp", Value: proto}))
			return err
		},
		"linked": func() error {
			_, err := ibgib.Fork(src, ibgib.ForkOptions{LinkedRel8ns: []string{"__proto__"}}, testEnv())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { transformRefused(t, run(), ibgib.RuleProtoMember) })
	}
}

func TestCheckLocal(t *testing.T) {
	tests := []struct {
		op, options string
		rule        ibgib.Rule // "" if the change may be made
	}{
		{"mut8", `{"dataToAddOrPatch":{"stats":{"n":1,"timestamp":"x"}},"dna":false,"type":"mut8"}`, ""},
		{"mut8", `{"dataToAddOrPatch":{"n":1}}`, ibgib.RuleReservedMember},
		{"mut8", `{"dataToAddOrPatch":{"isTjp":true}}`, ibgib.RuleReservedMember},
		{"mut8", `{"dataToAddOrPatch":{"timestamp":"x"}}`, ibgib.RuleReservedMember},
		{"mut8", `{"dataToAddOrPatch":{"timestampMs":1}}`, ibgib.RuleReservedMember},
		{"mut8", `{"dataToRename":{"n":"m"}}`, ibgib.RuleReservedMember},
		{"mut8", `{"dataToRename":{"m":"n"}}`, ibgib.RuleReservedMember},
		{"mut8", `{"dataToRemove":{"isTjp":""}}`, ibgib.RuleReservedMember},
		{"mut8", `{"dataToRemove":{"n":{"a":""}}}`, ibgib.RuleReservedMember},
		{"mut8", `{"dataToRename":{"a":"b","c":"d"}}`, ""},
		{"mut8", `{"dataToRename":{"a":"b","b":"c"}}`, ibgib.RuleRenameOrder},
		{"mut8", `{"dataToRename":{"o":{"a":"c","b":"c"}}}`, ibgib.RuleRenameOrder},
		{"mut8", `{"dataToRename":{"a":"a"}}`, ibgib.RuleRenameOrder},
		{"mut8", `{"mut8Ib":"x","linkedRel8ns":["past","dna"]}`, ""},
		{"mut8", `{"mut8Ib":"x","linkedRel8ns":["ibgib.skipped.7"]}`, ibgib.RuleReservedRel8n},
		{"mut8", `{"mut8Ib":"x","linkedRel8n":["past"]}`, ibgib.RuleUnknownOption},
		{"rel8", `{"rel8nsToAddByAddr":{"ibgib.merged":["a^gib"]}}`, ""},
		{"rel8", `{"rel8nsToAddByAddr":{"ibgib.merge.1":["a^gib"]}}`, ibgib.RuleReservedRel8n},
		{"rel8", `{"rel8nsToRemoveByAddr":{"ibgib.skipped.1":["a^gib"]}}`, ibgib.RuleReservedRel8n},
		{"rel8", `{"rel8nsToAddByAddr":{"a":["a^gib"]},"linkedRel8ns":["ibgib.merge."]}`, ibgib.RuleReservedRel8n},
		{"rel8", `{"rel8nsToAddByAddr":{"a":["a^gib"]},"mut8Ib":"x"}`, ibgib.RuleUnknownOption},
		{"fork", `{"destIb":"x","tjp":{"uuid":true,"timestamp":false}}`, ""},
		{"fork", `{"linkedRel8ns":["ibgib.merge.1"]}`, ibgib.RuleReservedRel8n},
		{"fork", `{"destIB":"x"}`, ibgib.RuleUnknownOption},
		{"fork", `{"tjp":{"uid":true}}`, ibgib.RuleUnknownOption},
		{"firstGen", `{"ib":"x","data":{"a":1},"rel8ns":{"to":["a^gib"]}}`, ""},
		{"firstGen", `{"data":{"timestamp":"x"}}`, ibgib.RuleReservedMember},
		{"firstGen", `{"rel8ns":{"ibgib.merge.1":["a^gib"]}}`, ibgib.RuleReservedRel8n},
		{"firstGen", `{"linkedRel8ns":["ibgib.merge.1"]}`, ibgib.RuleReservedRel8n},
		{"firstGen", `{"destIb":"x"}`, ibgib.RuleUnknownOption},
	}
	for _, test := range tests {
		t.Run(test.op+" "+test.options, func(t *testing.T) {
			o, err := parseOptions(test.op, value(t, test.options))
			if err != nil {
				t.Fatal(err)
			}
			if err = o.CheckLocal(); test.rule != "" {
				transformRefused(t, err, test.rule)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

type transformOptions interface {
	CheckLocal() error
	Value() ibgib.Value
}

func parseOptions(op string, v ibgib.Value) (transformOptions, error) {
	switch op {
	case "fork":
		return ibgib.ParseForkOptions(v)
	case "mut8":
		return ibgib.ParseMut8Options(v)
	case "rel8":
		return ibgib.ParseRel8Options(v)
	}
	return ibgib.ParseFirstGenOptions(v)
}

// Options come back as they were read, with the members that have no effect.
func TestOptionsValue(t *testing.T) {
	tests := []struct{ op, options string }{
		{"mut8", `{"dataToRename":null,"mut8Ib":"","dataToAddOrPatch":{},"dna":false,"nCounter":null,"linkedRel8ns":[],"later":{"b":1,"a":[{"z":1,"b":2}]},"type":"mut8"}`},
		{"rel8", `{"rel8nsToAddByAddr":{},"rel8nsToRemoveByAddr":{"b":[],"a":["x y^gib"]},"noTimestamp":false,"type":"rel8"}`},
		{"fork", `{"tjp":{"uuid":false},"destIb":null,"cloneData":0,"type":"fork"}`},
		{"fork", `{"tjp":false,"uuid":true,"type":"fork"}`},
		{"firstGen", `{"tjp":{},"data":null,"rel8ns":false,"ib":""}`},
	}
	for _, test := range tests {
		t.Run(test.options, func(t *testing.T) {
			v := value(t, test.options)
			o, err := parseOptions(test.op, v)
			if err != nil {
				t.Fatal(err)
			}
			if !ibgib.EqualValue(o.Value(), v) {
				t.Errorf("came back as %s", o.Value())
			}
		})
	}

	o, err := ibgib.ParseMut8Options(value(t, `{"mut8Ib":"x","dna":false}`))
	if err != nil {
		t.Fatal(err)
	}
	o.Dna = true
	if want := `{"dna":true,"mut8Ib":"x","type":"mut8"}`; o.Value().String() != want {
		t.Errorf("got %s, want %s", o.Value(), want)
	}
}

// Replay with the recorded options has to see what the step saw.
func TestFirstGenRecordsInertOptions(t *testing.T) {
	o, err := ibgib.ParseFirstGenOptions(value(t, `{"ib":"","data":{"a":1},"dna":true,"nCounter":false,"tjp":{"uuid":true,"timestamp":false}}`))
	if err != nil {
		t.Fatal(err)
	}
	res, err := ibgib.FirstGen(o, testEnv())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"destIb":"","dna":true,"nCounter":false,"tjp":{"timestamp":false,"uuid":true},"type":"fork"}`,
		`{"dataToAddOrPatch":{"a":1},"dna":true,"nCounter":false,"type":"mut8"}`,
	}
	for i, dna := range res.Dna {
		if got := dna.Data().String(); got != want[i] {
			t.Errorf("got %s, want %s", got, want[i])
		}
	}
	all := res.All()
	if len(all) != 4 || all[0].Ib() != "fork" || all[3].Addr() != res.New.Addr() {
		t.Errorf("All: %v", all)
	}
}
