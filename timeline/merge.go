package timeline

import (
	"container/heap"
	"errors"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Merged is latest of a timeline that has diverged.
type Merged struct {
	IbGib ibgib.IbGib // the merge frame; all it links to is in the closures of the heads
	Frame Frame       // its facts, as Admit returns them
	Base  Frame       // the last frame through which every path from the heads to the tjp runs

	// Keep is the keep frame at whose state the replay started, zero if it
	// started at the base.
	Keep ibgib.Addr
	// Replayed are the ops that were replayed, in that order, those included that
	// could not be applied.
	Replayed []ibgib.Addr
	// Skipped are those of them that could not be applied, sorted.
	Skipped []ibgib.Addr
	// Overridden are the writes that a later one took the place of without having
	// seen it, in the order in which that happened. Past some effort (see
	// MERGE.md) the list ends early.
	Overridden []Overridden
}

// The reasons why a timeline that has diverged cannot be merged until a person
// resolves it by a keep frame.
const (
	ReasonOpaque       = "opaque-frame"   // nothing says what a frame above the base did
	ReasonTooManyHeads = "too-many-heads" // more than MaxMergeHeads
	ReasonGate         = "gate"           // the merge frame would break a rule of the gate
	ReasonNoN          = "n-at-its-end"   // n cannot grow any more
)

// Unmergeable is the error of Merge for heads that have no merge frame. Like the
// merge frame it follows from the user frames alone, so every node agrees on it.
type Unmergeable struct {
	Reason string     // one of the Reason constants
	Detail string     // of bounded length, control characters escaped
	Base   ibgib.Addr // zero for too many heads
	Opaque ibgib.Addr // the least opaque frame by (n, HASH), with ReasonOpaque
}

// Error names the reason and the detail.
func (u *Unmergeable) Error() string {
	return fmt.Sprintf("timeline: cannot be merged (%s): %s", u.Reason, u.Detail)
}

// MergeWork is what computations of merges of one timeline share. The zero value
// is good for one.
type MergeWork struct {
	Budget *Budget     // nil: no bound
	Cache  *MergeCache // nil: nothing is remembered
}

// Merge computes latest of a timeline from its heads, two or more user frames
// none of which is in the history of another, in any order. The result depends on
// the heads alone; see MERGE.md. If they cannot be merged, the error is an
// *Unmergeable; it wraps ErrOverBudget if the budget did not suffice; else it is
// that of a lookup.
//
// Memory is bounded by what the frames above the base need, not by the length of
// the timeline (without n: not by more than twice that).
func Merge(heads []Frame, frame FrameLookup, block Lookup, work MergeWork) (Merged, error) {
	m := merger{frame: frame, block: block, budget: work.Budget, cache: work.Cache}
	if m.cache == nil {
		m.cache = new(MergeCache)
	}
	m.heads = slices.SortedFunc(slices.Values(heads), func(a, b Frame) int { return ibgib.CompareAddr(a.Addr, b.Addr) })
	merged, err := m.merge()
	if _, ok := errors.AsType[*Unmergeable](err); err != nil && !ok {
		err = fmt.Errorf("timeline: merge: %w", err)
	}
	return merged, err
}

// merger is one computation of a merge.
type merger struct {
	frame  FrameLookup
	block  Lookup
	budget *Budget
	cache  *MergeCache
	heads  []Frame // sorted by address

	d     *divergence
	ops   []op // of each node; without dna for what is not replayed
	dnas  dnaReader
	keep  int         // the node of the winning keep frame, -1 for none
	stamp ibgib.Stamp // of the merge frame
	order []int       // what is replayed, in order
}

func (m *merger) merge() (Merged, error) {
	if len(m.heads) < 2 {
		return Merged{}, fmt.Errorf("%d heads are no divergence", len(m.heads))
	}
	if n := len(m.heads); n > MaxMergeHeads {
		return Merged{}, &Unmergeable{Reason: ReasonTooManyHeads, Detail: fmt.Sprintf("%d heads, at most %d can be merged", n, MaxMergeHeads)}
	}
	var err error
	if m.d, err = findDivergence(m.heads, m.frame, m.budget); err != nil {
		return Merged{}, err
	}
	m.dnas.block = m.block
	if err := m.chooseKeep(); err != nil {
		return Merged{}, err
	}
	if err := m.recognizeOps(); err != nil {
		return Merged{}, err
	}
	m.sortOps()
	if err := m.replay(); err != nil {
		return Merged{}, err
	}
	return m.result()
}

// unmergeable returns the error for a reason that shows once the base is known.
func (m *merger) unmergeable(reason, format string, args ...any) *Unmergeable {
	return &Unmergeable{Reason: reason, Detail: fmt.Sprintf(format, args...), Base: m.d.base.Addr}
}

// chooseKeep finds the keep frame that the replay starts from: of those above
// the base that are in no other keep's history the one with the greatest key.
func (m *merger) chooseKeep() error {
	m.keep = -1
	covered := make([]bool, len(m.d.nodes))
	var greatest opKey
	for i, n := range m.d.nodes {
		if n.Kind == KindKeep && !covered[i] {
			g, err := m.read(n.Addr)
			if err == nil {
				err = m.budget.spend(g.Size())
			}
			if err != nil {
				return err
			}
			stamp, _ := ibgib.StampOf(g) // Admit saw to its being readable
			if key := keyOf(n.Frame, stamp); m.keep < 0 || compareKeys(key, greatest) > 0 {
				m.keep, greatest, m.stamp = i, key, stamp
			}
		}
		if n.Kind == KindKeep || covered[i] {
			for _, k := range n.below {
				covered[k] = true
			}
		}
	}
	return nil
}

// recognizeOps fills ops for all frames that are replayed: the user frames above
// the base, but for keep frames and what the winning keep frame has seen.
func (m *merger) recognizeOps() error {
	m.ops = make([]op, len(m.d.nodes))
	var seen []bool
	if m.keep >= 0 {
		seen = m.d.history(m.d.nodes[m.keep].Addr)
	} else {
		seen = make([]bool, len(m.d.nodes))
	}
	known := make(map[ibgib.Hash]op)
	open := make([]bool, len(m.d.nodes)) // to be recognized
	var opaque *node                     // the least; it is to be reported, so none ends the search
	found := func(i int, o op) {
		n := &m.d.nodes[i]
		m.ops[i], known[n.Hash()] = o, o
		if o.dna.IsZero() && (opaque == nil || Compare(n.Frame, opaque.Frame) < 0) {
			opaque = n
		}
	}
	for i, n := range m.d.nodes {
		if n.Kind != KindUser || seen[i] {
			continue
		}
		o, ok := m.cache.known[n.Hash()]
		if open[i] = !ok; ok {
			found(i, o)
		}
	}
	m.cache.known = known

	// From each frame down its predecessors, so that blocks are read once.
	for i := range m.d.nodes {
		var g ibgib.IbGib
		for k, more := i, open[i]; more; {
			n := &m.d.nodes[k]
			open[k] = false
			var err error
			if g.IsZero() {
				if g, err = m.read(n.Addr); err != nil {
					return err
				}
			}
			pred, err := m.read(n.Pred)
			if err != nil {
				return err
			}
			o, err := m.recognize(g, pred)
			if err != nil {
				return err
			}
			found(k, o)
			g = pred
			h, _ := n.Pred.Hash()
			k, more = m.d.at[h]
			more = more && open[k]
		}
	}
	if opaque == nil {
		return nil
	}
	u := m.unmergeable(ReasonOpaque, "nothing says what the frame %s did to its predecessor: its newest dna does not reproduce it", shown(opaque.Addr))
	u.Opaque = opaque.Addr
	return u
}

// recognize is opOf with the dna read.
func (m *merger) recognize(g, pred ibgib.IbGib) (op, error) {
	if err := m.budget.spend(g.Size() + pred.Size()); err != nil {
		return op{}, err
	}
	addr, ok := g.LastRel(relDna)
	if !ok || addr.IsPrimitive() {
		return op{}, nil
	}
	dna, err := m.dnas.read(addr, g.Addr())
	if err != nil {
		return op{}, err
	}
	if err := m.budget.spend(dna.Size()); err != nil {
		return op{}, err
	}
	return opOf(g, pred, dna), nil
}

// sortOps brings the ops in their order: repeatedly the one with the smallest key
// among those in whose history no op is left to be replayed.
func (m *merger) sortOps() {
	nodes := m.d.nodes
	above := make([][]int, len(nodes)) // frames directly above
	waits := make([]int, len(nodes))   // frames directly below that are not done
	for i, n := range nodes {
		waits[i] = len(n.below)
		for _, k := range n.below {
			above[k] = append(above[k], i)
		}
	}
	var ready opHeap
	var passed []int // done, not yet told to those above
	enter := func(i int) {
		if m.ops[i].dna.IsZero() {
			passed = append(passed, i) // nothing to be replayed
		} else {
			heap.Push(&ready, readyOp{keyOf(nodes[i].Frame, m.ops[i].stamp), i})
		}
	}
	for i := range nodes {
		if waits[i] == 0 {
			enter(i)
		}
	}
	for {
		for len(passed) > 0 {
			i := passed[len(passed)-1]
			passed = passed[:len(passed)-1]
			for _, k := range above[i] {
				if waits[k]--; waits[k] == 0 {
					enter(k)
				}
			}
		}
		if len(ready) == 0 {
			return
		}
		i := heap.Pop(&ready).(readyOp).node
		m.order = append(m.order, i)
		m.stamp = m.ops[i].stamp
		passed = append(passed, i)
	}
}

type readyOp struct {
	key  opKey
	node int
}

// opHeap is a container/heap with the smallest key on top.
type opHeap []readyOp

func (h opHeap) Len() int           { return len(h) }
func (h opHeap) Less(i, j int) bool { return compareKeys(h[i].key, h[j].key) < 0 }
func (h opHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *opHeap) Push(x any)        { *h = append(*h, x.(readyOp)) }
func (h *opHeap) Pop() any {
	last := len(*h) - 1
	o := (*h)[last]
	*h = (*h)[:last]
	return o
}

// result makes the merge frame of the state that the replay led to.
func (m *merger) result() (Merged, error) {
	past := Latest(m.heads)
	res := Merged{Base: m.d.base, Frame: Frame{
		Tjp: m.d.base.Tjp, Kind: KindMerge, HasN: past.HasN, Pred: past.Addr, HasMergeList: true,
	}}
	if m.keep >= 0 {
		res.Keep = m.d.nodes[m.keep].Addr
	}
	for _, f := range m.heads {
		if f.Addr != past.Addr {
			res.Frame.Links = append(res.Frame.Links, f.Addr)
		}
	}
	has := m.d.history(past.Addr)
	var dna []ibgib.Addr
	for k, i := range m.order {
		res.Replayed = append(res.Replayed, m.d.nodes[i].Addr)
		switch {
		case !m.cache.done[k].applied:
			res.Skipped = append(res.Skipped, m.d.nodes[i].Addr)
		case !has[i]:
			dna = append(dna, m.ops[i].dna)
		}
	}
	slices.SortFunc(res.Skipped, ibgib.CompareAddr)
	res.Overridden = m.cache.writes.overridden

	state := m.cache.state
	data := m.stamp.On(state.Data)
	if past.HasN {
		if past.N == maxN {
			return Merged{}, m.unmergeable(ReasonNoN, "n cannot grow beyond %d", past.N)
		}
		res.Frame.N = past.N + 1
		data = data.With(memberN, ibgib.Number(float64(res.Frame.N)))
	}
	base, err := m.read(m.d.base.Addr)
	if err != nil {
		return Merged{}, err
	}
	rel8ns := state.Rel8ns
	if hasList(base, relAncestor) {
		rel8ns = rel8ns.With(relAncestor, base.Rel(relAncestor))
	}
	rel8ns = rel8ns.With(relPast, []ibgib.Addr{past.Addr}).
		With(relTjp, []ibgib.Addr{m.d.base.Tjp}).
		With(RelMerge, res.Frame.Links)
	if len(dna) > 0 {
		rel8ns = rel8ns.With(relDna, dna)
	}
	if len(res.Skipped) > 0 {
		rel8ns = rel8ns.With(RelSkipped, res.Skipped)
	}
	res.IbGib, err = ibgib.New(state.Ib, data, rel8ns)
	if err != nil {
		return Merged{}, m.unmergeable(ReasonGate, "%v", err)
	}
	res.Frame.Addr = res.IbGib.Addr()
	return res, nil
}

// read reads the block of a frame above the base, of one below it, or the base.
func (m *merger) read(a ibgib.Addr) (ibgib.IbGib, error) {
	g, err := m.block(a)
	if err == nil && g.IsZero() {
		err = &MissingError{Addr: a}
	}
	return g, err
}

// dnaReader reads dna records and keeps some, since each is needed twice.
type dnaReader struct {
	block Lookup
	held  map[ibgib.Addr]ibgib.IbGib
	size  int
}

func (r *dnaReader) read(a, referrer ibgib.Addr) (ibgib.IbGib, error) {
	if g, ok := r.held[a]; ok {
		return g, nil
	}
	g, err := r.block(a)
	if err != nil {
		return g, err
	}
	if g.IsZero() {
		return g, &MissingError{Addr: a, Referrer: referrer}
	}
	if r.size+g.Size() <= heldBytes {
		if r.held == nil {
			r.held = make(map[ibgib.Addr]ibgib.IbGib)
		}
		r.held[a] = g
		r.size += g.Size()
	}
	return g, nil
}
