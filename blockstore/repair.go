package blockstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// RepairReport tells what Repair did.
type RepairReport struct {
	Mended int          `json:"mended"`         // records of the index that were wrong
	Lost   []Problem    `json:"lost"`           // what could not be mended; at most 1,000
	Moved  []MovedHeads `json:"moved"`          // entries with other heads than before; at most 1,000
	More   int          `json:"more,omitempty"` // of both, beyond those
}

// MovedHeads is an entry whose heads Repair changed: back to the newest frames
// whose closure is there, or on, where the index had lost them.
type MovedHeads struct {
	Share Share        `json:"share"`
	Root  ibgib.Addr   `json:"root"`
	Was   []ibgib.Addr `json:"was"` // empty: there was no entry, or none that could be read
	Now   []ibgib.Addr `json:"now"` // empty: there is none any more
}

// Repair mends what Verify finds. It recomputes every gib, removes and lists what is
// damaged, and makes the index of every share anew from the blocks: closed flags,
// waiting records, frames, heads, change log and fingerprint. What needs a block that
// is gone waits for it again, so that a later sync brings it, and the heads above it
// fall back; Damage and Mend, called before, keep that from happening. The store gets a
// new epoch if its change log cannot be trusted.
//
// Other writers wait until Repair has ended. If it is cut off, the next Open begins it
// again before it serves. It remembers about 150 bytes for each member of the share at
// hand, and where each block lies. progress, if not nil, is called now and then with
// the number of records looked at. It fails with ErrBusy while GC is running.
func (s *Store) Repair(ctx context.Context, progress func(done int)) (RepairReport, error) {
	r := newRepairer(s, progress)
	r.check = ctx.Err
	err := func() error {
		if err := s.life.enter(); err != nil {
			return err
		}
		defer s.life.leave()
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.stopExpiry(); err != nil {
			return err
		}
		if err := s.space.check(); err != nil {
			return err
		}
		defer s.watches.repaired()
		defer s.journaled.repaired()
		return r.run()
	}()
	if err != nil {
		return r.report, fmt.Errorf("blockstore: repair: %w", err)
	}
	return r.report, nil
}

// resumeRepair does again what a repair that was cut off may have left undone.
func (s *Store) resumeRepair() error {
	snap := s.kv.snapshot()
	cut, err := snap.has(keyRepair)
	snap.release()
	if err != nil || !cut {
		return err
	}
	return newRepairer(s, nil).run()
}

// A repairer is one run of Repair. Store.mu is held.
type repairer struct {
	s        *Store
	check    func() error // an error ends the run
	progress func(int)
	report   RepairReport
	done     int
	slots    map[ibgib.Hash]uint64 // where each sound block lies
	gone     map[ibgib.Hash]bool   // blocks listed as lost
	newEpoch bool
}

func newRepairer(s *Store, progress func(int)) *repairer {
	return &repairer{
		s: s, progress: progress, check: func() error { return nil },
		slots: make(map[ibgib.Hash]uint64), gone: make(map[ibgib.Hash]bool),
		report: RepairReport{Lost: []Problem{}, Moved: []MovedHeads{}},
	}
}

func (r *repairer) run() error {
	begin := newBatch()
	begin.put(keyRepair, nil)
	begin.put(keyUndecided, []byte{1})
	if err := r.s.kv.write(begin); err != nil {
		return err
	}
	r.s.undecided.none, r.s.undecided.all = false, false // RetryMerges looks for all
	r.s.recent.clear()
	if err := r.blocks(); err != nil {
		return err
	}
	shares, err := r.s.shares()
	if err != nil {
		return err
	}
	for _, share := range shares {
		if err := r.repairShare(share); err != nil {
			return fmt.Errorf("share %d: %w", share, err)
		}
	}
	if err := r.journal(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	end := newBatch()
	end.remove(keyRepair)
	epoch := r.s.Epoch()
	if r.newEpoch {
		rand.Read(epoch[:])
		end.put(keyEpoch, slices.Clone(epoch[:]))
	}
	if err := r.s.kv.write(end); err != nil {
		return err
	}
	r.s.epoch.Store(&epoch)
	return nil
}

// step counts one record, and tells of it now and then.
func (r *repairer) step() error {
	r.done++
	if r.progress != nil && r.done%1000 == 0 {
		r.progress(r.done)
	}
	return r.check()
}

func (r *repairer) lost(kind, item, detail string) {
	if len(r.report.Lost) >= maxListed {
		r.report.More++
		return
	}
	r.report.Lost = append(r.report.Lost, Problem{kind, item, detail})
}

// damaged is a block that is not what it must be.
type damaged struct {
	slot   uint64
	addr   ibgib.Addr // zero if it does not show
	reason string
}

// blocks recomputes every gib, and removes what is damaged. It finds
// out where each block lies.
func (r *repairer) blocks() error {
	var list []damaged
	snap := r.s.snapshot()
	defer snap.release()
	err := snap.scan([]byte{prefixBlock}, nil, func(key, value []byte) (bool, error) {
		g, err := checkBlock(value)
		if err != nil {
			list = append(list, damaged{slot: blockSlot(key), addr: claimed(err), reason: err.Error()})
		} else {
			r.slots[g.Hash()] = blockSlot(key)
		}
		return true, r.step()
	})
	if err != nil || len(list) == 0 {
		return err
	}
	if err := r.identify(snap, list); err != nil {
		return err
	}
	for _, d := range list {
		b := newBatch()
		b.remove(blockKey(d.slot))
		if err := r.s.kv.write(b); err != nil {
			return err
		}
		h, _ := d.addr.Hash()
		if _, another := r.slots[h]; another {
			continue
		}
		r.lose(h, d.addr, fmt.Sprintf("block %d", d.slot), "gib", d.reason)
	}
	return nil
}

// identify finds the addresses of damaged blocks in the memberships, which tell
// them more surely than what is damaged.
func (r *repairer) identify(snap snapshot, list []damaged) error {
	bySlot := make(map[uint64]*damaged, len(list))
	for i := range list {
		bySlot[list[i].slot] = &list[i]
	}
	return snap.scan([]byte{prefixMember}, nil, func(key, value []byte) (bool, error) {
		if m, err := decodeMember(lastHash(key), value); err == nil {
			if d := bySlot[m.slot]; d != nil {
				d.addr = m.addr
			}
		}
		return true, r.step()
	})
}

// checkBlock recomputes the gib of a block. The error is a *ibgib.Refusal if the
// record itself is sound.
func checkBlock(value []byte) (ibgib.IbGib, error) {
	content, err := blockContent(value)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	return ibgib.Verify(slices.Clone(content))
}

// claimed returns the address that a refused ibGib claims, zero if none.
func claimed(err error) ibgib.Addr {
	var refusal *ibgib.Refusal
	if !errors.As(err, &refusal) {
		return ibgib.Addr{}
	}
	a, err := ibgib.ParseAddr(refusal.Addr)
	if err != nil {
		return ibgib.Addr{}
	}
	return a
}

// lose lists a block as lost, once; by name if its address is not known.
func (r *repairer) lose(h ibgib.Hash, addr ibgib.Addr, name, kind, reason string) {
	if h != (ibgib.Hash{}) && r.gone[h] {
		return
	}
	r.gone[h] = true
	if !addr.IsZero() {
		name = addr.String()
	}
	r.lost(kind, name, reason)
}
