package blockstore_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/ibgib"
)

// TestPeerPinsStayCounted counts what peers have pinned also after a restart.
func TestPeerPinsStayCounted(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	m := blockstoretest.NewMaker(1)
	for round, want := range []int{3, 1, 0} {
		s, err := blockstore.Open(dir, blockstore.Options{PeerPins: 4})
		if err != nil {
			t.Fatal(err)
		}
		st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{Peer: "a peer"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			g := m.Stone(t, "stone", fmt.Sprint(round, i))
			if _, err := st.Put(ctx, []ibgib.IbGib{g}); err != nil {
				t.Fatal(err)
			}
			if err := st.Pin(ctx, []ibgib.Hash{g.Hash()}); err != nil {
				t.Fatal(err)
			}
		}
		if res, err := st.Commit(ctx); err != nil || res.Moved != want {
			t.Errorf("round %d: %d pinned, %v; want %d", round, res.Moved, err, want)
		}
		blockstoretest.Clean(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
