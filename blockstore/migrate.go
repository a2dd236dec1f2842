package blockstore

import (
	"encoding/binary"
	"fmt"
)

// formatVersion is the version of the key layout and records (FORMAT.md).
const formatVersion = 1

// A format is a version of the key layout and records, with the ways to it from
// older ones.
type format struct {
	version uint64
	// from has, for each older version that can be migrated, the step to the next
	// one.
	from map[uint64]migration
}

// A migration changes the records of one version into those of the next, in as
// many batches as it likes. It must bear being cut off after any of them and begun
// again. done counts what it has looked at.
type migration func(engine kv, done func(n int)) error

// ourFormat is the format of this program. There are no older ones yet.
func ourFormat() format {
	return format{version: formatVersion}
}

// Migration is the progress of bringing a store to the format of this program.
type Migration struct {
	From, To int // format versions of the step at hand
	Done     int // records looked at in this step
}

// migrate brings an engine with an older format to this one, a version at a time.
// The engine bears the version that it has reached.
func (f format) migrate(engine kv, progress func(Migration)) error {
	for {
		at, err := formatOf(engine)
		if err != nil || at == f.version {
			return err
		}
		if at > f.version {
			return fmt.Errorf("%w: %d, this program knows up to %d; install the newer program", ErrNewer, at, f.version)
		}
		step, ok := f.from[at]
		if !ok {
			return fmt.Errorf("there is no way from format %d to %d", at, f.version)
		}
		m := Migration{From: int(at), To: int(at) + 1}
		tell := func(n int) {
			m.Done += n
			if progress != nil {
				progress(m)
			}
		}
		tell(0)
		if err := step(engine, tell); err != nil {
			return fmt.Errorf("migrate from format %d to %d: %w", m.From, m.To, err)
		}
		b := newBatch()
		b.put(keyFormat, binary.AppendUvarint(nil, at+1))
		if err := engine.write(b); err != nil {
			return err
		}
	}
}

// formatOf returns the format that an engine has.
func formatOf(engine kv) (uint64, error) {
	snap := engine.snapshot()
	defer snap.release()
	b, found, err := snap.get(keyFormat)
	if err != nil {
		return 0, err
	}
	if v, n := binary.Uvarint(b); found && n == len(b) && v > 0 {
		return v, nil
	}
	return 0, corrupt("meta", keyFormat, errRecord)
}
