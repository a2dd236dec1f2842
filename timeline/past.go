package timeline

import (
	"container/heap"

	"github.com/ibgib/ibgib-node/ibgib"
)

// IsPast reports whether older is in the history of newer: below it along the
// stored predecessors and counted merge links, whatever list newer claims. A
// frame is not in its own history. With n the walk ends at older's n; it takes
// memory only from the first merge or keep frame on.
func IsPast(older, newer Frame, frame FrameLookup) (bool, error) {
	if older.Tjp != newer.Tjp || older.Addr == newer.Addr {
		return false, nil
	}
	for len(newer.Links) == 0 {
		if newer.Pred.IsZero() || older.HasN && newer.order() <= older.N {
			return false, nil
		}
		if newer.Pred == older.Addr {
			return true, nil
		}
		var err error
		if newer, err = frame.must(newer.Pred, newer.Addr); err != nil {
			return false, err
		}
	}
	h := NewHistory(frame)
	if err := h.addBelow(newer); err != nil {
		return false, err
	}
	return h.Contains(older)
}

// History answers whether frames are among given frames or in their histories.
// It walks down as far as the questions make it, greatest n first, and keeps
// the hashes it passed; asked from the newest to the oldest, all questions
// together cost one walk. Frames of several timelines may be given. On timelines
// without n a question about a frame outside walks down to the tjp, once.
//
// After an error the History must not be used any more.
type History struct {
	frame     FrameLookup
	timelines map[ibgib.Addr]*timelineHistory
}

// timelineHistory is the part of a History that lies on one timeline.
type timelineHistory struct {
	met  map[ibgib.Hash]struct{} // given or passed, looked below or not
	next frameHeap               // met, not yet looked below
}

// NewHistory returns the history of the given frames, those included.
func NewHistory(frame FrameLookup, frames ...Frame) *History {
	h := &History{frame: frame, timelines: make(map[ibgib.Addr]*timelineHistory)}
	h.Add(frames...)
	return h
}

// Add counts in further frames and their histories.
func (h *History) Add(frames ...Frame) {
	for _, f := range frames {
		h.of(f.Tjp).add(f)
	}
}

// Contains reports whether f is one of the given frames or in the history of one.
func (h *History) Contains(f Frame) (bool, error) {
	t := h.timelines[f.Tjp]
	if t == nil {
		return false, nil
	}
	hash := f.Hash()
	for {
		if _, ok := t.met[hash]; ok {
			return true, nil
		}
		// What is still to be met lies below the greatest n of next.
		if len(t.next) == 0 || f.HasN && t.next[0].order() <= f.N {
			return false, nil
		}
		if err := h.addBelow(heap.Pop(&t.next).(Frame)); err != nil {
			return false, err
		}
	}
}

func (h *History) of(tjp ibgib.Addr) *timelineHistory {
	t := h.timelines[tjp]
	if t == nil {
		t = &timelineHistory{met: make(map[ibgib.Hash]struct{})}
		h.timelines[tjp] = t
	}
	return t
}

// addBelow counts in what lies directly below f, without f.
func (h *History) addBelow(f Frame) error {
	t := h.of(f.Tjp)
	return f.below(func(a ibgib.Addr) error {
		hash, _ := a.Hash()
		if _, ok := t.met[hash]; ok {
			return nil
		}
		below, err := h.frame.must(a, f.Addr)
		if err != nil {
			return err
		}
		t.add(below)
		return nil
	})
}

func (t *timelineHistory) add(f Frame) {
	hash := f.Hash()
	if _, ok := t.met[hash]; ok {
		return
	}
	t.met[hash] = struct{}{}
	heap.Push(&t.next, f)
}

// frameHeap is a container/heap with the greatest (n, HASH) on top.
type frameHeap []Frame

func (h frameHeap) Len() int           { return len(h) }
func (h frameHeap) Less(i, j int) bool { return Compare(h[i], h[j]) > 0 }
func (h frameHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *frameHeap) Push(x any)        { *h = append(*h, x.(Frame)) }
func (h *frameHeap) Pop() any {
	last := len(*h) - 1
	f := (*h)[last]
	(*h)[last] = Frame{}
	*h = (*h)[:last]
	return f
}
