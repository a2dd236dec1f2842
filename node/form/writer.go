package form

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Writer brings NDJSON, as node.Export writes it, one ibGib a line, into another form. It
// keeps one ibGib in memory. What is read back from any of the forms is exported as the
// same bytes again.
//
// The raw form is a raw export of the TypeScript apps: an ibGib with the ib
// "ibgib_export GIB" and data of contextIbGibAddr, dependencyGraphAsString and,
// for a frame of a timeline, tjpAddr. It bears no time, so equal exports are
// equal. There is no limit on its size. Bytes payloads are in base64 in every
// form, as AppendJSON has them; the apps do not know them.
type Writer struct {
	out     *bufio.Writer
	form    Form
	context ibgib.Addr
	line    []byte // begun
	items   int
	bytes   int64

	data hash.Hash // Raw: of the canonical text of data
	tjp  ibgib.Addr
}

// NewWriter returns a writer of the form to w. context is what a raw export
// is about; it must be among what is written. Errors wrap ErrForm.
func NewWriter(w io.Writer, form Form, context ibgib.Addr) (*Writer, error) {
	f := &Writer{out: bufio.NewWriterSize(w, 256<<10), form: form, context: context}
	switch form {
	case NDJSON, Array, Map:
	case Raw:
		if _, ok := context.Hash(); !ok {
			return nil, fmt.Errorf("%w: a raw export is about one ibGib, not %s", ErrForm, context)
		}
		f.data = sha256.New()
	default:
		return nil, fmt.Errorf("%w: there is no form %.100q to write", ErrForm, string(form))
	}
	return f, nil
}

// Bytes returns how many bytes have been written.
func (f *Writer) Bytes() int64 { return f.bytes }

// Write takes NDJSON text, cut anywhere.
func (f *Writer) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		part, rest, ended := bytes.Cut(p, []byte("\n"))
		f.line, p = append(f.line, part...), rest
		if !ended {
			break
		}
		if err := f.item(f.line); err != nil {
			return 0, err
		}
		if f.line = f.line[:0]; cap(f.line) > ibgib.MaxSize {
			f.line = nil
		}
	}
	return written, nil
}

// Close ends the text. It does not close what is below.
func (f *Writer) Close() error {
	var err error
	switch {
	case len(f.line) > 0:
		err = errors.New("form: the text to write ends within a line")
	case f.form == Array:
		err = f.end("[", "]")
	case f.form == Map:
		err = f.end("{", "}")
	case f.form == Raw:
		err = f.endRaw()
	}
	return errors.Join(err, f.out.Flush())
}

func (f *Writer) write(parts ...[]byte) error {
	for _, p := range parts {
		n, err := f.out.Write(p)
		f.bytes += int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// item writes one ibGib.
func (f *Writer) item(line []byte) error {
	first := f.items == 0
	f.items++
	separator := func(opening string) []byte {
		if first {
			return []byte(opening + "\n")
		}
		return []byte(",\n")
	}
	switch f.form {
	case Array:
		return f.write(separator("["), line)
	case Map:
		name, err := addressOf(line)
		if err != nil {
			return err
		}
		return f.write(separator("{"), name, []byte(":"), line)
	case Raw:
		return f.rawItem(line, first)
	}
	return f.write(line, []byte("\n"))
}

func (f *Writer) end(opening, closing string) error {
	if f.items == 0 {
		return f.write([]byte(opening + closing + "\n"))
	}
	return f.write([]byte("\n" + closing + "\n"))
}

// rawItem writes one ibGib into the graph of a raw export.
func (f *Writer) rawItem(line []byte, first bool) error {
	name, err := addressOf(line)
	if err != nil {
		return err
	}
	if bytes.Equal(name, quoted(f.context.String())) {
		g, err := ibgib.Import(line)
		if err != nil {
			return err
		}
		f.tjp, _ = g.LastRel("tjp")
		if g.IsTjp() {
			f.tjp = g.Addr()
		}
	}
	opening := byte(',')
	if first {
		if err := f.beginRaw(); err != nil {
			return err
		}
		opening = '{'
	}
	text := append(append(append([]byte{opening}, name...), ':'), line...)
	return f.writeData(unwrapped(quoted(string(text))))
}

// beginRaw writes what is before the graph. The gib comes last, as the apps
// have it too, since it is the hash of all the rest.
func (f *Writer) beginRaw() error {
	if err := f.write([]byte(`{"ib":`), quoted(f.rawIb()), []byte(`,"data":`)); err != nil {
		return err
	}
	return f.writeData([]byte(`{"` + rawContext + `":` + string(quoted(f.context.String())) + `,"` + rawGraph + `":"`))
}

func (f *Writer) endRaw() error {
	if f.items == 0 {
		return fmt.Errorf("%w: nothing to write about %s", ErrForm, f.context)
	}
	end := `}"`
	if !f.tjp.IsZero() {
		end += `,"` + rawTjp + `":` + string(quoted(f.tjp.String()))
	}
	if err := f.writeData([]byte(end + "}")); err != nil {
		return err
	}
	// A gib as package ibgib computes it, of data that are too large for it.
	whole := sha256.New()
	fmt.Fprintf(whole, "%X%X", sha256.Sum256([]byte(f.rawIb())), f.data.Sum(nil))
	return f.write(fmt.Appendf(nil, ",\"gib\":\"%X\"}\n", whole.Sum(nil)))
}

func (f *Writer) rawIb() string { return "ibgib_export " + f.context.Gib() }

// writeData writes a part of the canonical text of data.
func (f *Writer) writeData(p []byte) error {
	f.data.Write(p)
	return f.write(p)
}

// addressOf returns the address of an ibGib in canonical form as JSON text.
func addressOf(line []byte) ([]byte, error) {
	walk := memberWalk{t: newTextReader(bytes.NewReader(line))}
	if err := walk.enter(); err != nil {
		return nil, err
	}
	var ib []byte
	for {
		name, err := walk.next()
		if err != nil {
			return nil, fmt.Errorf("form: no ibGib: %w", err)
		}
		value, _, err := walk.t.value()
		switch {
		case err != nil:
			return nil, fmt.Errorf("form: no ibGib: %w", err)
		case string(name) == `"ib"`:
			ib = unwrapped(value)
		case string(name) == `"gib"` && ib != nil:
			return fmt.Appendf(nil, `"%s^%s"`, ib, unwrapped(value)), nil
		}
	}
}

// quoted returns a text as canonical JSON.
func quoted(s string) []byte { return ibgib.String(s).Append(nil) }

// unwrapped returns JSON text of a string without its quotes.
func unwrapped(text []byte) []byte {
	if len(text) < 2 {
		return nil
	}
	return text[1 : len(text)-1]
}
