package ibgib

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Env is what a transform takes from outside.
type Env struct {
	// Now is read once in each step that bears a time, before UUID.
	Now func() time.Time
	// UUID returns a fresh id of 64 lower-case hex digits. It is called only
	// when the options ask for an id.
	UUID func() string
}

func (e Env) stamp() Stamp { return Stamp{At: e.Now()} }

// Result is what a transform makes. All of it has to be stored: New links to
// the rest, except that a fork of ib^gib has no link to its dna.
type Result struct {
	New          IbGib
	Intermediate []IbGib // earlier steps of a first generation, oldest first
	Dna          []IbGib // in the order of the steps
}

// All returns everything that was made, each ibGib after those it links to.
func (r Result) All() []IbGib {
	all := make([]IbGib, 0, len(r.Dna)+len(r.Intermediate)+1)
	all = append(all, r.Dna...)
	all = append(all, r.Intermediate...)
	return append(all, r.New)
}

// Rules that a transform can break, beside those of the gate. The TypeScript
// code errs there too, or would make something unsafe: a ^ in mut8Ib, the name
// __proto__, holes in a list, members of data that is no object, options of
// the wrong kind, links that are no addresses.
const (
	RuleBadOption      Rule = "bad-option"       // an option of the wrong kind
	RuleUnknownOption  Rule = "unknown-option"   // in changes made here
	RuleNothingToDo    Rule = "nothing-to-do"    // no change is asked for
	RuleDelimiter      Rule = "delimiter"        // ^ in an ib
	RulePrimitive      Rule = "primitive-source" // only a fork can start at a primitive
	RuleNotObject      Rule = "not-an-object"    // a member cannot be reached or set
	RuleNullOverObject Rule = "null-over-object" // a null patch where an object stands
	RuleArrayElement   Rule = "array-element"    // rename or removal of an element
	RuleCounter        Rule = "bad-counter"      // data.n is not an integer
	RuleNoSource       Rule = "no-source"        // the ibGib to start from is missing
	RuleNotReplayable  Rule = "not-replayable"   // dna of something else than mut8 and rel8
	RuleReservedMember Rule = "reserved-member"  // a data member that transforms keep
	RuleReservedRel8n  Rule = "reserved-rel8n"   // a rel8n that transforms or merges keep
	RuleRenameOrder    Rule = "rename-order"     // in changes made here
)

// TransformError says why a transform was refused and what to do about it.
// Nothing was made. Where the gate refused a result, Err is its *Refusal.
type TransformError struct {
	Op     string // fork, mut8, rel8, firstGen or stone
	Rule   Rule
	Detail string
	Err    error
}

func (e *TransformError) Error() string {
	return fmt.Sprintf("ibgib: %s refused (%s): %s", e.Op, e.Rule, e.Detail)
}

func (e *TransformError) Unwrap() error { return e.Err }

func fail(op string, rule Rule, format string, args ...any) error {
	return &TransformError{Op: op, Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// dateLayout is an HTTP date, which JavaScript's toUTCString prints.
const dateLayout = "Mon, 02 Jan 2006 15:04:05 GMT"

// Stamp is the time that a frame bears in its data: timestamp, an HTTP date in
// whole seconds, and timestampMs, the milliseconds of the same instant.
type Stamp struct {
	At   time.Time // to the millisecond
	NoMs bool      // the frame has no timestampMs (data from before 2023)
}

// StampOf reads the time of a frame. It is false for a frame without a time
// and for one that a transform could not have written.
func StampOf(g IbGib) (Stamp, bool) {
	date, ok := g.Field("timestamp")
	if !ok || date.Kind() != KindString {
		return Stamp{}, false
	}
	at, err := time.Parse(dateLayout, date.Str())
	if err != nil || at.Format(dateLayout) != date.Str() {
		return Stamp{}, false
	}
	ms, ok := g.Field("timestampMs")
	if !ok {
		return Stamp{At: at, NoMs: true}, true
	}
	if ms.Kind() != KindNumber || ms.Number() < 0 || ms.Number() > 999 || ms.Number() != math.Trunc(ms.Number()) {
		return Stamp{}, false
	}
	return Stamp{At: at.Add(time.Duration(ms.Number()) * time.Millisecond)}, true
}

// On returns a copy of an object that bears the time.
func (s Stamp) On(data Value) Value {
	date, ms := s.values()
	data = data.With("timestamp", date)
	if s.NoMs {
		return data.Without("timestampMs")
	}
	return data.With("timestampMs", ms)
}

func (s Stamp) values() (date, ms Value) {
	at := s.At.UTC()
	return String(at.Format(dateLayout)), Number(float64(at.Nanosecond() / 1e6))
}

// Source is what a fork starts from: an [IbGib], or the [Addr] of a primitive.
// The other transforms take an IbGib only.
type Source interface {
	source() draft
}

// draft is an ibGib in the making, or the content of the one it is made from.
type draft struct {
	from   Addr // of the ibGib that is transformed
	ib     string
	data   Value // an Object, or as it was found: an Array or a String with content
	rel8ns Rel8ns
	bytes  bool // from has bytes for data
}

func (a Addr) source() draft { return draft{from: a, ib: a.Ib(), data: Object()} }

// source reads what a transform sees. Data without enumerable content (true,
// a number, and what counts as none) is none, as in JavaScript.
func (g IbGib) source() draft {
	d := draft{from: g.Addr(), ib: g.Ib(), data: g.Data(), rel8ns: g.Rel8ns()}
	_, d.bytes = g.Bytes()
	switch k := d.data.Kind(); {
	case k == KindObject:
	case k == KindArray && len(d.data.Items()) > 0:
	case k == KindString && d.data.Str() != "":
	default:
		d.data = Object()
	}
	return d
}

// frameSource is source for the transforms that make a later frame.
func frameSource(op string, src IbGib) (draft, error) {
	switch {
	case src.IsZero():
		return draft{}, fail(op, RuleNoSource, "no ibGib was given to start from")
	case src.Addr().IsPrimitive():
		return draft{}, fail(op, RulePrimitive, "%s is a primitive and cannot change: fork it first", excerpt(src.Addr().String()))
	}
	d := src.source()
	if d.bytes {
		return draft{}, fail(op, RuleNotObject, "%s holds bytes, which have no members: make a new ibGib of the new bytes", excerpt(d.from.String()))
	}
	return d, nil
}

// stepOptions are the options that mut8 and rel8 share.
type stepOptions struct {
	linked                 []string
	noTimestamp, dna, nCtr bool
	record                 func() Value
}

// advance completes the next frame after d.from, of which d has the changed
// content: time, n, past, tjp and dna.
func advance(op string, d draft, o stepOptions, now func() Stamp) (Result, error) {
	data := fieldsOf(op, d.data)
	if !o.noTimestamp {
		data.stamp(now())
	}
	if err := data.count(o.nCtr); err != nil {
		return Result{}, err
	}

	past := d.rel8ns.Get("past")
	if slices.Contains(o.linked, "past") {
		past = nil
	}
	rel8ns := d.rel8ns.With("past", extended(past, d.from))
	if isTjp, ok := data.list.get("isTjp"); ok && isTjp.Truthy() {
		rel8ns = rel8ns.With("tjp", extended(rel8ns.Get("tjp"), d.from))
		data.list.remove("isTjp")
	}

	var res Result
	if o.dna {
		dna, err := newDna(op, o.record())
		if err != nil {
			return Result{}, err
		}
		res.Dna = []IbGib{dna}
		rel8ns = linkDna(rel8ns, dna, o.linked)
	}
	value, err := data.value()
	if err != nil {
		return Result{}, err
	}
	res.New, err = gated(op, d.ib, value, rel8ns)
	return res, err
}

// extended returns a new list, because lists are shared between ibGibs.
func extended(list []Addr, a Addr) []Addr {
	return append(slices.Clip(list), a)
}

// newDna records a transform. It bears no time, so equal changes share it.
func newDna(op string, record Value) (IbGib, error) {
	parent, err := ParseAddr(op + "^gib")
	if err != nil {
		return IbGib{}, err
	}
	return gated(op, op, record, Rel8ns{{Name: "ancestor", Addrs: []Addr{parent}}})
}

func linkDna(rel8ns Rel8ns, dna IbGib, linked []string) Rel8ns {
	list := rel8ns.Get("dna")
	if slices.Contains(linked, "dna") {
		list = nil
	}
	return rel8ns.With("dna", extended(list, dna.Addr()))
}

// gated passes a result through the gate.
func gated(op, ib string, data Value, rel8ns Rel8ns) (IbGib, error) {
	g, err := New(ib, data, rel8ns)
	if err != nil {
		failed := &TransformError{Op: op, Rule: RuleBadRecord, Detail: err.Error(), Err: err}
		if r, ok := errors.AsType[*Refusal](err); ok {
			failed.Rule = r.Rule
			failed.Detail = "the ibGib " + excerpt(ib) + " that it would make does not pass the gate: " + r.Detail
		}
		return IbGib{}, failed
	}
	return g, nil
}

// Replay applies the change that dna records to the frame before it, at the
// time that the frame after it bears: op is the ib of the dna, options its
// data. Only mut8 and rel8 make later frames, so only they can be replayed.
// The rules for changes made here (CheckLocal) do not apply.
func Replay(src IbGib, op string, options Value, at Stamp) (Result, error) {
	now := func() Stamp { return at }
	switch op {
	case opMut8:
		o, err := ParseMut8Options(options)
		if err != nil {
			return Result{}, err
		}
		return mut8(src, o, now)
	case opRel8:
		o, err := ParseRel8Options(options)
		if err != nil {
			return Result{}, err
		}
		return rel8(src, o, now)
	}
	return Result{}, notReplayable(op)
}

func notReplayable(op string) error {
	return fail(op, RuleNotReplayable, "only mut8 and rel8 lead from one frame to the next")
}
