package identity_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/internal/identity"
)

const (
	self  = "12D3KooWADgkVjeZDju3X8RWjimUNk5A1rJonyvWfJxd9QaWKUXt"
	other = "12D3KooWF6Yh21imkwq89x8GJiVCKKGJJohUM7uzczCKdDvC5ewm"
)

func (h home) sessions(t *testing.T, o open) *identity.Sessions {
	t.Helper()
	s, err := identity.OpenSessions(filepath.Join(h.dir, "sessions.json"), o.Identity, self)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func renew(t *testing.T, s *identity.Sessions) ibgib.Addr {
	t.Helper()
	genesis, err := s.Renew(ctx, other)
	if err != nil {
		t.Fatal(err)
	}
	return genesis
}

func connect(i int) keystone.Claim {
	target, _ := ibgib.ParseAddr("sync_connection^" + string(bytes.Repeat([]byte{'A' + byte(i)}, 64)))
	return keystone.Claim{Verb: keystone.VerbConnect, Target: target}
}

// A session is authorised by the primary, signs, and is used again after a crash.
func TestSession(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	s := h.sessions(t, o)
	if !s.Of(other).IsZero() {
		t.Error("a session before the first")
	}
	genesis := renew(t, s)
	if got := renew(t, s); got != genesis || s.Of(other) != genesis {
		t.Errorf("%s, then %s", genesis, got)
	}
	if _, err := s.Sign(ctx, other, genesis, connect(0)); err != nil {
		t.Fatal(err)
	}
	if err := s.Note(other, o.Genesis()); err != nil {
		t.Fatal(err)
	}
	o.kill(t)
	o = h.open(t)
	s = h.sessions(t, o)
	if got := renew(t, s); got != genesis {
		t.Errorf("after a crash it is %s, it was %s", got, genesis)
	}
	if s.Theirs(other) != o.Genesis() {
		t.Error("the session of the peer is forgotten")
	}
	if _, err := s.Sign(ctx, other, genesis, connect(1)); err != nil {
		t.Fatal(err)
	}
	history, err := o.book.History(genesis)
	if err != nil || history.Len() != 3 {
		t.Fatalf("%v", err)
	}
	primary, err := o.History()
	if err != nil {
		t.Fatal(err)
	}
	terms, err := o.book.Session(ctx, genesis)
	if err != nil || terms.Peers != (keystone.Peers{self, other}) {
		t.Errorf("%+v, %v", terms, err)
	}
	if by, ok := o.book.Authority(terms); !ok || by.Genesis() != primary.Genesis() || primary.Len() != 2 {
		t.Errorf("authorised by %v; the primary has %d frames", ok, primary.Len())
	}
	// No secret is in the file.
	text, err := os.ReadFile(filepath.Join(h.dir, "sessions.json"))
	if err != nil {
		t.Fatal(err)
	}
	if secret := h.secretText(t, o.Genesis()); bytes.Contains(text, secret) {
		t.Error("the file of the sessions has the secret of the primary")
	}
}

// secretText returns the secret of a keystone as its file has it.
func (h home) secretText(t *testing.T, genesis ibgib.Addr) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(h.files().Folder, genesis.Gib()+".secret"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(text)
}

// A keystone that was rotated or that cannot sign has no session, and an old one signs
// nothing more.
func TestSessionEndsWithThePrimary(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	s := h.sessions(t, o)
	first := renew(t, s)
	if _, err := o.Rotate(ctx, "a test"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(ctx, other, first, connect(0)); !errors.Is(err, identity.ErrNoSession) {
		t.Errorf("a session of the old primary: %v", err)
	}
	second := renew(t, s)
	if second == first {
		t.Error("the session of the old primary is used")
	}
	if _, err := s.Sign(ctx, other, first, connect(0)); !errors.Is(err, identity.ErrNoSession) {
		t.Errorf("a session that was replaced: %v", err)
	}
	if _, err := o.Revoke(ctx, "a test"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(ctx, other, second, connect(0)); !errors.Is(err, identity.ErrNoSession) {
		t.Errorf("a session of a revoked primary: %v", err)
	}
	if _, err := s.Renew(ctx, other); !errors.Is(err, keystone.ErrRevoked) {
		t.Errorf("a new one of a revoked primary: %v", err)
	}
}

// A copy of a node never signs with a session that the other one may have used.
func TestSessionOfACopy(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	first := renew(t, h.sessions(t, o))
	o.kill(t)
	copied := h.copyTo(t)
	c := copied.open(t)
	s := copied.sessions(t, c)
	if _, err := s.Sign(ctx, other, first, connect(0)); !errors.Is(err, identity.ErrNoSession) {
		t.Errorf("a copy signs: %v", err)
	}
	if _, err := s.Renew(ctx, other); !errors.Is(err, identity.ErrUnconfirmed) {
		t.Errorf("a copy begins a session: %v", err)
	}
	history, err := c.History()
	if err != nil {
		t.Fatal(err)
	}
	if confirmed, err := c.Confirm(history.Tip().Addr()); err != nil || !confirmed {
		t.Fatal(confirmed, err)
	}
	if renew(t, s) == first {
		t.Error("the session of the other copy is used")
	}
}

// A copy without its secret says that, as the identity does: to be confirmed would not help.
func TestSessionOfACopyWithoutSecret(t *testing.T) {
	h := newHome(t)
	h.open(t).kill(t)
	copied := h.copyTo(t)
	if err := os.RemoveAll(copied.files().Folder); err != nil {
		t.Fatal(err)
	}
	c := copied.open(t)
	s := copied.sessions(t, c)
	if _, err := c.Sign(ctx, keystone.Request{Claim: connect(0)}); !errors.Is(err, identity.ErrNoSecret) {
		t.Errorf("the identity: %v", err)
	}
	if _, err := s.Renew(ctx, other); !errors.Is(err, identity.ErrNoSecret) {
		t.Errorf("a session: %v", err)
	}
	if err := s.Able(other); !errors.Is(err, identity.ErrNoSecret) {
		t.Errorf("whether there can be a session: %v", err)
	}
}

func TestSessionsFileIsChecked(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	path := filepath.Join(h.dir, "sessions.json")
	for _, text := range []string{"", "[]", `{"version":2}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.OpenSessions(path, o.Identity, self); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
