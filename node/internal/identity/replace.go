package identity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

// Rotation is what Rotate did.
type Rotation struct {
	Old, New ibgib.Addr // first frames
	// Handover is the frame in which the old keystone names the new one, Revocation
	// the one that then ends it.
	Handover, Revocation ibgib.IbGib
}

// Rotate gives the node a new keystone, to which the old one hands over before it is
// revoked. Peers that see this under the co-signature of the old one can move their
// trust. It works on a keystone that is not confirmed. If the node is stopped in
// between, the old keystone stays, or the next Open completes the handover. Errors
// are as those of Sign.
func (id *Identity) Rotate(ctx context.Context, reason string) (Rotation, error) {
	id.mu.Lock()
	defer id.mu.Unlock()
	r, err := id.rotate(ctx, reason)
	if err != nil {
		return Rotation{}, fmt.Errorf("identity: rotate: %w", err)
	}
	return r, nil
}

func (id *Identity) rotate(ctx context.Context, reason string) (Rotation, error) {
	if err := id.unlock(); err != nil {
		return Rotation{}, err
	}
	secret, first, err := id.draw()
	if err != nil {
		return Rotation{}, err
	}
	if err := id.keepNew(ctx, secret, first); err != nil {
		return Rotation{}, err
	}
	r := Rotation{Old: id.state.Genesis, New: first.Addr()}
	begun := id.state
	begun.Next = &r.New
	if err := begun.write(id.files.State); err != nil {
		return Rotation{}, err
	}
	err = id.book.append(ctx, r.Old, func(h *keystone.History) ([]ibgib.IbGib, error) {
		r.Handover, r.Revocation, err = id.signer(id.secret).Rotate(h, r.New, reason)
		return []ibgib.IbGib{r.Handover, r.Revocation}, err
	})
	if err != nil {
		return Rotation{}, errors.Join(err, id.state.write(id.files.State))
	}
	id.secret.Zero()
	if err := id.become(secret, state{Genesis: r.New, Previous: append(id.state.Previous, r.Old)}); err != nil {
		return Rotation{}, err
	}
	return r, id.dropSecret(r.Old)
}

// finishHandover completes a rotation that was cut off, or gives it up if the old
// keystone has not signed it. id.mu is held.
func (id *Identity) finishHandover() error {
	next := id.state.Next
	if next == nil {
		return nil
	}
	s := id.state
	s.Next = nil
	if h := id.book.history(s.Genesis); h != nil && h.RotatedTo(*next) {
		s.Previous, s.Genesis = append(s.Previous, s.Genesis), *next
		s.Epoch, s.Place = id.epoch, id.place
	}
	if err := s.write(id.files.State); err != nil {
		return err
	}
	was := id.state.Genesis
	if id.state = s; s.Genesis != was {
		return id.dropSecret(was)
	}
	return nil
}

// dropSecret removes the secret of a keystone that was revoked.
func (id *Identity) dropSecret(genesis ibgib.Addr) error {
	if err := os.Remove(id.secretPath(genesis)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Replace gives the node a new keystone without a handover: for a secret that was
// lost, and after a revocation. Whoever trusted the old one has to trust the new one.
// The secret of the old one, if it is there, stays.
func (id *Identity) Replace(ctx context.Context) (old, fresh ibgib.Addr, err error) {
	id.mu.Lock()
	defer id.mu.Unlock()
	old = id.state.Genesis
	if err := id.begin(ctx, append(id.state.Previous, old)); err != nil {
		return ibgib.Addr{}, ibgib.Addr{}, fmt.Errorf("identity: replace: %w", err)
	}
	return old, id.state.Genesis, nil
}
