// Package identity keeps the keystones that a node has to do with: its own, which
// is its identity, and those of others.
//
// A [Book] holds the history of each of them. Their frames lie in the local area
// of the block store, which no saga serves: a keystone travels with the opening of
// a connection, to whoever trusts it. The block store asks [Book.Admit] about every
// keystone frame, in any share. Only frames that the book has are let into an
// index, so a peer cannot make the store replay a keystone that nobody asked for,
// and a frame is judged once, outside of the store's lock.
//
// Beside the store is a folder with one file for each keystone: a snapshot of its
// history with the newest frame, so that a long keystone costs only its new frames
// after a restart too, and the evidence of equivocation. It is read before the
// store is opened. Frames that are newer than a snapshot are found in the store.
//
// An [Identity] is the primary keystone of the node. It signs, and what it signs is
// durable before anyone sees it. After a restore, in a copied data directory and
// when the store has begun a new epoch it signs nothing until a trusted peer has
// confirmed its newest frame: another copy may have signed since, and two frames
// that follow the same one cost the identity.
//
// Reading order: book.go, extend.go, book_file.go, identity.go, replace.go, place.go.
package identity
