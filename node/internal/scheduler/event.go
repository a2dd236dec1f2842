package scheduler

import (
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Peer is the id of a peer.
type Peer string

// An Event is something that happened: one of the types in this file.
type Event interface{ event() }

// Connected says that a peer is connected and takes sagas.
type Connected struct {
	Peer   Peer
	Dialed bool // by this node
}

// Disconnected says that a peer is no longer connected.
type Disconnected struct{ Peer Peer }

// Trusted says that a peer is trusted.
type Trusted struct{ Peer Peer }

// Untrusted says that a peer is not trusted any more.
type Untrusted struct{ Peer Peer }

// Opened says that this node takes again what it has kept out, of which peers told it
// nothing.
type Opened struct{}

// Changed says that heads have moved here, by whatever way.
type Changed struct {
	Changes []Change
	Moves   uint64 // how often; at least the number of changes
	All     bool   // there are more changes than are listed
}

// Change is a timeline whose heads have moved.
type Change struct {
	Root ibgib.Hash
	From Peer // the peer that all its heads came from; empty: this node, or several
}

// Noticed says that a trusted peer has named timelines.
type Noticed struct {
	Peer    Peer
	Lacking []Lack       // those of which this node lacks heads
	Same    []ibgib.Hash // those that are the same on both sides
}

// Lack is a timeline of which a peer has named heads that this node lacks.
type Lack struct {
	Root  ibgib.Hash
	Heads []ibgib.Hash // none: they are not remembered
}

// Handed says how the notice to a peer ended.
type Handed struct {
	Peer    Peer
	Outcome Outcome
	Left    []ibgib.Hash // of the roots of the notice, those that it did not name
}

// Began says that a saga has begun that the Core has not asked for.
type Began struct {
	Job    Job // Foreign
	Peer   Peer
	Roots  []ibgib.Hash // none: all
	OneWay bool
}

// Ended says how a saga ended.
type Ended struct {
	Job     Job
	Outcome Outcome
}

// Wanted replaces the list of what this node lacks for long.
type Wanted struct{ Wants []Want }

// Want is a head that peers have named and that could not be had.
type Want struct {
	Lack
	Retry time.Time // when to try again
	Peers []Peer    // those that named it
}

// Tick says that time has passed.
type Tick struct{}

func (Connected) event()    {}
func (Disconnected) event() {}
func (Trusted) event()      {}
func (Untrusted) event()    {}
func (Opened) event()       {}
func (Changed) event()      {}
func (Noticed) event()      {}
func (Handed) event()       {}
func (Began) event()        {}
func (Ended) event()        {}
func (Wanted) event()       {}
func (Tick) event()         {}

// Job names a running saga.
type Job uint64

// Foreign is the bit of jobs that the Core has not given out.
const Foreign Job = 1 << 63

// Outcome is how a saga or a notice ended.
type Outcome uint8

// The outcomes.
const (
	OK       Outcome = iota
	Needless         // it did not begin: this node has what it was for
	Busy             // another one goes first
	Lost             // no connection, no answer, or a failure that may pass
	Refused          // the peer does not trust this node
	Broken           // the two do not understand each other, or a limit was passed
)

// An Action is something to be done: a Sync or a Notify.
type Action interface{ action() }

// Sync asks for a saga, both ways. An Ended with its job must follow.
type Sync struct {
	Job  Job
	Peer Peer
	// Lacking is what the saga is about; none: everything. If by now nothing of it is
	// lacking, the outcome is Needless.
	Lacking []Lack
}

// Notify asks for a notice about timelines. A Handed must follow.
type Notify struct {
	Peer  Peer
	Roots []ibgib.Hash
}

func (Sync) action()   {}
func (Notify) action() {}
