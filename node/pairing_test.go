package node

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// reworded returns an invite with another content.
func reworded(t *testing.T, invite string, change func(map[string]any)) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(invite, invitePrefix))
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	change(m)
	if raw, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	return invitePrefix + base64.RawURLEncoding.EncodeToString(raw)
}

func invite(t *testing.T, n *Node) string {
	t.Helper()
	i, err := n.Invite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return i.Text
}

func TestPairing(t *testing.T) {
	a, b := meshNode(t, t.TempDir(), Mesh{}), meshNode(t, t.TempDir(), Mesh{})
	text := invite(t, a)
	p, err := b.Accept(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Trusted || p.By != byInvite || p.Keystone != a.self.Genesis() {
		t.Errorf("b knows %+v", p)
	}
	if p := known(a, b); !p.Trusted || p.By != byInvite || p.Keystone != b.self.Genesis() {
		t.Errorf("a knows %+v", p)
	}
	// What was paired is there after a restart, with the log of it.
	loaded, err := loadTrust(a.dir.Trust(), time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := loaded.peer(b.PeerID()); !p.Trusted || p.By != byInvite || p.Keystone != b.self.Genesis() {
		t.Errorf("after a restart a knows %+v", p)
	}
	if log := loaded.changes(); len(log) != 1 || log[0].Change != TrustGiven || log[0].By != byInvite || log[0].PeerID != b.PeerID() {
		t.Errorf("log %+v", log)
	}
	if _, err := b.Accept(t.Context(), text); err != nil {
		t.Errorf("the second time: %v", err)
	}

	// The secret is in no file of either.
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, invitePrefix))
	if err != nil {
		t.Fatal(err)
	}
	var held inviteText
	if err := json.Unmarshal(raw, &held); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{a.dir.Invites(), a.dir.Trust(), b.dir.Trust()} {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(file), held.Secret) {
			t.Errorf("%s holds the secret", path)
		}
	}
}

func TestPairingRefused(t *testing.T) {
	a := meshNode(t, t.TempDir(), Mesh{})
	used := invite(t, a)
	if _, err := meshNode(t, t.TempDir(), Mesh{}).Accept(t.Context(), used); err != nil {
		t.Fatal(err)
	}
	fresh := invite(t, a)
	other := meshNode(t, t.TempDir(), Mesh{})
	set := func(name string, value any) func(map[string]any) {
		return func(m map[string]any) { m[name] = value }
	}
	for name, c := range map[string]struct {
		text string
		code saga.Code // 0: ErrInput
	}{
		"used by another":      {used, saga.CodeUntrusted},
		"another secret":       {reworded(t, fresh, set("secret", base64.RawURLEncoding.EncodeToString(make([]byte, 16)))), saga.CodeUntrusted},
		"another keystone":     {reworded(t, fresh, set("keystone", other.self.Genesis().String())), saga.CodeUntrusted},
		"another peer":         {reworded(t, fresh, set("peer", other.PeerID().String())), saga.CodeUnreachable},
		"expired":              {reworded(t, fresh, set("expires", time.Now().Add(-time.Minute).Unix())), 0},
		"a short secret":       {reworded(t, fresh, set("secret", "AAAA")), 0},
		"no peer":              {reworded(t, fresh, set("peer", "")), 0},
		"no keystone":          {reworded(t, fresh, set("keystone", "")), 0},
		"another version":      {reworded(t, fresh, set("v", 2)), 0},
		"an unknown member":    {reworded(t, fresh, set("more", 1)), 0},
		"an address":           {reworded(t, fresh, set("addrs", []string{"nowhere"})), 0},
		"too many addresses":   {reworded(t, fresh, set("addrs", make([]string, 17))), 0},
		"no JSON":              {invitePrefix + "AAAA", 0},
		"cut off":              {fresh[:len(fresh)-7], 0},
		"too long":             {fresh + strings.Repeat("A", maxInviteText), 0},
		"another kind of text": {"12D3KooWExample", 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := meshNode(t, t.TempDir(), Mesh{})
			_, err := b.Accept(t.Context(), c.text)
			var told *saga.Error
			switch {
			case err == nil:
				t.Error("accepted")
			case c.code == 0 && !errors.Is(err, ErrInput), c.code != 0 && (!errors.As(err, &told) || told.Code != c.code):
				t.Errorf("got %v", err)
			}
			if known(b, a).Trusted || known(b, other).Trusted {
				t.Error("b trusts it all the same")
			}
			// An invite of which the keystone was changed was proven all the same.
			if known(a, b).Trusted && name != "another keystone" {
				t.Error("a trusts it all the same")
			}
		})
	}
}

// An invite is there after a restart, and gone after its day.
func TestInvitesExpire(t *testing.T) {
	a := meshNode(t, t.TempDir(), Mesh{})
	invite(t, a)
	now := time.Now()
	l, err := loadInvites(a.dir.Invites(), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	if got := len(l.left()); got != 1 {
		t.Errorf("%d invites", got)
	}
	now = now.Add(InviteLife + time.Second)
	if got := len(l.left()); got != 0 {
		t.Errorf("%d invites a day later", got)
	}
	l.mu.Unlock()
	for range maxInvites {
		if _, _, err := l.make(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := l.make(); !errors.Is(err, ErrInput) {
		t.Errorf("one more than there may be: %v", err)
	}
}

// A trusted peer is known by the keystone that it names first.
func TestKeystoneIsBoundAtFirstContact(t *testing.T) {
	a, b := meshNode(t, t.TempDir(), Mesh{}), meshNode(t, t.TempDir(), Mesh{})
	if _, err := a.Trust(t.Context(), b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if !known(a, b).Keystone.IsZero() {
		t.Error("a keystone before it was named")
	}
	if err := greets(t, a, b); err != nil {
		t.Fatal(err)
	}
	first := b.self.Genesis()
	if got := known(a, b).Keystone; got != first {
		t.Errorf("bound to %v, want %v", got, first)
	}
	if p := known(b, a); p.Trusted || p.Keystone != a.self.Genesis() {
		t.Errorf("b knows the stranger as %+v", p)
	}
	if _, err := b.RotateKeystone(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	if err := greets(t, a, b); err != nil {
		t.Fatal(err)
	}
	if got := known(a, b).Keystone; got != first {
		t.Errorf("bound to %v because it was named, want %v", got, first)
	}
	log, err := a.TrustLog(t.Context())
	if err != nil || len(log) != 2 || log[0].Change != TrustBound || log[0].Keystone != first {
		t.Errorf("log %+v, %v", log, err)
	}
	// What a stranger has named is bound to it when it becomes trusted.
	if p, err := b.Trust(t.Context(), a.PeerID().String()); err != nil || p.Keystone != a.self.Genesis() {
		t.Errorf("b trusts %+v, %v", p, err)
	}
}

// The log of trust is bounded: the oldest changes go.
func TestTrustLogIsBounded(t *testing.T) {
	list, err := loadTrust(t.TempDir()+"/trust.json", time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	list.log = make([]TrustChange, maxTrustLog)
	list.mu.Lock()
	defer list.mu.Unlock()
	if err := list.save(TrustChange{Change: TrustGiven, Keystone: ibgib.Addr{}}); err != nil {
		t.Fatal(err)
	}
	if len(list.log) != maxTrustLog || list.log[maxTrustLog-1].Change != TrustGiven {
		t.Errorf("%d changes", len(list.log))
	}
}
