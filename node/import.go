package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/form"
	"github.com/ibgib/ibgib-node/timeline"
)

// An import reads a file in windows of so many ibGibs and bytes, one after the
// other; while one is being stored the next is read and checked. A single ibGib
// may be larger.
const (
	windowItems = 4096
	windowBytes = 8 << 20
)

// maxUnclosed bounds the ibGibs of an import that are remembered because
// something they link to is missing. Beyond it the result lists what the whole
// store waits for.
const maxUnclosed = 1 << 20

// Import stores the ibGibs of a file in any of the forms of package form, which
// it recognises, and in any order. What the gate refuses is left out and
// reported, with its place in the file; the rest is stored. Heads move once, at the end: an import that fails before has
// stored blocks that the next import of the file finds present. progress may be
// nil; it is called on the caller's goroutine.
//
// Memory does not grow with the file. A file that is no JSON in any of these
// forms, such as an archive, gives ErrFormat, and nothing of it is stored.
func (n *Node) Import(ctx context.Context, r io.Reader, progress func(ImportProgress)) (ImportResult, error) {
	return n.ImportWith(ctx, r, ImportOptions{}, progress)
}

// ImportOptions say what an import may do beside storing what is in the file.
type ImportOptions struct {
	// Include brings timelines and constants of other shares that ibGibs of the file link
	// to into the default share, where the file goes. Else such ibGibs wait, and the result
	// tells.
	Include bool
}

// ImportWith is Import with options.
func (n *Node) ImportWith(ctx context.Context, r io.Reader, o ImportOptions, progress func(ImportProgress)) (ImportResult, error) {
	since, err := n.placeOf(ctx, n.shares.def)
	if err != nil {
		return ImportResult{}, fmt.Errorf("node: import: %w", err)
	}
	stage, err := n.store.NewStage(blockstore.DefaultShare, blockstore.Origin{})
	if err != nil {
		return ImportResult{}, fmt.Errorf("node: import: %w", err)
	}
	i := &importer{n: n, stage: stage, include: o.Include, progress: progress, unclosed: make(map[ibgib.Hash]struct{})}
	i.result.Refused = []Refused{}
	i.result.Incomplete = []Missing{}
	if err := i.run(ctx, r); err != nil {
		return i.result, fmt.Errorf("node: import: %w", errors.Join(err, stage.Discard()))
	}
	if err := n.offerMoved(ctx, n.shares.def, since); err != nil {
		return i.result, fmt.Errorf("node: import: %w", err)
	}
	return i.result, nil
}

type importer struct {
	n        *Node
	stage    *blockstore.Stage
	include  bool
	progress func(ImportProgress)
	result   ImportResult
	bytes    int64 // of the file

	unclosed map[ibgib.Hash]struct{} // of this import, at least those that are not closed
	overflow bool                    // there are more
}

// window is some ibGibs of a file.
type window struct {
	items []form.Item
	gs    []ibgib.IbGib    // by item; zero where refused
	bad   []*ibgib.Refusal // by item; nil where not refused
	bytes int64            // of the file, up to the window's end
	err   error            // why reading ended after this window, if it did

	form    form.Form
	context ibgib.Addr // of a raw export; zero until it is met
}

func (i *importer) run(ctx context.Context, r io.Reader) error {
	windows := make(chan *window)
	stop := make(chan struct{})
	var join sync.WaitGroup
	join.Go(func() {
		defer close(windows)
		readWindows(r, windows, stop)
	})
	// A reader that blocks in Read is its owner's to end.
	defer join.Wait()
	defer close(stop)

	for w := range windows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if w.err != nil && !errors.Is(w.err, io.EOF) {
			return w.err
		}
		if err := i.store(ctx, w); err != nil {
			return err
		}
	}
	res, err := i.stage.Commit(ctx)
	if err != nil {
		return err
	}
	i.n.tellMerges(ctx, res.Merges)
	i.result.Moved = res.Moved
	i.result.Rejected = rejected(res.Rejected)
	return i.incomplete(ctx)
}

// readWindows reads and checks the file until its end or an error, which the
// last window bears.
func readWindows(r io.Reader, out chan<- *window, stop <-chan struct{}) {
	in, err := form.Open(r)
	for {
		w := &window{err: err}
		for size := 0; len(w.items) < windowItems && size < windowBytes && w.err == nil; {
			var next form.Item
			if next, w.err = in.Next(); w.err == nil {
				w.items = append(w.items, next)
				size += len(next.Text)
			}
		}
		if in != nil {
			w.form, w.context, w.bytes = in.Form(), in.Context(), in.Offset()
		}
		w.check()
		select {
		case out <- w:
		case <-stop:
			return
		}
		if w.err != nil {
			return
		}
	}
}

// check passes the items through the gate, on all processors.
func (w *window) check() {
	w.gs = make([]ibgib.IbGib, len(w.items))
	w.bad = make([]*ibgib.Refusal, len(w.items))
	const share = 64 // items taken at a time
	next := make(chan int)
	var join sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(w.items)/share+1) {
		join.Go(func() {
			for from := range next {
				for i := from; i < min(from+share, len(w.items)); i++ {
					w.gs[i], w.bad[i] = w.items[i].Gate()
					w.items[i].Text = nil
				}
			}
		})
	}
	for from := 0; from < len(w.items); from += share {
		next <- from
	}
	close(next)
	join.Wait()
}

// store puts the ibGibs of a window into the stage, dependencies first.
func (i *importer) store(ctx context.Context, w *window) error {
	i.result.Form, i.result.Context = w.form, w.context
	gs := make([]ibgib.IbGib, 0, len(w.items))
	places := make(map[string]form.Item) // by address
	for k, it := range w.items {
		i.result.Read++
		if w.bad[k] != nil {
			i.refuse(it, w.bad[k])
			continue
		}
		gs = append(gs, w.gs[k])
		if _, repeated := places[w.gs[k].Addr().String()]; !repeated {
			places[w.gs[k].Addr().String()] = it
		}
	}
	res, err := i.stage.Put(ctx, timeline.SortTopological(gs))
	if err != nil {
		return err
	}
	i.result.Stored += res.Stored
	i.result.Present += res.Present
	for _, r := range res.Refused {
		i.refuse(places[r.Addr], r)
	}
	if err := i.remember(ctx, gs); err != nil {
		return err
	}
	i.bytes = w.bytes
	i.report(nil)
	return nil
}

func (i *importer) refuse(at form.Item, r *ibgib.Refusal) {
	i.n.metrics.Refused(string(r.Rule))
	refused := Refused{Line: at.Line, Item: at.Number, Addr: r.Addr, Rule: string(r.Rule), Detail: r.Detail}
	if len(i.result.Refused) < maxListed {
		i.result.Refused = append(i.result.Refused, refused)
	} else {
		i.result.RefusedMore++
	}
	i.report(&refused)
}

func (i *importer) report(refused *Refused) {
	if i.progress == nil {
		return
	}
	i.progress(ImportProgress{
		Read: i.result.Read, Stored: i.result.Stored, Present: i.result.Present,
		Bytes: i.bytes, Refused: refused,
	})
}

// remember notes which of gs are not closed.
func (i *importer) remember(ctx context.Context, gs []ibgib.IbGib) error {
	hashes := make([]ibgib.Hash, len(gs))
	for k, g := range gs {
		hashes[k] = g.Hash()
	}
	closed, err := i.n.view.HasClosed(ctx, hashes)
	if err != nil {
		return err
	}
	for k, h := range hashes {
		switch {
		case closed[k]:
		case len(i.unclosed) < maxUnclosed:
			i.unclosed[h] = struct{}{}
		default:
			i.overflow = true
		}
	}
	return nil
}

// incomplete fills in what is missing, if ibGibs of this import are not closed
// in the end.
func (i *importer) incomplete(ctx context.Context) error {
	waits := i.overflow
	for h := range i.unclosed {
		closed, err := i.n.view.HasClosed(ctx, []ibgib.Hash{h})
		if err != nil {
			return err
		}
		if !closed[0] {
			waits = true
			break
		}
	}
	if !waits {
		return nil
	}
	if err := i.makeRoom(ctx); err != nil {
		return err
	}
	var last ibgib.Addr // targets come by hash, with all that wait for each
	for inc, err := range i.n.view.Incomplete(ctx) {
		if err != nil {
			return err
		}
		if inc.Missing == last {
			continue
		}
		last = inc.Missing
		switch _, err := i.n.store.Get(ctx, inc.Missing); {
		case err == nil:
			continue // it waits itself, for something that is listed
		case !errors.Is(err, blockstore.ErrNotFound):
			return err
		}
		if len(i.result.Incomplete) == maxListed {
			i.result.IncompleteMore++
			continue
		}
		m, err := i.n.missing(ctx, inc.Missing, inc.Referrer)
		if err != nil {
			return err
		}
		i.result.Incomplete = append(i.result.Incomplete, m)
	}
	return nil
}

// rejected lists rejections for people, at most 1,000.
func rejected(list []timeline.Rejection) []Rejected {
	var shown []Rejected
	for _, r := range list[:min(len(list), maxListed)] {
		shown = append(shown, Rejected{Addr: r.Addr, Rule: r.Rule, Detail: r.Detail})
	}
	return shown
}

// makeRoom brings what ibGibs of this import wait for, and what other shares have, into
// the default share, as for a change that is made here. What would bring timelines that
// the share does not list, or constants of other shares, is left out without include, and
// told of. What was there before goes on waiting: it may have come from a peer, and brings
// nothing out of another share.
func (i *importer) makeRoom(ctx context.Context) error {
	if len(i.n.shares.list()) == 0 {
		return nil
	}
	var wanted []ibgib.Addr
	for inc, err := range i.n.view.Incomplete(ctx) {
		if err != nil {
			return err
		}
		referrer, _ := inc.Referrer.Hash()
		if _, own := i.unclosed[referrer]; !own || len(wanted) > 0 && wanted[len(wanted)-1] == inc.Missing {
			continue
		}
		if len(wanted) == maxUnclosed {
			break // the next import of the file goes on
		}
		wanted = append(wanted, inc.Missing)
	}
	outside := make(map[ibgib.Addr]bool)
	for _, a := range wanted {
		err := i.n.makeRoom(ctx, []*share{i.n.shares.def}, []ibgib.Addr{a}, ibgib.Addr{}, i.include)
		if held, ok := errors.AsType[*OutsideError](err); ok {
			for _, a := range slices.Concat(held.Timelines, held.Stones) {
				outside[a] = true
			}
			continue
		}
		if _, missing := errors.AsType[*MissingLinkError](err); err != nil && !missing {
			return err
		}
	}
	i.result.Outside = slices.SortedFunc(maps.Keys(outside), ibgib.CompareAddr)
	i.result.Outside = i.result.Outside[:min(len(i.result.Outside), maxListed)]
	return nil
}
