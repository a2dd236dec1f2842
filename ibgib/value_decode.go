package ibgib

import (
	"bytes"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib/internal/jsjson"
)

// decodeValue reads the canonical text of one value; empty text is absent.
func decodeValue(text []byte) Value {
	if len(text) == 0 {
		return Value{}
	}
	d := decoder{text: text}
	return d.value(1)
}

// decoder reads canonical text in one pass. Recursion is bounded by MaxDepth.
// What an open array or object holds so far lies on a stack, so that each gets
// a slice of its exact size.
type decoder struct {
	text    []byte
	pos     int
	items   []Value
	members []Member
}

// until moves to the end of a scalar.
func (d *decoder) until(end int) []byte {
	from := d.pos
	d.pos = max(end, from)
	return d.text[from:d.pos]
}

// more moves over a comma, or over the closing bracket, and is false after that.
func (d *decoder) more() bool {
	d.pos++
	return d.pos < len(d.text) && d.text[d.pos-1] == ','
}

// opens moves over an opening bracket; false if its closing one follows at once.
func (d *decoder) opens() bool {
	d.pos++
	if d.pos < len(d.text) && d.text[d.pos] != ']' && d.text[d.pos] != '}' {
		return true
	}
	d.pos++
	return false
}

func (d *decoder) value(level int) Value {
	if d.pos >= len(d.text) || level > MaxDepth+1 {
		return Value{}
	}
	switch d.text[d.pos] {
	case '"':
		return String(d.str())
	case '[':
		return d.array(level)
	case '{':
		return d.object(level)
	}
	text := d.until(jsjson.Skip(d.text, d.pos))
	switch string(text) {
	case "null":
		return Null()
	case "true":
		return Bool(true)
	case "false":
		return Bool(false)
	}
	f, _ := jsjson.ParseNumber(text)
	return Number(f)
}

func (d *decoder) str() string {
	return unquote(jsjson.Body(d.until(jsjson.Skip(d.text, d.pos))))
}

func (d *decoder) array(level int) Value {
	base := len(d.items)
	for ok := d.opens(); ok; ok = d.more() {
		item := d.value(level + 1)
		d.items = append(d.items, item)
	}
	items := slices.Clone(d.items[base:])
	d.items = d.items[:base]
	return Array(items...)
}

func (d *decoder) object(level int) Value {
	base := len(d.members)
	for ok := d.opens(); ok; ok = d.more() {
		m := Member{Name: d.str()}
		d.pos++ // the colon
		m.Value = d.value(level + 1)
		d.members = append(d.members, m)
	}
	members := slices.Clone(d.members[base:])
	d.members = d.members[:base]
	return Object(members...)
}

// unquote returns the text of a canonical string body, in memory of its own.
func unquote(body []byte) string {
	if bytes.IndexByte(body, '\\') < 0 {
		return string(body)
	}
	return string(jsjson.Unquote(make([]byte, 0, len(body)), body))
}
