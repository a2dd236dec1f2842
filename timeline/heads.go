package timeline

import (
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Parents returns the user frames directly below f, sorted by address, without
// repeats: its predecessor and its counted merge links, a merge frame among them
// replaced by its own parents. The tjp has none.
func Parents(f Frame, frame FrameLookup) ([]ibgib.Addr, error) {
	// A merge frame stands on user frames only (Admit sees to it), so one level
	// of replacing is enough.
	parents := slices.Clone(f.Links)
	if !f.Pred.IsZero() {
		pred, err := frame.must(f.Pred, f.Addr)
		if err != nil {
			return nil, err
		}
		if pred.Kind == KindMerge {
			parents = append(parents, pred.Pred)
			parents = append(parents, pred.Links...)
		} else {
			parents = append(parents, f.Pred)
		}
	}
	slices.SortFunc(parents, ibgib.CompareAddr)
	return slices.Compact(parents), nil
}

// Advance returns the heads of a timeline after frames entered: heads are its
// heads before, added all frames that entered since, in any order. It costs one
// lookup a frame and no walk, however old the other heads are, because what
// enters can only have heads right below the frames that enter with it. If the
// caller does not know that added is complete, Maximal over heads and added gives
// the same result. The result is sorted by address, without merge frames.
func Advance(heads, added []Frame, frame FrameLookup) ([]Frame, error) {
	all := userFrames(slices.Concat(heads, added))
	covered := make(map[ibgib.Addr]bool)
	for _, f := range added {
		if !f.IsUser() {
			continue
		}
		parents, err := Parents(f, frame)
		if err != nil {
			return nil, err
		}
		for _, p := range parents {
			covered[p] = true
		}
	}
	return slices.DeleteFunc(all, func(f Frame) bool { return covered[f.Addr] }), nil
}

// Maximal returns the heads among frames: the user frames that are in the
// history of no other one of them. Merge frames are neither heads nor do they
// hide what is below them. Frames of several timelines may be given. The result
// has no repeats and is sorted by address. The walk goes no deeper than the
// smallest n of what direct parents leave.
func Maximal(frames []Frame, frame FrameLookup) ([]Frame, error) {
	left := userFrames(frames)

	// Direct parents first: they settle a run of consecutive frames without a walk.
	covered := make(map[ibgib.Addr]bool)
	for _, f := range left {
		if len(left) == 1 {
			break
		}
		parents, err := Parents(f, frame)
		if err != nil {
			return nil, err
		}
		for _, p := range parents {
			if _, ok := findFrame(left, p); ok {
				covered[p] = true
			}
		}
	}
	left = slices.DeleteFunc(left, func(f Frame) bool { return covered[f.Addr] })

	below := NewHistory(frame)
	count := make(map[ibgib.Addr]int)
	for _, f := range left {
		count[f.Tjp]++
	}
	for _, f := range left {
		if count[f.Tjp] > 1 {
			if err := below.addBelow(f); err != nil {
				return nil, err
			}
		}
	}
	newestFirst := slices.SortedFunc(slices.Values(left), func(a, b Frame) int { return Compare(b, a) })
	clear(covered)
	for _, f := range newestFirst {
		in, err := below.Contains(f)
		if err != nil {
			return nil, err
		}
		covered[f.Addr] = in
	}
	return slices.DeleteFunc(left, func(f Frame) bool { return covered[f.Addr] }), nil
}

// Latest returns the head that the manual strategy presents: the one with the
// greatest (n, HASH). Without heads it returns the zero Frame.
func Latest(heads []Frame) Frame {
	if len(heads) == 0 {
		return Frame{}
	}
	return slices.MaxFunc(heads, Compare)
}

// userFrames returns the user frames among frames, sorted by address, each once.
func userFrames(frames []Frame) []Frame {
	users := slices.DeleteFunc(slices.Clone(frames), func(f Frame) bool { return !f.IsUser() })
	slices.SortFunc(users, func(a, b Frame) int { return ibgib.CompareAddr(a.Addr, b.Addr) })
	return slices.CompactFunc(users, func(a, b Frame) bool { return a.Addr == b.Addr })
}

// findFrame searches frames that are sorted by address.
func findFrame(frames []Frame, addr ibgib.Addr) (int, bool) {
	return slices.BinarySearchFunc(frames, addr, func(f Frame, a ibgib.Addr) int {
		return ibgib.CompareAddr(f.Addr, a)
	})
}
