package api

import (
	"context"
	"net/http"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// resolveRequest is the body of conflicts/resolve.
type resolveRequest struct {
	Addr ibgib.Addr `json:"addr"`
	node.Resolution
}

func (h *handler) postResolve(r *reply, q *http.Request) {
	var in resolveRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	if in.Addr.IsZero() {
		r.fail(badRequest("body: addr is wanted"))
		return
	}
	done, err := h.n.Resolve(q.Context(), in.Addr, in.Resolution)
	answer(r, done, err)
}

// Resolve ends the divergence of a timeline; addr as in Latest.
func (c *Client) Resolve(ctx context.Context, addr ibgib.Addr, r node.Resolution) (done node.Resolved, err error) {
	return done, c.post(ctx, "/conflicts/resolve", resolveRequest{addr, r}, &done)
}

// pinRequest is the body of conflicts/pin, and without head of conflicts/unpin.
type pinRequest struct {
	Addr ibgib.Addr `json:"addr"`
	Head ibgib.Addr `json:"head,omitzero"`
}

func (h *handler) postPin(r *reply, q *http.Request) {
	var in pinRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	if in.Addr.IsZero() || in.Head.IsZero() {
		r.fail(badRequest("body: addr and head are wanted"))
		return
	}
	conflict, err := h.n.Pin(q.Context(), in.Addr, in.Head)
	answer(r, conflict, err)
}

func (h *handler) postUnpin(r *reply, q *http.Request) {
	var in pinRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	if in.Addr.IsZero() || !in.Head.IsZero() {
		r.fail(badRequest("body: addr is wanted, and no head"))
		return
	}
	conflict, err := h.n.Unpin(q.Context(), in.Addr)
	answer(r, conflict, err)
}

// Pin presents one of the heads of a diverged timeline as its latest on this
// node; addr as in Latest.
func (c *Client) Pin(ctx context.Context, addr, head ibgib.Addr) (conflict node.Conflict, err error) {
	return conflict, c.post(ctx, "/conflicts/pin", pinRequest{addr, head}, &conflict)
}

// Unpin ends what Pin began.
func (c *Client) Unpin(ctx context.Context, addr ibgib.Addr) (conflict node.Conflict, err error) {
	return conflict, c.post(ctx, "/conflicts/unpin", pinRequest{Addr: addr}, &conflict)
}
