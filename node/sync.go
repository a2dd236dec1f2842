package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// Sync runs a saga with the node at addr, a multiaddr that ends in /p2p/ and
// its peer id, or the peer id alone if this node is connected to it or has met it
// before. The peer must be trusted: what this node has is shown to no
// stranger. Errors of the saga are *saga.Error; the result then tells how far
// it came. progress may be nil; it is called on the caller's goroutine.
//
// It works without Start, through a host of its own that does not listen.
func (n *Node) Sync(ctx context.Context, addr string, progress func(SyncProgress)) (SyncResult, error) {
	return n.SyncWith(ctx, addr, SyncOptions{}, progress)
}

// SyncOptions say what a sync is about. The zero value is all that the two nodes
// share, both ways.
type SyncOptions struct {
	Mode saga.Mode `json:"mode,omitzero"` // pull: only to this node; push: only to the other
	// Strategy says what becomes of diverged timelines; if that of the share, of this node
	// or of the other side is stricter, that rules.
	Strategy saga.Strategy `json:"strategy,omitzero"`
	// Share is the name of the share that the sync is about. Empty: all that the peer is
	// a member of, one after the other, the default one first; with Timelines those of
	// them that list one of these, or else the default one.
	Share string `json:"share,omitempty"`
	// Timelines are the addresses of any frames of the timelines that the sync is
	// about, with what they link to: a frame names its timeline by its gib. None: all.
	Timelines []ibgib.Addr `json:"timelines,omitempty"`
}

// roots returns the roots of the timelines.
func (o SyncOptions) roots() ([]ibgib.Hash, error) {
	var roots []ibgib.Hash
	for _, a := range o.Timelines {
		gib := a.TjpGib()
		if gib == "" {
			gib = a.Gib()
		}
		root, err := ibgib.ParseHash(gib)
		if err != nil || root == (ibgib.Hash{}) {
			return nil, fmt.Errorf("%w: %s names no timeline", ErrInput, a)
		}
		roots = append(roots, root)
	}
	return roots, nil
}

// syncAttempts bounds how often a sync begins when the other side is busy.
const syncAttempts = 3

// SyncWith is Sync with options. If the other side has begun a sync of the same
// timelines at the same time, and that one goes on instead, its result is
// returned. It fails with blockstore.ErrNotFound if neither side has any of the
// timelines.
func (n *Node) SyncWith(ctx context.Context, addr string, opts SyncOptions, progress func(SyncProgress)) (SyncResult, error) {
	to, err := parseTarget(addr)
	if err != nil {
		return SyncResult{}, fmt.Errorf("node: sync: %w", err)
	}
	res, err := n.syncWith(ctx, to, opts, progress)
	if err != nil {
		return res, fmt.Errorf("node: sync with %s: %w", to.ID, err)
	}
	return res, nil
}

// parseTarget reads a peer id, alone or at the end of a multiaddr.
func parseTarget(addr string) (peer.AddrInfo, error) {
	if id, err := peer.Decode(addr); err == nil {
		return peer.AddrInfo{ID: id}, nil
	}
	to, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return peer.AddrInfo{}, fmt.Errorf("%w: %q is no multiaddr with a peer id; it looks like /ip4/192.0.2.1/tcp/4200/p2p/12D3KooW... and is shown by the command id of that node",
			ErrInput, shorten(addr))
	}
	return *to, nil
}

func (n *Node) syncWith(ctx context.Context, to peer.AddrInfo, opts SyncOptions, progress func(SyncProgress)) (SyncResult, error) {
	none := SyncResult{Peer: to.ID.String(), Conflicts: []Conflict{}, Merged: []Timeline{}}
	if err := n.checkTarget(to.ID); err != nil {
		return none, err
	}
	roots, err := opts.roots()
	if err != nil {
		return none, err
	}
	list, err := n.sharesToSync(ctx, to.ID, opts.Share, roots)
	if err != nil {
		return none, err
	}
	res, err := n.syncShare(ctx, to, list[0], opts, roots, progress)
	if err != nil {
		return res, err
	}
	for _, sh := range list[1:] {
		more, err := n.syncShare(ctx, to, sh, opts, roots, progress)
		var failed *saga.Error
		if err != nil && (ctx.Err() != nil || !errors.As(err, &failed)) {
			return res, fmt.Errorf("share %s: %w", sh.Name, err)
		}
		if err != nil { // it keeps nothing from the others
			more.Error = err.Error()
		}
		res.Shares = append(res.Shares, more)
	}
	return res, nil
}

// sharesToSync returns what a sync with a peer is about: at least one share.
func (n *Node) sharesToSync(ctx context.Context, p peer.ID, name string, roots []ibgib.Hash) ([]*share, error) {
	if name != "" {
		sh, err := n.shares.byName(name)
		if err == nil && !sh.has(p) {
			err = fmt.Errorf("%w: that node is no member of the share %s here; share member add makes it one", ErrInput, sh.Name)
		}
		return []*share{sh}, err
	}
	list := n.shares.with(p)
	if len(roots) == 0 || len(list) == 1 {
		return list, nil
	}
	var of []*share
	for _, sh := range list {
		entries, err := sh.view.EntriesOf(ctx, roots)
		if err != nil {
			return nil, err
		}
		if len(entries) > 0 {
			of = append(of, sh)
		}
	}
	if len(of) == 0 {
		of = list[:1]
	}
	return of, nil
}

// syncShare syncs one share.
func (n *Node) syncShare(ctx context.Context, to peer.AddrInfo, sh *share, opts SyncOptions, roots []ibgib.Hash, progress func(SyncProgress)) (_ SyncResult, err error) {
	res := SyncResult{Peer: to.ID.String(), Share: sh.label(), Conflicts: []Conflict{}, Merged: []Timeline{}}
	if opts.Mode, err = sh.modeOf(opts.Mode); err != nil {
		return res, err
	}
	scope, asked := sh.scope(roots), time.Now()
	if err := n.sagas.wait(ctx, sagaKey{to.ID, scope, saga.Initiator}); err != nil {
		return res, err
	}
	end := n.liveOf(sh).begin(to.ID, roots, opts.Mode, max(opts.Strategy, n.strategyOf(sh)))
	defer func() { end(err) }()
	result, err := n.initiate(ctx, to, sh, opts, roots, progress)
	for attempt := 1; attempt < syncAttempts && isBusy(err); attempt++ {
		// The other side may have begun one at the same time, which goes first.
		other, ok, waited := n.sagas.outcome(ctx, sagaKey{to.ID, scope, saga.Responder}, asked)
		if waited != nil {
			err = waited
			break
		}
		if ok && other.Mode == saga.ModeSync && other.Strategy >= max(opts.Strategy, n.strategyOf(sh)) {
			result, err = other, nil
			break
		}
		if err = n.sagas.wait(ctx, sagaKey{to.ID, scope, saga.Initiator}); err != nil {
			break
		}
		result, err = n.initiate(ctx, to, sh, opts, roots, progress)
	}
	for goes := 1; goes < syncGoes && goesOn(result, err); goes++ {
		before := result
		result, err = n.initiate(ctx, to, sh, opts, roots, progress)
		addTraffic(&result, before)
	}
	if !n.isStarted() { // else it does so by itself
		if mergeErr := n.RetryMerges(ctx, nil); mergeErr != nil {
			n.log.Warn("diverged timelines not merged", "error", mergeErr)
		}
	}
	filled, ferr := n.syncResult(context.WithoutCancel(ctx), to.ID, sh, result)
	filled.StrategyBy = n.strategyBy(sh, opts.Strategy, result)
	if err == nil && len(roots) > 0 && len(filled.Absent) == len(roots) {
		err = absence("neither side has " + opts.Timelines[0].String())
	}
	return filled, errors.Join(err, ferr)
}

// modeOf narrows the mode that a sync asks for to what the direction of the share
// allows.
func (s *share) modeOf(asked saga.Mode) (saga.Mode, error) {
	switch own := s.Direction.mode(saga.Initiator); {
	case own == saga.ModeSync || own == asked:
		return asked, nil
	case asked == saga.ModeSync:
		return own, nil
	default:
		return asked, fmt.Errorf("%w: the share %s is %s here, so nothing can be got by a %s", ErrInput, s.Name, s.Direction, asked)
	}
}

// syncGoes bounds how often a sync goes on after it has brought as much as this node
// takes at once (Limits.PeerDisk).
const syncGoes = 1000

// goesOn reports whether a saga ended because it brought more than that, and has kept
// what was whole.
func goesOn(r saga.Result, err error) bool {
	var e *saga.Error
	return errors.As(err, &e) && e.Code == saga.CodeLimit && !e.Remote && e.Retry && r.Committed
}

// addTraffic adds what an earlier saga of the same sync sent and received.
func addTraffic(to *saga.Result, r saga.Result) {
	to.Sent.IbGibs += r.Sent.IbGibs
	to.Sent.Bytes += r.Sent.Bytes
	to.Received.IbGibs += r.Received.IbGibs
	to.Received.Bytes += r.Received.Bytes
	to.Wire.Sent += r.Wire.Sent
	to.Wire.Received += r.Wire.Received
}

func isBusy(err error) bool {
	var e *saga.Error
	return errors.As(err, &e) && e.Code == saga.CodeBusy
}

// checkTarget refuses to talk to this node itself and to who is not trusted.
func (n *Node) checkTarget(p peer.ID) error {
	if p == n.id.id {
		return fmt.Errorf("%w: that is this node itself", ErrInput)
	}
	if _, ok := n.trust.trusts(p); !ok {
		return &saga.Error{Code: saga.CodeUntrusted, Text: "this node does not trust " + p.String() + ": trust that peer first"}
	}
	return nil
}

// initiate begins one saga and runs it to its end.
func (n *Node) initiate(ctx context.Context, to peer.AddrInfo, sh *share, opts SyncOptions, roots []ibgib.Hash, progress func(SyncProgress)) (saga.Result, error) {
	run := func(ctx context.Context, conn saga.Conn, id saga.ID, with proof) (saga.Result, error) {
		cfg := saga.Config{Role: saga.Initiator, ID: id, Conn: conn, Mode: opts.Mode, Strategy: opts.Strategy, Roots: roots}
		return n.runSaga(ctx, to.ID, sh, with, roots, cfg, progress)
	}
	result, err := n.openSaga(ctx, to, sh, roots, run)
	if lostProof(err) {
		n.sessions.lost(to.ID)
		result, err = n.openSaga(ctx, to, sh, roots, run)
	}
	n.metrics.SagaEnded(saga.Initiator, result, err)
	return result, err
}

// openSaga takes a place for a saga, opens a connection for it, and runs it.
func (n *Node) openSaga(ctx context.Context, to peer.AddrInfo, sh *share, roots []ibgib.Hash, run func(ctx context.Context, conn saga.Conn, id saga.ID, with proof) (saga.Result, error)) (result saga.Result, err error) {
	ctx, place, err := n.sagas.begin(ctx, sagaKey{to.ID, sh.scope(roots), saga.Initiator})
	if err != nil {
		return result, err
	}
	defer func() { place.end(result, err) }()
	switch now := n.shares.current(sh); {
	case now == nil || !now.has(to.ID):
		return result, errNoShare()
	case now.Direction != sh.Direction:
		return result, &saga.Error{Code: saga.CodeBusy, Retry: true, Text: "the direction of the share has just been changed: sync again"}
	}
	h, release, err := n.dialer()
	if err != nil {
		return result, err
	}
	defer release()
	if len(to.Addrs) == 0 {
		to.Addrs = n.contacts.addrs(to.ID)
	}
	if len(to.Addrs) == 0 && !reachable(h, to.ID) {
		return result, &saga.Error{Code: saga.CodeUnreachable, Text: "no address of it is known here; name one, as the command id of that node shows it"}
	}

	with, err := n.prove(ctx, h, to)
	if err != nil {
		n.lastSyncs.note(to.ID, sh.label(), n.now(), result, err)
		n.tellSaga(to.ID, sh, saga.Initiator, len(roots)).end(result, err)
		return result, err
	}
	conn, err := protocol.Dial(ctx, h, to, n.wire)
	if err != nil {
		return result, err
	}
	for _, c := range h.Network().ConnsToPeer(to.ID) {
		if c.Stat().Direction == network.DirOutbound {
			n.contacts.reached(to.ID, c.RemoteMultiaddr())
		}
	}
	var id saga.ID
	if _, err := rand.Read(id[:]); err != nil {
		conn.Abort()
		return result, err
	}
	return run(ctx, conn, id, with)
}

// reachable tells whether a host is connected to a peer or knows an address of it.
func reachable(h host.Host, p peer.ID) bool {
	return isLinked(h, p) || len(h.Peerstore().Addrs(p)) > 0
}

func (n *Node) isStarted() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.host != nil
}

// dialer returns the node's host, or a new one if the node is not started.
func (n *Node) dialer() (h host.Host, release func(), err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.host != nil {
		return n.host, func() {}, nil
	}
	h, err = newHost(n.id, n.trust, n.limits, reach{}, n.listen, n.dials, n.isShown, n.metrics)
	if err != nil {
		return nil, nil, err
	}
	return h, func() {
		if err := h.Close(); err != nil {
			n.log.Debug("host not closed in good order", "error", err)
		}
	}, nil
}

// syncResult says of a saga what a person wants to know.
func (n *Node) syncResult(ctx context.Context, p peer.ID, sh *share, r saga.Result) (SyncResult, error) {
	res := SyncResult{
		SagaID: r.SagaID.String(), Peer: p.String(), Share: sh.label(), Mode: r.Mode, Strategy: r.Strategy,
		Converged: r.Converged, Equal: r.Equal, Rounds: r.Rounds,
		Sent: Traffic(r.Sent), Received: Traffic(r.Received), Wire: Wire(r.Wire),
		Conflicts:    make([]Conflict, 0, min(len(r.Conflicts), maxListed)),
		Merged:       []Timeline{},
		Overridden:   r.Overridden,
		Skipped:      r.Skipped,
		Rejected:     rejected(r.Refused),
		PeerRejected: r.PeerRefused,
		LeftOut:      len(r.Unnamed),
		Refused:      refusals(r.Refusals),
		PeerRefused:  refusals(r.PeerRefusals),
	}
	var err error
	if res.Aborted, err = n.tjps(ctx, sh, abortedRoots(r)); err != nil {
		return res, err
	}
	if res.PeerDiverged, err = n.tjps(ctx, sh, peerDiverged(r)); err != nil {
		return res, err
	}
	for _, root := range r.Absent {
		res.Absent = append(res.Absent, root.String())
	}
	for i, c := range r.Conflicts {
		if c.Aborted {
			continue
		}
		if i == maxListed {
			res.ConflictsMore = len(r.Conflicts) - i
			break
		}
		entry, ok, err := sh.view.Entry(ctx, c.Root)
		if err != nil {
			return res, err
		}
		if !ok {
			continue
		}
		if entry.Merged {
			res.Merged = append(res.Merged, timelineOf(entry))
			continue
		}
		conflict, err := n.conflict(ctx, entry)
		if err != nil {
			return res, err
		}
		res.Conflicts = append(res.Conflicts, conflict)
	}
	return res, nil
}

// SyncRefusal is an ibGib that came in a saga and was refused for good.
type SyncRefusal struct {
	Hash   string `json:"hash"` // as offered or claimed; all zeros if it claimed none
	Rule   string `json:"rule"`
	Detail string `json:"detail"` // foreign text
}

func refusals(list []saga.Refusal) []SyncRefusal {
	var all []SyncRefusal
	for _, r := range list {
		all = append(all, SyncRefusal{r.Hash.String(), string(r.Rule), r.Detail})
	}
	return all
}

// tjps lists the timelines of some roots that this node has, at most maxListed.
func (n *Node) tjps(ctx context.Context, sh *share, roots []ibgib.Hash) ([]ibgib.Addr, error) {
	var tjps []ibgib.Addr
	for _, root := range roots[:min(len(roots), maxListed)] {
		e, ok, err := sh.view.Entry(ctx, root)
		if err != nil {
			return nil, err
		}
		if ok {
			tjps = append(tjps, e.Root)
		}
	}
	return tjps, nil
}

// peerDiverged returns the roots of the timelines that have diverged on the other side
// alone.
func peerDiverged(r saga.Result) []ibgib.Hash {
	other := make(map[ibgib.Hash]bool)
	for _, root := range r.PeerAborted {
		other[root] = true
	}
	for _, c := range r.Conflicts {
		other[c.Root] = true
	}
	return slices.DeleteFunc(slices.Clone(r.PeerConflicts), func(root ibgib.Hash) bool { return other[root] })
}

// abortedRoots returns the roots of the timelines that either side has left as they were,
// ascending.
func abortedRoots(r saga.Result) []ibgib.Hash {
	roots := slices.Clone(r.PeerAborted)
	for _, c := range r.Conflicts {
		if c.Aborted {
			roots = append(roots, c.Root)
		}
	}
	slices.SortFunc(roots, func(a, b ibgib.Hash) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(roots)
}
