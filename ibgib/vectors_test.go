package ibgib_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

// readVectors reads a golden file; a key that v does not know is fatal.
func readVectors(t testing.TB, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// refusedBy asserts that err is a refusal by that rule and returns it.
func refusedBy(t *testing.T, err error, rule ibgib.Rule) *ibgib.Refusal {
	t.Helper()
	var r *ibgib.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal by %s", err, rule)
	}
	if r.Rule != rule {
		t.Fatalf("refused by %s (%v), want %s", r.Rule, r, rule)
	}
	return r
}

type gibCase struct {
	Name     string  `json:"name"`
	JSON     string  `json:"json"`
	Binary   *string `json:"binary"`
	Ib       string  `json:"ib"`
	Hash     string  `json:"hash"`
	Gib      string  `json:"gib"`
	GibError bool    `json:"gibError"`
}

// stricter are the cases that the public implementation hashes and we refuse.
func stricter() map[string]ibgib.Rule {
	return map[string]ibgib.Rule{
		"data number overflow":      ibgib.RuleNumberRange,
		"keys duplicate":            ibgib.RuleDuplicateMember,
		"proto key":                 ibgib.RuleProtoMember,
		"proto key only":            ibgib.RuleProtoMember,
		"swap: as data":             ibgib.RuleSwappedMembers,
		"isTjp with empty tjp list": ibgib.RuleTjpEmptyList,
	}
}

func TestGibVectors(t *testing.T) {
	var file struct {
		Cases []gibCase `json:"cases"`
	}
	readVectors(t, "gib.json", &file)
	refused := stricter()
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			if rule, ok := refused[c.Name]; ok {
				delete(refused, c.Name)
				_, err := ibgib.Gib([]byte(c.JSON))
				refusedBy(t, err, rule)
				return
			}
			if c.GibError {
				t.Fatal("an error that we have no rule for")
			}
			var g ibgib.IbGib
			var err error
			if c.Binary != nil {
				g, err = ibgib.NewBytes(c.Ib, fromBase64(t, *c.Binary), nil)
				c.Gib = c.Hash
			} else {
				g, err = ibgib.Gib([]byte(c.JSON))
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := g.Hash().String(); got != c.Hash {
				t.Errorf("hash %s, want %s", got, c.Hash)
			}
			if g.Gib() != c.Gib {
				t.Errorf("gib %s, want %s", g.Gib(), c.Gib)
			}
			checkGates(t, g)
		})
	}
	for name := range refused {
		t.Errorf("no case %q", name)
	}
}

// checkGates asserts that g passes every gate as itself.
func checkGates(t *testing.T, g ibgib.IbGib) {
	t.Helper()
	same := func(gate string, other ibgib.IbGib, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", gate, err)
		}
		if other.Addr() != g.Addr() || !bytes.Equal(other.Stored(), g.Stored()) || other.IsTjp() != g.IsTjp() {
			t.Fatalf("%s: got %s\nwant %s", gate, other.Stored(), g.Stored())
		}
	}
	verified, err := ibgib.Verify(g.Stored())
	same("Verify", verified, err)
	loaded, err := ibgib.Load(g.Addr(), g.Stored())
	same("Load", loaded, err)
	if err := ibgib.VerifyContent(loaded); err != nil {
		t.Fatal(err)
	}
	imported, err := ibgib.Import(g.AppendJSON(nil))
	same("Import", imported, err)
	var made ibgib.IbGib
	if payload, ok := g.Bytes(); ok {
		made, err = ibgib.NewBytes(g.Ib(), payload, g.Rel8ns())
	} else {
		made, err = ibgib.New(g.Ib(), g.Data(), g.Rel8ns())
	}
	same("New", made, err)
}
