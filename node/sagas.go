package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// sagas is the table of running sagas: with each peer and about each scope at
// most one that it began and one that this node began, and of two that begin at
// once the one of the lower peer id goes on.
type sagas struct {
	self peer.ID

	mu      sync.Mutex
	closed  bool
	running map[sagaKey]*place
	began   chan struct{}  // closed and replaced when a saga takes its place
	join    sync.WaitGroup // one for each place
}

type sagaKey struct {
	peer  peer.ID
	scope string    // see share.scope
	role  saga.Role // of this node
}

// scope names what a saga is about, of this share: "" is the default share, whole.
func (s *share) scope(roots []ibgib.Hash) string { return s.ID + scopeOf(roots) }

// scopeOf names some timelines; "" is all.
func scopeOf(roots []ibgib.Hash) string {
	if len(roots) == 0 {
		return ""
	}
	roots = slices.SortedFunc(slices.Values(roots), func(a, b ibgib.Hash) int { return bytes.Compare(a[:], b[:]) })
	sum := sha256.New()
	for _, root := range slices.Compact(roots) {
		sum.Write(root[:])
	}
	return string(sum.Sum(nil))
}

// place is that of one running saga.
type place struct {
	table  *sagas
	key    sagaKey
	began  time.Time
	cancel context.CancelCauseFunc
	ended  chan struct{} // closed when it is given back

	// How the saga ended; valid when ended is closed.
	result saga.Result
	err    error
}

// end gives the place back.
func (p *place) end(result saga.Result, err error) {
	p.result, p.err = result, err
	p.table.mu.Lock()
	delete(p.table.running, p.key)
	p.table.mu.Unlock()
	p.cancel(nil)
	close(p.ended)
	p.table.join.Done()
}

// maxRunning bounds the sagas of this node, those that peers began included.
const maxRunning = 32

// busyAfter is how long a saga waits for the one before it with the same peer,
// which may have to tidy up on this side when the other has seen its end; and
// how long one that was told that another is running waits to see that one.
const busyAfter = 3 * time.Second

// What ends a running saga from outside.
var (
	errUntrusted  = errors.New("trust was withdrawn")
	errClosing    = errors.New("the node is closing")
	errSuperseded = errors.New("the other side has begun another one")
	errNoMember   = errors.New("the peer is no member of the share any more")
	errTurned     = errors.New("the direction of the share has been changed")
)

func newSagas(self peer.ID) *sagas {
	return &sagas{self: self, running: make(map[sagaKey]*place), began: make(chan struct{})}
}

// begin takes a place for a saga. It fails with saga.CodeBusy at once if another
// one between the two goes first or too many are running, and after busyAfter if
// the one before has not ended. If both are the peer's, that one is told to end
// first: a peer begins no second one while the first goes on, so it has lost that,
// with its connection or its life, and this side has not heard of it. The context
// returned ends when trust is withdrawn and when the table is closed.
func (t *sagas) begin(ctx context.Context, key sagaKey) (context.Context, *place, error) {
	limit := time.NewTimer(busyAfter)
	defer limit.Stop()
	for told := false; ; {
		run, own, before, err := t.tryBegin(ctx, key)
		if before == nil {
			return run, own, err
		}
		select {
		case <-before.ended:
		case <-limit.C:
			if told || key.role == saga.Initiator {
				return nil, nil, t.busy(key)
			}
			told = true
			before.cancel(errSuperseded)
			limit.Reset(busyAfter)
		case <-ctx.Done():
			return nil, nil, stopped(ctx)
		}
	}
}

func (t *sagas) busy(key sagaKey) error {
	return &saga.Error{Code: saga.CodeBusy, Retry: true, Text: fmt.Sprintf("a saga between %s and %s is running", t.self, key.peer)}
}

func stopped(ctx context.Context) error {
	return &saga.Error{Code: saga.CodeCanceled, Retry: true, Text: "stopped", Err: context.Cause(ctx)}
}

// tryBegin is begin without waiting: before is the place to wait for.
func (t *sagas) tryBegin(ctx context.Context, key sagaKey) (_ context.Context, own, before *place, _ error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, nil, nil, &saga.Error{Code: saga.CodeCanceled, Retry: true, Text: errClosing.Error(), Err: errClosing}
	}
	if before := t.running[key]; before != nil {
		return nil, nil, before, nil
	}
	// Of two that cross the other side decides in the same way.
	cross := sagaKey{key.peer, key.scope, saga.Responder}
	if key.role == saga.Responder {
		cross.role = saga.Initiator
	}
	if t.running[cross] != nil && (key.role == saga.Initiator || t.self < key.peer) {
		return nil, nil, nil, t.busy(key)
	}
	if len(t.running) >= maxRunning {
		return nil, nil, nil, &saga.Error{Code: saga.CodeBusy, Retry: true, Text: "too many sagas are running"}
	}
	run, cancel := context.WithCancelCause(ctx)
	own = &place{table: t, key: key, began: time.Now(), cancel: cancel, ended: make(chan struct{})}
	t.running[key] = own
	close(t.began)
	t.began = make(chan struct{})
	t.join.Add(1)
	return run, own, nil, nil
}

// outcome waits for a running saga to end, or for one to begin within busyAfter
// and to end, and returns how it went. ok is false if there is none, if it failed,
// or if it began before since: then it may not know of what has changed by since. The error
// is that of ctx.
func (t *sagas) outcome(ctx context.Context, key sagaKey, since time.Time) (_ saga.Result, ok bool, _ error) {
	limit := time.NewTimer(busyAfter)
	defer limit.Stop()
	for {
		t.mu.Lock()
		other, began := t.running[key], t.began
		t.mu.Unlock()
		if other != nil {
			select {
			case <-other.ended:
				return other.result, other.err == nil && !other.began.Before(since), nil
			case <-ctx.Done():
				return saga.Result{}, false, stopped(ctx)
			}
		}
		select {
		case <-began:
		case <-limit.C:
			return saga.Result{}, false, nil
		case <-ctx.Done():
			return saga.Result{}, false, stopped(ctx)
		}
	}
}

// wait waits until no saga of a key is running: the node may have begun one by
// itself, which may take its time. The error is that of ctx.
func (t *sagas) wait(ctx context.Context, key sagaKey) error {
	for {
		t.mu.Lock()
		before := t.running[key]
		t.mu.Unlock()
		if before == nil {
			return nil
		}
		select {
		case <-before.ended:
		case <-ctx.Done():
			return stopped(ctx)
		}
	}
}

// count returns how many sagas are running.
func (t *sagas) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.running)
}

// cut ends the running sagas with a peer.
func (t *sagas) cut(p peer.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, place := range t.running {
		if key.peer == p {
			place.cancel(errUntrusted)
		}
	}
}

// cutShare ends the running sagas about a share, with one peer or, if p is empty, with
// all, and waits for them.
func (t *sagas) cutShare(ctx context.Context, sh *share, p peer.ID, cause error) error {
	t.mu.Lock()
	var ending []*place
	for key, place := range t.running {
		if strings.HasPrefix(key.scope, sh.ID) && (p == "" || key.peer == p) {
			place.cancel(cause)
			ending = append(ending, place)
		}
	}
	t.mu.Unlock()
	for _, place := range ending {
		select {
		case <-place.ended:
		case <-ctx.Done():
			return stopped(ctx)
		}
	}
	return nil
}

// close lets no further saga begin, ends those that run and waits for them. A
// saga that is told to end takes seconds at most.
func (t *sagas) close() {
	t.mu.Lock()
	t.closed = true
	for _, place := range t.running {
		place.cancel(errClosing)
	}
	t.mu.Unlock()
	t.join.Wait()
}
