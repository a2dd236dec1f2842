package protocol

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ibgib/ibgib-node/saga"
)

// Encode returns the encoding of m: a saga message, *Hello, *Notice,
// *KeystoneFrames, *Fetch, *Fetched or *Vouch. Equal messages have equal encodings. The error is a
// *saga.Error that names what breaks a limit or a rule. Only the text of a
// *saga.Error is bent to the rules instead: it is cut, and bytes that are not
// UTF-8 are replaced, since it must get through.
func Encode(m saga.Message) ([]byte, error) {
	var c coder
	if err := c.encode(m, false); err != nil {
		return nil, err
	}
	return c.out, nil
}

// encode leaves the encoding of m in c.out, which it reuses, with the length
// prefix of the stream before it if framed.
func (c *coder) encode(m saga.Message, framed bool) error {
	*c = coder{pass: measure, name: "envelope", sizes: c.sizes[:0], out: c.out[:0]}
	e, err := wrap(m)
	if err != nil {
		return err
	}
	c.envelope(&e)
	most := MaxMessage
	if e.hello != nil {
		most = MaxHello
	}
	if c.err == nil && c.size > most {
		c.fail(saga.CodeLimit, "%d bytes, at most %d", c.size, most)
	}
	if c.err != nil {
		return c.err
	}
	size := c.size
	if framed {
		size += protowire.SizeVarint(uint64(c.size))
	}
	if cap(c.out) < size {
		c.out = make([]byte, 0, size)
	}
	if framed {
		c.out = protowire.AppendVarint(c.out, uint64(c.size))
	}
	c.pass = write
	c.envelope(&e)
	return nil
}

// wrap puts m into an envelope.
func wrap(m saga.Message) (envelope, error) {
	e := envelope{id: m.SagaID()}
	switch m := m.(type) {
	case *saga.Init:
		e.init = m
	case *saga.Ack:
		e.ack = m
	case *saga.Delta:
		e.delta = m
	case *saga.Commit:
		e.commit = m
	case *saga.Working:
		e.working = m
	case *saga.Seal:
		e.seal = m
	case *saga.Error:
		plain := *m
		plain.Text = printable(m.Text)
		e.failure = &plain
	case *Hello:
		e.hello = m
	case *Notice:
		e.notice = m
	case *KeystoneFrames:
		e.keystoneFrames = m
	case *Vouch:
		e.vouch = m
	case *Fetch:
		e.fetch = m
	case *Fetched:
		e.fetched = m
	default:
		return envelope{}, fmt.Errorf("protocol: no encoding for %T", m)
	}
	return e, nil
}

// printable makes s valid UTF-8 of at most saga.MaxErrorText bytes.
func printable(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= saga.MaxErrorText {
		return s
	}
	end := saga.MaxErrorText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// Decode reads what Encode wrote, and any other encoding of the same message
// that protobuf allows (fields in another order, zeros written out, unknown
// fields), but for a single field that comes twice. Every length and count is
// checked before memory is taken for it. The error is a *saga.Error whose code
// says what is wrong: protocol, limit, or unsupported for values of a later
// version.
//
// The message owns b from here on: payload, signatures and answer bits alias it.
func Decode(b []byte) (saga.Message, error) {
	if len(b) > MaxMessage {
		return nil, &saga.Error{
			Code: saga.CodeLimit,
			Text: fmt.Sprintf("a message of %d bytes, at most %d", len(b), MaxMessage),
		}
	}
	var c coder
	var e envelope
	c.walk("envelope", b, func() { c.envelope(&e) })
	if c.err == nil && e.hello != nil && len(b) > MaxHello {
		c.fail(saga.CodeLimit, "a hello of %d bytes, at most %d", len(b), MaxHello)
	}
	if c.err != nil {
		c.err.ID = e.id
		return nil, c.err
	}
	return e.message(), nil
}

// message returns the message in a checked envelope, with its id.
func (e *envelope) message() saga.Message {
	switch {
	case e.init != nil:
		e.init.ID = e.id
		return e.init
	case e.ack != nil:
		e.ack.ID = e.id
		return e.ack
	case e.delta != nil:
		e.delta.ID = e.id
		return e.delta
	case e.commit != nil:
		e.commit.ID = e.id
		return e.commit
	case e.working != nil:
		e.working.ID = e.id
		return e.working
	case e.seal != nil:
		e.seal.ID = e.id
		return e.seal
	case e.failure != nil:
		e.failure.ID = e.id
		return e.failure
	case e.hello != nil:
		return e.hello
	case e.notice != nil:
		return e.notice
	case e.fetch != nil:
		return e.fetch
	case e.fetched != nil:
		return e.fetched
	case e.vouch != nil:
		return e.vouch
	default:
		return e.keystoneFrames
	}
}
