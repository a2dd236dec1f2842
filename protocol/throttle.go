package protocol

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/time/rate"
)

// MinThrottle is the least rate that a Throttle takes, in bytes a second. With
// less, a message would take longer than the other side waits for one.
const MinThrottle = 64 << 10

// unthrottled is the size of a message up to which it does not wait: errors and
// other short words are counted, and go at once.
const unthrottled = 1 << 10

// Rates are in bytes a second, of messages as they travel in streams; what
// libp2p adds is not counted. Zero is no bound; otherwise at least MinThrottle.
type Rates struct {
	Upload, Download         int // of all peers together
	PeerUpload, PeerDownload int // of each peer
}

// Throttle slows the connections of a node down to rates. A second's worth, or
// the longest message if that is more, may go at once after a pause; a pause is no
// shorter for connections that have been closed meanwhile. Its methods are safe for
// concurrent use.
type Throttle struct {
	exempt func(remote ma.Multiaddr) bool

	sent, received waits

	mu    sync.Mutex
	rates Rates
	all   flow
	peers map[string]*peerFlow // by peer id, or whatever else join is given
	tidy  int                  // of peers: then those that have had their pause are removed
}

// Waits counts how often something has waited, and for how long in all.
type Waits struct {
	Count uint64
	Time  time.Duration
}

type waits struct{ count, nanoseconds atomic.Uint64 }

func (w *waits) add(d time.Duration) {
	w.count.Add(1)
	w.nanoseconds.Add(uint64(d))
}

func (w *waits) get() Waits { return Waits{w.count.Load(), time.Duration(w.nanoseconds.Load())} }

// Waits returns what messages have waited for since the Throttle was made: those to be
// sent, and those to be received.
func (t *Throttle) Waits() (sent, received Waits) { return t.sent.get(), t.received.get() }

// minTidy is how many peers are remembered before it is looked for which need not be.
const minTidy = 64

// flow has the limits of both directions; nil is none.
type flow struct{ up, down *rate.Limiter }

// isFull tells whether as much may go at once as after any pause.
func (f *flow) isFull() bool {
	for _, l := range []*rate.Limiter{f.up, f.down} {
		if l != nil && l.Tokens() < float64(l.Burst()) {
			return false
		}
	}
	return true
}

type peerFlow struct {
	flow
	conns int
}

// NewThrottle makes a Throttle. Connections whose remote address is exempt when
// they begin are not slowed down; exempt may be nil.
func NewThrottle(rates Rates, exempt func(remote ma.Multiaddr) bool) *Throttle {
	t := &Throttle{exempt: exempt, peers: make(map[string]*peerFlow), tidy: minTidy}
	t.SetRates(rates)
	return t
}

// SetRates changes the rates, also of connections that are open. What waits
// already goes on waiting as long as it would have.
func (t *Throttle) SetRates(rates Rates) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rates = rates
	t.all.set(rates.Upload, rates.Download)
	for _, p := range t.peers {
		p.set(rates.PeerUpload, rates.PeerDownload)
	}
}

func (f *flow) set(up, down int) {
	f.up = limiter(f.up, up)
	f.down = limiter(f.down, down)
}

// limiter returns one of n bytes a second, the given one if there is one.
func limiter(l *rate.Limiter, n int) *rate.Limiter {
	if n <= 0 {
		return nil
	}
	burst := max(n, MaxMessage+maxLengthPrefix)
	if l == nil {
		return rate.NewLimiter(rate.Limit(n), burst)
	}
	l.SetLimit(rate.Limit(n))
	l.SetBurst(burst)
	return l
}

// open returns how a connection with the peer is slowed down, nil for not at
// all, which is a valid *valve too.
func (t *Throttle) open(c network.Conn) *valve {
	if t == nil || t.exempt != nil && t.exempt(c.RemoteMultiaddr()) {
		return nil
	}
	return t.join(string(c.RemotePeer()))
}

// join returns the part of one more connection of those that share the rates of a peer.
func (t *Throttle) join(key string) *valve {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[key]
	if p == nil {
		if len(t.peers) >= t.tidy {
			maps.DeleteFunc(t.peers, func(_ string, p *peerFlow) bool { return p.conns == 0 && p.isFull() })
			t.tidy = max(minTidy, 2*len(t.peers))
		}
		p = new(peerFlow)
		p.set(t.rates.PeerUpload, t.rates.PeerDownload)
		t.peers[key] = p
	}
	p.conns++
	return &valve{throttle: t, all: &t.all, peer: p, key: key}
}

// valve is one connection's part in a Throttle.
type valve struct {
	throttle *Throttle
	all      *flow
	peer     *peerFlow
	key      string
}

func (v *valve) close() {
	if v == nil {
		return
	}
	v.throttle.mu.Lock()
	defer v.throttle.mu.Unlock()
	if v.peer.conns--; v.peer.conns == 0 && v.peer.isFull() {
		delete(v.throttle.peers, v.key)
	}
}

// up waits until n bytes may be sent, down until they may be received. They
// return early when ctx or stop ends; the reads and writes that follow see that.
func (v *valve) up(ctx context.Context, stop <-chan struct{}, n int) {
	if v != nil {
		wait(ctx, stop, n, v.limiters(func(f *flow) *rate.Limiter { return f.up }), &v.throttle.sent)
	}
}

func (v *valve) down(ctx context.Context, stop <-chan struct{}, n int) {
	if v != nil {
		wait(ctx, stop, n, v.limiters(func(f *flow) *rate.Limiter { return f.down }), &v.throttle.received)
	}
}

func wait(ctx context.Context, stop <-chan struct{}, n int, limiters []*rate.Limiter, waits *waits) {
	now := time.Now()
	var taken []*rate.Reservation
	var delay time.Duration
	for _, l := range limiters {
		r := l.ReserveN(now, n)
		taken = append(taken, r)
		delay = max(delay, r.DelayFrom(now))
	}
	if delay == 0 || n <= unthrottled {
		return
	}
	defer func() { waits.add(time.Since(now)) }()
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return
	case <-ctx.Done():
	case <-stop:
	}
	for _, r := range taken {
		r.Cancel()
	}
}

func (v *valve) limiters(direction func(*flow) *rate.Limiter) []*rate.Limiter {
	v.throttle.mu.Lock()
	defer v.throttle.mu.Unlock()
	var list []*rate.Limiter
	for _, f := range []*flow{v.all, &v.peer.flow} {
		if l := direction(f); l != nil {
			list = append(list, l)
		}
	}
	return list
}
