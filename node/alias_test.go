package node_test

import (
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

// A link to an address that cannot exist is stored and reported the same way, however
// the file is ordered, and in one file or two.
func TestImportOfAlias(t *testing.T) {
	stone, err := ibgib.New("real", ibgib.String("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	alias := parseAddr(t, "other^"+stone.Gib())
	referrer, err := ibgib.New("referrer", ibgib.Value{}, ibgib.Rel8ns{{Name: "to", Addrs: []ibgib.Addr{alias}}})
	if err != nil {
		t.Fatal(err)
	}
	one, two := string(stone.Stored())+"\n", string(referrer.Stored())+"\n"
	for _, files := range [][]string{{one + two}, {two + one}, {one, two}, {two, one}} {
		n := openNode(t)
		stored := 0
		for _, file := range files {
			res := importBytes(t, n, []byte(file))
			if len(res.Refused) > 0 {
				t.Errorf("%q: refused %+v", files, res.Refused)
			}
			stored += res.Stored
			if strings.HasSuffix(file, two) && len(res.Incomplete) != 1 {
				t.Errorf("%q: incomplete %+v", files, res.Incomplete)
			}
		}
		if stored != 2 {
			t.Errorf("%q: %d stored, want 2", files, stored)
		}
		why, err := n.Why(t.Context(), referrer.Addr())
		if err != nil || len(why.Missing) != 1 || why.Missing[0].Addr != alias || why.Missing[0].BelongsTo != stone.Addr() {
			t.Errorf("%q: %+v, %v", files, why.Missing, err)
		}
		put, err := n.Put(t.Context(), referrer.Stored())
		if err != nil || len(put.Missing) != 1 || put.Missing[0] != alias || put.Pinned {
			t.Errorf("%q: put %+v, %v", files, put, err)
		}
		mustVerify(t, n)
	}
}
