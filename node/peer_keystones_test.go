package node

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// paired starts two nodes that trust each other by an invite.
func paired(t *testing.T) (a, b *Node) {
	t.Helper()
	a, b = meshNode(t, t.TempDir(), Mesh{}), meshNode(t, t.TempDir(), Mesh{})
	if _, err := b.Accept(t.Context(), invite(t, a)); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// offline opens a data directory, without a network, for as long as f takes.
func offline(t *testing.T, dir string, f func(*Node)) {
	t.Helper()
	n, err := Open(Config{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	f(n)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// copyOf closes a node and copies its directory.
func copyOf(t *testing.T, n *Node) string {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copyInto(t, dir, n.DataDir())
	return dir
}

// copyInto copies a data directory, of which no node runs, into a folder.
func copyInto(t *testing.T, dir, from string) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	secrets, err := filepath.Glob(filepath.Join(dir, "keystones", "*.secret"))
	if err != nil || len(secrets) == 0 {
		t.Fatal(err, "no secrets")
	}
	for _, path := range append(secrets, filepath.Join(dir, "peer.key")) {
		if err := os.Chmod(path, 0o600); err != nil { // which CopyFS does not keep
			t.Fatal(err)
		}
	}
}

func approve(t *testing.T, n *Node, i int) error {
	t.Helper()
	g, err := ibgib.New("note", ibgib.Object(ibgib.Member{Name: "i", Value: ibgib.Number(float64(i))}), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.SignKeystone(t.Context(), keystone.Claim{Target: g.Addr(), Verb: "approve"})
	return err
}

func mustApprove(t *testing.T, n *Node, i int) {
	t.Helper()
	if err := approve(t, n, i); err != nil {
		t.Fatal(err)
	}
}

// meets has a meet b, and fails the test if it cannot.
func meets(t *testing.T, a, b *Node) {
	t.Helper()
	if err := greets(t, a, b); err != nil {
		t.Fatal(err)
	}
}

// wantReason fails unless a session was refused for a reason.
func wantReason(t *testing.T, err error, reason keystone.Reason) {
	t.Helper()
	if e, is := errors.AsType[*saga.Error](err); !is || e.Code != saga.CodeUntrusted || e.Reason != string(reason) {
		t.Errorf("error %v, want a session refused as %s", err, reason)
	}
}

func lastChange(t *testing.T, n *Node) TrustChange {
	t.Helper()
	log, err := n.TrustLog(t.Context())
	if err != nil || len(log) == 0 {
		t.Fatal("no change of trust", err)
	}
	return log[0]
}

func TestPeersLearnKeystones(t *testing.T) {
	a, b := paired(t)
	mustApprove(t, b, 1)
	mustApprove(t, b, 2)
	meets(t, a, b)
	k, err := a.Keystone(t.Context(), b.self.Genesis())
	if err != nil || k.Frames != 4 || k.Status != "valid" || k.Own {
		t.Errorf("a knows %+v, %v", k, err)
	}
	if report, err := a.VerifyKeystone(t.Context(), b.self.Genesis()); err != nil || !report.Valid || report.Frames != 4 {
		t.Errorf("%+v, %v", report, err)
	}
}

// A revocation ends trust when it gets known, and the mesh secret does not bring it back.
func TestRevocationEndsTrust(t *testing.T) {
	a, b := paired(t)
	if _, err := b.RevokeKeystone(t.Context(), "stolen"); err != nil {
		t.Fatal(err)
	}
	_ = greets(t, a, b) // it may have known, and ended the connection, already
	if p := known(a, b); p.Trusted || !p.Denied {
		t.Errorf("a knows %+v", p)
	}
	if c := lastChange(t, a); c.Change != TrustWithdrawn || c.By != byRevocation || c.Keystone != b.self.Genesis() {
		t.Errorf("log %+v", c)
	}
	if err := a.trust.Authorize(t.Context(), b.PeerID()); err == nil {
		t.Error("b may still sync")
	}
}

// A saga that runs with a peer whose keystone turns out to be revoked goes no further.
func TestRevocationEndsRunningSagas(t *testing.T) {
	a, b := paired(t)
	if _, err := a.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "note"}); err != nil {
		t.Fatal(err)
	}
	begin := func() (*protocol.Conn, saga.Message) {
		conn, err := protocol.Dial(t.Context(), b.host, peer.AddrInfo{ID: a.PeerID()}, protocol.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Abort)
		init := &saga.Init{ID: saga.ID{1}, Complete: true, Credit: saga.InitialCredit}
		init.Fingerprint[0] = 1 // differs
		if _, err := conn.Send(t.Context(), init); err != nil {
			t.Fatal(err)
		}
		m, _, err := conn.Receive(t.Context())
		if err != nil {
			m = err.(*saga.Error)
		}
		return conn, m
	}
	conn, m := begin()
	for e := asError(m); e != nil; e = asError(m) { // they keep in step by themselves meanwhile
		if !e.Retry {
			t.Fatal(e)
		}
		conn.Abort() // a few may be refused at once
		conn, m = begin()
	}
	if _, err := b.RevokeKeystone(t.Context(), "stolen"); err != nil {
		t.Fatal(err)
	}
	for m, _, err := conn.Receive(t.Context()); err == nil; m, _, err = conn.Receive(t.Context()) {
		if e := asError(m); e != nil {
			if e.Code != saga.CodeCanceled {
				t.Errorf("the saga ended with %v", e)
			}
			break
		}
	}
	if p := known(a, b); p.Trusted || !p.Denied {
		t.Errorf("a knows %+v", p)
	}
}

// asError returns a message that is an error; nil for any other.
func asError(m saga.Message) *saga.Error {
	e, _ := m.(*saga.Error)
	return e
}

// A sync of a node that does not run learns of a revocation too, and moves nothing then.
func TestSyncLearnsOfARevocation(t *testing.T) {
	a, b := paired(t)
	dir := a.DataDir()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	sync := func() (err error) {
		offline(t, dir, func(n *Node) {
			_, err = n.Sync(t.Context(), b.host.Addrs()[0].String()+"/p2p/"+b.PeerID().String(), nil)
		})
		return err
	}
	mustApprove(t, b, 1)
	if err := sync(); err != nil {
		t.Fatal(err)
	}
	offline(t, dir, func(n *Node) {
		if k, err := n.Keystone(t.Context(), b.self.Genesis()); err != nil || k.Frames != 3 {
			t.Errorf("a knows %+v, %v", k, err)
		}
	})
	if _, err := b.RevokeKeystone(t.Context(), "stolen"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "forged"}); err != nil {
		t.Fatal(err)
	}
	var e *saga.Error
	if err := sync(); !errors.As(err, &e) || e.Code != saga.CodeUntrusted || e.Remote {
		t.Errorf("a sync after the revocation: %v", err)
	}
	offline(t, dir, func(n *Node) {
		if p := known(n, b); p.Trusted || !p.Denied {
			t.Errorf("a knows %+v", p)
		}
		for tl, err := range n.Heads(t.Context()) {
			t.Errorf("a has %v, %v", tl, err)
		}
	})
}

// A peer that lets nobody meet it has proved nothing, and is asked for nothing but what
// it has of the keystone of the node.
func TestSyncWithAPeerThatMeetsNobody(t *testing.T) {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	asked := make(chan struct{}, 8)
	h.SetStreamHandler(protocol.ID, func(s network.Stream) {
		asked <- struct{}{}
		_ = s.Reset()
	})
	offline(t, t.TempDir(), func(n *Node) {
		if _, err := n.Trust(t.Context(), h.ID().String()); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Sync(t.Context(), h.Addrs()[0].String()+"/p2p/"+h.ID().String(), nil); err == nil {
			t.Error("a sync succeeded")
		}
	})
	if len(asked) != 2 {
		t.Errorf("%d streams, want two: what it has of this node's keystone, and the meeting", len(asked))
	}
}

// Trust follows a keystone to the one that it hands over to.
func TestTrustFollowsARotation(t *testing.T) {
	a, b := paired(t)
	old := b.self.Genesis()
	if _, err := b.RotateKeystone(t.Context(), "a new disk"); err != nil {
		t.Fatal(err)
	}
	meets(t, a, b)
	if p := known(a, b); !p.Trusted || p.Keystone != b.self.Genesis() || p.Keystone == old {
		t.Errorf("a knows %+v", p)
	}
	if c := lastChange(t, a); c.Change != TrustMoved || c.By != byRotation || c.Keystone != b.self.Genesis() {
		t.Errorf("log %+v", c)
	}
	mustApprove(t, b, 1)
	meets(t, a, b)
	if k, err := a.Keystone(t.Context(), b.self.Genesis()); err != nil || k.Frames != 3 {
		t.Errorf("a knows %+v, %v", k, err)
	}
}

// A peer that names another keystone without a handover is known by the old one.
func TestTrustDoesNotFollowANewKeystone(t *testing.T) {
	a, b := paired(t)
	old := b.self.Genesis()
	if _, _, err := b.self.Replace(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantReason(t, greets(t, a, b), keystone.ReasonUnknown)
	if p := known(a, b); p.Keystone != old {
		t.Errorf("a knows %+v", p)
	}
}

// A copy of a node signs when a trusted peer has confirmed its newest frame.
func TestPeerConfirmsACopy(t *testing.T) {
	a, b := paired(t)
	mustApprove(t, b, 1)
	meets(t, a, b)
	dir := copyOf(t, b)
	offline(t, dir, func(c *Node) {
		if err := approve(t, c, 2); !errors.Is(err, ErrUnconfirmed) {
			t.Errorf("a copy signs: %v", err)
		}
		if d, err := c.Diagnose(t.Context()); err != nil || d.Problems() == 0 {
			t.Errorf("the doctor finds nothing: %v", err)
		}
	})
	c := meshNode(t, dir, Mesh{})
	meets(t, c, a)
	mustApprove(t, c, 2)
	meets(t, a, c)
	if p := known(a, c); !p.Trusted {
		t.Errorf("a knows %+v", p)
	}
}

// A copy that is older than what was signed catches up, instead of signing a rival.
func TestPeerBringsAnOldCopyUpToDate(t *testing.T) {
	a, b := paired(t)
	dir := b.DataDir()
	mustApprove(t, b, 1)
	meets(t, a, b)
	old := copyOf(t, b)
	b = meshNode(t, dir, Mesh{})
	mustApprove(t, b, 2)
	meets(t, a, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	c := meshNode(t, old, Mesh{})
	meets(t, c, a)
	// A fifth frame authorises the session by which the copy syncs from now on.
	if k, err := c.Keystone(t.Context(), ibgib.Addr{}); err != nil || k.Frames < 4 || k.Frames > 5 || k.Signs != SignsReady {
		t.Errorf("the copy has %+v, %v", k, err)
	}
	mustApprove(t, c, 3)
	meets(t, a, c)
	if p := known(a, c); !p.Trusted {
		t.Errorf("a knows %+v", p)
	}
}

// A peer that is behind confirms nothing: it cannot know.
func TestPeerThatIsBehindDoesNotConfirm(t *testing.T) {
	a, b := paired(t)
	meets(t, a, b)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	mustApprove(t, b, 1)
	c := meshNode(t, copyOf(t, b), Mesh{})
	a = meshNode(t, a.DataDir(), Mesh{})
	meets(t, c, a)
	if err := approve(t, c, 2); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("a copy signs: %v", err)
	}
}

// Two copies that both sign cost the identity: whoever sees both trusts it no longer.
func TestEquivocationEndsTrust(t *testing.T) {
	a, b := paired(t)
	meets(t, a, b)
	dir := b.DataDir()
	other := copyOf(t, b)
	b = meshNode(t, dir, Mesh{})
	mustApprove(t, b, 1)
	meets(t, a, b)
	genesis := b.self.Genesis()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	offline(t, other, func(c *Node) {
		if _, err := c.RotateKeystone(t.Context(), "a person decided so"); err != nil {
			t.Fatal(err)
		}
	})
	c := meshNode(t, other, Mesh{})
	_ = greets(t, a, c)
	if p := known(a, c); p.Trusted {
		t.Errorf("a knows %+v", p)
	}
	if k, err := a.Keystone(t.Context(), genesis); err != nil || k.Status != "disputed" || len(k.Evidence) != 1 {
		t.Errorf("a knows %+v, %v", k, err)
	}
	if c := lastChange(t, a); c.Change != TrustWithdrawn || c.By != byDispute {
		t.Errorf("log %+v", c)
	}
}

// A node of which others say that its keystone is disputed, or revoked, and which does not
// know why, tells its owner so, until it has another one.
func TestDoctorTellsWhatOthersSayOfTheKeystone(t *testing.T) {
	for _, tt := range []struct {
		word  string
		spoil func(t *testing.T, dir string)
	}{
		{"disputed", func(t *testing.T, dir string) {
			offline(t, dir, func(c *Node) {
				if _, err := c.RotateKeystone(t.Context(), "a person decided so"); err != nil {
					t.Fatal(err)
				}
			})
		}},
		{"revoked", func(t *testing.T, dir string) {
			offline(t, dir, func(c *Node) {
				if _, err := c.RevokeKeystone(t.Context(), "stolen"); err != nil {
					t.Fatal(err)
				}
			})
		}},
	} {
		t.Run(tt.word, func(t *testing.T) {
			a, b := paired(t)
			meets(t, a, b)
			dir := b.DataDir()
			other := copyOf(t, b)
			b = meshNode(t, dir, Mesh{})
			if tt.word == "disputed" {
				mustApprove(t, b, 1)
			}
			eventually(t, "they meet", func() bool { return greets(t, a, b) == nil }) // a may hold the old connection
			genesis := b.self.Genesis()
			tt.spoil(t, other)
			var frames bytes.Buffer
			offline(t, other, func(c *Node) {
				for g, err := range c.KeystoneFrames(t.Context(), genesis) {
					if err != nil {
						t.Fatal(err)
					}
					frames.Write(append(g.AppendJSON(nil), '\n'))
				}
			})
			_, _ = a.ImportKeystone(t.Context(), &frames) // what came in by another way
			if p := known(a, b); p.Trusted || !p.Denied {
				t.Fatalf("a knows %+v", p)
			}
			says := func() Check {
				t.Helper()
				d, err := b.Diagnose(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(d.Checks, func(c Check) bool { return c.Name == "keystone" })
				return d.Checks[i]
			}
			err := greets(t, b, a)
			var e *saga.Error
			if !errors.As(err, &e) || !e.Remote || e.Code != saga.CodeUntrusted || e.Reason != tt.word {
				t.Errorf("b is told %v", err)
			}
			if c := says(); c.State != CheckProblem || !strings.Contains(c.Finding, tt.word) || !strings.Contains(c.Finding, a.PeerID().String()) || c.Advice == "" {
				t.Errorf("doctor says %+v", c)
			}
			if _, err := b.RevokeKeystone(t.Context(), tt.word); err != nil {
				t.Fatal(err)
			}
			if _, err := b.NewKeystone(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			if err := greets(t, b, a); !errors.As(err, &e) || e.Reason != "" {
				t.Errorf("with a new keystone b is told %v", err)
			}
			if c := says(); c.State != CheckOK {
				t.Errorf("with a new keystone doctor says %+v", c)
			}
		})
	}
}

// Nobody but a trusted peer is answered, and that one about two keystones only.
func TestWhoIsAnsweredAboutKeystones(t *testing.T) {
	a, b := paired(t)
	meets(t, a, b)
	meets(t, b, a)
	stranger := meshNode(t, t.TempDir(), Mesh{})
	connect := func(from *Node) {
		t.Helper()
		if err := from.host.Connect(t.Context(), peer.AddrInfo{ID: a.PeerID(), Addrs: a.host.Addrs()}); err != nil {
			t.Fatal(err)
		}
	}
	connect(stranger)
	_, err := protocol.AskKeystone(t.Context(), stranger.host, a.PeerID(), a.self.Genesis().String(), ibgib.Hash{}, stranger.wire)
	if told, is := errors.AsType[*saga.Error](err); !is || told.Code != saga.CodeUntrusted {
		t.Errorf("a stranger: %v", err)
	}
	// a knows a third one's keystone, which is none of b's business.
	third := meshNode(t, t.TempDir(), Mesh{})
	if _, err := third.Accept(t.Context(), invite(t, a)); err != nil {
		t.Fatal(err)
	}
	meets(t, a, third)
	connect(b)
	for _, tt := range []struct {
		genesis  ibgib.Addr
		answered bool
	}{
		{a.self.Genesis(), true},
		{b.self.Genesis(), true},
		{a.sessions.own.Of(b.PeerID().String()), true},
		{a.sessions.own.Of(third.PeerID().String()), false},
		{third.self.Genesis(), false},
		{stranger.self.Genesis(), false},
	} {
		answer, err := protocol.AskKeystone(t.Context(), b.host, a.PeerID(), tt.genesis.String(), ibgib.Hash{}, b.wire)
		if err != nil || len(answer.Frames) > 0 != tt.answered || (answer.Known != ibgib.Hash{}) != tt.answered {
			t.Errorf("%s: %+v, %v", tt.genesis, answer, err)
		}
	}
}
