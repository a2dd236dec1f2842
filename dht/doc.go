// Package dht finds other nodes: those of one mesh on the local network, by
// multicast DNS (mDNS), and beyond it by a Kademlia DHT.
//
// An MDNS announces a libp2p host under a service name that ServiceName derives
// from the mesh, and hands out the peers that announce themselves under the same
// name. Subnets are the networks that this machine's interfaces are in; they say
// which addresses are close.
//
// A Kad takes part in a DHT, that of ibGib nodes (protocol /ibgib/kad/1.0.0) or the
// public one of IPFS (/ipfs/kad/1.0.0). It announces the keys that it is told to, and
// searches for those who have announced one: a TimelineKey for a timeline, whatever
// frame of it is known, a RendezvousKey for a mesh. It enters the DHT by bootstrap
// peers and by those it knew before; its Memory is for its caller to keep. What it
// keeps for others is bounded (records.go) and shared out among networks, addresses and
// peers (holder.go). Bounded are the addresses that they tell too (announced_addrs.go),
// what it holds of a message that comes or goes (message_stream.go), and the streams on
// which others ask (stream_places.go).
//
// What both hand out is what strangers claim: nothing is proven but that the addresses
// are plausible. The package gets no ibGib from anybody and trusts nobody: that is for
// its caller, package node.
package dht
