package timeline

import (
	"container/heap"
	"iter"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Branches is what several heads have above their base.
type Branches struct {
	Base Frame // the last frame through which every path from the heads to the tjp runs

	d      *divergence
	shared []int // of each node, in the history of how many heads it is
}

// FindBranches finds the branches of heads none of which is in the history of another.
// If there is only one it is the base. See Merge for what the walk costs.
func FindBranches(heads []Frame, frame FrameLookup) (Branches, error) {
	if len(heads) == 0 {
		return Branches{}, nil
	}
	d, err := findDivergence(heads, frame, nil)
	if err != nil {
		return Branches{}, err
	}
	b := Branches{Base: d.base, d: d, shared: make([]int, len(d.nodes))}
	for _, f := range heads {
		for i, in := range d.history(f.Addr) {
			if in {
				b.shared[i]++
			}
		}
	}
	return b, nil
}

// Of ranges over the frames in the history of a head that are above the base, the head
// included, each before those in its history. They lack their Links. shared tells that
// another head has the frame in its history too.
func (b Branches) Of(head ibgib.Addr) iter.Seq2[Frame, bool] {
	return func(yield func(f Frame, shared bool) bool) {
		for i, in := range b.d.history(head) {
			if in && !yield(b.d.nodes[i].Frame, b.shared[i] > 1) {
				return
			}
		}
	}
}

// divergence is what lies above the base of several heads: the last frame
// through which every path from the heads to the tjp runs.
type divergence struct {
	base  Frame
	nodes []node             // each before those in its history
	at    map[ibgib.Hash]int // where a frame stands in nodes

	seenBy []int // of each node, 1 + the node in whose history it was last met; see writes
}

// node is one frame above the base. It lacks the frame's links, which take
// memory and are in below.
type node struct {
	Frame
	below []int // frames directly below that are above the base
}

// findDivergence walks from the heads, two or more that are not in each other's
// history, down to their base. With n it passes only what lies between. Without
// n it cannot tell which of two frames is the older, and passes as many frames
// again below the base as the longest branch has above it.
func findDivergence(heads []Frame, frame FrameLookup, budget *Budget) (*divergence, error) {
	w := divergenceWalk{
		frame: frame, budget: budget,
		d:   &divergence{at: make(map[ibgib.Hash]int)},
		met: make(map[ibgib.Hash]struct{}),
	}
	for _, f := range heads {
		w.met[f.Hash()] = struct{}{}
		w.next = append(w.next, f)
	}
	var err error
	if heads[0].HasN {
		err = w.byN()
	} else {
		err = w.byRounds()
	}
	if err != nil {
		return nil, err
	}
	w.connect()
	return w.d, nil
}

type divergenceWalk struct {
	frame  FrameLookup
	budget *Budget

	d    *divergence
	met  map[ibgib.Hash]struct{}
	next frameHeap // met, not yet passed; every path from the heads to the tjp crosses one

	below [][]ibgib.Hash // of each of d.nodes, the base and what is below it included
}

// byN takes the frame with the greatest n first. All that lead to it have been
// passed before it, so the first one that is alone in the cut is the base.
func (w *divergenceWalk) byN() error {
	heap.Init(&w.next)
	for len(w.next) > 1 {
		f := heap.Pop(&w.next).(Frame)
		if err := w.lookBelow(f, func(below Frame) { heap.Push(&w.next, below) }); err != nil {
			return err
		}
	}
	w.d.base = w.next[0]
	return nil
}

// byRounds looks one frame further below on all branches in turn, until the cut
// is a single frame. This is on every path, but may be below the base: so what
// was met is then sorted, and walked again from the top.
func (w *divergenceWalk) byRounds() error {
	heads := len(w.next)
	for len(w.next) > 1 {
		f := w.next[0]
		w.next = w.next[1:]
		if f.Pred.IsZero() {
			w.next = append(w.next, f) // the tjp waits for the others
			continue
		}
		if err := w.lookBelow(f, func(below Frame) { w.next = append(w.next, below) }); err != nil {
			return err
		}
	}
	passed, passedBelow := w.d.nodes, w.below
	w.d.nodes, w.below = nil, nil

	at := make(map[ibgib.Hash]int, len(passed))
	above := make(map[ibgib.Hash]int, len(passed)) // frames directly above, not yet taken
	for i, n := range passed {
		at[n.Hash()] = i
		for _, h := range passedBelow[i] {
			above[h]++
		}
	}
	cut := heads
	touched := make(map[ibgib.Hash]bool)
	var ready frameHeap
	for _, n := range passed {
		if above[n.Hash()] == 0 {
			heap.Push(&ready, n.Frame)
		}
	}
	for {
		var f Frame
		if len(ready) > 0 {
			f = heap.Pop(&ready).(Frame)
		} else {
			f = w.next[0]
		}
		if cut == 1 {
			w.d.base = f
			return nil
		}
		cut--
		i := at[f.Hash()]
		w.d.nodes, w.below = append(w.d.nodes, passed[i]), append(w.below, passedBelow[i])
		for _, h := range passedBelow[i] {
			if !touched[h] {
				touched[h] = true
				cut++
			}
			above[h]--
			if k, ok := at[h]; ok && above[h] == 0 {
				heap.Push(&ready, passed[k].Frame)
			}
		}
	}
}

// lookBelow passes f and calls met for each frame below it that was not met before.
func (w *divergenceWalk) lookBelow(f Frame, met func(Frame)) error {
	if err := w.budget.spend(frameToll + linkToll*len(f.Links)); err != nil {
		return err
	}
	var below []ibgib.Hash
	err := f.below(func(a ibgib.Addr) error {
		h, _ := a.Hash()
		below = append(below, h)
		if _, ok := w.met[h]; ok {
			return nil
		}
		g, err := w.frame.must(a, f.Addr)
		if err != nil {
			return err
		}
		w.met[h] = struct{}{}
		met(g)
		return nil
	})
	f.Links = nil
	w.d.nodes = append(w.d.nodes, node{Frame: f})
	w.below = append(w.below, below)
	return err
}

// connect fills in what is below each of the nodes.
func (w *divergenceWalk) connect() {
	d := w.d
	for i := range d.nodes {
		d.at[d.nodes[i].Hash()] = i
	}
	for i, below := range w.below {
		for _, h := range below {
			if k, ok := d.at[h]; ok {
				d.nodes[i].below = append(d.nodes[i].below, k)
			}
		}
	}
}

// history tells of each node whether it is one of the given frames or in the
// history of one. A frame that is no node has no node in its history.
func (d *divergence) history(frames ...ibgib.Addr) []bool {
	in := make([]bool, len(d.nodes))
	for _, a := range frames {
		h, _ := a.Hash()
		if i, ok := d.at[h]; ok {
			in[i] = true
		}
	}
	for i, n := range d.nodes {
		if in[i] {
			for _, k := range n.below {
				in[k] = true
			}
		}
	}
	return in
}
