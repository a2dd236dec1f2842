package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// serve takes part, as the responder, in a saga that a trusted peer began. It
// is Saga of protocol.Handlers: ctx ends when the node closes.
func (n *Node) serve(ctx context.Context, p peer.ID, open *saga.Init, conn saga.Conn) {
	result, err := n.respond(ctx, p, open, conn)
	n.metrics.SagaEnded(saga.Responder, result, err)
	if err != nil {
		n.log.Log(ctx, levelOf(err), "sync failed", "peer", p, "saga", open.ID, "role", saga.Responder, "about", about(len(open.Roots)), "error", err)
	}
}

// levelOf says how loudly the failure of a saga is to be told.
func levelOf(err error) slog.Level {
	var e *saga.Error
	if !errors.As(err, &e) {
		return slog.LevelError // of this node
	}
	switch e.Code {
	case saga.CodeBusy:
		return slog.LevelDebug // it will be tried again
	case saga.CodeCanceled, saga.CodeUnreachable, saga.CodeUntrusted:
		return slog.LevelInfo
	default:
		return slog.LevelWarn
	}
}

func (n *Node) respond(ctx context.Context, p peer.ID, open *saga.Init, conn saga.Conn) (result saga.Result, err error) {
	var run context.Context
	// Nothing is said of shares, and nothing begins, before the peer has proved itself.
	var sh *share
	_, err = n.proved(ctx, p)
	if err == nil {
		sh, err = n.shares.opened(p, open.Shares)
	}
	if err == nil {
		var place *place
		if run, place, err = n.sagas.begin(ctx, sagaKey{p, sh.scope(open.Roots), saga.Responder}); err == nil {
			end := n.liveOf(sh).begin(p, open.Roots, open.Mode, open.Strategy)
			defer func() {
				place.end(result, err)
				end(err)
			}()
			// Trust, or the membership, may have been withdrawn before the saga had its
			// place.
			if err = n.trust.Authorize(ctx, p); err == nil {
				sh, err = n.shares.opened(p, open.Shares)
			}
		}
	}
	var with proof
	if err == nil {
		with, err = n.proved(run, p)
	}
	if err != nil {
		var refusal *saga.Error
		if errors.As(err, &refusal) {
			refusal.ID = open.ID
			_, _ = conn.Send(ctx, refusal) // who is gone needs no answer
		}
		return result, err
	}
	return n.runSaga(run, p, sh, with, open.Roots, saga.Config{Role: saga.Responder, Conn: conn, Mode: sh.Direction.mode(saga.Responder)}, nil)
}

// ignoreNotice takes notices for a node that syncs only when it is asked to.
func ignoreNotice(context.Context, peer.ID, *protocol.Notice) {}

// runSaga runs one saga of either role and keeps its record. with is what the peer has
// proved; roots are what it is about; cfg has the role, the connection and what else differs. progress may be
// nil.
func (n *Node) runSaga(ctx context.Context, p peer.ID, sh *share, with proof, roots []ibgib.Hash, cfg saga.Config, progress func(SyncProgress)) (result saga.Result, err error) {
	began, asked := n.now(), cfg.Strategy
	if cfg.Forgotten, err = sh.view.ForgottenRoots(ctx); err != nil {
		cfg.Conn.Abort()
		return result, err
	}
	place, err := n.placeOf(ctx, sh)
	if err != nil {
		cfg.Conn.Abort()
		return result, err
	}
	known := forgetful{p, sh.ID}
	cfg.PeerForgotten = n.forgetfuls.of(known)
	cfg.Share = sh.ID
	cfg.Self, cfg.Peer = n.id.id.String(), p.String()
	cfg.Session, cfg.PeerSession, cfg.Sealer = with.own, with.peer.Genesis, sealer{n, p, with}
	cfg.Strategy = max(cfg.Strategy, n.strategyOf(sh))
	cfg.IdleTimeout = n.idle
	cfg.Blocks, cfg.Index = sh.view.Reader(), sh.view
	cfg.Intake = func(context.Context) (saga.Intake, error) {
		return newIntake(n.store, sh.number, p.String(),
			func(merges []blockstore.Merge) { n.tellMerges(ctx, merges) },
			func() []ibgib.Hash { return n.follows.barred(with.primary) })
	}
	told, pace, meter := n.tellSaga(p, sh, cfg.Role, len(roots)), newPace(n.now), n.metrics.Meter()
	defer func() {
		meter.Moved(result.Sent, result.Received)
		n.countSaga(cfg.Role, n.now().Sub(began), result)
		n.lastSyncs.note(p, sh.label(), n.now(), result, err)
		told.end(result, err)
	}()
	cfg.Progress = func(s saga.Progress) {
		meter.Moved(s.Sent, s.Received)
		p := pace.progress(s)
		told.progress(p)
		if progress != nil {
			progress(p)
		}
	}
	// What this side names stays until the end, whatever is unpinned meanwhile.
	release := n.store.HoldHeads(sh.number)
	defer release()
	result, err = saga.Run(ctx, cfg)
	if err == nil && len(roots) == 0 { // else it has told of these roots only
		n.forgetfuls.note(known, result.PeerForgotten)
	}
	if err := n.offerMoved(context.WithoutCancel(ctx), sh, place); err != nil {
		n.log.Warn("changes not offered to other shares", "share", sh.Name, "error", err)
	}
	if !errors.Is(context.Cause(ctx), errUntrusted) { // whose wants have just been dropped
		if err := n.noteWants(context.WithoutCancel(ctx), sh, p, result, err); err != nil {
			n.log.Warn("wants not stored", "saga", result.SagaID, "error", err)
		}
	}
	if err != nil {
		n.keepFailure(context.WithoutCancel(ctx), p, sh, cfg.Role, asked, began, result, err)
		return result, err
	}
	level := slog.LevelInfo
	if result.Equal {
		level = slog.LevelDebug
	}
	n.log.Log(ctx, level, "synced", "peer", p, "saga", result.SagaID, "role", cfg.Role, "share", sh.Name, "about", about(len(roots)),
		"converged", result.Converged, "equal", result.Equal,
		"sent", result.Sent.IbGibs, "received", result.Received.IbGibs,
		"diverged", len(result.Conflicts), "took", n.now().Sub(began).Round(time.Millisecond))
	if err := n.keepRecord(context.WithoutCancel(ctx), p, sh, cfg.Role, asked, began, result); err != nil {
		n.log.Warn("saga record not stored", "saga", result.SagaID, "error", err)
	}
	return result, nil
}

// countSaga counts a saga that has run, but for how it ended.
func (n *Node) countSaga(role saga.Role, took time.Duration, r saga.Result) {
	n.metrics.SagaTook(role, took)
	n.metrics.Wire(r.Wire)
	for _, refused := range r.Refusals {
		n.metrics.Refused(string(refused.Rule))
	}
}

// about says what a saga is about.
func about(timelines int) string {
	switch timelines {
	case 0:
		return "everything"
	case 1:
		return "1 timeline"
	default:
		return fmt.Sprintf("%d timelines", timelines)
	}
}

// sagaEventEvery is how often the progress of a saga is told.
const sagaEventEvery = 250 * time.Millisecond

// sagaTeller tells those who follow the events of one saga.
type sagaTeller struct {
	n    *Node
	e    SagaEvent
	last time.Time // when progress was told
}

func (n *Node) tellSaga(p peer.ID, sh *share, role saga.Role, timelines int) *sagaTeller {
	t := &sagaTeller{n: n, last: n.now(), e: SagaEvent{State: SagaBegun, Peer: p.String(), Share: sh.label(), Role: role.String(), Timelines: timelines}}
	t.keep()
	return t
}

// keep has the journal tell where the saga is.
func (t *sagaTeller) keep() {
	e := t.e
	t.n.journal.tell(blockstore.SagaLog, Event{Kind: EventSaga, Saga: &e})
}

func (t *sagaTeller) progress(p SyncProgress) {
	now := t.n.now()
	if now.Sub(t.last) < sagaEventEvery {
		return
	}
	t.last = now
	e := t.e
	e.State, e.SagaID, e.Progress = SagaProgress, p.SagaID, &p
	t.n.events.publish(Event{Kind: EventSaga, Saga: &e})
}

func (t *sagaTeller) end(r saga.Result, err error) {
	t.e.State, t.e.SagaID = SagaEnded, r.SagaID.String()
	t.e.Outcome = &SagaOutcome{
		Converged: r.Converged, Equal: r.Equal, Rounds: r.Rounds,
		Sent: Traffic(r.Sent), Received: Traffic(r.Received), Conflicts: len(r.Conflicts),
	}
	if err != nil {
		t.e.Outcome.Error = err.Error()
	}
	t.keep()
}
