package timeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Entry is one entry of a knowledge vector: what a space holds of one root.
type Entry struct {
	Root  ibgib.Hash
	Heads []ibgib.Hash // in ascending order, without repeats
}

// Digest returns SHA-256 over the root and the heads, 32 raw bytes each, the
// heads in ascending order (they are sorted in a copy if they are not).
func (e Entry) Digest() [32]byte {
	heads := e.Heads
	if !slices.IsSortedFunc(heads, compareHash) {
		heads = slices.Clone(heads)
		slices.SortFunc(heads, compareHash)
	}
	text := make([]byte, 0, 32*(1+len(heads)))
	text = append(text, e.Root[:]...)
	for _, h := range heads {
		text = append(text, h[:]...)
	}
	return sha256.Sum256(text)
}

// FingerprintSize is the length of a marshalled Fingerprint in bytes.
const FingerprintSize = 32 + 8

// Fingerprint summarises a set of entries independently of their order: the sum
// of their digests and their count. It is a group under Merge, so it can be kept
// beside an index and updated entry by entry. The zero value is the empty set.
type Fingerprint struct {
	sum   [32]byte // little-endian, mod 2^256
	count uint64
}

// Add counts one entry in, by its digest.
func (f *Fingerprint) Add(digest [32]byte) {
	f.add(digest)
	f.count++
}

// Remove takes out one entry that was added before, by its digest.
func (f *Fingerprint) Remove(digest [32]byte) {
	f.subtract(digest)
	f.count--
}

// Merge counts in all entries of a disjoint set.
func (f *Fingerprint) Merge(other Fingerprint) {
	f.add(other.sum)
	f.count += other.count
}

// Count returns the number of entries.
func (f Fingerprint) Count() uint64 { return f.count }

// Sum returns the fingerprint proper: SHA-256 over the sum of the digests as 32
// little-endian bytes and the count as 8 little-endian bytes.
func (f Fingerprint) Sum() [32]byte {
	text, _ := f.MarshalBinary()
	return sha256.Sum256(text)
}

// MarshalBinary returns the 40 bytes that Sum hashes.
func (f Fingerprint) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, FingerprintSize)
	b = append(b, f.sum[:]...)
	return binary.LittleEndian.AppendUint64(b, f.count), nil
}

// UnmarshalBinary reads what MarshalBinary wrote.
func (f *Fingerprint) UnmarshalBinary(b []byte) error {
	if len(b) != FingerprintSize {
		return fmt.Errorf("timeline: a fingerprint has %d bytes, not %d", FingerprintSize, len(b))
	}
	copy(f.sum[:], b)
	f.count = binary.LittleEndian.Uint64(b[32:])
	return nil
}

func (f *Fingerprint) add(x [32]byte) {
	var carry uint64
	for i := 0; i < 32; i += 8 {
		var w uint64
		w, carry = bits.Add64(binary.LittleEndian.Uint64(f.sum[i:]), binary.LittleEndian.Uint64(x[i:]), carry)
		binary.LittleEndian.PutUint64(f.sum[i:], w)
	}
}

func (f *Fingerprint) subtract(x [32]byte) {
	var borrow uint64
	for i := 0; i < 32; i += 8 {
		var w uint64
		w, borrow = bits.Sub64(binary.LittleEndian.Uint64(f.sum[i:]), binary.LittleEndian.Uint64(x[i:]), borrow)
		binary.LittleEndian.PutUint64(f.sum[i:], w)
	}
}

func compareHash(a, b ibgib.Hash) int { return bytes.Compare(a[:], b[:]) }
