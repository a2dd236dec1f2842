// Package comparison makes the words by which two people find out whether their
// nodes see each other, or somebody in between. Package node uses it.
package comparison

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

//go:embed english.txt
var english string

const (
	count    = 6  // words
	wordBits = 11 // of each: the list has 2,048
	// Who stands in between can choose both of his keys, so he needs to try 2^33
	// pairs, not 2^66. Each try costs him this many rounds, some milliseconds.
	rounds = 1 << 14
	salt   = "ibgib comparison words v1"
)

// Words makes the words of one node and others. Its methods are safe for
// concurrent use.
type Words struct {
	self peer.ID

	mu   sync.Mutex
	made map[peer.ID]string // of late
}

// maxMade bounds the words that are kept, since they take a while to make.
const maxMade = 1024

// New returns the words of a node. A peer id of an Ed25519 key is the key itself,
// of another kind of key its hash.
func New(self peer.ID) *Words { return &Words{self: self, made: make(map[peer.ID]string)} }

// With returns the six words of this node and another, separated by spaces. The
// other one has the same.
func (w *Words) With(other peer.ID) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if words, ok := w.made[other]; ok {
		return words, nil
	}
	words, err := between(w.self, other)
	if err != nil {
		return "", err
	}
	if len(w.made) >= maxMade {
		clear(w.made)
	}
	w.made[other] = words
	return words, nil
}

// between makes the words, as protocol/SPEC.md says.
func between(a, b peer.ID) (string, error) {
	if a > b {
		a, b = b, a
	}
	var keys []byte
	for _, id := range []peer.ID{a, b} {
		keys = binary.AppendUvarint(keys, uint64(len(id)))
		keys = append(keys, id...)
	}
	sum, err := pbkdf2.Key(sha256.New, string(keys), []byte(salt), rounds, (count*wordBits+7)/8)
	if err != nil {
		return "", fmt.Errorf("comparison words: %w", err)
	}
	list := strings.Fields(english)
	words := make([]string, count)
	for i := range words {
		n := 0
		for bit := i * wordBits; bit < (i+1)*wordBits; bit++ {
			n = n<<1 | int(sum[bit/8]>>(7-bit%8)&1)
		}
		words[i] = list[n]
	}
	return strings.Join(words, " "), nil
}
