package timeline

import (
	"errors"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// checkMerge wants a merge frame to be the one of the user frames in its history.
// What the form tells is checked before anything is computed.
func (c *candidate) checkMerge() error {
	g := c.g
	if past := g.Rel(relPast); len(past) != 1 || !c.pred.IsUser() {
		return reject(g, RuleMergeForm, "a past of %d that ends in a %s frame, expected one user frame", len(past), c.pred.Kind)
	}
	if n := 1 + len(g.Rel(RelMerge)); n > MaxMergeHeads {
		return reject(g, RuleTooManyHeads, "%d heads, at most %d can be merged", n, MaxMergeHeads)
	}
	heads, err := c.listedFrames(RelMerge, RuleListOrder, RuleListFrame)
	if err != nil {
		return err
	}
	heads = append(heads, c.pred)
	if greatest := Latest(heads); greatest.Addr != c.pred.Addr {
		return reject(g, RuleMergeForm, "past is %s, the greatest head is %s", shown(c.pred.Addr), shown(greatest.Addr))
	}
	if err := c.checkApart(heads); err != nil {
		return err
	}
	if err := c.checkNFollows(heads...); err != nil {
		return err
	}
	var work MergeWork
	if c.work != nil {
		work = c.work(c.pred.Tjp)
	}
	merged, err := Merge(heads, c.frame, c.block, work)
	if u, ok := errors.AsType[*Unmergeable](err); ok {
		return reject(g, RuleUnmergeable, "%s: %s", u.Reason, u.Detail)
	}
	if err != nil {
		return err
	}
	if merged.IbGib.Addr() != g.Addr() {
		return c.explainMerge(merged)
	}
	return nil
}

// explainMerge finds the rule by which a merge frame differs from the computed one.
func (c *candidate) explainMerge(merged Merged) *Rejection {
	g, want := c.g, merged.IbGib
	own, due := g.Rel(relDna), want.Rel(relDna)
	switch {
	case hasList(g, RelSkipped) != hasList(want, RelSkipped) || !slices.Equal(g.Rel(RelSkipped), want.Rel(RelSkipped)):
		return reject(g, RuleSkippedList, "%s is not that of the %d ops that cannot be applied", RelSkipped, len(merged.Skipped))
	case !sameField(g, want, memberTimestamp) || !sameField(g, want, memberTimestampMs):
		return reject(g, RuleMergeTime, "the time is not that of the last op in replay order")
	case hasList(g, relDna) != hasList(want, relDna) || !slices.Equal(own, due):
		return reject(g, RuleMergeDna, "a dna of %d, not the %d of the ops that the past lacked", len(own), len(due))
	}
	what := otherState(g, want)
	if what == "" {
		what = "another form" // only isTjp, or a list that is empty, is left
	}
	return reject(g, RuleMergeState, "%s than the ops lead to", what)
}

func sameField(a, b ibgib.IbGib, name string) bool {
	x, _ := a.Field(name)
	y, _ := b.Field(name)
	return ibgib.EqualValue(x, y)
}
