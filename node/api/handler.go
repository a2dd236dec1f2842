package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/protocol"
)

// maxBody bounds the body of a request that is no stream, in bytes: the
// options of a transform that fills the largest ibGib, in any JSON form.
const maxBody = 16 << 20

// drainTimeout bounds how long the rest of a request is read that has been
// answered with an error, so that the client gets to see the answer.
const drainTimeout = 5 * time.Second

// prefix of all endpoints but /healthz.
const prefix = "/api/v1"

// handler has a method for each endpoint.
type handler struct {
	n       *node.Node
	version string
	log     *slog.Logger
	// stopping is closed when streams without an end are to end; nil: never.
	stopping  <-chan struct{}
	heartbeat time.Duration // of such streams
	counters  *counters
}

// Handler serves the control API of n without any check of who asks; Serve
// adds those.
func Handler(n *node.Node, o Options) http.Handler { return newHandler(n, o, nil).mux() }

func newHandler(n *node.Node, o Options, stopping <-chan struct{}) *handler {
	h := &handler{n: n, version: o.Version, log: o.Log, stopping: stopping, heartbeat: heartbeat, counters: newCounters(o.Version)}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h
}

func (h *handler) mux() http.Handler {
	mux := http.NewServeMux()
	methods := make(map[string][]string) // by path
	for endpoint, serve := range h.endpoints() {
		method, path, _ := strings.Cut(endpoint, " ")
		methods[path] = append(methods[path], method)
		mux.HandleFunc(method+" "+prefix+path, func(w http.ResponseWriter, r *http.Request) {
			serve(newReply(w, h.log), r)
		})
	}
	for path, allowed := range methods {
		mux.HandleFunc(prefix+path, func(w http.ResponseWriter, r *http.Request) {
			newReply(w, h.log).wrongMethod(r, allowed...)
		})
	}
	// Where a scraper looks that was not told another path.
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) { h.getMetrics(newReply(w, h.log), r) })
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) { newReply(w, h.log).wrongMethod(r, http.MethodGet) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		e := &Error{Code: CodeNoEndpoint, Message: fmt.Sprintf("there is no endpoint %s; GET %s/openapi.yaml tells which there are", r.URL.Path, prefix)}
		newReply(w, h.log).fail(e)
	})
	return mux
}

func badRequest(format string, args ...any) *Error {
	return &Error{Code: CodeBadRequest, Message: fmt.Sprintf(format, args...)}
}

// answer ends r with a value or an error.
func answer[T any](r *reply, v T, err error) {
	if err != nil {
		r.fail(err)
		return
	}
	r.value(v)
}

// items ends r with a stream of items.
func items[T any](r *reply, seq iter.Seq2[T, error]) {
	count := 0
	for v, err := range seq {
		if err == nil {
			err = r.line("item", v)
		}
		if err != nil {
			r.fail(err)
			return
		}
		count++
	}
	r.result(map[string]int{"count": count})
}

// body reads the whole body of a request.
func body(r *reply, q *http.Request) ([]byte, error) {
	_ = r.rc.SetReadDeadline(time.Now().Add(readTimeout)) // not every connection has one
	defer r.rc.SetReadDeadline(time.Time{})
	return io.ReadAll(http.MaxBytesReader(r.w, q.Body, maxBody))
}

// object reads a body that is a JSON object with known members.
func object(r *reply, q *http.Request, to any) error {
	text, err := body(r, q)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return badRequest("body: %s", whyUnread(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badRequest("body: something follows after the JSON object; send one object and nothing else")
	}
	return nil
}

// addrParam reads an address from the query.
func addrParam(q *http.Request) (ibgib.Addr, error) {
	s := q.URL.Query().Get("addr")
	a, err := ibgib.ParseAddr(s)
	if err != nil {
		return a, badRequest("addr: %v", err)
	}
	return a, nil
}

// numberParam reads a number from the query; 0 if it is not there.
func numberParam(q *http.Request, name string) (int64, error) {
	s := q.URL.Query().Get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, badRequest("%s must be a number from 0", name)
	}
	return n, nil
}

func (h *handler) getVersion(r *reply, q *http.Request) {
	r.value(Version{Version: h.version, Go: runtime.Version(), API: "v1", Protocol: protocol.ID})
}

func (h *handler) getID(r *reply, q *http.Request) { r.value(h.n.Identity()) }

func (h *handler) getPeers(r *reply, q *http.Request) {
	peers, err := h.n.Peers(q.Context())
	answer(r, peers, err)
}

// peerRequest is the body of trust, untrust and ping.
type peerRequest struct {
	PeerID string `json:"peerId"` // or a multiaddr that ends in /p2p/ and the peer id
}

func (h *handler) postTrust(r *reply, q *http.Request) {
	var in peerRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	peer, err := h.n.Trust(q.Context(), in.PeerID)
	answer(r, peer, err)
}

// introductionsRequest is the body of introductions.
type introductionsRequest struct {
	PeerID string `json:"peerId"`
	node.Introductions
}

func (h *handler) postIntroductions(r *reply, q *http.Request) {
	var in introductionsRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	peer, err := h.n.SetIntroductions(q.Context(), in.PeerID, in.Introductions)
	answer(r, peer, err)
}

func (h *handler) postUntrust(r *reply, q *http.Request) {
	var in peerRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	answer(r, struct{}{}, h.n.Untrust(q.Context(), in.PeerID))
}

func (h *handler) getIbGibs(r *reply, q *http.Request) { items(r, h.n.List(q.Context())) }

func (h *handler) getIbGib(r *reply, q *http.Request) {
	addr, err := addrParam(q)
	if err != nil {
		r.fail(err)
		return
	}
	g, err := h.n.Get(q.Context(), addr)
	if err != nil {
		r.fail(err)
		return
	}
	r.raw(append(g.AppendJSON(nil), '\n'))
}

func (h *handler) postImport(r *reply, q *http.Request) {
	_ = r.rc.EnableFullDuplex() // progress goes out while the file comes in
	r.begin()
	o := node.ImportOptions{Include: q.URL.Query().Get("include") == "true"}
	result, err := h.n.ImportWith(q.Context(), q.Body, o, func(p node.ImportProgress) {
		if p.Refused != nil {
			r.pending = p // none of these is left out
			r.report()
			return
		}
		r.progress(p)
	})
	if err == nil {
		r.result(result)
		return
	}
	r.fail(err)
	_ = r.rc.SetReadDeadline(time.Now().Add(drainTimeout))
	_, _ = io.Copy(io.Discard, q.Body)
}

// exportRequest is the body of export.
type exportRequest struct {
	Addrs []ibgib.Addr `json:"addrs,omitempty"`
	All   bool         `json:"all,omitempty"`
}

func (h *handler) postExport(r *reply, q *http.Request) {
	var in exportRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	result, err := h.n.Export(q.Context(), r, in.Addrs, in.All)
	if err != nil {
		r.fail(err)
		return
	}
	r.result(result)
}

func (h *handler) postVerify(r *reply, q *http.Request) {
	report, err := h.n.Verify(q.Context(), func(p node.VerifyProgress) { r.progress(p) })
	if err != nil {
		r.fail(err)
		return
	}
	r.result(report)
}

// syncRequest is the body of sync.
type syncRequest struct {
	Addr string `json:"addr"` // a multiaddr that ends in /p2p/ and a peer id, or the id
	node.SyncOptions
}

func (h *handler) postSync(r *reply, q *http.Request) {
	var in syncRequest
	if err := object(r, q, &in); err != nil {
		r.fail(err)
		return
	}
	result, err := h.n.SyncWith(q.Context(), in.Addr, in.SyncOptions, func(p node.SyncProgress) { r.progress(p) })
	if err != nil {
		r.fail(err)
		return
	}
	r.result(result)
}

func (h *handler) getConflicts(r *reply, q *http.Request) { items(r, h.n.Conflicts(q.Context())) }

func (h *handler) getConflict(r *reply, q *http.Request) {
	addr, err := addrParam(q)
	if err != nil {
		r.fail(err)
		return
	}
	detail, err := h.n.Conflict(q.Context(), addr)
	answer(r, detail, err)
}

// whyUnread says in terms of JSON why a body could not be read.
func whyUnread(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		where := "it"
		if e.Field != "" {
			where = fmt.Sprintf("the member %q", e.Field[strings.LastIndexByte(e.Field, '.')+1:])
		}
		return fmt.Sprintf("%s is a JSON %s, which it cannot be", where, e.Value)
	}
	if errors.Is(err, io.EOF) {
		return "it is empty; send a JSON object"
	}
	return err.Error()
}
