package blockstore

// A kv is the ordered key-value engine under a Store: Badger on disk, or a
// tree in memory. Writes are atomic and, for an engine on disk, durable when
// they return.
type kv interface {
	// snapshot opens a consistent read-only picture of the engine. The caller
	// releases it.
	snapshot() snapshot
	// write applies the batch whole or not at all. It keeps no key or value of
	// the batch when it returns.
	write(b *batch) error
	close() error
}

// A snapshot reads one consistent state. It is safe for one goroutine.
type snapshot interface {
	// get returns a copy of the value of key; found is false if there is none.
	get(key []byte) (value []byte, found bool, err error)
	// has tells whether key exists, without reading its value.
	has(key []byte) (bool, error)
	// scan calls f for each key with the prefix that is not less than from (nil:
	// the first), in ascending order, until f returns false. key and value are
	// valid only during the call.
	scan(prefix, from []byte, f func(key, value []byte) (bool, error)) error
	// scanSmall is scan without the values of more than limit bytes, which are nil.
	scanSmall(prefix, from []byte, limit int, f func(key, value []byte) (bool, error)) error
	// scanKeys is scan without values.
	scanKeys(prefix, from []byte, f func(key []byte) (bool, error)) error
	release()
}

// Limits of one batch, chosen so that Badger takes it in one transaction (see
// badgerOptions): about 15 % of the memtable in bytes, and per entry what a
// skiplist node takes. A value over bigValue lies in the value log and counts
// little.
const (
	maxBatchBytes = 4 << 20
	maxBatchOps   = 24_000
	bigValue      = 64 << 10
)

// A batch is an ordered list of puts and deletes; a later operation on a key
// rules an earlier one. Keys and values belong to the batch until it has been
// written.
type batch struct {
	ops   []op
	index map[string]int // key -> place in ops
	bytes int
}

type op struct {
	key, value []byte
	remove     bool
}

func newBatch() *batch { return &batch{index: make(map[string]int)} }

func (b *batch) put(key, value []byte) {
	b.set(op{key: key, value: value})
}

func (b *batch) remove(key []byte) {
	b.set(op{key: key, remove: true})
}

// add adds a put of a key that no other operation of the batch is on, and that
// nobody looks up.
func (b *batch) add(key, value []byte) {
	b.ops = append(b.ops, op{key: key, value: value})
	b.bytes += opSize(len(key), len(value))
}

// opSize is what an operation counts in a batch.
func opSize(key, value int) int {
	if value >= bigValue {
		value = 0
	}
	return key + value + 32
}

func (b *batch) set(o op) {
	size := opSize(len(o.key), len(o.value))
	if i, ok := b.index[string(o.key)]; ok {
		b.ops[i] = o
		b.bytes += size // an over-estimate, which is safe
		return
	}
	b.index[string(o.key)] = len(b.ops)
	b.ops = append(b.ops, o)
	b.bytes += size
}

// lookup returns the batch's own operation on key.
func (b *batch) lookup(key []byte) (op, bool) {
	i, ok := b.index[string(key)]
	if !ok {
		return op{}, false
	}
	return b.ops[i], true
}

func (b *batch) empty() bool { return len(b.ops) == 0 }

// full tells whether the batch, with more operations of so many bytes to come,
// should be written before others join it; what a single block adds always fits
// beside it.
func (b *batch) full(ops, bytes int) bool {
	return b.bytes+bytes >= maxBatchBytes/2 || len(b.ops)+ops >= maxBatchOps/2
}

func (b *batch) reset() {
	b.ops = b.ops[:0]
	clear(b.index)
	b.bytes = 0
}
