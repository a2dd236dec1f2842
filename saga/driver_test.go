package saga_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// populate makes timelines that link each other, with texts of a few hundred
// bytes.
func (s *space) populate(timelines, frames int) {
	var last ibgib.IbGib
	for i := range timelines {
		frame := s.create(fmt.Sprintf("timeline %d", i), nil)
		for j := range frames {
			frame = s.change(frame, "text", fmt.Sprintf("%d %0400d", j, i))
		}
		if !last.IsZero() {
			frame = s.link(frame, last)
		}
		last = frame
	}
}

// Both sides have far more to send than the pipe holds. A driver that writes all
// before it reads would never end.
func TestBothSidesFull(t *testing.T) {
	for _, capacity := range []int{1, 1000, 1 << 20} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			a, b := newSpace(t, 1), newSpace(t, 2)
			a.populate(40, 25)
			b.populate(40, 25)
			ra, rb := run(t, a, b, capacity)
			if !ra.Converged || !rb.Converged {
				t.Errorf("converged: %v, %v", ra.Converged, rb.Converged)
			}
			if !sameHeads(a.heads(), b.heads()) || a.blocks() != b.blocks() {
				t.Error("the spaces differ")
			}
			if ra.Sent != rb.Received || rb.Sent != ra.Received || ra.Sent.IbGibs == 0 || rb.Sent.IbGibs == 0 {
				t.Errorf("sent %v, received %v; back %v, %v", ra.Sent, rb.Received, rb.Sent, ra.Received)
			}
		})
	}
}

// counted counts what goes over a Conn.
type counted struct {
	saga.Conn
	mu       sync.Mutex
	messages []saga.Message
	bytes    int
}

func (c *counted) Send(ctx context.Context, m saga.Message) (saga.Receipt, error) {
	r, err := c.Conn.Send(ctx, m)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages = append(c.messages, m)
	c.bytes += r.Bytes
	return r, err
}

// runCounted is run that also returns what each side has sent.
func runCounted(t *testing.T, a, b *space) (ra, rb saga.Result, ca, cb *counted) {
	t.Helper()
	x, y := saga.Pipe(1 << 20)
	ca, cb = &counted{Conn: x}, &counted{Conn: y}
	ra, rb, errA, errB := runConfigs(t.Context(), a.config(saga.Initiator, ca), b.config(saga.Responder, cb))
	if errA != nil || errB != nil {
		t.Fatalf("initiator: %v; responder: %v", errA, errB)
	}
	return ra, rb, ca, cb
}

func TestEqualCostsTwoMessages(t *testing.T) {
	for _, timelines := range []int{1, 20, 21, 1000, 1100} {
		t.Run(fmt.Sprint(timelines), func(t *testing.T) { testEqual(t, timelines) })
	}
}

func testEqual(t *testing.T, timelines int) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	for i := range timelines {
		a.create(fmt.Sprint(i), nil)
	}
	run(t, a, b, 1<<20)
	before := b.blocks()
	ra, rb, ca, cb := runCounted(t, a, b)
	if !ra.Equal || !rb.Equal || !ra.Converged || !rb.Converged || ra.Rounds != 1 || rb.Rounds != 1 {
		t.Errorf("%+v, %+v", ra, rb)
	}
	if len(ca.messages) != 1 || len(cb.messages) != 1 || ca.bytes+cb.bytes > 2<<10 {
		t.Errorf("%d and %d messages, %d bytes", len(ca.messages), len(cb.messages), ca.bytes+cb.bytes)
	}
	if ra.Transcript != nil || rb.Transcript != nil || b.blocks() != before {
		t.Error("something was stored")
	}
}

// Little is offered beside what is lacking, whichever side is behind and whether
// or not the maps are small.
func TestLittleIsOffered(t *testing.T) {
	for _, timelines := range []int{15, 1100} {
		for _, ahead := range []saga.Role{saga.Initiator, saga.Responder} {
			t.Run(fmt.Sprintf("%d timelines, %s ahead", timelines, ahead), func(t *testing.T) {
				a, b := newSpace(t, 1), newSpace(t, 2)
				var frames []ibgib.IbGib
				for i := range timelines {
					frame := a.create(fmt.Sprint(i), nil)
					if i < 10 {
						for j := range 100 {
							frame = a.change(frame, "key", fmt.Sprint(j))
						}
					}
					frames = append(frames, frame)
				}
				run(t, a, b, 1<<20)
				for _, f := range frames[:10] {
					a.change(f, "new", "value")
				}
				first, second := a, b
				if ahead == saga.Responder {
					first, second = b, a
				}
				rf, rs, cf, cs := runCounted(t, first, second)
				offered := 0
				for _, m := range append(cf.messages, cs.messages...) {
					if d, ok := m.(*saga.Delta); ok {
						offered += len(d.Offers)
					}
				}
				// The frames and one dna that all of the changes share.
				if moved := rf.Sent.IbGibs + rs.Sent.IbGibs; moved != 11 || offered != 11 {
					t.Errorf("%d ibGibs moved, %d offered", moved, offered)
				}
				want := 3 // init and ack, offer and answer, items and commit
				if timelines > 20 && ahead == saga.Initiator {
					want = 4 // the entries that differ, and what the responder lacks of them
				}
				if rf.Rounds != want || rs.Rounds != want {
					t.Errorf("%d and %d round trips, want %d", rf.Rounds, rs.Rounds, want)
				}
			})
		}
	}
}

// A payload that is larger than the credit, and than a message, passes.
func TestLargePayload(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	for i := range 3 {
		frame := a.create(fmt.Sprint(i), nil)
		payload := make([]byte, 9<<20+i)
		blob, err := ibgib.NewBytes("blob", payload, nil)
		if err != nil {
			t.Fatal(err)
		}
		a.add(blob)
		a.link(frame, blob)
	}
	ra, rb := run(t, a, b, 64<<10)
	if !ra.Converged || !rb.Converged || rb.Received.Bytes < 27<<20 || !sameHeads(a.heads(), b.heads()) {
		t.Errorf("%v, %v, %v", ra.Converged, rb.Converged, rb.Received)
	}
	b.blocks()
}

func TestDivergedTimelineIsAConflict(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	frame := a.create("shared", nil)
	run(t, a, b, 1<<20)
	a.change(frame, "who", "a")
	b.change(frame, "who", "b")
	ra, rb := run(t, a, b, 1<<20)
	heads := a.heads()[0].Heads
	for _, r := range []saga.Result{ra, rb} {
		if !r.Converged || len(r.Conflicts) != 1 || !slices.Equal(r.Conflicts[0].Heads, heads) || len(heads) != 2 {
			t.Errorf("%v, conflicts %v, heads %v", r.Converged, r.Conflicts, heads)
		}
	}
	if r, _ := run(t, a, b, 1<<20); !r.Equal {
		t.Error("a second saga finds a difference")
	}
}

func TestProgress(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	a.populate(5, 20)
	x, y := saga.Pipe(1 << 20)
	var seen, sent []saga.Progress
	c, from := b.config(saga.Responder, y), a.config(saga.Initiator, x)
	c.Progress = func(p saga.Progress) { seen = append(seen, p) }
	from.Progress = func(p saga.Progress) { sent = append(sent, p) }
	if _, _, errA, errB := runConfigs(t.Context(), from, c); errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	last := seen[len(seen)-1]
	if last.Stage != saga.StageCommit || last.Received.IbGibs != uint64(b.blocks()) || last.Lacking != 0 || last.Differing != 5 || last.Latest.IsZero() {
		t.Errorf("%+v", last)
	}
	if other := sent[len(sent)-1]; last.Wanted != 5 || last.Owed != 0 || other.Owed != 5 || other.Owing != 0 || other.Wanted != 0 {
		t.Errorf("received %+v, sent %+v", last, other)
	}
	if !slices.ContainsFunc(sent, func(p saga.Progress) bool { return p.Owing > 0 }) {
		t.Error("nothing was ever owed")
	}
	if !slices.IsSortedFunc(seen, func(a, b saga.Progress) int { return int(a.Stage) - int(b.Stage) }) {
		t.Error("the stages go back")
	}
}

// failing is an Intake that fails.
type failing struct {
	saga.Intake
	put, commit error
}

func (f failing) Put(ctx context.Context, gs []ibgib.IbGib) error {
	if f.put != nil {
		return f.put
	}
	return f.Intake.Put(ctx, gs)
}

func (f failing) Commit(ctx context.Context, change saga.Change) (saga.Committed, error) {
	if f.commit != nil {
		return saga.Committed{}, f.commit
	}
	return f.Intake.Commit(ctx, change)
}

func TestFailures(t *testing.T) {
	disk := errors.New("disk full at /home/x")
	tests := []struct {
		name string
		// change makes the responder fail, or its connection.
		change func(c *saga.Config, cancel context.CancelFunc)
		code   saga.Code // of the responder
		other  saga.Code // of the initiator
		remote bool      // the initiator was told
	}{
		{"put", func(c *saga.Config, _ context.CancelFunc) {
			open := c.Intake
			c.Intake = func(ctx context.Context) (saga.Intake, error) {
				i, err := open(ctx)
				return failing{Intake: i, put: disk}, err
			}
		}, saga.CodeInternal, saga.CodeInternal, true},
		{"commit", func(c *saga.Config, _ context.CancelFunc) {
			open := c.Intake
			c.Intake = func(ctx context.Context) (saga.Intake, error) {
				i, err := open(ctx)
				return failing{Intake: i, commit: disk}, err
			}
		}, saga.CodeInternal, saga.CodeInternal, true},
		{"intake", func(c *saga.Config, _ context.CancelFunc) {
			c.Intake = func(context.Context) (saga.Intake, error) { return nil, disk }
		}, saga.CodeInternal, saga.CodeInternal, true},
		{"store refuses", func(c *saga.Config, _ context.CancelFunc) {
			open := c.Intake
			c.Intake = func(ctx context.Context) (saga.Intake, error) {
				i, err := open(ctx)
				return failing{Intake: i, put: &ibgib.Refusal{Rule: "alias"}}, err
			}
		}, saga.CodeRefused, saga.CodeRefused, true},
		{"canceled", func(c *saga.Config, cancel context.CancelFunc) {
			open := c.Intake
			c.Intake = func(ctx context.Context) (saga.Intake, error) {
				cancel()
				<-time.After(time.Second)
				return open(ctx)
			}
		}, saga.CodeCanceled, saga.CodeCanceled, true},
		{"cut", func(c *saga.Config, _ context.CancelFunc) {
			conn, open := c.Conn, c.Intake
			c.Intake = func(ctx context.Context) (saga.Intake, error) {
				conn.Abort()
				<-time.After(time.Second) // until the driver has seen it
				return open(ctx)
			}
		}, saga.CodeUnreachable, saga.CodeUnreachable, false},
		{"closed", func(c *saga.Config, _ context.CancelFunc) {
			conn, open := c.Conn, c.Intake
			c.Intake = func(ctx context.Context) (saga.Intake, error) {
				conn.Close()
				<-time.After(time.Second) // until the driver has seen it
				return open(ctx)
			}
		}, saga.CodeUnreachable, saga.CodeUnreachable, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newSpace(t, 1), newSpace(t, 2)
				a.populate(5, 20)
				b.create("own", nil)
				old := b.heads()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				x, y := saga.Pipe(1 << 20)
				c := b.config(saga.Responder, y)
				test.change(&c, cancel)
				var errA error
				done := make(chan struct{})
				go func() {
					defer close(done)
					_, errA = saga.Run(t.Context(), a.config(saga.Initiator, x))
				}()
				result, errB := saga.Run(ctx, c)
				<-done
				wantError(t, errB, test.code, false)
				e := wantError(t, errA, test.other, test.remote)
				if strings.Contains(e.Text, "home") {
					t.Errorf("the other side is told %q", e.Text)
				}
				if result.Committed || result.Converged || !sameHeads(b.heads(), old) {
					t.Error("the heads have moved")
				}
			})
		})
	}
}

func wantError(t *testing.T, err error, code saga.Code, remote bool) *saga.Error {
	t.Helper()
	var e *saga.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want a *saga.Error", err)
	}
	if e.Code != code || e.Remote != remote {
		t.Errorf("%v (remote %v), want code %s, remote %v", e, e.Remote, code, remote)
	}
	return e
}

// A side that stores and commits for longer than the other side's patience is
// waited for.
func TestSlowSide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSpace(t, 1), newSpace(t, 2)
		a.populate(3, 3)
		x, y := saga.Pipe(1 << 20)
		c := b.config(saga.Responder, y)
		open := c.Intake
		c.Intake = func(ctx context.Context) (saga.Intake, error) {
			time.Sleep(10 * saga.DefaultIdleTimeout)
			i, err := open(ctx)
			return slow{i}, err
		}
		counting := &counted{Conn: y}
		c.Conn = counting
		ra, rb, errA, errB := runConfigs(t.Context(), a.config(saga.Initiator, x), c)
		if errA != nil || errB != nil || !ra.Converged || !rb.Converged {
			t.Errorf("%v, %v", errA, errB)
		}
		working := 0
		for _, m := range counting.messages {
			if _, ok := m.(*saga.Working); ok {
				working++
			}
		}
		if working < 40 || working > 60 { // three a minute
			t.Errorf("said so %d times", working)
		}
		if !slices.EqualFunc(ra.Transcript, rb.Transcript, func(x, y ibgib.IbGib) bool { return x.Addr() == y.Addr() }) {
			t.Error("the transcripts differ")
		}
	})
}

type slow struct{ saga.Intake }

func (s slow) Commit(ctx context.Context, change saga.Change) (saga.Committed, error) {
	time.Sleep(10 * saga.DefaultIdleTimeout)
	return s.Intake.Commit(ctx, change)
}

// The peer says nothing, or does not read: both end with a timeout.
func TestIdlePeer(t *testing.T) {
	for _, capacity := range []int{1, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			a := newSpace(t, 1)
			a.create("one", nil)
			x, _ := saga.Pipe(capacity)
			c := a.config(saga.Initiator, x)
			c.IdleTimeout = 30 * time.Second
			begun := time.Now()
			_, err := saga.Run(t.Context(), c)
			wantError(t, err, saga.CodeTimeout, false)
			if took := time.Since(begun); took < c.IdleTimeout || took > c.IdleTimeout+5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// A store that is slow to commit is no idle peer.
func TestSlowCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSpace(t, 1), newSpace(t, 2)
		a.populate(3, 3)
		x, y := saga.Pipe(1 << 20)
		c := b.config(saga.Responder, y)
		c.IdleTimeout = time.Second
		open := c.Intake
		c.Intake = func(ctx context.Context) (saga.Intake, error) {
			time.Sleep(10 * time.Second) // of the bubble's clock
			return open(ctx)
		}
		_, rb, errA, errB := runConfigs(t.Context(), a.config(saga.Initiator, x), c)
		if errA != nil || errB != nil || !rb.Converged {
			t.Error(errA, errB)
		}
	})
}

// The connection is lost when this side has committed and waits for the other:
// the result says what is true.
func TestLostAfterCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSpace(t, 1), newSpace(t, 2)
		a.populate(3, 3)
		x, y := saga.Pipe(1 << 20)
		c := b.config(saga.Responder, y)
		open := c.Intake
		c.Intake = func(ctx context.Context) (saga.Intake, error) {
			i, err := open(ctx)
			return cutting{i, y}, err
		}
		_, rb, errA, errB := runConfigs(t.Context(), a.config(saga.Initiator, x), c)
		wantError(t, errA, saga.CodeUnreachable, false)
		wantError(t, errB, saga.CodeUnreachable, false)
		if !rb.Committed || rb.Converged || !sameHeads(a.heads(), b.heads()) {
			t.Errorf("%+v", rb)
		}
		if ra, _ := run(t, a, b, 1<<20); !ra.Equal {
			t.Error("the next saga has something to do")
		}
	})
}

// cutting aborts the connection when it has committed.
type cutting struct {
	saga.Intake
	conn saga.Conn
}

func (c cutting) Commit(ctx context.Context, change saga.Change) (saga.Committed, error) {
	done, err := c.Intake.Commit(ctx, change)
	c.conn.Abort()
	return done, err
}

// Cut after any number of messages, the next saga sends only what is left.
func TestResume(t *testing.T) {
	for after := 1; after < 12; after += 2 {
		a, b := newSpace(t, 1), newSpace(t, 2)
		a.populate(60, 30)
		total := uint64(len(closure(t, a)))
		x, y := saga.Pipe(64 << 10)
		c := b.config(saga.Responder, y)
		n := 0
		c.Progress = func(saga.Progress) {
			if n++; n == after {
				y.Abort()
			}
		}
		runConfigs(t.Context(), a.config(saga.Initiator, x), c)
		if len(b.heads()) > 0 {
			t.Errorf("cut after %d: heads have moved", after)
		}
		there := uint64(b.blocks())
		_, rb := run(t, a, b, 64<<10)
		if !rb.Converged || rb.Received.IbGibs != total-there || !sameHeads(a.heads(), b.heads()) {
			t.Errorf("cut after %d: %d of %d were there, then %d came", after, there, total, rb.Received.IbGibs)
		}
	}
}

// waiting is an Intake of a store that does nothing until it is let.
type waiting struct {
	saga.Intake
	let <-chan struct{}
}

func (w waiting) Put(ctx context.Context, gs []ibgib.IbGib) error {
	select {
	case <-w.let:
		return w.Intake.Put(ctx, gs)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// What has come when the connection is cut is stored, however much of that there is.
func TestCutKeepsWhatHasCome(t *testing.T) {
	a, b := newSpace(t, 1), newSpace(t, 2)
	a.populate(60, 30)
	total := len(closure(t, a))
	x, y := saga.Pipe(1 << 20)
	let := make(chan struct{})
	c := b.config(saga.Responder, y)
	open := c.Intake
	c.Intake = func(ctx context.Context) (saga.Intake, error) {
		i, err := open(ctx)
		return waiting{i, let}, err
	}
	cut := sync.OnceFunc(func() {
		y.Abort()
		close(let)
	})
	c.Progress = func(p saga.Progress) {
		if p.Received.IbGibs == uint64(total) {
			cut()
		}
	}
	_, rb, errA, errB := runConfigs(t.Context(), a.config(saga.Initiator, x), c)
	wantError(t, errA, saga.CodeUnreachable, false)
	wantError(t, errB, saga.CodeUnreachable, false)
	if n := b.blocks(); n != total || rb.Committed || len(b.heads()) > 0 {
		t.Errorf("%d of %d ibGibs are stored, %d heads", n, total, len(b.heads()))
	}
}

// A side that finds a wrong tells the other which.
func TestViolationIsTold(t *testing.T) {
	a := newSpace(t, 1)
	a.create("one", nil)
	x, y := saga.Pipe(1 << 20)
	done := make(chan error)
	go func() {
		_, err := saga.Run(t.Context(), a.config(saga.Initiator, x))
		done <- err
	}()
	init, _, err := y.Receive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := y.Send(t.Context(), &saga.Delta{ID: init.SagaID(), Credit: 1}); err != nil {
		t.Fatal(err)
	}
	m, _, err := y.Receive(t.Context())
	if e, ok := m.(*saga.Error); err != nil || !ok || e.Code != saga.CodeProtocol || e.ID != init.SagaID() {
		t.Errorf("%v, %#v", err, m)
	}
	y.Close()
	wantError(t, <-done, saga.CodeProtocol, false)
}

func TestUnsupported(t *testing.T) {
	a := newSpace(t, 1)
	for name, change := range map[string]func(*saga.Config){
		"mode":     func(c *saga.Config) { c.Mode = saga.ModePush + 1 },
		"strategy": func(c *saga.Config) { c.Strategy = saga.StrategyAbort + 1 },
		"role":     func(c *saga.Config) { c.Role = 0 },
	} {
		x, y := saga.Pipe(1 << 20)
		c := a.config(saga.Initiator, x)
		change(&c)
		_, err := saga.Run(t.Context(), c)
		wantError(t, err, saga.CodeUnsupported, false)
		if _, _, err := y.Receive(t.Context()); err == nil {
			t.Errorf("%s: a message was sent", name)
		}
	}
}
