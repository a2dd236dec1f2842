package blockstore

import (
	"encoding/binary"
	"strings"

	"github.com/ibgib/ibgib-node/ibgib"
)

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Kinds of an address in a record: hashes are kept as their 32 bytes where
// that says all.
const (
	addrZero  = 0 // no address
	addrText  = 1 // whole text
	addrHash  = 2 // ib, HASH
	addrFrame = 3 // ib, HASH, the HASH of the tjp

	// What follows is told by another address, the one that the record is about.
	addrSame   = 4 // that address
	addrFirst  = 5 // the first frame of its timeline, under the same ib
	addrFellow = 6 // HASH: another frame of its timeline, under the same ib
)

// What follows the HASH in the tail of an address.
const (
	tailNone = 0
	tailHash = 1 // the HASH of the tjp
	tailText = 2 // text after a dot
)

// appendTail appends an address under whose hash the record lies.
func appendTail(b []byte, a ibgib.Addr) []byte {
	b = appendText(b, a.Ib())
	tjpGib := a.TjpGib()
	if tjpGib == "" {
		return append(b, tailNone)
	}
	tjp, err := ibgib.ParseHash(tjpGib)
	if err != nil { // several pieces
		return appendText(append(b, tailText), tjpGib)
	}
	return append(append(b, tailHash), tjp[:]...)
}

// appendAddrBeside appends an address to a record about own, which tells most of
// it if it is one of the same timeline.
func appendAddrBeside(b []byte, a, own ibgib.Addr) []byte {
	tjpGib := own.TjpGib()
	switch {
	case a == own:
		return append(b, addrSame)
	case tjpGib == "" || a.Ib() != own.Ib():
	case a.Gib() == tjpGib:
		return append(b, addrFirst)
	case a.TjpGib() == tjpGib:
		h, _ := a.Hash()
		return append(append(b, addrFellow), h[:]...)
	}
	return appendAddr(b, a)
}

func appendAddr(b []byte, a ibgib.Addr) []byte {
	if a.IsZero() {
		return append(b, addrZero)
	}
	h, ok := a.Hash()
	if !ok {
		return appendText(append(b, addrText), a.String())
	}
	tjpGib := a.TjpGib()
	if tjpGib == "" {
		b = appendText(append(b, addrHash), a.Ib())
		return append(b, h[:]...)
	}
	tjp, err := ibgib.ParseHash(tjpGib)
	if err != nil { // several pieces
		return appendText(append(b, addrText), a.String())
	}
	b = appendText(append(b, addrFrame), a.Ib())
	return append(append(b, h[:]...), tjp[:]...)
}

// reader decodes a record; the first fault is kept in err.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() {
	r.b, r.err = nil, errRecord
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) hash() ibgib.Hash {
	var h ibgib.Hash
	if len(r.b) < len(h) {
		r.fail()
		return h
	}
	copy(h[:], r.b)
	r.b = r.b[len(h):]
	return h
}

func (r *reader) addr() ibgib.Addr {
	switch r.byte() {
	case addrZero:
		return ibgib.Addr{}
	case addrText:
		return r.parse(r.text())
	case addrHash:
		ib := r.text()
		return r.join(ib, r.hash(), "")
	case addrFrame:
		ib := r.text()
		h := r.hash()
		return r.join(ib, h, r.hash().String())
	default:
		r.fail()
		return ibgib.Addr{}
	}
}

// tail reads what appendTail wrote for the address with hash h.
func (r *reader) tail(h ibgib.Hash) ibgib.Addr {
	ib := r.text()
	switch r.byte() {
	case tailNone:
		return r.join(ib, h, "")
	case tailHash:
		return r.join(ib, h, r.hash().String())
	case tailText:
		return r.join(ib, h, r.text())
	default:
		r.fail()
		return ibgib.Addr{}
	}
}

// addrBeside reads what appendAddrBeside wrote.
func (r *reader) addrBeside(own ibgib.Addr) ibgib.Addr {
	if len(r.b) == 0 || r.b[0] < addrSame {
		return r.addr()
	}
	switch kind := r.byte(); {
	case kind == addrSame:
		return own
	case kind == addrFirst && own.TjpGib() != "":
		return r.parse(own.Ib() + "^" + own.TjpGib())
	case kind == addrFellow:
		return r.join(own.Ib(), r.hash(), own.TjpGib())
	default:
		r.fail()
		return ibgib.Addr{}
	}
}

func (r *reader) join(ib string, h ibgib.Hash, tjpGib string) ibgib.Addr {
	var s strings.Builder
	s.Grow(len(ib) + 2 + 64 + len(tjpGib))
	s.WriteString(ib)
	s.WriteByte('^')
	s.WriteString(h.String())
	if tjpGib != "" {
		s.WriteByte('.')
		s.WriteString(tjpGib)
	}
	return r.parse(s.String())
}

func (r *reader) parse(s string) ibgib.Addr {
	if r.err != nil {
		return ibgib.Addr{}
	}
	a, err := ibgib.ParseAddr(s)
	if err != nil {
		r.fail()
	}
	return a
}

// end reports the first fault, or bytes left over.
func (r *reader) end() error {
	if r.err == nil && len(r.b) != 0 {
		r.fail()
	}
	return r.err
}
