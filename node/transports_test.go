package node_test

import (
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/node"
)

// Two nodes sync over each of the transports for browsers; the address that a node
// shows is all that the other needs.
func TestWebTransports(t *testing.T) {
	for _, listen := range []string{
		"/ip4/127.0.0.1/tcp/0/ws",
		"/ip4/127.0.0.1/udp/0/quic-v1/webtransport",
		"/ip4/127.0.0.1/udp/0/webrtc-direct",
	} {
		name := listen[strings.LastIndex(listen, "/")+1:]
		t.Run(name, func(t *testing.T) {
			a, b := startNode(t, listen), openNode(t, listen)
			pair(t, a, b)
			importBytes(t, b, readSpace(t, "a.ndjson").file)
			addr := addrOf(t, a)
			if !strings.Contains(addr, "/"+name) {
				t.Errorf("the node shows %s", addr)
			}
			res, err := b.SyncWith(t.Context(), addr, node.SyncOptions{}, nil)
			if err != nil || !res.Converged {
				t.Fatalf("sync: %+v, %v", res, err)
			}
			if name != "ws" {
				return // such an address is not kept, since it is good for some days only
			}
			if res, err := b.SyncWith(t.Context(), a.PeerID().String(), node.SyncOptions{}, nil); err != nil || !res.Equal {
				t.Errorf("sync at the address of before: %+v, %v", res, err)
			}
		})
	}
}
