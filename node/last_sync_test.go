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
	l, main := newLastSyncs(), []string{""}
	if last := l.of(a, main, recorded["a"]); last == nil || last.SagaID != "2" || last.Error != "no progress" || last.Code != "timeout" || last.Converged {
		t.Errorf("from the records %+v", last)
	}
	l.note(b, "", at, saga.Result{}, &saga.Error{Code: saga.CodeBusy})
	if last := l.of(b, main, recorded["b"]); last != nil {
		t.Errorf("after one that had to wait %+v", last)
	}
	l.note(a, "", at, saga.Result{Converged: true}, nil)
	if last := l.of(a, main, recorded["a"]); last.Error != "" || !last.Converged || !last.Ended.Equal(at.Truncate(time.Second)) {
		t.Errorf("after one that went well %+v", last)
	}
	l.note(a, "", at, saga.Result{Converged: true}, &saga.Error{Code: saga.CodeUnreachable, Text: "gone"})
	if last := l.of(a, main, nil); last.Error != "gone" || last.Code != "unreachable" || last.Converged {
		t.Errorf("after one that failed %+v", last)
	}
	l.forget(a)
	if last := l.of(a, main, nil); last != nil {
		t.Errorf("after trust has ended %+v", last)
	}
}

// A share that fails hides none of what the others do, nor do they hide it, until it goes
// well or is none with that peer any more.
func TestLastSyncOfShares(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := peer.ID("a")
	l, both := newLastSyncs(), []string{"", "family"}
	l.note(p, "family", at, saga.Result{}, &saga.Error{Code: saga.CodeRefused, Text: "no such share", Remote: true})
	l.note(p, "", at.Add(time.Second), saga.Result{Converged: true}, nil)
	if last := l.of(p, both, nil); last.Share != "family" || last.Code != "refused" || last.Error != "the other side: no such share" || last.stranger {
		t.Errorf("after a share that failed %+v", last)
	}
	if last := l.of(p, []string{""}, nil); last.Share != "" || last.Error != "" || !last.Converged {
		t.Errorf("without that share %+v", last)
	}
	l.note(p, "", at.Add(2*time.Second), saga.Result{}, &saga.Error{Code: saga.CodeUntrusted, Text: "not trusted", Remote: true})
	if last := l.of(p, both, nil); last.Share != "" || last.Code != "untrusted" || !last.stranger {
		t.Errorf("when all fails %+v", last)
	}
	l.note(p, "", at.Add(3*time.Second), saga.Result{Converged: true}, nil)
	l.note(p, "family", at.Add(4*time.Second), saga.Result{Converged: true}, nil)
	if last := l.of(p, both, nil); last.Share != "family" || last.Error != "" || !last.Ended.Equal(at.Add(4*time.Second)) {
		t.Errorf("when all goes well %+v", last)
	}
}
