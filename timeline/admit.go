package timeline

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/ibgib/ibgib-node/ibgib"
)

// RulesVersion is the version of the admission rules. An index built under
// another version is rebuilt: what was kept out may then enter, what was
// admitted by weaker rules is checked again.
const RulesVersion = 2

// Names of rel8n lists and data members that the rules read.
const (
	relAncestor = "ancestor"
	relDna      = "dna"
	relPast     = "past"
	relTjp      = "tjp"

	memberN           = "n"
	memberTimestamp   = "timestamp"
	memberTimestampMs = "timestampMs"
	memberIsTjp       = "isTjp"
)

// maxN is the greatest n: the greatest integer below which JavaScript counts
// without gaps.
const maxN = 1<<53 - 1

// The rules that keep a frame out of the index.
const (
	RuleNotAFrame       = "not-a-frame"    // claims no timeline
	RuleTjpList         = "tjp-list"       // isTjp together with a tjp list
	RuleBadTjp          = "bad-tjp"        // the tjp list is not exactly one address with a gib of one HASH
	RuleKeystone        = "keystone"       // a keystone timeline, extended by keystone validation only
	RuleNoPredecessor   = "no-predecessor" // neither isTjp nor a past that ends in a frame
	RulePredecessorOut  = "predecessor-kept-out"
	RuleForeign         = "foreign-predecessor" // the predecessor is a frame of another timeline
	RuleBadN            = "bad-n"               // n is there and no integer from 0 to 2^53-1
	RuleNotConsecutive  = "n-not-consecutive"
	RuleUnknownMerge    = "unknown-merge-version" // a rel8n name of merge rules that we do not know
	RuleMergeListChange = "merge-list-changed"    // an inherited merge list was changed or emptied
	RuleMergeForm       = "merge-form"            // past of a merge frame is not one user frame, the greatest head
	RuleMergeTime       = "merge-time"
	RuleMergeDna        = "merge-dna"     // dna of a merge frame is not that of the ops that its past lacked
	RuleMergeState      = "merge-state"   // ib, data or rel8ns of a merge frame are not what the ops lead to
	RuleUnmergeable     = "not-mergeable" // a merge frame of heads that have none
	RuleTooManyHeads    = "too-many-heads"
	RuleListOrder       = "merge-list-order"   // not sorted, or with repeats
	RuleListFrame       = "merge-list-frame"   // lists something that is no admitted user frame of the timeline
	RuleListHistory     = "merge-list-history" // lists a frame that is in the history of another head
	RuleSkippedList     = "skipped-list"       // not the ops that cannot be applied
	RuleKeepForm        = "keep-form"          // past, dna or list are not those of a keep frame
	RuleKeepState       = "keep-state"         // the state is not the predecessor's
	RuleKeepTime        = "keep-time"          // without a readable time
)

// Rejection is the reason why a frame is kept out of the index. The ibGib stays
// a valid ibGib and stays stored.
type Rejection struct {
	Addr    ibgib.Addr
	Rule    string // one of the Rule constants, or one of an admission function for special timelines
	Detail  string // names the offending value; of bounded length, control characters escaped
	Version int    // of the rules, see RulesVersion
}

// Error names the frame, the rule and the detail.
func (r *Rejection) Error() string {
	return fmt.Sprintf("timeline: %s kept out (%s): %s", shown(r.Addr), r.Rule, r.Detail)
}

func reject(g ibgib.IbGib, rule, format string, args ...any) *Rejection {
	return &Rejection{Addr: g.Addr(), Rule: rule, Detail: fmt.Sprintf(format, args...), Version: RulesVersion}
}

// Admit decides whether g extends its timeline and returns its facts. The index
// that frame reads holds what was admitted before: frames have to be offered
// after what they stand on. The error is a *Rejection when a rule keeps g out,
// else that of a lookup. block is read for frames that bear or follow merge
// lists, and for a frame whose predecessor is kept out.
//
// That g and its whole closure are stored is for the caller to know. Cost: one
// frame lookup; on merge and keep frames one for each listed frame and for the
// frames between the newest and the oldest of them; on a merge frame that of
// Merge, without a bound.
func Admit(g ibgib.IbGib, frame FrameLookup, block Lookup) (Frame, error) {
	return AdmitWithin(g, frame, block, nil)
}

// AdmitWithin is Admit for frames that others made. For a merge frame of the right
// form, which has to be computed to be checked, it calls work once to learn what
// that may cost on this timeline. If that is not enough the error wraps
// ErrOverBudget: nothing is decided about g, and it can be offered again.
func AdmitWithin(g ibgib.IbGib, frame FrameLookup, block Lookup, work func(tjp ibgib.Addr) MergeWork) (Frame, error) {
	c := candidate{g: g, frame: frame, block: block, work: work}
	if r := c.checkMergeNames(); r != nil {
		return Frame{}, r
	}
	if g.IsTjp() {
		return c.admitTjp()
	}
	return c.admitLater()
}

// IsKeystone reports whether tjp is the first frame of a keystone timeline: its
// ib is keystone and its only link the ancestor keystone^gib.
func IsKeystone(tjp ibgib.IbGib) bool {
	if tjp.Ib() != keystoneIb || !tjp.IsTjp() {
		return false
	}
	rel8ns := tjp.Rel8ns()
	return len(rel8ns) == 1 && rel8ns[0].Name == relAncestor &&
		len(rel8ns[0].Addrs) == 1 && rel8ns[0].Addrs[0].String() == keystoneIb+"^gib"
}

const keystoneIb = "keystone"

// candidate is an ibGib on its way into the index.
type candidate struct {
	g     ibgib.IbGib
	frame FrameLookup
	block Lookup
	work  func(tjp ibgib.Addr) MergeWork // nil: no bound

	// Filled on the way, for frames after the tjp.
	pred Frame
	n    int64
	hasN bool

	hasMergeList bool // has a non-empty list of one of the two merge names
}

func (c *candidate) admitTjp() (Frame, error) {
	g := c.g
	if _, ok := g.LastRel(relTjp); ok {
		return Frame{}, reject(g, RuleTjpList, "a tjp frame with a tjp list of %d", len(g.Rel(relTjp)))
	}
	if g.Addr().TjpGib() != "" {
		return Frame{}, reject(g, RuleBadTjp, "a tjp frame with the gib %s", clip(g.Gib()))
	}
	if IsKeystone(g) {
		return Frame{}, reject(g, RuleKeystone, "a keystone's first frame")
	}
	if r := c.readN(); r != nil {
		return Frame{}, r
	}
	return c.admitted(KindTjp, g.Addr(), nil), nil
}

func (c *candidate) admitLater() (Frame, error) {
	tjp, err := c.findTimeline()
	if err != nil {
		return Frame{}, err
	}
	if !c.hasMergeList && !c.pred.HasMergeList {
		if err := c.checkNFollows(c.pred); err != nil {
			return Frame{}, err
		}
		return c.admitted(KindUser, tjp, nil), nil
	}
	kind, inherited, err := c.classify()
	if err != nil {
		return Frame{}, err
	}
	var links []ibgib.Addr
	switch kind {
	case KindMerge:
		err, links = c.checkMerge(), c.g.Rel(RelMerge)
	case KindKeep:
		err, links = c.checkKeep(inherited), c.g.Rel(RelMerge)
	default:
		err = c.checkNFollows(c.pred)
	}
	if err != nil {
		return Frame{}, err
	}
	return c.admitted(kind, tjp, links), nil
}

func (c *candidate) admitted(kind FrameKind, tjp ibgib.Addr, links []ibgib.Addr) Frame {
	return Frame{
		Addr: c.g.Addr(), Tjp: tjp, Kind: kind,
		N: c.n, HasN: c.hasN,
		Pred: c.pred.Addr, Links: links,
		HasMergeList: c.hasMergeList,
	}
}

// findTimeline reads what a frame says of its place: the timeline, which it
// returns, the predecessor and n.
func (c *candidate) findTimeline() (tjp ibgib.Addr, err error) {
	g := c.g
	tjps := g.Rel(relTjp)
	if len(tjps) == 0 {
		return tjp, reject(g, RuleNotAFrame, "neither isTjp nor a tjp list")
	}
	if len(tjps) != 1 {
		return tjp, reject(g, RuleBadTjp, "a tjp list of %d", len(tjps))
	}
	tjp = tjps[0]
	if tjp.TjpGib() != "" {
		return tjp, reject(g, RuleBadTjp, "the tjp %s has no gib of one HASH", shown(tjp))
	}
	if err := c.findPredecessor(tjp); err != nil {
		return tjp, err
	}
	if r := c.readN(); r != nil {
		return tjp, r
	}
	return tjp, nil
}

// findPredecessor fills pred with the last frame of past.
func (c *candidate) findPredecessor(tjp ibgib.Addr) error {
	g := c.g
	last, ok := g.LastRel(relPast)
	if !ok {
		return reject(g, RuleNoPredecessor, "no past")
	}
	if last.IsPrimitive() {
		return reject(g, RuleNoPredecessor, "past ends in the primitive %s", shown(last))
	}
	if tjp.Ib() == keystoneIb {
		first, err := c.block(tjp)
		if err != nil {
			return err
		}
		if !first.IsZero() && IsKeystone(first) {
			return reject(g, RuleKeystone, "a frame of the keystone %s", shown(tjp))
		}
	}
	pred, ok, err := c.frame(last)
	if err != nil {
		return err
	}
	if !ok || pred.Addr != last {
		return reject(g, RulePredecessorOut, "the predecessor %s is not an admitted frame", shown(last))
	}
	if pred.Tjp != tjp {
		return reject(g, RuleForeign, "the predecessor %s is a frame of %s", shown(last), shown(pred.Tjp))
	}
	c.pred = pred
	return nil
}

// readN fills n. An n that is there must count: an integer from 0 to maxN.
func (c *candidate) readN() *Rejection {
	v, ok := c.g.Field(memberN)
	if !ok {
		return nil
	}
	if x := v.Number(); v.Kind() == ibgib.KindNumber && x >= 0 && x <= maxN && x == float64(int64(x)) {
		c.n, c.hasN = int64(x), true
		return nil
	}
	return reject(c.g, RuleBadN, "n is %s, not an integer from 0 to 2^53-1", clip(string(v.Append(nil))))
}

// checkNFollows wants n to be one more than the greatest of the frames below,
// and absent if none of them has one.
func (c *candidate) checkNFollows(below ...Frame) error {
	greatest := int64(-1)
	for _, f := range below {
		greatest = max(greatest, f.order())
	}
	switch {
	case greatest < 0 && c.hasN:
		return reject(c.g, RuleNotConsecutive, "n is %d, its predecessor has none", c.n)
	case greatest >= 0 && !c.hasN:
		return reject(c.g, RuleNotConsecutive, "no n, expected %d", greatest+1)
	case greatest >= 0 && c.n != greatest+1:
		return reject(c.g, RuleNotConsecutive, "n is %d, expected %d", c.n, greatest+1)
	}
	return nil
}

// shownLen bounds what a message quotes of a foreign value, in bytes.
const shownLen = 200

// shown prints an address for a message: of bounded length, control characters
// escaped.
func shown(a ibgib.Addr) string { return clip(a.String()) }

func clip(s string) string {
	if len(s) > shownLen {
		cut := shownLen
		for cut > shownLen-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		return strconv.Quote(s[:cut]) + "..."
	}
	return strconv.Quote(s)
}
