package node

import (
	"context"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
)

// peerNow returns what this node knows of a peer.
func (n *Node) peerNow(p peer.ID) Peer {
	shown := n.trust.peer(p)
	n.connections(p, &shown)
	return shown
}

// trustChanged does what follows from a change of trust.
func (n *Node) trustChanged(p peer.ID, change PeerChange) {
	switch change {
	case PeerTrusted:
		n.log.Info("peer trusted", "peer", p, "by", n.trust.peer(p).By)
		n.finder.Load().trusted(p)
		n.trustedNow(p, true)
	case PeerUntrusted:
		n.log.Info("peer no longer trusted", "peer", p)
		n.sessions.untrusted(p)
		n.sagas.cut(p)
		n.lastSyncs.forget(p)
		n.contacts.forget(p)
		n.untrustedWants(p)
		n.finder.Load().untrusted(p)
		n.trustedNow(p, false)
		n.introduced(p, nil)
	case PeerPending:
		n.log.Info("a stranger was met; peers shows who", "peer", p)
	}
	n.publishPeer(p, change)
}

// connected notes that a peer has come which takes sagas. Strangers, who may come
// and go as they like, make no noise.
func (n *Node) connected(ctx context.Context, p peer.ID, c network.Conn) {
	if _, trusted := n.trust.trusts(p); !trusted {
		n.log.DebugContext(ctx, "stranger connected", "peer", p, "addr", c.RemoteMultiaddr())
		return
	}
	n.log.InfoContext(ctx, "peer connected", "peer", p, "addr", c.RemoteMultiaddr(), "dialled", c.Stat().Direction == network.DirOutbound)
	n.publishPeer(p, PeerConnected)
	if n.trust.peer(p).Introducer {
		n.introducers.wake()
	}
}

// disconnected notes that it has gone.
func (n *Node) disconnected(ctx context.Context, p peer.ID) {
	if _, trusted := n.trust.trusts(p); !trusted {
		n.log.DebugContext(ctx, "stranger disconnected", "peer", p)
		return
	}
	n.log.InfoContext(ctx, "peer disconnected", "peer", p)
	n.publishPeer(p, PeerDisconnected)
}

func (n *Node) publishPeer(p peer.ID, change PeerChange) {
	n.journal.tell(blockstore.PeerLog, Event{Kind: EventPeer, Peer: &PeerEvent{Change: change, Peer: n.peerNow(p)}})
}
