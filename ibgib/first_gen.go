package ibgib

import "slices"

// FirstGenOptions are the options of FirstGen.
type FirstGenOptions struct {
	Ib           string     // ib of what is made; empty gives it the ib "ib"
	Parent       Source     // what is forked; nil is the root, ib^gib
	Data         Value      // an object that a mut8 patches in; absent for no such step
	Rel8ns       Rel8ns     // links that a rel8 adds; nil for no such step
	Tjp          TjpOptions // makes the fork the first frame of a timeline
	NCounter     bool       // count n, from 0 in the fork
	NoTimestamp  bool       // bear no time
	Dna          bool       // record each step
	LinkedRel8ns []string   // lists that keep their newest address only
	inert        []Member
}

// ParseFirstGenOptions reads options from an object: ib, data, rel8ns, tjp,
// nCounter, noTimestamp, dna and linkedRel8ns. The parent is set by the
// caller. The error is a *TransformError.
func ParseFirstGenOptions(options Value) (FirstGenOptions, error) {
	r := optionReader{op: opFirstGen}
	var o FirstGenOptions
	for _, m := range r.members(options) {
		switch m.Name {
		case "ib":
			o.Ib = r.text(m)
		case "data":
			o.Data = r.object(m)
		case "rel8ns":
			o.Rel8ns = r.lists(m)
		case "tjp":
			o.Tjp = r.tjp(m)
		case "nCounter":
			o.NCounter = r.flag(m)
		case "noTimestamp":
			o.NoTimestamp = r.flag(m)
		case "dna":
			o.Dna = r.flag(m)
		case "linkedRel8ns":
			o.LinkedRel8ns = r.names(m)
		case "parentIbGib":
			r.bad(m.Name, "left out, because the parent is given apart from the options", m.Value)
		default:
			r.keep(m)
		}
	}
	o.inert = r.inert
	if r.err != nil {
		return FirstGenOptions{}, r.err
	}
	return o, o.check()
}

// Value returns the options as an object, without the parent.
func (o FirstGenOptions) Value() Value {
	var w optionWriter
	w.text("ib", o.Ib)
	w.value("data", o.Data)
	w.lists("rel8ns", o.Rel8ns)
	w.tjp(o.Tjp)
	w.flag("nCounter", o.NCounter)
	w.flag("noTimestamp", o.NoTimestamp)
	w.flag("dna", o.Dna)
	w.names("linkedRel8ns", o.LinkedRel8ns)
	return w.object(o.inert)
}

func (o FirstGenOptions) check() error {
	if k := o.Data.Kind(); k != KindObject && o.Data.Truthy() {
		return fail(opFirstGen, RuleBadOption, "data must be an object, not %s", excerpt(o.Data.String()))
	}
	return nil
}

// CheckLocal applies the further rules for changes made here; see those of
// the options of Fork, Mut8 and Rel8.
func (o FirstGenOptions) CheckLocal() error {
	if err := localInert(opFirstGen, o.inert, "ib", "data", "rel8ns", "tjp", "nCounter", "noTimestamp", "dna", "linkedRel8ns"); err != nil {
		return err
	}
	if err := localInert(opFirstGen, o.Tjp.inert, "uuid", "timestamp"); err != nil {
		return err
	}
	if err := localPatch(opFirstGen, "data", o.Data); err != nil {
		return err
	}
	if err := localLists(opFirstGen, "rel8ns", o.Rel8ns); err != nil {
		return err
	}
	return localNames(opFirstGen, "linkedRel8ns", o.LinkedRel8ns)
}

// shared returns the inert members that the named options of each step take over.
func (o FirstGenOptions) shared(names ...string) []Member {
	return slices.DeleteFunc(slices.Clone(o.inert), func(m Member) bool { return !slices.Contains(names, m.Name) })
}

// FirstGen forks the parent, then patches in the data and adds the links,
// each in a step of its own. With o.Tjp the steps are the first frames of a
// timeline, and all of them have to be stored. Errors are *TransformError and
// name the step.
func FirstGen(o FirstGenOptions, env Env) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	parent := o.Parent
	if parent == nil {
		parent = Addr{rootAddr}
	}
	forkOptions := ForkOptions{DestIb: o.Ib, Tjp: o.Tjp, NCounter: o.NCounter, NoTimestamp: o.NoTimestamp,
		Dna: o.Dna, LinkedRel8ns: o.LinkedRel8ns,
		inert: o.shared("tjp", "nCounter", "noTimestamp", "dna", "linkedRel8ns")}
	if ib := o.shared("ib"); len(ib) > 0 {
		// An ib without effect is recorded as it was given; only one that is
		// missing is recorded by its default.
		forkOptions.inert = append(forkOptions.inert, Member{Name: "destIb", Value: ib[0].Value})
	} else if o.Ib == "" {
		forkOptions.DestIb = rootIb
	}
	all, err := Fork(parent, forkOptions, env)
	if err != nil {
		return Result{}, err
	}

	inert := o.shared("nCounter", "noTimestamp", "dna", "linkedRel8ns")
	if o.Data.Truthy() {
		step, err := Mut8(all.New, Mut8Options{Patch: o.Data, NCounter: o.NCounter, NoTimestamp: o.NoTimestamp,
			Dna: o.Dna, LinkedRel8ns: o.LinkedRel8ns, inert: inert}, env)
		if err != nil {
			return Result{}, err
		}
		all = all.then(step)
	}
	if o.Rel8ns != nil {
		step, err := Rel8(all.New, Rel8Options{Add: o.Rel8ns, NCounter: o.NCounter, NoTimestamp: o.NoTimestamp,
			Dna: o.Dna, LinkedRel8ns: o.LinkedRel8ns, inert: inert}, env)
		if err != nil {
			return Result{}, err
		}
		all = all.then(step)
	}
	return all, nil
}

// then adds a later step to r.
func (r Result) then(step Result) Result {
	return Result{
		New:          step.New,
		Intermediate: append(r.Intermediate, r.New),
		Dna:          append(r.Dna, step.Dna...),
	}
}
