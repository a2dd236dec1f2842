package node

import (
	"context"
	"fmt"
	"time"

	"github.com/ibgib/ibgib-node/saga"
)

// connectTimeout bounds Connect.
const connectTimeout = 15 * time.Second

// Connect connects a started node to the one at addr, a multiaddr that ends in
// /p2p/ and its peer id. If the two trust each other, they keep in step from then
// on, as long as they are connected. An error of the connection is a *saga.Error.
func (n *Node) Connect(ctx context.Context, addr string) error {
	to, err := parseTarget(addr)
	if err != nil {
		return fmt.Errorf("node: connect: %w", err)
	}
	n.mu.Lock()
	h := n.host
	n.mu.Unlock()
	if h == nil {
		return fmt.Errorf("node: connect: %w", ErrNotStarted)
	}
	n.dials.name(to.ID)
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := h.Connect(ctx, to); err != nil {
		err = &saga.Error{Code: saga.CodeUnreachable, Text: "no connection to the peer: " + err.Error(), Retry: true, Err: err}
		return fmt.Errorf("node: connect to %s: %w", to.ID, err)
	}
	return nil
}
