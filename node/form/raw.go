package form

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/ibgib/ibgib-node/ibgib"
)

// The raw export of the TypeScript apps is an ibGib whose data has
// contextIbGibAddr, the address that the export is about, and
// dependencyGraphAsString, the JSON text of a map from address to ibGib, plain
// or as base64 of gzip. Such an ibGib may be larger than the gate lets through,
// so a file of one is read as a container: each ibGib inside is checked, the
// container itself is not, and it is not stored.
const (
	rawContext = "contextIbGibAddr"
	rawGraph   = "dependencyGraphAsString"
	rawTjp     = "tjpAddr"
)

// looksRaw reports whether text begins with a raw export, as far as it goes.
func looksRaw(text []byte) bool {
	walk := memberWalk{t: newTextReader(bytes.NewReader(text))}
	return toGraph(&walk, nil) == nil
}

// toGraph moves to the graph of a raw export. It fails with io.EOF if there is
// none. found gets the other members of data; it may be nil.
func toGraph(walk *memberWalk, found func(name, value []byte)) error {
	if walk.level == 0 {
		if err := walk.enter(); err != nil {
			return err
		}
	}
	for {
		name, err := walk.next()
		if err != nil {
			return err
		}
		c, err := walk.t.peek()
		if err != nil {
			return cutOff(err)
		}
		if walk.level == 1 && string(name) == `"data"` && c == '{' {
			if err := walk.enter(); err != nil {
				return err
			}
			continue
		}
		inData := walk.level == 2
		if inData && string(name) == `"`+rawGraph+`"` && c == '"' {
			return nil
		}
		value, _, err := walk.t.value()
		if err != nil {
			return err
		}
		if inData && found != nil {
			found(name, value)
		}
	}
}

// rawItems reads the ibGibs in a raw export.
type rawItems struct {
	walk    memberWalk
	graph   *jsonItems // nil: not there yet
	ended   bool
	context ibgib.Addr // zero until it is met
}

func newRawItems(t *textReader) *rawItems { return &rawItems{walk: memberWalk{t: t}} }

func (r *rawItems) Offset() int64 { return r.walk.t.bytes }

func (r *rawItems) Next() (Item, error) {
	if r.ended {
		return Item{}, io.EOF
	}
	i, err := r.read()
	if err == nil {
		return i, nil
	}
	r.ended = true
	if errors.Is(err, io.EOF) {
		return Item{}, io.EOF
	}
	i = Item{Line: r.walk.t.line}
	i.bad, err = brokenText(err)
	return i, err
}

func (r *rawItems) read() (Item, error) {
	if r.graph == nil {
		if err := toGraph(&r.walk, r.note); err != nil {
			return Item{}, err
		}
		if err := r.open(); err != nil {
			return Item{}, err
		}
	}
	i, err := r.graph.Next()
	if !errors.Is(err, io.EOF) {
		i.Line = r.walk.t.line
		r.ended = i.bad != nil
		return i, err
	}
	// A second graph would make the text no JSON that the gate lets through.
	for {
		if err := toGraph(&r.walk, r.note); err != nil {
			return Item{}, err
		}
		if _, _, err := r.walk.t.value(); err != nil {
			return Item{}, err
		}
	}
}

func (r *rawItems) note(name, value []byte) {
	if string(name) != `"`+rawContext+`"` {
		return
	}
	if v, err := ibgib.ParseValue(value); err == nil {
		r.context, _ = ibgib.ParseAddr(v.Str()) // zero if it is none
	}
}

// gzipBase64 begins gzip in base64.
const gzipBase64 = "H4sI"

// open begins to read the graph.
func (r *rawItems) open() error {
	if err := r.walk.t.expect('"'); err != nil {
		return err
	}
	plain := newTextReader(&unquoter{t: r.walk.t})
	start, err := plain.in.Peek(len(gzipBase64))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if string(start) == gzipBase64 {
		unpacked, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, plain.in))
		if err != nil {
			return packed(cutOff(err))
		}
		plain = newTextReader(&unpacker{unpacked})
	}
	r.graph = &jsonItems{t: plain, form: Map}
	return nil
}

// unpacker turns damage of packed text into damage of the file.
type unpacker struct{ r io.Reader }

func (u *unpacker) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	return n, packed(err)
}

// packed turns what a decoder finds wrong into a structureError.
func packed(err error) error {
	var text base64.CorruptInputError
	var stream flate.CorruptInputError
	if errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.As(err, &text) || errors.As(err, &stream) {
		return &structureError{"the graph cannot be unpacked: " + err.Error()}
	}
	return err
}

// unquoter reads the characters of a JSON string whose opening quote has been
// taken, up to its closing one.
type unquoter struct {
	t     *textReader
	left  []byte // of a character that did not fit
	ended bool
}

func (u *unquoter) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(u.left) == 0 {
			if u.ended || n > 0 && u.t.in.Buffered() == 0 {
				break
			}
			if err := u.character(); err != nil {
				return n, err
			}
			continue
		}
		moved := copy(p[n:], u.left)
		u.left = u.left[moved:]
		n += moved
	}
	if n == 0 && u.ended {
		return 0, io.EOF
	}
	return n, nil
}

// character takes the next character, escaped or a byte of one, into left.
func (u *unquoter) character() error {
	c, err := u.t.read()
	if err != nil {
		return cutOff(err)
	}
	switch c {
	case '"':
		u.ended = true
		return nil
	case '\\':
		return u.escape()
	}
	u.left = append(u.left[:0], c)
	return nil
}

func (u *unquoter) escape() error {
	c, err := u.t.read()
	if err != nil {
		return cutOff(err)
	}
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		r, err := u.unit()
		if err != nil {
			return err
		}
		if utf16.IsSurrogate(r) {
			// What half a pair becomes no longer fits its gib.
			low := rune(utf8.RuneError)
			if next, err := u.t.in.Peek(2); err == nil && string(next) == `\u` {
				_, _ = u.t.in.Discard(2)
				u.t.bytes += 2
				if low, err = u.unit(); err != nil {
					return err
				}
			}
			r = utf16.DecodeRune(r, low)
		}
		u.left = utf8.AppendRune(u.left[:0], r)
		return nil
	default:
		return &structureError{"a backslash before something that cannot be escaped"}
	}
	u.left = append(u.left[:0], c)
	return nil
}

// unit takes four hexadecimal digits.
func (u *unquoter) unit() (rune, error) {
	var r rune
	for range 4 {
		c, err := u.t.read()
		if err != nil {
			return 0, cutOff(err)
		}
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, &structureError{`\u without four digits`}
		}
	}
	return r, nil
}
