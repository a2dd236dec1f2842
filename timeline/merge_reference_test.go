package timeline_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
	"unicode/utf16"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// This file computes merges a second time, from the words of the rules
// alone and by brute force: whole histories as sets, all paths, states as plain
// maps. It shares no code with the package but the making of ibGibs. It does not
// recognize ops: whoever makes the frames of a test says what they are.

// refFrame is a frame and what its maker knows of it.
type refFrame struct {
	g       ibgib.IbGib
	kind    timeline.FrameKind
	pred    string
	links   []string // that count as history
	n       int64    // -1 for none
	instant int64    // ms
	opaque  bool

	// Of ops.
	op      string
	options map[string]any
	dna     string

	history map[string]bool // all frames below it
}

func (f *refFrame) addr() string { return f.g.Addr().String() }
func (f *refFrame) user() bool   { return f.kind != timeline.KindMerge }

// refWorld is every frame of one timeline that any node has made.
type refWorld map[string]*refFrame

func (w refWorld) put(f *refFrame) {
	if w[f.addr()] != nil {
		return
	}
	f.history = make(map[string]bool)
	for _, a := range append([]string{f.pred}, f.links...) {
		if a != "" {
			f.history[a] = true
			maps.Copy(f.history, w[a].history)
		}
	}
	w[f.addr()] = f
}

// heads returns the user frames of a set that are in the history of no other.
func (w refWorld) heads(set map[string]bool) []string {
	var heads []string
	for a := range set {
		head := w[a].user()
		for b := range set {
			head = head && !(w[b].user() && w[b].history[a])
		}
		if head {
			heads = append(heads, a)
		}
	}
	return sortedUTF16(heads)
}

// base returns the last frame without which no path leads from the heads to the
// first frame.
func (w refWorld) base(heads []string) string {
	all := make(map[string]bool)
	for _, h := range heads {
		maps.Copy(all, w[h].history)
	}
	var reaches func(from, without string, met map[string]bool) bool
	reaches = func(from, without string, met map[string]bool) bool {
		if from == without || met[from] {
			return false
		}
		met[from] = true
		f := w[from]
		if f.pred == "" {
			return true
		}
		for _, a := range append([]string{f.pred}, f.links...) {
			if reaches(a, without, met) {
				return true
			}
		}
		return false
	}
	var base string
	for a := range all {
		met := make(map[string]bool)
		open := false
		for _, h := range heads {
			open = open || reaches(h, a, met)
		}
		if !open && (base == "" || w[a].history[base]) {
			base = a
		}
	}
	return base
}

// less orders frames by (instant, n, HASH).
func (w refWorld) less(a, b string) bool {
	x, y := w[a], w[b]
	if x.instant != y.instant {
		return x.instant < y.instant
	}
	return w.lessByN(a, b)
}

func (w refWorld) lessByN(a, b string) bool {
	x, y := w[a], w[b]
	if x.n != y.n {
		return x.n < y.n
	}
	return x.g.Hash().String() < y.g.Hash().String()
}

func greatest(list []string, less func(a, b string) bool) string {
	top := list[0]
	for _, a := range list {
		if less(top, a) {
			top = a
		}
	}
	return top
}

// refMerge is the merge of some heads.
type refMerge struct {
	base, keep        string
	opaque            []string // not empty: not mergeable
	replayed, skipped []string
	state             refState
	frame             *refFrame
}

// merge computes the merge frame. from is where the replay starts, the base
// unless a test asks for a frame further below.
func (w refWorld) merge(t testing.TB, heads []string, from string) refMerge {
	m := refMerge{base: w.base(heads)}
	if from == "" {
		from = m.base
	}
	above := make(map[string]bool)
	for _, h := range heads {
		above[h] = true
		for a := range w[h].history {
			if w[a].user() && w[a].history[from] {
				above[a] = true
			}
		}
	}

	var keeps []string
	for a := range above {
		top := w[a].kind == timeline.KindKeep
		for b := range above {
			top = top && !(w[b].kind == timeline.KindKeep && w[b].history[a])
		}
		if top {
			keeps = append(keeps, a)
		}
	}
	start := from
	if len(keeps) > 0 {
		m.keep = greatest(keeps, w.less)
		start = m.keep
	}
	left := make(map[string]bool)
	for a := range above {
		if w[a].kind == timeline.KindUser && (m.keep == "" || !w[m.keep].history[a]) {
			left[a] = true
			if w[a].opaque {
				m.opaque = append(m.opaque, a)
			}
		}
	}
	if len(m.opaque) > 0 {
		return m
	}

	m.state = stateOfFrame(t, w[start].g)
	applied := make(map[string]bool)
	for len(left) > 0 {
		var free []string
		for a := range left {
			waits := false
			for b := range left {
				waits = waits || w[a].history[b]
			}
			if !waits {
				free = append(free, a)
			}
		}
		next := greatest(free, func(a, b string) bool { return w.less(b, a) })
		delete(left, next)
		m.replayed = append(m.replayed, next)
		if s, err := m.state.apply(w[next].op, w[next].options); err == nil {
			m.state = s
			applied[next] = true
		} else {
			m.skipped = append(m.skipped, next)
		}
	}
	m.skipped = sortedUTF16(m.skipped)

	past := greatest(heads, w.lessByN)
	d, rel := maps.Clone(m.state.data), links(maps.Clone(m.state.rel8ns))
	var last *refFrame
	if len(m.replayed) > 0 {
		last = w[m.replayed[len(m.replayed)-1]]
	} else {
		last = w[m.keep]
	}
	lastData := stateRecord(t, last.g).Data
	for _, name := range []string{"timestamp", "timestampMs"} {
		if v, ok := lastData[name]; ok {
			d[name] = v
		}
	}
	n := w[past].n
	if n >= 0 {
		n++
		d["n"] = n
	}
	base := stateRecord(t, w[m.base].g)
	if list, ok := base.Rel8ns["ancestor"]; ok {
		rel["ancestor"] = list
	}
	rel["past"] = []string{past}
	rel["tjp"] = base.Rel8ns["tjp"]
	if w[m.base].kind == timeline.KindTjp {
		rel["tjp"] = []string{m.base}
	}
	others := slices.DeleteFunc(slices.Clone(heads), func(a string) bool { return a == past })
	rel["ibgib.merge.1"] = sortedUTF16(others)
	if len(m.skipped) > 0 {
		rel["ibgib.skipped.1"] = m.skipped
	}
	for _, a := range m.replayed {
		if applied[a] && a != past && !w[past].history[a] {
			rel["dna"] = append(rel["dna"], w[a].dna)
		}
	}
	m.frame = &refFrame{g: build(t, m.state.ib, d, rel), kind: timeline.KindMerge, pred: past, links: others, n: n}
	return m
}

// refState is a state: ib, data and rel8ns without what every frame sets anew.
type refState struct {
	ib     string
	data   data
	rel8ns map[string][]string
}

// refRecord is an ibGib as JSON; arrays inside data stay text.
type refRecord struct {
	Ib     string
	Data   data
	Rel8ns links
}

func stateRecord(t testing.TB, g ibgib.IbGib) refRecord {
	t.Helper()
	var r struct {
		Ib     string
		Data   json.RawMessage
		Rel8ns links
	}
	if err := json.Unmarshal(g.AppendJSON(nil), &r); err != nil {
		t.Fatal(err)
	}
	rec := refRecord{Ib: r.Ib, Rel8ns: r.Rel8ns}
	if bytes.HasPrefix(r.Data, []byte("{")) {
		rec.Data = parsed(t, r.Data).(map[string]any)
	}
	return rec
}

// parsed reads JSON into maps, but leaves arrays as text: they are never changed
// inside, and the order of members in them counts.
func parsed(t testing.TB, raw json.RawMessage) any {
	var v any
	if raw[0] == '[' {
		return raw
	}
	if raw[0] != '{' {
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	out := make(map[string]any)
	for name, m := range members {
		out[name] = parsed(t, m)
	}
	return out
}

func stateOfFrame(t testing.TB, g ibgib.IbGib) refState {
	r := stateRecord(t, g)
	s := refState{r.Ib, r.Data, r.Rel8ns}
	if s.data == nil {
		s.data = data{}
	}
	for _, name := range []string{"n", "timestamp", "timestampMs", "isTjp"} {
		delete(s.data, name)
	}
	for _, name := range []string{"past", "dna", "tjp", "ancestor", "ibgib.merge.1", "ibgib.skipped.1"} {
		delete(s.rel8ns, name)
	}
	return s
}

func (s refState) text(t testing.TB) string {
	raw, err := json.Marshal([]any{s.ib, s.data, s.rel8ns})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var errCannot = errors.New("cannot be applied")

// apply is the transform on the state; rename, remove, patch, ib in this order.
func (s refState) apply(op string, options map[string]any) (refState, error) {
	object := func(name string) map[string]any { m, _ := options[name].(map[string]any); return m }
	next := refState{s.ib, copied(s.data), make(map[string][]string)}
	for name, list := range s.rel8ns {
		next.rel8ns[name] = slices.Clone(list)
	}
	if op == "rel8" {
		for name, list := range object("rel8nsToAddByAddr") {
			for _, a := range list.([]string) {
				if !slices.Contains(next.rel8ns[name], a) {
					next.rel8ns[name] = append(next.rel8ns[name], a)
				}
			}
		}
		for name, list := range object("rel8nsToRemoveByAddr") {
			left := slices.DeleteFunc(next.rel8ns[name], func(a string) bool { return slices.Contains(list.([]string), a) })
			if next.rel8ns[name] = left; len(left) == 0 {
				delete(next.rel8ns, name)
			}
		}
		for _, name := range options["linkedRel8ns"].([]string) {
			if list := next.rel8ns[name]; len(list) > 1 {
				next.rel8ns[name] = list[len(list)-1:]
			}
		}
		return next, nil
	}
	if err := refRename(map[string]any(next.data), object("dataToRename"), false); err != nil {
		return s, err
	}
	if err := refRename(map[string]any(next.data), object("dataToRemove"), true); err != nil {
		return s, err
	}
	if err := refPatch(next.data, object("dataToAddOrPatch")); err != nil {
		return s, err
	}
	if ib, ok := options["mut8Ib"].(string); ok {
		next.ib = ib
	}
	return next, nil
}

func refRename(o any, info map[string]any, removing bool) error {
	if o == nil && len(info) > 0 {
		return errCannot // leads into null
	}
	members, _ := o.(map[string]any)
	for name, to := range info {
		old, ok := members[name]
		if !ok {
			continue
		}
		if to, isText := to.(string); isText {
			delete(members, name)
			if !removing {
				members[to] = old
			}
			continue
		}
		if err := refRename(old, to.(map[string]any), removing); err != nil {
			return err
		}
	}
	return nil
}

func refPatch(o, patch map[string]any) error {
	for name, v := range patch {
		old, isObject := o[name].(map[string]any)
		switch v := v.(type) {
		case nil:
			if isObject {
				return errCannot // null over an object
			}
			o[name] = nil
		case map[string]any:
			if !isObject {
				old = make(map[string]any)
				o[name] = old
			}
			if err := refPatch(old, v); err != nil {
				return err
			}
		default:
			o[name] = v
		}
	}
	return nil
}

func copied(o map[string]any) map[string]any {
	out := make(map[string]any)
	for name, v := range o {
		if inner, ok := v.(map[string]any); ok {
			v = copied(inner)
		}
		out[name] = v
	}
	return out
}

// sortedUTF16 sorts by UTF-16 code units.
func sortedUTF16(list []string) []string {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b string) int {
		return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
	})
	return list
}
