package ibgib

import (
	"bytes"
	"encoding/binary"

	"github.com/ibgib/ibgib-node/ibgib/internal/jsjson"
)

// bytesForm is the first byte of the stored form with a bytes payload.
const bytesForm = 0xB1

// New makes an ibGib of its parts: it brings them to the canonical form,
// computes the gib and applies every rule of the gate. The error is a *Refusal.
func New(ib string, data Value, rel8ns Rel8ns) (IbGib, error) {
	if data.IsNoData() {
		data = Value{}
	}
	if data.kind != KindAbsent && data.depthOver(MaxDepth) {
		r := overLimit(RuleTooDeep, "nesting", MaxDepth)
		r.Addr = claim(ib, "")
		return IbGib{}, r
	}
	return build(ib, content{data: data.Append(nil)}, rel8ns)
}

// NewBytes is New for a bytes payload. A payload that is the canonical text of
// a value becomes that value as data, because the two are one ibGib. The
// payload is copied.
func NewBytes(ib string, payload []byte, rel8ns Rel8ns) (IbGib, error) {
	return build(ib, content{isBytes: true, payload: payload}, rel8ns)
}

// build completes c, which has data or a payload, and lets it through the gate.
func build(ib string, c content, rel8ns Rel8ns) (IbGib, error) {
	c.ib = jsjson.Body(jsjson.AppendQuote(make([]byte, 0, len(ib)+2), ib))
	if len(rel8ns) > 0 {
		c.rel = rel8ns.append(nil)
	}
	in := &record{content: c}
	if !in.scanContent() {
		// Parts that are not what they should be: read them as foreign text, so
		// that they are brought to order or refused by the right rule.
		var err error
		if in, err = readRecord(c.appendLoose(nil)); err != nil {
			err.(*Refusal).Addr = claim(ib, "")
			return IbGib{}, err
		}
		in.isBytes, in.payload = c.isBytes, c.payload
		if r := in.check(); r != nil {
			return IbGib{}, in.refuse(r)
		}
	}
	return in.pass()
}

// appendLoose appends ib, data and rel8ns as a JSON object.
func (c *content) appendLoose(b []byte) []byte {
	b = append(b, `{"ib":"`...)
	b = append(b, c.ib...)
	b = append(b, '"')
	if len(c.data) > 0 {
		b = append(b, `,"data":`...)
		b = append(b, c.data...)
	}
	if c.rel != nil {
		b = append(b, `,"rel8ns":`...)
		b = append(b, c.rel...)
	}
	return append(b, '}')
}

// Import reads an ibGib from JSON of any form, as files have it. Members
// beside ib, gib, data, rel8ns and bytes (see AppendJSON) are dropped, data
// and rel8ns are brought to the canonical form, and the gib must be there and
// fit. The result does not refer to raw. The error is a *Refusal.
func Import(raw []byte) (IbGib, error) { return importRecord(raw, true) }

// Gib is Import for a record that may lack its gib: a missing gib is computed,
// a given one must fit.
func Gib(raw []byte) (IbGib, error) { return importRecord(raw, false) }

func importRecord(raw []byte, needGib bool) (IbGib, error) {
	if g, ok := verifyFast(raw); ok && !g.bytes {
		g.stored = bytes.Clone(raw)
		return g, nil
	}
	in, err := readRecord(raw)
	if err != nil {
		return IbGib{}, err
	}
	if r := in.check(); r != nil {
		return IbGib{}, in.refuse(r)
	}
	if in.gib == nil && needGib {
		return IbGib{}, in.refuse(refusal(RuleBadRecord, "gib is missing"))
	}
	return in.pass()
}

// pass applies the rules that are left once the parts have passed theirs,
// and writes the stored form.
func (in *record) pass() (IbGib, error) {
	if twin, ok := in.asTwin(); ok {
		in.content = twin
	}
	if in.gib != nil {
		if r := checkGib(in.gib); r != nil {
			return IbGib{}, in.refuse(r)
		}
	}
	if r := in.judge(); r != nil {
		return IbGib{}, in.refuse(r)
	}
	if r := in.checkSize(); r != nil {
		return IbGib{}, in.refuse(r)
	}
	var buf [2*hashDigits + 1]byte
	gib := in.appendGib(buf[:0])
	if in.gib != nil {
		if r := compareGib(in.gib, gib); r != nil {
			return IbGib{}, in.refuse(r)
		}
	}
	return in.seal(gib), nil
}

// seal writes the stored form.
func (c *content) seal(gib []byte) IbGib {
	g := IbGib{bytes: c.isBytes, isTjp: c.isTjp}
	head := c.headSize()
	var size [binary.MaxVarintLen32]byte
	n := binary.PutUvarint(size[:], uint64(head))
	total := head + c.dataSize()
	if c.isBytes {
		total += 1 + n + len(c.payload)
	}
	b := make([]byte, 0, total)
	if c.isBytes {
		b = append(b, bytesForm)
		b = append(b, size[:n]...)
	}
	b = append(b, `{"ib":"`...)
	b = append(b, c.ib...)
	b = append(b, `","gib":"`...)
	b = append(b, gib...)
	b = append(b, '"')
	if c.data != nil {
		b = append(b, `,"data":`...)
		g.data = span{uint32(len(b)), uint32(len(b) + len(c.data))}
		b = append(b, c.data...)
	}
	if c.rel != nil {
		b = append(b, `,"rel8ns":`...)
		g.rel = span{uint32(len(b)), uint32(len(b) + len(c.rel))}
		b = append(b, c.rel...)
	}
	b = append(b, '}')
	if c.isBytes {
		g.data = span{uint32(len(b)), uint32(len(b) + len(c.payload))}
		b = append(b, c.payload...)
	}
	g.stored = b
	g.addr = c.addr(gib)
	return g
}
