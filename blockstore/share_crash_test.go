package blockstore

import (
	"context"
	"errors"
	"testing"
)

// TestCutDeletingShare cuts the deletion of a share off after every write. The store
// opens, and the share is whole or gone.
func TestCutDeletingShare(t *testing.T) {
	ctx := context.Background()
	all := manyTimelines(t, 13000) // more than fits one batch
	whole, gone := 0, 0
	for cut := 0; ; cut++ {
		engine := &cutKV{kv: newMemoryKV(), left: -1}
		s, err := open(engine, Options{})
		if err != nil {
			t.Fatal(err)
		}
		share, err := s.CreateShare([]byte("name"))
		if err != nil {
			t.Fatal(err)
		}
		for _, put := range []struct {
			share Share
			n     int
		}{{share, len(all)}, {DefaultShare, 100}} {
			if _, _, err := s.Apply(ctx, put.share, Origin{}, all[:put.n]); err != nil {
				t.Fatal(err)
			}
		}
		engine.left = cut
		err = s.DeleteShare(share)
		if err != nil && !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		cutOff := err != nil
		engine.left = -1
		if s, err = open(engine, Options{}); err != nil {
			t.Fatalf("cut after %d writes: %v", cut, err)
		}
		verifyClean(t, s)
		empty, err := s.View(share).Empty(ctx)
		if err != nil {
			t.Fatal(err)
		}
		records, err := s.ShareRecords()
		if err != nil || len(records) == 1 == empty {
			t.Fatalf("cut after %d writes: records %v, %v, empty %t", cut, records, err, empty)
		}
		if empty {
			gone++
		} else {
			whole++
		}
		if !cutOff {
			break
		}
	}
	if whole != 1 || gone == 0 {
		t.Errorf("whole after %d cuts, gone after %d", whole, gone)
	}
}
