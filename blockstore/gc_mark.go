package blockstore

import (
	"bytes"
	"errors"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// roots is a step that calls f for each record of the share with a prefix, a
// turn's worth at a time.
func (c *collection) roots(prefix byte, f func(key, value []byte) (more bool, err error)) func() (bool, error) {
	var from []byte
	return func() (bool, error) {
		left, done := gcTurn, true
		err := c.snap.scan(sharePrefix(prefix, c.share), from, func(key, value []byte) (bool, error) {
			if left == 0 {
				from, done = bytes.Clone(key), false
				return false, nil
			}
			left--
			c.done++
			more, err := f(key, value)
			if err == nil && !more { // it is to be called again
				from, done = bytes.Clone(key), false
			}
			return more, err
		})
		return done, err
	}
}

func (c *collection) entryRoots(key, value []byte) (bool, error) {
	e, err := decodeEntry(value)
	if err != nil {
		return false, corrupt("entry", key, err)
	}
	for _, a := range append(e.Heads, e.Latest) {
		h, _ := a.Hash()
		c.mark(h)
	}
	return true, nil
}

func (c *collection) keyRoot(key, _ []byte) (bool, error) {
	c.mark(lastHash(key))
	return true, nil
}

// memberRoots marks what is young, belongs to an open stage, or came from no
// peer where that counts, and notes what is not closed.
func (c *collection) memberRoots(key, value []byte) (bool, error) {
	h := lastHash(key)
	m, err := decodeMember(h, value)
	if err != nil {
		return false, corrupt("member", key, err)
	}
	if !m.closed {
		c.unclosed[h] = struct{}{}
	}
	young := c.opts.Age > 0 && c.s.now().Sub(m.at) < c.opts.Age
	if id, loose := c.s.loose.at(c.share, m.seq); loose && !young {
		_, young = c.s.open[id]
	}
	own := m.peer == 0 && (m.frame == nil || m.frame.Kind != timeline.KindMerge) // it can be computed again
	if young || c.opts.KeepOwn && own && !c.isForgotten(&m) {
		c.mark(h)
	}
	return true, nil
}

// isForgotten tells whether a member is a frame of a timeline that is forgotten, or
// may be the dna of one: dna that no frame links to is of no use.
func (c *collection) isForgotten(m *member) bool {
	forgotten := c.s.forgotten[c.share]
	if len(forgotten) == 0 {
		return false
	}
	if m.frame == nil {
		switch ib := m.addr.Ib(); ib {
		case "fork", "mut8", "rel8", "keep":
			return true
		default:
			return false
		}
	}
	root, _ := m.frame.Tjp.Hash()
	return forgotten[root]
}

// blacken marks what the gray ones link to, until there are none.
func (c *collection) blacken() (bool, error) {
	for left := gcTurn; len(c.gray) > 0; left-- {
		if left == 0 {
			return false, nil
		}
		h := c.gray[len(c.gray)-1]
		c.gray = c.gray[:len(c.gray)-1]
		links, err := c.links(h)
		if err != nil {
			return false, err
		}
		_, unclosed := c.unclosed[h]
		for _, to := range links {
			if c.needed(to) {
				continue
			}
			if unclosed { // what it links to need be no member
				if has, err := c.snap.has(shareKey(prefixMember, c.share, to)); err != nil {
					return false, err
				} else if !has {
					continue
				}
			}
			c.mark(to)
		}
	}
	return true, nil
}

// links returns the hashes that a block links to, none if it is not there or
// damaged, which is for Verify to tell.
func (c *collection) links(h ibgib.Hash) ([]ibgib.Hash, error) {
	c.done++
	g, err := memberBlock(c.snap, c.share, h)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var links []ibgib.Hash
	for link := range g.Targets() {
		if to, ok := link.Hash(); ok {
			links = append(links, to)
		}
	}
	return links, nil
}

// arrange puts a member into the order, if it is not marked, after those that
// it links to. It returns false if there is more to do.
func (c *collection) arrange(key, value []byte) (bool, error) {
	h := lastHash(key)
	if len(c.path) == 0 {
		if c.spared(h) {
			return true, nil
		}
		if _, ok := c.marked[h]; ok {
			c.report.Kept++
			return true, c.stays(h, value)
		}
		if _, ok := c.entered[h]; ok {
			return true, nil
		}
		if err := c.enter(h); err != nil {
			return false, err
		}
	}
	for left := gcTurn; len(c.path) > 0; left-- {
		if left == 0 {
			return false, nil
		}
		v := &c.path[len(c.path)-1]
		if len(v.links) == 0 {
			c.order = append(c.order, v.h)
			c.path = c.path[:len(c.path)-1]
			continue
		}
		to := v.links[0]
		v.links = v.links[1:]
		if c.needed(to) {
			continue
		}
		if _, ok := c.entered[to]; ok {
			continue
		}
		if has, err := c.snap.has(shareKey(prefixMember, c.share, to)); err != nil {
			return false, err
		} else if !has {
			continue
		}
		if err := c.enter(to); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (c *collection) enter(h ibgib.Hash) error {
	links, err := c.links(h)
	c.entered[h] = struct{}{}
	c.path = append(c.path, visit{h, links})
	return err
}

// stays notes the stage of a member that stays.
func (c *collection) stays(h ibgib.Hash, value []byte) error {
	if len(c.loose) == 0 {
		return nil
	}
	m, err := decodeMember(h, value)
	if err != nil {
		return corrupt("member", shareKey(prefixMember, c.share, h), err)
	}
	if id, loose := c.s.loose.at(c.share, m.seq); loose {
		if _, ended := c.loose[id]; ended {
			c.loose[id] = true
		}
	}
	return nil
}
