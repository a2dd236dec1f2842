package blockstore

import (
	"context"
	"fmt"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// DefaultGCAge is how long GC leaves everything alone that has arrived.
const DefaultGCAge = 7 * 24 * time.Hour

// GCOptions configure GC. The zero value is the default.
type GCOptions struct {
	// Age is how long ago a block must have arrived to be removed; 0:
	// DefaultGCAge, negative: no time at all.
	Age time.Duration
	// DropRejected removes what a rule keeps out of the index too. The heads of
	// a peer among it will be wanted again.
	DropRejected bool
	// KeepOwn keeps whatever did not come from a peer, linked or not, but for timelines
	// that are forgotten.
	KeepOwn bool
	// DryRun only counts.
	DryRun bool
}

// GCReport tells what GC did. A block counts once for each share it is a
// member of.
type GCReport struct {
	Kept    int   `json:"kept"`
	Removed int   `json:"removed"`
	Freed   int   `json:"freed"`             // blocks that no share has any more
	Bytes   int64 `json:"bytes"`             // of the freed blocks' records; disk space follows with Maintain
	Skipped int   `json:"skipped,omitempty"` // shares left alone, for the sake of a stage that touched too much
}

// GC removes the members of every share that nothing needs, and the blocks
// that no share has any more. Needed is, with its closure: every head and pin,
// what open stages have brought or touched, what is held (Hold, HoldHeads), what a rule
// keeps out of the index, whatever arrived within opts.Age, and with
// opts.KeepOwn whatever came from no peer. Without it a stone that nothing links
// to is needed only if it is pinned.
//
// The work is done in short turns between those of other writers, who may go
// on. A crash, or the end of ctx, at any moment leaves a store in order, with
// less or more removed. It fails with ErrBusy if GC is running already.
//
// It remembers the hashes of all members of the share at hand, some 100 MB for a
// million. progress, if not nil, is called now and then with the number of
// records looked at.
func (s *Store) GC(ctx context.Context, opts GCOptions, progress func(done int)) (GCReport, error) {
	c := &collection{s: s, opts: opts, progress: progress, dropped: make(map[memberKey]struct{})}
	if c.opts.Age == 0 {
		c.opts.Age = DefaultGCAge
	}
	err := c.run(ctx)
	if err != nil {
		return c.report, fmt.Errorf("blockstore: gc: %w", err)
	}
	return c.report, nil
}

// gcTurn is how many records one turn of GC looks at.
const gcTurn = 256

// A collection is one run of GC, or of what removes expired arrivals. It goes
// through the shares one by one: it marks what is needed, puts the rest into an order
// in which nothing comes before what links to it, and removes it in that order. So the
// members that are there have their links there at every moment.
//
// Other writers work in between. Whatever one of them looks at or brings is
// marked too (keep), and what that links to follows before anything else is
// removed: when gray is empty, no marked member links to an unmarked one.
//
// Store.mu guards all but s, opts, progress and ctx.
type collection struct {
	s        *Store
	opts     GCOptions
	progress func(int)
	report   GCReport
	done     int
	snap     snapshot // of the turn at hand

	active   bool // a share is at hand
	share    Share
	marked   map[ibgib.Hash]struct{}
	gray     []ibgib.Hash // marked, but not yet what they link to
	unclosed map[ibgib.Hash]struct{}
	entered  map[ibgib.Hash]struct{} // unmarked, in the order or on the way there
	path     []visit
	order    []ibgib.Hash    // unmarked, what they link to first
	loose    map[uint64]bool // ended stages, with whether a member of theirs stays
	changed  map[uint64]bool // stages of which less counts against a budget, since the last write

	// expired, if not nil, is all that may be removed: the rest counts as needed.
	expired map[ibgib.Hash]struct{}
	due     map[uint64]bool // the stages whose arrivals these are
	passing bool            // some are marked for the time being

	dropped map[memberKey]struct{} // what a dry run would have removed
}

// visit is an unmarked member on the way into the order.
type visit struct {
	h     ibgib.Hash
	links []ibgib.Hash // yet to be visited
}

// keep marks a member for the time being; a writer calls it for all it looks at.
// Store.mu is held.
func (c *collection) keep(share Share, h ibgib.Hash) {
	if c.active && share == c.share && c.mark(h) {
		c.passing = true
	}
}

// mark marks a member of the share at hand, and tells whether it was not.
func (c *collection) mark(h ibgib.Hash) bool {
	if c.needed(h) {
		return false
	}
	c.marked[h] = struct{}{}
	c.gray = append(c.gray, h)
	return true
}

// spared tells whether a member may not be removed anyway.
func (c *collection) spared(h ibgib.Hash) bool {
	if c.expired == nil {
		return false
	}
	_, ok := c.expired[h]
	return !ok
}

// needed tells whether a member is not to be removed, as far as is known.
func (c *collection) needed(h ibgib.Hash) bool {
	_, marked := c.marked[h]
	return marked || c.spared(h)
}

func (c *collection) run(ctx context.Context) error {
	if err := c.begin(); err != nil {
		return err
	}
	defer c.end()
	shares, err := c.s.gcShares()
	if err != nil {
		return err
	}
	for _, share := range shares {
		if err := c.collect(ctx, share); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) gcShares() ([]Share, error) {
	if err := s.life.enter(); err != nil {
		return nil, err
	}
	defer s.life.leave()
	return s.shares()
}

func (c *collection) begin() error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if err := c.s.stopExpiry(); err != nil {
		return err
	}
	c.s.gc = c
	c.s.holds.mu.Lock()
	defer c.s.holds.mu.Unlock()
	c.s.holds.watched = true
	return nil
}

func (c *collection) end() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.gc != c { // another one has begun
		return
	}
	c.s.gc = nil
	c.s.holds.mu.Lock()
	defer c.s.holds.mu.Unlock()
	c.s.holds.watched, c.s.holds.fresh = false, nil
}

// collect goes through one share.
func (c *collection) collect(ctx context.Context, share Share) error {
	steps := []func() (bool, error){
		func() (bool, error) {
			c.start(share)
			c.markHeld()
			return true, nil
		},
		c.roots(prefixEntry, c.entryRoots),
		c.roots(prefixPin, c.keyRoot),
		c.roots(prefixRejected, c.keyRoot),
		c.roots(prefixMember, c.memberRoots),
		c.blacken,
		c.roots(prefixMember, c.arrange),
		c.sweep,
		c.tidy(),
	}
	if c.opts.DropRejected {
		steps = append(steps[:3], steps[4:]...)
	}
	return c.take(ctx, steps)
}

// take takes one step after the other, unless the share has to be left alone.
func (c *collection) take(ctx context.Context, steps []func() (bool, error)) error {
	for _, step := range steps {
		for done := false; !done; {
			var err error
			if done, err = c.turn(ctx, step); err != nil {
				return err
			}
			if !c.active {
				return nil
			}
		}
	}
	return nil
}

// turn runs one part of a step as the store's writer.
func (c *collection) turn(ctx context.Context, step func() (bool, error)) (done bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := c.s.life.enter(); err != nil {
		return false, err
	}
	defer c.s.life.leave()
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.gc != c {
		return false, errSuperseded
	}
	c.s.holds.mu.Lock()
	defer c.s.holds.mu.Unlock()
	for _, h := range c.s.holds.fresh {
		for _, hash := range h.hashes {
			c.keep(h.share, hash)
		}
	}
	c.s.holds.fresh = nil
	c.snap = c.s.snapshot()
	defer func() { c.snap.release() }()
	before := c.done
	done, err = step()
	if c.progress != nil && c.done/1000 != before/1000 {
		c.progress(c.done)
	}
	return done, err
}

// start takes a share in hand.
func (c *collection) start(share Share) {
	c.active, c.share = true, share
	c.marked = make(map[ibgib.Hash]struct{})
	c.unclosed = make(map[ibgib.Hash]struct{})
	c.entered = make(map[ibgib.Hash]struct{})
	c.loose = make(map[uint64]bool)
	c.changed = make(map[uint64]bool)
	c.gray, c.path, c.order = nil, nil, nil
	for id, l := range c.s.loose.byID {
		if _, open := c.s.open[id]; l.share == share && !open {
			c.loose[id] = false
		}
	}
}

// markHeld marks what is needed for the time being. The share is left alone if that
// is not known.
func (c *collection) markHeld() {
	for _, st := range c.s.open {
		if st.share != c.share {
			continue
		}
		if len(st.held) > maxHeld {
			c.active = false
			c.report.Skipped++
			return
		}
		for _, h := range st.held {
			c.keep(c.share, h)
		}
	}
	for _, h := range c.s.holds.byID {
		for _, hash := range h.hashes {
			c.keep(h.share, hash)
		}
	}
	for _, k := range c.s.holds.asked {
		c.keep(k.share, k.hash)
	}
}
