package api

import (
	"context"
	"net/http"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// A transform is asked for with {"addr": the timeline or the source, "options":
// those that its dna records}. The body keeps what encoding/json would lose, the
// order of members and lone surrogates, so it is read and written by package
// ibgib.

func transformBody(addr ibgib.Addr, options ibgib.Value) []byte {
	members := []ibgib.Member{{Name: "options", Value: options}}
	if !addr.IsZero() {
		members = append(members, ibgib.Member{Name: "addr", Value: ibgib.String(addr.String())})
	}
	return ibgib.Object(members...).Append(nil)
}

// parseTransform reads what transformBody writes; without addr it is zero.
func parseTransform(text []byte) (addr ibgib.Addr, options ibgib.Value, err error) {
	v, err := ibgib.ParseValue(text)
	if err != nil {
		return addr, options, badRequest("body: %v", err)
	}
	if v.Kind() != ibgib.KindObject {
		return addr, options, badRequest("body: must be a JSON object")
	}
	for _, m := range v.Members() {
		switch m.Name {
		case "addr":
			if addr, err = ibgib.ParseAddr(m.Value.Str()); err != nil {
				return addr, options, badRequest("addr: %v", err)
			}
		case "options":
			options = m.Value
		default:
			return addr, options, badRequest("body: unknown member %q", m.Name)
		}
	}
	return addr, options, nil
}

// transform serves one of the transforms.
func transform[O any](r *reply, q *http.Request, parse func(ibgib.Value) (O, error),
	do func(context.Context, ibgib.Addr, O) (node.Change, error)) {
	text, err := body(r, q)
	if err != nil {
		r.fail(err)
		return
	}
	addr, value, err := parseTransform(text)
	if err != nil {
		r.fail(err)
		return
	}
	options, err := parse(value)
	if err != nil {
		r.fail(err)
		return
	}
	change, err := do(q.Context(), addr, options)
	answer(r, change, err)
}

func (h *handler) postCreate(r *reply, q *http.Request) {
	transform(r, q, ibgib.ParseFirstGenOptions, h.changes(q).Create)
}

func (h *handler) postMut8(r *reply, q *http.Request) {
	transform(r, q, ibgib.ParseMut8Options, h.changes(q).Mut8)
}

func (h *handler) postRel8(r *reply, q *http.Request) {
	transform(r, q, ibgib.ParseRel8Options, h.changes(q).Rel8)
}

func (h *handler) postFork(r *reply, q *http.Request) {
	transform(r, q, ibgib.ParseForkOptions, h.changes(q).Fork)
}

func (h *handler) getLog(r *reply, q *http.Request) {
	addr, err := addrParam(q)
	if err != nil {
		r.fail(err)
		return
	}
	limit, err := numberParam(q, "limit")
	if err != nil {
		r.fail(err)
		return
	}
	if q.URL.Query().Has("graph") {
		items(r, h.n.History(q.Context(), addr, int(limit)))
		return
	}
	if known := q.URL.Query()["known"]; len(known) > 0 {
		h.getNewFrames(r, q, addr, known)
		return
	}
	items(r, h.n.Log(q.Context(), addr, int(limit)))
}

// maxKnown bounds the heads that a client names as known.
const maxKnown = 64

func (h *handler) getNewFrames(r *reply, q *http.Request, addr ibgib.Addr, known []string) {
	if len(known) > maxKnown {
		r.fail(badRequest("known: %d addresses, at most %d", len(known), maxKnown))
		return
	}
	heads := make([]ibgib.Addr, len(known))
	for i, text := range known {
		var err error
		if heads[i], err = ibgib.ParseAddr(text); err != nil {
			r.fail(badRequest("known: %v", err))
			return
		}
	}
	items(r, h.n.NewFrames(q.Context(), addr, heads))
}

func (h *handler) getFrame(r *reply, q *http.Request) {
	addr, err := addrParam(q)
	if err != nil {
		r.fail(err)
		return
	}
	n, err := numberParam(q, "n")
	if err != nil {
		r.fail(err)
		return
	}
	frame, err := h.n.FrameAt(q.Context(), addr, n)
	answer(r, frame, err)
}

func (h *handler) getHeads(r *reply, q *http.Request) { items(r, h.n.Heads(q.Context())) }

func (h *handler) getLatest(r *reply, q *http.Request) {
	addr, err := addrParam(q)
	if err != nil {
		r.fail(err)
		return
	}
	timeline, err := h.n.Latest(q.Context(), addr)
	answer(r, timeline, err)
}
