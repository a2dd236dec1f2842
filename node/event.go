package node

import (
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
)

// EventKind names a kind of event.
type EventKind string

// The kinds of events.
const (
	EventReady    EventKind = "ready"    // the first one of a subscription
	EventHeads    EventKind = "heads"    // a timeline has other heads, or another latest
	EventConflict EventKind = "conflict" // a timeline has several heads that are not merged
	EventMerge    EventKind = "merge"    // the branches of a timeline have been merged
	EventResolved EventKind = "resolved" // a person, on any node, has ended a conflict
	EventPeer     EventKind = "peer"     // a peer came, went, or is trusted or not
	EventSaga     EventKind = "saga"     // a saga began, goes on, or ended
	EventMissed   EventKind = "missed"   // some have been left out before this one
)

// Event is something that happened in a node. Of the pointers that one is set
// which belongs to the kind.
type Event struct {
	// ID is the place behind the event, to go on from (EventOptions.Since), in the
	// logs of the heads that moved in each share and in the journal, which keeps the last
	// 10,000 merges, events of peers, and of sagas. The progress of a saga is not kept and
	// has none, nor has an event of a peer or a saga that could not be written.
	ID   string    `json:"id,omitempty"`
	Kind EventKind `json:"kind"`
	Time time.Time `json:"time"` // of heads: when the newest head came into the store

	Heads  *HeadsEvent  `json:"heads,omitempty"` // of conflict and resolved too
	Merge  *Merge       `json:"merge,omitempty"`
	Peer   *PeerEvent   `json:"peer,omitempty"`
	Saga   *SagaEvent   `json:"saga,omitempty"`
	Missed *MissedEvent `json:"missed,omitempty"`
}

// HeadsEvent is a timeline as it is now, or a pinned stone. What moves several
// times in a short while may show once.
type HeadsEvent struct {
	Timeline
	Stone bool   `json:"stone,omitempty"` // no timeline: a constant that is new here
	From  string `json:"from,omitempty"`  // the peer that the newest head came from; empty: this node
}

// PeerEvent is a change of what this node knows of a peer.
type PeerEvent struct {
	Change PeerChange `json:"change"`
	Peer              // as it is now
}

// PeerChange says what has changed.
type PeerChange string

// What can change about a peer.
const (
	PeerConnected    PeerChange = "connected"
	PeerDisconnected PeerChange = "disconnected"
	PeerTrusted      PeerChange = "trusted"
	PeerUntrusted    PeerChange = "untrusted"
	PeerPending      PeerChange = "pending" // a stranger asks, for the first time
)

// SagaEvent is a saga as it runs.
type SagaEvent struct {
	State SagaState `json:"state"`
	// SagaID is empty at the beginning of a saga that this node begins.
	SagaID    string `json:"sagaId,omitempty"`
	Peer      string `json:"peer"`
	Share     string `json:"share,omitempty"`     // its name; empty: the default share
	Role      string `json:"role"`                // of this node: initiator or responder
	Timelines int    `json:"timelines,omitempty"` // that it is about; 0: all
	// Progress is there while it goes on.
	Progress *SyncProgress `json:"progress,omitempty"`
	// Outcome is there at the end.
	Outcome *SagaOutcome `json:"outcome,omitempty"`
}

// SagaState says where a saga is.
type SagaState string

// Where a saga can be.
const (
	SagaBegun    SagaState = "begun"
	SagaProgress SagaState = "progress"
	SagaEnded    SagaState = "ended"
)

// SagaOutcome is how a saga ended.
type SagaOutcome struct {
	Converged bool    `json:"converged"`
	Equal     bool    `json:"equal"` // nothing had to move
	Rounds    int     `json:"rounds"`
	Sent      Traffic `json:"sent"`
	Received  Traffic `json:"received"`
	Conflicts int     `json:"conflicts"`       // timelines that have diverged, merged or not
	Error     string  `json:"error,omitempty"` // it failed
}

// MissedEvent says what a subscriber did not get.
type MissedEvent struct {
	// Events counts those of the kinds wanted that are not kept any more, or came faster
	// than they were kept or taken.
	Events uint64 `json:"events,omitempty"`
	// Log says that the log of heads has begun anew, so that any heads may have
	// moved: read them all.
	Log bool `json:"log,omitempty"`
}

func headsEvent(c blockstore.Change, in *share) *HeadsEvent {
	e := &HeadsEvent{Timeline: located{c.Entry, in}.timeline(), Stone: c.Stone}
	if len(c.Origins) > 0 {
		e.From = c.Origins[c.Newest].Peer
	}
	return e
}
