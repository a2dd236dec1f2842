package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// callTimeout bounds a request that is no stream.
const callTimeout = 2 * time.Minute

// Client talks to a node through its control API. Its methods are safe for
// concurrent use; every error they return is an *Error, but for those of a
// reader or writer that the caller handed in.
type Client struct {
	http  *http.Client
	host  string // of requests
	token string
	// changes is the query of what changes something; see With.
	changes url.Values
}

// Version says what a node is.
type Version struct {
	Version  string `json:"version"`  // of the program
	Go       string `json:"go"`       // of the compiler
	API      string `json:"api"`      // "v1"
	Protocol string `json:"protocol"` // of sync
}

// InProcess returns a client that calls h directly.
func InProcess(h http.Handler) *Client {
	return &Client{http: &http.Client{Transport: inProcess{h}}, host: "in-process"}
}

// Close gives connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Version returns what the node is.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	return v, c.get(ctx, "/version", nil, &v)
}

// ID returns how others reach the node.
func (c *Client) ID(ctx context.Context) (id node.Identity, err error) {
	return id, c.get(ctx, "/id", nil, &id)
}

// Peers returns trusted peers, then strangers that asked.
func (c *Client) Peers(ctx context.Context) (peers []node.Peer, err error) {
	return peers, c.get(ctx, "/peers", nil, &peers)
}

// Trust trusts a peer from now on. peerID may also be a multiaddr that ends in
// /p2p/ and the peer id.
func (c *Client) Trust(ctx context.Context, peerID string) (p node.Peer, err error) {
	return p, c.post(ctx, "/trust", peerRequest{peerID}, &p)
}

// SetIntroductions says what a trusted peer has to do with introductions.
func (c *Client) SetIntroductions(ctx context.Context, peerID string, o node.Introductions) (p node.Peer, err error) {
	return p, c.post(ctx, "/introductions", introductionsRequest{peerID, o}, &p)
}

// Untrust withdraws trust. What the peer has, it keeps.
func (c *Client) Untrust(ctx context.Context, peerID string) error {
	return c.post(ctx, "/untrust", peerRequest{peerID}, nil)
}

// Create makes a timeline. parent is what its first frame is forked from; the
// zero Addr is ib^gib. o.Parent is not used.
func (c *Client) Create(ctx context.Context, parent ibgib.Addr, o ibgib.FirstGenOptions) (node.Change, error) {
	return c.transform(ctx, "/timelines/create", parent, o.Value())
}

// Mut8 changes the data or the ib of a timeline. addr is its tjp or any of its
// frames; the change goes on top of the latest.
func (c *Client) Mut8(ctx context.Context, addr ibgib.Addr, o ibgib.Mut8Options) (node.Change, error) {
	return c.transform(ctx, "/timelines/mut8", addr, o.Value())
}

// Rel8 changes the links of a timeline; addr as in Mut8.
func (c *Client) Rel8(ctx context.Context, addr ibgib.Addr, o ibgib.Rel8Options) (node.Change, error) {
	return c.transform(ctx, "/timelines/rel8", addr, o.Value())
}

// Fork makes a new timeline from the ibGib src.
func (c *Client) Fork(ctx context.Context, src ibgib.Addr, o ibgib.ForkOptions) (node.Change, error) {
	return c.transform(ctx, "/timelines/fork", src, o.Value())
}

func (c *Client) transform(ctx context.Context, path string, addr ibgib.Addr, options ibgib.Value) (change node.Change, err error) {
	return change, c.call(ctx, http.MethodPost, path, c.changes, bytes.NewReader(transformBody(addr, options)), &change)
}

// Log returns the frames of a timeline from addr down to the tjp, newest
// first; from the latest if addr is the tjp. limit 0: all of them.
func (c *Client) Log(ctx context.Context, addr ibgib.Addr, limit int) iter.Seq2[node.Frame, error] {
	return list[node.Frame](ctx, c, "/timelines/log", url.Values{"addr": {addr.String()}, "limit": {strconv.Itoa(limit)}})
}

// History returns the frames in the history of addr, branches included, each before
// those that it stands on; of the whole timeline if addr is the tjp. limit 0: all.
func (c *Client) History(ctx context.Context, addr ibgib.Addr, limit int) iter.Seq2[node.HistoryFrame, error] {
	return list[node.HistoryFrame](ctx, c, "/timelines/log", url.Values{"addr": {addr.String()}, "limit": {strconv.Itoa(limit)}, "graph": {""}})
}

// NewFrames returns the frames of a timeline from addr down, newest first, but for
// those of known, of which the first 64 count, and their histories. addr is no tjp.
func (c *Client) NewFrames(ctx context.Context, addr ibgib.Addr, known []ibgib.Addr) iter.Seq2[node.Frame, error] {
	query := url.Values{"addr": {addr.String()}}
	for _, k := range known[:min(len(known), maxKnown)] {
		query.Add("known", k.String())
	}
	return list[node.Frame](ctx, c, "/timelines/log", query)
}

// FrameAt returns the frame with number n in the history of addr, or of the
// latest if addr is the tjp.
func (c *Client) FrameAt(ctx context.Context, addr ibgib.Addr, n int64) (f node.Frame, err error) {
	return f, c.get(ctx, "/timelines/frame", url.Values{"addr": {addr.String()}, "n": {strconv.FormatInt(n, 10)}}, &f)
}

// Heads returns all timelines by the hash of their tjp.
func (c *Client) Heads(ctx context.Context) iter.Seq2[node.Timeline, error] {
	return list[node.Timeline](ctx, c, "/timelines/heads", nil)
}

// Latest returns the timeline that addr, its tjp or one of its frames, belongs to.
func (c *Client) Latest(ctx context.Context, addr ibgib.Addr) (t node.Timeline, err error) {
	return t, c.get(ctx, "/timelines/latest", url.Values{"addr": {addr.String()}}, &t)
}

// Get returns a stored ibGib. It passes the intake gate once more on the way.
func (c *Client) Get(ctx context.Context, addr ibgib.Addr) (ibgib.IbGib, error) {
	var text json.RawMessage
	if err := c.get(ctx, "/ibgibs/get", url.Values{"addr": {addr.String()}}, &text); err != nil {
		return ibgib.IbGib{}, err
	}
	g, err := ibgib.Import(text)
	if err != nil {
		return ibgib.IbGib{}, errorOf(err)
	}
	return g, nil
}

// List returns the addresses of all stored ibGibs by hash.
func (c *Client) List(ctx context.Context) iter.Seq2[ibgib.Addr, error] {
	return list[ibgib.Addr](ctx, c, "/ibgibs", nil)
}

// Import stores the ibGibs of a file. progress may be nil; it gets every refused
// line. Include of With is that of node.ImportOptions.
func (c *Client) Import(ctx context.Context, r io.Reader, progress func(node.ImportProgress)) (node.ImportResult, error) {
	in := &watchedReader{r: r}
	result, err := stream[node.ImportResult](ctx, c, "/import", c.changes, in, progress, nil)
	if read := in.failure(); err != nil && read != nil {
		return result, read
	}
	return result, err
}

// Export writes the closures of addrs as NDJSON, or with all everything that
// is stored. After an error what was written is not complete.
func (c *Client) Export(ctx context.Context, w io.Writer, addrs []ibgib.Addr, all bool) (node.ExportResult, error) {
	body, err := encode(exportRequest{Addrs: addrs, All: all})
	if err != nil {
		return node.ExportResult{}, errorOf(err)
	}
	return stream[node.ExportResult, struct{}](ctx, c, "/export", nil, bytes.NewReader(body), nil, w)
}

// Sync syncs with the node at addr, as node.Node.SyncWith does. progress may be
// nil.
func (c *Client) Sync(ctx context.Context, addr string, o node.SyncOptions, progress func(node.SyncProgress)) (node.SyncResult, error) {
	body, err := encode(syncRequest{addr, o})
	if err != nil {
		return node.SyncResult{}, errorOf(err)
	}
	return stream[node.SyncResult](ctx, c, "/sync", nil, bytes.NewReader(body), progress, nil)
}

// Conflicts returns the diverged timelines by the hash of their tjp.
func (c *Client) Conflicts(ctx context.Context) iter.Seq2[node.Conflict, error] {
	return list[node.Conflict](ctx, c, "/conflicts", nil)
}

// Conflict shows the branches of one diverged timeline; addr as in Latest.
func (c *Client) Conflict(ctx context.Context, addr ibgib.Addr) (d node.ConflictDetail, err error) {
	return d, c.get(ctx, "/conflicts/show", url.Values{"addr": {addr.String()}}, &d)
}

// Verify checks everything that is stored. progress may be nil.
func (c *Client) Verify(ctx context.Context, progress func(node.VerifyProgress)) (node.VerifyReport, error) {
	return stream[node.VerifyReport](ctx, c, "/verify", nil, nil, progress, nil)
}

func (c *Client) get(ctx context.Context, path string, query url.Values, to any) error {
	return c.call(ctx, http.MethodGet, path, query, nil, to)
}

func (c *Client) post(ctx context.Context, path string, in, to any) error {
	body, err := encode(in)
	if err != nil {
		return errorOf(err)
	}
	return c.call(ctx, http.MethodPost, path, nil, bytes.NewReader(body), to)
}

// call makes a request whose answer is one JSON value. to may be nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body io.Reader, to any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := c.request(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	text, err := io.ReadAll(answer)
	if err != nil {
		return lost(ctx, err)
	}
	if to == nil {
		return nil
	}
	if err := json.Unmarshal(text, to); err != nil {
		return &Error{Code: CodeInternal, Message: "the answer of the node is not understood: " + err.Error(), err: err}
	}
	return nil
}

// request makes a request and returns the body of a good answer.
func (c *Client) request(ctx context.Context, method, path string, query url.Values, body io.Reader) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: c.host, Path: prefix + path, RawQuery: query.Encode()}
	q, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, errorOf(err)
	}
	if c.token != "" {
		q.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.http.Do(q)
	if err != nil {
		return nil, lost(ctx, err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxControlLine))
	if err != nil {
		return nil, lost(ctx, err)
	}
	var failure struct {
		Error *Error `json:"error"`
	}
	if json.Unmarshal(text, &failure) != nil || failure.Error == nil {
		return nil, &Error{Code: CodeInternal, Message: "the node answered with " + answer.Status}
	}
	return nil, failure.Error
}

// lost says why there is no answer, or no whole one.
func lost(ctx context.Context, err error) *Error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return &Error{Code: CodeCanceled, Message: "stopped", err: context.Canceled}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &Error{Code: CodeTimeout, Message: "the node did not answer in time", Retry: true, err: context.DeadlineExceeded}
	}
	return &Error{Code: CodeBrokenStream, Message: "the connection to the node broke: " + err.Error(), Retry: true, err: err}
}
