package saga

import (
	"bytes"
	"slices"
	"sort"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// Row is one timeline that differs: the heads that each side named, ascending.
type Row struct {
	Root ibgib.Hash
	Own  []ibgib.Hash
	Peer []ibgib.Hash
}

// Gap is the set of timelines that differ between two sides, by ascending
// root. It is immutable once it is handed out.
type Gap struct {
	rows    []Row
	unnamed []ibgib.Hash // timelines that are not compared, though they are in the scope, ascending
	scope   []ibgib.Hash // roots that were compared, ascending; none: all
}

// Differs reports whether the two sides may hold different heads of a timeline.
func (g *Gap) Differs(root ibgib.Hash) bool {
	if _, ok := g.Find(root); ok || !inScope(root, g.scope) {
		return true
	}
	_, ok := slices.BinarySearchFunc(g.unnamed, root, compareHash)
	return ok
}

// inScope reports whether a timeline is one that a saga is about.
func inScope(root ibgib.Hash, scope []ibgib.Hash) bool {
	if len(scope) == 0 {
		return true
	}
	_, ok := slices.BinarySearchFunc(scope, root, compareHash)
	return ok
}

// Find returns the row of a timeline, if it differs.
func (g *Gap) Find(root ibgib.Hash) (Row, bool) {
	i := sort.Search(len(g.rows), func(i int) bool { return compareHash(g.rows[i].Root, root) >= 0 })
	if i == len(g.rows) || g.rows[i].Root != root {
		return Row{}, false
	}
	return g.rows[i], true
}

// compareMaps lists the rows in which two whole maps differ.
func compareMaps(own, peer []timeline.Entry) *Gap {
	var rows []Row
	for len(own) > 0 || len(peer) > 0 {
		order := 0
		switch {
		case len(own) == 0:
			order = +1
		case len(peer) == 0:
			order = -1
		default:
			order = compareHash(own[0].Root, peer[0].Root)
		}
		switch {
		case order < 0:
			rows = append(rows, Row{Root: own[0].Root, Own: own[0].Heads})
			own = own[1:]
		case order > 0:
			rows = append(rows, Row{Root: peer[0].Root, Peer: peer[0].Heads})
			peer = peer[1:]
		default:
			if !slices.Equal(own[0].Heads, peer[0].Heads) {
				rows = append(rows, Row{Root: own[0].Root, Own: own[0].Heads, Peer: peer[0].Heads})
			}
			own, peer = own[1:], peer[1:]
		}
	}
	return &Gap{rows: rows}
}

// pairWith adds to rows the entries that the other side says differ from our
// map own, and returns what is left of own. Both are ascending, across calls
// too. ok is false if one does not differ.
func pairWith(rows []Row, own, differing []timeline.Entry) (all []Row, rest []timeline.Entry, ok bool) {
	for _, e := range differing {
		for len(own) > 0 && compareHash(own[0].Root, e.Root) < 0 {
			own = own[1:]
		}
		row := Row{Root: e.Root, Peer: e.Heads}
		if len(own) > 0 && own[0].Root == e.Root {
			row.Own = own[0].Heads
		}
		if slices.Equal(row.Own, row.Peer) {
			return rows, own, false
		}
		rows = append(rows, row)
	}
	return rows, own, true
}

// lacking returns those of want that have lacks; both ascending.
func lacking(want, have []ibgib.Hash) []ibgib.Hash {
	var lack []ibgib.Hash
	for _, h := range want {
		for len(have) > 0 && compareHash(have[0], h) < 0 {
			have = have[1:]
		}
		if len(have) == 0 || have[0] != h {
			lack = append(lack, h)
		}
	}
	return lack
}

// within reports whether all of some are in all; both ascending.
func within(some, all []ibgib.Hash) bool { return len(lacking(some, all)) == 0 }

// ascending reports whether hashes are in order and none comes twice or is
// zero.
func ascending(hashes []ibgib.Hash) bool {
	var last ibgib.Hash
	for _, h := range hashes {
		if compareHash(last, h) >= 0 {
			return false
		}
		last = h
	}
	return true
}

// named takes in the entries and wants of the other side, and checks that they
// keep to the order and the limits.
type named struct {
	scope     []ibgib.Hash // roots that may be named, ascending; none: all
	forgotten []ibgib.Hash // roots that may not, since this side has said so, ascending
	hashes    int          // in all entries and wants so far
	lastEntry ibgib.Hash
	lastWant  ibgib.Hash
}

func (n *named) count(id ID, hashes int) *Error {
	n.hashes += hashes
	if n.hashes > MaxNamedHashes {
		return overLimit(id, "more than %d hashes in entries and wants", MaxNamedHashes)
	}
	return nil
}

// entries checks one page; empty says whether entries without heads may be
// among them.
func (n *named) entries(id ID, page []timeline.Entry, empty bool) *Error {
	if len(page) > MaxEntries {
		return overLimit(id, "%d entries in a message, at most %d", len(page), MaxEntries)
	}
	for _, e := range page {
		if len(e.Heads) > MaxHeads {
			return overLimit(id, "%d heads of timeline %s, at most %d", len(e.Heads), e.Root, MaxHeads)
		}
		if compareHash(n.lastEntry, e.Root) >= 0 {
			return violation(id, "entry %s is out of order", e.Root)
		}
		n.lastEntry = e.Root
		if !inScope(e.Root, n.scope) {
			return violation(id, "entry %s is not in the scope", e.Root)
		}
		if contains(n.forgotten, e.Root) {
			return violation(id, "entry %s is of what this side has forgotten", e.Root)
		}
		if !ascending(e.Heads) || (len(e.Heads) == 0 && !empty) {
			return violation(id, "heads of timeline %s are out of order or missing", e.Root)
		}
		if err := n.count(id, 1+len(e.Heads)); err != nil {
			return err
		}
	}
	return nil
}

// wants checks one page.
func (n *named) wants(id ID, page []Want) *Error {
	if len(page) > MaxEntries {
		return overLimit(id, "%d wants in a message, at most %d", len(page), MaxEntries)
	}
	for _, w := range page {
		if len(w.Heads) > MaxHeads || len(w.Known) > MaxKnown {
			return overLimit(id, "want of timeline %s: %d heads and %d known frames, at most %d and %d",
				w.Root, len(w.Heads), len(w.Known), MaxHeads, MaxKnown)
		}
		if compareHash(n.lastWant, w.Root) >= 0 {
			return violation(id, "want of timeline %s is out of order", w.Root)
		}
		n.lastWant = w.Root
		if len(w.Heads) == 0 || !ascending(w.Heads) {
			return violation(id, "wanted heads of timeline %s are out of order or missing", w.Root)
		}
		if err := n.count(id, 1+len(w.Heads)+len(w.Known)); err != nil {
			return err
		}
	}
	return nil
}

func compareHash(a, b ibgib.Hash) int { return bytes.Compare(a[:], b[:]) }

func sortHashes(hashes []ibgib.Hash) { slices.SortFunc(hashes, compareHash) }
