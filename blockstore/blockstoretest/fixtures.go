package blockstoretest

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// ReadNDJSON reads the ibGibs of a file, one a line.
func ReadNDJSON(t testing.TB, path string) []ibgib.IbGib {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []ibgib.IbGib
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		g, err := ibgib.Import(bytes.Clone(lines.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, g)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// A Maker makes ibGibs under a clock and uuid source of its own: the same seed
// gives the same ibGibs.
type Maker struct {
	rnd *rand.Rand
	now time.Time
}

// NewMaker returns a Maker.
func NewMaker(seed int64) *Maker {
	return &Maker{rnd: rand.New(rand.NewSource(seed)), now: time.UnixMilli(1_700_000_000_000).UTC()}
}

// Env returns the maker's clock and uuid source.
func (m *Maker) Env() ibgib.Env {
	return ibgib.Env{
		Now: func() time.Time {
			m.now = m.now.Add(time.Duration(1+m.rnd.Intn(5000)) * time.Millisecond)
			return m.now
		},
		UUID: func() string {
			var b [32]byte
			m.rnd.Read(b[:])
			return fmt.Sprintf("%x", b)
		},
	}
}

var linked = []string{"past", "dna"}

// Timeline begins a timeline and returns its ibGibs, dependencies first; the
// last one is its newest frame.
func (m *Maker) Timeline(t testing.TB, ib string) []ibgib.IbGib {
	t.Helper()
	task, err := ibgib.ParseAddr("task^gib")
	if err != nil {
		t.Fatal(err)
	}
	res, err := ibgib.FirstGen(ibgib.FirstGenOptions{
		Ib: ib, Parent: task, Tjp: ibgib.TjpOptions{UUID: true, Timestamp: true}, NCounter: true, Dna: true, LinkedRel8ns: linked,
	}, m.Env())
	if err != nil {
		t.Fatal(err)
	}
	return res.All()
}

// Mut8 returns the ibGibs of one change that sets data.name to value; the last
// one is the new frame.
func (m *Maker) Mut8(t testing.TB, src ibgib.IbGib, name, value string) []ibgib.IbGib {
	t.Helper()
	res, err := ibgib.Mut8(src, ibgib.Mut8Options{
		Patch:    ibgib.Object(ibgib.Member{Name: name, Value: ibgib.String(value)}),
		NCounter: true, Dna: true, LinkedRel8ns: linked,
	}, m.Env())
	if err != nil {
		t.Fatal(err)
	}
	return res.All()
}

// Rel8 returns the ibGibs of one change that adds a link; the last one is the
// new frame.
func (m *Maker) Rel8(t testing.TB, src ibgib.IbGib, name string, to ibgib.Addr) []ibgib.IbGib {
	t.Helper()
	res, err := ibgib.Rel8(src, ibgib.Rel8Options{
		Add: ibgib.Rel8ns{{Name: name, Addrs: []ibgib.Addr{to}}}, NCounter: true, Dna: true, LinkedRel8ns: linked,
	}, m.Env())
	if err != nil {
		t.Fatal(err)
	}
	return res.All()
}

// Stone returns a constant.
func (m *Maker) Stone(t testing.TB, ib, text string) ibgib.IbGib {
	t.Helper()
	g, err := ibgib.Stone(ibgib.StoneOptions{
		Ib: ib, Parent: "stone", Data: ibgib.Object(ibgib.Member{Name: "text", Value: ibgib.String(text)}),
	}, m.Env())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Shuffle returns the list in another order.
func (m *Maker) Shuffle(list []ibgib.IbGib) []ibgib.IbGib {
	out := append([]ibgib.IbGib(nil), list...)
	m.rnd.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// Last returns the last ibGib of a list.
func Last(list []ibgib.IbGib) ibgib.IbGib { return list[len(list)-1] }

// Corpus returns n ibGibs of about 600 bytes on average: timelines of 50 changes, each a
// frame and its dna, dependencies first.
func Corpus(t testing.TB, n int) []ibgib.IbGib {
	t.Helper()
	m := NewMaker(42)
	all := make([]ibgib.IbGib, 0, n+2)
	for i := 0; len(all) < n; i++ {
		all = append(all, m.Timeline(t, fmt.Sprintf("task %d", i))...)
		for range 49 {
			all = append(all, m.Mut8(t, Last(all), "text", m.text(230))...)
		}
	}
	return all[:n:n]
}

// text returns words of about n bytes in all.
func (m *Maker) text(n int) string {
	words := []string{"alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet"}
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%s%d ", words[m.rnd.Intn(len(words))], m.rnd.Intn(10000))
	}
	return b.String()
}
