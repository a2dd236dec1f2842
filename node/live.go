package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/scheduler"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// Live says how a started node keeps in step with its peers by itself. The zero
// value is the default.
type Live struct {
	// Off leaves it to others, and to Sync.
	Off bool
	// Every is the time between two sagas about everything with a connected peer, if
	// nothing else calls for one. Default 5 minutes.
	Every time.Duration
}

func (o Live) withDefaults() (Live, error) {
	if o.Every < 0 {
		return o, fmt.Errorf("%w: a negative time between two syncs", ErrInput)
	}
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	return o, nil
}

const (
	defaultEvery = 5 * time.Minute
	// maxChanges bounds the moves of heads that the scheduler is told of one by one.
	maxChanges = 2000
)

// live is what keeps one share in step. It runs a scheduler.Core: one goroutine that tells it what happens, and
// one for each saga and notice that it asks for.
type live struct {
	n      *Node
	host   host.Host
	number blockstore.Share
	view   *blockstore.View
	core   *scheduler.Core

	in      chan scheduler.Event
	stop    context.CancelFunc
	ended   chan struct{} // closed when nothing is taken from in any more
	foreign atomic.Uint64 // last job that the Core has not given out
	work    sync.WaitGroup

	// Of the goroutine of run.
	at    blockstore.Place // how far the change log has been read
	peers map[peer.ID]bool // that are connected and take sagas
}

func newLive(n *Node, h host.Host, every time.Duration, sh *share) *live {
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	return &live{
		n: n, host: h, number: sh.number, view: sh.view, core: scheduler.New(named(h.ID()), every, random.Float64),
		in: make(chan scheduler.Event, 64), ended: make(chan struct{}),
		peers: make(map[peer.ID]bool),
	}
}

// start begins to follow the node and its host. When it returns, nothing that
// happens is missed. The goroutine that it hands to run ends with ctx, and when stop
// is called.
func (l *live) start(ctx context.Context, run func(func())) error {
	ctx, l.stop = context.WithCancel(ctx)
	sub, err := l.host.EventBus().Subscribe(
		[]any{new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerConnectednessChanged)}, eventbus.BufSize(256))
	if err != nil {
		return fmt.Errorf("live: %w", err)
	}
	moved, stop := l.view.Watch()
	if l.at, err = l.view.Place(ctx); err != nil {
		stop()
		return errors.Join(err, sub.Close())
	}
	run(func() {
		defer stop()
		l.run(ctx, moved, sub.Out())
		close(l.ended)
		if err := sub.Close(); err != nil {
			l.n.log.Debug("event subscription not closed", "error", err)
		}
		l.work.Wait()
	})
	return nil
}

// run tells the Core what happens and does what it asks for, until ctx ends.
func (l *live) run(ctx context.Context, moved <-chan struct{}, conns <-chan any) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	sh := l.share()
	for _, p := range l.n.trust.list() {
		if sh != nil && sh.has(p) {
			l.step(ctx, scheduler.Trusted{Peer: named(p)})
		}
	}
	if !l.isMain() { // that one began before anybody could connect
		l.present(ctx)
	}
	l.step(ctx, l.wants())
	for {
		at, ok := l.core.Next()
		if ok {
			timer.Reset(max(0, time.Until(at)))
		} else {
			timer.Stop()
		}
		select {
		case e := <-l.in:
			l.step(ctx, e)
		case _, ok := <-moved:
			if !ok {
				return // the store is closed
			}
			l.step(ctx, l.changes(ctx))
		case e, ok := <-conns:
			if !ok {
				return
			}
			l.connection(ctx, e)
		case <-timer.C:
			l.step(ctx, scheduler.Tick{})
		case <-ctx.Done():
			return
		}
	}
}

func (l *live) step(ctx context.Context, e scheduler.Event) {
	l.core.Step(time.Now(), e)
	for _, a := range l.core.Work() {
		switch a := a.(type) {
		case scheduler.Sync:
			l.work.Go(func() { l.sync(ctx, a) })
		case scheduler.Notify:
			l.work.Go(func() { l.notify(ctx, a) })
		}
	}
}

// tell lets the Core know. It does nothing if l is nil, or has ended.
func (l *live) tell(e scheduler.Event) {
	if l == nil {
		return
	}
	select {
	case l.in <- e:
	case <-l.ended:
	}
}

// share returns the share as it is now; nil if it has been deleted.
func (l *live) share() *share {
	return l.n.shares.current(&share{number: l.number})
}

// isMain tells whether l is that of the default share, which tells of connections.
func (l *live) isMain() bool { return l.number == blockstore.DefaultShare }

// present takes note of the peers that were connected before.
func (l *live) present(ctx context.Context) {
	for _, p := range l.host.Network().Peers() {
		known, err := l.host.Peerstore().SupportsProtocols(p, protocol.ID)
		if err != nil || len(known) == 0 || l.peers[p] || !isLinked(l.host, p) {
			continue
		}
		conns := l.host.Network().ConnsToPeer(p)
		if len(conns) > 0 {
			l.peers[p] = true
			l.step(ctx, scheduler.Connected{Peer: named(p), Dialed: conns[0].Stat().Direction == network.DirOutbound})
		}
	}
}

func named(p peer.ID) scheduler.Peer { return scheduler.Peer(p.String()) }

// trusted tells of trust that was given or withdrawn.
func (l *live) trusted(p peer.ID, trusted bool) {
	if trusted {
		l.tell(scheduler.Trusted{Peer: named(p)})
	} else {
		l.tell(scheduler.Untrusted{Peer: named(p)})
	}
}

// opened tells that this node takes again what it has kept out of the share.
func (l *live) opened() { l.tell(scheduler.Opened{}) }

// wanted tells that the list of wants has changed.
func (l *live) wanted() {
	if l != nil {
		l.tell(l.wants())
	}
}

func (l *live) wants() scheduler.Event {
	var e scheduler.Wanted
	sh := l.share()
	for _, w := range l.n.Wants() {
		if sh == nil || w.Share != sh.label() {
			continue
		}
		root, err := ibgib.ParseHash(w.Root)
		if err != nil {
			continue // loadWants has checked it
		}
		head, err := ibgib.ParseHash(w.Head)
		if err != nil {
			continue
		}
		want := scheduler.Want{Lack: scheduler.Lack{Root: root, Heads: []ibgib.Hash{head}}, Retry: w.Retry}
		for _, p := range w.Peers {
			want.Peers = append(want.Peers, scheduler.Peer(p))
		}
		e.Wants = append(e.Wants, want)
	}
	return e
}

// begin tells of a saga that the Core has not asked for. What it returns is to be
// called at the end.
func (l *live) begin(p peer.ID, roots []ibgib.Hash, mode saga.Mode, strategy saga.Strategy) (end func(error)) {
	if l == nil {
		return func(error) {}
	}
	job := scheduler.Foreign | scheduler.Job(l.foreign.Add(1))
	oneWay := mode != saga.ModeSync || strategy > saga.StrategyManual
	l.tell(scheduler.Began{Job: job, Peer: named(p), Roots: roots, OneWay: oneWay})
	return func(err error) { l.tell(scheduler.Ended{Job: job, Outcome: outcomeOf(err)}) }
}

// outcomeOf sorts the error of a saga or a notice.
func outcomeOf(err error) scheduler.Outcome {
	var e *saga.Error
	switch {
	case err == nil:
		return scheduler.OK
	case errors.Is(err, errNeedless):
		return scheduler.Needless
	case !errors.As(err, &e):
		return scheduler.Lost
	}
	switch e.Code {
	case saga.CodeUntrusted:
		if e.Remote && !e.Retry {
			return scheduler.Refused
		}
		return scheduler.Lost
	case saga.CodeBusy:
		return scheduler.Busy
	case saga.CodeProtocol, saga.CodeLimit, saga.CodeUnsupported, saga.CodeRefused:
		return scheduler.Broken
	default:
		return scheduler.Lost
	}
}

// changes reads what has moved since the last time.
func (l *live) changes(ctx context.Context) scheduler.Event {
	var e scheduler.Changed
	before := l.at
	for c, err := range l.view.Changes(ctx, l.at) {
		if err == nil && len(e.Changes) < maxChanges {
			l.at.Seq = c.Seq
			root, _ := c.Root.Hash()
			e.Changes = append(e.Changes, scheduler.Change{Root: root, From: origin(c)})
			continue
		}
		if err != nil && !errors.Is(err, blockstore.ErrOtherLog) {
			l.unread(ctx, err)
			return e
		}
		// Too many to look at each, or anything may have moved.
		e = scheduler.Changed{All: true}
		if l.at, err = l.view.Place(ctx); err != nil {
			l.unread(ctx, err)
		}
		break
	}
	e.Moves = max(uint64(len(e.Changes)), 1)
	if l.at.Seq > before.Seq {
		e.Moves = l.at.Seq - before.Seq
	}
	return e
}

// unread tells that changes could not be read; that the node stops is no news.
func (l *live) unread(ctx context.Context, err error) {
	if ctx.Err() == nil {
		l.n.log.Warn("changes not read", "error", err)
	}
}

// origin returns the peer that all heads of a timeline came from.
func origin(c blockstore.Change) scheduler.Peer {
	for _, o := range c.Origins {
		if o != c.Origins[0] {
			return ""
		}
	}
	if len(c.Origins) == 0 {
		return ""
	}
	return scheduler.Peer(c.Origins[0].Peer)
}

// connection takes what the host tells of connections. A peer counts as connected
// when it has said that it takes sagas: commands that connect for a moment do not.
func (l *live) connection(ctx context.Context, e any) {
	switch e := e.(type) {
	case event.EvtPeerIdentificationCompleted:
		// It comes once for each connection, and when a peer has something new to say.
		if l.peers[e.Peer] || !isLinked(l.host, e.Peer) || !slices.Contains(e.Protocols, protocol.ID) {
			return
		}
		l.peers[e.Peer] = true
		if l.isMain() {
			l.n.connected(ctx, e.Peer, e.Conn)
		}
		l.step(ctx, scheduler.Connected{Peer: named(e.Peer), Dialed: e.Conn.Stat().Direction == network.DirOutbound})
	case event.EvtPeerConnectednessChanged:
		if l.peers[e.Peer] && e.Connectedness == network.NotConnected {
			delete(l.peers, e.Peer)
			if l.isMain() {
				l.n.disconnected(ctx, e.Peer)
			}
			l.step(ctx, scheduler.Disconnected{Peer: named(e.Peer)})
		}
	}
}
