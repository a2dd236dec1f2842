package form

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// MaxLine bounds a line of an NDJSON file, in bytes: base64 of the largest
// bytes payload, or the largest JSON ibGib with everything escaped, and room for
// white space.
const MaxLine = 128 << 20

// LineReader reads a file of one ibGib a line. A line that is too long is skipped as
// it is read, and uses no memory beyond the limit.
type LineReader struct {
	in     *bufio.Reader
	limit  int
	number int
	bytes  int64
}

// NewLineReader returns a reader of lines of at most limit bytes, their ends included.
func NewLineReader(r io.Reader, limit int) *LineReader {
	return &LineReader{in: bufio.NewReaderSize(r, 64<<10), limit: limit}
}

// Offset returns how many bytes of the file have been read.
func (r *LineReader) Offset() int64 { return r.bytes }

// Paused tells whether Next may have to wait for input.
func (r *LineReader) Paused() bool {
	b, _ := r.in.Peek(r.in.Buffered())
	return bytes.IndexByte(b, '\n') < 0
}

// Next returns the next line that is not blank; io.EOF after the last. With another error
// Line of the item says where it was met.
func (r *LineReader) Next() (Item, error) {
	for {
		l, err := r.read()
		if err != nil && !errors.Is(err, io.EOF) {
			return Item{Line: l.Line}, err
		}
		if l.Line == 1 {
			l.Text = bytes.TrimPrefix(l.Text, []byte(byteOrderMark))
		}
		l.Text = bytes.TrimSpace(l.Text)
		if len(l.Text) > 0 || l.TooLong {
			return l, nil // at the end of the file the next call says so
		}
		if err != nil {
			return Item{}, io.EOF
		}
	}
}

// read returns one line without its end, and io.EOF with the last.
func (r *LineReader) read() (Item, error) {
	r.number++
	l := Item{Line: r.number}
	for {
		part, err := r.in.ReadSlice('\n')
		r.bytes += int64(len(part))
		if !l.TooLong && len(l.Text)+len(part) > r.limit {
			l.TooLong, l.Text = true, nil
		}
		if !l.TooLong {
			l.Text = append(l.Text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l, err
		}
	}
}
