package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/saga"
)

var (
	meshSecret  = []byte("the secret of this mesh\n")
	otherSecret = []byte("the secret of another mesh\n")
)

// meshNode starts a node that listens on loopback only.
func meshNode(t *testing.T, dir string, mesh Mesh) *Node {
	t.Helper()
	n, err := Open(Config{Data: dir, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Mesh: mesh})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// greets has one node greet another.
func greets(t *testing.T, a, b *Node) error {
	t.Helper()
	return a.greet(t.Context(), a.host, peer.AddrInfo{ID: b.PeerID(), Addrs: b.host.Addrs()})
}

// known returns what one node knows of another.
func known(a, b *Node) Peer { return a.peerNow(b.PeerID()) }

func TestMeetings(t *testing.T) {
	lan := Mesh{Secret: meshSecret, Trust: TrustLAN}
	manual := Mesh{Secret: meshSecret, Trust: TrustManual}
	other := Mesh{Secret: otherSecret, Trust: TrustLAN}
	tests := []struct {
		name             string
		a, b             Mesh
		aTrusts, bTrusts bool
		aProved, bProved bool // what a and b know of a peer that is pending
		code             saga.Code
	}{
		{name: "both trust the mesh", a: lan, b: lan, aTrusts: true, bTrusts: true},
		{name: "both have a secret and no more", a: Mesh{Secret: meshSecret}, b: Mesh{Secret: meshSecret}, aTrusts: true, bTrusts: true},
		{name: "only one does", a: lan, b: manual, aTrusts: true, bProved: true},
		{name: "only the other does", a: manual, b: lan, bTrusts: true, aProved: true},
		{name: "another mesh", a: lan, b: other, code: saga.CodeUntrusted},
		{name: "one without secret", a: lan, b: Mesh{}},
		{name: "two strangers", a: Mesh{}, b: Mesh{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := meshNode(t, t.TempDir(), tt.a), meshNode(t, t.TempDir(), tt.b)
			if err := greets(t, a, b); code(err) != tt.code {
				t.Fatal(err)
			}
			for _, side := range []struct {
				of              string
				got             Peer
				trusted, proved bool
			}{
				{"a", known(a, b), tt.aTrusts, tt.aProved},
				{"b", known(b, a), tt.bTrusts, tt.bProved},
			} {
				p := side.got
				if p.Trusted != side.trusted || p.Trusted && p.By != byMesh || p.Proved != side.proved {
					t.Errorf("%s knows of the other: %+v", side.of, p)
				}
				if !p.Trusted && (p.LastAsked.IsZero() || len(p.Addrs) == 0) {
					t.Errorf("%s does not list the other with an address: %+v", side.of, p)
				}
			}
			if x, y := known(a, b).Words, known(b, a).Words; x != y || x == "" {
				t.Errorf("a shows the words %q, b %q", x, y)
			}
		})
	}
}

// The secret counts on a direct connection from a network of this machine only.
func TestProofFromElsewhere(t *testing.T) {
	lan := Mesh{Secret: meshSecret, Trust: TrustLAN}
	a, b := meshNode(t, t.TempDir(), lan), meshNode(t, t.TempDir(), lan)
	a.listen = nil // as if it listened everywhere: then loopback is no network
	if err := greets(t, a, b); err != nil {
		t.Fatal(err)
	}
	if p := known(a, b); p.Trusted || !p.Proved {
		t.Errorf("trusted from loopback: %+v", p)
	}
	if p := known(b, a); !p.Trusted {
		t.Errorf("not trusted: %+v", p)
	}
}

// Trust that a person withdraws does not come back by itself, also not after a
// restart; a person can give it again.
func TestWithdrawnTrustStays(t *testing.T) {
	lan := Mesh{Secret: meshSecret, Trust: TrustLAN}
	dir := t.TempDir()
	a, b := meshNode(t, dir, lan), meshNode(t, t.TempDir(), lan)
	if err := greets(t, b, a); err != nil {
		t.Fatal(err)
	}
	if err := a.Untrust(t.Context(), b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = meshNode(t, dir, lan)
	if err := greets(t, b, a); code(err) != saga.CodeUntrusted {
		t.Errorf("b was told %v", err)
	}
	if err := greets(t, a, b); err != nil {
		t.Fatal(err)
	}
	if p := known(a, b); p.Trusted || !p.Denied || p.Since.IsZero() {
		t.Errorf("after a proof: %+v", p)
	}
	if _, err := a.Trust(t.Context(), b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if p := known(a, b); !p.Trusted || p.Denied || p.By != byHand {
		t.Errorf("after trust by hand: %+v", p)
	}
}

// Another secret ends the trust that the one before has brought, and none other.
func TestAnotherSecretEndsTrust(t *testing.T) {
	lan := Mesh{Secret: meshSecret, Trust: TrustLAN}
	dir := t.TempDir()
	a, b, c := meshNode(t, dir, lan), meshNode(t, t.TempDir(), lan), meshNode(t, t.TempDir(), lan)
	for _, other := range []*Node{b, c} {
		if err := greets(t, a, other); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Trust(t.Context(), c.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	reopen := func(mesh Mesh) {
		t.Helper()
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		a = meshNode(t, dir, mesh)
	}
	reopen(lan)
	if p := known(a, b); !p.Trusted || p.By != byMesh {
		t.Errorf("with the same secret: %+v", p)
	}
	reopen(Mesh{Secret: otherSecret, Trust: TrustLAN})
	if p := known(a, b); p.Trusted || p.Denied {
		t.Errorf("with another secret: %+v", p)
	}
	if p := known(a, c); !p.Trusted || p.By != byHand {
		t.Errorf("trusted by hand: %+v", p)
	}
}

func TestMeshIsChecked(t *testing.T) {
	for name, mesh := range map[string]Mesh{
		"lan without a secret": {Trust: TrustLAN},
		"a short secret":       {Secret: []byte("short")},
		"an unknown mode":      {Trust: "everybody", Secret: meshSecret},
		"a long name":          {Name: string(make([]byte, maxMeshName+1))},
	} {
		if _, err := Open(Config{Data: t.TempDir(), Mesh: mesh}); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMeshSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if _, err := ReadMeshSecret(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := WriteMeshSecret(path); err != nil {
		t.Fatal(err)
	}
	first, err := ReadMeshSecret(path)
	if err != nil || len(first) != 65 {
		t.Errorf("a secret of %d bytes, %v", len(first), err)
	}
	if err := WriteMeshSecret(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	if again, err := ReadMeshSecret(path); err != nil || string(again) != string(first) {
		t.Errorf("the file has changed: %v", err)
	}
	if err := os.WriteFile(path, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMeshSecret(path); !errors.Is(err, ErrInput) {
		t.Errorf("short: %v", err)
	}
	if _, err := ReadMeshSecret(t.TempDir()); !errors.Is(err, ErrInput) {
		t.Errorf("a folder: %v", err)
	}
	if runtime.GOOS == "windows" {
		return // modes mean nothing there
	}
	if err := errors.Join(os.WriteFile(path, first, 0o600), os.Chmod(path, 0o640)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMeshSecret(path); !errors.Is(err, ErrInput) {
		t.Errorf("readable by others: %v", err)
	}
}

// A list of the first version is read, and all on it are trusted by hand.
func TestFirstTrustFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trust.json")
	id := testPeer(t, 1)
	text := `{"version":1,"peers":[{"peerId":"` + id.String() + `","since":"2026-01-02T03:04:05Z"}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	list := mustLoadTrust(t, path, &clock{})
	if p := list.peer(id); !p.Trusted || p.By != byHand {
		t.Errorf("%+v", p)
	}
	if gone, err := list.useMesh("tag"); len(gone) > 0 || err != nil {
		t.Errorf("gone: %v, %v", gone, err)
	}
}

// Trust that cannot be stored is not given, and what cannot be stored as
// withdrawn is not withdrawn.
func TestTrustThatCannotBeStored(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "trust.json")
	list := mustLoadTrust(t, path, &clock{})
	a, b := testPeer(t, 1), testPeer(t, 2)
	if _, err := list.admit(a, "tag"); err != nil {
		t.Fatal(err)
	}
	list.path = filepath.Join(dir, "gone", "trust.json")
	if err := list.add(b); err == nil {
		t.Error("trust was given without being stored")
	}
	if err := list.add(a); err == nil {
		t.Error("trust by hand was given without being stored")
	}
	if _, err := list.remove(a, byHand); err == nil {
		t.Error("trust was withdrawn without being stored")
	}
	if _, err := list.useMesh("other"); err == nil {
		t.Error("trust was ended without being stored")
	}
	if p := list.peer(a); !p.Trusted || p.By != byMesh || p.Denied {
		t.Errorf("a: %+v", p)
	}
	if p := list.peer(b); p.Trusted {
		t.Errorf("b: %+v", p)
	}
	if err := list.Authorize(context.Background(), b); code(err) != saga.CodeUntrusted {
		t.Errorf("b: %v", err)
	}
	if _, err := list.remove(b, byHand); err != nil && !errors.Is(err, blockstore.ErrNotFound) {
		t.Error(err)
	}
}

func TestOnlyLoopback(t *testing.T) {
	for name, tt := range map[string]struct {
		listen []string
		want   bool
	}{
		"the default":             {nil, false},
		"loopback":                {[]string{"/ip4/127.0.0.1/tcp/0", "/ip6/::1/udp/0/quic-v1", "/ip4/127.9.9.9/tcp/1"}, true},
		"all interfaces":          {[]string{"/ip4/0.0.0.0/tcp/0"}, false},
		"loopback and another":    {[]string{"/ip4/127.0.0.1/tcp/0", "/ip4/192.0.2.1/tcp/0"}, false},
		"loopback in another way": {[]string{"/ip6/::ffff:127.0.0.1/tcp/0"}, true},
	} {
		if got := onlyLoopback(tt.listen); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
