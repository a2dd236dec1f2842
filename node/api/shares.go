package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// changes reads where a change is to go from the query: share, and include=true.
func (h *handler) changes(q *http.Request) node.Changes {
	query := q.URL.Query()
	return h.n.With(node.ChangeOptions{Share: query.Get("share"), Include: query.Get("include") == "true"})
}

func (h *handler) getShares(r *reply, q *http.Request) {
	list, err := h.n.Shares(q.Context())
	answer(r, list, err)
}

func (h *handler) getShareTimelines(r *reply, q *http.Request) {
	list, err := h.n.ShareTimelines(q.Context(), q.URL.Query().Get("share"))
	answer(r, list, err)
}

func (h *handler) getShareOut(r *reply, q *http.Request) {
	list, err := h.n.OutOfShare(q.Context(), q.URL.Query().Get("share"))
	answer(r, list, err)
}

func (h *handler) postShareCreate(r *reply, q *http.Request) {
	var in node.ShareOptions
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	sh, err := h.n.CreateShare(q.Context(), in)
	answer(r, sh, err)
}

// shareRequest is the body of the other requests about a share.
type shareRequest struct {
	Share  string     `json:"share"`
	PeerID string     `json:"peerId,omitempty"` // of a member
	Addr   ibgib.Addr `json:"addr,omitzero"`    // what is put into it or taken out
	// With add: see node.AddOptions.
	Include bool `json:"include,omitempty"`
	Move    bool `json:"move,omitempty"`
}

// shareDo serves one of them.
func shareDo[T any](r *reply, q *http.Request, do func(context.Context, shareRequest) (T, error)) {
	var in shareRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	v, err := do(q.Context(), in)
	answer(r, v, err)
}

// shareSetting is the body of the request that changes settings of a share.
type shareSetting struct {
	Share string `json:"share"`
	node.ShareSettings
}

func (h *handler) postShareSet(r *reply, q *http.Request) {
	var in shareSetting
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	sh, err := h.n.SetShare(q.Context(), in.Share, in.ShareSettings)
	answer(r, sh, err)
}

func (h *handler) postShareDelete(r *reply, q *http.Request) {
	shareDo(r, q, func(ctx context.Context, in shareRequest) (struct{}, error) {
		return struct{}{}, h.n.DeleteShare(ctx, in.Share)
	})
}

func (h *handler) postMemberAdd(r *reply, q *http.Request) {
	shareDo(r, q, func(ctx context.Context, in shareRequest) (node.Share, error) {
		return h.n.AddMember(ctx, in.Share, in.PeerID)
	})
}

func (h *handler) postMemberRemove(r *reply, q *http.Request) {
	shareDo(r, q, func(ctx context.Context, in shareRequest) (node.Share, error) {
		return h.n.RemoveMember(ctx, in.Share, in.PeerID)
	})
}

func (h *handler) postShareAdd(r *reply, q *http.Request) {
	shareDo(r, q, func(ctx context.Context, in shareRequest) (node.ShareChange, error) {
		return h.n.AddToShare(ctx, in.Share, in.Addr, node.AddOptions{Include: in.Include, Move: in.Move})
	})
}

func (h *handler) postShareRemove(r *reply, q *http.Request) {
	shareDo(r, q, func(ctx context.Context, in shareRequest) (node.ShareChange, error) {
		return h.n.RemoveFromShare(ctx, in.Share, in.Addr)
	})
}

func (h *handler) getForgotten(r *reply, q *http.Request) {
	list, err := h.n.Forgotten(q.Context())
	answer(r, list, err)
}

// forgetRequest is the body of forget and remember.
type forgetRequest struct {
	Addr ibgib.Addr `json:"addr"`
}

func (h *handler) postForget(r *reply, q *http.Request) {
	var in forgetRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	f, err := h.n.Forget(q.Context(), in.Addr)
	answer(r, f, err)
}

func (h *handler) postRemember(r *reply, q *http.Request) {
	var in forgetRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	answer(r, struct{}{}, h.n.Remember(q.Context(), in.Addr))
}

// With returns a client whose changes go where the options say.
func (c *Client) With(o node.ChangeOptions) *Client {
	other := *c
	other.changes = url.Values{}
	if o.Share != "" {
		other.changes.Set("share", o.Share)
	}
	if o.Include {
		other.changes.Set("include", "true")
	}
	return &other
}

// Shares returns the shares of the node, the default one first, and those offered.
func (c *Client) Shares(ctx context.Context) (list node.ShareList, err error) {
	return list, c.get(ctx, "/shares", nil, &list)
}

// ShareTimelines lists what a share has.
func (c *Client) ShareTimelines(ctx context.Context, name string) (list []node.Timeline, err error) {
	return list, c.get(ctx, "/shares/timelines", url.Values{"share": {name}}, &list)
}

// OutOfShare lists what is out of a share for good, the latest first.
func (c *Client) OutOfShare(ctx context.Context, name string) (list []node.OutTimeline, err error) {
	return list, c.get(ctx, "/shares/out", url.Values{"share": {name}}, &list)
}

// CreateShare makes a share, or joins one of another node.
func (c *Client) CreateShare(ctx context.Context, o node.ShareOptions) (sh node.Share, err error) {
	return sh, c.post(ctx, "/shares/create", o, &sh)
}

// SetShare changes settings of a share.
func (c *Client) SetShare(ctx context.Context, name string, set node.ShareSettings) (sh node.Share, err error) {
	return sh, c.post(ctx, "/shares/set", shareSetting{name, set}, &sh)
}

// DeleteShare deletes a share here.
func (c *Client) DeleteShare(ctx context.Context, name string) error {
	return c.post(ctx, "/shares/delete", shareRequest{Share: name}, nil)
}

// AddMember lets a peer be a member of a share.
func (c *Client) AddMember(ctx context.Context, name, peerID string) (sh node.Share, err error) {
	return sh, c.post(ctx, "/shares/members/add", shareRequest{Share: name, PeerID: peerID}, &sh)
}

// RemoveMember ends the membership of a peer.
func (c *Client) RemoveMember(ctx context.Context, name, peerID string) (sh node.Share, err error) {
	return sh, c.post(ctx, "/shares/members/remove", shareRequest{Share: name, PeerID: peerID}, &sh)
}

// AddToShare puts a timeline into a share.
func (c *Client) AddToShare(ctx context.Context, name string, addr ibgib.Addr, o node.AddOptions) (change node.ShareChange, err error) {
	return change, c.post(ctx, "/shares/add", shareRequest{Share: name, Addr: addr, Include: o.Include, Move: o.Move}, &change)
}

// RemoveFromShare takes a timeline out of a share.
func (c *Client) RemoveFromShare(ctx context.Context, name string, addr ibgib.Addr) (change node.ShareChange, err error) {
	return change, c.post(ctx, "/shares/remove", shareRequest{Share: name, Addr: addr}, &change)
}

// Forget stops a timeline on the node.
func (c *Client) Forget(ctx context.Context, addr ibgib.Addr) (f node.ForgottenTimeline, err error) {
	return f, c.post(ctx, "/forget", forgetRequest{addr}, &f)
}

// Remember ends what Forget began.
func (c *Client) Remember(ctx context.Context, addr ibgib.Addr) error {
	return c.post(ctx, "/remember", forgetRequest{addr}, nil)
}

// Forgotten returns what Forget has stopped.
func (c *Client) Forgotten(ctx context.Context) (list []node.ForgottenTimeline, err error) {
	return list, c.get(ctx, "/forget", nil, &list)
}
