package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

const (
	// retryMergesEvery is how often what is undecided about merges is taken up; what a
	// merge may cost fills up in that time.
	retryMergesEvery = time.Minute
	// clockSkew is how far from now the time of a change may lie before its clock is
	// taken to be wrong.
	clockSkew = 24 * time.Hour
)

// Merge tells of a timeline that has diverged and whose branches have been merged.
type Merge struct {
	Share  string     `json:"share,omitempty"` // its name; empty: the default share
	Tjp    ibgib.Addr `json:"tjp"`
	Latest ibgib.Addr `json:"latest"` // the merge frame
	// Overridden are the writes that lost against a later one which had not seen them,
	// those of them that are new with this merge, as far as an event has room; OverriddenMore
	// counts others.
	Overridden     []Overridden `json:"overridden"`
	OverriddenMore int          `json:"overriddenMore,omitempty"`
	// Skipped are changes that do not fit any more, and how many others there are.
	Skipped     []ibgib.Addr `json:"skipped"`
	SkippedMore int          `json:"skippedMore,omitempty"`
}

// Overridden is one write that another one took the place of.
type Overridden struct {
	Path   []string        `json:"path"`           // ib; data and the names of members; rel8ns and a name
	Lost   json.RawMessage `json:"lost,omitempty"` // absent: a removal
	LostBy ibgib.Addr      `json:"lostBy"`         // the frame that wrote it
	Won    json.RawMessage `json:"won,omitempty"`
	WonBy  ibgib.Addr      `json:"wonBy"`

	// LostBytes and WonBytes are the sizes of values that are too long for an event, and
	// are left out of it.
	LostBytes int `json:"lostBytes,omitempty"`
	WonBytes  int `json:"wonBytes,omitempty"`
}

func overridden(o timeline.Overridden) Overridden {
	return Overridden{Path: o.Path, Lost: text(o.Lost), LostBy: o.LostBy, Won: text(o.Won), WonBy: o.WonBy}
}

// presented is what the store shows of timelines with several heads.
func presented(s saga.Strategy) blockstore.Strategy {
	if s == saga.StrategyOptimistic {
		return blockstore.Optimistic
	}
	return blockstore.Manual
}

// commandTries bounds how often RetryMerges tries.
const commandTries = 8

// RetryMerges merges what waits for that: timelines of which the strategy has become
// optimistic since the node ran last, and those that were too much work before. A node
// that is started does so by itself. Who uses one that is not calls it first, since
// changes made here go on top of what is shown. What it cannot do within some seconds it
// leaves to a node that runs. progress may be nil; it is called before each timeline.
func (n *Node) RetryMerges(ctx context.Context, progress func(done, all int)) error {
	if n.store.MergesLeft() {
		return nil
	}
	for range commandTries {
		res, err := n.store.RetryMerges(ctx, progress)
		n.tellMerges(ctx, res.Merges)
		if err != nil {
			return fmt.Errorf("node: %w", err)
		}
		if res.Left == 0 || res.Spent == 0 {
			break
		}
	}
	if err := n.store.LeaveMerges(); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return nil
}

// retryMerges takes up what is undecided, now, when something becomes so and every minute,
// until ctx ends.
func (n *Node) retryMerges(ctx context.Context) {
	tick := time.NewTicker(retryMergesEvery)
	defer tick.Stop()
	for {
		res, err := n.store.RetryMerges(ctx, nil)
		n.tellMerges(ctx, res.Merges)
		if err != nil && ctx.Err() == nil {
			n.log.Warn("diverged timelines not merged", "error", err)
		}
		if res.Left > 0 {
			n.log.Info("diverged timelines wait for being merged", "timelines", res.Left)
		}
		select {
		case <-tick.C:
		case <-n.store.Undecided():
		case <-ctx.Done():
			return
		}
	}
}

// tellMerges logs merges, and warns of clocks. Those who follow the events read of them in
// the journal.
func (n *Node) tellMerges(ctx context.Context, merges []blockstore.Merge) {
	for _, m := range merges {
		n.log.Info("branches merged", "timeline", m.Root, "latest", m.Latest, "overridden", len(m.Overridden), "skipped", len(m.Skipped))
		// The merge has the time of the last change in it, which wins against all others.
		g, err := n.store.Get(ctx, m.Latest)
		if err != nil {
			continue // gone again by now
		}
		if stamp, ok := ibgib.StampOf(g); ok && stamp.At.Sub(n.now()) > clockSkew {
			n.log.Warn("a change is dated in the future and wins against all others that have not seen it until that time: the clock of its author is wrong",
				"timeline", m.Root, "frame", m.Last, "time", stamp.At.UTC())
		}
	}
}
