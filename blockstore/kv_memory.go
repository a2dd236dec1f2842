package blockstore

import (
	"bytes"
	"sync"

	"github.com/google/btree"
)

// memoryKV is the engine in memory: a copy-on-write tree, so a snapshot costs
// nothing and later writes do not show in it.
type memoryKV struct {
	mu   sync.Mutex // guards tree
	tree *btree.BTreeG[op]
}

func newMemoryKV() *memoryKV {
	return &memoryKV{tree: btree.NewG(32, func(a, b op) bool { return bytes.Compare(a.key, b.key) < 0 })}
}

func (k *memoryKV) close() error { return nil }

func (k *memoryKV) write(b *batch) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, o := range b.ops {
		if o.remove {
			k.tree.Delete(o)
		} else {
			k.tree.ReplaceOrInsert(op{key: bytes.Clone(o.key), value: bytes.Clone(o.value)})
		}
	}
	return nil
}

func (k *memoryKV) snapshot() snapshot {
	k.mu.Lock()
	defer k.mu.Unlock()
	return memorySnapshot{tree: k.tree.Clone()}
}

type memorySnapshot struct {
	tree *btree.BTreeG[op]
}

func (s memorySnapshot) release() {}

func (s memorySnapshot) get(key []byte) ([]byte, bool, error) {
	o, ok := s.tree.Get(op{key: key})
	return bytes.Clone(o.value), ok, nil
}

func (s memorySnapshot) has(key []byte) (bool, error) {
	return s.tree.Has(op{key: key}), nil
}

func (s memorySnapshot) scan(prefix, from []byte, f func(key, value []byte) (bool, error)) error {
	if bytes.Compare(from, prefix) < 0 {
		from = prefix
	}
	var err error
	s.tree.AscendGreaterOrEqual(op{key: from}, func(o op) bool {
		if !bytes.HasPrefix(o.key, prefix) {
			return false
		}
		var more bool
		more, err = f(o.key, o.value)
		return more && err == nil
	})
	return err
}

func (s memorySnapshot) scanSmall(prefix, from []byte, limit int, f func(key, value []byte) (bool, error)) error {
	return s.scan(prefix, from, func(key, value []byte) (bool, error) {
		if len(value) > limit {
			value = nil
		}
		return f(key, value)
	})
}

func (s memorySnapshot) scanKeys(prefix, from []byte, f func(key []byte) (bool, error)) error {
	return s.scan(prefix, from, func(key, _ []byte) (bool, error) { return f(key) })
}
