package jsjson

import (
	"strconv"
	"unicode/utf8"
)

// Names of what can be wrong with JSON text; they are the gate's rule names.
const (
	BadJSON         = "bad-json"
	InvalidUTF8     = "invalid-utf8"
	NumberRange     = "number-range"
	DuplicateMember = "duplicate-member"
	ProtoMember     = "proto-member"
	TooDeep         = "too-deep"
	TooLarge        = "too-large"
)

// Fault says why text was not accepted. It holds no part of the input.
type Fault struct {
	Rule   string
	Detail string // bounded, printable
}

func (f *Fault) Error() string { return f.Rule + ": " + f.Detail }

// MaxExcerpt bounds what Excerpt shows of a value, in bytes of the value.
const MaxExcerpt = 64

// Excerpt quotes the beginning of b for a person: control characters and
// invalid bytes escaped, at most MaxExcerpt bytes of b, then the full length.
func Excerpt(b []byte) string {
	if len(b) <= MaxExcerpt {
		return strconv.QuoteToGraphic(string(b))
	}
	n := MaxExcerpt
	for n > MaxExcerpt-utf8.UTFMax && !utf8.RuneStart(b[n]) {
		n--
	}
	return strconv.QuoteToGraphic(string(b[:n])) + "... (" + strconv.Itoa(len(b)) + " bytes)"
}
