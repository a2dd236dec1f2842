package dht

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/zeroconf/v2"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Why a search finds nothing at the moment.
var (
	// ErrNoInterface says that there is no interface to search on.
	ErrNoInterface = errors.New("no network interface is up that can multicast")
	// ErrNotListening says that the host listens at no address of such an
	// interface, so others could not reach it.
	ErrNotListening = errors.New("the node listens at no address of a network interface that can multicast")
)

const (
	// lookEvery is how often the interfaces are looked at. The library reads them
	// once, when it starts.
	lookEvery = 2 * time.Second
	// renewEvery is how often a search begins anew without a reason: peers that
	// went and came without a word are found again.
	renewEvery = 10 * time.Minute
	// maxEntries bounds the announcements that one search takes, since the
	// library remembers all of them. When they are used up the search begins anew,
	// after emptyFor at the earliest.
	maxEntries = 1000
	emptyFor   = time.Minute
	// maxQueue bounds the peers that have been found and not been taken.
	maxQueue = 64
)

// MDNSOptions tunes an MDNS.
type MDNSOptions struct {
	// Loopback searches on loopback interfaces too, if they can multicast.
	Loopback bool
	// Report is told how the search goes, when that changes: nil when it works,
	// else what keeps it from working, such as ErrNoInterface; the search goes on
	// by itself when that has passed. It is called by one goroutine. May be nil.
	Report func(error)
}

// MDNS announces a host on the local network and finds others. It follows the
// interfaces and addresses of the machine as they come and go.
type MDNS struct {
	host    host.Host
	service string
	opts    MDNSOptions

	found  chan peer.AddrInfo
	cancel context.CancelFunc
	join   sync.WaitGroup
}

// StartMDNS begins to announce h and to search under a service name, until Close
// or the end of ctx. What keeps it from working is reported, and no error: it
// may pass.
func StartMDNS(ctx context.Context, h host.Host, service string, opts MDNSOptions) *MDNS {
	ctx, cancel := context.WithCancel(ctx)
	m := &MDNS{host: h, service: service, opts: opts, found: make(chan peer.AddrInfo, maxQueue), cancel: cancel}
	if m.opts.Report == nil {
		m.opts.Report = func(error) {}
	}
	m.join.Go(func() { m.run(ctx) })
	return m
}

// Found brings peers that announce themselves, the host itself left out: direct
// addresses of TCP and QUIC, at most 16, those in a subnet of this machine
// first. A peer may come again and again. While nobody takes them the search
// waits. It is never closed.
func (m *MDNS) Found() <-chan peer.AddrInfo { return m.found }

// Close ends the search, tells the network so, and waits for its goroutines.
func (m *MDNS) Close() {
	m.cancel()
	m.join.Wait()
}

// run keeps one search going, and begins another when the one before no longer
// fits.
func (m *MDNS) run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var current *search
	var known, said string
	report := func(err error) {
		if text := fmt.Sprint(err); text != said {
			said = text
			m.opts.Report(err)
		}
	}
	for {
		where, err := m.look()
		if current != nil && (err != nil || where.String() != known || current.isOver()) {
			current.end()
			current = nil
		}
		if err == nil && current == nil {
			current, err = m.begin(ctx, where)
			known = where.String()
		}
		if err == nil {
			err = current.failure()
		}
		report(err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			if current != nil {
				current.end()
			}
			return
		}
	}
}

// whereabouts are where to search, and what to announce there.
type whereabouts struct {
	on    []place
	texts []string
	near  Subnets
}

// String is the same as long as nothing has changed that matters.
func (w whereabouts) String() string { return fmt.Sprint(w.on, w.texts) }

// look finds out what there is now.
func (m *MDNS) look() (whereabouts, error) {
	up, err := interfaces()
	if err != nil {
		return whereabouts{}, err
	}
	able := slices.DeleteFunc(up, func(i inet) bool {
		return i.Flags&net.FlagMulticast == 0 || i.Flags&net.FlagLoopback != 0 && !m.opts.Loopback
	})
	if len(able) == 0 {
		return whereabouts{}, ErrNoInterface
	}
	var w whereabouts
	for _, i := range able {
		at := place{i, listeningOn(m.host.Network().ListenAddresses(), i)}
		if len(at.listening) == 0 {
			continue
		}
		w.on = append(w.on, at)
		for _, p := range i.addrs {
			w.near = append(w.near, p.Masked())
		}
	}
	w.texts = announced(m.host.ID(), w.on)
	if len(w.texts) == 0 {
		return w, ErrNotListening
	}
	return w, nil
}

// listeningOn returns the addresses of an interface at which a host listens.
func listeningOn(listening []ma.Multiaddr, i inet) []ma.Multiaddr {
	var own, all []ma.Multiaddr
	for _, p := range i.addrs {
		if a, err := manet.FromIP(p.Addr().AsSlice()); err == nil {
			own = append(own, a)
		}
	}
	for _, a := range listening {
		resolved, err := manet.ResolveUnspecifiedAddress(a, own)
		if err != nil {
			continue // the interface has no address of that kind
		}
		for _, a := range resolved {
			ip, direct := directIP(a)
			if direct && slices.ContainsFunc(i.addrs, func(p netip.Prefix) bool { return p.Addr() == ip }) {
				all = append(all, a)
			}
		}
	}
	return all
}

// search is one run of the library.
type search struct {
	m      *MDNS
	near   Subnets
	server *zeroconf.Server
	cancel context.CancelFunc
	join   sync.WaitGroup
	began  time.Time

	mu   sync.Mutex
	full bool  // maxEntries have come
	err  error // why it ended by itself
}

// begin announces the host and begins to listen for others.
func (m *MDNS) begin(ctx context.Context, w whereabouts) (*search, error) {
	on := make([]net.Interface, len(w.on))
	for i, at := range w.on {
		on[i] = at.Interface
	}
	// The name is new each time, since others remember for an hour what a name
	// stood for. It says nothing about the host.
	var random [20]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	name := strings.ToLower(base32.StdEncoding.EncodeToString(random[:]))
	// A port and an address have to be there; those that count are in the texts.
	const port = 4001
	server, err := zeroconf.RegisterProxy(name, m.service, "local", port, name, w.ips(), w.texts, on)
	if err != nil {
		return nil, fmt.Errorf("dht: announce on the local network: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &search{m: m, near: w.near, server: server, cancel: cancel, began: time.Now()}
	s.join.Go(func() { s.run(ctx, on) })
	return s, nil
}

// ips returns an IPv4 and an IPv6 address of those announced, as far as there
// are any.
func (w whereabouts) ips() []string {
	var list []string
	var had4, had6 bool
	for _, text := range w.texts {
		ip, _ := directIP(ma.StringCast(strings.TrimPrefix(text, dnsaddr)))
		if had := &had6; !*had && ip.Is6() {
			*had, list = true, append(list, ip.String())
		}
		if had := &had4; !*had && ip.Is4() {
			*had, list = true, append(list, ip.String())
		}
	}
	return list
}

// run listens until ctx ends, over whatever kind of IP there is.
func (s *search) run(ctx context.Context, on []net.Interface) {
	var errs []error
	for _, kind := range []zeroconf.IPType{zeroconf.IPv4AndIPv6, zeroconf.IPv4, zeroconf.IPv6} {
		err := s.listen(ctx, on, kind)
		if ctx.Err() != nil {
			return
		}
		errs = append(errs, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = fmt.Errorf("dht: listen on the local network: %w", errors.Join(errs...))
}

// listen hands on what is found, until ctx ends or the library fails.
func (s *search) listen(ctx context.Context, on []net.Interface, kind zeroconf.IPType) error {
	entries := make(chan *zeroconf.ServiceEntry)
	ended := make(chan error, 1)
	s.join.Go(func() {
		ended <- zeroconf.Browse(ctx, s.m.service, "local", entries, zeroconf.SelectIfaces(on), zeroconf.SelectIPTraffic(kind))
	})
	for count := 0; ; {
		select {
		case e, ok := <-entries: // to the end, or the library would wait for ever
			if !ok {
				entries = nil
				continue
			}
			if count++; count > maxEntries {
				s.mu.Lock()
				s.full = true
				s.mu.Unlock()
				<-ctx.Done()
				continue
			}
			texts := e.Text
			// The library remembers the entry, but needs nothing of this any more.
			e.Text, e.AddrIPv4, e.AddrIPv6 = nil, nil, nil
			s.take(ctx, texts)
		case err := <-ended:
			return err
		}
	}
}

// take hands on one announcement.
func (s *search) take(ctx context.Context, texts []string) {
	info, ok := found(texts, s.near)
	if !ok || info.ID == s.m.host.ID() {
		return
	}
	select {
	case s.m.found <- info:
	case <-ctx.Done():
	}
}

// isOver tells whether another search should take the place of this one.
func (s *search) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	age := time.Since(s.began)
	return age > renewEvery || age > emptyFor && (s.full || s.err != nil)
}

func (s *search) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// end says goodbye to the network and joins what begin has started.
func (s *search) end() {
	s.cancel()
	s.server.Shutdown()
	s.join.Wait()
}
