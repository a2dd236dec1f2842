package node

import (
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/saga"
)

func TestPace(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := newPace(func() time.Time { return now })
	at := func(after time.Duration, sent, received uint64, wanted, lacking, owed, owing int) SyncProgress {
		now = now.Add(after)
		return p.progress(saga.Progress{
			Stage: saga.StageDelta, Sent: saga.Totals{IbGibs: sent, Bytes: 100 * sent}, Received: saga.Totals{IbGibs: received, Bytes: 100 * received},
			Wanted: wanted, Lacking: lacking, Owed: owed, Owing: owing,
		})
	}
	if got := at(0, 0, 0, 0, 40, 0, 0); got.Rate != (Rate{}) || got.Heads != 0 || got.HeadsLeft != 0 || got.SecondsLeft != 0 {
		t.Errorf("before anything is known: %+v", got)
	}
	if got := at(0, 0, 0, 30, 30, 10, 10); got.Heads != 40 || got.HeadsLeft != 40 || got.SecondsLeft != 0 {
		t.Errorf("at the beginning: %+v", got)
	}
	if got := at(500*time.Millisecond, 50, 50, 30, 25, 10, 9); got.Rate != (Rate{200, 20000}) || got.SecondsLeft != 0 {
		t.Errorf("after half a second: %+v", got)
	}
	if got := at(100*time.Millisecond, 1000, 1000, 30, 25, 10, 9); got.Rate != (Rate{200, 20000}) {
		t.Errorf("too soon for another look: %+v", got)
	}
	if got := at(3400*time.Millisecond, 200, 200, 30, 20, 10, 10); got.Rate != (Rate{100, 10000}) || got.HeadsLeft != 30 || got.SecondsLeft != 12 {
		t.Errorf("after 4 seconds, a quarter done: %+v", got)
	}
	// The first seconds do not count for ever.
	at(5*time.Second, 400, 200, 30, 20, 10, 10)
	if got := at(5*time.Second, 900, 200, 30, 0, 10, 0); got.Rate != (Rate{100, 10000}) || got.HeadsLeft != 0 || got.SecondsLeft != 0 {
		t.Errorf("at the end: %+v", got)
	}
}
