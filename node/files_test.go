package node_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

func TestImportGoldenSpaces(t *testing.T) {
	want := readExpectation(t)
	for _, s := range []struct {
		name  string
		tips  map[string]string
		count int
	}{
		{"a.ndjson", want.ATips, want.ACount},
		{"b.ndjson", want.BTips, want.BCount},
	} {
		golden := readSpace(t, s.name)
		check := func(t *testing.T, n *node.Node) {
			t.Helper()
			if got := headsOf(t, n); !reflect.DeepEqual(got, single(s.tips)) {
				t.Error("heads differ from those expected")
			}
			if report := mustVerify(t, n); report.IbGibs != s.count || report.Timelines != len(s.tips) {
				t.Errorf("%d ibGibs, %d timelines, want %d and %d", report.IbGibs, report.Timelines, s.count, len(s.tips))
			}
		}
		t.Run(s.name+" in one run", func(t *testing.T) {
			n := openNode(t)
			var last node.ImportProgress
			res, err := n.Import(t.Context(), bytes.NewReader(golden.file), func(p node.ImportProgress) { last = p })
			if err != nil {
				t.Fatal(err)
			}
			if res.Read != s.count || res.Stored != s.count || res.Present != 0 || len(res.Refused)+len(res.Incomplete)+len(res.Rejected) != 0 || res.Moved != len(s.tips) {
				t.Errorf("result %+v", res)
			}
			if last.Read != s.count || last.Bytes != int64(len(golden.file)) {
				t.Errorf("last progress %+v", last)
			}
			check(t, n)

			res = importBytes(t, n, golden.file)
			if res.Stored != 0 || res.Present != s.count || res.Moved != 0 {
				t.Errorf("second import %+v", res)
			}
			for tip, size := range want.ClosureSizes {
				addr := parseAddr(t, tip)
				if _, ok := golden.gs[addr]; !ok {
					continue
				}
				if lines := exported(t, n, addr); len(lines) != size {
					t.Errorf("closure of %s has %d ibGibs, want %d", tip, len(lines), size)
				}
			}
		})
		t.Run(s.name+" shuffled", func(t *testing.T) {
			n := openNode(t)
			lines := slices.Clone(golden.lines)
			rnd := rand.New(rand.NewPCG(1, 2))
			rnd.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
			if res := importBytes(t, n, bytes.Join(lines, nil)); res.Stored != s.count || len(res.Incomplete) != 0 {
				t.Errorf("result %+v", res)
			}
			check(t, n)
		})
		t.Run(s.name+" line by line, shuffled", func(t *testing.T) {
			n := openNode(t)
			lines := slices.Clone(golden.lines)
			rnd := rand.New(rand.NewPCG(3, 4))
			rnd.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
			atOnce := 0
			if testing.Short() {
				atOnce = len(lines) * 9 / 10
				importBytes(t, n, bytes.Join(lines[:atOnce], nil))
			}
			for _, l := range lines[atOnce:] {
				if res := importBytes(t, n, l); res.Stored != 1 {
					t.Fatalf("result %+v", res)
				}
			}
			check(t, n)
		})
	}
}

// exported returns the lines of an export.
func exported(t *testing.T, n *node.Node, addrs ...ibgib.Addr) [][]byte {
	t.Helper()
	var out bytes.Buffer
	res, err := n.Export(t.Context(), &out, addrs, len(addrs) == 0)
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(bytes.Lines(out.Bytes()))
	if res.IbGibs != len(lines) || res.Bytes != int64(out.Len()) {
		t.Fatalf("result %+v for %d lines, %d bytes", res, len(lines), out.Len())
	}
	return lines
}

func TestExportAndImportGiveTheSameBytes(t *testing.T) {
	for _, name := range []string{"a.ndjson", "b.ndjson"} {
		golden := readSpace(t, name)
		n := openNode(t)
		importBytes(t, n, golden.file)
		first := exported(t, n)
		if len(first) != len(golden.gs) {
			t.Errorf("%d lines, want %d", len(first), len(golden.gs))
		}
		checkOrder(t, first)

		again := openNode(t)
		importBytes(t, again, bytes.Join(first, nil))
		if !bytes.Equal(bytes.Join(exported(t, again), nil), bytes.Join(first, nil)) {
			t.Error("a second export differs")
		}
		for _, l := range first {
			g, err := ibgib.Import(l)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(l, append(g.AppendJSON(nil), '\n')) {
				t.Fatalf("not canonical: %s", l)
			}
		}
	}
}

// checkOrder fails if an ibGib comes before one that it links to.
func checkOrder(t *testing.T, lines [][]byte) {
	t.Helper()
	seen := make(map[ibgib.Addr]bool)
	for _, l := range lines {
		g, err := ibgib.Import(l)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range g.Links() {
			if !a.IsPrimitive() && !seen[a] {
				t.Fatalf("%s comes before %s, which it links to", g.Addr(), a)
			}
		}
		if seen[g.Addr()] {
			t.Fatalf("%s comes twice", g.Addr())
		}
		seen[g.Addr()] = true
	}
}

func TestImportMergeCases(t *testing.T) {
	var file struct {
		Cases []struct {
			Name   string            `json:"name"`
			IbGibs []json.RawMessage `json:"ibGibs"`
			Heads  []string          `json:"heads"`

			Note         string          `json:"note"`
			UserFrames   []string        `json:"userFrames"`
			Base         string          `json:"base"`
			ReplayOrder  []string        `json:"replayOrder"`
			Skipped      []string        `json:"skipped"`
			Latest       string          `json:"latest"`
			Frame        json.RawMessage `json:"frame"`
			Unmergeable  bool            `json:"unmergeable"`
			OpaqueFrames json.RawMessage `json:"opaque"`
		} `json:"cases"`
	}
	readStrict(t, filepath.Join(vectors, "merge.json"), &file)
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			var in bytes.Buffer
			for _, g := range c.IbGibs {
				if err := json.Compact(&in, g); err != nil {
					t.Fatal(err)
				}
				in.WriteByte('\n')
			}
			n := openNode(t)
			if res := importBytes(t, n, in.Bytes()); len(res.Refused)+len(res.Incomplete)+len(res.Rejected) > 0 {
				t.Errorf("result %+v", res)
			}
			slices.Sort(c.Heads)
			heads := headsOf(t, n)
			if len(heads) != 1 {
				t.Fatalf("%d timelines", len(heads))
			}
			for tjp, got := range heads {
				if !slices.Equal(got, c.Heads) {
					t.Errorf("heads %q, want %q", got, c.Heads)
				}
				if len(got) > 1 && c.Base != "" {
					detail, err := n.Conflict(t.Context(), parseAddr(t, tjp))
					if err != nil {
						t.Fatal(err)
					}
					if detail.Base.Addr.String() != c.Base || len(detail.Branches) != len(got) {
						t.Errorf("base %s and %d branches, want %s and %d", detail.Base.Addr, len(detail.Branches), c.Base, len(got))
					}
				}
			}
			mustVerify(t, n)
		})
	}
}

func TestImportReportsLines(t *testing.T) {
	n := openNode(t)
	stone, err := ibgib.New("stone", ibgib.String("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := parseAddr(t, "gone^"+strings.Repeat("A", 64))
	waits, err := ibgib.New("waits", ibgib.Number(1), ibgib.Rel8ns{{Name: "to", Addrs: []ibgib.Addr{gone}}})
	if err != nil {
		t.Fatal(err)
	}
	file := "\xef\xbb\xbf" + string(stone.Stored()) + "\r\n" + // 1
		"\n" + // 2
		`{"ib":"stone","gib":"` + strings.Repeat("B", 64) + `","data":1}` + "\n" + // 3
		"no json\n" + // 4
		string(stone.Stored()) + "\n" + // 5
		string(waits.Stored()) // 6, without an end

	var reported []node.Refused
	res, err := n.Import(t.Context(), strings.NewReader(file), func(p node.ImportProgress) {
		if p.Refused != nil {
			reported = append(reported, *p.Refused)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.Read != 5 || res.Stored != 2 || res.Present != 1 {
		t.Errorf("result %+v", res)
	}
	if len(res.Refused) != 2 || res.Refused[0].Line != 3 || res.Refused[0].Rule != string(ibgib.RuleGibMismatch) ||
		res.Refused[1].Line != 4 || res.Refused[1].Rule != string(ibgib.RuleBadJSON) {
		t.Errorf("refused %+v", res.Refused)
	}
	if !reflect.DeepEqual(reported, res.Refused) {
		t.Errorf("progress reported %+v", reported)
	}
	if len(res.Incomplete) != 1 || res.Incomplete[0].Addr != gone || res.Incomplete[0].Referrer != waits.Addr() {
		t.Errorf("incomplete %+v", res.Incomplete)
	}
	// What waits is stored and exported, and the gap is named.
	var out bytes.Buffer
	exp, err := n.Export(t.Context(), &out, []ibgib.Addr{waits.Addr()}, false)
	if err != nil || exp.IbGibs != 1 || len(exp.Missing) != 1 || exp.Missing[0] != gone {
		t.Errorf("export %+v, %v", exp, err)
	}
	// An import that is itself complete does not speak of it.
	other, err := ibgib.New("other", ibgib.Number(2), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res := importBytes(t, n, other.Stored()); len(res.Incomplete) != 0 {
		t.Errorf("incomplete %+v", res.Incomplete)
	}
}

func TestImportBytesPayload(t *testing.T) {
	n := openNode(t)
	payload := bytes.Repeat([]byte{0, 0xff, 7}, 3<<20)
	g, err := ibgib.NewBytes("picture", payload, nil)
	if err != nil {
		t.Fatal(err)
	}
	line := append(g.AppendJSON(nil), '\n')
	if res := importBytes(t, n, line); res.Stored != 1 {
		t.Fatalf("result %+v", res)
	}
	got, err := n.Get(t.Context(), g.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := got.Bytes(); !ok || !bytes.Equal(b, payload) {
		t.Error("the payload differs")
	}
	if out := bytes.Join(exported(t, n, g.Addr()), nil); !bytes.Equal(out, line) {
		t.Error("the export differs")
	}
}

func TestExportErrors(t *testing.T) {
	n := openNode(t)
	var out bytes.Buffer
	if _, err := n.Export(t.Context(), &out, nil, false); !errors.Is(err, node.ErrInput) {
		t.Errorf("nothing named: %v", err)
	}
	if _, err := n.Export(t.Context(), &out, []ibgib.Addr{parseAddr(t, "ib^gib")}, false); !errors.Is(err, node.ErrInput) {
		t.Errorf("a primitive: %v", err)
	}
	if _, err := n.Export(t.Context(), &out, []ibgib.Addr{parseAddr(t, "x^"+strings.Repeat("A", 64))}, false); !isNotFound(err) {
		t.Errorf("not stored: %v", err)
	}
}
