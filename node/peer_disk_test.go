package node_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
)

// A node that takes little from one peer at a time gets everything all the same: its
// own syncs go on by themselves, those of the other side say that they have to.
func TestPeerDisk(t *testing.T) {
	const notes = 12
	full := startNode(t, overTCP)
	for i := range notes {
		if _, err := full.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{
			Ib: fmt.Sprint("note ", i), Data: ibgib.Object(ibgib.Member{Name: "text", Value: ibgib.String(strings.Repeat("x", 80<<10))}),
		}); err != nil {
			t.Fatal(err)
		}
	}
	narrow := func() *node.Node {
		t.Helper()
		n, err := node.Open(node.Config{Data: t.TempDir(), Listen: []string{overTCP}, Limits: node.Limits{PeerDisk: 400 << 10}, Live: node.Live{Off: true}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		pair(t, n, full)
		return n
	}

	pulls := narrow()
	res, err := pulls.Sync(t.Context(), addrOf(t, full), nil)
	if err != nil || !res.Converged || res.Received.IbGibs < 2*notes || !reflect.DeepEqual(headsOf(t, pulls), headsOf(t, full)) {
		t.Errorf("begun by the one that takes little: %+v, %v", res, err)
	}

	takes := narrow()
	goes := 0
	for ; goes < notes; goes++ {
		res, err = full.Sync(t.Context(), addrOf(t, takes), nil)
		if err == nil {
			break
		}
		wantCode(t, err, saga.CodeLimit, true)
		peers, err := takes.Peers(t.Context())
		if err != nil || len(peers) != 1 || peers[0].Unfinished <= 0 || peers[0].Unfinished > 400<<10 {
			t.Errorf("peers %+v, %v", peers, err)
		}
		mustVerify(t, takes)
	}
	if goes < 2 || !res.Converged || !reflect.DeepEqual(headsOf(t, takes), headsOf(t, full)) {
		t.Errorf("begun by the other: %d goes, %+v", goes, res)
	}
}
