package node

import (
	"bytes"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// TestStrangerLearnsNothing lets a peer that is not trusted ask for what a node has, by
// all that a stream opens with. It is told that it is not trusted; of what is stored there is
// nothing in all the bytes that come to it.
func TestStrangerLearnsNothing(t *testing.T) {
	r := newArena(t, func(*Node) {})
	r.heard = new(hearing)
	m := blockstoretest.NewMaker(98)
	private := m.Timeline(t, "private")
	private = append(private, m.Mut8(t, blockstoretest.Last(private), "secret", "the text that nobody else may read")...)
	if err := r.fill(t, r.victim.shares.def, private); err != nil {
		t.Fatal(err)
	}
	head := blockstoretest.Last(private)
	if tl, err := r.victim.Latest(t.Context(), head.Addr()); err != nil || tl.Latest != head.Addr() {
		t.Fatalf("the victim has %+v, %v", tl, err)
	}
	tjp, _ := timeline.Claims(head)
	root, _ := tjp.Hash()
	for _, c := range []struct {
		name string
		open func(a *attack) saga.Message
	}{
		{"init", func(a *attack) saga.Message { return a.init() }},
		{"init of a timeline", func(a *attack) saga.Message {
			i := a.init()
			i.Roots, i.Entries, i.Count = []ibgib.Hash{root}, nil, 0
			i.Fingerprint = fingerprintOfNone()
			return i
		}},
		{"notice", func(a *attack) saga.Message {
			return &protocol.Notice{Timelines: []timeline.Entry{{Root: root, Heads: []ibgib.Hash{root}}}}
		}},
		{"keystone", func(a *attack) saga.Message {
			return &protocol.KeystoneFrames{Genesis: r.victim.self.Genesis().String()}
		}},
		{"vouch", func(a *attack) saga.Message { return &protocol.Vouch{} }},
	} {
		r.respond(t, r.stranger, hostileCase{name: c.name, want: saga.CodeUntrusted, attack: func(a *attack) { a.say(c.open(a)) }})
	}
	got := r.heard.got.Bytes()
	if len(got) == 0 {
		t.Fatal("nothing was heard")
	}
	for _, g := range private {
		h := g.Hash()
		for what, secret := range map[string][]byte{"the hash": h[:], "the gib": []byte(g.Gib()), "the text": []byte("nobody else may read")} {
			if bytes.Contains(got, secret) {
				t.Errorf("the stranger got %s of %s", what, g.Addr())
			}
		}
	}
}
