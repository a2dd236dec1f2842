package dht

import (
	"fmt"
	"testing"

	"github.com/ipfs/go-datastore"
	dstest "github.com/ipfs/go-datastore/test"
)

func TestRecordsAreADatastore(t *testing.T) { dstest.SubtestAll(t, newRecords(nil)) }

// One peer cannot fill the records of a server, nor can all of them together
// beyond the bound.
func TestRecordsAreBounded(t *testing.T) {
	r := newRecords(nil)
	put := func(peer string, i int) {
		if err := r.Put(t.Context(), datastore.RawKey(fmt.Sprintf("/providers/K%d/%s", i, peer)), []byte("now")); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxRecordsPerPeer + 10 {
		put("GREEDY", i)
	}
	if got := r.dropped(); got != 10 {
		t.Errorf("%d records were dropped, want 10", got)
	}
	if got := len(r.all()); got != maxRecordsPerPeer {
		t.Errorf("%d records of one peer, want %d", got, maxRecordsPerPeer)
	}
	if err := r.Delete(t.Context(), datastore.RawKey("/providers/K0/GREEDY")); err != nil {
		t.Fatal(err)
	}
	put("GREEDY", maxRecordsPerPeer+1)
	for i := range maxRecords {
		put(fmt.Sprintf("P%d", i%100), i)
	}
	if got := len(r.all()); got != maxRecords {
		t.Errorf("%d records, want %d", got, maxRecords)
	}
	if has, _ := r.Has(t.Context(), datastore.RawKey(fmt.Sprintf("/providers/K%d/GREEDY", maxRecordsPerPeer+1))); !has {
		t.Error("what was deleted has left no room")
	}
	again := newRecords(r.all())
	if len(again.all()) != maxRecords || again.bytes != r.bytes {
		t.Errorf("read again: %d records, %d bytes; want %d, %d", len(again.all()), again.bytes, maxRecords, r.bytes)
	}
	if err := r.Put(t.Context(), datastore.RawKey("/providers/K1/GREEDY"), make([]byte, maxRecordBytes)); err != nil {
		t.Fatal(err)
	}
	if r.bytes > maxRecordBytes {
		t.Errorf("%d bytes", r.bytes)
	}
}
