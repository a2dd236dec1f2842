// Package dht finds other nodes. This version finds those of one mesh on the
// local network, by multicast DNS (mDNS).
//
// An MDNS announces a libp2p host under a service name that ServiceName derives
// from the mesh, and hands out the peers that announce themselves under the same
// name. What it hands out is what somebody on the local network claims: nothing
// is proven but that the addresses are plausible. Subnets are the networks that
// this machine's interfaces are in; they say which addresses are close.
//
// The package connects to nobody and trusts nobody: that is for its caller,
// package node.
package dht
