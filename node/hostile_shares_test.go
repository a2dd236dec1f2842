package node

import (
	"bytes"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// TestHostileMember lets a member of one share try for what is in another one, by every
// way that a saga has. It gets nothing of it: neither a block, nor an address, nor a sign
// that it is there, in all the bytes that come to it.
func TestHostileMember(t *testing.T) {
	r := newArena(t, func(*Node) {})
	r.heard = new(hearing)
	ours, err := r.victim.CreateShare(t.Context(), ShareOptions{Name: "ours", Members: []string{r.evil.ID().String()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.victim.With(ChangeOptions{Share: "ours"}).Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "ours"}); err != nil {
		t.Fatal(err)
	}
	theirs, err := r.victim.CreateShare(t.Context(), ShareOptions{Name: "theirs", Members: []string{r.friend.PeerID().String()}})
	if err != nil {
		t.Fatal(err)
	}
	// The same timeline is also in the store of the attacker: it guesses well.
	m := blockstoretest.NewMaker(99)
	private := m.Timeline(t, "private")
	private = append(private, m.Mut8(t, blockstoretest.Last(private), "secret", "the text that nobody else may read")...)
	head := blockstoretest.Last(private)
	sh, err := r.victim.shares.byName("theirs")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.fill(t, sh, private); err != nil {
		t.Fatal(err)
	}
	tjp, _ := timeline.Claims(head)
	root, _ := tjp.Hash()

	inShare := func(a *attack, ids ...string) *saga.Init {
		i := a.init()
		i.Shares = ids
		return i
	}
	// linking makes what is offered a timeline that links to the private head.
	linking := func(a *attack) {
		all := a.maker.Timeline(a.T, "linking")
		a.offer(append(all, a.maker.Rel8(a.T, blockstoretest.Last(all), "about", head.Addr())...))
	}
	absent := "0123456789abcdef0123456789abcdef"
	for _, c := range []hostileCase{
		{name: "the share of others", want: saga.CodeRefused, attack: func(a *attack) { a.say(inShare(a, theirs.ID)) }},
		{name: "a share that is not there", want: saga.CodeRefused, attack: func(a *attack) { a.say(inShare(a, absent)) }},
		{name: "its own share and that of others", want: saga.CodeUnsupported, attack: func(a *attack) { a.say(inShare(a, ours.ID, theirs.ID)) }},
		{name: "an empty name", want: saga.CodeRefused, attack: func(a *attack) { a.say(inShare(a, "")) }},
		{name: "a link to what lies in another share", want: saga.CodeProtocol, attack: func(a *attack) {
			linking(a)
			a.open(inShare(a, ours.ID))
			a.asked()
			a.say(a.delta(saga.Delta{Items: full(a.blocks...)}))
		}},
		{name: "the same by the default share", want: saga.CodeProtocol, attack: func(a *attack) {
			linking(a)
			a.open(a.init())
			a.asked()
			a.say(a.delta(saga.Delta{Items: full(a.blocks...)}))
		}},
		{name: "a want of it", want: saga.CodeProtocol, attack: func(a *attack) {
			a.open(inShare(a, ours.ID))
			a.say(a.delta(saga.Delta{Wants: []saga.Want{{Root: root, Heads: []ibgib.Hash{head.Hash()}}}, WantsDone: true}))
		}},
		{name: "its root as the scope", ends: true, attack: func(a *attack) {
			i := inShare(a, ours.ID)
			i.Roots, i.Entries, i.Count = []ibgib.Hash{root}, nil, 0
			i.Fingerprint = fingerprintOfNone()
			a.say(i)
			if ack := next[*saga.Ack](a); !ack.Equal {
				a.Errorf("the victim shows that it has it: %+v", ack)
			}
		}},
		{name: "what it has, offered", want: saga.CodeProtocol, attack: func(a *attack) {
			a.open(inShare(a, ours.ID))
			hashes := []ibgib.Hash{}
			for _, g := range private {
				hashes = append(hashes, g.Hash())
			}
			a.say(a.delta(saga.Delta{Offers: hashes}))
			for {
				if d := next[*saga.Delta](a); d.Answer != nil {
					for i := range hashes {
						if d.Answer.Lacks[i/8]&(1<<(i%8)) == 0 {
							a.Errorf("the victim says that block %d is there", i)
						}
					}
					break
				}
			}
			a.say(a.delta(saga.Delta{Done: true}))
		}},
	} {
		r.respond(t, r.evil, c)
	}
	got := r.heard.got.Bytes()
	for what, secret := range map[string][]byte{
		"the text": []byte("nobody else may read"), "the id of the share": []byte(theirs.ID), "its name": []byte("theirs"),
		"the address": []byte(head.Gib()),
	} {
		if bytes.Contains(got, secret) {
			t.Errorf("the attacker got %s", what)
		}
	}
	for _, g := range private {
		if h := g.Hash(); bytes.Contains(got, h[:]) {
			t.Errorf("the attacker got the hash of %s", g.Addr())
		}
	}
	if len(got) == 0 {
		t.Error("nothing was recorded")
	}
	report, err := r.victim.Verify(t.Context(), nil)
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("verify: %+v, %v", report, err)
	}
}

// fill puts ibGibs into a share of the victim.
func (r *arena) fill(t *testing.T, sh *share, gs []ibgib.IbGib) error {
	t.Helper()
	stage, err := r.victim.store.NewStage(sh.number, blockstore.Origin{})
	if err != nil {
		return err
	}
	if _, err := stage.Put(t.Context(), gs); err != nil {
		return err
	}
	_, err = stage.Commit(t.Context())
	return err
}

func fingerprintOfNone() [32]byte {
	var fp timeline.Fingerprint
	return fp.Sum()
}
