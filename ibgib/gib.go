package ibgib

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib/internal/jsjson"
)

// content is what an ibGib consists of, in canonical text. Slices of absent
// members are nil.
type content struct {
	ib      []byte // body of a string, without quotes
	data    []byte // JSON, never one of the empty forms
	rel     []byte // object with at least one address
	payload []byte // in the place of data if isBytes; may be empty
	isBytes bool

	isTjp  bool   // data.isTjp is truthy
	tjpGib []byte // gib of the last address of the tjp list, nil if there is none
	tjpNil bool   // there is a tjp list and it is empty
}

// hash computes the punctiliar hash,
//
//	H(H(ib) + H(rel8ns) + H(data)), absent parts left out,
//
// where H(s) is SHA-256 over s, inside the sum as upper-case hex.
func (c *content) hash() Hash {
	var text [3 * hashDigits]byte
	putHex(text[:], sha256.Sum256(c.ibText()))
	n := hashDigits
	if c.rel != nil {
		putHex(text[n:], sha256.Sum256(c.rel))
		n += hashDigits
	}
	if c.isBytes {
		putHex(text[n:], sha256.Sum256(c.payload))
		n += hashDigits
	} else if c.data != nil {
		putHex(text[n:], sha256.Sum256(c.data))
		n += hashDigits
	}
	return sha256.Sum256(text[:n])
}

// ibText returns the ib as UTF-8.
func (c *content) ibText() []byte {
	if bytes.IndexByte(c.ib, '\\') < 0 {
		return c.ib
	}
	return jsjson.Unquote(nil, c.ib)
}

// suffix returns the gib of the tjp that the gib must end in, nil for none.
func (c *content) suffix() []byte {
	if c.isTjp {
		return nil
	}
	return c.tjpGib
}

// appendGib appends the gib.
func (c *content) appendGib(b []byte) []byte {
	n := len(b)
	b = slices.Grow(b, hashDigits)[:n+hashDigits]
	putHex(b[n:], c.hash())
	if suffix := c.suffix(); suffix != nil {
		b = append(b, '.')
		b = append(b, suffix...)
	}
	return b
}

// gibLen returns the length of the gib.
func (c *content) gibLen() int {
	if suffix := c.suffix(); suffix != nil {
		return hashDigits + 1 + len(suffix)
	}
	return hashDigits
}

// appendAddr appends the address, given the gib.
func (c *content) appendAddr(b, gib []byte) []byte {
	b = append(b, c.ibText()...)
	b = append(b, '^')
	return append(b, gib...)
}

// addr returns the address, given the gib.
func (c *content) addr(gib []byte) Addr {
	var buf [256]byte
	return Addr{string(c.appendAddr(buf[:0], gib))}
}

// isNoData reports whether the canonical text is one of the values that count
// as no data.
func isNoData(text []byte) bool {
	switch string(text) {
	case "null", "false", "0", `""`, "{}", "[]":
		return true
	}
	return false
}

// truthy reports whether the value with this canonical text counts as true in
// JavaScript.
func truthy(text []byte) bool {
	switch string(text) {
	case "null", "false", "0", `""`:
		return false
	}
	return true
}

// asTwin returns the content with JSON data that this content with a bytes
// payload is; false if there is none: the payload is no canonical text of a
// value that counts as data, or that form breaks a limit.
func (c *content) asTwin() (content, bool) {
	if !c.isBytes || len(c.payload) > MaxSize || !isCanonicalData(c.payload) {
		return content{}, false
	}
	twin := *c
	twin.isBytes, twin.payload, twin.data = false, nil, c.payload
	if text, ok := memberText(twin.data, "isTjp"); ok {
		twin.isTjp = truthy(text)
	}
	return twin, twin.checkSize() == nil
}

// checkSize holds the stored form that the content will have against the limits.
func (c *content) checkSize() *Refusal {
	switch {
	case c.headSize()+c.dataSize() > MaxSize:
		return overLimit(RuleTooLarge, "size in bytes", MaxSize)
	case len(c.payload) > MaxBytesSize:
		return overLimit(RuleTooLarge, "size of the payload in bytes", MaxBytesSize)
	}
	return nil
}

// headSize returns the length of the stored form without data, or of the
// header of a bytes payload.
func (c *content) headSize() int {
	size := len(`{"ib":"","gib":""}`) + len(c.ib) + c.gibLen()
	if c.rel != nil {
		size += len(`,"rel8ns":`) + len(c.rel)
	}
	return size
}

func (c *content) dataSize() int {
	if c.data == nil {
		return 0
	}
	return len(`,"data":`) + len(c.data)
}

// judge applies the rules that concern the parts together.
func (c *content) judge() *Refusal {
	if c.isTjp && c.tjpNil {
		return refusal(RuleTjpEmptyList, "isTjp together with an empty tjp list")
	}
	if c.rel == nil && isRel8ns(c.data) {
		return refusal(RuleSwappedMembers, "data of nothing but lists of addresses: "+excerpt(c.data))
	}
	if suffix := c.suffix(); suffix != nil && !isHash(suffix[:min(len(suffix), hashDigits)]) {
		return refusal(RuleBadGib, "the last tjp is a primitive")
	}
	return nil
}

// checkGib applies the rules of the gib of an ibGib with content.
func checkGib(gib []byte) *Refusal {
	switch {
	case string(gib) == primitiveGib:
		return refusal(RulePrimitivePayload, "a primitive has no content to keep")
	case !validGib(gib):
		return refusal(RuleBadGib, "gib "+excerpt(gib)+" is neither gib, HASH nor HASH.TJPGIB")
	}
	return nil
}

// compareGib holds a given gib, which is valid, against the computed one.
func compareGib(given, computed []byte) *Refusal {
	switch {
	case bytes.Equal(given, computed):
		return nil
	case !bytes.Equal(given[:hashDigits], computed[:hashDigits]):
		return refusal(RuleGibMismatch, "given "+string(given[:hashDigits])+", content has "+string(computed[:hashDigits]))
	}
	return refusal(RuleTjpMismatch, "given "+excerpt(given[hashDigits:])+" after the hash, rel8ns has "+excerpt(computed[hashDigits:]))
}
