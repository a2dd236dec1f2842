package blockstore

import (
	"fmt"

	"github.com/ibgib/ibgib-node/ibgib"
)

// waiting says that referrer waits for target to be a closed member.
type waiting struct {
	target   ibgib.Addr
	referrer ibgib.Hash
}

// close marks g closed, decides whether it is a frame of its timeline, and
// then closes whatever waited for nothing else.
func (w *writer) close(h ibgib.Hash, g ibgib.IbGib, m *member) error {
	queue, err := w.closeOne(closing{h, g, m})
	for err == nil && len(queue) > 0 {
		c := queue[0]
		queue = queue[1:]
		var ready []closing
		ready, err = w.closeOne(c)
		queue = append(queue, ready...)
	}
	return err
}

// closing is a block whose links are all closed members.
type closing struct {
	h ibgib.Hash
	g ibgib.IbGib
	m *member
}

// closeOne closes one block and returns those that waited only for it. Each of
// these has a closing record until its own turn is over, so that an
// interrupted cascade goes on when the store is opened.
func (w *writer) closeOne(c closing) (ready []closing, err error) {
	h := c.h
	if !c.m.closed {
		if err := w.admit(c.g, c.m); err != nil {
			return nil, err
		}
		c.m.closed, c.m.missing = true, 0
		w.setMember(h, c.m)
		if w.onClosed != nil {
			if err := w.onClosed(c.m); err != nil {
				return nil, err
			}
		}
	}
	if !w.s.waiting[w.share] {
		return nil, nil
	}
	key := shareKey(prefixClosing, w.share, h)
	w.put(key, nil)
	waits, err := w.waitsFor(h)
	if err != nil {
		return nil, err
	}
	for _, wait := range waits {
		if wait.target != c.m.addr {
			continue // it names an address that cannot exist, and waits for ever
		}
		m, err := w.member(wait.referrer)
		if err != nil {
			return nil, err
		}
		if m == nil { // its Put was cut off
			w.remove(shareKey(prefixWaiting, w.share, h, wait.referrer))
			continue
		}
		if m.closed || m.missing == 0 {
			return nil, fmt.Errorf("%w: %s has a waiting record but waits for nothing", ErrCorrupt, wait.referrer)
		}
		m.missing--
		w.setMember(wait.referrer, m)
		w.remove(shareKey(prefixWaiting, w.share, h, wait.referrer))
		if m.missing == 0 {
			g, err := w.block(wait.referrer)
			if err != nil {
				return nil, err
			}
			w.put(shareKey(prefixClosing, w.share, wait.referrer), nil)
			ready = append(ready, closing{wait.referrer, g, m})
		}
		if err := w.flushIfFull(); err != nil {
			return nil, err
		}
	}
	w.remove(key)
	return ready, nil
}

// waitsFor returns the waiting records on a hash.
func (w *writer) waitsFor(h ibgib.Hash) ([]waiting, error) {
	list := w.cur.waits[h]
	delete(w.cur.waits, h)
	if w.flight != nil {
		list = append(list, w.flight.waits[h]...)
		delete(w.flight.waits, h)
	}
	err := w.snap.scan(shareKey(prefixWaiting, w.share, h), nil, func(key, value []byte) (bool, error) {
		if _, ok := w.changed(key); ok { // removed, or one of those above
			return true, nil
		}
		r := reader{b: value}
		target := r.addr()
		if err := r.end(); err != nil {
			return false, corrupt("waiting", key, err)
		}
		list = append(list, waiting{target, lastHash(key)})
		return true, nil
	})
	return list, err
}

// settle notes when no block of the share waits any more, which makes later
// turns cheaper.
func (w *writer) settle() error {
	if !w.s.waiting[w.share] {
		return nil
	}
	any := false
	err := w.snap.scanKeys(sharePrefix(prefixWaiting, w.share), nil, func([]byte) (bool, error) {
		any = true
		return false, nil
	})
	if err == nil && !any {
		w.s.waiting[w.share] = false
	}
	return err
}

func (w *writer) addWaiting(target ibgib.Addr, referrer ibgib.Hash) {
	h, _ := target.Hash()
	w.s.waiting[w.share] = true
	w.cur.waits[h] = append(w.cur.waits[h], waiting{target, referrer})
	w.put(shareKey(prefixWaiting, w.share, h, referrer), appendAddr(nil, target))
}
