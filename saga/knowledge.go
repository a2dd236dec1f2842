package saga

import (
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// knowledge finds out in which timelines the two sides differ, and what this
// side is to ask for. There are two ways. If the initiator's map is small it
// comes with the Init, the responder compares, and its Acks bear the rows that
// differ. Else the responder's Acks bear its whole map, the initiator compares,
// and its Deltas bear the rows.
type knowledge struct {
	pace  pace
	scope []ibgib.Hash // roots that the saga is about, ascending; none: all

	forgotten     []ibgib.Hash // of scope, roots that this side wants nothing of, ascending
	peerForgotten []ibgib.Hash // the same of the peer, as it says
	without       []ibgib.Hash // initiator: as it remembers it
	comparable    bool         // responder: both fingerprints leave out the same

	opened      bool
	absent      []ibgib.Hash // of scope, those that this side lacks
	fingerprint [32]byte
	count       uint64
	empty       bool
	inline      bool // initiator: the Init bears the whole map

	mapped  bool
	own     []timeline.Entry // this side's map; dropped when the gap is known
	skipped []ibgib.Hash     // timelines left out for having more than MaxHeads heads, ascending
	sentOwn int              // responder: entries of its whole map sent

	peer            named
	peerFingerprint [32]byte
	peerEntries     []timeline.Entry // the peer's map, whole or as far as it came
	peerComplete    bool             // responder: the Init bore the whole map
	needEntries     bool             // the responder does not compare, the initiator does
	acks            int              // initiator: received

	gap      *Gap
	complete bool             // gap is
	rest     []timeline.Entry // of own, not paired yet

	expected  bool   // the receiver knows all heads that may be asked for
	next      int    // row of gap to look up
	pages     []page // rows looked up or being looked up, in order
	locating  int    // pages being looked up
	knownLeft int
	wantsSent bool // all pages have been sent
}

// page is a run of rows and what is to be asked for of them.
type page struct {
	rows    []Row
	wants   []Want
	located bool
}

func (k *knowledge) open(e Opened) {
	k.opened = true
	k.fingerprint = e.Fingerprint
	k.count = e.Count
	k.empty = e.Empty
	k.absent = e.Absent
	k.gap = &Gap{}
	k.knownLeft = knownBudget
}

// needsMap reports whether the whole map is needed as soon as it is known how
// large it is.
func (k *knowledge) needsMap(role Role) bool {
	if role == Initiator {
		return k.count <= uint64(k.pace.inlineEntries)
	}
	return !k.sameAsPeer()
}

func (k *knowledge) setMap(entries []timeline.Entry) {
	hashes := 0
	k.own = make([]timeline.Entry, 0, len(entries))
	for _, e := range entries {
		if contains(k.peerForgotten, e.Root) {
			continue
		}
		if len(e.Heads) > MaxHeads {
			k.skipped = append(k.skipped, e.Root)
			continue
		}
		hashes += 1 + len(e.Heads)
		k.own = append(k.own, e)
	}
	k.mapped = true
	k.rest = k.own
	k.inline = len(k.own) <= k.pace.inlineEntries && hashes <= 2*k.pace.inlineEntries
}

func (k *knowledge) peerInit(init *Init) {
	k.comparable = init.Without == ForgottenDigest(k.forgotten)
	k.peerFingerprint = init.Fingerprint
	k.peerEntries = init.Entries
	if init.Complete && len(k.forgotten) > 0 {
		k.peerEntries = leaveOut(init.Entries, k.forgotten)
		k.peerFingerprint, k.comparable = fingerprintOf(k.peerEntries), true
	}
	k.peerComplete = init.Complete
	k.needEntries = !init.Complete
}

// init makes the first message, once there is what it needs.
func (k *knowledge) init(m *Machine) *Init {
	if !k.opened {
		return nil
	}
	if k.count <= uint64(k.pace.inlineEntries) && !k.mapped {
		return nil
	}
	init := &Init{
		ID:          m.id,
		Features:    m.opts.Features,
		Mode:        m.opts.Mode,
		Strategy:    m.opts.Strategy,
		Roots:       k.scope,
		Fingerprint: k.fingerprint,
		Count:       k.count,
		Fresh:       k.empty,
		Credit:      uint64(k.pace.credit),
		Forgotten:   k.forgotten,
		Without:     ForgottenDigest(k.without),
	}
	if m.opts.Share != "" {
		init.Shares = []string{m.opts.Share}
	}
	if k.mapped && k.inline {
		init.Entries = k.own
		init.Count = uint64(len(k.own))
		init.Complete = true
	}
	return init
}

// ack makes the responder's next Ack, once there is what it needs.
func (k *knowledge) ack(m *Machine) *Ack {
	if !k.opened {
		return nil
	}
	ack := &Ack{ID: m.id}
	if !m.talk.ackSent {
		ack.Features = m.opts.Features
		ack.Strategy = m.opts.Strategy
		ack.Forgotten = k.forgotten
		if m.talk.mode != m.talk.asked {
			ack.Mode = m.talk.mode
		}
		ack.Fingerprint = k.fingerprint
		ack.Count = k.count
		ack.Fresh = k.empty
		ack.Credit = uint64(k.pace.credit)
	}
	if k.sameAsPeer() {
		ack.Equal = true
		m.talk.equal = true
		return ack
	}
	switch {
	case !k.mapped:
		return nil
	case k.needEntries:
		ack.NeedEntries = true
		ack.Entries = k.pageOf(k.own[k.sentOwn:])
		k.sentOwn += len(ack.Entries)
		ack.More = k.sentOwn < len(k.own)
	default:
		var some bool
		ack.Entries, ack.Wants, some = k.nextPage(true)
		if !some {
			return nil
		}
		ack.More = !k.wantsSent
	}
	return ack
}

// pageOf returns as many of the first entries as one message may bear.
func (k *knowledge) pageOf(entries []timeline.Entry) []timeline.Entry {
	hashes := 0
	for i, e := range entries {
		hashes += 1 + len(e.Heads)
		if i == k.pace.pageEntries || i > 0 && hashes > k.pace.pageHashes {
			return entries[:i]
		}
	}
	return entries
}

// addAck takes the entries of one Ack.
func (k *knowledge) addAck(id ID, entries []timeline.Entry) *Error {
	if k.needEntries {
		k.peerEntries = append(k.peerEntries, entries...)
		return nil
	}
	return k.pair(id, entries)
}

// addDiffering takes the initiator's entries that differ.
func (k *knowledge) addDiffering(id ID, entries []timeline.Entry, last bool) *Error {
	if err := k.pair(id, entries); err != nil {
		return err
	}
	if last {
		k.finish(k.gap)
	}
	return nil
}

func (k *knowledge) pair(id ID, entries []timeline.Entry) *Error {
	rows, rest, ok := pairWith(k.gap.rows, k.rest, entries)
	if !ok {
		return violation(id, "an entry that does not differ")
	}
	k.gap.rows, k.rest = rows, rest
	return nil
}

// compare computes the gap as soon as both sides' knowledge is there.
func (k *knowledge) compare(m *Machine) {
	switch {
	case k.complete || !k.mapped:
	case m.opts.Role == Responder:
		if k.peerComplete && !k.sameAsPeer() {
			k.finish(compareMaps(k.own, k.peerEntries))
		}
	case m.talk.lastAckReceived && k.needEntries:
		k.finish(compareMaps(k.own, k.peerEntries))
	case m.talk.lastAckReceived:
		k.finish(k.gap)
	}
}

func (k *knowledge) finish(gap *Gap) {
	gap.unnamed = union(k.skipped, union(k.forgotten, k.peerForgotten))
	gap.scope = k.scope
	k.gap = gap
	k.complete = true
	k.own, k.rest, k.peerEntries = nil, nil, nil
}

// locate looks up, a page at a time, which of the peer's heads are lacking.
func (m *Machine) locate() {
	k := &m.know
	if !k.complete {
		return
	}
	if !k.expected {
		k.expected = true
		for _, r := range k.gap.rows {
			if m.takes() {
				m.in.expect(lacking(r.Peer, r.Own))
			}
		}
	}
	for k.next < len(k.gap.rows) && len(k.pages) < 4 {
		end := min(k.next+k.pace.pageRows, len(k.gap.rows))
		p := page{rows: k.gap.rows[k.next:end]}
		k.next = end
		var look []Row
		for _, r := range p.rows {
			lack := lacking(r.Peer, r.Own)
			if len(lack) == 0 || !m.takes() {
				continue
			}
			look = append(look, r)
			if k.empty {
				p.wants = append(p.wants, Want{Root: r.Root, Heads: lack})
			}
		}
		if len(look) == 0 || k.empty {
			p.located = true
			m.in.want(p.rows, p.wants)
		} else {
			k.locating++
			m.work.Locate = append(m.work.Locate, look)
		}
		k.pages = append(k.pages, p)
	}
}

// located takes the answer to the oldest look-up and returns its rows.
func (k *knowledge) located(wants []Want) []Row {
	for i := range k.pages {
		if k.pages[i].located {
			continue
		}
		for j := range wants {
			if len(wants[j].Known) > k.knownLeft {
				wants[j].Known = nil
			}
			k.knownLeft -= len(wants[j].Known)
		}
		k.pages[i].wants = wants
		k.pages[i].located = true
		k.locating--
		return k.pages[i].rows
	}
	return nil
}

// fill puts what the next page says into a Delta.
func (k *knowledge) fill(m *Machine, d *Delta) bool {
	if !k.complete || k.wantsSent {
		return false
	}
	compared := m.opts.Role == Initiator && k.needEntries
	var some bool
	d.Entries, d.Wants, some = k.nextPage(compared)
	for !some && len(k.pages) == 0 { // pages of which nothing is to be said
		m.locate()
		d.Entries, d.Wants, some = k.nextPage(compared)
	}
	d.WantsDone = k.wantsSent
	d.EntriesDone = compared && k.wantsSent
	return some
}

// nextPage takes as many rows and wants as one message may bear. some is false
// if there is nothing to say yet. wantsSent is set with the last page.
func (k *knowledge) nextPage(withEntries bool) (entries []timeline.Entry, wants []Want, some bool) {
	hashes, full := 0, false
	for !full && len(k.pages) > 0 && k.pages[0].located {
		p := &k.pages[0]
		for len(p.rows) > 0 {
			row := p.rows[0]
			cost := 0
			if withEntries {
				cost = 1 + len(row.Own)
			}
			wanted := len(p.wants) > 0 && p.wants[0].Root == row.Root
			if wanted {
				cost += 1 + len(p.wants[0].Heads) + len(p.wants[0].Known)
			}
			if hashes > 0 && hashes+cost > k.pace.pageHashes || len(entries) == k.pace.pageEntries || len(wants) == k.pace.pageEntries {
				full = true
				break
			}
			hashes += cost
			if withEntries {
				entries = append(entries, timeline.Entry{Root: row.Root, Heads: row.Own})
			}
			if wanted {
				wants = append(wants, p.wants[0])
				p.wants = p.wants[1:]
			}
			p.rows = p.rows[1:]
		}
		if len(p.rows) == 0 {
			k.pages = k.pages[1:]
		}
	}
	k.wantsSent = k.complete && k.next == len(k.gap.rows) && len(k.pages) == 0
	return entries, wants, k.wantsSent || len(entries) > 0 || len(wants) > 0
}

// isStone reports whether the peer named a block as a pinned stone: as its own root
// and only head. A timeline of which there is only the first frame looks the same.
func (k *knowledge) isStone(h ibgib.Hash) bool {
	row, ok := k.gap.Find(h)
	return ok && len(row.Peer) == 1 && row.Peer[0] == h
}

// find returns the row of a timeline among those known so far to differ.
func (k *knowledge) find(root ibgib.Hash) (Row, bool) { return k.gap.Find(root) }

// named tells whether an ibGib is one of the heads that this side has named and the
// other lacks.
func (k *knowledge) named(g ibgib.IbGib) bool {
	root := g.Hash()
	if tjp := g.Addr().TjpGib(); tjp != "" {
		var err error
		if root, err = ibgib.ParseHash(tjp); err != nil {
			return false
		}
	}
	row, ok := k.find(root)
	return ok && slices.Contains(row.Own, g.Hash())
}
