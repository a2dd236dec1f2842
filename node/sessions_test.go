package node

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

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
	b.sessions.mu.Lock()
	delete(b.sessions.proofs, a.PeerID())
	delete(b.sessions.shown, a.PeerID())
	b.sessions.mu.Unlock()
	note(t, a)
	syncs(t, a, b)
}

// Trust that is withdrawn and given again while the two are connected looks like no
// attack: what was proved on the connection is proved, and nothing is signed for it again.
func TestTrustGivenAgain(t *testing.T) {
	var warnings [2]atomic.Pointer[string]
	nodes := make([]*Node, 2)
	for i := range nodes {
		n, err := Open(Config{Data: t.TempDir(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Live: Live{Off: true},
			Log: slog.New(slog.NewTextHandler(warning{&warnings[i]}, &slog.HandlerOptions{Level: slog.LevelWarn}))})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		nodes[i] = n
	}
	a, b := nodes[0], nodes[1]
	trustEachOther(t, a, b, byID)
	note(t, a)
	syncs(t, a, b)
	if err := a.Untrust(t.Context(), b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.standing(b.PeerID()); err == nil {
		t.Error("a proof stands without trust")
	}
	if _, err := b.Sync(t.Context(), a.Identity().Addrs[0], nil); code(err) != saga.CodeUntrusted {
		t.Errorf("a sync without trust: %v", err)
	}
	if _, err := a.Trust(t.Context(), b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	note(t, a)
	syncs(t, a, b)
	for i, way := range [][2]*Node{{a, b}, {b, a}} {
		// genesis, connection and two transcripts
		if _, s := frames(t, way[0], way[1]); s != 4 {
			t.Errorf("side %d: the session has %d frames, want 4", i, s)
		}
		if w := warnings[i].Load(); w != nil {
			t.Errorf("side %d warns: %s", i, *w)
		}
	}
}

// warning keeps the last line that is logged.
type warning struct{ last *atomic.Pointer[string] }

func (w warning) Write(line []byte) (int, error) {
	text := string(line)
	w.last.Store(&text)
	return len(line), nil
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
