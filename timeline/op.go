package timeline

import (
	"cmp"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// op is what replay has to know of a user frame that its newest dna reproduces
// from its predecessor. Without dna the frame is opaque: nothing says what it did.
type op struct {
	stamp ibgib.Stamp
	dna   ibgib.Addr
}

// opKey orders what is replayed: by instant, then n, then HASH.
type opKey struct {
	instant int64 // milliseconds since 1970
	n       int64 // -1 for none
	hash    ibgib.Hash
}

func keyOf(f Frame, stamp ibgib.Stamp) opKey {
	return opKey{stamp.At.UnixMilli(), f.order(), f.Hash()}
}

func compareKeys(a, b opKey) int {
	return cmp.Or(cmp.Compare(a.instant, b.instant), cmp.Compare(a.n, b.n), compareHash(a.hash, b.hash))
}

// opOf returns the op that g, a frame after pred, is by its newest dna.
func opOf(g, pred, dna ibgib.IbGib) op {
	stamp, ok := ibgib.StampOf(g)
	if !ok || setsOwnMembers(dna) {
		return op{}
	}
	made, err := ibgib.Replay(pred, dna.Ib(), dna.Data(), stamp)
	if err != nil || made.New.Addr() != g.Addr() {
		return op{}
	}
	return op{stamp, dna.Addr()}
}

// setsOwnMembers reports whether a dna renames, removes or patches a member of
// the data that every frame sets anew. Replayed elsewhere, it would set it again.
func setsOwnMembers(dna ibgib.IbGib) bool {
	if dna.Ib() != "mut8" {
		return false
	}
	o, err := ibgib.ParseMut8Options(dna.Data())
	if err != nil {
		return false
	}
	for _, change := range []ibgib.Value{o.Rename, o.Remove, o.Patch} {
		for _, m := range change.Members() {
			if isOwnMember(m.Name) {
				return true
			}
		}
	}
	return slices.ContainsFunc(o.Rename.Members(), func(m ibgib.Member) bool { return isOwnMember(m.Value.Str()) })
}

// isOwnMember tells the members of data that are no part of the state.
func isOwnMember(name string) bool {
	switch name {
	case memberN, memberTimestamp, memberTimestampMs, memberIsTjp:
		return true
	}
	return false
}

// isOwnRel8n tells the lists that are no part of the state.
func isOwnRel8n(name string) bool {
	switch name {
	case relPast, relDna, relTjp, relAncestor, RelMerge, RelSkipped:
		return true
	}
	return false
}

// stateOf returns the state of a frame that replay starts from. Its data is an
// object: the frames above it could not bear a time otherwise.
func stateOf(g ibgib.IbGib) ibgib.State {
	s, _ := ibgib.StateOf(g)
	s.Data = ibgib.Object(slices.DeleteFunc(slices.Clone(s.Data.Members()), func(m ibgib.Member) bool { return isOwnMember(m.Name) })...)
	return withoutOwnRel8ns(s)
}

func withoutOwnRel8ns(s ibgib.State) ibgib.State {
	own := func(r ibgib.Rel8n) bool { return isOwnRel8n(r.Name) }
	if slices.ContainsFunc(s.Rel8ns, own) {
		s.Rel8ns = slices.DeleteFunc(slices.Clone(s.Rel8ns), own)
	}
	return s
}
