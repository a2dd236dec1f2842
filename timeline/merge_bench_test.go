package timeline_test

import (
	"errors"
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

// BenchmarkAdmitLinear admits a frame of a timeline that never diverged, and
// BenchmarkAdmitWithoutMerges is its reference: the same without any rule about merges.
func BenchmarkAdmitLinear(b *testing.B) {
	benchAdmit(b, timeline.Admit)
}

func BenchmarkAdmitWithoutMerges(b *testing.B) {
	benchAdmit(b, timeline.AdmitWithoutMerges)
}

// TestLinearAllocatesNothingMore wants of the frame of those benchmarks that the rules
// about merges neither allocate nor read.
func TestLinearAllocatesNothingMore(t *testing.T) {
	g, s := linearFrame(t)
	frame := s.frame
	block := func(a ibgib.Addr) (ibgib.IbGib, error) {
		t.Errorf("reads %s", a)
		return s.block(a)
	}
	allocs := func(admit admission) float64 {
		return testing.AllocsPerRun(100, func() {
			if _, err := admit(g, frame, block); err != nil {
				t.Fatal(err)
			}
		})
	}
	if got, want := allocs(timeline.Admit), allocs(timeline.AdmitWithoutMerges); got != want {
		t.Errorf("%v allocations, %v without the rules about merges", got, want)
	}
}

type admission func(ibgib.IbGib, timeline.FrameLookup, timeline.Lookup) (timeline.Frame, error)

func benchAdmit(b *testing.B, admit admission) {
	g, s := linearFrame(b)
	frame, block := s.frame, s.block
	b.ReportAllocs()
	for b.Loop() {
		if _, err := admit(g, frame, block); err != nil {
			b.Fatal(err)
		}
	}
}

// linearFrame is the second frame of a timeline, which both admissions admit alike, and
// a space with what is below it.
func linearFrame(t testing.TB) (ibgib.IbGib, *space) {
	l := newTimeLine(t, "linear")
	g, dna := l.patch(l.tjp, data{"text": "changed"})
	s := newSpace(t, l.tjp, dna)
	f, err := timeline.Admit(g, s.frame, s.block)
	plain, err2 := timeline.AdmitWithoutMerges(g, s.frame, s.block)
	if err := errors.Join(err, err2); err != nil || !sameFrame(f, plain) || f.Kind != timeline.KindUser {
		t.Fatalf("admitted as %+v, without the rules about merges as %+v: %v", f, plain, err)
	}
	return g, s
}
