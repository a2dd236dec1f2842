package jsjson

import "unicode/utf8"

const hexDigits = "0123456789abcdef"

// AppendQuote appends the string s, held as WTF-8, as a canonical JSON string.
// Surrogates that form a pair are joined. Bytes that are not WTF-8 are copied
// as they are, so that the result is refused wherever it is read.
func AppendQuote(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c != 0xED {
			i++
			continue
		}
		if c != 0xED {
			dst = append(dst, s[from:i]...)
			dst = appendEscape(dst, rune(c))
			i++
			from = i
			continue
		}
		hi, ok := surrogateAt(s, i)
		if !ok {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		i += 3
		if lo, ok := surrogateAt(s, i); ok && isHigh(hi) && isLow(lo) {
			dst = utf8.AppendRune(dst, joinPair(hi, lo))
			i += 3
		} else {
			dst = appendEscape(dst, hi)
		}
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// appendEscape appends the escape of a control character, quote, backslash or
// lone surrogate.
func appendEscape(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// Unquote appends the WTF-8 text of a canonical string to dst; body is the
// text between the quotes.
func Unquote(dst, body []byte) []byte {
	for i := 0; i < len(body); {
		c := body[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		r, n := escapeAt(body, i)
		if n == 0 {
			return dst
		}
		dst = appendWTF8(dst, r)
		i += n
	}
	return dst
}

// escapeAt decodes the escape at body[i], which is a backslash, into a code
// unit; n is its length in bytes, 0 if it is no JSON escape.
func escapeAt(body []byte, i int) (r rune, n int) {
	if i+1 >= len(body) {
		return 0, 0
	}
	switch c := body[i+1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 't':
		return '\t', 2
	case 'n':
		return '\n', 2
	case 'f':
		return '\f', 2
	case 'r':
		return '\r', 2
	case 'u':
		if i+6 > len(body) {
			return 0, 0
		}
		for _, h := range body[i+2 : i+6] {
			d := unhex(h)
			if d < 0 {
				return 0, 0
			}
			r = r<<4 | rune(d)
		}
		return r, 6
	}
	return 0, 0
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func isHigh(r rune) bool           { return r >= 0xD800 && r <= 0xDBFF }
func isLow(r rune) bool            { return r >= 0xDC00 && r <= 0xDFFF }
func joinPair(high, low rune) rune { return 0x10000 + (high-0xD800)<<10 + (low - 0xDC00) }

// surrogateAt decodes the three-byte surrogate at s[i], if there is one.
func surrogateAt[T string | []byte](s T, i int) (rune, bool) {
	if i+3 > len(s) || s[i] != 0xED || s[i+1]&0xE0 != 0xA0 || s[i+2]&0xC0 != 0x80 {
		return 0, false
	}
	return 0xD000 | rune(s[i+1]&0x3F)<<6 | rune(s[i+2]&0x3F), true
}

func appendWTF8(dst []byte, r rune) []byte {
	if r >= 0xD800 && r <= 0xDFFF {
		return append(dst, 0xED, byte(0x80|r>>6&0x3F), byte(0x80|r&0x3F))
	}
	return utf8.AppendRune(dst, r)
}

// LoneSurrogate reports whether the canonical string body has a lone surrogate.
func LoneSurrogate(body []byte) bool {
	for i := 0; i+1 < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		if r, n := escapeAt(body, i); n == 6 && r >= 0xD800 {
			return true
		}
		i++
	}
	return false
}

// ValidWTF8 reports whether s is UTF-8 but for lone surrogates.
func ValidWTF8(s string) bool {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			if _, ok := surrogateAt(s, i); !ok {
				return false
			}
			n = 3
		}
		i += n
	}
	return true
}
