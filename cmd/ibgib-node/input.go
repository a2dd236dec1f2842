package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// open opens a file for reading; - is standard input.
func (c *cli) open(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == stdio {
		if isTerminal(c.in) {
			fmt.Fprintln(c.err, "reading standard input; Ctrl-D ends it")
		}
		return interruptible(ctx, c.in), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
	}
	return f, nil
}

// interruptible returns a reader of r whose Read ends with ctx. A read of
// standard input cannot be interrupted: the goroutine that is inside one when
// ctx ends, or at Close, is left to the end of the process.
func interruptible(ctx context.Context, r io.Reader) io.ReadCloser {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &stdinReader{ctx: ctx, cancel: cancel, chunks: make(chan chunk), free: make(chan []byte, 1)}
	s.free <- make([]byte, 64<<10)
	go s.pump(r)
	return s
}

type stdinReader struct {
	ctx    context.Context // of the one Read loop that this value is
	cancel context.CancelCauseFunc
	chunks chan chunk
	free   chan []byte // the one buffer, when it is not in use
	have   chunk
	at     int // read so far of have
}

type chunk struct {
	buf []byte
	n   int
	err error
}

func (s *stdinReader) pump(r io.Reader) {
	for {
		var buf []byte
		select {
		case buf = <-s.free:
		case <-s.ctx.Done():
			return
		}
		n, err := r.Read(buf)
		select {
		case s.chunks <- chunk{buf, n, err}:
		case <-s.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *stdinReader) Read(p []byte) (int, error) {
	for s.at == s.have.n {
		if s.have.err != nil {
			return 0, s.have.err
		}
		if s.have.buf != nil {
			s.free <- s.have.buf
			s.have, s.at = chunk{}, 0
		}
		select {
		case s.have = <-s.chunks:
		case <-s.ctx.Done():
			return 0, context.Cause(s.ctx)
		}
		if err := s.have.err; err != nil && err != io.EOF {
			s.have.err = fmt.Errorf("standard input: %w", err)
		}
	}
	n := copy(p, s.have.buf[s.at:s.have.n])
	s.at += n
	return n, nil
}

// Close ends the reading; what has not been read is dropped.
func (s *stdinReader) Close() error {
	s.cancel(fs.ErrClosed)
	return nil
}
