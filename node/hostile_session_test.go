package node

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// sessionCase is a peer that is trusted and does not prove who it is.
type sessionCase struct {
	name   string
	reason keystone.Reason
	// spoil changes what the peer has, or shows.
	spoil func(t *testing.T, n *Node, p *persona)
}

func TestSessionsRefused(t *testing.T) {
	// other is a persona of another peer, which the node does not know.
	other := func(t *testing.T, n *Node) *persona { return newPersona(t, newPeer(t), n.PeerID()) }
	cases := []sessionCase{
		{"one of another peer", keystone.ReasonUnknown, func(t *testing.T, n *Node, p *persona) { p.session = other(t, n).session }},
		{"one of another peer, authorised", keystone.ReasonBadProof, func(t *testing.T, n *Node, p *persona) {
			p.session = other(t, n).session
			p.primary.sign(t, keystone.VerbSync, p.session.Genesis())
		}},
		{"one with another peer", keystone.ReasonBadProof, func(t *testing.T, n *Node, p *persona) {
			p.session = newSession(t, p.host, newPeer(t).ID())
			p.primary.sign(t, keystone.VerbSync, p.session.Genesis())
		}},
		{"one that was not authorised", keystone.ReasonUnknown, func(t *testing.T, n *Node, p *persona) {
			p.session = newSession(t, p.host, n.PeerID())
		}},
		{"one that was authorised under another verb", keystone.ReasonUnknown, func(t *testing.T, n *Node, p *persona) {
			p.session = newSession(t, p.host, n.PeerID())
			p.primary.sign(t, "approve", p.session.Genesis())
		}},
		{"an expired one", keystone.ReasonExpired, func(t *testing.T, n *Node, p *persona) {
			p.session = newChain(t, p.host, func(s keystone.Signer) (ibgib.IbGib, error) {
				s.Env.Now = func() time.Time { return time.Now().Add(-keystone.SessionLife - time.Minute) }
				peers, err := keystone.PeersOf(p.host.ID().String(), n.PeerID().String())
				if err != nil {
					return ibgib.IbGib{}, err
				}
				return s.BeginSession(peers)
			})
			p.primary.sign(t, keystone.VerbSync, p.session.Genesis())
		}},
		{"a primary in its place", keystone.ReasonBadProof, func(t *testing.T, n *Node, p *persona) {
			p.session = newPrimary(t, p.host)
			p.primary.sign(t, keystone.VerbSync, p.session.Genesis())
			p.connects = func(*protocol.Meeting) ibgib.Addr { return p.primary.Genesis() }
		}},
		{"a primary that is revoked", keystone.ReasonRevoked, func(t *testing.T, n *Node, p *persona) {
			g, err := p.primary.Revoke(p.primary.History, "stolen", ibgib.Value{})
			if err == nil {
				err = p.primary.Add(g)
			}
			if err != nil {
				t.Fatal(err)
			}
			p.primary.frames = append(p.primary.frames, g)
		}},
		{"a primary that is not shown", keystone.ReasonUnknown, func(t *testing.T, n *Node, p *persona) {
			p.shows = func(l []*protocol.KeystoneFrames) []*protocol.KeystoneFrames { return l[1:] }
		}},
		{"a primary that was forged", keystone.ReasonBadProof, func(t *testing.T, n *Node, p *persona) {
			own := newPrimary(t, p.host)
			own.sign(t, keystone.VerbSync, p.session.Genesis())
			p.primary.frames[1] = own.frames[1]
		}},
		{"a keystone that was not named", keystone.ReasonBadProof, func(t *testing.T, n *Node, p *persona) {
			third := newPrimary(t, p.host)
			p.shows = func(l []*protocol.KeystoneFrames) []*protocol.KeystoneFrames {
				return slices.Insert(l, 0, third.message())
			}
		}},
		{"the nonces of another meeting", keystone.ReasonBadProof, func(t *testing.T, n *Node, p *persona) {
			var before ibgib.Addr
			connects := p.connects
			p.connects = func(m *protocol.Meeting) ibgib.Addr { before = connects(m); return before }
			if err := p.meet(t, infoOf(t, n)); err != nil {
				t.Fatal(err)
			}
			p.host.Network().ClosePeer(n.PeerID())
			p.connects = func(*protocol.Meeting) ibgib.Addr { return before }
		}},
		{"no signature of this meeting", keystone.ReasonBadProof, func(t *testing.T, n *Node, p *persona) {
			p.shows = func(l []*protocol.KeystoneFrames) []*protocol.KeystoneFrames {
				l[1].Frames = l[1].Frames[:1]
				return l
			}
		}},
		{"a signature by the primary", keystone.ReasonBadProof, func(t *testing.T, n *Node, p *persona) {
			p.shows = func(l []*protocol.KeystoneFrames) []*protocol.KeystoneFrames {
				target := p.session.frames[len(p.session.frames)-1]
				d, err := keystone.Parse(target)
				if err != nil {
					t.Fatal(err)
				}
				p.primary.sign(t, keystone.VerbConnect, d.Proofs[0].Claim.Target)
				l[0], l[1].Frames = p.primary.message(), l[1].Frames[:1]
				return l
			}
		}},
		{"a gap in the session", keystone.ReasonBadProof, func(t *testing.T, n *Node, p *persona) {
			p.session.sign(t, keystone.VerbTranscript, p.primary.Genesis())
			p.shows = func(l []*protocol.KeystoneFrames) []*protocol.KeystoneFrames {
				l[1].Frames = slices.Delete(l[1].Frames, 1, 2)
				return l
			}
		}},
		{"a session in another order", keystone.ReasonBadProof, func(t *testing.T, n *Node, p *persona) {
			p.session.sign(t, keystone.VerbTranscript, p.primary.Genesis())
			p.shows = func(l []*protocol.KeystoneFrames) []*protocol.KeystoneFrames {
				slices.Reverse(l[1].Frames[1:])
				return l
			}
		}},
		{"garbage", keystone.ReasonUnknown, func(t *testing.T, n *Node, p *persona) {
			p.shows = func(l []*protocol.KeystoneFrames) []*protocol.KeystoneFrames {
				l[1].Frames[1] = []byte("{}")
				return l
			}
		}},
		{"a delta against nothing", keystone.ReasonBadProof, func(t *testing.T, n *Node, p *persona) {
			p.shows = func(l []*protocol.KeystoneFrames) []*protocol.KeystoneFrames {
				l[1].Frames = [][]byte{keystone.AppendFrame(nil, p.session.frames[0], p.session.frames[1])}
				return l
			}
		}},
		{"a session without frames", keystone.ReasonBadProof, func(t *testing.T, n *Node, p *persona) {
			p.shows = func(l []*protocol.KeystoneFrames) []*protocol.KeystoneFrames { l[1].Frames = nil; return l }
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			n := openHere(t)
			if err := n.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			own := note(t, n)
			p := newPersona(t, newPeer(t), n.PeerID())
			if _, err := n.Trust(t.Context(), p.host.ID().String()); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, n, p)
			err := p.meet(t, infoOf(t, n))
			if e, is := errors.AsType[*saga.Error](err); !is || !e.Remote || e.Code != saga.CodeUntrusted || e.Reason != string(c.reason) {
				t.Errorf("error %v, want a session refused as %s", err, c.reason)
			}
			if pr, err := n.standing(p.host.ID()); err == nil {
				t.Errorf("the node takes it for proved: %+v", pr)
			}
			// It is served nothing.
			init := &saga.Init{ID: saga.ID{1}, Complete: true, Credit: saga.InitialCredit}
			init.Fingerprint[0] = 1
			conn, err := protocol.Dial(t.Context(), p.host, infoOf(t, n), protocol.Options{})
			if err == nil {
				_, err = conn.Send(t.Context(), init)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Abort()
			answer, _, err := conn.Receive(t.Context())
			if e, is := answer.(*saga.Error); err != nil || !is || e.Code != saga.CodeUntrusted {
				t.Errorf("a saga without a session: %v, %v; own is %s", answer, err, own.Tjp)
			}
		})
	}
}

func infoOf(t *testing.T, n *Node) peer.AddrInfo {
	t.Helper()
	info, err := peer.AddrInfoFromString(n.Identity().Addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	return *info
}

// Nothing is looked at of the keystone of a peer that trust does not go to: it is not
// even stored, however valid.
func TestNothingOfAStrangersKeystoneIsStored(t *testing.T) {
	n := openHere(t)
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := newPersona(t, newPeer(t), n.PeerID())
	if err := p.meet(t, infoOf(t, n)); err != nil {
		t.Fatal(err) // the meeting of strangers, who show nothing
	}
	// And what a stranger pushes all the same.
	m, err := protocol.Meet(t.Context(), p.host, infoOf(t, n), protocol.Self{Genesis: func() string { return p.primary.Genesis().String() }}, protocol.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_ = m.Show(t.Context(), []*protocol.KeystoneFrames{p.primary.message(), p.session.message()})
	_ = m.End(t.Context())
	for _, c := range []*chain{p.primary, p.session} {
		if _, err := n.book.History(c.Genesis()); err == nil {
			t.Errorf("%s is stored", c.Genesis())
		}
	}
	if p := n.trust.peer(p.host.ID()); p.Trusted {
		t.Errorf("%+v", p)
	}
}

// A seal that is not the other side's signature of this transcript is not taken.
func TestSealsRefused(t *testing.T) {
	n := openHere(t)
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := newPersona(t, newPeer(t), n.PeerID())
	if _, err := n.Trust(t.Context(), p.host.ID().String()); err != nil {
		t.Fatal(err)
	}
	if err := p.meet(t, infoOf(t, n)); err != nil {
		t.Fatal(err)
	}
	with, err := n.standing(p.host.ID())
	if err != nil {
		t.Fatal(err)
	}
	last, another := note(t, n).Addr, note(t, n).Addr
	seal := func(c *chain, verb string, target ibgib.Addr) []byte {
		t.Helper()
		g, err := c.Sign(c.History, keystone.Request{Claim: keystone.Claim{Verb: verb, Target: target}})
		if err != nil {
			t.Fatal(err)
		}
		return g.Stored()
	}
	s := sealer{n, p.host.ID(), with}
	for name, frame := range map[string][]byte{
		"nothing":                          nil,
		"garbage":                          []byte("let me in"),
		"a seal of another saga":           seal(p.session, keystone.VerbTranscript, another),
		"a connection for a transcript":    seal(p.session, keystone.VerbConnect, last),
		"a signature of the primary":       seal(p.primary, keystone.VerbTranscript, last),
		"one of another session":           seal(newSession(t, p.host, n.PeerID()), keystone.VerbTranscript, last),
		"a frame that was shown before":    p.session.frames[1].Stored(),
		"a delta against another frame":    keystone.AppendFrame(nil, p.session.frames[0], p.session.frames[1]),
		"a delta against another keystone": keystone.AppendFrame(nil, p.primary.frames[0], p.primary.frames[1]),
	} {
		if err := s.Check(t.Context(), last, frame); err == nil {
			t.Errorf("%s is a seal", name)
		}
	}
	before, _ := n.book.History(p.session.Genesis())
	if before.Len() != 2 || before.Status() != keystone.Valid {
		t.Errorf("the session has %d frames and is %s", before.Len(), before.Status())
	}
	good := seal(p.session, keystone.VerbTranscript, last)
	if err := s.Check(t.Context(), last, good); err != nil {
		t.Error(err)
	}
	// A replayed one.
	if err := s.Check(t.Context(), last, good); err == nil {
		t.Error("a seal was taken twice")
	}
}
