package keystone_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

// What a co-signature is over can be made by cutting text out of the stored
// form, as another implementation would do it.
func TestCosigText(t *testing.T) {
	id := begin(t, signer(t, 1), true, keystone.SessionConfig())
	for name, c := range map[string]struct {
		details ibgib.Value
		cut     func(cosig string) string
	}{
		"details": {
			ibgib.Object(ibgib.Member{Name: "zeta", Value: ibgib.Bool(true)}, ibgib.Member{Name: "alpha", Value: ibgib.Number(1)}),
			func(cosig string) string { return `"cosig":"` + cosig + `",` },
		},
		"no details": {
			ibgib.Value{},
			func(cosig string) string { return `"frameDetails":{"cosig":"` + cosig + `"},` },
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := id.Sign(id.History, keystone.Request{Claim: keystone.Claim{Verb: keystone.VerbConnect, Target: target(t, 1)}, Details: c.details})
			if err != nil {
				t.Fatal(err)
			}
			cosig := at(t, g.Data(), "frameDetails", "cosig").Str()
			stored := string(g.Stored())
			for _, part := range []string{`"gib":"` + g.Gib() + `",`, c.cut(cosig)} {
				if strings.Count(stored, part) != 1 {
					t.Fatalf("%s is not once in %s", part, stored)
				}
				stored = strings.Replace(stored, part, "", 1)
			}
			sig, err := base64.RawURLEncoding.DecodeString(cosig)
			if err != nil {
				t.Fatal(err)
			}
			if !ed25519.Verify(public(id.Signer), []byte("ibgib keystone cosig v1\x00"+stored), sig) {
				t.Errorf("the signature is not over %s", stored)
			}
		})
	}
}

// The keys stand in the first frame as raw bytes in base64url without padding.
func TestCosigKeysText(t *testing.T) {
	id := begin(t, signer(t, 1), true, keystone.SessionConfig())
	key := at(t, id.frames[0].Data(), "frameDetails", "cosigKeys", 0).Str()
	if raw, err := base64.RawURLEncoding.DecodeString(key); err != nil || !public(id.Signer).Equal(ed25519.PublicKey(raw)) || len(key) != 43 {
		t.Errorf("key %s", key)
	}
}

// Only the first key co-signs.
func TestOnlyTheFirstKeyCosigns(t *testing.T) {
	a, b := signer(t, 1), signer(t, 2)
	first, err := a.Begin(keystone.Genesis{
		Configs:   forgerConfigs()[post:],
		CosigKeys: []ed25519.PublicKey{public(a), public(b)},
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := keystone.Begin(first)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.CosigKeys()) != 2 {
		t.Errorf("%d keys", len(h.CosigKeys()))
	}
	r := keystone.Request{Claim: keystone.Claim{Verb: "post", Target: target(t, 1)}}
	g, err := a.Sign(h, r)
	if err != nil {
		t.Fatal(err)
	}
	a.Key = b.Key
	if _, err := a.Sign(h, r); err == nil {
		t.Error("the second key signed")
	}
	// Neither by hand: the same frame with a signature of the second key.
	cosig := at(t, g.Data(), "frameDetails", "cosig").Str()
	stored := strings.Replace(strings.Replace(string(g.Stored()), `"gib":"`+g.Gib()+`",`, "", 1), `"frameDetails":{"cosig":"`+cosig+`"},`, "", 1)
	theirs := ed25519.Sign(b.Key, []byte("ibgib keystone cosig v1\x00"+stored))
	wantRule(t, h.Add(forged(t, g, str(encodeKey(theirs)), "frameDetails", "cosig")), keystone.RuleCosig)
}
