package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// maxIbGib bounds the JSON text of one ibGib in a request, in bytes: the largest
// bytes payload in base64, and room for the rest.
const maxIbGib = ibgib.MaxBytesSize/3*4 + maxBody

// postPut stores the ibGib that is the body.
func (h *handler) postPut(r *reply, q *http.Request) {
	_ = r.rc.SetReadDeadline(time.Now().Add(readTimeout)) // not every connection has one
	defer r.rc.SetReadDeadline(time.Time{})
	text, err := io.ReadAll(http.MaxBytesReader(r.w, q.Body, maxIbGib))
	if err != nil {
		r.fail(err)
		return
	}
	result, err := h.changes(q).Put(q.Context(), text)
	answer(r, result, err)
}

func (h *handler) getExpand(r *reply, q *http.Request) {
	addr, err := h.n.Expand(q.Context(), q.URL.Query().Get("digits"))
	answer(r, addr, err)
}

func (h *handler) getKeystoneExpand(r *reply, q *http.Request) {
	addr, err := h.n.ExpandKeystone(q.Context(), q.URL.Query().Get("digits"))
	answer(r, addr, err)
}

// stoneBody and parseStone write and read {"ib", "parent", "data", "uuid"}, with
// package ibgib for the reason that transformBody has.
func stoneBody(o ibgib.StoneOptions) []byte {
	return ibgib.Object(
		ibgib.Member{Name: "ib", Value: ibgib.String(o.Ib)},
		ibgib.Member{Name: "parent", Value: ibgib.String(o.Parent)},
		ibgib.Member{Name: "data", Value: o.Data},
		ibgib.Member{Name: "uuid", Value: ibgib.Bool(o.UUID)},
	).Append(nil)
}

func parseStone(text []byte) (o ibgib.StoneOptions, err error) {
	v, err := ibgib.ParseValue(text)
	if err != nil {
		return o, badRequest("body: %v", err)
	}
	if v.Kind() != ibgib.KindObject {
		return o, badRequest("body: must be a JSON object")
	}
	for _, m := range v.Members() {
		want := ibgib.KindString
		switch m.Name {
		case "ib":
			o.Ib = m.Value.Str()
		case "parent":
			o.Parent = m.Value.Str()
		case "data":
			o.Data, want = m.Value, m.Value.Kind()
		case "uuid":
			o.UUID, want = m.Value.Bool(), ibgib.KindBool
		default:
			return o, badRequest("body: unknown member %q", m.Name)
		}
		if m.Value.Kind() != want {
			return o, badRequest("%s: the value is of the wrong kind", m.Name)
		}
	}
	return o, nil
}

func (h *handler) postStone(r *reply, q *http.Request) {
	text, err := body(r, q)
	if err != nil {
		r.fail(err)
		return
	}
	o, err := parseStone(text)
	if err != nil {
		r.fail(err)
		return
	}
	result, err := h.changes(q).Stone(q.Context(), o)
	answer(r, result, err)
}

func (h *handler) getDiff(r *reply, q *http.Request) {
	var addrs [2]ibgib.Addr
	for i, name := range []string{"from", "to"} {
		var err error
		if addrs[i], err = ibgib.ParseAddr(q.URL.Query().Get(name)); err != nil {
			r.fail(badRequest("%s: %v", name, err))
			return
		}
	}
	diff, err := h.n.Diff(q.Context(), addrs[0], addrs[1])
	answer(r, diff, err)
}

func (h *handler) getGraph(r *reply, q *http.Request) {
	addr, err := addrParam(q)
	if err != nil {
		r.fail(err)
		return
	}
	depth, err := numberParam(q, "depth")
	if err != nil {
		r.fail(err)
		return
	}
	limit, err := numberParam(q, "limit")
	if err != nil {
		r.fail(err)
		return
	}
	graph, err := h.n.Graph(q.Context(), addr, int(min(depth, node.MaxGraph)), int(min(limit, node.MaxGraph)))
	answer(r, graph, err)
}

// Expand returns the address of the stored ibGib whose hash begins with the given
// digits.
func (c *Client) Expand(ctx context.Context, digits string) (addr ibgib.Addr, err error) {
	return addr, c.get(ctx, "/ibgibs/expand", url.Values{"digits": {digits}}, &addr)
}

// ExpandKeystone does what Expand does for the frames of keystones.
func (c *Client) ExpandKeystone(ctx context.Context, digits string) (addr ibgib.Addr, err error) {
	return addr, c.get(ctx, "/keystone/expand", url.Values{"digits": {digits}}, &addr)
}

// Put stores the ibGib that raw is, JSON of any form; a missing gib is computed.
func (c *Client) Put(ctx context.Context, raw []byte) (res node.PutResult, err error) {
	return res, c.call(ctx, http.MethodPost, "/ibgibs/put", c.changes, bytes.NewReader(raw), &res)
}

// Stone makes a constant and stores it.
func (c *Client) Stone(ctx context.Context, o ibgib.StoneOptions) (res node.PutResult, err error) {
	return res, c.call(ctx, http.MethodPost, "/ibgibs/stone", c.changes, bytes.NewReader(stoneBody(o)), &res)
}

// Diff says how the stored ibGib to differs from from.
func (c *Client) Diff(ctx context.Context, from, to ibgib.Addr) (d node.DiffResult, err error) {
	return d, c.get(ctx, "/ibgibs/diff", url.Values{"from": {from.String()}, "to": {to.String()}}, &d)
}

// Graph returns what is reached from a stored ibGib: at most limit ibGibs, none
// more than depth links away; 0 for the greatest that there is.
func (c *Client) Graph(ctx context.Context, root ibgib.Addr, depth, limit int) (g node.Graph, err error) {
	return g, c.get(ctx, "/ibgibs/graph", url.Values{
		"addr": {root.String()}, "depth": {strconv.Itoa(depth)}, "limit": {strconv.Itoa(limit)},
	}, &g)
}
