package ibgib_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// What Apply makes of the content is what the transform makes of the frame, but
// for what every frame sets anew.
func TestStateApplyIsTheTransform(t *testing.T) {
	src := tjpFrame(t, `{"timestamp":"Fri, 02 Jan 2026 02:04:05 GMT","timestampMs":1,"o":{"a":1},"list":[{"z":1,"b":2}]}`)
	at := ibgib.Stamp{At: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)}
	for _, c := range []struct{ op, options string }{
		{"mut8", `{"dataToAddOrPatch":{"o":{"b":{"c":2}},"list":[]},"dna":true,"nCounter":true}`},
		{"mut8", `{"dataToRename":{"o":{"a":"z"}},"dataToRemove":{"list":""},"dataToAddOrPatch":{"a":null},"mut8Ib":"other"}`},
		{"mut8", `{"dataToRename":{"list":{"0":{"z":"y"}}}}`},
		{"rel8", `{"rel8nsToAddByAddr":{"comment":["a^gib","b^gib"],"x":["c^gib"]},"rel8nsToRemoveByAddr":{"x":["c^gib"]},"linkedRel8ns":["comment"]}`},
	} {
		res, err := ibgib.Replay(src, c.op, value(t, c.options), at)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := ibgib.StateOf(res.New)
		start, ok := ibgib.StateOf(src)
		if !ok {
			t.Fatal("no state")
		}
		got, err := start.Apply(c.op, value(t, c.options))
		if err != nil {
			t.Fatal(err)
		}
		wantData := want.Data.Without("n").Without("isTjp")
		gotData := at.On(got.Data).Without("n").Without("isTjp")
		if got.Ib != want.Ib || !ibgib.EqualValue(gotData, wantData) {
			t.Errorf("%s: got %s %s, want %s %s", c.options, got.Ib, gotData, want.Ib, wantData)
		}
		gotLinks, wantLinks := got.Rel8ns, want.Rel8ns.Without("past").Without("tjp").Without("dna")
		for _, list := range [][2]ibgib.Rel8ns{{gotLinks, wantLinks}, {wantLinks, gotLinks}} {
			for _, rel := range list[0] {
				if rel.Name != "dna" && len(rel.Addrs) != len(list[1].Get(rel.Name)) {
					t.Errorf("%s: %s is %v and %v", c.options, rel.Name, rel.Addrs, list[1].Get(rel.Name))
				}
			}
		}
	}
}

func TestStateApplyErrors(t *testing.T) {
	s, _ := ibgib.StateOf(tjpFrame(t, `{"o":{"a":1}}`))
	for _, c := range []struct {
		op, options string
		rule        ibgib.Rule
	}{
		{"mut8", `{"dataToAddOrPatch":{"o":null}}`, ibgib.RuleNullOverObject},
		{"mut8", `{"dna":true}`, ibgib.RuleNothingToDo},
		{"mut8", `[]`, ibgib.RuleBadOption},
		{"rel8", `{"rel8nsToAddByAddr":{"past":["a^gib"]}}`, ibgib.RuleReservedRel8n},
		{"rel8", `{"rel8nsToAddByAddr":{"valueOf":["a^gib"]}}`, ibgib.RuleReservedRel8n},
		{"keep", `{"type":"keep"}`, ibgib.RuleNotReplayable},
	} {
		_, err := s.Apply(c.op, value(t, c.options))
		transformRefused(t, err, c.rule)
	}
	raw, err := ibgib.NewBytes("file", []byte("\xff"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := ibgib.StateOf(raw); ok {
		t.Error("bytes have a state")
	}
}

func TestStateSize(t *testing.T) {
	for _, text := range []string{
		`{"ib":"plain"}`,
		`{"ib":"q\"\u0001é","data":{"b":[1,{"z":"\ud800","a":2}],"a":"\n"}}`,
		`{"ib":"linked","data":{"a":1},"rel8ns":{"x":["a^gib","b^gib"],"y":[]}}`,
	} {
		var parts struct{ Ib, Data, Rel8ns json.RawMessage }
		if err := json.Unmarshal([]byte(text), &parts); err != nil {
			t.Fatal(err)
		}
		g, err := ibgib.Gib([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		s, _ := ibgib.StateOf(g)
		want := len(g.Stored()) - len(`"gib":"",`) - len(g.Gib())
		if parts.Data == nil && parts.Rel8ns == nil {
			want = len(`{"ib":"plain"}`)
		}
		if s.Size() != want {
			t.Errorf("%s: size %d, want %d", text, s.Size(), want)
		}
	}
	over := ibgib.State{Ib: strings.Repeat("i", ibgib.MaxSize)}
	if over.Size() != ibgib.MaxSize+len(`{"ib":""}`) {
		t.Errorf("size %d", over.Size())
	}
}
