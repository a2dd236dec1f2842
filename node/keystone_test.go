package node_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ibgib/ibgib-node/node"
)

// The timelines that the public TypeScript service made are valid; each with a frame
// left out or two in the wrong order is not.
func TestVerifyKeystoneFileOfVectors(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "keystone", "testdata", "keystone.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Timelines []struct {
			Steps []struct{ Frame json.RawMessage }
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	verify := func(lines [][]byte) bool {
		t.Helper()
		r, err := node.VerifyKeystoneFile(bytes.NewReader(bytes.Join(lines, []byte("\n"))))
		if err != nil {
			t.Fatal(err)
		}
		if r.Frames != len(lines) || r.Valid != (len(r.Violations) == 0) {
			t.Errorf("%d frames, valid %t, %d violations", r.Frames, r.Valid, len(r.Violations))
		}
		return r.Valid
	}
	long := 0
	for i, timeline := range file.Timelines {
		var lines [][]byte
		for _, step := range timeline.Steps {
			if step.Frame == nil {
				continue
			}
			var line bytes.Buffer
			if err := json.Compact(&line, step.Frame); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line.Bytes())
		}
		if !verify(lines) {
			t.Errorf("timeline %d is not valid", i)
		}
		if len(lines) < 3 {
			continue
		}
		long++
		if verify(append(lines[:1:1], lines[2:]...)) {
			t.Errorf("timeline %d is valid without its second frame", i)
		}
		if verify([][]byte{lines[0], lines[2], lines[1]}) {
			t.Errorf("timeline %d is valid in another order", i)
		}
	}
	if long == 0 {
		t.Error("no timeline of three frames")
	}
}

func TestVerifyKeystoneFileHasLimits(t *testing.T) {
	many := bytes.Repeat([]byte("x\n"), 100_001)
	if _, err := node.VerifyKeystoneFile(bytes.NewReader(many)); !errors.Is(err, node.ErrFormat) {
		t.Errorf("100,001 lines: %v", err)
	}
	r, err := node.VerifyKeystoneFile(bytes.NewReader(many[:2*5_000]))
	if err != nil || r.Valid || r.Frames != 5_000 || len(r.Violations) != 1_000 {
		t.Errorf("5,000 lines: %d frames, %d violations, %v", r.Frames, len(r.Violations), err)
	}
	long := append(bytes.Repeat([]byte("x"), 17<<20), '\n')
	r, err = node.VerifyKeystoneFile(bytes.NewReader(long))
	if err != nil || r.Valid || len(r.Violations) == 0 || r.Violations[0].Rule != node.RuleGate {
		t.Errorf("a line of 17 MiB: %+v, %v", r, err)
	}
}
