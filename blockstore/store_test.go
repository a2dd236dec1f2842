package blockstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
)

var vectors = filepath.Join("..", "timeline", "testdata")

func TestMemory(t *testing.T) {
	blockstoretest.Run(t, vectors, func(t *testing.T) *blockstore.Store {
		s, err := blockstore.OpenMemory(blockstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	})
}

func TestBadger(t *testing.T) {
	blockstoretest.Run(t, vectors, func(t *testing.T) *blockstore.Store {
		return openDir(t, t.TempDir())
	})
}

func openDir(t *testing.T, dir string) *blockstore.Store {
	t.Helper()
	s, err := blockstore.Open(dir, blockstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	openDir(t, dir)
	if _, err := blockstore.Open(dir, blockstore.Options{}); !errors.Is(err, blockstore.ErrInUse) {
		t.Errorf("second open: %v", err)
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	m := blockstoretest.NewMaker(1)
	all := m.Timeline(t, "task")
	blockstoretest.Put(t, s, all...)
	heads := blockstoretest.Heads(t, s)
	epoch := s.Epoch()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openDir(t, dir)
	if s.Epoch() != epoch {
		t.Error("the epoch changed")
	}
	if again := blockstoretest.Heads(t, s); len(again) != len(heads) || len(again) != 1 {
		t.Errorf("heads %v, were %v", again, heads)
	}
	blockstoretest.Put(t, s, m.Mut8(t, blockstoretest.Last(all), "v", "1")...)
	blockstoretest.Clean(t, s)
}

// TestEmptyLogs opens a store in which a killed process left the empty files
// of logs that it was about to begin.
func TestEmptyLogs(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	m := blockstoretest.NewMaker(1)
	blockstoretest.Put(t, s, m.Timeline(t, "task")...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"00077.mem", "000077.vlog"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = openDir(t, dir)
	if heads := blockstoretest.Heads(t, s); len(heads) != 1 {
		t.Errorf("heads %v, want one timeline", heads)
	}
}

// TestMissingManifest takes a file of Badger's away: the store must not be taken
// for an empty one, and nothing more may be lost.
func TestMissingManifest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "odd [name")
	s := openDir(t, dir)
	m := blockstoretest.NewMaker(1)
	blockstoretest.Put(t, s, m.Timeline(t, "task")...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(dir, "MANIFEST")
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(manifest); err != nil {
		t.Fatal(err)
	}
	if _, err := blockstore.Open(dir, blockstore.Options{}); !errors.Is(err, blockstore.ErrCorrupt) {
		t.Fatalf("open without a MANIFEST: %v", err)
	}
	if err := os.WriteFile(manifest, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if heads := blockstoretest.Heads(t, openDir(t, dir)); len(heads) != 1 {
		t.Errorf("heads %v, want one timeline", heads)
	}
}

func TestBudgets(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		blockstoretest.RunBudgets(t, func(t *testing.T, o blockstore.Options) *blockstore.Store {
			s, err := blockstore.OpenMemory(o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		})
	})
	t.Run("Badger", func(t *testing.T) {
		blockstoretest.RunBudgets(t, func(t *testing.T, o blockstore.Options) *blockstore.Store {
			s, err := blockstore.Open(t.TempDir(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		})
	})
}
