package blockstore

import (
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// What computing merges may cost, in the units of timeline.Budget, of which a
// core does some hundred million a second. A peer has an allowance for each timeline
// and one for all together; both fill up within mergeRefill. This node has the
// first one anew for each merge. RetryMerges has the first one for each timeline whenever
// it is called, and an allowance for all that fills up as well.
const (
	mergeAllowance     = 128 << 20
	peerMergeAllowance = 512 << 20
	retryAllowance     = 256 << 20
	mergeRefill        = time.Minute
)

// Merges are computed under the lock of the store, for which all other changes wait. So
// what one turn may spend is bounded too; the rest is undecided and left to RetryMerges,
// which gives the lock back after each slice of its work.
const (
	turnAllowance = 32 << 20
	retrySlice    = 4 << 20
)

// maxMergeCaches bounds the memory, in bytes, of what merges remember of each
// other. The last one is kept whatever its size.
const maxMergeCaches = 64 << 20

// mergeTask names computations that share a cache.
type mergeTask struct {
	share Share
	root  ibgib.Addr
	of    mergeOf
}

type mergeOf uint8

const (
	latestOfHeads mergeOf = iota // what this node presents
	checkOfFrames                // merge frames that came from elsewhere
)

// merging bounds and remembers the computations of merges. Store.mu guards it.
type merging struct {
	ofTimeline, ofPeer, ofTurn int64 // mergeAllowance, peerMergeAllowance and turnAllowance

	turn       int64     // what the turn under way may still spend
	slice      int64     // retrySlice
	retries    allowance // of RetryMerges
	allowances map[allowanceKey]*allowance
	tidied     time.Time // when those that were whole were last dropped
	caches     map[mergeTask]*timeline.MergeCache
	recent     []mergeTask // keys of caches, the last one used last
}

// allowanceKey is a peer on a timeline, or on all of them with the zero Addr.
type allowanceKey struct {
	peer uint32
	root ibgib.Addr
}

// allowance fills up with time.
type allowance struct {
	left, full int64
	at         time.Time
}

func (a *allowance) refill(now time.Time) {
	passed := max(0, now.Sub(a.at)) // the clock may have been set back
	a.left = min(a.full, a.left+int64(float64(a.full)*passed.Seconds()/mergeRefill.Seconds()))
	a.at = now
}

func newMerging() merging {
	return merging{
		ofTimeline: mergeAllowance, ofPeer: peerMergeAllowance, ofTurn: turnAllowance,
		turn: turnAllowance, slice: retrySlice,
		retries:    allowance{full: retryAllowance},
		allowances: make(map[allowanceKey]*allowance),
		caches:     make(map[mergeTask]*timeline.MergeCache),
	}
}

// work returns what a merge may cost at the expense of a peer, and the cache of
// its task. spent has to be called when the merge is over.
func (m *merging) work(task mergeTask, peer uint32, now time.Time) (work timeline.MergeWork, spent func()) {
	payers := []*int64{&m.turn}
	granted := min(m.ofTimeline, m.turn)
	if peer != 0 {
		m.forgetFull(now)
		one := m.allowance(allowanceKey{peer, task.root}, m.ofTimeline, now)
		all := m.allowance(allowanceKey{peer: peer}, m.ofPeer, now)
		granted = min(granted, one.left, all.left)
		payers = append(payers, &one.left, &all.left)
	}
	budget := timeline.NewBudget(granted)
	return timeline.MergeWork{Budget: budget, Cache: m.cache(task)}, func() {
		used := granted - budget.Left()
		for _, left := range payers {
			*left -= used
		}
		m.shrink()
	}
}

// remembered is how much is known of the merges of a timeline.
func (m *merging) remembered(share Share, root ibgib.Addr) int {
	size := 0
	for _, of := range []mergeOf{latestOfHeads, checkOfFrames} {
		if c := m.caches[mergeTask{share, root, of}]; c != nil {
			size += c.Size()
		}
	}
	return size
}

func (m *merging) allowance(key allowanceKey, full int64, now time.Time) *allowance {
	a := m.allowances[key]
	if a == nil {
		a = &allowance{left: full, full: full, at: now}
		m.allowances[key] = a
	}
	a.refill(now)
	return a
}

// forgetFull drops the allowances that are whole again, as new ones are, once
// there are many.
func (m *merging) forgetFull(now time.Time) {
	const many = 1000
	if len(m.allowances) < many || now.Sub(m.tidied) < mergeRefill {
		return
	}
	m.tidied = now
	for key, a := range m.allowances {
		if a.refill(now); a.left == a.full {
			delete(m.allowances, key)
		}
	}
}

func (m *merging) cache(task mergeTask) *timeline.MergeCache {
	for i, t := range m.recent {
		if t == task {
			m.recent = append(m.recent[:i], m.recent[i+1:]...)
			break
		}
	}
	m.recent = append(m.recent, task)
	if m.caches[task] == nil {
		m.caches[task] = new(timeline.MergeCache)
	}
	return m.caches[task]
}

// shrink drops the caches that were used longest ago.
func (m *merging) shrink() {
	const most = 256
	size := 0
	for i := len(m.recent) - 1; i >= 0; i-- {
		size += m.caches[m.recent[i]].Size()
		if i < len(m.recent)-1 && (size > maxMergeCaches || len(m.recent)-i > most) {
			for _, task := range m.recent[:i+1] {
				delete(m.caches, task)
			}
			m.recent = append([]mergeTask(nil), m.recent[i+1:]...)
			return
		}
	}
}
