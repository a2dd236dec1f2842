package blockstore_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/ibgib"
)

// corpusSize is the number of ibGibs that the benchmarks write.
const corpusSize = 100_000

// BenchmarkImport writes the corpus through a Stage, as much at a time as a
// saga does, and commits it.
func BenchmarkImport(b *testing.B) {
	all := blockstoretest.Corpus(b, corpusSize)
	report(b, all, func(dir string) {
		s, err := blockstore.Open(dir, blockstore.Options{})
		if err != nil {
			b.Fatal(err)
		}
		st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{})
		if err != nil {
			b.Fatal(err)
		}
		for chunk := range slices.Chunk(all, 1000) {
			if _, err := st.Put(b.Context(), chunk); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := st.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkBadgerBatch is the reference: the same records under their hashes
// through Badger's WriteBatch, with the options of the store, and with Badger's
// own default options.
func BenchmarkBadgerBatch(b *testing.B) {
	all := blockstoretest.Corpus(b, corpusSize)
	for _, c := range []struct {
		name string
		opts func(dir string) badger.Options
	}{
		{"node options", func(dir string) badger.Options { return blockstore.BadgerOptions(dir, nil) }},
		{"default options", func(dir string) badger.Options { return badger.DefaultOptions(dir).WithLogger(nil) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			report(b, all, func(dir string) {
				db, err := badger.Open(c.opts(dir))
				if err != nil {
					b.Fatal(err)
				}
				wb := db.NewWriteBatch()
				for _, g := range all {
					h := g.Hash()
					if err := wb.Set(h[:], g.Stored()); err != nil {
						b.Fatal(err)
					}
				}
				if err := wb.Flush(); err != nil {
					b.Fatal(err)
				}
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

func report(b *testing.B, all []ibgib.IbGib, write func(dir string)) {
	b.Helper()
	bytes := 0
	for _, g := range all {
		bytes += g.Size()
	}
	b.SetBytes(int64(bytes))
	for b.Loop() {
		write(b.TempDir())
	}
	b.ReportMetric(float64(len(all)*b.N)/b.Elapsed().Seconds(), "ibgibs/s")
	b.ReportMetric(float64(bytes)/float64(len(all)), "B/ibgib")
}

// BenchmarkRead reads the corpus, each ibGib by its hash in the order in which they
// came: one by one, and with those that lie near it.
func BenchmarkRead(b *testing.B) {
	all := blockstoretest.Corpus(b, corpusSize)
	s, err := blockstore.Open(b.TempDir(), blockstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	blockstoretest.Put(b, s, all...)
	v := s.View(blockstore.DefaultShare)
	b.Run("by hash", func(b *testing.B) {
		for b.Loop() {
			for _, g := range all {
				if _, err := v.Block(b.Context(), g.Hash()); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(len(all)*b.N)/b.Elapsed().Seconds(), "ibgibs/s")
	})
	b.Run("with neighbours", func(b *testing.B) {
		for b.Loop() {
			r := v.Reader()
			for _, g := range all {
				if _, err := r.Block(b.Context(), g.Hash()); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(len(all)*b.N)/b.Elapsed().Seconds(), "ibgibs/s")
	})
}

// BenchmarkLocalChange is one durable mut8 of a timeline.
func BenchmarkLocalChange(b *testing.B) {
	s, err := blockstore.Open(b.TempDir(), blockstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	m := blockstoretest.NewMaker(1)
	all := m.Timeline(b, "task")
	blockstoretest.Put(b, s, all...)
	root := blockstoretest.Last(all).Hash()
	i := 0
	for b.Loop() {
		i++
		_, _, err := s.Change(context.Background(), blockstore.DefaultShare, root, nil, func(latest ibgib.IbGib) ([]ibgib.IbGib, error) {
			return m.Mut8(b, latest, "v", fmt.Sprint(i)), nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen opens and closes a store that has 100,000 timelines, which came by one
// commit.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	open := func() *blockstore.Store {
		s, err := blockstore.Open(dir, blockstore.Options{})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	s := open()
	st, err := s.NewStage(blockstore.DefaultShare, blockstore.Origin{})
	if err != nil {
		b.Fatal(err)
	}
	maker := blockstoretest.NewMaker(7)
	var all []ibgib.IbGib
	for i := range 100_000 {
		all = append(all, maker.Timeline(b, fmt.Sprintf("note %d", i))...)
	}
	for chunk := range slices.Chunk(all, 1000) {
		if _, err := st.Put(b.Context(), chunk); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := st.Commit(b.Context()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		s = open()
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
