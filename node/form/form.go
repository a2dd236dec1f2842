package form

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ibgib/ibgib-node/ibgib"
)

var (
	// ErrFormat says that a file is in a format that is not read here.
	ErrFormat = errors.New("unsupported file format")
	// ErrForm says that there is no such form to write, or not of this.
	ErrForm = errors.New("not a form to write")
)

// Form is a form in which files have ibGibs.
type Form string

// The forms. Open recognises all of them; Objects cannot be written.
const (
	NDJSON  Form = "ndjson"  // one ibGib a line
	Array   Form = "array"   // a JSON array of ibGibs
	Map     Form = "map"     // a JSON object with each ibGib under its address
	Raw     Form = "raw"     // the raw export of the TypeScript apps, see raw.go
	Objects Form = "objects" // ibGibs one after the other, laid out over several lines
)

// What is read of a file to recognise its form, in bytes. The raw export is
// told from an ibGib that somebody stored by what follows it, so as much is read
// as an ibGib can take that keeps the limits of the gate, in any JSON form.
const (
	sniffFirst = 4 << 10
	sniffBlank = 64 << 10 // white space only
	sniffPlain = 1 << 20  // nothing that looks like a raw export
	sniffMost  = 32 << 20
)

// Reader reads the ibGibs of a file in any of the forms, in the order of the file.
type Reader struct {
	items
	form Form
}

// items are the ibGibs of a file of one form, as Reader has them.
type items interface {
	// Next returns the next one; io.EOF after the last. Other errors are of reading, not
	// of what the file says.
	Next() (Item, error)
	// Offset returns how many bytes of the file have been read.
	Offset() int64
}

// Form returns the form of the file.
func (r *Reader) Form() Form { return r.form }

// Context returns the address that a raw export is about; zero until Next has met it.
func (r *Reader) Context() ibgib.Addr {
	if raw, ok := r.items.(*rawItems); ok {
		return raw.context
	}
	return ibgib.Addr{}
}

// Open recognises the form of a file. A form that is known and not read gives
// ErrFormat; other errors are those of r.
func Open(r io.Reader) (*Reader, error) {
	var head bytes.Buffer
	for size := int64(sniffFirst); ; size *= 2 {
		_, err := io.CopyN(&head, r, size-int64(head.Len()))
		ended := errors.Is(err, io.EOF)
		if err != nil && !ended {
			return nil, err
		}
		form, sure, err := sniff(head.Bytes(), ended)
		if err != nil {
			return nil, err
		}
		if sure {
			return &Reader{itemsOf(form, io.MultiReader(bytes.NewReader(head.Bytes()), r)), form}, nil
		}
	}
}

func itemsOf(form Form, r io.Reader) items {
	if form == NDJSON {
		return NewLineReader(r, MaxLine)
	}
	t := newTextReader(r)
	if mark, err := t.in.Peek(len(byteOrderMark)); err == nil && string(mark) == byteOrderMark {
		n, _ := t.in.Discard(len(mark))
		t.bytes += int64(n)
	}
	if form == Raw {
		return newRawItems(t)
	}
	return &jsonItems{t: t, form: form}
}

const byteOrderMark = "\xef\xbb\xbf"

// sniff recognises the form of a file by how it begins; false if it takes more
// to tell. ended says that head is the whole file. What is no JSON at all is for
// the gate to refuse line by line.
func sniff(head []byte, ended bool) (form Form, sure bool, err error) {
	for _, f := range []struct{ magic, what string }{
		{"\x1f\x8b", "a file compressed with gzip; unpack it first"},
		{"PK\x03\x04", "a zip archive; unpack it first"},
		{"\xff\xfe", "text in UTF-16; convert it to UTF-8 first"},
		{"\xfe\xff", "text in UTF-16; convert it to UTF-8 first"},
	} {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return "", false, fmt.Errorf("%w: it looks like %s", ErrFormat, f.what)
		}
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte(byteOrderMark)), " \t\r\n")
	switch {
	case len(text) == 0:
		return NDJSON, ended || len(head) >= sniffBlank, nil
	case text[0] == '[':
		return Array, true, nil
	case text[0] == '{':
		form, sure = sniffObject(text, ended)
		return form, sure, nil
	}
	return NDJSON, true, nil
}

// sniffObject is sniff for text that begins with an object.
func sniffObject(text []byte, ended bool) (Form, bool) {
	walk := memberWalk{t: newTextReader(bytes.NewReader(text))}
	err := walk.enter()
	var first []byte
	if err == nil {
		first, err = walk.next()
	}
	switch {
	case errors.Is(err, io.EOF): // {} is a map of nothing
		if len(bytes.TrimSpace(text[walk.t.bytes:])) > 0 {
			return NDJSON, true
		}
		return Map, ended || len(text) >= sniffBlank
	case errors.Is(err, io.ErrUnexpectedEOF):
		return NDJSON, ended || len(text) >= sniffPlain
	case err != nil:
		return NDJSON, true
	case isAddress(first):
		return Map, true
	}

	isRaw := looksRaw(text)
	whole := newTextReader(bytes.NewReader(text))
	if _, _, err := whole.value(); err != nil { // it does not end here
		switch {
		case isRaw:
			return Raw, ended || len(text) >= sniffMost
		case ended:
			return NDJSON, true
		case whole.line > 1:
			return Objects, len(text) >= sniffPlain
		}
		return NDJSON, len(text) >= sniffPlain
	}
	value, rest := text[:whole.bytes], text[whole.bytes:]
	switch {
	case isRaw && len(bytes.TrimSpace(rest)) == 0:
		return Raw, ended || len(text) >= sniffMost
	case whole.line > 1 && json.Valid(value):
		return Objects, true
	}
	return NDJSON, true
}

func isAddress(name []byte) bool {
	v, err := ibgib.ParseValue(name)
	if err != nil {
		return false
	}
	_, err = ibgib.ParseAddr(v.Str())
	return err == nil
}
