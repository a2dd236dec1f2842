package keystone

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Draws are what a signer leaves to chance.
type Draws struct {
	// Pick chooses one of the free challenges, of which there is at least one, and
	// returns its index.
	Pick func(free []ChallengeID) (int, error)
	// ID makes the id of a new challenge of a pool as it stands so far. index
	// counts the new challenges of the frame in this pool, from 0.
	ID func(p Pool, index int) (ChallengeID, error)
}

// Random returns the draws of our own keystones, from random. An id begins with
// the digit of one of the least filled buckets of its pool and is random else,
// so that a pool which is bound to its targets always has what a target needs.
func Random(random io.Reader) Draws {
	return Draws{
		Pick: func(free []ChallengeID) (int, error) { return below(random, len(free)) },
		ID: func(p Pool, _ int) (ChallengeID, error) {
			digits := leastFilled(p)
			i, err := below(random, len(digits))
			if err != nil {
				return 0, err
			}
			x, err := number(random)
			return ChallengeID(digits[i]<<60 | x>>4), err
		},
	}
}

// leastFilled returns the first digits that the fewest ids of the pool have.
func leastFilled(p Pool) []uint64 {
	var fill [16]int
	for _, c := range p.Challenges {
		fill[c.ID>>60]++
	}
	least := fill[0]
	for _, n := range fill {
		least = min(least, n)
	}
	var digits []uint64
	for digit, n := range fill {
		if n == least {
			digits = append(digits, uint64(digit))
		}
	}
	return digits
}

// number reads 64 random bits.
func number(random io.Reader) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return 0, fmt.Errorf("keystone: draw: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]), nil
}

// below draws an index below n, all equally likely.
func below(random io.Reader, n int) (int, error) {
	for {
		x, err := number(random)
		if err != nil {
			return 0, err
		}
		// The last, incomplete run of n numbers would favour small ones.
		if rest := x % uint64(n); x-rest <= -uint64(n) {
			return int(rest), nil
		}
	}
}
