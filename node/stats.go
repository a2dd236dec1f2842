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
	for _, err := range n.view.Members(ctx) {
		if err != nil {
			return s, err
		}
		s.IbGibs++
	}
	for e, err := range n.view.Entries(ctx) {
		switch {
		case err != nil:
			return s, err
		case e.Stone:
			s.Stones++
			continue
		case len(e.Heads) > 1 && !e.Merged:
			s.Conflicts++
		}
		s.Timelines++
	}
	for _, err := range n.view.Pins(ctx) {
		if err != nil {
			return s, err
		}
		s.Pins++
	}
	last := blockstore.Incomplete{}
	for i, err := range n.view.Incomplete(ctx) {
		if err != nil {
			return s, err
		}
		if i.Missing != last.Missing { // targets come together
			s.Awaited++
		}
		last = i
	}
	for _, err := range n.view.Rejected(ctx) {
		if err != nil {
			return s, err
		}
		s.Rejected++
	}
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
