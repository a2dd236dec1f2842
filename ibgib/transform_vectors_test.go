package ibgib_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

type transformCase struct {
	Name   string           `json:"name"`
	Op     string           `json:"op"`
	Opts   json.RawMessage  `json:"opts"`
	Result *transformResult `json:"result"`
	Error  string           `json:"error"`
	UUID   string           `json:"uuid"`
	At     []*vectorStamp   `json:"at"`
}

type transformResult struct {
	New          json.RawMessage   `json:"newIbGib"`
	Intermediate []json.RawMessage `json:"intermediateIbGibs"`
	Dna          []json.RawMessage `json:"dnas"`
}

type vectorStamp struct {
	Timestamp string `json:"timestamp"`
	Ms        int    `json:"timestampMs"`
}

// vectorRecord is an ibGib of which the gib may be wrong or missing.
type vectorRecord struct {
	Ib     string          `json:"ib"`
	Gib    string          `json:"gib"`
	Data   json.RawMessage `json:"data"`
	Rel8ns json.RawMessage `json:"rel8ns"`
}

func TestTransformVectors(t *testing.T) {
	var file struct {
		Cases []transformCase `json:"cases"`
	}
	readVectors(t, "transforms.json", &file)
	if len(file.Cases) != 144 {
		t.Fatalf("%d cases, want 144", len(file.Cases))
	}
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) { c.run(t) })
	}
}

func (c transformCase) run(t *testing.T) {
	source, options := c.split(t)
	env, unread := c.env(t, options)
	got, err := c.transform(t, source, options, env)

	// The TypeScript code accepts this one.
	refusedHere := c.Name == "mut8 mut8Ib with delimiter"
	if c.Error != "" || refusedHere {
		var failed *ibgib.TransformError
		var refused *ibgib.Refusal
		if !errors.As(err, &failed) && !(c.Name == "fork src without gib" && errors.As(err, &refused)) {
			t.Fatalf("got %v, want an error such as %q", err, c.Error)
		}
		if refusedHere && failed.Rule != ibgib.RuleDelimiter {
			t.Fatal(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if n := unread(); n > 0 {
		t.Errorf("%d clock values were not read", n)
	}
	c.compare(t, got)
	c.replay(t, source, got)
}

// split takes the source apart from the options.
func (c transformCase) split(t *testing.T) (vectorRecord, ibgib.Value) {
	t.Helper()
	options, err := ibgib.ParseValue(c.Opts)
	if err != nil {
		t.Fatal(err)
	}
	name := "src"
	if c.Op == "firstGen" {
		name = "parentIbGib"
	}
	text, ok := options.Get(name)
	if !ok {
		t.Fatalf("no %s", name)
	}
	var source vectorRecord
	dec := json.NewDecoder(bytes.NewReader(text.Append(nil)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&source); err != nil {
		t.Fatal(err)
	}
	return source, options.Without(name)
}

// env returns the clock and ids of the case, and how many clock values are
// still unread.
func (c transformCase) env(t *testing.T, options ibgib.Value) (ibgib.Env, func() int) {
	t.Helper()
	var times []time.Time
	if noTimestamp, _ := options.Get("noTimestamp"); !noTimestamp.Truthy() {
		for _, s := range c.At {
			at, err := time.Parse(time.RFC1123, s.Timestamp)
			if err != nil {
				t.Fatal(err)
			}
			times = append(times, at.Add(time.Duration(s.Ms)*time.Millisecond))
		}
	}
	env := ibgib.Env{
		Now: func() time.Time {
			if c.Error != "" {
				return time.UnixMilli(0)
			}
			if len(times) == 0 {
				t.Fatal("the clock was read too often")
			}
			now := times[0]
			times = times[1:]
			return now
		},
		UUID: func() string { return c.UUID },
	}
	return env, func() int { return len(times) }
}

// ibGib makes the ibGib that the record claims to be, with a wrong gib too:
// some cases changed the data of a frame and kept its gib.
func (r vectorRecord) ibGib(t *testing.T) (ibgib.IbGib, error) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"ib": r.Ib, "data": r.Data, "rel8ns": r.Rel8ns})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := ibgib.ParseAddr(r.Ib + "^" + r.Gib)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	g, err := ibgib.Gib(text)
	if err != nil || addr.IsPrimitive() {
		return ibgib.IbGib{}, err
	}
	return ibgib.Load(addr, bytes.Replace(g.Stored(), []byte(g.Gib()), []byte(addr.Gib()), 1))
}

func (r vectorRecord) source(t *testing.T) (ibgib.Source, error) {
	t.Helper()
	if r.Gib == "gib" {
		return ibgib.ParseAddr(r.Ib + "^gib")
	}
	return r.ibGib(t)
}

// transform runs the case. Its options must be known, and must come back as
// they were.
func (c transformCase) transform(t *testing.T, source vectorRecord, options ibgib.Value, env ibgib.Env) (ibgib.Result, error) {
	t.Helper()
	same := func(again ibgib.Value, local error) {
		t.Helper()
		if local != nil {
			t.Fatal(local)
		}
		if c.Op != "firstGen" {
			again = again.Without("type")
		}
		if !ibgib.EqualValue(again, options) {
			t.Fatalf("options %s came back as %s", options, again)
		}
	}
	switch c.Op {
	case "fork":
		o, err := ibgib.ParseForkOptions(options)
		if err != nil {
			return ibgib.Result{}, err
		}
		same(o.Value(), o.CheckLocal())
		src, err := source.source(t)
		if err != nil {
			return ibgib.Result{}, err
		}
		return ibgib.Fork(src, o, env)
	case "firstGen":
		o, err := ibgib.ParseFirstGenOptions(options)
		if err != nil {
			return ibgib.Result{}, err
		}
		same(o.Value(), o.CheckLocal())
		o.Parent, err = source.source(t)
		if err != nil {
			return ibgib.Result{}, err
		}
		return ibgib.FirstGen(o, env)
	case "mut8":
		o, err := ibgib.ParseMut8Options(options)
		if err != nil {
			return ibgib.Result{}, err
		}
		if c.Error == "" {
			same(o.Value(), o.CheckLocal())
		}
		src, err := source.ibGib(t)
		if err != nil {
			return ibgib.Result{}, err
		}
		return ibgib.Mut8(src, o, env)
	case "rel8":
		o, err := ibgib.ParseRel8Options(options)
		if err != nil {
			return ibgib.Result{}, err
		}
		same(o.Value(), o.CheckLocal())
		src, err := source.ibGib(t)
		if err != nil {
			return ibgib.Result{}, err
		}
		return ibgib.Rel8(src, o, env)
	}
	t.Fatalf("unknown op %q", c.Op)
	return ibgib.Result{}, nil
}

// compare asserts that everything that was made is what the case has.
func (c transformCase) compare(t *testing.T, got ibgib.Result) {
	t.Helper()
	list := func(what string, got []ibgib.IbGib, want []json.RawMessage) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: %d ibGibs, want %d", what, len(got), len(want))
		}
		for i, text := range want {
			expected, err := ibgib.Import(text)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got[i].Stored(), expected.Stored()) {
				t.Errorf("%s %d:\ngot  %s\nwant %s", what, i, got[i].Stored(), expected.Stored())
			}
			checkGates(t, got[i])
		}
	}
	list("newIbGib", []ibgib.IbGib{got.New}, []json.RawMessage{c.Result.New})
	list("intermediate", got.Intermediate, c.Result.Intermediate)
	list("dna", got.Dna, c.Result.Dna)
	if n := len(got.All()); n != 1+len(c.Result.Intermediate)+len(c.Result.Dna) {
		t.Errorf("All returns %d ibGibs", n)
	}
}

// replay asserts that each dna makes its frame from the one before it.
func (c transformCase) replay(t *testing.T, source vectorRecord, got ibgib.Result) {
	t.Helper()
	frames := append(append([]ibgib.IbGib{}, got.Intermediate...), got.New)
	if c.Op == "mut8" || c.Op == "rel8" {
		src, err := source.ibGib(t)
		if err != nil {
			t.Fatal(err)
		}
		frames = append([]ibgib.IbGib{src}, frames...)
	}
	dna := got.Dna
	if len(dna) == len(frames) {
		dna = dna[1:] // the fork
	}
	for i, d := range dna {
		at, ok := ibgib.StampOf(frames[i+1])
		if noTimestamp, _ := d.Data().Get("noTimestamp"); !ok && !noTimestamp.Truthy() {
			t.Fatalf("no time in %s", frames[i+1].Stored())
		}
		again, err := ibgib.Replay(frames[i], d.Ib(), d.Data(), at)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.New.Stored(), frames[i+1].Stored()) {
			t.Errorf("replay of %s:\ngot  %s\nwant %s", d.Stored(), again.New.Stored(), frames[i+1].Stored())
		}
	}
}
