package api

import (
	"context"
	"errors"
	"io"
	"net/http"
)

// inProcess is an http.RoundTripper that calls a handler. The handler runs in
// a goroutine of its own, which has ended when the body of the answer has been
// closed. That waits for a handler that reads the body of the request.
type inProcess struct{ h http.Handler }

// RoundTrip calls the handler and returns when it begins to answer.
func (t inProcess) RoundTrip(q *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(q.Context())
	out, in := io.Pipe()
	w := &answerWriter{header: make(http.Header), out: in, begun: make(chan struct{})}
	ended := make(chan struct{})

	request := q.Clone(ctx)
	request.RequestURI = q.URL.RequestURI()
	if request.Body == nil {
		request.Body = http.NoBody
	}
	go func() {
		defer close(ended)
		defer request.Body.Close()
		t.h.ServeHTTP(w, request)
		w.WriteHeader(http.StatusOK)
		_ = in.Close()
	}()
	body := &answerBody{PipeReader: out, cancel: cancel, ended: ended}
	stop := context.AfterFunc(ctx, func() { _ = in.CloseWithError(context.Cause(ctx)) })
	body.stop = stop

	select {
	case <-w.begun:
	case <-ctx.Done():
		_ = body.Close()
		return nil, ctx.Err()
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: body, ContentLength: -1, Request: q,
	}, nil
}

// answerBody is what the client reads.
type answerBody struct {
	*io.PipeReader
	cancel context.CancelFunc
	stop   func() bool
	ended  chan struct{}
}

// Close ends the request and waits for the handler.
func (b *answerBody) Close() error {
	b.cancel()
	_ = b.PipeReader.CloseWithError(errors.New("the client has gone"))
	<-b.ended
	b.stop()
	return nil
}

// answerWriter is what the handler writes to.
type answerWriter struct {
	header http.Header
	out    *io.PipeWriter

	begun  chan struct{} // closed when status and sent are set
	status int
	sent   http.Header
}

func (w *answerWriter) Header() http.Header { return w.header }

func (w *answerWriter) WriteHeader(status int) {
	if w.sent != nil {
		return
	}
	w.status, w.sent = status, w.header.Clone()
	if w.sent == nil {
		w.sent = make(http.Header)
	}
	close(w.begun)
}

func (w *answerWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.out.Write(p)
}

// Flush does nothing: nothing is buffered.
func (w *answerWriter) Flush() {}
