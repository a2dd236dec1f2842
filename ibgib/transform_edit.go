package ibgib

import (
	"math"
	"slices"
	"strconv"
)

// edit is a list of named things under change. Setting an existing name
// keeps its place, a new or removed one goes to the end, as in a JavaScript
// object. The zero value is empty.
type edit[V any] struct {
	entries []entry[V]
	live    int
	index   map[string]int // of live entries; built once a search would be long
}

type entry[V any] struct {
	name  string
	value V
	gone  bool
}

// indexFrom is the length from which names are looked up in a map: a peer may
// send objects of any length.
const indexFrom = 24

func (o *edit[V]) find(name string) int {
	if o.index == nil && len(o.entries) >= indexFrom {
		o.index = make(map[string]int, len(o.entries))
		for i, e := range o.entries {
			if !e.gone {
				o.index[e.name] = i
			}
		}
	}
	if o.index != nil {
		if i, ok := o.index[name]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(o.entries, func(e entry[V]) bool { return e.name == name && !e.gone })
}

func (o *edit[V]) get(name string) (V, bool) {
	if i := o.find(name); i >= 0 {
		return o.entries[i].value, true
	}
	var none V
	return none, false
}

func (o *edit[V]) set(name string, v V) {
	if i := o.find(name); i >= 0 {
		o.entries[i].value = v
		return
	}
	if o.index != nil {
		o.index[name] = len(o.entries)
	}
	o.entries = append(o.entries, entry[V]{name: name, value: v})
	o.live++
}

func (o *edit[V]) remove(name string) {
	i := o.find(name)
	if i < 0 {
		return
	}
	o.entries[i] = entry[V]{gone: true}
	delete(o.index, name)
	o.live--
}

// editMembers copies the members of an Object.
func editMembers(v Value) edit[Value] {
	list := v.Members()
	o := edit[Value]{entries: make([]entry[Value], 0, len(list)+4)}
	for _, m := range list {
		if m.Value.Kind() != KindAbsent {
			o.entries = append(o.entries, entry[Value]{name: m.Name, value: m.Value})
		}
	}
	o.live = len(o.entries)
	return o
}

func objectOf(o *edit[Value]) Value {
	list := make([]Member, 0, o.live)
	for _, e := range o.entries {
		if !e.gone {
			list = append(list, Member{Name: e.name, Value: e.value})
		}
	}
	return Object(list...)
}

// editRel8ns copies the list of lists, not the lists.
func editRel8ns(r Rel8ns) edit[[]Addr] {
	o := edit[[]Addr]{entries: make([]entry[[]Addr], 0, len(r)+4), live: len(r)}
	for _, l := range r {
		o.entries = append(o.entries, entry[[]Addr]{name: l.Name, value: l.Addrs})
	}
	return o
}

func rel8nsOf(o *edit[[]Addr]) Rel8ns {
	r := make(Rel8ns, 0, o.live)
	for _, e := range o.entries {
		if !e.gone {
			r = append(r, Rel8n{Name: e.name, Addrs: e.value})
		}
	}
	return r
}

// fields is the data of a frame under change. Data that is not an object is in
// plain; it can be carried along but takes no members.
type fields struct {
	op    string
	list  edit[Value]
	plain Value
	err   error
}

func fieldsOf(op string, data Value) fields {
	if data.Kind() == KindObject {
		return fields{op: op, list: editMembers(data)}
	}
	return fields{op: op, plain: data}
}

func (f *fields) set(name string, v Value) {
	if f.plain.Kind() != KindAbsent && f.err == nil {
		f.err = fail(f.op, RuleNotObject, "the data is not an object and cannot take the member %s: fork it and give the fork an object", excerpt(name))
	}
	f.list.set(name, v)
}

func (f *fields) stamp(s Stamp) {
	date, ms := s.values()
	f.set("timestamp", date)
	if s.NoMs {
		f.list.remove("timestampMs")
		return
	}
	f.set("timestampMs", ms)
}

// count sets n to the number of the next frame, if the data has n or start
// asks for one. A negative n starts over.
func (f *fields) count(start bool) error {
	n, ok := f.list.get("n")
	switch {
	case !ok && !start:
		return nil
	case !ok:
		f.set("n", Number(0))
		return nil
	case n.Kind() != KindNumber || math.Trunc(n.Number()) != n.Number():
		return fail(f.op, RuleCounter, "data.n is not an integer, so the next frame has no number: %s", excerpt(n.String()))
	}
	f.set("n", Number(max(n.Number()+1, 0)))
	return nil
}

func (f *fields) value() (Value, error) {
	if f.plain.Kind() != KindAbsent {
		return f.plain, f.err
	}
	return objectOf(&f.list), f.err
}

// enumerate lists what JavaScript's Object.keys shows of v, in that order.
func enumerate(v Value) []Member {
	if v.Kind() != KindArray {
		return printOrder(v.Members(), true)
	}
	list := make([]Member, len(v.Items()))
	for i, item := range v.Items() {
		list[i] = Member{Name: strconv.Itoa(i), Value: item}
	}
	return list
}
