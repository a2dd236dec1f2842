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

// BenchmarkAdmitLinear admits a frame of a timeline that never diverged, and
// BenchmarkAdmitWithoutMerges is its reference: the same without any rule about merges.
func BenchmarkAdmitLinear(b *testing.B) {
	frame, s := linear(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := timeline.Admit(frame, s.frame, s.block); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAdmitWithoutMerges(b *testing.B) {
	frame, s := linear(b)
	want, err := timeline.Admit(frame, s.frame, s.block)
	if got, ok := admitPlain(frame, s.frame); err != nil || !ok || !sameFrame(got, want) {
		b.Fatalf("%+v, %t, want %+v, %v", got, ok, want, err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := admitPlain(frame, s.frame); !ok {
			b.Fatal("not admitted")
		}
	}
}

// linear is the second frame of a timeline, and a space with what is below it.
func linear(b *testing.B) (ibgib.IbGib, *space) {
	l := newTimeLine(b, "linear")
	frame, dna := l.patch(l.tjp, data{"text": "changed"})
	return frame, newSpace(b, l.tjp, dna)
}

// admitPlain holds a later frame against the rules that know of no merges.
func admitPlain(g ibgib.IbGib, frame timeline.FrameLookup) (timeline.Frame, bool) {
	tjps := g.Rel("tjp")
	if g.IsTjp() || len(tjps) != 1 || tjps[0].TjpGib() != "" || tjps[0].Ib() == "keystone" {
		return timeline.Frame{}, false
	}
	last, ok := g.LastRel("past")
	if !ok || last.IsPrimitive() {
		return timeline.Frame{}, false
	}
	pred, ok, err := frame(last)
	if err != nil || !ok || pred.Addr != last || pred.Tjp != tjps[0] {
		return timeline.Frame{}, false
	}
	f := timeline.Frame{Addr: g.Addr(), Tjp: pred.Tjp, Kind: timeline.KindUser, Pred: last}
	if v, ok := g.Field("n"); ok {
		x := v.Number()
		if v.Kind() != ibgib.KindNumber || x < 0 || x > 1<<53-1 || x != float64(int64(x)) {
			return timeline.Frame{}, false
		}
		f.N, f.HasN = int64(x), true
	}
	return f, f.HasN == pred.HasN && (!f.HasN || f.N == pred.N+1)
}
