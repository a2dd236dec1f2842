package saga

import (
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// receiver takes what this side wants. It answers offers, checks every item,
// and hands out what is to be stored in the order of arrival.
//
// A batch is the items of one message. It waits until the links that lead out
// of the saga have been looked up, then it is stored, and when that is durable
// its bytes are granted again as credit.
type receiver struct {
	pace pace

	fresh  bool                    // this side had nothing: items come without offers
	asked  bool                    // this side wanted something
	wanted map[ibgib.Hash]struct{} // heads asked for, or perhaps to be, that have not come
	heads  int                     // asked for, in all

	credit int64 // granted and not used
	owed   int64 // stored and not granted again

	offers   int               // lists received and not answered
	waiting  int               // blocks in those that are being looked up
	total    int               // blocks offered
	expected queue[ibgib.Hash] // offered and lacking, in the order of the items to come
	answers  queue[*Answer]    // to be sent

	pending map[ibgib.Hash]struct{} // blocks received and not durable yet
	got     recent                  // blocks received lately
	there   recent                  // blocks found to be present lately
	loose   map[ibgib.Hash]struct{} // received, not wanted, not linked by a later block
	partial partial

	checks  queue[check]  // under way
	batches queue[*batch] // received, not handed out to be stored
	storing queue[*batch] // of each Store work under way
	used    bool          // something was handed out to be stored
	present bool          // an offered block was there already
	stones  []ibgib.Hash  // wanted heads that are entries of their own, or may be

	refusals []Refusal               // blocks that came and were refused
	dropped  map[ibgib.Hash]struct{} // these and what links to them

	done     bool // the peer has sent everything
	received Totals
}

// check is what a list of Work.Check was for: an offer, or the links of a batch.
type check struct {
	offer []ibgib.Hash
	batch *batch
	links []ibgib.Hash // of batch
}

type batch struct {
	blocks  []ibgib.IbGib
	bytes   int64
	checked bool
}

// partial is a stored form of which chunks are missing.
type partial struct {
	hash  ibgib.Hash
	total uint64
	bytes []byte
}

func (r *receiver) init() {
	r.wanted = make(map[ibgib.Hash]struct{})
	r.pending = make(map[ibgib.Hash]struct{})
	r.dropped = make(map[ibgib.Hash]struct{})
	r.loose = make(map[ibgib.Hash]struct{})
}

// expect takes all heads that this side may ask for, before it has looked up
// which of them it lacks: one may come before that, below another one.
func (r *receiver) expect(heads []ibgib.Hash) {
	for _, h := range heads {
		r.wanted[h] = struct{}{}
	}
}

// want takes what has been found out about the heads of some rows: wants are
// those that are asked for.
func (r *receiver) want(rows []Row, wants []Want) {
	r.asked = r.asked || len(wants) > 0
	for _, row := range rows {
		var asked []ibgib.Hash
		if len(wants) > 0 && wants[0].Root == row.Root {
			asked, wants = wants[0].Heads, wants[1:]
			r.heads += len(asked)
		}
		for _, h := range lacking(lacking(row.Peer, row.Own), asked) {
			delete(r.wanted, h)
		}
	}
}

// offered takes one list.
func (r *receiver) offered(m *Machine, list []ibgib.Hash) *Error {
	r.total += len(list)
	switch {
	case r.fresh:
		return violation(m.id, "offers to a side that has nothing")
	case !r.asked:
		return violation(m.id, "offers to a side that wants nothing")
	case len(list) > MaxOffers:
		return overLimit(m.id, "%d blocks in an offer, at most %d", len(list), MaxOffers)
	case r.offers == MaxOpenOffers:
		return overLimit(m.id, "more than %d offers without an answer", MaxOpenOffers)
	case r.expected.len()+r.waiting+len(list) > MaxOpenBlocks:
		return overLimit(m.id, "more than %d blocks offered and not sent", MaxOpenBlocks)
	case r.total > MaxOffered:
		return overLimit(m.id, "more than %d blocks offered", MaxOffered)
	}
	for _, h := range list {
		if r.came(h) {
			return violation(m.id, "block %s is offered after it was sent", h)
		}
	}
	r.offers++
	r.waiting += len(list)
	r.checks.push(check{offer: list})
	m.work.Check = append(m.work.Check, list)
	return nil
}

// checked takes the answer to the oldest check.
func (r *receiver) checked(m *Machine, closed []bool) *Error {
	c := r.checks.pop()
	r.waiting -= len(c.offer)
	if c.batch != nil {
		for i, there := range closed {
			if there {
				continue
			}
			if len(r.refusals) == 0 {
				return violation(m.id, "a block came before one that it links")
			}
			r.dropped[c.links[i]] = struct{}{}
		}
		c.batch.checked = true
		return nil
	}
	answer := &Answer{Count: uint32(len(c.offer)), Lacks: make([]byte, (len(c.offer)+7)/8)}
	var present []ibgib.Hash
	for i, h := range c.offer {
		if closed[i] {
			present = append(present, h)
			if _, wanted := r.wanted[h]; wanted {
				delete(r.wanted, h)
				if m.know.isStone(h) {
					r.stones = append(r.stones, h)
				}
			}
			continue
		}
		answer.Lacks[i/8] |= 1 << (i % 8)
		r.expected.push(h)
	}
	r.answers.push(answer)
	if len(present) > 0 {
		r.present = true
		r.put(m, Store{Touch: present}, &batch{})
	}
	return nil
}

func (r *receiver) put(m *Machine, s Store, b *batch) {
	r.used = true
	r.storing.push(b)
	m.work.Store = append(m.work.Store, s)
}

// items takes the payload of one message.
func (r *receiver) items(m *Machine, items []Item) *Error {
	if len(items) > MaxItems {
		return overLimit(m.id, "%d items in a message, at most %d", len(items), MaxItems)
	}
	b := &batch{checked: true}
	var unknown []ibgib.Hash
	for _, it := range items {
		stored, err := r.assemble(m, b, it, len(items))
		if err != nil {
			return err
		}
		if stored == nil {
			continue
		}
		g, err := r.verify(m, stored)
		if err != nil {
			return err
		}
		if g.IsZero() {
			continue // refused
		}
		if it.Form == FormChunk && g.Hash() != it.Hash {
			return violation(m.id, "chunks of %s make up %s", it.Hash, g.Addr())
		}
		b.blocks = append(b.blocks, g)
		m.latest = g.Addr()
		if unknown, err = r.links(m, g, unknown); err != nil {
			return err
		}
		r.received.IbGibs++
		r.received.Bytes += uint64(len(stored))
	}
	if len(unknown) > 0 {
		b.checked = false
		r.checks.push(check{batch: b, links: unknown})
		m.work.Check = append(m.work.Check, unknown)
	}
	r.batches.push(b)
	return nil
}

// assemble checks the outside of an item and returns the stored form that it
// is, or completes; nil if chunks are missing.
func (r *receiver) assemble(m *Machine, b *batch, it Item, items int) ([]byte, *Error) {
	size := int64(len(it.Bytes))
	b.bytes += size
	begun := r.partial.bytes != nil
	switch {
	case it.Form != FormFull && it.Form != FormChunk:
		return nil, unsupported(m.id, "an item of form %d", it.Form)
	case size == 0:
		return nil, violation(m.id, "an empty item")
	case size > MaxItem || items > 1 && b.bytes > MaxPayload:
		return nil, overLimit(m.id, "a message with more payload than allowed")
	case !begun && r.credit <= 0:
		return nil, overLimit(m.id, "payload beyond the credit")
	case begun && it.Form != FormChunk:
		return nil, violation(m.id, "an item between chunks")
	}
	r.credit -= size
	if it.Form == FormFull {
		return it.Bytes, nil
	}
	p := &r.partial
	switch {
	case it.Total > MaxTotal:
		return nil, overLimit(m.id, "an ibGib of %d bytes, at most %d", it.Total, MaxTotal)
	case !begun && it.Offset != 0, begun && (it.Hash != p.hash || it.Total != p.total || it.Offset != uint64(len(p.bytes))):
		return nil, violation(m.id, "a chunk out of order")
	case it.Offset+uint64(size) > it.Total, it.Offset+uint64(size) < it.Total && size < int64(r.pace.item):
		return nil, violation(m.id, "a chunk of the wrong size")
	}
	if !begun && !r.fresh && (r.expected.len() == 0 || *r.expected.at(0) != it.Hash) {
		return nil, violation(m.id, "chunks of %s, which is not next", it.Hash)
	}
	p.hash, p.total = it.Hash, it.Total
	p.bytes = append(p.bytes, it.Bytes...)
	if uint64(len(p.bytes)) < p.total {
		return nil, nil
	}
	stored := p.bytes
	r.partial = partial{}
	return stored, nil
}

// verify passes one stored form through the gate and checks that it is next.
func (r *receiver) verify(m *Machine, stored []byte) (ibgib.IbGib, *Error) {
	g, err := ibgib.Verify(stored)
	if err != nil {
		var claimed ibgib.Hash
		if !r.fresh {
			if r.expected.len() == 0 {
				return ibgib.IbGib{}, violation(m.id, "something was not asked for")
			}
			claimed = r.expected.pop()
		}
		return ibgib.IbGib{}, r.refuse(m, claimed, err)
	}
	h := g.Hash()
	switch {
	case r.came(h):
		return ibgib.IbGib{}, violation(m.id, "%s was sent twice", g.Addr())
	case r.fresh:
		if len(r.wanted) == 0 {
			return ibgib.IbGib{}, violation(m.id, "%s was not asked for", g.Addr())
		}
	case r.expected.len() == 0 || r.expected.pop() != h:
		return ibgib.IbGib{}, violation(m.id, "%s was not asked for, or not next", g.Addr())
	}
	r.got.add(h)
	r.pending[h] = struct{}{}
	return g, nil
}

// links checks where a block belongs: what it links has come, or is looked up
// with the rest of unknown, and it is wanted or will be linked.
func (r *receiver) links(m *Machine, g ibgib.IbGib, unknown []ibgib.Hash) ([]ibgib.Hash, *Error) {
	for to := range g.Targets() {
		h, ok := to.Hash()
		if !ok {
			continue // a primitive
		}
		delete(r.loose, h)
		if r.came(h) || r.there.has(h) {
			continue
		}
		// A second block that links it does not ask again: if it turns out to
		// be missing, the saga ends anyway.
		r.there.add(h)
		unknown = append(unknown, h)
	}
	h := g.Hash()
	if _, ok := r.wanted[h]; ok {
		delete(r.wanted, h)
		if _, frame := timeline.Claims(g); !frame {
			if !m.know.isStone(h) {
				return nil, violation(m.id, "%s was named as a head and is no frame", g.Addr())
			}
			r.stones = append(r.stones, h)
		}
		return unknown, nil
	}
	r.loose[h] = struct{}{}
	if len(r.loose) > MaxLoose {
		return nil, overLimit(m.id, "more than %d blocks that nothing links", MaxLoose)
	}
	return unknown, nil
}

// store hands out the batches whose turn it is.
func (r *receiver) store(m *Machine) {
	for r.batches.len() > 0 && (*r.batches.at(0)).checked {
		b := r.batches.pop()
		if len(r.dropped) > 0 {
			b.blocks = slices.DeleteFunc(b.blocks, r.drop)
		}
		if len(b.blocks) == 0 {
			// All was dropped, or these were chunks but not the last: there is one
			// such ibGib at a time, so its size alone bounds what is held.
			r.owed += b.bytes
			continue
		}
		r.put(m, Store{Put: b.blocks}, b)
	}
}

func (r *receiver) stored(m *Machine, e Stored) *Error {
	for _, refusal := range e.Refused {
		var h ibgib.Hash
		if addr, err := ibgib.ParseAddr(refusal.Addr); err == nil {
			h, _ = addr.Hash()
		}
		if err := r.refuse(m, h, refusal); err != nil {
			return err
		}
	}
	for range e.Count {
		b := r.storing.pop()
		r.owed += b.bytes
		for _, g := range b.blocks {
			delete(r.pending, g.Hash())
		}
	}
	return nil
}

// complete takes the peer's word that everything has been sent.
func (r *receiver) complete(m *Machine) *Error {
	switch {
	case !m.know.wantsSent:
		return violation(m.id, "done before everything was asked for")
	case r.offers > 0 || r.expected.len() > 0 || r.partial.bytes != nil:
		return violation(m.id, "done before what was offered was sent")
	case len(r.dropped) > maxDropped:
		return &Error{ID: m.id, Code: CodeRefused, Text: fmt.Sprintf("more than %d blocks need one that was refused", maxDropped)}
	case len(r.wanted) > 0 && len(r.refusals) == 0:
		return violation(m.id, "done, and %d wanted heads have not come", len(r.wanted))
	case len(r.loose) > 0 && !r.present && len(r.refusals) == 0:
		// What is there may have come by another saga in the meantime and be what
		// links these, as may what was refused. Then only wanted heads are committed.
		return violation(m.id, "%d blocks came that nothing wanted links", len(r.loose))
	}
	r.done = true
	return nil
}

// quiet reports whether everything has come and is durable.
func (r *receiver) quiet() bool {
	return r.done && r.batches.len() == 0 && r.checks.len() == 0 && r.storing.len() == 0
}

// fill puts an answer and credit into a Delta.
func (r *receiver) fill(d *Delta) bool {
	if r.answers.len() > 0 {
		d.Answer = r.answers.pop()
		r.offers--
	}
	if r.owed >= int64(r.pace.credit/8) && r.owed > 0 && !r.done {
		d.Credit = uint64(r.owed)
		r.credit += r.owed
		r.owed = 0
	}
	return d.Answer != nil || d.Credit > 0
}

// came reports whether a block has come in this saga: always right for one that
// is not durable yet, and for one that came lately.
func (r *receiver) came(h ibgib.Hash) bool {
	if _, ok := r.pending[h]; ok {
		return true
	}
	return r.got.has(h)
}

// recent is a set of hashes that forgets the oldest, a generation at a time.
type recent struct {
	young, old map[ibgib.Hash]struct{}
}

func (s *recent) has(h ibgib.Hash) bool {
	if _, ok := s.young[h]; ok {
		return true
	}
	_, ok := s.old[h]
	return ok
}

func (s *recent) add(h ibgib.Hash) {
	if s.young == nil || len(s.young) == recentHashes {
		s.old, s.young = s.young, make(map[ibgib.Hash]struct{})
	}
	s.young[h] = struct{}{}
}
