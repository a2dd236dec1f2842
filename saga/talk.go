package saga

import "strings"

// talk keeps the order of the messages.
type talk struct {
	initSent, initReceived bool
	ackSent                bool // the first
	lastAckSent            bool
	lastAckReceived        bool
	equal                  bool
	strategy               Strategy // the stricter of both
	peerStrategy           Strategy
	mode                   Mode
	asked                  Mode     // responder: of the Init
	features               []string // of the other side
	idle                   int      // messages of the peer in a row that brought the saga no further
	ungranted              int      // items sent for which no Delta of nothing but credit has come
}

// receive takes one message: the checks that hold for all of them, then those
// of its kind.
func (m *Machine) receive(msg Message, r Receipt) *Error {
	if e, ok := msg.(*Error); ok {
		remote := *e
		remote.Remote = true
		return &remote
	}
	if init, ok := msg.(*Init); ok && m.opts.Role == Responder && !m.talk.initReceived {
		m.id = init.ID
	}
	if msg.SagaID() != m.id {
		return violation(m.id, "a message of saga %s", msg.SagaID())
	}
	if m.ended {
		return violation(m.id, "%s after the end", msg.Stage())
	}
	if _, ok := msg.(*Working); ok {
		return m.receiveWorking()
	}
	if d, ok := msg.(*Delta); !ok || !d.onlyGrants() {
		m.talk.idle = 0
	} else if m.talk.ungranted > 0 {
		m.talk.ungranted--
	} else if err := m.idle(); err != nil {
		return err
	}
	m.rec.add(m.opts.Role.other(), msg.Stage(), r)
	switch msg := msg.(type) {
	case *Init:
		return m.receiveInit(msg)
	case *Ack:
		return m.receiveAck(msg)
	case *Delta:
		return m.receiveDelta(msg)
	case *Commit:
		return m.receiveCommit(msg)
	default:
		return violation(m.id, "a message of unknown kind %T", msg)
	}
}

// talking reports whether Deltas may be sent and received: the gap is known on
// both sides or on its way.
func (m *Machine) talking() bool {
	return !m.talk.equal && (m.talk.lastAckSent || m.talk.lastAckReceived)
}

func (m *Machine) receiveInit(init *Init) *Error {
	switch {
	case m.opts.Role != Responder:
		return violation(m.id, "init from the responder")
	case m.talk.initReceived:
		return violation(m.id, "a second init")
	case init.ID == (ID{}):
		return violation(m.id, "an init without saga id")
	}
	m.talk.initReceived = true
	if len(init.Shares) > MaxShares || len(init.Roots) > MaxRoots || !fewFeatures(init.Features) {
		return overLimit(m.id, "too many shares, roots or features")
	}
	if len(init.Shares) > 1 {
		return unsupported(m.id, "a scope of several shares")
	}
	if share := strings.Join(init.Shares, ""); share != m.opts.Share || len(init.Shares) == 1 && share == "" {
		return unsupported(m.id, "another share than the one that was opened")
	}
	if !ascending(init.Roots) {
		return violation(m.id, "the timelines of the scope are out of order")
	}
	m.setScope(init.Roots)
	m.talk.features = init.Features
	m.talk.peerStrategy = init.Strategy
	m.talk.strategy = max(m.talk.strategy, init.Strategy)
	if err := supported(m.id, init.Mode, m.talk.strategy); err != nil {
		return err
	}
	if err := m.narrow(init.Mode); err != nil {
		return err
	}
	if err := m.know.peerForgot(m.id, init.Forgotten); err != nil {
		return err
	}
	if !init.Complete && len(init.Entries) > 0 || init.Complete && uint64(len(init.Entries)) != init.Count {
		return violation(m.id, "an init with %d of %d entries", len(init.Entries), init.Count)
	}
	if len(init.Entries) > MaxInlineEntries {
		return overLimit(m.id, "%d entries in an init, at most %d", len(init.Entries), MaxInlineEntries)
	}
	if err := m.know.peer.entries(m.id, init.Entries, false); err != nil {
		return err
	}
	m.know.peer.forgotten = m.know.forgotten
	m.know.peerInit(init)
	m.out.fresh = init.Fresh
	m.work.Open, m.work.Scope, m.work.Without = true, m.know.scope, m.know.peerForgotten
	return m.out.grant(m.id, init.Credit)
}

func (m *Machine) receiveAck(ack *Ack) *Error {
	switch {
	case m.opts.Role != Initiator:
		return violation(m.id, "ack from the initiator")
	case !m.talk.initSent || m.talk.lastAckReceived:
		return violation(m.id, "an ack out of turn")
	case !fewFeatures(ack.Features):
		return overLimit(m.id, "too many features")
	}
	if m.know.acks == 0 {
		m.talk.features = ack.Features
	}
	if ack.Equal {
		if err := m.know.peerForgot(m.id, ack.Forgotten); err != nil {
			return err
		}
		if m.know.acks > 0 || ack.More || len(ack.Entries) > 0 || len(ack.Wants) > 0 || !m.know.equals(ack.Fingerprint) {
			return violation(m.id, "an ack that says equal and is not")
		}
		m.talk.lastAckReceived = true
		m.talk.equal = true
		return nil
	}
	if m.know.acks == 0 {
		m.talk.peerStrategy = ack.Strategy
		m.talk.strategy = max(m.talk.strategy, ack.Strategy)
		if err := supported(m.id, m.talk.mode, m.talk.strategy); err != nil {
			return err
		}
		if ack.Mode != ModeSync && ack.Mode != m.talk.mode {
			if m.talk.mode != ModeSync || ack.Mode > ModePush {
				return violation(m.id, "an ack that goes another way than the init")
			}
			m.talk.mode = ack.Mode
		}
		if err := m.know.peerForgot(m.id, ack.Forgotten); err != nil {
			return err
		}
		if ack.NeedEntries && m.know.inline {
			return violation(m.id, "an ack that asks for entries it has got")
		}
		m.know.needEntries = ack.NeedEntries
		m.out.fresh = ack.Fresh
		if err := m.out.grant(m.id, ack.Credit); err != nil {
			return err
		}
		if !ack.NeedEntries && !m.know.inline {
			return violation(m.id, "an ack with a comparison of entries that were not sent")
		}
		m.work.Map = !m.know.mapped
	} else if ack.NeedEntries != m.know.needEntries {
		return violation(m.id, "acks that contradict each other")
	}
	m.know.acks++
	if ack.More && len(ack.Entries) == 0 && len(ack.Wants) == 0 {
		return violation(m.id, "an empty ack")
	}
	if err := m.know.peer.entries(m.id, ack.Entries, !ack.NeedEntries); err != nil {
		return err
	}
	if ack.NeedEntries && len(ack.Wants) > 0 {
		return violation(m.id, "wants before the entries")
	}
	if err := m.know.peer.wants(m.id, ack.Wants); err != nil {
		return err
	}
	m.talk.lastAckReceived = !ack.More
	if err := m.know.addAck(m.id, ack.Entries); err != nil {
		return err
	}
	if !ack.NeedEntries {
		if err := m.out.want(m, ack.Wants, !ack.More); err != nil {
			return err
		}
	}
	m.know.compare(m)
	return nil
}

func (m *Machine) receiveDelta(d *Delta) *Error {
	asks, gives := d.asks(), d.gives()
	switch {
	case !m.talking():
		return violation(m.id, "a delta out of turn")
	case !asks && !gives && d.Answer == nil && d.Credit == 0:
		return violation(m.id, "an empty delta")
	case m.end.peer != nil:
		return violation(m.id, "a delta after the commit")
	case m.in.done && (asks || gives):
		return violation(m.id, "more to send after all was sent")
	}
	if asks {
		if err := m.receiveAsking(d); err != nil {
			return err
		}
	}
	if d.Answer != nil {
		if err := m.out.answered(m.id, d.Answer); err != nil {
			return err
		}
	}
	if err := m.out.grant(m.id, d.Credit); err != nil {
		return err
	}
	if len(d.Offers) > 0 {
		if err := m.in.offered(m, d.Offers); err != nil {
			return err
		}
	}
	if len(d.Items) > 0 {
		if err := m.in.items(m, d.Items); err != nil {
			return err
		}
	}
	if d.Done {
		return m.in.complete(m)
	}
	return nil
}

// receiveAsking takes the parts of a Delta that say what the peer has and wants.
func (m *Machine) receiveAsking(d *Delta) *Error {
	if len(d.Entries) > 0 || d.EntriesDone {
		if m.opts.Role != Responder || !m.know.needEntries || m.know.complete {
			return violation(m.id, "entries nobody asked for")
		}
		if err := m.know.peer.entries(m.id, d.Entries, true); err != nil {
			return err
		}
		if err := m.know.addDiffering(m.id, d.Entries, d.EntriesDone); err != nil {
			return err
		}
	}
	if len(d.Wants) > 0 || d.WantsDone {
		if err := m.know.peer.wants(m.id, d.Wants); err != nil {
			return err
		}
		return m.out.want(m, d.Wants, d.WantsDone)
	}
	return nil
}

func (m *Machine) receiveCommit(c *Commit) *Error {
	switch {
	case !m.talking() || !m.in.done || !m.out.done:
		return violation(m.id, "a commit before all was sent")
	case m.end.peer != nil:
		return violation(m.id, "a second commit")
	case len(c.Conflicts) > MaxConflicts || len(c.Aborted) > MaxConflicts:
		return overLimit(m.id, "%d conflicts, %d of them aborted, at most %d each", len(c.Conflicts), len(c.Aborted), MaxConflicts)
	case !ascending(c.Conflicts) || !ascending(c.Aborted) || !within(c.Aborted, c.Conflicts):
		return violation(m.id, "the conflicts of a commit are out of order")
	case len(c.Refusals) > MaxRefusals:
		return overLimit(m.id, "%d refusals, at most %d", len(c.Refusals), MaxRefusals)
	case len(c.Aborted) > 0 && !m.aborts():
		return violation(m.id, "a commit with timelines aborted against the rule")
	}
	m.end.peer = c
	return nil
}

// Talks reports whether a Working may be sent: the first message of this saga
// has gone or come, and the last one of this side has not been handed out.
func (m *Machine) Talks() bool {
	return m.failed == nil && (m.talk.initSent || m.talk.initReceived) && !m.talk.equal && !m.end.sent
}

func (m *Machine) receiveWorking() *Error {
	if !m.talk.initSent && !m.talk.initReceived || m.end.peer != nil {
		return violation(m.id, "work before the beginning or after the end")
	}
	return m.idle()
}

// idle counts a message that brings the saga no further.
func (m *Machine) idle() *Error {
	if m.talk.idle++; m.talk.idle > MaxWorking {
		return overLimit(m.id, "more than %d messages that bring nothing", MaxWorking)
	}
	return nil
}

// onlyGrants reports whether a Delta says nothing but credit.
func (d *Delta) onlyGrants() bool {
	return d.Credit > 0 && !d.asks() && !d.gives() && d.Answer == nil
}

// asks reports whether a Delta says what its sender has or wants, gives whether
// it has to do with payload for the other side.
func (d *Delta) asks() bool {
	return len(d.Entries) > 0 || d.EntriesDone || len(d.Wants) > 0 || d.WantsDone
}

func (d *Delta) gives() bool { return len(d.Offers) > 0 || len(d.Items) > 0 || d.Done }

func fewFeatures(features []string) bool {
	if len(features) > MaxFeatures {
		return false
	}
	for _, f := range features {
		if len(f) > MaxFeature {
			return false
		}
	}
	return true
}
