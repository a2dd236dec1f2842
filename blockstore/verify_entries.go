package blockstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// entries checks heads, change log and fingerprint, and returns every frame in
// the history of a head.
func (v *verifier) entries() (map[ibgib.Hash]bool, error) {
	history := make(map[ibgib.Hash]bool)
	parents := make(map[ibgib.Hash]bool)
	var fp timeline.Fingerprint
	var heads []ibgib.Hash
	count, stones, maxSeq := 0, 0, uint64(0)
	err := v.snap.scan(sharePrefix(prefixEntry, v.share), nil, func(key, value []byte) (bool, error) {
		count++
		root := lastHash(key)
		e, err := decodeEntry(value)
		if err != nil {
			v.problem("head", root.String(), "%v", err)
			return true, v.step()
		}
		fp.Add(e.Knowledge().Digest())
		maxSeq = max(maxSeq, e.Seq)
		if logged, _, err := v.snap.get(changeKey(v.share, e.Seq)); err != nil {
			return false, err
		} else if string(logged) != string(root[:]) {
			v.problem("change-log", e.Root.String(), "its change %d is not in the log", e.Seq)
		}
		if e.Stone {
			stones++
			return true, v.stone(root, e)
		}
		var frames []timeline.Frame
		for _, a := range e.Heads {
			f, ok, err := v.frame(a)
			if err != nil {
				return false, err
			}
			if !ok || !f.IsUser() || f.Tjp != e.Root {
				v.problem("head", a.String(), "named as head of %s, but it is no user frame of that timeline", e.Root)
				continue
			}
			frames = append(frames, f)
			h, _ := a.Hash()
			heads = append(heads, h)
		}
		if len(frames) > 0 {
			if err := v.latest(e, frames); err != nil {
				return false, err
			}
		}
		for _, f := range frames {
			if err := v.walkHistory(f, history, parents); err != nil {
				return false, err
			}
		}
		return true, v.step()
	})
	if err != nil {
		return nil, err
	}
	for _, h := range heads {
		if parents[h] {
			v.problem("head", h.String(), "named as head, but it is in the history of another head")
		}
	}
	if v.share == DefaultShare {
		v.report.Timelines = count - stones
	}
	return history, v.summary(fp, count, maxSeq)
}

// undecided checks that a frame, or a timeline, that is undecided will be taken up.
func (v *verifier) undecided(kind string, a ibgib.Addr) {
	if v.noneUndecided {
		v.problem(kind, a.String(), "waits for a merge, and the store records that nothing does")
	}
}

// latest checks what is presented of the heads. A merge is computed anew.
func (v *verifier) latest(e Entry, heads []timeline.Frame) error {
	want := newEntry(heads)
	switch {
	case e.Pinned:
		i := slices.IndexFunc(heads, func(f timeline.Frame) bool { return f.Addr == e.Latest })
		if i < 0 || len(heads) < 2 {
			v.problem("pin", e.Root.String(), "%s is pinned as latest, but is not one of several heads", e.Latest)
			return nil
		}
		want.pin(heads[i])
	case len(heads) > 1 && e.Conflict.Reason == ReasonUndecided:
		v.undecided("head", e.Root)
		want.Conflict = e.Conflict
	case len(heads) > 1 && !e.Held && v.strategy == Optimistic:
		merged, err := timeline.Merge(heads, v.frame, v.blockAt, timeline.MergeWork{})
		none, impossible := errors.AsType[*timeline.Unmergeable](err)
		switch {
		case impossible:
			want.Conflict = Conflict{none.Reason, none.Detail, none.Base, none.Opaque}
		case errors.Is(err, ErrCorrupt) || errors.Is(err, timeline.ErrIndex) || isMissing(err):
			return nil // reported in its own place
		case err != nil:
			return err
		default:
			want.merged(merged.Frame)
			if err := v.mergeFrame(e, merged); err != nil {
				return err
			}
		}
	}
	want.Held = e.Held && len(heads) > 1
	if !sameLatest(e, want) {
		v.problem("head", e.Root.String(), "latest is %s, merged %t, not merged for %q; must be %s, %t, %q",
			e.Latest, e.Merged, e.Conflict.Reason, want.Latest, want.Merged, want.Conflict.Reason)
	}
	return nil
}

// mergeFrame checks that the merge frame that an entry presents is there.
func (v *verifier) mergeFrame(e Entry, merged timeline.Merged) error {
	f, ok, err := v.frame(e.Latest)
	if err == nil && e.Latest == merged.Frame.Addr && (!ok || !sameFrame(f, merged.Frame)) {
		v.problem("head", e.Root.String(), "the merge frame %s is no frame of the index", e.Latest)
	}
	return err
}

func isMissing(err error) bool {
	_, ok := errors.AsType[*timeline.MissingError](err)
	return ok
}

// stone checks the entry of a pinned stone.
func (v *verifier) stone(root ibgib.Hash, e Entry) error {
	if h, _ := e.Root.Hash(); h != root || len(e.Heads) != 1 || e.Heads[0] != e.Root || e.Latest != e.Root {
		v.problem("head", e.Root.String(), "a pinned stone with the heads %v", e.Heads)
	}
	pinned, err := v.snap.has(shareKey(prefixPin, v.share, root))
	if err == nil && !pinned {
		v.problem("pin", e.Root.String(), "is an entry, but is not pinned")
	}
	return errors.Join(err, v.step())
}

// pins checks that what is pinned is closed, and that the stones among it are
// entries.
func (v *verifier) pins() error {
	return v.snap.scan(sharePrefix(prefixPin, v.share), nil, func(key, value []byte) (bool, error) {
		h := lastHash(key)
		p, err := decodePin(key, value)
		a := p.addr
		if err != nil {
			v.problem("pin", h.String(), "%v", err)
			return true, v.step()
		}
		m, found, err := v.get(h)
		if err != nil {
			return false, err
		}
		if !found || !m.closed || m.addr != a {
			v.problem("pin", a.String(), "is pinned, but is no closed member")
			return true, v.step()
		}
		g, err := v.blockAt(a)
		if errors.Is(err, ErrCorrupt) || err == nil && g.IsZero() {
			return true, v.step() // reported in its own place
		}
		if err != nil {
			return false, err
		}
		if _, frame := timeline.Claims(g); !frame {
			e, found, err := entryOf(v.snap, v.share, h)
			if err != nil && !errors.Is(err, ErrCorrupt) {
				return false, err
			}
			if !found || !e.Stone {
				v.problem("pin", a.String(), "is a pinned stone, but no entry")
			}
		}
		return true, v.step()
	})
}

// summary checks the fingerprint and the length of the change log.
func (v *verifier) summary(fp timeline.Fingerprint, count int, maxSeq uint64) error {
	state, err := stateOf(v.snap, v.share)
	if err != nil {
		if !errors.Is(err, ErrCorrupt) {
			return err
		}
		v.problem("fingerprint", fmt.Sprintf("share %d", v.share), "%v", err)
		return nil
	}
	if state.fingerprint != fp {
		v.problem("fingerprint", fmt.Sprintf("share %d", v.share), "stored %x, must be %x", state.fingerprint.Sum(), fp.Sum())
	}
	if maxSeq > state.seq {
		v.problem("change-log", fmt.Sprintf("share %d", v.share), "change %d is beyond the last one, %d", maxSeq, state.seq)
	}
	logged := 0
	if err := v.snap.scanKeys(sharePrefix(prefixChange, v.share), nil, func(key []byte) (bool, error) {
		logged++
		if seq := binary.BigEndian.Uint64(key[5:]); seq > state.seq {
			v.problem("change-log", fmt.Sprintf("share %d", v.share), "change %d is beyond the last one, %d", seq, state.seq)
		}
		return true, v.ctx.Err()
	}); err != nil {
		return err
	}
	if logged != count {
		v.problem("change-log", fmt.Sprintf("share %d", v.share), "%d changes logged for %d timelines", logged, count)
	}
	return nil
}

// walkHistory adds f and what lies below it to history, and what lies below a
// frame to parents.
func (v *verifier) walkHistory(f timeline.Frame, history, parents map[ibgib.Hash]bool) error {
	stack := []timeline.Frame{f}
	for len(stack) > 0 {
		f := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		h, _ := f.Addr.Hash()
		if history[h] {
			continue
		}
		history[h] = true
		below := f.Links
		if !f.Pred.IsZero() {
			below = append([]ibgib.Addr{f.Pred}, f.Links...)
		}
		for _, a := range below {
			p, ok, err := v.frame(a)
			if err != nil {
				return err
			}
			if !ok {
				v.problem("frame", f.Addr.String(), "follows %s, which is no frame of the index", a)
				continue
			}
			ph, _ := a.Hash()
			parents[ph] = true
			stack = append(stack, p)
		}
	}
	return nil
}
