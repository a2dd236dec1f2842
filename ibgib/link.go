package ibgib

import (
	"bytes"
	"iter"
	"strings"

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

// RelNames returns the names of the lists in rel8ns that begin with prefix, in
// stored order. prefix is of letters, digits and dots, which are never escaped. An
// ibGib without such a name, as nearly all are, costs one search of its text.
func (g IbGib) RelNames(prefix string) []string {
	if !bytes.Contains(g.text(g.rel), []byte(prefix)) {
		return nil
	}
	var names []string
	for body := range jsjson.Members(g.text(g.rel)) {
		if name := internName(body); strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}
