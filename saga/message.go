package saga

import (
	"encoding/hex"
	"fmt"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// ID names one saga: 32 random bytes chosen by the initiator, shown as 64
// lower-case hex digits.
type ID [32]byte

// String returns the 64 lower-case hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText writes the digits, in logs too.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// ParseID reads what String writes.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return ID{}, fmt.Errorf("saga: id has %d characters, want %d", len(s), 2*len(id))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("saga: id %q: %w", s, err)
	}
	if id.String() != s {
		return ID{}, fmt.Errorf("saga: id %q is not lower-case hex", s)
	}
	return id, nil
}

// Stage is the part of a saga that a message belongs to.
type Stage uint8

// The stages, in the order in which a saga passes them.
const (
	StageInit Stage = iota + 1
	StageAck
	StageDelta
	StageCommit
)

// String returns the name that the transcript bears.
func (s Stage) String() string {
	switch s {
	case StageInit:
		return "init"
	case StageAck:
		return "ack"
	case StageDelta:
		return "delta"
	case StageCommit:
		return "commit"
	default:
		return fmt.Sprintf("stage(%d)", uint8(s))
	}
}

// Message is one of *Init, *Ack, *Delta, *Commit, *Working, *Seal and *Error. Messages are
// immutable once sent or received.
type Message interface {
	// SagaID names the saga that the message belongs to.
	SagaID() ID
	// Stage is the stage it belongs to; a *Working, a *Seal and an *Error have none (0).
	Stage() Stage
}

// Init opens a saga.
type Init struct {
	ID       ID
	Features []string // protocol features the initiator knows; unknown ones are ignored
	Mode     Mode
	Strategy Strategy

	// Scope. No shares means the default share, and more than one is not
	// supported; Roots, if any, name the timelines by the hash of their tjp.
	Shares []string
	Roots  []ibgib.Hash

	Fingerprint [32]byte // over the initiator's entries of the scope
	Count       uint64   // number of these entries
	Cursor      *Cursor  // what the initiator last confirmed of the responder; nil if nothing

	// Knowledge: the whole map, if it is small (see MaxInlineEntries).
	// Complete says that Entries is the whole map, also when it is empty.
	Entries  []timeline.Entry
	Complete bool

	Fresh  bool   // the initiator holds no block of the scope at all: nothing needs to be offered first
	Credit uint64 // payload bytes the initiator is ready to receive

	// Forgotten are roots of the scope that the initiator wants nothing of,
	// ascending. Without, if not zero, says that Fingerprint leaves out the
	// entries of those that the responder has forgotten, as the initiator knows
	// it from an earlier saga: see ForgottenDigest.
	Forgotten []ibgib.Hash
	Without   [32]byte
}

// Cursor is a place in a peer's change log.
type Cursor struct {
	Epoch    [16]byte // of the store that issued it
	Sequence uint64   // last change confirmed
}

// Ack answers an Init; further Acks follow while More is set. Features, Mode,
// Strategy, Fingerprint, Count, Fresh, Credit and Forgotten count in the first one.
type Ack struct {
	ID       ID
	Features []string
	// Mode narrows that of the Init, ModeSync leaves it as it is.
	Mode     Mode
	Strategy Strategy // the responder's

	Equal       bool     // the fingerprints are equal: the saga is over
	Fingerprint [32]byte // over the responder's entries of the scope
	Count       uint64

	// Entries are the responder's heads for each root that differs (heads
	// empty where it has none), or, with NeedEntries, its whole map.
	Entries     []timeline.Entry
	NeedEntries bool // Init was not Complete: the initiator compares, and sends its own entries that differ
	Wants       []Want
	More        bool // another Ack follows
	Fresh       bool
	Credit      uint64
	Forgotten   []ibgib.Hash // as in Init; in the first Ack
}

// Want asks for heads that the other side named and this side lacks.
type Want struct {
	Root  ibgib.Hash
	Heads []ibgib.Hash
	// Known are frames of the timeline that the asking side has, newest
	// first at growing distances, so that the sender finds where to stop.
	Known []ibgib.Hash
}

// Delta carries knowledge, wants, offers, answers, payload and credit, in any
// combination.
type Delta struct {
	ID ID

	Entries     []timeline.Entry // the initiator's heads of roots that differ, after an Ack with NeedEntries
	EntriesDone bool             // all of them have been sent
	Wants       []Want
	WantsDone   bool // no further Want follows

	Offers []ibgib.Hash // blocks the sender could send, dependencies first; answered in order
	Answer *Answer      // to the oldest unanswered Offers of the other side
	Items  []Item       // payload
	Credit uint64       // further payload bytes the sender of this message is ready to receive
	Done   bool         // everything the other side wanted has been sent
}

// Answer says which blocks of one Offers list the receiver lacks: bit i (bit
// i%8 of byte i/8, least significant first) is set if it lacks block i.
type Answer struct {
	Count uint32 // length of the Offers list
	Lacks []byte // (Count+7)/8 bytes
}

// Form says how an Item or a stored block represents an ibGib.
type Form uint8

// The forms. Only FormFull is sent by this version.
const (
	FormFull    Form = iota // the stored form, whole
	FormChunk               // a piece of the stored form
	FormDerived             // predecessor, dna and time; the receiver replays
)

// Item is one payload item.
type Item struct {
	Form  Form
	Bytes []byte // FormFull: the stored form; FormChunk: the piece at Offset

	Hash   ibgib.Hash // FormChunk: of the ibGib the piece belongs to
	Offset uint64     // FormChunk
	Total  uint64     // FormChunk: size of the stored form

	Derived *Derived // FormDerived
}

// Derived is an ibGib as the transform that made it.
type Derived struct {
	Addr        string
	Predecessor ibgib.Hash
	Dna         ibgib.Hash
	Time        int64 // milliseconds since 1970-01-01 UTC
	HasMillis   bool  // the frame bears timestampMs
}

// Commit says where a side stands after its own commit.
type Commit struct {
	ID         ID
	Digest     [32]byte // fingerprint over the (root, heads) agreed in this saga
	Count      uint64   // number of these entries
	Received   Totals
	Conflicts  []ibgib.Hash // roots that have diverged, ascending
	Aborted    []ibgib.Hash // of these, those that StrategyAbort has left as they were, ascending
	Refused    uint64       // heads kept out by an admission rule
	Refusals   []Refusal    // ibGibs that came and were refused, in the order of arrival; the first MaxRefusals
	LastSeq    uint64       // change log sequence that the other side may keep as its Cursor
	StoreEpoch [16]byte
}

// Refusal tells of an ibGib that the intake gate, or the store, refused for good.
// What links to it was dropped with it; the rest of the saga went on.
type Refusal struct {
	Hash   ibgib.Hash // as offered or claimed; zero if it claimed none that could be read
	Rule   ibgib.Rule
	Detail string // for people; foreign text, at most MaxRefusalText bytes on the wire
}

// Working says that its sender is at work on its own, storing perhaps, and will
// go on: the other side is not to give up. It changes nothing else, and is no
// part of the transcript.
type Working struct{ ID ID }

// Seal is a side's signature over the transcript of a saga in which something moved:
// the next frame of its session keystone, as keystone.AppendFrame writes it. It comes
// after both commits and is itself no part of the transcript.
type Seal struct {
	ID    ID
	Frame []byte
}

// Totals counts payload.
type Totals struct {
	IbGibs uint64
	Bytes  uint64 // of stored forms
}

// SagaID returns the saga's id.
func (m *Init) SagaID() ID    { return m.ID }
func (m *Ack) SagaID() ID     { return m.ID }
func (m *Delta) SagaID() ID   { return m.ID }
func (m *Commit) SagaID() ID  { return m.ID }
func (m *Working) SagaID() ID { return m.ID }
func (m *Seal) SagaID() ID    { return m.ID }
func (m *Error) SagaID() ID   { return m.ID }

// Stage returns the stage the message belongs to.
func (m *Init) Stage() Stage    { return StageInit }
func (m *Ack) Stage() Stage     { return StageAck }
func (m *Delta) Stage() Stage   { return StageDelta }
func (m *Commit) Stage() Stage  { return StageCommit }
func (m *Working) Stage() Stage { return 0 }
func (m *Seal) Stage() Stage    { return 0 }
func (m *Error) Stage() Stage   { return 0 }
