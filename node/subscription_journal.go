package node

import (
	"context"

	"github.com/ibgib/ibgib-node/blockstore"
)

// journalPage is how many records are read from the journal at a time.
const journalPage = 64

// journalLogs are the logs of the journal in which events of the kinds wanted are.
func (s *Subscription) journalLogs() []blockstore.JournalLog {
	var logs []blockstore.JournalLog
	for _, l := range []struct {
		log  blockstore.JournalLog
		kind EventKind
	}{{blockstore.MergeLog, EventMerge}, {blockstore.PeerLog, EventPeer}, {blockstore.SagaLog, EventSaga}} {
		if s.wants(l.kind) {
			logs = append(logs, l.log)
		}
	}
	return logs
}

// readJournal takes the next page of the journal. Events that are not kept and wait by
// then came before what it reads: the progress of a saga does before its end.
func (s *Subscription) readJournal(ctx context.Context) error {
	left := journalPage
	var page []Event
	for r, err := range s.n.store.Journal(ctx, blockstore.JournalPlace{Epoch: s.at.epoch, Seqs: s.at.journal}, s.journalLogs()...) {
		if err != nil {
			return err
		}
		if left == 0 {
			break
		}
		left--
		s.at.journal[r.Log] = r.Seq
		page = s.takeRecord(page, r)
	}
	s.toRead = left == 0
	for {
		select {
		case e := <-s.queue:
			s.pending = append(s.pending, e)
			continue
		default:
		}
		s.pending = append(s.pending, page...)
		return nil
	}
}

// takeRecord adds the event of a record of the journal. What is gone is counted.
func (s *Subscription) takeRecord(page []Event, r blockstore.JournalRecord) []Event {
	gone := r.Gone
	if gone == 0 {
		k, ok := decodeKept(r)
		if ok {
			if k.Merge != nil && !s.inShare(k.Merge, k.In) {
				return page
			}
			k.ID = s.at.id()
			return append(page, k.Event)
		}
		gone = 1
	}
	if n := len(page); n > 0 && page[n-1].Missed != nil {
		gone += page[n-1].Missed.Events
		page = page[:n-1]
	}
	return append(page, s.gap(MissedEvent{Events: gone}))
}

// inShare gives a merge the name of its share; false if that has been deleted.
func (s *Subscription) inShare(m *Merge, number blockstore.Share) bool {
	for _, sh := range s.n.shares.all() {
		if sh.number == number {
			m.Share = sh.label()
			return true
		}
	}
	return false
}
