package blockstore

import "fmt"

// journal checks the journal.
func (v *verifier) journal() error {
	b, found, err := v.snap.get(keyJournal)
	if err != nil || !found {
		return err
	}
	state, err := decodeJournalState(b)
	if err != nil {
		v.problem("journal", string(keyJournal), "%v", err)
		return nil
	}
	var bytes [JournalLogs]uint64
	if err := eachJournalRecord(v.snap, state, func(log JournalLog, seq uint64, value []byte) error {
		bytes[log] += uint64(len(value))
		if !soundJournalRecord(value) {
			v.problem("journal", fmt.Sprintf("log %d record %d", log, seq), "it does not decode, or is missing")
		}
		return v.step()
	}); err != nil {
		return err
	}
	for log, l := range state {
		if l.bytes != bytes[log] {
			v.problem("journal", fmt.Sprintf("log %d", log), "has %d bytes, must have %d", bytes[log], l.bytes)
		}
	}
	return nil
}

func soundJournalRecord(value []byte) bool {
	_, order := decodeJournalRecord(value)
	return order > 0
}

// eachJournalRecord calls f for each record that the journal should have; value is nil
// for one that it has not.
func eachJournalRecord(snap snapshot, state journalState, f func(log JournalLog, seq uint64, value []byte) error) error {
	for log, l := range state {
		for seq := l.first(); seq <= l.last && l.count > 0; seq++ {
			value, _, err := snap.get(journalKey(JournalLog(log), seq))
			if err != nil {
				return err
			}
			if err := f(JournalLog(log), seq, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// journal puts gaps in the place of records that are damaged or missing. A state that was
// damaged may be behind what there was, so places in it are no longer good.
func (r *repairer) journal() error {
	snap := r.s.kv.snapshot()
	defer snap.release()
	b, found, err := snap.get(keyJournal)
	if err != nil || !found {
		return err
	}
	is, damaged := decodeJournalState(b)
	state, err := journalOf(snap)
	if err != nil {
		return err
	}
	if damaged != nil {
		r.newEpoch = true
	}
	out := newBatch()
	var bytes [JournalLogs]uint64
	if err := eachJournalRecord(snap, state, func(log JournalLog, seq uint64, value []byte) error {
		if !soundJournalRecord(value) {
			r.report.Mended++
			value = encodeJournalRecord(JournalEntry{Gone: 1}, 1)
			out.put(journalKey(log, seq), value)
		}
		bytes[log] += uint64(len(value))
		if out.full(0, 0) {
			if err := r.s.kv.write(out); err != nil {
				return err
			}
			out.reset()
		}
		return r.step()
	}); err != nil {
		return err
	}
	for log := range state {
		state[log].bytes = min(bytes[log], 2*maxJournalBytes)
	}
	if damaged != nil || is != state {
		r.report.Mended++
		out.put(keyJournal, encodeJournalState(state))
	}
	if out.empty() {
		return nil
	}
	return r.s.kv.write(out)
}
