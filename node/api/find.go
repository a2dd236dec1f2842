package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

func (h *handler) getFind(r *reply, q *http.Request) {
	addr, err := addrParam(q)
	if err != nil {
		r.fail(err)
		return
	}
	found, err := h.n.Find(q.Context(), addr)
	answer(r, found, err)
}

func (h *handler) getProvide(r *reply, q *http.Request) {
	list, err := h.n.Provided(q.Context())
	answer(r, list, err)
}

// provideRequest is the body of provide and unprovide.
type provideRequest struct {
	Addr ibgib.Addr `json:"addr"`
}

func (h *handler) postProvide(r *reply, q *http.Request) { h.announce(r, q, h.n.Provide) }

func (h *handler) postUnprovide(r *reply, q *http.Request) { h.announce(r, q, h.n.Unprovide) }

func (h *handler) announce(r *reply, q *http.Request, do func(context.Context, ibgib.Addr) (node.Announcement, error)) {
	var in provideRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	a, err := do(q.Context(), in.Addr)
	answer(r, a, err)
}

func (h *handler) postPing(r *reply, q *http.Request) {
	var in peerRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	result, err := h.n.Ping(q.Context(), in.PeerID)
	answer(r, result, err)
}

// Find searches the DHT for nodes that announce a timeline.
func (c *Client) Find(ctx context.Context, addr ibgib.Addr) (found []node.Provider, err error) {
	return found, c.get(ctx, "/find", url.Values{"addr": {addr.String()}}, &found)
}

// Provided returns the timelines that the node announces.
func (c *Client) Provided(ctx context.Context) (list []node.Announcement, err error) {
	return list, c.get(ctx, "/provide", nil, &list)
}

// Provide announces a timeline.
func (c *Client) Provide(ctx context.Context, addr ibgib.Addr) (a node.Announcement, err error) {
	return a, c.post(ctx, "/provide", provideRequest{addr}, &a)
}

// Unprovide announces a timeline no longer.
func (c *Client) Unprovide(ctx context.Context, addr ibgib.Addr) (a node.Announcement, err error) {
	return a, c.post(ctx, "/unprovide", provideRequest{addr}, &a)
}

// Ping measures how long a message to a peer takes there and back.
func (c *Client) Ping(ctx context.Context, target string) (r node.PingResult, err error) {
	return r, c.post(ctx, "/ping", peerRequest{target}, &r)
}
