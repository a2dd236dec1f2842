package blockstore

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
)

// A backup begins with backupMagic and the version of its own layout; FORMAT.md
// describes the rest.
const (
	backupMagic   = "ibgib-node backup\n"
	backupVersion = 1
)

// BackupReport tells what a backup holds.
type BackupReport struct {
	Records int   `json:"records"`
	IbGibs  int   `json:"ibgibs"` // blocks, of all shares and the local area
	Bytes   int64 `json:"bytes"`
}

// Backup writes everything that the store has at this moment to out, as one
// stream that Restore reads: blocks, index, pins, peers and the local area. Others
// may go on writing to the store. The stream ends with its hash, so one that is
// cut off or damaged is noticed. progress, if not nil, is called now and then with
// the number of records written.
func (s *Store) Backup(ctx context.Context, out io.Writer, progress func(done int)) (BackupReport, error) {
	w := backupWriter{sum: sha256.New()}
	w.out = bufio.NewWriterSize(io.MultiWriter(out, w.sum), 1<<18)
	var report BackupReport
	err := s.read(func(snap snapshot) error {
		format, _, err := snap.get(keyFormat)
		if err != nil {
			return err
		}
		w.write([]byte(backupMagic))
		w.uvarint(backupVersion)
		w.write(format)
		err = snap.scan(nil, nil, func(key, value []byte) (bool, error) {
			if !inBackup(key) {
				return true, ctx.Err()
			}
			w.record(key, value)
			report.Records++
			if key[0] == prefixBlock {
				report.IbGibs++
			}
			if progress != nil && report.Records%1000 == 0 {
				progress(report.Records)
			}
			if w.err != nil {
				return false, w.err
			}
			return true, ctx.Err()
		})
		if err != nil {
			return err
		}
		w.uvarint(0)
		w.uvarint(uint64(report.Records))
		if err := w.flush(); err != nil {
			return err
		}
		n, err := out.Write(w.sum.Sum(nil))
		w.bytes += int64(n)
		return err
	})
	report.Bytes = w.bytes
	if err != nil {
		return report, fmt.Errorf("backup: %w", err)
	}
	return report, nil
}

// inBackup tells whether a record is part of backups. The format stands at the
// beginning, a restored store gets an epoch of its own, and of a commit that has
// not been applied nothing shows: neither what it has put aside nor, between its
// decision and its end, the decision. Places in the journal are good within an epoch.
func inBackup(key []byte) bool {
	switch key[0] {
	case prefixMeta:
		return string(key) != string(keyFormat) && string(key) != string(keyEpoch) && string(key) != string(keyJournal)
	case prefixStaged, prefixDecided, prefixDecision, prefixJournal:
		return false
	}
	return true
}

// backupWriter writes the parts of a backup; the first fault is kept in err.
type backupWriter struct {
	out   *bufio.Writer
	sum   hash.Hash // of what has been written
	bytes int64
	err   error
}

func (w *backupWriter) write(b []byte) {
	if w.err == nil {
		_, w.err = w.out.Write(b)
		w.bytes += int64(len(b))
	}
}

func (w *backupWriter) uvarint(n uint64) {
	var b [binary.MaxVarintLen64]byte
	w.write(b[:binary.PutUvarint(b[:], n)])
}

func (w *backupWriter) record(key, value []byte) {
	w.uvarint(uint64(len(key)))
	w.write(key)
	w.uvarint(uint64(len(value)))
	w.write(value)
}

func (w *backupWriter) flush() error {
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}
