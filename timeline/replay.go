package timeline

import (
	"errors"

	"github.com/ibgib/ibgib-node/ibgib"
)

// MergeCache is what one computation of a merge leaves for the next one of the
// same timeline: the ops that it recognized, and the state that the replay led
// to. What is new at the end of the replay order then costs only itself; what is
// new elsewhere costs the replay, but not the recognition of all ops. A merge that
// went over its budget goes on where it stopped.
//
// It changes no result. Its size is bounded by the ops above the base and the
// state. The zero value is empty. It must not be used from two goroutines at once.
type MergeCache struct {
	known map[ibgib.Hash]op // ops above the base of the last merge

	start  ibgib.Addr // of the frame whose state the replay started from
	done   []replayed
	state  ibgib.State
	size   int // of the state as ibgib.State has it, or more, but little more than twice
	exact  int // size when it was last measured
	links  int // addresses in the state, or more
	writes writes
}

// replayed is one step of a replay.
type replayed struct {
	op      ibgib.Hash
	applied bool // else skipped
}

// Size returns about how many bytes of memory the cache takes.
func (c *MergeCache) Size() int {
	const each = 300 // an op with its address, its step and its share of maps
	return each*(len(c.known)+len(c.done)+c.writes.places) + c.size
}

// continues reports whether the steps done are the first of this replay.
func (c *MergeCache) continues(start ibgib.Addr, m *merger) bool {
	if c.start != start || len(c.done) > len(m.order) {
		return false
	}
	for k, r := range c.done {
		if r.op != m.d.nodes[m.order[k]].Hash() {
			return false
		}
	}
	return true
}

// replay leads the cache to the state after all ops in order.
func (m *merger) replay() error {
	c := m.cache
	start := m.d.base.Addr
	if m.keep >= 0 {
		start = m.d.nodes[m.keep].Addr
	}
	if !c.continues(start, m) {
		g, err := m.read(start)
		if err != nil {
			return err
		}
		*c = MergeCache{known: c.known, start: start, state: stateOf(g), size: g.Size(), exact: g.Size()}
		for _, rel := range c.state.Rel8ns {
			c.links += len(rel.Addrs)
		}
	}
	for _, i := range m.order[len(c.done):] {
		n := &m.d.nodes[i]
		dna, err := m.dnas.read(m.ops[i].dna, n.Addr)
		if err != nil {
			return err
		}
		if err := m.budget.spend(c.size + dna.Size()); err != nil {
			return err
		}
		before := c.state
		applied, err := c.apply(dna, m.budget)
		if err != nil {
			return err
		}
		if applied {
			c.writes.note(m.d, i, dna, before, c.state)
		}
		c.done = append(c.done, replayed{n.Hash(), applied})
	}
	return nil
}

// apply changes the state as dna records it, unless that is impossible or would
// break a limit of the gate.
func (c *MergeCache) apply(dna ibgib.IbGib, budget *Budget) (applied bool, err error) {
	next, err := c.state.Apply(dna.Ib(), dna.Data())
	if _, ok := errors.AsType[*ibgib.TransformError](err); ok {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	next = withoutOwnRel8ns(next)

	// A change adds at most what its record has, so the state need not be measured
	// each time. The nesting cannot get too deep: what a patch adds lies one level
	// deeper in the record than in the state.
	size, exact, links := c.size+dna.Size(), c.exact, c.links+linksAdded(dna)
	if size > ibgib.MaxSize || size > 2*exact+4096 {
		size = next.Size()
		exact = size
		if err := budget.spend(size); err != nil || size > ibgib.MaxSize {
			return false, err
		}
	}
	if links > ibgib.MaxLinks {
		links = 0
		for _, rel := range next.Rel8ns {
			links += len(rel.Addrs)
		}
		if links > ibgib.MaxLinks {
			return false, nil
		}
	}
	c.state, c.size, c.exact, c.links = next, size, exact, links
	return true, nil
}

// linksAdded returns how many addresses a dna adds at most.
func linksAdded(dna ibgib.IbGib) int {
	if dna.Ib() != "rel8" {
		return 0
	}
	n := 0
	added, _ := dna.Field("rel8nsToAddByAddr")
	for _, list := range added.Members() {
		n += len(list.Value.Items())
	}
	return n
}
