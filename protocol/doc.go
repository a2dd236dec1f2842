// Package protocol carries sagas between nodes: the wire form of the saga
// messages and the libp2p stream service /ibgib/sync/1.
//
// The codec (Encode, Decode; reading order codec.go, schema.go, coder.go) is
// pure. It checks every length and count before it allocates, so a message costs
// at most a small multiple of its own bytes. Conn puts messages on a stream with
// deadlines and is a saga.Conn. Service takes streams from trusted peers and
// hands them on; Dial opens one. Meet and Handlers.Meet are the two ends of a
// Meeting, in which peers introduce themselves and prove that they know the same
// MeshSecret. FetchService and OpenFetch are the two ends of /ibgib/fetch/1, on which
// blocks are asked for by exact address, by peers that need not be trusted.
//
// SPEC.md describes the protocol for those who write another implementation;
// sync.proto is the same as a schema. The codec is written by hand, because the
// limits and the payload, which is not copied, need it; the code generated from
// the schema is what its tests compare it with.
//
// The package does not know what a saga does with its messages (that is package
// saga), whom to trust or when to sync (node), or how to find peers (dht).
package protocol

//go:generate protoc --go_out=internal/pb --go_opt=paths=source_relative sync.proto
