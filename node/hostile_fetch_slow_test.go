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
	enough  chan struct{} // closed when it has answered enoughAnswers times
}

const enoughAnswers = 6

func provideSlowly(t *testing.T, l *liar) *slowLine {
	t.Helper()
	x := &slowLine{enough: make(chan struct{})}
	tick := time.NewTicker(time.Second)
	t.Cleanup(tick.Stop)
	l.answer = func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			return false
		}
		if x.answers.Add(1) == enoughAnswers {
			close(x.enough)
		}
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
			gone := 0
			for _, s := range res.Sources {
				if s.Peer == a.PeerID().String() && s.IbGibs < len(blocks)/2 {
					t.Errorf("%d of %d came from the quick one", s.IbGibs, len(blocks))
				}
				if s.Error == errTooSlow.Error() {
					gone++
				}
			}
			for _, x := range lines {
				if n := x.answers.Load(); n > c.most {
					t.Errorf("a slow one answered %d times, once a second", n)
				}
			}
			if (gone > 0) != (c.slow > maxFetchAsked) {
				t.Errorf("%d slow ones gave way", gone)
			}
		})
	}
}

// One that has given next to nothing in some seconds, while another one gave the rest, is
// marked; the next fetch asks it last.
func TestSlowProviderIsMarked(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds until one is known to be slow")
	}
	a, _, frames, _ := archive(t, 300)
	target := frames[299]
	blocks := blocksOf(t, a, target)
	slow := provideSlowly(t, &liar{blocks: blocks})
	// The other one gives the oldest frames when the slow one has been asked for so long.
	late := blocksOf(t, a, frames[9])
	quick := &liar{blocks: blocks, answer: func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		for _, h := range ask.Wants {
			if _, ok := late[h]; !ok {
				continue
			}
			select {
			case <-slow.enough:
			case <-t.Context().Done():
				return false
			}
		}
		send(l.truth(ask, protocol.MaxFetchWants))
		return true
	}}
	info := quick.provide(t)
	b := reader(t)
	res := mustFetch(t, b, target, slow.at, info.Addrs[0].String()+"/p2p/"+info.ID.String())
	isSound(t, b, target)
	if mark := b.marks.of(slow.id); mark == nil || mark.Kind != MarkFailed || res.Sources[0].Mark != MarkFailed {
		t.Errorf("marked %+v, %+v", mark, res.Sources)
	}
	if mark := b.marks.of(info.ID); mark != nil {
		t.Errorf("the other one is marked %+v", mark)
	}
}
