package node

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"
)

// What one case may cost: the attacker, the victim and the honest node together,
// which are one process. What has no bound passes any.
const (
	maxHostileHeap = 128 << 20
	maxHostileCPU  = 30 * time.Second
)

// cost is what a case took of the machine.
type cost struct {
	heap int64 // most that was alive, over what idle nodes hold, in bytes
	cpu  time.Duration
}

// charge notes what a case cost, and fails it if that was too much.
func (r *arena) charge(t *testing.T, c cost) {
	t.Helper()
	if c.heap > maxHostileHeap || c.cpu > maxHostileCPU {
		t.Errorf("%d bytes were alive, %v of CPU time were spent", c.heap, c.cpu)
	}
	if c.heap > r.worst.heap {
		r.worst.heap, r.worstOf[0] = c.heap, t.Name()
	}
	if c.cpu > r.worst.cpu {
		r.worst.cpu, r.worstOf[1] = c.cpu, t.Name()
	}
}

// meter measures the live heap after every garbage collection, and CPU time.
type meter struct {
	peak    atomic.Int64
	cpu     time.Duration
	stopped atomic.Bool
}

func startMeter() *meter {
	m := &meter{cpu: cpuTime()}
	m.arm()
	return m
}

// arm lets the next collection call look.
func (m *meter) arm() {
	garbage := new([64]byte)
	runtime.AddCleanup(garbage, (*meter).look, m)
}

func (m *meter) look() {
	if m.stopped.Load() {
		return
	}
	m.note()
	m.arm()
}

func (m *meter) note() {
	for live := liveHeap(); ; {
		peak := m.peak.Load()
		if live <= peak || m.peak.CompareAndSwap(peak, live) {
			return
		}
	}
}

func (m *meter) stop(idle int64) cost {
	m.note()
	m.stopped.Store(true)
	return cost{m.peak.Load() - idle, cpuTime() - m.cpu}
}

// liveHeap is what the last collection found to be alive.
func liveHeap() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
