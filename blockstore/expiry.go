package blockstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// DefaultExpiry is how long the loose arrivals of a peer stay.
const DefaultExpiry = 7 * 24 * time.Hour

// expireEvery is how often the store looks for links to what has expired, which means
// to read all of the share, however often something does.
const expireEvery = time.Hour

// errSuperseded ends a collection of expired arrivals when a GC or a repair begins.
var errSuperseded = errors.New("another collection has begun")

// stopExpiry lets nobody collect any more, or fails with ErrBusy. Store.mu is held.
func (s *Store) stopExpiry() error {
	if s.gc != nil && s.gc.expired == nil {
		return ErrBusy
	}
	s.gc = nil
	return nil
}

// expire removes the loose arrivals of peers that nothing was added to for as long as
// Options.Expiry, but for those that something else needs. It works as GC does, in
// short turns beside other writers.
func (s *Store) expire(ctx context.Context) error {
	c, shares, err := s.dueStages()
	if err != nil || c == nil {
		return err
	}
	defer c.end()
	for _, share := range shares {
		if err := c.expire(ctx, share); err != nil {
			if errors.Is(err, errSuperseded) {
				return nil
			}
			return fmt.Errorf("blockstore: expire: %w", err)
		}
	}
	return nil
}

// dueStages begins a collection of what has expired, and returns the shares that have
// any; nil if there is nothing to do now.
func (s *Store) dueStages() (*collection, []Share, error) {
	if err := s.life.enter(); err != nil {
		return nil, nil, fmt.Errorf("blockstore: %w", err)
	}
	defer s.life.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.expiry < 0 || s.gc != nil || !s.lastExpiry.IsZero() && now.Sub(s.lastExpiry) < expireEvery {
		return nil, nil, nil
	}
	c := &collection{s: s, due: make(map[uint64]bool), expired: make(map[ibgib.Hash]struct{}), dropped: make(map[memberKey]struct{})}
	var shares []Share
	for id, l := range s.loose.byID {
		if _, open := s.open[id]; open || l.peer == 0 || now.Sub(l.last) < s.expiry {
			continue
		}
		c.due[id] = true
		if !slices.Contains(shares, l.share) {
			shares = append(shares, l.share)
		}
	}
	if len(shares) == 0 {
		return nil, nil, nil
	}
	slices.Sort(shares)
	s.lastExpiry, s.gc = now, c
	s.holds.mu.Lock()
	defer s.holds.mu.Unlock()
	s.holds.watched = true
	return c, shares, nil
}

// expire goes through one share.
func (c *collection) expire(ctx context.Context, share Share) error {
	return c.take(ctx, []func() (bool, error){
		func() (bool, error) {
			c.start(share)
			clear(c.expired)
			c.passing = false
			for id := range c.loose {
				if !c.due[id] {
					delete(c.loose, id)
				}
			}
			return true, nil
		},
		c.roots(prefixMember, c.gather),
		func() (bool, error) {
			c.markHeld()
			return true, nil
		},
		c.roots(prefixEntry, c.entryRoots),
		c.roots(prefixPin, c.keyRoot),
		c.roots(prefixMember, c.referrers),
		c.blacken,
		c.roots(prefixMember, c.arrange),
		c.sweep,
		c.tidy(),
	})
}

// gather notes a member that has expired. What this node has itself is spared.
func (c *collection) gather(key, value []byte) (bool, error) {
	h := lastHash(key)
	m, err := decodeMember(h, value)
	if err != nil {
		return false, corrupt("member", key, err)
	}
	id, ok := c.s.loose.at(c.share, m.seq)
	if !ok || !c.due[id] {
		return true, nil
	}
	if m.peer == 0 {
		c.loose[id] = true
		return true, nil
	}
	c.expired[h] = struct{}{}
	if !m.closed {
		c.unclosed[h] = struct{}{}
	}
	return true, nil
}

// referrers marks what a member that stays links to.
func (c *collection) referrers(key, _ []byte) (bool, error) {
	h := lastHash(key)
	if !c.spared(h) {
		return true, nil
	}
	links, err := c.links(h)
	for _, to := range links {
		c.mark(to)
	}
	return true, err
}
