package ibgib

import (
	"bytes"
	"encoding/base64"
	"iter"

	"github.com/ibgib/ibgib-node/ibgib/internal/jsjson"
)

// IbGib is one ibGib that has passed the gate. The zero IbGib is none.
type IbGib struct {
	addr   Addr
	stored []byte
	data   span // canonical JSON, or the payload
	rel    span // canonical object
	bytes  bool // data is a bytes payload
	isTjp  bool
}

// span is stored[from:to]; it is empty if the member is absent.
type span struct{ from, to uint32 }

func (g *IbGib) text(s span) []byte { return g.stored[s.from:s.to:s.to] }

// Addr returns the address.
func (g IbGib) Addr() Addr { return g.addr }

// Ib returns the ib part of the address.
func (g IbGib) Ib() string { return g.addr.Ib() }

// Gib returns the gib part of the address.
func (g IbGib) Gib() string { return g.addr.Gib() }

// Hash returns the punctiliar hash.
func (g IbGib) Hash() Hash {
	h, _ := g.addr.Hash()
	return h
}

// IsZero reports whether g is the zero IbGib.
func (g IbGib) IsZero() bool { return g.addr.IsZero() }

// Stored returns the stored form (see the package comment). It is shared and
// must not be modified.
func (g IbGib) Stored() []byte { return g.stored }

// Size returns the length of the stored form in bytes.
func (g IbGib) Size() int { return len(g.stored) }

// Data returns the data, absent if there is none or a bytes payload. It is
// parsed anew by each call.
func (g IbGib) Data() Value {
	if g.bytes {
		return Value{}
	}
	return decodeValue(g.text(g.data))
}

// Bytes returns the bytes payload, if that is what the ibGib has. It is shared
// and must not be modified.
func (g IbGib) Bytes() ([]byte, bool) {
	if !g.bytes {
		return nil, false
	}
	return g.text(g.data), true
}

// IsTjp reports whether data.isTjp is truthy: the ibGib is the first frame of
// a timeline.
func (g IbGib) IsTjp() bool { return g.isTjp }

// Field returns the member of that name of data, if data is an object, without
// parsing the others.
func (g IbGib) Field(name string) (Value, bool) {
	if g.bytes {
		return Value{}, false
	}
	text, ok := memberText(g.text(g.data), name)
	if !ok {
		return Value{}, false
	}
	return decodeValue(text), true
}

// Rel8ns returns all lists of addresses. They are parsed anew by each call.
func (g IbGib) Rel8ns() Rel8ns { return decodeRel8ns(g.text(g.rel)) }

// Rel returns the addresses of one list, without parsing the others; nil if
// there is no such list.
func (g IbGib) Rel(name string) []Addr {
	list, _ := memberText(g.text(g.rel), name)
	var addrs []Addr
	for addr := range jsjson.Elements(list) {
		addrs = append(addrs, decodeAddr(addr))
	}
	return addrs
}

// LastRel returns the last address of one list; false if there is none.
func (g IbGib) LastRel(name string) (Addr, bool) {
	list, _ := memberText(g.text(g.rel), name)
	last := jsjson.LastString(list)
	if last == nil {
		return Addr{}, false
	}
	return Addr{unquote(last)}, true
}

// Links yields every address in rel8ns with the name of its list, in stored
// order, primitives and repeats included.
func (g IbGib) Links() iter.Seq2[string, Addr] {
	return func(yield func(string, Addr) bool) {
		for name, list := range jsjson.Members(g.text(g.rel)) {
			rel := internName(name)
			for addr := range jsjson.Elements(list) {
				if !yield(rel, decodeAddr(addr)) {
					return
				}
			}
		}
	}
}

// AppendJSON appends the file form, one line of JSON without a newline: the
// stored form, or for a bytes payload an object with the member bytes in
// standard base64 in the place of data.
func (g IbGib) AppendJSON(b []byte) []byte {
	if !g.bytes {
		return append(b, g.stored...)
	}
	b = append(b, `{"ib":`...)
	b = jsjson.AppendQuote(b, g.Ib())
	b = append(b, `,"gib":"`...)
	b = append(b, g.Gib()...)
	b = append(b, `","bytes":"`...)
	b = base64.StdEncoding.AppendEncode(b, g.text(g.data))
	b = append(b, '"')
	if rel := g.text(g.rel); len(rel) > 0 {
		b = append(b, `,"rel8ns":`...)
		b = append(b, rel...)
	}
	return append(b, '}')
}

// memberText finds the value of one member in the text of a canonical object.
func memberText(object []byte, name string) ([]byte, bool) {
	if len(object) == 0 || object[0] != '{' {
		return nil, false
	}
	var buf [64]byte
	want := jsjson.Body(jsjson.AppendQuote(buf[:0], name))
	for body, value := range jsjson.Members(object) {
		if bytes.Equal(body, want) {
			return value, true
		}
	}
	return nil, false
}
