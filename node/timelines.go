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

// Create makes a timeline: a fork of parent, then a frame with the data and one
// with the links, if there are any. The zero Addr for parent is ib^gib. Without
// options for the tjp it gets a fresh id and the time; frames are counted.
func (n *Node) Create(ctx context.Context, parent ibgib.Addr, o ibgib.FirstGenOptions) (Change, error) {
	change, err := n.create(ctx, parent, o)
	if err != nil {
		return Change{}, fmt.Errorf("node: create: %w", err)
	}
	return change, nil
}

func (n *Node) create(ctx context.Context, parent ibgib.Addr, o ibgib.FirstGenOptions) (Change, error) {
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
	return n.begin(ctx, made)
}

// Fork makes a new timeline from a stored ibGib or a primitive. It gets a fresh
// id and the time unless the options say otherwise.
func (n *Node) Fork(ctx context.Context, src ibgib.Addr, o ibgib.ForkOptions) (Change, error) {
	change, err := n.fork(ctx, src, o)
	if err != nil {
		return Change{}, fmt.Errorf("node: fork %s: %w", src, err)
	}
	return change, nil
}

func (n *Node) fork(ctx context.Context, src ibgib.Addr, o ibgib.ForkOptions) (Change, error) {
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
	return n.begin(ctx, made)
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
func (n *Node) begin(ctx context.Context, made ibgib.Result) (Change, error) {
	put, res, err := n.store.Apply(ctx, blockstore.DefaultShare, blockstore.Origin{}, made.All())
	if err != nil {
		return Change{}, err
	}
	if len(put.Refused) > 0 {
		return Change{}, put.Refused[0]
	}
	return n.changed(ctx, made.New, put, res)
}

// Mut8 changes the data or the ib of a timeline. addr is its tjp or any of its
// frames; the change goes on top of the latest.
func (n *Node) Mut8(ctx context.Context, addr ibgib.Addr, o ibgib.Mut8Options) (Change, error) {
	change, err := n.mut8(ctx, addr, o)
	if err != nil {
		return Change{}, fmt.Errorf("node: mut8 %s: %w", addr, err)
	}
	return change, nil
}

func (n *Node) mut8(ctx context.Context, addr ibgib.Addr, o ibgib.Mut8Options) (Change, error) {
	if err := o.CheckLocal(); err != nil {
		return Change{}, err
	}
	// A timeline counts from its tjp or never.
	o.Dna, o.NCounter = true, false
	if o.LinkedRel8ns == nil {
		o.LinkedRel8ns = linkedByDefault()
	}
	return n.change(ctx, addr, func(latest ibgib.IbGib) (ibgib.Result, error) {
		return ibgib.Mut8(latest, o, n.env())
	})
}

// Rel8 adds links to a timeline or removes some; addr as in Mut8. What is linked
// must be stored with all it links to, or the error is a *MissingLinkError.
func (n *Node) Rel8(ctx context.Context, addr ibgib.Addr, o ibgib.Rel8Options) (Change, error) {
	change, err := n.rel8(ctx, addr, o)
	if err != nil {
		return Change{}, fmt.Errorf("node: rel8 %s: %w", addr, err)
	}
	return change, nil
}

func (n *Node) rel8(ctx context.Context, addr ibgib.Addr, o ibgib.Rel8Options) (Change, error) {
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
	return n.change(ctx, addr, func(latest ibgib.IbGib) (ibgib.Result, error) {
		return ibgib.Rel8(latest, o, n.env())
	})
}

// change puts a frame on top of the latest.
func (n *Node) change(ctx context.Context, addr ibgib.Addr, transform func(ibgib.IbGib) (ibgib.Result, error)) (Change, error) {
	tjp, err := n.tjpOf(ctx, addr)
	if err != nil {
		return Change{}, err
	}
	root, _ := tjp.Hash()
	var made ibgib.Result
	put, res, err := n.store.Change(ctx, blockstore.DefaultShare, root, func(latest ibgib.IbGib) (_ []ibgib.IbGib, err error) {
		made, err = transform(latest)
		return made.All(), err
	})
	if err != nil {
		return Change{}, err
	}
	return n.changed(ctx, made.New, put, res)
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
	var addrs []ibgib.Addr
	for _, rel := range rel8ns {
		addrs = append(addrs, rel.Addrs...)
	}
	return n.checkClosed(ctx, addrs)
}

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
		if !ok {
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
	f, ok, err := n.view.Frame(ctx, h)
	if err != nil {
		return timeline.Frame{}, err
	}
	if ok && f.Addr == addr {
		if f.Kind == timeline.KindTjp {
			// A pinned stone stands in the index like a timeline of one frame.
			e, _, err := n.view.Entry(ctx, h)
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
