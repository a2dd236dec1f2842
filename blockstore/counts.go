package blockstore

import "sync/atomic"

// Counts are what a store has done since it was opened, in all shares; what a node keeps
// about itself, in the local area, is left out.
type Counts struct {
	IbGibs     uint64 // that have come, those counted that were removed since
	Bytes      uint64 // of their stored forms
	Moved      uint64 // heads of entries
	Merges     uint64
	Overridden uint64 // writes that the merges have put others in the place of
	Skipped    uint64 // changes that did not fit in the merges
}

// counts are Counts as they grow.
type counts struct {
	ibGibs, bytes, moved, merges, overridden, skipped atomic.Uint64
}

// Counts returns what the store has done since it was opened. It does not wait for
// writers.
func (s *Store) Counts() Counts {
	c := &s.counts
	return Counts{
		IbGibs: c.ibGibs.Load(), Bytes: c.bytes.Load(), Moved: c.moved.Load(),
		Merges: c.merges.Load(), Overridden: c.overridden.Load(), Skipped: c.skipped.Load(),
	}
}

// took counts a block that has come.
func (c *counts) took(share Share, bytes int) {
	if share != LocalArea {
		c.ibGibs.Add(1)
		c.bytes.Add(uint64(bytes))
	}
}

// committed counts what a commit has done.
func (c *counts) committed(share Share, done Counts) {
	if share != LocalArea {
		c.moved.Add(done.Moved)
		c.merges.Add(done.Merges)
		c.overridden.Add(done.Overridden)
		c.skipped.Add(done.Skipped)
	}
}

// tellRejected tells the owner of the store of something that was kept out of the index.
func (s *Store) tellRejected(share Share, rule string) {
	if s.rejected != nil && share != LocalArea {
		s.rejected(rule)
	}
}

// Engine is how the engine of a store is doing; all zero in memory.
type Engine struct {
	Tables, Values int64  // bytes of its files: tables, and large values, as of the last minute
	Writes         uint64 // since the store was opened
}

// Engine returns how the engine is doing. It does not wait for writers.
func (s *Store) Engine() (Engine, error) {
	engine, ok := s.kv.(*badgerKV)
	if !ok {
		return Engine{}, nil
	}
	if err := s.life.enter(); err != nil {
		return Engine{}, err
	}
	defer s.life.leave()
	e := Engine{Writes: engine.writes.Load()}
	e.Tables, e.Values = engine.db.Size()
	return e, nil
}
