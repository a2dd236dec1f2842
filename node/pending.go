package node

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
)

// What is remembered of strangers: so many of them, each for so long after its
// last encounter, and so many new ones in each period. A flood of made-up peers
// costs no more, and does not push out those that are listed.
const (
	maxStrangers       = 256
	strangerExpires    = 24 * time.Hour
	strangersPerPeriod = 32
	strangerPeriod     = time.Minute
	maxStrangerAddrs   = 4
)

// pending is the list of strangers. Its owner guards it with a lock.
type pending struct {
	now       func() time.Time
	strangers map[peer.ID]*stranger
	period    time.Time // begin of the period in which added counts
	added     int
}

// stranger is a peer that has been met without being trusted.
type stranger struct {
	asked  int
	last   time.Time
	addrs  []string // the latest last
	proved bool

	keystone ibgib.Addr // that it has named last; zero: none
}

// encounter is what is noted when a stranger is met.
type encounter struct {
	asks   bool   // it has opened a stream
	addr   string // of the connection; empty: not known
	proved bool   // it knows the mesh secret

	keystone ibgib.Addr // that it has named; zero: none
}

func newPending(now func() time.Time) pending {
	return pending{now: now, strangers: make(map[peer.ID]*stranger)}
}

// note lists a stranger, if there is room; true if it is a new one.
func (l *pending) note(p peer.ID, e encounter) (fresh bool) {
	now := l.now()
	s, listed := l.strangers[p]
	if !listed {
		if !l.room(now) {
			return false
		}
		s = new(stranger)
		l.strangers[p] = s
	}
	s.last = now
	if e.asks {
		s.asked++
	}
	if e.addr != "" {
		s.addrs = append(slices.DeleteFunc(s.addrs, func(a string) bool { return a == e.addr }), e.addr)
		s.addrs = s.addrs[max(0, len(s.addrs)-maxStrangerAddrs):]
	}
	s.proved = s.proved || e.proved
	if !e.keystone.IsZero() {
		s.keystone = e.keystone
	}
	return !listed
}

// room makes room for one more stranger, if it may.
func (l *pending) room(now time.Time) bool {
	for id, s := range l.strangers {
		if now.Sub(s.last) >= strangerExpires {
			delete(l.strangers, id)
		}
	}
	if now.Sub(l.period) >= strangerPeriod {
		l.period, l.added = now, 0
	}
	if len(l.strangers) >= maxStrangers || l.added >= strangersPerPeriod {
		return false
	}
	l.added++
	return true
}

// keystone returns the one that a stranger has named last; zero if it has named none.
func (l *pending) keystone(p peer.ID) ibgib.Addr {
	if s := l.strangers[p]; s != nil {
		return s.keystone
	}
	return ibgib.Addr{}
}

func (l *pending) forget(p peer.ID) { delete(l.strangers, p) }

// show fills in what is known of a stranger.
func (l *pending) show(p peer.ID, to *Peer) {
	if s := l.strangers[p]; s != nil {
		to.Asked, to.LastAsked, to.Proved = s.asked, s.last.UTC().Truncate(time.Second), s.proved
		to.Addrs, to.Keystone = slices.Clone(s.addrs), s.keystone
	}
}
