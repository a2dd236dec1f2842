package keystone

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// ErrDelta says that bytes are no delta against that frame, or that a frame
// cannot be written as one.
var ErrDelta = errors.New("not a delta")

// A frame repeats all pools, and what becomes of them is given by its proof but
// for the new challenges. So a delta is some 2 kB where the frame of a primary
// is 30. It is the canonical JSON of
//
//	{"data": the data without challengePools, "fresh": [[id, hash], ...],
//	 "hash": HASH of the frame, "wholePast": whether past names more than the frame before}

// Members of a delta.
const (
	deltaData  = "data"
	deltaFresh = "fresh"
	deltaHash  = "hash"
	deltaPast  = "wholePast"
)

// deltaMark is the first byte of a frame that travels as a delta. No stored form of
// an ibGib begins with it.
const deltaMark = 0xD1

// AppendFrame appends g, a frame of a keystone, as it travels: after prev, the
// frame before it, as a delta with a mark before it, if that can be; in its stored
// form if not, or if prev is the zero IbGib.
func AppendFrame(b []byte, prev, g ibgib.IbGib) []byte {
	if !prev.IsZero() {
		if marked, err := AppendDelta(append(b, deltaMark), prev, g); err == nil {
			return marked
		}
	}
	return append(b, g.Stored()...)
}

// ReadFrame reads what AppendFrame wrote. The frame has passed the gate. The error
// wraps ErrDelta, or is that of the gate; a delta that follows nothing is none.
func ReadFrame(prev ibgib.IbGib, b []byte) (ibgib.IbGib, error) {
	if len(b) == 0 || b[0] != deltaMark {
		return ibgib.Verify(b)
	}
	if prev.IsZero() {
		return ibgib.IbGib{}, fmt.Errorf("keystone: from delta: %w: the frame before it is not known", ErrDelta)
	}
	return FromDelta(prev, b[1:])
}

// AppendDelta appends g, a later frame, written as a delta against the frame
// before it. It fails with ErrDelta for a frame that does not come out of that as
// it was, which no valid one does.
func AppendDelta(b []byte, prev, g ibgib.IbGib) ([]byte, error) {
	before, err := Parse(prev)
	if err != nil {
		return b, fmt.Errorf("keystone: delta: %w: %w", ErrDelta, err)
	}
	after, err := Parse(g)
	if err != nil {
		return b, fmt.Errorf("keystone: delta: %w: %w", ErrDelta, err)
	}
	var fresh []Challenge
	if i, left, ok := used(before.Pools, after.Proofs); ok && i < len(after.Pools) {
		now := after.Pools[i].Challenges
		fresh = now[min(len(left.Challenges), len(now)):]
	}
	delta := deltaText(after.all, fresh, g)
	again, err := FromDelta(prev, delta)
	if err != nil || !bytes.Equal(again.Stored(), g.Stored()) {
		return b, fmt.Errorf("keystone: delta of %s: %w", clip(g.Addr().String()), ErrDelta)
	}
	return append(b, delta...), nil
}

// deltaText writes the delta of g, which has this data and these new challenges.
func deltaText(data ibgib.Value, fresh []Challenge, g ibgib.IbGib) []byte {
	pairs := make([]ibgib.Value, len(fresh))
	for i, c := range fresh {
		pairs[i] = ibgib.Array(ibgib.String(c.ID.String()), ibgib.String(c.Hash))
	}
	return ibgib.Object(
		ibgib.Member{Name: deltaData, Value: data.Without(memberPools)},
		ibgib.Member{Name: deltaFresh, Value: ibgib.Array(pairs...)},
		ibgib.Member{Name: deltaHash, Value: ibgib.String(g.Hash().String())},
		ibgib.Member{Name: deltaPast, Value: ibgib.Bool(len(g.Rel(relPast)) > 1)},
	).Append(nil)
}

// FromDelta returns the frame that AppendDelta wrote against prev. The frame
// has passed the gate; that it is authorised is still to be found out. The error
// wraps ErrDelta.
func FromDelta(prev ibgib.IbGib, delta []byte) (ibgib.IbGib, error) {
	fail := func(why string) (ibgib.IbGib, error) {
		return ibgib.IbGib{}, fmt.Errorf("keystone: from delta: %w: %s", ErrDelta, why)
	}
	v, err := ibgib.ParseValue(delta)
	if err != nil {
		return fail(err.Error())
	}
	before, err := Parse(prev)
	if err != nil {
		return fail(err.Error())
	}
	data, _ := v.Get(deltaData)
	var found findings
	i, left, ok := used(before.Pools, found.proofs(data))
	if !ok || !found.none() {
		return fail("no proof by a pool of the frame before")
	}
	fresh, _ := v.Get(deltaFresh)
	if len(fresh.Items()) > MaxPoolSize {
		return fail("too many challenges")
	}
	var challenges []Challenge
	for _, pair := range fresh.Items() {
		if len(pair.Items()) != 2 {
			return fail("a challenge that is no pair")
		}
		id, ok := parseID(pair.Items()[0].Str())
		if !ok {
			return fail("a challenge without an id")
		}
		challenges = append(challenges, Challenge{id, pair.Items()[1].Str()})
	}
	pools := make([]ibgib.Value, len(before.Pools))
	for k, p := range before.Pools {
		if k == i {
			p = left.with(challenges...)
		}
		pools[k] = p.Value()
	}
	g, err := ibgib.New(Ib, data.With(memberPools, ibgib.Array(pools...)), linksAfter(prev, v))
	if err != nil {
		return fail(err.Error())
	}
	// There is one way to write a frame, and the hash is part of it.
	if !bytes.Equal(deltaText(data, challenges, g), delta) {
		return fail("it is not what that frame is written as")
	}
	return g, nil
}

// used finds the pool that a proof solves challenges of, and what is left of it.
func used(pools []Pool, proofs []Proof) (i int, left Pool, ok bool) {
	if len(proofs) != 1 || len(proofs[0].Solutions) == 0 {
		return 0, Pool{}, false
	}
	solutions := proofs[0].Solutions
	i = slices.IndexFunc(pools, func(p Pool) bool { return p.ID() == solutions[0].Pool })
	if i < 0 {
		return 0, Pool{}, false
	}
	var solved []ChallengeID
	for _, s := range solutions {
		solved = append(solved, s.ID)
	}
	left, _ = pools[i].replenishment(solved)
	return i, left, true
}

// linksAfter returns the links of the frame after prev.
func linksAfter(prev ibgib.IbGib, delta ibgib.Value) ibgib.Rel8ns {
	past := []ibgib.Addr{prev.Addr()}
	if whole, _ := delta.Get(deltaPast); whole.Bool() {
		past = append(prev.Rel(relPast), prev.Addr())
	}
	tjp := prev.Rel(relTjp)
	if prev.IsTjp() {
		tjp = []ibgib.Addr{prev.Addr()}
	}
	return ibgib.Rel8ns{
		{Name: relAncestor, Addrs: []ibgib.Addr{root()}},
		{Name: relPast, Addrs: past},
		{Name: relTjp, Addrs: tjp},
	}
}
