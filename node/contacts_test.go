package node

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

func mustLoadContacts(t *testing.T, path string, c *clock) *contacts {
	t.Helper()
	list, err := loadContacts(path, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func addrsOf(list []ma.Multiaddr) (texts []string) {
	for _, a := range list {
		texts = append(texts, a.String())
	}
	return texts
}

func TestContactsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "contacts.json")
	c := &clock{at: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}
	list := mustLoadContacts(t, path, c)
	id := testPeer(t, 1)
	relayed := ma.StringCast("/ip4/192.0.2.9/tcp/1/p2p/" + id.String() + "/p2p-circuit")
	list.saw(id, []ma.Multiaddr{ma.StringCast("/ip4/192.0.2.1/tcp/1"), relayed, ma.StringCast("/ip4/192.0.2.2/udp/1/quic-v1")})
	c.at = c.at.Add(time.Hour)
	list.reached(id, ma.StringCast("/ip4/192.0.2.2/udp/1/quic-v1"))
	list.saw(id, []ma.Multiaddr{ma.StringCast("/ip4/192.0.2.3/tcp/1"), ma.StringCast("/dns4/example.org/tcp/443/tls/ws")})
	want := []string{"/ip4/192.0.2.2/udp/1/quic-v1", "/ip4/192.0.2.3/tcp/1", "/dns4/example.org/tcp/443/tls/ws", "/ip4/192.0.2.1/tcp/1"}
	if got := addrsOf(list.addrs(id)); !slices.Equal(got, want) {
		t.Errorf("addresses %q, want %q", got, want)
	}
	if err := list.save(); err != nil {
		t.Fatal(err)
	}
	again := mustLoadContacts(t, path, c)
	if got := addrsOf(again.addrs(id)); !slices.Equal(got, want) {
		t.Errorf("after a restart: %q", got)
	}
	var shown Peer
	again.show(id, &shown)
	if !shown.LastSeen.Equal(time.Date(2026, 1, 2, 4, 4, 5, 0, time.UTC)) {
		t.Errorf("shown as %+v", shown)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v", info.Mode(), err)
	}
	again.forget(id)
	if err := again.save(); err != nil {
		t.Fatal(err)
	}
	if got := mustLoadContacts(t, path, c).addrs(id); len(got) > 0 {
		t.Errorf("forgotten, but still %v", got)
	}
}

func TestContactsAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "contacts.json")
	c := &clock{at: time.Unix(1e9, 0)}
	list := mustLoadContacts(t, path, c)
	name := func(i int) peer.ID { return peer.ID(fmt.Sprintf("peer %d", i)) }
	for i := range maxContacts + 10 {
		c.at = c.at.Add(time.Second)
		list.saw(name(i), []ma.Multiaddr{ma.StringCast("/ip4/192.0.2.1/tcp/1")})
	}
	if n := len(list.list); n != maxContacts {
		t.Errorf("%d contacts, want %d", n, maxContacts)
	}
	if len(list.addrs(name(9))) > 0 || len(list.addrs(name(10))) == 0 {
		t.Error("it was not the oldest that had to go")
	}
	for i := range 20 {
		list.saw(name(20), []ma.Multiaddr{ma.StringCast(fmt.Sprintf("/ip4/192.0.2.1/tcp/%d", i+2))})
	}
	if got := list.addrs(name(20)); len(got) != maxContactAddrs {
		t.Errorf("%d addresses, want %d", len(got), maxContactAddrs)
	}
}

// A file that is damaged costs what was in it, and no more.
func TestDamagedContacts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "contacts.json")
	id := testPeer(t, 1).String()
	for _, text := range []string{
		"", "{", `{"version":2}`, `{"version":1,"peers":[{"peerId":"nobody"}]}`,
		`{"version":1,"peers":[{"peerId":"` + id + `","addrs":["nonsense","/dns4/x","/ip4/192.0.2.1/udp/1/quic-v1/webtransport"]}]}`,
		`{"version":1,"peers":[{"peerId":"` + id + `","addrs":[` + strings.Repeat(`"/ip4/192.0.2.1/udp/1/quic-v1/webtransport",`, 1000) + `""]}]}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		list := mustLoadContacts(t, path, &clock{})
		for p := range list.list {
			if got := list.addrs(p); len(got) > 0 {
				t.Errorf("%.80s: %v", text, got)
			}
		}
	}
}
