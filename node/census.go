package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// censusEvery is how long a census holds at least.
	censusEvery = time.Minute
	// censusPart bounds the time that censuses take, as one part of so many.
	censusPart = 100
)

// census is what can only be counted by reading the whole index, as it was when somebody
// asked who had a reason to: when something has been written since the last one, and that
// is long enough ago. So a census takes at most 1 % of the time, and nothing on a node that
// nobody asks.
type census struct {
	mu   sync.Mutex // held while it is taken
	last atomic.Pointer[counted]
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

// takeCensus returns the last census, or takes one. While another goroutine does, it returns the
// one before; nil if there is none.
func (n *Node) takeCensus(ctx context.Context) (*counted, error) {
	engine, err := n.store.Engine()
	if err != nil {
		return nil, err
	}
	if !n.census.last.Load().isDue(n.now(), engine.Writes) || !n.census.mu.TryLock() {
		return n.census.last.Load(), nil
	}
	defer n.census.mu.Unlock()
	c := &counted{at: n.now(), writes: engine.Writes}
	if err := c.countIndex(ctx, n); err != nil {
		return nil, fmt.Errorf("node: metrics: %w", err)
	}
	c.took = n.now().Sub(c.at)
	n.census.last.Store(c)
	return c, nil
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
		gauge("census_timestamp_seconds", "When the last census was taken: the whole index was counted, which happens at most once a minute, and at most for 1 % of the time.", of(func(c *counted) int { return int(c.at.Unix()) })),
	}
}
