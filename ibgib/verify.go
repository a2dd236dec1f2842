package ibgib

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrCorrupt says that bytes of our own store are not what was stored.
var ErrCorrupt = errors.New("corrupt ibGib")

// Verify is the gate for what came over a wire: stored must be, byte for byte,
// the stored form of an ibGib. The result keeps stored, which must not be
// modified any more. The error is a *Refusal.
func Verify(stored []byte) (IbGib, error) {
	if g, ok := verifyFast(stored); ok {
		return g, nil
	}
	return IbGib{}, explainStored(stored)
}

// verifyFast is Verify without a reason.
func verifyFast(stored []byte) (IbGib, bool) {
	r, ok := scanStored(stored)
	if !ok || r.isTjp && r.tjpNil || r.rel == nil && isRel8ns(r.data) {
		return IbGib{}, false
	}
	var gib [2*hashDigits + 1]byte
	if !bytes.Equal(r.appendGib(gib[:0]), r.gib) {
		return IbGib{}, false
	}
	if _, ok := r.asTwin(); ok {
		return IbGib{}, false
	}
	return r.trust(r.addr(r.gib), stored), true
}

// trust makes the ibGib of a stored form that has passed.
func (r *scanned) trust(addr Addr, stored []byte) IbGib {
	g := IbGib{addr: addr, stored: stored, bytes: r.isBytes, isTjp: r.isTjp}
	data := r.data
	if r.isBytes {
		data = r.payload
	}
	g.data = span{uint32(r.dataStart), uint32(r.dataStart + len(data))}
	g.rel = span{uint32(r.relStart), uint32(r.relStart + len(r.rel))}
	return g
}

// explainStored finds the rule by which Verify refuses.
func explainStored(stored []byte) error {
	in, err := readStored(stored)
	if err != nil {
		return err
	}
	if in.unknown != nil {
		return in.refuse(refusal(RuleUnknownMember, "member "+excerpt(in.unknown)))
	}
	if r := in.check(); r != nil {
		return in.refuse(r)
	}
	if in.gib == nil {
		return in.refuse(refusal(RuleBadRecord, "gib is missing"))
	}
	isBytes := in.isBytes
	g, err := in.pass()
	if err != nil {
		return err
	}
	if isBytes && !g.bytes {
		return in.refuse(refusal(RuleBytesTwin, "the payload is JSON data: "+excerpt(g.text(g.data))))
	}
	return in.refuse(refusal(RuleNotCanonical, "another form of a valid ibGib"))
}

// readStored reads either stored form, not minding whether it is canonical.
// The error is a *Refusal.
func readStored(stored []byte) (*record, error) {
	if len(stored) == 0 || stored[0] != bytesForm {
		if len(stored) > MaxSize {
			r := overLimit(RuleTooLarge, "size in bytes", MaxSize)
			r.Addr = glimpseClaim(stored)
			return nil, r
		}
		in, err := readRecord(stored)
		if err == nil && in.isBytes {
			in.unknown = []byte("bytes")
		}
		return in, err
	}
	size, n := binary.Uvarint(stored[1:min(len(stored), 1+binary.MaxVarintLen32)])
	if n <= 0 || size > uint64(len(stored)-1-n) {
		return nil, refusal(RuleBadRecord, "bytes form without its header")
	}
	if size > MaxSize {
		return nil, overLimit(RuleTooLarge, "size of the header in bytes", MaxSize)
	}
	head, payload := stored[1+n:1+n+int(size)], stored[1+n+int(size):]
	if len(payload) > MaxBytesSize {
		r := overLimit(RuleTooLarge, "size of the payload in bytes", MaxBytesSize)
		r.Addr = glimpseClaim(head)
		return nil, r
	}
	in, err := readRecord(head)
	if err != nil {
		return nil, err
	}
	if in.isBytes {
		in.unknown = []byte("bytes")
	} else if in.data != nil {
		in.unknown = []byte("data")
	}
	in.isBytes, in.payload = true, payload
	return in, nil
}

// Load takes back the ibGib that this node stored under addr. It checks
// structure and address, not the hash; VerifyContent does. The result keeps
// stored. The error wraps ErrCorrupt.
func Load(addr Addr, stored []byte) (IbGib, error) {
	r, ok := scanStored(stored)
	if !ok {
		return IbGib{}, fmt.Errorf("ibgib: load %s: %w: not in the stored form", claim(addr.Ib(), addr.Gib()), ErrCorrupt)
	}
	var held [256]byte
	if string(r.appendAddr(held[:0], r.gib)) != addr.s {
		return IbGib{}, fmt.Errorf("ibgib: load %s: %w: it holds another address", claim(addr.Ib(), addr.Gib()), ErrCorrupt)
	}
	return r.trust(addr, stored), nil
}

// Reload is Load for a stored form whose address is not at hand: it is the one
// that the content bears.
func Reload(stored []byte) (IbGib, error) {
	r, ok := scanStored(stored)
	if !ok {
		return IbGib{}, fmt.Errorf("ibgib: reload: %w: not in the stored form", ErrCorrupt)
	}
	return r.trust(r.addr(r.gib), stored), nil
}

// VerifyContent applies the whole gate to an ibGib that came from Load. The
// error is a *Refusal.
func VerifyContent(g IbGib) error {
	_, err := Verify(g.stored)
	return err
}
