package node

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"

	"github.com/ibgib/ibgib-node/blockstore"
)

// Stats counts what the node has. It looks at every index record once.
func (n *Node) Stats(ctx context.Context) (Stats, error) {
	s, err := n.stats(ctx)
	if err != nil {
		return s, fmt.Errorf("node: stats: %w", err)
	}
	return s, nil
}

func (n *Node) stats(ctx context.Context) (s Stats, err error) {
	for _, err := range n.members(ctx) {
		if err != nil {
			return s, err
		}
		s.IbGibs++
	}
	if err := s.countIndex(ctx, n); err != nil {
		return s, err
	}
	s.Shares = len(n.shares.list())
	for e, err := range n.store.View(blockstore.LocalArea).Entries(ctx) {
		if err != nil {
			return s, err
		}
		if isSaga(e) {
			s.Sagas++
		}
	}
	s.Wants = len(n.Wants())
	n.mu.Lock()
	if n.host != nil {
		s.Process = &ProcessStats{n.started, runtime.NumGoroutine(), heapInUse(), residentBytes()}
	}
	n.mu.Unlock()
	err = filepath.WalkDir(n.dir.Store(), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			s.Disk += diskBytes(info)
		}
		return nil // a file may go away meanwhile
	})
	return s, err
}

// countIndex counts what the index of all shares has.
func (s *Stats) countIndex(ctx context.Context, n *Node) error {
	for e, err := range n.entries(ctx) {
		switch {
		case err != nil:
			return err
		case e.Stone:
			s.Stones++
			continue
		case len(e.Heads) > 1 && !e.Merged:
			s.Conflicts++
		}
		s.Timelines++
	}
	for _, sh := range n.shares.all() {
		if err := s.count(ctx, sh.view); err != nil {
			return err
		}
	}
	return nil
}

// count adds what is pinned, awaited and kept out in one share.
func (s *Stats) count(ctx context.Context, view *blockstore.View) error {
	for _, err := range view.Pins(ctx) {
		if err != nil {
			return err
		}
		s.Pins++
	}
	last := blockstore.Incomplete{}
	for i, err := range view.Incomplete(ctx) {
		if err != nil {
			return err
		}
		if i.Missing != last.Missing { // targets come together
			s.Awaited++
		}
		last = i
	}
	for _, err := range view.Rejected(ctx) {
		if err != nil {
			return err
		}
		s.Rejected++
	}
	return nil
}
