package form

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ibgib/ibgib-node/ibgib"
)

// textReader reads JSON text by its structure alone: it finds where values
// begin and end, and leaves it to the gate whether they are sound. It keeps
// one value in memory, none of more than limit bytes.
type textReader struct {
	in    *bufio.Reader
	limit int
	line  int   // of the next byte, from 1
	bytes int64 // read
}

func newTextReader(r io.Reader) *textReader {
	return &textReader{in: bufio.NewReaderSize(r, 64<<10), limit: MaxLine, line: 1}
}

// read takes one byte.
func (t *textReader) read() (byte, error) {
	c, err := t.in.ReadByte()
	if err == nil {
		t.bytes++
		if c == '\n' {
			t.line++
		}
	}
	return c, err
}

// unread gives back c, the byte that read took last.
func (t *textReader) unread(c byte) {
	_ = t.in.UnreadByte() // there is one
	t.bytes--
	if c == '\n' {
		t.line--
	}
}

// peek skips white space and returns the byte after it, which stays.
func (t *textReader) peek() (byte, error) {
	for {
		c, err := t.read()
		if err != nil {
			return 0, err
		}
		if !isSpace(c) {
			t.unread(c)
			return c, nil
		}
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// expect skips white space and takes the byte c.
func (t *textReader) expect(c byte) error {
	got, err := t.peek()
	if err != nil {
		return cutOff(err)
	}
	if got != c {
		return &structureError{fmt.Sprintf("%q where %q should be", got, c)}
	}
	_, err = t.read()
	return err
}

// value takes the next value. Of one that is longer than the limit nothing is
// kept. It fails with io.ErrUnexpectedEOF if the text ends inside.
func (t *textReader) value() (text []byte, tooLong bool, err error) {
	if _, err := t.peek(); err != nil {
		return nil, false, cutOff(err)
	}
	var scan valueScan
	for !scan.ended {
		if _, err := t.in.Peek(1); err != nil {
			if errors.Is(err, io.EOF) && scan.scalar() {
				break
			}
			return nil, false, cutOff(err)
		}
		chunk, _ := t.in.Peek(t.in.Buffered())
		chunk = chunk[:scan.take(chunk)]
		if tooLong = tooLong || len(text)+len(chunk) > t.limit; tooLong {
			text = nil
		} else {
			text = append(text, chunk...)
		}
		t.bytes += int64(len(chunk))
		t.line += bytes.Count(chunk, []byte("\n"))
		_, _ = t.in.Discard(len(chunk))
	}
	if len(text) == 0 && !tooLong {
		c, _ := t.peek()
		return nil, false, &structureError{fmt.Sprintf("%q where a value should be", c)}
	}
	return text, tooLong, nil
}

// valueScan finds the end of a value.
type valueScan struct {
	depth           int // of arrays and objects that are open
	quoted, escaped bool
	begun, ended    bool
}

// scalar reports whether what has been taken is whole if nothing follows.
func (s *valueScan) scalar() bool { return s.begun && s.depth == 0 && !s.quoted }

// take returns how much of the text belongs to the value, and sets ended if the
// value ends there.
func (s *valueScan) take(text []byte) int {
	for i, c := range text {
		switch {
		case s.escaped:
			s.escaped = false
		case s.quoted && c == '\\':
			s.escaped = true
		case c == '"':
			if s.quoted = !s.quoted; !s.quoted && s.depth == 0 {
				s.ended = true
				return i + 1
			}
		case s.quoted:
		case s.depth == 0 && (isSpace(c) || c == ',' || c == ']' || c == '}' || c == ':'):
			s.ended = true // of a number, or of what is none
			return i
		case c == '{' || c == '[':
			s.depth++
		case c == '}' || c == ']':
			if s.depth--; s.depth == 0 {
				s.ended = true
				return i + 1
			}
		}
		s.begun = true
	}
	return len(text)
}

// name takes the name of a member, with its quotes, and the colon after it.
func (t *textReader) name() ([]byte, error) {
	c, err := t.peek()
	if err != nil {
		return nil, cutOff(err)
	}
	if c != '"' {
		return nil, &structureError{fmt.Sprintf("%q where a member should be", c)}
	}
	text, tooLong, err := t.value()
	if err != nil {
		return nil, err
	}
	if tooLong {
		return nil, &structureError{"the name of a member is too long"}
	}
	return text, t.expect(':')
}

// structureError says that a text is no JSON even in its outline, so that
// nothing after that place can be read.
type structureError struct{ detail string }

func (e *structureError) Error() string { return e.detail }

// cutOff turns the end of a file inside of a text into io.ErrUnexpectedEOF.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// brokenText returns what a reader reports in the place of all that follows, and
// an error that is about reading rather than about the text.
func brokenText(err error) (*ibgib.Refusal, error) {
	var structure *structureError
	detail := ""
	switch {
	case errors.As(err, &structure):
		detail = structure.detail
	case errors.Is(err, io.ErrUnexpectedEOF):
		detail = "the file ends in the middle"
	default:
		return nil, err
	}
	return &ibgib.Refusal{Rule: ibgib.RuleBadJSON, Detail: detail + "; nothing after this place was read"}, nil
}

// memberWalk goes through the members of an object, and of those inside that
// it is told to enter.
type memberWalk struct {
	t     *textReader
	level int  // of objects that are open
	some  bool // a member of the innermost one has been met
}

// enter goes into the object that comes next.
func (w *memberWalk) enter() error {
	w.level++
	w.some = false
	return w.t.expect('{')
}

// next moves to the value of the next member and returns its name with quotes;
// io.EOF when the outermost object has ended. The caller takes the value.
func (w *memberWalk) next() ([]byte, error) {
	for w.level > 0 {
		c, err := w.t.peek()
		if err != nil {
			return nil, cutOff(err)
		}
		if c == '}' {
			_, _ = w.t.read()
			w.level--
			w.some = true
			continue
		}
		if w.some {
			if err := w.t.expect(','); err != nil {
				return nil, err
			}
		}
		w.some = true
		return w.t.name()
	}
	return nil, io.EOF
}
