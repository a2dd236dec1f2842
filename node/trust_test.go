package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/saga"
)

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestTrustIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trust.json")
	c := &clock{at: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}
	list := mustLoadTrust(t, path, c)
	id := testPeer(t, 1)
	if err := list.Authorize(t.Context(), id); code(err) != saga.CodeUntrusted {
		t.Errorf("stranger: %v", err)
	}
	if err := list.add(id); err != nil {
		t.Fatal(err)
	}
	c.at = c.at.Add(time.Hour)
	if err := list.add(id); err != nil { // keeps the first time
		t.Fatal(err)
	}
	if err := list.Authorize(t.Context(), id); err != nil {
		t.Errorf("trusted: %v", err)
	}

	again := mustLoadTrust(t, path, c)
	if since, ok := again.trusts(id); !ok || !since.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("after a restart: since %v, %t", since, ok)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v", info.Mode(), err)
	}
	if was, err := again.remove(id, byHand); err != nil || !was {
		t.Errorf("remove: %t, %v", was, err)
	}
	if was, err := again.remove(id, byHand); err != nil || was {
		t.Errorf("second remove: %t, %v", was, err)
	}
	if err := mustLoadTrust(t, path, c).Authorize(t.Context(), id); code(err) != saga.CodeUntrusted {
		t.Errorf("after removal: %v", err)
	}
}

// A flood of strangers costs bounded memory and does not push out those that
// are listed.
func TestStrangersAreBounded(t *testing.T) {
	c := &clock{at: time.Unix(1e9, 0)}
	list := mustLoadTrust(t, filepath.Join(t.TempDir(), "trust.json"), c)
	ask := func(i int) {
		t.Helper()
		if err := list.Authorize(t.Context(), peer.ID(fmt.Sprintf("peer %d", i))); code(err) != saga.CodeUntrusted {
			t.Fatal(err)
		}
	}
	for i := range 2 * strangersPerPeriod {
		ask(i)
	}
	if n := len(list.pending.strangers); n != strangersPerPeriod {
		t.Errorf("%d strangers listed in one period, want %d", n, strangersPerPeriod)
	}
	for i := range 2 * maxStrangers {
		c.at = c.at.Add(strangerPeriod)
		ask(i)
	}
	if n := len(list.pending.strangers); n != maxStrangers {
		t.Errorf("%d strangers listed, want %d", n, maxStrangers)
	}
	if s := list.pending.strangers["peer 0"]; s == nil || s.asked != 2 {
		t.Errorf("the first stranger: %+v", s)
	}
	c.at = c.at.Add(strangerExpires)
	ask(-1)
	if n := len(list.pending.strangers); n != 1 {
		t.Errorf("%d strangers listed after a day, want 1", n)
	}
}

func TestDamagedTrustList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trust.json")
	for _, text := range []string{"", "{", `{"version":5}`, `{"version":1,"peers":[{"peerId":"nobody"}]}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadTrust(path, time.Now, ignoreChange); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func mustLoadTrust(t *testing.T, path string, c *clock) *trust {
	t.Helper()
	list, err := loadTrust(path, c.now, ignoreChange)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func testPeer(t *testing.T, i int) peer.ID {
	t.Helper()
	id, err := createPeerKey(filepath.Join(t.TempDir(), fmt.Sprint(i)))
	if err != nil {
		t.Fatal(err)
	}
	return id.id
}

func code(err error) saga.Code {
	var e *saga.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code
}

func ignoreChange(peer.ID, PeerChange) {}
