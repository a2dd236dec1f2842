package node

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// slowLine is a provider that keeps to all rules, and gives one block with each tick.
type slowLine struct {
	at      string
	id      peer.ID
	answers atomic.Int32
}

func provideSlowly(t *testing.T, l *liar) *slowLine {
	t.Helper()
	x := new(slowLine)
	tick := time.NewTicker(time.Second)
	t.Cleanup(tick.Stop)
	l.answer = func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			return false
		}
		x.answers.Add(1)
		m := l.truth(ask, 1)
		m.Absent = nil
		send(m)
		return true
	}
	info := l.provide(t)
	x.at, x.id = info.Addrs[0].String()+"/p2p/"+info.ID.String(), info.ID
	return x
}

// Providers that are slow hold up no fetch: not by what they have been asked for, and not
// by the places that they take, however many they are and whoever is asked first.
func TestSlowProviders(t *testing.T) {
	a, _, frames, at := archive(t, 300)
	target := frames[299]
	blocks := blocksOf(t, a, target)
	for _, c := range []struct {
		slow  int
		first bool // the honest one is asked first
		most  int32
	}{
		{1, true, 3},
		{1, false, 3},
		{3, false, 3},
		{6, false, 6},
		// More than are asked at the same time: one has to give way.
		{maxFetchAsked + 1, false, 15},
	} {
		t.Run(fmt.Sprintf("%d, quick one first %t", c.slow, c.first), func(t *testing.T) {
			if testing.Short() && c.slow > maxFetchAsked {
				t.Skip("it takes some seconds until one gives way")
			}
			var from []string
			var lines []*slowLine
			for range c.slow {
				x := provideSlowly(t, &liar{blocks: blocks})
				from, lines = append(from, x.at), append(lines, x)
			}
			if c.first {
				from = append([]string{at}, from...)
			} else {
				from = append(from, at)
			}
			b := reader(t)
			res := mustFetch(t, b, target, from...)
			isSound(t, b, target)
			for _, s := range res.Sources {
				if s.Peer == a.PeerID().String() && s.IbGibs < len(blocks)*9/10 {
					t.Errorf("%d of %d came from the quick one", s.IbGibs, len(blocks))
				}
			}
			gone := 0
			for _, x := range lines {
				if n := x.answers.Load(); n > c.most {
					t.Errorf("a slow one answered %d times, once a second", n)
				}
				if b.marks.of(x.id) != nil {
					gone++
				}
			}
			if most := max(0, c.slow-maxFetchAsked+1); c.slow > maxFetchAsked && gone == 0 || c.slow <= maxFetchAsked && gone > 0 {
				t.Errorf("%d slow ones are marked, want about %d", gone, most)
			}
		})
	}
}
