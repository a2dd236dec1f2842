package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine bounds a line of NDJSON in bytes, as import does: the largest bytes
// payload in base64, or the largest JSON with every character escaped, and room
// for white space.
const maxLine = 128 << 20

// keptLine is how much memory, in bytes, is kept from one line to the next.
const keptLine = 1 << 20

var errLongLine = errors.New("line too long")

// lineReader reads lines one by one.
type lineReader struct {
	in   *bufio.Reader
	max  int // length of a line in bytes
	line int // number of the line that next returned, from 1
	buf  []byte
}

func newLineReader(r io.Reader, max int) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(r, 64<<10), max: max}
}

// paused reports whether next may have to wait for input.
func (l *lineReader) paused() bool {
	b, _ := l.in.Peek(l.in.Buffered())
	return bytes.IndexByte(b, '\n') < 0
}

// next returns the next line without its end, and the first one without a byte
// order mark; it is valid until the call after it. The error is io.EOF after the last line, and errLongLine for a line that is
// too long, which is passed over.
func (l *lineReader) next() ([]byte, error) {
	if cap(l.buf) > keptLine {
		l.buf = nil
	}
	l.buf = l.buf[:0]
	l.line++
	long, empty := false, true
	for {
		part, err := l.in.ReadSlice('\n')
		empty = empty && len(part) == 0
		if long = long || len(l.buf)+len(part) > l.max+1; !long {
			l.buf = append(l.buf, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && empty:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, err
		case long:
			return nil, errLongLine
		}
		text := bytes.TrimSuffix(l.buf, []byte("\n"))
		if l.line == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		}
		return text, nil
	}
}
