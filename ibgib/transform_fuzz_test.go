package ibgib_test

import (
	"bytes"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

// FuzzTransformOptions runs each transform with any options. Options that are
// accepted come back as they were, what is made passes the wire gate, and a
// change that may be made here can be replayed from its dna.
func FuzzTransformOptions(f *testing.F) {
	for _, seed := range []string{
		`{}`,
		`{"destIb":"x","cloneData":true,"cloneRel8ns":true,"tjp":{"uuid":true,"timestamp":false},"dna":true,"nCounter":true,"linkedRel8ns":["past","dna"]}`,
		`{"mut8Ib":"y","dataToRename":{"a":"b","o":{"p":"q"}},"dataToRemove":{"s":""},"dataToAddOrPatch":{"o":{"r":[{"z":1,"a":2}]}},"dna":true,"type":"mut8"}`,
		`{"dataToRename":{"b":"c","a":"b","l":{"0":{"y":"x"}}},"noTimestamp":true,"dna":true}`,
		`{"dataToAddOrPatch":{"o":null,"n":-5,"isTjp":1}}`,
		`{"rel8nsToAddByAddr":{"to":["b^gib","b^gib"],"0":[]},"rel8nsToRemoveByAddr":{"to":["a^gib"]},"linkedRel8ns":["to","tjp"],"dna":true}`,
		`{"ib":"","data":{"a":"\ud800"},"rel8ns":{"to":["x^gib"]},"dna":true,"nCounter":false,"later":null}`,
	} {
		for op := range 4 {
			f.Add(uint8(op), []byte(seed))
		}
	}
	plain, err := ibgib.New("list", value(f, `[{"y":1,"x":2},3]`), nil)
	if err != nil {
		f.Fatal(err)
	}
	sources := []ibgib.IbGib{
		plain,
		tjpFrame(f, `{"a":1,"b":{"c":2},"o":{"p":[1]},"s":"text","l":[{"x":1,"y":2,"w":3}],"z":null,"n":0}`),
	}
	later, err := ibgib.Rel8(sources[1], ibgib.Rel8Options{Add: ibgib.Rel8ns{{Name: "to", Addrs: []ibgib.Addr{addr(f, "a^gib"), addr(f, "c^gib")}}}, Dna: true}, testEnv())
	if err != nil {
		f.Fatal(err)
	}
	sources = append(sources, later.New)

	f.Fuzz(func(t *testing.T, pick uint8, text []byte) {
		options, err := ibgib.ParseValue(text)
		if err != nil {
			return
		}
		op := []string{"fork", "mut8", "rel8", "firstGen"}[pick%4]
		o, err := parseOptions(op, options)
		if err != nil {
			return
		}
		want := options
		if op != "firstGen" {
			want = want.With("type", ibgib.String(op))
		}
		if options.Kind() == ibgib.KindObject && !ibgib.EqualValue(o.Value(), want) {
			t.Fatalf("%s came back as %s", want, o.Value())
		}
		for _, src := range sources {
			res, err := runTransform(o, src)
			if err != nil {
				continue
			}
			for _, g := range res.All() {
				again, err := ibgib.Verify(g.Stored())
				if err != nil {
					t.Fatalf("%s does not pass the gate: %v", g.Stored(), err)
				}
				if again.Addr() != g.Addr() {
					t.Fatalf("%s has the address %s", g.Stored(), again.Addr())
				}
			}
			if len(res.Dna) != 1 || op != "mut8" && op != "rel8" || o.CheckLocal() != nil {
				continue
			}
			at := ibgib.Stamp{At: testEnv().Now()}
			replayed, err := ibgib.Replay(src, op, res.Dna[0].Data(), at)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(replayed.New.Stored(), res.New.Stored()) {
				t.Fatalf("made   %s\nreplay %s", res.New.Stored(), replayed.New.Stored())
			}
		}
	})
}

func runTransform(options transformOptions, src ibgib.IbGib) (ibgib.Result, error) {
	switch o := options.(type) {
	case ibgib.ForkOptions:
		return ibgib.Fork(src, o, testEnv())
	case ibgib.Mut8Options:
		return ibgib.Mut8(src, o, testEnv())
	case ibgib.Rel8Options:
		return ibgib.Rel8(src, o, testEnv())
	case ibgib.FirstGenOptions:
		o.Parent = src
		return ibgib.FirstGen(o, testEnv())
	}
	return ibgib.Result{}, nil
}

// BenchmarkMut8 grows a timeline of a small note whose past and dna are linked.
func BenchmarkMut8(b *testing.B) {
	src := tjpFrame(b, `{"title":"a note","text":"some words that stay","tags":["x","y"],"n":0}`)
	options := ibgib.Mut8Options{Dna: true, LinkedRel8ns: []string{"past", "dna"}}
	env := testEnv()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		options.Patch = ibgib.Object(ibgib.Member{Name: "count", Value: ibgib.Number(float64(i))})
		res, err := ibgib.Mut8(src, options, env)
		if err != nil {
			b.Fatal(err)
		}
		src = res.New
	}
}
