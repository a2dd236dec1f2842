package dht

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/google/btree"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// What a DHT server keeps for others at most. A record above that is dropped, not
// refused: the library writes many at a time, and a refusal would cost all of them.
const (
	maxRecords         = 50_000
	maxRecordsPerPeer  = 2_000
	maxRecordBytes     = 32 << 20
	providersNamespace = "/providers/" // "/providers/" key "/" peer
)

// Record is what a DHT server keeps for another node. Key and Value are the
// library's.
type Record struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// records is the library's datastore: in memory, ordered by key, bounded. It is
// safe for concurrent use.
type records struct {
	mu     sync.Mutex
	sorted *btree.BTreeG[Record]
	bytes  int
	of     map[string]int // provider records by peer
	drops  int            // records that were dropped since there was no room
}

var _ datastore.Batching = (*records)(nil)

func newRecords(list []Record) *records {
	r := &records{
		sorted: btree.NewG(16, func(a, b Record) bool { return a.Key < b.Key }),
		of:     make(map[string]int),
	}
	for _, x := range list {
		r.put(x)
	}
	return r
}

// all returns the records, by key.
func (r *records) all() []Record { return r.under("") }

// under returns those whose key begins with prefix.
func (r *records) under(prefix string) []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Record
	r.sorted.AscendGreaterOrEqual(Record{Key: prefix}, func(x Record) bool {
		if !strings.HasPrefix(x.Key, prefix) {
			return false
		}
		list = append(list, x)
		return true
	})
	return list
}

// provider returns the peer of a provider record, as the library writes it.
func (x Record) provider() (string, bool) {
	if !strings.HasPrefix(x.Key, providersNamespace) {
		return "", false
	}
	return x.Key[strings.LastIndexByte(x.Key, '/')+1:], true
}

func (x Record) size() int { return len(x.Key) + len(x.Value) }

// dropped returns how many records were dropped since there was no room.
func (r *records) dropped() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.drops
}

func (r *records) put(x Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, replaces := r.sorted.Get(x)
	provider, ok := x.provider()
	if !replaces && (r.sorted.Len() >= maxRecords || ok && r.of[provider] >= maxRecordsPerPeer) ||
		r.bytes-old.size()+x.size() > maxRecordBytes {
		r.drops++
		return
	}
	x.Value = slices.Clone(x.Value)
	r.sorted.ReplaceOrInsert(x)
	r.bytes += x.size() - old.size()
	if ok && !replaces {
		r.of[provider]++
	}
}

func (r *records) Put(_ context.Context, key datastore.Key, value []byte) error {
	r.put(Record{key.String(), value})
	return nil
}

func (r *records) Delete(_ context.Context, key datastore.Key) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, ok := r.sorted.Delete(Record{Key: key.String()})
	if !ok {
		return nil
	}
	r.bytes -= old.size()
	if provider, ok := old.provider(); ok {
		if r.of[provider]--; r.of[provider] == 0 {
			delete(r.of, provider)
		}
	}
	return nil
}

func (r *records) Get(_ context.Context, key datastore.Key) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, ok := r.sorted.Get(Record{Key: key.String()})
	if !ok {
		return nil, datastore.ErrNotFound
	}
	return x.Value, nil
}

func (r *records) Has(ctx context.Context, key datastore.Key) (bool, error) {
	_, err := r.Get(ctx, key)
	return err == nil, nil
}

func (r *records) GetSize(ctx context.Context, key datastore.Key) (int, error) {
	value, err := r.Get(ctx, key)
	if err != nil {
		return -1, err
	}
	return len(value), nil
}

func (r *records) Query(_ context.Context, q query.Query) (query.Results, error) {
	prefix := q.Prefix
	if prefix != "" {
		prefix = datastore.NewKey(prefix).String()
	}
	if prefix != "" && prefix != "/" {
		prefix += "/"
	}
	var entries []query.Entry
	for _, x := range r.under(prefix) {
		entries = append(entries, query.Entry{Key: x.Key, Value: x.Value, Size: len(x.Value)})
	}
	return query.NaiveQueryApply(q, query.ResultsWithEntries(q, entries)), nil
}

func (r *records) Batch(context.Context) (datastore.Batch, error) {
	return datastore.NewBasicBatch(r), nil
}

func (*records) Sync(context.Context, datastore.Key) error { return nil }
func (*records) Close() error                              { return nil }
