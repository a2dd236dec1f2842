package keystone

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// ChallengeID names a challenge within a keystone: 16 lower-case hex digits.
type ChallengeID uint64

// idDigits is the length of a challenge id.
const idDigits = 16

// ParseChallengeID reads 16 lower-case hex digits.
func ParseChallengeID(s string) (ChallengeID, error) {
	id, ok := parseID(s)
	if !ok {
		return 0, fmt.Errorf("keystone: challenge id %s is not 16 lower-case hex digits", clip(s))
	}
	return id, nil
}

func parseID(s string) (ChallengeID, bool) {
	if !isHex(s, idDigits) {
		return 0, false
	}
	id, err := strconv.ParseUint(s, 16, 64)
	return ChallengeID(id), err == nil
}

// DerivedID returns the id that the TypeScript service gives the challenge
// number index of those that it makes at one instant: the first 16 digits of
// SHA-256(salt + epoch milliseconds + index). The ids of our own keystones are
// random; see [Random].
func DerivedID(salt string, at time.Time, index int) ChallengeID {
	text := salt + strconv.FormatInt(at.UnixMilli(), 10) + strconv.Itoa(index)
	sum := sha256.Sum256([]byte(text))
	return ChallengeID(binary.BigEndian.Uint64(sum[:]))
}

// String returns the 16 digits.
func (id ChallengeID) String() string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(id))
	return hex.EncodeToString(b[:])
}

// Bucket returns the first digit, which is the name of the bucket that the id
// lies in.
func (id ChallengeID) Bucket() byte { return "0123456789abcdef"[id>>60] }

// Challenge is one challenge of a pool: whoever shows a text that hashes to
// Hash has solved it.
type Challenge struct {
	ID   ChallengeID
	Hash string // lower-case hex
}

// isHex reports whether s is n lower-case hex digits.
func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
