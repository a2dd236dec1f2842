package api

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node"
)

// keystoneParam reads an address from the query; zero, for the node's own keystone,
// if there is none.
func keystoneParam(q *http.Request) (ibgib.Addr, error) {
	if q.URL.Query().Get("addr") == "" {
		return ibgib.Addr{}, nil
	}
	return addrParam(q)
}

func keystoneQuery(addr ibgib.Addr) url.Values {
	if addr.IsZero() {
		return nil
	}
	return url.Values{"addr": {addr.String()}}
}

func (h *handler) getKeystones(r *reply, q *http.Request) { items(r, h.n.Keystones(q.Context())) }

func (h *handler) getKeystone(r *reply, q *http.Request) {
	addr, err := keystoneParam(q)
	if err != nil {
		r.fail(err)
		return
	}
	k, err := h.n.Keystone(q.Context(), addr)
	answer(r, k, err)
}

func (h *handler) getKeystoneVerify(r *reply, q *http.Request) {
	addr, err := keystoneParam(q)
	if err != nil {
		r.fail(err)
		return
	}
	report, err := h.n.VerifyKeystone(q.Context(), addr)
	answer(r, report, err)
}

func (h *handler) getKeystoneFrames(r *reply, q *http.Request) {
	addr, err := keystoneParam(q)
	if err != nil {
		r.fail(err)
		return
	}
	items(r, func(yield func(json.RawMessage, error) bool) {
		for g, err := range h.n.KeystoneFrames(q.Context(), addr) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(g.AppendJSON(nil), nil) {
				return
			}
		}
	})
}

// signRequest is the body of keystone/sign.
type signRequest struct {
	Target ibgib.Addr `json:"target"`
	Verb   string     `json:"verb"`
	Scope  string     `json:"scope,omitempty"`
}

func (h *handler) postKeystoneSign(r *reply, q *http.Request) {
	var in signRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	frame, err := h.n.SignKeystone(q.Context(), keystone.Claim{Target: in.Target, Verb: in.Verb, Scope: in.Scope})
	answer(r, frame, err)
}

// reasonRequest is the body of keystone/revoke and keystone/rotate.
type reasonRequest struct {
	Reason string `json:"reason,omitempty"`
}

func (h *handler) postKeystoneRevoke(r *reply, q *http.Request) {
	var in reasonRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	frame, err := h.n.RevokeKeystone(q.Context(), in.Reason)
	answer(r, frame, err)
}

func (h *handler) postKeystoneRotate(r *reply, q *http.Request) {
	var in reasonRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	rotation, err := h.n.RotateKeystone(q.Context(), in.Reason)
	answer(r, rotation, err)
}

// newKeystoneRequest is the body of keystone/new.
type newKeystoneRequest struct {
	GiveUp bool `json:"giveUp,omitempty"` // a secret that is sealed or not confirmed
}

func (h *handler) postKeystoneNew(r *reply, q *http.Request) {
	var in newKeystoneRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	rotation, err := h.n.NewKeystone(q.Context(), in.GiveUp)
	answer(r, rotation, err)
}

// settleRequest is the body of keystone/settle; without addr it is about the node's own.
type settleRequest struct {
	Addr ibgib.Addr `json:"addr,omitzero"`
}

func (h *handler) postKeystoneSettle(r *reply, q *http.Request) {
	var in settleRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	k, err := h.n.SettleKeystone(q.Context(), in.Addr)
	answer(r, k, err)
}

func (h *handler) postKeystoneImport(r *reply, q *http.Request) {
	_ = r.rc.EnableFullDuplex() // an answer may begin before the file has been read
	r.begin()
	k, err := h.n.ImportKeystone(q.Context(), q.Body)
	if err == nil {
		r.result(k)
		return
	}
	r.fail(err)
	_ = r.rc.SetReadDeadline(time.Now().Add(drainTimeout))
	_, _ = io.Copy(io.Discard, q.Body)
}

// Keystones lists the keystones that the node keeps.
func (c *Client) Keystones(ctx context.Context) iter.Seq2[node.Keystone, error] {
	return list[node.Keystone](ctx, c, "/keystones", nil)
}

// Keystone shows a keystone; the zero Addr is the node's own.
func (c *Client) Keystone(ctx context.Context, addr ibgib.Addr) (k node.Keystone, err error) {
	return k, c.get(ctx, "/keystone", keystoneQuery(addr), &k)
}

// VerifyKeystone replays a keystone as it is stored; addr as in Keystone.
func (c *Client) VerifyKeystone(ctx context.Context, addr ibgib.Addr) (r keystone.Report, err error) {
	return r, c.get(ctx, "/keystone/verify", keystoneQuery(addr), &r)
}

// KeystoneFrames returns the frames of a keystone, oldest first; addr as in Keystone.
func (c *Client) KeystoneFrames(ctx context.Context, addr ibgib.Addr) iter.Seq2[ibgib.IbGib, error] {
	return func(yield func(ibgib.IbGib, error) bool) {
		for text, err := range list[json.RawMessage](ctx, c, "/keystone/frames", keystoneQuery(addr)) {
			if err != nil {
				yield(ibgib.IbGib{}, err)
				return
			}
			g, err := ibgib.Import(text)
			if err != nil {
				yield(g, errorOf(err))
				return
			}
			if !yield(g, nil) {
				return
			}
		}
	}
}

// SignKeystone makes the node's keystone sign a claim.
func (c *Client) SignKeystone(ctx context.Context, target ibgib.Addr, verb, scope string) (f node.KeystoneFrame, err error) {
	return f, c.post(ctx, "/keystone/sign", signRequest{target, verb, scope}, &f)
}

// RevokeKeystone ends the node's keystone.
func (c *Client) RevokeKeystone(ctx context.Context, reason string) (f node.KeystoneFrame, err error) {
	return f, c.post(ctx, "/keystone/revoke", reasonRequest{reason}, &f)
}

// RotateKeystone hands the node's keystone over to a new one.
func (c *Client) RotateKeystone(ctx context.Context, reason string) (r node.KeystoneRotation, err error) {
	return r, c.post(ctx, "/keystone/rotate", reasonRequest{reason}, &r)
}

// NewKeystone gives the node a new keystone without a handover. giveUp is that of
// node.NewKeystone.
func (c *Client) NewKeystone(ctx context.Context, giveUp bool) (r node.KeystoneRotation, err error) {
	return r, c.post(ctx, "/keystone/new", newKeystoneRequest{giveUp}, &r)
}

// SettleKeystone ends a dispute for the frames that the node has; addr as in Keystone.
func (c *Client) SettleKeystone(ctx context.Context, addr ibgib.Addr) (k node.Keystone, err error) {
	return k, c.post(ctx, "/keystone/settle", settleRequest{addr}, &k)
}

// ImportKeystone keeps the keystone that a file of one frame a line holds.
func (c *Client) ImportKeystone(ctx context.Context, r io.Reader) (node.Keystone, error) {
	in := &watchedReader{r: r}
	k, err := stream[node.Keystone, struct{}](ctx, c, "/keystone/import", nil, in, nil, nil)
	if read := in.failure(); err != nil && read != nil {
		return k, read
	}
	return k, err
}
