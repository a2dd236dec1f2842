package keystone

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Errors of signing, beside *ExhaustedError and ErrCosigKey. Nothing was made
// and nothing was revealed.
var (
	ErrRevoked     = errors.New("the keystone is revoked")
	ErrDisputed    = errors.New("the keystone is disputed")
	ErrNoPool      = errors.New("no pool of the keystone signs that")
	ErrWrongSecret = errors.New("not the secret of this keystone")
	ErrReusedID    = errors.New("a new challenge id is not new to the keystone")
)

// Signer makes the frames of a keystone. Its functions draw from Env and Draws
// and are otherwise pure: the same values give the same frame, byte for byte.
type Signer struct {
	Secret Secret
	// Key co-signs. It belongs to the first key that the keystone lists; nil for a
	// keystone that lists none.
	Key   ed25519.PrivateKey
	Env   ibgib.Env
	Draws Draws
}

// Request is what is to be signed.
type Request struct {
	Claim   Claim         // target and verb are required
	Pool    string        // to sign with; empty: the first that names the verb, else the first that names none
	Demands []ChallengeID // challenges that whoever asks wants solved
	Details ibgib.Value   // frameDetails: an object, or absent
}

// Sign makes the next frame of a keystone, which claims what r says. The history
// does not change: store the frame durably before a byte of it leaves, then Add
// it, and only then sign again. Two frames that follow the same one are
// equivocation.
//
// Errors wrap ErrRevoked, ErrDisputed, ErrNoPool, ErrWrongSecret, ErrCosigKey,
// ErrReusedID, or are *ExhaustedError.
func (s Signer) Sign(h *History, r Request) (ibgib.IbGib, error) {
	switch {
	case h.Status() == Disputed:
		return ibgib.IbGib{}, fmt.Errorf("keystone: sign: %w", ErrDisputed)
	case r.Claim.Verb == VerbRevoke:
		return ibgib.IbGib{}, errors.New("keystone: sign: Revoke signs the verb revoke")
	}
	g, err := s.next(h, r, nil)
	if err != nil {
		return ibgib.IbGib{}, fmt.Errorf("keystone: sign: %w", err)
	}
	return g, nil
}

// Revoke makes the frame that ends a keystone. A disputed one can be revoked
// too. Without a key the frame of a co-signed keystone is valid all the same,
// since the disk with the key may be what was lost. The rest is as in Sign.
func (s Signer) Revoke(h *History, reason string, details ibgib.Value) (ibgib.IbGib, error) {
	claim := Claim{Verb: VerbRevoke, Target: h.tip.g.Addr(), layout: layout{{Name: "verb"}, {Name: "target"}}}
	g, err := s.next(h, Request{Claim: claim, Pool: PoolRevoke, Details: details}, &reason)
	if err != nil {
		return ibgib.IbGib{}, fmt.Errorf("keystone: revoke: %w", err)
	}
	return g, nil
}

// Rotate hands a keystone over to the one that begins with next: it makes the
// frame that says so, and the one that then revokes the old keystone. Both are
// to be stored together.
func (s Signer) Rotate(h *History, next ibgib.Addr, reason string) (rotation, revocation ibgib.IbGib, err error) {
	rotation, err = s.Sign(h, Request{Claim: Claim{Target: next, Verb: VerbRotate}})
	if err != nil {
		return ibgib.IbGib{}, ibgib.IbGib{}, err
	}
	after := h.Clone()
	if err := after.Add(rotation); err != nil {
		return ibgib.IbGib{}, ibgib.IbGib{}, err
	}
	revocation, err = s.Revoke(after, reason, ibgib.Value{})
	return rotation, revocation, err
}

// RotatedTo reports whether the keystone has handed over to the one that begins
// with next: its newest frame but the revocation says so, under a co-signature.
func (h *History) RotatedTo(next ibgib.Addr) bool {
	n, ok := h.Signed(VerbRotate, next)
	return ok && n == len(h.steps)-2 && h.HandedOver()
}

// HandedOver reports whether the keystone has handed over to another one, whichever
// that is; see RotatedTo.
func (h *History) HandedOver() bool {
	n := len(h.steps) - 2
	return n > 0 && h.steps[n].verb == VerbRotate && h.Status() == Revoked && len(h.keys) > 0
}

// next makes a frame; one that revokes if there is a reason.
func (s Signer) next(h *History, r Request, reason *string) (ibgib.IbGib, error) {
	key, err := s.cosigner(h, reason != nil)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	details, err := ownDetails(r.Details, memberCosig)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	if h.tip.d.Revocation != nil {
		return ibgib.IbGib{}, ErrRevoked
	}
	i, err := resolve(h.tip.d.Pools, r)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	pools := slices.Clone(h.tip.d.Pools)
	proof, solved, err := s.prove(pools[i], r)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	left, fresh := pools[i].replenishment(solved)
	pools[i], err = s.fill(left, fresh, func(id ChallengeID) bool {
		_, seen := h.seen[id]
		return seen
	})
	if err != nil {
		return ibgib.IbGib{}, err
	}

	// frameDetails are removed, or mut8 would merge ours with those before.
	patch := Data{Pools: pools, Proofs: []Proof{proof}, Details: details, all: ibgib.Object()}
	if reason != nil {
		patch.Revocation = &Revocation{Reason: *reason, Proof: proof}
	}
	o := ibgib.Mut8Options{
		Remove:   ibgib.Object(ibgib.Member{Name: memberDetails, Value: ibgib.String(memberDetails)}),
		Patch:    patch.Value(),
		NCounter: true,
	}
	if len(h.keys) > 0 {
		o.LinkedRel8ns = []string{relPast}
	}
	made, err := ibgib.Mut8(h.tip.g, o, s.Env)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	g := made.New
	if key != nil {
		if g, err = cosign(g, key); err != nil {
			return ibgib.IbGib{}, err
		}
	}
	return g, h.check(g)
}

// check judges a frame that was made here before it is given away.
func (h *History) check(g ibgib.IbGib) error {
	found := findings{frame: g.Addr(), n: len(h.steps)}
	h.judgeNext(&found, h.tip, g)
	return found.err()
}

// cosigner returns the key that has to co-sign the next frame, nil for none.
func (s Signer) cosigner(h *History, revokes bool) (ed25519.PrivateKey, error) {
	switch {
	case len(h.keys) == 0 || revokes && s.Key == nil:
		return nil, nil
	case !ownsKey(s.Key, h.keys[0]):
		return nil, ErrCosigKey
	}
	return s.Key, nil
}

func ownsKey(private ed25519.PrivateKey, public ed25519.PublicKey) bool {
	return len(private) == ed25519.PrivateKeySize && public.Equal(private.Public())
}

// ownDetails returns frameDetails as they are written: absent if empty. The
// reserved members are set by this package alone.
func ownDetails(details ibgib.Value, reserved ...string) (ibgib.Value, error) {
	if details.IsNoData() {
		return ibgib.Value{}, nil
	}
	if details.Kind() != ibgib.KindObject {
		return ibgib.Value{}, fmt.Errorf("frameDetails must be an object, not %s", shown(details))
	}
	for _, name := range reserved {
		if _, has := details.Get(name); has {
			return ibgib.Value{}, fmt.Errorf("frameDetails.%s is set by the signer", name)
		}
	}
	return details, nil
}

// resolve finds the pool to sign with: the one that is named, else the first
// that names the verb, else the first that names none.
func resolve(pools []Pool, r Request) (int, error) {
	verb := r.Claim.Verb
	if verb == "" || r.Claim.Target.IsZero() {
		return 0, errors.New("a claim needs a verb and a target")
	}
	find := func(is func(Pool) bool) int { return slices.IndexFunc(pools, is) }
	if r.Pool != "" {
		i := find(func(p Pool) bool { return p.ID() == r.Pool })
		switch {
		case i < 0:
			return 0, fmt.Errorf("%w: there is no pool %s", ErrNoPool, clip(r.Pool))
		case !pools[i].Config.allows(verb):
			return 0, fmt.Errorf("%w: pool %s does not allow the verb %s", ErrNoPool, clip(r.Pool), clip(verb))
		}
		return i, nil
	}
	i := find(func(p Pool) bool { return slices.Contains(p.Config.Verbs, verb) })
	if i < 0 {
		i = find(func(p Pool) bool { return len(p.Config.Verbs) == 0 })
	}
	if i < 0 {
		return 0, fmt.Errorf("%w: none allows the verb %s", ErrNoPool, clip(verb))
	}
	return i, nil
}

// prove solves what the claim needs of a pool.
func (s Signer) prove(p Pool, r Request) (Proof, []ChallengeID, error) {
	for i, id := range r.Demands {
		if _, has := p.Challenge(id); !has || slices.Contains(r.Demands[:i], id) {
			return Proof{}, nil, fmt.Errorf("demanded challenge %s is not in pool %s, or demanded twice", id, clip(p.ID()))
		}
	}
	chosen, err := p.choose(r.Claim.Target, r.Demands)
	if err != nil {
		return Proof{}, nil, err
	}
	solved := chosen.mandatory
	for range p.Config.Behavior.Randomly {
		i, err := s.Draws.Pick(chosen.free)
		if err != nil {
			return Proof{}, nil, err
		}
		solved = append(solved, chosen.free[i])
		chosen.free = slices.Delete(chosen.free, i, i+1)
	}
	strategy := p.Config.Strategy
	secret := strategy.PoolSecret(s.Secret, p.ID())
	defer secret.Zero()
	proof := Proof{Claim: r.Claim, Demands: r.Demands}
	for _, id := range solved {
		value := strategy.Solution(secret, id)
		if c, _ := p.Challenge(id); strategy.Hash(value, id) != c.Hash {
			return Proof{}, nil, ErrWrongSecret
		}
		proof.Solutions = append(proof.Solutions, Solution{Pool: p.ID(), ID: id, Value: value})
	}
	return proof, solved, nil
}

// fill adds new challenges at the end of a pool, with ids that nothing has used.
func (s Signer) fill(p Pool, fresh int, used func(ChallengeID) bool) (Pool, error) {
	if fresh == 0 {
		return p, nil
	}
	strategy := p.Config.Strategy
	secret := strategy.PoolSecret(s.Secret, p.ID())
	defer secret.Zero()
	for i := range fresh {
		id, err := s.Draws.ID(p, i)
		if err != nil {
			return Pool{}, err
		}
		if _, has := p.Challenge(id); has || used(id) {
			return Pool{}, fmt.Errorf("%w: %s", ErrReusedID, id)
		}
		p = p.with(strategy.Challenge(secret, id))
	}
	return p, nil
}
