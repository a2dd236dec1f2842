package node

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// maxUncounted bounds the frames of a timeline without n of which a history is drawn:
// nothing but all of them tells their order.
const maxUncounted = 100_000

// HistoryFrame is one frame of a history with branches.
type HistoryFrame struct {
	Frame
	// Parents are the frames right below: the predecessor, then those that a merge or
	// keep frame brings together with it. A keep frame that accepts a merge has only that.
	Parents []ibgib.Addr `json:"parents"`
	Head    bool         `json:"head"`   // one of the heads of the timeline
	Latest  bool         `json:"latest"` // it is presented as the latest
}

// History ranges over all frames in the history of addr, each before those that it
// stands on; of the timeline, branches that are not merged included, if addr is the
// tjp. limit 0: all of them.
func (n *Node) History(ctx context.Context, addr ibgib.Addr, limit int) iter.Seq2[HistoryFrame, error] {
	return func(yield func(HistoryFrame, error) bool) {
		count := 0
		err := n.history(ctx, addr, func(f HistoryFrame) bool {
			count++
			return yield(f, nil) && count != limit
		})
		if err != nil {
			yield(HistoryFrame{}, fmt.Errorf("node: history of %s: %w", addr, err))
		}
	}
}

// history calls f for each frame until it returns false.
func (n *Node) history(ctx context.Context, addr ibgib.Addr, f func(HistoryFrame) bool) error {
	e, err := n.entryOf(ctx, addr)
	if err != nil {
		return err
	}
	from := []ibgib.Addr{addr}
	if addr == e.Root {
		from = append([]ibgib.Addr{e.Latest}, e.Heads...)
	}
	start, err := n.frames(ctx, from)
	if err != nil {
		return err
	}
	next := n.uncounted
	if start[0].HasN {
		next = n.counted
	}
	for frame, err := range next(ctx, start) {
		if err != nil {
			return err
		}
		shown, err := n.historyFrame(ctx, e.Entry, frame)
		if err != nil || !f(shown) {
			return err
		}
	}
	return nil
}

func (n *Node) historyFrame(ctx context.Context, e blockstore.Entry, f timeline.Frame) (HistoryFrame, error) {
	shown, err := n.show(ctx, f)
	if err != nil {
		return HistoryFrame{}, err
	}
	h := HistoryFrame{Frame: shown, Parents: []ibgib.Addr{}, Latest: f.Addr == e.Latest}
	for _, a := range e.Heads {
		h.Head = h.Head || a == f.Addr
	}
	below, err := n.parents(ctx, f)
	for _, p := range below {
		h.Parents = append(h.Parents, p.Addr)
	}
	return h, err
}

// parents returns the frames that a frame stands on. The heads that an accepted merge
// united are left out, since they are below the merge.
func (n *Node) parents(ctx context.Context, f timeline.Frame) ([]timeline.Frame, error) {
	if f.Pred.IsZero() {
		return nil, nil
	}
	pred, err := n.frameOf(ctx, f.Pred)
	if err != nil || f.Kind == timeline.KindKeep && pred.Kind == timeline.KindMerge {
		return []timeline.Frame{pred}, err
	}
	linked, err := n.frames(ctx, f.Links)
	return append([]timeline.Frame{pred}, linked...), err
}

// counted ranges over a history by n, which grows along every edge of it.
func (n *Node) counted(ctx context.Context, start []timeline.Frame) iter.Seq2[timeline.Frame, error] {
	return func(yield func(timeline.Frame, error) bool) {
		var queue byNumber
		seen := make(map[ibgib.Addr]bool)
		enter := func(f timeline.Frame) {
			if !seen[f.Addr] {
				seen[f.Addr] = true
				heap.Push(&queue, f)
			}
		}
		for _, f := range start {
			enter(f)
		}
		for len(queue) > 0 {
			f := heap.Pop(&queue).(timeline.Frame)
			delete(seen, f.Addr) // nothing that comes stands on it
			if !yield(f, nil) {
				return
			}
			below, err := n.parents(ctx, f)
			if err != nil {
				yield(f, err)
				return
			}
			for _, p := range below {
				enter(p)
			}
		}
	}
}

// byNumber is a heap of frames, the greatest n first.
type byNumber []timeline.Frame

func (q byNumber) Len() int { return len(q) }
func (q byNumber) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[j].N, q[i].N), strings.Compare(q[i].Addr.String(), q[j].Addr.String())) < 0
}
func (q byNumber) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *byNumber) Push(x any)   { *q = append(*q, x.(timeline.Frame)) }
func (q *byNumber) Pop() any {
	last := len(*q) - 1
	f := (*q)[last]
	*q = (*q)[:last]
	return f
}

// uncounted ranges over a history without n: of what it has read it takes a frame when
// all that stand on it have been.
func (n *Node) uncounted(ctx context.Context, start []timeline.Frame) iter.Seq2[timeline.Frame, error] {
	return func(yield func(timeline.Frame, error) bool) {
		all := make(map[ibgib.Addr]bool)
		above := make(map[ibgib.Addr]int) // frames that stand on it
		todo := slices.Clone(start)
		for len(todo) > 0 {
			f := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if all[f.Addr] {
				continue
			}
			if len(all) == maxUncounted {
				yield(f, fmt.Errorf("%w: it has more than %d frames, and does not count them", ErrInput, maxUncounted))
				return
			}
			all[f.Addr] = true
			below, err := n.parents(ctx, f)
			if err != nil {
				yield(f, err)
				return
			}
			for _, p := range below {
				above[p.Addr]++
				todo = append(todo, p)
			}
		}
		var free []timeline.Frame
		for _, f := range start {
			if all[f.Addr] && above[f.Addr] == 0 {
				free = append(free, f)
				delete(all, f.Addr)
			}
		}
		for len(free) > 0 {
			f := free[len(free)-1]
			free = free[:len(free)-1]
			if !yield(f, nil) {
				return
			}
			below, err := n.parents(ctx, f)
			if err != nil {
				yield(f, err)
				return
			}
			for _, p := range below {
				if above[p.Addr]--; above[p.Addr] == 0 {
					free = append(free, p)
				}
			}
		}
	}
}
