package timeline_test

import (
	"fmt"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// twoBranches is a timeline of so many frames, above which two branches of ops lie.
func twoBranches(b *testing.B, frames, ops int, change func(i int) (op string, options data)) (*space, ibgib.Addr) {
	l := newTimeLine(b, "bench")
	s := newSpace(b, l.tjp)
	seconds := 2 * ops
	grow := func(from ibgib.IbGib, n int) ibgib.IbGib {
		for i := range n {
			seconds++
			op, options := change(i)
			var dna ibgib.IbGib
			from, dna = changeAt(b, from, op, options, timeOf(seconds))
			s.add(b, dna, from)
		}
		return from
	}
	base := grow(l.tjp, frames-1)
	grow(base, ops)
	seconds -= ops + ops/2 // in turn with half of the other, before the rest of it
	grow(base, ops)
	return s, l.tjp.Addr()
}

// The ops write 40 members in turn, half of them as a nested one.
func patchOp(i int) (string, data) {
	patch := data{fmt.Sprint("key ", i%20): fmt.Sprintf("the text that change %d writes", i)}
	if i%2 == 0 {
		patch = data{"nested": patch}
	}
	return "mut8", data{"dataToAddOrPatch": patch}
}

func BenchmarkMerge(b *testing.B) {
	for _, frames := range []int{100, 10_000} {
		s, tjp := twoBranches(b, frames, 1000, patchOp)
		run := func(name string, work func() timeline.MergeWork) {
			b.Run(fmt.Sprintf("%s/frames=%d", name, frames), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					m, err := s.merge(tjp, work())
					if err != nil || len(m.Replayed) != 2000 {
						b.Fatal(len(m.Replayed), err)
					}
				}
			})
		}
		run("whole", func() timeline.MergeWork { return timeline.MergeWork{} })
		var cache timeline.MergeCache
		run("cached", func() timeline.MergeWork { return timeline.MergeWork{Cache: &cache} })
	}
}

// What the check of merges costs a timeline that never diverged: nothing.
func BenchmarkAdmitLinear(b *testing.B) {
	l := newTimeLine(b, "linear")
	frame, dna := l.patch(l.tjp, data{"text": "changed"})
	s := newSpace(b, l.tjp, dna)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := timeline.Admit(frame, s.frame, s.block); err != nil {
			b.Fatal(err)
		}
	}
}
