package node

import (
	"errors"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
)

// changed changes a timeline on n, and returns the new frame.
func changed(t *testing.T, n *Node, tjp ibgib.Addr, text string) ibgib.Addr {
	t.Helper()
	c, err := n.Mut8(t.Context(), tjp, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "text", Value: ibgib.String(text)})})
	if err != nil {
		t.Fatal(err)
	}
	return c.Addr
}

func mustSync(t *testing.T, n, with *Node) SyncResult {
	t.Helper()
	res, err := n.Sync(t.Context(), with.Identity().Addrs[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Heads of a timeline that is followed from one keystone come from a peer that has
// proved it, and from no other trusted peer, also after a restart.
func TestFollowFromAKeystone(t *testing.T) {
	dir := t.TempDir()
	open := func() *Node {
		n, err := Open(Config{Data: dir, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Live: Live{Off: true}})
		if err == nil {
			err = n.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a, b, c := open(), reader(t), reader(t)
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, pair := range [][2]*Node{{a, b}, {a, c}, {b, c}} {
		if _, err := pair[1].Accept(t.Context(), invite(t, pair[0])); err != nil {
			t.Fatal(err)
		}
	}
	tjp := writeNote(t, b, "followed")
	other := writeNote(t, b, "other")
	if _, err := a.Follow(t.Context(), other, ibgib.Addr{}); err != nil {
		t.Fatal(err)
	}
	isSound(t, a, other)
	res, err := a.Follow(t.Context(), tjp, b.self.Genesis())
	if err != nil || len(res.Syncs) != 1 || !slices.Equal(res.Peers, []string{b.PeerID().String()}) {
		t.Fatalf("follow: %+v, %v", res, err)
	}
	isSound(t, a, tjp)

	mustSync(t, c, b)
	next, free := changed(t, c, tjp, "by c"), changed(t, c, other, "by c")
	synced := mustSync(t, a, c)
	if !slices.ContainsFunc(synced.Rejected, func(r Rejected) bool { return r.Addr == next && r.Rule == blockstore.RuleBarred }) {
		t.Errorf("what c brings is not kept out: %+v", synced)
	}
	isSound(t, a, tjp)
	isSound(t, a, free)
	mustSync(t, c, a) // the other way round, a is the one that answers
	isSound(t, a, tjp)

	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = open()
	if list, err := a.Follows(t.Context()); err != nil || len(list) != 2 || !slices.Contains(list, res.Follow) {
		t.Errorf("after a restart: %+v, %v", list, err)
	}
	mustSync(t, a, c)
	isSound(t, a, tjp)

	mustSync(t, b, c)
	mustSync(t, a, b)
	isSound(t, a, next)

	last := changed(t, c, tjp, "by c again")
	mustSync(t, a, c)
	isSound(t, a, next)
	if was, err := a.Unfollow(t.Context(), last); err != nil || was != res.Follow {
		t.Errorf("unfollow: %+v, %v", was, err)
	}
	if _, err := a.Unfollow(t.Context(), last); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("unfollow twice: %v", err)
	}
	mustSync(t, a, c)
	isSound(t, a, last)
}
