package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
)

// MaxGraph is the greatest number of ibGibs in a Graph; it has at most
// graphLinks links for each.
const (
	MaxGraph   = 100_000
	graphLinks = 16
)

// Graph returns what is reached from a stored ibGib, nearest first: at most limit
// ibGibs, none more than depth links away. 0 is no bound for depth, and MaxGraph
// for limit.
func (n *Node) Graph(ctx context.Context, root ibgib.Addr, depth, limit int) (Graph, error) {
	g, err := n.graph(ctx, root, depth, limit)
	if err != nil {
		return Graph{}, fmt.Errorf("node: graph of %s: %w", root, err)
	}
	return g, nil
}

func (n *Node) graph(ctx context.Context, root ibgib.Addr, depth, limit int) (Graph, error) {
	if limit <= 0 || limit > MaxGraph {
		limit = MaxGraph
	}
	if _, err := n.store.Get(ctx, root); err != nil {
		return Graph{}, err
	}
	g := Graph{Root: root, Nodes: []GraphNode{{Addr: root}}}
	met := map[ibgib.Addr]bool{root: true}
	links := 0
	// Nodes grows behind the loop.
	for i := 0; i < len(g.Nodes); i++ {
		node := &g.Nodes[i]
		if node.Primitive = node.Addr.IsPrimitive(); node.Primitive {
			continue
		}
		block, err := n.store.Get(ctx, node.Addr)
		if errors.Is(err, blockstore.ErrNotFound) {
			node.Missing = true
			continue
		}
		if err != nil {
			return g, err
		}
		at := node.Depth
		for name, to := range block.Links() {
			if depth > 0 && at == depth || links == limit*graphLinks || !met[to] && len(g.Nodes) == limit {
				g.Nodes[i].More, g.More = true, true
				break
			}
			links++
			g.Nodes[i].Links = append(g.Nodes[i].Links, GraphLink{Rel8n: name, Addr: to})
			if !met[to] {
				met[to] = true
				g.Nodes = append(g.Nodes, GraphNode{Addr: to, Depth: at + 1})
			}
		}
	}
	return g, nil
}
