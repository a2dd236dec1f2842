package ibgib

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/ibgib/ibgib-node/ibgib/internal/jsjson"
)

// This file is the fast path of the gate: one pass over bytes that are
// canonical. Where it says no, gate.go and verify.go find out which rule it is.

// scanned is a stored form that has passed all rules but the gib's own.
type scanned struct {
	content
	gib       []byte
	dataStart int
	relStart  int
}

// scanStored moves over either stored form.
func scanStored(stored []byte) (r scanned, ok bool) {
	head := stored
	if len(stored) > 0 && stored[0] == bytesForm {
		start, end, ok := headerSpan(stored)
		if !ok {
			return r, false
		}
		r.isBytes, r.payload = true, stored[end:]
		r.dataStart, r.relStart = end, start
		head = stored[start:end]
	}
	if len(head) > MaxSize || len(r.payload) > MaxBytesSize {
		return r, false
	}
	s := jsjson.Scanner{Text: head, MaxLevel: MaxDepth}
	if !s.Literal(`{"ib":`) || !r.scanIb(&s) || !s.Literal(`,"gib":"`) {
		return r, false
	}
	n := bytes.IndexByte(head[s.Pos:], '"')
	if n < hashDigits || !validGib(head[s.Pos:s.Pos+n]) {
		return r, false // a primitive is too short
	}
	r.gib = head[s.Pos : s.Pos+n]
	s.Pos += n + 1
	if !r.isBytes && s.Literal(`,"data":`) {
		r.dataStart = s.Pos
		if !r.scanData(&s) || isNoData(r.data) {
			return r, false
		}
	}
	if s.Literal(`,"rel8ns":`) {
		r.relStart += s.Pos
		if links, ok := r.scanRel8ns(&s); !ok || links == 0 {
			return r, false
		}
	}
	return r, s.Literal("}") && s.Pos == len(head)
}

// headerSpan finds the header of the stored form with a bytes payload.
func headerSpan(stored []byte) (start, end int, ok bool) {
	size, n := binary.Uvarint(stored[1:min(len(stored), 1+binary.MaxVarintLen32)])
	if n <= 0 || size > MaxSize || n > 1 && stored[n] == 0 {
		return 0, 0, false
	}
	start = 1 + n
	end = start + int(size)
	return start, end, end <= len(stored)
}

// scanIb moves over the ib.
func (c *content) scanIb(s *jsjson.Scanner) bool {
	body, traits, ok := s.String()
	c.ib = body
	return ok && len(body) > 0 && traits&jsjson.Surrogate == 0 && bytes.IndexByte(body, '^') < 0
}

// scanData moves over the data and finds out about isTjp.
func (c *content) scanData(s *jsjson.Scanner) bool {
	from := s.Pos
	if s.Peek() != '{' {
		ok := s.Value(1, false)
		c.data = s.Text[from:s.Pos]
		return ok
	}
	m := s.Object()
	for m.Next() {
		at := s.Pos
		if !s.Value(2, false) {
			return false
		}
		if string(m.Name) == "isTjp" {
			c.isTjp = truthy(s.Text[at:s.Pos])
		}
	}
	if !m.End() {
		return false
	}
	c.data = s.Text[from:s.Pos]
	return true
}

// scanRel8ns moves over rel8ns and counts the addresses.
func (c *content) scanRel8ns(s *jsjson.Scanner) (links int, ok bool) {
	from := s.Pos
	m := s.Object()
	for m.Next() {
		last, n, ok := scanAddrs(s, MaxLinks-links)
		if !ok || m.Traits&jsjson.Surrogate != 0 {
			return 0, false
		}
		links += n
		if string(m.Name) == "tjp" {
			c.tjpNil = n == 0
			c.tjpGib = last
		}
	}
	if !m.End() {
		return 0, false
	}
	c.rel = s.Text[from:s.Pos]
	return links, true
}

// scanAddrs moves over a list of at most limit addresses and returns the gib of the last.
func scanAddrs(s *jsjson.Scanner, limit int) (lastGib []byte, n int, ok bool) {
	if !s.Literal("[") {
		return nil, 0, false
	}
	if s.Literal("]") {
		return nil, 0, true
	}
	for {
		body, traits, ok := s.String()
		if !ok || n == limit {
			return nil, 0, false
		}
		at := bytes.IndexByte(body, '^')
		if at <= 0 || traits&jsjson.Surrogate != 0 || !validGib(body[at+1:]) {
			return nil, 0, false
		}
		n++
		if s.Literal(",") {
			continue
		}
		return body[at+1:], n, s.Literal("]")
	}
}

// scanContent applies the rules of each part to content that should be canonical.
func (c *content) scanContent() bool {
	s := jsjson.Scanner{MaxLevel: MaxDepth}
	if bytes.IndexByte(c.ib, '\\') >= 0 || !utf8.Valid(c.ib) {
		// Rare enough for a copy.
		if checkIb(unquote(c.ib)) != nil {
			return false
		}
	} else if len(c.ib) == 0 || bytes.IndexByte(c.ib, '^') >= 0 {
		return false
	}
	if c.data != nil {
		s.Text, s.Pos = c.data, 0
		if !c.scanData(&s) || s.Pos != len(s.Text) {
			return false
		}
	}
	if c.rel != nil {
		s.Text, s.Pos = c.rel, 0
		links, ok := c.scanRel8ns(&s)
		if !ok || s.Pos != len(s.Text) {
			return false
		}
		if links == 0 {
			c.rel = nil
		}
	}
	return true
}

// isCanonicalData reports whether text is the canonical text of a value that
// counts as data, within MaxDepth.
func isCanonicalData(text []byte) bool {
	if isNoData(text) {
		return false
	}
	s := jsjson.Scanner{Text: text, MaxLevel: MaxDepth}
	return s.Value(1, false) && s.Pos == len(text)
}

// isRel8ns reports whether canonical data is an object of nothing but lists of
// addresses, with at least one address.
func isRel8ns(data []byte) bool {
	if len(data) == 0 || data[0] != '{' {
		return false
	}
	s := jsjson.Scanner{Text: data}
	m := s.Object()
	links := 0
	for m.Next() {
		_, n, ok := scanAddrs(&s, len(data))
		if !ok {
			return false
		}
		links += n
	}
	return m.End() && links > 0
}
