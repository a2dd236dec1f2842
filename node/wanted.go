package node

import (
	"context"
	"fmt"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Wanted is a want, with the timeline that it is of where this node has a part of
// it.
type Wanted struct {
	Tjp ibgib.Addr `json:"tjp,omitzero"`
	Want
}

// Wanted returns what this node still lacks of what trusted peers named, as Wants
// does.
func (n *Node) Wanted(ctx context.Context) ([]Wanted, error) {
	wants := n.Wants()
	list := make([]Wanted, len(wants))
	for i, w := range wants {
		list[i].Want = w
		root, err := ibgib.ParseHash(w.Root)
		if err != nil {
			return nil, fmt.Errorf("node: wanted: %w", err)
		}
		_, e, err := n.shares.homeOf(ctx, root)
		if err != nil {
			return nil, fmt.Errorf("node: wanted: %w", err)
		}
		list[i].Tjp = e.Root
	}
	return list, nil
}

// whyWanted finds the heads of the timeline that peers named and that are lacking.
func (n *Node) whyWanted(w *Why) {
	named := make(map[string]bool)
	for _, a := range []ibgib.Addr{w.Addr, w.Tjp} {
		if h, ok := a.Hash(); ok {
			named[h.String()] = true
		}
	}
	if root, err := ibgib.ParseHash(w.Addr.TjpGib()); err == nil {
		named[root.String()] = true
	}
	for _, want := range n.Wants() {
		if named[want.Root] || named[want.Head] {
			w.Wants = append(w.Wants, want)
		}
	}
}
