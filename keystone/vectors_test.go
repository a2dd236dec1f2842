package keystone_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

type vectorFile struct {
	Strategies []vectorStrategy `json:"strategies"`
	Timelines  []vectorTimeline `json:"timelines"`
}

type vectorStrategy struct {
	Algo         keystone.Algo `json:"algo"`
	Rounds       int           `json:"rounds"`
	Salt         string        `json:"salt"`
	MasterSecret string        `json:"masterSecret"`
	ChallengeID  string        `json:"challengeId"`
	PoolSecret   string        `json:"poolSecret"`
	Solution     string        `json:"solution"`
	Challenge    string        `json:"challenge"`
}

type vectorTimeline struct {
	MasterSecret string            `json:"masterSecret"`
	Configs      []json.RawMessage `json:"configs"`
	Steps        []vectorStep      `json:"steps"`
}

type vectorStep struct {
	Op      string          `json:"op"`
	EpochMs int64           `json:"epochMs"`
	Claim   json.RawMessage `json:"claim"`
	Details json.RawMessage `json:"frameDetails"`
	Reason  string          `json:"reason"`
	Frame   json.RawMessage `json:"frame"`
	Error   string          `json:"error"`
}

// readVectors reads the golden data. A member that these types do not know is
// fatal.
func readVectors(t testing.TB) vectorFile {
	t.Helper()
	text, err := os.ReadFile("testdata/keystone.json")
	if err != nil {
		t.Fatal(err)
	}
	var file vectorFile
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		t.Fatal(err)
	}
	if len(file.Strategies) != 18 || len(file.Timelines) != 4 {
		t.Fatalf("%d strategies, %d timelines", len(file.Strategies), len(file.Timelines))
	}
	return file
}

// frames returns the frames of a timeline.
func (v vectorTimeline) frames(t testing.TB) []ibgib.IbGib {
	t.Helper()
	var list []ibgib.IbGib
	for _, s := range v.Steps {
		if s.Frame == nil {
			continue
		}
		g, err := ibgib.Import(s.Frame)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, g)
	}
	return list
}

func textSecret(t testing.TB, text string) keystone.Secret {
	t.Helper()
	s, err := keystone.TextSecret([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVectorStrategies(t *testing.T) {
	for _, v := range readVectors(t).Strategies {
		t.Run(fmt.Sprintf("%s x%d %s", v.Algo, v.Rounds, v.Salt), func(t *testing.T) {
			s := keystone.Strategy{Algo: v.Algo, Rounds: v.Rounds}
			id, err := keystone.ParseChallengeID(v.ChallengeID)
			if err != nil {
				t.Fatal(err)
			}
			pool := s.PoolSecret(textSecret(t, v.MasterSecret), v.Salt)
			if got := string(pool.Reveal()); got != v.PoolSecret {
				t.Errorf("pool secret %s, want %s", got, v.PoolSecret)
			}
			solution := s.Solution(pool, id)
			if solution != v.Solution {
				t.Errorf("solution %s, want %s", solution, v.Solution)
			}
			if got := s.Hash(solution, id); got != v.Challenge {
				t.Errorf("challenge %s, want %s", got, v.Challenge)
			}
			if got := s.Challenge(pool, id); got != (keystone.Challenge{ID: id, Hash: v.Challenge}) {
				t.Errorf("challenge %+v, want %s", got, v.Challenge)
			}
		})
	}
}

func TestVectorTimelinesVerify(t *testing.T) {
	for i, v := range readVectors(t).Timelines {
		frames := v.frames(t)
		r := keystone.Validate(frames)
		if !r.Valid || r.Frames != len(frames) {
			t.Errorf("timeline %d: %+v", i, r)
		}
		if revoked := v.Steps[len(v.Steps)-1].Op == "revoke"; r.Revoked != revoked {
			t.Errorf("timeline %d: revoked %v", i, r.Revoked)
		}
	}
}

// Every frame comes out of the typed form as it went in.
func TestVectorFramesRoundTrip(t *testing.T) {
	for i, v := range readVectors(t).Timelines {
		for n, g := range v.frames(t) {
			d, err := keystone.Parse(g)
			if err != nil {
				t.Fatal(err)
			}
			again, err := ibgib.New(g.Ib(), d.Value(), g.Rel8ns())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Stored(), g.Stored()) {
				t.Errorf("timeline %d frame %d: came back as\n%s\nwas\n%s", i, n, again.Stored(), g.Stored())
			}
		}
	}
}

// Given clock, uuid and the picks that the frames show, genesis, sign and revoke
// make the frames of the TypeScript service byte for byte.
func TestVectorTimelinesReproduce(t *testing.T) {
	for i, v := range readVectors(t).Timelines {
		t.Run(fmt.Sprint(i), func(t *testing.T) { v.reproduce(t) })
	}
}

func (v vectorTimeline) reproduce(t *testing.T) {
	var configs []keystone.Config
	for _, text := range v.Configs {
		value, err := ibgib.ParseValue(text)
		if err != nil {
			t.Fatal(err)
		}
		c, err := keystone.ParseConfig(value)
		if err != nil {
			t.Fatal(err)
		}
		configs = append(configs, c)
	}
	var h *keystone.History
	for n, step := range v.Steps {
		s := keystone.Signer{Secret: textSecret(t, v.MasterSecret)}
		at := time.UnixMilli(step.EpochMs)
		s.Draws.ID = func(p keystone.Pool, index int) (keystone.ChallengeID, error) {
			return keystone.DerivedID(p.ID(), at, index), nil
		}
		s.Env.Now = func() time.Time { return at }
		var want ibgib.IbGib
		if step.Error == "" {
			var err error
			if want, err = ibgib.Import(step.Frame); err != nil {
				t.Fatal(err)
			}
			seen, err := keystone.Parse(want)
			if err != nil {
				t.Fatal(err)
			}
			s.Env.UUID = func() string { return seen.UUID }
			s.Draws.Pick = picksOf(t, seen)
		}

		var got ibgib.IbGib
		var err error
		switch step.Op {
		case "genesis":
			got, err = s.Begin(keystone.Genesis{Configs: configs})
		case "sign":
			got, err = s.Sign(h, keystone.Request{Claim: step.claim(t), Details: step.details(t)})
		case "revoke":
			got, err = s.Revoke(h, step.Reason, step.details(t))
		default:
			t.Fatalf("unknown op %q", step.Op)
		}
		if step.Error != "" {
			var exhausted *keystone.ExhaustedError
			if !errors.As(err, &exhausted) || !strings.Contains(step.Error, fmt.Sprintf("'%c'", exhausted.Digit)) {
				t.Fatalf("step %d: %v, want an error such as %q", n, err, step.Error)
			}
			continue
		}
		if err != nil {
			t.Fatalf("step %d: %v", n, err)
		}
		if !bytes.Equal(got.Stored(), want.Stored()) {
			t.Fatalf("step %d:\ngot  %s\nwant %s", n, got.Stored(), want.Stored())
		}
		if h == nil {
			h, err = keystone.Begin(got)
		} else {
			err = h.Add(got)
		}
		if err != nil {
			t.Fatalf("step %d: %v", n, err)
		}
	}
}

// picksOf picks what the frame has picked: the last of its solutions.
func picksOf(t *testing.T, d keystone.Data) func([]keystone.ChallengeID) (int, error) {
	var picks []keystone.ChallengeID
	if len(d.Proofs) > 0 {
		solutions := d.Proofs[0].Solutions
		pool := d.Pools[slices.IndexFunc(d.Pools, func(p keystone.Pool) bool { return p.ID() == solutions[0].Pool })]
		for _, s := range solutions[len(solutions)-pool.Config.Behavior.Randomly:] {
			picks = append(picks, s.ID)
		}
	}
	return func(free []keystone.ChallengeID) (int, error) {
		if len(picks) == 0 {
			t.Fatal("the frame has fewer picks")
		}
		i := slices.Index(free, picks[0])
		if i < 0 {
			t.Fatalf("the pick %s is not free", picks[0])
		}
		picks = picks[1:]
		return i, nil
	}
}

func (s vectorStep) claim(t *testing.T) keystone.Claim {
	t.Helper()
	var text struct {
		Target ibgib.Addr `json:"target"`
		Verb   string     `json:"verb"`
		Scope  string     `json:"scope"`
	}
	dec := json.NewDecoder(bytes.NewReader(s.Claim))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&text); err != nil {
		t.Fatal(err)
	}
	return keystone.Claim{Target: text.Target, Verb: text.Verb, Scope: text.Scope}
}

func (s vectorStep) details(t *testing.T) ibgib.Value {
	t.Helper()
	if s.Details == nil {
		return ibgib.Value{}
	}
	v, err := ibgib.ParseValue(s.Details)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
