package api

import (
	"bytes"
	"context"
	"net/http"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// fetchRequest is the body of fetch.
type fetchRequest struct {
	Addr ibgib.Addr `json:"addr"`
	node.FetchOptions
}

func (h *handler) postFetch(r *reply, q *http.Request) {
	var in fetchRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	result, err := h.n.Fetch(q.Context(), in.Addr, in.FetchOptions, func(p node.FetchProgress) { r.progress(p) })
	finish(r, result, err)
}

// Fetch gets an ibGib with all that it links to, as node.Node.Fetch does. progress may
// be nil.
func (c *Client) Fetch(ctx context.Context, addr ibgib.Addr, o node.FetchOptions, progress func(node.FetchProgress)) (node.FetchResult, error) {
	body, err := encode(fetchRequest{addr, o})
	if err != nil {
		return node.FetchResult{}, errorOf(err)
	}
	return stream[node.FetchResult](ctx, c, "/fetch", nil, bytes.NewReader(body), progress, nil)
}
