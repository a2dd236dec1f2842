package dht

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	kadpb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// maxProviders ends a search. One server can name as many, so each of those that are
	// closest to the key is asked by itself then, and of each maxEach are taken.
	maxProviders = 64
	maxEach      = 16
	// askTime bounds what one server takes for that.
	askTime = 10 * time.Second

	// MaxProviders bounds the providers that FindProviders yields.
	MaxProviders = maxProviders + defaultBucketSize*maxEach
)

// FindProviders searches for nodes that have announced a key, such as a TimelineKey,
// and yields each as soon as it is found, at most MaxProviders, this one left out. It ends
// when all who should know have been asked, or with ctx; so give that a bound. What comes
// is what strangers claim: neither has the node to be there nor to have anything. No
// server can keep out what others of those that are closest to the key know.
func (k *Kad) FindProviders(ctx context.Context, key cid.Cid) iter.Seq[peer.AddrInfo] {
	return func(yield func(peer.AddrInfo) bool) {
		seen := map[peer.ID]bool{k.host.ID(): true}
		pass := func(info peer.AddrInfo) bool {
			if seen[info.ID] {
				return true
			}
			seen[info.ID] = true
			info.Addrs = k.filter(info.Addrs) // the library passes on what it was told
			return yield(info)
		}
		found := 0
		for info := range each(ctx, func(ctx context.Context) <-chan peer.AddrInfo {
			return k.dht.FindProvidersAsync(ctx, key, maxProviders)
		}) {
			if found++; !pass(info) {
				return
			}
		}
		if found < maxProviders {
			return
		}
		for info := range each(ctx, func(ctx context.Context) <-chan peer.AddrInfo { return k.askClosest(ctx, key) }) {
			if !pass(info) {
				return
			}
		}
	}
}

// each yields what comes from a search, and has it end before it returns.
func each(ctx context.Context, search func(context.Context) <-chan peer.AddrInfo) iter.Seq[peer.AddrInfo] {
	return func(yield func(peer.AddrInfo) bool) {
		ctx, cancel := context.WithCancel(ctx)
		found := search(ctx)
		defer func() {
			cancel()
			for range found {
			}
		}()
		for info := range found {
			if !yield(info) {
				return
			}
		}
	}
}

// askClosest asks each of the servers that are closest to a key, and sends of what each
// answers no more than maxEach. It closes the channel when all have answered, or with ctx.
func (k *Kad) askClosest(ctx context.Context, key cid.Cid) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	go func() {
		defer close(out)
		messenger, err := kadpb.NewProtocolMessenger(k.dht.MessageSender())
		if err != nil {
			return
		}
		closest, _ := k.dht.GetClosestPeers(ctx, string(key.Hash())) // with an error, those found so far
		var asking sync.WaitGroup
		for _, server := range closest[:min(len(closest), defaultBucketSize)] {
			asking.Go(func() {
				soon, cancel := context.WithTimeout(ctx, askTime)
				defer cancel()
				found, _, err := messenger.GetProviders(soon, server, key.Hash())
				if err != nil {
					return
				}
				for _, info := range found[:min(len(found), maxEach)] {
					select {
					case out <- *info:
					case <-ctx.Done():
						return
					}
				}
			})
		}
		asking.Wait()
	}()
	return out
}
