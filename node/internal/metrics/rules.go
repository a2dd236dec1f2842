package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/identity"
	"github.com/ibgib/ibgib-node/timeline"
)

// otherRule is counted for a rule that is none of the known ones.
const otherRule = "other"

// rules counts by rule. Each rule is there from the beginning, so that the first time that
// it is broken shows as an increase.
type rules map[string]prometheus.Counter

func rulesOf[R ~string](v *prometheus.CounterVec, list []R) rules {
	r := rules{otherRule: v.WithLabelValues(otherRule)}
	for _, rule := range list {
		r[string(rule)] = v.WithLabelValues(string(rule))
	}
	return r
}

func (r rules) inc(rule string) {
	c, known := r[rule]
	if !known {
		c = r[otherRule]
	}
	c.Inc()
}

// refusing are the rules by which this node refuses ibGibs.
var refusing = []ibgib.Rule{
	ibgib.RuleBadJSON, ibgib.RuleBadRecord, ibgib.RuleUnknownMember, ibgib.RuleNotCanonical, ibgib.RuleInvalidUTF8,
	ibgib.RuleLoneSurrogate, ibgib.RuleDuplicateMember, ibgib.RuleProtoMember, ibgib.RuleNumberRange, ibgib.RuleBadIb,
	ibgib.RuleBadGib, ibgib.RuleBadAddress, ibgib.RuleBadRel8ns, ibgib.RuleGibMismatch, ibgib.RuleTjpMismatch,
	ibgib.RuleTjpEmptyList, ibgib.RuleSwappedMembers, ibgib.RulePrimitivePayload, ibgib.RuleBytesTwin,
	ibgib.RuleTooLarge, ibgib.RuleTooDeep, ibgib.RuleTooManyLinks, blockstore.RuleAlias,
}

// rejecting are the rules by which it keeps frames, and pins of peers, out of the index.
var rejecting = []string{
	timeline.RuleNotAFrame, timeline.RuleTjpList, timeline.RuleBadTjp, timeline.RuleKeystone,
	timeline.RuleNoPredecessor, timeline.RulePredecessorOut, timeline.RuleForeign, timeline.RuleBadN,
	timeline.RuleNotConsecutive, timeline.RuleUnknownMerge, timeline.RuleMergeListChange, timeline.RuleMergeForm,
	timeline.RuleMergeTime, timeline.RuleMergeDna, timeline.RuleMergeState, timeline.RuleUnmergeable,
	timeline.RuleTooManyHeads, timeline.RuleListOrder, timeline.RuleListFrame, timeline.RuleListHistory,
	timeline.RuleSkippedList, timeline.RuleKeepForm, timeline.RuleKeepState, timeline.RuleKeepTime,
	blockstore.RuleBarred, blockstore.RuleUndecided,
	blockstore.RuleManyPins, identity.RuleRival,
}
