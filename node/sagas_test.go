package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// The table decides in the same way on both sides of a connection: low is the
// node with the lower peer id, high the other.
const low, high = peer.ID("a"), peer.ID("b")

func wantBusy(t *testing.T, err error) {
	t.Helper()
	var e *saga.Error
	if !errors.As(err, &e) || e.Code != saga.CodeBusy || !e.Retry {
		t.Errorf("error %v, want busy", err)
	}
}

func key(p peer.ID, role saga.Role) sagaKey { return sagaKey{p, "", role} }

func mustBegin(t *testing.T, table *sagas, k sagaKey) (context.Context, *place) {
	t.Helper()
	ctx, place, err := table.begin(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return ctx, place
}

func TestSagasThatCross(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tl, th := newSagas(low), newSagas(high)
		_, atLow := mustBegin(t, tl, key(high, saga.Initiator))
		_, atHigh := mustBegin(t, th, key(low, saga.Initiator))
		// The saga that low began is let in by high, the other one is not.
		_, in := mustBegin(t, th, key(low, saga.Responder))
		begin := time.Now()
		_, _, err := tl.begin(t.Context(), key(high, saga.Responder))
		wantBusy(t, err)
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("busy after %v", waited)
		}
		// Another scope does not cross.
		_, scoped := mustBegin(t, tl, sagaKey{high, scopeOf([]ibgib.Hash{{1}}), saga.Responder})
		scoped.end(saga.Result{}, nil)

		// The loser ends, and takes over what the winner came to.
		atHigh.end(saga.Result{}, err)
		_, _, err = th.begin(t.Context(), key(low, saga.Initiator))
		wantBusy(t, err)
		time.AfterFunc(time.Minute, func() { in.end(saga.Result{Converged: true}, nil) })
		result, ok, err := th.outcome(t.Context(), key(low, saga.Responder), begin)
		if !ok || err != nil || !result.Converged {
			t.Errorf("outcome %+v, %t, %v", result, ok, err)
		}
		atLow.end(saga.Result{}, nil)
		tl.close()
		th.close()
	})
}

func TestOutcomeOfASagaThatIsStillToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, begin := newSagas(high), time.Now()
		if _, ok, err := table.outcome(t.Context(), key(low, saga.Responder), begin); ok || err != nil {
			t.Errorf("outcome of nothing: %t, %v", ok, err)
		}
		time.AfterFunc(time.Second, func() {
			_, other := mustBegin(t, table, key("c", saga.Responder))
			_, in := mustBegin(t, table, key(low, saga.Responder))
			in.end(saga.Result{}, errClosing)
			other.end(saga.Result{}, nil)
		})
		begin = time.Now()
		if _, ok, err := table.outcome(t.Context(), key(low, saga.Responder), begin); ok || err != nil {
			t.Errorf("outcome of a saga that failed: %t, %v", ok, err)
		}
		if waited := time.Since(begin); waited > busyAfter {
			t.Errorf("waited %v", waited)
		}
	})
}

// A saga that began before is waited for, but may not know of everything.
func TestOutcomeOfAnEarlierSaga(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newSagas(high)
		_, in := mustBegin(t, table, key(low, saga.Responder))
		time.Sleep(time.Second) // of the bubble's clock
		time.AfterFunc(time.Second, func() { in.end(saga.Result{Converged: true}, nil) })
		begin := time.Now()
		if _, ok, err := table.outcome(t.Context(), key(low, saga.Responder), begin); ok || err != nil {
			t.Errorf("outcome of an earlier saga: %t, %v", ok, err)
		}
		if waited := time.Since(begin); waited != time.Second {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestTooManySagas(t *testing.T) {
	table := newSagas(low)
	var places []*place
	for i := range maxRunning {
		_, p := mustBegin(t, table, key(peer.ID(rune('c'+i)), saga.Responder))
		places = append(places, p)
	}
	_, _, err := table.begin(t.Context(), key(high, saga.Initiator))
	wantBusy(t, err)
	for _, p := range places {
		p.end(saga.Result{}, nil)
	}
	_, p := mustBegin(t, table, key(high, saga.Initiator))
	p.end(saga.Result{}, nil)
}

func TestSagaWaitsForTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newSagas(low)
		for role, patience := range map[saga.Role]time.Duration{saga.Initiator: busyAfter, saga.Responder: 2 * busyAfter} {
			_, first := mustBegin(t, table, key(high, role))
			time.AfterFunc(time.Second, func() { first.end(saga.Result{}, nil) })
			_, second := mustBegin(t, table, key(high, role))
			begin := time.Now()
			_, _, err := table.begin(t.Context(), key(high, role))
			wantBusy(t, err)
			if waited := time.Since(begin); waited != patience {
				t.Errorf("busy after %v, want %v", waited, patience)
			}
			second.end(saga.Result{}, nil)
		}
		// Another peer does not wait.
		_, in := mustBegin(t, table, key(high, saga.Responder))
		_, other := mustBegin(t, table, key("c", saga.Responder))
		other.end(saga.Result{}, nil)
		// Nor does one that is stopped.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var e *saga.Error
		if _, _, err := table.begin(ctx, key(high, saga.Responder)); !errors.As(err, &e) || e.Code != saga.CodeCanceled {
			t.Errorf("error %v, want canceled", err)
		}
		in.end(saga.Result{}, nil)
	})
}

// A peer that begins anew has lost the saga that it began before.
func TestSagaTakesThePlaceOfOneThatWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newSagas(low)
		run, lost := mustBegin(t, table, key(high, saga.Responder))
		go func() {
			<-run.Done()
			lost.end(saga.Result{}, context.Cause(run))
		}()
		begin := time.Now()
		_, next := mustBegin(t, table, key(high, saga.Responder))
		if waited := time.Since(begin); waited != busyAfter || !errors.Is(lost.err, errSuperseded) {
			t.Errorf("begun after %v, the one before ended with %v", waited, lost.err)
		}
		next.end(saga.Result{}, nil)
		table.close()
	})
}

func TestSagasCutAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newSagas(low)
		run := func(p peer.ID) context.Context {
			ctx, place := mustBegin(t, table, key(p, saga.Responder))
			go func() {
				<-ctx.Done()
				place.end(saga.Result{}, nil)
			}()
			return ctx
		}
		cut, other := run(high), run("c")
		table.cut(high)
		if !errors.Is(context.Cause(cut), errUntrusted) || other.Err() != nil {
			t.Errorf("after cut: %v, %v", context.Cause(cut), other.Err())
		}
		table.close()
		if !errors.Is(context.Cause(other), errClosing) {
			t.Errorf("after close: %v", context.Cause(other))
		}
		if _, _, err := table.begin(t.Context(), key(high, saga.Initiator)); !errors.Is(err, errClosing) {
			t.Errorf("begin after close: %v", err)
		}
	})
}

// A share that is to go another way ends the sagas about it that run, and none begins that
// was meant for the way it went.
func TestShareTurnedWhileASagaRuns(t *testing.T) {
	n, err := Open(Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	member := testPeer(t, 1)
	if _, err := n.Trust(t.Context(), member.String()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"turned", "other"} {
		if _, err := n.CreateShare(t.Context(), ShareOptions{Name: name, Members: []string{member.String()}}); err != nil {
			t.Fatal(err)
		}
	}
	before, err := n.shares.byName("turned")
	if err != nil {
		t.Fatal(err)
	}
	other, err := n.shares.byName("other")
	if err != nil {
		t.Fatal(err)
	}
	running, place := mustBegin(t, n.sagas, sagaKey{member, before.scope(nil), saga.Initiator})
	goesOn, beside := mustBegin(t, n.sagas, sagaKey{member, other.scope(nil), saga.Initiator})
	defer beside.end(saga.Result{}, nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-running.Done()
		place.end(saga.Result{}, context.Cause(running))
	}()
	manual := saga.StrategyManual
	if _, err := n.SetShare(t.Context(), "turned", ShareSettings{Strategy: &manual}); err != nil || running.Err() != nil {
		t.Fatalf("another strategy: %v, the saga ended with %v", err, context.Cause(running))
	}
	if _, err := n.SetShare(t.Context(), "turned", ShareSettings{Direction: SendOnly}); err != nil {
		t.Fatal(err)
	}
	if running.Err() == nil {
		t.Fatal("the saga goes on")
	}
	<-ended
	if !errors.Is(context.Cause(running), errTurned) || goesOn.Err() != nil {
		t.Errorf("the saga ended with %v, that of another share with %v", context.Cause(running), context.Cause(goesOn))
	}
	_, err = n.openSaga(t.Context(), peer.AddrInfo{ID: member}, before, nil, nil)
	wantBusy(t, err)
}
