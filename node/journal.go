package node

import (
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
)

const (
	// journalGather is how long events of peers and sagas wait for others, to be written
	// with them: a saga that is over soon costs one write, beside its own.
	journalGather = 50 * time.Millisecond
	// journalPace is the time that each one takes at least: a flood of them is no flood
	// of writes.
	journalPace = 5 * time.Millisecond
	// journalQueue bounds those of a log that wait; of more only the number is kept.
	journalQueue = 512
)

// kept is what the journal of the store keeps of an event, as JSON.
type kept struct {
	Event
	// In is the number of the share that a merge was made in, which may get another name.
	In blockstore.Share `json:"in,omitempty"`
}

// decodeKept reads what the journal keeps; false if that is not an event of its log.
func decodeKept(r blockstore.JournalRecord) (k kept, ok bool) {
	if err := json.Unmarshal(r.Text, &k); err != nil {
		return k, false
	}
	want := Event{Time: k.Time}
	switch r.Log {
	case blockstore.MergeLog:
		want.Kind, want.Merge, ok = EventMerge, k.Merge, k.Merge != nil
	case blockstore.PeerLog:
		want.Kind, want.Peer, ok = EventPeer, k.Peer, k.Peer != nil
	case blockstore.SagaLog:
		want.Kind, want.Saga, ok = EventSaga, k.Saga, k.Saga != nil
	}
	return k, ok && k.Event == want
}

// journal writes the events of peers and sagas to the store, off the path of what they
// tell of. Subscribers read them there.
type journal struct {
	store  *blockstore.Store
	events *events
	log    *slog.Logger
	hurry  chan struct{} // closed by close
	join   sync.WaitGroup

	mu      sync.Mutex // guards what follows
	closed  bool
	running bool
	queue   []blockstore.JournalEntry
	waiting [blockstore.JournalLogs]int
	gone    [blockstore.JournalLogs]uint64 // did not get into the queue
}

func newJournal(store *blockstore.Store, events *events, log *slog.Logger) *journal {
	return &journal{store: store, events: events, log: log, hurry: make(chan struct{})}
}

// tell has an event written. It never waits.
func (j *journal) tell(in blockstore.JournalLog, e Event) {
	e.Time = j.events.now().UTC()
	text, err := json.Marshal(kept{Event: e})
	if err != nil {
		j.log.Error("event not encoded", "error", err)
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return
	case j.waiting[in] == journalQueue:
		j.gone[in]++
		return
	}
	j.waiting[in]++
	j.queue = append(j.queue, blockstore.JournalEntry{Log: in, Text: text})
	if !j.running {
		j.running = true
		j.join.Go(j.run)
	}
}

// run writes until nothing waits.
func (j *journal) run() {
	pause := time.NewTimer(journalGather)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-j.hurry:
		}
		entries := j.take()
		if len(entries) == 0 {
			return
		}
		if err := j.store.AppendJournal(entries); err != nil {
			j.log.Warn("events not kept", "events", len(entries), "error", err)
			j.pass(entries)
		}
		pause.Reset(max(journalGather, time.Duration(len(entries))*journalPace))
	}
}

// take returns what waits. Whoever gets nothing has to return.
func (j *journal) take() []blockstore.JournalEntry {
	j.mu.Lock()
	defer j.mu.Unlock()
	entries := j.queue
	for log, n := range j.gone {
		if n > 0 {
			entries = append(entries, blockstore.JournalEntry{Log: blockstore.JournalLog(log), Gone: n})
		}
	}
	j.queue, j.running = nil, len(entries) > 0
	clear(j.waiting[:])
	clear(j.gone[:])
	return entries
}

// pass tells subscribers of what could not be written.
func (j *journal) pass(entries []blockstore.JournalEntry) {
	for _, e := range entries {
		if k, ok := decodeKept(blockstore.JournalRecord{Log: e.Log, Text: e.Text}); ok {
			j.events.publish(k.Event)
		}
	}
}

// close writes what waits, and returns when that is done. What is told later is lost.
func (j *journal) close() {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	close(j.hurry)
	j.join.Wait()
}
