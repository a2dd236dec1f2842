package blockstoretest

import (
	"math"
	"runtime"
	"strings"
	"sync"
)

// Heap is live heap by whose code has allocated it, in bytes. It comes from the
// runtime's heap profile, which samples.
type Heap struct {
	Own    int64 // this module, and what it calls in the standard library
	Badger int64 // Badger: memtables, caches, tables being built
	Rest   int64 // libp2p and the runtime's own
}

// Max returns the greater of each part.
func (h Heap) Max(other Heap) Heap {
	return Heap{max(h.Own, other.Own), max(h.Badger, other.Badger), max(h.Rest, other.Rest)}
}

// minus returns the growth of each part over that of idle.
func (h Heap) minus(idle Heap) Heap {
	return Heap{h.Own - idle.Own, h.Badger - idle.Badger, h.Rest - idle.Rest}
}

// heapSample is the sampling distance of the heap profile while it is watched, in bytes.
const heapSample = 32 << 10

// A HeapWatch notes the live heap after every garbage collection.
type HeapWatch struct {
	mu      sync.Mutex
	idle    Heap
	peak    Heap
	stopped bool
	records []runtime.MemProfileRecord
	owners  map[[32]uintptr]*int64 // which counter of now a stack belongs to
	now     Heap
}

// SampleHeap makes the heap profile fine enough for WatchHeap. It belongs at the
// very start of the process.
func SampleHeap() { runtime.MemProfileRate = heapSample }

// WatchHeap takes what is alive now as idle, and begins to watch.
func WatchHeap() *HeapWatch {
	w := &HeapWatch{owners: make(map[[32]uintptr]*int64)}
	runtime.GC()
	runtime.GC() // the profile is that of the collection before
	w.read()
	w.idle = w.now
	w.arm()
	return w
}

// arm lets the next collection call look.
func (w *HeapWatch) arm() {
	garbage := new([64]byte) // larger than what the allocator puts together
	runtime.AddCleanup(garbage, (*HeapWatch).look, w)
}

func (w *HeapWatch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	w.read()
	w.peak = w.peak.Max(w.now.minus(w.idle))
	w.arm()
}

// Stop ends the watch and returns the greatest growth of each part since
// WatchHeap.
func (w *HeapWatch) Stop() Heap {
	runtime.GC()
	runtime.GC()
	w.look()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	return w.peak
}

// read sums up the profile into now.
func (w *HeapWatch) read() {
	n, ok := runtime.MemProfile(w.records, false)
	for !ok {
		w.records = make([]runtime.MemProfileRecord, n+n/4+50)
		n, ok = runtime.MemProfile(w.records, false)
	}
	w.now = Heap{}
	for i := range w.records[:n] {
		r := &w.records[i]
		owner := w.owners[r.Stack0]
		if owner == nil {
			owner = w.owner(r.Stack())
			w.owners[r.Stack0] = owner
		}
		*owner += scaled(r.InUseBytes(), r.InUseObjects())
	}
}

// scaled undoes the sampling: it estimates the bytes alive from those sampled.
func scaled(bytes, objects int64) int64 {
	if bytes == 0 || objects == 0 {
		return 0
	}
	average := float64(bytes) / float64(objects)
	return int64(float64(bytes) / (1 - math.Exp(-average/float64(runtime.MemProfileRate))))
}

// owner returns the counter for what a stack has allocated: that of the
// innermost code which is not the standard library's or a small module's.
func (w *HeapWatch) owner(stack []uintptr) *int64 {
	frames := runtime.CallersFrames(stack)
	for {
		f, more := frames.Next()
		switch {
		case strings.HasPrefix(f.Function, "github.com/ibgib/"):
			return &w.now.Own
		case strings.HasPrefix(f.Function, "github.com/dgraph-io/"):
			return &w.now.Badger
		case strings.HasPrefix(f.Function, "github.com/libp2p/"), strings.HasPrefix(f.Function, "github.com/quic-go/"), !more:
			return &w.now.Rest
		}
	}
}
