package identity

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/internal/secretfile"
)

// Reasons why an identity does not sign, beside those of package keystone
// (ErrRevoked, ErrDisputed, *ExhaustedError). Nothing was revealed.
var (
	// ErrUnconfirmed says that this may be a copy, or older than what the node has
	// signed: a trusted peer has to confirm the newest frame, or a person rotates.
	ErrUnconfirmed = errors.New("the newest frame of the keystone is not confirmed: the data directory was restored or copied, and another copy may have signed since; " +
		"connect to a trusted node, or give this one a new identity with keystone rotate")
	// ErrNoSecret says that the file of the secret is gone.
	ErrNoSecret = errors.New("the secret of the keystone is gone: put its file back, or give the node a new identity with keystone new")
	// ErrLocked says that the secret is sealed by a passphrase that was not given.
	ErrLocked = errors.New("the secret of the keystone is sealed: give the passphrase")
)

// Files are where an identity keeps what must outlive the node.
type Files struct {
	State  string // the file that names the keystone
	Folder string // of the secrets; one file for each keystone
	Store  string // the folder of the store, by which a copy is noticed
}

// Options configure an Identity. The zero value is the default.
type Options struct {
	// Passphrase, if not nil, is asked for the passphrase that seals the secret; what
	// it returns is wiped. A new secret is sealed if it returns one.
	Passphrase func() ([]byte, error)
}

// Identity is the primary keystone of the node. It is safe for concurrent use.
type Identity struct {
	book   *Book
	files  Files
	key    ed25519.PrivateKey
	env    ibgib.Env
	phrase func() ([]byte, error)
	epoch  string
	place  string

	mu        sync.Mutex // held while a frame is made and stored; guards what follows
	state     state
	confirmed bool
	secret    keystone.Secret // zero: not read yet
	shown     Summary         // what Summary returns without a lock that may be held long
	showing   sync.Mutex
}

// Open opens the identity of a node, and makes one if there is none. key is the
// Ed25519 key of the node, by which its keystone is co-signed. env tells the time
// and draws ids. The book has its store.
func Open(ctx context.Context, book *Book, key ed25519.PrivateKey, env ibgib.Env, files Files, o Options) (*Identity, error) {
	id := &Identity{book: book, files: files, key: key, env: env, phrase: o.Passphrase}
	if id.phrase == nil {
		id.phrase = func() ([]byte, error) { return nil, nil }
	}
	if err := id.open(ctx); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return id, nil
}

func (id *Identity) open(ctx context.Context) (err error) {
	id.epoch = epochText(id.book.store.Epoch())
	if id.place, err = placeOf(id.files.Store); err != nil {
		return err
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.state, err = readState(id.files.State)
	if errors.Is(err, fs.ErrNotExist) {
		return id.begin(ctx, nil)
	}
	if err != nil {
		return err
	}
	if err := id.finishHandover(); err != nil {
		return err
	}
	id.confirmed = id.state.Epoch == id.epoch && id.state.Place == id.place && !id.book.wasCut(id.state.Genesis)
	if !id.confirmed && id.state.Epoch != "" {
		// What is known now must not look certain after the next start.
		id.state.Epoch, id.state.Place = "", ""
		if err := id.state.write(id.files.State); err != nil {
			return err
		}
	}
	id.show()
	return nil
}

// begin makes a keystone and makes it the node's, with id.mu held. before are those
// that it had.
func (id *Identity) begin(ctx context.Context, before []ibgib.Addr) error {
	secret, first, err := id.draw()
	if err != nil {
		return err
	}
	if err := id.keepNew(ctx, secret, first); err != nil {
		return err
	}
	return id.become(secret, state{Genesis: first.Addr(), Previous: before})
}

// draw makes a secret and the first frame of its keystone. Nothing is stored.
func (id *Identity) draw() (keystone.Secret, ibgib.IbGib, error) {
	secret, err := keystone.NewSecret(rand.Reader)
	if err != nil {
		return keystone.Secret{}, ibgib.IbGib{}, err
	}
	first, err := id.signer(secret).Begin(keystone.Genesis{
		Configs:   keystone.PrimaryConfigs(),
		CosigKeys: []ed25519.PublicKey{id.key.Public().(ed25519.PublicKey)},
	})
	return secret, first, err
}

// keepNew stores a secret, then the first frame of its keystone.
func (id *Identity) keepNew(ctx context.Context, secret keystone.Secret, first ibgib.IbGib) error {
	word, err := id.phrase()
	defer clear(word)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(id.files.Folder, 0o700); err != nil {
		return err
	}
	if err := secretfile.Write(id.secretPath(first.Addr()), secret, word); err != nil {
		return err
	}
	_, err = id.book.Extend(ctx, "", []ibgib.IbGib{first})
	return err
}

// become makes a keystone the node's, with id.mu held.
func (id *Identity) become(secret keystone.Secret, s state) error {
	s.Version, s.Epoch, s.Place = stateVersion, id.epoch, id.place
	s.Previous = s.Previous[max(0, len(s.Previous)-maxPrevious):]
	if err := s.write(id.files.State); err != nil {
		return err
	}
	id.state, id.confirmed, id.secret = s, true, secret
	id.show()
	return nil
}

func (id *Identity) secretPath(genesis ibgib.Addr) string {
	return filepath.Join(id.files.Folder, genesis.Gib()+".secret")
}

func (id *Identity) signer(secret keystone.Secret) keystone.Signer {
	return keystone.Signer{Secret: secret, Key: id.key, Env: id.env, Draws: keystone.Random(rand.Reader)}
}

// Sign makes the next frame of the keystone and stores it; it is durable when Sign
// returns. Errors wrap ErrUnconfirmed, ErrNoSecret, ErrLocked and those of
// keystone.Signer.Sign.
func (id *Identity) Sign(ctx context.Context, r keystone.Request) (ibgib.IbGib, error) {
	g, err := id.next(ctx, true, func(s keystone.Signer, h *keystone.History) (ibgib.IbGib, error) { return s.Sign(h, r) })
	if err != nil {
		return ibgib.IbGib{}, fmt.Errorf("identity: sign: %w", err)
	}
	return g, nil
}

// Revoke ends the keystone, for good. It works on a disputed keystone, and on one
// that is not confirmed. Errors are as those of Sign.
func (id *Identity) Revoke(ctx context.Context, reason string) (ibgib.IbGib, error) {
	g, err := id.next(ctx, false, func(s keystone.Signer, h *keystone.History) (ibgib.IbGib, error) {
		return s.Revoke(h, reason, ibgib.Value{})
	})
	if err != nil {
		return ibgib.IbGib{}, fmt.Errorf("identity: revoke: %w", err)
	}
	return g, nil
}

// next makes one frame and stores it. sure demands that the newest frame is.
func (id *Identity) next(ctx context.Context, sure bool, sign func(keystone.Signer, *keystone.History) (ibgib.IbGib, error)) (ibgib.IbGib, error) {
	if err := ctx.Err(); err != nil {
		return ibgib.IbGib{}, err
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.hasNoSecret() {
		return ibgib.IbGib{}, ErrNoSecret // no confirmation helps
	}
	if sure && !id.confirmed {
		return ibgib.IbGib{}, ErrUnconfirmed
	}
	if err := id.unlock(); err != nil {
		return ibgib.IbGib{}, err
	}
	var made ibgib.IbGib
	err := id.book.append(ctx, id.state.Genesis, func(h *keystone.History) (frames []ibgib.IbGib, err error) {
		made, err = sign(id.signer(id.secret), h)
		return []ibgib.IbGib{made}, err
	})
	id.show()
	return made, err
}

// Unlock reads the secret, so that a wrong or missing passphrase shows at the start
// and not when something is to be signed.
func (id *Identity) Unlock() error {
	id.mu.Lock()
	defer id.mu.Unlock()
	err := id.unlock()
	id.show()
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	return nil
}

// hasNoSecret tells, with id.mu held, that the file of the secret is gone and was not
// read before.
func (id *Identity) hasNoSecret() bool {
	if !id.secret.IsZero() {
		return false
	}
	_, missing := secretfile.Look(id.secretPath(id.state.Genesis))
	return missing
}

// unlock does what Unlock does, with id.mu held.
func (id *Identity) unlock() error {
	if !id.secret.IsZero() {
		return nil
	}
	secret, err := secretfile.Read(id.secretPath(id.state.Genesis), id.phrase)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrNoSecret
	case errors.Is(err, secretfile.ErrPassphrase):
		return fmt.Errorf("%w: %w", ErrLocked, err)
	case err != nil:
		return err
	}
	id.secret = secret
	return nil
}

// Confirm says that a trusted peer has named tip as the newest frame that it knows
// of this node's keystone. If it is the newest one here too, the node signs again.
func (id *Identity) Confirm(tip ibgib.Addr) (confirmed bool, err error) {
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.confirmed {
		return true, nil
	}
	h := id.book.history(id.state.Genesis)
	if h == nil || h.Tip().Addr() != tip {
		return false, nil
	}
	s := id.state
	s.Epoch, s.Place = id.epoch, id.place
	if err := s.write(id.files.State); err != nil {
		return false, fmt.Errorf("identity: confirm: %w", err)
	}
	id.state, id.confirmed = s, true
	id.show()
	return true, nil
}

// Genesis returns the address of the first frame, by which others trust the node.
func (id *Identity) Genesis() ibgib.Addr { return id.Summary().Genesis }

// History returns the keystone as it is now; see Book.History.
func (id *Identity) History() (*keystone.History, error) { return id.book.History(id.Genesis()) }

// Frames returns the frames of the keystone from number first on, oldest first; at
// most limit.
func (id *Identity) Frames(ctx context.Context, first, limit int) ([]ibgib.IbGib, error) {
	return id.book.Frames(ctx, id.Genesis(), first, limit)
}

// Close wipes the secret.
func (id *Identity) Close() {
	id.mu.Lock()
	defer id.mu.Unlock()
	id.secret.Zero()
	id.secret = keystone.Secret{}
}

// Summary says how an identity is doing.
type Summary struct {
	Genesis   ibgib.Addr
	Confirmed bool // it signs; see ErrUnconfirmed
	Sealed    bool // a passphrase is needed, and has not been given yet
	NoSecret  bool // see ErrNoSecret
	Previous  []ibgib.Addr
}

// Summary returns how the identity is doing. It does not wait for what is being
// signed.
func (id *Identity) Summary() Summary {
	id.showing.Lock()
	defer id.showing.Unlock()
	return id.shown
}

// show makes the summary, with id.mu held.
func (id *Identity) show() {
	s := Summary{Genesis: id.state.Genesis, Confirmed: id.confirmed, Previous: id.state.Previous}
	if id.secret.IsZero() {
		s.Sealed, s.NoSecret = secretfile.Look(id.secretPath(s.Genesis))
	}
	id.showing.Lock()
	defer id.showing.Unlock()
	id.shown = s
}

// append lets make make the next frames of a keystone, and stores them. Nothing else
// is added to any keystone meanwhile.
func (b *Book) append(ctx context.Context, genesis ibgib.Addr, make func(*keystone.History) ([]ibgib.IbGib, error)) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	was := b.history(genesis)
	if was == nil {
		return fmt.Errorf("%w: %w", blockstore.ErrCorrupt, ErrUnknown)
	}
	frames, err := make(was)
	if err != nil {
		return err
	}
	h := was.Clone()
	for _, g := range frames {
		if err := h.Add(g); err != nil {
			return err
		}
	}
	return b.commit(ctx, "", genesis, h, frames)
}

// wasCut tells whether the store had fewer frames of a keystone than were signed or
// seen.
func (b *Book) wasCut(genesis ibgib.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.known[genesis]
	return r == nil || r.cut
}
