package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/gather"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

const (
	// maxFetchSources bounds the peers that one fetch asks at the same time, those that
	// are slow apart; it is one more for each fetchLong that the fetch takes.
	maxFetchSources = 4
	fetchLong       = 5 * time.Second
	// maxFetchAsked bounds those that it asks at the same time, with those that are slow.
	maxFetchAsked = 16
)

// fetcher is one fetch. What goes on with several peers at once meets in its plan.
type fetcher struct {
	n      *Node
	target ibgib.Hash

	mu      sync.Mutex // guards what follows
	plan    *gather.Plan
	fatal   error // ends the fetch
	asked   []*fetchSource
	ibgibs  int
	bytes   int64
	changed chan struct{} // closed and replaced when blocks have come
}

func newFetcher(n *Node, target ibgib.Hash) *fetcher {
	return &fetcher{n: n, target: target, plan: gather.New(), changed: make(chan struct{})}
}

func (f *fetcher) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.plan.Left()
}

func (f *fetcher) example() ibgib.Hash {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append(f.plan.Missing(1), ibgib.Hash{})[0]
}

// seek finds what is lacking by what is here.
func (f *fetcher) seek(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.need(ctx, []ibgib.Hash{f.target})
	return err
}

// need notes that blocks belong to the closure, with what is stored of what they
// reach. It returns those that had come before they were known to be needed. f.mu is
// held.
func (f *fetcher) need(ctx context.Context, hashes []ibgib.Hash) (early []ibgib.IbGib, err error) {
	for len(hashes) > 0 {
		hashes = slices.DeleteFunc(hashes, f.plan.Knows)
		closed, err := f.n.view.HasClosed(ctx, hashes)
		if err != nil {
			return nil, err
		}
		open := hashes[:0:0]
		for i, h := range hashes {
			if closed[i] {
				f.plan.Stored(h)
			} else if !f.plan.Knows(h) {
				open = append(open, h)
			}
		}
		positions, err := f.n.view.Positions(ctx, open)
		if err != nil {
			return nil, err
		}
		hashes = nil
		for i, h := range open {
			if f.plan.Knows(h) {
				continue // twice in the list
			}
			if positions[i] == 0 {
				if g, come := f.plan.Need(h); come {
					early = append(early, g)
				}
				continue
			}
			g, err := f.n.view.Block(ctx, h)
			if err != nil {
				return nil, err
			}
			f.plan.Stored(h)
			hashes = appendLinks(hashes, g)
		}
	}
	return early, nil
}

func appendLinks(hashes []ibgib.Hash, g ibgib.IbGib) []ibgib.Hash {
	for to := range g.Targets() {
		if h, ok := to.Hash(); ok {
			hashes = append(hashes, h)
		}
	}
	return hashes
}

// gather asks peers until nothing is lacking. Those that are named are asked and no
// others; without names, those that are found.
func (f *fetcher) gather(ctx context.Context, addr ibgib.Addr, named []peer.AddrInfo, progress func(FetchProgress)) error {
	h, release, err := f.n.dialer()
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	candidates, sought := f.candidates(ctx, &running, h, addr, named)
	ended := make(chan *fetchSource)
	var later []peer.AddrInfo // that have failed before
	var last error
	active, found, began := 0, 0, time.Now()
	pace := time.NewTicker(progressEvery)
	defer pace.Stop()
	// begin asks one more; slowest gives way to it if there are too many.
	begin := func(info peer.AddrInfo, slowest *fetchSource) {
		if active >= maxFetchAsked {
			f.drop(slowest)
		}
		s, own := f.newSource(ctx, info.ID)
		active++
		found++
		running.Go(func() {
			f.ask(own, h, info, s)
			select {
			case ended <- s:
			case <-ctx.Done():
			}
		})
	}
	for {
		quick, slowest := f.places()
		room := quick < maxFetchSources+int(time.Since(began)/fetchLong) && (active < maxFetchAsked || slowest != nil)
		exhausted := candidates == nil
		var next <-chan peer.AddrInfo
		if room {
			next = candidates
		}
		switch {
		case exhausted && room && quick == 0 && len(later) > 0:
			begin(later[0], slowest)
			later = later[1:]
		case exhausted && active == 0 && found == 0:
			return cmp.Or(sought(), errNobody)
		case exhausted && active == 0:
			return f.incomplete(last)
		}
		select {
		case info, ok := <-next:
			switch mark := f.n.marks.of(info.ID); {
			case !ok:
				candidates = nil
			case f.isAsked(info.ID):
			case mark == nil || len(named) > 0:
				begin(info, slowest)
			case mark.Kind == MarkFailed:
				later = append(later, info)
			}
		case s := <-ended:
			active--
			if err := f.ended(s); err != nil {
				last = err
			}
		case <-pace.C:
			if progress != nil {
				progress(f.progress(active))
			}
		case <-ctx.Done():
			return stopped(ctx)
		}
		if f.isOver() {
			return nil
		}
	}
}

// progressEvery is how often the progress of a fetch is told.
const progressEvery = 100 * time.Millisecond

// isOver tells whether all is here, or nothing can help.
func (f *fetcher) isOver() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.plan.Left() == 0 || f.fatal != nil
}

func (f *fetcher) progress(peers int) FetchProgress {
	f.mu.Lock()
	defer f.mu.Unlock()
	return FetchProgress{IbGibs: f.ibgibs, Bytes: f.bytes, Known: f.plan.Left(), Peers: peers}
}

// next returns what to ask a peer for. If that is nothing now, it may be something at the
// time of again, if that is not zero, or when changed is closed; this is nil when all is
// here. The error is for a peer that does not show what is lacking.
func (f *fetcher) next(s *fetchSource) (wants []ibgib.Hash, ahead bool, again time.Time, changed <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.plan.Left() == 0 || f.fatal != nil {
		return nil, false, again, nil, nil
	}
	wants, ahead, again = f.plan.Next(s.number, time.Now())
	switch {
	case len(wants) > 0:
		s.asked = true
	case !f.plan.IsOpen(s.number) && s.ibgibs == 0:
		return nil, false, again, nil, errNotShown
	case !f.plan.IsOpen(s.number):
		return nil, false, again, nil, errHalf
	}
	return wants, ahead, again, f.changed, nil
}

// errNotShown is for a peer that shows nothing of what is asked for.
var errNotShown error = absence("it does not show that ibGib: its owner has not provided the timeline, or the node has not got that far")

// errHalf is for a peer that shows an ibGib and not all that it links to.
var errHalf = &saga.Error{Code: saga.CodeRefused, Text: "it shows the ibGib, but not all that this links to"}

// take stores what a peer has answered.
func (f *fetcher) take(ctx context.Context, s *fetchSource, stage *blockstore.Stage, wants []ibgib.Hash, reply protocol.FetchReply) error {
	came := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes += int64(reply.Bytes)
	answer := gather.Answer{Blocks: len(reply.Blocks), Absent: reply.Absent}
	var needed []ibgib.IbGib
	for _, g := range reply.Blocks {
		answer.Bytes += g.Size()
		if f.plan.Arrived(g) {
			needed = append(needed, g)
		}
	}
	f.plan.Hint(s.number, reply.Ahead)
	err := f.put(ctx, s, stage, needed)
	f.plan.Answered(s.number, came, wants, answer)
	close(f.changed)
	f.changed = make(chan struct{})
	return err
}

// put stores blocks that are needed, and with them those that have come early and turn
// out to be needed by that. f.mu is held.
func (f *fetcher) put(ctx context.Context, s *fetchSource, stage *blockstore.Stage, needed []ibgib.IbGib) error {
	all := slices.Clone(needed)
	for len(needed) > 0 {
		var links []ibgib.Hash
		for _, g := range needed {
			f.plan.Stored(g.Hash())
			links = appendLinks(links, g)
		}
		var err error
		if needed, err = f.need(ctx, links); err != nil {
			f.lose(all)
			return err
		}
		all = append(all, needed...)
	}
	if len(all) == 0 {
		return nil
	}
	res, err := stage.Put(ctx, all)
	if err != nil {
		f.lose(all)
		if full, ok := errors.AsType[*blockstore.PeerBudgetError](err); ok {
			// Another source does not help.
			f.fatal = fmt.Errorf("more than %d MiB of what is fetched would be part of no timeline yet, which is more than this node takes (limits.peer-disk); what other fetches have left goes away some days after these: %w", full.Budget>>20, err)
			return f.fatal
		}
		return err
	}
	for _, refused := range res.Refused {
		f.n.metrics.Refused(string(refused.Rule))
	}
	if len(res.Refused) > 0 {
		f.fatal = res.Refused[0]
		return f.fatal
	}
	s.ibgibs += res.Stored
	f.ibgibs += res.Stored
	f.plan.Useful(len(all))
	return nil
}

// lose notes that blocks could not be stored.
func (f *fetcher) lose(gs []ibgib.IbGib) {
	for _, g := range gs {
		f.plan.Lost(g.Hash())
	}
}

// result fills in what is known of the fetch.
func (f *fetcher) result(r FetchResult) FetchResult {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.IbGibs, r.Bytes = f.ibgibs, f.bytes
	for _, s := range f.asked {
		source := FetchSource{Peer: s.peer.String(), IbGibs: s.ibgibs, Mark: s.mark}
		if s.err != nil {
			source.Error = s.err.Error()
		}
		r.Sources = append(r.Sources, source)
	}
	return r
}
