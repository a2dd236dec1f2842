package ibgib

import (
	"bytes"
	"iter"

	"github.com/ibgib/ibgib-node/ibgib/internal/jsjson"
)

// Link is one address in the rel8ns of an ibGib, as the text has it. It serves
// those who look at many links and need few of the addresses.
type Link struct {
	body []byte // of a canonical string
}

// Targets yields what Links does, without the names of the lists.
func (g IbGib) Targets() iter.Seq[Link] {
	return func(yield func(Link) bool) {
		for _, list := range jsjson.Members(g.text(g.rel)) {
			for text := range jsjson.Elements(list) {
				if !yield(Link{jsjson.Body(text)}) {
					return
				}
			}
		}
	}
}

// Hash returns the punctiliar hash; false for a primitive.
func (l Link) Hash() (Hash, bool) {
	gib := l.body[caret(l.body)+1:] // a gib is never escaped
	if len(gib) < hashDigits {
		return Hash{}, false
	}
	return decodeHash(gib[:hashDigits])
}

// Addr returns the address.
func (l Link) Addr() Addr { return Addr{unquote(l.body)} }

// Is reports whether the address is a.
func (l Link) Is(a Addr) bool {
	if bytes.IndexByte(l.body, '\\') < 0 {
		return string(l.body) == a.s
	}
	return l.Addr() == a
}

// RelNames yields the names of the lists in rel8ns, in stored order.
func (g IbGib) RelNames() iter.Seq[string] {
	return func(yield func(string) bool) {
		for name := range jsjson.Members(g.text(g.rel)) {
			if !yield(internName(name)) {
				return
			}
		}
	}
}
