package node

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// A timeline with several heads has diverged. Where its branches cannot be merged, or
// are left to a person, it is a conflict: all branches are kept, the head with the
// greatest (n, HASH) is presented, or the one that a person has pinned, and it is listed.

// maxListed bounds lists in results that exist for people to read.
const maxListed = 1000

// Conflicts ranges over the timelines that have diverged and are not merged, by the
// hash of their tjp.
func (n *Node) Conflicts(ctx context.Context) iter.Seq2[Conflict, error] {
	return func(yield func(Conflict, error) bool) {
		for e, err := range n.entries(ctx) {
			var c Conflict
			if err == nil {
				if len(e.Heads) < 2 || e.Merged {
					continue
				}
				c, err = n.conflict(ctx, e.Entry)
			}
			if err != nil {
				yield(Conflict{}, fmt.Errorf("node: conflicts: %w", err))
				return
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (n *Node) conflict(ctx context.Context, e blockstore.Entry) (Conflict, error) {
	c := Conflict{Tjp: e.Root, Latest: e.Latest, Pinned: e.Pinned, Heads: make([]Frame, 0, len(e.Heads))}
	c.Reason, c.Detail = reasonOf(e)
	for _, a := range e.Heads {
		f, err := n.frameOf(ctx, a)
		if err != nil {
			return c, err
		}
		shown, err := n.show(ctx, f)
		if err != nil {
			return c, err
		}
		c.Heads = append(c.Heads, shown)
	}
	return c, nil
}

// reasonOf says why a timeline with several heads is not merged.
func reasonOf(e blockstore.Entry) (ConflictReason, string) {
	switch {
	case len(e.Heads) < 2 || e.Merged:
		return "", ""
	case e.Pinned:
		return ReasonPinned, ""
	case e.Conflict.Reason != "":
		return ConflictReason(e.Conflict.Reason), e.Conflict.Detail
	default:
		return ReasonManual, ""
	}
}

// Conflict shows the branches of a diverged timeline, merged or not; addr is its tjp or any of
// its frames. Of a timeline that has one head it shows the last merge below that, and if
// addr is an older merge frame, that merge. It fails with blockstore.ErrNotFound if there is
// none.
func (n *Node) Conflict(ctx context.Context, addr ibgib.Addr) (ConflictDetail, error) {
	detail, err := n.conflictDetail(ctx, addr)
	if err != nil {
		return detail, fmt.Errorf("node: conflict of %s: %w", addr, err)
	}
	return detail, nil
}

func (n *Node) conflictDetail(ctx context.Context, addr ibgib.Addr) (ConflictDetail, error) {
	e, err := n.entryOf(ctx, addr)
	if err != nil {
		return ConflictDetail{}, err
	}
	detail := ConflictDetail{Tjp: e.Root, Latest: e.Latest, Overridden: []Overridden{}, Skipped: []ibgib.Addr{}}
	past, err := n.pastMerge(ctx, addr, e)
	if err != nil {
		return detail, err
	}
	headAddrs := e.Heads
	if past.IsZero() {
		detail.Pinned, detail.Merged = e.Pinned, e.Merged
		detail.Reason, detail.Detail = reasonOf(e.Entry)
	} else {
		headAddrs = append([]ibgib.Addr{past.Pred}, past.Links...)
		detail.Ended, detail.Merged = past.Addr, true
	}
	heads, err := n.frames(ctx, headAddrs)
	if err != nil {
		return detail, err
	}
	base, err := timeline.Base(heads, n.frameLookup(ctx))
	if err != nil {
		return detail, err
	}
	if detail.Merged {
		merged, err := n.merge(ctx, heads)
		if err != nil {
			return detail, err
		}
		for _, o := range merged.Overridden {
			detail.Overridden = append(detail.Overridden, overridden(o))
		}
		detail.Skipped = append(detail.Skipped, merged.Skipped...)
	}
	if detail.Base, err = n.show(ctx, base); err != nil {
		return detail, err
	}
	for _, head := range heads {
		branch, err := n.branch(ctx, head, base)
		if err != nil {
			return detail, err
		}
		detail.Branches = append(detail.Branches, branch)
	}
	return detail, nil
}

// pastMerge returns the merge frame that Conflict is to show; zero for the heads that the
// timeline has now.
func (n *Node) pastMerge(ctx context.Context, addr ibgib.Addr, e located) (timeline.Frame, error) {
	f, err := n.frameOf(ctx, addr)
	switch {
	case err == nil && f.Kind == timeline.KindMerge && (len(e.Heads) < 2 || addr != e.Latest):
		return f, nil
	case err != nil && !errors.Is(err, blockstore.ErrNotFound):
		return timeline.Frame{}, err
	case len(e.Heads) > 1:
		return timeline.Frame{}, nil
	}
	for f, err := range n.below(ctx, e.Latest) {
		if err != nil || f.Kind == timeline.KindMerge {
			return f, err
		}
	}
	return timeline.Frame{}, errNoMerge
}

// frames returns what the index knows of some frames.
func (n *Node) frames(ctx context.Context, addrs []ibgib.Addr) ([]timeline.Frame, error) {
	frames := make([]timeline.Frame, len(addrs))
	for i, a := range addrs {
		var err error
		if frames[i], err = n.frameOf(ctx, a); err != nil {
			return nil, err
		}
	}
	return frames, nil
}

func (n *Node) frameLookup(ctx context.Context) timeline.FrameLookup {
	return func(a ibgib.Addr) (timeline.Frame, bool, error) {
		f, err := n.frameOf(ctx, a)
		return f, err == nil, err
	}
}

// merge computes the merge of some heads for a person who asks for it.
func (n *Node) merge(ctx context.Context, heads []timeline.Frame) (timeline.Merged, error) {
	return timeline.Merge(heads, n.frameLookup(ctx), func(a ibgib.Addr) (ibgib.IbGib, error) { return n.store.Get(ctx, a) }, timeline.MergeWork{})
}

// branch lists the frames from head down to the base, without it.
func (n *Node) branch(ctx context.Context, head, base timeline.Frame) (Branch, error) {
	b := Branch{Head: head.Addr, Frames: []Frame{}}
	for f, err := range n.below(ctx, head.Addr) {
		if err != nil {
			return b, err
		}
		if f.Addr == base.Addr || f.Tjp == f.Addr {
			return b, nil
		}
		if len(b.Frames) == maxListed {
			b.More = true
			return b, nil
		}
		shown, err := n.show(ctx, f)
		if err != nil {
			return b, err
		}
		b.Frames = append(b.Frames, shown)
	}
	return b, nil
}
