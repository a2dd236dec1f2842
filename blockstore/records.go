package blockstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// errRecord says that a record of the store does not decode.
var errRecord = errors.New("record does not decode")

// formFull is the block form that this version writes; FORMAT.md names the others.
const formFull = 0

// appendBlock appends the block record: form, content.
func appendBlock(b []byte, g ibgib.IbGib) []byte {
	return append(append(b, formFull), g.Stored()...)
}

// blockSize is about the length of a block record, its key and what the engine
// adds.
func blockSize(g ibgib.IbGib) int { return opSize(128, g.Size()) }

// blockContent returns the content of a block record, which is part of it.
func blockContent(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errRecord
	}
	if b[0] != formFull {
		return nil, fmt.Errorf("%w: unknown block form %d", errRecord, b[0])
	}
	return b[1:], nil
}

// decodeBlock decodes the record of the block with the given address.
func decodeBlock(addr ibgib.Addr, b []byte) (ibgib.IbGib, error) {
	content, err := blockContent(b)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	return ibgib.Load(addr, content)
}

// member is the membership of one block in one share.
type member struct {
	addr    ibgib.Addr
	closed  bool
	missing uint32 // distinct link targets that are not closed members; 0 if closed
	seq     uint64 // arrival
	slot    uint64 // where the block lies: the number of its first arrival in any share
	peer    uint32 // number of the peer it came from; 0 is this node
	at      time.Time
	frame   *timeline.Frame // facts, if it is an admitted frame
}

const (
	flagClosed   = 1 << 0
	flagFrame    = 1 << 1
	flagN        = 1 << 2
	flagMergeRel = 1 << 3
)

func encodeMember(m member) []byte { return appendMember(nil, &m) }

func appendMember(b []byte, m *member) []byte {
	var flags byte
	if m.closed {
		flags |= flagClosed
	}
	if m.frame != nil {
		flags |= flagFrame
		if m.frame.HasN {
			flags |= flagN
		}
		if m.frame.HasMergeList {
			flags |= flagMergeRel
		}
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(m.missing))
	b = binary.AppendUvarint(b, m.seq)
	b = binary.AppendUvarint(b, m.seq-m.slot)
	b = binary.AppendUvarint(b, uint64(m.peer))
	b = binary.AppendVarint(b, m.at.UnixMilli())
	b = appendTail(b, m.addr)
	if f := m.frame; f != nil {
		b = append(b, byte(f.Kind))
		if f.HasN {
			b = binary.AppendVarint(b, f.N)
		}
		b = appendAddrBeside(b, f.Tjp, m.addr)
		b = appendAddrBeside(b, f.Pred, m.addr)
		b = binary.AppendUvarint(b, uint64(len(f.Links)))
		for _, l := range f.Links {
			b = appendAddrBeside(b, l, m.addr)
		}
	}
	return b
}

// decodeMember decodes the membership record of the block with the given hash.
func decodeMember(h ibgib.Hash, b []byte) (member, error) {
	r := reader{b: b}
	flags := r.byte()
	m := member{closed: flags&flagClosed != 0}
	m.missing = uint32(r.uvarint())
	m.seq = r.uvarint()
	m.slot = m.seq - r.uvarint()
	m.peer = uint32(r.uvarint())
	m.at = time.UnixMilli(r.varint()).UTC()
	m.addr = r.tail(h)
	if flags&flagFrame != 0 {
		f := &timeline.Frame{Addr: m.addr, Kind: timeline.FrameKind(r.byte()), HasMergeList: flags&flagMergeRel != 0}
		if flags&flagN != 0 {
			f.N, f.HasN = r.varint(), true
		}
		f.Tjp = r.addrBeside(m.addr)
		f.Pred = r.addrBeside(m.addr)
		if n := r.uvarint(); n > 0 {
			if n > uint64(len(r.b)) {
				return member{}, errRecord
			}
			f.Links = make([]ibgib.Addr, n)
			for i := range f.Links {
				f.Links[i] = r.addrBeside(m.addr)
			}
		}
		m.frame = f
	}
	return m, r.end()
}

// entryRecord is what the store keeps of an Entry.
func encodeEntry(e Entry) []byte {
	b := binary.AppendUvarint(nil, e.Seq)
	b = appendAddr(b, e.Root)
	b = binary.AppendUvarint(b, uint64(len(e.Heads)))
	for _, h := range e.Heads {
		b = appendAddr(b, h)
	}
	b = appendAddr(b, e.Latest)
	var flags byte
	if e.HasN {
		flags |= entryN
	}
	if e.Stone {
		flags |= entryStone
	}
	if e.pinnedBy != 0 {
		flags |= entryPeer
	}
	if e.Pinned {
		flags |= entryPinned
	}
	if e.Merged {
		flags |= entryMerged
	}
	if e.Held {
		flags |= entryHeld
	}
	if e.Conflict != (Conflict{}) {
		flags |= entryConflict
	}
	b = append(b, flags)
	if e.pinnedBy != 0 {
		b = binary.AppendUvarint(b, uint64(e.pinnedBy))
	}
	if e.HasN {
		b = binary.AppendVarint(b, e.N)
	}
	if c := e.Conflict; flags&entryConflict != 0 {
		b = appendText(b, c.Reason)
		b = appendText(b, c.Detail)
		b = appendAddr(b, c.Base)
		b = appendAddr(b, c.Opaque)
	}
	return b
}

// Flags of an entry.
const (
	entryN        = 1 << 0 // n of latest follows
	entryStone    = 1 << 1
	entryPinned   = 1 << 2
	entryMerged   = 1 << 3
	entryHeld     = 1 << 4
	entryConflict = 1 << 5 // why it is not merged follows
	entryPeer     = 1 << 6 // of a stone: the peer that pinned it follows
)

// entryFlagsValid tells whether flags can stand together: a stone has none of the
// others, and latest is pinned, merged, in conflict, or nothing of these.
func entryFlagsValid(flags byte) bool {
	if flags&entryStone != 0 {
		return flags&^entryPeer == entryStone
	}
	return flags < 1<<6 && bits.OnesCount8(flags&(entryPinned|entryMerged|entryConflict)) <= 1
}

func decodeEntry(b []byte) (Entry, error) {
	r := reader{b: b}
	e := Entry{Seq: r.uvarint(), Root: r.addr()}
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		return Entry{}, errRecord
	}
	e.Heads = make([]ibgib.Addr, n)
	for i := range e.Heads {
		e.Heads[i] = r.addr()
	}
	e.Latest = r.addr()
	flags := r.byte()
	e.HasN, e.Stone, e.Pinned = flags&entryN != 0, flags&entryStone != 0, flags&entryPinned != 0
	e.Merged, e.Held = flags&entryMerged != 0, flags&entryHeld != 0
	if !entryFlagsValid(flags) {
		r.fail()
	}
	if flags&entryPeer != 0 {
		if e.pinnedBy = uint32(r.uvarint()); e.pinnedBy == 0 {
			r.fail()
		}
	}
	if e.HasN {
		e.N = r.varint()
	}
	if flags&entryConflict != 0 {
		e.Conflict = Conflict{Reason: r.text(), Detail: r.text(), Base: r.addr(), Opaque: r.addr()}
	}
	return e, r.end()
}

// shareState is the summary of a share's entries.
type shareState struct {
	fingerprint timeline.Fingerprint
	seq         uint64 // last change of this share
}

func encodeState(s shareState) []byte {
	fp, _ := s.fingerprint.MarshalBinary() // cannot fail
	return binary.AppendUvarint(fp, s.seq)
}

func decodeState(b []byte) (shareState, error) {
	var s shareState
	if len(b) < timeline.FingerprintSize {
		return s, errRecord
	}
	if err := s.fingerprint.UnmarshalBinary(b[:timeline.FingerprintSize]); err != nil {
		return s, fmt.Errorf("%w: %w", errRecord, err)
	}
	r := reader{b: b[timeline.FingerprintSize:]}
	s.seq = r.uvarint()
	return s, r.end()
}

// marks are the high-water marks of the store's counters.
type marks struct {
	arrival uint64 // next arrival sequence to reserve
	stage   uint64 // next stage number
}

func encodeMarks(m marks) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, m.arrival), m.stage)
}

func decodeMarks(b []byte) (marks, error) {
	r := reader{b: b}
	m := marks{arrival: r.uvarint(), stage: r.uvarint()}
	return m, r.end()
}

// decision is the record that makes a staged commit final.
type decision struct {
	share Share
	state shareState // after the commit
}

func encodeDecision(d decision) []byte {
	return append(binary.AppendUvarint(nil, uint64(d.share)), encodeState(d.state)...)
}

func decodeDecision(b []byte) (decision, error) {
	r := reader{b: b}
	d := decision{share: Share(r.uvarint())}
	if r.err != nil {
		return d, r.err
	}
	var err error
	d.state, err = decodeState(r.b)
	return d, err
}

func encodeRejection(j timeline.Rejection) []byte {
	b := binary.AppendUvarint(nil, uint64(j.Version))
	b = appendAddr(b, j.Addr)
	b = appendText(b, j.Rule)
	return appendText(b, j.Detail)
}

func decodeRejection(b []byte) (timeline.Rejection, error) {
	r := reader{b: b}
	j := timeline.Rejection{Version: int(r.uvarint()), Addr: r.addr(), Rule: r.text(), Detail: r.text()}
	return j, r.end()
}

func encodeAddrs(list []ibgib.Addr) []byte {
	b := binary.AppendUvarint(nil, uint64(len(list)))
	for _, a := range list {
		b = appendAddr(b, a)
	}
	return b
}

func decodeAddrs(b []byte) ([]ibgib.Addr, error) {
	r := reader{b: b}
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		return nil, errRecord
	}
	list := make([]ibgib.Addr, n)
	for i := range list {
		list[i] = r.addr()
	}
	return list, r.end()
}
