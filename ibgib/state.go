package ibgib

import "github.com/ibgib/ibgib-node/ibgib/internal/jsjson"

// State is what mut8 and rel8 change of an ibGib: its content without regard to
// what each frame sets anew. Treat it as immutable; states that follow each other
// share what did not change.
type State struct {
	Ib     string
	Data   Value
	Rel8ns Rel8ns
}

// StateOf returns the content of g as a transform sees it: data that counts as
// none, true and numbers are an empty object. It is false for an ibGib with a
// bytes payload, which no transform changes.
func StateOf(g IbGib) (State, bool) {
	d := g.source()
	if d.bytes {
		return State{}, false
	}
	return State{d.ib, d.data, d.rel8ns}, true
}

// Apply makes the change that dna records, as Replay does, but to the content
// alone: time, n, past, tjp and dna are neither set nor read, and nothing passes
// the gate. op is the ib of the dna, options its data. The error is a
// *TransformError.
func (s State) Apply(op string, options Value) (State, error) {
	d := draft{ib: s.Ib, data: s.Data, rel8ns: s.Rel8ns}
	var err error
	switch op {
	case opMut8:
		var o Mut8Options
		if o, err = ParseMut8Options(options); err == nil {
			err = o.change(&d)
		}
	case opRel8:
		var o Rel8Options
		if o, err = ParseRel8Options(options); err == nil {
			err = o.change(&d)
		}
	default:
		err = notReplayable(op)
	}
	if err != nil {
		return State{}, err
	}
	return State{d.ib, d.data, d.rel8ns}, nil
}

// Size returns the length in bytes of the canonical {ib, data, rel8ns}, absent
// members left out, which is to be held against MaxSize.
func (s State) Size() int {
	size := len(`{"ib":}`) + len(jsjson.AppendQuote(nil, s.Ib))
	if !s.Data.IsNoData() {
		size += len(`,"data":`) + len(s.Data.Append(nil))
	}
	if !s.Rel8ns.IsEmpty() {
		size += len(`,"rel8ns":`) + len(s.Rel8ns.append(nil))
	}
	return size
}
