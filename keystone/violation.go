package keystone

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Rule names what a frame breaks.
type Rule string

// The rules about a timeline as a whole and about the frame as an ibGib.
const (
	RuleNoFrames    Rule = "no-frames"    // a timeline of nothing
	RuleNotKeystone Rule = "not-keystone" // the first frame is not that of a keystone: ib, isTjp, n 0, ancestor alone
	RuleIb          Rule = "wrong-ib"     // the ib is not keystone
	RuleLinks       Rule = "wrong-links"  // other links than ancestor, past and tjp, or another ancestor
	RuleTjp         Rule = "wrong-tjp"    // tjp is not the first frame alone, or isTjp on a later frame
	RulePast        Rule = "wrong-past"   // past is neither the frame before alone nor all frames before it
	RuleN           Rule = "wrong-n"      // n is not that of the frame before plus 1
	RuleTime        Rule = "unreadable-time"
	RuleUUID        Rule = "wrong-uuid"   // no uuid, or another one than the first frame's
	RuleForm        Rule = "bad-form"     // a member is missing, of the wrong kind or malformed
	RuleLimit       Rule = "limit"        // one of the limits of this package
	RuleNotReplayed Rule = "not-replayed" // stands on a frame that could not be read
	RuleFirstSeen   Rule = "first-seen"   // a rival that shows nothing new; see Weigh
	RuleAfterEnd    Rule = "frame-after-revocation"
)

// The rules about pools.
const (
	RuleConfig        Rule = "bad-config"      // a config that no keystone may have
	RulePoolID        Rule = "wrong-pool-id"   // not the salt of its config, or not unique
	RulePoolSize      Rule = "wrong-pool-size" // the first frame has more or fewer challenges than the config says
	RuleBindingMap    Rule = "wrong-binding-map"
	RulePoolSet       Rule = "pools-changed"  // a pool was added, removed or moved
	RuleConfigChanged Rule = "config-changed" // config or another fixed member of a pool
	RuleOtherPool     Rule = "other-pool-changed"
	RuleReplenish     Rule = "wrong-replenishment" // not what the replenish rule gives
	RuleReusedID      Rule = "reused-challenge-id" // the timeline has had this id before
)

// The rules about proofs.
const (
	RuleNoProof           Rule = "no-proof"
	RuleSeveralProofs     Rule = "several-proofs"
	RuleGenesisProof      Rule = "proof-in-first-frame" // nothing came before it that could be proven
	RuleNoVerb            Rule = "no-verb"
	RuleNoTarget          Rule = "no-target"
	RuleUnknownPool       Rule = "unknown-pool"
	RuleWrongPool         Rule = "wrong-pool" // the pool does not allow the verb
	RuleMixedPools        Rule = "solution-of-another-pool"
	RuleUnknownChallenge  Rule = "unknown-challenge"
	RuleDuplicateSolution Rule = "duplicate-solution"
	RuleMissingSolution   Rule = "missing-solution"
	RuleSurplusSolution   Rule = "surplus-solution"
	RuleSelection         Rule = "wrong-selection" // a challenge that had to be solved is not in its place
	RuleDemands           Rule = "bad-demands"     // demanded ids are repeated or not in the pool
	RuleExhausted         Rule = "pool-exhausted"  // the pool cannot serve such a claim
	RuleSolution          Rule = "wrong-solution"
	RuleRevocation        Rule = "bad-revocation" // revocationInfo without the full proof on the frame before
	RuleRevokeVerb        Rule = "revoke-without-revocation"
)

// The rules about co-signing.
const (
	RuleCosigKeys Rule = "bad-cosig-keys"
	RuleCosig     Rule = "bad-cosig" // missing, malformed or over other bytes
)

// Violation is one rule that one frame breaks.
type Violation struct {
	Rule      Rule       `json:"rule"`
	Frame     ibgib.Addr `json:"frame"`               // the zero Addr if there is none
	N         int        `json:"n"`                   // place of the frame in the timeline, from 0
	Pool      string     `json:"pool,omitempty"`      // id of the pool; bounded, may be foreign text
	Challenge string     `json:"challenge,omitempty"` // id of the challenge; bounded, may be foreign text
	Detail    string     `json:"detail"`              // names the offending value; printable and bounded
}

// String returns rule, place and detail on one line.
func (v Violation) String() string {
	s := fmt.Sprintf("%s: frame %d", v.Rule, v.N)
	if v.Pool != "" {
		s += ", pool " + strconv.Quote(v.Pool)
	}
	if v.Challenge != "" {
		s += ", challenge " + strconv.Quote(v.Challenge)
	}
	return s + ": " + v.Detail
}

// Invalid is the error for a frame that breaks rules.
type Invalid struct {
	Violations []Violation // at least one; those of one frame are at most MaxViolations
	More       int         // how many further ones were found and left out
}

// Error shows the first violation and how many there are.
func (e *Invalid) Error() string {
	text := "keystone: " + e.Violations[0].String()
	if more := len(e.Violations) - 1 + e.More; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// Has reports whether one of the listed violations is of this rule.
func (e *Invalid) Has(rule Rule) bool {
	for _, v := range e.Violations {
		if v.Rule == rule {
			return true
		}
	}
	return false
}

// findings collects the violations of one frame.
type findings struct {
	frame ibgib.Addr
	n     int
	list  []Violation
	more  int
}

// spot is what a violation is about, beside the frame.
type spot struct{ pool, challenge string }

func (f *findings) add(rule Rule, at spot, format string, args ...any) {
	if len(f.list) == MaxViolations {
		f.more++
		return
	}
	f.list = append(f.list, Violation{
		Rule: rule, Frame: f.frame, N: f.n,
		Pool: cut(at.pool), Challenge: cut(at.challenge),
		Detail: fmt.Sprintf(format, args...),
	})
}

func (f *findings) none() bool { return len(f.list) == 0 }

func (f *findings) err() error {
	if f.none() {
		return nil
	}
	return &Invalid{f.list, f.more}
}

// shownLen bounds what a message quotes of a foreign value, in bytes.
const shownLen = 200

// clip shows foreign text in a message: quoted, escaped, bounded.
func clip(s string) string {
	if c := cut(s); len(c) < len(s) {
		return strconv.Quote(c) + "..."
	}
	return strconv.Quote(s)
}

// cut bounds text, without cutting a rune in two.
func cut(s string) string {
	if len(s) <= shownLen {
		return s
	}
	end := shownLen
	for end > shownLen-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// shown shows a value in a message.
func shown(v ibgib.Value) string {
	if v.Kind() == ibgib.KindAbsent {
		return "nothing"
	}
	return clip(v.String())
}
