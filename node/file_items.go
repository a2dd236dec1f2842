package node

import (
	"errors"
	"fmt"
	"io"

	"github.com/ibgib/ibgib-node/ibgib"
)

// item is one ibGib of a file, as the file has it.
type item struct {
	line    int    // where it begins, from 1
	number  int    // among the items of a file that is one JSON value, from 1; else 0
	name    []byte // of a map: JSON text of the name that the item has there
	text    []byte
	tooLong bool           // text is empty
	bad     *ibgib.Refusal // the file breaks off here; text is empty
}

// items are the ibGibs of a file in its order.
type items interface {
	// next returns the next item; io.EOF after the last.
	next() (item, error)
	// offset returns how many bytes of the file have been read.
	offset() int64
}

// RuleKeyMismatch refuses an ibGib that a map of a file has under an address
// that is not its own.
const RuleKeyMismatch ibgib.Rule = "key-mismatch"

// gate lets an item through the gate.
func gate(i item) (ibgib.IbGib, *ibgib.Refusal) {
	switch {
	case i.bad != nil:
		return ibgib.IbGib{}, i.bad
	case i.tooLong:
		return ibgib.IbGib{}, &ibgib.Refusal{Rule: ibgib.RuleTooLarge, Detail: fmt.Sprintf("it is longer than %d bytes", maxLine)}
	}
	g, err := ibgib.Import(i.text)
	if err != nil {
		var refusal *ibgib.Refusal
		if !errors.As(err, &refusal) {
			refusal = &ibgib.Refusal{Rule: ibgib.RuleBadRecord, Detail: err.Error()}
		}
		return ibgib.IbGib{}, refusal
	}
	if i.name != nil {
		name, err := ibgib.ParseValue(i.name)
		if err != nil || name.Str() != g.Addr().String() {
			return ibgib.IbGib{}, &ibgib.Refusal{
				Addr: fmt.Sprintf("%.500q", g.Addr()), Rule: RuleKeyMismatch,
				Detail: fmt.Sprintf("the file has it under %.300q", i.name),
			}
		}
	}
	return g, nil
}

// jsonItems reads the items of a JSON array or map, or JSON objects one after
// the other.
type jsonItems struct {
	t      *textReader
	form   Form
	number int
	begun  bool
	ended  bool
}

func (j *jsonItems) offset() int64 { return j.t.bytes }

func (j *jsonItems) next() (item, error) {
	if j.ended {
		return item{}, io.EOF
	}
	i, err := j.read()
	if err == nil {
		return i, nil
	}
	j.ended = true
	if errors.Is(err, io.EOF) {
		return item{}, io.EOF
	}
	i = item{line: j.t.line, number: j.number}
	i.bad, err = brokenText(err)
	return i, err
}

// read returns the next item. io.EOF is the good end.
func (j *jsonItems) read() (item, error) {
	j.number++
	if err := j.separate(); err != nil {
		return item{}, err
	}
	i := item{number: j.number}
	var err error
	if j.form == FormMap {
		if i.name, err = j.t.name(); err != nil {
			return item{}, err
		}
	}
	if _, err := j.t.peek(); err != nil {
		return item{}, cutOff(err)
	}
	i.line = j.t.line
	i.text, i.tooLong, err = j.t.value()
	return i, err
}

// separate moves to the next item, over what stands between two of them.
func (j *jsonItems) separate() error {
	first := !j.begun
	j.begun = true
	opening, closing := byte('['), byte(']')
	switch j.form {
	case FormObjects:
		_, err := j.t.peek()
		return err
	case FormMap:
		opening, closing = '{', '}'
	}
	if first {
		if err := j.t.expect(opening); err != nil {
			return err
		}
	}
	c, err := j.t.peek()
	if err != nil {
		return cutOff(err)
	}
	if c == closing {
		_, _ = j.t.read()
		if _, err := j.t.peek(); !errors.Is(err, io.EOF) {
			if err == nil {
				err = &structureError{"the JSON has ended, but more follows"}
			}
			return err
		}
		return io.EOF
	}
	if first {
		return nil
	}
	return j.t.expect(',')
}
