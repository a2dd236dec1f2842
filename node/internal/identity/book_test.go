package identity_test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/internal/identity"
)

// stranger makes the frames of a keystone of somebody else.
type stranger struct {
	signer keystone.Signer
	*keystone.History
	frames []ibgib.IbGib
}

func newStranger(t testing.TB, frames int) *stranger {
	t.Helper()
	secret, err := keystone.NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &stranger{signer: keystone.Signer{Secret: secret, Env: env(), Draws: keystone.Random(rand.Reader)}}
	first, err := s.signer.Begin(keystone.Genesis{Configs: keystone.PrimaryConfigs()})
	if err != nil {
		t.Fatal(err)
	}
	if s.History, err = keystone.Begin(first); err != nil {
		t.Fatal(err)
	}
	s.frames = []ibgib.IbGib{first}
	for i := range frames - 1 {
		g := s.make(t, i)
		if err := s.Add(g); err != nil {
			t.Fatal(err)
		}
		s.frames = append(s.frames, g)
	}
	return s
}

// make makes a next frame, without adding it.
func (s *stranger) make(t testing.TB, i int) ibgib.IbGib {
	t.Helper()
	g, err := s.signer.Sign(s.History, request(t, i))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestExtend(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	s := newStranger(t, 5)
	for _, upTo := range []int{2, 2, 5, 3} { // new, known, longer, older
		if _, err := o.book.Extend(ctx, "a peer", s.frames[:upTo]); err != nil {
			t.Fatal(err)
		}
	}
	o.kill(t)
	o = h.open(t)
	got, err := o.book.History(s.Genesis())
	if err != nil || got.Tip().Addr() != s.Tip().Addr() {
		t.Fatalf("after a kill: %v", err)
	}
	list, err := o.book.Frames(ctx, s.Genesis(), 2, 2)
	if err != nil || len(list) != 2 || list[0].Addr() != s.frames[2].Addr() || list[1].Addr() != s.frames[3].Addr() {
		t.Errorf("frames 2 and 3: %d, %v", len(list), err)
	}
	report, err := o.store.Verify(ctx, nil)
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("verify: %+v, %v", report.Problems, err)
	}
}

// What breaks a rule is not stored, and what came before it is.
// Whoever sees that the book has a keystone can read its frames, also while others are
// still bringing it.
func TestFramesWhileTheyAreStored(t *testing.T) {
	o := newHome(t).open(t)
	for range 30 {
		s := newStranger(t, 3)
		var bringing sync.WaitGroup
		bringing.Go(func() {
			if _, err := o.book.Extend(ctx, "a peer", s.frames); err != nil {
				t.Error(err)
			}
		})
		for {
			if _, err := o.book.History(s.Genesis()); err == nil {
				break
			}
			runtime.Gosched()
		}
		if list, err := o.book.Frames(ctx, s.Genesis(), 0, 3); err != nil || len(list) != 3 {
			t.Errorf("%d frames, %v", len(list), err)
		}
		if g, err := o.book.Frame(ctx, s.Genesis(), s.Tip().Hash()); err != nil || g.Addr() != s.Tip().Addr() {
			t.Errorf("frame %s, %v", g.Addr(), err)
		}
		bringing.Wait()
	}
}

// patience is a context that ends when it has been asked so many times.
type patience struct {
	context.Context
	left int
}

func (p *patience) Err() error {
	if p.left--; p.left < 0 {
		return context.Canceled
	}
	return nil
}

// Whenever it is that nobody waits any more, book and store have the same.
func TestExtendCanceled(t *testing.T) {
	o := newHome(t).open(t)
	for left := range 12 {
		s := newStranger(t, 3)
		_, err := o.book.Extend(&patience{ctx, left}, "a peer", s.frames)
		hash := s.frames[0].Hash()
		_, stored, unread := o.store.View(blockstore.LocalArea).Entry(ctx, hash)
		h, unknown := o.book.History(s.Genesis())
		switch {
		case unread != nil:
			t.Fatal(unread)
		case stored != (unknown == nil):
			t.Errorf("canceled after %d: stored %t, the book says %v; %v", left, stored, unknown, err)
		case stored && h.Tip().Addr() != s.Tip().Addr():
			t.Errorf("canceled after %d: the book has %d frames", left, h.Len())
		}
	}
	if report, err := o.store.Verify(ctx, nil); err != nil || len(report.Problems) > 0 {
		t.Errorf("verify: %+v, %v", report.Problems, err)
	}
}

func TestExtendRefuses(t *testing.T) {
	o := newHome(t).open(t)
	s := newStranger(t, 3)
	other := newStranger(t, 2)
	forged := append(s.frames[:2:2], other.frames[1])
	_, err := o.book.Extend(ctx, "a peer", forged)
	var invalid *keystone.Invalid
	if !errors.As(err, &invalid) {
		t.Fatalf("a frame of another keystone: %v", err)
	}
	got, err := o.book.History(s.Genesis())
	if err != nil || got.Len() != 2 {
		t.Errorf("the valid ones: %v", err)
	}
	if _, err := o.store.View(blockstore.LocalArea).Block(ctx, other.frames[1].Hash()); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("the refused one is stored: %v", err)
	}
	if _, err := o.book.Extend(ctx, "a peer", s.frames[2:]); err != nil {
		t.Errorf("without the first frames: %v", err)
	}
	if _, err := o.book.Extend(ctx, "a peer", other.frames[1:]); err == nil {
		t.Error("a keystone without its first frame")
	}
	if _, err := o.book.Extend(ctx, "a peer", nil); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("nothing: %v", err)
	}
}

// A keystone has a greatest length, whatever is in it.
func TestExtendBoundsALength(t *testing.T) {
	o := newHome(t).open(t)
	s := newStranger(t, 1)
	if _, err := o.book.Extend(ctx, "a peer", slices.Repeat(s.frames, identity.MaxFrames+1)); !errors.Is(err, identity.ErrLong) {
		t.Errorf("too many frames: %v", err)
	}
	if _, err := o.book.History(s.Genesis()); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("something of it is kept: %v", err)
	}
}

// Two frames that both reveal something are equivocation: both are kept, and the
// keystone is disputed, after a restart too, until a person decides.
func TestEquivocation(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	s := newStranger(t, 2)
	known, rival := s.make(t, 10), s.make(t, 11)
	if _, err := o.book.Extend(ctx, "a peer", append(s.frames[:2:2], known)); err != nil {
		t.Fatal(err)
	}
	_, err := o.book.Extend(ctx, "another", append(s.frames[:2:2], rival))
	var found *identity.EquivocationError
	if !errors.As(err, &found) || !errors.Is(err, keystone.ErrDisputed) {
		t.Fatalf("a rival: %v", err)
	}
	if e := found.Evidence; e.Pred != s.frames[1].Addr() || e.Known != known.Addr() || e.Rival != rival.Addr() {
		t.Errorf("evidence %+v", e)
	}
	for range 2 {
		got, err := o.book.History(s.Genesis())
		if err != nil || got.Status() != keystone.Disputed || got.Tip().Addr() != known.Addr() {
			t.Fatalf("not disputed: %v", err)
		}
		if e := o.book.Evidence(s.Genesis()); len(e) != 1 || e[0] != found.Evidence {
			t.Errorf("evidence %+v", e)
		}
		for _, g := range []ibgib.IbGib{known, rival} {
			if _, err := o.store.View(blockstore.LocalArea).Block(ctx, g.Hash()); err != nil {
				t.Errorf("%s is not kept: %v", g.Addr(), err)
			}
		}
		o.kill(t)
		o = h.open(t)
	}
	if _, err := o.store.GC(ctx, blockstore.GCOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := o.store.View(blockstore.LocalArea).Block(ctx, rival.Hash()); err != nil {
		t.Errorf("the evidence is gone: %v", err)
	}
	if report, err := o.store.Verify(ctx, nil); err != nil || len(report.Problems) > 0 {
		t.Errorf("verify: %+v, %v", report.Problems, err)
	}
	if got, err := o.book.Settle(s.Genesis()); err != nil || got.Status() != keystone.Valid {
		t.Errorf("settled: %v", err)
	}
	// What a person has decided is not undone by the same rival.
	if _, err := o.book.Extend(ctx, "another", append(s.frames[:2:2], rival)); !errors.As(err, &found) {
		t.Errorf("the rival once more: %v", err)
	}
	if got, err := o.book.History(s.Genesis()); err != nil || got.Status() != keystone.Valid {
		t.Errorf("disputed again: %v", err)
	}
	if _, err := o.book.Extend(ctx, "another", append(s.frames[:2:2], s.make(t, 12))); !errors.As(err, &found) {
		t.Errorf("another rival: %v", err)
	}
	if got, err := o.book.History(s.Genesis()); err != nil || got.Status() != keystone.Disputed {
		t.Errorf("another rival is no dispute: %v", err)
	}
}

// A keystone that nobody asked for stays out of the index of a share; one that the
// book has is a timeline there.
func TestShareAdmitsWhatTheBookHas(t *testing.T) {
	o := newHome(t).open(t)
	s, known := newStranger(t, 3), newStranger(t, 3)
	if _, err := o.book.Extend(ctx, "", known.frames); err != nil {
		t.Fatal(err)
	}
	put := func(s *stranger) bool {
		if _, _, err := o.store.Apply(ctx, blockstore.DefaultShare, blockstore.Origin{Peer: "a peer"}, s.frames); err != nil {
			t.Fatal(err)
		}
		root, _ := s.Genesis().Hash()
		e, ok, err := o.store.View(blockstore.DefaultShare).Entry(ctx, root)
		if err != nil {
			t.Fatal(err)
		}
		return ok && e.Latest == s.Tip().Addr()
	}
	if put(s) {
		t.Error("a keystone that nobody asked for is in the index")
	}
	if !put(known) {
		t.Error("a known keystone is not in the index")
	}
}

// A long keystone costs only its new frames, also after a restart: nothing is
// replayed. Replaying would need the frames, which are not all there.
func TestSnapshotIsEnough(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	s := newStranger(t, 40)
	if _, err := o.book.Extend(ctx, "", s.frames); err != nil {
		t.Fatal(err)
	}
	o.shut(t)
	o = h.open(t)
	next := s.make(t, 100)
	got, err := o.book.Extend(ctx, "", []ibgib.IbGib{next})
	if err != nil || got.Len() != 41 {
		t.Errorf("the next frame alone: %v", err)
	}
}

func BenchmarkOpenLongKeystone(b *testing.B) {
	h := newHome(b)
	o := h.open(b)
	for i := range 1000 {
		o.sign(b, i)
	}
	o.shut(b)
	for b.Loop() {
		h.open(b).shut(b)
	}
}

// A store without the files, as a restore makes it, still knows its keystones.
func TestStoreWithoutFiles(t *testing.T) {
	h := newHome(t)
	o := h.open(t)
	s := newStranger(t, 4)
	if _, err := o.book.Extend(ctx, "", s.frames); err != nil {
		t.Fatal(err)
	}
	old := o.Genesis()
	o.shut(t)
	if err := os.RemoveAll(h.files().Folder); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(h.files().State); err != nil {
		t.Fatal(err)
	}
	o = h.open(t)
	if got, err := o.book.History(s.Genesis()); err != nil || got.Len() != 4 {
		t.Errorf("another keystone: %v", err)
	}
	if _, err := o.book.History(old); err != nil || o.Genesis() == old {
		t.Errorf("the old identity: %v", err)
	}
	if report, err := o.store.Verify(ctx, nil); err != nil || len(report.Problems) > 0 {
		t.Errorf("verify: %+v, %v", report.Problems, err)
	}
}
