package blockstore

import (
	"errors"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// take is a member, loose in another stage, that is to become an arrival of this one.
type take struct {
	h ibgib.Hash
	// follows says that the stage brings the frame, or one that follows it. Other
	// frames stay where they are: none of its heads has them in its history.
	follows bool
}

// bring takes a present block over that has come again.
func (st *Stage) bring(w *writer, g ibgib.IbGib, m *member) error {
	h := g.Hash()
	if st.origin.Peer == "" && m.peer != 0 { // it is this node's own now, too
		own := *m
		own.peer = 0
		if id, loose := st.s.loose.at(st.share, m.seq); loose {
			st.s.loose.release(w, id, m, g.Size())
		}
		m = &own
		w.setMember(h, m)
	}
	return st.touch(w, h, m)
}

// touch takes a present block over from a stage that has not been committed, with
// what it needs. What a committed one brought is in the history of a head already.
func (st *Stage) touch(w *writer, h ibgib.Hash, m *member) error {
	id, loose := st.s.loose.at(st.share, m.seq)
	switch {
	case !loose:
		st.hold(h)
		return nil
	case id != st.id:
		if err := st.takeOver(w, take{h, true}, false); err != nil {
			return err
		}
		var err error
		if m, err = w.member(h); err != nil {
			return err
		}
	}
	if !m.closed || m.frame == nil {
		return nil
	}
	return st.addCandidate(w, *m.frame)
}

// linked notes a member that a new block links to and that is loose elsewhere.
func (st *Stage) linked(g ibgib.IbGib, to ibgib.Hash, m *member) {
	if !st.s.loose.elsewhere(st.id) {
		return
	}
	if id, loose := st.s.loose.at(st.share, m.seq); !loose || id == st.id {
		return
	}
	pred, ok := g.LastRel("past")
	st.borrow(take{to, ok && pred == m.addr})
}

// borrow leaves it to Commit to take a member over. Its own stage may still be
// committed, and this one may not.
func (st *Stage) borrow(t take) {
	if st.borrowed == nil {
		st.borrowed = make(map[ibgib.Hash]bool)
	}
	follows, again := st.borrowed[t.h]
	st.borrowed[t.h] = follows || t.follows
	if !again {
		st.hold(t.h)
	}
}

// takeBorrowed takes what has been borrowed, even from stages that are open.
func (st *Stage) takeBorrowed(w *writer) error {
	err := eachSorted(st.borrowed, func(h ibgib.Hash, follows bool) error {
		return st.takeOver(w, take{h, follows}, true)
	})
	st.borrowed = nil
	return err
}

// takeOver makes a member an arrival of this stage, and with it what it needs and is
// loose elsewhere: then it counts here. What is loose in an open stage is borrowed,
// unless the commit is under way.
func (st *Stage) takeOver(w *writer, first take, committing bool) error {
	s := st.s
	grew := int64(0)
	todo := []take{first}
	for len(todo) > 0 {
		t := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		m, err := w.member(t.h)
		if err != nil {
			return err
		}
		if m == nil || m.frame != nil && m.frame.IsUser() && !t.follows {
			continue
		}
		from, loose := s.loose.at(st.share, m.seq)
		if !loose || from == st.id {
			continue
		}
		if _, open := s.open[from]; open && !committing {
			st.borrow(t)
			continue
		}
		g, err := w.block(t.h)
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
			return err
		}
		own := *m
		own.seq = st.nextSeq(w)
		s.loose.release(w, from, m, g.Size())
		if mine := s.loose.byID[st.id]; mine.peer != 0 {
			own.peer = mine.peer
			st.charge(w, blockCharge(g.Size()))
			if m.peer != own.peer {
				grew += blockCharge(g.Size())
			}
		}
		w.setMember(t.h, &own)
		st.count(g, &own)
		if err := w.flushIfFull(); err != nil {
			return err
		}
		todo = append(todo, needs(g, &own)...)
	}
	if grew > 0 || st.origin.Fetched {
		return st.overBudget()
	}
	return nil
}

// needs lists what a member links to.
func needs(g ibgib.IbGib, m *member) []take {
	var list []take
	var follows map[ibgib.Addr]bool
	if f := m.frame; f != nil {
		follows = make(map[ibgib.Addr]bool)
		for _, a := range append([]ibgib.Addr{f.Pred}, f.Links...) {
			follows[a] = true
		}
	}
	for _, a := range g.Links() {
		if h, ok := a.Hash(); ok {
			list = append(list, take{h, follows[a]})
		}
	}
	return list
}

// count enters a member that was taken over in what leaves asks for.
func (st *Stage) count(g ibgib.IbGib, m *member) {
	st.arrived++
	if m.closed {
		st.settled++
	}
	switch {
	case g.IsZero() || !m.closed:
	case m.frame == nil:
		_, claims := timeline.Claims(g)
		st.rejects = st.rejects || claims
	case !m.frame.IsUser():
		if st.merges == nil {
			st.merges = make(map[ibgib.Hash]struct{})
		}
		st.merges[m.frame.Hash()] = struct{}{}
	}
}

// leaves reports whether the stage has something, brought by a peer, that its heads
// may not need: what a rule keeps out, what is not closed, a merge frame on its own.
// That its other blocks are needed is what a saga makes sure of.
func (st *Stage) leaves() bool {
	l := st.s.loose.byID[st.id]
	return l != nil && l.peer != 0 && !st.accepted && (st.rejects || len(st.merges) > 0 || st.settled < st.arrived)
}

// charge counts bytes against the budget of the peer that the stage is of.
func (st *Stage) charge(w *writer, bytes int64) {
	l := st.s.loose.byID[st.id]
	if l.peer == 0 {
		return
	}
	st.s.loose.charge(st.id, bytes)
	l.last = st.s.now()
	w.changeLoose(st.id)
}

// room fails with a *PeerBudgetError if a block is new and there is no room for it.
func (st *Stage) room(w *writer, g ibgib.IbGib) error {
	s := st.s
	peer := s.peers[st.origin.Peer]
	need := stageOverhead + blockCharge(g.Size())
	if s.budget < 0 || st.origin.Peer == "" || st.share == LocalArea || st.used(peer)+need <= s.budget {
		return nil
	}
	if m, err := w.member(g.Hash()); m != nil || err != nil {
		return err
	}
	if l := s.loose.byID[st.id]; l != nil {
		need += l.bytes
	}
	return &PeerBudgetError{Peer: st.origin.Peer, Budget: s.budget, Alone: need > s.budget, Fetched: st.origin.Fetched}
}

// overBudget fails with a *PeerBudgetError if more counts than the budget allows.
func (st *Stage) overBudget() error {
	s := st.s
	l := s.loose.byID[st.id]
	if s.budget < 0 || l == nil || l.peer == 0 || st.used(l.peer) <= s.budget {
		return nil
	}
	return &PeerBudgetError{Peer: st.origin.Peer, Budget: s.budget, Alone: l.bytes > s.budget, Fetched: st.origin.Fetched}
}

// used returns what counts already, of the budget of which more does.
func (st *Stage) used(peer uint32) int64 {
	used := st.s.loose.used[peer]
	if st.origin.Fetched {
		used = max(used, st.s.loose.fetched)
	}
	return used
}
