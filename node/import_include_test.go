package node_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// What is imported and links to a timeline that only a named share has waits for it, as
// the result tells, until an import includes that timeline.
func TestImportIntoDefaultShareLinksToAnother(t *testing.T) {
	a, elsewhere := openNode(t), openNode(t)
	if _, err := a.CreateShare(t.Context(), node.ShareOptions{Name: "family"}); err != nil {
		t.Fatal(err)
	}
	secret := createIn(t, a, "family", "secret")
	importBytes(t, elsewhere, bytes.Join(exported(t, a, secret.Addr), nil))
	note := begin(t, elsewhere, "note")
	linked, err := elsewhere.Rel8(t.Context(), note, linkTo(secret.Addr))
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.DeleteFunc(exported(t, elsewhere, linked.Addr), func(line []byte) bool {
		return bytes.HasPrefix(line, []byte(`{"ib":"secret"`)) || bytes.HasPrefix(line, []byte(`{"ib":"fork`)) && bytes.Contains(line, []byte("secret"))
	})
	file := bytes.Join(lines, nil)

	for range 2 {
		res := importBytes(t, a, file)
		if !slices.Equal(res.Outside, []ibgib.Addr{secret.Tjp}) || len(res.Refused) > 0 {
			t.Errorf("without include: %+v", res)
		}
		if tl, err := a.Latest(t.Context(), note); err == nil && tl.Latest == linked.Addr {
			t.Error("it has joined its timeline, though what it links to is in another share only")
		}
	}
	res, err := a.ImportWith(t.Context(), bytes.NewReader(file), node.ImportOptions{Include: true}, nil)
	if err != nil || len(res.Outside)+len(res.Incomplete) > 0 {
		t.Errorf("with include: %+v, %v", res, err)
	}
	if tl, err := a.Latest(t.Context(), note); err != nil || tl.Latest != linked.Addr || tl.Share != "" {
		t.Errorf("latest %+v, %v", tl, err)
	}
	if list, err := a.ShareTimelines(t.Context(), node.DefaultShareName); err != nil || len(list) != 2 {
		t.Errorf("the default share has %+v, %v", list, err)
	}
	mustVerify(t, a)
}

// An import brings what its own ibGibs link to out of other shares, not what others wait
// for that were there before, from a peer perhaps.
func TestImportIncludesOnlyItsOwnLinks(t *testing.T) {
	a, elsewhere := openNode(t), openNode(t)
	if _, err := a.CreateShare(t.Context(), node.ShareOptions{Name: "family"}); err != nil {
		t.Fatal(err)
	}
	secret, absent := createIn(t, a, "family", "secret"), begin(t, elsewhere, "absent")
	linksTo := func(addr ibgib.Addr) []byte {
		stone, err := ibgib.New("stone", ibgib.String("x"), ibgib.Rel8ns{{Name: "about", Addrs: []ibgib.Addr{addr}}})
		if err != nil {
			t.Fatal(err)
		}
		return append(stone.AppendJSON(nil), '\n')
	}

	importBytes(t, a, linksTo(secret.Addr))
	for _, include := range []bool{false, true} {
		res, err := a.ImportWith(t.Context(), bytes.NewReader(linksTo(absent)), node.ImportOptions{Include: include}, nil)
		if err != nil || len(res.Incomplete) == 0 || len(res.Outside) > 0 {
			t.Errorf("include %t: %+v, %v", include, res, err)
		}
		if list, err := a.ShareTimelines(t.Context(), node.DefaultShareName); err != nil || len(list) > 0 {
			t.Errorf("include %t: the default share has %+v, %v", include, list, err)
		}
	}
	mustVerify(t, a)
}

// A constant that only a named share has comes into the default share by no import either.
func TestImportLinksToAStoneOfAShare(t *testing.T) {
	a, elsewhere := openNode(t), openNode(t)
	if _, err := a.CreateShare(t.Context(), node.ShareOptions{Name: "family"}); err != nil {
		t.Fatal(err)
	}
	o := ibgib.StoneOptions{Ib: "stone", Parent: "ib", Data: ibgib.Object(ibgib.Member{Name: "text", Value: ibgib.String("of the family")})}
	stone, err := a.With(node.ChangeOptions{Share: "family"}).Stone(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := elsewhere.Stone(t.Context(), o); err != nil || again.Addr != stone.Addr {
		t.Fatalf("%+v, %v", again, err)
	}
	note := begin(t, elsewhere, "note")
	linked, err := elsewhere.Rel8(t.Context(), note, linkTo(stone.Addr))
	if err != nil {
		t.Fatal(err)
	}
	file := bytes.Join(slices.DeleteFunc(exported(t, elsewhere, linked.Addr), func(line []byte) bool {
		return bytes.HasPrefix(line, []byte(`{"ib":"stone"`))
	}), nil)
	if res := importBytes(t, a, file); !slices.Equal(res.Outside, []ibgib.Addr{stone.Addr}) || len(res.Refused) > 0 {
		t.Errorf("without include: %+v", res)
	}
	if tl, err := a.Latest(t.Context(), note); err == nil && tl.Latest == linked.Addr {
		t.Error("it has joined its timeline, though what it links to is in another share only")
	}
	res, err := a.ImportWith(t.Context(), bytes.NewReader(file), node.ImportOptions{Include: true}, nil)
	if err != nil || len(res.Outside)+len(res.Incomplete) > 0 {
		t.Errorf("with include: %+v, %v", res, err)
	}
	if tl, err := a.Latest(t.Context(), note); err != nil || tl.Latest != linked.Addr {
		t.Errorf("latest %+v, %v", tl, err)
	}
	mustVerify(t, a)
}
