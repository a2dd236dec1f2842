package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

// gibCase is a case of the golden data of package ibgib.
type gibCase struct {
	Name   string  `json:"name"`
	JSON   string  `json:"json"`
	Binary *string `json:"binary"`
	Gib    string  `json:"gib"`
}

func gibCases(t *testing.T) []gibCase {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "ibgib", "testdata", "gib.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []gibCase `json:"cases"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var cases []gibCase
	for _, c := range file.Cases {
		if c.Binary == nil {
			cases = append(cases, c)
		}
	}
	return cases
}

// answers runs gib over input and decodes what it prints.
func answers(t *testing.T, input io.Reader) ([]gibLine, int) {
	t.Helper()
	var out bytes.Buffer
	_, refused, err := gibLines(t.Context(), input, &out)
	if err != nil {
		t.Fatal(err)
	}
	var list []gibLine
	dec := json.NewDecoder(&out)
	dec.DisallowUnknownFields()
	for {
		var a gibLine
		if err := dec.Decode(&a); err == io.EOF {
			return list, refused
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, a)
	}
}

func TestGibVectorsAsOneStream(t *testing.T) {
	refusals := map[string]ibgib.Rule{
		"data number overflow":      ibgib.RuleNumberRange,
		"keys duplicate":            ibgib.RuleDuplicateMember,
		"proto key":                 ibgib.RuleProtoMember,
		"proto key only":            ibgib.RuleProtoMember,
		"swap: as data":             ibgib.RuleSwappedMembers,
		"isTjp with empty tjp list": ibgib.RuleTjpEmptyList,
	}
	cases := gibCases(t)
	var input strings.Builder
	for _, c := range cases {
		// In JSON a line break can only be white space between tokens.
		input.WriteString(strings.ReplaceAll(c.JSON, "\n", " ") + "\n")
	}
	list, refused := answers(t, strings.NewReader(input.String()))
	if len(list) != len(cases) || refused != len(refusals) {
		t.Fatalf("%d answers with %d refused, want %d with %d", len(list), refused, len(cases), len(refusals))
	}
	for i, c := range cases {
		a := list[i]
		if a.Line != i+1 {
			t.Fatalf("%s: line %d, want %d", c.Name, a.Line, i+1)
		}
		if rule := refusals[c.Name]; a.Refused != rule {
			t.Errorf("%s: refused by %q, want %q", c.Name, a.Refused, rule)
		} else if rule == "" && !strings.HasSuffix(a.Addr, "^"+c.Gib) {
			t.Errorf("%s: %s, want %s", c.Name, a.Addr, c.Gib)
		}
	}
}

func TestGibLineByLine(t *testing.T) {
	const root = "ib^E975776B1A3E4468086E1D8C409116F6E098D13BEEDFE17AF668071B5D11CD55"
	list, refused := answers(t, strings.NewReader("\ufeff\n"+
		"  \t\r\n"+
		`{"ib":"ib"}`+"\r\n"+
		`{"ib":"ib","gib":"`+root[3:]+`"}`+"\n"+
		`{"ib":"ib","gib":"`+strings.Repeat("0", 64)+`"}`+"\n"+
		"no json\n"+
		`{"ib":"ib"}`))
	want := []gibLine{
		{Line: 3, Addr: root},
		{Line: 4, Addr: root},
		{Line: 5, Refused: ibgib.RuleGibMismatch},
		{Line: 6, Refused: ibgib.RuleBadJSON},
		{Line: 7, Addr: root},
	}
	if refused != 2 || len(list) != len(want) {
		t.Fatalf("%d refused, %d answers: %v", refused, len(list), list)
	}
	for i, w := range want {
		if got := list[i]; got.Line != w.Line || got.Addr != w.Addr || got.Refused != w.Refused {
			t.Errorf("got %+v, want %+v", got, w)
		}
		if (list[i].Detail == "") != (w.Refused == "") {
			t.Errorf("line %d: detail %q", w.Line, list[i].Detail)
		}
	}
}

// A line is answered before the next one is there.
func TestGibAnswersAtOnce(t *testing.T) {
	in, feed := io.Pipe()
	read, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, _, err := gibLines(t.Context(), in, out)
		out.Close()
		done <- err
	}()
	answers := bufio.NewScanner(read)
	for i := range 3 {
		fmt.Fprintf(feed, "{\"ib\":\"note %d\"}\n", i)
		if !answers.Scan() || !strings.Contains(answers.Text(), fmt.Sprintf("note %d^", i)) {
			t.Fatalf("answer %q", answers.Text())
		}
	}
	feed.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestGibStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := gibLines(ctx, strings.NewReader(`{"ib":"ib"}`), io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	broken := errors.New("broken")
	if _, _, err := gibLines(t.Context(), io.MultiReader(strings.NewReader("{\"ib\":\"ib\"}\n{"), errReader{broken}), io.Discard); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
