package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

// Sagas returns the sagas that this node remembers (keptSagas), newest first,
// without their frames.
func (n *Node) Sagas(ctx context.Context) ([]SagaRecord, error) {
	records, err := n.sagaRecords(ctx, func(SagaRecord, ibgib.IbGib) bool { return true })
	if err != nil {
		return nil, fmt.Errorf("node: sagas: %w", err)
	}
	return records, nil
}

// Saga returns one of them with its frames; id is its id or how that begins. It
// fails with blockstore.ErrNotFound if there is none, and with ErrInput if there
// are several.
func (n *Node) Saga(ctx context.Context, id string) (SagaRecord, error) {
	r, err := n.sagaOf(ctx, id)
	if err != nil {
		return r, fmt.Errorf("node: saga %s: %w", shorten(id), err)
	}
	return r, nil
}

func (n *Node) sagaOf(ctx context.Context, id string) (SagaRecord, error) {
	found, err := n.sagaRecords(ctx, func(r SagaRecord, _ ibgib.IbGib) bool {
		return id != "" && strings.HasPrefix(r.SagaID, id)
	})
	switch {
	case err != nil:
		return SagaRecord{}, err
	case len(found) == 0:
		return SagaRecord{}, blockstore.ErrNotFound
	case len(found) > 1:
		return SagaRecord{}, fmt.Errorf("%w: %d sagas begin so; give more of the id", ErrInput, len(found))
	}
	r := found[0]
	g, err := n.store.Get(ctx, r.Addr)
	if err != nil {
		return r, err
	}
	d, err := n.sagaDetails(ctx, g)
	r.Details = &d
	return r, err
}

// sagaDetails reads the lists of a record and the frames below it.
func (n *Node) sagaDetails(ctx context.Context, record ibgib.IbGib) (SagaDetails, error) {
	d := SagaDetails{
		Refusals: refusalsIn(record, "refusals"), PeerRefusals: refusalsIn(record, "peerRefusals"),
		Rejections: []Rejected{}, Frames: []SagaFrame{},
	}
	for _, item := range listIn(record, "rejections") {
		if a, err := ibgib.ParseAddr(textOf(item, "addr")); err == nil {
			d.Rejections = append(d.Rejections, Rejected{Addr: a, Rule: textOf(item, "rule"), Detail: textOf(item, "detail")})
		}
	}
	var err error
	if d.Timelines, err = n.sagaTimelines(ctx, record); err != nil {
		return d, err
	}
	for g, at := record, record.Addr(); ; {
		stage, _ := g.Field("stage")
		d.Frames = append(d.Frames, SagaFrame{Addr: at, Stage: stage.Str()})
		if at, _ = g.LastRel("past"); at.IsZero() {
			break
		}
		if g, err = n.store.Get(ctx, at); err != nil {
			return d, err
		}
	}
	slices.Reverse(d.Frames)
	return d, nil
}

func (n *Node) sagaTimelines(ctx context.Context, record ibgib.IbGib) ([]SagaTimeline, error) {
	list := []SagaTimeline{}
	at := make(map[string]int)
	note := func(name string, mark func(*SagaTimeline)) {
		for _, item := range listIn(record, name) {
			i, there := at[item.Str()]
			if !there {
				i = len(list)
				at[item.Str()] = i
				list = append(list, SagaTimeline{Root: item.Str()})
			}
			mark(&list[i])
		}
	}
	note("differed", func(*SagaTimeline) {})
	note("conflicts", func(t *SagaTimeline) { t.Conflict = true })
	note("aborted", func(t *SagaTimeline) { t.Aborted = true })
	for i := range list {
		root, err := ibgib.ParseHash(list[i].Root)
		if err != nil {
			continue
		}
		_, e, err := n.shares.homeOf(ctx, root)
		if err != nil {
			return nil, err
		}
		list[i].Tjp = e.Root
	}
	return list, nil
}

// isSaga tells the sagas of the local area from the keystones.
func isSaga(e blockstore.Entry) bool { return e.Root.Ib() != keystone.Ib }

// sagaRecords reads the newest frame of each saga in the local area, newest first, and
// returns those that are wanted.
func (n *Node) sagaRecords(ctx context.Context, wanted func(r SagaRecord, frame ibgib.IbGib) bool) ([]SagaRecord, error) {
	var entries []blockstore.Entry
	for e, err := range n.store.View(blockstore.LocalArea).Entries(ctx) {
		if err != nil {
			return nil, err
		}
		if isSaga(e) {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b blockstore.Entry) int { return cmp.Compare(b.Seq, a.Seq) })
	records := []SagaRecord{}
	for _, e := range entries {
		g, err := n.store.Get(ctx, e.Latest)
		if errors.Is(err, blockstore.ErrNotFound) {
			continue // it has just been dropped
		}
		if err != nil {
			return nil, err
		}
		if r := parseSaga(g); wanted(r, g) {
			records = append(records, r)
		}
	}
	return records, nil
}

// parseSaga reads what recordData wrote; what is not there stays zero.
func parseSaga(g ibgib.IbGib) SagaRecord {
	data := g.Data()
	instantOf := func(name string) time.Time {
		t, err := time.Parse(time.RFC3339, textOf(data, name))
		if err != nil {
			return time.Time{}
		}
		return t
	}
	part := func(name, of string) uint64 {
		v, _ := data.Get(name)
		return uint64(numberIn(v, of))
	}
	converged, _ := data.Get("converged")
	r := SagaRecord{
		Addr: g.Addr(), SagaID: textOf(data, "uuid"), Peer: textOf(data, "peer"), Share: textOf(data, "share"), Role: textOf(data, "role"),
		Mode: textOf(data, "mode"), Strategy: textOf(data, "strategy"),
		Began: instantOf("began"), Ended: instantOf("ended"), Converged: converged.Bool(),
		Rounds: int(numberIn(data, "rounds")), Differing: int(numberIn(data, "differing")),
		Sent:      Traffic{IbGibs: part("sent", "ibgibs"), Bytes: part("sent", "bytes")},
		Received:  Traffic{IbGibs: part("received", "ibgibs"), Bytes: part("received", "bytes")},
		Wire:      Wire{Sent: part("wire", "sent"), Received: part("wire", "received")},
		Conflicts: len(listIn(g, "conflicts")), Aborted: len(listIn(g, "aborted")),
		Refused: len(listIn(g, "refusals")), PeerRefused: len(listIn(g, "peerRefusals")),
		Rejected: int(numberIn(data, "refused")), PeerRejected: int(numberIn(data, "peerRefused")),
	}
	if failure, ok := data.Get("error"); ok {
		r.Error = &SagaFailure{Code: textOf(failure, "code"), Text: textOf(failure, "text")}
	}
	return r
}

func textOf(object ibgib.Value, name string) string {
	v, _ := object.Get(name)
	return v.Str()
}

func numberIn(object ibgib.Value, name string) float64 {
	v, _ := object.Get(name)
	return max(v.Number(), 0)
}

func listIn(record ibgib.IbGib, name string) []ibgib.Value {
	v, _ := record.Field(name)
	return v.Items()
}

func refusalsIn(record ibgib.IbGib, name string) []SyncRefusal {
	list := []SyncRefusal{}
	for _, item := range listIn(record, name) {
		list = append(list, SyncRefusal{Hash: textOf(item, "hash"), Rule: textOf(item, "rule"), Detail: textOf(item, "detail")})
	}
	return list
}
