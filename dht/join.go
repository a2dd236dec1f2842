package dht

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

const (
	// The wait after an attempt to enter a DHT that failed doubles each time, from the
	// first to the last; a quarter more or less.
	firstJoin = time.Second
	lastJoin  = 5 * time.Minute
	// joinDials are so many peers dialled at the same time, for joinTime each.
	joinDials = 8
	joinTime  = 15 * time.Second
	// joinPeers bounds the remembered peers that one attempt tries.
	joinPeers = 32
	// lookJoined is how often is looked whether the node has fallen out of the DHT.
	lookJoined = 30 * time.Second
	// announceAgainEvery is how long at least lies between two times that everything
	// is announced again because a peer of KadOptions.Bootstrap has come back. If one
	// comes back earlier, that waits.
	announceAgainEvery = time.Minute
)

// ErrNoBootstrap says that there is no address by which a DHT could be entered.
var ErrNoBootstrap = errors.New("no bootstrap address, and no peer of an earlier run")

// subscribe returns what may be a reason to enter the DHT again.
func subscribe(h host.Host) (event.Subscription, error) {
	return h.EventBus().Subscribe([]any{new(event.EvtPeerConnectednessChanged), new(event.EvtLocalAddressesUpdated)}, eventbus.BufSize(256))
}

// keepJoined enters the DHT, and again when nobody is left to ask, until ctx ends.
func (k *Kad) keepJoined(ctx context.Context, events <-chan any) {
	seeds := make(map[peer.ID]bool)
	for _, info := range k.opts.Bootstrap {
		seeds[info.ID] = true
	}
	var attempt sync.WaitGroup
	defer attempt.Wait()
	ended := make(chan error, 1)
	trying, entered, failures := false, false, 0
	var told time.Time // when everything was announced again
	timer, again := time.NewTimer(0), time.NewTimer(time.Hour)
	again.Stop()
	defer timer.Stop()
	defer again.Stop()
	for {
		select {
		case <-timer.C:
			if trying || entered && k.dht.RoutingTable().Size() > 0 {
				timer.Reset(lookJoined)
				continue
			}
			trying = true
			attempt.Go(func() { ended <- k.enter(ctx) })
		case err := <-ended:
			trying = false
			k.joined(err)
			wait := lookJoined
			if err == nil {
				entered, failures = true, 0
			} else {
				wait = min(firstJoin<<min(failures, 10), lastJoin)
				failures++
			}
			timer.Reset(wait*3/4 + rand.N(wait/2))
		case e, ok := <-events:
			if !ok {
				return
			}
			switch e := e.(type) {
			case event.EvtPeerConnectednessChanged:
				// It may have started anew, and lost what it kept.
				if entered && seeds[e.Peer] && e.Connectedness == network.Connected {
					again.Reset(max(0, k.opts.announceAgain-time.Since(told)))
				}
			case event.EvtLocalAddressesUpdated:
				// This machine is on another network now, perhaps.
				if failures > 0 && !trying {
					failures = 0
					timer.Reset(0)
				}
			}
		case <-again.C:
			told = time.Now()
			k.announceAgain()
		case <-ctx.Done():
			return
		}
	}
}

// joined notes how an attempt to enter the DHT ended.
func (k *Kad) joined(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failed = err
}

// enter connects to peers that were there before, then to those of Bootstrap: with
// only the former, parts of a DHT that have lost each other would stay apart.
func (k *Kad) enter(ctx context.Context) error {
	seen := k.opts.Memory.Peers
	if len(seen) > joinPeers {
		seen = make([]peer.AddrInfo, joinPeers)
		for i, at := range rand.Perm(len(k.opts.Memory.Peers))[:joinPeers] {
			seen[i] = k.opts.Memory.Peers[at]
		}
	}
	if len(seen)+len(k.opts.Bootstrap) == 0 && len(k.host.Network().Peers()) == 0 {
		return ErrNoBootstrap
	}
	reached, err := k.connect(ctx, seen)
	more, failed := k.connect(ctx, k.opts.Bootstrap)
	if reached += more; reached == 0 && len(k.host.Network().Peers()) == 0 {
		return fmt.Errorf("no peer of it was reached: %w", errors.Join(failed, err))
	}
	if err := k.dht.Bootstrap(ctx); err != nil {
		return err
	}
	return nil
}

// connect connects to peers, and returns to how many, with the error of one of the
// others.
func (k *Kad) connect(ctx context.Context, to []peer.AddrInfo) (reached int, err error) {
	var mu sync.Mutex
	var dialling sync.WaitGroup
	room := make(chan struct{}, joinDials)
	for _, info := range to {
		if info.ID == k.host.ID() {
			continue
		}
		room <- struct{}{}
		dialling.Go(func() {
			defer func() { <-room }()
			within, cancel := context.WithTimeout(ctx, joinTime)
			defer cancel()
			failed := k.host.Connect(within, info)
			mu.Lock()
			defer mu.Unlock()
			if failed != nil {
				err = fmt.Errorf("%s: %w", info.ID, failed)
			} else {
				reached++
			}
		})
	}
	dialling.Wait()
	return reached, err
}
