package saga

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// Walker does the Walk works of one saga, in their order. It is for one
// goroutine.
type Walker struct {
	walk   *timeline.Walker // nil before the first Step
	frame  timeline.FrameLookup
	block  timeline.Lookup
	frames func([]ibgib.Hash) ([]timeline.Frame, error)
	lie    func([]ibgib.Hash) ([]uint64, error)
	load   func(ibgib.Hash) (ibgib.IbGib, error)

	pending pendingWants // not given to walk yet
	gap     *Gap
	fresh   bool
	has     *timeline.History   // of the frames that the peer is known to have
	named   map[ibgib.Hash]bool // roots whose peer heads are in has

	wanted queue[ibgib.Hash] // heads, of which the walk may leave some out
}

// NewWalker returns a Walker for one saga. Its lookups end with ctx.
func NewWalker(ctx context.Context, blocks Blocks, index Index) *Walker {
	look := frameLookup(ctx, index)
	w := &Walker{
		frame:  look,
		frames: func(hashes []ibgib.Hash) ([]timeline.Frame, error) { return frames(ctx, index, hashes) },
		has:    timeline.NewHistory(look),
		named:  make(map[ibgib.Hash]bool),
		lie:    func(hashes []ibgib.Hash) ([]uint64, error) { return blocks.Positions(ctx, hashes) },
		load:   func(h ibgib.Hash) (ibgib.IbGib, error) { return blocks.Block(ctx, h) },
	}
	w.block = func(a ibgib.Addr) (ibgib.IbGib, error) {
		h, ok := a.Hash()
		if !ok {
			return ibgib.IbGib{}, nil
		}
		g, err := blocks.Block(ctx, h)
		if err == nil && g.Addr() != a {
			return ibgib.IbGib{}, nil
		}
		return g, err
	}
	return w
}

// Step does one Walk.
func (w *Walker) Step(req Walk) (Walked, error) {
	w.begin(req)
	if err := w.add(req.Wants); err != nil {
		return Walked{}, err
	}
	var done Walked
	for bytes := 0; len(done.Blocks) < req.Blocks && bytes < req.Bytes; {
		g, ok, err := w.next()
		if err != nil {
			return Walked{}, err
		}
		if !ok {
			done.End = true
			break
		}
		done.Blocks = append(done.Blocks, g)
		bytes += g.Size()
	}
	return done, nil
}

// begin takes what is the same in all Walks of the saga.
func (w *Walker) begin(req Walk) {
	if w.walk != nil {
		return
	}
	w.gap, w.fresh = req.Gap, req.Fresh
	have := w.have
	if req.Fresh {
		have = nil
	}
	w.walk = timeline.NewWalker(w.frame, w.block, have)
}

// next returns the next block to send: what the walk yields, and then wanted heads
// that it left out, because the peer has something that links them. The peer
// may have such a frame stored and not in the history of its heads, and asks for
// it to make it one.
func (w *Walker) next() (ibgib.IbGib, bool, error) {
	for {
		g, ok, err := w.walk.Next()
		if err != nil || ok {
			return g, ok, err
		}
		if w.pending.Len() == 0 {
			break
		}
		if err := w.take(heap.Pop(&w.pending).(pendingWant).want); err != nil {
			return ibgib.IbGib{}, false, err
		}
	}
	for w.wanted.len() > 0 {
		if h := w.wanted.pop(); w.walk.Had(h) {
			g, err := w.load(h)
			return g, err == nil, err
		}
	}
	return ibgib.IbGib{}, false, nil
}

// add notes what is wanted, and what the peer knows. Timelines are walked in the order
// in which they lie in the store.
func (w *Walker) add(wants []Want) error {
	first := make([]ibgib.Hash, len(wants))
	for i, want := range wants {
		first[i] = want.Heads[0]
	}
	positions, err := w.lie(first)
	if err != nil {
		return err
	}
	for i, want := range wants {
		heap.Push(&w.pending, pendingWant{want, positions[i]})
		for _, h := range want.Heads {
			w.wanted.push(h)
		}
		if w.fresh {
			continue
		}
		known, err := w.frames(want.Known)
		if err != nil {
			return err
		}
		for _, f := range known {
			if root, _ := f.Tjp.Hash(); root == want.Root {
				w.has.Add(f)
			}
		}
	}
	return nil
}

// take gives the heads of one timeline to the walk.
func (w *Walker) take(want Want) error {
	heads, err := w.frames(want.Heads)
	if err != nil {
		return err
	}
	if len(heads) != len(want.Heads) {
		return fmt.Errorf("saga: a head of timeline %s has left the index", want.Root)
	}
	w.walk.Add(heads...)
	return nil
}

// pendingWant is a want with the position of its first head.
type pendingWant struct {
	want     Want
	position uint64
}

// pendingWants is a container/heap with the lowest position on top.
type pendingWants []pendingWant

func (p pendingWants) Len() int { return len(p) }
func (p pendingWants) Less(i, j int) bool {
	if p[i].position != p[j].position {
		return p[i].position < p[j].position
	}
	return bytes.Compare(p[i].want.Root[:], p[j].want.Root[:]) < 0
}
func (p pendingWants) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *pendingWants) Push(x any)   { *p = append(*p, x.(pendingWant)) }
func (p *pendingWants) Pop() any {
	last := len(*p) - 1
	x := (*p)[last]
	(*p)[last] = pendingWant{}
	*p = (*p)[:last]
	return x
}

// have reports whether the peer surely has a frame, and so its closure: it is in
// the history of a head that the peer named or of a frame that the peer said it
// knows, or its timeline is equal on both sides.
func (w *Walker) have(f timeline.Frame) (bool, error) {
	root, _ := f.Tjp.Hash()
	if !w.gap.Differs(root) {
		return true, nil
	}
	if !w.named[root] {
		w.named[root] = true
		if row, ok := w.gap.Find(root); ok {
			heads, err := w.frames(row.Peer)
			if err != nil {
				return false, err
			}
			w.has.Add(heads...)
		}
	}
	return w.has.Contains(f)
}
