package blockstore

import (
	"bytes"
	"context"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// diverged returns a store with a timeline of two heads, the lower one of which is
// pinned.
func diverged(t *testing.T) (engine *memoryKV, s *Store, low, high ibgib.IbGib) {
	t.Helper()
	engine = newMemoryKV()
	s, err := open(engine, Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := chain(t, "task", 2)
	high = all[len(all)-1]
	res, err := ibgib.Mut8(all[len(all)-4], ibgib.Mut8Options{
		Patch: ibgib.Object(ibgib.Member{Name: "v", Value: ibgib.String("low")}), NoTimestamp: true, NCounter: true, Dna: true,
	}, ibgib.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if err := putAll(s, append(all, res.All()...)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PinLatest(context.Background(), DefaultShare, res.New.Addr()); err != nil {
		t.Fatal(err)
	}
	return engine, s, res.New, high
}

func onlyEntry(t *testing.T, s *Store) Entry {
	t.Helper()
	for e, err := range s.View(DefaultShare).Entries(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	t.Fatal("no entry")
	return Entry{}
}

// TestPinOutlastsRebuild makes the index anew, as other rules would.
func TestPinOutlastsRebuild(t *testing.T) {
	engine, _, low, _ := diverged(t)
	b := newBatch()
	b.put(keyRules, []byte{timeline.RulesVersion + 1})
	if err := engine.write(b); err != nil {
		t.Fatal(err)
	}
	s, err := open(engine, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if e := onlyEntry(t, s); e.Latest != low.Addr() || !e.Pinned || len(e.Heads) != 2 {
		t.Errorf("entry %+v", e)
	}
	verifyClean(t, s)
}

// TestRepairTellsOfLostPin loses the pinned head.
func TestRepairTellsOfLostPin(t *testing.T) {
	engine, s, low, high := diverged(t)
	b := newBatch()
	b.remove(keyOfBlock(t, engine, low))
	if err := engine.write(b); err != nil {
		t.Fatal(err)
	}
	s.recent.clear()
	report, err := s.Repair(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[string]int)
	for _, p := range report.Lost {
		kinds[p.Kind]++
	}
	if kinds["pin"] != 1 || len(report.Lost) != 2 {
		t.Errorf("lost %+v, want the block and the pin", report.Lost)
	}
	if e := onlyEntry(t, s); e.Latest != high.Addr() || e.Pinned || len(e.Heads) != 1 {
		t.Errorf("entry %+v", e)
	}
	verifyClean(t, s)
}

func TestEntryFlags(t *testing.T) {
	_, s, _, _ := diverged(t)
	e := onlyEntry(t, s)
	e.HasN = false
	e.N = 0
	plain := encodeEntry(e)
	for flags := range 256 {
		b := append([]byte(nil), plain...)
		b[len(b)-1] = byte(flags)
		if flags&entryN != 0 {
			b = append(b, 2)
		}
		if flags&entryConflict != 0 {
			b = append(b, 1, 'r', 1, 'd', 0, 0)
		}
		got, err := decodeEntry(b)
		var valid bool
		switch flags &^ (entryN | entryHeld) {
		case entryStone:
			valid = flags == entryStone
		case 0, entryPinned, entryMerged, entryConflict:
			valid = true
		}
		if valid != (err == nil) {
			t.Errorf("flags %d: %v", flags, err)
		}
		if err == nil && !bytes.Equal(encodeEntry(got), b) {
			t.Errorf("flags %d: encoded again as %x, want %x", flags, encodeEntry(got), b)
		}
	}
}
