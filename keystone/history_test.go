package keystone_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

func snapshot(t testing.TB, h *keystone.History) []byte {
	t.Helper()
	b, err := h.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHistoryRemembersItsFrames(t *testing.T) {
	id := victim(t, true)
	for n, g := range id.frames {
		if id.Addr(n) != g.Addr() || !id.Has(g.Addr()) {
			t.Errorf("frame %d is %s", n, id.Addr(n))
		}
		if err := id.Add(g); err != nil {
			t.Errorf("a known frame: %v", err)
		}
	}
	if id.Len() != 5 || !id.Addr(5).IsZero() || !id.Addr(-1).IsZero() {
		t.Errorf("%d frames", id.Len())
	}
	stranger := addr(t, "other^"+id.frames[1].Gib())
	if id.Has(target(t, 1)) || id.Has(stranger) || id.Has(addr(t, "keystone^gib")) {
		t.Error("it has what is not there")
	}
	if n, ok := id.Signed("post", target(t, 1)); !ok || n != 2 {
		t.Errorf("signed at %d, %v", n, ok)
	}
	if _, ok := id.Signed("post", target(t, 0)); ok {
		t.Error("signed what was not")
	}
	if keys := id.CosigKeys(); len(keys) != 1 || !keys[0].Equal(public(id.Signer)) {
		t.Errorf("keys %v", keys)
	}
	if id.Status() != keystone.Valid || id.Data().N != 4 || id.Data().UUID == "" || id.Tip().Addr() != id.frames[4].Addr() {
		t.Errorf("%v %+v", id.Status(), id.Data())
	}
}

func TestHistoryResumes(t *testing.T) {
	for _, id := range []*identity{victim(t, true), victim(t, false)} {
		saved := snapshot(t, id.History)
		tip := id.Tip()
		again, err := keystone.Resume(saved, tip)
		if err != nil {
			t.Fatal(err)
		}
		if string(snapshot(t, again)) != string(saved) {
			t.Error("the snapshot changed")
		}
		next := id.sign(t, "edit", target(t, 9))
		if err := again.Add(next); err != nil {
			t.Fatal(err)
		}
		// It still knows the ids of frames that it has not seen.
		old := at(t, id.frames[1].Data(), proof("solutions", 0, "challengeId")...).Str()
		reuse := forged(t, id.sign(t, "swap", target(t, 10)), renamed(old), pool(swap, "challenges")...)
		wantRule(t, again.Add(reuse), keystone.RuleReusedID)
		if _, err := keystone.Resume(saved, next); !errors.Is(err, keystone.ErrSnapshot) {
			t.Errorf("another tip: %v", err)
		}
	}
}

func TestHistoryResumesDisputes(t *testing.T) {
	id, e := disputed(t)
	if err := id.Dispute(e); err != nil {
		t.Fatal(err)
	}
	again, err := keystone.Resume(snapshot(t, id.History), id.Tip())
	if err != nil || again.Status() != keystone.Disputed {
		t.Fatal(again.Status(), err)
	}
}

func TestResumeRefusesDamage(t *testing.T) {
	id := victim(t, true)
	saved, tip := snapshot(t, id.History), id.Tip()
	for n := range saved {
		if _, err := keystone.Resume(saved[:n], tip); !errors.Is(err, keystone.ErrSnapshot) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	if _, err := keystone.Resume(append(saved, 0), tip); !errors.Is(err, keystone.ErrSnapshot) {
		t.Errorf("a byte more: %v", err)
	}
	other := victim(t, false)
	if _, err := keystone.Resume(snapshot(t, other.History), tip); !errors.Is(err, keystone.ErrSnapshot) {
		t.Errorf("of another keystone: %v", err)
	}
	// The ids of a frame stand in order: there is one way to write a snapshot.
	var ids []string
	for _, p := range other.Data().Pools {
		for _, c := range p.Challenges {
			raw, _ := hex.DecodeString(c.ID.String())
			ids = append(ids, string(raw))
		}
	}
	slices.Sort(ids)
	swapped := strings.NewReplacer(ids[0], ids[1], ids[1], ids[0]).Replace(string(snapshot(t, other.History)))
	if _, err := keystone.Resume([]byte(swapped), other.Tip()); !errors.Is(err, keystone.ErrSnapshot) {
		t.Errorf("ids out of order: %v", err)
	}
	if _, err := keystone.Resume([]byte{1, 0, 0, 0}, ibgib.IbGib{}); !errors.Is(err, keystone.ErrSnapshot) {
		t.Errorf("nothing: %v", err)
	}
}

// A timeline cannot make a node remember more ids than the limit.
func TestHistoryOfTooManyIDs(t *testing.T) {
	id := victim(t, true)
	saved := snapshot(t, id.History)
	// The last frame brought six ids. Now it brought the smallest ones too.
	const six = 6 * 8
	head, last := saved[:len(saved)-six-1], saved[len(saved)-six:]
	more := keystone.MaxIDs
	full := binary.AppendUvarint(append([]byte(nil), head...), uint64(more+6))
	for i := range more {
		full = binary.BigEndian.AppendUint64(full, uint64(i))
	}
	h, err := keystone.Resume(append(full, last...), id.Tip())
	if err != nil {
		t.Fatal(err)
	}
	wantRule(t, h.Add(id.sign(t, "edit", target(t, 9))), keystone.RuleLimit)
}

func TestCloneChangesApart(t *testing.T) {
	id := victim(t, true)
	before := snapshot(t, id.History)
	c := id.Clone()
	g, err := id.Sign(c, keystone.Request{Claim: keystone.Claim{Verb: "swap", Target: target(t, 9)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Add(g); err != nil {
		t.Fatal(err)
	}
	if string(snapshot(t, id.History)) != string(before) || c.Len() != id.Len()+1 {
		t.Error("the clone changed its original")
	}
}

func TestUntil(t *testing.T) {
	id := victim(t, true)
	at2, err := id.Until(id.frames[2])
	if err != nil {
		t.Fatal(err)
	}
	if at2.Len() != 3 || at2.Tip().Addr() != id.frames[2].Addr() {
		t.Errorf("%d frames", at2.Len())
	}
	for _, g := range id.frames[3:] {
		if err := at2.Add(g); err != nil {
			t.Fatal(err)
		}
	}
	if string(snapshot(t, at2)) != string(snapshot(t, id.History)) {
		t.Error("the same frames made another history")
	}
	if _, err := id.Until(victim(t, false).frames[1]); err == nil {
		t.Error("until a frame that is not there")
	}
}

// disputed is a co-signed keystone of which two signers held the secret: its
// frame 4 has a rival.
func disputed(t testing.TB) (*identity, keystone.Evidence) {
	t.Helper()
	id := victim(t, true)
	thief := signer(t, 7)
	at3, err := id.Until(id.frames[3])
	if err != nil {
		t.Fatal(err)
	}
	rival, err := thief.Sign(at3, keystone.Request{Claim: keystone.Claim{Verb: "edit", Target: target(t, 66)}})
	if err != nil {
		t.Fatal(err)
	}
	var two *keystone.RivalError
	if err := id.Add(rival); !errors.As(err, &two) || two.Pred != id.frames[3].Addr() || two.Known != id.frames[4].Addr() || two.Rival != rival.Addr() {
		t.Fatalf("got %v", err)
	}
	e, err := id.Weigh(id.frames[3], id.frames[4], rival)
	if err != nil {
		t.Fatal(err)
	}
	return id, e
}

func TestEquivocation(t *testing.T) {
	id, e := disputed(t)
	if !e.Cosigned || e.Known.Addr() != id.frames[4].Addr() || e.Pred != id.frames[3].Addr() {
		t.Errorf("evidence %+v", e)
	}
	if id.Status() != keystone.Valid {
		t.Error("weighing changed the history")
	}
	for range 2 {
		if err := id.Dispute(e); err != nil {
			t.Fatal(err)
		}
	}
	if id.Status() != keystone.Disputed || id.Clone().Status() != keystone.Disputed {
		t.Error(id.Status())
	}
	if _, err := id.Sign(id.History, keystone.Request{Claim: keystone.Claim{Verb: "edit", Target: target(t, 1)}}); !errors.Is(err, keystone.ErrDisputed) {
		t.Errorf("signed all the same: %v", err)
	}
	if _, err := id.Revoke(id.History, "stolen", ibgib.Value{}); err != nil {
		t.Errorf("a disputed keystone cannot be revoked: %v", err)
	}

	// A person decides, for either side.
	theirs, err := id.Until(id.frames[3])
	if err != nil {
		t.Fatal(err)
	}
	if err := theirs.Add(e.Rival); err != nil || theirs.Status() != keystone.Valid {
		t.Errorf("for the rival: %v, %v", theirs.Status(), err)
	}
	id.Settle()
	if id.Status() != keystone.Valid {
		t.Error("for the known frame")
	}
}

// Who has seen a frame has its solutions, and can make others from them. Such a
// rival does not count.
func TestRivalsFromSeenSolutionsDoNotCount(t *testing.T) {
	id := victim(t, false)
	id.sign(t, "post", target(t, 9))
	n := len(id.frames) - 1
	for name, rival := range map[string]ibgib.IbGib{
		"another target": forged(t, id.frames[n], str(target(t, 10).String()), proof("claim", "target")...),
		"other details":  forged(t, id.frames[n], set(ibgib.Object(ibgib.Member{Name: "a", Value: ibgib.Null()})), "frameDetails"),
		"another time":   forged(t, id.frames[n], num(999), "timestampMs"),
		"the same":       id.frames[n],
	} {
		if name != "the same" {
			var two *keystone.RivalError
			if err := id.Add(rival); !errors.As(err, &two) {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err := id.Weigh(id.frames[n-1], id.frames[n], rival)
		wantRule(t, err, keystone.RuleFirstSeen)
	}

	// The same holds for a revocation of a co-signed keystone.
	ours := victim(t, true)
	ours.Key = nil
	end := ours.revoke(t)
	rival := forged(t, end, str("for another reason"), "revocationInfo", "reason")
	_, err := ours.Weigh(ours.frames[4], end, rival)
	wantRule(t, err, keystone.RuleFirstSeen)
}

// A rival that solves another challenge was made by someone with the secret.
func TestRivalsWithNewSolutionsCount(t *testing.T) {
	id := victim(t, false)
	at3, err := id.Until(id.frames[3])
	if err != nil {
		t.Fatal(err)
	}
	rival, err := id.Revoke(at3, "stolen", ibgib.Value{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := id.Weigh(id.frames[3], id.frames[4], rival)
	if err != nil {
		t.Fatal(err)
	}
	if e.Cosigned || len(e.Reveals) != 2 {
		t.Errorf("evidence %+v", e)
	}
	d, _ := keystone.Parse(rival)
	for _, s := range d.Proofs[0].Solutions {
		if !slices.Contains(e.Reveals, s.ID) {
			t.Errorf("%s is not among %v", s.ID, e.Reveals)
		}
	}
}

func TestWeighRefuses(t *testing.T) {
	id, e := disputed(t)
	// Not valid at all.
	_, err := id.Weigh(id.frames[3], id.frames[4], forged(t, e.Rival, num(1), "timestampMs"))
	wantRule(t, err, keystone.RuleCosig)
	// Not a successor of that frame.
	_, err = id.Weigh(id.frames[2], id.frames[3], e.Rival)
	wantRule(t, err, keystone.RulePast)
	// Not frames of the history.
	for _, pair := range [][2]ibgib.IbGib{{id.frames[4], {}}, {id.frames[2], id.frames[4]}, {e.Rival, id.frames[4]}, {{}, {}}} {
		var invalid *keystone.Invalid
		if _, err := id.Weigh(pair[0], pair[1], e.Rival); err == nil || errors.As(err, &invalid) {
			t.Errorf("got %v", err)
		}
	}
	if err := victim(t, false).Dispute(e); err == nil {
		t.Error("evidence about another keystone")
	}
	// What follows a rival is out of reach.
	after := id.frames[4]
	after = remade(t, after, after.Ib(), after.Data(), after.Rel8ns().With("past", []ibgib.Addr{e.Rival.Addr()}))
	wantRule(t, id.Add(after), keystone.RulePast)
}
