package keystone

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Genesis is what a keystone begins with.
type Genesis struct {
	Configs []Config
	// CosigKeys makes it a keystone of our own: every later frame is co-signed by
	// the first of them, for which the signer has to have the private key.
	CosigKeys []ed25519.PublicKey
	Details   ibgib.Value // further frameDetails: an object, or absent
}

// Begin makes the first frame of a keystone. Errors wrap ErrCosigKey and
// ErrReusedID, or are *Invalid for configs that no keystone may have.
func (s Signer) Begin(g Genesis) (ibgib.IbGib, error) {
	first, err := s.begin(g)
	if err != nil {
		return ibgib.IbGib{}, fmt.Errorf("keystone: begin: %w", err)
	}
	return first, nil
}

func (s Signer) begin(g Genesis) (ibgib.IbGib, error) {
	details, err := ownDetails(g.Details, memberCosig, memberCosigKeys)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	if len(g.CosigKeys) > 0 {
		if !ownsKey(s.Key, g.CosigKeys[0]) {
			return ibgib.IbGib{}, ErrCosigKey
		}
		details = details.With(memberCosigKeys, keyList(g.CosigKeys))
	}
	if s.Secret.IsZero() {
		return ibgib.IbGib{}, errors.New("there is no secret")
	}
	var d Data
	for _, c := range g.Configs {
		var found findings
		if found.checkConfig(c); !found.none() {
			return ibgib.IbGib{}, found.err()
		}
		if b := c.Behavior; len(g.CosigKeys) > 0 && b.BindingChars > 0 && b.Size < minBoundSize {
			return ibgib.IbGib{}, fmt.Errorf("pool %s is bound to its targets and has %d challenges: fewer than %d fail to sign at random", clip(c.Salt), b.Size, minBoundSize)
		}
		p, err := s.fill(newPool(c), c.Behavior.Size, func(id ChallengeID) bool {
			return slices.ContainsFunc(d.Pools, func(p Pool) bool {
				_, has := p.Challenge(id)
				return has
			})
		})
		if err != nil {
			return ibgib.IbGib{}, err
		}
		d.Pools = append(d.Pools, p)
	}
	made, err := ibgib.Fork(root(), ibgib.ForkOptions{
		DestIb: Ib, NCounter: true, Tjp: ibgib.TjpOptions{UUID: true, Timestamp: true},
	}, s.Env)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	d.all, d.Details = made.New.Data(), details
	first, err := ibgib.New(Ib, d.Value(), made.New.Rel8ns())
	if err != nil {
		return ibgib.IbGib{}, err
	}
	_, err = Begin(first)
	return first, err
}
