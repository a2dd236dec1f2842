package blockstore

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"
)

// loose are the arrivals of one stage that has not been committed: what it brought
// and what it took over. If a peer brought them they count against its budget, until
// a stage that has them is committed.
type loose struct {
	share  Share
	ranges []seqRange
	peer   uint32    // 0: nobody's
	bytes  int64     // of the budget; of members with the same peer
	last   time.Time // when something was added last
	// fetched says that the bytes count against the budget of all that is fetched, too.
	fetched bool
}

// seqRange is a half-open range of arrival sequence numbers.
type seqRange struct{ from, to uint64 }

// DefaultPeerBudget is how many bytes of a peer may be loose.
const DefaultPeerBudget = 1 << 30

// What counts against a budget beside the stored form of a block: its other records,
// and those of a stage.
const (
	blockOverhead = 512
	stageOverhead = 4 << 10
)

// blockCharge is what a block counts against a budget.
func blockCharge(size int) int64 { return int64(size) + blockOverhead }

// looses are the loose arrivals of all stages. Store.mu guards them.
type looses struct {
	byID    map[uint64]*loose
	index   []looseRange // by number
	used    map[uint32]int64
	fetched int64 // of used
}

// looseRange is a range of arrivals and the stage that it belongs to.
type looseRange struct {
	seqRange
	stage uint64
}

func newLooses() looses {
	return looses{byID: make(map[uint64]*loose), used: make(map[uint32]int64)}
}

// at returns the stage that a member of the share belongs to by its number.
func (x *looses) at(share Share, seq uint64) (stage uint64, ok bool) {
	i, exact := slices.BinarySearchFunc(x.index, seq, func(r looseRange, seq uint64) int { return cmp.Compare(r.from, seq) })
	if !exact {
		i--
	}
	if i < 0 || seq >= x.index[i].to {
		return 0, false
	}
	stage = x.index[i].stage
	return stage, x.byID[stage].share == share
}

// elsewhere tells whether there may be arrivals of other stages than this one.
func (x *looses) elsewhere(stage uint64) bool {
	if _, own := x.byID[stage]; own {
		return len(x.byID) > 1
	}
	return len(x.byID) > 0
}

// set puts a record in the place of what is known of a stage; nil removes it.
func (x *looses) set(stage uint64, l *loose) {
	if old := x.byID[stage]; old != nil {
		x.use(old, -old.bytes)
		x.index = slices.DeleteFunc(x.index, func(r looseRange) bool { return r.stage == stage })
		delete(x.byID, stage)
	}
	if l == nil {
		return
	}
	x.byID[stage] = l
	x.use(l, l.bytes)
	for _, r := range l.ranges {
		x.index = append(x.index, looseRange{r, stage})
	}
	slices.SortFunc(x.index, func(a, b looseRange) int { return cmp.Compare(a.from, b.from) })
}

// reserve adds the newest numbers of all to those of a stage, which is in set
// already.
func (x *looses) reserve(stage uint64, r seqRange) {
	l := x.byID[stage]
	if n := len(l.ranges); n > 0 && l.ranges[n-1].to == r.from {
		l.ranges[n-1].to = r.to
		x.index[len(x.index)-1].to = r.to
		return
	}
	l.ranges = append(l.ranges, r)
	x.index = append(x.index, looseRange{r, stage})
}

// Loose returns how many bytes count against the budget of a peer
// (Options.PeerBudget).
func (s *Store) Loose(peer string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loose.used[s.peers[peer]]
}

// LooseFetched returns how many bytes count against the budget of all that is fetched
// (Origin.Fetched).
func (s *Store) LooseFetched() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loose.fetched
}

// release takes a member out of what its stage counts.
func (x *looses) release(w *writer, stage uint64, m *member, size int) {
	if l := x.byID[stage]; l != nil && l.peer != 0 && l.peer == m.peer {
		x.charge(stage, -blockCharge(size))
		w.changeLoose(stage)
	}
}

// charge adds to what a stage counts.
func (x *looses) charge(stage uint64, bytes int64) {
	if l := x.byID[stage]; l != nil && l.peer != 0 {
		bytes = max(bytes, -l.bytes)
		l.bytes += bytes
		x.use(l, bytes)
	}
}

func (x *looses) use(l *loose, bytes int64) {
	if l.peer == 0 || bytes == 0 {
		return
	}
	if x.used[l.peer] += bytes; x.used[l.peer] == 0 {
		delete(x.used, l.peer)
	}
	if l.fetched {
		x.fetched += bytes
	}
}

// looseFetched stands at the end of the record of a stage of which loose.fetched is set.
const looseFetched = 1

func encodeLoose(l *loose) []byte {
	b := binary.AppendUvarint(nil, uint64(l.share))
	b = binary.AppendUvarint(b, uint64(len(l.ranges)))
	for _, r := range l.ranges {
		b = binary.AppendUvarint(binary.AppendUvarint(b, r.from), r.to)
	}
	b = binary.AppendUvarint(b, uint64(l.peer))
	b = binary.AppendUvarint(b, uint64(l.bytes))
	b = binary.AppendVarint(b, l.last.UnixMilli())
	if l.fetched {
		b = binary.AppendUvarint(b, looseFetched)
	}
	return b
}

func decodeLoose(b []byte) (*loose, error) {
	r := reader{b: b}
	l := &loose{share: Share(r.uvarint())}
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		return l, errRecord
	}
	l.ranges = make([]seqRange, n)
	for i := range l.ranges {
		l.ranges[i] = seqRange{from: r.uvarint(), to: r.uvarint()}
	}
	if len(r.b) > 0 { // earlier programs wrote no more than that
		l.peer, l.bytes, l.last = uint32(r.uvarint()), int64(r.uvarint()), time.UnixMilli(r.varint()).UTC()
	}
	if len(r.b) > 0 {
		if l.fetched = true; r.uvarint() != looseFetched {
			return l, errRecord
		}
	}
	return l, r.end()
}

// changeLoose lets the layer at hand write, or remove, what is known of a stage.
func (w *writer) changeLoose(stage uint64) {
	if !slices.Contains(w.cur.loose, stage) {
		w.cur.loose = append(w.cur.loose, stage)
	}
	if !slices.Contains(w.loose, stage) {
		w.loose = append(w.loose, stage)
	}
}

// seal completes the layer at hand before it is written.
func (w *writer) seal() {
	for _, stage := range w.cur.loose {
		key := stagePrefix(prefixLoose, stage)
		if l := w.s.loose.byID[stage]; l != nil {
			w.put(key, encodeLoose(l))
		} else {
			w.remove(key)
		}
	}
	w.cur.loose = nil
}

// reloadLoose puts what is stored of some stages in the place of what could not be
// written. What cannot be read either stays as it is.
func (s *Store) reloadLoose(stages []uint64) {
	snap := s.snapshot()
	defer snap.release()
	for _, stage := range stages {
		b, found, err := snap.get(stagePrefix(prefixLoose, stage))
		if err != nil {
			continue
		}
		if !found {
			s.loose.set(stage, nil)
		} else if l, err := decodeLoose(b); err == nil {
			s.loose.set(stage, l)
		}
	}
}
