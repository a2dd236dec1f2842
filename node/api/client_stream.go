package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
)

// maxControlLine bounds a line of a stream that is no ibGib, in bytes: the
// results that list a thousand timelines with all their heads.
const maxControlLine = 64 << 20

// controlLine is a line of a stream that is no ibGib.
type controlLine struct {
	Item     json.RawMessage `json:"item"`
	Progress json.RawMessage `json:"progress"`
	Chunk    []byte          `json:"chunk"` // a part of what is written to the caller
	Result   json.RawMessage `json:"result"`
	Error    *Error          `json:"error"`
}

// list asks for a stream of items.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		answer, err := c.request(ctx, http.MethodGet, path, query, nil)
		if err != nil {
			yield(zero, err)
			return
		}
		defer answer.Close()
		lines := newLines(answer, nil)
		for {
			l, err := lines.next(ctx)
			var item T
			switch {
			case err != nil:
			case l.Error != nil:
				err = l.Error
			case l.Result != nil:
				return
			case l.Item != nil:
				err = decode(l.Item, &item)
			default:
				continue
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}

// stream asks for work that ends in a result. ibGibs on the way are written to
// w, if it is not nil.
func stream[R, P any](ctx context.Context, c *Client, path string, query url.Values, body io.Reader, progress func(P), w io.Writer) (result R, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asking := ctx
	if body != nil {
		asking, body = cancelable(ctx, body)
	}
	answer, err := c.request(asking, http.MethodPost, path, query, body)
	if err != nil {
		return result, err
	}
	defer func() {
		cancel() // first, since to close waits for who reads body
		answer.Close()
	}()
	lines := newLines(answer, w)
	for {
		l, err := lines.next(ctx)
		switch {
		case err != nil:
			return result, err
		case l.Error != nil:
			return result, l.Error
		case l.Result != nil:
			return result, decode(l.Result, &result)
		case l.Chunk != nil && w != nil:
			if _, err := w.Write(l.Chunk); err != nil {
				return result, err
			}
		case l.Progress != nil && progress != nil:
			var p P
			if err := decode(l.Progress, &p); err != nil {
				return result, err
			}
			progress(p)
		}
	}
}

// cancelable returns a reader of body, and a context for the request that it is
// the body of. Its Read ends with ctx, and when the connection breaks: net/http
// waits for it otherwise, even when the request has failed. What a Read of body
// is stuck in then is left to the caller, who owns body.
func cancelable(ctx context.Context, body io.Reader) (context.Context, io.Reader) {
	out, in := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = in.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer stop()
		// Not through WriteTo or ReadFrom, which may use small pieces.
		_, err := io.CopyBuffer(struct{ io.Writer }{in}, struct{ io.Reader }{body}, make([]byte, 256<<10))
		_ = in.CloseWithError(err) // nil is io.EOF
	}()
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		c, ok := info.Conn.(*watchedConn)
		if !ok {
			return
		}
		go func() {
			select {
			case <-c.closed:
				_ = in.CloseWithError(net.ErrClosed)
			case <-ctx.Done():
			}
		}()
	}}), out
}

// watchedConn tells when it is closed.
type watchedConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *watchedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func decode(text []byte, to any) error {
	if err := json.Unmarshal(text, to); err != nil {
		return &Error{Code: CodeInternal, Message: "the answer of the node is not understood: " + err.Error(), err: err}
	}
	return nil
}

// lines reads the lines of a stream.
type lines struct {
	in *bufio.Reader
	w  io.Writer // for ibGibs; nil: there are none
}

func newLines(r io.Reader, w io.Writer) *lines {
	return &lines{in: bufio.NewReaderSize(r, 256<<10), w: w}
}

// ibGibStart begins every line that is an ibGib, and no other.
var ibGibStart = []byte(`{"ib":`)

// next returns the next line that is no ibGib. Errors are *Error, or those of w;
// ctx is that of the request.
func (l *lines) next(ctx context.Context) (controlLine, error) {
	for {
		start, err := l.in.Peek(len(ibGibStart))
		if err != nil {
			return controlLine{}, broken(ctx, err)
		}
		if l.w == nil || !bytes.Equal(start, ibGibStart) {
			return l.control(ctx)
		}
		for more := true; more; {
			part, err := l.in.ReadSlice('\n')
			more = errors.Is(err, bufio.ErrBufferFull)
			if err != nil && !more {
				return controlLine{}, broken(ctx, err)
			}
			if _, err := l.w.Write(part); err != nil {
				return controlLine{}, err
			}
		}
	}
}

func (l *lines) control(ctx context.Context) (c controlLine, err error) {
	var text []byte
	for {
		part, err := l.in.ReadSlice('\n')
		if len(text)+len(part) > maxControlLine {
			return c, &Error{Code: CodeInternal, Message: "the node sent a line that is too long"}
		}
		text = append(text, part...)
		if err == nil {
			return c, decode(text, &c)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return c, broken(ctx, err)
		}
	}
}

func broken(ctx context.Context, err error) error {
	if errors.Is(err, io.EOF) {
		err = errors.New("the answer has no end")
	}
	return lost(ctx, err)
}

// watchedReader keeps the error of the caller's reader, which would come back
// as that of a connection.
type watchedReader struct {
	r io.Reader

	mu  sync.Mutex
	err error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
	}
	return n, err
}

func (w *watchedReader) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
