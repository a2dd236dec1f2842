package keystone_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

// A violation names frame, pool and challenge, and comes out as JSON.
func TestViolationNamesItsPlace(t *testing.T) {
	id := victim(t, false)
	id.sign(t, "edit", target(t, 9))
	frames := id.last(t, str(strings.Repeat("0", 64)), proof("solutions", 0, "value")...)
	challenge := at(t, frames[5].Data(), proof("solutions", 0, "challengeId")...).Str()
	r := keystone.Validate(frames)
	want := keystone.Violation{Rule: keystone.RuleSolution, Frame: frames[5].Addr(), N: 5, Pool: "edit", Challenge: challenge, Detail: "the value does not hash to the challenge"}
	if len(r.Violations) != 1 || r.Violations[0] != want {
		t.Fatalf("got %+v, want %+v", r.Violations, want)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(text), `{"valid":false,"frames":6,"revoked":false,"violations":[{"rule":"wrong-solution","frame":"`+frames[5].Addr().String()+
		`","n":5,"pool":"edit","challenge":"`+challenge+`","detail":"the value does not hash to the challenge"}]}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if text, _ := json.Marshal(keystone.Validate(id.frames)); string(text) != `{"valid":true,"frames":6,"revoked":false,"violations":[]}` {
		t.Errorf("valid: %s", text)
	}
}

// However much is wrong, what is said about it is bounded.
func TestViolationsAreBounded(t *testing.T) {
	id := victim(t, false)
	loud := strings.Repeat("é\x00", 300)
	first := id.first(t, func(ibgib.Value) ibgib.Value {
		var members []ibgib.Member
		for i := range 500 {
			members = append(members, ibgib.Member{Name: loud + strings.Repeat("x", i), Value: ibgib.String(loud)})
		}
		return ibgib.Object(members...)
	}, pool(0, "challenges")...)
	_, err := keystone.Begin(first[0])
	var invalid *keystone.Invalid
	if !errors.As(err, &invalid) || len(invalid.Violations) != keystone.MaxViolations || invalid.More < 400 {
		t.Fatalf("got %d violations and %d more", len(invalid.Violations), invalid.More)
	}
	for _, v := range invalid.Violations {
		if len(v.Pool)+len(v.Challenge)+len(v.Detail) > 1_500 {
			t.Errorf("violation of %d bytes", len(v.String()))
		}
	}
	if text := err.Error(); len(text) > 3_000 || !strings.Contains(text, "more)") || strings.ContainsRune(text, 0) {
		t.Errorf("error of %d bytes", len(text))
	}
	if invalid.Has(keystone.RuleCosig) || !invalid.Has(keystone.RuleForm) {
		t.Error("Has")
	}
}

func TestErrorsSayWhatHappened(t *testing.T) {
	id, e := disputed(t)
	bad := id.Add(e.Rival).Error()
	for _, part := range []string{id.frames[3].Gib(), id.frames[4].Gib(), e.Rival.Gib()} {
		if !strings.Contains(bad, part) {
			t.Errorf("%s does not name %s", bad, part)
		}
	}
	err := id.Accept(ibgib.IbGib{}, "connect", target(t, 1))
	if !strings.Contains(err.Error(), "bad-proof") {
		t.Error(err)
	}
	if _, err := keystone.ParseChallengeID("ABC"); err == nil || !strings.Contains(err.Error(), "ABC") {
		t.Error(err)
	}
	if keystone.Revoked.String() != "revoked" || keystone.Disputed.String() != "disputed" || keystone.Valid.String() != "valid" || keystone.Status(9).String() != "status 9" {
		t.Error("status")
	}
}
