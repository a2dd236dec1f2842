package saga

import (
	"crypto/sha256"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// A side may have forgotten timelines: it wants nothing of them, and has no entries of
// them. Both sides say which these are before they compare, and leave them out on both
// sides: they are in no row and in no result digest, and so keep nobody from being in
// step. Blocks of them still travel where the closure of something else needs them.
//
// The initiator does not know what the responder has forgotten until it has its Ack,
// too late for a fingerprint that is to be equal. So it remembers that of the saga
// before, computes its fingerprint without, and says so by a digest.

// ForgottenDigest names a list of forgotten roots; an empty list is zero.
func ForgottenDigest(roots []ibgib.Hash) [32]byte {
	if len(roots) == 0 {
		return [32]byte{}
	}
	sum := sha256.New()
	for i := range roots {
		sum.Write(roots[i][:])
	}
	return [32]byte(sum.Sum(nil))
}

// withinScope returns those of some roots that are in the scope, as many as may be said.
func withinScope(roots, scope []ibgib.Hash) []ibgib.Hash {
	var in []ibgib.Hash
	for _, root := range roots {
		if inScope(root, scope) && len(in) < MaxForgotten {
			in = append(in, root)
		}
	}
	return in
}

// peerForgot takes what the peer says that it has forgotten.
func (k *knowledge) peerForgot(id ID, roots []ibgib.Hash) *Error {
	if len(roots) > MaxForgotten {
		return overLimit(id, "%d roots forgotten, at most %d", len(roots), MaxForgotten)
	}
	if !ascending(roots) {
		return violation(id, "the forgotten roots are out of order")
	}
	if len(roots) == 0 {
		return nil
	}
	k.peerForgotten = roots
	k.own = leaveOut(k.own, roots)
	k.rest = k.own
	return nil
}

// equals reports whether a fingerprint of the responder is that of the initiator's
// entries, without those that the responder has forgotten.
func (k *knowledge) equals(fingerprint [32]byte) bool {
	if slices.Equal(k.without, k.peerForgotten) {
		return fingerprint == k.fingerprint
	}
	return k.mapped && k.inline && fingerprint == fingerprintOf(k.own)
}

// sameAsPeer reports whether the responder has what the initiator has.
func (k *knowledge) sameAsPeer() bool { return k.comparable && k.fingerprint == k.peerFingerprint }

// leaveOut returns the entries but for those of some roots.
func leaveOut(entries []timeline.Entry, roots []ibgib.Hash) []timeline.Entry {
	if len(roots) == 0 {
		return entries
	}
	var left []timeline.Entry
	for _, e := range entries {
		if !contains(roots, e.Root) {
			left = append(left, e)
		}
	}
	return left
}

func fingerprintOf(entries []timeline.Entry) [32]byte {
	var fp timeline.Fingerprint
	for _, e := range entries {
		fp.Add(e.Digest())
	}
	return fp.Sum()
}

// contains looks for a hash among ascending ones.
func contains(hashes []ibgib.Hash, h ibgib.Hash) bool {
	_, found := slices.BinarySearchFunc(hashes, h, compareHash)
	return found
}

// union returns the hashes of two ascending lists, ascending.
func union(a, b []ibgib.Hash) []ibgib.Hash {
	if len(a) == 0 {
		return b
	}
	all := append(slices.Clone(a), b...)
	sortHashes(all)
	return slices.Compact(all)
}
