package api

import (
	"context"
	"net/http"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// followRequest is the body of follow and unfollow.
type followRequest struct {
	Addr ibgib.Addr `json:"addr"`
	From ibgib.Addr `json:"from,omitzero"` // of follow: a keystone; absent: any trusted peer's
}

func (h *handler) getFollow(r *reply, q *http.Request) {
	list, err := h.n.Follows(q.Context())
	answer(r, list, err)
}

func (h *handler) postFollow(r *reply, q *http.Request) {
	var in followRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	result, err := h.n.Follow(q.Context(), in.Addr, in.From)
	answer(r, result, err)
}

func (h *handler) postUnfollow(r *reply, q *http.Request) {
	var in followRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	was, err := h.n.Unfollow(q.Context(), in.Addr)
	answer(r, was, err)
}

// Follows returns the timelines that the node follows.
func (c *Client) Follows(ctx context.Context) (list []node.Follow, err error) {
	return list, c.get(ctx, "/follow", nil, &list)
}

// Follow keeps a timeline in sync with peers of one keystone, or with all trusted ones.
func (c *Client) Follow(ctx context.Context, addr, from ibgib.Addr) (r node.FollowResult, err error) {
	return r, c.post(ctx, "/follow", followRequest{addr, from}, &r)
}

// Unfollow ends what Follow began.
func (c *Client) Unfollow(ctx context.Context, addr ibgib.Addr) (was node.Follow, err error) {
	return was, c.post(ctx, "/unfollow", followRequest{Addr: addr}, &was)
}
