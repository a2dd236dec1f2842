package node_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/node"
)

// keptKinds are the kinds of events that the journal keeps.
var keptKinds = []node.EventKind{node.EventMerge, node.EventPeer, node.EventSaga}

// told is what there is to an event, but its ID.
func told(e node.Event) string {
	line := fmt.Sprint(e.Kind, " ", e.Time.UnixNano())
	switch {
	case e.Merge != nil:
		line += fmt.Sprintf(" %+v", *e.Merge)
	case e.Peer != nil:
		line += fmt.Sprint(" ", e.Peer.Change, " ", e.Peer.PeerID, " ", e.Peer.Trusted)
	case e.Saga != nil:
		line += fmt.Sprint(" ", e.Saga.State, " ", e.Saga.SagaID, " ", e.Saga.Peer)
		if e.Saga.Outcome != nil {
			line += fmt.Sprintf(" %+v", *e.Saga.Outcome)
		}
	}
	return line
}

// isTold takes kept events until one is wanted, and returns them.
func isTold(t *testing.T, s *node.Subscription, last func(node.Event) bool) (list []node.Event) {
	t.Helper()
	for {
		e := next(t, s)
		if e.Saga != nil && e.Saga.State == node.SagaProgress {
			continue
		}
		if e.ID == "" {
			t.Errorf("event without id: %s", told(e))
		}
		if list = append(list, e); last(e) {
			return list
		}
	}
}

func sagaEnded(e node.Event) bool { return e.Saga != nil && e.Saga.State == node.SagaEnded }

// What there was of merges, peers and sagas comes again from each event on, also when the
// program has been started again.
func TestKeptEvents(t *testing.T) {
	dir := t.TempDir()
	a, b := openNodeAt(t, dir), startNode(t, overTCP)
	s := subscribe(t, a, node.EventOptions{Kinds: keptKinds})
	list := []node.Event{next(t, s)}
	pair(t, a, b)
	list = append(list, isTold(t, s, func(e node.Event) bool { return e.Peer != nil && e.Peer.Change == node.PeerTrusted })...)
	tjp := begin(t, a, "note")
	for _, text := range []string{"", "a", "b"} {
		if text != "" {
			mut8(t, a, tjp, text)
			mut8(t, b, tjp, text+" too")
		}
		mustSync(t, a, b, node.SyncOptions{})
		list = append(list, isTold(t, s, sagaEnded)...)
	}
	kinds := make(map[node.EventKind]int)
	for _, e := range list {
		kinds[e.Kind]++
		if m := e.Merge; m != nil && (m.Tjp != tjp || m.Share != "" || len(m.Overridden) != 1 || m.OverriddenMore+m.SkippedMore != 0) {
			t.Errorf("merge %+v", m)
		}
	}
	if kinds[node.EventMerge] != 2 || kinds[node.EventSaga] != 6 || kinds[node.EventPeer] == 0 || kinds[node.EventMissed] != 0 {
		t.Fatalf("kinds %v", kinds)
	}
	check := func(what string) {
		t.Helper()
		for i, since := range list {
			s := subscribe(t, a, node.EventOptions{Since: since.ID, Kinds: keptKinds})
			if e := next(t, s); e.Kind != node.EventReady || e.ID != since.ID {
				t.Fatalf("%s: first event %+v", what, e)
			}
			for _, want := range list[i+1:] {
				if e := next(t, s); told(e) != told(want) || e.ID != want.ID {
					t.Errorf("%s since %s: %s %s, want %s %s", what, since.ID, e.ID, told(e), want.ID, told(want))
				}
			}
			nothing(t, s)
			s.Close()
		}
	}
	check("at first")
	epoch, _, _ := strings.Cut(list[0].ID, "-")
	for _, kind := range keptKinds { // one at a time, and since an ID of before there was a journal
		s := subscribe(t, a, node.EventOptions{Since: epoch + "-0", Kinds: []node.EventKind{kind}})
		next(t, s)
		for range kinds[kind] {
			if e := next(t, s); e.Kind != kind {
				t.Errorf("event %s, want %s", told(e), kind)
			}
		}
		nothing(t, s)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = openNodeAt(t, dir)
	check("after a restart")
}

// A merge in a named share bears its name, and is left out when the share has been deleted.
func TestKeptMergeOfShare(t *testing.T) {
	a, b := openNode(t), startNode(t, overTCP)
	pair(t, a, b)
	share(t, "family", a, b)
	tjp := createIn(t, a, "family", "note").Tjp
	mustSync(t, a, b, node.SyncOptions{Share: "family"})
	set(t, a, tjp, "a")
	set(t, b, tjp, "b")
	since := next(t, subscribe(t, a, node.EventOptions{})).ID
	mustSync(t, a, b, node.SyncOptions{Share: "family"})
	merges := func() *node.Subscription {
		s := subscribe(t, a, node.EventOptions{Since: since, Kinds: []node.EventKind{node.EventMerge}})
		next(t, s)
		return s
	}
	if e := next(t, merges()); e.Merge == nil || e.Merge.Tjp != tjp || e.Merge.Share != "family" {
		t.Errorf("event %+v", e.Merge)
	}
	if err := a.DeleteShare(t.Context(), "family"); err != nil {
		t.Fatal(err)
	}
	nothing(t, merges())
}

// What is told before the node is closed is kept.
func TestKeptWhileClosing(t *testing.T) {
	dir := t.TempDir()
	n := openNodeAt(t, dir)
	other := openNode(t).PeerID().String()
	since := next(t, subscribe(t, n, node.EventOptions{})).ID
	if _, err := n.Trust(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if err := n.Untrust(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	s := subscribe(t, openNodeAt(t, dir), node.EventOptions{Since: since})
	next(t, s)
	var got []node.PeerChange
	for range 2 {
		if e := next(t, s); e.Peer != nil && e.Peer.PeerID == other {
			got = append(got, e.Peer.Change)
		}
	}
	if !slices.Equal(got, []node.PeerChange{node.PeerTrusted, node.PeerUntrusted}) {
		t.Errorf("changes %v", got)
	}
	nothing(t, s)
}
