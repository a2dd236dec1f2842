package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Diff says how the stored ibGib to differs from the stored ibGib from. They
// need not be of one timeline.
func (n *Node) Diff(ctx context.Context, from, to ibgib.Addr) (DiffResult, error) {
	var gs [2]ibgib.IbGib
	for i, a := range []ibgib.Addr{from, to} {
		var err error
		if gs[i], err = n.store.Get(ctx, a); err != nil {
			return DiffResult{}, fmt.Errorf("node: diff %s: %w", a, err)
		}
	}
	return diff(gs[0], gs[1]), nil
}

func diff(a, b ibgib.IbGib) DiffResult {
	d := DiffResult{From: a.Addr(), To: b.Addr(), Data: []DataChange{}, Rel8ns: diffRel8ns(a.Rel8ns(), b.Rel8ns())}
	if a.Ib() != b.Ib() {
		d.Ib = &IbChange{Old: a.Ib(), New: b.Ib()}
	}
	bytesA, isBytesA := a.Bytes()
	bytesB, isBytesB := b.Bytes()
	switch {
	case !isBytesA && !isBytesB:
		d.Data = diffValues(d.Data, "", a.Data(), b.Data())
	case isBytesA != isBytesB || !bytes.Equal(bytesA, bytesB):
		change := DataChange{Old: text(a.Data()), New: text(b.Data())}
		if isBytesA {
			size := len(bytesA)
			change.OldBytes = &size
		}
		if isBytesB {
			size := len(bytesB)
			change.NewBytes = &size
		}
		d.Data = append(d.Data, change)
	}
	return d
}

// diffValues compares objects member by member and everything else as a whole,
// as a patch of mut8 replaces it. Nesting is bounded by the gate.
func diffValues(list []DataChange, path string, a, b ibgib.Value) []DataChange {
	if a.Kind() != ibgib.KindObject || b.Kind() != ibgib.KindObject {
		if !bytes.Equal(text(a), text(b)) {
			list = append(list, DataChange{Path: path, Old: text(a), New: text(b)})
		}
		return list
	}
	below := func(name string) string {
		return path + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	other := make(map[string]ibgib.Value, len(b.Members()))
	for _, m := range b.Members() {
		other[m.Name] = m.Value
	}
	for _, m := range a.Members() {
		list = diffValues(list, below(m.Name), m.Value, other[m.Name])
		delete(other, m.Name)
	}
	for _, m := range b.Members() {
		if _, isNew := other[m.Name]; isNew {
			list = append(list, DataChange{Path: below(m.Name), New: text(m.Value)})
		}
	}
	return list
}

// text returns a value as JSON; nil if it is absent.
func text(v ibgib.Value) json.RawMessage {
	if v.Kind() == ibgib.KindAbsent {
		return nil
	}
	return v.Append(nil)
}

func diffRel8ns(a, b ibgib.Rel8ns) []RelChange {
	changes := []RelChange{}
	for _, rel := range a {
		if _, ok := find(b, rel.Name); !ok {
			changes = append(changes, RelChange{Name: rel.Name, Removed: rel.Addrs})
		}
	}
	for _, rel := range b {
		old, _ := find(a, rel.Name)
		if slices.Equal(old.Addrs, rel.Addrs) {
			continue
		}
		c := RelChange{Name: rel.Name, Removed: less(old.Addrs, rel.Addrs), Added: less(rel.Addrs, old.Addrs)}
		c.Reordered = len(c.Removed)+len(c.Added) == 0
		changes = append(changes, c)
	}
	slices.SortStableFunc(changes, func(x, y RelChange) int { return strings.Compare(x.Name, y.Name) })
	return changes
}

func find(rel8ns ibgib.Rel8ns, name string) (ibgib.Rel8n, bool) {
	i := slices.IndexFunc(rel8ns, func(r ibgib.Rel8n) bool { return r.Name == name })
	if i < 0 {
		return ibgib.Rel8n{}, false
	}
	return rel8ns[i], true
}

// less returns what list has more often than other, in its order.
func less(list, other []ibgib.Addr) []ibgib.Addr {
	left := make(map[ibgib.Addr]int)
	for _, a := range other {
		left[a]++
	}
	var more []ibgib.Addr
	for _, a := range list {
		if left[a]--; left[a] < 0 {
			more = append(more, a)
		}
	}
	return more
}
