package node

import "errors"

// CutConnections closes the connections of a started node, as a network would that
// fails. The node does not know why.
func CutConnections(n *Node) error {
	n.mu.Lock()
	h := n.host
	n.mu.Unlock()
	var errs []error
	for _, p := range h.Network().Peers() {
		errs = append(errs, h.Network().ClosePeer(p))
	}
	return errors.Join(errs...)
}
