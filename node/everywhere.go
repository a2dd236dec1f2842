package node

import (
	"bytes"
	"context"
	"iter"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// What a person asks a node about is looked for in all shares, the default one first.
// With the default share alone that costs nothing more.

// frameSomewhere returns an admitted frame of any share, and a share that has it.
func (n *Node) frameSomewhere(ctx context.Context, h ibgib.Hash) (f timeline.Frame, in *share, err error) {
	for _, sh := range n.shares.all() {
		f, ok, err := sh.view.Frame(ctx, h)
		if ok || err != nil {
			return f, sh, err
		}
	}
	return f, nil, nil
}

// closedSomewhere returns the first share in which an ibGib is with all it links to; nil
// if there is none.
func (n *Node) closedSomewhere(ctx context.Context, h ibgib.Hash) (*share, error) {
	for _, sh := range n.shares.all() {
		closed, err := sh.view.HasClosed(ctx, []ibgib.Hash{h})
		if err != nil {
			return nil, err
		}
		if closed[0] {
			return sh, nil
		}
	}
	return nil, nil
}

// located is an entry with the share that it is shown of.
type located struct {
	blockstore.Entry
	in *share
}

// entries ranges over the entries of all shares by hash, each once: that of the default
// share before those of others.
func (n *Node) entries(ctx context.Context) iter.Seq2[located, error] {
	var seqs []iter.Seq2[located, error]
	for _, sh := range n.shares.all() {
		seqs = append(seqs, func(yield func(located, error) bool) {
			for e, err := range sh.view.Entries(ctx) {
				if !yield(located{e, sh}, err) {
					return
				}
			}
		})
	}
	return byHash(seqs, func(e located) ibgib.Addr { return e.Root })
}

// members ranges over the addresses of all ibGibs of all shares by hash.
func (n *Node) members(ctx context.Context) iter.Seq2[ibgib.Addr, error] {
	var seqs []iter.Seq2[ibgib.Addr, error]
	for _, sh := range n.shares.all() {
		seqs = append(seqs, sh.view.Members(ctx))
	}
	return byHash(seqs, func(a ibgib.Addr) ibgib.Addr { return a })
}

// byHash merges sequences, each of which ascends by hash, into one. Of items with the
// same hash it yields that of the first sequence. An error ends it.
func byHash[T any](seqs []iter.Seq2[T, error], addr func(T) ibgib.Addr) iter.Seq2[T, error] {
	if len(seqs) == 1 {
		return seqs[0]
	}
	type source struct {
		next func() (T, error, bool)
		item T
		hash ibgib.Hash
		ok   bool
	}
	return func(yield func(T, error) bool) {
		sources := make([]*source, 0, len(seqs))
		advance := func(s *source) (err error) {
			if s.item, err, s.ok = s.next(); s.ok && err == nil {
				s.hash, _ = addr(s.item).Hash()
			}
			return err
		}
		var zero T
		for _, seq := range seqs {
			next, stop := iter.Pull2(seq)
			defer stop()
			s := &source{next: next}
			if err := advance(s); err != nil {
				yield(zero, err)
				return
			}
			sources = append(sources, s)
		}
		for {
			var first *source
			for _, s := range sources {
				if s.ok && (first == nil || bytes.Compare(s.hash[:], first.hash[:]) < 0) {
					first = s
				}
			}
			if first == nil {
				return
			}
			item, hash := first.item, first.hash
			for _, s := range sources {
				if s.ok && s.hash == hash {
					if err := advance(s); err != nil {
						yield(zero, err)
						return
					}
				}
			}
			if !yield(item, nil) {
				return
			}
		}
	}
}
