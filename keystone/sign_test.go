package keystone_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

func TestSignResolvesThePool(t *testing.T) {
	id := begin(t, signer(t, 1), false, forgerConfigs()...)
	for _, c := range []struct{ verb, named, want string }{
		{"post", "", "post"},
		{"exchange", "", "swap"},
		{"anything", "", "edit"},
		{"post", "edit", "edit"},
		{keystone.VerbRotate, "", "edit"},
	} {
		g, err := id.Sign(id.History, keystone.Request{Claim: keystone.Claim{Verb: c.verb, Target: target(t, 1)}, Pool: c.named})
		if err != nil {
			t.Fatal(err)
		}
		d, _ := keystone.Parse(g)
		if got := d.Proofs[0].Solutions[0].Pool; got != c.want {
			t.Errorf("%s, named %q: pool %s, want %s", c.verb, c.named, got, c.want)
		}
	}
	for _, c := range []struct{ verb, named string }{{"edit", "post"}, {"edit", "nowhere"}} {
		_, err := id.Sign(id.History, keystone.Request{Claim: keystone.Claim{Verb: c.verb, Target: target(t, 1)}, Pool: c.named})
		if !errors.Is(err, keystone.ErrNoPool) {
			t.Errorf("%s, named %q: %v", c.verb, c.named, err)
		}
	}
	narrow := begin(t, signer(t, 2), false, forgerConfigs()[post:]...)
	if _, err := narrow.Sign(narrow.History, keystone.Request{Claim: keystone.Claim{Verb: "edit", Target: target(t, 1)}}); !errors.Is(err, keystone.ErrNoPool) {
		t.Errorf("no pool for the verb: %v", err)
	}
}

func TestSignRefuses(t *testing.T) {
	fresh := func(t *testing.T) *identity { return begin(t, signer(t, 1), true, forgerConfigs()...) }
	claim := keystone.Claim{Verb: "post", Target: target(t, 1)}
	for _, c := range []struct {
		name string
		want error // nil: any
		do   func(t *testing.T, id *identity) error
	}{
		{"no verb", nil, func(t *testing.T, id *identity) error {
			_, err := id.Sign(id.History, keystone.Request{Claim: keystone.Claim{Target: target(t, 1)}})
			return err
		}},
		{"no target", nil, func(t *testing.T, id *identity) error {
			_, err := id.Sign(id.History, keystone.Request{Claim: keystone.Claim{Verb: "post"}})
			return err
		}},
		{"the verb revoke", nil, func(t *testing.T, id *identity) error {
			_, err := id.Sign(id.History, keystone.Request{Claim: keystone.Claim{Verb: keystone.VerbRevoke, Target: target(t, 1)}})
			return err
		}},
		{"details that are no object", nil, func(t *testing.T, id *identity) error {
			_, err := id.Sign(id.History, keystone.Request{Claim: claim, Details: ibgib.String("x")})
			return err
		}},
		{"details with a co-signature", nil, func(t *testing.T, id *identity) error {
			_, err := id.Sign(id.History, keystone.Request{Claim: claim, Details: ibgib.Object(ibgib.Member{Name: "cosig", Value: ibgib.String("x")})})
			return err
		}},
		{"a demand that is not there", nil, func(t *testing.T, id *identity) error {
			_, err := id.Sign(id.History, keystone.Request{Claim: claim, Demands: []keystone.ChallengeID{1}})
			return err
		}},
		{"another secret", keystone.ErrWrongSecret, func(t *testing.T, id *identity) error {
			id.Secret, _ = keystone.NewSecret(seeded(9))
			_, err := id.Sign(id.History, keystone.Request{Claim: claim})
			return err
		}},
		{"a wiped secret", keystone.ErrWrongSecret, func(t *testing.T, id *identity) error {
			id.Secret.Zero()
			_, err := id.Revoke(id.History, "", ibgib.Value{})
			return err
		}},
		{"no key", keystone.ErrCosigKey, func(t *testing.T, id *identity) error {
			id.Key = nil
			_, err := id.Sign(id.History, keystone.Request{Claim: claim})
			return err
		}},
		{"another key", keystone.ErrCosigKey, func(t *testing.T, id *identity) error {
			id.Key = signer(t, 9).Key
			_, err := id.Revoke(id.History, "", ibgib.Value{})
			return err
		}},
		{"an id that was there before", keystone.ErrReusedID, func(t *testing.T, id *identity) error {
			old := id.Data().Pools[final].Challenges[0].ID
			id.Draws.ID = func(keystone.Pool, int) (keystone.ChallengeID, error) { return old, nil }
			_, err := id.Sign(id.History, keystone.Request{Claim: keystone.Claim{Verb: "edit", Target: target(t, 1)}})
			return err
		}},
		{"an id twice", keystone.ErrReusedID, func(t *testing.T, id *identity) error {
			id.Draws.ID = func(keystone.Pool, int) (keystone.ChallengeID, error) { return 5, nil }
			_, err := id.Begin(keystone.Genesis{Configs: forgerConfigs()})
			return err
		}},
		{"no randomness", iotest.ErrTimeout, func(t *testing.T, id *identity) error {
			id.Draws = keystone.Random(iotest.ErrReader(iotest.ErrTimeout))
			_, err := id.Sign(id.History, keystone.Request{Claim: claim})
			return err
		}},
		{"revoked", keystone.ErrRevoked, func(t *testing.T, id *identity) error {
			id.revoke(t)
			_, err := id.Sign(id.History, keystone.Request{Claim: claim})
			return err
		}},
		{"revoked twice", keystone.ErrRevoked, func(t *testing.T, id *identity) error {
			id.revoke(t)
			_, err := id.Revoke(id.History, "again", ibgib.Value{})
			return err
		}},
		{"a first frame without secret", nil, func(t *testing.T, id *identity) error {
			_, err := keystone.Signer{Draws: id.Draws, Env: id.Env}.Begin(keystone.Genesis{Configs: forgerConfigs()})
			return err
		}},
		{"a first frame without pools", nil, func(t *testing.T, id *identity) error {
			_, err := id.Begin(keystone.Genesis{})
			return err
		}},
		{"a first frame for another's key", keystone.ErrCosigKey, func(t *testing.T, id *identity) error {
			_, err := id.Begin(keystone.Genesis{Configs: forgerConfigs(), CosigKeys: []ed25519.PublicKey{public(signer(t, 9))}})
			return err
		}},
		{"a bound pool of our own that is too small", nil, func(t *testing.T, id *identity) error {
			c := forgerConfigs()[edit]
			c.Behavior.Size = 63
			_, err := id.Begin(keystone.Genesis{Configs: []keystone.Config{c}, CosigKeys: []ed25519.PublicKey{public(id.Signer)}})
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.do(t, fresh(t))
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestSignSaysWhichPoolRanOut(t *testing.T) {
	id := begin(t, signer(t, 1), true, forgerConfigs()...)
	claim := keystone.Claim{Verb: "post", Target: target(t, 1)}
	for range 4 {
		id.sign(t, claim.Verb, claim.Target)
	}
	_, err := id.Sign(id.History, keystone.Request{Claim: claim})
	var exhausted *keystone.ExhaustedError
	if !errors.As(err, &exhausted) || *exhausted != (keystone.ExhaustedError{Pool: "post", Need: 2, Have: 0}) {
		t.Errorf("got %v", err)
	}
	// The other pools go on.
	id.sign(t, "edit", claim.Target)
}

// Demanded challenges are solved first, and nothing is counted twice.
func TestSignMeetsDemands(t *testing.T) {
	id := begin(t, signer(t, 1), true, forgerConfigs()...)
	p := id.Data().Pools[edit]
	demands := []keystone.ChallengeID{p.Challenges[40].ID, p.Challenges[0].ID}
	g, err := id.Sign(id.History, keystone.Request{Claim: keystone.Claim{Verb: "edit", Target: target(t, 1), Scope: "a^gib"}, Demands: demands})
	if err != nil {
		t.Fatal(err)
	}
	id.add(t, g)
	proof := id.Data().Proofs[0]
	var solved []keystone.ChallengeID
	for _, s := range proof.Solutions {
		solved = append(solved, s.ID)
	}
	slices.Sort(solved)
	if len(slices.Compact(slices.Clone(solved))) != 2+4+1+1 || len(solved) != 8 {
		t.Errorf("solved %v", solved)
	}
	if proof.Solutions[0].ID != demands[0] || proof.Solutions[1].ID != demands[1] || !slices.Equal(proof.Demands, demands) || proof.Claim.Scope != "a^gib" {
		t.Errorf("proof %+v", proof)
	}
}

// frameDetails of one frame are gone in the next.
func TestSignReplacesDetails(t *testing.T) {
	for _, cosigned := range []bool{false, true} {
		id := begin(t, signer(t, 1), cosigned, forgerConfigs()...)
		details := func(name string) ibgib.Value {
			return ibgib.Object(ibgib.Member{Name: name, Value: ibgib.Object(ibgib.Member{Name: name, Value: ibgib.Null()})})
		}
		for i, d := range []ibgib.Value{details("a"), details("b"), {}, ibgib.Object()} {
			g, err := id.Sign(id.History, keystone.Request{Claim: keystone.Claim{Verb: "edit", Target: target(t, 1)}, Details: d})
			if err != nil {
				t.Fatal(err)
			}
			id.add(t, g)
			got, has := g.Field("frameDetails")
			if cosigned {
				got = got.Without("cosig")
			}
			if !ibgib.EqualValue(got, d) && !(got.IsNoData() && d.IsNoData()) || has != (cosigned || !d.IsNoData()) {
				t.Errorf("cosigned %v, frame %d: %s, want %s", cosigned, i, got, d)
			}
		}
	}
}

// Our own keystones name only the frame before in past, others all of it.
func TestSignLinksPast(t *testing.T) {
	for _, cosigned := range []bool{false, true} {
		id := victim(t, cosigned)
		want := 4
		if cosigned {
			want = 1
		}
		if got := len(id.Tip().Rel("past")); got != want {
			t.Errorf("cosigned %v: %d frames in past, want %d", cosigned, got, want)
		}
	}
}

func TestSignIsPure(t *testing.T) {
	a, b := primary(t, 5), primary(t, 5)
	for i := range 3 {
		x, y := a.sign(t, keystone.VerbSync, target(t, i)), b.sign(t, keystone.VerbSync, target(t, i))
		if string(x.Stored()) != string(y.Stored()) {
			t.Fatal("the same draws made different frames")
		}
	}
}

// A pool that is bound to its targets serves any target, again and again, since
// new ids go to the least filled buckets.
func TestBoundPoolsNeverRunOut(t *testing.T) {
	id := begin(t, signer(t, 3), true, keystone.PrimaryConfigs()[:2]...)
	for i := range 32 {
		digit := "0123456789ABCDEF"[i%16]
		hash := make([]byte, 64)
		for k := range hash {
			hash[k] = digit
		}
		id.sign(t, keystone.VerbSync, addr(t, "note^"+string(hash)))
	}
	for _, p := range id.Data().Pools[:2] {
		least, most := len(p.Challenges), 0
		for _, b := range p.Buckets {
			least, most = min(least, len(b.IDs)), max(most, len(b.IDs))
		}
		if len(p.Buckets) != 16 || most-least > 1 {
			t.Errorf("pool %s: %d buckets of %d to %d ids", p.ID(), len(p.Buckets), least, most)
		}
	}
}

func TestRandomPicksEveryPlace(t *testing.T) {
	draws := keystone.Random(seeded(1))
	free := make([]keystone.ChallengeID, 5)
	var hits [5]int
	for range 1_000 {
		i, err := draws.Pick(free)
		if err != nil {
			t.Fatal(err)
		}
		hits[i]++
	}
	for i, n := range hits {
		if n < 120 || n > 280 {
			t.Errorf("place %d was picked %d times in 1,000", i, n)
		}
	}
}

func TestRotate(t *testing.T) {
	old, next := primary(t, 1), primary(t, 2)
	rotation, revocation, err := old.Rotate(old.History, next.Genesis(), "new laptop")
	if err != nil {
		t.Fatal(err)
	}
	if old.Len() != 1 {
		t.Error("rotating changed the history")
	}
	old.add(t, rotation)
	if old.RotatedTo(next.Genesis()) {
		t.Error("rotated before it was revoked")
	}
	old.add(t, revocation)
	if !old.RotatedTo(next.Genesis()) || old.RotatedTo(target(t, 1)) || old.Status() != keystone.Revoked {
		t.Error("not rotated")
	}
	if d := old.Data(); d.Revocation.Reason != "new laptop" {
		t.Errorf("revocation %+v", d.Revocation)
	}

	// Without a co-signature anyone who saw the rotation could have made another.
	plain := begin(t, signer(t, 3), false, keystone.PrimaryConfigs()...)
	a, b, err := plain.Rotate(plain.History, next.Genesis(), "")
	if err != nil {
		t.Fatal(err)
	}
	plain.add(t, a)
	plain.add(t, b)
	if plain.RotatedTo(next.Genesis()) {
		t.Error("a keystone without keys handed over")
	}

	// A frame between the two takes the rotation back.
	third := primary(t, 4)
	third.sign(t, keystone.VerbRotate, next.Genesis())
	third.sign(t, keystone.VerbSync, target(t, 1))
	third.revoke(t)
	if third.RotatedTo(next.Genesis()) {
		t.Error("an older rotation counts")
	}
}

// A lost key must not keep its owner from revoking.
func TestRevokeWithoutKey(t *testing.T) {
	id := primary(t, 1)
	id.Key = nil
	id.revoke(t)
	if id.Status() != keystone.Revoked {
		t.Error(id.Status())
	}
	if _, signed := id.Tip().Field("frameDetails"); signed {
		t.Error("co-signed without a key")
	}
}

// A long run of random requests always gives valid frames, and what a second
// reader finds is what the signer has.
func TestSignedFramesAreValid(t *testing.T) {
	for seed := range uint64(4) {
		id := begin(t, signer(t, seed), seed%2 == 0, forgerConfigs()...)
		random := seeded(seed + 100)
		b := make([]byte, 2)
		for i := range 25 {
			random.Read(b)
			verb := []string{"edit", "swap", "other", "exchange"}[b[0]%4]
			r := keystone.Request{Claim: keystone.Claim{Verb: verb, Target: target(t, int(b[1]))}}
			if b[0] > 200 {
				r.Pool = "edit"
				r.Demands = []keystone.ChallengeID{id.Data().Pools[edit].Challenges[b[1]%64].ID}
			}
			if b[0]%3 == 0 {
				r.Details = ibgib.Object(ibgib.Member{Name: "i", Value: ibgib.Number(float64(i))})
			}
			g, err := id.Sign(id.History, r)
			if err != nil {
				var exhausted *keystone.ExhaustedError
				if len(r.Demands) > 0 && errors.As(err, &exhausted) {
					continue // the demand took the id that the target needs
				}
				t.Fatal(err)
			}
			id.add(t, g)
		}
		id.revoke(t)
		if r := keystone.Validate(id.frames); !r.Valid || !r.Revoked {
			t.Fatalf("seed %d: %+v", seed, r)
		}
	}
}

func TestDerivedIDsCollideWithinAMillisecond(t *testing.T) {
	s := signer(t, 1)
	s.Key = nil
	at := epoch()
	s.Env.Now = func() time.Time { return at }
	s.Draws.ID = func(p keystone.Pool, index int) (keystone.ChallengeID, error) {
		return keystone.DerivedID(p.ID(), at, index), nil
	}
	id := begin(t, s, false, forgerConfigs()...)
	_, err := id.Sign(id.History, keystone.Request{Claim: keystone.Claim{Verb: "swap", Target: target(t, 1)}})
	if !errors.Is(err, keystone.ErrReusedID) {
		t.Errorf("the same ids again: %v", err)
	}
	at = at.Add(time.Millisecond)
	id.sign(t, "swap", target(t, 1))
}

func ExampleSigner_Sign() {
	random := seeded(1)
	secret, _ := keystone.NewSecret(random)
	_, key, _ := ed25519.GenerateKey(random)
	s := keystone.Signer{
		Secret: secret, Key: key, Draws: keystone.Random(random),
		Env: ibgib.Env{
			Now:  func() time.Time { return time.UnixMilli(1_770_000_000_000) },
			UUID: func() string { return fmt.Sprintf("%064x", 1) },
		},
	}
	first, _ := s.Begin(keystone.Genesis{
		Configs:   keystone.PrimaryConfigs(),
		CosigKeys: []ed25519.PublicKey{key.Public().(ed25519.PublicKey)},
	})
	h, _ := keystone.Begin(first)

	document, _ := ibgib.New("letter", ibgib.String("Dear all"), nil)
	frame, err := s.Sign(h, keystone.Request{Claim: keystone.Claim{Verb: "publish", Target: document.Addr()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Here the frame is stored durably. Then:
	if err := h.Add(frame); err != nil {
		fmt.Println(err)
		return
	}
	n, ok := h.Signed("publish", document.Addr())
	fmt.Println(n, ok, h.Status())
	// Output: 1 true valid
}
