package saga

import (
	"github.com/ibgib/ibgib-node/ibgib"
)

// sender serves what the peer wants. Blocks go through it in the order of the
// walk, which is dependencies first:
//
//	wants -> walk -> pool -> offered -> ready -> items
//
// A fresh peer is offered nothing: walked blocks are ready at once.
type sender struct {
	pace pace

	fresh  bool  // the peer has nothing
	credit int64 // payload bytes that the peer will take; may fall below 0 by one ibGib

	wants     []Want // not handed to the walk yet
	wantsDone bool   // the peer wants nothing further
	asked     bool   // the peer wanted something
	owed      int    // heads that it wanted, in all
	paid      int    // of them that have been sent

	walks int  // steps under way
	idle  bool // the walk has come to the end of what it was given

	pool    queue[block]
	offers  queue[[]block] // waiting for their Answer
	ready   queue[block]
	open    int // blocks in offers and ready
	total   int // blocks offered
	held    int // bytes of content in pool, offers and ready
	readied int // bytes of stored forms in ready
	loading int // blocks at the front of ready that are being loaded

	chunk int // bytes sent of the first of ready, if it goes in chunks
	done  bool
	sent  Totals
}

// block is a block to send; its content may have been dropped.
type block struct {
	hash ibgib.Hash
	size int
	g    ibgib.IbGib
}

// want takes heads that the peer asks for. They must be heads that this side
// has named.
func (s *sender) want(m *Machine, wants []Want, last bool) *Error {
	switch {
	case s.wantsDone:
		return violation(m.id, "wants after the last")
	case len(wants) > 0 && !m.gives():
		return violation(m.id, "wants in a saga that goes the other way")
	}
	for _, w := range wants {
		if row, ok := m.know.find(w.Root); !ok || !within(w.Heads, row.Own) {
			return violation(m.id, "a want of timeline %s for heads that were not named", w.Root)
		}
	}
	s.asked = s.asked || len(wants) > 0
	for _, w := range wants {
		s.owed += len(w.Heads)
	}
	s.wants = append(s.wants, wants...)
	s.wantsDone = last
	return nil
}

// grant takes credit.
func (s *sender) grant(id ID, credit uint64) *Error {
	if credit > MaxCredit || s.credit+int64(credit) > MaxCredit {
		return overLimit(id, "more than %d bytes of credit", MaxCredit)
	}
	s.credit += int64(credit)
	return nil
}

// ask hands out steps of the walk and loads.
func (s *sender) ask(m *Machine) {
	for m.know.complete && s.walks < walkSteps && (len(s.wants) > 0 || !s.idle) && s.room() {
		m.work.Walk = append(m.work.Walk, Walk{
			Wants: s.wants, Gap: m.know.gap, Fresh: s.fresh,
			Blocks: s.pace.walkBlocks, Bytes: s.pace.walkBytes,
		})
		s.wants = nil
		s.idle = false
		s.walks++
	}
	if s.loading > 0 || s.ready.len() == 0 || !s.ready.at(0).g.IsZero() {
		return
	}
	var hashes []ibgib.Hash
	bytes := 0
	for i := 0; i < s.ready.len() && s.ready.at(i).g.IsZero() && i < s.pace.walkBlocks && bytes < s.pace.walkBytes; i++ {
		hashes = append(hashes, s.ready.at(i).hash)
		bytes += s.ready.at(i).size
	}
	s.loading = len(hashes)
	m.work.Load = append(m.work.Load, hashes)
}

// room reports whether further blocks may be walked.
func (s *sender) room() bool {
	if s.fresh {
		return s.readied+s.walks*s.pace.walkBytes < sendBytes
	}
	return s.pool.len()+s.walks*s.pace.walkBlocks < 2*s.pace.offers
}

func (s *sender) walked(e Walked) {
	s.walks--
	s.idle = e.End
	for _, g := range e.Blocks {
		b := block{hash: g.Hash(), size: g.Size()}
		if s.held == 0 || s.held+b.size <= s.pace.held {
			b.g = g
			s.held += b.size
		}
		if s.fresh {
			s.ready.push(b)
			s.readied += b.size
		} else {
			s.pool.push(b)
		}
	}
}

func (s *sender) loaded(blocks []ibgib.IbGib) {
	for i, g := range blocks {
		s.ready.at(i).g = g
		s.held += s.ready.at(i).size
	}
	s.loading = 0
}

// answered takes the Answer to the oldest Offers.
func (s *sender) answered(id ID, a *Answer) *Error {
	if s.offers.len() == 0 {
		return violation(id, "an answer to nothing")
	}
	list := s.offers.pop()
	if int(a.Count) != len(list) || len(a.Lacks) != (len(list)+7)/8 {
		return violation(id, "an answer about %d blocks to an offer of %d", a.Count, len(list))
	}
	if tail := len(list) % 8; tail != 0 && a.Lacks[len(a.Lacks)-1]>>tail != 0 {
		return violation(id, "an answer about more blocks than were offered")
	}
	for i, b := range list {
		if a.Lacks[i/8]>>(i%8)&1 == 1 {
			s.ready.push(b)
			s.readied += b.size
			continue
		}
		s.open--
		if !b.g.IsZero() {
			s.held -= b.size
		}
	}
	return nil
}

// fill puts offers, items and the end into a Delta.
func (s *sender) fill(m *Machine, d *Delta) bool {
	if s.done {
		return false
	}
	walked := s.walks == 0 && s.idle && len(s.wants) == 0
	if n := min(s.pool.len(), s.pace.offers); (n == s.pace.offers || n > 0 && walked) &&
		s.offers.len() < MaxOpenOffers && s.open+n <= MaxOpenBlocks {
		list := make([]block, n)
		d.Offers = make([]ibgib.Hash, n)
		for i := range list {
			list[i] = s.pool.pop()
			d.Offers[i] = list[i].hash
		}
		s.offers.push(list)
		s.open += n
		s.total += n
	}
	s.pack(m, d)
	if m.know.wantsSent && s.wantsDone && walked && s.pool.len() == 0 && s.offers.len() == 0 && s.ready.len() == 0 {
		d.Done = true
		s.done = true
	}
	return len(d.Offers) > 0 || len(d.Items) > 0 || d.Done
}

// pack puts into a Delta the items that fit and that the credit allows.
func (s *sender) pack(m *Machine, d *Delta) {
	bytes := 0
	for s.ready.len() > 0 && len(d.Items) < MaxItems {
		b := s.ready.at(0)
		if b.g.IsZero() || s.credit <= 0 && s.chunk == 0 || bytes > 0 && bytes+b.size > s.pace.payload {
			return
		}
		stored := b.g.Stored()
		m.latest = b.g.Addr()
		if b.size > s.pace.item {
			piece := stored[s.chunk:min(s.chunk+s.pace.item, b.size)]
			d.Items = append(d.Items, Item{
				Form: FormChunk, Bytes: piece,
				Hash: b.hash, Offset: uint64(s.chunk), Total: uint64(b.size),
			})
			s.credit -= int64(len(piece))
			s.chunk += len(piece)
			if s.chunk < b.size {
				return
			}
			s.chunk = 0
			s.drop(m)
			return
		}
		d.Items = append(d.Items, Item{Form: FormFull, Bytes: stored})
		s.credit -= int64(b.size)
		bytes += b.size
		s.drop(m)
	}
}

// drop removes the first of ready, which has been sent.
func (s *sender) drop(m *Machine) {
	b := s.ready.pop()
	if s.paid < s.owed && m.know.named(b.g) {
		s.paid++
	}
	s.held -= b.size
	s.readied -= b.size
	s.sent.IbGibs++
	s.sent.Bytes += uint64(b.size)
	if !s.fresh {
		s.open--
	}
}
