package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/ibgib/ibgib-node/dht"
)

const (
	// maxDials bounds the peers that are dialled at the same time.
	maxDials = 8
	// dialTime bounds one attempt, with the meeting that follows.
	dialTime = 30 * time.Second
	// The wait after a failed attempt doubles each time, from the first to the last;
	// a quarter more or less, so that nodes do not act in step.
	firstRedial = time.Second
	lastRedial  = 5 * time.Minute
	// steadyAfter is how long a connection has to last before the next wait is the
	// first one again.
	steadyAfter = time.Minute
	// Of two that find each other the one with the lower peer id dials at once, the
	// other waits for that.
	courtesy = 500 * time.Millisecond
	// Peers without trust that were found: so many are looked at, so often each.
	maxFoundStrangers = 64
	strangerAttempts  = 3
	// saveContactsEvery is how often what has changed about contacts is stored.
	saveContactsEvery = 30 * time.Second
)

// finder connects a node with trusted peers, and keeps it connected; and with
// those of its mesh that are found on the local network, to see whether they are
// to be trusted. On each connection that it opens it begins a meeting. What the
// peers have to say to each other then is not its business.
type finder struct {
	n    *Node
	host host.Host

	far chan peer.AddrInfo // found in the DHT

	mu     sync.Mutex
	woken  map[peer.ID]bool // to be dialled at once
	signal chan struct{}    // there are some

	// Of the goroutine of run.
	targets map[peer.ID]*target
	dials   int
	ended   chan attempt
}

// target is a peer to connect to.
type target struct {
	found    []ma.Multiaddr // where it was found on the local network
	far      []ma.Multiaddr // where it was found in the DHT
	due      time.Time      // zero: not until something happens
	failures int            // attempts that failed, or did not last, in a row
	dialling bool
	since    time.Time // when it was reached last
}

// attempt is how dialling a peer went.
type attempt struct {
	peer peer.ID
	err  error
}

func newFinder(n *Node, h host.Host) *finder {
	return &finder{
		n: n, host: h, woken: make(map[peer.ID]bool), signal: make(chan struct{}, 1),
		targets: make(map[peer.ID]*target), ended: make(chan attempt, maxDials), far: make(chan peer.AddrInfo),
	}
}

// start begins to find peers, in a goroutine that it hands to run and that ends
// with ctx.
func (f *finder) start(ctx context.Context, run func(func())) error {
	service, err := dht.ServiceName(f.n.mesh.Name, f.n.mesh.tag())
	if err != nil {
		return fmt.Errorf("finder: %w", err)
	}
	sub, err := f.host.EventBus().Subscribe([]any{
		new(event.EvtPeerConnectednessChanged), new(event.EvtPeerIdentificationCompleted), new(event.EvtLocalAddressesUpdated),
	}, eventbus.BufSize(256))
	if err != nil {
		return fmt.Errorf("finder: %w", err)
	}
	run(func() {
		var found <-chan peer.AddrInfo
		if f.n.mesh.MDNS {
			search := dht.StartMDNS(ctx, f.host, service, dht.MDNSOptions{Loopback: onlyLoopback(f.n.listen), Report: f.report})
			defer search.Close()
			found = search.Found()
		}
		f.run(ctx, found, sub.Out())
		if err := sub.Close(); err != nil {
			f.n.log.Debug("event subscription not closed", "error", err)
		}
	})
	return nil
}

// report tells a person how the search on the local network goes.
func (f *finder) report(err error) {
	state := searchOn
	if err != nil {
		state = err.Error()
	}
	f.n.search.Store(&state)
	if err != nil {
		f.n.log.Warn("the local network is not searched for nodes; it will be when that is possible", "reason", err)
		return
	}
	f.n.log.Info("searching the local network for nodes")
}

// trustedTag protects connections of trusted peers from being closed when there
// are many.
const trustedTag = "trusted"

// trusted notes that a peer is trusted from now on; f may be nil.
func (f *finder) trusted(p peer.ID) {
	if f == nil {
		return
	}
	f.host.ConnManager().Protect(p, trustedTag)
	f.n.contacts.saw(p, f.host.Peerstore().Addrs(p))
	f.dial(p)
}

// dial has a trusted peer dialled at once; f may be nil.
func (f *finder) dial(p peer.ID) {
	if f == nil {
		return
	}
	f.mu.Lock()
	f.woken[p] = true
	f.mu.Unlock()
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

// untrusted notes that a peer is not trusted any more; f may be nil.
func (f *finder) untrusted(p peer.ID) {
	if f != nil {
		f.host.ConnManager().Unprotect(p, trustedTag)
	}
}

func (f *finder) takeWoken() map[peer.ID]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	woken := f.woken
	f.woken = make(map[peer.ID]bool)
	return woken
}

// run dials what is due and follows what happens, until ctx ends.
func (f *finder) run(ctx context.Context, found <-chan peer.AddrInfo, events <-chan any) {
	var dialling sync.WaitGroup
	defer dialling.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	save := time.NewTicker(saveContactsEvery)
	defer save.Stop()
	defer f.saveContacts()
	for _, p := range f.n.trust.list() {
		f.host.ConnManager().Protect(p, trustedTag)
		f.target(p).due = time.Now()
	}
	for {
		timer.Reset(f.dialDue(ctx, &dialling))
		select {
		case info := <-found:
			if f.trusts(info.ID) {
				f.n.contacts.saw(info.ID, info.Addrs)
			}
			if t := f.heard(info); t != nil {
				t.found = info.Addrs
			}
		case info := <-f.far:
			if t := f.heard(info); t != nil {
				t.far = info.Addrs
			}
		case <-f.signal:
			for p := range f.takeWoken() {
				t := f.target(p)
				t.due, t.failures = time.Now(), 0
			}
		case e, ok := <-events:
			if !ok {
				return
			}
			f.happened(e)
		case a := <-f.ended:
			f.dialled(a)
		case <-timer.C:
		case <-save.C:
			f.saveContacts()
		case <-ctx.Done():
			return
		}
	}
}

func (f *finder) saveContacts() {
	if err := f.n.contacts.save(); err != nil {
		f.n.log.Warn("contacts not stored", "error", err)
	}
}

// target returns the target for a peer.
func (f *finder) target(p peer.ID) *target {
	t := f.targets[p]
	if t == nil {
		t = new(target)
		f.targets[p] = t
	}
	return t
}

func (f *finder) trusts(p peer.ID) bool {
	_, ok := f.n.trust.trusts(p)
	return ok
}

// isConnected tells whether there is a direct connection. With a relayed one a target
// goes on being dialled.
func (f *finder) isConnected(p peer.ID) bool {
	return f.host.Network().Connectedness(p) == network.Connected
}

// dialDue dials the targets whose time has come, and returns how long it is until
// the next one's.
func (f *finder) dialDue(ctx context.Context, dialling *sync.WaitGroup) time.Duration {
	next := time.Hour
	for p, t := range f.targets {
		if t.dialling {
			continue
		}
		if f.n.trust.denies(p) || t.due.IsZero() && !f.trusts(p) {
			delete(f.targets, p)
			continue
		}
		if t.due.IsZero() {
			continue
		}
		wait := time.Until(t.due)
		if wait > 0 {
			next = min(next, wait)
			continue
		}
		if f.dials == maxDials {
			continue // ended will come
		}
		addrs, trusted := f.addrs(p, t), f.trusts(p)
		if len(addrs) == 0 && !(trusted && f.n.wide.Load() != nil) || f.isConnected(p) {
			t.due = time.Time{}
			continue
		}
		if s, ok := f.host.Network().(*swarm.Swarm); ok {
			s.Backoff().Clear(p) // that of the library lasts longer than what caused it
		}
		t.due, t.dialling = time.Time{}, true
		f.dials++
		dialling.Go(func() {
			err := f.greet(ctx, peer.AddrInfo{ID: p, Addrs: addrs})
			if err != nil && trusted {
				err = f.greetElsewhere(ctx, p, err)
			}
			f.ended <- attempt{p, err} // there is room for it: it holds one of each that is dialling
		})
	}
	return next
}

func (f *finder) greet(ctx context.Context, to peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if isLinked(f.host, to.ID) {
		// It was met over a relay; only a direct connection is better.
		if err := f.host.Connect(network.WithForceDirectDial(ctx, "instead of a relay"), to); err != nil {
			return err
		}
	}
	return f.n.greet(ctx, f.host, to)
}

// greetElsewhere looks in the DHT for where a trusted peer is now that could not be
// met, and tries there. It returns failed if the DHT knows nothing.
func (f *finder) greetElsewhere(ctx context.Context, p peer.ID, failed error) error {
	w := f.n.wide.Load()
	if w == nil {
		return failed
	}
	within, cancel := context.WithTimeout(ctx, dialTime)
	info, err := w.kad.FindPeer(within, p)
	cancel()
	if err != nil || len(info.Addrs) == 0 {
		return failed
	}
	return f.greet(ctx, info)
}

// addrs returns where a target may be reached.
func (f *finder) addrs(p peer.ID, t *target) []ma.Multiaddr {
	addrs := append(slices.Clone(t.found), f.n.contacts.addrs(p)...)
	addrs = append(addrs, t.far...)
	for _, a := range f.host.Peerstore().Addrs(p) {
		if isDirect(a) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// heard notes a peer of the mesh that the local network or the DHT knows. It returns
// the target, nil if the peer is none.
func (f *finder) heard(info peer.AddrInfo) *target {
	p := info.ID
	if !f.trusts(p) && f.targets[p] == nil && len(f.targets)-len(f.n.trust.list()) >= maxFoundStrangers || f.n.trust.denies(p) {
		return nil
	}
	t := f.target(p)
	if f.isConnected(p) {
		return t
	}
	f.n.log.Debug("peer found", "peer", p, "addrs", info.Addrs)
	t.due, t.failures = time.Now(), 0
	if f.host.ID() > p {
		t.due = t.due.Add(courtesy)
	}
	return t
}

// dialled notes the end of an attempt.
func (f *finder) dialled(a attempt) {
	f.dials--
	t := f.target(a.peer)
	t.dialling = false
	trusted := f.trusts(a.peer)
	if a.err != nil {
		f.n.log.Debug("peer not met", "peer", a.peer, "error", a.err)
		t.failures++
	}
	for _, c := range f.host.Network().ConnsToPeer(a.peer) {
		if c.Stat().Direction != network.DirOutbound {
			continue
		}
		if trusted {
			f.n.contacts.reached(a.peer, c.RemoteMultiaddr())
		} else if !f.n.reach.isSeed(a.peer) {
			_ = c.Close() // which Disconnected tells of
		}
	}
	switch {
	case f.isConnected(a.peer) && trusted:
		t.since = time.Now()
	case trusted:
		if a.err == nil {
			t.failures++ // it is met over a relay only, or gone already
		}
		t.due = time.Now().Add(redialAfter(t.failures))
	case a.err == nil || t.failures >= strangerAttempts:
		delete(f.targets, a.peer)
	default:
		t.due = time.Now().Add(redialAfter(t.failures))
	}
}

// happened follows an event of the host.
func (f *finder) happened(e any) {
	switch e := e.(type) {
	case event.EvtPeerIdentificationCompleted:
		if f.trusts(e.Peer) {
			f.n.contacts.saw(e.Peer, e.ListenAddrs)
		}
	case event.EvtPeerConnectednessChanged:
		if !f.trusts(e.Peer) {
			return
		}
		t := f.target(e.Peer)
		if e.Connectedness == network.Connected {
			t.since = time.Now()
			return
		}
		if time.Since(t.since) >= steadyAfter {
			t.failures = 0
		} else {
			t.failures++
		}
		t.due = time.Now().Add(redialAfter(t.failures))
	case event.EvtLocalAddressesUpdated:
		// This machine is on another network now, perhaps.
		for p, t := range f.targets {
			if !t.dialling && f.trusts(p) && !f.isConnected(p) {
				t.failures = 0
				t.due = time.Now().Add(redialAfter(0))
			}
		}
	}
}

// redialAfter returns how long to wait after so many failures in a row.
func redialAfter(failures int) time.Duration {
	wait := lastRedial
	if failures < 10 {
		wait = min(firstRedial<<failures, lastRedial)
	}
	return wait*3/4 + rand.N(wait/2)
}
