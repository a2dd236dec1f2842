package node

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
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
