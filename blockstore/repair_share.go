package blockstore

import (
	"bytes"
	"errors"

	"github.com/ibgib/ibgib-node/ibgib"
)

// shareRepair is the work on one share: first memberships, closed flags and
// waiting records from the blocks, then the index from these.
type shareRepair struct {
	*repairer
	w     *writer
	share Share
	known map[ibgib.Hash]standing
	waits map[waitKey]ibgib.Addr // the waiting records that there must be
	found map[waitKey]bool       // those of them that there are
	// unreadable are the roots whose entry does not decode.
	unreadable map[ibgib.Hash]bool
}

// standing is what a repair knows of a member of the share.
type standing uint8

const (
	unvisited standing = iota + 1
	isClosed
	isOpen
	isLost // its block is gone
)

type waitKey struct{ target, referrer ibgib.Hash }

func (r *repairer) repairShare(share Share) error {
	x := &shareRepair{
		repairer: r, share: share,
		known: make(map[ibgib.Hash]standing), waits: make(map[waitKey]ibgib.Addr),
		found: make(map[waitKey]bool), unreadable: make(map[ibgib.Hash]bool),
	}
	x.w = r.s.newWriter(share, nil)
	defer func() { x.w.end() }()
	for _, step := range []func() error{x.members, x.named, x.waiting, x.strays, x.summary, x.w.flush} {
		if err := step(); err != nil {
			return err
		}
	}
	return x.index()
}

// each calls f for the records of the share with a prefix as they were when the
// step began. Key and value are copies.
func (x *shareRepair) each(prefix byte, f func(key, value []byte) error) error {
	if err := x.w.flush(); err != nil {
		return err
	}
	snap := x.s.snapshot()
	defer snap.release()
	return snap.scan(sharePrefix(prefix, x.share), nil, func(key, value []byte) (bool, error) {
		if err := x.step(); err != nil {
			return false, err
		}
		return true, f(bytes.Clone(key), bytes.Clone(value))
	})
}

// members visits every member.
func (x *shareRepair) members() error {
	if err := x.each(prefixMember, func(key, _ []byte) error {
		x.known[lastHash(key)] = unvisited
		return nil
	}); err != nil {
		return err
	}
	return x.each(prefixMember, func(key, _ []byte) error { return x.visit(lastHash(key)) })
}

// named visits what entries and pins name, which may be no member any more.
func (x *shareRepair) named() error {
	err := x.each(prefixEntry, func(key, value []byte) error {
		e, err := decodeEntry(value)
		if h, ok := e.Root.Hash(); err != nil || !ok || h != lastHash(key) {
			x.unreadable[lastHash(key)] = true
			x.mend(key, nil)
			return nil
		}
		for _, a := range append([]ibgib.Addr{e.Root}, e.Heads...) {
			if err := x.adopt(a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return x.each(prefixPin, func(key, value []byte) error {
		h := lastHash(key)
		p, err := decodePin(key, value)
		if err == nil {
			if err := x.adopt(p.addr); err != nil {
				return err
			}
		}
		m, err := x.w.member(h)
		if err != nil {
			return err
		}
		switch {
		case m == nil || !m.closed:
			x.lost("pin", h.String(), "what was pinned is not whole; the pin is removed")
			x.mend(key, nil)
		case m.addr != p.addr:
			x.mend(key, encodePin(pin{addr: m.addr}))
		}
		return nil
	})
}

// adopt makes a block a member that must be one, and visits it.
func (x *shareRepair) adopt(a ibgib.Addr) error {
	h, ok := a.Hash()
	if !ok || x.known[h] != 0 {
		return nil
	}
	g, ok, err := x.block(h, a)
	if err != nil || !ok || g.Addr() != a {
		return err
	}
	x.report.Mended++
	x.enroll(h, a)
	return x.visit(h)
}

// enroll makes a member of a block as if it had just arrived.
func (x *shareRepair) enroll(h ibgib.Hash, a ibgib.Addr) {
	x.w.setMember(h, &member{addr: a, seq: x.s.marks.arrival, slot: x.slots[h], at: x.s.now().UTC(), missing: 1})
	x.s.marks.arrival++
	x.w.put(keyMarks, encodeMarks(x.s.marks))
	if x.w.absent != nil {
		x.w.absent.add(&h)
	}
	x.known[h] = unvisited
}

// block returns a block; false if there is none, which is noted. An address that is
// not known is zero.
func (x *shareRepair) block(h ibgib.Hash, a ibgib.Addr) (ibgib.IbGib, bool, error) {
	slot, ok := x.slots[h]
	if !ok {
		x.lose(h, a, h.String(), "member", "its block is not stored")
		return ibgib.IbGib{}, false, nil
	}
	key := blockKey(slot)
	b, _, err := x.w.snap.get(key)
	if err != nil {
		return ibgib.IbGib{}, false, err
	}
	content, err := blockContent(b)
	if err != nil {
		return ibgib.IbGib{}, false, corrupt("block", key, err)
	}
	g, err := ibgib.Reload(content)
	return g, err == nil, err
}

// slot finds the block of a member, where the record says or elsewhere.
func (x *shareRepair) slot(h ibgib.Hash, m member) error {
	if m.slot == x.slots[h] {
		return nil
	}
	_, err := blockOf(x.w.snap, m)
	switch {
	case err == nil:
		x.slots[h] = m.slot // it is stored twice
		return nil
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrCorrupt):
		return nil
	}
	return err
}

// inspection is a member on the way to its closed flag.
type inspection struct {
	h     ibgib.Hash
	g     ibgib.IbGib
	was   member       // as recorded
	sound bool         // the record could be read
	todo  []ibgib.Hash // links to visit first
	begun bool
}

// visit decides about a member, and before it about what it links to.
func (x *shareRepair) visit(h ibgib.Hash) error {
	path := []*inspection{{h: h}}
	for len(path) > 0 {
		v := path[len(path)-1]
		if !v.begun {
			v.begun = true
			if x.known[v.h] != unvisited {
				path = path[:len(path)-1]
				continue
			}
			if err := x.inspect(v); err != nil {
				return err
			}
		}
		if len(v.todo) > 0 {
			next := v.todo[0]
			v.todo = v.todo[1:]
			if x.known[next] == unvisited {
				path = append(path, &inspection{h: next})
			}
			continue
		}
		path = path[:len(path)-1]
		if x.known[v.h] == isLost {
			continue
		}
		if err := x.decide(v); err != nil {
			return err
		}
	}
	return nil
}

// inspect reads a member and its block, and adopts what it links to where its
// closed flag says that this was there.
func (x *shareRepair) inspect(v *inspection) error {
	m, err := x.w.member(v.h)
	switch {
	case errors.Is(err, ErrCorrupt):
	case err != nil:
		return err
	case m != nil:
		v.was, v.sound = *m, true
	}
	g, ok, err := x.block(v.h, v.was.addr)
	if err != nil {
		return err
	}
	if !ok {
		x.known[v.h] = isLost
		x.s.recent.drop(memberKey{x.share, v.h})
		x.mend(shareKey(prefixMember, x.share, v.h), nil)
		return nil
	}
	v.g = g
	if !v.sound || v.was.addr != g.Addr() {
		v.sound = false
		x.enroll(v.h, g.Addr())
		if m, err = x.w.member(v.h); err != nil {
			return err
		}
		v.was = *m
	} else if err := x.slot(v.h, v.was); err != nil {
		return err
	}
	for _, a := range g.Links() {
		to, ok := a.Hash()
		if !ok {
			continue
		}
		if x.known[to] == 0 && v.was.closed {
			if g, ok, err := x.block(to, a); err != nil {
				return err
			} else if ok && g.Addr() == a {
				x.report.Mended++
				x.enroll(to, a)
			}
		}
		v.todo = append(v.todo, to)
	}
	return nil
}

// decide writes a member as it must be. All it links to has been decided.
func (x *shareRepair) decide(v *inspection) error {
	missing := uint32(0)
	var seen linkSet
	for link := range v.g.Targets() {
		to, ok := link.Hash()
		if !ok {
			continue
		}
		if _, repeated := seen.add(to, link); repeated {
			continue
		}
		if x.known[to] == isClosed {
			m, err := x.w.member(to)
			if err != nil {
				return err
			}
			if m != nil && link.Is(m.addr) {
				continue
			}
		}
		missing++
		x.waits[waitKey{to, v.h}] = link.Addr()
	}
	x.known[v.h] = isClosed
	if missing > 0 {
		x.known[v.h] = isOpen
	}
	is := v.was
	is.closed, is.missing, is.slot = missing == 0, missing, x.slots[v.h]
	if !is.closed {
		is.frame = nil
	}
	if !v.sound || is.closed != v.was.closed || is.missing != v.was.missing || is.slot != v.was.slot {
		x.report.Mended++
		x.s.recent.drop(memberKey{x.share, v.h})
		x.w.setMember(v.h, &is)
	}
	return x.w.flushIfFull()
}

// mend writes a record, or removes it if value is nil.
func (x *shareRepair) mend(key, value []byte) {
	x.report.Mended++
	if value == nil {
		x.w.remove(key)
	} else {
		x.w.put(key, value)
	}
}

// waiting puts the waiting records right.
func (x *shareRepair) waiting() error {
	err := x.each(prefixWaiting, func(key, value []byte) error {
		k := waitKey{ibgib.Hash(key[5 : 5+32]), lastHash(key)}
		asked, err := decodeAddr(key, value)
		if must, ok := x.waits[k]; ok && err == nil && asked == must {
			x.found[k] = true
			return nil
		}
		x.mend(key, nil)
		return x.w.flushIfFull()
	})
	if err != nil {
		return err
	}
	for k, a := range x.waits {
		if !x.found[k] {
			x.mend(shareKey(prefixWaiting, x.share, k.target, k.referrer), appendAddr(nil, a))
			if err := x.w.flushIfFull(); err != nil {
				return err
			}
		}
	}
	x.s.waiting[x.share] = len(x.waits) > 0
	return nil
}

// strays removes closing records, all of which have been seen to, and rejections
// of what is no closed member.
func (x *shareRepair) strays() error {
	if err := x.each(prefixClosing, func(key, _ []byte) error {
		x.mend(key, nil)
		return x.w.flushIfFull()
	}); err != nil {
		return err
	}
	return x.each(prefixRejected, func(key, value []byte) error {
		if _, err := decodeRejection(value); err != nil || x.known[lastHash(key)] != isClosed {
			x.mend(key, nil)
		}
		return x.w.flushIfFull()
	})
}
