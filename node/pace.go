package node

import (
	"time"

	"github.com/ibgib/ibgib-node/saga"
)

// Rates are those of the last paceWindow, looked at every paceStep.
const (
	paceWindow = 5 * time.Second
	paceStep   = 250 * time.Millisecond
)

// paceTrust is how long a saga runs before its end is estimated.
const paceTrust = time.Second

// pace watches how fast a saga goes. It is for one goroutine.
type pace struct {
	now  func() time.Time
	past []moment // within the window, oldest first
	rate Rate     // as of the last step

	begun time.Time // when there was something to move
}

// moment is what had moved at a time.
type moment struct {
	at      time.Time
	traffic Traffic // both ways
}

// Rate is how much moves in a second.
type Rate struct {
	IbGibs float64 `json:"ibgibs"`
	Bytes  float64 `json:"bytes"`
}

func newPace(now func() time.Time) *pace { return &pace{now: now} }

// progress says how far a saga has come and, as far as that shows, for how long it
// will go on: the heads that are still to come and to go, at the pace of those
// that have.
func (p *pace) progress(s saga.Progress) SyncProgress {
	now := p.now()
	moved := Traffic{IbGibs: s.Sent.IbGibs + s.Received.IbGibs, Bytes: s.Sent.Bytes + s.Received.Bytes}
	if len(p.past) == 0 || now.Sub(p.past[len(p.past)-1].at) >= paceStep {
		p.past = append(p.past, moment{now, moved})
		for len(p.past) > 2 && now.Sub(p.past[1].at) >= paceWindow {
			p.past = p.past[1:]
		}
		if seconds := now.Sub(p.past[0].at).Seconds(); seconds > 0 {
			was := p.past[0].traffic
			p.rate = Rate{float64(moved.IbGibs-was.IbGibs) / seconds, float64(moved.Bytes-was.Bytes) / seconds}
		}
	}
	progress := SyncProgress{
		SagaID: s.SagaID.String(), Stage: s.Stage.String(),
		Sent: Traffic(s.Sent), Received: Traffic(s.Received), Rate: p.rate,
		Differing: s.Differing, Lacking: s.Lacking,
		Queued: Traffic{IbGibs: uint64(s.Queued), Bytes: s.QueuedBytes},
		Heads:  s.Wanted + s.Owed, HeadsLeft: s.Lacking + s.Owing,
	}
	progress.HeadsLeft = min(progress.HeadsLeft, progress.Heads)
	if progress.Heads == 0 {
		return progress
	}
	if p.begun.IsZero() {
		p.begun = now
	}
	done := progress.Heads - progress.HeadsLeft
	if ran := now.Sub(p.begun); done > 0 && ran >= paceTrust {
		progress.SecondsLeft = ran.Seconds() / float64(done) * float64(progress.HeadsLeft)
	}
	return progress
}
