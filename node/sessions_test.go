package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// quietPair is two nodes that trust each other and sync only when they are told to.
func quietPair(t *testing.T) (a, b *Node) {
	t.Helper()
	a, b = startHere(t), startHere(t)
	trustEachOther(t, a, b, byID)
	return a, b
}

// startHere starts a node that syncs only when it is told to.
func startHere(t *testing.T) *Node {
	t.Helper()
	n := openHere(t)
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// trustEachOther makes two nodes trust each other, each by a name of the other: byID, or
// byAddr, which lets them connect by themselves.
func trustEachOther(t *testing.T, a, b *Node, name func(*Node) string) {
	t.Helper()
	for _, way := range [][2]*Node{{a, b}, {b, a}} {
		if _, err := way[0].Trust(t.Context(), name(way[1])); err != nil {
			t.Fatal(err)
		}
	}
}

func byID(n *Node) string   { return n.PeerID().String() }
func byAddr(n *Node) string { return n.Identity().Addrs[0] }

func syncs(t *testing.T, a, b *Node) SyncResult {
	t.Helper()
	res, err := a.Sync(t.Context(), b.Identity().Addrs[0], nil)
	if err != nil || !res.Converged {
		t.Fatalf("%+v, %v", res, err)
	}
	// The other side keeps its record when it has told how it went.
	eventually(t, "the end on the other side", func() bool { return a.sagas.count()+b.sagas.count() == 0 })
	return res
}

func note(t *testing.T, n *Node) Change {
	t.Helper()
	tl, err := n.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "note"})
	if err != nil {
		t.Fatal(err)
	}
	return tl
}

// frames returns how many frames the keystones have by which a speaks to b.
func frames(t *testing.T, a, b *Node) (primary, session int) {
	t.Helper()
	of := func(genesis ibgib.Addr) int {
		h, err := a.book.History(genesis)
		if err != nil {
			t.Fatal(err)
		}
		return h.Len()
	}
	return of(a.self.Genesis()), of(a.sessions.own.Of(b.PeerID().String()))
}

// Sides that have met sign once for a connection and once for each saga in which
// something moved, and equal sides sign and store nothing.
func TestWhatIsSigned(t *testing.T) {
	a, b := quietPair(t)
	note(t, a)
	first := syncs(t, a, b)
	for _, way := range [][2]*Node{{a, b}, {b, a}} {
		// genesis and authorisation; genesis, connection and transcript
		if p, s := frames(t, way[0], way[1]); p != 2 || s != 3 {
			t.Errorf("%d and %d frames after the first saga", p, s)
		}
		v, err := way[0].VerifySaga(t.Context(), first.SagaID)
		if err != nil || !v.Valid || len(v.Sides) != 2 {
			t.Errorf("%+v, %v", v, err)
		}
	}
	listed := 0
	for k, err := range a.Keystones(t.Context()) {
		if err != nil || k.Genesis != a.self.Genesis() && k.Genesis != b.self.Genesis() {
			t.Errorf("%+v, %v", k, err)
		}
		listed++
	}
	if listed != 2 {
		t.Errorf("%d keystones are listed", listed)
	}
	local := func() (list [2]uint64) {
		for i, n := range []*Node{a, b} {
			place, err := n.store.View(blockstore.LocalArea).Place(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			list[i] = place.Seq
		}
		return list
	}
	before := local()
	for range 3 {
		if res := syncs(t, b, a); !res.Equal || res.Rounds != 1 {
			t.Errorf("%+v", res)
		}
	}
	if after := local(); after != before {
		t.Errorf("equal sides have stored something: %v before, %v after", before, after)
	}
	if p, s := frames(t, a, b); p != 2 || s != 3 {
		t.Errorf("%d and %d frames after equal sagas", p, s)
	}
	note(t, b)
	syncs(t, a, b)
	if p, s := frames(t, a, b); p != 2 || s != 4 {
		t.Errorf("%d and %d frames after a second saga", p, s)
	}
}

// A side that is spoken to begins its session without a question: the peer has said what
// it knows. So a session that both begin costs the round trip of the first one to speak.
func TestSpokenToAsksNothing(t *testing.T) {
	a := openHere(t)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := newPeer(t)
	p := newPersona(t, h, a.PeerID())
	if _, err := a.Trust(t.Context(), h.ID().String()); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	h.SetStreamHandler(protocol.ID, func(s network.Stream) {
		asked.Add(1)
		s.Reset()
	})
	if err := p.meet(t, infoOf(t, a)); err != nil {
		t.Fatal(err)
	}
	if _, is := a.sessions.of(h.ID()); !is || a.sessions.own.Of(h.ID().String()).IsZero() {
		t.Error("the peer is not proved, or there is no session with it")
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d streams to the peer before its meeting has ended", n)
	}
}

// A session outlives the process and the connection.
func TestSessionIsUsedAgain(t *testing.T) {
	a, b := quietPair(t)
	note(t, a)
	syncs(t, a, b)
	session := a.sessions.own.Of(b.PeerID().String())
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(Config{Data: a.DataDir(), Live: Live{Off: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	// It is not started: it syncs through a host that lives for one sync only.
	for range 2 {
		syncs(t, again, b)
	}
	if got := again.sessions.own.Of(b.PeerID().String()); got != session {
		t.Errorf("the session is %s, it was %s", got, session)
	}
	if p, s := frames(t, again, b); p != 2 || s != 5 {
		t.Errorf("%d and %d frames, want 2, and 5: one for each of three connections and one transcript", p, s)
	}
}

// A signature that did not come in the saga comes with the next meeting.
func TestVerifySagaWithoutTheOtherSide(t *testing.T) {
	a, b := quietPair(t)
	made := note(t, a)
	id := syncs(t, a, b).SagaID
	r, err := a.Saga(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	// What the other side has signed is unknown to a node that has lost its session.
	if err := a.book.Drop(t.Context(), b.sessions.own.Of(a.PeerID().String())); err != nil {
		t.Fatal(err)
	}
	v, err := a.VerifySaga(t.Context(), id)
	if err != nil || v.Valid || v.Sides[0].Problem != "" || v.Sides[1].Problem == "" || v.Sides[1].PeerID != b.PeerID().String() {
		t.Errorf("%+v, %v", v, err)
	}
	if err := CutConnections(a); err != nil {
		t.Fatal(err)
	}
	syncs(t, a, b)
	if v, err := a.VerifySaga(t.Context(), id); err != nil || !v.Valid {
		t.Errorf("after the next meeting: %+v, %v", v, err)
	}
	// What is no saga of this node, or no record at all.
	if _, err := a.VerifySaga(t.Context(), "nonsense"); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("an unknown saga: %v", err)
	}
	if list, err := a.transcriptBelow(t.Context(), made.Addr); err == nil {
		if _, err := saga.ReadTranscript(list); err == nil {
			t.Error("a note is a transcript")
		}
	}
	if len(r.Details.Frames) != 7 {
		t.Errorf("%d frames", len(r.Details.Frames))
	}
}

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

// A proof holds for the connection that it was given on.
func TestProofEndsWithTheConnection(t *testing.T) {
	a, b := quietPair(t)
	note(t, a)
	syncs(t, a, b)
	if _, err := a.standing(b.PeerID()); err != nil {
		t.Fatal(err)
	}
	if err := CutConnections(a); err != nil {
		t.Fatal(err)
	}
	if _, err := a.standing(b.PeerID()); err == nil && a.host.Network().Connectedness(b.PeerID()) != network.Connected {
		t.Error("what was proved on a connection outlives it")
	}
	syncs(t, a, b)
	if _, s := frames(t, a, b); s != 4 {
		t.Errorf("%d frames of the session, want one more, for the new connection", s)
	}
}

// A session that is refused by a peer which has forgotten it is proved anew.
func TestProofThatThePeerHasLost(t *testing.T) {
	a, b := quietPair(t)
	note(t, a)
	syncs(t, a, b)
	b.sessions.forget(a.PeerID())
	note(t, a)
	syncs(t, a, b)
}

// An expired session is followed by a new one on the same connection.
func TestSessionExpires(t *testing.T) {
	a, b := quietPair(t)
	note(t, a)
	syncs(t, a, b)
	session := a.sessions.own.Of(b.PeerID().String())
	pr, err := b.standing(a.PeerID())
	if err != nil {
		t.Fatal(err)
	}
	pr.peer.Expires = time.Now().Add(-time.Second)
	b.sessions.keep(a.PeerID(), pr)
	if _, err := b.standing(a.PeerID()); err == nil {
		t.Error("an expired session stands")
	} else {
		wantReason(t, sessionFailure(err), keystone.ReasonExpired)
	}
	note(t, a)
	syncs(t, a, b)
	if got := a.sessions.own.Of(b.PeerID().String()); got != session {
		t.Error("a session that is good was replaced")
	}
}

// A session that nobody needs is forgotten, with its frames. One that speaks in a saga
// which is remembered stays.
func TestUnusedSessionsAreDropped(t *testing.T) {
	a, b := quietPair(t)
	note(t, a)
	id := syncs(t, a, b).SagaID
	past := func(by time.Duration) *chain {
		c := newChain(t, newPeer(t), func(s keystone.Signer) (ibgib.IbGib, error) {
			s.Env.Now = func() time.Time { return time.Now().Add(-by) }
			return s.BeginSession(keystone.Peers{"a", "b"})
		})
		if _, err := a.book.Extend(t.Context(), "", c.frames); err != nil {
			t.Fatal(err)
		}
		return c
	}
	old, young := past(2*idleSession), past(0)
	a.now = func() time.Time { return time.Now().Add(idleSession / 2) }
	if err := a.dropSessions(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.book.History(old.Genesis()); err == nil {
		t.Error("an unused session is still known")
	}
	if _, err := a.store.Get(t.Context(), old.Genesis()); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("its first frame: %v", err)
	}
	if _, err := a.book.History(young.Genesis()); err != nil {
		t.Errorf("a session that has just begun: %v", err)
	}
	// Not even those in use, when the two have got new ones.
	a.now = func() time.Time { return time.Now().Add(2 * idleSession) }
	if err := a.dropSessions(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, err := a.VerifySaga(t.Context(), id); err != nil || !v.Valid {
		t.Errorf("%+v, %v", v, err)
	}
	if report, err := a.Verify(t.Context(), nil); err != nil || len(report.Problems) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

// A node that has lost its secret gets a new keystone, which nobody follows by itself:
// who trusted it has to do so again.
func TestLostSecretMeansTrustAnew(t *testing.T) {
	a, b := quietPair(t)
	note(t, a)
	syncs(t, a, b)
	dir := b.DataDir()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "keystones", b.self.Genesis().Gib()+".secret")); err != nil {
		t.Fatal(err)
	}
	b, err := Open(Config{Data: dir, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Live: Live{Off: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The session derives from the secret, so it is gone too.
	if _, err := b.Sync(t.Context(), a.Identity().Addrs[0], nil); !errors.Is(err, ErrNoSecret) {
		t.Errorf("a sync without the secret: %v", err)
	}
	if _, err := b.NewKeystone(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	_, err = a.Sync(t.Context(), b.Identity().Addrs[0], nil)
	wantReason(t, err, keystone.ReasonUnknown)
	if err := a.Untrust(t.Context(), b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Trust(t.Context(), b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	note(t, a)
	syncs(t, b, a)
}

// A node whose keystone is revoked says so itself, before it asks anybody.
func TestRevokedNodeKnowsWhyItCannotSync(t *testing.T) {
	a, b := quietPair(t)
	note(t, a)
	syncs(t, a, b)
	if _, err := b.RevokeKeystone(t.Context(), "stolen"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Sync(t.Context(), a.Identity().Addrs[0], nil); !errors.Is(err, keystone.ErrRevoked) {
		t.Errorf("a sync of a revoked node: %v", err)
	}
}
