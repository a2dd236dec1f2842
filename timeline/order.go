package timeline

import (
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// SortTopological returns the batch in an order in which no ibGib comes before
// one of the batch that it links to. A batch that is in such an order already
// keeps it; otherwise an ibGib's dependencies are moved before it, in the order
// of its links. The input is not modified; repeats stay. Linear in the links of
// the batch.
func SortTopological(gs []ibgib.IbGib) []ibgib.IbGib {
	at := make(map[ibgib.Addr]int, len(gs))
	for i := len(gs) - 1; i >= 0; i-- {
		at[gs[i].Addr()] = i
	}
	type visit struct {
		i    int
		todo []int
	}
	out := make([]ibgib.IbGib, 0, len(gs))
	met := make([]bool, len(gs))
	var stack []visit
	enter := func(i int) {
		met[i] = true
		var todo []int
		for _, a := range gs[i].Links() {
			if j, ok := at[a]; ok && !met[j] {
				todo = append(todo, j)
			}
		}
		stack = append(stack, visit{i, todo})
	}
	for i := range gs {
		if met[i] {
			continue
		}
		enter(i)
		for len(stack) > 0 {
			v := &stack[len(stack)-1]
			if len(v.todo) == 0 {
				out = append(out, gs[v.i])
				stack = stack[:len(stack)-1]
				continue
			}
			j := v.todo[0]
			v.todo = v.todo[1:]
			if !met[j] {
				enter(j)
			}
		}
	}
	return out
}

// SortTimelines returns the timelines, named by their tjps, in the order of a
// delta: one that another refers to goes first. Timelines that refer to each
// other in a cycle count as siblings and stand together, ordered by address; so
// are timelines that nothing else orders. refers returns the timelines that the
// frames of one refer to; those that are not in tjps, and the timeline itself,
// are ignored. The result does not depend on the order of the input.
func SortTimelines(tjps []ibgib.Addr, refers func(tjp ibgib.Addr) []ibgib.Addr) []ibgib.Addr {
	sorted := slices.Clone(tjps)
	slices.SortFunc(sorted, ibgib.CompareAddr)
	sorted = slices.Compact(sorted)
	at := make(map[ibgib.Addr]int, len(sorted))
	for i, a := range sorted {
		at[a] = i
	}
	edges := make([][]int, len(sorted)) // from a timeline to those it refers to
	for i, a := range sorted {
		for _, to := range refers(a) {
			if j, ok := at[to]; ok && j != i {
				edges[i] = append(edges[i], j)
			}
		}
		slices.Sort(edges[i])
		edges[i] = slices.Compact(edges[i])
	}
	out := make([]ibgib.Addr, 0, len(sorted))
	for _, group := range cycles(edges) {
		for _, i := range group {
			out = append(out, sorted[i])
		}
	}
	return out
}

// cycles returns the strongly connected components of a graph, each sorted, in
// an order in which a component comes after those that it has edges to.
// (Tarjan, "Depth-first search and linear graph algorithms", 1972, with an
// explicit stack.)
func cycles(edges [][]int) [][]int {
	type visit struct{ node, next int }
	var (
		groups [][]int
		number = make([]int, len(edges)) // order of discovery from 1, 0 for none
		low    = make([]int, len(edges))
		open   []int // discovered, not yet in a group
		isOpen = make([]bool, len(edges))
		stack  []visit
		count  int
	)
	enter := func(node int) {
		count++
		number[node], low[node] = count, count
		open = append(open, node)
		isOpen[node] = true
		stack = append(stack, visit{node: node})
	}
	for root := range edges {
		if number[root] != 0 {
			continue
		}
		enter(root)
		for len(stack) > 0 {
			v := &stack[len(stack)-1]
			if v.next < len(edges[v.node]) {
				to := edges[v.node][v.next]
				v.next++
				if number[to] == 0 {
					enter(to)
				} else if isOpen[to] {
					low[v.node] = min(low[v.node], number[to])
				}
				continue
			}
			node := v.node
			stack = stack[:len(stack)-1]
			if len(stack) > 0 {
				above := stack[len(stack)-1].node
				low[above] = min(low[above], low[node])
			}
			if low[node] == number[node] {
				first := len(open) - 1
				for open[first] != node {
					first--
				}
				group := slices.Clone(open[first:])
				open = open[:first]
				for _, i := range group {
					isOpen[i] = false
				}
				slices.Sort(group)
				groups = append(groups, group)
			}
		}
	}
	return groups
}
