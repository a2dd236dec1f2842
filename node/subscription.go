package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/timeline"
)

const (
	// maxSubscribers bounds the subscriptions to events.
	maxSubscribers = 64
	// eventQueue bounds the events that wait for one subscriber and are not kept. Others
	// need no queue: they are read from the change logs and the journal when their turn
	// comes.
	eventQueue = 256
	// headsPage is how many moves are read from the change log at a time.
	headsPage = 256
)

// ErrSubscribers says that there are too many subscriptions to events.
var ErrSubscribers = errors.New("too many subscribers to events")

// EventOptions say what a subscription is about. The zero value is everything from
// now on.
type EventOptions struct {
	// Kinds are the kinds wanted; none: all. Ready and missed always come.
	Kinds []EventKind
	// Since is the ID of an event: what has happened after it comes first, of heads that
	// moved each timeline once. An ID whose number is 0 stands for the beginning.
	Since string
}

// Subscription is a sequence of events. Its methods are for one goroutine, but for
// Close.
type Subscription struct {
	n     *Node
	kinds map[EventKind]bool // nil: all

	moved <-chan struct{} // heads have
	added <-chan struct{} // to the journal
	stop  func()
	queue chan Event    // that are not kept
	ended chan struct{} // closed by Close

	mu     sync.Mutex // guards missed
	missed uint64
	once   sync.Once

	at      places // behind what has been read
	behind  bool   // there may be more to read of heads
	toRead  bool   // and of the journal
	pending []Event
}

// Subscribe begins a subscription. Its first event is EventReady, with the ID from
// which the others follow. It fails with ErrInput for a bad Since or kind, with
// ErrSubscribers if there are too many, and with ErrClosed.
func (n *Node) Subscribe(ctx context.Context, o EventOptions) (*Subscription, error) {
	s, err := n.subscribe(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("node: events: %w", err)
	}
	return s, nil
}

func (n *Node) subscribe(ctx context.Context, o EventOptions) (*Subscription, error) {
	s := &Subscription{n: n, queue: make(chan Event, eventQueue), ended: make(chan struct{}), behind: true, toRead: true}
	for _, kind := range o.Kinds {
		switch kind {
		case EventHeads, EventConflict, EventMerge, EventResolved, EventPeer, EventSaga:
		case EventReady, EventMissed:
			continue
		default:
			return nil, fmt.Errorf("%w: there are no events of kind %q", ErrInput, shorten(string(kind)))
		}
		if s.kinds == nil {
			s.kinds = make(map[EventKind]bool)
		}
		s.kinds[kind] = true
	}
	var err error
	if o.Since != "" {
		if s.at, err = parsePlaces(o.Since); err != nil {
			return nil, err
		}
	}
	var stopMoved, stopAdded func()
	s.moved, stopMoved = n.store.WatchAll()
	s.added, stopAdded = n.store.WatchJournal()
	s.stop = func() { stopMoved(); stopAdded() }
	if o.Since == "" {
		s.at, err = n.ends(ctx)
	}
	if err == nil {
		err = n.events.add(s)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	s.pending = []Event{{ID: s.at.id(), Kind: EventReady, Time: n.now().UTC()}}
	return s, nil
}

// Close ends the subscription, and a Next that is under way.
func (s *Subscription) Close() {
	s.once.Do(func() {
		close(s.ended)
		s.stop()
		s.n.events.remove(s)
	})
}

func (s *Subscription) wants(kind EventKind) bool { return s.kinds == nil || s.kinds[kind] }

// Next waits for the next event. It fails with ErrClosed when the node, or the
// subscription, is closed, and with the error of ctx; after that it may be called again.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		if e, ok, err := s.Try(ctx); ok || err != nil {
			return e, err
		}
		select {
		case _, ok := <-s.moved:
			if !ok {
				return Event{}, fmt.Errorf("node: events: %w", ErrClosed)
			}
			s.behind = true
		case _, ok := <-s.added:
			if !ok {
				return Event{}, fmt.Errorf("node: events: %w", ErrClosed)
			}
			s.toRead = true
		case e := <-s.queue:
			return e, nil
		case <-s.ended:
			return Event{}, fmt.Errorf("node: events: %w", ErrClosed)
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// Try returns the next event if there is one; ok is false if there is none yet. It
// fails as Next does.
func (s *Subscription) Try(ctx context.Context) (e Event, ok bool, err error) {
	select {
	case _, open := <-s.moved:
		s.behind = open
	default:
	}
	select {
	case _, open := <-s.added:
		s.toRead = open
	default:
	}
	for len(s.pending) == 0 && (s.behind || s.toRead) {
		if err := s.read(ctx); err != nil {
			return Event{}, false, fmt.Errorf("node: events: %w", err)
		}
	}
	if len(s.pending) > 0 {
		e, s.pending = s.pending[0], s.pending[1:]
		return e, true, nil
	}
	select {
	case e := <-s.queue:
		return e, true, nil
	default:
	}
	if n := s.takeMissed(); n > 0 {
		return s.gap(MissedEvent{Events: n}), true, nil
	}
	return Event{}, false, nil
}

// read takes the next page of the change logs, then of the journal.
func (s *Subscription) read(ctx context.Context) error {
	var err error
	if s.behind {
		err = s.readHeads(ctx)
	} else {
		err = s.readJournal(ctx)
	}
	switch {
	case errors.Is(err, blockstore.ErrOtherLog):
		if s.at, err = s.n.ends(ctx); err != nil {
			return err
		}
		s.pending = append(s.pending, s.gap(MissedEvent{Log: true}))
		return nil
	case errors.Is(err, blockstore.ErrClosed):
		return ErrClosed
	}
	return err
}

// readHeads takes the next page of the change logs, one share after the other.
func (s *Subscription) readHeads(ctx context.Context) error {
	if !s.wants(EventHeads) && !s.wants(EventConflict) && !s.wants(EventResolved) {
		s.behind = false
		return nil
	}
	shares := s.n.shares.all()
	s.at.keep(shares)
	left := headsPage
	for _, sh := range shares {
		err := s.readShare(ctx, sh, &left)
		switch {
		case errors.Is(err, blockstore.ErrOtherLog) && s.n.shares.current(sh) == nil:
			continue // it has just been deleted
		case err != nil || left == 0:
			return err
		}
	}
	s.behind = false
	return nil
}

// readShare takes at most left changes of one share, and counts them off.
func (s *Subscription) readShare(ctx context.Context, sh *share, left *int) error {
	for c, err := range sh.view.Changes(ctx, s.at.of(sh.number)) {
		if err != nil || *left == 0 {
			return err
		}
		*left--
		s.at.seqs[sh.number] = c.Seq
		if err := s.tell(ctx, sh, c); err != nil {
			return err
		}
	}
	return nil
}

// tell makes the events of one change in a share. The last one has the ID.
func (s *Subscription) tell(ctx context.Context, sh *share, c blockstore.Change) error {
	e := Event{Time: c.At, Heads: headsEvent(c, sh)}
	kinds := []EventKind{EventHeads}
	switch {
	case len(c.Heads) > 1 && !c.Merged:
		kinds = []EventKind{EventConflict, EventHeads}
	case len(c.Heads) == 1 && !c.Stone && s.wants(EventResolved):
		f, err := s.n.frameOf(ctx, c.Latest)
		if err != nil && !errors.Is(err, blockstore.ErrNotFound) {
			return err
		}
		if f.Kind == timeline.KindKeep {
			kinds = []EventKind{EventResolved, EventHeads}
		}
	}
	first := len(s.pending)
	for _, kind := range kinds {
		if s.wants(kind) {
			e.Kind = kind
			s.pending = append(s.pending, e)
		}
	}
	if len(s.pending) > first {
		s.pending[len(s.pending)-1].ID = s.at.id()
	}
	return nil
}

func (s *Subscription) gap(m MissedEvent) Event {
	return Event{ID: s.at.id(), Kind: EventMissed, Time: s.n.now().UTC(), Missed: &m}
}

func (s *Subscription) takeMissed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.missed
	s.missed = 0
	return n
}

// put queues an event that is not kept.
func (s *Subscription) put(e Event) {
	if !s.wants(e.Kind) {
		return
	}
	select {
	case s.queue <- e:
	default:
		s.n.metrics.Missed()
		s.mu.Lock()
		s.missed++
		s.mu.Unlock()
	}
}

// events are the subscriptions of a node.
type events struct {
	now func() time.Time

	mu     sync.Mutex
	closed bool
	list   []*Subscription
}

func (x *events) add(s *Subscription) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.closed:
		return ErrClosed
	case len(x.list) >= maxSubscribers:
		return ErrSubscribers
	}
	x.list = append(x.list, s)
	return nil
}

func (x *events) remove(s *Subscription) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.list = slices.DeleteFunc(x.list, func(o *Subscription) bool { return o == s })
}

// publish tells all subscribers of an event that is not kept. It never waits.
func (x *events) publish(e Event) {
	e.Time = x.now().UTC()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.list {
		s.put(e)
	}
}

// close ends all subscriptions.
func (x *events) close() {
	x.mu.Lock()
	list := slices.Clone(x.list)
	x.closed = true
	x.mu.Unlock()
	for _, s := range list {
		s.Close()
	}
}

// count returns how many subscriptions there are.
func (x *events) count() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.list)
}
