package identity_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/internal/identity"
)

func TestIdentityIsMadeOnce(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	genesis := o.Genesis()
	if s := o.Summary(); !s.Confirmed || s.Sealed || s.NoSecret {
		t.Errorf("a new identity: %+v", s)
	}
	o.shut(t)
	o = h.open(t)
	if o.Genesis() != genesis {
		t.Errorf("first %s, then %s", genesis, o.Genesis())
	}
	if r := keystone.Validate(o.frames(t)); !r.Valid || r.Frames != 1 {
		t.Errorf("not valid: %+v", r)
	}
	first, err := keystone.Parse(o.frames(t)[0])
	if err != nil {
		t.Fatal(err)
	}
	var pools []string
	for _, p := range first.Pools {
		pools = append(pools, p.ID())
	}
	if !slices.Equal(pools, []string{keystone.PoolDefault, keystone.PoolSync, keystone.PoolRevoke}) {
		t.Errorf("pools %v", pools)
	}
}

// What Sign returned is there after a kill, the book saved or not.
func TestSignedFramesAreDurable(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	var last ibgib.IbGib
	const frames = 70 // crosses snapshots
	for i := range frames {
		last = o.sign(t, i)
	}
	o.kill(t)
	o = h.open(t)
	hist, err := o.History()
	if err != nil {
		t.Fatal(err)
	}
	if hist.Tip().Addr() != last.Addr() || hist.Len() != frames+1 {
		t.Fatalf("%d frames, newest %s; want %d, %s", hist.Len(), hist.Tip().Addr(), frames+1, last.Addr())
	}
	if !o.Summary().Confirmed {
		t.Error("a kill is no restore")
	}
	o.sign(t, frames)
	if r := keystone.Validate(o.frames(t)); !r.Valid || r.Frames != frames+2 {
		t.Errorf("not valid: %+v", r)
	}
}

func TestSignConcurrently(t *testing.T) {
	o := newHome(t).open(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := o.Sign(ctx, request(t, i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if r := keystone.Validate(o.frames(t)); !r.Valid || r.Frames != 9 {
		t.Errorf("not valid: %+v", r)
	}
}

// A copy of the directory signs nothing until a peer has confirmed, however often it
// is started.
func TestCopySignsNothing(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	o.sign(t, 1)
	o.shut(t)

	copied := h.copyTo(t)
	c := copied.open(t)
	for range 2 {
		if _, err := c.Sign(ctx, request(t, 2)); !errors.Is(err, identity.ErrUnconfirmed) {
			t.Fatalf("a copy signs: %v", err)
		}
		c.shut(t)
		c = copied.open(t)
	}
	hist, err := c.History()
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := c.Confirm(hist.Genesis()); ok || err != nil {
		t.Errorf("an older frame confirms: %v, %v", ok, err)
	}
	if ok, err := c.Confirm(hist.Tip().Addr()); !ok || err != nil {
		t.Fatalf("not confirmed: %v", err)
	}
	c.sign(t, 3)
	c.shut(t)
	if c = copied.open(t); !c.Summary().Confirmed {
		t.Error("the confirmation is forgotten")
	}
	o = h.open(t)
	if !o.Summary().Confirmed {
		t.Error("the original was not touched")
	}
}

// What is restored where the directory was deleted is no less a copy: file systems give
// the number of a folder that was deleted to the next one.
func TestRestoredInTheSamePlaceSignsNothing(t *testing.T) {
	h := newHome(t)
	restore := func(from home) open {
		t.Helper()
		if err := os.RemoveAll(h.dir); err != nil {
			t.Fatal(err)
		}
		from.copyOver(t, h)
		return h.open(t)
	}
	o := h.open(t)
	first := o.sign(t, 1)
	o.shut(t)
	o = restore(h.copyTo(t)) // so that all folders are made in the same order
	if ok, err := o.Confirm(first.Addr()); !ok || err != nil {
		t.Fatalf("not confirmed: %v", err)
	}
	o.shut(t)
	kept := h.copyTo(t)
	o = h.open(t)
	o.sign(t, 2)
	o.shut(t)
	for range 5 { // the number is not always given again at once
		o = restore(kept)
		if _, err := o.Sign(ctx, request(t, 3)); !errors.Is(err, identity.ErrUnconfirmed) {
			t.Fatalf("a restored directory signs: %v", err)
		}
		o.shut(t)
	}
}

// An old copy learns from a peer what it has signed since, then goes on.
func TestOldCopyCatchesUp(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	o.sign(t, 1)
	o.shut(t)
	old := h.copyTo(t)
	o = h.open(t)
	newest := o.sign(t, 2)
	all := o.frames(t)
	o.shut(t)

	c := old.open(t)
	if ok, _ := c.Confirm(newest.Addr()); ok {
		t.Fatal("confirmed by a frame that it does not have")
	}
	if _, err := c.book.Extend(ctx, "a peer", all); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.Confirm(newest.Addr()); !ok || err != nil {
		t.Fatalf("not confirmed: %v", err)
	}
	c.sign(t, 3)
}

// A store that has lost frames of the file's snapshot is older than what was signed.
func TestOldStoreUnderNewFiles(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	o.sign(t, 1)
	o.shut(t)
	kept := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(kept, os.DirFS(h.files().Store)); err != nil {
		t.Fatal(err)
	}
	o = h.open(t)
	o.sign(t, 2)
	o.shut(t)
	// The content of the folder is that of before; the folder is the same.
	files, err := os.ReadDir(h.files().Store)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.RemoveAll(filepath.Join(h.files().Store, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(h.files().Store, os.DirFS(kept)); err != nil {
		t.Fatal(err)
	}
	o = h.open(t)
	if _, err := o.Sign(ctx, request(t, 3)); !errors.Is(err, identity.ErrUnconfirmed) {
		t.Errorf("signs on an older frame: %v", err)
	}
	if got := o.len(t); got != 2 {
		t.Errorf("%d frames, want the 2 that the store has", got)
	}
}

func TestRevokeEndsIt(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	o.sign(t, 1)
	if _, err := o.Revoke(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	o.kill(t)
	o = h.open(t)
	hist, _ := o.History()
	if hist.Status() != keystone.Revoked {
		t.Errorf("status %s", hist.Status())
	}
	if _, err := o.Sign(ctx, request(t, 2)); !errors.Is(err, keystone.ErrRevoked) {
		t.Errorf("a revoked keystone signs: %v", err)
	}
	old, fresh, err := o.Replace(ctx)
	if err != nil || old == fresh || o.Genesis() != fresh {
		t.Fatalf("%s, %s: %v", old, fresh, err)
	}
	o.sign(t, 3)
}

func TestRotate(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	o.sign(t, 1)
	old := o.Genesis()
	r, err := o.Rotate(ctx, "an old laptop")
	if err != nil {
		t.Fatal(err)
	}
	if r.Old != old || r.New != o.Genesis() || r.New == old {
		t.Errorf("from %s to %s, now %s", r.Old, r.New, o.Genesis())
	}
	before, err := o.book.History(old)
	if err != nil || !before.RotatedTo(r.New) {
		t.Errorf("no handover: %v", err)
	}
	secrets, _ := filepath.Glob(filepath.Join(h.files().Folder, "*.secret"))
	if len(secrets) != 1 {
		t.Errorf("secrets left: %v", secrets)
	}
	o.sign(t, 2)
	o.shut(t)
	o = h.open(t)
	if s := o.Summary(); s.Genesis != r.New || !slices.Equal(s.Previous, []ibgib.Addr{old}) || !s.Confirmed {
		t.Errorf("after a restart: %+v", s)
	}
}

// A copy that may not sign can still be given an identity of its own.
func TestRotateWhatIsNotConfirmed(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	o.shut(t)
	c := h.copyTo(t).open(t)
	if _, err := c.Rotate(ctx, ""); err != nil {
		t.Fatal(err)
	}
	c.sign(t, 1)
}

func TestLostSecret(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	o.sign(t, 1)
	old := o.Genesis()
	o.shut(t)
	secrets, _ := filepath.Glob(filepath.Join(h.files().Folder, "*.secret"))
	for _, path := range secrets {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	o = h.open(t)
	if !o.Summary().NoSecret {
		t.Error("the summary does not say so")
	}
	for name, f := range map[string]func() error{
		"sign":   func() error { _, err := o.Sign(ctx, request(t, 2)); return err },
		"revoke": func() error { _, err := o.Revoke(ctx, ""); return err },
		"rotate": func() error { _, err := o.Rotate(ctx, ""); return err },
		"unlock": o.Unlock,
	} {
		if err := f(); !errors.Is(err, identity.ErrNoSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, fresh, err := o.Replace(ctx); err != nil || fresh == old {
		t.Fatal(err)
	}
	o.sign(t, 3)
}

func TestSealedSecret(t *testing.T) {
	h := newHome(t)
	phrase := func(word string) identity.Options {
		return identity.Options{Passphrase: func() ([]byte, error) { return []byte(word), nil }}
	}
	o, err := h.tryOpen(t, phrase("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	o.sign(t, 1)
	o.shut(t)
	for _, word := range []string{"", "wrong"} {
		if o, err = h.tryOpen(t, phrase(word)); err != nil {
			t.Fatal(err)
		}
		if !o.Summary().Sealed {
			t.Error("the summary does not say so")
		}
		if _, err := o.Sign(ctx, request(t, 2)); !errors.Is(err, identity.ErrLocked) {
			t.Errorf("passphrase %q: %v", word, err)
		}
		o.shut(t)
	}
	if o, err = h.tryOpen(t, phrase("correct horse")); err != nil {
		t.Fatal(err)
	}
	if err := o.Unlock(); err != nil || o.Summary().Sealed {
		t.Fatalf("not unlocked: %v", err)
	}
	o.sign(t, 2)
	o.shut(t)
}

// Another peer key cannot sign for the keystone.
func TestAnotherPeerKey(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	o.shut(t)
	h.key = newHome(t).key
	o = h.open(t)
	if _, err := o.Sign(ctx, request(t, 1)); !errors.Is(err, keystone.ErrCosigKey) {
		t.Errorf("signed with another key: %v", err)
	}
}

// Where the secret is gone as well, that is what a copy is told: no peer could help.
func TestCopyWithoutItsSecret(t *testing.T) {
	h := newHome(t)
	h.open(t).shut(t)
	copied := h.copyTo(t)
	secrets, err := filepath.Glob(filepath.Join(copied.files().Folder, "*.secret"))
	if err != nil || len(secrets) != 1 {
		t.Fatalf("secrets %v, %v", secrets, err)
	}
	if err := os.Remove(secrets[0]); err != nil {
		t.Fatal(err)
	}
	c := copied.open(t)
	if _, err := c.Sign(ctx, request(t, 1)); !errors.Is(err, identity.ErrNoSecret) {
		t.Errorf("a copy without its secret: %v", err)
	}
}
