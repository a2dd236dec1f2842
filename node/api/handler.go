package api

import (
	"bytes"
	"encoding/json"
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
}

// Handler serves the control API of n without any check of who asks; Serve
// adds those.
func Handler(n *node.Node, o Options) http.Handler { return newHandler(n, o, nil).mux() }

func newHandler(n *node.Node, o Options, stopping <-chan struct{}) *handler {
	h := &handler{n: n, version: o.Version, log: o.Log, stopping: stopping, heartbeat: heartbeat}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h
}

func (h *handler) mux() http.Handler {
	mux := http.NewServeMux()
	for endpoint, serve := range map[string]func(*reply, *http.Request){
		"GET /version": h.getVersion,
		"GET /id":      h.getID,

		"GET /keystones":        h.getKeystones,
		"GET /keystone":         h.getKeystone,
		"GET /keystone/verify":  h.getKeystoneVerify,
		"GET /keystone/frames":  h.getKeystoneFrames,
		"POST /keystone/sign":   h.postKeystoneSign,
		"POST /keystone/revoke": h.postKeystoneRevoke,
		"POST /keystone/rotate": h.postKeystoneRotate,
		"POST /keystone/new":    h.postKeystoneNew,
		"POST /keystone/import": h.postKeystoneImport,
		"POST /keystone/settle": h.postKeystoneSettle,

		"GET /peers":          h.getPeers,
		"POST /trust":         h.postTrust,
		"POST /untrust":       h.postUntrust,
		"POST /introductions": h.postIntroductions,
		"GET /trust/log":      h.getTrustLog,
		"POST /invite":        h.postInvite,
		"POST /invite/accept": h.postAccept,

		"POST /timelines/create": h.postCreate,
		"POST /timelines/mut8":   h.postMut8,
		"POST /timelines/rel8":   h.postRel8,
		"POST /timelines/fork":   h.postFork,
		"GET /timelines/log":     h.getLog,
		"GET /timelines/frame":   h.getFrame,
		"GET /timelines/heads":   h.getHeads,
		"GET /timelines/latest":  h.getLatest,

		"GET /ibgibs":        h.getIbGibs,
		"GET /ibgibs/get":    h.getIbGib,
		"GET /ibgibs/expand": h.getExpand,
		"POST /ibgibs/put":   h.postPut,
		"POST /ibgibs/stone": h.postStone,
		"GET /ibgibs/diff":   h.getDiff,
		"GET /ibgibs/graph":  h.getGraph,
		"POST /import":       h.postImport,
		"POST /export":       h.postExport,
		"POST /verify":       h.postVerify,

		"POST /gc":     h.postGC,
		"POST /backup": h.postBackup,
		"POST /repair": h.postRepair,
		"GET /stats":   h.getStats,
		"GET /status":  h.getStatus,
		"GET /doctor":  h.getDoctor,
		"GET /why":     h.getWhy,
		"GET /wants":   h.getWants,

		"GET /find":       h.getFind,
		"GET /provide":    h.getProvide,
		"POST /provide":   h.postProvide,
		"POST /unprovide": h.postUnprovide,
		"POST /fetch":     h.postFetch,
		"GET /follow":     h.getFollow,
		"POST /follow":    h.postFollow,
		"POST /unfollow":  h.postUnfollow,
		"POST /ping":      h.postPing,

		"GET /shares":                 h.getShares,
		"GET /shares/timelines":       h.getShareTimelines,
		"POST /shares/create":         h.postShareCreate,
		"POST /shares/delete":         h.postShareDelete,
		"POST /shares/members/add":    h.postMemberAdd,
		"POST /shares/members/remove": h.postMemberRemove,
		"POST /shares/add":            h.postShareAdd,
		"POST /shares/remove":         h.postShareRemove,
		"GET /forget":                 h.getForgotten,
		"POST /forget":                h.postForget,
		"POST /remember":              h.postRemember,

		"GET /events": h.getEvents,

		"GET /sagas":        h.getSagas,
		"GET /sagas/show":   h.getSaga,
		"GET /sagas/verify": h.getSagaVerify,

		"POST /sync":              h.postSync,
		"GET /conflicts":          h.getConflicts,
		"GET /conflicts/show":     h.getConflict,
		"POST /conflicts/resolve": h.postResolve,
		"POST /conflicts/pin":     h.postPin,
		"POST /conflicts/unpin":   h.postUnpin,
	} {
		method, path, _ := strings.Cut(endpoint, " ")
		mux.HandleFunc(method+" "+prefix+path, func(w http.ResponseWriter, r *http.Request) {
			serve(newReply(w, h.log), r)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		e := &Error{Code: CodeBadRequest, Message: fmt.Sprintf("there is no endpoint %s %s", r.Method, r.URL.Path)}
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
		return badRequest("body: %v", err)
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

// peerRequest is the body of trust and untrust.
type peerRequest struct {
	PeerID string `json:"peerId"`
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
	result, err := h.n.Import(q.Context(), q.Body, func(p node.ImportProgress) {
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
