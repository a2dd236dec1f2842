// Package saga brings two spaces to the same heads. A saga is one such sync: one
// conversation between an initiator and a responder, in the stages init, ack,
// delta and commit.
//
// The core is Machine, one type for both roles. It is pure: Step takes an event
// (a message came, blocks were read, something is durable), Work says what is to
// be done next (store, look up, walk, send). Run is the driver that connects a
// Machine with a connection and a store; the simulator in the tests is another.
//
// Storage and transport are seen through the small interfaces of seams.go. Run
// over a Pipe syncs two stores in one process; package protocol has the Conn for
// the network. The package does not decide when to sync and with whom (node),
// does not encode messages (protocol), and knows no store.
//
// Reading order: message.go, mode.go and error.go (what travels), limits.go, seams.go,
// event.go (what a Machine takes in and hands out), machine.go, talk.go
// (the order of messages), gap.go, forgotten.go and knowledge.go (who has what), sender.go, receiver.go,
// refusal.go, ending.go (commit), result.go, recorder.go and transcript.go; then driver.go,
// worker.go, lookup.go and walk.go (the driver), pipe.go. DESIGN.md says why it
// is so.
//
// A saga is about one share, whole or some timelines of it, and goes both ways or
// one. Which share that is, and who may take part, is for the caller to decide; what
// is read and written is that of this share alone (Blocks, Index, Intake). With the strategies
// optimistic and manual both branches of a diverged timeline are stored and reported
// as a Conflict, which the store may merge with the first; abort leaves such a
// timeline as it is.
package saga
