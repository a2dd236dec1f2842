package node

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/saga"
)

// lastSyncs remembers how the last saga with each peer ended, since this node was
// opened: those that had nothing to move leave no record.
type lastSyncs struct {
	mu     sync.Mutex
	byPeer map[peer.ID]LastSync
}

func newLastSyncs() *lastSyncs { return &lastSyncs{byPeer: make(map[peer.ID]LastSync)} }

// note takes the end of a saga. One that had to wait for another is none.
func (l *lastSyncs) note(p peer.ID, at time.Time, r saga.Result, err error) {
	if isBusy(err) {
		return
	}
	last := LastSync{SagaID: r.SagaID.String(), Ended: at.UTC().Truncate(time.Second), Converged: err == nil && r.Converged}
	if err != nil {
		last.Error = err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byPeer[p] = last
}

func (l *lastSyncs) forget(p peer.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byPeer, p)
}

// of returns the last saga with a peer, given the newest one on record; nil if there
// was none.
func (l *lastSyncs) of(p peer.ID, recorded *LastSync) *LastSync {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.byPeer[p]; ok {
		return &last
	}
	return recorded
}

// newest returns the newest saga with each peer among records, newest first.
func newest(records []SagaRecord) map[string]*LastSync {
	byPeer := make(map[string]*LastSync)
	for _, r := range records {
		if byPeer[r.Peer] != nil {
			continue
		}
		last := &LastSync{SagaID: r.SagaID, Ended: r.Ended, Converged: r.Converged}
		if r.Error != nil {
			last.Error = r.Error.Text
		}
		byPeer[r.Peer] = last
	}
	return byPeer
}
