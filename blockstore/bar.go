package blockstore

import (
	"context"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// RuleBarred keeps heads where they are that a stage may not move (Stage.Bar).
const RuleBarred = "not-followed-from"

// Bar lets Commit leave the heads of some timelines where they are. What would have
// become one of them is listed as rejected by RuleBarred, with this detail; it stays as
// what a discarded stage leaves, so a later stage that is not barred may still bring or
// touch it.
func (st *Stage) Bar(roots []ibgib.Hash, detail string) {
	st.barred, st.barredWhy = roots, detail
}

// applyBar forgets the candidates of barred timelines that would move a head.
func (st *Stage) applyBar(ctx context.Context, w *writer) error {
	for _, root := range st.barred {
		list, err := st.candidatesOf(w, root)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			continue
		}
		old, heads, err := st.headsWith(ctx, w, root, list)
		if err != nil {
			return err
		}
		if slices.Equal(newEntry(heads).Heads, old.Heads) {
			continue
		}
		for _, f := range heads {
			if slices.Contains(old.Heads, f.Addr) {
				continue
			}
			st.s.tellRejected(st.share, RuleBarred)
			if len(st.rejected) < maxListed {
				st.rejected = append(st.rejected, timeline.Rejection{
					Addr: f.Addr, Rule: RuleBarred, Version: timeline.RulesVersion, Detail: st.barredWhy,
				})
			}
		}
		st.rejects = true
		delete(st.candidates, root)
		if st.spilled {
			w.remove(stageKey(prefixStaged, st.id, root))
		}
	}
	st.barred = nil
	return nil
}
