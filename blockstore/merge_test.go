package blockstore_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// merging returns a store in memory that merges.
func merging(t *testing.T) *blockstore.Store {
	t.Helper()
	return openOn(t, blockstore.NewMemory(), blockstore.Optimistic)
}

func openOn(t *testing.T, m *blockstore.Memory, strategy blockstore.Strategy) *blockstore.Store {
	t.Helper()
	s, err := m.Open(blockstore.Options{Strategy: strategy})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// entryOf returns the entry of the timeline that g is a frame of.
func entryOf(t *testing.T, s *blockstore.Store, g ibgib.IbGib) blockstore.Entry {
	t.Helper()
	tjp, _ := timeline.Claims(g)
	root, _ := tjp.Hash()
	e, ok, err := s.View(blockstore.DefaultShare).Entry(t.Context(), root)
	if err != nil || !ok {
		t.Fatalf("entry of %s: %t, %v", tjp, ok, err)
	}
	return e
}

// branches is a timeline with two heads.
type branches struct {
	m                 *blockstoretest.Maker
	all               []ibgib.IbGib
	base, left, right ibgib.IbGib // right is the later and the greater head
}

func newBranches(t *testing.T, seed int64) branches {
	b := branches{m: blockstoretest.NewMaker(seed)}
	b.all = b.m.Timeline(t, "task")
	b.base = blockstoretest.Last(b.all)
	b.left = b.change(t, b.base, "left", "1")
	b.right = b.change(t, b.change(t, b.base, "right", "1"), "right", "2")
	return b
}

func (b *branches) change(t *testing.T, src ibgib.IbGib, name, value string) ibgib.IbGib {
	t.Helper()
	made := b.m.Mut8(t, src, name, value)
	b.all = append(b.all, made...)
	return blockstoretest.Last(made)
}

// Every case of the vectors, in any order of arrival and in any number of commits:
// latest is the expected frame, which is stored, but no head and unknown to peers.
func TestMergeVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Name        string
			IbGibs      []json.RawMessage
			Heads       []string
			Latest      string
			Frame       json.RawMessage
			Unmergeable bool
			Base        string
			Opaque      string
		}
	}
	raw, err := os.ReadFile(filepath.Join(vectors, "merge.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Cases) == 0 {
		t.Fatal(len(file.Cases), err)
	}
	for i, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			var all []ibgib.IbGib
			for _, raw := range c.IbGibs {
				g, err := ibgib.Import(raw)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, g)
			}
			rng := rand.New(rand.NewPCG(uint64(i), 3))
			var fingerprint [32]byte
			for order := range 3 {
				s := merging(t)
				for rest := all; len(rest) > 0; {
					n := len(rest)
					if order > 0 {
						rng.Shuffle(n, func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
						n = 1 + rng.IntN(n)
					}
					blockstoretest.Put(t, s, rest[:n]...)
					rest = rest[n:]
				}
				for e, err := range s.View(blockstore.DefaultShare).Entries(t.Context()) {
					if err != nil {
						t.Fatal(err)
					}
					if c.Unmergeable {
						if e.Merged || e.Conflict.Reason != timeline.ReasonOpaque || e.Conflict.Base.String() != c.Base || e.Conflict.Opaque.String() != c.Opaque {
							t.Errorf("entry %+v", e)
						}
						continue
					}
					if e.Latest.String() != c.Latest || e.Merged != (len(c.Heads) > 1) || e.Conflict != (blockstore.Conflict{}) || len(e.Heads) != len(c.Heads) {
						t.Errorf("entry %+v, want the latest %s", e, c.Latest)
					}
					if c.Frame != nil {
						g, err := s.Get(t.Context(), e.Latest)
						want, wantErr := ibgib.Import(c.Frame)
						if err != nil || wantErr != nil || !bytes.Equal(g.Stored(), want.Stored()) {
							t.Errorf("merged to %s, %v, want %s", g.Stored(), err, want.Stored())
						}
					}
				}
				blockstoretest.Clean(t, s)
				fp, err := s.View(blockstore.DefaultShare).Fingerprint(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if order > 0 && fp.Sum() != fingerprint {
					t.Error("the order of arrival, or a merge frame, shows in the fingerprint")
				}
				fingerprint = fp.Sum()
			}
		})
	}
}

// The diverged timelines of the two spaces have one latest on both sides.
func TestMergeSpaces(t *testing.T) {
	a := blockstoretest.ReadNDJSON(t, filepath.Join(vectors, "spaces", "a.ndjson"))
	b := blockstoretest.ReadNDJSON(t, filepath.Join(vectors, "spaces", "b.ndjson"))
	want := make(map[ibgib.Addr]bool)
	for _, g := range blockstoretest.ReadNDJSON(t, filepath.Join(vectors, "merged_spaces.ndjson")) {
		want[g.Addr()] = true
	}
	dir := t.TempDir()
	for name, sides := range map[string][][]ibgib.IbGib{"a then b": {a, b}, "b then a": {b, a}} {
		t.Run(name, func(t *testing.T) {
			s, err := blockstore.Open(filepath.Join(dir, name), blockstore.Options{Strategy: blockstore.Optimistic})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			blockstoretest.Put(t, s, sides[0]...)
			res := blockstoretest.Put(t, s, sides[1]...)
			if len(res.Diverged) != len(want) || len(res.Merges) != len(want) {
				t.Errorf("%d have diverged and %d are merged, want %d", len(res.Diverged), len(res.Merges), len(want))
			}
			got := make(map[ibgib.Addr]bool)
			for e, err := range s.View(blockstore.DefaultShare).Entries(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if e.Merged {
					got[e.Latest] = true
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("merged to %v, want %v", got, want)
			}
			blockstoretest.Clean(t, s)
		})
	}
}

// A change made on a merged timeline follows the merge frame and ends the
// divergence. What it overrode is told once.
func TestChangeOnMerge(t *testing.T) {
	b := newBranches(t, 3)
	late := b.change(t, b.left, "right", "left wrote this")
	s := merging(t)
	res := blockstoretest.Put(t, s, b.all...)
	e := entryOf(t, s, b.base)
	if len(res.Merges) != 1 || res.Merges[0].Latest != e.Latest || !e.Merged || len(res.Merges[0].Overridden) != 1 {
		t.Fatalf("entry %+v, commit %+v", e, res)
	}
	if o := res.Merges[0].Overridden[0]; o.LostBy != b.right.Addr() || o.WonBy != late.Addr() || o.Lost.Str() != "2" || o.Won.Str() != "left wrote this" {
		t.Errorf("overridden %+v", o)
	}
	more := blockstoretest.Put(t, s, b.m.Mut8(t, b.base, "third", "1")...)
	if len(more.Merges) != 1 || len(more.Merges[0].Overridden) != 0 || len(entryOf(t, s, b.base).Heads) != 3 {
		t.Errorf("a third branch: %+v", more)
	}
	e = entryOf(t, s, b.base)
	root, _ := e.Root.Hash()
	var after ibgib.IbGib
	_, res, err := s.Change(t.Context(), blockstore.DefaultShare, root, nil, func(latest ibgib.IbGib) ([]ibgib.IbGib, error) {
		if latest.Addr() != e.Latest {
			t.Errorf("a change gets %s, latest is %s", latest.Addr(), e.Latest)
		}
		made := b.m.Mut8(t, latest, "after", "merge")
		after = blockstoretest.Last(made)
		return made, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if now := entryOf(t, s, b.base); now.Merged || now.Latest != after.Addr() || len(now.Heads) != 1 || len(res.Merges) != 0 {
		t.Errorf("entry %+v", now)
	}
	blockstoretest.Clean(t, s)
}

// What is left to a person stays so, whatever comes, until one head is left.
func TestHeldConflict(t *testing.T) {
	b := newBranches(t, 4)
	s := merging(t)
	put := func(o blockstore.Origin, gs ...ibgib.IbGib) blockstore.Entry {
		t.Helper()
		if _, _, err := s.Apply(t.Context(), blockstore.DefaultShare, o, gs); err != nil {
			t.Fatal(err)
		}
		blockstoretest.Clean(t, s)
		return entryOf(t, s, b.base)
	}
	if e := put(blockstore.Origin{Manual: true}, b.all...); e.Merged || !e.Held || e.Latest != b.right.Addr() || len(e.Heads) != 2 {
		t.Fatalf("entry %+v", e)
	}
	more := b.m.Mut8(t, b.left, "left", "2")
	if e := put(blockstore.Origin{}, more...); e.Merged || !e.Held {
		t.Errorf("entry %+v after a change", e)
	}
	e := entryOf(t, s, b.base)
	heads := make([]timeline.Frame, len(e.Heads))
	for i, a := range e.Heads {
		h, _ := a.Hash()
		heads[i], _, _ = s.View(blockstore.DefaultShare).Frame(t.Context(), h)
	}
	keep, dna, err := timeline.Keep(b.right, heads, time.UnixMilli(1_800_000_000_000))
	if err != nil {
		t.Fatal(err)
	}
	if e := put(blockstore.Origin{}, dna, keep); e.Held || e.Latest != keep.Addr() || len(e.Heads) != 1 {
		t.Errorf("entry %+v after a keep frame", e)
	}
	if e := put(blockstore.Origin{}, b.m.Mut8(t, b.left, "unseen", "1")...); !e.Merged || e.Held {
		t.Errorf("entry %+v after a new divergence", e)
	}
}

// A pin is in place of the merge, and the merge comes back when it ends.
func TestPinOnMerge(t *testing.T) {
	b := newBranches(t, 5)
	s := merging(t)
	blockstoretest.Put(t, s, b.all...)
	merged := entryOf(t, s, b.base)
	e, err := s.PinLatest(t.Context(), blockstore.DefaultShare, b.left.Addr())
	if err != nil || e.Latest != b.left.Addr() || !e.Pinned || e.Merged {
		t.Fatalf("pinned: %+v, %v", e, err)
	}
	blockstoretest.Clean(t, s)
	root, _ := merged.Root.Hash()
	e, err = s.UnpinLatest(t.Context(), blockstore.DefaultShare, root)
	if err != nil || e.Latest != merged.Latest || e.Pinned || !e.Merged || e.Seq <= merged.Seq {
		t.Fatalf("unpinned: %+v, %v, want %+v", e, err, merged)
	}
	blockstoretest.Clean(t, s)
}

// Another strategy is applied when the store opens, to what has diverged before;
// no head moves.
func TestStrategyChanges(t *testing.T) {
	b := newBranches(t, 6)
	disk := blockstore.NewMemory()
	s := openOn(t, disk, blockstore.Manual)
	blockstoretest.Put(t, s, b.all...)
	manual := entryOf(t, s, b.base)
	if manual.Merged || manual.Latest != b.right.Addr() {
		t.Fatalf("entry %+v", manual)
	}
	blockstoretest.Clean(t, s)
	before := manual
	for _, merges := range []bool{true, true, false, true} {
		strategy := blockstore.Manual
		if merges {
			strategy = blockstore.Optimistic
		}
		s = openOn(t, disk, strategy)
		blockstoretest.Clean(t, s)
		if res, err := s.RetryMerges(t.Context(), nil); res.Left != 0 || err != nil {
			t.Fatalf("%+v, %v", res, err)
		}
		e := entryOf(t, s, b.base)
		if e.Merged != merges || (e.Latest == manual.Latest) == merges || !slices.Equal(e.Heads, manual.Heads) {
			t.Errorf("with the strategy %d: %+v, before %+v", strategy, e, manual)
		}
		if (e.Seq == before.Seq) != (e.Latest == before.Latest) || e.Seq < before.Seq {
			t.Errorf("with the strategy %d the log has %d, before %d", strategy, e.Seq, before.Seq)
		}
		before = e
		blockstoretest.Clean(t, s)
	}
}

// GC keeps the merge frame that is presented, and no other, not even as the
// node's own.
func TestGCOfMergeFrames(t *testing.T) {
	b := newBranches(t, 7)
	s := merging(t)
	blockstoretest.Put(t, s, b.all...)
	first := entryOf(t, s, b.base).Latest
	blockstoretest.Put(t, s, b.m.Mut8(t, b.left, "left", "2")...)
	second := entryOf(t, s, b.base).Latest
	if first == second {
		t.Fatal("the merge has not moved")
	}
	if _, err := s.GC(t.Context(), blockstore.GCOptions{Age: -1, KeepOwn: true}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), second); err != nil {
		t.Errorf("the merge frame that is presented: %v", err)
	}
	if _, err := s.Get(t.Context(), first); err == nil {
		t.Error("the merge frame of before is kept")
	}
	blockstoretest.Clean(t, s)
}

// Stores that get the same frames in different orders and pieces, make changes of
// their own on what they present, and pass on what they have, present the same in
// the end.
func TestStoresConverge(t *testing.T) {
	for seed := range int64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := blockstoretest.NewMaker(seed)
			rng := rand.New(rand.NewPCG(uint64(seed), 9))
			first := m.Timeline(t, "task")
			tjp, _ := timeline.Claims(first[1])
			root, _ := tjp.Hash()
			stores := []*blockstore.Store{merging(t), merging(t), merging(t)}
			for _, s := range stores {
				blockstoretest.Put(t, s, first...)
			}
			for step := range 40 {
				s := stores[rng.IntN(len(stores))]
				if rng.IntN(3) > 0 {
					_, _, err := s.Change(t.Context(), blockstore.DefaultShare, root, nil, func(latest ibgib.IbGib) ([]ibgib.IbGib, error) {
						return m.Mut8(t, latest, fmt.Sprint("k", rng.IntN(4)), fmt.Sprint(step)), nil
					})
					if err != nil {
						t.Fatal(err)
					}
					continue
				}
				pass(t, stores[rng.IntN(len(stores))], s, root, m)
			}
			for range 2 {
				for i, s := range stores {
					pass(t, s, stores[(i+1)%len(stores)], root, m)
				}
			}
			want := entryOf(t, stores[0], first[1])
			for _, s := range stores {
				if e := entryOf(t, s, first[1]); e.Latest != want.Latest || !slices.Equal(e.Heads, want.Heads) {
					t.Errorf("latest %s of %d heads, want %s of %d", e.Latest, len(e.Heads), want.Latest, len(want.Heads))
				}
				blockstoretest.Clean(t, s)
			}
		})
	}
}

// pass gives one store what another has below its heads.
func pass(t *testing.T, from, to *blockstore.Store, root ibgib.Hash, m *blockstoretest.Maker) {
	t.Helper()
	e, _, err := from.View(blockstore.DefaultShare).Entry(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	get := func(a ibgib.Addr) (ibgib.IbGib, error) { return from.Get(t.Context(), a) }
	addrs, missing, err := timeline.Closure(e.Heads, get, timeline.ClosureOptions{})
	if err != nil || len(missing) > 0 {
		t.Fatal(missing, err)
	}
	var gs []ibgib.IbGib
	for _, a := range addrs {
		g, err := get(a)
		if err != nil {
			t.Fatal(err)
		}
		gs = append(gs, g)
	}
	if _, res, err := to.Apply(t.Context(), blockstore.DefaultShare, blockstore.Origin{Peer: "peer"}, m.Shuffle(gs)); err != nil || len(res.Rejected) > 0 {
		t.Fatal(res.Rejected, err)
	}
}
