package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

// UpkeepProgress is how far work on the whole store has come.
type UpkeepProgress struct {
	Done int `json:"done"` // records
}

func upkeep(progress func(UpkeepProgress)) func(int) {
	return func(done int) {
		if progress != nil {
			progress(UpkeepProgress{Done: done})
		}
	}
}

// GC removes what came from peers and no timeline and no pin needs, and gives the
// disk space back. What was written or imported here stays. progress may be nil. It fails with blockstore.ErrBusy if one is running.
func (n *Node) GC(ctx context.Context, o blockstore.GCOptions, progress func(UpkeepProgress)) (blockstore.GCReport, error) {
	o.KeepOwn = true
	report, err := n.store.GC(ctx, o, upkeep(progress))
	if err == nil && report.Freed > 0 && !o.DryRun {
		err = n.store.Maintain(ctx)
	}
	if err != nil {
		return report, fmt.Errorf("node: gc: %w", err)
	}
	return report, nil
}

// Backup writes the store as it is at this moment: ibGibs, timelines, pins and the
// records of sagas. The peer key, the trust list and settings are no part of it.
// progress may be nil.
func (n *Node) Backup(ctx context.Context, w io.Writer, progress func(UpkeepProgress)) (blockstore.BackupReport, error) {
	report, err := n.store.Backup(ctx, w, upkeep(progress))
	if err != nil {
		return report, fmt.Errorf("node: backup: %w", err)
	}
	return report, nil
}

// Restore makes a data directory of what Backup wrote. It is that of a new node,
// with a key of its own and nobody that it trusts. The directory must be empty or
// not there, or what an earlier Restore has left that was killed, or the error is
// fs.ErrExist; when anything fails there is none. A
// stream that is no sound backup gives blockstore.ErrBadBackup. progress may be
// nil.
func Restore(ctx context.Context, dir string, r io.Reader, progress func(UpkeepProgress)) (blockstore.BackupReport, error) {
	report, err := restore(ctx, dir, r, progress)
	if err != nil {
		return report, fmt.Errorf("node: restore: %w", err)
	}
	return report, nil
}

func restore(ctx context.Context, dir string, r io.Reader, progress func(UpkeepProgress)) (report blockstore.BackupReport, err error) {
	entries, err := os.ReadDir(dir)
	isNew := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !isNew:
		return report, err
	case len(entries) > 0 && !datadir.IsRestoring(entries):
		return report, fmt.Errorf("%s is not empty: %w", dir, fs.ErrExist)
	}
	d, err := datadir.Open(dir)
	if err != nil {
		return report, err
	}
	if report, err = blockstore.Restore(ctx, d.Store(), r, upkeep(progress)); err != nil {
		// Only the format file is there; the folder stays if the caller made it.
		if err := errors.Join(err, os.Remove(d.Format())); !isNew {
			return report, err
		}
		return report, errors.Join(err, os.Remove(dir))
	}
	return report, nil
}
