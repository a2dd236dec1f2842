package timeline_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// space is a set of ibGibs with the index that Admit makes of it.
type space struct {
	blocks   map[ibgib.Addr]ibgib.IbGib
	frames   map[ibgib.Addr]timeline.Frame
	rejected map[ibgib.Addr]*timeline.Rejection
	heads    map[ibgib.Addr][]timeline.Frame // by tjp
	reads    int                             // of blocks
}

func newSpace(t testing.TB, gs ...ibgib.IbGib) *space {
	t.Helper()
	s := &space{
		blocks:   make(map[ibgib.Addr]ibgib.IbGib),
		frames:   make(map[ibgib.Addr]timeline.Frame),
		rejected: make(map[ibgib.Addr]*timeline.Rejection),
		heads:    make(map[ibgib.Addr][]timeline.Frame),
	}
	s.add(t, gs...)
	return s
}

// add stores ibGibs and admits the frames among them.
func (s *space) add(t testing.TB, gs ...ibgib.IbGib) {
	t.Helper()
	for _, g := range timeline.SortTopological(gs) {
		if _, ok := s.blocks[g.Addr()]; ok {
			continue
		}
		s.blocks[g.Addr()] = g
		if _, ok := timeline.Claims(g); !ok {
			continue
		}
		f, err := timeline.Admit(g, s.frame, s.block)
		var r *timeline.Rejection
		if errors.As(err, &r) {
			s.rejected[g.Addr()] = r
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		s.frames[f.Addr] = f
		heads, err := timeline.Advance(s.heads[f.Tjp], []timeline.Frame{f}, s.frame)
		if err != nil {
			t.Fatal(err)
		}
		s.heads[f.Tjp] = heads
	}
}

func (s *space) block(a ibgib.Addr) (ibgib.IbGib, error) {
	s.reads++
	return s.blocks[a], nil
}

func (s *space) frame(a ibgib.Addr) (timeline.Frame, bool, error) {
	f, ok := s.frames[a]
	return f, ok, nil
}

func (s *space) headAddrs(tjp ibgib.Addr) []string { return addrsOf(s.heads[tjp]) }

// allHeads returns the heads of all timelines, by tjp.
func (s *space) allHeads() map[string][]string {
	all := make(map[string][]string)
	for tjp := range s.heads {
		all[tjp.String()] = s.headAddrs(tjp)
	}
	return all
}

func addrsOf(frames []timeline.Frame) []string {
	var out []string
	for _, f := range frames {
		out = append(out, f.Addr.String())
	}
	return out
}

func text(addrs []ibgib.Addr) []string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

func addr(t testing.TB, s string) ibgib.Addr {
	t.Helper()
	a, err := ibgib.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// decode reads a vector file; a key that the test does not know is fatal.
func decode(t testing.TB, file string, into any) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func readNDJSON(t testing.TB, file string) []ibgib.IbGib {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var gs []ibgib.IbGib
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, ibgib.MaxSize)
	for lines.Scan() {
		gs = append(gs, mustImport(t, lines.Bytes()))
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return gs
}

func mustImport(t testing.TB, raw []byte) ibgib.IbGib {
	t.Helper()
	g, err := ibgib.Import(raw)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// checkOrder wants dependencies first, each ibGib once, and links outside the
// sequence only to what outside allows.
func checkOrder(t testing.TB, addrs []ibgib.Addr, block timeline.Lookup, outside func(ibgib.Addr) bool) {
	t.Helper()
	met := make(map[ibgib.Addr]bool)
	for _, a := range addrs {
		if met[a] {
			t.Errorf("%s comes twice", a)
		}
		met[a] = true
		g, err := block(a)
		if err != nil || g.IsZero() {
			t.Fatalf("%s: %v", a, err)
		}
		for _, to := range g.Links() {
			if !to.IsPrimitive() && !met[to] && !outside(to) {
				t.Errorf("%s comes before %s, which it links to", a, to)
			}
		}
	}
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
