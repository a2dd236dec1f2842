package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// Changes made here are atomic: the latest frame is read, transformed, stored
// and made the head in one step of the store, so two of them never make a
// timeline diverge. They follow the local rules of package ibgib (CheckLocal),
// always record dna, without which a frame could never be merged, and link past
// and dna to the newest only unless the options say which lists to link.

// linkedByDefault are the lists that keep their newest address only.
func linkedByDefault() []string { return []string{"past", "dna"} }

// ChangeOptions say where a change that is made here goes. The zero value is the default
// share, and lets no change bring a timeline into a share that does not list it, or a
// constant that was given to others.
type ChangeOptions struct {
	// Share names the share that a new timeline or constant is made in. A change of a
	// timeline goes to all shares that list it.
	Share string
	// Include lets a change bring into a share what it links to: timelines that the share
	// does not list are listed from then on, and constants that neither it nor the default
	// share has. Else that is an *OutsideError.
	Include bool
}

// Changes makes changes with options.
type Changes struct {
	n *Node
	o ChangeOptions
}

// With returns what makes changes with options.
func (n *Node) With(o ChangeOptions) Changes { return Changes{n, o} }

// Create is Changes.Create without options.
func (n *Node) Create(ctx context.Context, parent ibgib.Addr, o ibgib.FirstGenOptions) (Change, error) {
	return n.With(ChangeOptions{}).Create(ctx, parent, o)
}

// Fork is Changes.Fork without options.
func (n *Node) Fork(ctx context.Context, src ibgib.Addr, o ibgib.ForkOptions) (Change, error) {
	return n.With(ChangeOptions{}).Fork(ctx, src, o)
}

// Mut8 is Changes.Mut8 without options.
func (n *Node) Mut8(ctx context.Context, addr ibgib.Addr, o ibgib.Mut8Options) (Change, error) {
	return n.With(ChangeOptions{}).Mut8(ctx, addr, o)
}

// Rel8 is Changes.Rel8 without options.
func (n *Node) Rel8(ctx context.Context, addr ibgib.Addr, o ibgib.Rel8Options) (Change, error) {
	return n.With(ChangeOptions{}).Rel8(ctx, addr, o)
}

// Create makes a timeline: a fork of parent, then a frame with the data and one
// with the links, if there are any. The zero Addr for parent is ib^gib. Without
// options for the tjp it gets a fresh id and the time; frames are counted.
func (c Changes) Create(ctx context.Context, parent ibgib.Addr, o ibgib.FirstGenOptions) (Change, error) {
	change, err := c.n.create(ctx, parent, o, c.o)
	if err != nil {
		return Change{}, fmt.Errorf("node: create: %w", err)
	}
	return change, nil
}

func (n *Node) create(ctx context.Context, parent ibgib.Addr, o ibgib.FirstGenOptions, to ChangeOptions) (Change, error) {
	if err := o.CheckLocal(); err != nil {
		return Change{}, err
	}
	if !o.Tjp.On() {
		o.Tjp.UUID, o.Tjp.Timestamp = true, !o.NoTimestamp
	}
	o.NCounter, o.Dna = true, true
	if o.LinkedRel8ns == nil {
		o.LinkedRel8ns = linkedByDefault()
	}
	o.Parent = nil
	if !parent.IsZero() {
		source, err := n.source(ctx, parent)
		if err != nil {
			return Change{}, err
		}
		o.Parent = source
	}
	if err := n.checkLinks(ctx, o.Rel8ns); err != nil {
		return Change{}, err
	}
	made, err := ibgib.FirstGen(o, n.env())
	if err != nil {
		return Change{}, err
	}
	return n.begin(ctx, made, to)
}

// Fork makes a new timeline from a stored ibGib or a primitive. It gets a fresh
// id and the time unless the options say otherwise.
func (c Changes) Fork(ctx context.Context, src ibgib.Addr, o ibgib.ForkOptions) (Change, error) {
	change, err := c.n.fork(ctx, src, o, c.o)
	if err != nil {
		return Change{}, fmt.Errorf("node: fork %s: %w", src, err)
	}
	return change, nil
}

func (n *Node) fork(ctx context.Context, src ibgib.Addr, o ibgib.ForkOptions, to ChangeOptions) (Change, error) {
	if err := o.CheckLocal(); err != nil {
		return Change{}, err
	}
	source, err := n.source(ctx, src)
	if err != nil {
		return Change{}, err
	}
	made, err := n.forkFrames(source, o)
	if err != nil {
		return Change{}, err
	}
	return n.begin(ctx, made, to)
}

// forkFrames makes the first frames of a timeline from source.
func (n *Node) forkFrames(source ibgib.Source, o ibgib.ForkOptions) (ibgib.Result, error) {
	if !o.Tjp.On() {
		o.Tjp.UUID, o.Tjp.Timestamp = true, !o.NoTimestamp
	}
	o.NCounter, o.Dna = true, true
	if o.LinkedRel8ns == nil {
		o.LinkedRel8ns = linkedByDefault()
	}
	return ibgib.Fork(source, o, n.env())
}

// begin stores the first frames of a timeline.
func (n *Node) begin(ctx context.Context, made ibgib.Result, to ChangeOptions) (Change, error) {
	sh, err := n.shares.byName(to.Share)
	if err != nil {
		return Change{}, err
	}
	if err := n.makeRoom(ctx, []*share{sh}, linksOf(made.All()), ibgib.Addr{}, to.Include); err != nil {
		return Change{}, err
	}
	put, res, err := n.store.Apply(ctx, sh.number, blockstore.Origin{}, made.All())
	if err != nil {
		return Change{}, err
	}
	if len(put.Refused) > 0 {
		return Change{}, put.Refused[0]
	}
	change, err := n.changed(ctx, made.New, put, res)
	if err != nil {
		return change, err
	}
	root, _ := change.Tjp.Hash()
	return change, n.offerRoot(ctx, sh, root)
}

// Mut8 changes the data or the ib of a timeline. addr is its tjp or any of its
// frames; the change goes on top of the latest.
func (c Changes) Mut8(ctx context.Context, addr ibgib.Addr, o ibgib.Mut8Options) (Change, error) {
	change, err := c.n.mut8(ctx, addr, o, c.o)
	if err != nil {
		return Change{}, fmt.Errorf("node: mut8 %s: %w", addr, err)
	}
	return change, nil
}

func (n *Node) mut8(ctx context.Context, addr ibgib.Addr, o ibgib.Mut8Options, to ChangeOptions) (Change, error) {
	if err := o.CheckLocal(); err != nil {
		return Change{}, err
	}
	// A timeline counts from its tjp or never.
	o.Dna, o.NCounter = true, false
	if o.LinkedRel8ns == nil {
		o.LinkedRel8ns = linkedByDefault()
	}
	return n.change(ctx, addr, nil, to, func(latest ibgib.IbGib) (ibgib.Result, error) {
		return ibgib.Mut8(latest, o, n.env())
	})
}

// Rel8 adds links to a timeline or removes some; addr as in Mut8. What is linked
// must be stored with all it links to, or the error is a *MissingLinkError.
func (c Changes) Rel8(ctx context.Context, addr ibgib.Addr, o ibgib.Rel8Options) (Change, error) {
	change, err := c.n.rel8(ctx, addr, o, c.o)
	if err != nil {
		return Change{}, fmt.Errorf("node: rel8 %s: %w", addr, err)
	}
	return change, nil
}

func (n *Node) rel8(ctx context.Context, addr ibgib.Addr, o ibgib.Rel8Options, to ChangeOptions) (Change, error) {
	if err := o.CheckLocal(); err != nil {
		return Change{}, err
	}
	if err := n.checkLinks(ctx, o.Add); err != nil {
		return Change{}, err
	}
	o.Dna, o.NCounter = true, false
	if o.LinkedRel8ns == nil {
		o.LinkedRel8ns = linkedByDefault()
	}
	return n.change(ctx, addr, addrsIn(o.Add), to, func(latest ibgib.IbGib) (ibgib.Result, error) {
		return ibgib.Rel8(latest, o, n.env())
	})
}

// change puts a frame on top of the latest. links are what it links to anew.
func (n *Node) change(ctx context.Context, addr ibgib.Addr, links []ibgib.Addr, to ChangeOptions, transform func(ibgib.IbGib) (ibgib.Result, error)) (Change, error) {
	e, err := n.entryOf(ctx, addr)
	if err != nil {
		return Change{}, err
	}
	if to.Share != "" {
		return Change{}, fmt.Errorf("%w: a change of a timeline goes to all shares that list it", ErrInput)
	}
	root, _ := e.Root.Hash()
	if err := n.makeRoomIn(ctx, root, links, e.Root, to.Include); err != nil {
		return Change{}, err
	}
	var made ibgib.Result
	put, res, err := n.store.Change(ctx, e.in.number, root, nil, func(latest ibgib.IbGib) (_ []ibgib.IbGib, err error) {
		made, err = transform(latest)
		return made.All(), err
	})
	if err != nil {
		return Change{}, err
	}
	change, err := n.changed(ctx, made.New, put, res)
	if err != nil {
		return change, err
	}
	return change, n.offerRoot(ctx, e.in, root)
}

// changed says what a change made, or why a rule keeps it out.
func (n *Node) changed(ctx context.Context, g ibgib.IbGib, put blockstore.PutResult, res blockstore.CommitResult) (Change, error) {
	n.tellMerges(ctx, res.Merges)
	for _, r := range res.Rejected {
		if r.Addr == g.Addr() {
			return Change{}, &r
		}
	}
	f, err := n.frameOf(ctx, g.Addr())
	if err != nil {
		return Change{}, err
	}
	return Change{Addr: f.Addr, Tjp: f.Tjp, N: numberOf(f), Stored: put.Stored}, nil
}

// env is what transforms take from outside. The uuid is 32 random bytes.
func (n *Node) env() ibgib.Env {
	return ibgib.Env{
		Now: n.now,
		UUID: func() string {
			var b [32]byte
			rand.Read(b[:])
			return hex.EncodeToString(b[:])
		},
	}
}

// source returns what can be forked: a primitive, or a closed stored ibGib.
func (n *Node) source(ctx context.Context, addr ibgib.Addr) (ibgib.Source, error) {
	if addr.IsPrimitive() {
		return addr, nil
	}
	g, err := n.store.Get(ctx, addr)
	if err != nil {
		return nil, err
	}
	return g, n.checkClosed(ctx, []ibgib.Addr{addr})
}

// checkLinks fails with a *MissingLinkError unless everything that is linked is
// there. An address whose hash belongs to another one is for the store to refuse.
func (n *Node) checkLinks(ctx context.Context, rel8ns ibgib.Rel8ns) error {
	return n.checkClosed(ctx, addrsIn(rel8ns))
}

func addrsIn(rel8ns ibgib.Rel8ns) []ibgib.Addr {
	var addrs []ibgib.Addr
	for _, rel := range rel8ns {
		addrs = append(addrs, rel.Addrs...)
	}
	return addrs
}

// checkClosed fails with a *MissingLinkError unless all of some ibGibs are in a share,
// with all they link to.
func (n *Node) checkClosed(ctx context.Context, addrs []ibgib.Addr) error {
	hashes := make([]ibgib.Hash, 0, len(addrs))
	named := make([]ibgib.Addr, 0, len(addrs))
	for _, a := range addrs {
		if h, ok := a.Hash(); ok {
			hashes = append(hashes, h)
			named = append(named, a)
		}
	}
	closed, err := n.view.HasClosed(ctx, hashes)
	if err != nil {
		return err
	}
	for i, ok := range closed {
		if ok {
			continue
		}
		in, err := n.closedSomewhere(ctx, hashes[i])
		if err != nil {
			return err
		}
		if in == nil {
			return &MissingLinkError{named[i]}
		}
	}
	return nil
}

// tjpOf returns the tjp of the timeline that addr, its tjp or one of its frames,
// belongs to.
func (n *Node) tjpOf(ctx context.Context, addr ibgib.Addr) (ibgib.Addr, error) {
	f, err := n.frameOf(ctx, addr)
	return f.Tjp, err
}

// frameOf returns what the index says of a frame. It fails with
// blockstore.ErrNotFound, and says more if addr is stored.
func (n *Node) frameOf(ctx context.Context, addr ibgib.Addr) (timeline.Frame, error) {
	h, ok := addr.Hash()
	if !ok {
		return timeline.Frame{}, fmt.Errorf("%w: %s names no ibGib that is stored", ErrInput, addr)
	}
	f, in, err := n.frameSomewhere(ctx, h)
	if err != nil {
		return timeline.Frame{}, err
	}
	if in != nil && f.Addr == addr {
		if f.Kind == timeline.KindTjp {
			// A pinned stone stands in the index like a timeline of one frame.
			e, _, err := in.view.Entry(ctx, h)
			if err != nil {
				return f, err
			}
			if e.Stone {
				return timeline.Frame{}, errNoTimeline
			}
		}
		return f, nil
	}
	g, err := n.store.Get(ctx, addr)
	if err != nil {
		return timeline.Frame{}, err
	}
	if _, claims := timeline.Claims(g); !claims {
		return timeline.Frame{}, errNoTimeline
	}
	if err := n.checkClosed(ctx, []ibgib.Addr{addr}); err != nil {
		var missing *MissingLinkError
		if errors.As(err, &missing) {
			err = absence("it is stored, but waits for something that it links to; import or sync that")
		}
		return timeline.Frame{}, err
	}
	return timeline.Frame{}, absence("it is stored, but a rule keeps it out of its timeline; the command why says which")
}

func numberOf(f timeline.Frame) *int64 {
	if !f.HasN {
		return nil
	}
	return &f.N
}
