package keystone_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ibgib/ibgib-node/keystone"
)

func TestSecretComesFromTheReader(t *testing.T) {
	a, err := keystone.NewSecret(bytes.NewReader(bytes.Repeat([]byte{0xAB}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(a.Reveal()); got != strings.Repeat("ab", 32) {
		t.Errorf("got %s", got)
	}
	if _, err := keystone.NewSecret(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("31 bytes were enough")
	}
	failed := errors.New("no entropy")
	if _, err := keystone.NewSecret(iotest.ErrReader(failed)); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
}

func TestSecretParse(t *testing.T) {
	a, _ := keystone.NewSecret(seeded(1))
	b, err := keystone.ParseSecret(a.Reveal())
	if err != nil || !a.Equal(b) {
		t.Errorf("came back as another secret: %v", err)
	}
	c, _ := keystone.NewSecret(seeded(2))
	if a.Equal(c) || a.Equal(keystone.Secret{}) {
		t.Error("different secrets are equal")
	}
	for _, text := range []string{"", "ab", strings.Repeat("AB", 32), strings.Repeat("ab", 32) + "\n", strings.Repeat("zz", 32)} {
		if s, err := keystone.ParseSecret([]byte(text)); err == nil || !s.IsZero() || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := keystone.TextSecret(nil); err == nil {
		t.Error("an empty text was a secret")
	}
}

func TestSecretZeroWipesCopies(t *testing.T) {
	a, _ := keystone.NewSecret(seeded(1))
	b := a
	a.Zero()
	if !a.IsZero() || !b.IsZero() || len(b.Reveal()) != 0 {
		t.Error("a copy survived")
	}
	a.Zero()
	keystone.Secret{}.Zero()
}

// Nothing that prints or marshals a secret, also inside of other values, in
// hidden fields and behind pointers, shows any of it.
func TestSecretIsNeverPrinted(t *testing.T) {
	s, _ := keystone.NewSecret(bytes.NewReader(bytes.Repeat([]byte{0xAB}, 32)))
	type open struct{ S keystone.Secret }
	type hidden struct{ s keystone.Secret }
	signed := keystone.Signer{Secret: s}
	values := []any{s, &s, open{s}, &open{s}, hidden{s}, &hidden{s}, []keystone.Secret{s}, map[string]keystone.Secret{"a": s}, signed, &signed}
	// As text, as the numbers of its characters, and as base64 of either.
	shows := []string{"abab", "97 98", "97,98", "0x61", "6162", "YWJh", "q6ur"}
	check := func(how, text string) {
		t.Helper()
		for _, bad := range shows {
			if strings.Contains(text, bad) {
				t.Errorf("%s shows %q: %s", how, bad, text)
			}
		}
	}
	for i, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
			check(fmt.Sprintf("value %d, %s", i, verb), fmt.Sprintf(verb, v))
		}
	}
	for _, v := range values[:8] {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		check("json", string(text))
	}
	text, _ := s.MarshalText()
	check("text", string(text))
	if s.String() != "[secret]" || s.GoString() != "[secret]" {
		t.Error("it does not say what it is")
	}
}

// The secret of a session depends on that of the primary and on its salt.
func TestSessionSecret(t *testing.T) {
	one, _ := keystone.ParseSecret(bytes.Repeat([]byte("01"), 32))
	two, _ := keystone.ParseSecret(bytes.Repeat([]byte("02"), 32))
	derive := func(s keystone.Secret, salt byte) keystone.Secret {
		t.Helper()
		d, err := s.Session([32]byte{salt})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	session := derive(one, 1)
	if !session.Equal(derive(one, 1)) {
		t.Error("another secret the second time")
	}
	for name, other := range map[string]keystone.Secret{
		"the primary": one, "another salt": derive(one, 2), "another primary": derive(two, 1),
	} {
		if session.Equal(other) {
			t.Errorf("%s has the same secret", name)
		}
	}
	// HKDF-SHA256 of RFC 5869, computed with openssl kdf.
	const want = "b596187aea1f66bf85602999094e9ead81b64d2c31aa2d9ee77f402876248fd9"
	if got := session.Reveal(); string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
	text, _ := keystone.TextSecret([]byte("of the TypeScript service"))
	for _, s := range []keystone.Secret{{}, text} {
		if _, err := s.Session([32]byte{}); err == nil {
			t.Error("a session of another kind of secret")
		}
	}
}
