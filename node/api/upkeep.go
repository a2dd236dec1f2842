package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// gcRequest is the body of gc.
type gcRequest struct {
	Age          time.Duration `json:"age,omitempty"` // nanoseconds; 0: the default
	DropRejected bool          `json:"dropRejected,omitempty"`
	DryRun       bool          `json:"dryRun,omitempty"`
}

func (h *handler) postGC(r *reply, q *http.Request) {
	var in gcRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	report, err := h.n.GC(q.Context(), blockstore.GCOptions{Age: in.Age, DropRejected: in.DropRejected, DryRun: in.DryRun}, func(p node.UpkeepProgress) { r.progress(p) })
	finish(r, report, err)
}

// finish ends a stream with its result or an error.
func finish[T any](r *reply, v T, err error) {
	if err != nil {
		r.fail(err)
		return
	}
	r.result(v)
}

func (h *handler) postBackup(r *reply, q *http.Request) {
	report, err := h.n.Backup(q.Context(), chunkWriter{r}, func(p node.UpkeepProgress) { r.progress(p) })
	finish(r, report, err)
}

// chunkBytes bounds what one line of a stream bears of bytes.
const chunkBytes = 256 << 10

// chunkWriter sends bytes as lines {"chunk": base64} of a stream.
type chunkWriter struct{ r *reply }

func (w chunkWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part := rest[:min(len(rest), chunkBytes)]
		rest = rest[len(part):]
		if err := w.r.line("chunk", part); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// repairRequest is the body of repair.
type repairRequest struct {
	From []string `json:"from,omitempty"` // multiaddrs or peer ids; none: connected trusted peers
}

func (h *handler) postRepair(r *reply, q *http.Request) {
	var in repairRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	report, err := h.n.Repair(q.Context(), node.RepairOptions{From: in.From}, func(p node.UpkeepProgress) { r.progress(p) })
	finish(r, report, err)
}

func (h *handler) getStats(r *reply, q *http.Request) {
	stats, err := h.n.Stats(q.Context())
	answer(r, stats, err)
}

func (h *handler) getStatus(r *reply, q *http.Request) {
	status, err := h.n.Status(q.Context())
	answer(r, status, err)
}

func (h *handler) getDoctor(r *reply, q *http.Request) {
	diagnosis, err := h.n.Diagnose(q.Context())
	answer(r, diagnosis, err)
}

func (h *handler) getWhy(r *reply, q *http.Request) {
	addr, err := addrParam(q)
	if err != nil {
		r.fail(err)
		return
	}
	why, err := h.n.Why(q.Context(), addr)
	answer(r, why, err)
}

func (h *handler) getWants(r *reply, q *http.Request) {
	wants, err := h.n.Wanted(q.Context())
	answer(r, wants, err)
}

func (h *handler) getSagas(r *reply, q *http.Request) {
	sagas, err := h.n.Sagas(q.Context())
	answer(r, sagas, err)
}

func (h *handler) getSaga(r *reply, q *http.Request) {
	saga, err := h.n.Saga(q.Context(), q.URL.Query().Get("id"))
	answer(r, saga, err)
}

func (h *handler) getSagaVerify(r *reply, q *http.Request) {
	v, err := h.n.VerifySaga(q.Context(), q.URL.Query().Get("id"))
	answer(r, v, err)
}

// GC removes what no timeline and no pin needs. progress may be nil.
func (c *Client) GC(ctx context.Context, o blockstore.GCOptions, progress func(node.UpkeepProgress)) (blockstore.GCReport, error) {
	body, err := encode(gcRequest{Age: o.Age, DropRejected: o.DropRejected, DryRun: o.DryRun})
	if err != nil {
		return blockstore.GCReport{}, errorOf(err)
	}
	return stream[blockstore.GCReport](ctx, c, "/gc", nil, bytes.NewReader(body), progress, nil)
}

// Backup writes the store as it is now to w. After an error what was written is
// no backup. progress may be nil.
func (c *Client) Backup(ctx context.Context, w io.Writer, progress func(node.UpkeepProgress)) (blockstore.BackupReport, error) {
	return stream[blockstore.BackupReport](ctx, c, "/backup", nil, nil, progress, w)
}

// Repair mends what Verify finds. progress may be nil.
func (c *Client) Repair(ctx context.Context, o node.RepairOptions, progress func(node.UpkeepProgress)) (node.RepairReport, error) {
	body, err := encode(repairRequest{From: o.From})
	if err != nil {
		return node.RepairReport{}, errorOf(err)
	}
	return stream[node.RepairReport](ctx, c, "/repair", nil, bytes.NewReader(body), progress, nil)
}

// Status returns how the node is doing.
func (c *Client) Status(ctx context.Context) (s node.Status, err error) {
	return s, c.get(ctx, "/status", nil, &s)
}

// Diagnose looks for what keeps the node from its work.
func (c *Client) Diagnose(ctx context.Context) (d node.Diagnosis, err error) {
	return d, c.get(ctx, "/doctor", nil, &d)
}

// Stats counts what the node has.
func (c *Client) Stats(ctx context.Context) (s node.Stats, err error) {
	return s, c.get(ctx, "/stats", nil, &s)
}

// Why says what is missing of a timeline or kept out of it; addr as in Latest.
func (c *Client) Why(ctx context.Context, addr ibgib.Addr) (w node.Why, err error) {
	return w, c.get(ctx, "/why", url.Values{"addr": {addr.String()}}, &w)
}

// Wants returns what the node still lacks of what trusted peers named.
func (c *Client) Wants(ctx context.Context) (wants []node.Wanted, err error) {
	return wants, c.get(ctx, "/wants", nil, &wants)
}

// Sagas returns the sagas that the node remembers, newest first.
func (c *Client) Sagas(ctx context.Context) (sagas []node.SagaRecord, err error) {
	return sagas, c.get(ctx, "/sagas", nil, &sagas)
}

// VerifySaga checks the record of a saga and the signatures of both sides.
func (c *Client) VerifySaga(ctx context.Context, id string) (v node.SagaVerification, err error) {
	return v, c.get(ctx, "/sagas/verify", url.Values{"id": {id}}, &v)
}

// Saga returns one saga with its frames; id is its id or how that begins.
func (c *Client) Saga(ctx context.Context, id string) (s node.SagaRecord, err error) {
	return s, c.get(ctx, "/sagas/show", url.Values{"id": {id}}, &s)
}
