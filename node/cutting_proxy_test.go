package node_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// breakage is a way in which a connection ends early.
type breakage int

const (
	closes   breakage = iota // both sides see its end
	resets                   // both sides see an error
	halfOpen                 // one direction swallows everything, the other goes on
	stalls                   // neither direction goes on
	breakages
)

func (b breakage) String() string {
	return [...]string{"closed", "reset", "half-open", "stalled"}[b]
}

// cut says when and how a connection breaks.
type cut struct {
	how      breakage
	after    int64         // bytes that still arrive, in the direction that is counted
	up       bool          // what the dialler sends is counted; else the other direction
	swallows bool          // half-open: it is that direction which swallows everything; else the other
	hold     time.Duration // half-open and stalled: until both sides see an error; 0: never
}

// proxy forwards TCP connections to another port of loopback. All its sockets
// are closed when the test ends at the latest.
type proxy struct {
	listener *net.TCPListener
	target   string
	cut      *cut          // of the first connection; nil: none
	struck   chan struct{} // closed when it has been cut
	up, down atomic.Int64  // bytes that have arrived, of all connections

	join   sync.WaitGroup
	mu     sync.Mutex // guards what follows
	conns  []*net.TCPConn
	timers []*time.Timer
	closed bool
}

// newProxy forwards to the TCP address in a full multiaddr, and returns that with
// the proxy's address in its place.
func newProxy(t *testing.T, addr string, c *cut) (*proxy, string) {
	t.Helper()
	parts := strings.Split(addr, "/") // "", ip4, 127.0.0.1, tcp, port, p2p, id
	if len(parts) != 7 || parts[3] != "tcp" {
		t.Fatalf("address %s is not TCP", addr)
	}
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: net.JoinHostPort(parts[2], parts[4]), cut: c, struck: make(chan struct{})}
	p.join.Go(p.accept)
	t.Cleanup(p.close)
	parts[4] = fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
	return p, strings.Join(parts, "/")
}

// close ends everything.
func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for _, timer := range p.timers {
		timer.Stop()
	}
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.join.Wait()
}

func (p *proxy) accept() {
	for first := true; ; first = false {
		near, err := p.listener.AcceptTCP()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp4", p.target)
		if err != nil {
			near.Close()
			continue
		}
		l := &link{proxy: p, near: near, far: far.(*net.TCPConn)}
		l.up.from, l.up.to, l.up.count = l.near, l.far, &p.up
		l.down.from, l.down.to, l.down.count = l.far, l.near, &p.down
		if first {
			l.cut = p.cut
		}
		if !p.keep(l.near, l.far) {
			return
		}
		p.join.Go(func() { l.copy(&l.up, &l.down) })
		p.join.Go(func() { l.copy(&l.down, &l.up) })
	}
}

// keep remembers sockets to be closed; if the proxy is closed it closes them.
func (p *proxy) keep(conns ...*net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, conns...)
	if p.closed {
		for _, c := range conns {
			c.Close()
		}
	}
	return !p.closed
}

// link is one connection through the proxy.
type link struct {
	*proxy
	near, far *net.TCPConn
	cut       *cut
	up, down  way
}

// way is one direction of a link.
type way struct {
	from, to *net.TCPConn
	count    *atomic.Int64
	silent   atomic.Bool // nothing arrives any more
}

// copy forwards one direction until its end, or until the cut.
func (l *link) copy(w, other *way) {
	cuts := l.cut != nil && l.cut.up == (w == &l.up)
	var passed int64
	b := make([]byte, 32<<10)
	for {
		n, err := w.from.Read(b)
		last := cuts && passed+int64(n) >= l.cut.after
		if last {
			n = int(l.cut.after - passed)
		}
		if w.silent.Load() {
			swallow(w.from)
			return
		}
		if n > 0 {
			if _, werr := w.to.Write(b[:n]); werr != nil {
				err = errors.Join(err, werr)
			}
			passed += int64(n)
			w.count.Add(int64(n))
		}
		if last {
			cuts = false
			l.strike(w, other)
		}
		if err != nil {
			w.to.CloseWrite()
			return
		}
	}
}

// strike breaks the connection, when so many bytes have come on way w.
func (l *link) strike(w, other *way) {
	close(l.struck)
	switch l.cut.how {
	case closes:
		l.end(false)
		return
	case resets:
		l.end(true)
		return
	case stalls:
		w.silent.Store(true)
		other.silent.Store(true)
	case halfOpen:
		if l.cut.swallows {
			w.silent.Store(true)
		} else {
			other.silent.Store(true)
		}
	}
	if l.cut.hold > 0 {
		l.mu.Lock()
		l.timers = append(l.timers, time.AfterFunc(l.cut.hold, func() { l.end(true) }))
		l.mu.Unlock()
	}
}

// swallow drops what still comes, as far as the window of a network without an
// answer would take it.
func swallow(from *net.TCPConn) {
	b := make([]byte, 64<<10)
	for total := 0; total < 256<<10; {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		total += n
	}
}

// end closes both sockets, with a reset if hard.
func (l *link) end(hard bool) {
	for _, c := range []*net.TCPConn{l.near, l.far} {
		if hard {
			_ = c.SetLinger(0)
		}
		c.Close()
	}
}
