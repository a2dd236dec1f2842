package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// subscribeTo begins a subscription, and takes its first event.
func subscribeTo(t *testing.T, n *Node, o EventOptions) *Subscription {
	t.Helper()
	s, err := n.Subscribe(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if e := nextOf(t, s); e.Kind != EventReady {
		t.Fatalf("first event %+v", e)
	}
	return s
}

func nextOf(t *testing.T, s *Subscription) Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e, err := s.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func openAt(t *testing.T, dir string) *Node {
	t.Helper()
	n, err := Open(Config{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func sagaText(t *testing.T, id string) []byte {
	t.Helper()
	text, err := json.Marshal(kept{Event: Event{Kind: EventSaga, Saga: &SagaEvent{State: SagaEnded, SagaID: id}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What the journal has no room for any more is counted, for those who want it; what it
// should not have is passed over, and counted, too.
func TestMissedEvents(t *testing.T) {
	n := openAt(t, t.TempDir())
	since := places{epoch: n.store.Epoch()}.id()
	peer := func(change PeerChange) blockstore.JournalEntry {
		text, err := json.Marshal(kept{Event: Event{Kind: EventPeer, Peer: &PeerEvent{Change: change}}})
		if err != nil {
			t.Fatal(err)
		}
		return blockstore.JournalEntry{Log: blockstore.PeerLog, Text: text}
	}
	entries := []blockstore.JournalEntry{peer(PeerConnected)}
	const kept, over = 10_000, 37
	text := sagaText(t, "x")
	for range kept + over {
		entries = append(entries, blockstore.JournalEntry{Log: blockstore.SagaLog, Text: text})
	}
	entries = append(entries, peer(PeerTrusted))
	for _, bad := range []string{
		"{", "{}", "null", string(text), `{"kind":"peer","time":"2026-01-01T00:00:00Z"}`,
		`{"kind":"saga","time":"2026-01-01T00:00:00Z","peer":{"change":"trusted","peerId":"x"}}`,
		`{"id":"5","kind":"peer","time":"2026-01-01T00:00:00Z","peer":{"change":"trusted","peerId":"x"}}`,
	} {
		entries = append(entries, blockstore.JournalEntry{Log: blockstore.PeerLog, Text: []byte(bad)})
	}
	entries = append(entries, peer(PeerUntrusted))
	if err := n.store.AppendJournal(entries); err != nil {
		t.Fatal(err)
	}
	s := subscribeTo(t, n, EventOptions{Since: since, Kinds: []EventKind{EventPeer}})
	for i, want := range []any{PeerConnected, PeerTrusted, uint64(7), PeerUntrusted} {
		e := nextOf(t, s)
		if e.ID == "" || e.Missed == nil && e.Peer.Change != want || e.Missed != nil && e.Missed.Events != want {
			t.Errorf("event %d: %+v, want %v", i, e, want)
		}
	}
	s = subscribeTo(t, n, EventOptions{Since: since, Kinds: []EventKind{EventSaga}})
	e := nextOf(t, s)
	if e.Missed == nil || e.Missed.Events != over {
		t.Fatalf("event %+v", e)
	}
	again := subscribeTo(t, n, EventOptions{Since: e.ID, Kinds: []EventKind{EventSaga}})
	for range kept {
		if e, same := nextOf(t, s), nextOf(t, again); e.Saga == nil || e.ID != same.ID {
			t.Fatalf("events %+v and %+v", e, same)
		}
	}
	for _, s := range []*Subscription{s, again} {
		if e, ok, err := s.Try(t.Context()); ok || err != nil {
			t.Errorf("one more: %+v, %v", e, err)
		}
	}
}

// The progress of a saga comes before its end, has no ID, and is counted if it comes too fast.
func TestProgressIsNotKept(t *testing.T) {
	n := openAt(t, t.TempDir())
	since := places{epoch: n.store.Epoch()}.id()
	s := subscribeTo(t, n, EventOptions{Kinds: []EventKind{EventSaga}})
	const over = 5
	for range eventQueue + over {
		n.events.publish(Event{Kind: EventSaga, Saga: &SagaEvent{State: SagaProgress}})
	}
	n.journal.tell(blockstore.SagaLog, Event{Kind: EventSaga, Saga: &SagaEvent{State: SagaEnded}})
	end := func() (places, error) { return n.ends(t.Context()) }
	for p, err := end(); p.journal[blockstore.SagaLog] == 0; p, err = end() {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range eventQueue {
		if e := nextOf(t, s); e.Saga == nil || e.Saga.State != SagaProgress || e.ID != "" {
			t.Fatalf("event %d: %+v", i, e)
		}
	}
	if e := nextOf(t, s); e.Saga == nil || e.Saga.State != SagaEnded || e.ID == "" {
		t.Errorf("event %+v", e)
	}
	if e := nextOf(t, s); e.Missed == nil || e.Missed.Events != over {
		t.Errorf("event %+v", e)
	}
	if e := nextOf(t, subscribeTo(t, n, EventOptions{Since: since})); e.Saga == nil || e.Saga.State != SagaEnded {
		t.Errorf("first of those that are kept: %+v", e)
	}
}

// A flood of events is no flood of writes: so many are kept, of the others their number.
func TestJournalFlood(t *testing.T) {
	n := openAt(t, t.TempDir())
	s := subscribeTo(t, n, EventOptions{Kinds: []EventKind{EventPeer, EventSaga}})
	n.journal.mu.Lock() // nothing is written meanwhile
	n.journal.waiting[blockstore.PeerLog] = journalQueue - 3
	n.journal.mu.Unlock()
	for i := range 10 {
		n.journal.tell(blockstore.PeerLog, Event{Kind: EventPeer, Peer: &PeerEvent{Peer: Peer{PeerID: fmt.Sprint(i)}}})
	}
	n.journal.tell(blockstore.SagaLog, Event{Kind: EventSaga, Saga: &SagaEvent{State: SagaBegun}})
	got := 0
	for range 5 {
		if e := nextOf(t, s); e.Missed != nil {
			got += 100 * int(e.Missed.Events)
		} else {
			got++
		}
	}
	if got != 704 {
		t.Errorf("%d told, and missed in hundreds", got)
	}
}

// What cannot be written is told all the same, but not kept.
func TestJournalThatFails(t *testing.T) {
	store, err := blockstore.OpenMemory(blockstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	n := openAt(t, t.TempDir())
	s := subscribeTo(t, n, EventOptions{})
	j := newJournal(store, n.events, n.log)
	j.tell(blockstore.PeerLog, Event{Kind: EventPeer, Peer: &PeerEvent{Change: PeerTrusted}})
	j.close()
	j.tell(blockstore.PeerLog, Event{Kind: EventPeer, Peer: &PeerEvent{Change: PeerUntrusted}})
	if e := nextOf(t, s); e.Peer == nil || e.Peer.Change != PeerTrusted || e.ID != "" || e.Time.IsZero() {
		t.Errorf("event %+v", e)
	}
	if e, ok, err := s.Try(t.Context()); ok || err != nil {
		t.Errorf("one more: %+v, %v", e, err)
	}
}

// However large a merge is, its event fits, and says what it leaves out.
func TestKeptMergeIsBounded(t *testing.T) {
	addr := func(ib string) ibgib.Addr {
		a, err := ibgib.ParseAddr(ib + "^" + strings.Repeat("A", 64))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	const count = 1000
	merge := func(ib, value, name string) blockstore.Merge {
		m := blockstore.Merge{Root: addr(ib), Latest: addr(ib)}
		for range count {
			m.Overridden = append(m.Overridden, timeline.Overridden{Path: []string{"data", name}, Lost: ibgib.String(value), LostBy: addr(ib), WonBy: addr(ib)})
			m.Skipped = append(m.Skipped, addr(ib))
		}
		return m
	}
	for name, tc := range map[string]struct {
		m            blockstore.Merge
		least        int // overridden writes that are shown
		lost, leaves int
	}{
		"many":          {merge("a", "value", "text"), 100, 0, 1},
		"large values":  {merge("a", strings.Repeat("x", 1<<20), "text"), 100, 1<<20 + 2, 1},
		"values escape": {merge("a", strings.Repeat("<", 1000), "text"), 5, 0, 1},
		"long names":    {merge("a", "value", strings.Repeat("\x01", 1<<20)), 0, 0, 1},
		"names escape":  {merge("a", "value", strings.Repeat("\x01", 5000)), 1, 0, 1},
		"long ib":       {merge(strings.Repeat("i", 20<<10), "value", "text"), 0, 0, 1},
		"longer ib":     {merge(strings.Repeat("i", 40<<10), "value", "text"), 0, 0, 0},
		"nothing":       {blockstore.Merge{Root: addr("a"), Latest: addr("a")}, 0, 0, 1},
	} {
		at := time.UnixMilli(1_700_000_000_000)
		text := keptMerge(3, at, tc.m)
		if tc.leaves == 0 {
			if text != nil {
				t.Errorf("%s: %d bytes", name, len(text))
			}
			continue
		}
		k, ok := decodeKept(blockstore.JournalRecord{Log: blockstore.MergeLog, Text: text})
		if !ok || len(text) > blockstore.MaxJournalText || k.In != 3 || !k.Time.Equal(at) {
			t.Errorf("%s: %d bytes, %+v", name, len(text), k)
			continue
		}
		m := k.Merge
		if len(m.Overridden)+m.OverriddenMore != len(tc.m.Overridden) || len(m.Skipped)+m.SkippedMore != len(tc.m.Skipped) || len(m.Overridden) < tc.least {
			t.Errorf("%s: %d overridden and %d more, %d skipped and %d more", name, len(m.Overridden), m.OverriddenMore, len(m.Skipped), m.SkippedMore)
		}
		for _, o := range m.Overridden {
			if o.LostBytes != tc.lost || (o.Lost == nil) != (tc.lost > 0) || o.WonBytes != 0 || o.Won != nil {
				t.Errorf("%s: %d bytes lost, %.40s", name, o.LostBytes, o.Lost)
				break
			}
		}
	}
}

func TestPlaces(t *testing.T) {
	epoch := strings.Repeat("0a", 16)
	for _, id := range []string{epoch + "-0", epoch + "-7", epoch + "-7.2-5.13-1", epoch + "-7.m-3", epoch + "-0.4-1.m-1.p-22.s-333"} {
		p, err := parsePlaces(id)
		if err != nil || p.id() != id {
			t.Errorf("%s: %s, %v", id, p.id(), err)
		}
	}
	p, err := parsePlaces(epoch + "-7.p-2.3-4.m-1")
	if want := [3]uint64{1, 2, 0}; err != nil || p.journal != want || p.seqs[3] != 4 || p.seqs[0] != 7 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, id := range []string{epoch + "-7.m", epoch + "-7.m-", epoch + "-7.q-1", epoch + "-7.m-x", epoch + "-7.m--1", "m-1"} {
		if _, err := parsePlaces(id); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v", id, err)
		}
	}
}
