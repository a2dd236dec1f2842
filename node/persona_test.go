package node

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/protocol"
)

// persona is what a peer that is no Node needs to be believed: a keystone and a session.
// Its fields may be changed to what should not be believed.
type persona struct {
	host    host.Host
	primary *chain
	session *chain

	// connects signs the nonces of a meeting; sign is the default.
	connects func(m *protocol.Meeting) ibgib.Addr
	// shows, if not nil, changes what is shown.
	shows func([]*protocol.KeystoneFrames) []*protocol.KeystoneFrames
}

// chain is a keystone with all of its frames.
type chain struct {
	keystone.Signer
	*keystone.History
	frames []ibgib.IbGib
}

func newChain(t testing.TB, h host.Host, begin func(keystone.Signer) (ibgib.IbGib, error)) *chain {
	t.Helper()
	raw, err := h.Peerstore().PrivKey(h.ID()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := keystone.NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &chain{Signer: keystone.Signer{Secret: secret, Key: ed25519.PrivateKey(raw), Env: testEnv(), Draws: keystone.Random(rand.Reader)}}
	first, err := begin(c.Signer)
	if err == nil {
		c.History, err = keystone.Begin(first)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.frames = []ibgib.IbGib{first}
	return c
}

func testEnv() ibgib.Env {
	return ibgib.Env{Now: time.Now, UUID: func() string {
		var b [32]byte
		rand.Read(b[:])
		return hex.EncodeToString(b[:])
	}}
}

func newPrimary(t testing.TB, h host.Host) *chain {
	t.Helper()
	return newChain(t, h, func(s keystone.Signer) (ibgib.IbGib, error) {
		return s.Begin(keystone.Genesis{
			Configs: keystone.PrimaryConfigs(), CosigKeys: []ed25519.PublicKey{s.Key.Public().(ed25519.PublicKey)},
		})
	})
}

func newSession(t testing.TB, h host.Host, with peer.ID) *chain {
	t.Helper()
	return newChain(t, h, func(s keystone.Signer) (ibgib.IbGib, error) {
		peers, err := keystone.PeersOf(h.ID().String(), with.String())
		if err != nil {
			return ibgib.IbGib{}, err
		}
		return s.BeginSession(peers)
	})
}

// sign adds the next frame.
func (c *chain) sign(t testing.TB, verb string, target ibgib.Addr) {
	t.Helper()
	g, err := c.Sign(c.History, keystone.Request{Claim: keystone.Claim{Verb: verb, Target: target}})
	if err == nil {
		err = c.Add(g)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.frames = append(c.frames, g)
}

// message returns all frames as they travel, whole.
func (c *chain) message() *protocol.KeystoneFrames {
	m := &protocol.KeystoneFrames{Genesis: c.Genesis().String(), Known: c.Tip().Hash(), Reply: true}
	for _, g := range c.frames {
		m.Frames = append(m.Frames, g.Stored())
	}
	return m
}

// newPersona makes the persona of a host for meetings with one peer.
func newPersona(t testing.TB, h host.Host, with peer.ID) *persona {
	t.Helper()
	p := &persona{host: h, primary: newPrimary(t, h), session: newSession(t, h, with)}
	p.primary.sign(t, keystone.VerbSync, p.session.Genesis())
	p.connects = func(m *protocol.Meeting) ibgib.Addr {
		own, other := m.Nonces()
		stone, err := keystone.Connection(keystone.End{Peer: h.ID().String(), Nonce: own}, keystone.End{Peer: m.Peer.String(), Nonce: other})
		if err != nil {
			t.Fatal(err)
		}
		return stone.Addr()
	}
	return p
}

// self is what it says of itself, and that it knows a frame of the other side's keystone.
func (p *persona) self(known ibgib.Hash) protocol.Self {
	return protocol.Self{
		Genesis: func() string { return p.primary.Genesis().String() },
		Session: func(context.Context, peer.ID, *protocol.Session) protocol.Session {
			return protocol.Session{Genesis: p.session.Genesis().String(), Known: known}
		},
	}
}

// meet lets the host prove itself in a meeting that it begins, and returns what the
// other side says to it.
func (p *persona) meet(t testing.TB, at peer.AddrInfo) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := protocol.Meet(ctx, p.host, at, p.self(ibgib.Hash{}), protocol.Options{})
	if err != nil {
		return err
	}
	if !m.HasSessions() {
		return m.End(ctx)
	}
	p.session.sign(t, keystone.VerbConnect, p.connects(m))
	shown := []*protocol.KeystoneFrames{p.primary.message(), p.session.message()}
	if p.shows != nil {
		shown = p.shows(shown)
	}
	if err := m.Show(ctx, shown); err != nil {
		return err
	}
	if _, err := m.Shown(ctx); err != nil {
		m.Fail(ctx, err)
		return err
	}
	return m.End(ctx)
}

// Believe lets a host that is no Node prove itself to a node that trusts it.
func Believe(t testing.TB, h host.Host, at peer.AddrInfo) {
	t.Helper()
	if err := newPersona(t, h, at.ID).meet(t, at); err != nil {
		t.Fatal(err)
	}
}

// met is the part of an attacker in a meeting that the victim begins.
func (a *attack) met(hello *protocol.Hello) {
	a.Helper()
	p := a.personaOf(a.T, a.by)
	var nonce [32]byte
	rand.Read(nonce[:])
	a.say(&protocol.Hello{Nonce: nonce, Genesis: p.primary.Genesis().String(), Session: p.session.Genesis().String()})
	for hello.Session != "" {
		if shown, ok := a.hear().(*protocol.KeystoneFrames); !ok || shown.Genesis == hello.Session {
			break
		}
	}
	stone, err := keystone.Connection(
		keystone.End{Peer: a.by.ID().String(), Nonce: nonce},
		keystone.End{Peer: a.victim.PeerID().String(), Nonce: hello.Nonce},
	)
	if err != nil {
		a.Fatal(err)
	}
	p.session.sign(a.T, keystone.VerbConnect, stone.Addr())
	a.say(p.primary.message(), p.session.message())
	a.stream.CloseWrite()
	a.hear() // the end
	a.stream.Close()
}

// personas are those of the attackers of an arena.
type personas struct {
	mu sync.Mutex
	of map[peer.ID]*persona
}

// believed lets a host prove itself to the victim, if the victim trusts it and it has
// not done so on a connection that is open.
func (r *arena) believed(t testing.TB, by host.Host) {
	t.Helper()
	if _, trusted := r.victim.trust.trusts(by.ID()); !trusted {
		return
	}
	if _, err := r.victim.standing(by.ID()); err == nil {
		return
	}
	if err := r.personaOf(t, by).meet(t, r.at); err != nil {
		t.Fatalf("the victim does not believe the attacker: %v", err)
	}
}

func (r *arena) personaOf(t testing.TB, by host.Host) *persona {
	t.Helper()
	r.personas.mu.Lock()
	defer r.personas.mu.Unlock()
	if r.personas.of == nil {
		r.personas.of = make(map[peer.ID]*persona)
	}
	p := r.personas.of[by.ID()]
	if p == nil {
		p = newPersona(t, by, r.victim.PeerID())
		r.personas.of[by.ID()] = p
	}
	return p
}
