package dht

import (
	"bytes"
	"container/list"
	"context"
	"encoding/base32"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/google/btree"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p/core/peer"
)

// What a DHT server keeps for others at most. Where there is no room, the oldest record
// of whoever has the most goes. A record is dropped, not refused: the library writes many
// at a time, and a refusal would cost all of them.
const (
	maxRecords        = 50_000
	maxRecordsPerPeer = 2_000
	maxRecordBytes    = 32 << 20
	// recordCost is what a record takes beside its key and value, about.
	recordCost = 256
	// maxOwnRecords bounds those of the node itself, which give way to nobody's.
	maxOwnRecords = maxRecords / 2
	// maxAnswered is how many providers of one key are told at once.
	maxAnswered = maxProviders

	providersNamespace = "/providers/" // "/providers/" key "/" peer
	addrsNamespace     = "/addrs/"     // "/addrs/" peer: our own, see announced_addrs.go
	valuesName         = "values"      // whom other records count for
)

// peerNames is how the library writes peers into keys.
var peerNames = base32.StdEncoding.WithPadding(base32.NoPadding)

// Record is what a DHT server keeps for another node. Key and Value are the
// library's.
type Record struct {
	Key   string     `json:"key"`
	Value []byte     `json:"value"`
	From  netip.Addr `json:"from,omitzero"` // that it came from, if known
}

// kept is a record in its place.
type kept struct {
	Record
	holder *holder
	place  *list.Element // in holder.kept
}

// records is the library's datastore: in memory, ordered by key, bounded. It is
// safe for concurrent use.
type records struct {
	self string // as in keys

	mu     sync.Mutex
	sorted *btree.BTreeG[*kept]
	others *holder        // of the records that others have brought
	own    *holder        // of those of the node itself
	bytes  int            // of all
	of     map[string]int // records by peer
	drops  int            // records that were dropped since there was no room
}

var _ datastore.Batching = (*records)(nil)

func newRecords(self peer.ID, list []Record) *records {
	r := &records{
		self:   peerNames.EncodeToString([]byte(self)),
		sorted: btree.NewG(16, func(a, b *kept) bool { return a.Key < b.Key }),
		others: new(holder),
		own:    new(holder),
		of:     make(map[string]int),
	}
	for _, x := range list {
		if !strings.HasPrefix(x.Key, addrsNamespace) {
			r.put(x)
		}
	}
	return r
}

// all returns the records by key, without the addresses of providers.
func (r *records) all() []Record {
	return slices.DeleteFunc(r.under(""), func(x Record) bool { return strings.HasPrefix(x.Key, addrsNamespace) })
}

// count returns how many all returns.
func (r *records) count() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sorted.Ascend(func(x *kept) bool {
		if !strings.HasPrefix(x.Key, addrsNamespace) {
			n++
		}
		return true
	})
	return n
}

// under returns those whose key begins with prefix.
func (r *records) under(prefix string) []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Record
	r.sorted.AscendGreaterOrEqual(&kept{Record: Record{Key: prefix}}, func(x *kept) bool {
		if !strings.HasPrefix(x.Key, prefix) {
			return false
		}
		list = append(list, x.Record)
		return true
	})
	return list
}

// peer returns whose record it is, as in keys: its provider, or who has the addresses.
func (x Record) peer() (string, bool) {
	if !strings.HasPrefix(x.Key, providersNamespace) && !strings.HasPrefix(x.Key, addrsNamespace) {
		return "", false
	}
	return x.Key[strings.LastIndexByte(x.Key, '/')+1:], true
}

func (x Record) size() int { return len(x.Key) + len(x.Value) + recordCost }

// dropped returns how many records were dropped since there was no room.
func (r *records) dropped() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.drops
}

// get returns a record or nil, with r.mu held.
func (r *records) get(key string) *kept {
	x, _ := r.sorted.Get(&kept{Record: Record{Key: key}})
	return x
}

func (r *records) put(x Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.get(x.Key)
	p, ok := x.peer()
	isOwn := p == r.self
	full := !isOwn && r.of[p] >= maxRecordsPerPeer || isOwn && r.of[p] >= maxOwnRecords
	if old == nil && ok && full || x.size() > maxRecordBytes {
		r.drops++
		return
	}
	x.Value = bytes.Clone(x.Value)
	if !x.From.IsValid() {
		x.From = r.origin(p, old)
	}
	if old != nil {
		r.take(old)
	}
	k := &kept{Record: x}
	switch {
	case isOwn:
		k.holder = r.own
	case ok:
		k.holder = r.others.below(path(x.From, p))
	default:
		k.holder = r.others.below([]string{valuesName})
	}
	k.place = k.holder.kept.PushBack(k)
	k.holder.grow(x.size())
	r.sorted.ReplaceOrInsert(k)
	r.bytes += x.size()
	if ok {
		r.of[p]++
	}
	for r.sorted.Len() > maxRecords || r.bytes > maxRecordBytes {
		k, ok := r.others.oldestOfMost().(*kept)
		if !ok {
			break
		}
		r.remove(k)
		r.drops++
	}
}

// origin returns where a record of a peer has come from: the library does not tell, but
// it has told the addresses of the peer just before.
func (r *records) origin(peer string, old *kept) netip.Addr {
	if addrs := r.get(addrsNamespace + peer); addrs != nil {
		return addrs.From
	}
	if old != nil {
		return old.From
	}
	return netip.Addr{}
}

// remove takes a record out, and with the last one of a provider its addresses.
func (r *records) remove(k *kept) {
	r.take(k)
	if p, ok := k.peer(); ok && r.of[p] == 1 {
		if addrs := r.get(addrsNamespace + p); addrs != nil {
			r.take(addrs)
		}
	}
}

// take takes a record out.
func (r *records) take(k *kept) {
	r.sorted.Delete(k)
	r.bytes -= k.size()
	k.holder.kept.Remove(k.place)
	k.holder.grow(-k.size())
	if p, ok := k.peer(); ok {
		if r.of[p]--; r.of[p] == 0 {
			delete(r.of, p)
		}
	}
}

func (r *records) Put(_ context.Context, key datastore.Key, value []byte) error {
	r.put(Record{Key: key.String(), Value: value})
	return nil
}

func (r *records) Delete(_ context.Context, key datastore.Key) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.get(key.String()); k != nil {
		r.remove(k)
	}
	return nil
}

func (r *records) Get(_ context.Context, key datastore.Key) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.get(key.String())
	if x == nil {
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

// Query returns all that is asked for, but for the providers of a key some.
func (r *records) Query(_ context.Context, q query.Query) (query.Results, error) {
	prefix := q.Prefix
	if prefix != "" {
		prefix = datastore.NewKey(prefix).String()
	}
	if prefix != "" && prefix != "/" {
		prefix += "/"
	}
	list := r.under(prefix)
	if strings.HasPrefix(prefix, providersNamespace) && prefix != providersNamespace {
		list = some(list, maxAnswered)
	}
	var entries []query.Entry
	for _, x := range list {
		entries = append(entries, query.Entry{Key: x.Key, Value: x.Value, Size: len(x.Value)})
	}
	return query.NaiveQueryApply(q, query.ResultsWithEntries(q, entries)), nil
}

// some chooses at most n records by chance, from as many networks as it can.
func some(list []Record, n int) []Record {
	if len(list) <= n {
		return list
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	turn := make(map[netip.Prefix]int)
	turns := make([][]Record, n)
	for _, x := range list {
		var from netip.Prefix
		if x.From.IsValid() {
			from, _ = x.From.Prefix(networks(x.From)[2])
		}
		if at := turn[from]; at < n {
			turns[at] = append(turns[at], x)
			turn[from]++
		}
	}
	return slices.Concat(turns...)[:n]
}

func (r *records) Batch(context.Context) (datastore.Batch, error) {
	return datastore.NewBasicBatch(r), nil
}

func (*records) Sync(context.Context, datastore.Key) error { return nil }
func (*records) Close() error                              { return nil }
