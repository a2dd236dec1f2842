package node

import (
	"errors"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/saga"
)

// lastSyncs remembers how the last saga about each share with each peer ended, since this
// node was opened: those that had nothing to move leave no record.
type lastSyncs struct {
	mu     sync.Mutex
	byPeer map[peer.ID]map[string]LastSync // then by the label of the share
}

func newLastSyncs() *lastSyncs {
	return &lastSyncs{byPeer: make(map[peer.ID]map[string]LastSync)}
}

// note takes the end of a saga about a share. One that had to wait for another is none.
func (l *lastSyncs) note(p peer.ID, share string, at time.Time, r saga.Result, err error) {
	if isBusy(err) {
		return
	}
	last := LastSync{SagaID: r.SagaID.String(), Share: share, Ended: at.UTC().Truncate(time.Second), Converged: err == nil && r.Converged}
	if err != nil {
		failure := failureOf(err)
		last.Code, last.Error = failure.Code, failure.Text
		var e *saga.Error
		last.stranger = errors.As(err, &e) && e.Remote && e.Code == saga.CodeUntrusted && e.Reason == ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byPeer[p] == nil {
		l.byPeer[p] = make(map[string]LastSync)
	}
	l.byPeer[p][share] = last
}

func (l *lastSyncs) forget(p peer.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byPeer, p)
}

// of returns the last saga with a peer about one of these shares, given the newest one on
// record; nil if there was none. What failed and has not succeeded since goes before what
// went well in another share, and the first share before the others.
func (l *lastSyncs) of(p peer.ID, shares []string, recorded *LastSync) *LastSync {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found *LastSync
	for _, share := range shares {
		last, ok := l.byPeer[p][share]
		switch {
		case !ok:
		case last.Error != "":
			return &last
		case found == nil || last.Ended.After(found.Ended):
			found = &last
		}
	}
	if found == nil {
		return recorded
	}
	return found
}

// newest returns the newest saga with each peer among records, newest first.
func newest(records []SagaRecord) map[string]*LastSync {
	byPeer := make(map[string]*LastSync)
	for _, r := range records {
		if byPeer[r.Peer] != nil {
			continue
		}
		last := &LastSync{SagaID: r.SagaID, Share: r.Share, Ended: r.Ended, Converged: r.Converged}
		if r.Error != nil {
			last.Code, last.Error = r.Error.Code, r.Error.Text
		}
		byPeer[r.Peer] = last
	}
	return byPeer
}
