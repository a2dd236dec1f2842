package jsjson

import (
	"bytes"
	"cmp"
	"unicode/utf8"
)

// CompareUTF16 compares two WTF-8 strings by UTF-16 code units.
func CompareUTF16[T string | []byte](a, b T) int {
	n := min(len(a), len(b))
	i := 0
	for i < n && a[i] == b[i] {
		i++
	}
	if i == n {
		return len(a) - len(b)
	}
	// Below the surrogates, byte order is code unit order.
	if x, y := a[i], b[i]; x < 0xED && y < 0xED && (x < 0x80 || y < 0x80 || x >= 0xC0 && y >= 0xC0) {
		return int(x) - int(y)
	}
	for i > 0 && !utf8.RuneStart(a[i]) {
		i--
	}
	// A pair of lone surrogates cannot straddle i: WTF-8 joins them.
	ra, rb := unitReader[T]{text: a, pos: i}, unitReader[T]{text: b, pos: i}
	for {
		x, okX := ra.next()
		y, okY := rb.next()
		if x != y || !okX || !okY {
			return x - y
		}
	}
}

// unitReader yields the UTF-16 code units of WTF-8 text, or, with escapes
// set, of the body of a canonical JSON string.
type unitReader[T string | []byte] struct {
	text    T
	pos     int
	low     int // second half of a pair, 0 if none is due
	escapes bool
}

// next returns the next code unit; at the end it returns -1 and false, so
// that a prefix sorts first.
func (r *unitReader[T]) next() (unit int, ok bool) {
	if r.low != 0 {
		unit, r.low = r.low, 0
		return unit, true
	}
	if r.pos >= len(r.text) {
		return -1, false
	}
	c := r.text[r.pos]
	if c < utf8.RuneSelf {
		if c == '\\' && r.escapes {
			esc := []byte(r.text[r.pos:min(r.pos+6, len(r.text))])
			if u, n := escapeAt(esc, 0); n > 0 {
				r.pos += n
				return int(u), true
			}
		}
		r.pos++
		return int(c), true
	}
	if u, ok := surrogateAt(r.text, r.pos); ok {
		r.pos += 3
		return int(u), true
	}
	var buf [utf8.UTFMax]byte
	n := copy(buf[:], r.text[r.pos:min(r.pos+utf8.UTFMax, len(r.text))])
	u, size := utf8.DecodeRune(buf[:n])
	r.pos += size
	if u >= 0x10000 {
		r.low = 0xDC00 + int(u-0x10000)&0x3FF
		return 0xD800 + int(u-0x10000)>>10, true
	}
	return int(u), true
}

// CompareNames orders two member names given as bodies of canonical strings:
// array indices first, by value, then by UTF-16 code units.
func CompareNames(a, b []byte) int {
	ia, aIndex := arrayIndex(a)
	ib, bIndex := arrayIndex(b)
	switch {
	case aIndex && bIndex:
		return int(ia - ib)
	case aIndex:
		return -1
	case bIndex:
		return 1
	}
	return compareBodies(a, b)
}

// compareBodies orders the bodies of two canonical strings by UTF-16 code units.
func compareBodies(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for i < n && a[i] == b[i] {
		i++
	}
	if bytes.IndexByte(a[:i], '\\') < 0 {
		switch {
		case i == n:
			return len(a) - len(b)
		case isPlain(a[i]) && isPlain(b[i]):
			return int(a[i]) - int(b[i])
		}
	}
	ra, rb := unitReader[[]byte]{text: a, escapes: true}, unitReader[[]byte]{text: b, escapes: true}
	for {
		x, okX := ra.next()
		y, okY := rb.next()
		if x != y || !okX || !okY {
			return x - y
		}
	}
}

// isPlain reports whether c is a character of its own in a canonical string.
func isPlain(c byte) bool { return c < utf8.RuneSelf && c != '\\' }

// arrayIndex reads a name that is a canonical array index: "0" to
// "4294967294" without leading zeros. JavaScript enumerates these first.
func arrayIndex[T string | []byte](name T) (int64, bool) {
	if len(name) == 0 || len(name) > 10 || name[0] == '0' && len(name) > 1 {
		return 0, false
	}
	var n int64
	for i := range len(name) {
		if !isDigit(name[i]) {
			return 0, false
		}
		n = n*10 + int64(name[i]-'0')
	}
	return n, n < 1<<32-1
}

// CompareIndices orders array indices before other names and by value, and
// leaves the other names as they are. It takes plain names or bodies of
// canonical strings: an index looks the same as either.
func CompareIndices[T string | []byte](a, b T) int {
	ia, aIndex := arrayIndex(a)
	ib, bIndex := arrayIndex(b)
	switch {
	case aIndex && bIndex:
		return cmp.Compare(ia, ib)
	case aIndex:
		return -1
	case bIndex:
		return 1
	}
	return 0
}
