package dht

import (
	"context"
	"time"

	"github.com/ipfs/go-cid"
)

// keepOwn keeps records of what the node announces in the node itself, until ctx ends.
// The library does so too, but only when there are others to tell: a server among
// nothing but clients would not name itself to those that ask it.
func (k *Kad) keepOwn(ctx context.Context) {
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	for {
		for _, h := range k.allAnnounced() {
			// It fails only with ctx, or after Close.
			_ = k.dht.Provide(ctx, cid.NewCidV1(cid.Raw, h), false)
		}
		select {
		case <-k.more:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
