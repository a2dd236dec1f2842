package blockstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// badgerOptions are settings for a laptop: little memory, small values in the
// tree, every write synced. A batch of maxBatchBytes must fit one transaction,
// which Badger limits to 15 % of a memtable.
func badgerOptions(dir string, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithLogger(badgerLog{log}).
		WithSyncWrites(true).
		WithMemTableSize(32 << 20).
		WithNumMemtables(2).
		WithNumLevelZeroTables(4).
		WithNumLevelZeroTablesStall(12).
		WithBlockCacheSize(16 << 20).
		WithIndexCacheSize(32 << 20).
		WithNumCompactors(2).
		WithValueThreshold(bigValue).
		WithValueLogFileSize(256 << 20). // above the largest block, which one value must hold
		WithCompression(options.Snappy).
		WithDetectConflicts(false). // the Store has one writer
		WithMetricsEnabled(false)
}

// badgerKV is the engine on disk.
type badgerKV struct {
	db     *badger.DB
	writes atomic.Uint64
}

func openBadger(dir string, log *slog.Logger) (*badgerKV, error) {
	if err := removeEmptyLogs(dir); err != nil {
		return nil, err
	}
	if err := checkManifest(dir); err != nil {
		return nil, err
	}
	db, err := badger.Open(badgerOptions(dir, log))
	if err != nil {
		if err := writable(dir); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("open Badger in %s: %w", dir, err)
	}
	return &badgerKV{db: db}, nil
}

// writable fails with ErrReadOnly where a file cannot be made. Badger does not tell that
// from other failures.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, "writable-*")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// removeEmptyLogs removes log files of length 0. Badger creates a log and then
// gives it its length; a process that is killed in between leaves a file that
// holds nothing, and that Badger 4.9.6 refuses to open (its issue 2207).
func removeEmptyLogs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if ext := filepath.Ext(entry.Name()); ext != ".mem" && ext != ".vlog" {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Size() > 0 {
			continue
		}
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// checkManifest refuses a folder with Badger's data but without its MANIFEST.
// Badger, which writes the MANIFEST first, would take the folder for a new one
// and remove all tables.
func checkManifest(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	data := ""
	for _, entry := range entries {
		switch {
		case entry.Name() == badger.ManifestFilename:
			return nil
		case filepath.Ext(entry.Name()) == ".sst", filepath.Ext(entry.Name()) == ".vlog", filepath.Ext(entry.Name()) == ".mem":
			data = entry.Name()
		}
	}
	if data != "" {
		return fmt.Errorf("%w: %s has data (%s) but the file %s is missing; restore it, or the whole store from a backup",
			ErrCorrupt, dir, data, badger.ManifestFilename)
	}
	return nil
}

func (k *badgerKV) close() error { return k.db.Close() }

func (k *badgerKV) write(b *batch) error {
	txn := k.db.NewTransaction(true)
	defer txn.Discard()
	entries := make([]badger.Entry, len(b.ops))
	for i, o := range b.ops {
		var err error
		if o.remove {
			err = txn.Delete(o.key)
		} else {
			entries[i].Key, entries[i].Value = o.key, o.value
			err = txn.SetEntry(&entries[i])
		}
		if err != nil {
			return err
		}
	}
	err := txn.Commit()
	k.writes.Add(1)
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

func (k *badgerKV) snapshot() snapshot {
	return &badgerSnapshot{txn: k.db.NewTransaction(false)}
}

// maintain rewrites one value log file that is mostly dead, and reports
// whether it found one.
func (k *badgerKV) maintain() (bool, error) {
	err := k.db.RunValueLogGC(0.5)
	if errors.Is(err, badger.ErrNoRewrite) || errors.Is(err, badger.ErrRejected) {
		return false, nil
	}
	return err == nil, err
}

type badgerSnapshot struct {
	txn *badger.Txn
}

func (s *badgerSnapshot) release() { s.txn.Discard() }

func (s *badgerSnapshot) get(key []byte) ([]byte, bool, error) {
	item, err := s.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	value, err := item.ValueCopy(nil)
	return value, err == nil, err
}

func (s *badgerSnapshot) has(key []byte) (bool, error) {
	_, err := s.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (s *badgerSnapshot) scan(prefix, from []byte, f func(key, value []byte) (bool, error)) error {
	return s.iterate(prefix, from, func(item *badger.Item) (bool, error) {
		more := false
		err := item.Value(func(value []byte) (err error) {
			more, err = f(item.Key(), value)
			return err
		})
		return more, err
	})
}

func (s *badgerSnapshot) scanSmall(prefix, from []byte, limit int, f func(key, value []byte) (bool, error)) error {
	return s.iterate(prefix, from, func(item *badger.Item) (more bool, err error) {
		if item.ValueSize() > int64(limit) {
			return f(item.Key(), nil)
		}
		err = item.Value(func(value []byte) (err error) {
			more, err = f(item.Key(), value)
			return err
		})
		return more, err
	})
}

func (s *badgerSnapshot) scanKeys(prefix, from []byte, f func(key []byte) (bool, error)) error {
	return s.iterate(prefix, from, func(item *badger.Item) (bool, error) {
		return f(item.Key())
	})
}

func (s *badgerSnapshot) iterate(prefix, from []byte, f func(*badger.Item) (bool, error)) error {
	opts := badger.DefaultIteratorOptions
	opts.Prefix = prefix
	opts.PrefetchValues = false // the values lie beside their keys, or are large
	if bytes.Compare(from, prefix) < 0 {
		from = prefix
	}
	it := s.txn.NewIterator(opts)
	defer it.Close()
	for it.Seek(from); it.Valid(); it.Next() {
		more, err := f(it.Item())
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// badgerLog passes Badger's log on. Badger's "info" is chatter about its own
// levels, so it arrives as debug.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(f string, a ...any)   { l.log.Error(badgerText(f, a)) }
func (l badgerLog) Warningf(f string, a ...any) { l.log.Warn(badgerText(f, a)) }
func (l badgerLog) Infof(f string, a ...any)    { l.log.Debug(badgerText(f, a)) }
func (l badgerLog) Debugf(f string, a ...any)   { l.log.Debug(badgerText(f, a)) }

func badgerText(format string, args []any) string {
	return "badger: " + string(bytes.TrimSpace(fmt.Appendf(nil, format, args...)))
}
