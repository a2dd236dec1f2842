package timeline_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// mergeCase is a case of merge.json.
type mergeCase struct {
	Name        string
	Note        string
	IbGibs      []json.RawMessage
	UserFrames  []string
	Heads       []string
	Latest      string
	Base        string
	ReplayOrder []string
	Skipped     []string
	Frame       json.RawMessage
	Unmergeable bool
	Opaque      string
}

// space stores the ibGibs of the case.
func (c mergeCase) space(t testing.TB) *space {
	t.Helper()
	var gs []ibgib.IbGib
	for _, raw := range c.IbGibs {
		gs = append(gs, mustImport(t, raw))
	}
	return newSpace(t, gs...)
}

func mergeCases(t testing.TB) []mergeCase {
	t.Helper()
	var file struct{ Cases []mergeCase }
	decode(t, "testdata/merge.json", &file)
	if len(file.Cases) == 0 {
		t.Fatal("no cases")
	}
	return file.Cases
}

// oneTimeline returns the only timeline of a space.
func (s *space) oneTimeline(t testing.TB) ibgib.Addr {
	t.Helper()
	if len(s.heads) != 1 {
		t.Fatalf("%d timelines, want 1", len(s.heads))
	}
	for tjp := range s.heads {
		return tjp
	}
	panic("unreachable")
}

func (s *space) merge(tjp ibgib.Addr, work timeline.MergeWork) (timeline.Merged, error) {
	return timeline.Merge(s.heads[tjp], s.frame, s.block, work)
}

func TestMergeVectors(t *testing.T) {
	merged, unmergeable := 0, 0
	for _, c := range mergeCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			s := c.space(t)
			for _, r := range s.rejected {
				t.Error(r)
			}
			tjp := s.oneTimeline(t)
			var users []string
			for _, f := range s.frames {
				if f.IsUser() {
					users = append(users, f.Addr.String())
				}
			}
			if !slices.Equal(sorted(users), sorted(c.UserFrames)) {
				t.Errorf("user frames are %v, want %v", users, c.UserFrames)
			}
			if got := s.headAddrs(tjp); !slices.Equal(got, c.Heads) {
				t.Errorf("heads are %v, want %v", got, c.Heads)
			}
			if len(c.Heads) == 1 {
				if c.Latest != c.Heads[0] {
					t.Errorf("latest is %s, want %s", c.Heads[0], c.Latest)
				}
				return
			}

			m, err := s.merge(tjp, timeline.MergeWork{})
			if c.Unmergeable {
				var u *timeline.Unmergeable
				if !errors.As(err, &u) {
					t.Fatalf("merged to %s, %v", m.IbGib.Addr(), err)
				}
				if u.Reason != timeline.ReasonOpaque || u.Opaque.String() != c.Opaque || u.Base.String() != c.Base {
					t.Errorf("not mergeable by %+v, want base %s and opaque %s", u, c.Base, c.Opaque)
				}
				unmergeable++
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Base.Addr.String() != c.Base {
				t.Errorf("base is %s, want %s", m.Base.Addr, c.Base)
			}
			if got := text(m.Replayed); !slices.Equal(got, c.ReplayOrder) {
				t.Errorf("replayed %v, want %v", got, c.ReplayOrder)
			}
			if got := text(m.Skipped); !slices.Equal(got, c.Skipped) {
				t.Errorf("skipped %v, want %v", got, c.Skipped)
			}
			want := mustImport(t, c.Frame)
			if string(m.IbGib.Stored()) != string(want.Stored()) || m.IbGib.Addr().String() != c.Latest {
				t.Errorf("merged to\n%s, want\n%s", m.IbGib.Stored(), want.Stored())
			}
			// The frame is admitted with the same facts, and changes no head.
			f, err := timeline.Admit(m.IbGib, s.frame, s.block)
			if err != nil {
				t.Fatal(err)
			}
			if !sameFrame(f, m.Frame) {
				t.Errorf("admitted as %+v, merged as %+v", f, m.Frame)
			}
			s.add(t, m.IbGib)
			if got := s.headAddrs(tjp); !slices.Equal(got, c.Heads) {
				t.Errorf("heads are %v, want %v", got, c.Heads)
			}
			merged++
		})
	}
	if merged == 0 || unmergeable == 0 {
		t.Errorf("%d cases merged, %d unmergeable", merged, unmergeable)
	}
}

func sameFrame(a, b timeline.Frame) bool {
	return a.Addr == b.Addr && a.Tjp == b.Tjp && a.Kind == b.Kind && a.N == b.N && a.HasN == b.HasN &&
		a.Pred == b.Pred && slices.Equal(a.Links, b.Links) && a.HasMergeList == b.HasMergeList
}
