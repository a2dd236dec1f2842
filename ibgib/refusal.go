package ibgib

import (
	"strconv"
	"strings"

	"github.com/ibgib/ibgib-node/ibgib/internal/jsjson"
)

// Rule names what the gate refuses.
type Rule string

// The rules of the gate.
const (
	RuleBadJSON          Rule = jsjson.BadJSON         // no JSON text
	RuleBadRecord        Rule = "bad-record"           // JSON, but no ibGib: no object, ib or gib missing, data beside bytes
	RuleUnknownMember    Rule = "unknown-member"       // wire: a member beside ib, gib, data, rel8ns
	RuleNotCanonical     Rule = "not-canonical"        // wire: a valid ibGib in another form than the stored one
	RuleInvalidUTF8      Rule = jsjson.InvalidUTF8     // text that is not UTF-8
	RuleLoneSurrogate    Rule = "lone-surrogate"       // half a surrogate pair in ib, a rel8n name or an address
	RuleDuplicateMember  Rule = jsjson.DuplicateMember // a member name twice in one object
	RuleProtoMember      Rule = jsjson.ProtoMember     // the member name __proto__
	RuleNumberRange      Rule = jsjson.NumberRange     // a number beyond float64, NaN, Infinity
	RuleBadIb            Rule = "bad-ib"               // ib empty, no text, or with ^
	RuleBadGib           Rule = "bad-gib"              // gib in none of its three forms
	RuleBadAddress       Rule = "bad-address"          // text that is no address
	RuleBadRel8ns        Rule = "bad-rel8ns"           // rel8ns that are no lists of addresses
	RuleGibMismatch      Rule = "gib-mismatch"         // the content has another hash
	RuleTjpMismatch      Rule = "tjp-mismatch"         // the hash fits, the part after it does not
	RuleTjpEmptyList     Rule = "tjp-empty-list"       // isTjp together with an empty tjp list
	RuleSwappedMembers   Rule = "swapped-members"      // data that could be rel8ns, with the same gib
	RulePrimitivePayload Rule = "primitive-payload"    // a primitive is never stored or sent
	RuleBytesTwin        Rule = "bytes-twin"           // wire: bytes that are the ibGib with JSON data
	RuleTooLarge         Rule = jsjson.TooLarge        // over MaxSize or MaxBytesSize
	RuleTooDeep          Rule = jsjson.TooDeep         // over MaxDepth
	RuleTooManyLinks     Rule = "too-many-links"       // over MaxLinks
)

// Refusal is the error of the gate.
type Refusal struct {
	Addr   string // the address that the input claims, as far as it can be read; printable and bounded
	Rule   Rule
	Detail string // names the offending value; printable and bounded
}

func (r *Refusal) Error() string {
	var b strings.Builder
	b.WriteString("ibgib: refused")
	if r.Addr != "" {
		b.WriteString(" ")
		b.WriteString(r.Addr)
	}
	b.WriteString(": ")
	b.WriteString(string(r.Rule))
	if r.Detail != "" {
		b.WriteString(": ")
		b.WriteString(r.Detail)
	}
	return b.String()
}

func refusal(rule Rule, detail string) *Refusal { return &Refusal{Rule: rule, Detail: detail} }

// refuseFault turns a fault in JSON text into a refusal.
func refuseFault(err error) *Refusal {
	if f, ok := err.(*jsjson.Fault); ok {
		return refusal(Rule(f.Rule), f.Detail)
	}
	return refusal(RuleBadJSON, err.Error())
}

// overLimit names a limit that is exceeded.
func overLimit(rule Rule, what string, limit int) *Refusal {
	return refusal(rule, what+" over the limit of "+strconv.Itoa(limit))
}

// excerpt shows foreign text to a person: quoted, escaped, bounded.
func excerpt[T string | []byte](s T) string {
	return jsjson.Excerpt([]byte(s[:min(len(s), jsjson.MaxExcerpt+1)]))
}

// maxClaim bounds the address in a refusal, in bytes; the gib part and an ib
// of ordinary length fit.
const maxClaim = 512

// claim renders the address that an input says it has.
func claim(ib, gib string) string {
	if ib == "" && gib == "" {
		return ""
	}
	if len(ib) > maxClaim-200 {
		ib = ib[:maxClaim-200] + "..."
	}
	if len(gib) > 200 {
		gib = gib[:200] + "..."
	}
	quoted := strconv.QuoteToGraphic(ib + "^" + gib)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// glimpseClaim renders the address in text that could not be read as a record.
func glimpseClaim(raw []byte) string {
	var ib, gib string
	for name, value := range jsjson.Glimpse(raw) {
		text, err := jsjson.Canonical(nil, value[:min(len(value), 2*maxClaim)], jsjson.Options{})
		if err != nil {
			continue
		}
		switch string(name) {
		case "ib":
			ib = unquote(jsjson.Body(text))
		case "gib":
			gib = unquote(jsjson.Body(text))
		}
		if ib != "" && gib != "" {
			break
		}
	}
	return claim(ib, gib)
}
