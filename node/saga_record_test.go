package node

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// A saga that failed is remembered by what had moved, and why it failed.
func TestRecordOfAFailedSaga(t *testing.T) {
	n, err := Open(Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n.now = func() time.Time { return began.Add(90 * time.Second) }
	made, err := n.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "here"})
	if err != nil {
		t.Fatal(err)
	}
	root, _ := made.Tjp.Hash()
	result := saga.Result{
		SagaID: saga.ID{1}, Mode: saga.ModePull, Strategy: saga.StrategyAbort, Rounds: 3,
		Differing: 2, Differed: []ibgib.Hash{root, {0xFF}},
		Received:     saga.Totals{IbGibs: 7, Bytes: 700},
		Wire:         saga.Wire{Sent: 10, Received: 900},
		Conflicts:    []saga.Conflict{{Root: root, Aborted: true}, {Root: ibgib.Hash{0xFE}}},
		Refused:      []timeline.Rejection{{Addr: made.Addr, Rule: "n-not-consecutive", Detail: "7 after 0"}},
		Refusals:     []saga.Refusal{{Hash: ibgib.Hash{2}, Rule: "gib-mismatch", Detail: "foreign \xff" + strings.Repeat("x", 1000)}},
		PeerRefusals: []saga.Refusal{{Hash: ibgib.Hash{3}, Rule: "too-large"}, {Hash: ibgib.Hash{4}}},
		PeerRefused:  5,
	}
	peerID := peer.ID("somebody")
	cut := &saga.Error{Code: saga.CodeTimeout, Text: "no progress", Remote: true}
	n.keepFailure(t.Context(), peerID, n.shares.def, saga.Responder, saga.StrategyOptimistic, began, result, cut)
	n.keepFailure(t.Context(), peerID, n.shares.def, saga.Responder, saga.StrategyOptimistic, began, saga.Result{SagaID: saga.ID{2}}, cut)
	n.keepFailure(t.Context(), peerID, n.shares.def, saga.Initiator, saga.StrategyOptimistic, began, saga.Result{SagaID: saga.ID{3}, Sent: saga.Totals{IbGibs: 1}}, errors.New("disk"))

	list, err := n.Sagas(t.Context())
	if err != nil || len(list) != 2 || list[0].SagaID != (saga.ID{3}).String() || list[0].Error.Code != "internal" || list[0].Details != nil {
		t.Fatalf("%+v, %v; want the two in which something moved", list, err)
	}
	r, err := n.Saga(t.Context(), saga.ID{1}.String())
	if err != nil {
		t.Fatal(err)
	}
	d := *r.Details
	r.Details = nil
	want := SagaRecord{
		SagaID: saga.ID{1}.String(), Addr: r.Addr, Peer: peerID.String(), Role: "responder", Mode: "pull", Strategy: "abort",
		Began: began, Ended: began.Add(90 * time.Second), Error: r.Error, Rounds: 3, Differing: 2,
		Received: Traffic{IbGibs: 7, Bytes: 700}, Wire: Wire{Sent: 10, Received: 900},
		Conflicts: 2, Aborted: 1, Refused: 1, PeerRefused: 2, Rejected: 1, PeerRejected: 5,
	}
	if r != want || *r.Error != (SagaFailure{"timeout", "the other side: no progress"}) {
		t.Errorf("%+v, %+v; want %+v", r, r.Error, want)
	}
	if len(d.Timelines) != 3 || d.Timelines[0] != (SagaTimeline{Root: root.String(), Tjp: made.Tjp, Conflict: true, Aborted: true}) ||
		!d.Timelines[1].Tjp.IsZero() || d.Timelines[1].Conflict || !d.Timelines[2].Conflict || d.Timelines[2].Aborted {
		t.Errorf("timelines %+v", d.Timelines)
	}
	if len(d.Refusals) != 1 || d.Refusals[0].Rule != "gib-mismatch" || !strings.HasPrefix(d.Refusals[0].Detail, "foreign x") || len(d.Refusals[0].Detail) > 210 {
		t.Errorf("refusals %+v", d.Refusals)
	}
	if len(d.PeerRefusals) != 2 || len(d.Rejections) != 1 || d.Rejections[0] != (Rejected{"", made.Addr, "n-not-consecutive", "7 after 0"}) {
		t.Errorf("%+v, %+v", d.PeerRefusals, d.Rejections)
	}
	if len(d.Frames) != 1 || d.Frames[0] != (SagaFrame{r.Addr, "record"}) {
		t.Errorf("frames %+v", d.Frames)
	}
	if _, err := n.Saga(t.Context(), saga.ID{2}.String()); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("a saga in which nothing moved: %v", err)
	}
	report, err := n.Verify(t.Context(), nil)
	if err != nil || len(report.Problems) > 0 || report.Timelines != 1 {
		t.Errorf("verify %+v, %v", report, err)
	}
}
