package keystone_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

// node is one side of a saga: a primary, and a session with a peer.
type node struct {
	primary *identity
	session *identity
	peers   keystone.Peers
}

// newNode authorises a session between two peers.
func newNode(t testing.TB, seed uint64, self, other string) *node {
	t.Helper()
	n := &node{primary: primary(t, seed)}
	var err error
	if n.peers, err = keystone.PeersOf(self, other); err != nil {
		t.Fatal(err)
	}
	n.begin(t, seed)
	n.primary.sign(t, keystone.VerbSync, n.session.Genesis())
	return n
}

// begin makes a session that is not authorised yet.
func (n *node) begin(t testing.TB, seed uint64) {
	t.Helper()
	s := signer(t, seed+1000)
	s.Key = n.primary.Key
	first, err := s.BeginSession(n.peers)
	if err != nil {
		t.Fatal(err)
	}
	h, err := keystone.Begin(first)
	if err != nil {
		t.Fatal(err)
	}
	n.session = &identity{s, h, []ibgib.IbGib{first}}
}

// check is what the other side does with the session.
func (n *node) check(t testing.TB, now time.Time) (keystone.Session, error) {
	t.Helper()
	return keystone.CheckSession(n.primary.History, n.session.History, n.session.frames[0], n.peers, public(n.primary.Signer), now)
}

func wantReason(t testing.TB, err error, reason keystone.Reason) {
	t.Helper()
	var refused *keystone.SessionError
	if !errors.As(err, &refused) || refused.Reason != reason {
		t.Fatalf("got %v, want %s", err, reason)
	}
}

func TestSession(t *testing.T) {
	n := newNode(t, 1, "12D3-b", "12D3-a")
	s, err := n.check(t, epoch().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if s.Genesis != n.session.Genesis() || s.Peers != (keystone.Peers{"12D3-a", "12D3-b"}) || s.Expires.Sub(s.Begins) != keystone.SessionLife || !s.Key.Equal(public(n.primary.Signer)) {
		t.Errorf("session %+v", s)
	}
	if r := keystone.Validate(n.session.frames); !r.Valid {
		t.Errorf("%+v", r)
	}
}

func TestSessionRefusals(t *testing.T) {
	soon := epoch().Add(time.Hour)
	for _, c := range []struct {
		name   string
		reason keystone.Reason
		do     func(t *testing.T, n *node) error
	}{
		{"not authorised", keystone.ReasonUnknown, func(t *testing.T, n *node) error {
			n.begin(t, 77)
			_, err := n.check(t, soon)
			return err
		}},
		{"authorised by another verb", keystone.ReasonUnknown, func(t *testing.T, n *node) error {
			n.begin(t, 77)
			n.primary.sign(t, "like", n.session.Genesis())
			_, err := n.check(t, soon)
			return err
		}},
		{"authorised by another primary", keystone.ReasonUnknown, func(t *testing.T, n *node) error {
			n.primary = primary(t, 5)
			_, err := n.check(t, soon)
			return err
		}},
		{"expired", keystone.ReasonExpired, func(t *testing.T, n *node) error {
			_, err := n.check(t, soon.Add(keystone.SessionLife))
			return err
		}},
		{"expired just now", keystone.ReasonExpired, func(t *testing.T, n *node) error {
			s, _ := keystone.ReadSession(n.session.frames[0])
			if _, err := n.check(t, s.Expires.Add(-time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			_, err := n.check(t, s.Expires)
			return err
		}},
		{"the primary is revoked", keystone.ReasonRevoked, func(t *testing.T, n *node) error {
			n.primary.revoke(t)
			_, err := n.check(t, soon)
			return err
		}},
		{"the primary is disputed", keystone.ReasonDisputed, func(t *testing.T, n *node) error {
			if err := n.primary.Dispute(keystone.Evidence{Pred: n.primary.frames[0].Addr()}); err != nil {
				t.Fatal(err)
			}
			_, err := n.check(t, soon)
			return err
		}},
		{"the session is disputed", keystone.ReasonDisputed, func(t *testing.T, n *node) error {
			if err := n.session.Dispute(keystone.Evidence{Pred: n.session.frames[0].Addr()}); err != nil {
				t.Fatal(err)
			}
			_, err := n.check(t, soon)
			return err
		}},
		{"a session of another pair of peers", keystone.ReasonBadProof, func(t *testing.T, n *node) error {
			n.peers, _ = keystone.PeersOf("12D3-a", "12D3-c")
			_, err := n.check(t, soon)
			return err
		}},
		{"a session of the other side", keystone.ReasonBadProof, func(t *testing.T, n *node) error {
			other := signer(t, 55)
			_, err := keystone.CheckSession(n.primary.History, n.session.History, n.session.frames[0], n.peers, public(other), soon)
			return err
		}},
		{"the first frame of another session", keystone.ReasonBadProof, func(t *testing.T, n *node) error {
			other := newNode(t, 6, "12D3-a", "12D3-b")
			_, err := keystone.CheckSession(n.primary.History, n.session.History, other.session.frames[0], n.peers, public(n.primary.Signer), soon)
			return err
		}},
		{"a primary that is not co-signed", keystone.ReasonBadProof, func(t *testing.T, n *node) error {
			n.primary = begin(t, signer(t, 5), false, keystone.PrimaryConfigs()...)
			n.primary.sign(t, keystone.VerbSync, n.session.Genesis())
			_, err := keystone.CheckSession(n.primary.History, n.session.History, n.session.frames[0], n.peers, public(n.session.Signer), soon)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) { wantReason(t, c.do(t, newNode(t, 1, "12D3-a", "12D3-b")), c.reason) })
	}
}

// What is no session is told from what it is, before anything else is looked at.
func TestReadSessionRefuses(t *testing.T) {
	first := newNode(t, 1, "12D3-a", "12D3-b").session.frames[0]
	details := func(f func(ibgib.Value) ibgib.Value, path ...any) ibgib.IbGib {
		return forged(t, first, f, append([]any{"frameDetails"}, path...)...)
	}
	own := signer(t, 3)
	for name, g := range map[string]ibgib.IbGib{
		"a primary":               primary(t, 1).frames[0],
		"not co-signed":           begin(t, own, false, keystone.SessionConfig()).frames[0],
		"not for peers":           begin(t, own, true, keystone.SessionConfig()).frames[0],
		"a later frame":           victim(t, true).frames[1],
		"a note":                  remade(t, first, "note", first.Data(), nil),
		"peers missing":           details(drop, "peers"),
		"peers not sorted":        details(reversed, "peers"),
		"one peer":                details(drop, "peers", 0),
		"the same peer twice":     details(str("12D3-b"), "peers", 0),
		"a peer that is a number": details(num(1), "peers", 0),
		"expires missing":         details(drop, "expires"),
		"expires as text":         details(str("never"), "expires"),
		"expires with a fraction": details(func(v ibgib.Value) ibgib.Value { return ibgib.Number(v.Number() - 0.5) }, "expires"),
		"expires before 1970":     details(num(-1), "expires"),
		"good for too long":       details(func(v ibgib.Value) ibgib.Value { return ibgib.Number(v.Number() + 1) }, "expires"),
		"good for ever":           details(num(1e300), "expires"),
		"a further detail":        details(num(1), "x"),
		"two keys": details(func(v ibgib.Value) ibgib.Value {
			return appended(ibgib.String(encodeKey(public(own))))(v)
		}, "cosigKeys"),
		"another selection": forged(t, first, num(0), pool(0, "config", "behavior", "selectRandomly")...),
		"all verbs":         forged(t, first, set(ibgib.Array()), pool(0, "config", "allowedVerbs")...),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := keystone.ReadSession(g)
			wantReason(t, err, keystone.ReasonBadProof)
		})
	}
}

func TestBeginSessionRefuses(t *testing.T) {
	s := signer(t, 1)
	if _, err := s.BeginSession(keystone.Peers{"b", "a"}); err == nil {
		t.Error("peers that are not sorted")
	}
	for _, p := range [][2]string{{"", "a"}, {"a", "a"}, {"a", string(make([]byte, 200))}} {
		if _, err := keystone.PeersOf(p[0], p[1]); err == nil {
			t.Errorf("%q are two peers", p)
		}
	}
	if _, err := keystone.Connection(keystone.End{Peer: "a"}, keystone.End{Peer: "a"}); err == nil {
		t.Error("a connection of one peer")
	}
	s.Key = nil
	if _, err := s.BeginSession(keystone.Peers{"a", "b"}); !errors.Is(err, keystone.ErrCosigKey) {
		t.Errorf("without a key: %v", err)
	}
}

func connection(t testing.TB, peers keystone.Peers, a, b byte) ibgib.Addr {
	t.Helper()
	one, two := keystone.End{Peer: peers[0], Nonce: [32]byte{a}}, keystone.End{Peer: peers[1], Nonce: [32]byte{b}}
	g, err := keystone.Connection(one, two)
	if err != nil {
		t.Fatal(err)
	}
	if other, _ := keystone.Connection(two, one); other.Addr() != g.Addr() {
		t.Error("the two sides sign different stones")
	}
	return g.Addr()
}

// prove makes the next frame of the session, which its own side does not have
// yet.
func (n *node) prove(t testing.TB, verb string, target ibgib.Addr) ibgib.IbGib {
	t.Helper()
	g, err := n.session.Sign(n.session.History, keystone.Request{Claim: keystone.Claim{Verb: verb, Target: target}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestSessionProves(t *testing.T) {
	n := newNode(t, 1, "12D3-a", "12D3-b")
	theirs := n.session.Clone()
	hello := connection(t, n.peers, 1, 2)
	proof := n.session.sign(t, keystone.VerbConnect, hello)
	if err := theirs.Accept(proof, keystone.VerbConnect, hello); err != nil {
		t.Fatal(err)
	}
	transcript := target(t, 1)
	if err := theirs.Accept(n.session.sign(t, keystone.VerbTranscript, transcript), keystone.VerbTranscript, transcript); err != nil {
		t.Fatal(err)
	}
	// Afterwards anyone can look it up.
	if at, ok := theirs.Signed(keystone.VerbTranscript, transcript); !ok || at != 2 {
		t.Errorf("signed at %d, %v", at, ok)
	}
}

func TestAcceptRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		reason keystone.Reason
		do     func(t *testing.T, n *node, theirs *keystone.History) error
	}{
		{"a proof of an earlier connection", keystone.ReasonBadProof, func(t *testing.T, n *node, theirs *keystone.History) error {
			old, now := connection(t, n.peers, 1, 2), connection(t, n.peers, 1, 3)
			return theirs.Accept(n.prove(t, keystone.VerbConnect, old), keystone.VerbConnect, now)
		}},
		{"a proof shown twice", keystone.ReasonBadProof, func(t *testing.T, n *node, theirs *keystone.History) error {
			hello := connection(t, n.peers, 1, 2)
			g := n.prove(t, keystone.VerbConnect, hello)
			if err := theirs.Accept(g, keystone.VerbConnect, hello); err != nil {
				t.Fatal(err)
			}
			return theirs.Accept(g, keystone.VerbConnect, hello)
		}},
		{"nonces of the wrong sides", keystone.ReasonBadProof, func(t *testing.T, n *node, theirs *keystone.History) error {
			return theirs.Accept(n.prove(t, keystone.VerbConnect, connection(t, n.peers, 2, 1)), keystone.VerbConnect, connection(t, n.peers, 1, 2))
		}},
		{"a connection of other peers", keystone.ReasonBadProof, func(t *testing.T, n *node, theirs *keystone.History) error {
			return theirs.Accept(n.prove(t, keystone.VerbConnect, connection(t, keystone.Peers{"x", "y"}, 1, 2)), keystone.VerbConnect, connection(t, n.peers, 1, 2))
		}},
		{"a transcript of another saga", keystone.ReasonBadProof, func(t *testing.T, n *node, theirs *keystone.History) error {
			return theirs.Accept(n.prove(t, keystone.VerbTranscript, target(t, 1)), keystone.VerbTranscript, target(t, 2))
		}},
		{"a connection proof for a transcript", keystone.ReasonBadProof, func(t *testing.T, n *node, theirs *keystone.History) error {
			hello := connection(t, n.peers, 1, 2)
			return theirs.Accept(n.prove(t, keystone.VerbConnect, hello), keystone.VerbTranscript, hello)
		}},
		{"a frame of another session", keystone.ReasonBadProof, func(t *testing.T, n *node, theirs *keystone.History) error {
			hello := connection(t, n.peers, 1, 2)
			other := newNode(t, 4, "12D3-a", "12D3-b")
			return theirs.Accept(other.prove(t, keystone.VerbConnect, hello), keystone.VerbConnect, hello)
		}},
		{"a frame of the primary", keystone.ReasonBadProof, func(t *testing.T, n *node, theirs *keystone.History) error {
			hello := connection(t, n.peers, 1, 2)
			return theirs.Accept(n.primary.sign(t, keystone.VerbConnect, hello), keystone.VerbConnect, hello)
		}},
		{"a frame with a gap before it", keystone.ReasonBadProof, func(t *testing.T, n *node, theirs *keystone.History) error {
			hello := connection(t, n.peers, 1, 2)
			n.session.sign(t, keystone.VerbConnect, target(t, 1))
			return theirs.Accept(n.session.sign(t, keystone.VerbConnect, hello), keystone.VerbConnect, hello)
		}},
		{"a rival of a frame that was shown", keystone.ReasonBadProof, func(t *testing.T, n *node, theirs *keystone.History) error {
			a, b := connection(t, n.peers, 1, 2), connection(t, n.peers, 3, 4)
			one, two := n.prove(t, keystone.VerbConnect, a), n.prove(t, keystone.VerbConnect, b)
			if err := theirs.Accept(one, keystone.VerbConnect, a); err != nil {
				t.Fatal(err)
			}
			err := theirs.Accept(two, keystone.VerbConnect, b)
			if rival := new(keystone.RivalError); !errors.As(err, &rival) {
				t.Errorf("no word of a rival: %v", err)
			}
			return err
		}},
		{"a forged frame", keystone.ReasonBadProof, func(t *testing.T, n *node, theirs *keystone.History) error {
			hello := connection(t, n.peers, 1, 2)
			g := forged(t, n.prove(t, keystone.VerbConnect, hello), num(1), "timestampMs")
			err := theirs.Accept(g, keystone.VerbConnect, hello)
			wantRule(t, err, keystone.RuleCosig)
			return err
		}},
		{"something else", keystone.ReasonBadProof, func(t *testing.T, n *node, theirs *keystone.History) error {
			g, _ := ibgib.New("note", ibgib.String("let me in"), nil)
			return theirs.Accept(g, keystone.VerbConnect, target(t, 1))
		}},
		{"nothing", keystone.ReasonBadProof, func(t *testing.T, n *node, theirs *keystone.History) error {
			return theirs.Accept(ibgib.IbGib{}, "", ibgib.Addr{})
		}},
		{"a disputed session", keystone.ReasonDisputed, func(t *testing.T, n *node, theirs *keystone.History) error {
			hello := connection(t, n.peers, 1, 2)
			if err := theirs.Dispute(keystone.Evidence{Pred: n.session.Genesis()}); err != nil {
				t.Fatal(err)
			}
			return theirs.Accept(n.prove(t, keystone.VerbConnect, hello), keystone.VerbConnect, hello)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, 1, "12D3-a", "12D3-b")
			theirs := n.session.Clone()
			wantReason(t, c.do(t, n, theirs), c.reason)
		})
	}
}

// What a new session costs between two that know each other's primaries: of each
// side the first frame of the session, and as deltas the frame of the primary
// that authorises it and the proof of the connection.
func TestSessionCost(t *testing.T) {
	n := newNode(t, 1, "12D3KooWADgkVjeZDju3X8RWjimUNk5A1rJonyvWfJxd9QaWKUXt", "12D3KooWF6Yh21imkwq89x8GJiVCKKGJJohUM7uzczCKdDvC5ewm")
	hello := n.session.sign(t, keystone.VerbConnect, connection(t, n.peers, 1, 2))
	size := n.session.frames[0].Size()
	for _, pair := range [][2]ibgib.IbGib{{n.primary.frames[0], n.primary.frames[1]}, {n.session.frames[0], hello}} {
		delta, err := keystone.AppendDelta(nil, pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("frame of %d bytes, delta of %d", pair[1].Size(), len(delta))
		size += len(delta)
	}
	t.Logf("%d bytes a side", size)
	if 2*size > 15<<10 {
		t.Errorf("a new session takes %d bytes a side", size)
	}
}
