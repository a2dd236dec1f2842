package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/metrics"
	"github.com/ibgib/ibgib-node/node/internal/scheduler"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// What the Core of live asks for, each in a goroutine of its own.

const (
	// maxNoticeHashes bounds the roots and heads of one notice.
	maxNoticeHashes = 16384
	// comparing bounds how long a notice is compared with the index.
	comparing = 5 * time.Second
)

// errNeedless says that a saga was not begun, since this node has what it was for.
var errNeedless = errors.New("there is nothing to sync")

// sync runs a saga that the Core has asked for.
func (l *live) sync(ctx context.Context, a scheduler.Sync) {
	p, err := peer.Decode(string(a.Peer))
	if err == nil {
		err = l.fetch(ctx, p, a.Lacking)
	}
	if err != nil && !errors.Is(err, errNeedless) && ctx.Err() == nil {
		l.n.log.Log(ctx, levelOf(err), "sync failed", "peer", p, "about", about(len(a.Lacking)), "error", err)
	}
	if len(a.Lacking) > 0 {
		if sh := l.share(); sh != nil {
			if err := l.n.settleWants(context.WithoutCancel(ctx), sh, a.Lacking); err != nil {
				l.n.log.Warn("wants not stored", "error", err)
			}
		}
	}
	l.tell(scheduler.Ended{Job: a.Job, Outcome: outcomeOf(err)})
}

// fetch runs a saga about those timelines of which something is still lacking, or
// about everything.
func (l *live) fetch(ctx context.Context, p peer.ID, lacking []scheduler.Lack) error {
	var roots []ibgib.Hash
	if lacking != nil {
		named := make([]timeline.Entry, 0, len(lacking))
		for _, lack := range lacking {
			if len(lack.Heads) == 0 {
				roots = append(roots, lack.Root)
			} else {
				named = append(named, timeline.Entry{Root: lack.Root, Heads: lack.Heads})
			}
		}
		still, _, err := l.compare(ctx, named)
		if err != nil {
			return err
		}
		for _, lack := range still {
			roots = append(roots, lack.Root)
		}
		if len(roots) == 0 {
			return errNeedless
		}
	}
	sh := l.share()
	if sh == nil || !sh.has(p) {
		return errNeedless
	}
	opts := SyncOptions{Mode: sh.Direction.mode(saga.Initiator)}
	_, err := l.n.initiate(ctx, peer.AddrInfo{ID: p}, sh, opts, roots, nil)
	return err
}

// compare compares what a peer names with the index: what is lacking here, and what
// is the same.
func (l *live) compare(ctx context.Context, named []timeline.Entry) (lacking []scheduler.Lack, same []ibgib.Hash, err error) {
	roots := make([]ibgib.Hash, len(named))
	for i, e := range named {
		roots[i] = e.Root
	}
	have, err := l.view.EntriesOf(ctx, roots)
	if err != nil {
		return nil, nil, err
	}
	forgotten, err := l.view.ForgottenRoots(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range named {
		if slices.Contains(forgotten, e.Root) {
			continue
		}
		var own []ibgib.Hash
		if len(have) > 0 && have[0].Root == e.Root {
			own, have = have[0].Heads, have[1:]
		}
		if slices.Equal(own, e.Heads) {
			same = append(same, e.Root)
			continue
		}
		heads, err := saga.Lacking(ctx, l.view, saga.Row{Root: e.Root, Own: own, Peer: e.Heads})
		if err != nil {
			return nil, nil, err
		}
		if len(heads) > 0 {
			lacking = append(lacking, scheduler.Lack{Root: e.Root, Heads: heads})
		}
	}
	return lacking, same, nil
}

// notice takes a notice of a trusted peer. It is Notice of protocol.Handlers. One of a
// share that the peer is no member of, or from which nothing comes here, is dropped.
func (n *Node) notice(ctx context.Context, p peer.ID, notice *protocol.Notice) {
	var ids []string
	if notice.Share != "" {
		ids = append(ids, notice.Share)
	}
	sh, err := n.shares.opened(p, ids)
	if err != nil {
		n.log.Debug("notice not taken", "peer", p, "error", err)
		return
	}
	if l := n.liveOf(sh); l != nil && sh.Direction != SendOnly {
		l.notice(ctx, p, notice)
	}
}

func (l *live) notice(ctx context.Context, p peer.ID, notice *protocol.Notice) {
	ctx, cancel := context.WithTimeout(ctx, comparing)
	defer cancel()
	if _, err := l.n.proved(ctx, p); err != nil {
		l.n.log.Debug("notice not taken", "peer", p, "error", err)
		return
	}
	lacking, same, err := l.compare(ctx, notice.Timelines)
	if err != nil {
		l.n.log.Debug("notice not taken", "peer", p, "error", err)
		return
	}
	l.n.metrics.Notice(metrics.Received)
	l.n.log.Debug("notice", "peer", p, "timelines", len(notice.Timelines), "lacking", len(lacking))
	l.tell(scheduler.Noticed{Peer: named(p), Lacking: lacking, Same: same})
}

// notify sends a notice that the Core has asked for.
func (l *live) notify(ctx context.Context, a scheduler.Notify) {
	left, err := l.send(ctx, a)
	if err != nil && ctx.Err() == nil {
		l.n.log.Debug("notice failed", "peer", a.Peer, "error", err)
	}
	l.tell(scheduler.Handed{Peer: a.Peer, Outcome: outcomeOf(err), Left: left})
}

// send sends it, but for what is left, which one notice has no room for.
func (l *live) send(ctx context.Context, a scheduler.Notify) (left []ibgib.Hash, err error) {
	p, err := peer.Decode(string(a.Peer))
	if err != nil {
		return nil, err
	}
	entries, err := l.view.EntriesOf(ctx, a.Roots)
	if err != nil {
		return nil, err
	}
	sh := l.share()
	if sh == nil || !sh.has(p) || sh.Direction == ReceiveOnly {
		return nil, nil
	}
	n := &protocol.Notice{Share: sh.ID}
	hashes := 0
	for _, e := range entries {
		if len(e.Heads) > saga.MaxHeads {
			continue // too many for a saga too
		}
		hashes += 1 + len(e.Heads)
		if len(n.Timelines) > 0 && hashes > maxNoticeHashes {
			left = append(left, e.Root)
			continue
		}
		n.Timelines = append(n.Timelines, e)
	}
	if len(n.Timelines) == 0 {
		return nil, nil
	}
	if _, err := l.n.prove(ctx, l.host, peer.AddrInfo{ID: p}); err != nil {
		return nil, err
	}
	err = protocol.Notify(ctx, l.host, p, n, l.n.wire)
	if err == nil {
		l.n.metrics.Notice(metrics.Sent)
	}
	return left, err
}
