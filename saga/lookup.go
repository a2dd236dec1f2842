package saga

import (
	"context"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// maxLocatorSteps bounds how many frames one look-up of Want.Known passes. It is a
// matter of time: each change of a long timeline is looked up so, though what is
// found is of use only to a peer that does not know this side's heads. Such a peer offers what
// lies further below, at 32 bytes a block.
const maxLocatorSteps = 256

// frameLookup reads the index by address.
func frameLookup(ctx context.Context, index Index) timeline.FrameLookup {
	return func(a ibgib.Addr) (timeline.Frame, bool, error) {
		h, ok := a.Hash()
		if !ok {
			return timeline.Frame{}, false, nil
		}
		f, ok, err := index.Frame(ctx, h)
		if err != nil || !ok || f.Addr != a {
			return timeline.Frame{}, false, err
		}
		return f, true, nil
	}
}

// frames returns those of the hashes that the index has.
func frames(ctx context.Context, index Index, hashes []ibgib.Hash) ([]timeline.Frame, error) {
	var fs []timeline.Frame
	for _, h := range hashes {
		f, ok, err := index.Frame(ctx, h)
		if err != nil {
			return nil, err
		}
		if ok {
			fs = append(fs, f)
		}
	}
	return fs, nil
}

// Lacking returns those of the heads that the peer named in a row which are not in
// the history of this side's own. That a frame is in the index is not enough: it may
// have come in a saga that was cut before its commit.
func Lacking(ctx context.Context, index Index, row Row) ([]ibgib.Hash, error) {
	heads, _, err := lackingOf(ctx, index, row)
	return heads, err
}

// lackingOf is Lacking, and returns this side's heads too, if anything is lacking.
func lackingOf(ctx context.Context, index Index, row Row) (heads []ibgib.Hash, own []timeline.Frame, err error) {
	named := lacking(row.Peer, row.Own)
	if len(named) == 0 {
		return nil, nil, nil
	}
	if own, err = frames(ctx, index, row.Own); err != nil {
		return nil, nil, err
	}
	history := timeline.NewHistory(frameLookup(ctx, index), own...)
	for _, h := range named {
		f, ok, err := index.Frame(ctx, h)
		if err == nil && ok {
			ok, err = history.Contains(f)
		}
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			heads = append(heads, h)
		}
	}
	return heads, own, nil
}

// Locate does one list of Work.Locate: what is lacking of each timeline, with what
// this side has of it.
func Locate(ctx context.Context, index Index, rows []Row) ([]Want, error) {
	var wants []Want
	for _, row := range rows {
		heads, own, err := lackingOf(ctx, index, row)
		if err != nil {
			return nil, err
		}
		if len(heads) == 0 {
			continue
		}
		want := Want{Root: row.Root, Heads: heads}
		if want.Known, err = locator(frameLookup(ctx, index), own); err != nil {
			return nil, err
		}
		wants = append(wants, want)
	}
	return wants, nil
}

// locator lists frames below the given heads, at distances 1, 2, 4, 8 and so on,
// and the tjp. The heads themselves are left out: the other side knows them.
func locator(look timeline.FrameLookup, heads []timeline.Frame) ([]ibgib.Hash, error) {
	var known []ibgib.Hash
	seen := make(map[ibgib.Hash]bool)
	add := func(f timeline.Frame) {
		if h := f.Hash(); !seen[h] && len(known) < MaxKnown {
			seen[h] = true
			known = append(known, h)
		}
	}
	steps := maxLocatorSteps
	for _, f := range heads {
		next := 1
		for distance := 1; !f.Pred.IsZero() && steps > 0 && len(known) < MaxKnown-1; distance++ {
			below, ok, err := look(f.Pred)
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			f = below
			steps--
			if distance == next || f.Pred.IsZero() {
				add(f)
				next *= 2
			}
		}
	}
	if len(heads) > 0 {
		if tjp, ok, err := look(heads[0].Tjp); err != nil {
			return nil, err
		} else if ok && tjp.Addr != heads[0].Addr {
			add(tjp)
		}
	}
	return known, nil
}

// Judge does one list of Work.Judge.
func Judge(ctx context.Context, index Index, rows []Row) ([]bool, error) {
	outcomes, err := Agree(ctx, index, rows)
	if err != nil {
		return nil, err
	}
	diverged := make([]bool, len(rows))
	for i, o := range outcomes {
		diverged[i] = len(o.Heads) > 1
	}
	return diverged, nil
}

// Agree does one list of Work.Agree.
func Agree(ctx context.Context, index Index, rows []Row) ([]Outcome, error) {
	look := frameLookup(ctx, index)
	outcomes := make([]Outcome, 0, len(rows))
	for _, row := range rows {
		own, err := frames(ctx, index, row.Own)
		if err != nil {
			return nil, err
		}
		peer, err := frames(ctx, index, row.Peer)
		if err != nil {
			return nil, err
		}
		o := Outcome{Root: row.Root}
		all := own
		for _, f := range peer {
			h := f.Hash()
			if root, _ := f.Tjp.Hash(); root != row.Root {
				continue // the peer put it under a timeline that it is not of
			}
			o.Held = append(o.Held, h)
			if _, both := slices.BinarySearchFunc(row.Own, h, compareHash); !both {
				all = append(all, f)
			}
		}
		heads, err := timeline.Maximal(all, look)
		if err != nil {
			return nil, err
		}
		for _, f := range heads {
			o.Heads = append(o.Heads, f.Hash())
		}
		sortHashes(o.Heads)
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}

// Survey answers Work.Open for a scope of some timelines with their entries, as
// Index.EntriesOf returns them, and for what the fingerprint leaves out. It does not
// tell whether the share is empty.
func Survey(entries []timeline.Entry, scope, without []ibgib.Hash) Opened {
	var o Opened
	var fp timeline.Fingerprint
	for _, root := range scope {
		if len(entries) == 0 || entries[0].Root != root {
			o.Absent = append(o.Absent, root)
			continue
		}
		if !contains(without, root) {
			fp.Add(entries[0].Digest())
		}
		entries = entries[1:]
	}
	o.Fingerprint, o.Count = fp.Sum(), fp.Count()
	return o
}
