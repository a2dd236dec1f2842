package jsjson

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// Scanner moves over text as long as it is canonical. Its methods answer
// false at the first byte that is not; what is wrong there, Canonical tells.
// It allocates only for objects of many members below arrays, and then a
// small multiple of their text.
type Scanner struct {
	Text     []byte // at most MaxText
	Pos      int
	MaxLevel int
}

// name is the body of a member name, Text[from:to].
type name struct{ from, to uint32 }

// Traits of a string, as Scanner.String finds them.
type Traits uint8

const (
	Escaped   Traits = 1 << iota // there is a backslash
	Surrogate                    // there is a lone surrogate
	NonASCII                     // there is a byte over 0x7F
)

// Literal moves over exactly these bytes.
func (s *Scanner) Literal(lit string) bool {
	if len(s.Text)-s.Pos < len(lit) || string(s.Text[s.Pos:s.Pos+len(lit)]) != lit {
		return false
	}
	s.Pos += len(lit)
	return true
}

// Peek returns the next byte, 0 at the end.
func (s *Scanner) Peek() byte {
	if s.Pos < len(s.Text) {
		return s.Text[s.Pos]
	}
	return 0
}

// String moves over a string and returns its body.
func (s *Scanner) String() (body []byte, traits Traits, ok bool) {
	if s.Peek() != '"' {
		return nil, 0, false
	}
	b, i := s.Text, s.Pos+1
	for {
		i = plainEnd(b, i)
		if i >= len(b) {
			return nil, 0, false
		}
		switch c := b[i]; {
		case c == '"':
			body = b[s.Pos+1 : i]
			s.Pos = i + 1
			return body, traits, true
		case c == '\\':
			n, surrogate := canonicalEscape(b, i)
			if n == 0 {
				return nil, 0, false
			}
			traits |= Escaped
			if surrogate {
				traits |= Surrogate
			}
			i += n
		case c < 0x20:
			return nil, 0, false
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return nil, 0, false
			}
			traits |= NonASCII
			i += n
		}
	}
}

// plainEnd returns the index of the first byte from i on that is a control
// character, a quote, a backslash or no ASCII; len(b) if there is none.
func plainEnd(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^ones*'"', w^ones*'\\'
		// A borrow can only raise a false alarm above a true one.
		if m := (w | (w-ones*0x20)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & tops; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

// canonicalEscape measures the escape at b[i]; n is 0 if JSON.stringify would
// not write it.
func canonicalEscape(b []byte, i int) (n int, surrogate bool) {
	if i+1 >= len(b) {
		return 0, false
	}
	switch b[i+1] {
	case '"', '\\', 'b', 't', 'n', 'f', 'r':
		return 2, false
	case 'u':
	default:
		return 0, false
	}
	r, n := escapeAt(b, i)
	if n == 0 {
		return 0, false
	}
	for _, c := range b[i+2 : i+6] {
		if c >= 'A' && c <= 'F' {
			return 0, false
		}
	}
	switch {
	case r < 0x20:
		if r >= '\b' && r <= '\r' && r != '\v' {
			return 0, false // has a short escape
		}
		return 6, false
	case isHigh(r):
		if i+6 < len(b) && b[i+6] == '\\' {
			if low, _ := escapeAt(b, i+6); isLow(low) {
				return 0, false // a pair is written as one character
			}
		}
		return 6, true
	case isLow(r):
		return 6, true
	}
	return 0, false
}

// Value moves over a value that stands at the given level; see Options.
// Recursion is bounded by MaxLevel.
func (s *Scanner) Value(level int, keepOrder bool) bool {
	if level > s.MaxLevel {
		return false
	}
	switch s.Peek() {
	case '"':
		_, _, ok := s.String()
		return ok
	case '{':
		return s.object(level, keepOrder)
	case '[':
		return s.array(level)
	case 't':
		return s.Literal("true")
	case 'f':
		return s.Literal("false")
	case 'n':
		return s.Literal("null")
	}
	return s.number()
}

func (s *Scanner) array(level int) bool {
	s.Pos++
	if s.Peek() == ']' {
		s.Pos++
		return true
	}
	for s.Value(level+1, true) {
		c := s.Peek()
		s.Pos++
		if c != ',' {
			return c == ']'
		}
	}
	return false
}

func (s *Scanner) object(level int, keepOrder bool) bool {
	if keepOrder {
		return s.keptObject(level)
	}
	m := s.Object()
	for m.Next() {
		if !s.Value(level+1, false) {
			return false
		}
	}
	return m.End()
}

// keptObject moves over an object below an array.
func (s *Scanner) keptObject(level int) bool {
	s.Pos++
	if s.Peek() == '}' {
		s.Pos++
		return true
	}
	var buf [fewNames]name
	names := buf[:0]
	last := int64(-1) // the last index; beyond all indices once another name was seen
	for {
		body, _, ok := s.String()
		if !ok || string(body) == protoName || s.Peek() != ':' {
			return false
		}
		switch index, isIndex := arrayIndex(body); {
		case !isIndex:
			last = 1 << 32
		case index <= last:
			return false
		default:
			last = index
		}
		names = append(double(names, 1), name{uint32(s.Pos - 1 - len(body)), uint32(s.Pos - 1)})
		s.Pos++
		if !s.Value(level+1, true) {
			return false
		}
		c := s.Peek()
		s.Pos++
		if c == ',' {
			continue
		}
		return c == '}' && s.unique(names)
	}
}

// fewNames is the number of names up to which comparing each with each is
// cheaper than sorting them.
const fewNames = 12

// unique reports whether the names differ from each other; it reorders them.
func (s *Scanner) unique(names []name) bool {
	text := func(n name) []byte { return s.Text[n.from:n.to] }
	if len(names) <= fewNames {
		for i, n := range names {
			for _, other := range names[:i] {
				if n.to-n.from == other.to-other.from && bytes.Equal(text(n), text(other)) {
					return false
				}
			}
		}
		return true
	}
	slices.SortFunc(names, func(a, b name) int { return bytes.Compare(text(a), text(b)) })
	for i := 1; i < len(names); i++ {
		if bytes.Equal(text(names[i-1]), text(names[i])) {
			return false
		}
	}
	return true
}

// number moves over a number as AppendNumber prints it.
func (s *Scanner) number() bool {
	b, i := s.Text, s.Pos
	if i < len(b) && b[i] == '-' {
		i++
	}
	digits := i
	i = digitsEnd(b, i)
	// Integers that float64 holds for certain print as they are.
	if n := i - digits; n > 0 && n <= 15 && (i == len(b) || b[i] != '.' && b[i]|0x20 != 'e') {
		if b[digits] == '0' && i > s.Pos+1 {
			return false // -0 or a leading zero
		}
		s.Pos = i
		return true
	}
	end := numberEnd(b, s.Pos)
	if end < 0 || end-s.Pos > maxNumber {
		return false
	}
	f, ok := ParseNumber(b[s.Pos:end])
	var buf [32]byte
	if !ok || !bytes.Equal(AppendNumber(buf[:0], f), b[s.Pos:end]) {
		return false
	}
	s.Pos = end
	return true
}

// maxNumber bounds the length of a canonical number: sign, 17 digits, point
// and exponent, or sign, "0.00000" and 17 digits.
const maxNumber = 26

// protoName is the member name that JavaScript objects do not keep.
const protoName = "__proto__"

// ObjectScan moves over the members of a sorted object:
//
//	for m := s.Object(); m.Next(); {
//		// m.Name; move s over the value
//	}
//	ok := m.End()
type ObjectScan struct {
	Name   []byte // body of the member's name
	Traits Traits

	s     *Scanner
	begun bool
	done  bool
}

// Object begins an object; false from End if there is none.
func (s *Scanner) Object() ObjectScan { return ObjectScan{s: s} }

// Next moves over the next name and its colon. It is false at the end of the
// object and at the first name that is out of order or repeated.
func (m *ObjectScan) Next() bool {
	s := m.s
	if !m.begun {
		if !s.Literal("{") {
			return false
		}
	} else if s.Peek() != '}' && !s.Literal(",") {
		return false
	}
	if s.Peek() == '}' {
		m.done = !m.begun || s.Text[s.Pos-1] != ','
		s.Pos++
		return false
	}
	body, traits, ok := s.String()
	if !ok || !s.Literal(":") || string(body) == protoName {
		return false
	}
	if m.begun && !before(m.Name, body, m.Traits|traits) {
		return false
	}
	m.Name, m.Traits, m.begun = body, traits, true
	return true
}

// End reports whether the object was canonical to its end.
func (m *ObjectScan) End() bool { return m.done }

// before reports whether name a sorts before name b; traits are those of both.
func before(a, b []byte, traits Traits) bool {
	if traits == 0 && len(a) > 0 && len(b) > 0 && !isDigit(a[0]) && !isDigit(b[0]) {
		if a[0] != b[0] {
			return a[0] < b[0]
		}
		return bytes.Compare(a, b) < 0
	}
	return CompareNames(a, b) < 0
}
