package timeline_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// links are rel8ns written by hand.
type links map[string][]string

// data is an ibGib's data written by hand.
type data map[string]any

// build makes an ibGib from its parts.
func build(t testing.TB, ib string, d data, rel links) ibgib.IbGib {
	t.Helper()
	record := map[string]any{"ib": ib}
	if d != nil {
		record["data"] = d
	}
	if rel != nil {
		record["rel8ns"] = rel
	}
	raw, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	g, err := ibgib.Gib(raw)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// timeLine makes frames of one timeline by hand.
type timeLine struct {
	t   testing.TB
	tjp ibgib.IbGib
}

func at(seconds int) data {
	return data{"timestamp": fmt.Sprintf("Sat, 09 Mar 2024 16:%02d:%02d GMT", seconds/60, seconds%60), "timestampMs": 5}
}

func newTimeLine(t testing.TB, name string) timeLine {
	d := at(0)
	d["isTjp"], d["n"], d["name"] = true, 0, name
	return timeLine{t, build(t, "task", d, links{"ancestor": {"task^gib"}})}
}

// on makes the frame after pred. edits change data members and lists; nil
// removes one.
func (l timeLine) on(pred ibgib.IbGib, edits map[string]any) ibgib.IbGib {
	l.t.Helper()
	d, rel := l.parts(pred)
	for name, x := range edits {
		switch x := x.(type) {
		case []string:
			rel[name] = x
		case nil:
			delete(d, name)
			delete(rel, name)
		default:
			d[name] = x
		}
	}
	return build(l.t, pred.Ib(), d, rel)
}

// parts returns data and rel8ns of a plain frame after pred.
func (l timeLine) parts(pred ibgib.IbGib) (data, links) {
	var record struct {
		Data   data
		Rel8ns links
	}
	if err := json.Unmarshal(pred.AppendJSON(nil), &record); err != nil {
		l.t.Fatal(err)
	}
	d, rel := record.Data, record.Rel8ns
	delete(d, "isTjp")
	if n, ok := d["n"].(float64); ok {
		d["n"] = n + 1
		maps.Copy(d, at(int(n)+1))
	}
	rel["tjp"] = []string{l.tjp.Addr().String()}
	rel["past"] = []string{pred.Addr().String()}
	return d, rel
}

func names(gs ...ibgib.IbGib) []string {
	var out []string
	for _, g := range gs {
		out = append(out, g.Addr().String())
	}
	slices.Sort(out)
	return out
}

// change makes the frame after pred that a transform leads to, at the time that
// on gives it, and its dna.
func (l timeLine) change(pred ibgib.IbGib, op string, options data) (frame, dna ibgib.IbGib) {
	l.t.Helper()
	n, _ := pred.Field("n")
	return changeAt(l.t, pred, op, options, timeOf(int(n.Number())+1))
}

func changeAt(t testing.TB, pred ibgib.IbGib, op string, options data, at ibgib.Stamp) (frame, dna ibgib.IbGib) {
	t.Helper()
	all := data{"type": op, "dna": true, "linkedRel8ns": []string{"past", "dna"}}
	maps.Copy(all, options)
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	v, err := ibgib.ParseValue(raw)
	if err != nil {
		t.Fatal(err)
	}
	res, err := ibgib.Replay(pred, op, v, at)
	if err != nil {
		t.Fatal(err)
	}
	return res.New, res.Dna[0]
}

func (l timeLine) patch(pred ibgib.IbGib, patch data) (frame, dna ibgib.IbGib) {
	l.t.Helper()
	return l.change(pred, "mut8", data{"dataToAddOrPatch": patch})
}

// timeOf is the time that at writes.
func timeOf(seconds int) ibgib.Stamp {
	return ibgib.Stamp{At: time.Date(2024, time.March, 9, 16, 0, seconds, 5e6, time.UTC)}
}

// edited is g with other data members and lists; nil removes one.
func edited(t testing.TB, g ibgib.IbGib, edits map[string]any) ibgib.IbGib {
	t.Helper()
	var record struct {
		Ib     string
		Data   data
		Rel8ns links
	}
	if err := json.Unmarshal(g.AppendJSON(nil), &record); err != nil {
		t.Fatal(err)
	}
	for name, x := range edits {
		switch x := x.(type) {
		case []string:
			record.Rel8ns[name] = x
		case nil:
			delete(record.Data, name)
			delete(record.Rel8ns, name)
		default:
			record.Data[name] = x
		}
	}
	return build(t, record.Ib, record.Data, record.Rel8ns)
}

// forked is a timeline with the two heads of a divergence, all of it ops.
type forked struct {
	timeLine
	base, left, below, right ibgib.IbGib // right is after below, and the greater head by (n, HASH)
	dna                      []ibgib.IbGib
}

func newForked(t testing.TB) forked {
	return newForkedBy(t, data{"side": "left"}, data{"more": 1})
}

// newForkedBy takes what the two heads patch.
func newForkedBy(t testing.TB, left, right data) forked {
	f := forked{timeLine: newTimeLine(t, "forked")}
	made := func(g, dna ibgib.IbGib) ibgib.IbGib {
		f.dna = append(f.dna, dna)
		return g
	}
	f.base = made(f.patch(f.tjp, data{"v": 1}))
	f.left = made(f.patch(f.base, left))
	f.below = made(f.patch(f.base, data{"side": "right"}))
	f.right = made(f.patch(f.below, right))
	return f
}

func (f forked) all() []ibgib.IbGib {
	return append(slices.Clone(f.dna), f.tjp, f.base, f.left, f.below, f.right)
}

// merge is the merge frame of left and right, edited.
func (f forked) merge(edits map[string]any) ibgib.IbGib {
	f.t.Helper()
	s := newSpace(f.t, f.all()...)
	m, err := s.merge(f.tjp.Addr(), timeline.MergeWork{})
	if err != nil {
		f.t.Fatal(err)
	}
	return edited(f.t, m.IbGib, edits)
}

// keep is the keep frame that keeps right, edited.
func (f forked) keep(edits map[string]any) ibgib.IbGib {
	all := map[string]any{timeline.RelMerge: names(f.left), "dna": []string{timeline.KeepDna}}
	maps.Copy(all, edits)
	return f.on(f.right, all)
}
