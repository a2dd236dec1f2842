package keystone_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

func addr(t testing.TB, s string) ibgib.Addr {
	t.Helper()
	a, err := ibgib.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// target returns an address to make claims about; each number has its own.
func target(t testing.TB, i int) ibgib.Addr {
	t.Helper()
	g, err := ibgib.New("note", ibgib.Object(ibgib.Member{Name: "i", Value: ibgib.Number(float64(i))}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return g.Addr()
}

// seeded is a reader of random bytes that depend on the seed alone.
func seeded(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// epoch is when the clocks of the tests start.
func epoch() time.Time { return time.UnixMilli(1_770_000_000_000) }

// signer returns a signer with secret, key, ids and clock from a seed. The clock
// goes on by a second at every look.
func signer(t testing.TB, seed uint64) keystone.Signer {
	t.Helper()
	random := seeded(seed)
	secret, err := keystone.NewSecret(random)
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(random)
	if err != nil {
		t.Fatal(err)
	}
	now := epoch()
	return keystone.Signer{
		Secret: secret, Key: key, Draws: keystone.Random(random),
		Env: ibgib.Env{
			Now: func() time.Time {
				now = now.Add(time.Second)
				return now
			},
			UUID: func() string {
				var id [32]byte
				io.ReadFull(random, id[:])
				return hex.EncodeToString(id[:])
			},
		},
	}
}

func public(s keystone.Signer) ed25519.PublicKey { return s.Key.Public().(ed25519.PublicKey) }

// identity is a keystone with whoever signs it.
type identity struct {
	keystone.Signer
	*keystone.History
	frames []ibgib.IbGib
}

// begin makes a keystone. With cosigned it is one of our own.
func begin(t testing.TB, s keystone.Signer, cosigned bool, configs ...keystone.Config) *identity {
	t.Helper()
	g := keystone.Genesis{Configs: configs}
	if cosigned {
		g.CosigKeys = []ed25519.PublicKey{public(s)}
	}
	first, err := s.Begin(g)
	if err != nil {
		t.Fatal(err)
	}
	h, err := keystone.Begin(first)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{s, h, []ibgib.IbGib{first}}
}

// primary makes a keystone as a node has it.
func primary(t testing.TB, seed uint64) *identity {
	t.Helper()
	return begin(t, signer(t, seed), true, keystone.PrimaryConfigs()...)
}

func (id *identity) add(t testing.TB, g ibgib.IbGib) ibgib.IbGib {
	t.Helper()
	if err := id.Add(g); err != nil {
		t.Fatal(err)
	}
	id.frames = append(id.frames, g)
	return g
}

func (id *identity) sign(t testing.TB, verb string, target ibgib.Addr) ibgib.IbGib {
	t.Helper()
	g, err := id.Sign(id.History, keystone.Request{Claim: keystone.Claim{Verb: verb, Target: target}})
	if err != nil {
		t.Fatal(err)
	}
	return id.add(t, g)
}

func (id *identity) revoke(t testing.TB) ibgib.IbGib {
	t.Helper()
	g, err := id.Revoke(id.History, "test", ibgib.Value{})
	if err != nil {
		t.Fatal(err)
	}
	return id.add(t, g)
}

// wantRule asserts that err is an *Invalid with a violation of this rule.
func wantRule(t testing.TB, err error, rule keystone.Rule) {
	t.Helper()
	var invalid *keystone.Invalid
	if !errors.As(err, &invalid) || !invalid.Has(rule) {
		t.Fatalf("got %v, want a violation of %s", err, rule)
	}
}

// encodeKey writes a key as frameDetails have it.
func encodeKey(key []byte) string { return base64.RawURLEncoding.EncodeToString(key) }
