// Package blockstore keeps ibGibs and the index of their timelines, in Badger
// on disk or in a tree in memory.
//
// A block is an ibGib under its punctiliar hash. It is a member of one or more
// shares; a member is closed when all its link targets are closed members of
// the same share. The index of a share names, for each timeline, the heads:
// admitted user frames (package timeline decides) that no other one follows.
// Only closed frames are in the index, so "this is a head here" says "its
// closure is stored here".
//
// Everything is written through a Stage: Put makes blocks durable as they
// arrive, in any order; Commit moves all heads of the stage at once, however
// many there are. Apply and Change are stages for small local changes. A crash
// at any moment leaves a share at its heads before a commit or after it.
//
// What no head, no pin and no stage needs stays until GC removes it. What a peer has
// left so counts against its budget, and expires. A pin keeps
// a block for good, and makes a stone (an ibGib of no timeline) an entry of its
// share.
//
// The package does not check ibGibs: it takes the verified type of package
// ibgib. It does not talk to peers, and it does not decide what a timeline
// presents beyond its latest frame by the manual rule.
//
// The journal tells, to who comes again, what commits have merged, and keeps what the
// node tells of peers and sagas there; it is bounded.
//
// FORMAT.md describes the keys, the records and what is durable when. The
// files follow the way of a block: stage, take, loose, writer (blocks, admission), closing,
// commit, recover, then read, reader, changes, journal, pins, gc, expiry, verify, rebuild, repair,
// backup and restore, migrate; kv is the engine below.
package blockstore
