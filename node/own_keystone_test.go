package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// restoreOver brings a data directory, of which no node runs, back to what a copy of it
// has, in a way that is not noticed here: the folder of the store stays, its content is
// replaced.
func restoreOver(t *testing.T, dir, from string) {
	t.Helper()
	for _, folder := range []string{filepath.Join(dir, "store"), dir} {
		files, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.Name() == "store" {
				continue
			}
			if err := os.RemoveAll(filepath.Join(folder, f.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	copyInto(t, dir, from)
}

// A node that was restored unnoticed learns from the peers that have seen more of its
// keystones, before it signs anything for them; so it keeps its identity.
func TestPeerKnowsMoreThanARestoredNode(t *testing.T) {
	for _, tt := range []struct {
		name string
		// before is what happens before the copy, after what does then.
		before, after func(t *testing.T, a, b *Node)
		frames        int // of the primary, once it has met again
	}{
		{"its primary has signed", func(t *testing.T, a, b *Node) { meets(t, b, a) }, func(t *testing.T, a, b *Node) {
			mustApprove(t, b, 1)
			meets(t, b, a)
		}, 4},
		{"its session has signed", func(t *testing.T, a, b *Node) { meets(t, b, a) }, func(t *testing.T, a, b *Node) { meets(t, b, a) }, 3},
		{"its session has begun", func(*testing.T, *Node, *Node) {}, func(t *testing.T, a, b *Node) { meets(t, b, a) }, 3},
	} {
		for _, begins := range []string{"it begins", "the peer begins"} {
			t.Run(tt.name+", "+begins, func(t *testing.T) {
				a, b := quietPair(t)
				tt.before(t, a, b)
				kept := copyOf(t, b)
				b = meshNode(t, b.DataDir(), Mesh{})
				tt.after(t, a, b)
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
				restoreOver(t, b.DataDir(), kept)
				b = meshNode(t, b.DataDir(), Mesh{})
				if s := b.self.Summary(); !s.Confirmed {
					t.Fatal("the restore was noticed")
				}
				if begins == "it begins" {
					syncs(t, b, a)
				} else {
					syncs(t, a, b)
				}
				if p := known(a, b); !p.Trusted {
					t.Errorf("a knows %+v", p)
				}
				if k, err := b.Keystone(t.Context(), ibgib.Addr{}); err != nil || k.Status != "valid" || k.Frames != tt.frames || k.Signs != SignsReady {
					t.Errorf("the restored node has %+v, %v; want %d frames", k, err, tt.frames)
				}
				mustApprove(t, b, 3)
				meets(t, a, b)
				if k, err := a.Keystone(t.Context(), b.self.Genesis()); err != nil || k.Status != "valid" {
					t.Errorf("a knows %+v, %v", k, err)
				}
			})
		}
	}
}

// A node signs nothing for a peer that has not said what it knows of the node's keystone:
// the node may have been restored without noticing.
func TestNothingIsSignedUnheard(t *testing.T) {
	refuse := func(code saga.Code, retry bool) func(*protocol.KeystoneFrames) (*protocol.KeystoneFrames, error) {
		return func(*protocol.KeystoneFrames) (*protocol.KeystoneFrames, error) {
			return nil, &saga.Error{Code: code, Text: "no", Retry: retry}
		}
	}
	for _, tt := range []struct {
		name   string
		answer func(*protocol.KeystoneFrames) (*protocol.KeystoneFrames, error)
		code   saga.Code // of the sync; 0: it signs
		retry  bool
	}{
		{"busy", refuse(saga.CodeBusy, true), saga.CodeBusy, true},
		{"a failure of its own", refuse(saga.CodeInternal, false), saga.CodeInternal, false},
		{"it does not trust the node", refuse(saga.CodeUntrusted, false), saga.CodeUntrusted, false},
		{"it names a frame and does not bring it", func(*protocol.KeystoneFrames) (*protocol.KeystoneFrames, error) {
			return &protocol.KeystoneFrames{Known: junk(1).Hash()}, nil
		}, saga.CodeUntrusted, true},
		{"it knows the newest frame", func(ask *protocol.KeystoneFrames) (*protocol.KeystoneFrames, error) {
			return &protocol.KeystoneFrames{Known: ask.Known}, nil
		}, 0, false},
		{"it knows nothing", func(*protocol.KeystoneFrames) (*protocol.KeystoneFrames, error) {
			return new(protocol.KeystoneFrames), nil
		}, 0, false},
		{"it answers no such questions", refuse(saga.CodeUnsupported, false), 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := startHere(t)
			p := newPersona(t, newPeer(t), n.PeerID())
			service, err := protocol.Serve(t.Context(), p.host, protocol.Handlers{
				Authorize: func(context.Context, peer.ID) error { return nil },
				Saga:      func(context.Context, peer.ID, *saga.Init, saga.Conn) {},
				Meet:      func(context.Context, *protocol.Meeting) {},
				Self:      p.self(ibgib.Hash{}),
				Keystone: func(_ context.Context, _ peer.ID, ask *protocol.KeystoneFrames) (*protocol.KeystoneFrames, error) {
					return tt.answer(ask)
				},
			}, protocol.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := service.Close(); err != nil {
					t.Error(err)
				}
			})
			if _, err := n.Trust(t.Context(), p.host.ID().String()); err != nil {
				t.Fatal(err)
			}
			frames := framesOf(t, n)
			_, err = n.Sync(t.Context(), addrOf(p.host), nil)
			if tt.code == 0 {
				if got := framesOf(t, n); got != frames+1 {
					t.Errorf("its keystone has %d frames, before %d: the session is not authorised: %v", got, frames, err)
				}
				return
			}
			var e *saga.Error
			if !errors.As(err, &e) || e.Code != tt.code || e.Retry != tt.retry {
				t.Errorf("the sync: %v, want code %s and retry %t", err, tt.code, tt.retry)
			}
			if got := framesOf(t, n); got != frames {
				t.Errorf("its keystone has %d frames, before %d", got, frames)
			}
		})
	}
	// A node that does not run serves nothing: what it knows is what it names.
	for name, tt := range map[string]struct {
		known ibgib.Hash
		more  int
	}{"it names a frame and cannot be asked": {junk(1).Hash(), 0}, "it names none and cannot be asked": {ibgib.Hash{}, 1}} {
		t.Run(name, func(t *testing.T) {
			n := startHere(t)
			p := newPersona(t, newPeer(t), n.PeerID())
			if _, err := n.Trust(t.Context(), p.host.ID().String()); err != nil {
				t.Fatal(err)
			}
			frames := framesOf(t, n)
			m, err := protocol.Meet(t.Context(), p.host, infoOf(t, n), p.self(tt.known), protocol.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if m.HasSessions() != (tt.more > 0) {
				t.Errorf("there is a session: %t", m.HasSessions())
			}
			m.Fail(t.Context(), nil)
			if got := framesOf(t, n); got != frames+tt.more {
				t.Errorf("its keystone has %d frames, before %d", got, frames)
			}
		})
	}
}

func framesOf(t *testing.T, n *Node) int {
	t.Helper()
	h, err := n.self.History()
	if err != nil {
		t.Fatal(err)
	}
	return h.Len()
}

func addrOf(h host.Host) string { return fmt.Sprintf("%s/p2p/%s", h.Addrs()[0], h.ID()) }
