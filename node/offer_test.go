package node

import (
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

// TestOfferedAtStart lets a node end after a change has entered one share and before it is
// offered to the other one that lists the timeline.
func TestOfferedAtStart(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Data: dir, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Live: Live{Off: true}}
	n, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		if _, err := n.CreateShare(t.Context(), ShareOptions{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	made, err := n.With(ChangeOptions{Share: "one"}).Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "task"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.AddToShare(t.Context(), "two", made.Tjp, AddOptions{}); err != nil {
		t.Fatal(err)
	}
	root, _ := made.Tjp.Hash()
	one, err := n.shares.byName("one")
	if err != nil {
		t.Fatal(err)
	}
	var frame ibgib.IbGib
	if _, _, err := n.store.Change(t.Context(), one.number, root, nil, func(latest ibgib.IbGib) ([]ibgib.IbGib, error) {
		res, err := ibgib.Mut8(latest, ibgib.Mut8Options{
			Patch: ibgib.Object(ibgib.Member{Name: "v", Value: ibgib.String("1")}), NCounter: true, Dna: true,
		}, n.env())
		frame = res.New
		return res.All(), err
	}); err != nil {
		t.Fatal(err)
	}
	latestIn := func(n *Node) ibgib.Addr {
		two, err := n.shares.byName("two")
		if err != nil {
			t.Fatal(err)
		}
		e, _, err := two.view.Entry(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		return e.Latest
	}
	if latestIn(n) == frame.Addr() {
		t.Fatal("it was offered at once")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other share has it", func() bool { return latestIn(n) == frame.Addr() })
}
