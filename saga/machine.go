package saga

import (
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Role is which side of a saga a Machine plays.
type Role uint8

// The roles. They differ in who speaks first and who compares; everything
// after that is the same.
const (
	Initiator Role = iota + 1
	Responder
)

// MarshalText writes the name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String returns the role in lower case.
func (r Role) String() string {
	switch r {
	case Initiator:
		return "initiator"
	case Responder:
		return "responder"
	default:
		return fmt.Sprintf("role(%d)", uint8(r))
	}
}

// Options configure a Machine.
type Options struct {
	Role Role
	ID   ID // chosen by the initiator; the responder learns it from the Init

	// Self and Peer name the two sides in the transcript, such as peer ids.
	// Both sides must use the same names.
	Self, Peer string

	// Mode is, of an initiator, which way payload is to travel; of a responder, which
	// way it may, seen from the initiator too.
	Mode     Mode
	Strategy Strategy     // of this side
	Share    string       // that it is about; empty: the default share
	Roots    []ibgib.Hash // initiator only: the timelines that it is about, in any order; none: all of the share
	// Forgotten are the roots that this side wants nothing of, PeerForgotten, of an
	// initiator, those that it remembers of the other side; ascending. What is beyond
	// MaxForgotten is left out.
	Forgotten     []ibgib.Hash
	PeerForgotten []ibgib.Hash
	Features      []string // protocol features to announce

	// Session and PeerSession are the first frames of the session keystones that speak
	// for the two sides; zero: none. They enter the transcript.
	Session, PeerSession ibgib.Addr
}

// Machine is one side of one saga. It does nothing by itself: Step takes what
// happened, Work says what is to be done. It has no clock and no randomness, so
// the same events give the same work. A Machine is for one goroutine.
type Machine struct {
	opts Options
	pace pace
	id   ID

	work   Work
	failed *Error
	ended  bool

	talk talk      // which messages have gone and may come
	know knowledge // who has what
	out  sender    // what the peer wants of us
	in   receiver  // what we want of the peer
	end  ending    // commit
	rec  recorder
	wire Wire

	latest      ibgib.Addr // of the ibGibs that came or went
	unsent      []unsent   // handed out in Work.Send, not reported as sent
	unsentBytes int
}

// unsent is a message on its way to the connection.
type unsent struct {
	stage Stage
	bytes int // a lower bound
}

// NewMachine begins a saga. The error is an *Error with CodeUnsupported if the
// options ask for what this version lacks.
func NewMachine(o Options) (*Machine, error) {
	if o.Role != Initiator && o.Role != Responder {
		return nil, unsupported(o.ID, "%s", o.Role)
	}
	if err := supported(o.ID, o.Mode, o.Strategy); err != nil {
		return nil, err
	}
	m := &Machine{opts: o}
	m.talk.mode = o.Mode
	m.setPace(standardPace())
	m.talk.strategy = o.Strategy
	m.in.init()
	m.out.idle = true
	if o.Role == Initiator {
		m.id = o.ID
		m.setScope(o.Roots)
		if len(m.know.scope) > MaxRoots {
			return nil, overLimit(o.ID, "%d timelines, at most %d", len(m.know.scope), MaxRoots)
		}
		m.know.without = withinScope(o.PeerForgotten, m.know.scope)
		m.know.peer.forgotten = m.know.forgotten
		m.work.Open, m.work.Scope, m.work.Without = true, m.know.scope, m.know.without
	}
	return m, nil
}

func (m *Machine) setPace(p pace) {
	m.pace, m.know.pace, m.out.pace, m.in.pace = p, p, p, p
	m.in.credit = int64(p.credit)
}

func supported(id ID, mode Mode, strategy Strategy) *Error {
	if mode > ModePush {
		return unsupported(id, "mode %d", mode)
	}
	if strategy > StrategyAbort {
		return unsupported(id, "strategy %d", strategy)
	}
	return nil
}

func (m *Machine) setScope(roots []ibgib.Hash) {
	roots = slices.Clone(roots)
	sortHashes(roots)
	m.know.scope = slices.Compact(roots)
	m.know.peer.scope = m.know.scope
	m.know.forgotten = withinScope(m.opts.Forgotten, m.know.scope)
}

// narrow takes the initiator's mode, as far as this side's allows it.
func (m *Machine) narrow(asked Mode) *Error {
	m.talk.asked = asked
	switch own := m.opts.Mode; {
	case own == ModeSync || own == asked:
		m.talk.mode = asked
	case asked == ModeSync:
		m.talk.mode = own
	default:
		return &Error{ID: m.id, Code: CodeUnsupported, Text: fmt.Sprintf("nothing may travel: one side asks for a %s, the other allows but a %s", asked, own)}
	}
	return nil
}

// takes reports whether payload may come to this side, gives whether it may go
// to the other.
func (m *Machine) takes() bool { return m.talk.mode.to(m.opts.Role) }
func (m *Machine) gives() bool { return m.talk.mode.to(m.opts.Role.other()) }

// to reports whether payload may travel to the side that plays role.
func (d Mode) to(role Role) bool {
	return d == ModeSync || d == ModePull && role == Initiator || d == ModePush && role == Responder
}

// aborts reports whether diverged timelines are to be left as they are.
func (m *Machine) aborts() bool { return m.talk.strategy == StrategyAbort }

// ID returns the saga's id; zero for a responder that has no Init yet.
func (m *Machine) ID() ID { return m.id }

// PeerHas reports whether the other side has announced a feature.
func (m *Machine) PeerHas(feature string) bool {
	return slices.Contains(m.talk.features, feature)
}

// moves reports whether either side has asked for something.
func (m *Machine) moves() bool { return m.in.asked || m.out.asked }

// Ended reports whether the saga has ended in good order: the other side has
// nothing more to say. What Work.Send handed out last may still have to be sent.
func (m *Machine) Ended() bool { return m.ended }

// Done reports whether the saga has ended and everything has been sent.
func (m *Machine) Done() bool { return m.ended && len(m.unsent) == 0 }

// Work returns what is to be done, and forgets it.
func (m *Machine) Work() Work {
	w := m.work
	m.work = Work{}
	return w
}

// Step takes one event. An error is an *Error and ends the saga: the machine
// hands out no more work, and every later Step returns the same error.
func (m *Machine) Step(e Event) error {
	if m.failed != nil {
		return m.failed
	}
	if err := m.take(e); err != nil {
		m.failed = err
		m.work = Work{}
		return err
	}
	m.advance()
	return nil
}

func (m *Machine) take(e Event) *Error {
	switch e := e.(type) {
	case Received:
		m.wire.Received += uint64(e.Receipt.Bytes)
		return m.receive(e.Message, e.Receipt)
	case Sent:
		m.sent(e.Receipt)
	case Opened:
		m.know.open(e)
		m.in.fresh = e.Empty
		m.work.Map = m.know.needsMap(m.opts.Role)
	case Mapped:
		m.know.setMap(e.Entries)
		m.know.compare(m)
	case Located:
		m.in.want(m.know.located(e.Wants), e.Wants)
	case Walked:
		m.out.walked(e)
	case Loaded:
		m.out.loaded(e.Blocks)
	case Checked:
		return m.in.checked(m, e.Closed)
	case Stored:
		return m.in.stored(m, e)
	case Decided:
		m.end.decide(e.Committed)
	case Judged:
		m.end.judged(e.Diverged)
	case Agreed:
		m.end.agreed(m, e.Outcomes)
	}
	return nil
}

// advance hands out all work that has become possible.
func (m *Machine) advance() {
	if m.ended {
		return
	}
	m.locate()
	m.in.store(m)
	m.finish()
	for {
		m.out.ask(m)
		if len(m.unsent) >= sendMessages || m.unsentBytes >= sendBytes {
			break
		}
		msg := m.compose()
		if msg == nil {
			break
		}
		m.send(msg)
	}
	if m.talk.equal || m.end.sent && m.end.peer != nil {
		m.ended = true
	}
}

func (m *Machine) send(msg Message) {
	n := 0
	if d, ok := msg.(*Delta); ok {
		for _, it := range d.Items {
			n += len(it.Bytes)
		}
		m.talk.ungranted += len(d.Items)
	}
	m.unsent = append(m.unsent, unsent{msg.Stage(), n})
	m.unsentBytes += n
	m.work.Send = append(m.work.Send, msg)
}

func (m *Machine) sent(r Receipt) {
	if len(m.unsent) == 0 {
		return
	}
	u := m.unsent[0]
	m.unsent = m.unsent[1:]
	m.unsentBytes -= u.bytes
	m.rec.add(m.opts.Role, u.stage, r)
	m.wire.Sent += uint64(r.Bytes)
}

func (r Role) other() Role {
	if r == Initiator {
		return Responder
	}
	return Initiator
}

// compose makes the next message that can be sent now, or nil.
func (m *Machine) compose() Message {
	switch {
	case m.opts.Role == Initiator && !m.talk.initSent:
		if init := m.know.init(m); init != nil {
			m.talk.initSent = true
			return init
		}
		return nil
	case m.opts.Role == Responder && !m.talk.lastAckSent:
		if ack := m.know.ack(m); ack != nil {
			m.talk.ackSent = true
			m.talk.lastAckSent = !ack.More
			return ack
		}
		return nil
	case !m.talking():
		return nil
	}
	if d := m.delta(); d != nil {
		return d
	}
	if m.end.complete && m.out.done && !m.end.sent {
		m.end.sent = true
		return m.end.commit(m)
	}
	return nil
}

// delta puts everything that waits into one Delta.
func (m *Machine) delta() *Delta {
	if m.end.sent {
		return nil
	}
	d := &Delta{ID: m.id}
	some := m.know.fill(m, d)
	some = m.in.fill(d) || some
	some = m.out.fill(m, d) || some
	if !some {
		return nil
	}
	return d
}
