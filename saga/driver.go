package saga

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// DefaultIdleTimeout is how long a saga waits for any message to come or go.
const DefaultIdleTimeout = time.Minute

// workingAfter is how long a saga sends nothing, while it is at work on its own,
// before it says so; a third of a shorter idle timeout.
const workingAfter = 20 * time.Second

// farewell is how long a saga that failed tries to tell the other side why, and
// how long one that ended waits for its connection to close.
const farewell = time.Second

// Config says between whom and over what a saga runs.
type Config struct {
	Role Role
	ID   ID   // initiator only: fresh random bytes
	Conn Conn // closed or aborted when Run returns

	// Self and Peer name the two sides, such as peer ids; the other side must
	// use the same names. They enter the transcript.
	Self, Peer string
	// Session and PeerSession are the session keystones of the two sides; see Options.
	Session, PeerSession ibgib.Addr
	// Sealer, if not nil, signs what moved, if the other side does that too.
	Sealer Sealer

	Blocks Blocks
	Index  Index
	// Intake begins a change. It is called at most once, when something comes.
	Intake func(ctx context.Context) (Intake, error)

	Mode     Mode         // see Options
	Strategy Strategy     // this side's
	Share    string       // see Options; Blocks, Index and Intake are those of the share
	Roots    []ibgib.Hash // initiator only: the timelines that the saga is about; none: all of the share
	// Forgotten and PeerForgotten: see Options.
	Forgotten     []ibgib.Hash
	PeerForgotten []ibgib.Hash
	Features      []string

	IdleTimeout time.Duration  // 0: DefaultIdleTimeout
	Progress    func(Progress) // called after every message, from Run's goroutine; may be nil
}

// Run takes part in one saga until it has ended or failed. The error is an
// *Error; the Result tells how far the saga got also then. Nothing that Run
// started is left when it returns.
func Run(ctx context.Context, c Config) (Result, error) {
	if c.Sealer != nil {
		c.Features = append(slices.Clone(c.Features), featureSeal)
	}
	m, err := NewMachine(Options{
		Role: c.Role, ID: c.ID, Self: c.Self, Peer: c.Peer, Session: c.Session, PeerSession: c.PeerSession,
		Mode: c.Mode, Strategy: c.Strategy, Share: c.Share, Roots: c.Roots, Features: c.Features,
		Forgotten: c.Forgotten, PeerForgotten: c.PeerForgotten,
	})
	if err != nil {
		c.Conn.Abort()
		return Result{SagaID: c.ID}, err
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = DefaultIdleTimeout
	}
	d := &driver{c: c, m: m}
	return d.run(ctx)
}

// driver runs one machine. Four goroutines work for it: a reader and a writer of
// the connection, and workers for storing, for look-ups and for the walk. The
// driver itself only moves events and work between them and never waits for one
// of them alone, so it takes in messages whatever the writer is stuck at. That
// is why two sides that fill the connection in both directions go on.
//
// The queues are bounded by the machine: it hands out little at a time of
// everything but Check and Store works, and those by what the peer was granted.
type driver struct {
	c Config
	m *Machine

	join   sync.WaitGroup
	events mailbox[outcome]
	in     chan incoming
	out    mailbox[Message]
	writer chan struct{} // closed when the writer has ended
	store  mailbox[storeJob]
	look   mailbox[job]
	walk   mailbox[Walk]

	local     int  // jobs under way
	silent    bool // nothing has been sent since the last tick
	saying    bool // a Working is on its way to the connection
	readerEnd bool // the reader has ended

	knowledge snapshot
	intake    Intake
	committed bool // by the store worker; read after it has ended
	result    Committed
	full      bool // the intake takes no more
	seals     seals
}

// incoming is what the reader hands over; the last one has an error.
type incoming struct {
	message Message
	receipt Receipt
	err     error
}

// outcome is what a worker or the writer hands over.
type outcome struct {
	event   Event
	jobs    int // done by it
	err     *Error
	sending bool // err is the writer's
	said    bool // a Working has been sent
	full    bool // err is that of an intake that takes no more
}

func (d *driver) run(ctx context.Context) (Result, error) {
	// The connection and the stores outlive ctx by the time it takes to say why.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	d.start(work)
	failure := d.loop(ctx)
	if failure == nil && d.c.Sealer != nil {
		d.seal(ctx)
	}
	if d.full {
		d.keepWhole(work, failure)
	}
	d.end(failure)
	if failure != nil && (failure.Remote || failure.Code == CodeUnreachable || failure.Code == CodeTimeout) {
		d.settle(ctx)
	}
	stop()
	d.join.Wait()
	d.knowledge.close()
	if d.intake != nil && !d.committed {
		if err := d.intake.Discard(); err != nil && failure == nil {
			failure = d.internal("discard", err)
		}
	}
	return d.outcome(failure)
}

// settle stores what has come, when no more than the connection has failed, so that
// it does not have to come again. It takes as long as storing what the peer was
// granted, and no heads move.
func (d *driver) settle(ctx context.Context) {
	limit := time.NewTimer(d.c.IdleTimeout)
	defer limit.Stop()
	for {
		w := d.m.Work()
		d.dispatch(Work{Store: w.Store, Check: w.Check})
		if d.local == 0 {
			return
		}
		select {
		case <-d.events.signal:
			for _, e := range d.events.take() {
				d.local -= e.jobs
				switch {
				case e.err != nil && !e.sending:
					return
				case e.event != nil:
					_ = d.m.Step(e.event) // a machine that has failed hands out nothing more
				}
			}
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// outcome makes what Run returns.
func (d *driver) outcome(failure *Error) (Result, error) {
	r, err := d.m.Result()
	r.Sealed, r.PeerSealed = d.seals.sent, d.seals.checked
	r.Wire.Sent += d.seals.wire.Sent
	r.Wire.Received += d.seals.wire.Received
	if d.committed && !r.Committed {
		r.Committed = true
		r.Refused = d.result.Refused
	}
	if failure == nil && err != nil {
		failure = d.internal("transcript", err)
	}
	if failure == nil {
		return r, nil
	}
	if d.committed && !failure.Remote && !d.full {
		failure.Text += "; what had come is committed here"
	}
	return r, failure
}

func (d *driver) start(ctx context.Context) {
	d.in = make(chan incoming)
	d.writer = make(chan struct{})
	d.events.init()
	d.out.init()
	d.store.init()
	d.look.init()
	d.walk.init()
	d.join.Go(func() { d.read(ctx) })
	d.join.Go(func() { d.write(ctx) })
	d.join.Go(func() { d.storeWorker(ctx) })
	d.join.Go(func() { d.lookWorker(ctx) })
	d.join.Go(func() { d.walkWorker(ctx) })
}

// loop runs the machine until it is done or something fails.
func (d *driver) loop(ctx context.Context) *Error {
	idle := time.NewTimer(d.c.IdleTimeout)
	defer idle.Stop()
	tick := time.NewTicker(min(workingAfter, d.c.IdleTimeout/3+1))
	defer tick.Stop()
	for {
		d.dispatch(d.m.Work())
		if d.m.Done() {
			return nil
		}
		in := d.in
		if d.readerEnd {
			in = nil
		}
		select {
		case got := <-in:
			if err := d.received(got); err != nil {
				return err
			}
			idle.Reset(d.c.IdleTimeout)
		case <-d.events.signal:
			for _, e := range d.events.take() {
				d.local -= e.jobs
				switch {
				case e.err != nil && e.sending:
					return d.verdict(e.err)
				case e.err != nil:
					d.full = e.full
					return e.err
				case e.said:
					d.saying = false
					continue
				}
				if err := d.m.Step(e.event); err != nil {
					return asError(err)
				}
				if _, ok := e.event.(Sent); ok {
					d.silent = false
					d.progress()
					idle.Reset(d.c.IdleTimeout)
				}
			}
		case <-tick.C:
			if d.silent && !d.saying && d.local > 0 && d.m.Talks() {
				d.saying = true
				d.out.put(&Working{ID: d.m.ID()})
			}
			d.silent = true
		case <-idle.C:
			if d.local == 0 {
				return &Error{ID: d.m.ID(), Code: CodeTimeout, Retry: true,
					Text: fmt.Sprintf("no message for %s", d.c.IdleTimeout)}
			}
			idle.Reset(d.c.IdleTimeout) // the other side waits for us
		case <-ctx.Done():
			return &Error{ID: d.m.ID(), Code: CodeCanceled, Retry: true, Text: "stopped", Err: context.Cause(ctx)}
		}
	}
}

func (d *driver) progress() {
	if d.c.Progress != nil {
		d.c.Progress(d.m.Progress())
	}
}

// received takes what the reader hands over.
func (d *driver) received(got incoming) *Error {
	if d.seals.arrives(d, got) {
		return nil
	}
	if got.err == nil {
		if err := d.m.Step(Received{got.message, got.receipt}); err != nil {
			return asError(err)
		}
		d.progress()
		return nil
	}
	d.readerEnd = true
	if d.m.Ended() {
		return nil // the other side was the first to know
	}
	return d.lost("receive", got.err)
}

// verdict waits for what the other side may have said before sending to it
// failed; without that, err it is.
func (d *driver) verdict(err *Error) *Error {
	limit := time.NewTimer(farewell)
	defer limit.Stop()
	for !d.readerEnd {
		select {
		case got := <-d.in:
			d.readerEnd = got.err != nil
			if e, ok := got.message.(*Error); ok {
				return d.received(incoming{message: e})
			}
		case <-limit.C:
			return err
		}
	}
	return err
}

// lost makes the error of a connection that has ended too early.
func (d *driver) lost(op string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		if e.ID == (ID{}) {
			e.ID = d.m.ID()
		}
		return e
	}
	text := fmt.Sprintf("%s: %v", op, err)
	if errors.Is(err, io.EOF) {
		text = "the other side closed the connection before the end"
	}
	return &Error{ID: d.m.ID(), Code: CodeUnreachable, Retry: true, Text: text, Err: err}
}

func (d *driver) internal(op string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		own := *e
		own.ID = d.m.ID()
		return &own
	}
	var refusal *ibgib.Refusal
	if errors.As(err, &refusal) {
		return &Error{ID: d.m.ID(), Code: CodeRefused, Text: refusal.Error(), Err: err}
	}
	return &Error{ID: d.m.ID(), Code: CodeInternal, Retry: true, Text: fmt.Sprintf("%s: %v", op, err), Err: err}
}

func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternal, Text: err.Error(), Err: err}
}

// end closes the connection: in good order, or after the failure has been told
// to the other side, if that takes no longer than farewell.
func (d *driver) end(failure *Error) {
	limit := time.NewTimer(farewell)
	defer limit.Stop()
	if failure == nil {
		if err := d.c.Conn.Close(); err != nil {
			d.c.Conn.Abort()
		}
		d.drain(limit.C)
		return
	}
	if !failure.Remote && failure.Code != CodeUnreachable {
		d.out.replace(wireError(failure))
		select {
		case <-d.writer:
			// The other side closes when it has read it.
			d.drain(limit.C)
		case <-limit.C:
		}
	}
	d.c.Conn.Abort()
}

// drain discards what still comes until the reader has ended or limit is over.
func (d *driver) drain(limit <-chan time.Time) {
	for !d.readerEnd {
		select {
		case got := <-d.in:
			d.readerEnd = got.err != nil
		case <-limit:
			return
		}
	}
}

// wireError returns what the other side is told: nothing of the inside.
func wireError(e *Error) *Error {
	told := &Error{ID: e.ID, Code: e.Code, Text: e.Text, Retry: e.Retry, Reason: e.Reason}
	if e.Code == CodeInternal {
		told.Text = "internal error"
	}
	if len(told.Text) > MaxErrorText {
		told.Text = strings.ToValidUTF8(told.Text[:MaxErrorText], "")
	}
	return told
}
