package blockstore

import (
	"context"
	"testing"
)

// damage is something wrong with one record, with the kind of problem that Verify
// reports.
type damage struct {
	name, kind string
	do         func(snap snapshot, b *batch)
}

func damages(t *testing.T) []damage {
	first := func(snap snapshot, prefix []byte) (key, value []byte) {
		snap.scan(prefix, nil, func(k, v []byte) (bool, error) {
			key, value = append([]byte(nil), k...), append([]byte(nil), v...)
			return false, nil
		})
		return key, value
	}
	ofMember := func(change func(m *member)) func(snap snapshot, b *batch) {
		return func(snap snapshot, b *batch) {
			key, _ := first(snap, sharePrefix(prefixEntry, DefaultShare))
			m, _, _ := memberOf(snap, DefaultShare, lastHash(key))
			change(&m)
			b.put(shareKey(prefixMember, DefaultShare, lastHash(key)), encodeMember(m))
		}
	}
	return []damage{
		{"content of a block", "gib", func(snap snapshot, b *batch) {
			key, value := first(snap, []byte{prefixBlock})
			value[len(value)-3] ^= 1
			b.put(key, value)
		}},
		{"block gone", "member", func(snap snapshot, b *batch) {
			key, _ := first(snap, []byte{prefixBlock})
			b.remove(key)
		}},
		{"member record", "member", func(snap snapshot, b *batch) {
			key, value := first(snap, sharePrefix(prefixMember, DefaultShare))
			b.put(key, value[:len(value)-1])
		}},
		{"slot of another block", "member", ofMember(func(m *member) { m.slot++ })},
		{"slot of none", "member", ofMember(func(m *member) { m.slot += 1 << 40 })},
		{"closed flag", "closed", ofMember(func(m *member) { m.closed = false })},
		{"frame gone", "frame", ofMember(func(m *member) { m.frame = nil })},
		{"frame changed", "frame", ofMember(func(m *member) { m.frame.N += 5 })},
		{"head gone", "head", func(snap snapshot, b *batch) {
			key, _ := first(snap, sharePrefix(prefixEntry, DefaultShare))
			b.remove(key)
		}},
		{"latest changed", "head", func(snap snapshot, b *batch) {
			key, value := first(snap, sharePrefix(prefixEntry, DefaultShare))
			e, _ := decodeEntry(value)
			e.N += 2
			b.put(key, encodeEntry(e))
		}},
		{"only head pinned as latest", "pin", func(snap snapshot, b *batch) {
			key, value := first(snap, sharePrefix(prefixEntry, DefaultShare))
			e, _ := decodeEntry(value)
			e.Pinned = true
			b.put(key, encodeEntry(e))
		}},
		{"fingerprint", "fingerprint", func(snap snapshot, b *batch) {
			key, value := first(snap, sharePrefix(prefixState, DefaultShare))
			value[0] ^= 1
			b.put(key, value)
		}},
		{"change log", "change-log", func(snap snapshot, b *batch) {
			key, _ := first(snap, sharePrefix(prefixChange, DefaultShare))
			b.remove(key)
		}},
		{"pin gone", "pin", func(snap snapshot, b *batch) {
			key, _ := first(snap, sharePrefix(prefixPin, DefaultShare))
			b.remove(key)
		}},
		{"pin of nothing", "pin", func(_ snapshot, b *batch) {
			absent := link(t, "absent")
			b.put(shareKey(prefixPin, DefaultShare, absent.Hash()), appendAddr(nil, absent.Addr()))
		}},
		{"entry of a pin", "pin", func(snap snapshot, b *batch) {
			key, _ := first(snap, sharePrefix(prefixPin, DefaultShare))
			b.remove(shareKey(prefixEntry, DefaultShare, lastHash(key)))
		}},
		{"stone with another head", "head", func(snap snapshot, b *batch) {
			key, value := first(snap, sharePrefix(prefixPin, DefaultShare))
			p, _ := decodePin(key, value)
			e := stoneEntry(p)
			e.Heads[0] = link(t, "other").Addr()
			b.put(shareKey(prefixEntry, DefaultShare, lastHash(key)), encodeEntry(e))
		}},
		{"waiting record", "waiting", func(snap snapshot, b *batch) {
			key, _ := first(snap, sharePrefix(prefixEntry, DefaultShare))
			h := lastHash(key)
			m, _, _ := memberOf(snap, DefaultShare, h)
			b.put(shareKey(prefixWaiting, DefaultShare, h, h), appendAddr(nil, m.addr))
		}},
	}
}

// TestVerifyFinds damages one record after the other.
func TestVerifyFinds(t *testing.T) {
	for _, c := range damages(t) {
		t.Run(c.name, func(t *testing.T) {
			engine := newMemoryKV()
			s, err := open(engine, Options{})
			if err != nil {
				t.Fatal(err)
			}
			stone := link(t, "stone")
			if err := putAll(s, append(manyTimelines(t, 3), stone)); err != nil {
				t.Fatal(err)
			}
			if err := s.SetPin(context.Background(), DefaultShare, stone.Addr()); err != nil {
				t.Fatal(err)
			}
			verifyClean(t, s)
			b := newBatch()
			c.do(engine.snapshot(), b)
			if err := engine.write(b); err != nil {
				t.Fatal(err)
			}
			report, err := s.Verify(context.Background(), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range report.Problems {
				if p.Kind == c.kind {
					return
				}
			}
			t.Errorf("found %v, want a problem of kind %s", report.Problems, c.kind)
		})
	}
}
