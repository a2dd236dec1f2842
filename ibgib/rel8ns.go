package ibgib

import (
	"slices"

	"github.com/ibgib/ibgib-node/ibgib/internal/jsjson"
)

// Rel8n is one named list of addresses.
type Rel8n struct {
	Name  string
	Addrs []Addr
}

// Rel8ns are the hard links of an ibGib. Names are unique; the stored form
// sorts them. Treat a Rel8ns as immutable.
type Rel8ns []Rel8n

// Get returns the addresses of one list, nil if there is no such list.
func (r Rel8ns) Get(name string) []Addr {
	for _, rel := range r {
		if rel.Name == name {
			return rel.Addrs
		}
	}
	return nil
}

// With returns a copy in which the list of that name is addrs.
func (r Rel8ns) With(name string, addrs []Addr) Rel8ns {
	out := slices.Clone(r)
	for i := range out {
		if out[i].Name == name {
			out[i].Addrs = addrs
			return out
		}
	}
	return append(out, Rel8n{name, addrs})
}

// Without returns a copy that lacks the list of that name.
func (r Rel8ns) Without(name string) Rel8ns {
	return slices.DeleteFunc(slices.Clone(r), func(rel Rel8n) bool { return rel.Name == name })
}

// IsEmpty reports whether there is no address in any list; the member rel8ns
// is then left out of the stored form.
func (r Rel8ns) IsEmpty() bool {
	for _, rel := range r {
		if len(rel.Addrs) > 0 {
			return false
		}
	}
	return true
}

// append appends the canonical text.
func (r Rel8ns) append(b []byte) []byte {
	sorted := r
	if order := func(x, y Rel8n) int { return compareNames(x.Name, y.Name) }; !slices.IsSortedFunc(r, order) {
		sorted = slices.Clone(r)
		slices.SortStableFunc(sorted, order)
	}
	b = append(b, '{')
	for i, rel := range sorted {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsjson.AppendQuote(b, rel.Name)
		b = append(b, ":["...)
		for k, a := range rel.Addrs {
			if k > 0 {
				b = append(b, ',')
			}
			b = jsjson.AppendQuote(b, a.s)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// decodeRel8ns reads canonical text that has passed the gate.
func decodeRel8ns(text []byte) Rel8ns {
	var out Rel8ns
	for name, list := range jsjson.Members(text) {
		rel := Rel8n{Name: internName(name)}
		for addr := range jsjson.Elements(list) {
			rel.Addrs = append(rel.Addrs, decodeAddr(addr))
		}
		out = append(out, rel)
	}
	return out
}

// decodeAddr reads a canonical string that is known to be an address.
func decodeAddr(text []byte) Addr { return Addr{unquote(jsjson.Body(text))} }

// internName returns the name with this canonical body, without allocating
// for the common ones.
func internName(body []byte) string {
	switch string(body) {
	case "ancestor":
		return "ancestor"
	case "dna":
		return "dna"
	case "past":
		return "past"
	case "tjp":
		return "tjp"
	}
	return unquote(body)
}
