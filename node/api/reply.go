package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// How long a client may take to send a request that is no stream, and to take
// each part of an answer.
const (
	readTimeout  = 30 * time.Second
	writeTimeout = time.Minute
)

// progressEvery is how often a stream reports progress.
const progressEvery = 100 * time.Millisecond

// encode returns v as JSON with a newline.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// reply is the answer to one request: a single JSON value, or a stream of
// lines. Only its own methods write to the client.
type reply struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	log *slog.Logger

	begun   bool      // a stream has begun
	broken  error     // the first error of writing
	limit   time.Time // write deadline
	flushed time.Time
	pending any // progress that has not been sent
}

func newReply(w http.ResponseWriter, log *slog.Logger) *reply {
	return &reply{w: w, rc: http.NewResponseController(w), log: log}
}

// value answers with one JSON value.
func (r *reply) value(v any) {
	text, err := encode(v)
	if err != nil {
		r.fail(err)
		return
	}
	r.raw(text)
}

// raw answers with JSON text.
func (r *reply) raw(text []byte) { r.text("application/json", text) }

// text answers with text of any kind.
func (r *reply) text(mediaType string, text []byte) {
	r.w.Header().Set("Content-Type", mediaType)
	r.send(text)
	r.end()
}

// fail ends the answer with an error: as a status, or as the last line of a
// stream that has begun.
func (r *reply) fail(err error) {
	e := errorOf(err)
	if e.Code == CodeInternal || e.Code == CodeCorrupt {
		r.log.Error("api request failed", "error", err)
	}
	text, encodeErr := encode(map[string]*Error{"error": e})
	if encodeErr != nil {
		r.log.Error("api error not encoded", "error", encodeErr)
		return
	}
	if !r.begun {
		r.w.Header().Set("Content-Type", "application/json")
		r.w.WriteHeader(e.Code.status())
	} else {
		r.report()
	}
	r.send(text)
	r.end()
}

// wrongMethod ends the answer to a request of an endpoint that has other methods.
func (r *reply) wrongMethod(q *http.Request, allowed ...string) {
	if slices.Contains(allowed, http.MethodGet) {
		allowed = append(slices.Clone(allowed), http.MethodHead)
	}
	slices.Sort(allowed)
	list := strings.Join(allowed, ", ")
	r.w.Header().Set("Allow", list)
	r.fail(&Error{Code: CodeWrongMethod, Message: fmt.Sprintf("%s takes no %s, but %s", q.URL.Path, q.Method, list)})
}

// begin begins a stream before there is anything to say, so that a client
// notices at once when its connection breaks.
func (r *reply) begin() {
	r.begun = true
	r.w.Header().Set("Content-Type", "application/x-ndjson")
	r.w.WriteHeader(http.StatusOK)
	r.flush()
}

// line sends {name: v} as a line of a stream.
func (r *reply) line(name string, v any) error {
	text, err := encode(map[string]any{name: v})
	if err != nil {
		return err
	}
	_, err = r.Write(text)
	return err
}

// Write sends whole lines of a stream.
func (r *reply) Write(lines []byte) (int, error) {
	if !r.begun {
		r.begun = true
		r.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	r.send(lines)
	if now := time.Now(); now.Sub(r.flushed) >= progressEvery {
		r.flush()
		r.flushed = now
	}
	return len(lines), r.broken
}

// progress reports how far the work is, if the last report is long enough ago;
// else it is kept until there is something else to send.
func (r *reply) progress(v any) {
	r.pending = v
	if time.Since(r.flushed) >= progressEvery {
		r.report()
	}
}

// report sends progress that is pending.
func (r *reply) report() {
	if r.pending == nil {
		return
	}
	v := r.pending
	r.pending = nil
	if err := r.line("progress", v); err != nil && r.broken == nil {
		r.log.Error("api progress not sent", "error", err)
	}
}

// result ends a stream.
func (r *reply) result(v any) {
	r.report()
	if err := r.line("result", v); err != nil && r.broken == nil {
		r.log.Error("api result not sent", "error", err)
	}
	r.end()
}

func (r *reply) send(text []byte) {
	if r.broken != nil {
		return
	}
	if now := time.Now(); r.limit.Sub(now) < writeTimeout/2 {
		r.limit = now.Add(writeTimeout)
		_ = r.rc.SetWriteDeadline(r.limit) // not every connection has one
	}
	_, r.broken = r.w.Write(text)
}

func (r *reply) flush() {
	if r.broken == nil {
		r.broken = r.rc.Flush()
	}
}

// end sends what is buffered and lifts the deadline for the next request.
func (r *reply) end() {
	r.flush()
	_ = r.rc.SetWriteDeadline(time.Time{})
}
