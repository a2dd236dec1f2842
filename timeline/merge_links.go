package timeline

import (
	"bytes"
	"slices"
	"strings"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Rel8n names of the merge rules; 1 is their version.
const (
	RelMerge   = "ibgib.merge.1"   // on a merge or keep frame: the other heads
	RelSkipped = "ibgib.skipped.1" // on a merge frame: the ops that could not be applied

	rulesPrefix   = "ibgib."
	mergePrefix   = rulesPrefix + "merge."
	skippedPrefix = rulesPrefix + "skipped."
)

// KeepDna is the address of the dna of every keep frame,
// {ib: keep, data: {type: keep}, rel8ns: {ancestor: [keep^gib]}}.
const KeepDna = "keep^2B87AFD378234891A25457458754F859E4CDB3F450EC0668FF5C3501E35C208D"

// MaxMergeHeads is the greatest number of heads that a merge frame unites.
const MaxMergeHeads = 1024

// checkMergeNames refuses rel8n names of merge rules that we do not know and
// notes whether g has lists of those that we know.
func (c *candidate) checkMergeNames() *Rejection {
	for _, name := range c.g.RelNames(rulesPrefix) {
		switch {
		case name == RelMerge || name == RelSkipped:
			_, some := c.g.LastRel(name)
			c.hasMergeList = c.hasMergeList || some
		case strings.HasPrefix(name, mergePrefix) || strings.HasPrefix(name, skippedPrefix):
			return reject(c.g, RuleUnknownMerge, "the rel8n name %s", clip(name))
		}
	}
	return nil
}

// classify tells what a frame is by its merge lists and those of its predecessor,
// one of which has some: a non-empty ibgib.merge.1 that differs from the
// predecessor's makes it a keep frame, if its newest dna is KeepDna, or a merge
// frame. Every other frame has to repeat both lists of its predecessor. pred is the
// predecessor's block.
func (c *candidate) classify() (kind FrameKind, pred ibgib.IbGib, err error) {
	if pred, err = c.mustRead(c.pred.Addr); err != nil {
		return KindNone, pred, err
	}
	own := c.g.Rel(RelMerge)
	if inherits := slices.Equal(own, pred.Rel(RelMerge)); !inherits && len(own) > 0 {
		if dna, ok := c.g.LastRel(relDna); ok && dna.String() == KeepDna {
			return KindKeep, pred, nil
		}
		return KindMerge, pred, nil
	} else if !inherits {
		return KindNone, pred, reject(c.g, RuleMergeListChange, "empties the %s of its predecessor", RelMerge)
	}
	if !slices.Equal(c.g.Rel(RelSkipped), pred.Rel(RelSkipped)) {
		return KindNone, pred, reject(c.g, RuleMergeListChange, "changes the %s of its predecessor", RelSkipped)
	}
	return KindUser, pred, nil
}

// checkKeep checks the form of a keep frame on the ibGib pred.
func (c *candidate) checkKeep(pred ibgib.IbGib) error {
	g := c.g
	if past, dna := g.Rel(relPast), g.Rel(relDna); len(past) != 1 || len(dna) != 1 {
		return reject(g, RuleKeepForm, "a past of %d and a dna of %d, expected one each", len(past), len(dna))
	}
	if hasList(g, RelSkipped) {
		return reject(g, RuleKeepForm, "a keep frame with %s", RelSkipped)
	}
	listed, err := c.listedFrames(RelMerge, RuleListOrder, RuleListFrame)
	if err != nil {
		return err
	}
	if c.pred.Kind == KindMerge {
		// It accepts the merge: the list is that of the heads that were merged.
		merged, err := Parents(Frame{Addr: g.Addr(), Pred: c.pred.Addr}, c.frame)
		if err != nil {
			return err
		}
		if !slices.Equal(merged, g.Rel(RelMerge)) {
			return reject(g, RuleKeepForm, "%s of a keep frame on a merge frame does not name its %d heads", RelMerge, len(merged))
		}
	} else if err := c.checkApart(append(slices.Clone(listed), c.pred)); err != nil {
		return err
	}
	if err := c.checkNFollows(append(listed, c.pred)...); err != nil {
		return err
	}
	if _, ok := ibgib.StampOf(g); !ok {
		return reject(g, RuleKeepTime, "no readable time")
	}
	return c.checkSameState(pred)
}

// listedFrames looks up the frames of one of the merge lists, which has to be
// sorted, without repeats, and of user frames of this timeline.
func (c *candidate) listedFrames(rel, orderRule, frameRule string) ([]Frame, error) {
	list := c.g.Rel(rel)
	for i := 1; i < len(list); i++ {
		if ibgib.CompareAddr(list[i-1], list[i]) >= 0 {
			return nil, reject(c.g, orderRule, "%s: %s is not after %s", rel, shown(list[i]), shown(list[i-1]))
		}
	}
	frames := make([]Frame, 0, len(list)+1)
	for _, a := range list {
		if a.IsPrimitive() {
			return nil, reject(c.g, frameRule, "%s names the primitive %s", rel, shown(a))
		}
		f, ok, err := c.frame(a)
		if err != nil {
			return nil, err
		}
		if !ok || f.Addr != a || f.Tjp != c.pred.Tjp || !f.IsUser() {
			return nil, reject(c.g, frameRule, "%s names %s, not an admitted user frame of this timeline", rel, shown(a))
		}
		frames = append(frames, f)
	}
	return frames, nil
}

// checkApart wants none of the frames to be in the history of another.
func (c *candidate) checkApart(heads []Frame) error {
	maximal, err := Maximal(heads, c.frame)
	if err != nil {
		return err
	}
	for _, f := range heads {
		if _, ok := findFrame(maximal, f.Addr); !ok {
			return reject(c.g, RuleListHistory, "%s is in the history of another head", shown(f.Addr))
		}
	}
	if len(maximal) != len(heads) {
		return reject(c.g, RuleListHistory, "%s repeats the predecessor", RelMerge)
	}
	return nil
}

// mustRead reads the block of an admitted frame.
func (c *candidate) mustRead(addr ibgib.Addr) (ibgib.IbGib, error) {
	g, err := c.block(addr)
	if err == nil && g.IsZero() {
		err = &MissingError{Addr: addr, Referrer: c.g.Addr()}
	}
	return g, err
}

// hasList reports whether g has a list of that name, an empty one too.
func hasList(g ibgib.IbGib, name string) bool {
	return slices.ContainsFunc(g.Rel8ns(), func(r ibgib.Rel8n) bool { return r.Name == name })
}

// checkSameState wants g, a keep frame, to have the state of pred.
func (c *candidate) checkSameState(pred ibgib.IbGib) error {
	if what := otherState(c.g, pred); what != "" {
		return reject(c.g, RuleKeepState, "%s than the predecessor's", what)
	}
	return nil
}

// otherState says which part of the state, or the ancestor, is another in a than
// in b; "" if none is.
func otherState(a, b ibgib.IbGib) string {
	switch {
	case a.Ib() != b.Ib():
		return "another ib"
	case !sameStateData(a, b):
		return "other data"
	case !slices.EqualFunc(stateRel8ns(a), stateRel8ns(b), func(x, y ibgib.Rel8n) bool {
		return x.Name == y.Name && slices.Equal(x.Addrs, y.Addrs)
	}):
		return "other rel8ns"
	}
	return ""
}

// sameStateData compares data without the members that every frame sets anew.
func sameStateData(a, b ibgib.IbGib) bool {
	bytesA, isBytesA := a.Bytes()
	bytesB, isBytesB := b.Bytes()
	if isBytesA || isBytesB {
		return isBytesA == isBytesB && bytes.Equal(bytesA, bytesB)
	}
	return bytes.Equal(stateData(a).Append(nil), stateData(b).Append(nil))
}

func stateData(g ibgib.IbGib) ibgib.Value {
	v := g.Data()
	if v.Kind() == ibgib.KindObject {
		v = ibgib.Object(slices.DeleteFunc(slices.Clone(v.Members()), func(m ibgib.Member) bool { return isOwnMember(m.Name) })...)
	}
	if v.Kind() == ibgib.KindAbsent || v.Kind() == ibgib.KindObject && len(v.Members()) == 0 {
		return ibgib.Null()
	}
	return v
}

// stateRel8ns returns the lists that a keep frame takes over from its
// predecessor: the state's, and ancestor. (tjp is checked before.)
func stateRel8ns(g ibgib.IbGib) ibgib.Rel8ns {
	return slices.DeleteFunc(g.Rel8ns(), func(r ibgib.Rel8n) bool {
		return isOwnRel8n(r.Name) && r.Name != relAncestor
	})
}
