package saga

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// What one Put takes together from the works that wait.
const (
	putBlocks = 8192
	putBytes  = 4 << 20
)

// mailbox is a queue between two goroutines. Putting never waits.
type mailbox[T any] struct {
	signal chan struct{} // has a value when something may be in the queue
	mu     sync.Mutex
	queue  queue[T]
}

func (b *mailbox[T]) init() { b.signal = make(chan struct{}, 1) }

func (b *mailbox[T]) put(x T) {
	b.mu.Lock()
	b.queue.push(x)
	b.mu.Unlock()
	b.wake()
}

// replace puts x in the place of all that waits.
func (b *mailbox[T]) replace(x T) {
	b.mu.Lock()
	b.queue = queue[T]{}
	b.queue.push(x)
	b.mu.Unlock()
	b.wake()
}

func (b *mailbox[T]) wake() {
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// take returns all that waits.
func (b *mailbox[T]) take() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.queue.items[b.queue.head:]
	b.queue = queue[T]{}
	return all
}

// next returns the oldest, and waits for it; false when ctx ends.
func (b *mailbox[T]) next(ctx context.Context) (x T, ok bool) {
	for {
		if x, ok = b.poll(nil); ok || ctx.Err() != nil {
			return x, ok
		}
		select {
		case <-b.signal:
		case <-ctx.Done():
		}
	}
}

// poll returns the oldest if there is one and fits approves of it.
func (b *mailbox[T]) poll(fits func(T) bool) (x T, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue.len() == 0 || fits != nil && !fits(*b.queue.at(0)) {
		return x, false
	}
	return b.queue.pop(), true
}

// job is a look-up or a step of the walk.
type job struct {
	name string
	do   func(ctx context.Context) (Event, error)
}

// storeJob is a Store work, or the commit.
type storeJob struct {
	Store
	commit bool
	change Change
}

// dispatch hands work to those who do it.
func (d *driver) dispatch(w Work) {
	for _, s := range w.Store {
		d.local++
		d.store.put(storeJob{Store: s})
	}
	if w.Commit {
		d.local++
		d.store.put(storeJob{commit: true, change: w.Change})
	}
	if w.Open {
		d.lookUp("read the knowledge", func(ctx context.Context) (Event, error) {
			return d.knowledge.open(ctx, d.c.Blocks, d.c.Index, w.Scope, w.Without)
		})
	}
	if w.Map {
		d.lookUp("read the knowledge", func(context.Context) (Event, error) {
			entries, err := d.knowledge.entries()
			return Mapped{entries}, err
		})
	}
	for _, rows := range w.Locate {
		d.lookUp("look up heads", func(ctx context.Context) (Event, error) {
			wants, err := Locate(ctx, d.c.Index, rows)
			return Located{wants}, err
		})
	}
	for _, rows := range w.Agree {
		d.lookUp("look up heads", func(ctx context.Context) (Event, error) {
			outcomes, err := Agree(ctx, d.c.Index, rows)
			return Agreed{outcomes}, err
		})
	}
	for _, rows := range w.Judge {
		d.lookUp("look up heads", func(ctx context.Context) (Event, error) {
			diverged, err := Judge(ctx, d.c.Index, rows)
			return Judged{diverged}, err
		})
	}
	for _, hashes := range w.Check {
		d.lookUp("look for blocks", func(ctx context.Context) (Event, error) {
			closed, err := d.c.Blocks.HasClosed(ctx, hashes)
			return Checked{closed}, err
		})
	}
	for _, hashes := range w.Load {
		d.lookUp("load", func(ctx context.Context) (Event, error) {
			blocks := make([]ibgib.IbGib, len(hashes))
			for i, h := range hashes {
				var err error
				if blocks[i], err = d.c.Blocks.Block(ctx, h); err != nil {
					return nil, err
				}
			}
			return Loaded{blocks}, nil
		})
	}
	for _, step := range w.Walk {
		d.local++
		d.walk.put(step)
	}
	for _, m := range w.Send {
		d.out.put(m)
	}
}

func (d *driver) lookUp(name string, do func(context.Context) (Event, error)) {
	d.local++
	d.look.put(job{name, do})
}

func (d *driver) lookWorker(ctx context.Context) {
	for {
		j, ok := d.look.next(ctx)
		if !ok {
			return
		}
		event, err := j.do(ctx)
		if err != nil {
			d.events.put(outcome{jobs: 1, err: d.internal(j.name, err)})
			return
		}
		d.events.put(outcome{event: event, jobs: 1})
	}
}

func (d *driver) walkWorker(ctx context.Context) {
	walker := NewWalker(ctx, d.c.Blocks, d.c.Index)
	for {
		step, ok := d.walk.next(ctx)
		if !ok {
			return
		}
		walked, err := walker.Step(step)
		if err != nil {
			d.events.put(outcome{jobs: 1, err: d.internal("walk", err)})
			return
		}
		d.events.put(outcome{event: walked, jobs: 1})
	}
}

func (d *driver) storeWorker(ctx context.Context) {
	for {
		j, ok := d.store.next(ctx)
		if !ok {
			return
		}
		var o outcome
		var err error
		if j.commit {
			o = outcome{jobs: 1}
			o.event, err = d.commit(ctx, j.change)
		} else {
			var refusals Refusals
			if o.jobs, err = d.put(ctx, j.Store); errors.As(err, &refusals) {
				err = nil
			}
			o.event = Stored{o.jobs, refusals}
		}
		if err != nil {
			o = outcome{jobs: o.jobs, err: d.internal("store", err), full: !j.commit && isFull(err)}
		}
		d.events.put(o)
		if err != nil {
			return
		}
	}
}

// put stores one work, and those that wait behind it as far as they fit. With a
// Refusals all but these has been stored.
func (d *driver) put(ctx context.Context, s Store) (works int, err error) {
	if d.intake == nil {
		if d.intake, err = d.c.Intake(ctx); err != nil {
			return 1, err
		}
	}
	works = 1
	blocks, bytes := s.Put, sizes(s.Put)
	touch := s.Touch
	for {
		// Blocks that are present do not depend on those that come, nor do these
		// wait for them to be touched.
		more, ok := d.store.poll(func(j storeJob) bool {
			n := sizes(j.Put)
			fits := !j.commit && len(blocks)+len(j.Put) <= putBlocks && bytes+n <= putBytes && len(touch)+len(j.Touch) <= putBlocks
			if fits {
				bytes += n
			}
			return fits
		})
		if !ok {
			break
		}
		works++
		blocks = append(blocks[:len(blocks):len(blocks)], more.Put...)
		touch = append(touch[:len(touch):len(touch)], more.Touch...)
	}
	var refusals Refusals
	if len(blocks) > 0 {
		if err := d.intake.Put(ctx, blocks); err != nil && !errors.As(err, &refusals) {
			return works, err
		}
	}
	if len(touch) > 0 {
		if err := d.intake.Touch(ctx, touch); err != nil {
			return works, err
		}
	}
	if len(refusals) > 0 {
		return works, refusals
	}
	return works, nil
}

// isFull reports whether the error of an Intake says that it takes no more.
func isFull(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == CodeLimit
}

// keepWhole commits what is whole when the intake takes no more: else a sync of more
// than it takes at once would never get anywhere. What is diverged is not known then,
// so with StrategyAbort it does nothing.
func (d *driver) keepWhole(ctx context.Context, failure *Error) {
	if d.m.aborts() {
		return
	}
	if d.m.Talks() {
		d.out.put(&Working{ID: d.m.ID()})
	}
	c, err := d.intake.Commit(ctx, Change{Only: d.m.lackingHeads(), Stones: d.m.in.stones, Strategy: d.m.talk.strategy})
	if err != nil {
		failure.Err = errors.Join(failure.Err, err)
		return
	}
	if c.Moved > 0 {
		d.committed, d.result = true, c
		failure.Retry = true
		failure.Text += "; what is whole is kept, and another sync goes on from there"
	}
}

func sizes(gs []ibgib.IbGib) int {
	n := 0
	for _, g := range gs {
		n += g.Size()
	}
	return n
}

func (d *driver) commit(ctx context.Context, change Change) (Event, error) {
	c, err := d.intake.Commit(ctx, change)
	if err != nil {
		return nil, err
	}
	d.committed, d.result = true, c
	return Decided{c}, nil
}

func (d *driver) read(ctx context.Context) {
	for {
		m, r, err := d.c.Conn.Receive(ctx)
		select {
		case d.in <- incoming{m, r, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// write sends until sending fails, an *Error has been sent or ctx ends.
func (d *driver) write(ctx context.Context) {
	defer close(d.writer)
	for {
		m, ok := d.out.next(ctx)
		if !ok {
			return
		}
		r, err := d.c.Conn.Send(ctx, m)
		if err != nil {
			d.events.put(outcome{err: d.lost("send", err), sending: true})
			return
		}
		if _, last := m.(*Error); last {
			return
		}
		if _, is := m.(*Working); is {
			d.events.put(outcome{said: true})
			continue
		}
		d.events.put(outcome{event: Sent{r}})
	}
}

// snapshot is the knowledge of one moment. It is for the look-up worker, and
// closed when that has ended.
type snapshot struct {
	all     iter.Seq2[timeline.Entry, error]
	release func()
}

func (s *snapshot) open(ctx context.Context, blocks Blocks, index Index, scope, without []ibgib.Hash) (Event, error) {
	empty, err := blocks.Empty(ctx)
	if err != nil {
		return nil, err
	}
	if len(scope) > 0 {
		entries, err := index.EntriesOf(ctx, scope)
		if err != nil {
			return nil, err
		}
		s.all = func(yield func(timeline.Entry, error) bool) {
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
		}
		opened := Survey(entries, scope, without)
		opened.Empty = empty
		return opened, nil
	}
	fp, all, release, err := index.Knowledge(ctx)
	if err != nil {
		return nil, err
	}
	s.all, s.release = all, release
	if len(without) > 0 {
		entries, err := index.EntriesOf(ctx, without)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			fp.Remove(e.Digest())
		}
	}
	return Opened{Fingerprint: fp.Sum(), Count: fp.Count(), Empty: empty}, nil
}

// entries reads all entries and closes the snapshot.
func (s *snapshot) entries() ([]timeline.Entry, error) {
	defer s.close()
	var entries []timeline.Entry
	if s.all == nil {
		return nil, errors.New("saga: the knowledge was read before")
	}
	for e, err := range s.all {
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func (s *snapshot) close() {
	if s.release != nil {
		s.release()
	}
	s.all, s.release = nil, nil
}
