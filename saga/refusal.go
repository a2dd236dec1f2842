package saga

import (
	"errors"
	"strings"

	"github.com/ibgib/ibgib-node/ibgib"
)

// refuse notes a block that the gate, or the store, refused. It ends the saga
// only if there are too many of them.
func (r *receiver) refuse(m *Machine, h ibgib.Hash, err error) *Error {
	noted := Refusal{Hash: h, Detail: err.Error()}
	var refusal *ibgib.Refusal
	if errors.As(err, &refusal) {
		noted.Rule, noted.Detail = refusal.Rule, refusal.Detail
		if addr, err := ibgib.ParseAddr(refusal.Addr); err == nil && h.IsZero() {
			noted.Hash, _ = addr.Hash()
		}
	}
	noted.Rule = ibgib.Rule(clip(string(noted.Rule), MaxRefusalRule))
	noted.Detail = clip(noted.Detail, MaxRefusalText)
	if len(r.refusals) == MaxRefusals {
		return &Error{ID: m.id, Code: CodeRefused, Text: "too many ibGibs were refused; the last one: " + err.Error(), Err: err}
	}
	r.refusals = append(r.refusals, noted)
	if !noted.Hash.IsZero() {
		r.dropped[noted.Hash] = struct{}{}
	}
	return nil
}

// clip cuts a text to so many bytes of valid UTF-8.
func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}

// drop reports whether a block cannot be closed because of a refusal, and if so
// forgets that it came.
func (r *receiver) drop(g ibgib.IbGib) bool {
	for _, a := range g.Links() {
		h, ok := a.Hash()
		if _, gone := r.dropped[h]; ok && gone {
			r.dropped[g.Hash()] = struct{}{}
			delete(r.pending, g.Hash())
			delete(r.loose, g.Hash())
			return true
		}
	}
	return false
}
