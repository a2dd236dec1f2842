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
	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/gather"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

const (
	// fetchSilence is how long a peer may take to begin an answer.
	fetchSilence = 15 * time.Second
	// fetchSlow is how long a peer that is slow has a place before it gives way to others
	// that wait to be asked, and how long it may have been tardy in all before it is marked.
	fetchSlow = 5 * time.Second
	// fetchFaster is how many times as much as from a slow peer has come from another
	// one if the slow one is marked.
	fetchFaster = 20
)

// errTooSlow is for a peer that has given way to another one.
var errTooSlow = &saga.Error{Code: saga.CodeTimeout, Text: "it is slow, and another node waited to be asked"}

// fetchSource is a peer that is asked.
type fetchSource struct {
	number gather.Source
	peer   peer.ID
	cancel context.CancelCauseFunc
	began  time.Time
	asked  bool // for something
	gone   bool // it has given way
	over   bool
	ibgibs int
	err    error
	mark   string
}

func (f *fetcher) isAsked(p peer.ID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.asked, func(s *fetchSource) bool { return s.peer == p })
}

// newSource adds a peer, and returns the context in which it is asked.
func (f *fetcher) newSource(ctx context.Context, p peer.ID) (*fetchSource, context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	own, cancel := context.WithCancelCause(ctx)
	s := &fetchSource{number: gather.Source(len(f.asked)), peer: p, cancel: cancel, began: time.Now()}
	f.asked = append(f.asked, s)
	f.plan.Began(s.number, s.began)
	return s, own
}

// places counts the peers that are being asked and are not slow. drop is the slowest one
// of those that have had a place for some time, nil if there is none: those that are slow only
// because they are far away are waited with until there are no others.
func (f *fetcher) places() (quick int, drop *fetchSource) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	least, tardy, others := float64(gather.SlowPace), false, false
	for _, s := range f.asked {
		if s.over || s.gone {
			continue
		}
		if !f.plan.Slow(s.number, now) {
			quick++
		}
		pace, asked := f.plan.Pace(s.number, now)
		if asked <= 0 || pace >= gather.SlowPace {
			continue
		}
		is := f.plan.Tardy(s.number, now) > 0
		others = others || is
		if now.Sub(s.began) >= fetchSlow && (is && !tardy || is == tardy && pace < least) {
			drop, least, tardy = s, pace, is
		}
	}
	if others && !tardy {
		return quick, nil
	}
	return quick, drop
}

// drop ends the asking of a slow peer.
func (f *fetcher) drop(s *fetchSource) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.gone = true
	s.cancel(errTooSlow)
}

// ended notes that a peer is not asked any more, and returns why, nil if all is here.
func (f *fetcher) ended(s *fetchSource) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.over = true
	return s.err
}

// candidates sends the peers to ask, the best ones first: those that are trusted and
// connected, then at most dht.MaxProviders that are found. sought returns, when the
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
		// The search does not wait for those that are asked meanwhile.
		all := make(chan peer.AddrInfo, dht.MaxProviders)
		running.Go(func() {
			defer close(all)
			for info := range found {
				all <- info
			}
		})
		for info := range all {
			if !send(info) {
				return
			}
		}
		failure = f.n.notInDHT()
	})
	return out, func() error { return failure }
}

// ask asks one peer as long as it gives what it is asked for.
func (f *fetcher) ask(ctx context.Context, h host.Host, to peer.AddrInfo, s *fetchSource) {
	defer s.cancel(nil)
	err := f.askAll(ctx, h, to, s)
	if cause := context.Cause(ctx); cause == errTooSlow || cause == errNoRoom {
		err = cause
	}
	f.end(ctx, s, err)
}

func (f *fetcher) askAll(ctx context.Context, h host.Host, to peer.AddrInfo, s *fetchSource) (err error) {
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
	stage, err := f.n.store.NewStage(blockstore.DefaultShare, blockstore.Origin{Peer: to.ID.String(), Fetched: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Discard()) }()
	f.ready(s)
	for {
		wants, ahead, again, changed, err := f.next(s)
		if err != nil {
			return err
		}
		if len(wants) == 0 {
			if changed == nil {
				return nil
			}
			if err := wait(ctx, again, changed); err != nil {
				return err
			}
			continue
		}
		if err := f.askOnce(ctx, s, stream, stage, wants, ahead); err != nil {
			return err
		}
	}
}

// askOnce asks one question, and takes the answer.
func (f *fetcher) askOnce(ctx context.Context, s *fetchSource, stream *protocol.Fetching, stage *blockstore.Stage, wants []ibgib.Hash, ahead bool) error {
	room := f.n.fetchRoom.hold(s.cancel, time.Now())
	defer room.release()
	reply, err := stream.Ask(ctx, wants, ahead, func(h ibgib.Hash) error {
		f.piece(s, h)
		return room.take(saga.MaxItem, time.Now())
	})
	if took := f.take(ctx, s, stage, wants, reply); err == nil {
		err = took
	}
	return err
}

func (f *fetcher) ready(s *fetchSource) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan.Ready(s.number, time.Now())
}

func (f *fetcher) piece(s *fetchSource, h ibgib.Hash) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan.Piece(s.number, h, saga.MaxItem, time.Now())
}

// wait waits until blocks have come, until again, or for a moment: then others may have
// become slow.
func wait(ctx context.Context, again time.Time, changed <-chan struct{}) error {
	pause := time.Second
	if !again.IsZero() {
		pause = min(pause, time.Until(again))
	}
	timer := time.NewTimer(pause)
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
	case f.fatal != nil:
	case err == errTooSlow:
		if f.isSlow(s) {
			kind = MarkFailed
		}
	case err == errNoRoom: // no fault of the peer
	case err == nil || ctx.Err() != nil:
		// The fetch is over. Who has been slow all the while has not helped.
		if err = nil; f.plan.Left() == 0 && f.isLate(s) {
			kind, err = MarkFailed, &saga.Error{Code: saga.CodeTimeout, Text: "it was slow while another node gave nearly all"}
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

// isSlow tells whether a peer was asked for some time and was slow, and not only because
// it is far away. f.mu is held.
func (f *fetcher) isSlow(s *fetchSource) bool {
	now := time.Now()
	pace, _ := f.plan.Pace(s.number, now)
	return s.asked && f.plan.Tardy(s.number, now) >= fetchSlow && pace < gather.SlowPace
}

// isLate tells whether a peer has been slow for some time, by far slower than another
// one. f.mu is held.
func (f *fetcher) isLate(s *fetchSource) bool {
	return f.isSlow(s) && slices.ContainsFunc(f.asked, func(other *fetchSource) bool { return other.ibgibs > fetchFaster*s.ibgibs })
}
