package blockstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// Origin says where the blocks of a stage come from.
type Origin struct {
	Peer string // empty: this node
	// Manual leaves the timelines that then have several heads to a person, even
	// where the store would merge them (Entry.Held).
	Manual bool
	// Fetched says that the peer is one of any number that were found to have what is
	// wanted: what they all have brought so counts together, against a budget as large
	// as that of one peer (Options.PeerBudget).
	Fetched bool
}

// A Stage is one change of a share, from its first block to the moment when
// the heads move. Blocks are durable when Put returns, and stay even if the
// stage is discarded; heads, index summary and change log move in Commit, all
// or none. After an error a stage can only be discarded. A Stage is for one
// goroutine; several stages may be open at once.
type Stage struct {
	s      *Store
	id     uint64
	share  Share
	origin Origin

	seqs       seqRange // reserved arrival numbers that are left
	candidates map[ibgib.Hash][]ibgib.Addr
	spilled    bool // candidates have been written as staged records
	deciding   bool // entries have been put aside for a commit, which may have been decided
	rejected   []timeline.Rejection
	held       []ibgib.Hash        // present blocks that GC must leave; see hold
	pins       []ibgib.Hash        // to be pinned by Commit, if they are stones
	stones     map[ibgib.Hash]bool // those of the candidates that are stones
	added      int                 // how often a candidate was added
	redo       map[ibgib.Hash]bool // roots to be looked at again even if their heads stay
	done       bool                // committed, discarded or failed

	arrived, settled int                     // members that came, and those of them that are closed
	borrowed         map[ibgib.Hash]bool     // loose elsewhere, to be taken by Commit; see take
	merges           map[ibgib.Hash]struct{} // merge frames that no frame here follows
	rejects          bool                    // something is kept out of the index
	accepted         bool                    // it has nothing but what its heads need
	mergeBudget      int64                   // what its turns may spend on merges; 0: merging.ofTurn
	barred           []ibgib.Hash            // roots whose heads stay; see Bar
	barredWhy        string
}

// errEnded says that a stage has been committed or discarded, or that an
// earlier call on it failed.
var errEnded = errors.New("the stage has ended")

// arrivalsPerReservation is how many arrival numbers a stage reserves at once.
const arrivalsPerReservation = 4096

// maxCandidates bounds the roots whose candidate heads a stage keeps in
// memory; beyond it they are written to the store and read back in Commit.
const maxCandidates = 4096

// maxListed bounds lists in results that exist for people to read.
const maxListed = 1000

// NewStage begins a change of a share. It fails with ErrNotFound if the share has been
// deleted.
func (s *Store) NewStage(share Share, origin Origin) (*Stage, error) {
	if err := s.life.enter(); err != nil {
		return nil, fmt.Errorf("blockstore: %w", err)
	}
	defer s.life.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.erased[share] {
		return nil, fmt.Errorf("blockstore: share %d: %w", share, ErrNotFound)
	}
	return s.newStage(share, origin), nil
}

func (s *Store) newStage(share Share, origin Origin) *Stage {
	s.marks.stage++
	st := &Stage{
		s: s, id: s.marks.stage, share: share, origin: origin,
		candidates: make(map[ibgib.Hash][]ibgib.Addr),
	}
	s.open[st.id] = st
	return st
}

// SetManual is Origin.Manual for a stage of which that turns out later, before Commit.
func (st *Stage) SetManual() { st.origin.Manual = true }

// PutResult counts what became of the ibGibs of one Put.
type PutResult struct {
	Stored  int // new members of the share
	Present int // members already
	Refused []*ibgib.Refusal
}

// Put stores ibGibs, which may come in any order and with dependencies
// missing; they are closed when the last dependency arrives. Members that are
// present already, but whose stage has not been committed, become part of this
// one.
func (st *Stage) Put(ctx context.Context, gs []ibgib.IbGib) (PutResult, error) {
	var res PutResult
	err := st.turn(func(w *writer) error {
		var err error
		res, err = st.put(ctx, w, gs)
		return err
	})
	if err != nil {
		return PutResult{}, fmt.Errorf("blockstore: put: %w", err)
	}
	return res, nil
}

// Touch makes members of the share part of the stage: those that an unfinished
// earlier stage brought move heads when this one commits.
func (st *Stage) Touch(ctx context.Context, hashes []ibgib.Hash) error {
	err := st.turn(func(w *writer) error {
		for _, h := range hashes {
			if err := ctx.Err(); err != nil {
				return err
			}
			m, err := w.member(h)
			if err != nil {
				return err
			}
			if m != nil {
				if err := st.touch(w, h, m); err != nil {
					return err
				}
			}
		}
		return w.flush()
	})
	if err != nil {
		return fmt.Errorf("blockstore: touch: %w", err)
	}
	return nil
}

// turn runs f as the store's writer.
func (st *Stage) turn(f func(w *writer) error) error {
	if err := st.s.life.enter(); err != nil {
		return err
	}
	defer st.s.life.leave()
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	if st.done {
		return errEnded
	}
	if err := st.s.space.check(); err != nil {
		return err
	}
	if err := st.s.watchAbsence(st.share); err != nil {
		return err
	}
	st.s.merging.turn = cmp.Or(st.mergeBudget, st.s.merging.ofTurn)
	w := st.s.newWriter(st.share, nil)
	w.adds, w.strict = true, st.origin.Peer != ""
	w.onClosed = func(m *member) error { return st.closed(w, m) }
	w.onLink = st.linked
	defer w.end()
	err := f(w)
	if err != nil && w.lost() {
		st.end() // it remembers what has not been written
	}
	return err
}

func (st *Stage) put(ctx context.Context, w *writer, gs []ibgib.IbGib) (PutResult, error) {
	res, err := st.putBuffered(ctx, w, gs)
	if err != nil {
		return res, err
	}
	if err := w.flush(); err != nil {
		return res, err
	}
	return res, w.settle()
}

func (st *Stage) putBuffered(ctx context.Context, w *writer, gs []ibgib.IbGib) (PutResult, error) {
	var res PutResult
	at := st.s.arrivalTime()
	peer := w.peer(st.origin.Peer)
	w.expect(len(gs))
	size := 0 // of the one at hand
	seq := func() uint64 {
		seq := st.nextSeq(w)
		st.charge(w, blockCharge(size))
		return seq
	}
	for _, g := range gs {
		if err := ctx.Err(); err != nil {
			return res, err
		}
		size = g.Size()
		if err := st.room(w, g); err != nil {
			// What has come before stays.
			return res, errors.Join(w.flush(), err)
		}
		m, isNew, refused, err := w.add(g, seq, peer, at)
		switch {
		case err != nil:
			return res, fmt.Errorf("%s: %w", g.Addr(), err)
		case refused != nil:
			res.Refused = append(res.Refused, refused)
		case isNew:
			res.Stored++
			st.arrived++
		default:
			res.Present++
			if err := st.bring(w, g, m); err != nil {
				return res, err
			}
		}
	}
	return res, nil
}

// arrivalTime is the time that blocks bear which arrive now.
func (s *Store) arrivalTime() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// nextSeq returns the next arrival number. A reservation is written with the
// first block that uses it.
func (st *Stage) nextSeq(w *writer) uint64 {
	s := st.s
	if st.seqs.from == st.seqs.to {
		st.seqs = seqRange{s.marks.arrival, s.marks.arrival + arrivalsPerReservation}
		s.marks.arrival = st.seqs.to
		if s.loose.byID[st.id] == nil {
			l := &loose{share: st.share, last: s.now()}
			if st.share != LocalArea {
				l.peer, l.fetched = w.peer(st.origin.Peer), st.origin.Fetched
			}
			s.loose.set(st.id, l)
			st.charge(w, stageOverhead)
		}
		s.loose.reserve(st.id, st.seqs)
		w.changeLoose(st.id)
		w.put(keyMarks, encodeMarks(s.marks))
	}
	st.seqs.from++
	return st.seqs.from - 1
}

// closed takes a block that has just been closed into the stage that brought
// it: this one, another one that is open, or, if that one has been committed
// meanwhile, again this one, as a new arrival. What a discarded stage left behind
// waits for a stage that brings or touches it.
func (st *Stage) closed(w *writer, m *member) error {
	owner := st
	if st.ownArrival(m.seq) {
		st.settled++
	} else {
		id, loose := st.s.loose.at(st.share, m.seq)
		if loose {
			if owner = st.s.open[id]; owner != nil {
				owner.settled++
			}
		} else if m.frame != nil {
			h, _ := m.addr.Hash()
			m.seq = st.nextSeq(w)
			w.setMember(h, m)
		}
	}
	switch {
	case owner == nil:
		return nil
	case m.frame == nil:
		return owner.noteRejected(w, m)
	default:
		return owner.addCandidate(w, *m.frame)
	}
}

// ownArrival tells whether seq is one of the stage's latest arrivals.
func (st *Stage) ownArrival(seq uint64) bool {
	return seq < st.seqs.from && seq+arrivalsPerReservation >= st.seqs.to
}

func (st *Stage) noteRejected(w *writer, m *member) error {
	h, _ := m.addr.Hash()
	key := shareKey(prefixRejected, st.share, h)
	o, ok := w.changed(key)
	if !ok || o.remove {
		return nil
	}
	st.rejects = true
	if len(st.rejected) >= maxListed {
		return nil
	}
	j, err := decodeRejection(o.value)
	if err != nil {
		return corrupt("rejection", key, err)
	}
	st.rejected = append(st.rejected, j)
	return nil
}

// addCandidate makes a frame a candidate head of its timeline in place of its
// parents.
func (st *Stage) addCandidate(w *writer, f timeline.Frame) error {
	if !f.IsUser() {
		if st.merges == nil {
			st.merges = make(map[ibgib.Hash]struct{})
		}
		st.merges[f.Hash()] = struct{}{}
		return nil
	}
	if len(st.merges) > 0 {
		for _, a := range append([]ibgib.Addr{f.Pred}, f.Links...) {
			if h, ok := a.Hash(); ok {
				delete(st.merges, h)
			}
		}
	}
	root, _ := f.Tjp.Hash()
	list, err := st.candidatesOf(w, root)
	if err != nil {
		return err
	}
	parents, err := timeline.Parents(f, w.frame)
	if err != nil {
		return err
	}
	kept := make([]ibgib.Addr, 0, len(list)+1)
	for _, a := range list {
		if a == f.Addr {
			return nil
		}
		if !contains(parents, a) {
			kept = append(kept, a)
		}
	}
	st.candidates[root] = append(kept, f.Addr)
	st.added++
	if len(st.candidates) > maxCandidates {
		return st.spill(w)
	}
	return nil
}

func contains(list []ibgib.Addr, a ibgib.Addr) bool {
	for _, b := range list {
		if a == b {
			return true
		}
	}
	return false
}

func (st *Stage) candidatesOf(w *writer, root ibgib.Hash) ([]ibgib.Addr, error) {
	if list, ok := st.candidates[root]; ok || !st.spilled {
		return list, nil
	}
	key := stageKey(prefixStaged, st.id, root)
	b, found, err := w.get(key)
	if err != nil || !found {
		return nil, err
	}
	list, err := decodeAddrs(b)
	if err != nil {
		return nil, corrupt("staged", key, err)
	}
	return list, nil
}

// spill writes the candidates that are in memory as staged records.
func (st *Stage) spill(w *writer) error {
	st.s.aside[st.id] = true
	for root, list := range st.candidates {
		w.put(stageKey(prefixStaged, st.id, root), encodeAddrs(list))
		if err := w.flushIfFull(); err != nil {
			return err
		}
	}
	clear(st.candidates)
	st.spilled = true
	return nil
}

// Discard ends the stage without moving a head. Its blocks stay, and become
// part of a later stage that brings or touches them. After Commit it does
// nothing.
func (st *Stage) Discard() error {
	if err := st.s.life.enter(); err != nil {
		return fmt.Errorf("blockstore: %w", err)
	}
	defer st.s.life.leave()
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	if !st.done {
		st.end()
	}
	if !st.s.aside[st.id] || st.deciding { // a commit that failed is for Open to judge
		return nil
	}
	if err := st.s.sweep(st.id); err != nil {
		return fmt.Errorf("blockstore: discard: %w", err)
	}
	return nil
}

// end marks the stage as over.
func (st *Stage) end() {
	st.done = true
	delete(st.s.open, st.id)
}

// removeAll removes all keys with a prefix, from one of them on.
func (s *Store) removeAll(prefix, from []byte) error {
	for {
		b := newBatch()
		snap := s.kv.snapshot()
		err := snap.scanKeys(prefix, from, func(key []byte) (bool, error) {
			from = bytes.Clone(key)
			b.remove(from)
			return !b.full(0, 0), nil
		})
		snap.release()
		if err != nil || b.empty() {
			return err
		}
		if err := s.kv.write(b); err != nil {
			return err
		}
	}
}
