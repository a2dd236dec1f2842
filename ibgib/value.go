package ibgib

import (
	"math"
	"slices"
)

// Kind is the type of a Value.
type Kind uint8

// The kinds of values.
const (
	KindAbsent Kind = iota // no value: a member that is not there
	KindNull
	KindBool
	KindNumber
	KindString
	KindArray
	KindObject
)

// Value is an ordered JSON value. The zero Value is absent. Values are
// immutable: slices given to or got from one must not be modified.
type Value struct {
	kind Kind
	num  float64 // a number; 1 for true
	str  string  // a string, as WTF-8
	kids *kids   // what an array or object holds
}

// kids is apart from Value because most values are scalars.
type kids struct {
	items   []Value
	members []Member
}

// Member is one member of an object.
type Member struct {
	Name  string // WTF-8
	Value Value
}

// Null returns null.
func Null() Value { return Value{kind: KindNull} }

// Bool returns true or false.
func Bool(b bool) Value {
	v := Value{kind: KindBool}
	if b {
		v.num = 1
	}
	return v
}

// Number returns a number. The gate refuses NaN and the infinities.
func Number(f float64) Value { return Value{kind: KindNumber, num: f} }

// String returns a string. s is WTF-8: UTF-8 in which a lone surrogate is its
// three-byte sequence. The gate refuses anything else.
func String(s string) Value { return Value{kind: KindString, str: s} }

// Array returns an array of items; an absent item counts as null, as in JavaScript.
func Array(items ...Value) Value {
	return Value{kind: KindArray, kids: &kids{items: items}}
}

// Object returns an object; members that are absent are left out of its text.
// Names must be unique: the gate refuses repeated ones.
func Object(members ...Member) Value {
	return Value{kind: KindObject, kids: &kids{members: members}}
}

// Kind returns the type of v.
func (v Value) Kind() Kind { return v.kind }

// Bool returns the value of a bool, false for all else. See Truthy.
func (v Value) Bool() bool { return v.kind == KindBool && v.num == 1 }

// Number returns the value of a number, 0 for all else.
func (v Value) Number() float64 {
	if v.kind == KindNumber {
		return v.num
	}
	return 0
}

// Str returns the text of a string as WTF-8, "" for all else.
func (v Value) Str() string { return v.str }

// Items returns what an array holds, nil for all else.
func (v Value) Items() []Value {
	if v.kids == nil {
		return nil
	}
	return v.kids.items
}

// Members returns the members of an object in their order, nil for all else.
func (v Value) Members() []Member {
	if v.kids == nil {
		return nil
	}
	return v.kids.members
}

// Get returns the member of that name of an object.
func (v Value) Get(name string) (Value, bool) {
	for _, m := range v.Members() {
		if m.Name == name {
			return m.Value, true
		}
	}
	return Value{}, false
}

// Truthy reports whether v counts as true in JavaScript: everything but
// absent, null, false, 0, NaN and "".
func (v Value) Truthy() bool {
	switch v.kind {
	case KindAbsent, KindNull:
		return false
	case KindBool, KindNumber:
		return v.num != 0 && !math.IsNaN(v.num)
	case KindString:
		return v.str != ""
	}
	return true
}

// IsNoData reports whether v as data of an ibGib counts as none: absent,
// null, false, 0, "", {} and [].
func (v Value) IsNoData() bool {
	switch v.kind {
	case KindArray:
		return len(v.Items()) == 0
	case KindObject:
		return !slices.ContainsFunc(v.Members(), func(m Member) bool { return m.Value.kind != KindAbsent })
	}
	return !v.Truthy() && !math.IsNaN(v.num)
}

// With returns a copy of an object in which the member of that name is x; a
// new member is appended. On any other kind it returns an object of that one member.
func (v Value) With(name string, x Value) Value {
	members := slices.Clone(v.Members())
	for i := range members {
		if members[i].Name == name {
			members[i].Value = x
			return Object(members...)
		}
	}
	return Object(append(members, Member{name, x})...)
}

// Without returns a copy of an object that lacks the member of that name.
func (v Value) Without(name string) Value {
	return Object(slices.DeleteFunc(slices.Clone(v.Members()), func(m Member) bool { return m.Name == name })...)
}
