package node

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/gather"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

const (
	// fetchSilence is how long a peer may take to begin an answer.
	fetchSilence = 15 * time.Second
	// fetchSlow is how long an answer may be under way before its peer is told of as
	// one that failed, if the fetch has ended without it.
	fetchSlow = 5 * time.Second
)

// fetchSource is a peer that is asked.
type fetchSource struct {
	number gather.Source
	peer   peer.ID
	ibgibs int
	since  time.Time // when the answer that is under way was asked for; zero: none is
	err    error
	mark   string
}

func (f *fetcher) isAsked(p peer.ID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.asked, func(s *fetchSource) bool { return s.peer == p })
}

func (f *fetcher) newSource(p peer.ID) *fetchSource {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &fetchSource{number: gather.Source(len(f.asked)), peer: p}
	f.asked = append(f.asked, s)
	return s
}

// candidates sends the peers to ask, the best ones first. sought returns, when the
// channel has been closed, why nobody could be found, if that is known.
func (f *fetcher) candidates(ctx context.Context, running *sync.WaitGroup, h host.Host, addr ibgib.Addr, named []peer.AddrInfo) (_ <-chan peer.AddrInfo, sought func() error) {
	out := make(chan peer.AddrInfo)
	var failure error
	send := func(info peer.AddrInfo) bool {
		select {
		case out <- info:
			return true
		case <-ctx.Done():
			return false
		}
	}
	running.Go(func() {
		defer close(out)
		if len(named) > 0 {
			for _, info := range named {
				if !send(info) {
					return
				}
			}
			return
		}
		for _, p := range f.n.trust.list() {
			if isLinked(h, p) && !send(peer.AddrInfo{ID: p}) {
				return
			}
		}
		found, err := f.n.FindProviders(ctx, addr)
		if err != nil {
			failure = err
			return
		}
		for info := range found {
			if info.ID != f.n.id.id && !send(info) {
				return
			}
		}
		failure = f.n.notInDHT()
	})
	return out, func() error { return failure }
}

// ask asks one peer as long as it gives what it is asked for.
func (f *fetcher) ask(ctx context.Context, h host.Host, to peer.AddrInfo, s *fetchSource) (err error) {
	defer func() { f.end(ctx, s, err) }()
	if len(to.Addrs) == 0 {
		to.Addrs = f.n.contacts.addrs(to.ID)
	}
	wire := f.n.wire
	wire.IdleTimeout = cmp.Or(wire.IdleTimeout, fetchSilence)
	stream, err := protocol.OpenFetch(ctx, h, to, f.target, wire)
	if err != nil {
		return err
	}
	defer stream.Abort()
	stage, err := f.n.store.NewStage(blockstore.DefaultShare, blockstore.Origin{Peer: to.ID.String()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Discard()) }()
	for {
		wants, ahead, changed, err := f.next(s)
		if err != nil {
			return err
		}
		if len(wants) == 0 {
			if changed == nil {
				return nil
			}
			if err := wait(ctx, changed); err != nil {
				return err
			}
			continue
		}
		reply, err := stream.Ask(ctx, wants, ahead)
		if took := f.take(ctx, s, stage, wants, reply); err == nil {
			err = took
		}
		if err != nil {
			return err
		}
	}
}

// wait waits until blocks have come, or for a moment: then others may have become too
// slow.
func wait(ctx context.Context, changed <-chan struct{}) error {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return stopped(ctx)
	}
	return nil
}

// end notes how it ended with a peer, and marks it if that was its fault.
func (f *fetcher) end(ctx context.Context, s *fetchSource, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kind := ""
	var e *saga.Error
	switch {
	case f.fatal != nil || err == nil:
	case ctx.Err() != nil:
		// The fetch is over. Who has been silent all the while has not helped.
		if err = nil; f.plan.Left() == 0 && !s.since.IsZero() && time.Since(s.since) > fetchSlow {
			kind, err = MarkFailed, &saga.Error{Code: saga.CodeTimeout, Text: "no answer while the others gave all"}
		}
	case !errors.As(err, &e):
	case e.Code == saga.CodeProtocol && !e.Remote:
		kind = MarkLied
	case e.Code == saga.CodeTimeout, e.Code == saga.CodeLimit && !e.Remote, errors.Is(err, errHalf):
		kind = MarkFailed
	}
	s.err, s.mark = err, kind
	switch {
	case kind != "":
		f.n.log.Info("peer marked", "peer", s.peer, "mark", kind, "reason", err)
		err = f.n.marks.add(s.peer, kind, err.Error())
	case s.err == nil && s.ibgibs > 0:
		err = f.n.marks.remove(s.peer)
	default:
		return
	}
	if err != nil {
		f.n.log.Warn("marked peers not stored", "error", err)
	}
}
