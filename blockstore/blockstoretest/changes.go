package blockstoretest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
)

// apply makes one change of the default share in the name of a peer.
func apply(t *testing.T, s *blockstore.Store, peer string, gs []ibgib.IbGib) {
	t.Helper()
	put, _, err := s.Apply(ctx, blockstore.DefaultShare, blockstore.Origin{Peer: peer}, gs)
	if err != nil {
		t.Fatal(err)
	}
	if len(put.Refused) > 0 {
		t.Fatal(put.Refused[0])
	}
}

// changesSince returns the changes of the default share since a place, each as
// "latest from peer".
func changesSince(t *testing.T, s *blockstore.Store, since blockstore.Place) []string {
	t.Helper()
	var list []string
	for c, err := range s.View(blockstore.DefaultShare).Changes(ctx, since) {
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Origins) != len(c.Heads) {
			t.Fatalf("%d origins of %d heads", len(c.Origins), len(c.Heads))
		}
		line := c.Latest.String()
		for i, o := range c.Origins {
			line += fmt.Sprintf(" %q", o.Peer)
			if len(c.Origins) > 1 && i == c.Newest {
				line += " newest"
			}
		}
		list = append(list, line)
	}
	return list
}

func place(t *testing.T, s *blockstore.Store) blockstore.Place {
	t.Helper()
	p, err := s.View(blockstore.DefaultShare).Place(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// testChanges reads the change log from several places.
func testChanges(t *testing.T, s *blockstore.Store) {
	m := NewMaker(50)
	begin := place(t, s)
	if begin != (blockstore.Place{Epoch: s.Epoch()}) {
		t.Errorf("an empty share is at %v", begin)
	}
	expect := func(since blockstore.Place, want ...string) {
		t.Helper()
		if got := changesSince(t, s, since); !slices.Equal(got, want) {
			t.Errorf("changes since %d:\n%q, want\n%q", since.Seq, got, want)
		}
	}
	expect(begin)

	var lists [3][]ibgib.IbGib
	for i, peer := range []string{"", "peer 1", "peer 2"} {
		lists[i] = m.Timeline(t, fmt.Sprint("task ", i))
		apply(t, s, peer, lists[i])
	}
	line := func(g ibgib.IbGib, from string) string { return fmt.Sprintf("%s %q", g.Addr(), from) }
	one, two := line(Last(lists[1]), "peer 1"), line(Last(lists[2]), "peer 2")
	expect(begin, line(Last(lists[0]), ""), one, two)
	middle := place(t, s)

	// What changes again moves to the end, as it is now.
	for _, peer := range []string{"", "peer 2"} {
		lists[0] = append(lists[0], m.Mut8(t, Last(lists[0]), "v", peer)...)
		apply(t, s, peer, lists[0][len(lists[0])-2:])
	}
	zero := line(Last(lists[0]), "peer 2")
	expect(begin, one, two, zero)
	expect(middle, zero)
	if end := place(t, s); end.Seq != middle.Seq+2 {
		t.Errorf("the log ends at %d, want %d", end.Seq, middle.Seq+2)
	}
	expect(place(t, s))

	// Each head says where it came from.
	base := Last(lists[1])
	before := place(t, s)
	apply(t, s, "peer 2", m.Mut8(t, base, "v", "theirs"))
	ours := m.Mut8(t, base, "v", "ours")
	apply(t, s, "", ours)
	got := changesSince(t, s, before)
	if len(got) != 1 || !slices.Contains([]string{
		fmt.Sprintf("%s %q %q newest", presented(t, s, base), "peer 2", ""),
		fmt.Sprintf("%s %q newest %q", presented(t, s, base), "", "peer 2"),
	}, got[0]) {
		t.Errorf("a diverged timeline shows as %q", got)
	}

	// EntriesOf returns what there is of some.
	roots := []ibgib.Hash{rootOf(t, base), {1}, rootOf(t, Last(lists[2]))}
	entries, err := s.View(blockstore.DefaultShare).EntriesOf(ctx, roots)
	if err != nil || len(entries) != 2 || entries[0].Root != roots[0] || len(entries[0].Heads) != 2 ||
		!slices.Equal(entries[1].Heads, []ibgib.Hash{Last(lists[2]).Hash()}) {
		t.Errorf("entries %v, %v", entries, err)
	}

	// A place of another log is none of this one.
	other := begin
	other.Epoch[0]++
	beyond := place(t, s)
	beyond.Seq++
	for _, p := range []blockstore.Place{other, beyond} {
		for _, err := range s.View(blockstore.DefaultShare).Changes(ctx, p) {
			if !errors.Is(err, blockstore.ErrOtherLog) {
				t.Errorf("changes since %v: %v", p, err)
			}
		}
	}
}

func presented(t *testing.T, s *blockstore.Store, first ibgib.IbGib) ibgib.Addr {
	t.Helper()
	e, ok, err := s.View(blockstore.DefaultShare).Entry(ctx, rootOf(t, first))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	return e.Latest
}

func rootOf(t *testing.T, g ibgib.IbGib) ibgib.Hash {
	t.Helper()
	h, _ := tjpList(t, g)[0].Hash()
	return h
}

// testWatch checks when a watch tells of something.
func testWatch(t *testing.T, s *blockstore.Store) {
	m := NewMaker(51)
	view := s.View(blockstore.DefaultShare)
	moved, stop := view.Watch()
	told := func() bool {
		select {
		case _, ok := <-moved:
			return ok
		default:
			return false
		}
	}
	if told() {
		t.Error("a watch tells of what was before")
	}
	var gs []ibgib.IbGib
	for i := range 5 {
		all := m.Timeline(t, fmt.Sprint("task ", i))
		apply(t, s, "", all)
		gs = append(gs, all...)
	}
	if !told() || told() {
		t.Error("five commits are not told of once")
	}
	apply(t, s, "", gs)
	if _, _, err := s.Apply(ctx, blockstore.LocalArea, blockstore.Origin{}, m.Timeline(t, "saga")); err != nil {
		t.Fatal(err)
	}
	if told() {
		t.Error("told, though no head of the share has moved")
	}
	stop()
	apply(t, s, "", m.Timeline(t, "another"))
	if told() {
		t.Error("told after the watch was stopped")
	}
	stop()

	// A watch of all shares tells of each of them, but not of the local area.
	moved, stop = s.WatchAll()
	for _, share := range []blockstore.Share{blockstore.DefaultShare, 7, blockstore.LocalArea} {
		if _, _, err := s.Apply(ctx, share, blockstore.Origin{}, m.Timeline(t, fmt.Sprint("in ", share))); err != nil {
			t.Fatal(err)
		}
		if got, want := told(), share != blockstore.LocalArea; got != want {
			t.Errorf("share %d: told %t, want %t", share, got, want)
		}
	}
	stop()

	// A watch and the change log together miss nothing.
	const changes = 200
	since := place(t, s)
	moved, stop = view.Watch()
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range changes {
			apply(t, s, "", m.Timeline(t, fmt.Sprint("beside ", i)))
		}
	})
	seen := 0
	for seen < changes {
		<-moved
		for c, err := range view.Changes(ctx, since) {
			if err != nil {
				t.Fatal(err)
			}
			seen++
			since.Seq = c.Seq
		}
	}
	wg.Wait()
	if seen != changes {
		t.Errorf("%d changes seen, want %d", seen, changes)
	}
	for told() {
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-moved; ok {
		t.Error("a watch goes on after the store was closed")
	}
	moved, stop = view.Watch()
	if _, ok := <-moved; ok {
		t.Error("a watch of a closed store tells of something")
	}
	stop()
}
