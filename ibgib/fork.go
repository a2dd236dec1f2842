package ibgib

import (
	"slices"
	"strings"
)

// ForkOptions are the options of Fork.
type ForkOptions struct {
	DestIb       string     // ib of the fork; empty gives it the ib "ib"
	CloneData    bool       // start from the data of the source
	CloneRel8ns  bool       // start from its rel8ns (without tjp), past and dna included
	Tjp          TjpOptions // makes the fork the first frame of a timeline
	UUID         bool       // put a fresh id into data.uuid
	NCounter     bool       // put n = 0 into the data
	NoTimestamp  bool       // bear no time; not together with Tjp.Timestamp
	Dna          bool       // record the transform
	LinkedRel8ns []string   // lists that keep their newest address only: here ancestor and dna count
	inert        []Member
}

// TjpOptions make a fork the first frame of a timeline (its tjp) and say what
// makes that frame unique. The zero value makes no timeline.
type TjpOptions struct {
	UUID      bool // a fresh id in data.uuid
	Timestamp bool // the time
	given     bool // as an object without effect
	inert     []Member
}

// On reports whether a timeline is asked for.
func (t TjpOptions) On() bool { return t.UUID || t.Timestamp }

func (r *optionReader) tjp(m Member) TjpOptions {
	v := r.object(m)
	if v.Kind() == KindAbsent {
		return TjpOptions{}
	}
	t := TjpOptions{given: true}
	inner := optionReader{op: r.op}
	for _, m := range v.Members() {
		switch m.Name {
		case "uuid":
			t.UUID = inner.flag(m)
		case "timestamp":
			t.Timestamp = inner.flag(m)
		default:
			inner.keep(m)
		}
	}
	t.inert = inner.inert
	if r.err == nil {
		r.err = inner.err
	}
	return t
}

func (w *optionWriter) tjp(t TjpOptions) {
	if !t.On() && !t.given {
		return
	}
	var inner optionWriter
	inner.flag("uuid", t.UUID)
	inner.flag("timestamp", t.Timestamp)
	w.value("tjp", inner.object(t.inert))
}

// ParseForkOptions reads options as dna records them; the member type may be
// missing. The error is a *TransformError.
func ParseForkOptions(options Value) (ForkOptions, error) {
	r := optionReader{op: opFork}
	var o ForkOptions
	for _, m := range r.members(options) {
		switch m.Name {
		case "type":
			r.opType(m)
		case "destIb":
			o.DestIb = r.text(m)
		case "cloneData":
			o.CloneData = r.flag(m)
		case "cloneRel8ns":
			o.CloneRel8ns = r.flag(m)
		case "tjp":
			o.Tjp = r.tjp(m)
		case "uuid":
			o.UUID = r.flag(m)
		case "nCounter":
			o.NCounter = r.flag(m)
		case "noTimestamp":
			o.NoTimestamp = r.flag(m)
		case "dna":
			o.Dna = r.flag(m)
		case "linkedRel8ns":
			o.LinkedRel8ns = r.names(m)
		default:
			r.other(m)
		}
	}
	o.inert = r.inert
	if r.err != nil {
		return ForkOptions{}, r.err
	}
	return o, o.check()
}

// Value returns the options as dna records them.
func (o ForkOptions) Value() Value {
	var w optionWriter
	w.text("destIb", o.DestIb)
	w.flag("cloneData", o.CloneData)
	w.flag("cloneRel8ns", o.CloneRel8ns)
	w.tjp(o.Tjp)
	w.flag("uuid", o.UUID)
	w.flag("nCounter", o.NCounter)
	w.flag("noTimestamp", o.NoTimestamp)
	w.flag("dna", o.Dna)
	w.names("linkedRel8ns", o.LinkedRel8ns)
	w.text("type", opFork)
	return w.object(o.inert)
}

func (o ForkOptions) check() error {
	switch {
	case strings.Contains(o.DestIb, "^"):
		return fail(opFork, RuleDelimiter, "destIb %s has a ^, which ends the ib in an address: leave it out", excerpt(o.DestIb))
	case o.NoTimestamp && o.Tjp.Timestamp:
		return fail(opFork, RuleBadOption, "noTimestamp and tjp.timestamp contradict each other: drop one of them")
	}
	return checkNames(opFork, "linkedRel8ns", o.LinkedRel8ns)
}

// CheckLocal applies the further rules for changes made here: no unknown
// options and no rel8n names that belong to merges.
func (o ForkOptions) CheckLocal() error {
	if err := localInert(opFork, o.inert, "destIb", "cloneData", "cloneRel8ns", "tjp", "uuid", "nCounter", "noTimestamp", "dna", "linkedRel8ns"); err != nil {
		return err
	}
	if err := localInert(opFork, o.Tjp.inert, "uuid", "timestamp"); err != nil {
		return err
	}
	return localNames(opFork, "linkedRel8ns", o.LinkedRel8ns)
}

// Fork makes a new ibGib whose ancestor is src, without its past. With
// o.Tjp it is the first frame of a timeline.
//
// Two oddities are those of the TypeScript implementation: a fork of ib^gib
// has no rel8ns, not even its dna; and a fork that would get no data at all
// (NoTimestamp and nothing else) keeps the data of src.
//
// Errors are *TransformError.
func Fork(src Source, o ForkOptions, env Env) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	d, err := forkSource(src)
	if err != nil {
		return Result{}, err
	}
	start, own := d.data, d.data
	if !o.CloneData {
		start = Object()
	}
	if d.bytes && (o.CloneData || o.NoTimestamp && !o.NCounter && !o.UUID && !o.Tjp.On()) {
		return Result{}, fail(opFork, RuleNotObject, "%s holds bytes, which have no members to clone: fork it without cloneData and with a timestamp", excerpt(d.from.String()))
	}

	data := fieldsOf(opFork, start)
	if o.NCounter {
		data.set("n", Number(0))
	}
	if !o.NoTimestamp {
		data.stamp(env.stamp())
	}
	if o.UUID || o.Tjp.UUID {
		data.set("uuid", String(env.UUID()))
	}
	if o.Tjp.On() {
		data.set("isTjp", Bool(true))
	} else if v, _ := data.list.get("isTjp"); v.Truthy() {
		data.list.remove("isTjp")
	}
	d.data, err = data.value()
	if err != nil {
		return Result{}, err
	}
	if d.data.IsNoData() {
		d.data = own
	}

	rel8ns := Rel8ns{}
	if o.CloneRel8ns {
		rel8ns = d.rel8ns.Without("tjp")
	}
	ancestor := rel8ns.Get("ancestor")
	if slices.Contains(o.LinkedRel8ns, "ancestor") {
		ancestor = nil
	}
	rel8ns = rel8ns.With("ancestor", extended(ancestor, d.from))

	var res Result
	if o.Dna {
		dna, err := newDna(opFork, o.Value())
		if err != nil {
			return Result{}, err
		}
		res.Dna = []IbGib{dna}
		rel8ns = linkDna(rel8ns, dna, o.LinkedRel8ns)
	}
	if d.from.String() == rootAddr {
		rel8ns = nil
	}
	destIb := o.DestIb
	if destIb == "" {
		destIb = rootIb
	}
	res.New, err = gated(opFork, destIb, d.data, rel8ns)
	return res, err
}

// The root is the primitive that everything can start from.
const (
	rootIb   = "ib"
	rootAddr = "ib^gib"
)

func forkSource(src Source) (draft, error) {
	if src == nil {
		return draft{}, fail(opFork, RuleNoSource, "no source was given: fork an ibGib, or a primitive such as ib^gib")
	}
	d := src.source()
	if d.from.IsZero() {
		return draft{}, fail(opFork, RuleNoSource, "the source is no ibGib")
	}
	if _, ok := src.(Addr); ok && !d.from.IsPrimitive() {
		return draft{}, fail(opFork, RuleNoSource, "the source %s is only an address: load that ibGib first", excerpt(d.from.String()))
	}
	return d, nil
}
