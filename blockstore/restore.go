package blockstore

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ibgib/ibgib-node/ibgib"
)

// RestoringSuffix ends the name of the folder beside a store in which Restore puts it
// together. What is left there when the program is killed is cleared by the next Restore.
const RestoringSuffix = ".restoring"

// Restore makes a new store in the folder dir from what Backup wrote. dir must
// not exist, or be empty. The store is put together in a folder beside dir and
// takes its place when the whole of in has been read and its hash is right: on
// failure there is none. It fails with ErrBadBackup if the stream is damaged, cut
// off or something else, with ErrNewer if a newer program wrote it, with
// ErrDiskFull if it would leave less than DefaultDiskFloor free, and with ErrInUse
// while another Restore of the same dir runs. The store gets a new epoch. progress,
// if not nil, is called now and then with the number of records read.
func Restore(ctx context.Context, dir string, in io.Reader, progress func(done int)) (BackupReport, error) {
	report, err := restore(ctx, dir, in, progress)
	if err != nil {
		return report, fmt.Errorf("blockstore: restore: %w", err)
	}
	return report, nil
}

func restore(ctx context.Context, dir string, in io.Reader, progress func(int)) (report BackupReport, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return report, err
	}
	if err := vacant(dir); err != nil {
		return report, err
	}
	beside := dir + RestoringSuffix
	lock, err := lockFolder(beside)
	if err != nil {
		return report, err
	}
	made := filepath.Join(beside, "store")
	if err = os.RemoveAll(made); err == nil {
		report, err = restoreInto(ctx, made, in, progress)
	}
	if err == nil {
		err = moveTo(dir, made)
	}
	return report, errors.Join(err, lock.Close(), os.RemoveAll(beside))
}

// moveTo puts a folder in the place of dir, which is empty or not there.
func moveTo(dir, folder string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(folder, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// vacant fails if dir is anything but an empty folder or nothing at all.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty: %w", dir, fs.ErrExist)
	}
	return nil
}

// syncDir makes a rename in dir durable, where the system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	d.Sync() // not every system can; then there is nothing to be done about it
	return d.Close()
}

func restoreInto(ctx context.Context, dir string, in io.Reader, progress func(int)) (BackupReport, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return BackupReport{}, err
	}
	engine, err := openBadger(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return BackupReport{}, err
	}
	report, err := readBackup(ctx, engine, newSpace(dir, 0), in, progress)
	return report, errors.Join(err, engine.close())
}

// restoreBytes bounds what a restore collects before it writes.
const restoreBytes = 8 << 20

// readBackup writes the records of a backup to an engine, with a new epoch.
func readBackup(ctx context.Context, engine kv, disk space, in io.Reader, progress func(int)) (BackupReport, error) {
	var report BackupReport
	r := backupReader{in: bufio.NewReaderSize(in, 1<<18), sum: sha256.New()}
	format := r.header()
	b := newBatch()
	size := 0
	write := func() error {
		if err := disk.check(); err != nil {
			return err
		}
		disk.written += size
		err := engine.write(b)
		b.reset()
		size = 0
		return err
	}
	var last []byte
	for r.err == nil {
		key, value := r.record()
		if key == nil {
			break
		}
		if len(last) > 0 && bytes.Compare(key, last) <= 0 {
			r.fail("its records are out of order")
			break
		}
		last = key
		report.Records++
		if key[0] == prefixBlock {
			report.IbGibs++
		}
		b.put(key, value)
		size += len(key) + len(value)
		if b.full(0, 0) || size >= restoreBytes {
			if err := write(); err != nil {
				return report, err
			}
		}
		if err := ctx.Err(); err != nil {
			return report, err
		}
		if progress != nil && report.Records%1000 == 0 {
			progress(report.Records)
		}
	}
	r.trailer(report.Records)
	report.Bytes = r.bytes
	if r.err != nil {
		return report, r.err
	}
	var epoch [16]byte
	rand.Read(epoch[:])
	b.put(keyFormat, binary.AppendUvarint(nil, format))
	b.put(keyEpoch, epoch[:])
	return report, write()
}

// Bounds of a record in a backup.
const (
	maxBackupKey   = 256
	maxBackupValue = ibgib.MaxBytesSize + ibgib.MaxSize + 1<<20
)

// backupReader reads the parts of a backup; the first fault is kept in err.
type backupReader struct {
	in    *bufio.Reader
	sum   hash.Hash // of what has been read
	bytes int64
	err   error
}

// fail says that the stream is not what Backup wrote.
func (r *backupReader) fail(reason string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrBadBackup, reason)
	}
}

// broken takes an error of the underlying reader.
func (r *backupReader) broken(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		r.fail("it ends too early")
	} else if r.err == nil {
		r.err = err
	}
}

// read returns the next n bytes. Memory grows as they arrive, not before.
func (r *backupReader) read(n uint64) []byte {
	if r.err != nil {
		return nil
	}
	var buf bytes.Buffer
	buf.Grow(int(min(n, 1<<16)))
	_, err := io.CopyN(&buf, r.in, int64(n))
	if err != nil {
		r.broken(err)
		return nil
	}
	r.sum.Write(buf.Bytes())
	r.bytes += int64(n)
	return buf.Bytes()
}

func (r *backupReader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	var text []byte
	for {
		c, err := r.in.ReadByte()
		if err != nil {
			r.broken(err)
			return 0
		}
		text = append(text, c)
		if c < 0x80 || len(text) > binary.MaxVarintLen64 {
			break
		}
	}
	r.sum.Write(text)
	r.bytes += int64(len(text))
	n, length := binary.Uvarint(text)
	if length != len(text) {
		r.fail("a number does not decode")
	}
	return n
}

// header reads what comes before the records, and returns the store's format.
func (r *backupReader) header() uint64 {
	if magic := r.read(uint64(len(backupMagic))); r.err == nil && string(magic) != backupMagic {
		r.fail("it is no backup of an ibgib-node")
	}
	version, format := r.uvarint(), r.uvarint()
	switch {
	case r.err != nil:
	case version > backupVersion:
		r.err = fmt.Errorf("%w: a backup of version %d, this program knows up to %d", ErrNewer, version, backupVersion)
	case format > formatVersion:
		r.err = fmt.Errorf("%w: %d, this program knows up to %d", ErrNewer, format, formatVersion)
	case version == 0 || format == 0:
		r.fail("it has no version")
	}
	return format
}

// record returns the next record, or nil at the end of the records.
func (r *backupReader) record() (key, value []byte) {
	n := r.uvarint()
	if n > maxBackupKey {
		r.fail("a key is too long")
	}
	if r.err != nil || n == 0 {
		return nil, nil
	}
	key = r.read(n)
	if n = r.uvarint(); n > maxBackupValue {
		r.fail("a value is too long")
	}
	value = r.read(n)
	if r.err != nil {
		return nil, nil
	}
	if !isKey(key) || !inBackup(key) {
		r.fail("it has a record that backups have not")
	}
	return key, value
}

// trailer reads what comes after the records.
func (r *backupReader) trailer(records int) {
	if n := r.uvarint(); r.err == nil && n != uint64(records) {
		r.fail("records are missing")
	}
	want := r.sum.Sum(nil)
	got := r.read(uint64(len(want)))
	if r.err != nil {
		return
	}
	if !bytes.Equal(got, want) {
		r.fail("its hash is wrong")
		return
	}
	if _, err := r.in.ReadByte(); err == nil {
		r.fail("something follows its end")
	} else if !errors.Is(err, io.EOF) {
		r.broken(err)
	}
}
