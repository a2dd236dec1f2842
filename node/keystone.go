package node

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/internal/identity"
	"github.com/ibgib/ibgib-node/timeline"
)

// Reasons why the node signs nothing, beside those of package keystone.
var (
	ErrUnconfirmed = identity.ErrUnconfirmed
	ErrNoSecret    = identity.ErrNoSecret
	ErrSealed      = identity.ErrLocked
)

// Keystone is what a node knows of a keystone.
type Keystone struct {
	Genesis ibgib.Addr `json:"genesis"` // the first frame, which names it
	Latest  ibgib.Addr `json:"latest"`
	Frames  int        `json:"frames"`
	Since   time.Time  `json:"since"`  // when the newest frame was made, as it says
	Status  string     `json:"status"` // valid, revoked or disputed
	Own     bool       `json:"own"`    // it is this node's
	// Signs says whether this node can sign with it: a word of SigningState, of the
	// node's own.
	Signs SigningState `json:"signs,omitempty"`
	// CosigKeys are the Ed25519 keys that it lists, in base64url; the first one signs.
	CosigKeys []string            `json:"cosigKeys"`
	Pools     []KeystonePool      `json:"pools"`
	Evidence  []identity.Evidence `json:"evidence"`           // of equivocation
	Previous  []ibgib.Addr        `json:"previous,omitempty"` // that this node had before
}

// KeystonePool is one pool of challenges.
type KeystonePool struct {
	ID    string   `json:"id"`
	Free  int      `json:"free"`  // challenges that can still be solved
	Verbs []string `json:"verbs"` // that it signs; none: those of no other pool
}

// SigningState says whether a node can sign with its keystone.
type SigningState string

// The states of signing.
const (
	SignsReady       SigningState = "ready"
	SignsUnconfirmed SigningState = "unconfirmed" // see ErrUnconfirmed
	SignsSealed      SigningState = "sealed"      // the passphrase was not given yet
	SignsNoSecret    SigningState = "no-secret"
	SignsRevoked     SigningState = "revoked"
	SignsDisputed    SigningState = "disputed"
)

// KeystoneFrame is a frame that was signed.
type KeystoneFrame struct {
	Addr    ibgib.Addr `json:"addr"`
	Genesis ibgib.Addr `json:"genesis"`
	N       int        `json:"n"`
}

// KeystoneRotation is a handover from one keystone of the node to the next.
type KeystoneRotation struct {
	Old        ibgib.Addr `json:"old"`
	New        ibgib.Addr `json:"new"`
	Handover   ibgib.Addr `json:"handover,omitzero"`   // names the new one; zero if the old one could not sign
	Revocation ibgib.Addr `json:"revocation,omitzero"` // ends the old one
}

// openIdentity opens the keystone of the node, which is made at the first start.
func (n *Node) openIdentity(passphrase func() ([]byte, error)) error {
	// Opening takes no context, as that of the store: it reads a few records.
	ctx := context.Background()
	if err := n.book.Attach(ctx, n.store); err != nil {
		return err
	}
	key, err := n.id.raw()
	if err != nil {
		return err
	}
	files := identity.Files{State: n.dir.Keystone(), Folder: n.dir.Keystones(), Store: n.dir.Store()}
	n.self, err = identity.Open(ctx, n.book, key, n.env(), files, identity.Options{Passphrase: passphrase})
	if err != nil {
		return fmt.Errorf("keystone: %w", err)
	}
	return nil
}

// UnlockKeystone reads the secret of the keystone, so that a wrong passphrase shows
// at once. Errors wrap ErrSealed or ErrNoSecret.
func (n *Node) UnlockKeystone() error {
	if err := n.self.Unlock(); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return nil
}

// Keystone shows a keystone: by its first frame or any later one, or the node's own
// for the zero Addr. It fails with blockstore.ErrNotFound for one that the node does
// not keep.
func (n *Node) Keystone(ctx context.Context, addr ibgib.Addr) (Keystone, error) {
	h, err := n.keystoneOf(ctx, addr)
	if err != nil {
		return Keystone{}, fmt.Errorf("node: keystone: %w", err)
	}
	return n.showKeystone(h), nil
}

// Keystones lists the keystones that the node keeps, by their first frames, those of
// sessions left out: Keystone shows these, too.
func (n *Node) Keystones(ctx context.Context) iter.Seq2[Keystone, error] {
	return func(yield func(Keystone, error) bool) {
		for _, genesis := range n.book.Genesis() {
			h, err := n.book.History(genesis)
			if err != nil || h.IsSession() {
				continue // or it has just been dropped
			}
			if !yield(n.showKeystone(h), ctx.Err()) {
				return
			}
		}
	}
}

func (n *Node) showKeystone(h *keystone.History) Keystone {
	d := h.Data()
	k := Keystone{
		Genesis: h.Genesis(), Latest: h.Tip().Addr(), Frames: h.Len(), Since: d.At, Status: h.Status().String(),
		CosigKeys: []string{}, Pools: []KeystonePool{}, Evidence: n.book.Evidence(h.Genesis()),
	}
	for _, key := range h.CosigKeys() {
		k.CosigKeys = append(k.CosigKeys, base64.RawURLEncoding.EncodeToString(key))
	}
	for _, p := range d.Pools {
		k.Pools = append(k.Pools, KeystonePool{ID: p.ID(), Free: len(p.Challenges), Verbs: append([]string{}, p.Config.Verbs...)})
	}
	if k.Evidence == nil {
		k.Evidence = []identity.Evidence{}
	}
	if own := n.self.Summary(); own.Genesis == k.Genesis {
		k.Own, k.Signs, k.Previous = true, signs(own, h.Status()), own.Previous
	}
	return k
}

func signs(s identity.Summary, status keystone.Status) SigningState {
	switch {
	case status == keystone.Disputed:
		return SignsDisputed
	case status == keystone.Revoked:
		return SignsRevoked
	case s.NoSecret:
		return SignsNoSecret
	case !s.Confirmed:
		return SignsUnconfirmed
	case s.Sealed:
		return SignsSealed
	}
	return SignsReady
}

// keystoneOf finds the history of a keystone by one of its frames.
func (n *Node) keystoneOf(ctx context.Context, addr ibgib.Addr) (*keystone.History, error) {
	if addr.IsZero() {
		return n.self.History()
	}
	if h, err := n.book.History(addr); err == nil {
		return h, nil
	}
	g, err := n.store.Get(ctx, addr)
	if err != nil {
		return nil, err
	}
	if root, ok := timeline.Claims(g); ok {
		if h, err := n.book.History(root); err == nil {
			return h, nil
		}
	}
	return nil, errNoKeystone
}

const errNoKeystone absence = "this node does not keep such a keystone"

// SignKeystone makes the node's keystone say something about a target. The frame is
// durable when it returns, and peers that are connected have been told of it, or had
// a while to listen; so it is with the other changes of the keystone.
func (n *Node) SignKeystone(ctx context.Context, claim keystone.Claim) (KeystoneFrame, error) {
	switch {
	case claim.Verb == "" || claim.Target.IsZero():
		return KeystoneFrame{}, fmt.Errorf("node: sign: %w: a target and a verb are needed", ErrInput)
	case claim.Verb == keystone.VerbRevoke || claim.Verb == keystone.VerbRotate || claim.Verb == keystone.VerbSync:
		return KeystoneFrame{}, fmt.Errorf("node: sign: %w: the node signs the verb %s by itself", ErrInput, claim.Verb)
	}
	g, err := n.self.Sign(ctx, keystone.Request{Claim: claim})
	if err == nil {
		n.announce(ctx)
	}
	return n.signed(g, err)
}

// RevokeKeystone ends the node's keystone, for good.
func (n *Node) RevokeKeystone(ctx context.Context, reason string) (KeystoneFrame, error) {
	if err := checkReason(reason); err != nil {
		return KeystoneFrame{}, err
	}
	g, err := n.self.Revoke(ctx, reason)
	if err == nil {
		n.announce(ctx)
	}
	return n.signed(g, err)
}

func (n *Node) signed(g ibgib.IbGib, err error) (KeystoneFrame, error) {
	if err != nil {
		return KeystoneFrame{}, fmt.Errorf("node: %w", err)
	}
	at, _ := g.Field("n")
	root, _ := timeline.Claims(g)
	return KeystoneFrame{Addr: g.Addr(), Genesis: root, N: int(at.Number())}, nil
}

// RotateKeystone gives the node a new keystone, to which the old one hands over
// before it is revoked.
func (n *Node) RotateKeystone(ctx context.Context, reason string) (KeystoneRotation, error) {
	if err := checkReason(reason); err != nil {
		return KeystoneRotation{}, err
	}
	r, err := n.self.Rotate(ctx, reason)
	if err != nil {
		return KeystoneRotation{}, fmt.Errorf("node: %w", err)
	}
	n.announce(ctx)
	return KeystoneRotation{Old: r.Old, New: r.New, Handover: r.Handover.Addr(), Revocation: r.Revocation.Addr()}, nil
}

// NewKeystone gives the node a new keystone without a handover. It fails with
// ErrInput while the old one can sign: then RotateKeystone lets others follow. So it does
// while the secret is sealed or not confirmed, and so not lost, unless giveUp says to do
// without it all the same.
func (n *Node) NewKeystone(ctx context.Context, giveUp bool) (KeystoneRotation, error) {
	refuse := func(why string) (KeystoneRotation, error) {
		return KeystoneRotation{}, fmt.Errorf("node: %w: %s", ErrInput, why)
	}
	if h, err := n.self.History(); err == nil {
		switch state := signs(n.self.Summary(), h.Status()); {
		case state == SignsReady:
			return refuse("the keystone of the node works; to put another one in its place, rotate it")
		case giveUp:
		case state == SignsSealed:
			return refuse("the secret of the keystone is sealed, not lost: its passphrase makes it work; with --yes it is given up, and others have to trust the new one")
		case state == SignsUnconfirmed:
			return refuse("the secret of the keystone is there, though it is not confirmed: rotate it, and others follow; with --yes it is given up")
		}
	}
	old, fresh, err := n.self.Replace(ctx)
	if err != nil {
		return KeystoneRotation{}, fmt.Errorf("node: %w", err)
	}
	return KeystoneRotation{Old: old, New: fresh}, nil
}

// SettleKeystone ends a dispute about a keystone: a person has decided that the frames
// which this node has of it hold. The evidence stays. Trust that was withdrawn does
// not come back by itself. addr as in Keystone.
func (n *Node) SettleKeystone(ctx context.Context, addr ibgib.Addr) (Keystone, error) {
	h, err := n.keystoneOf(ctx, addr)
	if err == nil {
		h, err = n.book.Settle(h.Genesis())
	}
	if err != nil {
		return Keystone{}, fmt.Errorf("node: keystone: %w", err)
	}
	return n.showKeystone(h), nil
}

// maxReason bounds the reason of a revocation, in bytes.
const maxReason = 1000

func checkReason(reason string) error {
	if len(reason) > maxReason {
		return fmt.Errorf("node: %w: the reason is longer than %d bytes", ErrInput, maxReason)
	}
	return nil
}

// KeystoneFrames returns the frames of a keystone, oldest first: of one that the
// node keeps (the node's own for the zero Addr), or as far as they are stored those
// below any frame.
func (n *Node) KeystoneFrames(ctx context.Context, addr ibgib.Addr) iter.Seq2[ibgib.IbGib, error] {
	return func(yield func(ibgib.IbGib, error) bool) {
		err := n.eachKeystoneFrame(ctx, addr, func(g ibgib.IbGib) bool { return yield(g, nil) })
		if err != nil {
			yield(ibgib.IbGib{}, fmt.Errorf("node: keystone: %w", err))
		}
	}
}

func (n *Node) eachKeystoneFrame(ctx context.Context, addr ibgib.Addr, visit func(ibgib.IbGib) bool) error {
	h, err := n.keystoneOf(ctx, addr)
	var list []ibgib.Addr
	switch {
	case err == nil:
		for i := range h.Len() {
			list = append(list, h.Addr(i))
		}
	case errors.Is(err, errNoKeystone):
		if list, err = n.pastOf(ctx, addr); err != nil {
			return err
		}
	default:
		return err
	}
	for _, a := range list {
		g, err := n.store.Get(ctx, a)
		if err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
		if !visit(g) {
			return nil
		}
	}
	return nil
}

// pastOf lists the frames from the first stored one to addr.
func (n *Node) pastOf(ctx context.Context, addr ibgib.Addr) ([]ibgib.Addr, error) {
	var list []ibgib.Addr
	for at := addr; ; {
		g, err := n.store.Get(ctx, at)
		if errors.Is(err, blockstore.ErrNotFound) && len(list) > 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(list) == maxKeystoneFrames {
			return nil, fmt.Errorf("%w: more than %d frames", ErrFormat, maxKeystoneFrames)
		}
		list = append(list, at)
		past, ok := g.LastRel("past")
		if !ok || past.IsPrimitive() {
			break
		}
		at = past
	}
	slices.Reverse(list)
	return list, nil
}
