package timeline

import (
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// ClosureOptions narrow a closure. The zero value follows every link.
type ClosureOptions struct {
	Skip  func(ibgib.Addr) bool // addresses to leave out, with what only they lead to; may be nil
	Only  []string              // rel8n names to follow; empty for all
	Avoid []string              // rel8n names not to follow; wins over Only
}

func (o ClosureOptions) follows(rel8n string) bool {
	return !slices.Contains(o.Avoid, rel8n) && (len(o.Only) == 0 || slices.Contains(o.Only, rel8n))
}

// Closure returns the roots and everything reachable from them through rel8ns,
// primitives left out, dependencies first, each address once. What get does not
// have is returned in missing, sorted, and not in addrs; roots can be missing
// too. The order follows the roots and the links as they are written, so equal
// input gives equal output. An error of get ends the walk and is returned; addrs
// and missing then hold what was finished.
//
// The walk is iterative. Beside its result it keeps an address for each level of
// depth and some 16 MiB of blocks; it reads each block once, or again when it
// returns to it from further below than that.
func Closure(roots []ibgib.Addr, get Lookup, opts ClosureOptions) (addrs, missing []ibgib.Addr, err error) {
	w := closureWalk{get: get, opts: opts, met: make(map[ibgib.Addr]struct{})}
	err = w.run(roots)
	return w.finish(err)
}

// LiveClosure is Closure that also takes, for every timeline that is met, its
// heads and their closures, until nothing new appears. A timeline is met when
// one of its frames is in the closure. heads returns what the space holds of a
// timeline, nothing for a timeline outside the scope; its error ends the walk.
func LiveClosure(roots []ibgib.Addr, get Lookup, heads func(tjp ibgib.Addr) ([]ibgib.Addr, error), opts ClosureOptions) (addrs, missing []ibgib.Addr, err error) {
	w := closureWalk{get: get, opts: opts, met: make(map[ibgib.Addr]struct{})}
	asked := make(map[ibgib.Addr]struct{})
	var timelines []ibgib.Addr // met, not yet asked for
	w.opened = func(g ibgib.IbGib) {
		if tjp, ok := Claims(g); ok {
			if _, ok := asked[tjp]; !ok {
				asked[tjp] = struct{}{}
				timelines = append(timelines, tjp)
			}
		}
	}
	err = w.run(roots)
	for err == nil && len(timelines) > 0 {
		tjp := timelines[0]
		timelines = timelines[1:]
		var more []ibgib.Addr
		if more, err = heads(tjp); err == nil {
			err = w.run(more)
		}
	}
	return w.finish(err)
}

// closureWalk is the state of Closure and LiveClosure.
type closureWalk struct {
	get    Lookup
	opts   ClosureOptions
	opened func(ibgib.IbGib) // may be nil

	pile    pile
	met     map[ibgib.Addr]struct{}
	addrs   []ibgib.Addr
	missing []ibgib.Addr
}

func (w *closureWalk) run(roots []ibgib.Addr) error {
	for _, root := range roots {
		if !w.wants(root) {
			continue
		}
		w.enter(root)
		for !w.pile.empty() {
			if err := w.step(); err != nil {
				return err
			}
		}
	}
	return nil
}

// step opens the top visit, or goes to its next link, or leaves it.
func (w *closureWalk) step() error {
	v := w.pile.top()
	if !v.open {
		g, err := w.get(v.addr)
		if err != nil {
			return err
		}
		if g.IsZero() {
			w.missing = append(w.missing, v.addr)
			w.pile.pop()
			return nil
		}
		if w.opened != nil {
			w.opened(g)
		}
		var todo []ibgib.Addr
		size := 0
		for name, a := range g.Links() {
			if w.opts.follows(name) && w.wants(a) {
				todo = append(todo, a)
				size += addrCost(a)
			}
		}
		w.pile.open(ibgib.IbGib{}, size, todo)
		return nil
	}
	for len(v.todo) > 0 {
		a := v.todo[0]
		v.todo = v.todo[1:]
		if w.wants(a) {
			w.enter(a)
			return nil
		}
	}
	w.addrs = append(w.addrs, v.addr)
	w.pile.pop()
	return nil
}

func (w *closureWalk) wants(a ibgib.Addr) bool {
	if a.IsZero() || a.IsPrimitive() {
		return false
	}
	if _, ok := w.met[a]; ok {
		return false
	}
	return w.opts.Skip == nil || !w.opts.Skip(a)
}

func (w *closureWalk) enter(a ibgib.Addr) {
	w.met[a] = struct{}{}
	w.pile.push(a)
}

func (w *closureWalk) finish(err error) (addrs, missing []ibgib.Addr, _ error) {
	slices.SortFunc(w.missing, ibgib.CompareAddr)
	return w.addrs, w.missing, err
}

// addrCost is about the memory of an address in bytes.
func addrCost(a ibgib.Addr) int { return len(a.String()) + 16 }
