package ibgib

import (
	"slices"
	"strconv"
	"strings"
)

// Mut8Options are the options of Mut8. At least one of Ib, Rename, Remove and
// Patch must be given.
type Mut8Options struct {
	Ib string // new ib
	// Rename is an object from member name to new name (a String), or to an
	// object that does the same one level deeper.
	Rename Value
	// Remove is an object from member name to any String, or to an object that
	// does the same one level deeper.
	Remove Value
	// Patch is an object that is merged into the data: objects member by
	// member, all else replaces what is there. A null cannot replace an object.
	Patch        Value
	NCounter     bool     // start counting n if the data has none
	NoTimestamp  bool     // leave the time as it is
	Dna          bool     // record the transform
	LinkedRel8ns []string // lists that keep their newest address only: here past and dna count
	inert        []Member
}

// ParseMut8Options reads options as dna records them; the member type may be
// missing. The error is a *TransformError.
func ParseMut8Options(options Value) (Mut8Options, error) {
	r := optionReader{op: opMut8}
	var o Mut8Options
	for _, m := range r.members(options) {
		switch m.Name {
		case "type":
			r.opType(m)
		case "mut8Ib":
			o.Ib = r.text(m)
		case "dataToRename":
			o.Rename = r.object(m)
		case "dataToRemove":
			o.Remove = r.object(m)
		case "dataToAddOrPatch":
			o.Patch = r.object(m)
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
		return Mut8Options{}, r.err
	}
	return o, o.check()
}

// Value returns the options as dna records them.
func (o Mut8Options) Value() Value {
	var w optionWriter
	w.text("mut8Ib", o.Ib)
	w.value("dataToRename", o.Rename)
	w.value("dataToRemove", o.Remove)
	w.value("dataToAddOrPatch", o.Patch)
	w.flag("nCounter", o.NCounter)
	w.flag("noTimestamp", o.NoTimestamp)
	w.flag("dna", o.Dna)
	w.names("linkedRel8ns", o.LinkedRel8ns)
	w.text("type", opMut8)
	return w.object(o.inert)
}

func (o Mut8Options) check() error {
	if strings.Contains(o.Ib, "^") {
		return fail(opMut8, RuleDelimiter, "mut8Ib %s has a ^, which ends the ib in an address: leave it out", excerpt(o.Ib))
	}
	for _, x := range []Member{{"dataToRename", o.Rename}, {"dataToRemove", o.Remove}, {"dataToAddOrPatch", o.Patch}} {
		if k := x.Value.Kind(); k != KindObject && k != KindAbsent {
			return fail(opMut8, RuleBadOption, "%s must be an object, not %s", x.Name, excerpt(x.Value.String()))
		}
		if hasProto(x.Value) {
			return protoError(opMut8, x.Name)
		}
	}
	if renamesToProto(o.Rename) || renamesToProto(o.Remove) {
		return protoError(opMut8, "a new name")
	}
	return checkNames(opMut8, "linkedRel8ns", o.LinkedRel8ns)
}

func renamesToProto(info Value) bool {
	return slices.ContainsFunc(enumerate(info), func(m Member) bool {
		return m.Value.Str() == protoName || renamesToProto(m.Value)
	})
}

// CheckLocal applies the further rules for changes made here: no unknown
// options, no rel8n names that belong to merges, no data members that every
// change sets itself (isTjp, n, timestamp, timestampMs at the top level), and
// no renaming that only works in the written order, which dna does not keep.
func (o Mut8Options) CheckLocal() error {
	if err := localInert(opMut8, o.inert, "mut8Ib", "dataToRename", "dataToRemove", "dataToAddOrPatch", "nCounter", "noTimestamp", "dna", "linkedRel8ns"); err != nil {
		return err
	}
	for _, m := range o.Rename.Members() {
		if err := localMembers(opMut8, "dataToRename", []string{m.Name, m.Value.Str()}); err != nil {
			return err
		}
	}
	for _, m := range o.Remove.Members() {
		if err := localMembers(opMut8, "dataToRemove", []string{m.Name}); err != nil {
			return err
		}
	}
	if err := localPatch(opMut8, "dataToAddOrPatch", o.Patch); err != nil {
		return err
	}
	if name, ok := orderedRename(o.Rename); ok {
		return fail(opMut8, RuleRenameOrder, "dataToRename has %s as an old and a new name, or twice as a new one: rename in two changes", excerpt(name))
	}
	return localNames(opMut8, "linkedRel8ns", o.LinkedRel8ns)
}

func localPatch(op, option string, patch Value) error {
	for _, m := range patch.Members() {
		if err := localMembers(op, option, []string{m.Name}); err != nil {
			return err
		}
	}
	return nil
}

// orderedRename finds a name for which the order of the renamings matters: it
// is a new name twice, or both an old and a new one.
func orderedRename(info Value) (string, bool) {
	list := enumerate(info)
	used := make(map[string]bool, 2*len(list))
	for _, m := range list {
		used[m.Name] = true
	}
	for _, m := range list {
		if m.Value.Kind() != KindString {
			if name, ok := orderedRename(m.Value); ok {
				return name, true
			}
			continue
		}
		if used[m.Value.Str()] {
			return m.Value.Str(), true
		}
		used[m.Value.Str()] = true
	}
	return "", false
}

// Mut8 makes the next frame after src with changed data or another ib: it
// renames, then removes, then patches, then sets the time and n. A src that is
// a tjp becomes the tjp of the new frame. Errors are *TransformError.
func Mut8(src IbGib, o Mut8Options, env Env) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	return mut8(src, o, env.stamp)
}

func mut8(src IbGib, o Mut8Options, now func() Stamp) (Result, error) {
	d, err := frameSource(opMut8, src)
	if err != nil {
		return Result{}, err
	}
	if err := o.change(&d); err != nil {
		return Result{}, err
	}
	return advance(opMut8, d, stepOptions{o.LinkedRel8ns, o.NoTimestamp, o.Dna, o.NCounter, o.Value}, now)
}

// change applies what the options say about content; the rest of a frame
// (time, n, past, tjp, dna) is left alone.
func (o Mut8Options) change(d *draft) error {
	if o.Ib == "" && o.Rename.Kind() == KindAbsent && o.Remove.Kind() == KindAbsent && o.Patch.Kind() == KindAbsent {
		return fail(opMut8, RuleNothingToDo, "nothing is changed: give mut8Ib, dataToRename, dataToRemove or dataToAddOrPatch")
	}
	var err error
	if o.Rename.Kind() != KindAbsent {
		if d.data, err = rename(d.data, o.Rename, false, "dataToRename"); err != nil {
			return err
		}
	}
	if o.Remove.Kind() != KindAbsent {
		if d.data, err = rename(d.data, o.Remove, true, "dataToRemove"); err != nil {
			return err
		}
	}
	if o.Patch.Kind() != KindAbsent {
		if d.data.Kind() != KindObject && len(o.Patch.Members()) > 0 {
			return fail(opMut8, RuleNotObject, "the data of %s is not an object, so it cannot be patched", excerpt(d.from.String()))
		}
		if d.data.Kind() == KindObject {
			if d.data, err = patch(d.data, o.Patch, "dataToAddOrPatch"); err != nil {
				return err
			}
		}
	}
	if o.Ib != "" {
		d.ib = o.Ib
	}
	return nil
}

// rename returns v with members renamed, or with removing set, removed. A
// String in info does it, anything else leads into the member; names that v
// does not have are passed over. path is where info stands in the options.
// Recursion is bounded by the depth of v.
func rename(v, info Value, removing bool, path string) (Value, error) {
	changes := enumerate(info)
	if len(changes) == 0 {
		return v, nil
	}
	var members edit[Value]
	var items []Value
	switch v.Kind() {
	case KindObject:
		members = editMembers(v)
	case KindArray:
		items = slices.Clone(v.Items())
	}
	for _, c := range changes {
		at := indexOf(c.Name, len(items))
		switch {
		case c.Name == "timestamp":
			return Value{}, timestampError(path)
		case v.Kind() == KindNull || v.Kind() == KindString && indexOf(c.Name, unitCount(v.Str())) >= 0:
			return Value{}, fail(opMut8, RuleNotObject, "%s leads into %s, which has no members", path, excerpt(v.String()))
		}
		old, found := Value{}, at >= 0
		if found {
			old = items[at]
		} else {
			old, found = members.get(c.Name)
		}
		if !found {
			continue
		}
		if c.Value.Kind() == KindString {
			if c.Value.Str() == "timestamp" {
				return Value{}, timestampError(path)
			}
			if at >= 0 {
				return Value{}, fail(opMut8, RuleArrayElement, "%s names element %d of a list, which would leave a hole: patch the whole list instead", path, at)
			}
			if !removing {
				members.set(c.Value.Str(), old)
			}
			members.remove(c.Name)
			continue
		}
		if c.Value.Kind() == KindNull {
			return Value{}, fail(opMut8, RuleBadOption, "%s.%s must be a text or an object, not null", path, excerpt(c.Name))
		}
		changed, err := rename(old, c.Value, removing, path+"."+excerpt(c.Name))
		if err != nil {
			return Value{}, err
		}
		if at >= 0 {
			items[at] = changed
		} else {
			members.set(c.Name, changed)
		}
	}
	switch v.Kind() {
	case KindObject:
		return objectOf(&members), nil
	case KindArray:
		return Array(items...), nil
	}
	return v, nil
}

func timestampError(path string) error {
	return fail(opMut8, RuleReservedMember, "%s names timestamp, which every change sets itself: leave it out", path)
}

// unitCount returns the length that JavaScript gives a text, in UTF-16 code units.
func unitCount(wtf8 string) int {
	n := 0
	for i := range len(wtf8) {
		switch c := wtf8[i]; {
		case c >= 0xF0:
			n += 2
		case c&0xC0 != 0x80:
			n++
		}
	}
	return n
}

// indexOf returns which of n elements a name means, -1 if none.
func indexOf(name string, n int) int {
	if n == 0 {
		return -1
	}
	i, err := strconv.Atoi(name)
	if err != nil || i < 0 || i >= n || strconv.Itoa(i) != name {
		return -1
	}
	return i
}

// patch returns the Object v with the members of the Object p merged in.
// Recursion is bounded by the depth of both.
func patch(v, p Value, path string) (Value, error) {
	members := editMembers(v)
	for _, m := range p.Members() {
		if m.Value.Kind() == KindAbsent {
			continue
		}
		old, _ := members.get(m.Name)
		if old.Kind() == KindObject {
			switch m.Value.Kind() {
			case KindNull:
				return Value{}, fail(opMut8, RuleNullOverObject, "%s.%s is null where the data has an object: remove the member with dataToRemove instead", path, excerpt(m.Name))
			case KindObject:
				merged, err := patch(old, m.Value, path+"."+excerpt(m.Name))
				if err != nil {
					return Value{}, err
				}
				members.set(m.Name, merged)
				continue
			}
		}
		members.set(m.Name, m.Value)
	}
	return objectOf(&members), nil
}
