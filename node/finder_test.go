package node

import (
	"testing"
	"time"
)

// eventually waits until something is so that is bound to be so soon.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// Nodes that trust each other connect by themselves: at once where trust names an
// address, and after a restart at another port.
func TestTrustedPeersAreDialled(t *testing.T) {
	dir := t.TempDir()
	a, b := meshNode(t, dir, Mesh{}), meshNode(t, t.TempDir(), Mesh{})
	if _, err := b.Trust(t.Context(), a.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Trust(t.Context(), b.Identity().Addrs[0]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a connects to b", func() bool { return known(a, b).Connected && known(b, a).Connected })
	eventually(t, "b knows where a listens", func() bool { return len(b.contacts.addrs(a.PeerID())) > 0 })

	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = meshNode(t, dir, Mesh{})
	eventually(t, "a connects to b after a restart", func() bool { return known(a, b).Connected && known(b, a).Connected })

	// A connection that is lost comes back.
	for _, c := range b.host.Network().ConnsToPeer(a.PeerID()) {
		_ = c.Close()
	}
	eventually(t, "they connect again", func() bool { return known(a, b).Connected && known(b, a).Connected })

	if !a.host.ConnManager().IsProtected(b.PeerID(), trustedTag) {
		t.Error("connections of a trusted peer are not protected")
	}
	if err := a.Untrust(t.Context(), b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if a.host.ConnManager().IsProtected(b.PeerID(), trustedTag) || len(a.contacts.addrs(b.PeerID())) > 0 {
		t.Error("something of a peer is kept that is no longer trusted")
	}
}

func TestRedialAfter(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: firstRedial, 1: 2 * firstRedial, 4: 16 * firstRedial, 9: lastRedial, 1 << 30: lastRedial} {
		for range 100 {
			if got := redialAfter(failures); got < want*3/4 || got > want*5/4 {
				t.Fatalf("after %d failures: %s, want about %s", failures, got, want)
			}
		}
	}
}
