package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
)

func subscribe(t *testing.T, n *node.Node, o node.EventOptions) *node.Subscription {
	t.Helper()
	s, err := n.Subscribe(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// latest takes so many events of heads and returns the latest frames.
func latest(t *testing.T, s *node.Subscription, count int) (list []ibgib.Addr, id string) {
	t.Helper()
	for range count {
		e := next(t, s)
		if e.Kind != node.EventHeads || e.ID == "" {
			t.Fatalf("event %+v", e)
		}
		list, id = append(list, e.Heads.Latest), e.ID
	}
	return list, id
}

// nothing fails the test if there is another event now.
func nothing(t *testing.T, s *node.Subscription) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if e, err := s.Next(ctx); err == nil {
		t.Errorf("one more event: %+v", e)
	} else if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestEvents(t *testing.T) {
	n := openNode(t)
	a := begin(t, n, "a")
	s := subscribe(t, n, node.EventOptions{})
	ready := next(t, s)
	if ready.Kind != node.EventReady || ready.ID == "" || ready.Time.IsZero() {
		t.Fatalf("first event %+v", ready)
	}
	b := begin(t, n, "b")
	a2 := mut8(t, n, a, "two")
	got, first := latest(t, s, 1)
	more, last := latest(t, s, 1)
	if got = append(got, more...); !slices.Equal(got, []ibgib.Addr{b, a2}) {
		t.Errorf("events of %v", got)
	}
	nothing(t, s)

	// From the beginning, from the first event on, and from the last on.
	epoch, _, _ := strings.Cut(ready.ID, "-")
	for since, want := range map[string][]ibgib.Addr{
		epoch + "-0": {b, a2}, ready.ID: {b, a2}, first: {a2}, last: nil,
	} {
		s := subscribe(t, n, node.EventOptions{Since: since})
		if e := next(t, s); e.Kind != node.EventReady || e.ID != since {
			t.Errorf("since %s: first event %+v", since, e)
		}
		if got, _ := latest(t, s, len(want)); !slices.Equal(got, want) {
			t.Errorf("since %s: events of %v, want %v", since, got, want)
		}
		nothing(t, s)
	}

	// An event of another node, or of what is still to come, tells of the gap.
	for _, since := range []string{strings.Repeat("0", 32) + "-1", epoch + "-999"} {
		s := subscribe(t, n, node.EventOptions{Since: since})
		next(t, s)
		if e := next(t, s); e.Kind != node.EventMissed || !e.Missed.Log || e.ID != last {
			t.Errorf("since %s: %+v", since, e)
		}
		nothing(t, s)
	}
	for _, o := range []node.EventOptions{
		{Since: "x"}, {Since: epoch}, {Since: epoch + "-x"}, {Since: epoch[1:] + "-1"}, {Kinds: []node.EventKind{"other"}},
	} {
		if _, err := n.Subscribe(t.Context(), o); !errors.Is(err, node.ErrInput) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// Of the log of heads nothing gets lost, however slow a subscriber is, but for
// what moved several times; of peers so many events in a short while as the journal takes,
// and of others it is told how many.
func TestSlowSubscriber(t *testing.T) {
	n := openNode(t)
	heads := subscribe(t, n, node.EventOptions{Kinds: []node.EventKind{node.EventHeads}})
	peers := subscribe(t, n, node.EventOptions{Kinds: []node.EventKind{node.EventPeer}})
	next(t, heads)
	next(t, peers)
	const count = 600
	var want []ibgib.Addr
	for i := range count {
		want = append(want, begin(t, n, fmt.Sprint("note ", i)))
	}
	other := openNode(t).PeerID().String()
	for range count / 2 {
		if _, err := n.Trust(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		if err := n.Untrust(t.Context(), other); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := latest(t, heads, count); !slices.Equal(got, want) {
		t.Error("other events than there were")
	}
	nothing(t, heads)
	for told := 0; told < count; {
		e := next(t, peers)
		switch {
		case e.Kind == node.EventMissed && !e.Missed.Log:
			told += int(e.Missed.Events)
		case e.Kind == node.EventPeer:
			told++
		default:
			t.Errorf("event %+v", e)
		}
		if e.ID == "" || told > count {
			t.Errorf("%d events, the last one %+v", told, e)
		}
	}
	nothing(t, peers)
}

func TestEventKinds(t *testing.T) {
	n, _, tjp := diverged(t, saga.StrategyManual)
	epoch, _, _ := strings.Cut(next(t, subscribe(t, n, node.EventOptions{})).ID, "-")
	for _, tc := range []struct {
		kinds []node.EventKind
		want  string // kind of each event, with + if it has an ID
	}{
		{nil, "ready+ conflict heads+"},
		{[]node.EventKind{node.EventHeads}, "ready+ heads+"},
		{[]node.EventKind{node.EventConflict, node.EventPeer}, "ready+ conflict+"},
		{[]node.EventKind{node.EventSaga, node.EventReady}, "ready+"},
	} {
		s := subscribe(t, n, node.EventOptions{Since: epoch + "-0", Kinds: tc.kinds})
		var got []string
		for range strings.Fields(tc.want) {
			e := next(t, s)
			kind := string(e.Kind)
			if e.ID != "" {
				kind += "+"
			}
			if e.Heads != nil && (e.Heads.Tjp != tjp || len(e.Heads.Heads) != 2) {
				t.Errorf("event %+v", e)
			}
			got = append(got, kind)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("events of %q: %q, want %q", tc.kinds, got, tc.want)
		}
		nothing(t, s)
	}
}

func TestSubscriptionsEnd(t *testing.T) {
	n := openNode(t)
	var list []*node.Subscription
	for {
		s, err := n.Subscribe(t.Context(), node.EventOptions{})
		if errors.Is(err, node.ErrSubscribers) {
			break
		}
		if err != nil || len(list) > 1000 {
			t.Fatal(len(list), err)
		}
		next(t, s)
		list = append(list, s)
	}
	list[0].Close()
	list[0].Close()
	if _, err := list[0].Next(t.Context()); !errors.Is(err, node.ErrClosed) {
		t.Errorf("next of a closed subscription: %v", err)
	}
	again := subscribe(t, n, node.EventOptions{})
	next(t, again)
	waiting := make(chan error)
	go func() {
		_, err := again.Next(context.Background())
		waiting <- err
	}()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; !errors.Is(err, node.ErrClosed) {
		t.Errorf("next while the node closes: %v", err)
	}
	if _, err := n.Subscribe(t.Context(), node.EventOptions{}); err == nil {
		t.Error("a subscription to a closed node")
	}
}

// What moves in a named share is told, and told again from an earlier event on, as it is
// of the default share, also by a program that has been started again. A share that has
// been deleted is passed over.
func TestEventsOfShares(t *testing.T) {
	dir := t.TempDir()
	n := openNodeAt(t, dir)
	newShare := func(name string) {
		t.Helper()
		if _, err := n.CreateShare(t.Context(), node.ShareOptions{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	type told struct {
		share  string
		latest ibgib.Addr
	}
	take := func(s *node.Subscription, want ...told) (id string) {
		t.Helper()
		for _, w := range want {
			e := next(t, s)
			if e.Kind != node.EventHeads || e.ID == "" || (told{e.Heads.Share, e.Heads.Latest}) != w {
				t.Fatalf("event %+v, %+v, want %+v", e, e.Heads, w)
			}
			id = e.ID
		}
		nothing(t, s)
		return id
	}
	since := func(id string) *node.Subscription {
		t.Helper()
		s := subscribe(t, n, node.EventOptions{Since: id})
		if e := next(t, s); e.Kind != node.EventReady || e.ID != id {
			t.Fatalf("since %s: first event %+v", id, e)
		}
		return s
	}

	newShare("family")
	before := createIn(t, n, "family", "before").Addr
	s := subscribe(t, n, node.EventOptions{})
	ready := next(t, s).ID
	secret := createIn(t, n, "family", "secret")
	first := take(s, told{"family", secret.Addr})
	open := createIn(t, n, "", "open").Addr
	newShare("club") // while somebody listens
	plan := createIn(t, n, "club", "plan").Addr
	changed := set(t, n, secret.Tjp, "changed").Addr
	last := take(s, told{"", open}, told{"family", changed}, told{"club", plan})

	take(since(ready), told{"", open}, told{"family", changed}, told{"club", plan})
	take(since(first), told{"", open}, told{"family", changed}, told{"club", plan})
	take(since(last))
	epoch, _, _ := strings.Cut(ready, "-")
	take(since(epoch+"-0"), told{"", open}, told{"family", before}, told{"family", changed}, told{"club", plan})

	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = openNodeAt(t, dir)
	take(since(first), told{"", open}, told{"family", changed}, told{"club", plan})
	s = since(last)
	if err := n.DeleteShare(t.Context(), "family"); err != nil {
		t.Fatal(err)
	}
	plan2 := createIn(t, n, "club", "plan 2").Addr
	take(s, told{"club", plan2})
	take(since(first), told{"", open}, told{"club", plan}, told{"club", plan2})

	for _, id := range []string{last + ".", last + ".x-1", last + ".1", last + ".1-x", last + strings.Repeat(".1-1", 300)} {
		if _, err := n.Subscribe(t.Context(), node.EventOptions{Since: id}); !errors.Is(err, node.ErrInput) {
			t.Errorf("%s: %v", id, err)
		}
	}
}
