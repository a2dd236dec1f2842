package timeline_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

var keepTime = time.Date(2026, 1, 2, 3, 4, 5, 67_890_000, time.FixedZone("", 3600))

// Either head of a divergence can be kept; the other one is history then, and
// what follows is an ordinary frame.
func TestKeepResolves(t *testing.T) {
	f := newForked(t)
	for _, kept := range []ibgib.IbGib{f.left, f.right} {
		s := newSpace(t, f.all()...)
		heads := s.heads[f.tjp.Addr()]
		if len(heads) != 2 {
			t.Fatalf("%d heads", len(heads))
		}
		slices.Reverse(heads) // any order will do
		frame, dna, err := timeline.Keep(kept, heads, keepTime)
		if err != nil {
			t.Fatal(err)
		}
		if dna.Addr().String() != timeline.KeepDna {
			t.Errorf("dna %s", dna.Addr())
		}
		s.add(t, dna, frame)
		for _, r := range s.rejected {
			t.Fatal(r)
		}
		if got := s.headAddrs(f.tjp.Addr()); !slices.Equal(got, []string{frame.Addr().String()}) {
			t.Errorf("heads %q, want the keep frame", got)
		}
		if facts := s.frames[frame.Addr()]; facts.Kind != timeline.KindKeep || facts.N != timeline.Latest(heads).N+1 {
			t.Errorf("admitted as %+v", facts)
		}
		stamp, ok := ibgib.StampOf(frame)
		if !ok || !stamp.At.Equal(keepTime.Truncate(time.Millisecond)) {
			t.Errorf("time %v", stamp.At)
		}
		after, err := ibgib.Mut8(frame, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "after", Value: ibgib.Bool(true)}), Dna: true},
			ibgib.Env{Now: func() time.Time { return keepTime }})
		if err != nil {
			t.Fatal(err)
		}
		s.add(t, after.All()...)
		if got := s.headAddrs(f.tjp.Addr()); !slices.Equal(got, []string{after.New.Addr().String()}) {
			t.Errorf("heads %q after a change", got)
		}
	}
}

// The keep frames that the vectors have are those that Keep makes.
func TestKeepMatchesVectors(t *testing.T) {
	met := 0
	for _, c := range mergeCases(t) {
		s := c.space(t)
		for _, g := range s.blocks {
			own, ok := s.frames[g.Addr()]
			if !ok || own.Kind != timeline.KindKeep || s.frames[own.Pred].Kind == timeline.KindMerge {
				continue
			}
			stamp, ok := ibgib.StampOf(g)
			if !ok || stamp.NoMs {
				continue
			}
			heads := []timeline.Frame{s.frames[own.Pred]}
			for _, a := range own.Links {
				heads = append(heads, s.frames[a])
			}
			frame, _, err := timeline.Keep(s.blocks[own.Pred], heads, stamp.At)
			if err != nil {
				t.Fatal(err)
			}
			met++
			if frame.Addr() != g.Addr() {
				t.Errorf("%s: made %s, want %s", c.Name, frame.Stored(), g.Stored())
			}
		}
	}
	if met == 0 {
		t.Error("the vectors have no keep frame on a head")
	}
}

func TestKeepErrors(t *testing.T) {
	f := newForked(t)
	s := newSpace(t, f.all()...)
	heads := s.heads[f.tjp.Addr()]
	l := newTimeLine(t, "plain")
	array, err := ibgib.New("task", ibgib.Array(ibgib.Number(1)), ibgib.Rel8ns{
		{Name: "tjp", Addrs: []ibgib.Addr{l.tjp.Addr()}}, {Name: "past", Addrs: []ibgib.Addr{l.tjp.Addr()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kept  ibgib.IbGib
		heads []timeline.Frame
	}{
		"no head":       {f.tjp, heads},
		"one head":      {f.left, []timeline.Frame{s.frames[f.left.Addr()]}},
		"n at its end":  {f.left, []timeline.Frame{s.frames[f.left.Addr()], {Addr: f.right.Addr(), N: 1<<53 - 1, HasN: true}}},
		"data is array": {array, []timeline.Frame{{Addr: array.Addr(), Tjp: l.tjp.Addr()}, {Addr: f.left.Addr()}}},
	} {
		if _, _, err := timeline.Keep(c.kept, c.heads, keepTime); !errors.Is(err, timeline.ErrCannotKeep) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
