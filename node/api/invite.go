package api

import (
	"context"
	"net/http"

	"github.com/ibgib/ibgib-node/node"
)

func (h *handler) postInvite(r *reply, q *http.Request) {
	invite, err := h.n.Invite(q.Context())
	answer(r, invite, err)
}

// acceptRequest is the body of invite/accept.
type acceptRequest struct {
	Invite string `json:"invite"`
}

func (h *handler) postAccept(r *reply, q *http.Request) {
	var in acceptRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	peer, err := h.n.Accept(q.Context(), in.Invite)
	answer(r, peer, err)
}

func (h *handler) getTrustLog(r *reply, q *http.Request) {
	changes, err := h.n.TrustLog(q.Context())
	answer(r, changes, err)
}

// Invite makes an invite of the node.
func (c *Client) Invite(ctx context.Context) (i node.Invite, err error) {
	return i, c.post(ctx, "/invite", struct{}{}, &i)
}

// Accept redeems an invite of another node.
func (c *Client) Accept(ctx context.Context, invite string) (p node.Peer, err error) {
	return p, c.post(ctx, "/invite/accept", acceptRequest{invite}, &p)
}

// TrustLog returns the changes of trust, newest first.
func (c *Client) TrustLog(ctx context.Context) (changes []node.TrustChange, err error) {
	return changes, c.get(ctx, "/trust/log", nil, &changes)
}
