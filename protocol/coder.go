package protocol

import (
	"fmt"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ibgib/ibgib-node/saga"
)

// pass is what a coder does with the fields that a description names.
type pass uint8

const (
	measure pass = iota // check them and add up their sizes
	write               // append them to out
	read                // take the field at hand, if it is the one named
	finish              // nothing: all fields have been read
)

// coder runs over a message by calling its description, a function of
// schema.go that names each field with its number, place and limit. Encoding
// calls it twice (measure, write). Decoding calls it once for each field on the
// wire (read), which the method for that number then takes, and once at the end
// (finish). So a field is described once, and the same limits hold both ways.
//
// The first failure stays in err; what follows it does nothing that matters.
type coder struct {
	pass pass
	name string // of the message at hand
	err  *saga.Error

	// measure and write
	size  int    // bytes of the message at hand
	sizes []int  // of the nested messages, in the order in which they begin
	next  int    // write: index of the next one
	out   []byte // write

	// read: the field at hand, and what the message has had
	field  protowire.Number
	wire   protowire.Type
	number uint64 // value of a varint
	bytes  []byte // value of a length-delimited field; aliases the input
	rest   int    // bytes after it in the message at hand
	seen   uint64 // bit n: field n has been taken
}

// fail notes a failure of the message at hand, if it is the first.
func (c *coder) fail(code saga.Code, format string, args ...any) {
	if c.err == nil {
		c.err = &saga.Error{Code: code, Text: c.name + ": " + fmt.Sprintf(format, args...)}
	}
}

// whole tells whether all fields of the message at hand are there, so that a
// description can check how they fit together.
func (c *coder) whole() bool { return c.pass == measure || c.pass == finish }

// has counts which of the given fields the message at hand has brought.
func (c *coder) has(fields ...protowire.Number) int {
	var mask uint64
	for _, n := range fields {
		mask |= 1 << n
	}
	return bits.OnesCount64(c.seen & mask)
}

// match takes the field at hand if it is number n. Only repeated fields may
// come twice.
func (c *coder) match(n protowire.Number, wire protowire.Type, repeated bool) bool {
	if c.pass != read || c.field != n || c.err != nil {
		return false
	}
	if c.wire != wire {
		c.fail(saga.CodeProtocol, "field %d has wire type %d, want %d", n, c.wire, wire)
		return false
	}
	if c.seen&(1<<n) != 0 && !repeated {
		c.fail(saga.CodeProtocol, "field %d comes twice", n)
		return false
	}
	c.seen |= 1 << n
	return true
}

// scalar handles a varint; zero is left out. It returns what was read.
func (c *coder) scalar(n protowire.Number, v uint64) (got uint64, ok bool) {
	switch c.pass {
	case measure:
		if v != 0 {
			c.size += protowire.SizeTag(n) + protowire.SizeVarint(v)
		}
	case write:
		if v != 0 {
			c.out = protowire.AppendTag(c.out, n, protowire.VarintType)
			c.out = protowire.AppendVarint(c.out, v)
		}
	case read:
		if c.match(n, protowire.VarintType, false) {
			return c.number, true
		}
	}
	return 0, false
}

// blob handles a length-delimited field, which is left out unless present. It
// returns what was read: a part of the input.
func (c *coder) blob(n protowire.Number, v []byte, present, repeated bool) (got []byte, ok bool) {
	switch c.pass {
	case measure:
		if present {
			c.size += protowire.SizeTag(n) + protowire.SizeBytes(len(v))
		}
	case write:
		if present {
			c.out = protowire.AppendTag(c.out, n, protowire.BytesType)
			c.out = protowire.AppendBytes(c.out, v)
		}
	case read:
		if c.match(n, protowire.BytesType, repeated) {
			return c.bytes, true
		}
	}
	return nil, false
}

// atMost checks a length against its limit.
func (c *coder) atMost(n protowire.Number, what string, have, most int) bool {
	if have > most {
		c.fail(saga.CodeLimit, "field %d: %d %s, at most %d", n, have, what, most)
		return false
	}
	return true
}

// nested handles a message inside the one at hand, whose fields describe names.
// It returns whether one was read.
func (c *coder) nested(n protowire.Number, name string, present, repeated bool, describe func()) bool {
	switch c.pass {
	case measure:
		if !present {
			return false
		}
		outer, outerName, slot := c.size, c.name, len(c.sizes)
		c.sizes = append(c.sizes, 0)
		c.size, c.name = 0, name
		describe()
		c.sizes[slot] = c.size
		c.size, c.name = outer+protowire.SizeTag(n)+protowire.SizeBytes(c.size), outerName
	case write:
		if !present {
			return false
		}
		c.out = protowire.AppendTag(c.out, n, protowire.BytesType)
		c.out = protowire.AppendVarint(c.out, uint64(c.sizes[c.next]))
		c.next++
		describe()
	case read:
		if !c.match(n, protowire.BytesType, repeated) {
			return false
		}
		outerName, outerSeen := c.name, c.seen
		c.walk(name, c.bytes, describe)
		c.pass, c.name, c.seen = read, outerName, outerSeen
		c.field = 0 // taken: what the outer description names next is not it
		return true
	}
	return false
}

// sub handles a nested message that is absent where *v is nil.
func sub[T any](c *coder, n protowire.Number, name string, v **T, describe func(*coder, *T)) {
	if c.pass == read && c.field == n && *v == nil {
		*v = new(T)
	}
	c.nested(n, name, *v != nil, false, func() { describe(c, *v) })
}

// list handles a repeated message.
func list[T any](c *coder, n protowire.Number, name string, v *[]T, most int, describe func(*coder, *T)) {
	if c.pass == read {
		if c.field != n || c.err != nil || !c.atMost(n, "elements", len(*v)+1, most) {
			return
		}
		if *v == nil {
			// Elements are mostly of one size, so this is how many will come.
			*v = make([]T, 0, min(most, 1+c.rest/(len(c.bytes)+2)))
		}
		var element T
		*v = append(*v, element)
		last := &(*v)[len(*v)-1]
		c.nested(n, name, true, true, func() { describe(c, last) })
		return
	}
	if c.pass == measure {
		c.atMost(n, "elements", len(*v), most)
	}
	for i := range *v {
		c.nested(n, name, true, true, func() { describe(c, &(*v)[i]) })
	}
}

// walk reads one message: each of its fields, then the end. Fields that no
// description names are skipped.
func (c *coder) walk(name string, in []byte, describe func()) {
	c.name, c.seen = name, 0
	for len(in) > 0 && c.err == nil {
		n := c.consume(in)
		if c.err != nil {
			return
		}
		in = in[n:]
		c.pass, c.rest = read, len(in)
		describe()
	}
	if c.err == nil {
		c.pass = finish
		describe()
	}
}

// consume reads the field at the start of in and returns its size.
func (c *coder) consume(in []byte) int {
	field, wire, n := protowire.ConsumeTag(in)
	if n < 0 || field > protowire.MaxValidNumber {
		c.fail(saga.CodeProtocol, "a field's tag is cut short or not valid")
		return 0
	}
	c.field, c.wire = field, wire
	m := 0
	switch wire {
	case protowire.VarintType:
		c.number, m = protowire.ConsumeVarint(in[n:])
	case protowire.BytesType:
		c.bytes, m = protowire.ConsumeBytes(in[n:])
	case protowire.Fixed32Type:
		_, m = protowire.ConsumeFixed32(in[n:])
	case protowire.Fixed64Type:
		_, m = protowire.ConsumeFixed64(in[n:])
	default:
		m = -1
	}
	if m < 0 {
		c.fail(saga.CodeProtocol, "field %d is cut short or not valid", field)
		return 0
	}
	return n + m
}
