package identity_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/internal/identity"
)

var ctx = context.Background()

// home is a data directory as far as the identity goes.
type home struct {
	dir string
	key ed25519.PrivateKey
}

func newHome(t testing.TB) home {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return home{t.TempDir(), key}
}

func (h home) files() identity.Files {
	return identity.Files{State: filepath.Join(h.dir, "keystone.json"), Folder: filepath.Join(h.dir, "keystones"), Store: filepath.Join(h.dir, "store")}
}

// open is what is open of a home.
type open struct {
	store *blockstore.Store
	book  *identity.Book
	*identity.Identity
}

func env() ibgib.Env {
	return ibgib.Env{Now: time.Now, UUID: func() string {
		var b [32]byte
		rand.Read(b[:])
		return hex.EncodeToString(b[:])
	}}
}

func (h home) tryOpen(t testing.TB, o identity.Options) (open, error) {
	t.Helper()
	book := identity.NewBook(h.files().Folder)
	store, err := blockstore.Open(h.files().Store, blockstore.Options{Admit: book.Admit})
	if err != nil {
		t.Fatal(err)
	}
	if err := book.Attach(ctx, store); err != nil {
		return open{}, errors.Join(err, store.Close())
	}
	id, err := identity.Open(ctx, book, h.key, env(), h.files(), o)
	if err != nil {
		return open{}, errors.Join(err, store.Close())
	}
	return open{store, book, id}, nil
}

func (h home) open(t testing.TB) open {
	t.Helper()
	o, err := h.tryOpen(t, identity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.store.Close() })
	return o
}

// shut closes in good order; kill leaves the book unsaved.
func (o open) shut(t testing.TB) {
	t.Helper()
	o.Identity.Close()
	if err := errors.Join(o.book.Close(), o.store.Close()); err != nil {
		t.Fatal(err)
	}
}

func (o open) kill(t testing.TB) {
	t.Helper()
	if err := o.store.Close(); err != nil {
		t.Fatal(err)
	}
}

func target(t testing.TB, i int) ibgib.Addr {
	t.Helper()
	g, err := ibgib.New("note", ibgib.Object(ibgib.Member{Name: "i", Value: ibgib.Number(float64(i))}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return g.Addr()
}

func request(t testing.TB, i int) keystone.Request {
	return keystone.Request{Claim: keystone.Claim{Verb: "note", Target: target(t, i)}}
}

func (o open) sign(t testing.TB, i int) ibgib.IbGib {
	t.Helper()
	g, err := o.Sign(ctx, request(t, i))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (o open) len(t testing.TB) int {
	t.Helper()
	h, err := o.History()
	if err != nil {
		t.Fatal(err)
	}
	return h.Len()
}

func (o open) frames(t testing.TB) []ibgib.IbGib {
	t.Helper()
	list, err := o.Frames(ctx, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// copyTo copies a home, as cp -r does.
func (h home) copyTo(t testing.TB) home {
	t.Helper()
	to := home{t.TempDir(), h.key}
	h.copyOver(t, to)
	return to
}

// copyOver makes the directory of another home of this one's.
func (h home) copyOver(t testing.TB, to home) {
	t.Helper()
	if err := os.CopyFS(to.dir, os.DirFS(h.dir)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{to.files().State} {
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secrets, _ := filepath.Glob(filepath.Join(to.files().Folder, "*.secret"))
	for _, path := range secrets {
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
