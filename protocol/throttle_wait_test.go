package protocol

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// spend sends n bytes in messages of one size through a valve and returns how
// long that took.
func spend(ctx context.Context, v *valve, size, n int) time.Duration {
	began := time.Now()
	for ; n > 0; n -= size {
		v.up(ctx, nil, size)
	}
	return time.Since(began)
}

func TestThrottle(t *testing.T) {
	const mib, message = 1 << 20, 256 << 10
	// What goes at once after a pause. It is no multiple of a message, so that a
	// run may take up to two messages longer.
	const burst = MaxMessage + maxLengthPrefix
	near := func(t *testing.T, got, want time.Duration) {
		t.Helper()
		if got < want-600*time.Millisecond || got > want+600*time.Millisecond {
			t.Errorf("took %s, want about %s", got, want)
		}
	}
	run := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}

	run("a peer", func(t *testing.T) {
		v := NewThrottle(Rates{PeerUpload: mib}, nil).join("a")
		near(t, spend(t.Context(), v, message, 10*mib+burst), 10*time.Second)
		v.close()
	})
	run("two peers", func(t *testing.T) {
		th := NewThrottle(Rates{Upload: mib, PeerUpload: 8 * mib}, nil)
		began := time.Now()
		var both sync.WaitGroup
		for _, id := range []string{"a", "b"} {
			both.Go(func() { spend(t.Context(), th.join(id), message, 5*mib+burst/2) })
		}
		both.Wait()
		near(t, time.Since(began), 10*time.Second)
	})
	run("no limit", func(t *testing.T) {
		v := NewThrottle(Rates{Download: mib}, nil).join("a")
		near(t, spend(t.Context(), v, message, 100*mib), 0)
	})
	run("short messages", func(t *testing.T) {
		v := NewThrottle(Rates{Upload: MinThrottle}, nil).join("a")
		spend(t.Context(), v, MaxMessage, 2*MaxMessage)
		near(t, spend(t.Context(), v, unthrottled, unthrottled), 0)
	})
	run("changed while it runs", func(t *testing.T) {
		th := NewThrottle(Rates{}, nil)
		v := th.join("a")
		th.SetRates(Rates{PeerUpload: mib})
		near(t, spend(t.Context(), v, message, 4*mib+burst), 4*time.Second)
		th.SetRates(Rates{Upload: 2 * mib})
		spend(t.Context(), v, message, burst)
		near(t, spend(t.Context(), v, message, 4*mib), 2*time.Second)
		th.SetRates(Rates{})
		near(t, spend(t.Context(), v, message, 100*mib), 0)
	})
	run("counted", func(t *testing.T) {
		th := NewThrottle(Rates{Upload: mib, Download: mib}, nil)
		v := th.join("a")
		v.up(t.Context(), nil, MaxMessage) // goes at once
		v.up(t.Context(), nil, unthrottled)
		if sent, received := th.Waits(); sent.Count+received.Count != 0 {
			t.Errorf("waits %v and %v where nothing had to wait", sent, received)
		}
		spend(t.Context(), v, message, 3*mib)
		sent, received := th.Waits()
		near(t, sent.Time, 3*time.Second)
		if sent.Count != 3*mib/message || received.Count != 0 {
			t.Errorf("waits %v and %v, want %d and none", sent, received, 3*mib/message)
		}
	})
	run("stopped", func(t *testing.T) {
		v := NewThrottle(Rates{Upload: MinThrottle}, nil).join("a")
		spend(t.Context(), v, MaxMessage, MaxMessage)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		near(t, spend(ctx, v, MaxMessage, MaxMessage), time.Second)
		stop := make(chan struct{})
		close(stop)
		began := time.Now()
		v.up(t.Context(), stop, MaxMessage)
		near(t, time.Since(began), 0)
	})
	run("forgets peers", func(t *testing.T) {
		th := NewThrottle(Rates{PeerUpload: mib}, nil)
		a, again := th.join("a"), th.join("a")
		a.close()
		if len(th.peers) != 1 {
			t.Error("forgot a peer with an open connection")
		}
		again.close()
		if len(th.peers) != 0 {
			t.Error("remembers a peer without connections")
		}
	})
	run("connections that follow each other", func(t *testing.T) {
		th := NewThrottle(Rates{PeerUpload: mib}, nil)
		one := func(key string) {
			v := th.join(key)
			defer v.close()
			spend(t.Context(), v, message, mib)
		}
		began := time.Now()
		for range 10 {
			one("a")
		}
		near(t, time.Since(began), 8*time.Second)
		for i := range 1000 {
			one(fmt.Sprint(i))
			time.Sleep(100 * time.Millisecond)
			if len(th.peers) > minTidy {
				t.Fatalf("remembers %d peers", len(th.peers))
			}
		}
		time.Sleep(time.Minute)
		for i := range 2000 {
			th.join(fmt.Sprint(i)).close()
		}
		if len(th.peers) > 0 {
			t.Errorf("remembers %d peers a minute later", len(th.peers))
		}
	})
}
