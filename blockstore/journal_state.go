package blockstore

import (
	"encoding/binary"
	"time"
)

// journalLog is what a log keeps: the records up to last, so many of them, of so many
// bytes.
type journalLog struct {
	last, count, bytes uint64
}

func (l journalLog) first() uint64 { return l.last - l.count + 1 }

// journalState is the record of what the journal keeps. What lies beyond it is none of
// the journal.
type journalState [JournalLogs]journalLog

// maxJournalSeq bounds sequences: none is ever reached.
const maxJournalSeq = 1 << 62

func encodeJournalState(state journalState) []byte {
	var b []byte
	for _, l := range state {
		b = binary.AppendUvarint(b, l.last)
		b = binary.AppendUvarint(b, l.count)
		b = binary.AppendUvarint(b, l.bytes)
	}
	return b
}

func decodeJournalState(b []byte) (journalState, error) {
	var state journalState
	r := reader{b: b}
	for i := range state {
		l := journalLog{r.uvarint(), r.uvarint(), r.uvarint()}
		if l.last > maxJournalSeq || l.count > min(l.last, maxJournalRecords) || l.bytes > 2*maxJournalBytes {
			r.fail()
		}
		state[i] = l
	}
	return state, r.end()
}

// journalOf returns the state of the journal. One that is damaged is made anew from the
// records.
func journalOf(snap snapshot) (journalState, error) {
	b, found, err := snap.get(keyJournal)
	if err != nil || !found {
		return journalState{}, err
	}
	state, err := decodeJournalState(b)
	if err != nil {
		return countJournal(snap)
	}
	return state, nil
}

// countJournal makes the state from the records.
func countJournal(snap snapshot) (state journalState, err error) {
	for log := range state {
		l := &state[log]
		err := snap.scan([]byte{prefixJournal, byte(log)}, nil, func(key, value []byte) (bool, error) {
			if len(key) != len(journalKey(0, 0)) {
				return true, nil
			}
			seq := binary.BigEndian.Uint64(key[2:])
			if seq == 0 || seq > maxJournalSeq {
				return true, nil
			}
			if l.last == 0 {
				l.count = 1
			} else {
				l.count += seq - l.last // what is missing in between counts
			}
			l.last = seq
			l.bytes += uint64(len(value))
			return true, nil
		})
		if err != nil {
			return state, err
		}
		l.count = min(l.count, maxJournalRecords)
		l.bytes = min(l.bytes, 2*maxJournalBytes)
	}
	return state, nil
}

// journaling adds to the journal. Its records may be written in any number of batches
// beforehand: they count when the batch with settle is written.
type journaling struct {
	state journalState
	begun bool
}

// add adds an entry behind those that snap shows, and that were added before.
func (j *journaling) add(b recorder, snap snapshot, e JournalEntry) (err error) {
	if !j.begun {
		if j.state, err = journalOf(snap); err != nil {
			return err
		}
		j.begun = true
	}
	order := uint64(1)
	for _, l := range j.state {
		order += l.last
	}
	value := encodeJournalRecord(e, order)
	l := &j.state[e.Log]
	l.last, l.count, l.bytes = l.last+1, l.count+1, l.bytes+uint64(len(value))
	b.put(journalKey(e.Log, l.last), value)
	return nil
}

// settle makes what was added part of the journal, and removes the oldest where a log has
// too many.
func (j *journaling) settle(b recorder, get func(key []byte) ([]byte, bool, error)) {
	for log := range j.state {
		l := &j.state[log]
		for l.count > maxJournalRecords || l.bytes > maxJournalBytes && l.count > 0 {
			key := journalKey(JournalLog(log), l.first())
			value, _, _ := get(key) // what cannot be read is removed all the same
			l.bytes -= min(l.bytes, uint64(len(value)))
			l.count--
			b.remove(key)
		}
		if l.count == 0 {
			l.bytes = 0
		}
	}
	b.put(keyJournal, encodeJournalState(j.state))
}

// mergeJournaling adds the merges of one commit to the journal.
type mergeJournaling struct {
	journaling
	at    time.Time
	added int
	more  uint64 // beyond what the journal has room for
}

// journalMerge adds a merge to j, nil before the first one, and returns it. What is put is
// written with the commit, or before.
func (w *writer) journalMerge(j *mergeJournaling, m *Merge) (*mergeJournaling, error) {
	if w.s.merged == nil || w.share == LocalArea {
		return nil, nil
	}
	if j == nil {
		j = &mergeJournaling{at: w.s.arrivalTime()}
	}
	return j, j.addMerge(w, m)
}

func (j *mergeJournaling) addMerge(w *writer, m *Merge) error {
	if j.added == maxJournalRecords-1 {
		j.more++
		return nil
	}
	j.added++
	e := JournalEntry{Log: MergeLog, Text: w.s.merged(w.share, j.at, *m)}
	if err := j.add(w, w.snap, e); err != nil {
		return err
	}
	return w.flushIfFull()
}

// settle is called for the batch that makes the commit final, and does nothing on nil.
func (j *mergeJournaling) settle(w *writer) error {
	if j == nil {
		return nil
	}
	if j.more > 0 {
		if err := j.add(w, w.snap, JournalEntry{Log: MergeLog, Gone: j.more}); err != nil {
			return err
		}
	}
	j.journaling.settle(w, w.get)
	return nil
}

// dropUnsettled removes what commits have put beside the journal that never were made.
func (s *Store) dropUnsettled() error {
	snap := s.kv.snapshot()
	state, err := journalOf(snap)
	snap.release()
	if err != nil {
		return err
	}
	for log, l := range state {
		if err := s.removeAll([]byte{prefixJournal, byte(log)}, journalKey(JournalLog(log), l.last+1)); err != nil {
			return err
		}
	}
	return nil
}
