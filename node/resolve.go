package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// resolveTries bounds how often Resolve looks again at a timeline that changes
// while it is being resolved.
const resolveTries = 10

// errMoved says that a timeline changed between two looks at it.
var errMoved = errors.New("the timeline keeps changing; try again")

// Resolution says how a person ends a conflict. Either Keep or Merge is set; with Fork
// neither has to be if there are two heads.
type Resolution struct {
	Keep  ibgib.Addr `json:"keep,omitzero"`  // the head whose state goes on
	Merge bool       `json:"merge,omitzero"` // the merge of all heads goes on, as it is now
	// Fork is a head that first becomes a timeline of its own, with the ib ForkIb.
	// Without Keep and Merge the other one of two heads is kept.
	Fork   ibgib.Addr `json:"fork,omitzero"`
	ForkIb string     `json:"forkIb,omitzero"`
}

// Resolved is what Resolve did.
type Resolved struct {
	Change
	Forked ibgib.Addr `json:"forked,omitzero"` // the tjp of the new timeline
}

// Resolve ends the divergence of a timeline: a head, or the merge of all, is followed
// by a keep frame that lists the others, which stay in its history. addr is the tjp or
// any frame. It travels like any other frame; a head that this node has not seen is not
// resolved by it. It fails with blockstore.ErrNotFound if the timeline has not
// diverged, with ErrInput if what is to be kept or forked is none of its heads, and
// with a *timeline.Unmergeable if a merge is wanted that there cannot be.
func (n *Node) Resolve(ctx context.Context, addr ibgib.Addr, r Resolution) (Resolved, error) {
	for range resolveTries {
		done, err := n.resolve(ctx, addr, r)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return Resolved{}, fmt.Errorf("node: resolve %s: %w", addr, err)
		}
		return done, nil
	}
	return Resolved{}, fmt.Errorf("node: resolve %s: %w", addr, errMoved)
}

func (n *Node) resolve(ctx context.Context, addr ibgib.Addr, r Resolution) (Resolved, error) {
	e, err := n.entryOf(ctx, addr)
	if err != nil {
		return Resolved{}, err
	}
	if len(e.Heads) < 2 {
		return Resolved{}, errOneHead
	}
	if err := r.complete(e.Entry); err != nil {
		return Resolved{}, err
	}
	var all []ibgib.IbGib // what is to be stored
	var done Resolved
	if !r.Fork.IsZero() {
		made, err := n.forkOff(ctx, r)
		if err != nil {
			return Resolved{}, err
		}
		done.Forked, all = made.New.Addr(), made.All()
	}
	heads, err := n.frames(ctx, e.Heads)
	if err != nil {
		return Resolved{}, err
	}
	var kept ibgib.IbGib
	var computed *timeline.Frame
	if r.Merge {
		merged, err := n.merge(ctx, heads)
		if err != nil {
			return Resolved{}, err
		}
		kept, computed = merged.IbGib, &merged.Frame
		all = append(all, kept)
	} else if kept, err = n.store.Get(ctx, r.Keep); err != nil {
		return Resolved{}, err
	}
	frame, dna, err := timeline.Keep(kept, heads, n.now())
	if err != nil {
		return Resolved{}, err
	}
	all = append(all, dna, frame)
	// Changes made here go on top of the latest, so while that is the one that
	// was seen none of them has come between. What a peer brought meanwhile
	// stays a head beside the keep frame.
	root, _ := e.Root.Hash()
	put, res, err := n.store.Change(ctx, e.in.number, root, computed, func(latest ibgib.IbGib) ([]ibgib.IbGib, error) {
		if latest.Addr() != e.Latest {
			return nil, errMoved
		}
		return all, nil
	})
	if err != nil {
		return Resolved{}, err
	}
	if done.Change, err = n.changed(ctx, frame, put, res); err != nil {
		return done, err
	}
	return done, n.offerRoot(ctx, e.in, root)
}

// complete checks a resolution against the heads of a timeline, and fills in what goes
// without saying.
func (r *Resolution) complete(e blockstore.Entry) error {
	for _, a := range []ibgib.Addr{r.Keep, r.Fork} {
		if !a.IsZero() && !slices.Contains(e.Heads, a) {
			return notAHead(a, e)
		}
	}
	heads := e.Heads
	switch {
	case r.Merge && !r.Keep.IsZero():
		return fmt.Errorf("%w: either a head is kept or the merge", ErrInput)
	case r.Merge || !r.Keep.IsZero():
	case r.Fork.IsZero():
		return fmt.Errorf("%w: nothing says what is to be kept", ErrInput)
	case len(heads) > 2:
		return fmt.Errorf("%w: there are %d heads; say what is to be kept: one of the others, or the merge of all", ErrInput, len(heads))
	default:
		r.Keep = heads[0]
		if r.Keep == r.Fork {
			r.Keep = heads[1]
		}
	}
	if !r.Fork.IsZero() && (r.ForkIb == "" || r.Fork == r.Keep) {
		return fmt.Errorf("%w: what is forked off needs an ib, and cannot be kept as well", ErrInput)
	}
	return nil
}

// namedHeads bounds how many heads the text of an error names.
const namedHeads = 4

// notAHead says that a is not one of the heads of a timeline that has several.
func notAHead(a ibgib.Addr, e blockstore.Entry) error {
	switch {
	case e.Merged && a == e.Latest:
		return fmt.Errorf("%w: %s is the merge of the heads, which can be kept as that, and is none of them", ErrInput, a)
	case a.TjpGib() != e.Root.Gib() && a != e.Root:
		return fmt.Errorf("%w: %s is no frame of the timeline %s", ErrInput, a, e.Root)
	}
	var names []string
	for _, head := range e.Heads[:min(len(e.Heads), namedHeads)] {
		names = append(names, head.String())
	}
	if more := len(e.Heads) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%w: %s is none of the heads, which are %s", ErrInput, a, strings.Join(names, ", "))
}

// forkOff makes a timeline of a head, with its data and what it links to.
func (n *Node) forkOff(ctx context.Context, r Resolution) (ibgib.Result, error) {
	source, err := n.store.Get(ctx, r.Fork)
	if err != nil {
		return ibgib.Result{}, err
	}
	return n.forkFrames(source, ibgib.ForkOptions{DestIb: r.ForkIb, CloneData: true, CloneRel8ns: true})
}
