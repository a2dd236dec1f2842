package node

import (
	"encoding/json"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/form"
	"github.com/ibgib/ibgib-node/saga"
)

// The types in this file are what a Node's methods return. Their JSON form is
// what the control API sends and what the commands print with --json, so
// members may be added but not renamed.

// Identity is how others reach this node.
type Identity struct {
	PeerID string `json:"peerId"`
	// Addrs are multiaddrs that end in /p2p/ and the peer id: those at which the
	// node listens, or those at which it did when it last ran. Empty if it never
	// listened.
	Addrs []string `json:"addrs"`
}

// Peer is a node that this one trusts, that it has met without trusting it, or
// from which trust was withdrawn.
type Peer struct {
	PeerID  string `json:"peerId"`
	Trusted bool   `json:"trusted"`
	// By says how it came to be trusted: hand, invite, mesh if it proved the mesh
	// secret, or introduced.
	By string `json:"by,omitempty"`
	// Introducer: whom it vouches for is trusted. Introduce: it is told for whom this
	// node vouches. IntroducedBy is the peer that vouches for it.
	Introducer   bool   `json:"introducer,omitempty"`
	Introduce    bool   `json:"introduce,omitempty"`
	IntroducedBy string `json:"introducedBy,omitempty"`
	// Keystone is the first frame of the keystone that it names as its own; zero if it
	// has not named one yet. Of a stranger it is what it said last, and is bound to it
	// when it becomes trusted.
	Keystone ibgib.Addr `json:"keystone,omitzero"`
	// Denied tells that trust was withdrawn by hand, so that a proof of the mesh
	// secret does not help.
	Denied bool `json:"denied,omitempty"`
	// Since is when trust was given or withdrawn; zero for a stranger.
	Since time.Time `json:"since,omitzero"`
	// Words are six words that both nodes show, made from both peer ids. If they are
	// the same here and there, no third node stands in between.
	Words string `json:"words,omitempty"`
	// Connected tells whether there is a connection now, Addrs its addresses, or those
	// known of before.
	Connected bool     `json:"connected"`
	Relayed   bool     `json:"relayed,omitempty"` // only through another node
	Addrs     []string `json:"addrs,omitempty"`
	// LastSeen is when a trusted peer was last connected or found.
	LastSeen time.Time `json:"lastSeen,omitzero"`
	// Of a stranger: Asked counts how often it asked for something since this node
	// started, LastAsked is when it was met last, Proved tells that it knows the mesh
	// secret.
	Asked     int       `json:"asked,omitempty"`
	LastAsked time.Time `json:"lastAsked,omitzero"`
	Proved    bool      `json:"proved,omitempty"`
	// LastSync is how the last sync with a trusted peer ended; nil if there was none. One
	// that failed stands until a later one of the same share goes well.
	LastSync *LastSync `json:"lastSync,omitempty"`
	// Unfinished is how many bytes this node keeps for it that no timeline has
	// (Limits.PeerDisk).
	Unfinished int64 `json:"unfinished,omitempty"`
}

// LastSync is how a sync of one share ended.
type LastSync struct {
	SagaID    string    `json:"sagaId"`
	Share     string    `json:"share,omitempty"` // its name; empty: the default share
	Ended     time.Time `json:"ended"`
	Converged bool      `json:"converged"`       // both sides had the same heads then
	Code      string    `json:"code,omitempty"`  // of package saga, by name, if it failed
	Error     string    `json:"error,omitempty"` // why it failed; may have foreign text

	stranger bool // the peer has said that it does not trust this node
}

// Timeline is one timeline as the index has it.
type Timeline struct {
	Tjp    ibgib.Addr   `json:"tjp"`
	Heads  []ibgib.Addr `json:"heads"` // sorted; several: the timeline has diverged
	Latest ibgib.Addr   `json:"latest"`
	N      *int64       `json:"n"`      // of Latest; nil if it does not count
	Pinned bool         `json:"pinned"` // a person has chosen Latest on this node
	Merged bool         `json:"merged"` // Latest is the merge of Heads
	// Share is the one that this is shown of, by name: empty is the default share, which
	// goes before others that list the timeline.
	Share string `json:"share,omitempty"`
}

// Frame is one frame of a timeline.
type Frame struct {
	Addr ibgib.Addr `json:"addr"`
	Kind string     `json:"kind"` // tjp, user, merge or keep
	N    *int64     `json:"n"`
	// Time is the instant that the frame bears; zero if it bears none.
	Time time.Time `json:"time,omitzero"`
	// Dna is the newest transform record of the frame; zero if there is none.
	Dna ibgib.Addr `json:"dna,omitzero"`
}

// Change is what a change of a timeline made.
type Change struct {
	Addr   ibgib.Addr `json:"addr"` // the new frame
	Tjp    ibgib.Addr `json:"tjp"`  // names the timeline
	N      *int64     `json:"n"`
	Stored int        `json:"stored"` // new ibGibs: the frame, its dna, earlier steps
}

// PutResult is what became of an ibGib that was stored by hand.
type PutResult struct {
	Addr   ibgib.Addr `json:"addr"`
	Stored bool       `json:"stored"` // it is new
	Pinned bool       `json:"pinned"` // a constant that is kept from now on
	// Missing are link targets that are not there with all they link to; at
	// most 1,000. The ibGib waits for them.
	Missing []ibgib.Addr `json:"missing"`
	// Rejected says why a frame is kept out of its timeline.
	Rejected *Rejected `json:"rejected,omitempty"`
}

// DiffResult is how one ibGib differs from another.
type DiffResult struct {
	From   ibgib.Addr   `json:"from"`
	To     ibgib.Addr   `json:"to"`
	Ib     *IbChange    `json:"ib,omitempty"`
	Data   []DataChange `json:"data"`
	Rel8ns []RelChange  `json:"rel8ns"` // by name
}

// IbChange is another ib.
type IbChange struct {
	Old string `json:"old"`
	New string `json:"new"`
}

// DataChange is another value at one place of the data. A bytes payload shows as
// its size.
type DataChange struct {
	Path     string          `json:"path"`          // a JSON pointer; empty: the data as a whole
	Old      json.RawMessage `json:"old,omitempty"` // not there: added
	New      json.RawMessage `json:"new,omitempty"` // not there: removed
	OldBytes *int            `json:"oldBytes,omitempty"`
	NewBytes *int            `json:"newBytes,omitempty"`
}

// RelChange is another list of links.
type RelChange struct {
	Name      string       `json:"name"`
	Removed   []ibgib.Addr `json:"removed,omitempty"`
	Added     []ibgib.Addr `json:"added,omitempty"`
	Reordered bool         `json:"reordered,omitempty"` // the same addresses in another order
}

// Graph is what is reached from an ibGib.
type Graph struct {
	Root  ibgib.Addr  `json:"root"`
	Nodes []GraphNode `json:"nodes"`          // each once, the root first, nearest first
	More  bool        `json:"more,omitempty"` // there is more than was asked for
}

// GraphNode is one ibGib of a Graph.
type GraphNode struct {
	Addr      ibgib.Addr  `json:"addr"`
	Depth     int         `json:"depth"` // links from the root
	Links     []GraphLink `json:"links,omitempty"`
	Primitive bool        `json:"primitive,omitempty"`
	Missing   bool        `json:"missing,omitempty"` // not stored
	More      bool        `json:"more,omitempty"`    // it has links that are not shown
}

// GraphLink is one link of a GraphNode.
type GraphLink struct {
	Rel8n string     `json:"rel8n"`
	Addr  ibgib.Addr `json:"addr"`
}

// Conflict is a timeline that has diverged and is not merged.
type Conflict struct {
	Tjp    ibgib.Addr     `json:"tjp"`
	Latest ibgib.Addr     `json:"latest"` // the head that is presented until the conflict is resolved
	Pinned bool           `json:"pinned"` // a person has chosen Latest on this node
	Reason ConflictReason `json:"reason"`
	Detail string         `json:"detail,omitempty"` // more about the reason, for people
	Heads  []Frame        `json:"heads"`            // sorted by address
}

// ConflictReason says why the branches of a timeline are not merged: manual, pinned,
// undecided, or one of the reasons of package timeline.
type ConflictReason string

// Reasons beside those of package timeline.
const (
	// ReasonManual: this node, or the other side of the sync that brought the branches,
	// leaves them to a person.
	ReasonManual ConflictReason = "manual"
	// ReasonPinned: a person has chosen a head on this node.
	ReasonPinned ConflictReason = "pinned"
	// ReasonUndecided: they are to be merged, when there is time for it.
	ReasonUndecided ConflictReason = blockstore.ReasonUndecided
)

// ConflictDetail shows the branches of a timeline that has diverged, and how they are
// merged if they are.
type ConflictDetail struct {
	Tjp    ibgib.Addr `json:"tjp"`
	Latest ibgib.Addr `json:"latest"`
	Pinned bool       `json:"pinned"` // a person has chosen Latest on this node
	Merged bool       `json:"merged"` // Latest is the merge of the branches
	// Ended is the merge or keep frame that ended the divergence, of one that is over, or
	// that has another head since. Merged then tells of that frame, and Kept is the head
	// that a person has kept instead of a merge.
	Ended ibgib.Addr `json:"ended,omitzero"`
	Kept  ibgib.Addr `json:"kept,omitzero"`
	// From is the keep frame that the merge goes out from: what a person settled by it is
	// settled. Zero if it goes out from the base.
	From     ibgib.Addr     `json:"from,omitzero"`
	Reason   ConflictReason `json:"reason,omitempty"` // why it is not
	Detail   string         `json:"detail,omitempty"`
	Base     Frame          `json:"base"` // the newest frame in the history of every head
	Branches []Branch       `json:"branches"`
	// Overridden and Skipped are those of the merge; see Merge. OverriddenCut says that
	// the list is full, so that there may be more.
	Overridden    []Overridden `json:"overridden"`
	OverriddenCut bool         `json:"overriddenCut,omitempty"`
	Skipped       []ibgib.Addr `json:"skipped"`
}

// Branch is what one head has above the base of a conflict.
type Branch struct {
	Head ibgib.Addr `json:"head"`
	// Frames are those in the history of the head, itself included, each before those
	// that it stands on; at most 1,000.
	Frames []BranchFrame `json:"frames"`
	More   bool          `json:"more,omitempty"` // there are older ones above the base
}

// BranchFrame is one frame of a Branch.
type BranchFrame struct {
	Frame
	Shared bool `json:"shared,omitempty"` // it is in another branch too
}

// ImportResult says what became of a file.
type ImportResult struct {
	Form form.Form `json:"form"`
	// Context is what a raw export says that it is about.
	Context ibgib.Addr `json:"context,omitzero"`

	Read    int `json:"read"`    // ibGibs in the file, refused ones included
	Stored  int `json:"stored"`  // new to the store
	Present int `json:"present"` // in the store before, or repeated in the file
	// Refused are the ibGibs that did not pass; the first 1,000, and
	// RefusedMore counts the rest. Progress reports every one.
	Refused     []Refused `json:"refused"`
	RefusedMore int       `json:"refusedMore,omitempty"`
	// Incomplete is what the store still waits for, if ibGibs of this file
	// link to something that is missing; at most 1,000. Such ibGibs are stored
	// and join their timelines when it arrives.
	Incomplete     []Missing `json:"incomplete"`
	IncompleteMore int       `json:"incompleteMore,omitempty"`
	// Outside are timelines and constants of other shares that ibGibs of this file wait
	// for, which ImportOptions.Include would bring into the default share; at most 1,000.
	Outside []ibgib.Addr `json:"outside,omitempty"`
	// Rejected are the frames that a rule keeps out of their timelines, though
	// they are stored; at most 1,000.
	Rejected []Rejected `json:"rejected,omitempty"`
	// Moved counts the timelines that got other heads.
	Moved int `json:"moved"`
}

// Refused is one ibGib of a file that the intake gate, or the store, refused.
type Refused struct {
	Line   int    `json:"line"`           // where it begins, from 1
	Item   int    `json:"item,omitempty"` // which one it is, from 1, in a file that is not one ibGib a line
	Addr   string `json:"addr"`           // as claimed; printable, may be cut or empty
	Rule   string `json:"rule"`
	Detail string `json:"detail"`
}

// Missing is an address that stored ibGibs link to and that is not stored.
type Missing struct {
	Share    string     `json:"share,omitempty"` // that it is missing in; empty: the default share
	Addr     ibgib.Addr `json:"addr"`
	Referrer ibgib.Addr `json:"referrer"` // one of those that link to it
	// BelongsTo is the ibGib that the hash belongs to, if Addr is another address of
	// the same hash: then it cannot exist, and will never come.
	BelongsTo ibgib.Addr `json:"belongsTo,omitzero"`
}

// Rejected is a stored frame that is kept out of its timeline.
type Rejected struct {
	Share  string     `json:"share,omitempty"` // that it is kept out of; empty: the default share
	Addr   ibgib.Addr `json:"addr"`
	Rule   string     `json:"rule"`
	Detail string     `json:"detail"`
}

// ImportProgress is how far an import has come.
type ImportProgress struct {
	Read    int   `json:"read"`
	Stored  int   `json:"stored"`
	Present int   `json:"present"`
	Bytes   int64 `json:"bytes"` // of the file
	// Refused is an ibGib that has just been refused; nil in a plain report.
	Refused *Refused `json:"refused,omitempty"`
}

// ExportResult counts what an export wrote.
type ExportResult struct {
	IbGibs int   `json:"ibgibs"`
	Bytes  int64 `json:"bytes"`
	// Missing are link targets that are not stored; at most 1,000. What links
	// to them was exported.
	Missing []ibgib.Addr `json:"missing"`
}

// Traffic counts payload.
type Traffic struct {
	IbGibs uint64 `json:"ibgibs"`
	Bytes  uint64 `json:"bytes"` // of stored forms
}

// Wire counts the bytes of a saga's messages.
type Wire struct {
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
}

// SyncResult says what a saga did.
type SyncResult struct {
	SagaID   string        `json:"sagaId"`
	Peer     string        `json:"peer"`
	Share    string        `json:"share,omitempty"` // its name; empty: the default share
	Mode     saga.Mode     `json:"mode"`
	Strategy saga.Strategy `json:"strategy"` // that ruled, the stricter of both sides'
	// StrategyBy says who wants that one; none where it is optimistic.
	StrategyBy []StrategySource `json:"strategyBy,omitempty"`
	Converged  bool             `json:"converged"` // both sides have the same heads now
	Equal      bool             `json:"equal"`     // they had before: nothing moved
	Rounds     int              `json:"rounds"`    // round trips
	Sent       Traffic          `json:"sent"`
	Received   Traffic          `json:"received"`
	// Wire counts the bytes of all messages, payload and the rest.
	Wire Wire `json:"wire"`
	// Conflicts are the timelines among those that the saga dealt with that have
	// diverged and are not merged, Merged those whose branches are. There are at most
	// 1,000 of both together, and ConflictsMore counts the rest.
	Conflicts     []Conflict `json:"conflicts"`
	ConflictsMore int        `json:"conflictsMore,omitempty"`
	Merged        []Timeline `json:"merged"`
	// Overridden counts the writes that merges of this sync have put another one in the
	// place of, Skipped the changes that no longer fit; see Conflict for which.
	Overridden int `json:"overridden,omitempty"`
	Skipped    int `json:"skipped,omitempty"`
	// PeerDiverged are timelines that have diverged on the other side alone, which a sync
	// in one direction leaves so; at most 1,000.
	PeerDiverged []ibgib.Addr `json:"peerDiverged,omitempty"`
	// Rejected are received frames that a rule keeps out here; at most 1,000.
	// PeerRejected counts those that a rule of the other side keeps out there.
	Rejected     []Rejected `json:"rejected,omitempty"`
	PeerRejected uint64     `json:"peerRejected,omitempty"`
	// Refused are received ibGibs that did not pass; what links to them was
	// dropped with them. PeerRefused are those that the other side refused.
	Refused     []SyncRefusal `json:"refused,omitempty"`
	PeerRefused []SyncRefusal `json:"peerRefused,omitempty"`
	// Aborted are the tjps of the timelines that have diverged and that the
	// strategy abort has left as they were; at most 1,000. They are not among
	// Conflicts.
	Aborted []ibgib.Addr `json:"aborted,omitempty"`
	// Absent are the roots of the timelines asked for that neither side has.
	Absent []string `json:"absent,omitempty"`
	// LeftOut counts the timelines with too many heads for a saga.
	LeftOut int `json:"leftOut,omitempty"`
	// Shares are the results of the named shares, if the sync was about more than one
	// share; Error, in these, says why one has failed.
	Shares []SyncResult `json:"shares,omitempty"`
	Error  string       `json:"error,omitempty"`
}

// StrategySource is what can want a strategy for timelines that have diverged.
type StrategySource string

// The sources of strategies.
const (
	StrategyOfSync  StrategySource = "sync"  // the options of a sync
	StrategyOfNode  StrategySource = "node"  // this node, in all that it does
	StrategyOfShare StrategySource = "share" // the share, on this node
	StrategyOfPeer  StrategySource = "peer"  // the other side
)

// SyncProgress is how far a saga has come.
type SyncProgress struct {
	SagaID   string  `json:"sagaId"`
	Stage    string  `json:"stage"` // init, ack, delta or commit
	Sent     Traffic `json:"sent"`
	Received Traffic `json:"received"`
	Rate     Rate    `json:"rate"` // of both together, over the last seconds
	// Differing counts the timelines that differ, 0 until known; Lacking the
	// heads among them that have not come yet, Queued what is ready to be sent.
	Differing int     `json:"differing"`
	Lacking   int     `json:"lacking"`
	Queued    Traffic `json:"queued"`
	// Heads counts the heads that one side has asked the other for, HeadsLeft
	// those of them that are still to come or to go. SecondsLeft is an estimate of
	// how long that takes; 0 where there is none.
	Heads       int     `json:"heads"`
	HeadsLeft   int     `json:"headsLeft"`
	SecondsLeft float64 `json:"secondsLeft,omitempty"`
}

// VerifyProgress is how far a check of the store has come.
type VerifyProgress struct {
	Checked int `json:"checked"` // records
}

// VerifyReport is what a check of the store found.
type VerifyReport = blockstore.VerifyReport

// Stats counts what a node has.
type Stats struct {
	IbGibs    int   `json:"ibgibs"`
	Timelines int   `json:"timelines"`
	Conflicts int   `json:"conflicts"` // timelines that have diverged and are not merged
	Stones    int   `json:"stones"`    // pinned constants
	Pins      int   `json:"pins"`      // of them, and of others
	Awaited   int   `json:"awaited"`   // addresses that something stored waits for
	Rejected  int   `json:"rejected"`  // frames that a rule keeps out
	Wants     int   `json:"wants"`     // heads that peers named and that have not come
	Shares    int   `json:"shares"`    // named ones
	Sagas     int   `json:"sagas"`     // remembered
	Disk      int64 `json:"disk"`      // bytes that the files of the store take
	// Process is what a started node takes; nil for one that a command has opened.
	Process *ProcessStats `json:"process,omitempty"`
}

// ProcessStats is what the process of a node takes.
type ProcessStats struct {
	Since      time.Time `json:"since"` // when the node was started
	Goroutines int       `json:"goroutines"`
	Heap       int64     `json:"heap"`          // bytes that the last garbage collection found live
	RSS        int64     `json:"rss,omitempty"` // bytes in physical memory; 0 where the system does not tell
}

// Why says what is missing of a timeline or kept out of it.
type Why struct {
	Addr   ibgib.Addr   `json:"addr"` // as asked
	Stored bool         `json:"stored"`
	Tjp    ibgib.Addr   `json:"tjp,omitzero"`    // of the timeline that it claims
	Share  string       `json:"share,omitempty"` // that it is shown of; empty: the default share
	Latest ibgib.Addr   `json:"latest,omitzero"` // zero: the index has no frame of it
	Heads  []ibgib.Addr `json:"heads"`           // several: it has diverged
	Merged bool         `json:"merged"`          // Latest is the merge of Heads
	// Reason says why several heads are not merged, Detail more about that, and Opaque
	// is the frame that stands in the way if there is one.
	Reason ConflictReason `json:"reason,omitempty"`
	Detail string         `json:"detail,omitempty"`
	Opaque ibgib.Addr     `json:"opaque,omitzero"`
	// Missing is what its frames wait for, and Rejected which of them a rule
	// keeps out; at most 1,000 each.
	Missing      []Missing  `json:"missing"`
	MissingMore  int        `json:"missingMore,omitempty"`
	Rejected     []Rejected `json:"rejected"`
	RejectedMore int        `json:"rejectedMore,omitempty"`
	// Wants are its heads that trusted peers named and that have not come.
	Wants []Want `json:"wants"`
	// Held are heads that one share has and that are kept from another one which
	// lists the timeline.
	Held []HeldBack `json:"held"`
	// LeftAlone are the trusted peers with which it has diverged in a share, and the last
	// saga on record in which it differed has left it as it was, by the strategy abort.
	LeftAlone []LeftAlone `json:"leftAlone"`
	// Forgotten says that it is to be nowhere on this node; see Forget.
	Forgotten bool `json:"forgotten,omitempty"`
	// Out names the shares that it was taken out of; see RemoveFromShare.
	Out []string `json:"out,omitempty"`
}

// LeftAlone is a saga that has left a diverged timeline as it was on both sides.
type LeftAlone struct {
	Peer   string    `json:"peer"`
	Share  string    `json:"share,omitempty"` // its name then; empty: the default share
	SagaID string    `json:"sagaId"`
	Ended  time.Time `json:"ended"`
	// StrategyBy says who wanted the strategy abort; none in records of versions that did
	// not note it.
	StrategyBy []StrategySource `json:"strategyBy"`
}

// SagaRecord is what a node remembers of a saga that moved something.
type SagaRecord struct {
	SagaID    string     `json:"sagaId"`
	Addr      ibgib.Addr `json:"addr"` // the frame that records it
	Peer      string     `json:"peer"`
	Share     string     `json:"share,omitempty"` // its name then; empty: the default share
	Role      string     `json:"role"`            // of this node: initiator or responder
	Mode      string     `json:"mode"`            // seen from the initiator
	Strategy  string     `json:"strategy"`
	Began     time.Time  `json:"began,omitzero"`
	Ended     time.Time  `json:"ended,omitzero"`
	Converged bool       `json:"converged"`
	// Error is why it failed; what had moved by then stays.
	Error        *SagaFailure `json:"error,omitempty"`
	Rounds       int          `json:"rounds"`
	Differing    int          `json:"differing"` // timelines
	Sent         Traffic      `json:"sent"`
	Received     Traffic      `json:"received"`
	Wire         Wire         `json:"wire"`
	Conflicts    int          `json:"conflicts"`    // timelines that had diverged, merged since or not
	Aborted      int          `json:"aborted"`      // diverged timelines that were left as they were
	Refused      int          `json:"refused"`      // received ibGibs that did not pass
	PeerRefused  int          `json:"peerRefused"`  // the same of the other side
	Rejected     int          `json:"rejected"`     // received frames that a rule keeps out
	PeerRejected int          `json:"peerRejected"` // the same of the other side
	// Details is there when one saga is asked for.
	Details *SagaDetails `json:"details,omitempty"`
}

// SagaFailure is how a saga failed.
type SagaFailure struct {
	Code string `json:"code"` // of package saga, by name
	Text string `json:"text"` // foreign text
}

// SagaDetails lists what a SagaRecord counts; each list has at most 1,000 items.
type SagaDetails struct {
	Timelines    []SagaTimeline `json:"timelines"` // that differed, or have diverged
	Refusals     []SyncRefusal  `json:"refusals"`
	PeerRefusals []SyncRefusal  `json:"peerRefusals"`
	Rejections   []Rejected     `json:"rejections"`
	Frames       []SagaFrame    `json:"frames"` // its transcript, oldest first
}

// SagaTimeline is a timeline that a saga dealt with.
type SagaTimeline struct {
	Root     string     `json:"root"`               // hash of the tjp
	Tjp      ibgib.Addr `json:"tjp,omitzero"`       // zero: this node has nothing of it
	Conflict bool       `json:"conflict,omitempty"` // it had diverged
	Aborted  bool       `json:"aborted,omitempty"`  // and was left as it was
}

// SagaFrame is one frame of the transcript of a saga.
type SagaFrame struct {
	Addr  ibgib.Addr `json:"addr"`
	Stage string     `json:"stage"`
}
