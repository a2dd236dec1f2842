package blockstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// A writer is one turn of the store's single writer: it reads the store with
// what it has itself changed, and collects the changes in a layer, which is
// written when it is full and at the end. One full layer may be on its way to
// the engine while the next one is being filled. Store.mu is held from
// newWriter to the end. After an error the writer is of no more use.
type writer struct {
	s     *Store
	share Share
	snap  snapshot // without cur and without what is in flight
	cur   *layer
	// flight is the layer being written, flown tells how that went; nil if none.
	flight *layer
	flown  chan error

	// onClosed is told of each block that this turn closes, dependencies first.
	onClosed func(m *member) error

	computed *timeline.Frame // a merge frame that is being added, which needs no check
	// onLink, if not nil, is told of each member that a new block links to.
	onLink func(g ibgib.IbGib, to ibgib.Hash, m *member)

	adds   bool     // it minds the disk floor
	strict bool     // what links to an address that cannot exist is refused
	loose  []uint64 // stages whose loose arrivals this turn has changed
	failed bool     // something was not written
	absent *absence // what is certainly no member of the share; nil if nothing is
	links  linkSet  // of the block at hand
}

func (s *Store) newWriter(share Share, onClosed func(m *member) error) *writer {
	return &writer{s: s, share: share, snap: s.snapshot(), cur: newLayer(0), onClosed: onClosed, absent: s.absent[share]}
}

// end waits for what is in flight and releases the writer's snapshot. What it
// remembered of changes that were not written is forgotten.
func (w *writer) end() {
	w.land()
	w.snap.release()
	if w.lost() {
		w.s.recent.clear()
		delete(w.s.peers, w.cur.newPeer)
		w.s.reloadLoose(w.loose)
	}
}

// lost reports whether something is not written, and will not be.
func (w *writer) lost() bool { return w.failed || w.flight != nil || !w.cur.empty() }

// flushIfFull sets the layer off if it has grown large enough, and goes on
// with an empty one.
func (w *writer) flushIfFull() error {
	if !w.cur.full() {
		return nil
	}
	if err := w.land(); err != nil {
		return err
	}
	if w.adds {
		if err := w.s.space.check(); err != nil {
			return err
		}
	}
	w.seal()
	b := w.cur.encode(w.share, w.s.takeSlab())
	w.s.space.written += w.cur.size()
	w.flight, w.cur = w.cur, newLayer(len(w.cur.members))
	w.flown = make(chan error, 1)
	go func() { w.flown <- w.s.kv.write(b) }()
	return nil
}

// land waits for the layer in flight, if any.
func (w *writer) land() error {
	if w.flight == nil {
		return nil
	}
	peer := w.flight.newPeer
	err := <-w.flown
	w.s.giveSlab(w.flight.slab)
	w.flight, w.flown = nil, nil
	if err != nil {
		w.failed = true
		delete(w.s.peers, peer)
		return fmt.Errorf("write: %w", err)
	}
	w.renew()
	return nil
}

// renew lets the writer see what has been written.
func (w *writer) renew() {
	w.snap.release()
	w.snap = w.s.snapshot()
}

// flush writes everything; it is durable when flush returns.
func (w *writer) flush() error {
	if err := w.land(); err != nil {
		return err
	}
	if w.cur.empty() {
		return nil
	}
	w.seal()
	err := w.s.kv.write(w.cur.encode(w.share, w.s.takeSlab()))
	w.s.space.written += w.cur.size()
	w.s.giveSlab(w.cur.slab)
	if err != nil {
		w.failed = true
		return fmt.Errorf("write: %w", err)
	}
	w.cur = newLayer(0)
	w.renew()
	return nil
}

// expect makes room for so many new members.
func (w *writer) expect(n int) {
	if w.cur.empty() {
		w.cur = newLayer(min(n, maxBatchOps/4))
	}
}

// maxSlab bounds the memory that is kept for the next layer.
const maxSlab = maxBatchBytes

// takeSlab returns memory to encode a layer in.
func (s *Store) takeSlab() []byte {
	if n := len(s.slabs); n > 0 {
		slab := s.slabs[n-1]
		s.slabs = s.slabs[:n-1]
		return slab
	}
	return nil
}

// giveSlab takes the memory of a layer back that has been written.
func (s *Store) giveSlab(slab []byte) {
	if cap(slab) <= maxSlab && len(s.slabs) < 2 {
		s.slabs = append(s.slabs, slab[:0])
	}
}

// put and remove change a record that is neither block nor member.
func (w *writer) put(key, value []byte) { w.cur.batch.put(key, value) }

func (w *writer) remove(key []byte) { w.cur.batch.remove(key) }

// changed returns the writer's own operation on a record that is neither block
// nor member.
func (w *writer) changed(key []byte) (op, bool) {
	if o, ok := w.cur.batch.lookup(key); ok || w.flight == nil {
		return o, ok
	}
	return w.flight.batch.lookup(key)
}

// get reads a record that is neither block nor member.
func (w *writer) get(key []byte) ([]byte, bool, error) {
	if o, ok := w.changed(key); ok {
		return o.value, !o.remove, nil
	}
	return w.snap.get(key)
}

// entry returns the entry of a root in the writer's share.
func (w *writer) entry(root ibgib.Hash) (Entry, bool, error) {
	key := shareKey(prefixEntry, w.share, root)
	b, found, err := w.get(key)
	if err != nil || !found {
		return Entry{}, false, err
	}
	e, err := decodeEntry(b)
	if err != nil {
		return Entry{}, false, corrupt("entry", key, err)
	}
	return e, true, nil
}

// peer returns the number of a peer, which is recorded if it is new.
func (w *writer) peer(name string) uint32 {
	if name == "" {
		return 0
	}
	n, ok := w.s.peers[name]
	if !ok {
		n = uint32(len(w.s.peers)) + 1
		w.s.peers[name] = n
		w.cur.newPeer = name
		w.put(binary.BigEndian.AppendUint32([]byte{prefixPeer}, n), []byte(name))
	}
	return n
}

// member returns the membership of a block in the writer's share, or nil. The
// result belongs to the writer; changes go through setMember. What a writer has
// seen a running GC keeps.
func (w *writer) member(h ibgib.Hash) (*member, error) {
	m, err := w.findMember(h)
	if m != nil && w.s.gc != nil {
		w.s.gc.keep(w.share, h)
	}
	return m, err
}

func (w *writer) findMember(h ibgib.Hash) (*member, error) {
	if m := w.cur.member(h); m != nil {
		return m, nil
	}
	if w.flight != nil {
		if m := w.flight.member(h); m != nil {
			return m, nil
		}
	}
	if w.absent != nil && w.absent.lacks(&h) {
		return nil, nil
	}
	if m := w.s.recent.get(memberKey{w.share, h}); m != nil {
		return m, nil
	}
	m, found, err := memberOf(w.snap, w.share, h)
	if err != nil || !found {
		return nil, err
	}
	w.remember(h, &m)
	return &m, nil
}

func (w *writer) remember(h ibgib.Hash, m *member) {
	if m.closed {
		w.s.recent.put(memberKey{w.share, h}, m)
	}
}

func (w *writer) setMember(h ibgib.Hash, m *member) {
	w.cur.setMember(h, m)
	w.remember(h, m)
}

// block returns the block of a member of the share.
func (w *writer) block(h ibgib.Hash) (ibgib.IbGib, error) {
	if g, ok := w.ownBlock(h); ok {
		return g, nil
	}
	m, err := w.member(h)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	if m == nil {
		return ibgib.IbGib{}, fmt.Errorf("block %s: %w", h, ErrNotFound)
	}
	return blockOf(w.snap, *m)
}

// ownBlock returns a block that this turn brought.
func (w *writer) ownBlock(h ibgib.Hash) (ibgib.IbGib, bool) {
	if g, ok := w.cur.block(h); ok || w.flight == nil {
		return g, ok
	}
	return w.flight.block(h)
}

// elsewhere returns the membership of a block in another share; false if there
// is none. The local area holds copies of its own, so it does not count.
func (w *writer) elsewhere(h ibgib.Hash) (member, bool, error) {
	for share := range w.s.inhabited {
		if share == w.share || share == LocalArea || w.share == LocalArea {
			continue
		}
		if m, found, err := memberOf(w.snap, share, h); err != nil || found {
			return m, found, err
		}
	}
	return member{}, false, nil
}

// inhabit notes that a share has members.
func (s *Store) inhabit(share Share) {
	s.inhabited[share] = true
	if share != DefaultShare && share != LocalArea {
		s.mixed.Store(true)
	}
}

// add makes g a member of the share. It returns
// the membership, whether it is new, and a refusal if g cannot be kept.
func (w *writer) add(g ibgib.IbGib, seq func() uint64, peer uint32, at time.Time) (m *member, isNew bool, refused *ibgib.Refusal, err error) {
	h := g.Hash()
	if m, err = w.member(h); m != nil || err != nil {
		return m, false, nil, err
	}
	missing, refused, err := w.unclosedLinks(g)
	if refused != nil || err != nil {
		return nil, false, refused, err
	}
	// The waiting records may be too many for one batch, so they come first:
	// one whose referrer is no member means nothing.
	for _, target := range missing {
		w.addWaiting(target, h)
		if err := w.flushIfFull(); err != nil {
			return nil, false, nil, err
		}
	}
	m = &member{addr: g.Addr(), missing: uint32(len(missing)), seq: seq(), peer: peer, at: at}
	m.slot = m.seq
	other, shared, err := w.elsewhere(h)
	if err != nil {
		return nil, false, nil, err
	}
	if shared {
		m.slot = other.slot
		w.cur.setMember(h, m)
	} else {
		w.cur.add(h, m, g)
		w.s.counts.took(w.share, g.Size())
	}
	w.s.inhabit(w.share)
	if w.absent != nil {
		w.absent.add(&h)
	}
	if w.s.gc != nil {
		w.s.gc.keep(w.share, h)
	}
	if len(missing) == 0 {
		if err := w.close(h, g, m); err != nil {
			return nil, false, nil, err
		}
	}
	return m, true, nil, w.flushIfFull()
}

// unclosedLinks returns the distinct targets of g that are not closed members. One
// under an address that cannot exist, since the member with its hash has another, is
// waited for as if that were not there: it may have come after g as well. Of a peer
// such a g is refused, and from anywhere one that has two addresses for one hash.
func (w *writer) unclosedLinks(g ibgib.IbGib) ([]ibgib.Addr, *ibgib.Refusal, error) {
	var missing []ibgib.Addr
	seen := &w.links
	seen.reset()
	for target := range g.Targets() {
		h, ok := target.Hash()
		if !ok {
			continue
		}
		if other, repeated := seen.add(h, target); repeated {
			if first := other.Addr(); !target.Is(first) {
				return nil, aliasRefusal(g, target.Addr(), first), nil
			}
			continue
		}
		m, err := w.member(h)
		if err != nil {
			return nil, nil, err
		}
		if m != nil {
			if !target.Is(m.addr) {
				if w.strict {
					return nil, aliasRefusal(g, target.Addr(), m.addr), nil
				}
				missing = append(missing, target.Addr())
				continue
			}
			if w.onLink != nil {
				w.onLink(g, h, m)
			}
			if !m.closed {
				missing = append(missing, target.Addr())
			}
			continue
		}
		missing = append(missing, target.Addr())
	}
	return missing, nil, nil
}

func aliasRefusal(g ibgib.IbGib, asked, stored ibgib.Addr) *ibgib.Refusal {
	return &ibgib.Refusal{Addr: g.Addr().String(), Rule: RuleAlias, Detail: (&AliasError{asked, stored}).Error()}
}

// admit decides whether the closed block g is a frame, and records a rejection.
func (w *writer) admit(g ibgib.IbGib, m *member) error {
	root, ok := timeline.Claims(g)
	if !ok {
		return nil
	}
	if w.computed != nil && w.computed.Addr == g.Addr() {
		m.frame = w.computed
		return nil
	}
	spent := func() {}
	f, err := timeline.AdmitWithin(g, w.frame, w.blockAt, func(tjp ibgib.Addr) (work timeline.MergeWork) {
		work, spent = w.s.merging.work(mergeTask{w.share, tjp, checkOfFrames}, m.peer, w.s.now())
		return work
	})
	spent()
	var rejected *timeline.Rejection
	if errors.As(err, &rejected) && rejected.Rule == timeline.RuleKeystone && w.s.admit != nil {
		rejected = nil
		f, err = w.s.admit(g, w.frame, w.blockAt)
		errors.As(err, &rejected)
	}
	undecided := errors.Is(err, timeline.ErrOverBudget)
	if rejected != nil {
		var failed error
		if undecided, failed = w.standsOnUndecided(g, rejected); failed != nil {
			return failed
		}
	}
	if undecided {
		rejected = &timeline.Rejection{Addr: g.Addr(), Rule: RuleUndecided, Detail: err.Error(), Version: timeline.RulesVersion}
		w.noteUndecided(root)
	}
	switch {
	case rejected != nil:
		w.put(shareKey(prefixRejected, w.share, g.Hash()), encodeRejection(*rejected))
		w.s.tellRejected(w.share, rejected.Rule)
		return nil
	case err != nil:
		return err
	}
	m.frame = &f
	return nil
}

// frame is the timeline.FrameLookup of the share as the writer sees it.
func (w *writer) frame(a ibgib.Addr) (timeline.Frame, bool, error) {
	h, ok := a.Hash()
	if !ok {
		return timeline.Frame{}, false, nil
	}
	m, err := w.member(h)
	if err != nil || m == nil || m.frame == nil || m.addr != a {
		return timeline.Frame{}, false, err
	}
	return *m.frame, true, nil
}

// blockAt is the timeline.Lookup of the share as the writer sees it.
func (w *writer) blockAt(a ibgib.Addr) (ibgib.IbGib, error) {
	h, ok := a.Hash()
	if !ok {
		return ibgib.IbGib{}, nil
	}
	m, err := w.member(h)
	if err != nil || m == nil || m.addr != a {
		return ibgib.IbGib{}, err
	}
	return w.block(h)
}

// linkSet collects the link targets of one ibGib: a list while it is short, a
// map when it is long.
type linkSet struct {
	list   []ibgib.Link
	hashes []ibgib.Hash
	byHash map[ibgib.Hash]ibgib.Link
}

func (s *linkSet) reset() {
	s.list, s.hashes, s.byHash = s.list[:0], s.hashes[:0], nil
}

// add adds a link. If its hash is there already, it returns the link it came with
// and true.
func (s *linkSet) add(h ibgib.Hash, a ibgib.Link) (ibgib.Link, bool) {
	const short = 16
	if s.byHash != nil {
		other, ok := s.byHash[h]
		if !ok {
			s.byHash[h] = a
		}
		return other, ok
	}
	for i := range s.hashes {
		if s.hashes[i] == h {
			return s.list[i], true
		}
	}
	s.hashes, s.list = append(s.hashes, h), append(s.list, a)
	if len(s.list) > short {
		s.byHash = make(map[ibgib.Hash]ibgib.Link, 2*short)
		for i, h := range s.hashes {
			s.byHash[h] = s.list[i]
		}
	}
	return ibgib.Link{}, false
}
