package blockstore

import (
	"bytes"
	"maps"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// sweep removes the members of the order, last ones first, that have not been
// marked meanwhile.
func (c *collection) sweep() (bool, error) {
	if done, err := c.blacken(); err != nil || !done {
		return false, err
	}
	shares, err := sharesOf(c.snap)
	if err != nil {
		return false, err
	}
	b := newBatch()
	var removed []ibgib.Hash
	write := func() error {
		if c.opts.DryRun || b.empty() {
			return nil
		}
		for id := range c.changed {
			b.put(stagePrefix(prefixLoose, id), encodeLoose(c.s.loose.byID[id]))
		}
		err := c.s.kv.write(b)
		if err != nil {
			c.s.reloadLoose(slices.Sorted(maps.Keys(c.changed)))
		}
		clear(c.changed)
		for _, h := range removed {
			c.s.recent.drop(memberKey{c.share, h})
		}
		removed = removed[:0]
		b.reset()
		return err
	}
	for left := gcTurn; left > 0 && len(c.order) > 0; left-- {
		h := c.order[len(c.order)-1]
		c.order = c.order[:len(c.order)-1]
		c.done++
		value, found, err := c.snap.get(shareKey(prefixMember, c.share, h))
		if err != nil {
			return false, err
		}
		if !found {
			continue
		}
		if _, ok := c.marked[h]; ok {
			c.report.Kept++
			if err := c.stays(h, value); err != nil {
				return false, err
			}
			continue
		}
		m, err := decodeMember(h, value)
		if err != nil {
			return false, corrupt("member", shareKey(prefixMember, c.share, h), err)
		}
		removed = append(removed, h)
		if err := c.remove(b, h, m, shares, write); err != nil {
			return false, err
		}
	}
	return len(c.order) == 0, write()
}

// remove adds to the batch what removes a member and what belongs to it.
func (c *collection) remove(b *batch, h ibgib.Hash, m member, shares []Share, write func() error) error {
	c.report.Removed++
	c.release(m)
	b.remove(shareKey(prefixMember, c.share, h))
	for _, prefix := range []byte{prefixRejected, prefixClosing} {
		key := shareKey(prefix, c.share, h)
		if has, err := c.snap.has(key); err != nil {
			return err
		} else if has {
			b.remove(key)
		}
	}
	if shared, err := c.elsewhere(h, m.slot, shares); err != nil {
		return err
	} else if !shared {
		key := blockKey(m.slot)
		value, found, err := c.snap.get(key)
		if err != nil {
			return err
		}
		if found {
			c.report.Freed++
			c.report.Bytes += int64(len(value))
			b.remove(key)
		}
	}
	if b.full(0, 0) {
		return write()
	}
	return nil
}

// release takes a member out of what counts against a budget.
func (c *collection) release(m member) {
	id, ok := c.s.loose.at(c.share, m.seq)
	if !ok || c.opts.DryRun || m.peer != c.s.loose.byID[id].peer {
		return
	}
	size := 0
	if g, err := blockOf(c.snap, m); err == nil {
		size = g.Size()
	}
	c.s.loose.charge(id, -blockCharge(size))
	c.changed[id] = true
}

// elsewhere tells whether another share has a member whose block lies there.
func (c *collection) elsewhere(h ibgib.Hash, slot uint64, shares []Share) (bool, error) {
	if c.opts.DryRun {
		c.dropped[memberKey{c.share, h}] = struct{}{}
	}
	for _, share := range shares {
		if _, dropped := c.dropped[memberKey{share, h}]; dropped || share == c.share {
			continue
		}
		if m, found, err := memberOf(c.snap, share, h); err != nil || found && m.slot == slot {
			return err == nil, err
		}
	}
	return false, nil
}

// tidy removes the waiting records of what is no member any more, and then the
// loose ranges of stages that have left nothing.
func (c *collection) tidy() func() (bool, error) {
	b := newBatch()
	waiting := c.roots(prefixWaiting, func(key, _ []byte) (bool, error) {
		has, err := c.snap.has(shareKey(prefixMember, c.share, lastHash(key)))
		if err == nil && !has {
			b.remove(bytes.Clone(key))
		}
		return !b.full(0, 0), err
	})
	return func() (bool, error) {
		done := c.opts.DryRun
		if !done {
			var err error
			if done, err = waiting(); err != nil {
				return false, err
			}
		}
		if done && !c.opts.DryRun {
			c.tidyLoose(b)
		}
		if !b.empty() {
			if err := c.s.kv.write(b); err != nil {
				return false, err
			}
			b.reset()
		}
		return done, nil
	}
}

// tidyLoose removes the records of ended stages that have left nothing. What is left
// of a stage that has expired is needed: it counts no longer, unless it may be needed
// for the time being only.
func (c *collection) tidyLoose(b *batch) {
	for _, id := range slices.Sorted(maps.Keys(c.loose)) {
		l := c.s.loose.byID[id]
		switch {
		case l == nil:
		case !c.loose[id]:
			c.s.loose.set(id, nil)
			b.remove(stagePrefix(prefixLoose, id))
		case c.due[id] && !c.passing:
			c.s.loose.set(id, &loose{share: l.share, ranges: l.ranges, last: l.last})
			b.put(stagePrefix(prefixLoose, id), encodeLoose(c.s.loose.byID[id]))
		}
	}
}
