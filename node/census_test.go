package node

import (
	"context"
	"testing"
	"time"
)

func TestWhenACensusIsDue(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		last   *counted
		after  time.Duration
		writes uint64
		want   bool
	}{
		{nil, 0, 0, true},
		{&counted{at: at, writes: 1}, time.Hour, 1, false},
		{&counted{at: at, writes: 1}, censusEvery - 1, 2, false},
		{&counted{at: at, writes: 1}, censusEvery, 2, true},
		{&counted{at: at, took: 2 * time.Second, writes: 1}, 200*time.Second - 1, 2, false},
		{&counted{at: at, took: 2 * time.Second, writes: 1}, 200 * time.Second, 2, true},
	} {
		if got := c.last.isDue(at.Add(c.after), c.writes); got != c.want {
			t.Errorf("%+v, %s later with %d writes: due %t", c.last, c.after, c.writes, got)
		}
	}
}

// The index is counted when it has changed, and not each time that somebody asks, nor again
// for one who did not wait.
func TestCensus(t *testing.T) {
	n := openHere(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	n.now = func() time.Time { return now }
	counts := func(timelines int) func() bool {
		return func() bool {
			c, err := n.takeCensus(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if c != nil && c.Timelines != timelines {
				t.Fatalf("%d timelines, want %d", c.Timelines, timelines)
			}
			return c != nil
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.takeCensus(gone); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the census is taken", counts(0))
	writeNote(t, n, "note")
	counts(0)()
	now = now.Add(censusEvery)
	eventually(t, "the next one is taken", func() bool {
		c, err := n.takeCensus(t.Context())
		return err == nil && c.Timelines == 1
	})
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if n.beginCensus(t.Context(), 1<<40) != nil {
		t.Error("a census of a closed node has begun")
	}
}
