package gather_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/gather"
)

var start = time.Unix(1_800_000_000, 0)

func block(t *testing.T, i int) ibgib.IbGib {
	t.Helper()
	g, err := ibgib.New("block", ibgib.Number(float64(i)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// asks checks what a source is asked for.
func asks(t *testing.T, p *gather.Plan, of gather.Source, at time.Duration, want ...ibgib.Hash) {
	t.Helper()
	if got, _ := p.Next(of, start.Add(at)); !slices.Equal(got, want) {
		t.Errorf("source %d is asked for %d blocks %v, want %v", of, len(got), got, want)
	}
}

func TestOneSourceIsAskedForABlock(t *testing.T) {
	p, a, b := gather.New(), block(t, 1), block(t, 2)
	p.Need(a.Hash())
	p.Need(b.Hash())
	asks(t, p, 0, 0, a.Hash(), b.Hash())
	asks(t, p, 1, time.Second)
	// One that takes too long is not waited for.
	asks(t, p, 1, 6*time.Second, a.Hash(), b.Hash())
	asks(t, p, 0, 7*time.Second)
	// What an answer leaves out is asked for again, of others if it is absent.
	p.Answered(1, []ibgib.Hash{a.Hash(), b.Hash()}, []ibgib.Hash{b.Hash()})
	asks(t, p, 1, 7*time.Second, a.Hash())
	asks(t, p, 0, 7*time.Second, b.Hash())
	if !p.Arrived(a) || !p.Arrived(b) || p.Left() != 2 {
		t.Error("needed blocks are not needed")
	}
	p.Stored(a.Hash())
	if p.IsOpen(1) || !p.IsOpen(0) || p.Left() != 1 {
		t.Error("who lacks what is missing is asked on")
	}
	p.Stored(b.Hash())
	p.Lost(b.Hash())
	if p.Left() != 1 || !p.Arrived(b) {
		t.Error("what was lost is not needed again")
	}
	asks(t, p, 0, 8*time.Second, b.Hash())
	p.Stored(b.Hash())
	if p.Left() != 0 || p.Arrived(b) {
		t.Error("stored blocks are needed still")
	}
}

func TestHintedBlocksWaitUntilTheyAreNeeded(t *testing.T) {
	p, a, b, c := gather.New(), block(t, 1), block(t, 2), block(t, 3)
	p.Need(a.Hash())
	p.Hint(0, []ibgib.Hash{b.Hash(), c.Hash()})
	asks(t, p, 1, 0, a.Hash(), b.Hash(), c.Hash())
	if p.Arrived(b) {
		t.Error("a hint is believed")
	}
	if p.Arrived(block(t, 4)) {
		t.Error("what nobody asked for is needed")
	}
	if g, come := p.Need(b.Hash()); !come || g.Hash() != b.Hash() || p.Left() != 2 {
		t.Error("what came early is not there")
	}
	if _, come := p.Need(c.Hash()); come {
		t.Error("what was asked for early has not come")
	}
	asks(t, p, 0, time.Second) // c is under way
	// Who lacks what was hinted at: others are asked.
	p.Answered(1, []ibgib.Hash{c.Hash()}, []ibgib.Hash{c.Hash()})
	asks(t, p, 0, time.Second, c.Hash())
}

func TestHintsAreBoundedAndMayBeUseless(t *testing.T) {
	p := gather.New()
	var hints []ibgib.Hash
	for i := range 5000 {
		hints = append(hints, block(t, 10_000+i).Hash())
	}
	p.Hint(0, hints)
	asked := 0
	for {
		wants, _ := p.Next(1, start)
		if len(wants) == 0 {
			break
		}
		asked += len(wants)
		for i, h := range hints {
			if slices.Contains(wants, h) {
				p.Arrived(block(t, 10_000+i))
			}
		}
		p.Answered(1, wants, nil)
	}
	if asked != 1024 {
		t.Errorf("%d blocks were asked for on hints, want 1,024", asked)
	}
	p.Useful(511)
	asks(t, p, 1, 0)
	p.Useful(1) // the hints of 0 are dropped, and no others are taken
	asks(t, p, 1, 0)
	p.Hint(0, hints[4000:])
	asks(t, p, 1, 0)
	p.Hint(2, hints[4000:4001])
	asks(t, p, 1, 0, hints[4000])
}
