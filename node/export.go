package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// Export writes the closures of addrs, or with all every stored ibGib, as
// NDJSON: canonical bytes, each ibGib once, after those that it links to. The
// order depends on nothing but what is written, so an export that is imported
// elsewhere and exported from there gives the same bytes. It keeps an address
// of each ibGib in memory. Fails with blockstore.ErrNotFound if one of addrs is
// not stored; links to what is not stored are reported in the result.
func (n *Node) Export(ctx context.Context, w io.Writer, addrs []ibgib.Addr, all bool) (ExportResult, error) {
	res, err := n.export(ctx, w, addrs, all)
	if err != nil {
		return res, fmt.Errorf("node: export: %w", err)
	}
	return res, nil
}

func (n *Node) export(ctx context.Context, w io.Writer, addrs []ibgib.Addr, all bool) (ExportResult, error) {
	res := ExportResult{Missing: []ibgib.Addr{}}
	if all == (len(addrs) > 0) {
		return res, fmt.Errorf("%w: name the ibGibs to export, or ask for all of them", ErrInput)
	}
	get, roots, err := n.exported(ctx, addrs, all)
	if err != nil {
		return res, err
	}
	order, missing, err := timeline.Closure(roots, get, timeline.ClosureOptions{})
	if err != nil {
		return res, err
	}
	res.Missing = append(res.Missing, missing[:min(len(missing), maxListed)]...)

	out := bufio.NewWriterSize(w, 256<<10)
	var text []byte
	for _, a := range order {
		g, err := get(a)
		if err != nil {
			return res, err
		}
		text = append(g.AppendJSON(text[:0]), '\n')
		if out.Available() < len(text) { // w gets whole lines only
			if err := out.Flush(); err != nil {
				return res, err
			}
		}
		if _, err := out.Write(text); err != nil {
			return res, err
		}
		res.IbGibs++
		res.Bytes += int64(len(text))
		if cap(text) > ibgib.MaxSize {
			text = nil
		}
	}
	return res, out.Flush()
}

// exported returns what an export reads through, and where it begins. Only
// members of shares are read: a link may name something that the store has for
// other reasons.
func (n *Node) exported(ctx context.Context, addrs []ibgib.Addr, all bool) (timeline.Lookup, []ibgib.Addr, error) {
	closed := !all
	for _, a := range addrs {
		h, ok := a.Hash()
		if !ok {
			return nil, nil, fmt.Errorf("%w: %s is a primitive, which has no content", ErrInput, a)
		}
		if _, err := n.store.Get(ctx, a); err != nil {
			return nil, nil, err
		}
		in, err := n.closedSomewhere(ctx, h)
		if err != nil {
			return nil, nil, err
		}
		closed = closed && in != nil
	}
	get := func(a ibgib.Addr) (ibgib.IbGib, error) {
		g, err := n.store.Get(ctx, a)
		if errors.Is(err, blockstore.ErrNotFound) {
			return ibgib.IbGib{}, nil
		}
		return g, err
	}
	if closed { // then all below is closed too
		return get, addrs, nil
	}
	members := make(map[ibgib.Hash]struct{})
	var roots []ibgib.Addr
	for a, err := range n.members(ctx) {
		if err != nil {
			return nil, nil, err
		}
		h, _ := a.Hash()
		members[h] = struct{}{}
		if all {
			roots = append(roots, a)
		}
	}
	if !all {
		roots = addrs
		for _, a := range addrs {
			h, _ := a.Hash()
			if _, ok := members[h]; !ok {
				return nil, nil, fmt.Errorf("%s: %w", a, blockstore.ErrNotFound)
			}
		}
	}
	return func(a ibgib.Addr) (ibgib.IbGib, error) {
		if h, _ := a.Hash(); !has(members, h) {
			return ibgib.IbGib{}, nil
		}
		return get(a)
	}, roots, nil
}

func has(set map[ibgib.Hash]struct{}, h ibgib.Hash) bool {
	_, ok := set[h]
	return ok
}
