package node

import (
	"encoding/json"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
)

// Bounds of a merge as an event, in bytes: of a value, and of all together, which leaves
// room for what JSON adds.
const (
	maxMergeValue = 2 << 10
	maxMergeText  = 40 << 10
)

// keptMerge is what the journal keeps of a merge; nil if even its addresses are too long.
func keptMerge(in blockstore.Share, at time.Time, m blockstore.Merge) []byte {
	told := mergeOf(m)
	for {
		text, err := json.Marshal(kept{Event{Kind: EventMerge, Time: at.UTC(), Merge: &told}, in})
		switch {
		case err != nil:
			return nil
		case len(text) <= blockstore.MaxJournalText:
			return text
		case len(told.Overridden)+len(told.Skipped) == 0:
			return nil
		}
		told.cut(len(told.Overridden)/2, len(told.Skipped)/2)
	}
}

// cut leaves so many of its lists, and counts the others.
func (m *Merge) cut(overridden, skipped int) {
	m.OverriddenMore += len(m.Overridden) - overridden
	m.SkippedMore += len(m.Skipped) - skipped
	m.Overridden, m.Skipped = m.Overridden[:overridden], m.Skipped[:skipped]
}

// mergeOf shows a merge as far as an event has room.
func mergeOf(m blockstore.Merge) Merge {
	told := Merge{Tjp: m.Root, Latest: m.Latest, Overridden: []Overridden{}, Skipped: []ibgib.Addr{}}
	room := maxMergeText
	for i, o := range m.Overridden {
		shown := overridden(o)
		shown.Lost, shown.LostBytes = shortValue(shown.Lost)
		shown.Won, shown.WonBytes = shortValue(shown.Won)
		if room -= shown.size(); room < 0 {
			told.OverriddenMore = len(m.Overridden) - i
			break
		}
		told.Overridden = append(told.Overridden, shown)
	}
	for i, a := range m.Skipped {
		if room -= len(a.String()); room < 0 {
			told.SkippedMore = len(m.Skipped) - i
			break
		}
		told.Skipped = append(told.Skipped, a)
	}
	return told
}

// shortValue leaves out a value that is too long, and returns its size then.
func shortValue(v json.RawMessage) (json.RawMessage, int) {
	if len(v) > maxMergeValue {
		return nil, len(v)
	}
	return v, 0
}

// size is about what it takes as text.
func (o Overridden) size() int {
	size := len(o.Lost) + len(o.Won) + len(o.LostBy.String()) + len(o.WonBy.String())
	for _, name := range o.Path {
		size += len(name)
	}
	return size
}
