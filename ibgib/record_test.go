package ibgib_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

const frameJSON = `{"ib":"a \"b\"","data":{"10":1,"9":2,"a\"b":"x,\"y]","isTjp":0,"n":3,"o":{"l":[{"b":[],"a":{}}]}},` +
	`"rel8ns":{"7":["s\",\"t^gib"],"ancestor":["c^gib","c^gib"],"b\\":["e\\^gib"],"past":[],"tjp":["x^` + hashA + `","q\"^` + hashB + `"]}}`

func TestAccessors(t *testing.T) {
	g, err := ibgib.Gib([]byte(frameJSON))
	if err != nil {
		t.Fatal(err)
	}
	checkGates(t, g)
	if g.Ib() != `a "b"` || g.IsZero() || g.IsTjp() || g.Hash().String() != g.Gib()[:64] || g.Addr().TjpGib() != hashB {
		t.Errorf("%s", g.Addr())
	}
	if want := withGib(frameJSON[:strings.Index(frameJSON, "10")]+`9":2,"10":1,`+frameJSON[strings.Index(frameJSON, `"a\"b"`):], g.Gib()); string(g.Stored()) != want {
		t.Errorf("stored %s\nwant   %s", g.Stored(), want)
	}

	data := g.Data()
	if got := data.String(); !strings.Contains(string(g.Stored()), `"data":`+got+`,`) {
		t.Error(got)
	}
	for _, m := range data.Members() {
		if v, ok := g.Field(m.Name); !ok || !ibgib.EqualValue(v, m.Value) {
			t.Errorf("field %q is %v", m.Name, v)
		}
	}
	if _, ok := g.Field("none"); ok {
		t.Error("field none")
	}

	rel8ns := g.Rel8ns()
	var links []string
	for _, rel := range rel8ns {
		got := g.Rel(rel.Name)
		if !slices.Equal(got, rel.Addrs) || !slices.Equal(rel8ns.Get(rel.Name), rel.Addrs) {
			t.Errorf("rel8n %q is %v, want %v", rel.Name, got, rel.Addrs)
		}
		last, ok := g.LastRel(rel.Name)
		if ok != (len(got) > 0) || ok && last != got[len(got)-1] {
			t.Errorf("last of %q is %v", rel.Name, last)
		}
		for _, a := range rel.Addrs {
			links = append(links, rel.Name+" "+a.String())
		}
	}
	var got []string
	for name, a := range g.Links() {
		got = append(got, name+" "+a.String())
	}
	want := []string{`7 s","t^gib`, "ancestor c^gib", "ancestor c^gib", `b\ e\^gib`, "tjp x^" + hashA, `tjp q"^` + hashB}
	if !slices.Equal(got, want) || !slices.Equal(links, want) {
		t.Errorf("links  %q\nrel8ns %q\nwant   %q", got, links, want)
	}
	for range g.Links() {
		break
	}
	if g.Rel("none") != nil || rel8ns.Get("none") != nil {
		t.Error("rel8n none")
	}
	if _, ok := g.LastRel("none"); ok {
		t.Error("last of none")
	}
}

func TestZeroIbGib(t *testing.T) {
	var g ibgib.IbGib
	for range g.Links() {
		t.Error("a link")
	}
	_, isBytes := g.Bytes()
	if !g.IsZero() || g.Size() != 0 || g.Data().Kind() != ibgib.KindAbsent || isBytes || len(g.Rel8ns()) != 0 || !g.Hash().IsZero() || g.Ib() != "" {
		t.Errorf("%+v", g)
	}
}

func TestRel8nsEdits(t *testing.T) {
	x, y := addr(t, "x^gib"), addr(t, "y^gib")
	r := ibgib.Rel8ns{{Name: "b", Addrs: []ibgib.Addr{x}}}
	edited := r.With("a", []ibgib.Addr{y}).With("b", nil)
	if r.IsEmpty() || edited.IsEmpty() || !edited.Without("a").IsEmpty() || !slices.Equal(r.Get("b"), []ibgib.Addr{x}) || edited.Get("a")[0] != y || len(edited.Get("b")) != 0 {
		t.Errorf("%v %v", r, edited)
	}
}

func TestLoadRefused(t *testing.T) {
	g := frame622(t)
	flip := func(at int) []byte {
		b := bytes.Clone(g.Stored())
		b[at] ^= 0x20
		return b
	}
	for _, c := range []struct {
		name   string
		addr   ibgib.Addr
		stored []byte
	}{
		{"nothing", g.Addr(), nil},
		{"cut", g.Addr(), g.Stored()[:g.Size()-1]},
		{"more", g.Addr(), append(bytes.Clone(g.Stored()), ' ')},
		{"other ib", g.Addr(), flip(len(`{"ib":"`))},
		{"other gib", addr(t, "x^"+hashA), g.Stored()},
		{"zero address", ibgib.Addr{}, g.Stored()},
		{"brace", g.Addr(), flip(0)},
	} {
		if _, err := ibgib.Load(c.addr, c.stored); !errors.Is(err, ibgib.ErrCorrupt) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// Load does not hash; VerifyContent does.
	at := bytes.Index(g.Stored(), []byte("quick"))
	loaded, err := ibgib.Load(g.Addr(), flip(at))
	if err != nil {
		t.Fatal(err)
	}
	refusedBy(t, ibgib.VerifyContent(loaded), ibgib.RuleGibMismatch)
}

func TestImportKeepsNothingOfRaw(t *testing.T) {
	g := frame622(t)
	raw := bytes.Clone(g.Stored())
	imported, err := ibgib.Import(raw)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw)
	if !bytes.Equal(imported.Stored(), g.Stored()) || imported.Addr() != g.Addr() {
		t.Error("the import changed with its source")
	}
}

// The records of the public implementation, in its own member order.
func TestSpace(t *testing.T) {
	for _, g := range readSpace(t) {
		checkGates(t, g)
	}
}
