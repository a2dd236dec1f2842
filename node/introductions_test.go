package node

import (
	"testing"

	"github.com/ibgib/ibgib-node/protocol"
)

// mustVouch returns for whom a node vouches before another.
func mustVouch(t *testing.T, n, before *Node) []protocol.Vouched {
	t.Helper()
	list, ok := n.trust.vouched(before.PeerID())
	if !ok {
		t.Fatal("it vouches for nobody")
	}
	return list
}

// TestIntroductions lets a server vouch for two devices before each other: they trust each
// other for as long as it does, whoever a person has put out stays out, and nobody that
// was introduced introduces others.
func TestIntroductions(t *testing.T) {
	open := func() *Node { return meshNode(t, t.TempDir(), Mesh{}) }
	server, laptop, phone := open(), open(), open()
	yes, no := true, false
	for _, device := range []*Node{laptop, phone} {
		trustEachOther(t, server, device, byAddr)
		if _, err := device.SetIntroductions(t.Context(), server.PeerID().String(), Introductions{Introducer: &yes}); err != nil {
			t.Fatal(err)
		}
	}
	trusts := func(a, b *Node) bool { p := a.trust.peer(b.PeerID()); return p.Trusted && p.By == byIntroduction }
	// An introducer that is told to introduce nobody says so.
	if _, err := server.vouchFor(t.Context(), laptop.PeerID()); codeOf(err) == 0 {
		t.Error("the server vouches unasked")
	}
	for _, device := range []*Node{laptop, phone} {
		if _, err := server.SetIntroductions(t.Context(), device.PeerID().String(), Introductions{Introduce: &yes}); err != nil {
			t.Fatal(err)
		}
	}
	met := func(what string, is func() bool) {
		t.Helper()
		eventually(t, what, func() bool {
			laptop.introducers.wake() // as the next round does, or a new connection
			phone.introducers.wake()
			return is()
		})
	}
	met("the devices trust each other", func() bool { return trusts(laptop, phone) && trusts(phone, laptop) })
	if p := laptop.trust.peer(phone.PeerID()); p.IntroducedBy != server.PeerID().String() || p.Keystone != phone.self.Genesis() {
		t.Errorf("introduced %+v", p)
	}
	if changes := laptop.trust.changes(); changes[0].PeerID != phone.PeerID() || changes[0].By != byIntroduction || changes[0].Change != TrustGiven {
		t.Errorf("log %+v", changes[0])
	}
	if _, err := laptop.SetIntroductions(t.Context(), phone.PeerID().String(), Introductions{Introducer: &yes}); err == nil {
		t.Error("one that was introduced introduces others")
	}
	if list, _ := laptop.trust.vouched(server.PeerID()); len(list) != 0 {
		t.Errorf("the laptop passes on %v", list)
	}
	if _, err := laptop.Sync(t.Context(), phone.Identity().Addrs[0], nil); err != nil {
		t.Errorf("a sync of introduced nodes: %v", err)
	}

	// The server puts the phone out.
	if err := server.Untrust(t.Context(), phone.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	met("the laptop trusts the phone no longer", func() bool { return !laptop.trust.peer(phone.PeerID()).Trusted })
	if c := laptop.trust.changes()[0]; c.PeerID != phone.PeerID() || c.Change != TrustWithdrawn || c.By != byIntroduction {
		t.Errorf("log %+v", c)
	}
	if laptop.trust.denies(phone.PeerID()) {
		t.Error("whom an introducer has put out cannot come back")
	}
	if _, err := server.Trust(t.Context(), phone.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if _, err := server.SetIntroductions(t.Context(), phone.PeerID().String(), Introductions{Introduce: &yes}); err != nil {
		t.Fatal(err)
	}
	met("the laptop trusts the phone again", func() bool { return trusts(laptop, phone) })

	// A person puts it out, and no introducer brings it back.
	if err := laptop.Untrust(t.Context(), phone.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	laptop.introduced(server.PeerID(), mustVouch(t, server, laptop))
	if laptop.trust.peer(phone.PeerID()).Trusted {
		t.Error("an introducer brings back whom a person has put out")
	}
	// An introducer that is none any more takes those that it brought along.
	if !trusts(phone, laptop) {
		phone.introduced(server.PeerID(), mustVouch(t, server, phone))
	}
	if _, err := phone.SetIntroductions(t.Context(), server.PeerID().String(), Introductions{Introducer: &no}); err != nil {
		t.Fatal(err)
	}
	if phone.trust.peer(laptop.PeerID()).Trusted {
		t.Error("whom no introducer vouches for is trusted")
	}
	if _, err := phone.SetIntroductions(t.Context(), server.PeerID().String(), Introductions{Introducer: &yes}); err != nil {
		t.Fatal(err)
	}
	met("the phone trusts the laptop again", func() bool { return trusts(phone, laptop) })
	if err := phone.Untrust(t.Context(), server.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if phone.trust.peer(laptop.PeerID()).Trusted {
		t.Error("whom somebody vouches for who is not trusted is trusted")
	}
	if len(phone.trust.list()) != 0 {
		t.Errorf("the phone trusts %v", phone.trust.list())
	}
}
