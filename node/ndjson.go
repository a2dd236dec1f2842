package node

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine bounds a line of an NDJSON file, in bytes: base64 of the largest
// bytes payload, or the largest JSON ibGib with everything escaped, and room for
// white space.
const maxLine = 128 << 20

// lineReader reads a file of one ibGib a line. A line that is too long is skipped as
// it is read, and does not use memory beyond maxLine.
type lineReader struct {
	in     *bufio.Reader
	limit  int
	number int
	bytes  int64
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(r, 64<<10), limit: maxLine}
}

func (r *lineReader) offset() int64 { return r.bytes }

// next returns the next line that is not blank; io.EOF after the last.
func (r *lineReader) next() (item, error) {
	for {
		l, err := r.read()
		if err != nil && !errors.Is(err, io.EOF) {
			return item{}, err
		}
		if l.line == 1 {
			l.text = bytes.TrimPrefix(l.text, []byte(byteOrderMark))
		}
		l.text = bytes.TrimSpace(l.text)
		if len(l.text) > 0 || l.tooLong {
			return l, nil // at the end of the file the next call says so
		}
		if err != nil {
			return item{}, io.EOF
		}
	}
}

// read returns one line without its end, and io.EOF with the last.
func (r *lineReader) read() (item, error) {
	r.number++
	l := item{line: r.number}
	for {
		part, err := r.in.ReadSlice('\n')
		r.bytes += int64(len(part))
		if !l.tooLong && len(l.text)+len(part) > r.limit {
			l.tooLong, l.text = true, nil
		}
		if !l.tooLong {
			l.text = append(l.text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l, err
		}
	}
}
