package ibgib

import "slices"

// Rel8Options are the options of Rel8. At least one list must be added to or
// removed from.
type Rel8Options struct {
	// Add appends addresses to lists; those that a list has already are passed over.
	Add Rel8ns
	// Remove takes addresses out of lists; a list that gets empty goes away.
	Remove       Rel8ns
	NCounter     bool     // start counting n if the data has none
	NoTimestamp  bool     // leave the time as it is
	Dna          bool     // record the transform
	LinkedRel8ns []string // lists that keep their newest address only
	inert        []Member
}

// ParseRel8Options reads options as dna records them; the member type may be
// missing. The error is a *TransformError.
func ParseRel8Options(options Value) (Rel8Options, error) {
	r := optionReader{op: opRel8}
	var o Rel8Options
	for _, m := range r.members(options) {
		switch m.Name {
		case "type":
			r.opType(m)
		case "rel8nsToAddByAddr":
			o.Add = r.lists(m)
		case "rel8nsToRemoveByAddr":
			o.Remove = r.lists(m)
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
		return Rel8Options{}, r.err
	}
	return o, o.check()
}

// Value returns the options as dna records them.
func (o Rel8Options) Value() Value {
	var w optionWriter
	w.lists("rel8nsToAddByAddr", o.Add)
	w.lists("rel8nsToRemoveByAddr", o.Remove)
	w.flag("nCounter", o.NCounter)
	w.flag("noTimestamp", o.NoTimestamp)
	w.flag("dna", o.Dna)
	w.names("linkedRel8ns", o.LinkedRel8ns)
	w.text("type", opRel8)
	return w.object(o.inert)
}

func (o Rel8Options) check() error {
	for _, rel := range slices.Concat(o.Add, o.Remove) {
		switch rel.Name {
		case protoName:
			return protoError(opRel8, "the names of the lists")
		case "past", "ancestor", "dna", "tjp":
			return fail(opRel8, RuleReservedRel8n, "%s is kept by the transforms and cannot be changed by hand", rel.Name)
		}
	}
	return checkNames(opRel8, "linkedRel8ns", o.LinkedRel8ns)
}

// CheckLocal applies the further rules for changes made here: no unknown
// options and no rel8n names that belong to merges.
func (o Rel8Options) CheckLocal() error {
	if err := localInert(opRel8, o.inert, "rel8nsToAddByAddr", "rel8nsToRemoveByAddr", "nCounter", "noTimestamp", "dna", "linkedRel8ns"); err != nil {
		return err
	}
	if err := localLists(opRel8, "rel8nsToAddByAddr", o.Add); err != nil {
		return err
	}
	if err := localLists(opRel8, "rel8nsToRemoveByAddr", o.Remove); err != nil {
		return err
	}
	return localNames(opRel8, "linkedRel8ns", o.LinkedRel8ns)
}

// Rel8 makes the next frame after src with changed links. A src that is a tjp
// becomes the tjp of the new frame. Errors are *TransformError.
func Rel8(src IbGib, o Rel8Options, env Env) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	return rel8(src, o, env.stamp)
}

func rel8(src IbGib, o Rel8Options, now func() Stamp) (Result, error) {
	d, err := frameSource(opRel8, src)
	if err != nil {
		return Result{}, err
	}
	if err := o.change(&d); err != nil {
		return Result{}, err
	}
	return advance(opRel8, d, stepOptions{o.LinkedRel8ns, o.NoTimestamp, o.Dna, o.NCounter, o.Value}, now)
}

// change applies what the options say about content; the rest of a frame
// (time, n, past, tjp, dna) is left alone, but for the trimming of linked lists.
func (o Rel8Options) change(d *draft) error {
	if len(o.Add) == 0 && len(o.Remove) == 0 {
		return fail(opRel8, RuleNothingToDo, "no link is added or removed: give rel8nsToAddByAddr or rel8nsToRemoveByAddr")
	}
	lists := editRel8ns(d.rel8ns)
	for _, rel := range o.Add {
		old, err := listToChange(&lists, rel.Name)
		if err != nil {
			return err
		}
		lists.set(rel.Name, slices.Concat(old, without(rel.Addrs, old)))
	}
	for _, rel := range o.Remove {
		old, err := listToChange(&lists, rel.Name)
		if err != nil {
			return err
		}
		if left := without(old, rel.Addrs); len(left) > 0 {
			lists.set(rel.Name, left)
		} else {
			lists.remove(rel.Name)
		}
	}
	for _, name := range o.LinkedRel8ns {
		if list, _ := lists.get(name); len(list) > 1 {
			lists.set(name, list[len(list)-1:])
		}
	}
	d.rel8ns = rel8nsOf(&lists)
	return nil
}

// listToChange returns the list of that name. A new list must not have a name
// that every JavaScript object answers to: the TypeScript code fails on it.
func listToChange(lists *edit[[]Addr], name string) ([]Addr, error) {
	list, ok := lists.get(name)
	if ok {
		return list, nil
	}
	switch name {
	case "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString",
		"valueOf", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__":
		return nil, fail(opRel8, RuleReservedRel8n, "%s is the name of something in every JavaScript object: choose another", name)
	}
	return nil, nil
}

// without returns the addresses of list that are not in drop.
func without(list, drop []Addr) []Addr {
	if len(drop) == 0 {
		return list
	}
	dropped := make(map[Addr]bool, len(drop))
	for _, a := range drop {
		dropped[a] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(a Addr) bool { return dropped[a] })
}
