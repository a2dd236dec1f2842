package node

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/saga"
)

// What has happened since the start counts before what is on record, and a sync that had
// to wait for another does not count.
func TestLastSync(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	a, b := peer.ID("a"), peer.ID("b")
	recorded := newest([]SagaRecord{
		{SagaID: "2", Peer: "a", Ended: at, Error: &SagaFailure{Code: "timeout", Text: "no progress"}},
		{SagaID: "1", Peer: "a", Ended: at, Converged: true},
	})
	l := newLastSyncs()
	if last := l.of(a, recorded["a"]); last == nil || last.SagaID != "2" || last.Error != "no progress" || last.Converged {
		t.Errorf("from the records %+v", last)
	}
	l.note(b, at, saga.Result{}, &saga.Error{Code: saga.CodeBusy})
	if last := l.of(b, recorded["b"]); last != nil {
		t.Errorf("after one that had to wait %+v", last)
	}
	l.note(a, at, saga.Result{Converged: true}, nil)
	if last := l.of(a, recorded["a"]); last.Error != "" || !last.Converged || !last.Ended.Equal(at.Truncate(time.Second)) {
		t.Errorf("after one that went well %+v", last)
	}
	l.note(a, at, saga.Result{Converged: true}, &saga.Error{Code: saga.CodeUnreachable, Text: "gone"})
	if last := l.of(a, nil); last.Error == "" || last.Converged {
		t.Errorf("after one that failed %+v", last)
	}
	l.forget(a)
	if last := l.of(a, nil); last != nil {
		t.Errorf("after trust has ended %+v", last)
	}
}
