package form

import (
	"errors"
	"fmt"
	"io"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Item is one ibGib of a file, as the file has it.
type Item struct {
	Line    int            // where it begins, from 1
	Number  int            // among the items of a file that is one JSON value, from 1; else 0
	Text    []byte         // JSON
	TooLong bool           // Text is empty
	name    []byte         // of a map: JSON text of the name that the item has there
	bad     *ibgib.Refusal // the file breaks off here; Text is empty
}

// RuleKeyMismatch refuses an ibGib that a map of a file has under an address
// that is not its own.
const RuleKeyMismatch ibgib.Rule = "key-mismatch"

// Gate lets the item through the gate. It may be called for several items at once.
func (i Item) Gate() (ibgib.IbGib, *ibgib.Refusal) {
	switch {
	case i.bad != nil:
		return ibgib.IbGib{}, i.bad
	case i.TooLong:
		return ibgib.IbGib{}, &ibgib.Refusal{Rule: ibgib.RuleTooLarge, Detail: fmt.Sprintf("it is longer than %d bytes", MaxLine)}
	}
	g, err := ibgib.Import(i.Text)
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

func (j *jsonItems) Offset() int64 { return j.t.bytes }

func (j *jsonItems) Next() (Item, error) {
	if j.ended {
		return Item{}, io.EOF
	}
	i, err := j.read()
	if err == nil {
		return i, nil
	}
	j.ended = true
	if errors.Is(err, io.EOF) {
		return Item{}, io.EOF
	}
	i = Item{Line: j.t.line, Number: j.number}
	i.bad, err = brokenText(err)
	return i, err
}

// read returns the next item. io.EOF is the good end.
func (j *jsonItems) read() (Item, error) {
	j.number++
	if err := j.separate(); err != nil {
		return Item{}, err
	}
	i := Item{Number: j.number}
	var err error
	if j.form == Map {
		if i.name, err = j.t.name(); err != nil {
			return Item{}, err
		}
	}
	if _, err := j.t.peek(); err != nil {
		return Item{}, cutOff(err)
	}
	i.Line = j.t.line
	i.Text, i.TooLong, err = j.t.value()
	return i, err
}

// separate moves to the next item, over what stands between two of them.
func (j *jsonItems) separate() error {
	first := !j.begun
	j.begun = true
	opening, closing := byte('['), byte(']')
	switch j.form {
	case Objects:
		_, err := j.t.peek()
		return err
	case Map:
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
