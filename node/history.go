package node

import (
	"context"
	"fmt"
	"iter"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// Get returns a stored ibGib. It fails with blockstore.ErrNotFound.
func (n *Node) Get(ctx context.Context, addr ibgib.Addr) (ibgib.IbGib, error) {
	g, err := n.store.Get(ctx, addr)
	if err != nil {
		return g, fmt.Errorf("node: get %s: %w", addr, err)
	}
	return g, nil
}

// List ranges over the addresses of all stored ibGibs by hash. An error is the
// last thing it yields; so it is with all sequences of a Node.
func (n *Node) List(ctx context.Context) iter.Seq2[ibgib.Addr, error] {
	return n.members(ctx)
}

// Heads ranges over all timelines by the hash of their tjp.
func (n *Node) Heads(ctx context.Context) iter.Seq2[Timeline, error] {
	return func(yield func(Timeline, error) bool) {
		for e, err := range n.entries(ctx) {
			if err != nil {
				yield(Timeline{}, fmt.Errorf("node: heads: %w", err))
				return
			}
			if e.Stone {
				continue
			}
			if !yield(e.timeline(), nil) {
				return
			}
		}
	}
}

// timeline shows an entry with its share.
func (e located) timeline() Timeline {
	t := timelineOf(e.Entry)
	t.Share = e.in.label()
	return t
}

func timelineOf(e blockstore.Entry) Timeline {
	t := Timeline{Tjp: e.Root, Heads: e.Heads, Latest: e.Latest, Pinned: e.Pinned, Merged: e.Merged}
	if e.HasN {
		t.N = &e.N
	}
	return t
}

// Latest returns the timeline that addr, its tjp or one of its frames, belongs
// to.
func (n *Node) Latest(ctx context.Context, addr ibgib.Addr) (Timeline, error) {
	e, err := n.entryOf(ctx, addr)
	if err != nil {
		return Timeline{}, fmt.Errorf("node: latest of %s: %w", addr, err)
	}
	return e.timeline(), nil
}

// entryOf returns the entry of the timeline that addr belongs to, and the share that has
// it; the default one if several have.
func (n *Node) entryOf(ctx context.Context, addr ibgib.Addr) (located, error) {
	tjp, err := n.tjpOf(ctx, addr)
	if err != nil {
		return located{}, err
	}
	root, _ := tjp.Hash()
	sh, e, err := n.shares.homeOf(ctx, root)
	if err == nil && sh == nil {
		err = fmt.Errorf("timeline %s: %w", tjp, blockstore.ErrNotFound)
	}
	return located{e, sh}, err
}

// Log ranges over the frames from addr down to the tjp, newest first; from the
// latest if addr is the tjp. limit 0: all of them.
func (n *Node) Log(ctx context.Context, addr ibgib.Addr, limit int) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		count := 0
		for f, err := range n.below(ctx, addr) {
			var shown Frame
			if err == nil {
				shown, err = n.show(ctx, f)
			}
			if err != nil {
				yield(Frame{}, fmt.Errorf("node: log of %s: %w", addr, err))
				return
			}
			count++
			if !yield(shown, nil) || count == limit {
				return
			}
		}
	}
}

// NewFrames ranges over the frames from addr down to the tjp, newest first, but for
// known frames and their histories.
func (n *Node) NewFrames(ctx context.Context, addr ibgib.Addr, known []ibgib.Addr) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		for f, err := range n.newFrames(ctx, addr, known) {
			if err != nil {
				err = fmt.Errorf("node: log of %s: %w", addr, err)
			}
			if !yield(f, err) {
				return
			}
		}
	}
}

func (n *Node) newFrames(ctx context.Context, addr ibgib.Addr, known []ibgib.Addr) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		history := timeline.NewHistory(func(a ibgib.Addr) (timeline.Frame, bool, error) {
			f, err := n.frameOf(ctx, a)
			return f, err == nil, err
		})
		for _, a := range known {
			f, err := n.frameOf(ctx, a)
			if err != nil {
				yield(Frame{}, err)
				return
			}
			history.Add(f)
		}
		for f, err := range n.below(ctx, addr) {
			var shown Frame
			old := false
			if err == nil {
				old, err = history.Contains(f)
			}
			if err == nil && !old {
				shown, err = n.show(ctx, f)
			}
			if old || !yield(shown, err) || err != nil {
				return
			}
		}
	}
}

// FrameAt returns the frame with number i in the history of addr, or of the
// latest if addr is the tjp.
func (n *Node) FrameAt(ctx context.Context, addr ibgib.Addr, i int64) (Frame, error) {
	for f, err := range n.below(ctx, addr) {
		if err == nil {
			if f.HasN && f.N > i {
				continue
			}
			if !f.HasN || f.N < i {
				break
			}
			var shown Frame
			if shown, err = n.show(ctx, f); err == nil {
				return shown, nil
			}
		}
		return Frame{}, fmt.Errorf("node: frame %d of %s: %w", i, addr, err)
	}
	return Frame{}, fmt.Errorf("node: frame %d of %s: %w", i, addr, blockstore.ErrNotFound)
}

// below ranges over the index from addr, or from the latest if addr is the tjp,
// along the predecessors.
func (n *Node) below(ctx context.Context, addr ibgib.Addr) iter.Seq2[timeline.Frame, error] {
	return func(yield func(timeline.Frame, error) bool) {
		f, err := n.frameOf(ctx, addr)
		if err == nil && f.Kind == timeline.KindTjp {
			var e located
			if e, err = n.entryOf(ctx, addr); err == nil {
				f, err = n.frameOf(ctx, e.Latest)
			}
		}
		for {
			if err != nil {
				yield(timeline.Frame{}, err)
				return
			}
			if !yield(f, nil) || f.Pred.IsZero() {
				return
			}
			f, err = n.frameOf(ctx, f.Pred)
		}
	}
}

// show adds to what the index knows of a frame what the frame itself says.
func (n *Node) show(ctx context.Context, f timeline.Frame) (Frame, error) {
	g, err := n.store.Get(ctx, f.Addr)
	if err != nil {
		return Frame{}, err
	}
	shown := Frame{Addr: f.Addr, Kind: f.Kind.String(), N: numberOf(f)}
	if stamp, ok := ibgib.StampOf(g); ok {
		shown.Time = stamp.At.UTC()
	}
	shown.Dna, _ = g.LastRel("dna")
	return shown, nil
}
