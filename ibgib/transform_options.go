package ibgib

import (
	"slices"
	"strings"
)

// The transforms, as the ib of their dna names them.
const (
	opFork     = "fork"
	opMut8     = "mut8"
	opRel8     = "rel8"
	opFirstGen = "firstGen"
	opStone    = "stone"
)

// Options have two forms. In Go they are a struct whose zero fields are
// options that are not given. As a Value they are the object that dna records.
// That object may hold members without effect (an explicit false, a null, an
// option of a later version). Reading it keeps them aside, as inert, so that
// writing it gives the same object; an option that is set after the reading
// takes the place of its inert member.

const protoName = "__proto__"

// optionReader reads the members of an options object one by one. The first
// error stays.
type optionReader struct {
	op    string
	inert []Member
	err   error
}

// members returns the options to read; an absent Value has none.
func (r *optionReader) members(options Value) []Member {
	switch options.Kind() {
	case KindAbsent:
		return nil
	case KindObject:
		return options.Members()
	}
	r.bad("options", "an object", options)
	return nil
}

func (r *optionReader) bad(name, want string, got Value) {
	if r.err == nil {
		r.err = fail(r.op, RuleBadOption, "%s must be %s, not %s", name, want, excerpt(got.String()))
	}
}

// keep records a member that has no effect.
func (r *optionReader) keep(m Member) {
	if m.Value.Kind() == KindAbsent {
		return
	}
	if r.err == nil && (m.Name == protoName || hasProto(m.Value)) {
		r.err = protoError(r.op, "the options")
	}
	r.inert = append(r.inert, m)
}

// other takes a member that is no option of the transform.
func (r *optionReader) other(m Member) {
	if m.Name == "src" || m.Name == "srcAddr" {
		r.bad(m.Name, "left out, because the source is given apart from the options", m.Value)
	}
	r.keep(m)
}

func (r *optionReader) opType(m Member) {
	if m.Value.Kind() != KindString || m.Value.Str() != r.op {
		r.bad(m.Name, r.op, m.Value)
	}
}

func (r *optionReader) flag(m Member) bool {
	if m.Value.Bool() {
		return true
	}
	if m.Value.Truthy() {
		r.bad(m.Name, "true or false", m.Value)
	}
	r.keep(m)
	return false
}

func (r *optionReader) text(m Member) string {
	if s := m.Value.Str(); s != "" {
		return s
	}
	if m.Value.Truthy() {
		r.bad(m.Name, "a text", m.Value)
	}
	r.keep(m)
	return ""
}

func (r *optionReader) object(m Member) Value {
	if m.Value.Kind() == KindObject {
		return m.Value
	}
	if m.Value.Truthy() {
		r.bad(m.Name, "an object", m.Value)
	}
	r.keep(m)
	return Value{}
}

// names reads a list of texts; it is nil only if the option is not given.
func (r *optionReader) names(m Member) []string {
	if m.Value.Kind() != KindArray {
		if m.Value.Truthy() {
			r.bad(m.Name, "a list of rel8n names", m.Value)
		}
		r.keep(m)
		return nil
	}
	list := make([]string, 0, len(m.Value.Items()))
	for _, item := range m.Value.Items() {
		if item.Kind() != KindString {
			r.bad(m.Name, "a list of rel8n names", m.Value)
		}
		list = append(list, item.Str())
	}
	return list
}

// lists reads named lists of addresses; it is nil only if the option is not given.
func (r *optionReader) lists(m Member) Rel8ns {
	v := r.object(m)
	if v.Kind() == KindAbsent {
		return nil
	}
	rel8ns := make(Rel8ns, 0, len(v.Members()))
	for _, list := range v.Members() {
		if list.Value.Kind() != KindArray {
			r.bad(m.Name+"."+excerpt(list.Name), "a list of addresses", list.Value)
			continue
		}
		addrs := make([]Addr, 0, len(list.Value.Items()))
		for _, item := range list.Value.Items() {
			a, err := ParseAddr(item.Str())
			if err != nil && r.err == nil {
				r.err = &TransformError{Op: r.op, Rule: RuleBadOption, Err: err,
					Detail: m.Name + "." + excerpt(list.Name) + " must be a list of whole addresses, ib^gib, but one is " + excerpt(item.String())}
			}
			addrs = append(addrs, a)
		}
		rel8ns = append(rel8ns, Rel8n{Name: list.Name, Addrs: addrs})
	}
	return rel8ns
}

// optionWriter writes the object that dna records.
type optionWriter struct{ list []Member }

func (w *optionWriter) value(name string, v Value) {
	if v.Kind() != KindAbsent {
		w.list = append(w.list, Member{Name: name, Value: v})
	}
}

func (w *optionWriter) flag(name string, set bool) {
	if set {
		w.value(name, Bool(true))
	}
}

func (w *optionWriter) text(name, s string) {
	if s != "" {
		w.value(name, String(s))
	}
}

func (w *optionWriter) names(name string, list []string) {
	if list == nil {
		return
	}
	items := make([]Value, len(list))
	for i, s := range list {
		items[i] = String(s)
	}
	w.value(name, Array(items...))
}

func (w *optionWriter) lists(name string, rel8ns Rel8ns) {
	if rel8ns == nil {
		return
	}
	list := make([]Member, len(rel8ns))
	for i, rel := range rel8ns {
		items := make([]Value, len(rel.Addrs))
		for k, a := range rel.Addrs {
			items[k] = String(a.String())
		}
		list[i] = Member{Name: rel.Name, Value: Array(items...)}
	}
	w.value(name, Object(list...))
}

// object returns what was written, with the inert members that nothing replaced.
func (w *optionWriter) object(inert []Member) Value {
	written := len(w.list)
	for _, m := range inert {
		if !slices.ContainsFunc(w.list[:written], func(x Member) bool { return x.Name == m.Name }) {
			w.list = append(w.list, m)
		}
	}
	return Object(w.list...)
}

// hasProto reports whether the member name __proto__ is anywhere in v.
func hasProto(v Value) bool {
	for _, m := range v.Members() {
		if m.Name == protoName || hasProto(m.Value) {
			return true
		}
	}
	return slices.ContainsFunc(v.Items(), hasProto)
}

func protoError(op, where string) error {
	return fail(op, RuleProtoMember, `the name "__proto__" in %s: JavaScript nodes would not see it, choose another name`, where)
}

func checkNames(op, option string, names []string) error {
	if slices.Contains(names, protoName) {
		return protoError(op, option)
	}
	return nil
}

// The rules below are for changes made here; replay does not know them.

// localNames refuses the rel8n names that merges keep.
func localNames(op, option string, names []string) error {
	for _, name := range names {
		if strings.HasPrefix(name, "ibgib.merge.") || strings.HasPrefix(name, "ibgib.skipped.") {
			return fail(op, RuleReservedRel8n, "%s names %s: names that begin with ibgib.merge. or ibgib.skipped. belong to merges, choose another", option, excerpt(name))
		}
	}
	return nil
}

func localLists(op, option string, rel8ns Rel8ns) error {
	names := make([]string, len(rel8ns))
	for i, rel := range rel8ns {
		names[i] = rel.Name
	}
	return localNames(op, option, names)
}

// localMembers refuses the data members that transforms keep themselves.
func localMembers(op, option string, names []string) error {
	for _, name := range names {
		switch name {
		case "isTjp", "n", "timestamp", "timestampMs":
			return fail(op, RuleReservedMember, "%s names %s, which every change sets itself: leave it out, or put it into an object of its own", option, name)
		}
	}
	return nil
}

// localInert refuses options that nobody knows, which are most likely misspelled.
func localInert(op string, inert []Member, known ...string) error {
	for _, m := range inert {
		if !slices.Contains(known, m.Name) {
			return fail(op, RuleUnknownOption, "%s is no option; there are %s", excerpt(m.Name), strings.Join(known, ", "))
		}
	}
	return nil
}
