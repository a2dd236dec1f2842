package jsjson

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// Options of Canonical and Scanner.
type Options struct {
	// Level is the nesting level of the outermost value; each array or object
	// puts what it holds one level deeper.
	Level int
	// MaxLevel is the deepest level accepted.
	MaxLevel int
	// KeepOrder says that the value stands inside an array, where members keep
	// the order they were written in.
	KeepOrder bool
	// KeepOuter says so of the outermost object alone.
	KeepOuter bool
	// MaxLen bounds the canonical form in bytes, about; 0 is no bound.
	// Only numbers get longer in it, at most six times.
	MaxLen int
}

// MaxText bounds the text that Canonical takes, in bytes; offsets in its
// canonical form fit 32 bits.
const MaxText = 512 << 20

// Canonical appends the canonical form of one JSON text to dst. Memory is
// bounded by a small multiple of the text. The error is a *Fault.
func Canonical(dst, text []byte, o Options) ([]byte, error) {
	if len(text) > MaxText {
		return nil, &Fault{TooLarge, fmt.Sprintf("JSON text of %d bytes", len(text))}
	}
	var members [32]member // as many as most texts need
	c := canon{src: text, dst: dst, maxLevel: o.MaxLevel, members: members[:0], maxLen: o.MaxLen}
	if c.maxLen == 0 {
		c.maxLen = min(math.MaxInt, math.MaxUint32) - maxNumber
	}
	c.space()
	var err error
	if o.KeepOuter && c.peek() == '{' {
		err = c.object(o.Level, true, o.KeepOrder)
	} else {
		err = c.value(o.Level, o.KeepOrder)
	}
	if err != nil {
		return nil, err
	}
	c.space()
	if c.pos < len(c.src) {
		return nil, c.bad("text after the value")
	}
	return c.dst, nil
}

// canon reads src from pos on and appends to dst. Recursion is bounded by maxLevel.
type canon struct {
	src      []byte
	pos      int
	dst      []byte
	maxLevel int
	maxLen   int
	members  []member // of the objects that are open
	scratch  []byte
}

// member is a member of an open object, as offsets in dst: the quoted name is
// dst[start:nameEnd], the value ends at end.
type member struct{ start, nameEnd, end uint32 }

func (c *canon) name(m member) []byte { return c.dst[m.start+1 : m.nameEnd-1] }

func (c *canon) bad(what string) error {
	rest := c.src[c.pos:]
	if len(rest) == 0 {
		return &Fault{BadJSON, what + " at the end of the text"}
	}
	return &Fault{BadJSON, fmt.Sprintf("%s at byte %d: %s", what, c.pos, Excerpt(rest[:min(len(rest), 24)]))}
}

func (c *canon) space() { c.pos = blankEnd(c.src, c.pos) }

// peek returns the next byte, 0 at the end (a NUL fits no grammar rule either).
func (c *canon) peek() byte {
	if c.pos < len(c.src) {
		return c.src[c.pos]
	}
	return 0
}

func (c *canon) value(level int, keep bool) error {
	if level > c.maxLevel {
		return &Fault{TooDeep, fmt.Sprintf("nesting over %d levels", c.maxLevel)}
	}
	switch b := c.peek(); b {
	case '{':
		return c.object(level, keep, keep)
	case '[':
		return c.array(level)
	case '"':
		return c.str()
	case 't':
		return c.literal("true")
	case 'f':
		return c.literal("false")
	case 'n':
		return c.literal("null")
	default:
		return c.number()
	}
}

func (c *canon) literal(word string) error {
	if !bytes.HasPrefix(c.src[c.pos:], []byte(word)) {
		return c.bad("no JSON value")
	}
	c.pos += len(word)
	c.dst = append(c.dst, word...)
	return nil
}

func (c *canon) number() error {
	rest := c.src[c.pos:]
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(rest, []byte(word)) {
			return &Fault{NumberRange, word + " is no JSON number"}
		}
	}
	end := numberEnd(c.src, c.pos)
	if end < 0 {
		return c.bad("no JSON value")
	}
	f, ok := ParseNumber(c.src[c.pos:end])
	if !ok {
		return &Fault{NumberRange, "beyond float64: " + Excerpt(c.src[c.pos:end])}
	}
	c.dst = AppendNumber(double(c.dst, maxNumber), f)
	c.pos = end
	if len(c.dst) > c.maxLen {
		return &Fault{TooLarge, fmt.Sprintf("canonical text over %d bytes", c.maxLen)}
	}
	return nil
}

// str reads a string; pos is at its opening quote.
func (c *canon) str() error {
	c.dst = append(c.dst, '"')
	i := c.pos + 1
	from := i
	for {
		if i = plainEnd(c.src, i); i >= len(c.src) {
			c.pos = i
			return c.bad("string without end")
		}
		switch b := c.src[i]; {
		case b == '"':
			c.dst = append(c.dst, c.src[from:i]...)
			c.dst = append(c.dst, '"')
			c.pos = i + 1
			return nil
		case b == '\\':
			c.dst = append(c.dst, c.src[from:i]...)
			r, n := escapeAt(c.src, i)
			if n == 0 {
				c.pos = i
				return c.bad("no JSON escape")
			}
			i += n
			if isHigh(r) && i < len(c.src) && c.src[i] == '\\' {
				if low, n := escapeAt(c.src, i); n > 0 && isLow(low) {
					r, i = joinPair(r, low), i+n
				}
			}
			if r < 0x20 || r == '"' || r == '\\' || r >= 0xD800 && r <= 0xDFFF {
				c.dst = appendEscape(c.dst, r)
			} else {
				c.dst = utf8.AppendRune(c.dst, r)
			}
			from = i
		case b < 0x20:
			c.pos = i
			return c.bad("control character in a string")
		default:
			r, n := utf8.DecodeRune(c.src[i:])
			if r == utf8.RuneError && n == 1 {
				return &Fault{InvalidUTF8, fmt.Sprintf("at byte %d: %s", i, Excerpt(c.src[i:min(i+4, len(c.src))]))}
			}
			i += n
		}
	}
}

func (c *canon) array(level int) error {
	c.pos++
	c.dst = append(c.dst, '[')
	c.space()
	if c.peek() == ']' {
		c.pos++
		c.dst = append(c.dst, ']')
		return nil
	}
	for {
		c.space()
		if err := c.value(level+1, true); err != nil {
			return err
		}
		c.space()
		b := c.peek()
		if b != ',' && b != ']' {
			return c.bad("no comma or bracket after an array element")
		}
		c.pos++
		c.dst = append(c.dst, b)
		if b == ']' {
			return nil
		}
	}
}

// object reads an object; keep tells of its own members, keepInside of those
// of the objects that it holds.
func (c *canon) object(level int, keep, keepInside bool) error {
	base, start := len(c.members), len(c.dst)
	c.pos++
	c.dst = append(c.dst, '{')
	c.space()
	if c.peek() == '}' {
		c.pos++
		c.dst = append(c.dst, '}')
		return nil
	}
	ordered := true
	for {
		c.space()
		if c.peek() != '"' {
			return c.bad("no member name")
		}
		m := member{start: uint32(len(c.dst))}
		if err := c.str(); err != nil {
			return err
		}
		m.nameEnd = uint32(len(c.dst))
		name := c.name(m)
		if string(name) == protoName {
			return &Fault{ProtoMember, `member name "__proto__"`}
		}
		if len(c.members) > base {
			switch d := compareKept(c.name(c.members[len(c.members)-1]), name, keep); {
			case d > 0:
				ordered = false
			case d == 0:
				return duplicate(name)
			}
		}
		c.space()
		if c.peek() != ':' {
			return c.bad("no colon after a member name")
		}
		c.pos++
		c.dst = append(c.dst, ':')
		c.space()
		if err := c.value(level+1, keepInside); err != nil {
			return err
		}
		m.end = uint32(len(c.dst))
		c.members = append(double(c.members, 1), m)
		c.space()
		b := c.peek()
		if b != ',' && b != '}' {
			return c.bad("no comma or brace after a member")
		}
		c.pos++
		c.dst = append(c.dst, b)
		if b == '}' {
			break
		}
	}
	if err := c.arrange(start, base, keep, ordered); err != nil {
		return err
	}
	c.members = c.members[:base]
	return nil
}

func duplicate(name []byte) error {
	return &Fault{DuplicateMember, "member name " + Excerpt(name) + " occurs twice"}
}

// compareKept compares neighbouring names for the order that an object must
// have: full order, or with keep only indices first and by value. Names whose
// written order stands compare as -1.
func compareKept(a, b []byte, keep bool) int {
	if !keep {
		return CompareNames(a, b)
	}
	_, bIndex := arrayIndex(b)
	if !bIndex {
		if bytes.Equal(a, b) {
			return 0
		}
		return -1
	}
	return CompareNames(a, b)
}

// arrange puts the members of the object at dst[start:], members[base:], in
// canonical order and refuses repeated names.
func (c *canon) arrange(start, base int, keep, ordered bool) error {
	open := c.members[base:]
	if keep {
		if err := c.unique(base); err != nil {
			return err
		}
		open = c.members[base:]
	}
	if ordered {
		return nil
	}
	slices.SortStableFunc(open, func(a, b member) int {
		if keep {
			return CompareIndices(c.name(a), c.name(b))
		}
		return CompareNames(c.name(a), c.name(b))
	})
	c.scratch = append(c.scratch[:0], c.dst[start:]...)
	old := func(from, to uint32) []byte { return c.scratch[from-uint32(start) : to-uint32(start)] }
	at := c.dst[:start+1]
	for i, m := range open {
		if i > 0 {
			before := open[i-1]
			if name := old(m.start, m.nameEnd); !keep && bytes.Equal(name, old(before.start, before.nameEnd)) {
				return duplicate(Body(name))
			}
			at = append(at, ',')
		}
		at = append(at, old(m.start, m.end)...)
	}
	c.dst = append(at, '}')
	return nil
}

// double makes room for n more, growing by doubling, so that all memory ever
// taken is at most twice what is needed in the end.
func double[T any](list []T, n int) []T {
	if len(list)+n <= cap(list) {
		return list
	}
	return append(make([]T, 0, max(2*cap(list), len(list)+n)), list...)
}

// unique refuses repeated names among members[base:], whatever their order.
func (c *canon) unique(base int) error {
	n := len(c.members)
	if n-base < 2 {
		return nil
	}
	c.members = append(double(c.members, n-base), c.members[base:]...)
	sorted := c.members[n:]
	slices.SortFunc(sorted, func(a, b member) int { return bytes.Compare(c.name(a), c.name(b)) })
	for i := 1; i < len(sorted); i++ {
		if bytes.Equal(c.name(sorted[i-1]), c.name(sorted[i])) {
			return duplicate(c.name(sorted[i]))
		}
	}
	c.members = c.members[:n]
	return nil
}
