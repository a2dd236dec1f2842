package dht

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dstest "github.com/ipfs/go-datastore/test"
)

func TestRecordsAreADatastore(t *testing.T) { dstest.SubtestAll(t, newRecords("self", nil)) }

// One peer cannot fill the records of a server, nor can all of them together
// beyond the bound.
func TestRecordsAreBounded(t *testing.T) {
	r := newRecords("self", nil)
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
	again := newRecords("self", r.all())
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

// Where there is no room, a record goes of whoever has the most: of networks, then of
// addresses in it, then of peers there.
func TestRecordsAreShared(t *testing.T) {
	r := newRecords("self", nil)
	put := func(from, peer string, i int) {
		r.put(Record{Key: fmt.Sprintf("/providers/K%d/%s", i, peer), Value: []byte("now"), From: netip.MustParseAddr(from)})
	}
	of := func(peer string) (n int) {
		for _, x := range r.all() {
			if p, _ := x.peer(); p == peer {
				n++
			}
		}
		return n
	}
	own, _ := Record{Key: addrsNamespace + peerNames.EncodeToString([]byte("self"))}.peer()
	for i := range 10 {
		put("198.51.100.1", "HONEST", i)      // its own network
		put("203.0.113.1", "NEIGHBOUR", i)    // in the network of the strangers
		put("203.0.113.66", "BEHINDNAT", i/5) // at their address
		put("2001:db8:1:2::9", "SIX", i)
		put("127.0.0.1", own, i)
	}
	stranger := 0
	flood := func(n int) {
		for range n {
			stranger++
			put("203.0.113.66", fmt.Sprintf("S%d", stranger/20), stranger)
			put("2001:db8:ffff:"+fmt.Sprintf("%x", stranger%50000)+"::1", fmt.Sprintf("X%d", stranger), stranger)
		}
	}
	flood(maxRecords)
	for i := range 10 {
		put("198.51.100.1", "HONEST", 100+i)
		put("203.0.113.1", "NEIGHBOUR", 100+i)
		put("192.0.2.1", "LATE", i)
	}
	flood(maxRecords / 2)
	for peer, want := range map[string]int{"HONEST": 20, "NEIGHBOUR": 20, "BEHINDNAT": 2, "SIX": 10, "LATE": 10, own: 10} {
		if got := of(peer); got != want {
			t.Errorf("%s has %d records, want %d", peer, got, want)
		}
	}
	if got := r.sorted.Len(); got != maxRecords {
		t.Errorf("%d records, want %d", got, maxRecords)
	}
	four, six := r.others.below([]string{"203.0.0.0/16"}).bytes, r.others.below([]string{"2001:db8::/32"}).bytes
	if four > 2*six || six > 2*four {
		t.Errorf("the networks of the strangers have %d and %d bytes, want the same, about", four, six)
	}
	if got := len(r.all()); r.count() != got {
		t.Errorf("counted %d records, there are %d", r.count(), got)
	}
	for _, x := range r.all() {
		if err := r.Delete(t.Context(), datastore.RawKey(x.Key)); err != nil {
			t.Fatal(err)
		}
	}
	if r.bytes != 0 || r.others.bytes != 0 || len(r.others.parts) != 0 || len(r.of) != 0 {
		t.Errorf("of no record there are %d bytes, %d networks, %d peers left", r.bytes, len(r.others.parts), len(r.of))
	}
}

// Of a key with many providers, those of few networks do not keep out the others.
func TestProvidersOfManyNetworks(t *testing.T) {
	r := newRecords("self", nil)
	put := func(from, peer string) {
		r.put(Record{Key: "/providers/KEY/" + peer, Value: []byte("now"), From: netip.MustParseAddr(from)})
	}
	for i := range 2000 {
		put("203.0.113.66", fmt.Sprintf("S%d", i))
	}
	for i := range 20 {
		put(fmt.Sprintf("198.51.%d.1", i), fmt.Sprintf("H%d", i))
	}
	for range 10 {
		res, err := r.Query(t.Context(), query.Query{Prefix: "/providers/KEY"})
		if err != nil {
			t.Fatal(err)
		}
		list, err := res.Rest()
		if err != nil {
			t.Fatal(err)
		}
		honest := 0
		for _, e := range list {
			if strings.HasPrefix(e.Key, "/providers/KEY/H") {
				honest++
			}
		}
		if len(list) != maxAnswered || honest != 20 {
			t.Errorf("%d providers, %d of them honest; want %d, 20", len(list), honest, maxAnswered)
		}
	}
}
