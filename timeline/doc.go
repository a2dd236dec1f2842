// Package timeline knows how ibGibs form timelines: which ibGib extends one and
// which is kept out, what the history of a frame is, which frames are the heads,
// what merges of several heads are, what a closure contains and in which order it
// travels, and how the heads of many timelines are summarised in a fingerprint.
//
// It is pure. It reads what is stored through functions that the caller passes
// (Lookup for blocks, FrameLookup for the index of admitted frames) and keeps
// nothing itself. It does not store, does not talk to peers, and makes no frames
// but merge and keep frames (package ibgib makes the others). The block store calls
// it to keep its index, the saga to compare and to send.
//
// Reading order: frame.go (the facts of a frame), admit.go and merge_links.go
// (the rules), past.go and heads.go (history), MERGE.md with merge.go,
// divergence.go, op.go, replay.go, overridden.go and merge_check.go (merges),
// keep.go, closure.go, walk.go and order.go (walks), knowledge.go (entries and
// fingerprints).
//
// # Admission
//
// A frame's predecessor is the last address in its past. Admit looks at one
// frame and the facts of what is directly below; that these were admitted
// carries the rest. So an index has to offer frames after what they stand on,
// and only when their closure is stored. The history of a frame is what was
// admitted below it, never the list that it claims in past; a fork that brings
// foreign frames in its past starts at its own tjp like any other.
//
// n counts only as an integer from 0 to 2^53-1. A frame with another n (negative,
// a fraction, text, null) is kept out, a tjp frame too; a tjp frame may begin at
// any n, or have none. ib and every other member may change freely. A user frame
// needs no dna.
//
// # Merge and keep frames
//
// A merge frame is computed from the user frames below it (Merge; MERGE.md has the
// rules). One that comes from elsewhere has to be the same, byte for byte. What its
// form tells is checked first, since it costs little: past is exactly one user
// frame, the greatest (n, HASH) of the heads; ibgib.merge.1 is sorted, without
// repeats, of admitted user frames of the timeline, none in the history of another
// head; at most 1,024 heads; n is the greatest n of the heads + 1, or absent if they
// have none. The computation can cost more than an honest frame needs, so
// AdmitWithin takes a budget; a frame that exceeds it is neither admitted nor kept
// out, and is offered again later.
//
// A keep frame has to have its form: past is the predecessor alone, dna is
// KeepDna alone, ibgib.merge.1 sorted user frames of the timeline, none of them
// or the predecessor in the history of another; on a merge frame exactly the
// heads that it merged; n one more than the greatest below; a readable time (an
// HTTP date as transforms print it, with timestampMs from 0 to 999 or none); ib,
// data and rel8ns the predecessor's; no ibgib.skipped.1, which is no part of the
// state.
//
// Every other frame with a predecessor repeats the two lists of its predecessor
// or is kept out. An absent list and an empty one are the same.
//
// # Conventions
//
// A Lookup answers the zero IbGib for what is not stored. Errors of lookups end
// the operation and are returned as they are, so a caller cancels any walk by an
// error. Functions may be called from several goroutines; History, Walker, Budget
// and MergeCache are for one at a time.
package timeline
