package saga_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/saga"
)

// narrow is a space that takes so many bytes from a peer that no timeline has yet.
func narrow(t *testing.T, seed uint64, budget int64) *space {
	t.Helper()
	s := newSpace(t, seed)
	s.store.Close()
	var err error
	if s.store, err = s.disk.Open(blockstore.Options{PeerBudget: budget}); err != nil {
		t.Fatal(err)
	}
	s.View = s.store.View(blockstore.DefaultShare)
	return s
}

// meet runs a saga and returns the errors of both sides.
func meet(t *testing.T, a, b *space, strategy saga.Strategy) (ra, rb saga.Result, errA, errB *saga.Error) {
	t.Helper()
	ca, cb := saga.Pipe(1 << 20)
	from := a.config(saga.Initiator, ca)
	from.Strategy = strategy
	ra, rb, ea, eb := runConfigs(t.Context(), from, b.config(saga.Responder, cb))
	errors.As(ea, &errA)
	errors.As(eb, &errB)
	a.verify()
	b.verify()
	return ra, rb, errA, errB
}

// A sync of more than the receiving side takes at once gets there in several goes,
// each of which keeps the timelines that are whole, whoever begins it.
func TestMoreThanTheBudget(t *testing.T) {
	for _, receiver := range []saga.Role{saga.Initiator, saga.Responder} {
		t.Run(receiver.String(), func(t *testing.T) {
			const budget, timelines = 300 << 10, 12
			from, to := newSpace(t, 1), narrow(t, 2, budget)
			for i := range timelines {
				from.attach(from.create(fmt.Sprint("timeline ", i), nil), make([]byte, 80<<10+i))
			}
			a, b := from, to
			if receiver == saga.Initiator {
				a, b = to, from
			}
			sagas, received := 0, uint64(0)
			for had := 0; ; had = len(to.heads()) {
				ra, rb, errA, errB := meet(t, a, b, saga.StrategyManual)
				own, here, there := rb, errB, errA
				if receiver == saga.Initiator {
					own, here, there = ra, errA, errB
				}
				if sagas++; sagas > timelines {
					t.Fatal("no end")
				}
				received += own.Received.IbGibs
				if here == nil && there == nil && own.Converged {
					break
				}
				if here == nil || here.Code != saga.CodeLimit || !here.Retry || here.Remote || !errors.Is(here, blockstore.ErrPeerBudget) || !own.Committed {
					t.Fatalf("the receiving side: %v, %+v", here, own)
				}
				if there == nil || there.Code != saga.CodeLimit || !there.Retry || !there.Remote {
					t.Fatalf("the sending side: %v", there)
				}
				if len(to.heads()) <= had {
					t.Fatalf("%d heads after a go that began with %d", len(to.heads()), had)
				}
				if used := to.store.Loose("peer"); used > budget {
					t.Errorf("%d bytes count, the budget is %d", used, budget)
				}
			}
			if sagas < 3 || !sameHeads(from.heads(), to.heads()) {
				t.Errorf("%d sagas, %d heads", sagas, len(to.heads()))
			}
			t.Logf("%d sagas brought %d ibGibs of %d", sagas, received, from.blocks())
		})
	}
}

// One timeline that is larger than the budget does not come, and nothing else is hurt.
func TestTimelineLargerThanTheBudget(t *testing.T) {
	from, to := newSpace(t, 1), narrow(t, 2, 100<<10)
	frame := from.create("large", nil)
	for i := range 5 {
		frame = from.attach(frame, make([]byte, 50<<10+i))
	}
	for range 3 {
		_, _, errA, errB := meet(t, from, to, saga.StrategyManual)
		if errB == nil || errB.Code != saga.CodeLimit || errA == nil || errA.Code != saga.CodeLimit || !errA.Remote {
			t.Fatalf("%v, %v", errA, errB)
		}
	}
	if used := to.store.Loose("peer"); used > 100<<10 || len(to.heads()) > 0 {
		t.Errorf("%d bytes count, %d heads", used, len(to.heads()))
	}
}

// With the strategy abort nothing moves before it is known what has diverged.
func TestMoreThanTheBudgetWithAbort(t *testing.T) {
	from, to := newSpace(t, 1), narrow(t, 2, 200<<10)
	for i := range 4 {
		from.attach(from.create(fmt.Sprint("timeline ", i), nil), make([]byte, 80<<10+i))
	}
	_, rb, errA, errB := meet(t, from, to, saga.StrategyAbort)
	if errB == nil || errB.Code != saga.CodeLimit || errB.Retry || errA == nil || errA.Retry || rb.Committed || len(to.heads()) > 0 {
		t.Errorf("%v, %v, %+v, %d heads", errA, errB, rb, len(to.heads()))
	}
}
