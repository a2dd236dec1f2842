package blockstore

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// What a restore has left that was killed is in nobody's way, and a restore that runs is
// left alone.
func TestRestoreAfterOneThatWasCut(t *testing.T) {
	ctx := t.Context()
	s, err := OpenMemory(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := putAll(s, chain(t, "a", 8)); err != nil {
		t.Fatal(err)
	}
	var backup bytes.Buffer
	if _, err := s.Backup(ctx, &backup, nil); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "store")
	made := filepath.Join(dir+RestoringSuffix, "store")
	if err := os.MkdirAll(made, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(made, "MANIFEST"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}

	running, err := lockFolder(dir + RestoringSuffix)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(ctx, dir, bytes.NewReader(backup.Bytes()), nil); !errors.Is(err, ErrInUse) {
		t.Errorf("beside one that runs: %v", err)
	}
	if _, err := os.Stat(filepath.Join(made, "MANIFEST")); err != nil {
		t.Errorf("what runs was touched: %v", err)
	}
	if err := running.Close(); err != nil {
		t.Fatal(err)
	}

	if _, err := Restore(ctx, dir, bytes.NewReader(backup.Bytes()[:backup.Len()/2]), nil); !errors.Is(err, ErrBadBackup) {
		t.Errorf("half a backup: %v", err)
	}
	for _, path := range []string{dir, dir + RestoringSuffix} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s after a restore that failed: %v", path, err)
		}
	}
	if err := os.MkdirAll(made, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(ctx, dir, bytes.NewReader(backup.Bytes()), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + RestoringSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something is left: %v", err)
	}
	again, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	verifyClean(t, again)
	if got, want := countHeads(t, again), countHeads(t, s); got != want {
		t.Errorf("%d heads, want %d", got, want)
	}
}
