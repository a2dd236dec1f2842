package timeline

import (
	"maps"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Overridden is a write of one op in whose place a concurrent op put something
// else, because it came later in the replay. An absent value is one that was
// removed.
type Overridden struct {
	Tjp  ibgib.Addr
	Path []string // ["ib"]; ["data", name, ...]; ["rel8ns", name], of which the values are an address

	Lost   ibgib.Value
	LostBy ibgib.Addr // the frame whose write was overridden
	Won    ibgib.Value
	WonBy  ibgib.Addr // the frame whose write is in effect, or was overridden in turn
}

// MaxOverridden is how many overridden writes Merge lists. Beyond that, and some work, it
// looks for no more: the list is for people to read.
const (
	MaxOverridden  = 1000
	overriddenWork = 10_000_000 // links between frames passed to tell what an op had seen
)

// writes keeps who wrote what during a replay, above the base.
type writes struct {
	root       written
	overridden []Overridden
	work       int
	places     int // that were written, some of them more than once
}

// written is the last write at one place of the state, and those below it. Only
// what holds no further members is a value here; an object is what is below.
type written struct {
	by    ibgib.Addr // zero: nobody
	value ibgib.Value
	below map[string]*written
}

// collision is a write that another one took the place of.
type collision struct {
	path []string
	lost written
	won  ibgib.Value
}

// writer collects what one op collides with.
type writer struct {
	by         ibgib.Addr
	collisions []collision
	places     int
}

// note enters the writes of the op at node i, whose dna has just led from one state
// to the next.
func (w *writes) note(d *divergence, i int, dna ibgib.IbGib, before, after ibgib.State) {
	if len(w.overridden) >= MaxOverridden || w.work >= overriddenWork {
		return
	}
	o := writer{by: d.nodes[i].Addr}
	switch dna.Ib() {
	case "mut8":
		if c, err := ibgib.ParseMut8Options(dna.Data()); err == nil {
			data := w.root.at("data")
			o.rename([]string{"data"}, data, c.Rename, before.Data)
			o.remove([]string{"data"}, data, c.Remove)
			o.patch([]string{"data"}, data, c.Patch)
			if c.Ib != "" {
				o.put([]string{"ib"}, w.root.at("ib"), ibgib.String(c.Ib))
			}
		}
	case "rel8":
		if c, err := ibgib.ParseRel8Options(dna.Data()); err == nil {
			o.link(w.root.at("rel8ns"), c, after.Rel8ns)
		}
	}
	w.places += o.places
	w.list(d, i, o.collisions)
}

// list enters those collisions with writes that the op at node i had not seen.
func (w *writes) list(d *divergence, i int, collisions []collision) {
	deepest := -1
	for _, c := range collisions {
		h, _ := c.lost.by.Hash()
		deepest = max(deepest, d.at[h])
	}
	if deepest < 0 {
		return
	}
	// What is below comes later among the nodes, so the walk ends at the deepest.
	if d.seenBy == nil {
		d.seenBy = make([]int, len(d.nodes))
	}
	for todo := []int{i}; len(todo) > 0; {
		k := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, below := range d.nodes[k].below {
			w.work++
			if below <= deepest && d.seenBy[below] != i+1 {
				d.seenBy[below] = i + 1
				todo = append(todo, below)
			}
		}
	}
	for _, c := range collisions {
		h, _ := c.lost.by.Hash()
		if d.seenBy[d.at[h]] != i+1 && len(w.overridden) < MaxOverridden {
			w.overridden = append(w.overridden, Overridden{
				Tjp: d.base.Tjp, Path: c.path,
				Lost: c.lost.value, LostBy: c.lost.by, Won: c.won, WonBy: d.nodes[i].Addr,
			})
		}
	}
}

func (w *written) at(name string) *written {
	next := w.below[name]
	if next == nil {
		if w.below == nil {
			w.below = make(map[string]*written)
		}
		next = new(written)
		w.below[name] = next
	}
	return next
}

// put writes a value that is no object with members, or removes what is there.
func (o *writer) put(path []string, at *written, v ibgib.Value) {
	o.places++
	o.collide(path, *at, v)
	for _, name := range slices.Sorted(maps.Keys(at.below)) {
		o.clear(append(path, name), at.below[name])
	}
	*at = written{by: o.by, value: v}
}

// clear takes away what was written at and below a place.
func (o *writer) clear(path []string, at *written) {
	o.collide(path, *at, ibgib.Value{})
	for _, name := range slices.Sorted(maps.Keys(at.below)) {
		o.clear(append(path, name), at.below[name])
	}
}

func (o *writer) collide(path []string, lost written, won ibgib.Value) {
	if !lost.by.IsZero() && lost.by != o.by && !ibgib.EqualValue(lost.value, won) {
		o.collisions = append(o.collisions, collision{slices.Clone(path), lost, won})
	}
}

// patch merges an object in: its members are written, its objects are merged.
func (o *writer) patch(path []string, at *written, patch ibgib.Value) {
	for _, m := range patch.Members() {
		next, path := at.at(m.Name), append(path, m.Name)
		if m.Value.Kind() != ibgib.KindObject {
			o.put(path, next, m.Value)
			continue
		}
		o.collide(path, *next, m.Value) // with what is no object
		next.by, next.value = ibgib.Addr{}, ibgib.Value{}
		o.patch(path, next, m.Value)
	}
}

// rename moves those members that the state has, with what was written there.
func (o *writer) rename(path []string, at *written, info, state ibgib.Value) {
	if len(info.Members()) == 0 {
		return
	}
	members := make(map[string]ibgib.Value)
	for _, m := range state.Members() {
		members[m.Name] = m.Value
	}
	for _, m := range info.Members() {
		v, ok := members[m.Name]
		if !ok {
			continue
		}
		if m.Value.Kind() != ibgib.KindString {
			o.rename(append(path, m.Name), at.at(m.Name), m.Value, v)
			continue
		}
		moved, to := *at.at(m.Name), m.Value.Str()
		if moved.by.IsZero() && v.Kind() != ibgib.KindObject {
			moved.by, moved.value = o.by, v
		}
		o.clear(append(path, to), at.at(to))
		*at.at(m.Name) = written{by: o.by}
		*at.at(to) = moved
	}
}

// remove removes members. Those that the state does not have were removed before.
func (o *writer) remove(path []string, at *written, info ibgib.Value) {
	for _, m := range info.Members() {
		if path, next := append(path, m.Name), at.at(m.Name); m.Value.Kind() == ibgib.KindString {
			o.put(path, next, ibgib.Value{})
		} else {
			o.remove(path, next, m.Value)
		}
	}
}

// link adds and removes addresses, each a place of its own in its list.
func (o *writer) link(at *written, c ibgib.Rel8Options, after ibgib.Rel8ns) {
	for _, rel := range c.Add {
		for _, a := range rel.Addrs {
			o.put([]string{"rel8ns", rel.Name}, at.at(rel.Name).at(a.String()), ibgib.String(a.String()))
		}
	}
	for _, rel := range c.Remove {
		for _, a := range rel.Addrs {
			o.put([]string{"rel8ns", rel.Name}, at.at(rel.Name).at(a.String()), ibgib.Value{})
		}
	}
	for _, name := range c.LinkedRel8ns {
		list, ok := at.below[name]
		left := after.Get(name)
		if !ok || len(left) != 1 {
			continue
		}
		newest := left[0].String()
		for _, a := range slices.Sorted(maps.Keys(list.below)) {
			if was := list.below[a]; a != newest && was.value.Kind() == ibgib.KindString {
				o.collide([]string{"rel8ns", name}, *was, ibgib.String(newest))
			}
		}
		list.below = map[string]*written{newest: list.at(newest)} // or each trim would cost as many
	}
}
