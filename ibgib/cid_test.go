package ibgib_test

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// The block that a CID names is the text ibHash+relHash+dataHash: any IPFS
// tool that hashes it gets the CID back.
func TestCIDNamesTheHashedText(t *testing.T) {
	upperHex := func(s string) string { return fmt.Sprintf("%X", sha256.Sum256([]byte(s))) }
	rel := `{"ancestor":["comment^gib"],"past":["x^` + hashB + `"]}`
	for _, c := range []struct{ name, json, block string }{
		{"ib alone", `{"ib":"x"}`, upperHex("x")},
		{"ib and rel8ns", `{"ib":"x","rel8ns":` + rel + `}`, upperHex("x") + upperHex(rel)},
		{"ib and data", `{"ib":"x","data":{"n":1}}`, upperHex("x") + upperHex(`{"n":1}`)},
		{"all", `{"ib":"x","data":{"n":1,"text":"hi"},"rel8ns":` + rel + `}`, upperHex("x") + upperHex(rel) + upperHex(`{"n":1,"text":"hi"}`)},
		{"frame", `{"ib":"x","rel8ns":{"tjp":["x^` + hashA + `"]}}`, upperHex("x") + upperHex(`{"tjp":["x^`+hashA+`"]}`)},
		{"bytes", `{"ib":"x","bytes":"AAEC"}`, upperHex("x") + upperHex("\x00\x01\x02")},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := ibgib.Gib([]byte(c.json))
			if err != nil {
				t.Fatal(err)
			}
			got, err := ibgib.CID(g.Addr())
			if err != nil {
				t.Fatal(err)
			}
			digest, err := multihash.Sum([]byte(c.block), multihash.SHA2_256, -1)
			if err != nil {
				t.Fatal(err)
			}
			if want := cid.NewCidV1(cid.Raw, digest); !got.Equals(want) {
				t.Errorf("CID %s, want %s", got, want)
			}
			if again, err := got.Prefix().Sum([]byte(c.block)); err != nil || !again.Equals(got) {
				t.Errorf("the CID's own prefix gives %s, %v", again, err)
			}
			if back, err := cid.Decode(got.String()); err != nil || !back.Equals(got) {
				t.Errorf("CID does not survive its text: %v", err)
			}
		})
	}
	for _, a := range []ibgib.Addr{{}, addr(t, "x^gib")} {
		_, err := ibgib.CID(a)
		refusedBy(t, err, ibgib.RuleBadAddress)
	}
}
