package node

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// minted is a timeline of which a peer makes heads by the thousand, all above one frame.
type minted struct {
	base  ibgib.IbGib
	all   []ibgib.IbGib // dependencies first
	heads []ibgib.IbGib
}

// mint adds a head of that time which writes one member.
func (m *minted) mint(t *testing.T, at time.Time, name, value string) {
	t.Helper()
	res, err := ibgib.Mut8(m.base, ibgib.Mut8Options{
		Patch:    ibgib.Object(ibgib.Member{Name: name, Value: ibgib.String(value)}),
		NCounter: true, Dna: true, LinkedRel8ns: []string{"past", "dna"},
	}, ibgib.Env{Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	m.all = append(m.all, res.All()...)
	m.heads = append(m.heads, res.New)
}

// brought lets the victim begin a saga, in which the peer names some heads and sends
// what it lacks of them, and returns the victim's entry.
func (m *minted) brought(t *testing.T, r *arena, heads []ibgib.IbGib) blockstore.Entry {
	t.Helper()
	a := r.newAttack(t)
	a.by = r.evil
	a.blocks, a.offers = m.all, nil
	for _, g := range a.blocks {
		a.offers = append(a.offers, g.Hash())
	}
	tjp, _ := timeline.Claims(m.base)
	root, _ := tjp.Hash()
	a.entry = timeline.Entry{Root: root}
	for _, g := range heads {
		a.entry.Heads = append(a.entry.Heads, g.Hash())
	}
	slices.SortFunc(a.entry.Heads, func(a, b ibgib.Hash) int { return bytes.Compare(a[:], b[:]) })
	if err := a.talkBack(func(a *attack) {
		if err := a.stream.SetDeadline(time.Now().Add(10 * patience)); err != nil { // thousands of blocks
			t.Fatal(err)
		}
		ack := a.ack()
		ack.NeedEntries = !a.complete
		a.say(ack)
		for !next[*saga.Delta](a).WantsDone {
		}
		if !a.complete {
			a.say(a.delta(saga.Delta{WantsDone: true}))
		}
		a.giveLacking()
		a.say(a.delta(saga.Delta{Done: true}))
		c := next[*saga.Commit](a)
		a.say(&saga.Commit{ID: a.id, Digest: c.Digest, Count: c.Count})
	}); err != nil {
		t.Fatal(err)
	}
	return r.entryOf(t, m.base)
}

// TestMintedHeads lets a trusted peer make as many heads of a timeline as can be merged,
// one of them so large that to merge all of them is more than is done while others wait,
// then more heads dated before all others, then more heads than can be merged. Nothing of
// it is lost, and when the sync is over this node presents what everyone presents.
// Other timelines go on all the time, and a person ends it.
func TestMintedHeads(t *testing.T) {
	// The victim is not started, so that it has taken up what is undecided when a sync ends.
	r := &arena{victim: openHere(t), friend: openHere(t), evil: newPeer(t)}
	if err := r.friend.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, trust := range []struct{ who, whom string }{{"victim", r.evil.ID().String()}, {"victim", r.friend.PeerID().String()}, {"friend", r.victim.PeerID().String()}} {
		n := map[string]*Node{"victim": r.victim, "friend": r.friend}[trust.who]
		if _, err := n.Trust(t.Context(), trust.whom); err != nil {
			t.Fatal(err)
		}
	}
	note, err := r.victim.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "note"})
	if err != nil {
		t.Fatal(err)
	}
	honest := func() SyncResult {
		t.Helper()
		res, err := r.victim.Sync(t.Context(), r.friend.Identity().Addrs[0], nil)
		if err != nil || res.Converged != (res.LeftOut == 0) {
			t.Fatalf("an honest saga: %+v, %v", res, err)
		}
		return res
	}
	honest()
	// Both change the note, and its branches are merged at once, whatever waits.
	goesOn := func() {
		t.Helper()
		for i, n := range []*Node{r.victim, r.friend} {
			if _, err := n.Mut8(t.Context(), note.Tjp, ibgib.Mut8Options{
				Patch: ibgib.Object(ibgib.Member{Name: fmt.Sprint("side ", i), Value: ibgib.String("x")}),
			}); err != nil {
				t.Fatal(err)
			}
		}
		honest()
		tl, err := r.victim.Latest(t.Context(), note.Tjp)
		if other, otherErr := r.friend.Latest(t.Context(), note.Tjp); err != nil || otherErr != nil || !tl.Merged || tl.Latest != other.Latest {
			t.Errorf("the victim presents %+v, %v, the friend %+v, %v", tl, err, other, otherErr)
		}
	}

	m := &minted{all: blockstoretest.NewMaker(1<<41).Timeline(t, "minted")}
	m.base = blockstoretest.Last(m.all)
	now := time.UnixMilli(1_700_000_000_000)
	// Each later change is made to a state of this size: 100 MB in all, of which a third is
	// done while others wait.
	m.mint(t, now, "large", strings.Repeat("x", 100<<10))
	for i := range 999 {
		m.mint(t, now.Add(time.Duration(i+1)*time.Second), fmt.Sprint("member ", i), "x")
	}
	// merges wants what everyone presents of so many heads.
	merges := func(e blockstore.Entry, heads int) {
		t.Helper()
		if len(e.Heads) != heads {
			t.Fatalf("%d heads, want %d", len(e.Heads), heads)
		}
		goesOn()
		frames, err := r.victim.frames(t.Context(), e.Heads)
		if err != nil {
			t.Fatal(err)
		}
		want, err := r.victim.merge(t.Context(), frames)
		if err != nil {
			t.Fatal(err)
		}
		if !e.Merged || e.Latest != want.Frame.Addr {
			t.Errorf("latest %s, merged %t, %+v, want %s", e.Latest, e.Merged, e.Conflict, want.Frame.Addr)
		}
	}
	merges(m.brought(t, r, m.heads), 1000)
	for i := range 10 {
		m.mint(t, now.Add(-time.Hour), fmt.Sprint("before ", i), "x")
	}
	merges(m.brought(t, r, m.heads[1000:]), 1010)

	for i := range 20 {
		m.mint(t, now, fmt.Sprint("too many ", i), "x")
	}
	e := m.brought(t, r, m.heads[1010:])
	if e.Merged || e.Conflict.Reason != timeline.ReasonTooManyHeads || len(e.Heads) != 1030 {
		t.Fatalf("%d heads, merged %t, %+v", len(e.Heads), e.Merged, e.Conflict)
	}
	if res := honest(); res.LeftOut != 1 {
		t.Errorf("%d timelines are left out of a saga", res.LeftOut)
	}
	goesOn()
	kept, err := r.victim.Resolve(t.Context(), m.base.Addr(), Resolution{Keep: e.Latest})
	if err != nil {
		t.Fatal(err)
	}
	if res := honest(); res.LeftOut != 0 {
		t.Errorf("%d timelines are left out of a saga", res.LeftOut)
	}
	if tl, err := r.friend.Latest(t.Context(), m.base.Addr()); err != nil || tl.Latest != kept.Addr || len(tl.Heads) != 1 {
		t.Errorf("the friend presents %+v, %v, want %s", tl, err, kept.Addr)
	}
	for _, n := range []*Node{r.victim, r.friend} {
		if report, err := n.Verify(t.Context(), nil); err != nil || len(report.Problems) > 0 {
			t.Errorf("verify: %+v, %v", report, err)
		}
	}
}
