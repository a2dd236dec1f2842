package node_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/form"
)

// inForm returns what NDJSON text is in another form.
func inForm(t *testing.T, in form.Form, context ibgib.Addr, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := form.NewWriter(&out, in, context)
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(text, 777) { // lines are cut anywhere
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w.Bytes() != int64(out.Len()) {
		t.Errorf("%d bytes counted, %d written", w.Bytes(), out.Len())
	}
	return out.Bytes()
}

// greatest returns the address with the greatest closure in a golden space.
func greatest(t *testing.T, name string) ibgib.Addr {
	t.Helper()
	golden, want := readSpace(t, name), readExpectation(t)
	best, size := ibgib.Addr{}, 0
	for tip, n := range want.ClosureSizes {
		if a := parseAddr(t, tip); n > size && !golden.gs[a].IsZero() {
			best, size = a, n
		}
	}
	return best
}

func TestFormsGiveTheSameBytesAgain(t *testing.T) {
	golden := readSpace(t, "a.ndjson")
	context := greatest(t, "a.ndjson")
	n := openNode(t)
	importBytes(t, n, golden.file)
	picture, err := ibgib.NewBytes("picture", []byte{0, 0xff}, nil)
	if err != nil {
		t.Fatal(err)
	}
	odd, err := ibgib.New("odd \"\\\n\u2028\u00e9\U0001F600", ibgib.String("\xed\xa0\x80 <&> \\u0041 \x00"), nil)
	if err != nil {
		t.Fatal(err)
	}
	importBytes(t, n, slices.Concat(picture.AppendJSON(nil), []byte("\n"), odd.Stored()))

	for _, c := range []struct {
		form  form.Form
		addrs []ibgib.Addr
	}{
		{form.NDJSON, nil}, {form.Array, nil}, {form.Map, nil},
		{form.Array, []ibgib.Addr{context}}, {form.Map, []ibgib.Addr{context}},
		{form.Raw, []ibgib.Addr{context}}, {form.Raw, []ibgib.Addr{odd.Addr()}}, {form.Raw, []ibgib.Addr{picture.Addr()}},
	} {
		about := append(c.addrs, ibgib.Addr{})[0]
		lines := bytes.Join(exported(t, n, c.addrs...), nil)
		file := inForm(t, c.form, about, lines)
		if !json.Valid(file) && c.form != form.NDJSON {
			t.Errorf("%s: no JSON: %.200s", c.form, file)
		}
		again := openNode(t)
		res, err := again.Import(t.Context(), bytes.NewReader(file), nil)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Count(lines, []byte("\n"))
		if res.Form != c.form || res.Stored != want || res.Read != want || len(res.Refused)+len(res.Incomplete) > 0 {
			t.Errorf("%s: %d ibGibs, result %+v", c.form, want, res)
		}
		if c.form == form.Raw && res.Context != about {
			t.Errorf("context %s, want %s", res.Context, about)
		}
		if got := inForm(t, c.form, about, bytes.Join(exported(t, again, c.addrs...), nil)); !bytes.Equal(got, file) {
			t.Errorf("%s: a second export differs", c.form)
		}
	}
}

// A raw export is itself an ibGib.
func TestRawExportIsAnIbGib(t *testing.T) {
	n := openNode(t)
	importBytes(t, n, readSpace(t, "a.ndjson").file)
	for tl, err := range n.Heads(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		file := inForm(t, form.Raw, tl.Latest, bytes.Join(exported(t, n, tl.Latest), nil))
		if len(file) > ibgib.MaxSize {
			continue
		}
		g, err := ibgib.Import(file)
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := g.Field("tjpAddr"); v.Str() != tl.Tjp.String() {
			t.Errorf("tjpAddr is %q, want %s", v.Str(), tl.Tjp)
		}
		graph, _ := g.Field("dependencyGraphAsString")
		var inside map[string]json.RawMessage
		if err := json.Unmarshal([]byte(graph.Str()), &inside); err != nil {
			t.Fatal(err)
		}
		if _, ok := inside[tl.Latest.String()]; !ok {
			t.Error("the graph lacks what it is about")
		}
	}
}

func TestImportOtherFormsOfFiles(t *testing.T) {
	one, err := ibgib.New("one", ibgib.Number(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := ibgib.New("two", ibgib.Number(2), nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b := string(one.Stored()), string(two.Stored())
	entries := fmt.Sprintf("%q:%s,%q:%s", one.Addr(), a, two.Addr(), b)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	io.WriteString(w, "{"+entries+"}")
	w.Close()
	raw := func(members string) string { return `{"ib":"x","data":{` + members + `},"gib":"GIB"}` }
	graph := func(text string) string {
		return fmt.Sprintf(`"dependencyGraphAsString":%s`, ibgib.String(text).Append(nil))
	}
	context := fmt.Sprintf(`"contextIbGibAddr":%q`, one.Addr())
	bom := "\xef\xbb\xbf"
	indented := strings.ReplaceAll(a, ",", ",\n  ") + "\n" + strings.ReplaceAll(b, ",", ",\n  ")
	asStone, err := ibgib.New("stored export", ibgib.Object(
		ibgib.Member{Name: "contextIbGibAddr", Value: ibgib.String(one.Addr().String())},
		ibgib.Member{Name: "dependencyGraphAsString", Value: ibgib.String("{" + entries + "}")},
	), nil)
	if err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		name, file string
		form       form.Form
		stored     int
		refused    string // "rule line item", one for each
	}{
		{"empty file", "", form.NDJSON, 0, ""},
		{"blank lines", " \n\n", form.NDJSON, 0, ""},
		{"lines", a + "\n\n" + b, form.NDJSON, 2, ""},
		{"one line without end", a, form.NDJSON, 1, ""},
		{"a bad first line", `{"ib":` + "\n" + b, form.NDJSON, 1, "bad-json 1 0"},
		{"over several lines", indented, form.Objects, 2, ""},
		{"over several lines, then junk", indented + "\n}\n" + a, form.Objects, 2, "bad-json 7 3"},
		{"array", "[" + a + "," + b + "]", form.Array, 2, ""},
		{"array after a mark", bom + "\n [\n" + a + " ,\n" + b + "\n]\n", form.Array, 2, ""},
		{"empty array", "[ ]", form.Array, 0, ""},
		{"array with other things", `[1,"x",null,[],` + a + `]`, form.Array, 1, "bad-record 1 1,bad-record 1 2,bad-record 1 3,bad-record 1 4"},
		{"array cut off", "[" + a + ",\n" + b[:len(b)-3], form.Array, 1, "bad-json 2 2"},
		{"array without an end", "[" + a, form.Array, 1, "bad-json 1 2"},
		{"array with a comma too many", "[" + a + ",]", form.Array, 1, "bad-json 1 2"},
		{"array without a comma", "[" + a + b + "]", form.Array, 1, "bad-json 1 2"},
		{"more after the array", "[" + a + "]\n" + b, form.Array, 1, "bad-json 2 2"},
		{"map", "{" + entries + "}", form.Map, 2, ""},
		{"empty map", " {} \n", form.Map, 0, ""},
		{"map, spaced", "{ \n" + strings.ReplaceAll(entries, `":{`, "\" :\n{") + "}", form.Map, 2, ""},
		{"map with a wrong name", fmt.Sprintf("{%q:%s}", two.Addr(), a), form.Map, 0, "key-mismatch 1 1"},
		{"map without a value", fmt.Sprintf("{%q}", two.Addr()), form.NDJSON, 0, "bad-json 1 0"},
		{"raw", raw(context + "," + graph("{"+entries+"}")), form.Raw, 2, ""},
		{"raw, context last", raw(graph("{"+entries+"}")+","+context) + "\n", form.Raw, 2, ""},
		{"raw, indented", strings.ReplaceAll(raw(context+","+graph("{ "+entries+" }")), `,"`, ",\n\""), form.Raw, 2, ""},
		{"raw, packed", raw(`"compression":"gzip",` + context + "," + graph(base64.StdEncoding.EncodeToString(packed.Bytes()))), form.Raw, 2, ""},
		{"raw, packed and cut", raw(context + "," + graph(base64.StdEncoding.EncodeToString(packed.Bytes())[:packed.Len()])), form.Raw, -1, "bad-json"},
		{"raw, empty", raw(context + "," + graph("{}")), form.Raw, 0, ""},
		{"raw, escaped throughout", raw(context + `,"dependencyGraphAsString":"\u007b` + strings.ReplaceAll(entries, `"`, `\u0022`) + `\u007D"`), form.Raw, 2, ""},
		{"raw, cut off", strings.TrimSuffix(raw(context+","+graph("{"+entries+"}")), `}}"},"gib":"GIB"}`), form.Raw, 1, "bad-json 1 2"},
		{"raw, without its end", `{"ib":"x","data":{` + context + "," + graph("{"+entries+"}"), form.Raw, 2, "bad-json 1 0"},
		{"raw, no graph", raw(context + "," + graph("nonsense")), form.Raw, 0, "bad-json 1 1"},
		{"a stored export among lines", string(asStone.Stored()) + "\n" + a + "\n", form.NDJSON, 2, ""},
		{"the graph elsewhere", `{"ib":"x",` + graph("{"+entries+"}") + `}`, form.NDJSON, 0, "bad-record 1 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := openNode(t)
			res, err := n.Import(t.Context(), slowly{strings.NewReader(c.file)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var refused []string
			for _, r := range res.Refused {
				refused = append(refused, fmt.Sprint(r.Rule, " ", r.Line, " ", r.Item))
			}
			got := strings.Join(refused, ",")
			if c.stored < 0 {
				if len(refused) != 1 || !strings.HasPrefix(got, c.refused) {
					t.Errorf("refused %q, want %s", got, c.refused)
				}
				return
			}
			if res.Form != c.form || res.Stored != c.stored || got != c.refused {
				t.Errorf("form %s, stored %d, refused %q; want %s, %d, %q (%+v)", res.Form, res.Stored, got, c.form, c.stored, c.refused, res.Refused)
			}
			mustVerify(t, n)
		})
	}
}

// slowly reads a little at a time.
type slowly struct{ r io.Reader }

func (s slowly) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), 7)]) }

func TestImportUnknownFiles(t *testing.T) {
	for name, file := range map[string]string{
		"gzip": "\x1f\x8b\x08\x00", "zip": "PK\x03\x04", "UTF-16": "\xff\xfe{\x00",
	} {
		n := openNode(t)
		if _, err := n.Import(t.Context(), strings.NewReader(file), nil); !errors.Is(err, node.ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// endless is an array that goes on.
type endless struct {
	item []byte
	left int
	rest []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.left == 0 {
			return 0, io.EOF
		}
		e.left--
		e.rest = e.item
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// An item over the limit is passed over, and takes no more memory than it may.
func TestImportPassesOverGiantItems(t *testing.T) {
	one, err := ibgib.New("one", ibgib.Number(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	giant := io.MultiReader(
		strings.NewReader(`["`),
		&endless{item: bytes.Repeat([]byte("x"), 1<<20), left: 129},
		strings.NewReader(`",`+string(one.Stored())+`]`))
	res, err := openNode(t).Import(t.Context(), giant, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Stored != 1 || len(res.Refused) != 1 || res.Refused[0].Rule != string(ibgib.RuleTooLarge) || res.Refused[0].Item != 1 {
		t.Errorf("result %+v", res)
	}
}

func TestFormWriterErrors(t *testing.T) {
	for _, c := range []struct {
		form    form.Form
		context string
	}{{"xml", "a^gib"}, {form.Objects, "a^gib"}, {form.Raw, "a^gib"}} {
		if _, err := form.NewWriter(io.Discard, c.form, parseAddr(t, c.context)); !errors.Is(err, form.ErrForm) {
			t.Errorf("%s: %v", c.form, err)
		}
	}
	for form, want := range map[form.Form]string{form.NDJSON: "", form.Array: "[]\n", form.Map: "{}\n"} {
		if got := inForm(t, form, ibgib.Addr{}, nil); string(got) != want {
			t.Errorf("%s: nothing is %q", form, got)
		}
	}
}
