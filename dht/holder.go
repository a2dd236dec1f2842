package dht

import (
	"container/heap"
	"container/list"
	"net/netip"
)

// holder is whom what is kept counts for: at the top all others, then those of a network,
// of a smaller one in it, of an address, and at the bottom a peer. Peers cost nothing to
// make, addresses a bit, networks more: so who has the most is looked for from the top.
type holder struct {
	in    *holder // nil at the top
	name  string
	bytes int // or whatever else is counted
	parts map[string]*holder
	most  holders   // the parts, first the one with the most bytes
	at    int       // its place in in.most
	kept  list.List // what counts, the oldest first; at the bottom only
}

// path returns the names of holders from the top down to that of a peer.
func path(from netip.Addr, peer string) []string {
	if !from.IsValid() {
		return []string{"elsewhere", peer}
	}
	var names []string
	for _, bits := range networks(from) {
		p, _ := from.Prefix(bits)
		names = append(names, p.String())
	}
	return append(names, peer)
}

// networks are the lengths of the prefixes by which an address counts.
func networks(a netip.Addr) [3]int {
	if a.Is4() {
		return [3]int{16, 24, 32}
	}
	return [3]int{32, 48, 64}
}

// below returns the holder of that path, made if it is not there.
func (h *holder) below(path []string) *holder {
	for _, name := range path {
		part, ok := h.parts[name]
		if !ok {
			part = &holder{in: h, name: name}
			if h.parts == nil {
				h.parts = make(map[string]*holder)
			}
			h.parts[name] = part
			heap.Push(&h.most, part)
		}
		h = part
	}
	return h
}

// grow counts bytes for a holder and those that it is in. Whoever has none left is gone.
func (h *holder) grow(bytes int) {
	for ; h.in != nil; h = h.in {
		if h.bytes += bytes; h.bytes > 0 {
			heap.Fix(&h.in.most, h.at)
			continue
		}
		heap.Remove(&h.in.most, h.at)
		delete(h.in.parts, h.name)
	}
	h.bytes += bytes
}

// oldestOfMost returns the oldest of what whoever has the most has, or nil.
func (h *holder) oldestOfMost() any {
	for len(h.most) > 0 {
		h = h.most[0]
	}
	oldest := h.kept.Front()
	if oldest == nil {
		return nil
	}
	return oldest.Value
}

// holders is a heap.
type holders []*holder

func (x holders) Len() int           { return len(x) }
func (x holders) Less(i, j int) bool { return x[i].bytes > x[j].bytes }
func (x holders) Swap(i, j int) {
	x[i], x[j] = x[j], x[i]
	x[i].at, x[j].at = i, j
}

func (x *holders) Push(h any) {
	h.(*holder).at = len(*x)
	*x = append(*x, h.(*holder))
}

func (x *holders) Pop() any {
	last := len(*x) - 1
	h := (*x)[last]
	(*x)[last] = nil
	*x = (*x)[:last]
	return h
}
