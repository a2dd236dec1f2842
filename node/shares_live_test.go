package node_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/node"
)

// TestLiveShares keeps shares in step that are made while nodes are connected, and stops
// doing so with a member that is put out.
func TestLiveShares(t *testing.T) {
	nodes := liveNodes(t, 3)
	a, b, c := nodes[0], nodes[1], nodes[2]
	toA, toB, toC := follow(t, a, node.EventHeads), follow(t, b, node.EventHeads), follow(t, c, node.EventHeads)
	connect(t, b, a)
	connect(t, c, a)
	share(t, "family", a, b)
	private := createIn(t, a, "family", "private")
	until(t, toB, shows(private.Addr))
	changed := set(t, b, private.Tjp, "by b")
	until(t, toA, shows(changed.Addr))

	// One that is no member hears of other things only.
	open := createIn(t, a, "", "open")
	until(t, toC, shows(open.Addr))
	if has(t, c, private.Tjp) {
		t.Error("c has what is in a share that it is no member of")
	}
	status, err := a.Status(t.Context())
	if err != nil || len(status.Shares) != 1 || status.Shares[0].Entries != 1 || status.Shares[0].Members != 1 {
		t.Errorf("status %+v, %v", status.Shares, err)
	}

	if _, err := a.RemoveMember(t.Context(), "family", b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	late := set(t, a, private.Tjp, "after that")
	open = createIn(t, a, "", "open too")
	until(t, toB, shows(open.Addr))
	if has(t, b, late.Addr) {
		t.Error("b has what was changed after it was put out")
	}
	if _, err := a.AddMember(t.Context(), "family", b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	until(t, toB, shows(late.Addr))

	if err := b.DeleteShare(t.Context(), "family"); err != nil {
		t.Fatal(err)
	}
	set(t, a, private.Tjp, "without b")
	if has(t, b, private.Tjp) {
		t.Error("a deleted share comes back")
	}
	for _, n := range nodes {
		mustVerify(t, n)
	}
}

// TestLiveSharedTwice changes a timeline that lies in two shares on the node between them:
// what comes by one goes on by the other, at once.
func TestLiveSharedTwice(t *testing.T) {
	nodes := liveNodes(t, 3)
	a, b, c := nodes[0], nodes[1], nodes[2]
	toA, toB, toC := follow(t, a, node.EventHeads), follow(t, b, node.EventHeads), follow(t, c, node.EventHeads)
	connect(t, a, b)
	connect(t, c, b)
	share(t, "one", a, b)
	share(t, "two", b, c)
	made := createIn(t, a, "one", "task")
	until(t, toB, shows(made.Addr))
	if _, err := b.AddToShare(t.Context(), "two", made.Tjp, node.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, toC, shows(made.Addr))
	there := set(t, c, made.Tjp, "by c")
	until(t, toA, shows(there.Addr))
	back := set(t, a, made.Tjp, "by a")
	until(t, toC, shows(back.Addr))
	for _, n := range nodes {
		if tl, err := n.Latest(t.Context(), made.Tjp); err != nil || tl.Latest != back.Addr {
			t.Errorf("latest %+v, %v", tl, err)
		}
		mustVerify(t, n)
	}
}

// TestLiveTakenAgain brings what was kept out of a share and is taken again from a peer
// that is connected, at once, and not with the next sync of everything.
func TestLiveTakenAgain(t *testing.T) {
	nodes := liveNodes(t, 2)
	a, b := nodes[0], nodes[1]
	toB := follow(t, b, node.EventHeads)
	connect(t, b, a)
	share(t, "family", a, b)
	private := createIn(t, a, "family", "private")
	until(t, toB, shows(private.Addr))
	open := createIn(t, a, "", "open")
	until(t, toB, shows(open.Addr))

	if _, err := b.Forget(t.Context(), open.Tjp); err != nil {
		t.Fatal(err)
	}
	if _, err := b.RemoveFromShare(t.Context(), "family", private.Tjp); err != nil {
		t.Fatal(err)
	}
	syncNow(t, b, a, node.SyncOptions{}) // what began before has ended then
	changed, late := set(t, a, open.Tjp, "without b"), set(t, a, private.Tjp, "without b")
	marker := createIn(t, a, "", "marker")
	until(t, toB, shows(marker.Addr))
	if has(t, b, changed.Addr) || has(t, b, late.Addr) {
		t.Error("b takes what it keeps out")
	}
	if why, err := b.Why(t.Context(), private.Tjp); err != nil || !slices.Equal(why.Out, []string{"family"}) {
		t.Errorf("why %+v, %v", why, err)
	}

	if err := b.Remember(t.Context(), open.Tjp); err != nil {
		t.Fatal(err)
	}
	until(t, toB, shows(changed.Addr))
	// Nothing of it need be left.
	if _, err := b.GC(t.Context(), blockstore.GCOptions{Age: -1}, nil); err != nil {
		t.Fatal(err)
	}
	if has(t, b, private.Tjp) {
		t.Error("gc left what no share lists")
	}
	if _, err := b.AddToShare(t.Context(), "family", private.Tjp, node.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, toB, shows(late.Addr))
	if why, err := b.Why(t.Context(), private.Tjp); err != nil || len(why.Out) > 0 {
		t.Errorf("why %+v, %v", why, err)
	}
	for _, n := range nodes {
		mustVerify(t, n)
	}
}

// TestPutBackIntoShare puts back what was taken out of the only share that listed it, from
// what is still stored.
func TestPutBackIntoShare(t *testing.T) {
	n := startNode(t, overTCP)
	for _, name := range []string{"family", "work"} {
		if _, err := n.CreateShare(t.Context(), node.ShareOptions{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	private := createIn(t, n, "family", "private")
	if _, err := n.RemoveFromShare(t.Context(), "family", private.Tjp); err != nil {
		t.Fatal(err)
	}
	if _, err := n.AddToShare(t.Context(), "work", private.Tjp, node.AddOptions{}); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("into another share: %v", err)
	}
	change, err := n.AddToShare(t.Context(), "family", private.Tjp, node.AddOptions{})
	if err != nil || !slices.Equal(change.In, []string{"family"}) {
		t.Errorf("%+v, %v", change, err)
	}
	mustVerify(t, n)
}
