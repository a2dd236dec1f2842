package blockstore

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// fakeFormat is a version that calls the prefix of pins 'q', and one after that,
// which calls it 'p' again.
func fakeFormat(trace *[]int) format {
	rename := func(from, to byte) migration {
		return func(engine kv, done func(int)) error {
			*trace = append(*trace, int(from))
			for {
				b := newBatch()
				snap := engine.snapshot()
				err := snap.scan([]byte{from}, nil, func(key, value []byte) (bool, error) {
					moved := bytes.Clone(key)
					moved[0] = to
					b.put(moved, bytes.Clone(value))
					b.remove(bytes.Clone(key))
					return len(b.ops) < 60, nil
				})
				snap.release()
				if err != nil || b.empty() {
					return err
				}
				if err := engine.write(b); err != nil {
					return err
				}
				done(len(b.ops) / 2)
			}
		}
	}
	return format{version: formatVersion + 2, from: map[uint64]migration{
		formatVersion:     rename(prefixPin, 'q'),
		formatVersion + 1: rename('q', prefixPin),
	}}
}

// TestMigrate brings a store over two versions, cut off after every write.
func TestMigrate(t *testing.T) {
	for cut := 0; ; cut++ {
		engine := newMemoryKV()
		s, err := open(engine, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := putAll(s, manyTimelines(t, 60)); err != nil {
			t.Fatal(err)
		}
		for a, err := range s.View(DefaultShare).Members(t.Context()) {
			if err == nil {
				err = s.SetPin(t.Context(), DefaultShare, a)
			}
			if err != nil && !errors.Is(err, ErrIncomplete) {
				t.Fatal(err)
			}
		}
		pins := countKeys(t, engine, prefixPin)
		var trace []int
		var seen []Migration
		opts := Options{Migrating: func(m Migration) { seen = append(seen, m) }}
		_, err = openAs(fakeFormat(&trace), &cutKV{kv: engine, left: cut}, opts)
		if err != nil && !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		if again, openErr := openAs(fakeFormat(&trace), engine, Options{}); openErr != nil {
			t.Fatalf("after a cut at %d writes: %v", cut, openErr)
		} else {
			verifyClean(t, again)
		}
		if n := countKeys(t, engine, prefixPin); n != pins || countKeys(t, engine, 'q') > 0 {
			t.Fatalf("after a cut at %d writes: %d pins of %d", cut, n, pins)
		}
		if err == nil {
			if !slices.Equal(trace, []int{prefixPin, 'q'}) {
				t.Errorf("steps %v", trace)
			}
			last := seen[len(seen)-1]
			if seen[0] != (Migration{From: 1, To: 2}) || last != (Migration{From: 2, To: 3, Done: pins}) {
				t.Errorf("progress from %+v to %+v", seen[0], last)
			}
			break
		}
	}
}

func TestMigrateFromUnknown(t *testing.T) {
	engine := newMemoryKV()
	if _, err := open(engine, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := openAs(format{version: formatVersion + 1}, engine, Options{}); err == nil {
		t.Error("a version without a way from ours opens")
	}
	if _, err := open(engine, Options{}); err != nil {
		t.Errorf("our own version: %v", err)
	}
}

func TestNewerFormat(t *testing.T) {
	engine := newMemoryKV()
	if _, err := open(engine, Options{}); err != nil {
		t.Fatal(err)
	}
	b := newBatch()
	b.put(keyFormat, []byte{formatVersion + 1})
	if err := engine.write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := open(engine, Options{}); !errors.Is(err, ErrNewer) {
		t.Errorf("open: %v", err)
	}
}

// TestNoFormat takes an engine that has data but no version for no new store.
func TestNoFormat(t *testing.T) {
	for _, value := range [][]byte{nil, {}, {0}, {1, 1}} {
		engine := newMemoryKV()
		s, err := open(engine, Options{})
		if err != nil {
			t.Fatal(err)
		}
		fillForGC(t, s)
		b := newBatch()
		if b.put(keyFormat, value); value == nil {
			b.remove(keyFormat)
		}
		if err := engine.write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := open(engine, Options{}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("version %x: %v", value, err)
		}
	}
}
