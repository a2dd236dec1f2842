package blockstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
)

// restored opens the store that a backup makes.
func restored(t *testing.T, backup []byte) *blockstore.Store {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "deep", "store")
	if _, err := blockstore.Restore(ctx, dir, bytes.NewReader(backup), nil); err != nil {
		t.Fatal(err)
	}
	s, err := blockstore.Open(dir, blockstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func backup(t *testing.T, s *blockstore.Store) []byte {
	t.Helper()
	var out bytes.Buffer
	report, err := s.Backup(ctx, &out, nil)
	if err != nil || report.Bytes != int64(out.Len()) {
		t.Fatalf("backup of %d bytes: %+v, %v", out.Len(), report, err)
	}
	return out.Bytes()
}

// testBackup restores everything but the epoch.
func testBackup(t *testing.T, s *blockstore.Store) {
	m := NewMaker(30)
	all := m.Timeline(t, "task")
	all = append(all, m.Mut8(t, Last(all), "v", "1")...)
	other := m.Timeline(t, "other")
	large, err := ibgib.NewBytes("large", bytes.Repeat([]byte("large "), 50_000), nil)
	if err != nil {
		t.Fatal(err)
	}
	Put(t, s, append(all[:len(all):len(all)], large)...)
	Put(t, s, other[1:]...) // waits
	if err := s.SetPin(ctx, blockstore.DefaultShare, large.Addr()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Apply(ctx, blockstore.LocalArea, blockstore.Origin{Peer: "a peer"}, m.Timeline(t, "saga")); err != nil {
		t.Fatal(err)
	}
	st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{}) // never committed
	if err != nil {
		t.Fatal(err)
	}
	next := m.Mut8(t, Last(all), "v", "2")
	if _, err := st.Put(ctx, next); err != nil {
		t.Fatal(err)
	}

	first := backup(t, s)
	again := restored(t, first)
	if again.Epoch() == s.Epoch() {
		t.Error("the epoch is the same")
	}
	Clean(t, again)
	for _, share := range []blockstore.Share{blockstore.DefaultShare, blockstore.LocalArea} {
		was, _ := s.View(share).Fingerprint(ctx)
		is, err := again.View(share).Fingerprint(ctx)
		if err != nil || is != was {
			t.Errorf("share %d: another fingerprint (%v)", share, err)
		}
		if !maps.Equal(members(t, s, share), members(t, again, share)) {
			t.Errorf("share %d: other members", share)
		}
	}
	g, err := again.Get(ctx, large.Addr())
	if err != nil || !bytes.Equal(g.Stored(), large.Stored()) {
		t.Errorf("the large ibGib differs (%v)", err)
	}
	if second := backup(t, again); !bytes.Equal(first, second) {
		t.Error("a backup of what was restored differs")
	}
	Put(t, again, append(other[:1:1], next...)...)
	if heads := Heads(t, again); len(heads) != 3 { // the stone too
		t.Errorf("heads %v, want three", heads)
	}
	Clean(t, again)
}

// testBackupBesideWriters backs up while commits of many timelines are under
// way: each is in the backup or not.
func testBackupBesideWriters(t *testing.T, s *blockstore.Store) {
	const rounds, timelines = 4, 400
	m := NewMaker(31)
	var made [rounds][]ibgib.IbGib
	for i := range made {
		for k := range timelines {
			made[i] = append(made[i], m.Timeline(t, fmt.Sprintf("task %d %d", i, k))...)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, gs := range made {
			st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{})
			if err == nil {
				_, err = st.Put(ctx, gs)
			}
			if err == nil {
				_, err = st.Commit(ctx)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	var backups [][]byte
	for range 5 {
		backups = append(backups, backup(t, s))
	}
	wg.Wait()
	for _, b := range append(backups, backup(t, s)) {
		again := restored(t, b)
		if n := Clean(t, again).Timelines; n%timelines != 0 {
			t.Errorf("%d timelines in a backup, want a multiple of %d", n, timelines)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// testDamagedBackup cuts a backup at every length and changes every byte of it:
// it is refused, and nothing is left behind.
func testDamagedBackup(t *testing.T, s *blockstore.Store) {
	m := NewMaker(32)
	Put(t, s, m.Timeline(t, "task")...)
	sound := backup(t, s)
	parent := t.TempDir()
	dir := filepath.Join(parent, "store")
	refused := func(what string, text []byte, want error) {
		t.Helper()
		if _, err := blockstore.Restore(ctx, dir, bytes.NewReader(text), nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
			t.Fatalf("%s: %v are left behind (%v)", what, left, err)
		}
	}
	step := max(1, len(sound)/40) // restoring costs some syncs
	for n := 0; n < len(sound); n += step {
		refused(fmt.Sprintf("cut at %d", n), sound[:n], blockstore.ErrBadBackup)
		bad := bytes.Clone(sound)
		bad[n] ^= 0x41
		if n != versionAt && n != versionAt+1 {
			refused(fmt.Sprintf("changed at %d", n), bad, blockstore.ErrBadBackup)
		}
	}
	refused("cut by one", sound[:len(sound)-1], blockstore.ErrBadBackup)
	refused("longer by one", append(bytes.Clone(sound), 0), blockstore.ErrBadBackup)
	for _, at := range []int{versionAt, versionAt + 1} {
		newer := bytes.Clone(sound)
		newer[at]++
		refused("newer", newer, blockstore.ErrNewer)
	}

	broken := errors.New("broken pipe")
	if _, err := blockstore.Restore(ctx, dir, io.MultiReader(bytes.NewReader(sound[:100]), failingReader{broken}), nil); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
	if _, err := s.Backup(ctx, failingWriter{broken}, nil); !errors.Is(err, broken) {
		t.Errorf("a writer that fails: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := blockstore.Restore(ended, dir, bytes.NewReader(sound), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("restore without time: %v", err)
	}
	if _, err := s.Backup(ended, io.Discard, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("backup without time: %v", err)
	}

	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := blockstore.Restore(ctx, dir, bytes.NewReader(sound), nil); err != nil {
		t.Errorf("restore into an empty folder: %v", err)
	}
	if _, err := blockstore.Restore(ctx, dir, bytes.NewReader(sound), nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("restore over a store: %v", err)
	}
}

// versionAt is where the version stands in a backup, and after it the format.
const versionAt = len("ibgib-node backup\n")

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }
