package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/identity"
	"github.com/ibgib/ibgib-node/timeline"
)

// otherRule is counted for a rule that is none of known.
const otherRule = "other"

// rules counts by rule. Only rules that have been broken have a counter.
type rules struct{ of *prometheus.CounterVec }

func (r rules) inc(rule string) {
	if !known[rule] {
		rule = otherRule
	}
	r.of.WithLabelValues(rule).Inc()
}

// known are the rules by which this node refuses ibGibs and keeps frames out.
var known = func() map[string]bool {
	all := make(map[string]bool)
	for _, rule := range refusing {
		all[string(rule)] = true
	}
	for _, rule := range rejecting {
		all[rule] = true
	}
	return all
}()

var refusing = []ibgib.Rule{
	ibgib.RuleBadJSON, ibgib.RuleBadRecord, ibgib.RuleUnknownMember, ibgib.RuleNotCanonical, ibgib.RuleInvalidUTF8,
	ibgib.RuleLoneSurrogate, ibgib.RuleDuplicateMember, ibgib.RuleProtoMember, ibgib.RuleNumberRange, ibgib.RuleBadIb,
	ibgib.RuleBadGib, ibgib.RuleBadAddress, ibgib.RuleBadRel8ns, ibgib.RuleGibMismatch, ibgib.RuleTjpMismatch,
	ibgib.RuleTjpEmptyList, ibgib.RuleSwappedMembers, ibgib.RulePrimitivePayload, ibgib.RuleBytesTwin,
	ibgib.RuleTooLarge, ibgib.RuleTooDeep, ibgib.RuleTooManyLinks, blockstore.RuleAlias,
}

var rejecting = []string{
	timeline.RuleNotAFrame, timeline.RuleTjpList, timeline.RuleBadTjp, timeline.RuleKeystone,
	timeline.RuleNoPredecessor, timeline.RulePredecessorOut, timeline.RuleForeign, timeline.RuleBadN,
	timeline.RuleNotConsecutive, timeline.RuleUnknownMerge, timeline.RuleMergeListChange, timeline.RuleMergeForm,
	timeline.RuleMergeTime, timeline.RuleMergeDna, timeline.RuleMergeState, timeline.RuleUnmergeable,
	timeline.RuleTooManyHeads, timeline.RuleListOrder, timeline.RuleListFrame, timeline.RuleListHistory,
	timeline.RuleSkippedList, timeline.RuleKeepForm, timeline.RuleKeepState, timeline.RuleKeepTime,
	blockstore.RuleBarred, blockstore.RuleUndecided,
	blockstore.RuleManyPins, identity.RuleUnknown, identity.RuleRival,
}
