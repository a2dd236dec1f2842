package blockstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
)

// JournalLog names a log of the journal. Each has a sequence and bounds of its own, so
// that none pushes out what another one keeps.
type JournalLog uint8

// The logs of the journal.
const (
	MergeLog    JournalLog = iota // what commits have merged; see Options.Merged
	PeerLog                       // texts of AppendJournal
	SagaLog                       // texts of AppendJournal
	JournalLogs = iota            // how many there are
)

// Bounds of the journal: of a text, and of each log. A record lies beside its key, and
// what a commit adds and removes fits its batch.
const (
	MaxJournalText    = 60 << 10
	maxJournalRecords = 10_000
	maxJournalBytes   = 16 << 20
)

// JournalPlace is a place in the journal: in each log behind the record with that
// sequence, in the life of the store that Epoch names. 0 is the beginning.
type JournalPlace struct {
	Epoch [16]byte
	Seqs  [JournalLogs]uint64
}

// JournalRecord is a record of a log, or a gap in it.
type JournalRecord struct {
	Log  JournalLog
	Seq  uint64 // its own; of a gap: the last one of it
	Text []byte // nil: a gap
	Gone uint64 // how many a gap stands for: removed, unreadable, or never kept
}

// JournalEntry is what AppendJournal adds.
type JournalEntry struct {
	Log  JournalLog
	Text []byte // one that is empty or too long is a gap of 1
	Gone uint64 // if not 0, the entry is a gap that stands for so many
}

// AppendJournal adds entries to the journal, in their order, and removes the oldest
// of a log that has too many. They are durable when it returns. It fails with
// ErrDiskFull below the disk floor; then some of the entries may have been added.
func (s *Store) AppendJournal(entries []JournalEntry) error {
	err := func() error {
		if err := s.life.enter(); err != nil {
			return err
		}
		defer s.life.leave()
		s.mu.Lock()
		defer s.mu.Unlock()
		for len(entries) > 0 {
			if err := s.space.check(); err != nil {
				return err
			}
			n, err := s.appendSome(entries)
			if err != nil {
				return err
			}
			entries = entries[n:]
		}
		return nil
	}()
	if err != nil {
		return fmt.Errorf("blockstore: journal: %w", err)
	}
	s.journaled.moved(DefaultShare)
	return nil
}

// appendSome adds as many entries as fit a batch, and returns how many. Store.mu is held.
func (s *Store) appendSome(entries []JournalEntry) (n int, err error) {
	snap := s.kv.snapshot()
	defer snap.release()
	b := newBatch()
	var j journaling
	for n < len(entries) && !b.full(0, 0) {
		if err := j.add(b, snap, entries[n]); err != nil {
			return 0, err
		}
		n++
	}
	j.settle(b, func(key []byte) ([]byte, bool, error) {
		if o, ok := b.lookup(key); ok {
			return o.value, true, nil
		}
		return snap.get(key)
	})
	s.space.written += b.bytes
	return n, s.kv.write(b)
}

// WatchJournal is Watch for the journal.
func (s *Store) WatchJournal() (added <-chan struct{}, stop func()) {
	return s.journaled.add(func(Share) bool { return true })
}

// JournalEnd returns the end of the journal.
func (s *Store) JournalEnd(ctx context.Context) (p JournalPlace, err error) {
	if err := ctx.Err(); err != nil {
		return p, err
	}
	err = s.read(func(snap snapshot) error {
		p, _, err = journalEnd(snap)
		return err
	})
	return p, err
}

func journalEnd(snap snapshot) (p JournalPlace, state journalState, err error) {
	place, err := placeOf(snap, DefaultShare)
	if err != nil {
		return p, state, err
	}
	state, err = journalOf(snap)
	p.Epoch = place.Epoch
	for log, l := range state {
		p.Seqs[log] = l.last
	}
	return p, state, err
}

// Journal ranges over what has come into some logs since a place, in the order in
// which it came, all of one moment, which is held until the range ends. It fails with
// ErrOtherLog for a place that the journal does not have.
func (s *Store) Journal(ctx context.Context, since JournalPlace, logs ...JournalLog) iter.Seq2[JournalRecord, error] {
	return func(yield func(JournalRecord, error) bool) {
		err := s.read(func(snap snapshot) error {
			end, state, err := journalEnd(snap)
			if err != nil {
				return err
			}
			var cursors []*journalCursor
			for _, log := range logs {
				if since.Epoch != end.Epoch || since.Seqs[log] > end.Seqs[log] {
					return ErrOtherLog
				}
				c := &journalCursor{log: log, keeps: state[log], next: since.Seqs[log] + 1}
				c.load(snap)
				cursors = append(cursors, c)
			}
			for {
				if err := ctx.Err(); err != nil {
					return err
				}
				c := oldest(cursors)
				if c == nil || !yield(c.at, nil) {
					return nil
				}
				c.load(snap)
			}
		})
		if err != nil {
			yield(JournalRecord{}, err)
		}
	}
}

// journalCursor reads a log.
type journalCursor struct {
	log   JournalLog
	keeps journalLog
	next  uint64

	at    JournalRecord // what is read
	order uint64        // of at
	ended bool
}

// oldest returns the cursor of what came first, nil if all have ended.
func oldest(cursors []*journalCursor) (first *journalCursor) {
	for _, c := range cursors {
		if !c.ended && (first == nil || c.order < first.order) {
			first = c
		}
	}
	return first
}

// load goes on. What cannot be read is a gap, and stops nobody.
func (c *journalCursor) load(snap snapshot) {
	first := c.keeps.first()
	switch {
	case c.next > c.keeps.last:
		c.ended = true
	case c.next < first:
		c.at, c.order = JournalRecord{Log: c.log, Seq: first - 1, Gone: first - c.next}, 0
		c.next = first
	default:
		value, _, _ := snap.get(journalKey(c.log, c.next))
		c.at, c.order = decodeJournalRecord(value)
		c.at.Log, c.at.Seq = c.log, c.next
		c.next++
	}
}

func journalKey(log JournalLog, seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixJournal, byte(log)}, seq)
}

func encodeJournalRecord(e JournalEntry, order uint64) []byte {
	if e.Gone == 0 && (len(e.Text) == 0 || len(e.Text) > MaxJournalText) {
		e.Gone = 1
	}
	b := binary.AppendUvarint(binary.AppendUvarint(nil, order), e.Gone)
	if e.Gone > 0 {
		return b
	}
	return append(b, e.Text...)
}

// decodeJournalRecord returns a gap of 1 for what is damaged or not there.
func decodeJournalRecord(b []byte) (rec JournalRecord, order uint64) {
	r := reader{b: b}
	order, rec.Gone = r.uvarint(), r.uvarint()
	damaged := r.err != nil || (rec.Gone == 0) != (len(r.b) > 0) || len(r.b) > MaxJournalText
	switch {
	case damaged:
		return JournalRecord{Gone: 1}, 0
	case rec.Gone == 0:
		rec.Text = r.b
	}
	return rec, order
}
