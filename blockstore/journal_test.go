package blockstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

var allLogs = []JournalLog{MergeLog, PeerLog, SagaLog}

// tellingMerges are options of a store whose journal keeps the roots of merges.
var tellingMerges = Options{Strategy: Optimistic, Merged: func(share Share, _ time.Time, m Merge) []byte {
	return fmt.Appendf(nil, "%d %s %s", share, m.Root, m.Latest)
}}

// journalFrom returns what the journal has since a place, a line for each record.
func journalFrom(t *testing.T, s *Store, seqs [JournalLogs]uint64, logs ...JournalLog) []string {
	t.Helper()
	lines := []string{}
	for r, err := range s.Journal(t.Context(), JournalPlace{s.Epoch(), seqs}, logs...) {
		if err != nil {
			t.Fatal(err)
		}
		if (r.Text == nil) != (r.Gone > 0) {
			t.Errorf("record %+v", r)
		}
		line := fmt.Sprintf("%d.%d %s", r.Log, r.Seq, r.Text)
		if r.Gone > 0 {
			line = fmt.Sprintf("%d.%d gone %d", r.Log, r.Seq, r.Gone)
		}
		lines = append(lines, line)
	}
	return lines
}

func journal(t *testing.T, s *Store, entries ...JournalEntry) {
	t.Helper()
	if err := s.AppendJournal(entries); err != nil {
		t.Fatal(err)
	}
}

func wantLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%q, want\n%q", what, got, want)
	}
}

func TestJournal(t *testing.T) {
	disk := NewMemory()
	s, err := disk.Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	added, stop := s.WatchJournal()
	defer stop()
	journal(t, s, JournalEntry{Log: PeerLog, Text: []byte("a")}, JournalEntry{Log: SagaLog, Text: []byte("b")})
	journal(t, s, JournalEntry{Log: PeerLog, Gone: 7}, JournalEntry{Log: MergeLog, Text: []byte("c")})
	journal(t, s, JournalEntry{Log: SagaLog, Text: bytes.Repeat([]byte{'x'}, MaxJournalText+1)})
	select {
	case <-added:
	default:
		t.Error("a watch is not told")
	}
	for range 2 {
		wantLines(t, "all", journalFrom(t, s, [3]uint64{}, allLogs...), "1.1 a", "2.1 b", "1.2 gone 7", "0.1 c", "2.2 gone 1")
		wantLines(t, "since a place", journalFrom(t, s, [3]uint64{0, 1, 1}, allLogs...), "1.2 gone 7", "0.1 c", "2.2 gone 1")
		wantLines(t, "two logs", journalFrom(t, s, [3]uint64{0, 1}, SagaLog, PeerLog), "2.1 b", "1.2 gone 7", "2.2 gone 1")
		end, err := s.JournalEnd(t.Context())
		if err != nil || end.Seqs != [3]uint64{1, 2, 2} {
			t.Errorf("it ends at %v, %v", end, err)
		}
		wantLines(t, "at the end", journalFrom(t, s, end.Seqs, allLogs...))
		verifyClean(t, s)
		if s, err = disk.Open(Options{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, place := range []JournalPlace{{Epoch: [16]byte{1}}, {s.Epoch(), [3]uint64{0, 0, 3}}} {
		for _, err := range s.Journal(t.Context(), place, SagaLog) {
			if !errors.Is(err, ErrOtherLog) {
				t.Errorf("from %v: %v", place, err)
			}
		}
	}
}

// The oldest go when there are too many or they are too large, and nothing of another log.
func TestJournalBounds(t *testing.T) {
	engine := newMemoryKV()
	s, err := open(engine, Options{})
	if err != nil {
		t.Fatal(err)
	}
	journal(t, s, JournalEntry{Log: MergeLog, Text: []byte("merge")})
	const over = 25
	for _, chunk := range []int{1, maxJournalRecords, over - 1} {
		var entries []JournalEntry
		for range chunk {
			entries = append(entries, JournalEntry{Log: PeerLog, Text: []byte("peer")})
		}
		journal(t, s, entries...)
	}
	lines := journalFrom(t, s, [3]uint64{}, MergeLog, PeerLog)
	if len(lines) != 1+1+maxJournalRecords {
		t.Fatalf("%d records", len(lines))
	}
	wantLines(t, "begin", lines[:3], fmt.Sprintf("1.%d gone %d", over, over), "0.1 merge", fmt.Sprintf("1.%d peer", over+1))
	wantLines(t, "since a place that is gone", journalFrom(t, s, [3]uint64{1, 20}, PeerLog)[:2], "1.25 gone 5", "1.26 peer")
	wantLines(t, "since the last that is gone", journalFrom(t, s, [3]uint64{1, 25}, PeerLog)[:1], "1.26 peer")

	text := bytes.Repeat([]byte{'x'}, MaxJournalText)
	var large []JournalEntry
	for range 2*maxJournalBytes/MaxJournalText + 10 {
		large = append(large, JournalEntry{Log: SagaLog, Text: text})
	}
	journal(t, s, large...)
	snap := engine.snapshot()
	size := 0
	if err := snap.scan([]byte{prefixJournal, byte(SagaLog)}, nil, func(_, value []byte) (bool, error) {
		size += len(value)
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	if size > maxJournalBytes || size < maxJournalBytes-2*MaxJournalText {
		t.Errorf("%d bytes", size)
	}
	if n := countKeys(t, engine, prefixJournal); n != 1+maxJournalRecords+size/len(text) {
		t.Errorf("%d records", n)
	}
	verifyClean(t, s)
}

// What the journal says of merges is what has been merged, wherever a commit is cut off,
// and also when a write fails that was made.
func TestJournalOfCutMerges(t *testing.T) {
	for _, lines := range []int{3, maxInlineEntries + 20} {
		var all []ibgib.IbGib
		for i := range lines {
			all = append(all, divergedLine(t, i)...)
		}
		for _, unsure := range []bool{false, true} {
			cuts := 0
			for done := false; !done; cuts++ {
				engine := newMemoryKV()
				var cut kv = &cutKV{kv: engine, left: cuts}
				if unsure {
					cut = &unsureKV{kv: engine, left: cuts}
				}
				s, err := open(cut, tellingMerges)
				if err == nil {
					err = putAll(s, all)
				}
				if err != nil && !errors.Is(err, errCut) && !errors.Is(err, ErrHalfApplied) {
					t.Fatal(err)
				}
				done = err == nil
				if s, err = open(engine, tellingMerges); err != nil {
					t.Fatal(err)
				}
				n := checkMergesKept(t, s)
				if n != 0 && n != lines || done && n == 0 {
					t.Errorf("%d merges after %d writes", n, cuts)
				}
				if records := countKeys(t, engine, prefixJournal); records != n {
					t.Errorf("%d records of %d merges", records, n)
				}
				if err := putAll(s, all); err != nil {
					t.Fatal(err)
				}
				if n := checkMergesKept(t, s); n != lines {
					t.Errorf("in the end %d merges", n)
				}
			}
			if cuts < 3 {
				t.Errorf("%d cuts", cuts)
			}
		}
	}
}

// checkMergesKept demands a record for each entry that is merged, and returns how many
// there are.
func checkMergesKept(t *testing.T, s *Store) (n int) {
	t.Helper()
	var got, want []string
	for _, line := range journalFrom(t, s, [3]uint64{}, MergeLog) {
		_, text, _ := strings.Cut(line, " ")
		got = append(got, text)
	}
	for e, err := range s.View(DefaultShare).Entries(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Merged {
			want = append(want, fmt.Sprintf("0 %s %s", e.Root, e.Latest))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d merges are kept, %d were made", len(got), len(want))
	}
	verifyClean(t, s)
	return len(want)
}

// A merge that is made later, without a move of heads, is told all the same.
func TestJournalOfRetriedMerge(t *testing.T) {
	disk := NewMemory()
	s, err := disk.Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := putAll(s, divergedLine(t, 1)); err != nil {
		t.Fatal(err)
	}
	if s, err = disk.Open(tellingMerges); err != nil {
		t.Fatal(err)
	}
	added, stop := s.WatchJournal()
	defer stop()
	if n := checkMergesKept(t, s); n != 0 {
		t.Errorf("%d merges", n)
	}
	if res, err := s.RetryMerges(t.Context(), nil); len(res.Merges) != 1 || err != nil {
		t.Fatalf("%+v, %v", res, err)
	}
	if n := checkMergesKept(t, s); n != 1 {
		t.Errorf("%d merges", n)
	}
	select {
	case <-added:
	default:
		t.Error("a watch is not told")
	}
}

// A record that is damaged is passed over. Verify tells of it and Repair mends it, and
// neither stops what is added.
func TestJournalDamage(t *testing.T) {
	for name, do := range map[string]func(b *batch){
		"record gone":    func(b *batch) { b.remove(journalKey(PeerLog, 2)) },
		"record empty":   func(b *batch) { b.put(journalKey(PeerLog, 2), nil) },
		"record foreign": func(b *batch) { b.put(journalKey(PeerLog, 2), []byte{0x80}) },
		"state cut":      func(b *batch) { b.put(keyJournal, []byte{2}) },
		"state foreign":  func(b *batch) { b.put(keyJournal, bytes.Repeat([]byte{0xff, 0x7f}, 9)) },
		"state huge":     func(b *batch) { b.put(keyJournal, encodeJournalState(journalState{{1 << 61, 1 << 60, 0}})) },
	} {
		t.Run(name, func(t *testing.T) {
			engine := newMemoryKV()
			s, err := open(engine, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				journal(t, s, JournalEntry{Log: PeerLog, Text: fmt.Append(nil, i)})
			}
			b := newBatch()
			do(b)
			if err := engine.write(b); err != nil {
				t.Fatal(err)
			}
			second := "1.2 1"
			if strings.HasPrefix(name, "record") {
				second = "1.2 gone 1"
			}
			if s, err = open(engine, Options{}); err != nil {
				t.Fatal(err)
			}
			wantLines(t, "damaged", journalFrom(t, s, [3]uint64{}, allLogs...), slices.Sorted(slices.Values([]string{"1.1 0", second, "1.3 2"}))...)
			if report, err := s.Verify(context.Background(), nil); err != nil || len(report.Problems) == 0 || report.Problems[0].Kind != "journal" {
				t.Errorf("verify finds %+v, %v", report.Problems, err)
			}
			if report, err := s.Repair(context.Background(), nil); err != nil || report.Mended == 0 {
				t.Errorf("repair %+v, %v", report, err)
			}
			verifyClean(t, s)
			journal(t, s, JournalEntry{Log: PeerLog, Text: []byte("after")})
			lines := journalFrom(t, s, [3]uint64{}, allLogs...)
			slices.Sort(lines)
			wantLines(t, "mended", lines, "1.1 0", second, "1.3 2", "1.4 after")
			verifyClean(t, s)
		})
	}
}

// However the records of a journal are damaged, it can be read, added to and repaired.
func TestJournalRuins(t *testing.T) {
	sound := newMemoryKV()
	s, err := open(sound, tellingMerges)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		journal(t, s, JournalEntry{Log: allLogs[i%3], Text: fmt.Append(nil, "text ", i)}, JournalEntry{Log: SagaLog, Gone: 3})
	}
	if err := putAll(s, divergedLine(t, 1)); err != nil {
		t.Fatal(err)
	}
	for seed := range int64(200) {
		rnd := rand.New(rand.NewSource(seed))
		engine := &memoryKV{tree: sound.tree.Clone()}
		b := newBatch()
		for _, prefix := range [][]byte{{prefixJournal}, keyJournal} {
			if err := engine.snapshot().scan(prefix, nil, func(key, value []byte) (bool, error) {
				if rnd.Intn(4) == 0 {
					value = bytes.Clone(value)
					value[rnd.Intn(len(value))] ^= byte(1 + rnd.Intn(255))
					b.put(bytes.Clone(key), value[:rnd.Intn(len(value)+1)])
				}
				return true, nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := engine.write(b); err != nil {
			t.Fatal(err)
		}
		s, err := open(engine, tellingMerges)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		journalFrom(t, s, [3]uint64{}, allLogs...)
		if err := putAll(s, divergedLine(t, 2)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		journal(t, s, JournalEntry{Log: PeerLog, Text: []byte("after")})
		if lines := journalFrom(t, s, [3]uint64{}, PeerLog); !strings.HasSuffix(lines[len(lines)-1], " after") {
			t.Errorf("seed %d: %q", seed, lines)
		}
		if _, err := s.Repair(context.Background(), nil); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		verifyClean(t, s)
		if t.Failed() {
			t.Fatal("seed", seed)
		}
	}
}

// A backup has no journal: places in it would be good for nothing.
func TestJournalNotInBackup(t *testing.T) {
	s, err := open(newMemoryKV(), tellingMerges)
	if err != nil {
		t.Fatal(err)
	}
	if err := putAll(s, divergedLine(t, 1)); err != nil {
		t.Fatal(err)
	}
	end, err := s.JournalEnd(t.Context())
	if err != nil || end.Seqs[MergeLog] != 1 {
		t.Fatalf("%v, %v", end, err)
	}
	var stream bytes.Buffer
	if _, err := s.Backup(t.Context(), &stream, nil); err != nil {
		t.Fatal(err)
	}
	engine := newMemoryKV()
	if _, err := readBackup(t.Context(), engine, space{}, &stream, nil); err != nil {
		t.Fatal(err)
	}
	if s, err = open(engine, tellingMerges); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "restored", journalFrom(t, s, [3]uint64{}, allLogs...))
	for _, err := range s.Journal(t.Context(), end, MergeLog) {
		if !errors.Is(err, ErrOtherLog) {
			t.Errorf("from a place of before: %v", err)
		}
	}
	verifyClean(t, s)
}
