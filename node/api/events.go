package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ibgib/ibgib-node/node"
)

const (
	// heartbeat is how often a stream of events says something.
	heartbeat = 15 * time.Second
	// silence is how long a client waits for the next sign of life.
	silence = 4 * heartbeat
	// closedEvent is the name of the last event of a stream that ends in good order.
	closedEvent = "closed"
)

// getEvents serves a stream of server-sent events: kinds=KIND,KIND says which,
// and since=ID or the header Last-Event-ID where to begin. The name of each event is
// its kind, its data the JSON form of a node.Event.
func (h *handler) getEvents(r *reply, q *http.Request) {
	ctx, cancel := context.WithCancel(q.Context())
	defer cancel()
	stop := h.onStop(cancel)
	defer stop()
	o := node.EventOptions{Since: q.URL.Query().Get("since")}
	if last := q.Header.Get("Last-Event-ID"); last != "" {
		o.Since = last
	}
	if kinds := q.URL.Query().Get("kinds"); kinds != "" {
		for kind := range strings.SplitSeq(kinds, ",") {
			o.Kinds = append(o.Kinds, node.EventKind(kind))
		}
	}
	sub, err := h.n.Subscribe(ctx, o)
	if err != nil {
		r.fail(err)
		return
	}
	defer sub.Close()
	r.w.Header().Set("Content-Type", "text/event-stream")
	r.w.Header().Set("Cache-Control", "no-store")
	defer r.end()
	for r.broken == nil {
		e, ok, err := sub.Try(ctx)
		if !ok && err == nil {
			r.flush()
			e, err = nextWithin(ctx, sub, h.heartbeat)
		}
		switch {
		case err == nil:
			r.event(e)
		case errors.Is(err, context.DeadlineExceeded):
			r.send([]byte(":\n\n"))
		case q.Context().Err() != nil:
			return // the client has gone
		case ctx.Err() != nil || errors.Is(err, node.ErrClosed):
			r.send([]byte("event: " + closedEvent + "\ndata: {}\n\n"))
			return
		default:
			r.log.Error("events not read", "error", err)
			return
		}
	}
}

func nextWithin(ctx context.Context, sub *node.Subscription, d time.Duration) (node.Event, error) {
	within, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return sub.Next(within)
}

// onStop calls f when the server stops. What it returns ends that.
func (h *handler) onStop(f func()) (end func()) {
	if h.stopping == nil {
		return func() {}
	}
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-h.stopping:
			f()
		case <-over:
		}
	}()
	return func() {
		close(over)
		<-ended
	}
}

// event sends one event.
func (r *reply) event(e node.Event) {
	data, err := encode(e)
	if err != nil {
		r.log.Error("event not encoded", "error", err)
		return
	}
	var b bytes.Buffer
	if e.ID != "" {
		fmt.Fprintf(&b, "id: %s\n", e.ID)
	}
	fmt.Fprintf(&b, "event: %s\ndata: %s\n", e.Kind, data) // which ends with a newline
	r.send(b.Bytes())
}

// Events ranges over the events of the node, until ctx ends or the node stops: then
// the error is one with CodeClosed. The ID of an event is where to go on from.
func (c *Client) Events(ctx context.Context, o node.EventOptions) iter.Seq2[node.Event, error] {
	return func(yield func(node.Event, error) bool) {
		if err := c.events(ctx, o, func(e node.Event) bool { return yield(e, nil) }); err != nil {
			yield(node.Event{}, err)
		}
	}
}

// events is Events; nil when yield wants no more.
func (c *Client) events(ctx context.Context, o node.EventOptions, yield func(node.Event) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(context.DeadlineExceeded) })
	defer watchdog.Stop()
	query := make(url.Values)
	if len(o.Kinds) > 0 {
		kinds := make([]string, len(o.Kinds))
		for i, kind := range o.Kinds {
			kinds[i] = string(kind)
		}
		query.Set("kinds", strings.Join(kinds, ","))
	}
	if o.Since != "" {
		query.Set("since", o.Since)
	}
	answer, err := c.request(ctx, http.MethodGet, "/events", query, nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	in := bufio.NewReaderSize(answer, 64<<10)
	for {
		name, data, err := nextMessage(in, func() { watchdog.Reset(silence) })
		switch {
		case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
			return &Error{Code: CodeTimeout, Message: "the node has fallen silent", Retry: true, err: context.DeadlineExceeded}
		case err != nil:
			return broken(ctx, err)
		case name == closedEvent:
			return &Error{Code: CodeClosed, Message: "the node has stopped", Retry: true}
		}
		var e node.Event
		if err := decode(data, &e); err != nil {
			return err
		}
		if !yield(e) {
			return nil
		}
	}
}

// nextMessage reads one message of a stream of server-sent events, as getEvents
// writes them. alive is called with each line.
func nextMessage(in *bufio.Reader, alive func()) (name string, data []byte, err error) {
	for {
		line, err := readLine(in)
		if err != nil {
			return "", nil, err
		}
		alive()
		switch field, value, _ := bytes.Cut(line, []byte(": ")); {
		case len(line) == 0 && data != nil:
			return name, data, nil
		case string(field) == "event":
			name = string(value)
		case string(field) == "data":
			data = value
		}
	}
}

// readLine reads a line of bounded length, without its end.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxControlLine {
			return nil, errors.New("a line is too long")
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(line, []byte("\n")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
