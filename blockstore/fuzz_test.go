package blockstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"reflect"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// FuzzRecords reads records of every kind: what is read is read again from what is
// written of it, as the same.
func FuzzRecords(f *testing.F) {
	addr, err := ibgib.ParseAddr("note^1234567812345678123456781234567812345678123456781234567812345678")
	if err != nil {
		f.Fatal(err)
	}
	h, _ := addr.Hash()
	frame := timeline.Frame{Addr: addr, Tjp: addr, Kind: timeline.KindMerge, N: 7, HasN: true, Pred: addr, Links: []ibgib.Addr{addr}, HasMergeList: true}
	kinds := recordKinds(h)
	for i, seed := range [][]byte{
		encodeMember(member{addr: addr, seq: 1, peer: 2, at: time.Unix(1e9, 0), frame: &frame, closed: true}),
		encodeEntry(Entry{Root: addr, Heads: []ibgib.Addr{addr}, Latest: addr, Seq: 3, Conflict: Conflict{Reason: timeline.ReasonOpaque, Detail: "why", Base: addr, Opaque: addr}}),
		encodeState(shareState{seq: 5}),
		encodeMarks(marks{}),
		encodeDecision(decision{share: 1, state: shareState{seq: 2}}),
		encodeRejection(timeline.Rejection{Rule: "rule", Detail: "detail"}),
		encodeAddrs([]ibgib.Addr{addr, addr}),
		encodePin(pin{addr: addr, peer: 1}),
		encodeLoose(&loose{}),
		encodeForgotten(Forgotten{}),
		encodeJournalState(journalState{{1, 1, 9}}),
		encodeJournalRecord(JournalEntry{Text: []byte("{}")}, 4),
	} {
		f.Add(uint8(i), seed)
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		read := kinds[int(kind)%len(kinds)]
		v, again, err := read(bytes.Clone(b))
		if err != nil {
			return
		}
		w, _, err := read(bytes.Clone(again))
		if err != nil || !reflect.DeepEqual(v, w) {
			t.Fatalf("%x is %+v, written %x, which is %+v, %v", b, v, again, w, err)
		}
	})
}

// recordKinds are the kinds of records: each is read, and written again.
func recordKinds(h ibgib.Hash) []func(b []byte) (v any, again []byte, err error) {
	return []func([]byte) (any, []byte, error){
		kindOf(func(b []byte) (member, error) { return decodeMember(h, b) }, encodeMember),
		kindOf(decodeEntry, encodeEntry),
		kindOf(decodeState, encodeState),
		kindOf(decodeMarks, encodeMarks),
		kindOf(decodeDecision, encodeDecision),
		kindOf(decodeRejection, encodeRejection),
		kindOf(decodeAddrs, encodeAddrs),
		kindOf(func(b []byte) (pin, error) { return decodePin(nil, b) }, encodePin),
		kindOf(decodeLoose, encodeLoose),
		kindOf(func(b []byte) (Forgotten, error) { return decodeForgotten(nil, b) }, encodeForgotten),
		kindOf(decodeJournalState, encodeJournalState),
		kindOf(func(b []byte) (journalRead, error) {
			rec, order := decodeJournalRecord(b)
			if order == 0 {
				return journalRead{}, errRecord
			}
			return journalRead{rec, order}, nil
		}, func(r journalRead) []byte {
			return encodeJournalRecord(JournalEntry{Text: r.rec.Text, Gone: r.rec.Gone}, r.order)
		}),
	}
}

type journalRead struct {
	rec   JournalRecord
	order uint64
}

func kindOf[T any](decode func([]byte) (T, error), encode func(T) []byte) func([]byte) (any, []byte, error) {
	return func(b []byte) (any, []byte, error) {
		v, err := decode(b)
		if err != nil {
			return nil, nil, err
		}
		return v, encode(v), nil
	}
}

// FuzzKeys takes records under any key as the only ones of a backup: it is restored, or
// refused.
func FuzzKeys(f *testing.F) {
	for _, key := range []string{"b", "b1234567", "m\x00\x00\x00\x00", "e", "c\x00\x00\x00\x00", "D12345678", "N1234", "j\x00", "L", "P1", "M", "Mformat", "zz"} {
		f.Add([]byte(key), []byte{1, 2, 3})
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if len(key) == 0 || len(key) > maxBackupKey {
			return
		}
		checkBackup(t, oneRecord(key, value))
	})
}

// oneRecord is a backup with one record, up to its hash.
func oneRecord(key, value []byte) []byte {
	b := append([]byte(backupMagic), backupVersion, formatVersion)
	b = append(binary.AppendUvarint(b, uint64(len(key))), key...)
	b = append(binary.AppendUvarint(b, uint64(len(value))), value...)
	return append(b, 0, 1)
}

// FuzzBackup restores streams with a good hash, opens what they leave and checks it. None
// of that may fail but with an error, and nothing is wrong after a repair.
func FuzzBackup(f *testing.F) {
	source, err := OpenMemory(Options{Strategy: Optimistic})
	if err != nil {
		f.Fatal(err)
	}
	first, err := ibgib.New("note", ibgib.Object(ibgib.Member{Name: "isTjp", Value: ibgib.Bool(true)}), nil)
	if err != nil {
		f.Fatal(err)
	}
	if _, _, err := source.Apply(f.Context(), DefaultShare, Origin{Peer: "peer"}, []ibgib.IbGib{first}); err != nil {
		f.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := source.Backup(f.Context(), &out, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < sha256.Size {
			return
		}
		checkBackup(t, b[:len(b)-sha256.Size])
	})
}

// checkBackup restores a backup to which its hash is added, opens the store and checks it.
func checkBackup(t *testing.T, body []byte) {
	sum := sha256.Sum256(body)
	engine := newMemoryKV()
	if _, err := readBackup(t.Context(), engine, newSpace("", -1), bytes.NewReader(append(bytes.Clone(body), sum[:]...)), nil); err != nil {
		return
	}
	s, err := open(engine, Options{Strategy: Optimistic})
	if err != nil {
		return
	}
	defer s.Close()
	if _, err := s.Verify(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Repair(t.Context(), nil); err != nil {
		return
	}
	if report, err := s.Verify(t.Context(), nil); err != nil || len(report.Problems) > 0 {
		t.Fatalf("after a repair: %+v, %v", report, err)
	}
}
