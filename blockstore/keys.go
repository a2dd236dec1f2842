package blockstore

import (
	"encoding/binary"
	"math"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Share is the local number of a share. Numbers are never reused in a store.
type Share uint32

// The shares that every store has.
const (
	DefaultShare Share = 0
	// LocalArea holds what never travels as content: the records of sagas.
	LocalArea Share = math.MaxUint32
)

// Key prefixes; FORMAT.md describes each record.
const (
	prefixMeta      = 'M' // name
	prefixPeer      = 'P' // number
	prefixBlock     = 'b' // slot
	prefixMember    = 'm' // share, HASH
	prefixWaiting   = 'w' // share, target HASH, referrer HASH
	prefixClosing   = 'k' // share, HASH
	prefixEntry     = 'e' // share, root HASH
	prefixChange    = 'c' // share, sequence
	prefixState     = 'f' // share
	prefixRejected  = 'r' // share, HASH
	prefixPin       = 'p' // share, HASH
	prefixStaged    = 'S' // stage, root HASH
	prefixDecided   = 'N' // stage, root HASH
	prefixDecision  = 'D' // stage
	prefixLoose     = 'L' // stage
	prefixShare     = 's' // share
	prefixForgotten = 'x' // share, root HASH
	prefixJournal   = 'j' // log, sequence
)

var (
	keyFormat = []byte("Mformat")
	keyEpoch  = []byte("Mepoch")
	keyRules  = []byte("Mrules")
	keyMarks  = []byte("Mmarks")
	keyRepair = []byte("Mrepair")
	keyShares = []byte("Mshares")

	keyStrategy  = []byte("Mstrategy")
	keyUndecided = []byte("Mundecided")
	keySwept     = []byte("Mswept")
	keyJournal   = []byte("Mjournal")
)

// isKey tells whether the store can have a record with this key. Keys are read as such
// without a look at their length.
func isKey(key []byte) bool {
	if len(key) < 2 {
		return false
	}
	const number, share, stage, hash = 4, 4, 8, 32
	size := 1
	switch key[0] {
	case prefixMeta:
		return true
	case prefixPeer:
		size += number
	case prefixBlock, prefixDecision, prefixLoose:
		size += stage
	case prefixState, prefixShare:
		size += share
	case prefixMember, prefixClosing, prefixEntry, prefixRejected, prefixPin, prefixForgotten:
		size += share + hash
	case prefixWaiting:
		size += share + 2*hash
	case prefixChange:
		size += share + 8
	case prefixStaged, prefixDecided:
		size += stage + hash
	case prefixJournal:
		size += 1 + 8
	default:
		return false
	}
	return len(key) == size
}

func blockKey(slot uint64) []byte {
	return appendBlockKey(make([]byte, 0, 1+8), slot)
}

func appendBlockKey(b []byte, slot uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, prefixBlock), slot)
}

// blockSlot returns the slot in the key of a block.
func blockSlot(key []byte) uint64 {
	return binary.BigEndian.Uint64(key[len(key)-8:])
}

func sharePrefix(prefix byte, share Share) []byte {
	return binary.BigEndian.AppendUint32([]byte{prefix}, uint32(share))
}

func shareKey(prefix byte, share Share, hashes ...ibgib.Hash) []byte {
	k := make([]byte, 0, 5+32*len(hashes))
	k = binary.BigEndian.AppendUint32(append(k, prefix), uint32(share))
	for i := range hashes {
		k = append(k, hashes[i][:]...)
	}
	return k
}

func changeKey(share Share, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(sharePrefix(prefixChange, share), seq)
}

func stagePrefix(prefix byte, stage uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefix}, stage)
}

func stageKey(prefix byte, stage uint64, root ibgib.Hash) []byte {
	return append(stagePrefix(prefix, stage), root[:]...)
}

// shareOf returns the share in a key of a share.
func shareOf(key []byte) Share { return Share(binary.BigEndian.Uint32(key[1:])) }

// lastHash returns the hash at the end of a key.
func lastHash(key []byte) ibgib.Hash {
	return ibgib.Hash(key[len(key)-32:])
}
