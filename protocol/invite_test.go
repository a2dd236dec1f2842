package protocol_test

import (
	"context"
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

func newInviteKey(t testing.TB, secret string) protocol.InviteKey {
	t.Helper()
	k, err := protocol.NewInviteKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestInvite(t *testing.T) {
	ours, another := newInviteKey(t, "the secret of an invite"), newInviteKey(t, "the secret of another invite")
	if _, err := protocol.NewInviteKey([]byte("short")); !errors.Is(err, protocol.ErrSecret) {
		t.Errorf("a short secret: %v", err)
	}
	mesh, otherMesh := newSecret(t, secretText), newSecret(t, anotherText)
	name := func(s string) func() string { return func() string { return s } }
	for _, tt := range []struct {
		name                       string
		invite                     *protocol.InviteKey
		accepts                    bool // R knows ours
		meshI, meshR               *protocol.MeshSecret
		code                       saga.Code // what the initiator is told
		hasInvite, accepted, known bool
	}{
		{name: "the invite of R", invite: &ours, accepts: true, hasInvite: true, accepted: true},
		{name: "another invite", invite: &another, accepts: true, code: saga.CodeUntrusted, hasInvite: true},
		{name: "R has made none", invite: &ours, code: saga.CodeUntrusted, hasInvite: true},
		{name: "none is redeemed", accepts: true},
		{name: "and the same mesh secret", invite: &ours, accepts: true, meshI: mesh, meshR: mesh, hasInvite: true, accepted: true, known: true},
		{name: "and another mesh secret", invite: &ours, accepts: true, meshI: mesh, meshR: otherMesh, hasInvite: true, accepted: true},
		{name: "and a mesh secret of one", invite: &ours, accepts: true, meshI: mesh, hasInvite: true, accepted: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			type seen struct{ has, accepted, known, named bool }
			met := make(chan seen, 1)
			to := newHost(t, transports[0].listen)
			serveOn(t, to, protocol.Handlers{
				Authorize: func(context.Context, peer.ID) error { return errors.New("a stranger") },
				Saga:      func(context.Context, peer.ID, *saga.Init, saga.Conn) { t.Error("a saga was handed on") },
				Meet: func(_ context.Context, m *protocol.Meeting) {
					met <- seen{m.HasInvite(), tt.accepts && m.Accept(ours), m.Proof == protocol.ProofGood, m.Genesis == "keystone^I"}
				},
				Self: protocol.Self{Secret: tt.meshR, Genesis: name("keystone^R")},
			}, protocol.Options{})
			from := newHost(t, transports[0].listen)
			m, err := protocol.Meet(testContext(t), from, infoOf(to), protocol.Self{Secret: tt.meshI, Genesis: name("keystone^I"), Invite: tt.invite}, protocol.Options{})
			var told *saga.Error
			switch {
			case tt.code == 0 && err != nil:
				t.Fatal(err)
			case tt.code == 0:
				if m.Genesis != "keystone^R" {
					t.Errorf("R named %q", m.Genesis)
				}
				if err := m.End(testContext(t)); err != nil {
					t.Fatal(err)
				}
			case !errors.As(err, &told) || told.Code != tt.code || !told.Remote:
				t.Errorf("got %v, want %s from the other side", err, tt.code)
			}
			if got, want := <-met, (seen{tt.hasInvite, tt.accepted, tt.known, true}); got != want {
				t.Errorf("R saw %+v, want %+v", got, want)
			}
		})
	}
}

// A responder that does not know the secret cannot answer a proof of it, whatever it
// sends: its keystone would be trusted for nothing.
func TestInviteDemandsAProofFromTheOtherSide(t *testing.T) {
	ours := newInviteKey(t, "the secret of an invite")
	own := fill('r')
	for name, answer := range map[string]func(*protocol.Hello) *protocol.Hello{
		"no proof": func(*protocol.Hello) *protocol.Hello { return &protocol.Hello{Nonce: own} },
		"its own proof": func(h *protocol.Hello) *protocol.Hello {
			return &protocol.Hello{Nonce: own, InviteProof: h.InviteProof}
		},
		"a made-up proof": func(*protocol.Hello) *protocol.Hello {
			return &protocol.Hello{Nonce: own, InviteProof: make([]byte, 32)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, transports[0].listen)
			h.SetStreamHandler(protocol.ID, func(stream network.Stream) {
				defer stream.Close()
				readHello(t, stream)
				writeFrame(t, stream, &protocol.Hello{Nonce: own, Genesis: "keystone^R"})
				second := readHello(t, stream)
				if len(second.InviteProof) != 32 {
					t.Errorf("a proof of %d bytes", len(second.InviteProof))
				}
				writeFrame(t, stream, answer(second))
			})
			_, err := protocol.Meet(testContext(t), newHost(t, transports[0].listen), infoOf(h), protocol.Self{Invite: &ours}, protocol.Options{})
			wantCode(t, err, saga.CodeUntrusted)
		})
	}
}
