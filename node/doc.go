// Package node puts the parts together: a data directory with its store, the
// peer key, the trust list, the libp2p host that serves sagas, and what a
// person does with a node: change timelines, import, export, sync.
//
// Node is the composition; read node.go first. results.go has the vocabulary
// of what its methods return, as the commands print it. Package node/api puts
// the same over HTTP, for the commands that talk to a running node.
//
// Once started, a node keeps in step with its peers by itself: live.go runs the
// decisions of package scheduler. subscription.go tells others what happens, from the change
// logs of the store and from its journal, in which journal.go has events of peers and sagas
// kept, and a commit its merges (merge_event.go).
//
// The package does not know the rules of ibGibs, timelines or sagas (packages
// ibgib, timeline, saga), nor how they are stored and sent (blockstore,
// protocol). It decides whom to trust, by peer id in this version (trust.go): those
// that a person names, those that prove the mesh secret in a meeting (meet.go), and
// those that redeem an invite (invites.go, pairing.go), and those that a trusted peer
// vouches for (introductions.go). It has a keystone of its own
// (keystone.go) and follows those of its peers (peer_keystones.go).
// finder.go finds peers and keeps connected to those that are trusted; wide.go is its
// part in a DHT, reach.go what it has to do with NATs and relays. fetch.go gets what is
// known by its address from nodes that need not be trusted, public.go is what it shows of
// what it has to others.
//
// metrics.go is what Prometheus is told, with what package node/internal/metrics has counted
// where it happened, and census.go what of that takes reading the index.
//
// What goes to whom is a matter of shares: share.go and shares.go have the list,
// share_admin.go what an owner does with it, pull.go and offer.go what one share gets from another,
// lives.go keeps each in step; everywhere.go reads them all, forget.go takes something out
// of them.
//
// Callers: cmd/ibgib-node and node/api.
package node
