package node

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// A peer that has proved no keystone yet is told nothing of shares, not even of one that
// it is a member of.
func TestSharesBeforeTheProof(t *testing.T) {
	n := startHere(t)
	h := newPeer(t)
	if _, err := n.Trust(t.Context(), h.ID().String()); err != nil {
		t.Fatal(err)
	}
	ours, err := n.CreateShare(t.Context(), ShareOptions{Name: "ours", Members: []string{h.ID().String()}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(id string) *saga.Error {
		c, err := protocol.Dial(t.Context(), h, infoOf(t, n), protocol.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Abort()
		i := &saga.Init{ID: saga.ID{7}, Fingerprint: fingerprintOfNone(), Complete: true, Credit: saga.InitialCredit, Shares: []string{id}}
		if _, err := c.Send(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		m, _, err := c.Receive(t.Context())
		if e, is := m.(*saga.Error); is {
			return e
		}
		var e *saga.Error
		if !errors.As(err, &e) {
			t.Fatalf("%v %v", m, err)
		}
		return e
	}
	own, absent := ask(ours.ID), ask("0123456789abcdef0123456789abcdef")
	if len(n.shares.offerList()) > 0 {
		t.Error("what an unproved peer names is listed as an offer")
	}
	if own.Code != saga.CodeUntrusted || own.Code != absent.Code || own.Text != absent.Text {
		t.Errorf("an unproved peer tells a share of its own from none: %v, %v", own, absent)
	}
}

// introduceFalsely has a server, which a laptop takes for an introducer, vouch before it
// for a peer, with a keystone that is not that of the peer.
func introduceFalsely(t *testing.T, server, laptop *Node, p peer.ID, with ibgib.Addr) {
	t.Helper()
	if _, err := server.Trust(t.Context(), p.String()); err != nil {
		t.Fatal(err)
	}
	if _, err := server.trust.bind(p, with); err != nil { // the lie
		t.Fatal(err)
	}
	trustEachOther(t, server, laptop, byAddr)
	yes := true
	if _, err := laptop.SetIntroductions(t.Context(), server.PeerID().String(), Introductions{Introducer: &yes}); err != nil {
		t.Fatal(err)
	}
	if _, err := server.SetIntroductions(t.Context(), laptop.PeerID().String(), Introductions{Introduce: &yes}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the peer is introduced", func() bool { laptop.introducers.wake(); return laptop.trust.has(p) })
}

// An introducer names a keystone of its own for a peer. Once a person trusts that peer, what
// the introducer has said of it counts no more.
func TestIntroducerNamesAnotherKeystone(t *testing.T) {
	server, laptop, phone := startHere(t), startHere(t), startHere(t)
	introduceFalsely(t, server, laptop, phone.PeerID(), server.self.Genesis())
	trustEachOther(t, laptop, phone, byID)
	no := false
	if _, err := laptop.SetIntroductions(t.Context(), server.PeerID().String(), Introductions{Introducer: &no}); err != nil {
		t.Fatal(err)
	}
	if _, err := laptop.Sync(t.Context(), phone.Identity().Addrs[0], nil); err != nil {
		t.Errorf("a peer that a person trusts cannot sync: %v", err)
	}
	// The introducer, which is none any more, revokes its own keystone.
	if _, err := server.self.Revoke(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	server.announce(t.Context())
	eventually(t, "the revocation", func() bool { return !laptop.trust.has(server.PeerID()) })
	if !laptop.trust.has(phone.PeerID()) {
		t.Error("a former introducer has put out a peer that a person trusts")
	}
}

// An introducer names the keystone of a friend for a peer of its own, which then asks for
// it, and has not proved that it is its own.
func TestKeystonesBeforeTheProof(t *testing.T) {
	server, laptop, friend := startHere(t), startHere(t), startHere(t)
	trustEachOther(t, laptop, friend, byAddr)
	syncs(t, laptop, friend)
	spy := newPeer(t)
	introduceFalsely(t, server, laptop, spy.ID(), friend.self.Genesis())
	if err := spy.Connect(t.Context(), infoOf(t, laptop)); err != nil {
		t.Fatal(err)
	}
	got, err := protocol.AskKeystone(t.Context(), spy, laptop.PeerID(), friend.self.Genesis().String(), ibgib.Hash{}, protocol.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Frames) > 0 {
		t.Error("a peer that has proved nothing gets the keystone of another")
	}
}

// An introducer names the keystone of a friend for a peer. When the friend revokes it, the
// friend is put out; the peer has lost only what it was introduced for, and comes back as
// soon as the introducer names its own keystone.
func TestRevocationOfWhatAnIntroducerNames(t *testing.T) {
	server, laptop, phone, friend := startHere(t), startHere(t), startHere(t), startHere(t)
	trustEachOther(t, laptop, friend, byAddr)
	syncs(t, laptop, friend)
	theirs := friend.self.Genesis()
	introduceFalsely(t, server, laptop, phone.PeerID(), theirs)
	if _, err := phone.Trust(t.Context(), laptop.Identity().Addrs[0]); err != nil {
		t.Fatal(err)
	}

	if _, err := friend.RevokeKeystone(t.Context(), "stolen"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the revocation", func() bool { return laptop.trust.denies(friend.PeerID()) })
	if p := known(laptop, phone); p.Trusted || p.Denied {
		t.Errorf("the phone %+v", p)
	}
	log, err := laptop.TrustLog(t.Context())
	if err != nil || !slices.ContainsFunc(log, func(c TrustChange) bool {
		return c.PeerID == phone.PeerID() && c.Change == TrustWithdrawn && c.By == byRevocation && c.IntroducedBy == server.PeerID()
	}) {
		t.Errorf("log %+v, %v", log, err)
	}
	laptop.introduced(server.PeerID(), mustVouch(t, server, laptop))
	if known(laptop, phone).Trusted {
		t.Error("a peer is trusted by a keystone that is revoked")
	}
	if err := server.trust.rotate(phone.PeerID(), theirs, phone.self.Genesis()); err != nil {
		t.Fatal(err)
	}
	laptop.introduced(server.PeerID(), mustVouch(t, server, laptop))
	if p := known(laptop, phone); !p.Trusted || p.Keystone != phone.self.Genesis() {
		t.Errorf("the phone %+v", p)
	}
	syncs(t, laptop, phone)

	// Who is put out by a person stays out.
	if err := laptop.Untrust(t.Context(), phone.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	laptop.introduced(server.PeerID(), mustVouch(t, server, laptop))
	if p := known(laptop, phone); p.Trusted || !p.Denied {
		t.Errorf("the phone %+v", p)
	}
}

// What introducers say does not push out of the log what a person has done, nor what one of
// them says all that others have said.
func TestIntroducersDoNotFloodTheTrustLog(t *testing.T) {
	list, err := loadTrust(t.TempDir()+"/trust.json", time.Now, func(peer.ID, PeerChange) {})
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	introducers := []peer.ID{"first", "second", "third"}
	for _, p := range introducers {
		if err := list.add(p); err != nil {
			t.Fatal(err)
		}
		if err := list.setIntroductions(p, Introductions{Introducer: &yes}); err != nil {
			t.Fatal(err)
		}
	}
	if err := list.add("put out"); err != nil {
		t.Fatal(err)
	}
	if _, err := list.remove("put out", byHand); err != nil {
		t.Fatal(err)
	}
	answer := func(by peer.ID, round, n int) []protocol.Vouched {
		var all []protocol.Vouched
		for i := range n {
			all = append(all, protocol.Vouched{Peer: peer.ID(fmt.Sprint(by, " ", round, " ", i)), Genesis: junk(i).Addr().String()})
		}
		return all
	}
	if _, _, err := list.introduced("second", answer("second", 0, 3)); err != nil {
		t.Fatal(err)
	}
	for round := range 10 {
		if _, _, err := list.introduced("first", answer("first", round, protocol.MaxVouched)); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (own int, of map[peer.ID]int) {
		of = make(map[peer.ID]int)
		for _, c := range list.changes() {
			if c.IntroducedBy == "" {
				own++
			} else {
				of[c.IntroducedBy]++
			}
		}
		return own, of
	}
	own, of := count()
	if own != 5 || of["second"] != 3 || of["first"] != maxIntroducedByOne {
		t.Errorf("the log has %d changes of a person and of introducers %v", own, of)
	}
	if newest := list.changes()[0]; newest.IntroducedBy != "first" {
		t.Errorf("the newest is %+v", newest)
	}
	for _, p := range introducers {
		if _, _, err := list.introduced(p, answer(p, 99, protocol.MaxVouched)); err != nil {
			t.Fatal(err)
		}
	}
	if own, of = count(); own != 5 || of["first"]+of["second"]+of["third"] != maxIntroduced || of["third"] != maxIntroducedByOne {
		t.Errorf("the log has %d changes of a person and of introducers %v", own, of)
	}
	// Whom a person puts out counts as what a person has done.
	of3 := answer("third", 99, 1)[0].Peer
	if _, err := list.remove(of3, byHand); err != nil {
		t.Fatal(err)
	}
	if own, _ = count(); own != 6 {
		t.Errorf("the log has %d changes of a person", own)
	}
}
