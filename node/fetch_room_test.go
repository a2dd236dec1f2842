package node

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// The block that comes most slowly gives way, be it the one that asks for room, and all
// room comes back.
func TestFetchRoom(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	r := &fetchRoom{most: 10}
	var gone []string
	hold := func(name string, at time.Duration) *heldRoom {
		return r.hold(func(cause error) {
			if cause != errNoRoom {
				t.Errorf("%s gave way: %v", name, cause)
			}
			gone = append(gone, name)
		}, start.Add(at))
	}
	take := func(h *heldRoom, bytes int64, at time.Duration, want error) {
		t.Helper()
		if err := h.take(bytes, start.Add(at)); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("at %s: %v, want %v", at, err, want)
		}
		if r.used > r.most {
			t.Errorf("at %s %d are in use", at, r.used)
		}
	}
	slow, stalled, quick := hold("slow", 0), hold("stalled", 0), hold("quick", 0)
	unused := hold("unused", 0)
	take(stalled, 4, time.Millisecond, nil)
	take(slow, 4, time.Second, nil)
	take(quick, 2, 1100*time.Millisecond, nil)
	take(quick, 2, 1200*time.Millisecond, nil) // stalled gives way
	take(stalled, 1, 1200*time.Millisecond, errNoRoom)
	take(slow, 4, 2*time.Second, errNoRoom) // it asks itself, and is the slowest
	take(slow, 1, 2*time.Second, errNoRoom)
	if len(gone) != 1 || gone[0] != "stalled" || r.used != 4 {
		t.Errorf("%q gave way, %d are in use", gone, r.used)
	}
	for _, h := range []*heldRoom{slow, stalled, quick, unused, quick} {
		h.release()
	}
	if r.used != 0 || len(r.held) > 0 {
		t.Errorf("%d are in use by %d", r.used, len(r.held))
	}
}

// Providers that begin large blocks and do not end them share bounded memory, and hold up
// no fetch; that they have given way is no reason to mark them.
func TestLargeBlocksThatDoNotEnd(t *testing.T) {
	a, _, frames, _ := archive(t, 10)
	gaveWay := make(chan struct{})
	honest := (&liar{blocks: blocksOf(t, a, frames[9]), answer: func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		<-gaveWay
		send(l.truth(ask, protocol.MaxFetchWants))
		return true
	}}).provide(t)
	from := []string{honest.Addrs[0].String() + "/p2p/" + honest.ID.String()}
	for range 3 {
		info := (&liar{answer: func(_ *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
			for i := range uint64(2) {
				send(&protocol.Fetched{Items: []saga.Item{{Form: saga.FormChunk, Bytes: make([]byte, saga.MaxItem), Hash: ask.Wants[0], Offset: i * saga.MaxItem, Total: saga.MaxTotal}}})
			}
			<-t.Context().Done()
			return false
		}}).provide(t)
		from = append(from, info.Addrs[0].String()+"/p2p/"+info.ID.String())
	}
	b := reader(t)
	b.fetchRoom.most = 3 * saga.MaxItem
	fetched := make(chan FetchResult)
	go func() {
		defer close(fetched)
		res, err := fetchFrom(t, b, frames[9], from...)
		if err != nil {
			t.Errorf("%v, sources %+v", err, res.Sources)
		}
		fetched <- res
	}()
	var first *heldRoom
	eventually(t, "one gives way", func() bool {
		b.fetchRoom.mu.Lock()
		defer b.fetchRoom.mu.Unlock()
		held := b.fetchRoom.held
		if first == nil && len(held) > 0 {
			first = held[0]
		}
		return first != nil && !slices.Contains(held, first)
	})
	close(gaveWay)
	res := <-fetched
	isSound(t, b, frames[9])
	gone := 0
	for _, s := range res.Sources {
		if s.Error == errNoRoom.Error() {
			gone++
		}
		if s.Mark != "" {
			t.Errorf("marked: %+v", s)
		}
	}
	if gone == 0 {
		t.Errorf("nobody gave way: %+v", res.Sources)
	}
	if b.fetchRoom.used != 0 {
		t.Errorf("%d bytes are in use after the fetch", b.fetchRoom.used)
	}
}
