package ibgib

import (
	"bytes"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib/internal/jsjson"
)

// Append appends the canonical text of v, the text that is hashed: members
// sorted outside arrays, numbers and strings as JavaScript prints them. An
// absent v has no text. NaN and the infinities, which are not JSON, come out
// by their names.
func (v Value) Append(b []byte) []byte { return v.append(b, false) }

// String returns the canonical text of v.
func (v Value) String() string { return string(v.Append(nil)) }

// MarshalJSON returns the canonical text of v; absent is null.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.kind == KindAbsent {
		return []byte("null"), nil
	}
	return v.Append(nil), nil
}

func (v Value) append(b []byte, inArray bool) []byte {
	switch v.kind {
	case KindNull:
		return append(b, "null"...)
	case KindBool:
		if v.num == 1 {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	case KindNumber:
		return jsjson.AppendNumber(b, v.num)
	case KindString:
		return jsjson.AppendQuote(b, v.str)
	case KindArray:
		b = append(b, '[')
		for i, item := range v.Items() {
			if i > 0 {
				b = append(b, ',')
			}
			if item.kind == KindAbsent {
				item = Null()
			}
			b = item.append(b, true)
		}
		return append(b, ']')
	case KindObject:
		b = append(b, '{')
		first := true
		for _, m := range printOrder(v.Members(), inArray) {
			if m.Value.kind == KindAbsent {
				continue
			}
			if !first {
				b = append(b, ',')
			}
			first = false
			b = jsjson.AppendQuote(b, m.Name)
			b = append(b, ':')
			b = m.Value.append(b, inArray)
		}
		return append(b, '}')
	}
	return b
}

// printOrder returns the members in the order in which they are printed.
func printOrder(members []Member, inArray bool) []Member {
	order := func(x, y Member) int { return compareNames(x.Name, y.Name) }
	if inArray {
		order = func(x, y Member) int { return jsjson.CompareIndices(x.Name, y.Name) }
	}
	if slices.IsSortedFunc(members, order) {
		return members
	}
	members = slices.Clone(members)
	slices.SortStableFunc(members, order)
	return members
}

// compareNames orders member names: array indices first, by value, then the
// rest by UTF-16 code units.
func compareNames(a, b string) int {
	if d := jsjson.CompareIndices(a, b); d != 0 {
		return d
	}
	return jsjson.CompareUTF16(a, b)
}

// EqualValue reports whether a and b have the same canonical text.
func EqualValue(a, b Value) bool {
	return a.kind == b.kind && bytes.Equal(a.Append(nil), b.Append(nil))
}

// depthOver reports whether v nests deeper than limit levels.
func (v Value) depthOver(limit int) bool {
	if v.kids == nil {
		return limit < 1
	}
	if limit < 1 {
		return true
	}
	for _, item := range v.Items() {
		if item.depthOver(limit - 1) {
			return true
		}
	}
	for _, m := range v.Members() {
		if m.Value.kind != KindAbsent && m.Value.depthOver(limit-1) {
			return true
		}
	}
	return false
}

// ParseValue reads one JSON text of any form under the rules of the gate:
// MaxDepth, MaxSize (of the canonical text), no repeated names, no __proto__,
// no numbers beyond float64, no invalid UTF-8. Objects keep the member order
// of the text, array indices first. The error is a *Refusal.
func ParseValue(text []byte) (Value, error) {
	// KeepOrder, because the value may yet become part of an array.
	canonical, err := jsjson.Canonical(nil, text, jsjson.Options{Level: 1, MaxLevel: MaxDepth, KeepOrder: true, MaxLen: len(text) + MaxSize})
	if err != nil {
		return Value{}, refuseFault(err)
	}
	if len(canonical) > MaxSize {
		return Value{}, overLimit(RuleTooLarge, "size", MaxSize)
	}
	return decodeValue(canonical), nil
}
