package protocol

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// The kinds of fields that descriptions name, beside nested messages.

func (c *coder) uint(n protowire.Number, v *uint64) {
	if got, ok := c.scalar(n, *v); ok {
		*v = got
	}
}

func (c *coder) flag(n protowire.Number, v *bool) {
	var bit uint64
	if *v {
		bit = 1
	}
	if got, ok := c.scalar(n, bit); ok {
		if got > 1 {
			c.fail(saga.CodeProtocol, "field %d is %d, want 0 or 1", n, got)
		}
		*v = got == 1
	}
}

// choice handles an enum whose greatest known value is most.
func choice[T ~uint8](c *coder, n protowire.Number, v *T, most T) {
	if c.pass == measure && *v > most {
		c.fail(saga.CodeUnsupported, "field %d: value %d is not known", n, *v)
	}
	if got, ok := c.scalar(n, uint64(*v)); ok {
		if got > uint64(most) {
			c.fail(saga.CodeUnsupported, "field %d: value %d is not known", n, got)
			return
		}
		*v = T(got)
	}
}

// data handles bytes, which may be empty or absent. What is read aliases the
// input.
func (c *coder) data(n protowire.Number, v *[]byte, most int) {
	if c.pass == measure {
		c.atMost(n, "bytes", len(*v), most)
	}
	if got, ok := c.blob(n, *v, len(*v) > 0, false); ok && c.atMost(n, "bytes", len(got), most) && len(got) > 0 {
		*v = got[:len(got):len(got)]
	}
}

// need says whether a fixed-length field may be absent (its value is then zero).
type need bool

const (
	required need = true
	optional need = false
)

// fixed handles a field of exactly len(v) bytes.
func (c *coder) fixed(n protowire.Number, v []byte, needed need) {
	present := needed == required
	if !present && c.pass != read {
		for _, b := range v {
			present = present || b != 0
		}
	}
	got, ok := c.blob(n, v, present, false)
	switch {
	case ok && len(got) != len(v):
		c.fail(saga.CodeProtocol, "field %d has %d bytes, want %d", n, len(got), len(v))
	case ok:
		copy(v, got)
	case c.pass == finish && needed == required && c.has(n) == 0:
		c.fail(saga.CodeProtocol, "field %d is missing", n)
	}
}

// hashes handles any number of hashes in one field.
func (c *coder) hashes(n protowire.Number, v *[]ibgib.Hash, most int) {
	const size = len(ibgib.Hash{})
	switch c.pass {
	case measure:
		if len(*v) > 0 && c.atMost(n, "hashes", len(*v), most) {
			c.size += protowire.SizeTag(n) + protowire.SizeBytes(size*len(*v))
		}
	case write:
		if len(*v) > 0 {
			c.out = protowire.AppendTag(c.out, n, protowire.BytesType)
			c.out = protowire.AppendVarint(c.out, uint64(size*len(*v)))
			for i := range *v {
				c.out = append(c.out, (*v)[i][:]...)
			}
		}
	case read:
		if !c.match(n, protowire.BytesType, false) {
			return
		}
		if len(c.bytes)%size != 0 {
			c.fail(saga.CodeProtocol, "field %d has %d bytes, want a multiple of %d", n, len(c.bytes), size)
			return
		}
		count := len(c.bytes) / size
		if !c.atMost(n, "hashes", count, most) || count == 0 {
			return
		}
		*v = make([]ibgib.Hash, count)
		for i := range *v {
			copy((*v)[i][:], c.bytes[i*size:])
		}
	}
}

// str handles one text; what comes in is copied.
func (c *coder) str(n protowire.Number, v *string, most int) {
	if c.pass == measure {
		c.text(n, *v, most)
	}
	if got, ok := c.blob(n, []byte(*v), *v != "", false); ok && c.text(n, string(got), most) {
		*v = string(got)
	}
}

// strs handles a repeated text.
func (c *coder) strs(n protowire.Number, v *[]string, count, most int) {
	if c.pass == measure {
		c.atMost(n, "texts", len(*v), count)
		for _, s := range *v {
			c.text(n, s, most)
		}
	}
	if c.pass == read {
		got, ok := c.blob(n, nil, true, true)
		if ok && c.atMost(n, "texts", len(*v)+1, count) && c.text(n, string(got), most) {
			*v = append(*v, string(got))
		}
		return
	}
	for _, s := range *v {
		c.blob(n, []byte(s), true, true)
	}
}

// text checks one text.
func (c *coder) text(n protowire.Number, s string, most int) bool {
	if !c.atMost(n, "bytes", len(s), most) {
		return false
	}
	if !utf8.ValidString(s) {
		c.fail(saga.CodeProtocol, "field %d is not valid UTF-8", n)
		return false
	}
	return true
}

// blobs handles repeated bytes, each of at least one byte.
func (c *coder) blobs(n protowire.Number, v *[][]byte, count, most int) {
	check := func(have int, b []byte) bool {
		if len(b) == 0 {
			c.fail(saga.CodeProtocol, "field %d is empty", n)
			return false
		}
		return c.atMost(n, "values", have, count) && c.atMost(n, "bytes", len(b), most)
	}
	if c.pass == read {
		if got, ok := c.blob(n, nil, true, true); ok && check(len(*v)+1, got) {
			*v = append(*v, got[:len(got):len(got)])
		}
		return
	}
	for _, b := range *v {
		if c.pass == measure {
			check(len(*v), b)
		}
		c.blob(n, b, true, true)
	}
}
