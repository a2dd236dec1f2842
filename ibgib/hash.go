package ibgib

import (
	"crypto/sha256"
	"encoding/binary"
)

// Hash is a punctiliar hash: the 32 bytes that the first 64 digits of a gib spell.
type Hash [sha256.Size]byte

// hashDigits is the length of a hash in a gib.
const hashDigits = 2 * sha256.Size

// String returns 64 upper-case hex digits.
func (h Hash) String() string {
	var text [hashDigits]byte
	putHex(text[:], h)
	return string(text[:])
}

// IsZero reports whether h is the zero Hash, which names nothing.
func (h Hash) IsZero() bool { return h == Hash{} }

// ParseHash reads 64 upper-case hex digits. The error is a *Refusal with RuleBadGib.
func ParseHash(s string) (Hash, error) {
	h, ok := decodeHash(s)
	if !ok {
		return Hash{}, refusal(RuleBadGib, "no hash of 64 upper-case hex digits: "+excerpt(s))
	}
	return h, nil
}

const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// eight returns eight bytes of s, the first one lowest.
func eight[T string | []byte](s T, i int) uint64 {
	return uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
		uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
}

// areDigits reports whether eight bytes are upper-case hex digits.
func areDigits(w uint64) bool {
	// In ASCII, adding 0x80-c sets the top bit of the bytes that are at least c.
	digit := (w + ones*(0x80-'0')) &^ (w + ones*(0x80-'9'-1))
	letter := (w + ones*(0x80-'A')) &^ (w + ones*(0x80-'F'-1))
	return w&tops == 0 && (digit|letter)&tops == tops
}

// decodeHash decodes text that must be exactly one hash.
func decodeHash[T string | []byte](s T) (h Hash, ok bool) {
	if len(s) != hashDigits {
		return h, false
	}
	for i := 0; i < hashDigits; i += 8 {
		w := eight(s, i)
		if !areDigits(w) {
			return Hash{}, false
		}
		w = w&(ones*0x0F) + w>>6&ones*9 // a nibble a byte; letters have bit 6
		w = (w<<4 | w>>8) & 0x00FF00FF00FF00FF
		w = (w | w>>8) & 0x0000FFFF0000FFFF
		binary.LittleEndian.PutUint32(h[i/2:], uint32(w|w>>16))
	}
	return h, true
}

// isHash reports whether s is 64 upper-case hex digits.
func isHash[T string | []byte](s T) bool {
	if len(s) != hashDigits {
		return false
	}
	for i := 0; i < hashDigits; i += 8 {
		if !areDigits(eight(s, i)) {
			return false
		}
	}
	return true
}

// putHex writes the 64 upper-case digits of sum to dst, four bytes at a time.
func putHex(dst []byte, sum [sha256.Size]byte) {
	for i := 0; i < len(sum); i += 4 {
		w := uint64(binary.BigEndian.Uint32(sum[i:]))
		w = (w | w<<16) & 0x0000FFFF0000FFFF
		w = (w | w<<8) & 0x00FF00FF00FF00FF
		w = (w&0x00F000F000F000F0)<<4 | w&0x000F000F000F000F // a nibble a byte
		letter := (w + ones*6) >> 4 & ones                   // 1 where it is over 9
		binary.BigEndian.PutUint64(dst[2*i:], w+ones*'0'+letter*('A'-'9'-1))
	}
}
