package timeline_test

import (
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

func randomHash(rng *rand.Rand) (h ibgib.Hash) {
	for i := range h {
		h[i] = byte(rng.Uint32())
	}
	return h
}

func TestEntryDigest(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	root, low, high := randomHash(rng), ibgib.Hash{1}, ibgib.Hash{2}
	want := sha256.Sum256(slices.Concat(root[:], low[:], high[:]))
	for _, heads := range [][]ibgib.Hash{{low, high}, {high, low}} {
		given := slices.Clone(heads)
		if got := (timeline.Entry{Root: root, Heads: heads}).Digest(); got != want {
			t.Errorf("the digest is %x, want %x", got, want)
		}
		if !slices.Equal(given, heads) {
			t.Error("Digest reorders the heads it is given")
		}
	}
}

// reference computes a fingerprint from its definition with big integers.
func reference(digests [][32]byte) [32]byte {
	sum := new(big.Int)
	for _, d := range digests {
		slices.Reverse(d[:])
		sum.Add(sum, new(big.Int).SetBytes(d[:]))
	}
	sum.Mod(sum, new(big.Int).Lsh(big.NewInt(1), 256))
	text := make([]byte, 40)
	sum.FillBytes(text[:32])
	slices.Reverse(text[:32])
	for i, n := 32, len(digests); n > 0; i, n = i+1, n>>8 {
		text[i] = byte(n)
	}
	return sha256.Sum256(text)
}

func TestFingerprint(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	var digests [][32]byte
	for range 300 {
		digests = append(digests, timeline.Entry{Root: randomHash(rng), Heads: []ibgib.Hash{randomHash(rng)}}.Digest())
	}
	digests[7] = [32]byte(slices.Repeat([]byte{0xFF}, 32)) // carries through every word
	want := reference(digests)

	for range 20 {
		var fp, part timeline.Fingerprint
		extra := randomHash(rng)
		fp.Add(extra)
		for i, d := range digests {
			if i%3 == 0 {
				part.Add(d)
			} else {
				fp.Add(d)
			}
		}
		fp.Merge(part)
		fp.Remove(extra)
		if fp.Sum() != want || fp.Count() != uint64(len(digests)) {
			t.Fatalf("the fingerprint of %d entries is %x, want %x", fp.Count(), fp.Sum(), want)
		}
		rng.Shuffle(len(digests), func(i, j int) { digests[i], digests[j] = digests[j], digests[i] })
		for _, d := range digests {
			fp.Remove(d)
		}
		if fp != (timeline.Fingerprint{}) {
			t.Fatal("without its entries the fingerprint is not the empty one")
		}
	}
}

func TestFingerprintBinary(t *testing.T) {
	var fp timeline.Fingerprint
	fp.Add([32]byte{1, 2, 3})
	b, err := fp.MarshalBinary()
	if err != nil || len(b) != timeline.FingerprintSize {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	const want = "0102030000000000000000000000000000000000000000000000000000000000" + "0100000000000000"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("marshalled as %s, want %s", got, want)
	}
	var back timeline.Fingerprint
	if err := back.UnmarshalBinary(b); err != nil || back != fp {
		t.Errorf("read back as %v, %v", back, err)
	}
	if err := back.UnmarshalBinary(b[:39]); err == nil {
		t.Error("39 bytes are taken for a fingerprint")
	}
	if got := (timeline.Fingerprint{}).Sum(); got != sha256.Sum256(make([]byte, 40)) {
		t.Errorf("the empty fingerprint is %x", got)
	}
}
