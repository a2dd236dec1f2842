package keystone

import (
	"math"

	"github.com/ibgib/ibgib-node/ibgib"
)

// layout is how an object was written: the names of its members in their order,
// with the values of those that have no field of their own. What is made here
// has no layout and is written in the order of the fields.
type layout []ibgib.Member

// object writes the fields in the order of the layout, and what the layout lacks
// after that. A field that is absent is left out.
func (l layout) object(fields ...ibgib.Member) ibgib.Value {
	if len(l) == 0 {
		return ibgib.Object(fields...)
	}
	members := make([]ibgib.Member, 0, len(l)+len(fields))
	written := make([]bool, len(fields))
	for _, m := range l {
		for i, f := range fields {
			if f.Name == m.Name {
				m, written[i] = f, true
			}
		}
		members = append(members, m)
	}
	for i, f := range fields {
		if !written[i] {
			members = append(members, f)
		}
	}
	return ibgib.Object(members...)
}

// text returns the canonical text of v as it is inside an array, where the order
// of members counts.
func text(v ibgib.Value) string { return string(ibgib.Array(v).Append(nil)) }

// reader takes the members of one object, and reports what is not as it has to
// be. The fields that it could not read are left zero.
type reader struct {
	found *findings
	at    spot
	path  string // where the object stands, for people
	order layout
	seen  map[string]bool
	bad   bool
}

// open starts to read an object.
func (f *findings) open(v ibgib.Value, at spot, path string) (*reader, []ibgib.Member) {
	r := &reader{found: f, at: at, path: path, seen: make(map[string]bool, 8)}
	if v.Kind() != ibgib.KindObject {
		r.fail("is no object: %s", shown(v))
		return r, nil
	}
	r.order = make(layout, 0, len(v.Members()))
	return r, v.Members()
}

func (r *reader) fail(format string, args ...any) {
	r.bad = true
	r.found.add(RuleForm, r.at, r.path+" "+format, args...)
}

// field notes a member that has a field.
func (r *reader) field(m ibgib.Member) {
	r.order = append(r.order, ibgib.Member{Name: m.Name})
	r.seen[m.Name] = true
}

// other keeps a member that has none.
func (r *reader) other(m ibgib.Member) { r.order = append(r.order, m) }

// need reports members that are missing.
func (r *reader) need(names ...string) {
	if r.bad && len(r.order) == 0 {
		return // no object at all
	}
	for _, name := range names {
		if !r.seen[name] {
			r.fail("has no %s", name)
		}
	}
}

// str reads a text that is not empty.
func (r *reader) str(m ibgib.Member) string {
	r.field(m)
	s := m.Value.Str()
	if s == "" {
		r.fail("has a %s that is no text: %s", m.Name, shown(m.Value))
	}
	return s
}

// name is str with a limit in bytes.
func (r *reader) name(m ibgib.Member, limit int) string {
	s := r.str(m)
	if len(s) > limit {
		r.bad = true
		r.found.add(RuleLimit, r.at, "%s has a %s of %d bytes, the limit is %d", r.path, m.Name, len(s), limit)
		return ""
	}
	return s
}

// maxCount is far above what any rule allows and far below an overflow.
const maxCount = 1 << 20

// count reads an integer that is not negative.
func (r *reader) count(m ibgib.Member) int {
	r.field(m)
	x := m.Value.Number()
	if m.Value.Kind() != ibgib.KindNumber || x < 0 || x > maxCount || x != math.Trunc(x) {
		r.fail("has a %s that is no count: %s", m.Name, shown(m.Value))
		return 0
	}
	return int(x)
}

// list reads an array of at most limit items.
func (r *reader) list(m ibgib.Member, limit int) []ibgib.Value {
	r.field(m)
	if m.Value.Kind() != ibgib.KindArray {
		r.fail("has a %s that is no list: %s", m.Name, shown(m.Value))
		return nil
	}
	items := m.Value.Items()
	if len(items) > limit {
		r.bad = true
		r.found.add(RuleLimit, r.at, "%s has a %s of %d items, the limit is %d", r.path, m.Name, len(items), limit)
		return nil
	}
	return items
}

// id reads a challenge id.
func (r *reader) id(name string, v ibgib.Value) (ChallengeID, bool) {
	id, ok := parseID(v.Str())
	if !ok {
		at := spot{r.at.pool, v.Str()}
		r.bad = true
		r.found.add(RuleForm, at, "%s has a %s that is no challenge id of 16 lower-case hex digits: %s", r.path, name, shown(v))
	}
	return id, ok
}
