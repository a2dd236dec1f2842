package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/node/internal/comparison"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
	"github.com/ibgib/ibgib-node/node/internal/identity"
	"github.com/ibgib/ibgib-node/node/internal/metrics"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// Config configures a Node. Data is required; other zero values are defaults.
type Config struct {
	// Data is the data directory; it is created with mode 0700.
	Data string
	// Listen are the multiaddrs at which Start listens: TCP, QUIC, WebSocket,
	// WebTransport or WebRTC. Default: TCP and QUIC,
	// both on all interfaces, at the ports of the last run if they are free.
	Listen []string
	Mesh   Mesh
	Reach  Reach
	Limits Limits
	Live   Live
	// Strategy says what becomes of timelines that have diverged. Default
	// StrategyOptimistic: their branches are merged. In a sync the stricter strategy of
	// both sides rules.
	Strategy saga.Strategy
	// Passphrase is asked for what seals the secret of the keystone, when that is
	// needed; what it returns is wiped. A new secret is sealed if it returns anything.
	// nil: there is none.
	Passphrase func() ([]byte, error)
	Log        *slog.Logger // default: nowhere
}

// Node is one node. Its methods are safe for concurrent use.
type Node struct {
	dir    datadir.Dir
	listen []string // as configured
	wire   protocol.Options
	idle   time.Duration // saga.Config.IdleTimeout
	mesh   mesh
	reach  reach
	limits Limits
	// limitLAN says whether wire.Throttle slows down peers on the local network.
	limitLAN atomic.Bool
	networks networks
	dials    *dialRule
	auto     Live // as configured
	strategy saga.Strategy
	log      *slog.Logger
	now      func() time.Time

	id        peerKey
	book      *identity.Book
	self      *identity.Identity // the primary keystone
	trust     *trust
	store     *blockstore.Store
	view      *blockstore.View // of the default share
	sessions  *sessions
	sagas     *sagas
	lastSyncs *lastSyncs
	wants     *wants

	invites  *invites
	contacts *contacts
	words    *comparison.Words
	finder   atomic.Pointer[finder] // nil until Start

	announced *announced
	marks     *marks
	fetches   *fetches
	fetchRoom fetchRoom
	follows   *follows
	wide      atomic.Pointer[wide]                  // nil until Start, and if there is no DHT
	shows     atomic.Pointer[protocol.FetchService] // nil until Start
	reached   atomic.Pointer[Reachability]
	search    atomic.Pointer[string] // Status.Search; nil: off

	events      *events
	journal     *journal
	lives       lives
	shares      *shares
	forgetfuls  *forgetfuls
	introducers wakeup

	records atomic.Uint64 // of sagas, stored since Open
	metrics *metrics.Set
	census  census

	mu      sync.Mutex // guards what follows
	closed  bool
	host    host.Host // nil until Start
	started time.Time
	service *protocol.Service
	last    listenRecord
	stop    context.CancelFunc // ends what join waits for
	join    sync.WaitGroup     // of the maintenance and of lives
}

// maintainEvery is how often a started node gives disk space back.
const maintainEvery = 10 * time.Minute

// Open opens the data directory and creates it if there is none. It does not
// touch the network. It fails with blockstore.ErrInUse if another process has
// the store open.
func Open(cfg Config) (*Node, error) {
	n, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	return n, nil
}

func open(cfg Config) (*Node, error) {
	if err := checkListen(cfg.Listen); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	mesh, err := newMesh(cfg.Mesh)
	if err != nil {
		return nil, err
	}
	reach, err := newReach(cfg.Reach)
	if err != nil {
		return nil, err
	}
	limits, err := cfg.Limits.withDefaults(reach.Role)
	if err != nil {
		return nil, err
	}
	auto, err := cfg.Live.withDefaults()
	if err != nil {
		return nil, err
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dir, err := datadir.Open(cfg.Data)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(string(dir))
	if err != nil {
		return nil, err
	}
	if datadir.IsRestoring(entries) {
		return nil, fmt.Errorf("%w: a backup is being restored into %s, or was when the program was stopped: then restore it again", blockstore.ErrInUse, dir)
	}
	missing, err := dir.Missing()
	if err != nil {
		return nil, err
	}
	if missing != "" {
		return nil, fmt.Errorf("%w: %s is missing from %s; put it back, from a backup perhaps, or start in another directory",
			blockstore.ErrCorrupt, missing, dir)
	}
	// The store's lock guards the other files too.
	book := identity.NewBook(dir.Keystones())
	counters := metrics.New()
	store, err := blockstore.Open(dir.Store(), blockstore.Options{
		Logger: log, PeerBudget: limits.PeerDisk, Strategy: presented(cfg.Strategy), Admit: book.Admit, Rejected: counters.Rejected,
		Merged: keptMerge,
	})
	if err != nil {
		return nil, err
	}
	n := &Node{
		dir: dir, listen: cfg.Listen, mesh: mesh, reach: reach, limits: limits, auto: auto, strategy: cfg.Strategy, log: log, now: time.Now,
		idle: saga.DefaultIdleTimeout,
		book: book, store: store, view: store.View(blockstore.DefaultShare), events: &events{now: time.Now}, metrics: counters,
	}
	n.dials = &dialRule{networks: &n.networks, isSeed: reach.isSeed}
	n.journal = newJournal(store, n.events, log)
	n.limitLAN.Store(limits.LimitLAN)
	n.wire = protocol.Options{Logger: log, Throttle: protocol.NewThrottle(limits.Rates, n.isUnlimited)}
	fail := func(err error) (*Node, error) {
		n.journal.close()
		return nil, errors.Join(err, store.Close())
	}
	if err := n.load(); err != nil {
		return fail(err)
	}
	if err := n.openIdentity(cfg.Passphrase); err != nil {
		return fail(err)
	}
	own, err := identity.OpenSessions(dir.Sessions(), n.self, n.id.id.String())
	if err != nil {
		return fail(err)
	}
	n.sessions = newSessions(own)
	for _, by := range n.trust.orphans() { // it ended between two steps
		n.introduced(by, nil)
	}
	return n, nil
}

// load reads the small files.
func (n *Node) load() (err error) {
	if n.id, err = loadPeerKey(n.dir.PeerKey()); err != nil {
		return err
	}
	if n.trust, err = loadTrust(n.dir.Trust(), n.now, n.trustChanged); err != nil {
		return err
	}
	if n.shares, err = loadShares(n.store, n.now); err != nil {
		return err
	}
	if err := n.shares.keepTrusted(n.trust); err != nil {
		return err
	}
	n.forgetfuls = newForgetfuls()
	n.introducers = make(wakeup, 1)
	if n.wants, err = loadWants(n.dir.Wants(), n.now); err != nil {
		return err
	}
	if n.invites, err = loadInvites(n.dir.Invites(), n.now); err != nil {
		return err
	}
	if n.contacts, err = loadContacts(n.dir.Contacts(), n.now); err != nil {
		return err
	}
	if n.announced, err = loadAnnounced(n.dir.Announced()); err != nil {
		return err
	}
	if n.marks, err = loadMarks(n.dir.Marks(), n.now); err != nil {
		return err
	}
	if n.follows, err = loadFollows(n.dir.Follows()); err != nil {
		return err
	}
	n.fetches = newFetches()
	n.fetchRoom.most = maxFetchLarge
	n.words = comparison.New(n.id.id)
	n.sagas = newSagas(n.id.id)
	n.lastSyncs = newLastSyncs()
	n.last, err = loadListen(n.dir.Listen())
	return err
}

// DataDir returns the path of the data directory.
func (n *Node) DataDir() string { return string(n.dir) }

// PeerID returns the peer id, which never changes.
func (n *Node) PeerID() peer.ID { return n.id.id }

// Start listens and serves sagas until ctx ends or Close is called.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return fmt.Errorf("node: start: %w", ErrClosed)
	}
	if n.host != nil {
		return fmt.Errorf("node: start: %w", ErrStarted)
	}
	if err := n.start(ctx); err != nil {
		return fmt.Errorf("node: start: %w", err)
	}
	return nil
}

func (n *Node) start(ctx context.Context) error {
	gone, err := n.trust.useMesh(n.mesh.tag())
	if err != nil {
		return err
	}
	for _, p := range gone {
		n.log.Info("peer no longer trusted: it proved another mesh secret", "peer", p)
		n.contacts.forget(p)
		n.untrustedWants(p)
		if _, err := n.shares.leave(p); err != nil {
			return err
		}
		n.introduced(p, nil)
	}
	h, err := newHost(n.id, n.trust, n.limits, n.reach, n.listen, n.dials, n.isShown, n.metrics)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	fail := func(errs ...error) error {
		stop()
		err := errors.Join(append(errs, h.Close())...)
		n.join.Wait()
		n.lives.stop()
		return err
	}
	// Before others can connect.
	handlers := protocol.Handlers{
		Authorize: n.authorize(h), Saga: n.serve, Notice: ignoreNotice,
		Meet: n.welcome(h), Self: n.introduction(h), Keystone: n.answerKeystone, Vouch: n.vouchFor,
	}
	if !n.auto.Off {
		follow := func(sh *share) (*live, error) {
			l := newLive(n, h, n.auto.Every, sh)
			return l, l.start(ctx, n.join.Go)
		}
		if err := n.lives.begin(n.shares.all(), follow); err != nil {
			return fail(err)
		}
		handlers.Notice = n.notice
	}
	service, err := protocol.Serve(ctx, h, handlers, n.wire)
	if err != nil {
		return fail(err)
	}
	shows, err := protocol.ServeFetch(ctx, h, protocol.FetchHandlers{Trusts: n.trust.has, Open: n.showClosure}, n.wire)
	if err != nil {
		return fail(err, service.Close())
	}
	n.shows.Store(shows)
	listening, err := listen(h, n.listen, n.last, n.log)
	if err == nil {
		err = n.remember(h, listening)
	}
	if err != nil {
		return fail(err, service.Close(), shows.Close())
	}
	finder := newFinder(n, h)
	if err := finder.start(ctx, n.join.Go); err != nil {
		return fail(err, service.Close(), shows.Close())
	}
	if n.reach.isWide() {
		if err := n.goWide(ctx, h, finder); err != nil {
			return fail(err, service.Close(), shows.Close())
		}
	}
	n.finder.Store(finder)
	n.join.Go(func() { n.maintain(ctx) })
	n.join.Go(func() { n.retryMerges(ctx) })
	n.join.Go(func() { n.offerAll(ctx) })
	n.join.Go(func() { n.askIntroducers(ctx, h) })
	n.host, n.service, n.stop, n.started = h, service, stop, n.now().UTC().Truncate(time.Second)
	return nil
}

// maintain gives disk space back now and then.
func (n *Node) maintain(ctx context.Context) {
	tick := time.NewTicker(maintainEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := n.store.Maintain(ctx); err != nil {
				n.log.Warn("store maintenance failed", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Close ends everything that Open and Start began, and waits for it; sagas get
// a few seconds to say goodbye. Later calls do nothing.
func (n *Node) Close() error {
	n.mu.Lock()
	closed, h, service, stop := n.closed, n.host, n.service, n.stop
	n.closed = true
	n.mu.Unlock()
	if closed {
		return nil
	}
	var errs []error
	n.events.close()
	n.lives.stop()
	n.sagas.close()
	n.fetches.close()
	n.census.close()
	if h != nil {
		stop()
		errs = append(errs, service.Close(), n.shows.Load().Close(), n.wide.Load().close(), h.Close())
		n.join.Wait()
	}
	n.journal.close()
	n.self.Close()
	errs = append(errs, n.contacts.save(), n.book.Close(), n.store.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("node: close: %w", err)
	}
	return nil
}

// Identity returns how others reach the node.
func (n *Node) Identity() Identity {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := Identity{PeerID: n.id.id.String(), Addrs: n.last.Addrs}
	if n.host != nil {
		if addrs, err := fullAddrs(n.host); err == nil {
			id.Addrs = addrs
		}
	}
	if id.Addrs == nil {
		id.Addrs = []string{}
	}
	return id
}

// Trust trusts a peer from now on. id is its peer id, or a multiaddr that ends in
// /p2p/ and the peer id: then a started node connects to it there.
func (n *Node) Trust(ctx context.Context, id string) (Peer, error) {
	to, err := parsePeer(id)
	if err != nil {
		return Peer{}, fmt.Errorf("node: trust: %w", err)
	}
	p := to.ID
	if p == n.id.id {
		return Peer{}, fmt.Errorf("node: trust: %w: %s is this node itself", ErrInput, p)
	}
	if err := n.trust.add(p); err != nil {
		return Peer{}, fmt.Errorf("node: trust: %w", err)
	}
	if len(to.Addrs) > 0 {
		n.contacts.saw(p, to.Addrs)
		n.finder.Load().dial(p)
	}
	return n.peerNow(p), nil
}

// Untrust withdraws trust and ends running sagas with the peer. What it has, it
// keeps. A proof of the mesh secret does not bring the trust back, only Trust does. It fails with blockstore.ErrNotFound for a peer that is not trusted.
func (n *Node) Untrust(ctx context.Context, id string) error {
	to, err := parsePeer(id)
	if err != nil {
		return fmt.Errorf("node: untrust: %w", err)
	}
	p := to.ID
	was, err := n.trust.remove(p, byHand)
	if err != nil {
		return fmt.Errorf("node: untrust: %w", err)
	}
	if !was {
		return fmt.Errorf("node: untrust: trusted peer %s: %w", p, blockstore.ErrNotFound)
	}
	return nil
}

// Peers returns trusted peers, then strangers, then those from whom trust was
// withdrawn, each by peer id.
func (n *Node) Peers(ctx context.Context) ([]Peer, error) {
	peers := n.trust.peers()
	records, err := n.Sagas(ctx)
	if err != nil {
		return nil, fmt.Errorf("node: peers: %w", err)
	}
	recorded := newest(records)
	for i := range peers {
		p, err := peer.Decode(peers[i].PeerID)
		if err != nil {
			return nil, fmt.Errorf("node: peers: %w", err)
		}
		n.connections(p, &peers[i])
		peers[i].Unfinished = n.store.Loose(p.String())
		if peers[i].Trusted {
			peers[i].LastSync = n.lastSyncs.of(p, n.shares.labels(p), recorded[peers[i].PeerID])
		}
	}
	return peers, nil
}

// connections fills in what is known of a peer beside trust.
func (n *Node) connections(p peer.ID, to *Peer) {
	words, err := n.words.With(p)
	if err != nil {
		n.log.Warn("no comparison words", "peer", p, "error", err)
	}
	to.Words = words
	n.mu.Lock()
	h := n.host
	n.mu.Unlock()
	if h != nil {
		to.Connected = isLinked(h, p)
		to.Relayed = to.Connected && h.Network().Connectedness(p) != network.Connected
		var addrs []string
		for _, c := range h.Network().ConnsToPeer(p) {
			addrs = append(addrs, c.RemoteMultiaddr().String())
		}
		if len(addrs) > 0 {
			to.Addrs = addrs
		}
	}
	n.contacts.show(p, to)
}

// parsePeer reads a peer id, also at the end of a multiaddr.
func parsePeer(s string) (peer.AddrInfo, error) {
	if p, err := peer.Decode(s); err == nil {
		return peer.AddrInfo{ID: p}, nil
	}
	if info, err := peer.AddrInfoFromString(s); err == nil {
		return *info, nil
	}
	return peer.AddrInfo{}, fmt.Errorf("%w: %q is no peer id; it looks like 12D3KooW... and is shown by the command id of that node", ErrInput, shorten(s))
}

// shorten bounds foreign text in an error.
func shorten(s string) string {
	const limit = 200
	if len(s) > limit {
		return s[:limit] + "..."
	}
	return s
}
