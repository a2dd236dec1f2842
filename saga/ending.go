package saga

import (
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// ending commits what has come and compares the outcome with the peer's. The
// outcome is the fingerprint over the timelines that differed, each with the
// heads that stand when the heads that both sides named are put together; in a
// saga that goes one way, with the heads that the sender named.
type ending struct {
	deciding  bool // the commit is being prepared, under way or over
	decided   bool
	committed Committed

	// With StrategyAbort, before the commit: which of the timelines of which
	// something has come would diverge by it.
	judge   pages
	judging queue[[]Row] // lists of rows under way
	only    []ibgib.Hash // heads of those that would not

	agree     pages
	agreeing  queue[[]Row] // lists of rows under way
	outcome   timeline.Fingerprint
	conflicts []Conflict
	lacking   []Want // without Known: heads that the peer named and this side still lacks
	complete  bool   // the outcome is

	sent bool // the Commit
	own  *Commit
	peer *Commit
}

// maxLacking bounds the timelines of Result.Lacking.
const maxLacking = 1000

// pages is a walk over the rows of the gap, a few at a time.
type pages struct {
	next  int
	under int // lists of rows handed out and not answered
}

// take returns the next rows that pass, nil if there are none.
func (p *pages) take(rows []Row, most int, pass func(Row) bool) []Row {
	var list []Row
	for p.next < len(rows) && len(list) < most {
		if row := rows[p.next]; pass(row) {
			list = append(list, row)
		}
		p.next++
	}
	if len(list) > 0 {
		p.under++
	}
	return list
}

// over reports whether all rows have been handed out and answered.
func (p *pages) over(rows []Row) bool { return p.next == len(rows) && p.under == 0 }

// finish begins the commit when everything has come and is durable, and the
// comparison when the commit is over.
func (m *Machine) finish() {
	e := &m.end
	if !e.deciding {
		if !m.in.quiet() || m.in.used && m.aborts() && !m.judged() {
			return
		}
		if !m.aborts() && (len(m.in.loose) > 0 || len(m.in.refusals) > 0) {
			// What nothing links any more was not named as a head.
			e.only = m.lackingHeads()
		}
		e.deciding = true
		if m.in.used {
			m.work.Commit, m.work.Change = true, Change{Only: e.only, Stones: m.in.stones, Strategy: m.talk.strategy}
			return
		}
		e.decided = true
	}
	if !e.decided || e.complete {
		return
	}
	rows := m.know.gap.rows
	for e.agree.next < len(rows) && e.agree.under < 2 {
		if list := e.agree.take(rows, m.pace.pageRows, m.unsettled); len(list) > 0 {
			e.agreeing.push(list)
			m.work.Agree = append(m.work.Agree, list)
		}
	}
	e.complete = e.agree.over(rows)
}

// judged finds out, before a commit with StrategyAbort, which timelines it must
// leave alone, and reports whether it is known.
func (m *Machine) judged() bool {
	e := &m.end
	rows := m.know.gap.rows
	if e.only == nil {
		e.only = []ibgib.Hash{}
	}
	for e.judge.next < len(rows) && e.judge.under < 2 {
		list := e.judge.take(rows, m.pace.pageRows, func(r Row) bool {
			return !within(r.Peer, r.Own)
		})
		if len(list) > 0 {
			e.judging.push(list)
			m.work.Judge = append(m.work.Judge, list)
		}
	}
	return e.judge.over(rows)
}

// lackingHeads returns all heads that the peer named and this side did not.
func (m *Machine) lackingHeads() []ibgib.Hash {
	only := []ibgib.Hash{}
	for _, row := range m.know.gap.rows {
		only = append(only, lacking(row.Peer, row.Own)...)
	}
	return only
}

func (e *ending) judged(diverged []bool) {
	e.judge.under--
	for i, row := range e.judging.pop() {
		if !diverged[i] {
			e.only = append(e.only, lacking(row.Peer, row.Own)...)
		}
	}
}

func (e *ending) decide(c Committed) {
	e.decided = true
	e.committed = c
}

// unsettled settles a row of which the outcome is known without the index, and
// reports whether it is not.
func (m *Machine) unsettled(row Row) bool {
	switch {
	case !m.takes():
		// This side holds what it named, and has got nothing.
		m.end.settle(m, row, Outcome{Heads: row.Own})
	case within(row.Peer, row.Own):
		m.end.settle(m, row, Outcome{Heads: row.Own, Held: row.Peer})
	default:
		return true
	}
	return false
}

func (e *ending) agreed(m *Machine, outcomes []Outcome) {
	e.agree.under--
	for i, row := range e.agreeing.pop() {
		e.settle(m, row, outcomes[i])
	}
}

// settle enters the outcome of one row.
func (e *ending) settle(m *Machine, row Row, o Outcome) {
	aborted := m.aborts() && len(o.Heads) > 1
	if aborted {
		// What did not come is named all the same.
		o.Heads = append(slices.Clone(o.Heads), lacking(row.Peer, o.Held)...)
		sortHashes(o.Heads)
	}
	if len(o.Heads) > 1 && len(e.conflicts) < MaxConflicts {
		e.conflicts = append(e.conflicts, Conflict{Root: row.Root, Heads: o.Heads, Aborted: aborted})
	}
	if aborted {
		return
	}
	if lack := lacking(row.Peer, o.Held); m.takes() && len(lack) > 0 && len(e.lacking) < maxLacking {
		e.lacking = append(e.lacking, Want{Root: row.Root, Heads: lack})
	}
	entry := timeline.Entry{Root: row.Root, Heads: o.Heads}
	if m.talk.mode != ModeSync && m.takes() {
		entry.Heads = o.Held
	}
	if len(entry.Heads) > 0 {
		e.outcome.Add(entry.Digest())
	}
}

// commit makes this side's Commit.
func (e *ending) commit(m *Machine) *Commit {
	slices.SortFunc(e.conflicts, func(a, b Conflict) int { return compareHash(a.Root, b.Root) })
	var roots, aborted []ibgib.Hash
	for _, c := range e.conflicts {
		roots = append(roots, c.Root)
		if c.Aborted {
			aborted = append(aborted, c.Root)
		}
	}
	e.own = &Commit{
		ID:         m.id,
		Digest:     e.outcome.Sum(),
		Count:      e.outcome.Count(),
		Received:   m.in.received,
		Conflicts:  roots,
		Aborted:    aborted,
		Refused:    uint64(len(e.committed.Refused)),
		Refusals:   m.in.refusals,
		LastSeq:    e.committed.Seq,
		StoreEpoch: e.committed.Epoch,
	}
	return e.own
}

// converged reports whether both sides came to the same heads, or the receiving
// side of a saga that goes one way to those of the sender.
func (m *Machine) converged() bool {
	if m.talk.equal {
		return true
	}
	own, peer := m.end.own, m.end.peer
	return own != nil && peer != nil && own.Digest == peer.Digest && own.Count == peer.Count &&
		len(own.Aborted) == 0 && len(peer.Aborted) == 0 && m.know.skipped == nil
}
