package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// A share's view is what a saga reads.
var (
	_ saga.Blocks = (*blockstore.View)(nil)
	_ saga.Index  = (*blockstore.View)(nil)
	_ saga.Intake = (*intake)(nil)
)

// intake puts what a saga receives into a stage of the store.
type intake struct {
	store  *blockstore.Store
	share  blockstore.Share
	origin blockstore.Origin
	stage  *blockstore.Stage
	// merged is told of the timelines that a commit has merged.
	merged func([]blockstore.Merge)
	// barred are the timelines of which it moves no head, when it commits.
	barred func() []ibgib.Hash
}

func newIntake(s *blockstore.Store, share blockstore.Share, peer string, merged func([]blockstore.Merge), barred func() []ibgib.Hash) (*intake, error) {
	i := &intake{store: s, share: share, origin: blockstore.Origin{Peer: peer}, merged: merged, barred: barred}
	var err error
	if i.stage, err = s.NewStage(i.share, i.origin); err != nil {
		return nil, err
	}
	return i, nil
}

// Put stores blocks; the error is a saga.Refusals if it refused some.
func (i *intake) Put(ctx context.Context, gs []ibgib.IbGib) error {
	res, err := i.stage.Put(ctx, gs)
	if err != nil {
		return noMore(err)
	}
	if len(res.Refused) > 0 {
		return saga.Refusals(res.Refused)
	}
	return nil
}

func (i *intake) Touch(ctx context.Context, hashes []ibgib.Hash) error {
	return noMore(i.stage.Touch(ctx, hashes))
}

// noMore tells both sides of a saga that the peer may bring no more.
func noMore(err error) error {
	full, ok := errors.AsType[*blockstore.PeerBudgetError](err)
	if !ok {
		return err
	}
	text := fmt.Sprintf("more than %d MiB of what you sent would be part of no timeline yet, which is more than this node takes from one peer", full.Budget>>20)
	if !full.Alone {
		text += "; most of it is left of earlier syncs, and goes away some days after these"
	}
	return &saga.Error{Code: saga.CodeLimit, Text: text, Retry: !full.Alone, Err: err}
}

func (i *intake) Commit(ctx context.Context, c saga.Change) (saga.Committed, error) {
	if c.Only != nil {
		if err := i.restrict(ctx, c.Only); err != nil {
			return saga.Committed{}, err
		}
	}
	if c.Strategy >= saga.StrategyManual {
		i.stage.SetManual()
	}
	if err := i.stage.Pin(ctx, c.Stones); err != nil {
		return saga.Committed{}, err
	}
	i.stage.Bar(i.barred(), "this timeline is followed from another keystone than that of the peer")
	res, err := i.stage.Commit(ctx)
	if err != nil {
		return saga.Committed{}, err
	}
	i.merged(res.Merges)
	done := saga.Committed{Moved: res.Moved, Refused: res.Rejected, Seq: res.Seq, Epoch: i.store.Epoch()}
	for _, m := range res.Merges {
		done.Overridden += len(m.Overridden)
		done.Skipped += len(m.Skipped)
	}
	return done, nil
}

// restrict puts a stage of nothing but some heads in the place of the one that
// all has come into. The blocks of that one stay, and join a later change.
func (i *intake) restrict(ctx context.Context, only []ibgib.Hash) error {
	if err := i.stage.Discard(); err != nil {
		return err
	}
	stage, err := i.store.NewStage(i.share, i.origin)
	if err != nil {
		return err
	}
	i.stage = stage
	return i.stage.Touch(ctx, only)
}

func (i *intake) Discard() error { return i.stage.Discard() }
