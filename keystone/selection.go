package keystone

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ibgib/ibgib-node/ibgib"
)

// ExhaustedError says that a pool has too few free challenges for a claim.
type ExhaustedError struct {
	Pool string
	Need int // challenges that the step needs
	Have int // challenges that are free for it
	// Digit is the digit of the target whose bucket is empty, 0 if it is not about
	// a bucket.
	Digit byte
}

func (e *ExhaustedError) Error() string {
	if e.Digit != 0 {
		return fmt.Sprintf("keystone: pool %s is exhausted: no free challenge for the digit %q of the target", clip(e.Pool), e.Digit)
	}
	return fmt.Sprintf("keystone: pool %s is exhausted: %d free challenges, %d needed", clip(e.Pool), e.Have, e.Need)
}

// selection is what a proof has to solve of a pool.
type selection struct {
	mandatory []ChallengeID // in the order in which they are solved
	free      []ChallengeID // the others, in member order; Randomly of them are solved too
}

// choose finds out which challenges a proof about target has to solve, none
// counted twice: the demanded ones; for each of the first digits of the target's
// gib the first free one of its bucket; the first free ones in member order. The
// demands have to be in the pool. The error is an *ExhaustedError.
func (p Pool) choose(target ibgib.Addr, demands []ChallengeID) (selection, error) {
	b := p.Config.Behavior
	var s selection
	s.free = make([]ChallengeID, len(p.Challenges))
	for i, c := range p.Challenges {
		s.free[i] = c.ID
	}
	for _, id := range demands {
		s.take(id)
	}
	gib := strings.ToLower(target.Gib())
	for _, digit := range []byte(gib[:min(b.BindingChars, len(gib))]) {
		i := slices.IndexFunc(p.Buckets, func(b Bucket) bool { return b.Digit == digit })
		took := false
		if i >= 0 {
			took = slices.ContainsFunc(p.Buckets[i].IDs, s.take)
		}
		if !took {
			return s, &ExhaustedError{Pool: p.ID(), Need: 1, Digit: digit}
		}
	}
	if need := b.Sequentially + b.Randomly; len(s.free) < need {
		return s, &ExhaustedError{Pool: p.ID(), Need: need, Have: len(s.free)}
	}
	s.mandatory = append(s.mandatory, s.free[:b.Sequentially]...)
	s.free = s.free[b.Sequentially:]
	return s, nil
}

// take moves an id from the free ones to the mandatory ones, if it is free.
func (s *selection) take(id ChallengeID) bool {
	i := slices.Index(s.free, id)
	if i < 0 {
		return false
	}
	s.free = slices.Delete(s.free, i, i+1)
	s.mandatory = append(s.mandatory, id)
	return true
}
