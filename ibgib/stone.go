package ibgib

import "strings"

// StoneOptions are the options of Stone.
type StoneOptions struct {
	Ib     string
	Parent string // ib of the primitive that is the ancestor
	Data   Value  // absent for none
	UUID   bool   // put a fresh id into data.uuid, so that equal stones differ
}

// Stone makes a constant: an ibGib with data and an ancestor, but without
// past, tjp and dna, and with a bare hash for its gib. It bears no time; only
// env.UUID is used. Errors are *TransformError.
func Stone(o StoneOptions, env Env) (IbGib, error) {
	switch {
	case strings.Contains(o.Ib, "^"):
		return IbGib{}, fail(opStone, RuleDelimiter, "ib %s has a ^, which ends the ib in an address: leave it out", excerpt(o.Ib))
	case hasProto(o.Data):
		return IbGib{}, protoError(opStone, "data")
	}
	parent, err := ParseAddr(o.Parent + "^" + primitiveGib)
	if err != nil {
		return IbGib{}, &TransformError{Op: opStone, Rule: RuleBadOption, Err: err, Detail: "the parent must be the ib of a primitive, not " + excerpt(o.Parent)}
	}
	if isTjp, _ := o.Data.Get("isTjp"); isTjp.Truthy() {
		return IbGib{}, fail(opStone, RuleReservedMember, "data has isTjp, which would make the stone the first frame of a timeline: leave it out, or use firstGen")
	}
	data := o.Data
	if o.UUID {
		if !data.IsNoData() && data.Kind() != KindObject {
			return IbGib{}, fail(opStone, RuleNotObject, "the data is not an object and cannot take a uuid: put it into one")
		}
		data = data.With("uuid", String(env.UUID()))
	}
	return gated(opStone, o.Ib, data, Rel8ns{{Name: "ancestor", Addrs: []Addr{parent}}})
}
