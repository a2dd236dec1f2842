package node

import (
	"context"
	"sync"
	"time"
)

const (
	// censusEvery is how long a census holds at least.
	censusEvery = time.Minute
	// censusPart bounds the time that censuses take, as one part of so many.
	censusPart = 100
	// censusWait is how long one who asks waits for a census that is being taken.
	censusWait = time.Second
)

// census is what can only be counted by reading the whole index, as it was when somebody
// asked who had a reason to: when something has been written since the last one, and that
// is long enough ago. So it takes at most 1 % of the time, and nothing on a node that
// nobody asks.
type census struct {
	mu     sync.Mutex // guards what follows
	closed bool
	tried  *counted // the last one
	last   *counted // the last one that was completed
	// Of the one that is being taken; nil if none is. done is closed when it ends.
	cancel context.CancelFunc
	done   chan struct{}
}

// counted is a census.
type counted struct {
	Stats
	at     time.Time
	took   time.Duration
	writes uint64 // of the engine before
}

// isDue tells whether there is a reason for another one. c may be nil.
func (c *counted) isDue(now time.Time, writes uint64) bool {
	return c == nil || writes != c.writes && now.Sub(c.at) >= max(censusEvery, censusPart*c.took)
}

// takeCensus returns the last census; nil if there is none. If another one is due, it
// begins that, which goes on when ctx ends, and waits a little for it.
func (n *Node) takeCensus(ctx context.Context) (*counted, error) {
	engine, err := n.store.Engine()
	if err != nil {
		return nil, err
	}
	if done := n.beginCensus(ctx, engine.Writes); done != nil {
		limit := time.NewTimer(censusWait)
		defer limit.Stop()
		select {
		case <-done:
		case <-limit.C:
		case <-ctx.Done():
		}
	}
	n.census.mu.Lock()
	defer n.census.mu.Unlock()
	return n.census.last, nil
}

// beginCensus returns what is closed when the census that is being taken ends, nil if none
// is.
func (n *Node) beginCensus(ctx context.Context, writes uint64) <-chan struct{} {
	c := &n.census
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done != nil || c.closed || !c.tried.isDue(n.now(), writes) {
		return c.done
	}
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.done = make(chan struct{})
	c.tried = &counted{at: n.now(), writes: writes}
	go n.runCensus(ctx, *c.tried)
	return c.done
}

func (n *Node) runCensus(ctx context.Context, taken counted) {
	err := taken.countIndex(ctx, n)
	taken.took = n.now().Sub(taken.at)
	if err != nil && ctx.Err() == nil {
		n.log.Warn("index not counted for the metrics", "error", err)
	}
	c := &n.census
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried = &taken
	if err == nil {
		c.last = &taken
	}
	c.cancel()
	close(c.done)
	c.done = nil
}

// close ends the one that is being taken, and lets no other begin.
func (c *census) close() {
	c.mu.Lock()
	c.closed = true
	done := c.done
	if done != nil {
		c.cancel()
	}
	c.mu.Unlock()
	if done != nil {
		<-done
	}
}

// sampleIndex reads the census.
func (n *Node) sampleIndex(ctx context.Context) []sample {
	c, err := n.takeCensus(ctx)
	of := func(read func(*counted) int) func(func(float64, ...string)) error {
		return func(tell func(float64, ...string)) error {
			if err == nil && c != nil {
				tell(float64(read(c)))
			}
			return err
		}
	}
	return []sample{
		gauge("timelines", "Timelines of all shares, as of the last census.", of(func(c *counted) int { return c.Timelines })),
		gauge("conflicts", "Timelines that have diverged and are not merged, as of the last census.", of(func(c *counted) int { return c.Conflicts })),
		gauge("awaited_addresses", "Addresses that something stored waits for, as of the last census.", of(func(c *counted) int { return c.Awaited })),
		gauge("frames_kept_out", "Stored frames that a rule keeps out of their timelines, as of the last census.", of(func(c *counted) int { return c.Rejected })),
		gauge("census_timestamp_seconds", "When the last census was begun: the whole index is counted, at most once a minute, and for at most 1 % of the time.", of(func(c *counted) int { return int(c.at.Unix()) })),
	}
}
