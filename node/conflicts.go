package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

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
	case e.Held:
		return ReasonManual, "it diverged by a sync, or in a share, that left it so, by what is set here or on the other node; only a person ends that"
	default:
		return ReasonManual, "the strategy of this node is not optimistic"
	}
}

// Conflict shows the branches of a diverged timeline, merged or not; addr is its tjp or any of
// its frames. Of a timeline that has one head it shows the last divergence before that,
// and if addr is the merge or keep frame that ended an older one, that one. It fails with
// blockstore.ErrNotFound if there is none.
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
	detail := ConflictDetail{Tjp: e.Root, Latest: e.Latest, Branches: []Branch{}, Overridden: []Overridden{}, Skipped: []ibgib.Addr{}}
	ended, err := n.endOf(ctx, addr, e)
	if err != nil {
		return detail, err
	}
	var heads []timeline.Frame
	if ended.IsZero() {
		detail.Pinned, detail.Merged = e.Pinned, e.Merged
		detail.Reason, detail.Detail = reasonOf(e.Entry)
		heads, err = n.frames(ctx, e.Heads)
	} else {
		detail.Ended = ended.Addr
		if heads, detail.Kept, err = n.united(ctx, ended); err == nil {
			detail.Merged = detail.Kept.IsZero()
		}
	}
	if err == nil && detail.Merged {
		err = n.showMerge(ctx, &detail, heads)
	}
	if err == nil {
		err = n.showBranches(ctx, &detail, heads)
	}
	return detail, err
}

// endOf returns the merge or keep frame that ended the divergence which Conflict is to show;
// zero for the heads that the timeline has now.
func (n *Node) endOf(ctx context.Context, addr ibgib.Addr, e located) (timeline.Frame, error) {
	f, err := n.frameOf(ctx, addr)
	switch {
	case err != nil && !errors.Is(err, blockstore.ErrNotFound):
		return timeline.Frame{}, err
	case err == nil && unites(f) && (len(e.Heads) < 2 || addr != e.Latest && !slices.Contains(e.Heads, addr)):
		return f, nil
	case len(e.Heads) > 1:
		return timeline.Frame{}, nil
	}
	for f, err := range n.below(ctx, e.Latest) {
		if err != nil || unites(f) {
			return f, err
		}
	}
	return timeline.Frame{}, errNoMerge
}

func unites(f timeline.Frame) bool {
	return f.Kind == timeline.KindMerge || f.Kind == timeline.KindKeep
}

// united returns the heads that a merge or keep frame has united, and which of them a
// person has kept; zero if it was their merge.
func (n *Node) united(ctx context.Context, f timeline.Frame) (heads []timeline.Frame, kept ibgib.Addr, err error) {
	pred, err := n.frameOf(ctx, f.Pred)
	if err != nil {
		return nil, kept, err
	}
	if heads, err = n.frames(ctx, f.Links); err != nil || f.Kind == timeline.KindKeep && pred.Kind == timeline.KindMerge {
		return heads, kept, err
	}
	if f.Kind == timeline.KindKeep {
		kept = pred.Addr
	}
	return append([]timeline.Frame{pred}, heads...), kept, nil
}

// showMerge fills in what the merge of some heads has done.
func (n *Node) showMerge(ctx context.Context, d *ConflictDetail, heads []timeline.Frame) error {
	merged, err := n.merge(ctx, heads)
	if err != nil {
		return err
	}
	for _, o := range merged.Overridden {
		d.Overridden = append(d.Overridden, overridden(o))
	}
	d.OverriddenCut = len(merged.Overridden) >= timeline.MaxOverridden
	d.Skipped = append(d.Skipped, merged.Skipped...)
	d.From = merged.Keep
	return nil
}

// showBranches fills in what each head has above the base.
func (n *Node) showBranches(ctx context.Context, d *ConflictDetail, heads []timeline.Frame) error {
	branches, err := timeline.FindBranches(heads, n.frameLookup(ctx))
	if err != nil {
		return err
	}
	if d.Base, err = n.show(ctx, branches.Base); err != nil {
		return err
	}
	for _, head := range heads {
		b := Branch{Head: head.Addr, Frames: []BranchFrame{}}
		for f, shared := range branches.Of(head.Addr) {
			if b.More = len(b.Frames) == maxListed; b.More {
				break
			}
			shown, err := n.show(ctx, f)
			if err != nil {
				return err
			}
			b.Frames = append(b.Frames, BranchFrame{shown, shared})
		}
		d.Branches = append(d.Branches, b)
	}
	return nil
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
