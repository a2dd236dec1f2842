package keystone

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// ErrSnapshot says that bytes are no snapshot of a history, or not one that
// ends in the frame that came with them.
var ErrSnapshot = errors.New("not a snapshot of this keystone")

// snapshotVersion is the first byte of a snapshot.
const snapshotVersion = 1

// A snapshot is, numbers as unsigned varints and the rest as raw bytes:
//
//	version, hash of the first frame (32), uuid (32)
//	number of keys, each 32
//	number of disputes, n of each
//	number of frames, for each
//	  hash (32), length of the verb and the verb, digest of the target (32)
//	  number of challenge ids that the frame brought, each 8, ascending
//
// It is for this node alone: whoever can write it can make a keystone valid.

// AppendBinary appends a snapshot, from which Resume goes on. It grows by some
// hundred bytes a frame.
func (h *History) AppendBinary(b []byte) ([]byte, error) {
	uuid, err := hex.DecodeString(h.uuid)
	if err != nil {
		return b, err
	}
	brought := make([][]ChallengeID, len(h.steps))
	for id, n := range h.seen {
		brought[n] = append(brought[n], id)
	}
	first := h.steps[0].hash
	b = append(b, snapshotVersion)
	b = append(b, first[:]...)
	b = append(b, uuid...)
	b = binary.AppendUvarint(b, uint64(len(h.keys)))
	for _, key := range h.keys {
		b = append(b, key...)
	}
	b = binary.AppendUvarint(b, uint64(len(h.disputes)))
	for _, n := range h.disputes {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = binary.AppendUvarint(b, uint64(len(h.steps)))
	for n, s := range h.steps {
		b = append(b, s.hash[:]...)
		b = binary.AppendUvarint(b, uint64(len(s.verb)))
		b = append(b, s.verb...)
		b = append(b, s.target[:]...)
		slices.Sort(brought[n])
		b = binary.AppendUvarint(b, uint64(len(brought[n])))
		for _, id := range brought[n] {
			b = binary.BigEndian.AppendUint64(b, uint64(id))
		}
	}
	return b, nil
}

// Resume takes a history up where AppendBinary left it. tip is its newest frame,
// which this node stored itself; nothing is replayed. The error wraps ErrSnapshot.
func Resume(snapshot []byte, tip ibgib.IbGib) (*History, error) {
	h, ok := readSnapshot(snapshot)
	if !ok || h.Addr(len(h.steps)-1) != tip.Addr() {
		return nil, fmt.Errorf("keystone: resume %s: %w", clip(tip.Addr().String()), ErrSnapshot)
	}
	d, err := Parse(tip)
	if err != nil {
		return nil, fmt.Errorf("keystone: resume %s: %w: %w", clip(tip.Addr().String()), ErrSnapshot, err)
	}
	for _, p := range d.Pools {
		for _, c := range p.Challenges {
			if _, seen := h.seen[c.ID]; !seen {
				return nil, fmt.Errorf("keystone: resume %s: %w: it lacks challenge %s", clip(tip.Addr().String()), ErrSnapshot, c.ID)
			}
		}
	}
	h.moveTip(tip, d)
	return h, nil
}

// cursor reads a snapshot. Once something is missing, ok is false and all
// that follows is zero.
type cursor struct {
	rest []byte
	ok   bool
}

func (c *cursor) bytes(n int) []byte {
	if !c.ok || n > len(c.rest) {
		c.ok = false
		return make([]byte, n)
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

// number reads a varint in its shortest form, at most limit.
func (c *cursor) number(limit int) int {
	x, n := binary.Uvarint(c.rest)
	if !c.ok || n <= 0 || n > 1 && c.rest[n-1] == 0 || x > uint64(limit) {
		c.ok = false
		return 0
	}
	c.rest = c.rest[n:]
	return int(x)
}

// count reads a number of things of at least size bytes each, of which there are
// no more than fit into the rest.
func (c *cursor) count(size int) int { return c.number(len(c.rest) / size) }

func readSnapshot(snapshot []byte) (*History, bool) {
	c := &cursor{rest: snapshot, ok: true}
	if c.bytes(1)[0] != snapshotVersion {
		return nil, false
	}
	h := &History{seen: make(map[ChallengeID]int)}
	genesis, err := ibgib.ParseAddr(Ib + "^" + ibgib.Hash(c.bytes(len(ibgib.Hash{}))).String())
	if err != nil {
		return nil, false
	}
	h.genesis = genesis
	h.uuid = hex.EncodeToString(c.bytes(32))
	for range c.count(ed25519.PublicKeySize) {
		h.keys = append(h.keys, slices.Clone(c.bytes(ed25519.PublicKeySize)))
	}
	for range c.count(1) {
		h.disputes = append(h.disputes, c.number(MaxIDs))
	}
	for n := range c.count(66) {
		s := step{hash: ibgib.Hash(c.bytes(len(ibgib.Hash{})))}
		s.verb = string(c.bytes(c.count(1)))
		copy(s.target[:], c.bytes(len(s.target)))
		last := ChallengeID(0)
		for i := range c.count(8) {
			id := ChallengeID(binary.BigEndian.Uint64(c.bytes(8)))
			if _, seen := h.seen[id]; seen || i > 0 && id < last {
				return nil, false
			}
			h.seen[id], last = n, id
		}
		h.steps = append(h.steps, s)
	}
	first, _ := genesis.Hash()
	return h, c.ok && len(c.rest) == 0 && len(h.steps) > 0 && h.steps[0].hash == first
}
