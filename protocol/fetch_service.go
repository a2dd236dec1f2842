package protocol

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// What fetches cost a node at most. Strangers share what there is for them, and never
// take a place from a trusted peer.
const (
	maxStrangerFetches  = 8  // streams of all peers that are not trusted
	maxFetchesPerOrigin = 2  // of these, from one IP address (IPv6: /64)
	maxTrustedFetches   = 16 // of all trusted peers
	maxFetchesPerPeer   = 8  // of these, of one: as many as a node runs at the same time
	// maxFetchTime ends a stream; who wants more opens another one.
	maxFetchTime = 10 * time.Minute
	// fetchIdle is how long a peer may take until its next question begins.
	fetchIdle = 20 * time.Second

	// Strangers get so many bytes a second: those of one origin, and all together.
	strangerOriginRate = 4 << 20
	strangerRate       = 16 << 20
	// A question counts as so many bytes beside its answer, and so does each block
	// that it asks for: they cost reads even if nothing comes of them.
	questionCost = 4 << 10
	wantCost     = 64
	// A block that is read, shown or not, counts as so many.
	readCost = 64
	// chargeAtOnce bounds what is waited for at once, which Throttle does.
	chargeAtOnce = 1 << 20

	// maxFetchPayload bounds the blocks of an answer, in bytes; a single block may be
	// larger.
	maxFetchPayload = 1 << 20
)

// Closure is what one stream may see of the closure of its target. It is used by one
// goroutine.
type Closure interface {
	// Blocks returns those of the wanted blocks that belong to the closure and may be
	// shown: as many of the first as have this many bytes, or a single larger one. The
	// others of those it has looked at are absent.
	Blocks(ctx context.Context, wants []ibgib.Hash, bytes int) (blocks []ibgib.IbGib, absent []ibgib.Hash, err error)
	// Ahead names up to most blocks of the closure that it has not named or returned
	// before, each linked by one that it has.
	Ahead(ctx context.Context, most int) ([]ibgib.Hash, error)
	// Reads tells how many blocks have been read in all.
	Reads() int
}

// FetchHandlers do the work of a FetchService. Both are required, and are called from
// many goroutines at once.
type FetchHandlers struct {
	// Trusts tells whether a peer, proven by the secured channel, is trusted.
	Trusts func(p peer.ID) bool
	// Open returns what a peer may see of the closure of target: nothing of one that
	// is not stored, or not for it, between which it cannot tell.
	Open func(ctx context.Context, p peer.ID, target ibgib.Hash) (Closure, error)
}

// FetchService answers the streams of FetchID on one host.
type FetchService struct {
	host     host.Host
	handlers FetchHandlers
	opts     Options
	rates    *Throttle // of strangers, beside that of opts
	cancel   context.CancelFunc
	running  sync.WaitGroup

	served, refused, blocks, bytes atomic.Uint64

	mu      sync.Mutex
	closed  bool
	streams map[network.Stream]fetchPlace
}

// fetchPlace is what a stream counts for.
type fetchPlace struct {
	stranger bool
	origin   netip.Prefix
}

// ServeFetch registers the protocol on h. The context of each handler descends from
// ctx. The service must be closed before h is.
func ServeFetch(ctx context.Context, h host.Host, handlers FetchHandlers, opts Options) (*FetchService, error) {
	if opts.IdleTimeout == 0 {
		opts.IdleTimeout = fetchIdle
	}
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &FetchService{
		host: h, handlers: handlers, opts: opts, cancel: cancel,
		rates:   NewThrottle(Rates{Upload: strangerRate, PeerUpload: strangerOriginRate}, nil),
		streams: make(map[network.Stream]fetchPlace),
	}
	h.SetStreamHandler(FetchID, func(stream network.Stream) { s.serve(ctx, stream) })
	return s, nil
}

// Close stops taking streams, resets those that are open and waits for their handlers.
func (s *FetchService) Close() error {
	s.host.RemoveStreamHandler(FetchID)
	s.mu.Lock()
	s.closed = true
	for stream := range s.streams {
		_ = stream.Reset()
	}
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
	return nil
}

// FetchCounts are what a FetchService has done since it was made.
type FetchCounts struct {
	Served, Refused uint64 // streams; refused, since there were too many
	IbGibs, Bytes   uint64 // that were sent
}

// Counts returns what the service has done.
func (s *FetchService) Counts() FetchCounts {
	return FetchCounts{s.served.Load(), s.refused.Load(), s.blocks.Load(), s.bytes.Load()}
}

// sent counts blocks that have been sent.
func (s *FetchService) sent(blocks, bytes int) {
	s.blocks.Add(uint64(blocks))
	s.bytes.Add(uint64(bytes))
}

// Serves tells whether a peer is being answered.
func (s *FetchService) Serves(p peer.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream := range s.streams {
		if stream.Conn().RemotePeer() == p {
			return true
		}
	}
	return false
}

func (s *FetchService) serve(ctx context.Context, stream network.Stream) {
	p := stream.Conn().RemotePeer()
	place := fetchPlace{!s.handlers.Trusts(p), Origin(stream.Conn().RemoteMultiaddr())}
	if !s.enter(stream, place) {
		s.refused.Add(1)
		s.opts.Logger.Debug("fetch refused: too many", "peer", p)
		_ = stream.ResetWithError(network.StreamRateLimited)
		return
	}
	defer s.leave(stream)
	s.served.Add(1)
	ctx, cancel := context.WithTimeout(ctx, maxFetchTime)
	defer cancel()
	conn := newConn(stream, s.opts)
	defer conn.Abort()
	conn.limit(MaxHello)
	var valve *valve
	if place.stranger {
		valve = s.rates.join(place.origin.String())
		defer valve.close()
	}
	if err := s.answerAll(ctx, conn, valve); err != nil {
		s.opts.Logger.Debug("fetch ended", "peer", p, "error", err)
		if told := tellable(err); told != nil {
			_, _ = conn.Send(ctx, told) // a peer that is gone needs no answer
		}
	}
}

// enter counts a stream, or returns false if there are too many.
func (s *FetchService) enter(stream network.Stream, place fetchPlace) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	alike, here, own := 0, 0, 0
	for open, other := range s.streams {
		if other.stranger != place.stranger {
			continue
		}
		alike++
		if other.origin == place.origin {
			here++
		}
		if open.Conn().RemotePeer() == stream.Conn().RemotePeer() {
			own++
		}
	}
	switch {
	case s.closed:
		return false
	case place.stranger && (alike >= maxStrangerFetches || here >= maxFetchesPerOrigin):
		return false
	case !place.stranger && (alike >= maxTrustedFetches || own >= maxFetchesPerPeer):
		return false
	}
	s.streams[stream] = place
	s.running.Add(1)
	return true
}

func (s *FetchService) leave(stream network.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, stream)
	s.running.Done()
}

// answerAll answers the questions of one stream until the peer ends it.
func (s *FetchService) answerAll(ctx context.Context, conn *Conn, valve *valve) error {
	var closure Closure
	var target ibgib.Hash
	for {
		m, _, err := conn.Receive(ctx)
		if err != nil {
			return err // io.EOF too, which is no *saga.Error
		}
		ask, is := m.(*Fetch)
		switch {
		case !is:
			return &saga.Error{Code: saga.CodeProtocol, Text: "a question is a fetch"}
		case closure == nil:
			target = ask.Target
			if closure, err = s.handlers.Open(ctx, conn.Peer(), target); err != nil {
				return internal(err)
			}
		case ask.Target != target:
			return &saga.Error{Code: saga.CodeProtocol, Text: "another target on the same stream"}
		}
		if err := s.answer(ctx, conn, valve, closure, ask); err != nil {
			return err
		}
	}
}

// internal makes a *saga.Error of an error of this node.
func internal(err error) error {
	var e *saga.Error
	if errors.As(err, &e) {
		return err
	}
	return &saga.Error{Code: saga.CodeInternal, Text: "the blocks cannot be read", Retry: true, Err: err}
}

func (s *FetchService) answer(ctx context.Context, conn *Conn, valve *valve, closure Closure, ask *Fetch) error {
	before := closure.Reads()
	blocks, absent, err := closure.Blocks(ctx, ask.Wants, maxFetchPayload)
	if err != nil {
		return internal(err)
	}
	m := &Fetched{Absent: absent}
	if ask.Ahead {
		if m.Ahead, err = closure.Ahead(ctx, MaxAhead); err != nil {
			return internal(err)
		}
	}
	cost := questionCost + wantCost*(len(ask.Wants)+len(m.Ahead)) + readCost*(closure.Reads()-before)
	if err := charge(ctx, conn, valve, cost); err != nil {
		return err
	}
	if len(blocks) == 1 && blocks[0].Size() > saga.MaxItem {
		return s.sendChunks(ctx, conn, valve, blocks[0], m)
	}
	bytes := 0
	for _, g := range blocks {
		m.Items = append(m.Items, saga.Item{Form: saga.FormFull, Bytes: g.Stored()})
		bytes += g.Size()
	}
	if err := charge(ctx, conn, valve, bytes); err != nil {
		return err
	}
	if _, err = conn.Send(ctx, m); err == nil {
		s.sent(len(blocks), bytes)
	}
	return err
}

// charge waits until a stranger may cost so much more.
func charge(ctx context.Context, conn *Conn, valve *valve, bytes int) error {
	for ; bytes > 0 && valve != nil; bytes -= chargeAtOnce {
		valve.up(ctx, conn.ending, min(bytes, chargeAtOnce))
		if err := ctx.Err(); err != nil {
			return &saga.Error{Code: saga.CodeTimeout, Text: "that is all for now: open another stream", Retry: true, Err: err}
		}
	}
	return nil
}

// sendChunks sends a large block; the first message bears what else m says.
func (s *FetchService) sendChunks(ctx context.Context, conn *Conn, valve *valve, g ibgib.IbGib, m *Fetched) error {
	stored := g.Stored()
	for at := 0; at < len(stored); {
		piece := stored[at:min(at+saga.MaxItem, len(stored))]
		m.Items = []saga.Item{{Form: saga.FormChunk, Bytes: piece, Hash: g.Hash(), Offset: uint64(at), Total: uint64(len(stored))}}
		if err := charge(ctx, conn, valve, len(piece)); err != nil {
			return err
		}
		if _, err := conn.Send(ctx, m); err != nil {
			return fmt.Errorf("block %s: %w", g.Hash(), err)
		}
		at += len(piece)
		m = new(Fetched)
	}
	s.sent(1, len(stored))
	return nil
}
