package keystone

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
)

// strategyType is the one type of strategy there is.
const strategyType = "hash-reveal-v1"

// Algo is the hash function of a strategy.
type Algo string

// The hash functions.
const (
	SHA256 Algo = "SHA-256"
	SHA512 Algo = "SHA-512"
)

// digits returns the length of a hash as hex; 0 for an unknown function.
func (a Algo) digits() int {
	switch a {
	case SHA256:
		return 2 * sha256.Size
	case SHA512:
		return 2 * sha512.Size
	}
	return 0
}

// Strategy is hash-reveal-v1: every value is a hash of the one before it, so
// that showing one proves to know it and tells nothing about those before.
//
//	round(x, salt) = hash(salt + x + salt), lower-case hex, applied Rounds times
//	pool secret    = rounds(master secret, salt of the pool)
//	solution       = rounds(pool secret, challenge id)
//	challenge      = rounds(solution, challenge id)
type Strategy struct {
	Algo   Algo
	Rounds int // 1 to MaxRounds
}

// PoolSecret derives the secret of a pool from the master secret.
func (s Strategy) PoolSecret(master Secret, salt string) Secret {
	return newSecret(s.rounds(master.text(), salt))
}

// Solution derives the solution of a challenge from the secret of its pool.
func (s Strategy) Solution(pool Secret, id ChallengeID) string {
	return string(s.rounds(pool.text(), id.String()))
}

// Hash returns the hash that the challenge with this solution publishes.
func (s Strategy) Hash(solution string, id ChallengeID) string {
	return string(s.rounds([]byte(solution), id.String()))
}

// Challenge derives the challenge with this id from the secret of its pool. The
// solution, which is still a secret, is wiped.
func (s Strategy) Challenge(pool Secret, id ChallengeID) Challenge {
	solution := s.rounds(pool.text(), id.String())
	defer clear(solution)
	return Challenge{id, string(s.rounds(solution, id.String()))}
}

// rounds hashes x, which it leaves alone, and returns new memory.
func (s Strategy) rounds(x []byte, salt string) []byte {
	out := make([]byte, s.Algo.digits())
	joined := make([]byte, 0, 2*len(salt)+max(len(x), len(out)))
	for range s.Rounds {
		joined = append(joined[:0], salt...)
		joined = append(joined, x...)
		joined = append(joined, salt...)
		if s.Algo == SHA512 {
			sum := sha512.Sum512(joined)
			hex.Encode(out, sum[:])
		} else {
			sum := sha256.Sum256(joined)
			hex.Encode(out, sum[:])
		}
		x = out
	}
	clear(joined)
	return out
}
