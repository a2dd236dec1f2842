package ibgib

import (
	"strings"
	"unicode/utf8"

	"github.com/ibgib/ibgib-node/ibgib/internal/jsjson"
)

// primitiveGib is the gib of a primitive.
const primitiveGib = "gib"

// Addr is a whole address, ib^gib. It is comparable and serves as a map key.
// The zero Addr is no address.
type Addr struct{ s string }

// ParseAddr reads an address. gib must be "gib", a hash, or a hash with the
// gib of a tjp after a dot; ib must be non-empty UTF-8 without ^. The Addr does not
// refer to the memory of s. The error is a *Refusal with RuleBadAddress,
// RuleInvalidUTF8 or RuleLoneSurrogate.
func ParseAddr(s string) (Addr, error) {
	if r := checkAddr(s); r != nil {
		return Addr{}, r
	}
	return Addr{strings.Clone(s)}, nil
}

// checkAddr applies the rules of an address to WTF-8 text.
func checkAddr(s string) *Refusal {
	at := strings.LastIndexByte(s, '^')
	if at < 0 {
		return refusal(RuleBadAddress, "no ^ in "+excerpt(s))
	}
	if !validGib(s[at+1:]) {
		return refusal(RuleBadAddress, "gib "+excerpt(s[at+1:])+" is neither gib, HASH nor HASH.TJPGIB")
	}
	if r := checkIb(s[:at]); r != nil {
		if r.Rule == RuleBadIb {
			r.Rule = RuleBadAddress
		}
		return r
	}
	return nil
}

// checkIb applies the rules of an ib to WTF-8 text.
func checkIb(ib string) *Refusal {
	switch {
	case ib == "":
		return refusal(RuleBadIb, "ib is empty")
	case strings.IndexByte(ib, '^') >= 0:
		return refusal(RuleBadIb, "^ in ib "+excerpt(ib))
	case utf8.ValidString(ib):
		return nil
	case jsjson.ValidWTF8(ib):
		return refusal(RuleLoneSurrogate, "in ib "+excerpt(ib))
	}
	return refusal(RuleInvalidUTF8, "in ib "+excerpt(ib))
}

// validGib reports whether gib has one of its three forms: gib, HASH, or HASH
// followed by more hashes, each after a dot.
func validGib[T string | []byte](gib T) bool {
	if string(gib) == primitiveGib {
		return true
	}
	for len(gib) > hashDigits {
		if gib[hashDigits] != '.' || !isHash(gib[:hashDigits]) {
			return false
		}
		gib = gib[hashDigits+1:]
	}
	return isHash(gib)
}

// String returns ib^gib, or "<invalid address>" for the zero Addr.
func (a Addr) String() string {
	if a.IsZero() {
		return "<invalid address>"
	}
	return a.s
}

// Ib returns the part before the ^.
func (a Addr) Ib() string { return a.s[:max(0, caret(a.s))] }

// Gib returns the part after the ^.
func (a Addr) Gib() string { return a.s[caret(a.s)+1:] }

// caret returns the index of the ^ between ib and gib in the text of an address, -1
// in the empty one. A gib of hashes has only one place for it, so there is seldom
// need to search.
func caret[T string | []byte](addr T) int {
	at := len(addr) - hashDigits - 1
	for at >= 0 && addr[at] == '.' {
		at -= hashDigits + 1
	}
	if at < 0 || addr[at] != '^' {
		for at = len(addr) - 1; at >= 0 && addr[at] != '^'; at-- {
		}
	}
	return at
}

// IsZero reports whether a is the zero Addr.
func (a Addr) IsZero() bool { return a.s == "" }

// IsPrimitive reports whether the gib is "gib": an address without content.
func (a Addr) IsPrimitive() bool { return a.Gib() == primitiveGib }

// Hash returns the punctiliar hash; false for a primitive and the zero Addr.
func (a Addr) Hash() (Hash, bool) {
	gib := a.Gib()
	if len(gib) < hashDigits {
		return Hash{}, false
	}
	return decodeHash(gib[:hashDigits])
}

// TjpGib returns what follows the first dot of the gib: the gib of the tjp of
// a timeline's later frame, "" for all else.
func (a Addr) TjpGib() string {
	if gib := a.Gib(); len(gib) > hashDigits {
		return gib[hashDigits+1:]
	}
	return ""
}

// MarshalText returns the address; the zero Addr is empty text.
func (a Addr) MarshalText() ([]byte, error) { return []byte(a.s), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Addr) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Addr{}
		return nil
	}
	got, err := ParseAddr(string(text))
	if err != nil {
		return err
	}
	*a = got
	return nil
}

// CompareAddr orders addresses by the UTF-16 code units of their text.
func CompareAddr(a, b Addr) int { return jsjson.CompareUTF16(a.s, b.s) }
