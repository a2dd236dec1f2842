package identity

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

// MaxOfKey bounds the keystones that the book takes which are co-signed by one key: a
// node has one primary at a time, and one session at a time with each peer, of which
// another node sees one.
const MaxOfKey = 64

// Drop forgets a keystone that is needed no more, with its frames.
func (b *Book) Drop(ctx context.Context, genesis ibgib.Addr) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	// If this is cut off here, the history is made anew from the store.
	if err := os.Remove(filepath.Join(b.dir, genesis.Gib()+fileSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keystones: %w", err)
	}
	hash, ok := genesis.Hash()
	if !ok {
		return ErrUnknown
	}
	if err := b.store.DropLocal(ctx, hash); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.known, genesis)
	return nil
}

// OfKey counts the keystones that are co-signed by a key.
func (b *Book) OfKey(key ed25519.PublicKey) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	count := 0
	for _, r := range b.known {
		if r.history.CosignedBy(key) {
			count++
		}
	}
	return count
}

// Session returns what the first frame of a session says. It fails with ErrUnknown if
// the book does not have it, and with a *keystone.SessionError if it is no session.
func (b *Book) Session(ctx context.Context, genesis ibgib.Addr) (keystone.Session, error) {
	first, err := b.Frames(ctx, genesis, 0, 1)
	if err != nil {
		return keystone.Session{}, err
	}
	return keystone.ReadSession(first[0])
}

// Authority returns the keystone, co-signed by the same key, that authorises a session;
// false if the book has none.
func (b *Book) Authority(session keystone.Session) (*keystone.History, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for genesis, r := range b.known {
		if genesis == session.Genesis || !r.history.CosignedBy(session.Key) {
			continue
		}
		if _, ok := r.history.Signed(keystone.VerbSync, session.Genesis); ok {
			return r.history, true
		}
	}
	return nil, false
}
