package blockstore

import (
	"bytes"
	"context"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// tapKV calls after when a write is done.
type tapKV struct {
	kv
	after func()
}

func (k *tapKV) write(b *batch) error {
	err := k.kv.write(b)
	k.after()
	return err
}

// TestBackupBetweenWrites takes a backup after each write of a commit that is
// decided by one write and applied by later ones. Each backup has all of the
// commit or nothing, and verifies.
func TestBackupBetweenWrites(t *testing.T) {
	const timelines = maxInlineEntries + 50
	ctx := context.Background()
	engine := &tapKV{kv: newMemoryKV(), after: func() {}}
	s, err := open(engine, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // layers are written beside the writer
	var backups [][]byte
	decided := 0
	engine.after = func() {
		if !s.gate.TryRLock() {
			return // the commit is being applied: no snapshot is taken
		}
		s.gate.RUnlock()
		var out bytes.Buffer
		_, err := s.Backup(ctx, &out, nil)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Error(err)
		}
		backups = append(backups, out.Bytes())
		snap := engine.snapshot()
		defer snap.release()
		if err := snap.scanKeys([]byte{prefixDecision}, nil, func([]byte) (bool, error) {
			decided++
			return false, nil
		}); err != nil {
			t.Error(err)
		}
	}
	if err := putAll(s, manyTimelines(t, timelines)); err != nil {
		t.Fatal(err)
	}
	if decided == 0 {
		t.Error("no backup was taken between the decision and its end")
	}
	none, all := 0, 0
	dir := t.TempDir()
	for i, b := range backups {
		to := filepath.Join(dir, strconv.Itoa(i))
		if _, err := Restore(ctx, to, bytes.NewReader(b), nil); err != nil {
			t.Fatal(err)
		}
		again, err := Open(to, Options{})
		if err != nil {
			t.Fatal(err)
		}
		verifyClean(t, again)
		switch n := countHeads(t, again); n {
		case 0:
			none++
		case timelines:
			all++
		default:
			t.Errorf("backup %d has %d heads of %d", i, n, timelines)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if none == 0 || all == 0 {
		t.Errorf("%d backups before the commit, %d after it: want some of both", none, all)
	}
}
