package scheduler

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

const (
	// maxOwn bounds the sagas that a Core has running.
	maxOwn = 8
	// maxRoots bounds what is remembered of a peer, by timelines: what it has to be
	// told, and what it has and this node lacks. It is also the most that one notice
	// or one saga may be about.
	maxRoots = 2000
	// maxHeads bounds the heads that are remembered of one lacking timeline.
	maxHeads = 16

	// A peer that connects gets its saga about everything after this long, at random:
	// soon if this node dialled, else after the peer would have begun.
	dialedWithin   = 50 * time.Millisecond
	acceptedAfter  = 500 * time.Millisecond
	acceptedWithin = time.Second
	// wholeGap lies between the beginnings of two sagas about everything with one
	// peer, however often it connects.
	wholeGap = 2 * time.Second
	// Sagas about everything come one after the other, since peers often have the
	// same; but one that takes longer than wholeAlone does not hold up others, and those
	// that others began, all together, hold up none for longer after it became due.
	wholeAlone = 30 * time.Second
	// A saga about a timeline is waited for, by what another peer has of it, for this
	// long after it began and after that peer named it: a peer that names what does not
	// exist, and is slow, holds up no other.
	namedAlone = 5 * time.Second
	// wantGap lies between two attempts for one want.
	wantGap = 30 * time.Second
)

// A Core decides what a node syncs. It is for one goroutine.
type Core struct {
	self   Peer
	period time.Duration
	random func() float64

	now   time.Time
	peers map[Peer]*peer // trusted, connected, or with a saga under way
	jobs  map[Job]*job
	last  Job // that was given out
	own   int // jobs that were given out and have not ended
	wants map[ibgib.Hash]*want

	work []Action
	next time.Time // zero: none
}

// job is a running saga.
type job struct {
	peer    *peer
	began   time.Time
	roots   rootSet // nil: all
	oneWay  bool
	own     bool
	lacking []Lack  // own: what it is for
	covered rootSet // what the peer need not be told if it ends well
	spill   bool    // covered are more than that
}

// want is what this node lacks of one timeline for long.
type want struct {
	Lack
	retry time.Time
	peers []Peer
	tried bool // since the list came
}

// New returns a Core for the node self, which has no peers yet. period is the time
// between sagas about everything with one peer. random returns numbers from [0, 1).
func New(self Peer, period time.Duration, random func() float64) *Core {
	return &Core{
		self: self, period: period, random: random,
		peers: make(map[Peer]*peer),
		jobs:  make(map[Job]*job),
		wants: make(map[ibgib.Hash]*want),
	}
}

// Step takes what happened at a moment, which is not before that of the last Step.
func (c *Core) Step(now time.Time, e Event) {
	c.now = now
	switch e := e.(type) {
	case Connected:
		c.connected(e)
	case Disconnected:
		if p := c.peers[e.Peer]; p != nil {
			p.connected = false
			p.forget()
		}
	case Trusted:
		p := c.peer(e.Peer)
		p.trusted = true
		p.hold = hold{}
		p.meet(c.now.Add(c.within(dialedWithin)))
	case Untrusted:
		if p := c.peers[e.Peer]; p != nil {
			p.trusted = false
			p.forget()
		}
	case Opened:
		for _, p := range c.peers {
			p.wholeAt, p.opened = c.now, c.now
		}
	case Changed:
		c.changed(e)
	case Noticed:
		c.noticed(e)
	case Handed:
		c.handed(e)
	case Began:
		c.began(e)
	case Ended:
		c.ended(e)
	case Wanted:
		c.wanted(e)
	case Tick:
	}
	c.drop()
	c.advance()
}

// Work returns what is to be done now, in this order, each action once.
func (c *Core) Work() []Action {
	work := c.work
	c.work = nil
	return work
}

// Next returns the moment of the next Step, if nothing happens before; ok is false
// if there is none.
func (c *Core) Next() (at time.Time, ok bool) { return c.next, !c.next.IsZero() }

func (c *Core) peer(id Peer) *peer {
	p := c.peers[id]
	if p == nil {
		p = &peer{id: id}
		p.forget()
		c.peers[id] = p
	}
	return p
}

// drop forgets peers of which nothing is left to know.
func (c *Core) drop() {
	for id, p := range c.peers {
		if !p.connected && !p.trusted && p.sagas == 0 && !p.out.busy() {
			delete(c.peers, id)
		}
	}
}

func (c *Core) connected(e Connected) {
	p := c.peer(e.Peer)
	if p.connected {
		return
	}
	p.connected = true
	wait := c.within(dialedWithin)
	if !e.Dialed {
		wait = acceptedAfter + c.within(acceptedWithin)
	}
	at := c.now.Add(wait)
	if again := p.wholeBegan.Add(wholeGap); !p.wholeBegan.IsZero() && again.After(at) {
		at = again
	}
	if p.hold.reason != Broken {
		p.hold = hold{}
	}
	p.meet(at)
}

func (c *Core) changed(e Changed) {
	var peers []*peer
	var ids []Peer
	for _, p := range c.inTurn() {
		if p.active() && !p.shut {
			peers, ids = append(peers, p), append(ids, p.id)
		}
	}
	soon := fan(c.self, ids)
	for _, p := range peers {
		p.later = !soon[p.id] && !p.graft.until.After(c.now)
		if !p.later {
			p.out.change(e, p.id, c.now, c.now.Add(c.within(forwardWithin)))
		} else {
			later := c.now.Add(p.graft.delay() + c.within(time.Duration(len(ids))*lazyEach))
			p.out.change(e, p.id, later, later)
		}
	}
}

func (c *Core) noticed(e Noticed) {
	p := c.peers[e.Peer]
	if p == nil || !p.active() {
		return
	}
	p.open(c.now)
	for _, root := range e.Same {
		p.out.told(root)
	}
	for _, l := range e.Lacking {
		p.lack(l, c.now)
	}
}

func (c *Core) handed(e Handed) {
	p := c.peers[e.Peer]
	if p == nil || !p.out.busy() {
		return
	}
	p.out.handed(e, c.now, c.after)
	if e.Outcome == Refused {
		p.shutUp()
	}
}

func (c *Core) began(e Began) {
	p := c.peer(e.Peer)
	j := &job{peer: p, began: c.now, oneWay: e.OneWay}
	if len(e.Roots) > 0 {
		j.roots = newRootSet(e.Roots)
		p.graft.needed(c.now)
	}
	p.open(c.now)
	c.start(e.Job, j)
}

// start enters a saga that is running from now on.
func (c *Core) start(id Job, j *job) {
	c.jobs[id] = j
	j.peer.sagas++
	if j.roots == nil && !j.oneWay {
		j.peer.wholeBegan = c.now
	}
	if !j.oneWay {
		j.covered, j.spill = j.peer.out.cover(j.roots, c.now)
	}
}

func (c *Core) ended(e Ended) {
	j := c.jobs[e.Job]
	if j == nil {
		return
	}
	delete(c.jobs, e.Job)
	p := j.peer
	p.sagas--
	if j.own {
		c.own--
	}
	switch e.Outcome {
	case OK:
		p.hold = hold{}
		if j.roots == nil && !j.oneWay && !j.began.Before(p.opened) {
			p.wholeAt = c.now.Add(c.about(c.period))
		}
	case Needless:
	case Refused:
		p.shutUp()
	default:
		if !p.active() {
			break
		}
		p.out.uncover(j.covered, j.spill, c.now)
		for _, l := range j.lacking {
			p.lackAgain(l, c.now)
		}
		if j.own {
			p.hold.extend(e.Outcome, c.now, c.after)
		}
	}
	p.out.restart(c.now)
}

func (c *Core) wanted(e Wanted) {
	before := c.wants
	c.wants = make(map[ibgib.Hash]*want, len(e.Wants))
	for _, w := range e.Wants {
		if len(c.wants) >= maxRoots {
			break
		}
		known := c.wants[w.Root]
		if known == nil {
			known = &want{Lack: Lack{Root: w.Root}, retry: w.Retry}
			c.wants[w.Root] = known
		}
		known.Heads = append(known.Heads, w.Heads...)
		if w.Retry.Before(known.retry) {
			known.retry = w.Retry
		}
		for _, p := range w.Peers {
			if !slices.Contains(known.peers, p) {
				known.peers = append(known.peers, p)
			}
		}
		if b := before[w.Root]; b != nil && b.tried && known.retry.Before(c.now.Add(wantGap)) {
			known.retry = c.now.Add(wantGap)
		}
	}
}

// advance hands out what has become due, and finds out when to look again.
func (c *Core) advance() {
	c.next = time.Time{}
	for _, p := range c.inTurn() {
		if !p.active() || p.shut {
			continue
		}
		c.takeAll(p)
		c.notify(p)
		c.fetch(p)
	}
}

// due tells whether a moment has come; else the next Step is then, or before.
func (c *Core) due(at time.Time) bool {
	if !at.After(c.now) {
		return true
	}
	if c.next.IsZero() || at.Before(c.next) {
		c.next = at
	}
	return false
}

// inTurn returns the peers, those first whose last saga is longest ago.
func (c *Core) inTurn() []*peer {
	list := make([]*peer, 0, len(c.peers))
	for _, p := range c.peers {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *peer) int {
		if n := a.turn.Compare(b.turn); n != 0 {
			return n
		}
		return cmp.Compare(a.id, b.id)
	})
	return list
}

// takeAll begins a saga about everything with a peer, if one is due.
func (c *Core) takeAll(p *peer) {
	if at, ok := p.out.whole(); ok && at.Before(p.wholeAt) {
		p.wholeAt = at
	}
	if c.mayBegin(p) && c.due(p.wholeAt) && c.mayTakeAll(p) {
		c.begin(p, nil)
	}
}

// notify sends what there is to be told to a peer.
func (c *Core) notify(p *peer) {
	at, ok := p.out.when()
	if ok && p.sagas == 0 && c.due(at) {
		if p.later {
			p.graft.told()
		}
		c.work = append(c.work, Notify{Peer: p.id, Roots: p.out.send(c.now)})
	}
}

// fetch begins a saga about what the peer has and this node lacks.
func (c *Core) fetch(p *peer) {
	if !c.mayBegin(p) {
		return
	}
	lacking := c.named(p)
	if len(lacking) == 0 {
		lacking = c.retry(p)
	}
	if len(lacking) > 0 {
		c.begin(p, lacking)
	}
}

// mayBegin tells whether a saga with the peer may begin.
func (c *Core) mayBegin(p *peer) bool {
	return p.sagas == 0 && c.own < maxOwn && c.due(p.hold.until)
}

// mayTakeAll tells whether a saga about everything that is due with a peer may begin
// beside those that are running.
func (c *Core) mayTakeAll(p *peer) bool {
	since := p.wholeAt
	if p.hold.until.After(since) {
		since = p.hold.until
	}
	may := true
	for _, j := range c.jobs {
		if j.roots != nil {
			continue
		}
		until := j.began
		if !j.own && since.Before(until) {
			until = since
		}
		if !c.due(until.Add(wholeAlone)) {
			may = false
		}
	}
	return may
}

// named takes from what a peer has named and this node lacks what no other saga
// brings.
func (c *Core) named(p *peer) []Lack {
	var list []Lack
	for root, l := range p.lacking {
		if !c.underWay(root, l.since) {
			list = append(list, Lack{root, l.heads})
		}
	}
	sortLacks(list)
	for _, l := range list {
		delete(p.lacking, l.Root)
	}
	return list
}

// retry takes the wants whose time has come and that the peer may be asked for:
// it has named them, or nobody who is there has.
func (c *Core) retry(p *peer) []Lack {
	if p.wholeAt.Before(c.now.Add(acceptedAfter + acceptedWithin)) {
		return nil // that asks for them too
	}
	var list []Lack
	for root, w := range c.wants {
		if w.tried || !c.due(w.retry) || c.underWay(root, w.retry) {
			continue
		}
		if !slices.Contains(w.peers, p.id) && slices.ContainsFunc(w.peers, c.isActive) {
			continue
		}
		w.tried = true
		list = append(list, w.Lack)
	}
	sortLacks(list)
	return list
}

func (c *Core) isActive(id Peer) bool {
	p := c.peers[id]
	return p != nil && p.active() && !p.shut
}

// underWay tells whether a running saga may be bringing what is known since then to be
// lacking of a timeline. One about everything does not count: it may have begun before
// the timeline changed.
func (c *Core) underWay(root ibgib.Hash, since time.Time) bool {
	is := false
	for _, j := range c.jobs {
		if !j.roots.has(root) {
			continue
		}
		until := j.began
		if since.Before(until) {
			until = since
		}
		if !c.due(until.Add(namedAlone)) {
			is = true
		}
	}
	return is
}

// begin hands out a saga about everything, or about what is lacking.
func (c *Core) begin(p *peer, lacking []Lack) {
	j := &job{peer: p, began: c.now, own: true, lacking: lacking}
	if lacking != nil {
		j.roots = make(rootSet, len(lacking))
		for _, l := range lacking {
			j.roots.add(l.Root)
		}
	} else {
		clear(p.lacking) // it comes with the rest
	}
	p.turn = c.now
	c.last++
	c.own++
	c.start(c.last, j)
	c.work = append(c.work, Sync{Job: c.last, Peer: p.id, Lacking: lacking})
}

// within returns a time below d, at random.
func (c *Core) within(d time.Duration) time.Duration {
	return time.Duration(c.random() * float64(d))
}

// about returns between 3/4 and 5/4 of d, at random.
func (c *Core) about(d time.Duration) time.Duration { return d*3/4 + c.within(d/2) }

// after returns the moment to try again after so many failures in a row.
func (c *Core) after(first, last time.Duration, failures int) time.Time {
	d := last
	if failures < 30 && first<<failures < last {
		d = first << failures
	}
	return c.now.Add(c.about(d))
}

// rootSet is a set of timelines.
type rootSet map[ibgib.Hash]struct{}

func newRootSet(roots []ibgib.Hash) rootSet {
	s := make(rootSet, len(roots))
	for _, root := range roots {
		s.add(root)
	}
	return s
}

func (s rootSet) add(root ibgib.Hash) { s[root] = struct{}{} }

func (s rootSet) has(root ibgib.Hash) bool {
	_, ok := s[root]
	return ok
}

// sorted returns the roots in ascending order.
func (s rootSet) sorted() []ibgib.Hash {
	list := make([]ibgib.Hash, 0, len(s))
	for root := range s {
		list = append(list, root)
	}
	slices.SortFunc(list, compareRoots)
	return list
}

func compareRoots(a, b ibgib.Hash) int { return bytes.Compare(a[:], b[:]) }

func sortLacks(list []Lack) {
	slices.SortFunc(list, func(a, b Lack) int { return compareRoots(a.Root, b.Root) })
}
