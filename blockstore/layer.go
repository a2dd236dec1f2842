package blockstore

import (
	"encoding/binary"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// A layer is what a writer has changed since it last wrote. Blocks and members
// are kept as they are until the layer is encoded, a member once however often
// it changes.
type layer struct {
	batch   *batch // all other records
	members []layerMember
	index   map[ibgib.Hash]int // hash -> place in members
	blocks  int                // members that come with their block
	pending int                // bytes that blocks and members will take, about
	big     int                // bytes of blocks that go to the value log
	waits   map[ibgib.Hash][]waiting
	newPeer string   // a peer that the batch records
	loose   []uint64 // stages whose record is to be written; see writer.seal
	slab    []byte   // holds the encoded blocks and members
}

// layerMember is a member that has changed; block is zero if the block itself
// is no part of the change.
type layerMember struct {
	hash  ibgib.Hash
	m     *member
	block ibgib.IbGib
}

// memberSize is what a member and its key take at most, but for long ibs and
// the links of merge frames.
const memberSize = 300

// newLayer returns a layer with room for about so many members.
func newLayer(room int) *layer {
	return &layer{
		batch:   newBatch(),
		members: make([]layerMember, 0, room),
		index:   make(map[ibgib.Hash]int, room),
		waits:   make(map[ibgib.Hash][]waiting),
	}
}

func (l *layer) empty() bool { return l.batch.empty() && len(l.members) == 0 && len(l.loose) == 0 }

// maxBig bounds the blocks for the value log in one layer: they would fit one
// transaction, but not every memory.
const maxBig = 16 << 20

func (l *layer) full() bool {
	return l.big >= maxBig || l.batch.full(len(l.members)+l.blocks, l.pending)
}

func (l *layer) member(h ibgib.Hash) *member {
	if i, ok := l.index[h]; ok {
		return l.members[i].m
	}
	return nil
}

func (l *layer) block(h ibgib.Hash) (ibgib.IbGib, bool) {
	if i, ok := l.index[h]; ok {
		g := l.members[i].block
		return g, !g.IsZero()
	}
	return ibgib.IbGib{}, false
}

// add adds a block and its member, which is new.
func (l *layer) add(h ibgib.Hash, m *member, g ibgib.IbGib) {
	l.index[h] = len(l.members)
	l.members = append(l.members, layerMember{h, m, g})
	l.blocks++
	l.pending += opSize(memberSize, 0) + blockSize(g)
	if g.Size() >= bigValue {
		l.big += g.Size()
	}
}

func (l *layer) setMember(h ibgib.Hash, m *member) {
	if i, again := l.index[h]; again {
		l.members[i].m = m
		return
	}
	l.index[h] = len(l.members)
	l.members = append(l.members, layerMember{hash: h, m: m})
	l.pending += opSize(memberSize, 0)
}

// encode returns the batch with everything in it. It lies in slab, if that is
// large enough, until it has been written.
func (l *layer) encode(share Share, slab []byte) *batch {
	s := slab[:0]
	l.batch.ops = slices.Grow(l.batch.ops, len(l.members)+l.blocks)
	// cut returns what has been appended since from, closed against appends.
	cut := func(from int) []byte { return s[from:len(s):len(s)] }
	for i := range l.members {
		x := &l.members[i]
		if !x.block.IsZero() {
			from := len(s)
			s = appendBlockKey(s, x.m.slot)
			key := cut(from)
			from = len(s)
			s = appendBlock(s, x.block)
			l.batch.add(key, cut(from))
		}
		from := len(s)
		s = binary.BigEndian.AppendUint32(append(s, prefixMember), uint32(share))
		s = append(s, x.hash[:]...)
		key := cut(from)
		from = len(s)
		s = appendMember(s, x.m)
		l.batch.add(key, cut(from))
	}
	l.slab = s
	return l.batch
}

// size is how many bytes the encoded layer has, or somewhat more.
func (l *layer) size() int { return len(l.slab) + l.batch.bytes }
