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
	if got, _, _ := p.Next(of, start.Add(at)); !slices.Equal(got, want) {
		t.Errorf("source %d is asked for %d blocks %v, want %v", of, len(got), got, want)
	}
}

// answers ends a question of which blocks have come and others are absent.
func answers(p *gather.Plan, of gather.Source, at time.Duration, asked []ibgib.Hash, came []ibgib.IbGib, absent ...ibgib.Hash) {
	a := gather.Answer{Blocks: len(came), Absent: absent}
	for _, g := range came {
		a.Bytes += g.Size()
		if p.Arrived(g) {
			p.Stored(g.Hash())
		}
	}
	p.Answered(of, start.Add(at), asked, a)
}

// needed makes a plan that needs so many blocks.
func needed(t *testing.T, n int) (p *gather.Plan, gs []ibgib.IbGib, hashes []ibgib.Hash) {
	t.Helper()
	p = gather.New()
	for i := range n {
		g := block(t, i)
		p.Need(g.Hash())
		gs, hashes = append(gs, g), append(hashes, g.Hash())
	}
	return p, gs, hashes
}

func TestOneSourceIsAskedForABlock(t *testing.T) {
	p, gs, h := needed(t, 2)
	asks(t, p, 0, 0, h...)
	if _, _, again := p.Next(1, start.Add(100*time.Millisecond)); again != start.Add(250*time.Millisecond) {
		t.Errorf("another one is to be asked at %s", again)
	}
	asks(t, p, 1, 249*time.Millisecond)
	// One that takes too long is not waited for.
	asks(t, p, 1, 250*time.Millisecond, h...)
	asks(t, p, 1, 300*time.Millisecond) // not twice
	// What an answer leaves out is asked for again, of others if it is absent.
	answers(p, 0, time.Second, h, nil, h[0])
	answers(p, 1, time.Second, h, nil, h[1])
	asks(t, p, 1, time.Second, h[0])
	asks(t, p, 0, time.Second, h[1])
	if !p.Arrived(gs[0]) || !p.Arrived(gs[1]) || p.Left() != 2 {
		t.Error("needed blocks are not needed")
	}
	p.Stored(h[0])
	if p.IsOpen(1) || !p.IsOpen(0) || p.Left() != 1 {
		t.Error("who lacks what is missing is asked on")
	}
	p.Stored(h[1])
	p.Lost(h[1])
	if p.Left() != 1 || !p.Arrived(gs[1]) {
		t.Error("what was lost is not needed again")
	}
	asks(t, p, 0, 8*time.Second, h[1])
	p.Stored(h[1])
	if p.Left() != 0 || p.Arrived(gs[1]) {
		t.Error("stored blocks are needed still")
	}
}

// A source is asked for more when it gives all at once, and for less when it does not.
func TestASourceIsAskedForWhatItGives(t *testing.T) {
	p, gs, _ := needed(t, 3000)
	of := make(map[ibgib.Hash]ibgib.IbGib)
	for _, g := range gs {
		of[g.Hash()] = g
	}
	at := time.Duration(0)
	asked, _, _ := p.Next(0, start)
	for i, c := range []struct {
		gives int
		took  time.Duration
		want  int // is asked for then
	}{
		{gather.MaxAsk, 10 * time.Millisecond, 64},
		{gather.MaxAsk, time.Second, 128},
		{gather.MaxAsk, time.Second, 256},
		{gather.MaxAsk, time.Second, 256},
		{gather.MaxAsk, 2 * time.Second, 128},
		{100, 10 * time.Millisecond, 128},
		{20, 10 * time.Millisecond, 40},
		{1, time.Second, 2},
		{1, time.Second, 2},
		{0, time.Second, 1},
		{1, time.Second, 2},
		// A long way, however long, is no reason to ask for less than some.
		{2, time.Minute, 4},
		{4, time.Minute, 8},
		{8, time.Minute, 16},
		{16, time.Minute, 16},
	} {
		var came []ibgib.IbGib
		for _, h := range asked[:min(c.gives, len(asked))] {
			came = append(came, of[h])
		}
		at += c.took
		answers(p, 0, at, asked, came)
		if asked, _, _ = p.Next(0, start.Add(at)); len(asked) != c.want {
			t.Errorf("step %d: after %d in %s a source is asked for %d, want %d", i, c.gives, c.took, len(asked), c.want)
		}
	}
}

// One that gives one block each time, just before it would be given up, keeps others
// from nothing: who is quick is asked for what it has been asked for.
func TestASlowSourceHoldsUpNobody(t *testing.T) {
	p, gs, h := needed(t, 40)
	asks(t, p, 0, 0, h[:32]...) // slow
	asks(t, p, 1, 0, h[32:]...) // quick
	answers(p, 1, 10*time.Millisecond, h[32:], gs[32:])
	if pace, _ := p.Pace(1, start.Add(20*time.Millisecond)); pace < 800 || p.Slow(1, start.Add(20*time.Millisecond)) {
		t.Error("who is quick is slow")
	}
	asks(t, p, 1, 20*time.Millisecond)
	asks(t, p, 1, 50*time.Millisecond, h[:32]...)
	answers(p, 1, 60*time.Millisecond, h[:32], gs[:31])
	if p.Left() != 1 {
		t.Fatalf("%d are left", p.Left())
	}
	// The time runs from the first question on, so the next one of the slow source
	// begins it anew for nothing.
	answers(p, 0, 14*time.Second, h[:32], nil)
	asks(t, p, 0, 14*time.Second, h[31])
	asks(t, p, 1, 14*time.Second, h[31])
	if pace, _ := p.Pace(0, start.Add(14*time.Second)); pace > 1 || p.Tardy(0, start.Add(14*time.Second)) != 14*time.Second || !p.Slow(0, start.Add(14*time.Second)) {
		t.Errorf("who has been slow has a pace of %f", pace)
	}
}

// Who has been slow is quick when it has given enough since.
func TestASlowSourceMayBecomeQuick(t *testing.T) {
	p, gs, h := needed(t, 700)
	asks(t, p, 0, 0, h[:32]...)
	at := 2 * time.Second
	answers(p, 0, at, h[:32], gs[:32])
	if !p.Slow(0, start.Add(at)) {
		t.Error("32 in 2 s is quick")
	}
	for from := 32; from < 200; {
		asked, _, _ := p.Next(0, start.Add(at))
		at += 10 * time.Millisecond
		answers(p, 0, at, asked, gs[from:from+len(asked)])
		from += len(asked)
	}
	if p.Slow(0, start.Add(at)) {
		t.Error("who has become quick is slow")
	}
}

// One block at a time is slow, even if no more was asked for, unless it is large or comes
// at once.
func TestSlowAnswers(t *testing.T) {
	p, gs, h := needed(t, 100)
	for i, c := range []struct {
		took  time.Duration
		bytes int
		slow  bool
	}{
		{15 * time.Millisecond, 500, false},
		{20 * time.Millisecond, 500, true},
		{900 * time.Millisecond, 500, true},
		{900 * time.Millisecond, 256 << 10, false},
		{1100 * time.Millisecond, 2 << 20, true},
	} {
		p, of := gather.New(), gather.Source(0)
		p.Need(h[0])
		asks(t, p, of, 0, h[0])
		p.Answered(of, start.Add(c.took), h[:1], gather.Answer{Blocks: 1, Bytes: c.bytes})
		if slow := p.Slow(of, start.Add(c.took)); slow != c.slow {
			t.Errorf("answer %d: slow %t", i, slow)
		}
	}
	asks(t, p, 0, 0, h[:32]...)
	if answers(p, 0, 10*time.Millisecond, h[:32], gs[:31]); !p.Slow(0, start.Add(10*time.Millisecond)) {
		t.Error("who leaves out what would have fitted is not slow")
	}
}

// A block is asked of few at the same time, of those that may answer soon.
func TestFewAreAskedForTheSame(t *testing.T) {
	p, _, h := needed(t, 1)
	const ms = time.Millisecond
	asks(t, p, 0, 0, h...)
	asks(t, p, 1, 250*ms, h...)
	asks(t, p, 2, 499*ms)
	asks(t, p, 2, 500*ms, h...)
	asks(t, p, 3, 999*ms)
	if _, _, again := p.Next(3, start.Add(999*ms)); again.Before(start.Add(time.Second)) || again.After(start.Add(time.Second+ms)) {
		t.Errorf("the fourth is to be asked at %s", again)
	}
	asks(t, p, 3, 1001*ms, h...) // the first one is slow by now
	asks(t, p, 4, 1002*ms)
	asks(t, p, 4, 1251*ms, h...)
}

// One that is slow itself gives the others time: it would only be asked for the same. But
// it may become quick, so it is asked for something now and then.
func TestASlowSourceWaitsForOthers(t *testing.T) {
	p, gs, h := needed(t, 3)
	asks(t, p, 0, 0, h...)
	answers(p, 0, 1200*time.Millisecond, h, gs[:1])
	asks(t, p, 1, 1200*time.Millisecond, h[1:]...)
	if _, _, again := p.Next(0, start.Add(2100*time.Millisecond)); again != start.Add(2200*time.Millisecond) {
		t.Errorf("it is to be asked at %s", again)
	}
	asks(t, p, 0, 2199*time.Millisecond)
	asks(t, p, 0, 2200*time.Millisecond, h[1])
	answers(p, 0, 2205*time.Millisecond, h[1:2], gs[1:2])
	asks(t, p, 0, 2205*time.Millisecond, h[2]) // it has answered at once, and is asked on
}

// A block that comes in pieces is not asked of others while pieces come.
func TestALargeBlockIsLetCome(t *testing.T) {
	p, _, h := needed(t, 1)
	asks(t, p, 0, 0, h...)
	at := time.Duration(0)
	for ; at < 4500*time.Millisecond; at += 900 * time.Millisecond {
		p.Piece(0, h[0], 1<<20, start.Add(at))
		asks(t, p, 1, at+900*time.Millisecond)
	}
	if p.Slow(0, start.Add(at)) {
		t.Error("one that sends pieces is slow")
	}
	p.Piece(0, h[0], 1<<20, start.Add(at))
	asks(t, p, 1, 5*time.Second, h...)
	q, _, h := needed(t, 1)
	asks(t, q, 0, 0, h...)
	q.Piece(0, h[0], 1<<20, start)
	asks(t, q, 1, 1001*time.Millisecond, h...) // no more pieces come
}

// Hinted blocks that a slow source has been asked for are asked of one that is idle.
func TestHintedBlocksAreNotHeldUp(t *testing.T) {
	p, gs, h := needed(t, 1)
	b, c := block(t, 10), block(t, 11)
	asks(t, p, 0, 0, h...)
	p.Hint(0, []ibgib.Hash{b.Hash(), c.Hash()})
	answers(p, 0, time.Millisecond, h, gs)
	p.Need(block(t, 12).Hash())
	asks(t, p, 1, time.Millisecond, block(t, 12).Hash(), b.Hash(), c.Hash())
	asks(t, p, 0, 40*time.Millisecond)
	asks(t, p, 0, 51*time.Millisecond, block(t, 12).Hash())
	answers(p, 0, 52*time.Millisecond, []ibgib.Hash{block(t, 12).Hash()}, []ibgib.IbGib{block(t, 12)})
	asks(t, p, 0, 52*time.Millisecond, b.Hash(), c.Hash())
	// Who ends first leaves the question to the other.
	answers(p, 1, 53*time.Millisecond, []ibgib.Hash{b.Hash(), c.Hash()}, nil)
	answers(p, 0, 54*time.Millisecond, []ibgib.Hash{b.Hash(), c.Hash()}, []ibgib.IbGib{b})
	if _, come := p.Need(b.Hash()); !come {
		t.Error("what came early is not there")
	}
	asks(t, p, 0, 54*time.Millisecond, c.Hash())
}

// One that is being connected to is slow after a time, until it can be asked.
func TestASourceThatIsNotReachedIsSlow(t *testing.T) {
	p := gather.New()
	p.Began(0, start)
	if p.Slow(0, start.Add(time.Second)) {
		t.Error("slow at once")
	}
	if pace, asked := p.Pace(0, start.Add(2*time.Second)); !p.Slow(0, start.Add(2*time.Second)) || pace != 0 || asked != 2*time.Second {
		t.Error("not slow after a time")
	}
	p.Ready(0, start.Add(2*time.Second))
	if p.Slow(0, start.Add(3*time.Second)) {
		t.Error("slow as soon as it is reached")
	}
	if !p.Slow(0, start.Add(3001*time.Millisecond)) {
		t.Error("one that has given nothing for long is not slow")
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
	asks(t, p, 0, 10*time.Millisecond) // c is under way
	// Who lacks what was hinted at: others are asked.
	answers(p, 1, 10*time.Millisecond, []ibgib.Hash{c.Hash()}, nil, c.Hash())
	asks(t, p, 0, 10*time.Millisecond, c.Hash())
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
		wants, _, _ := p.Next(1, start)
		if len(wants) == 0 {
			break
		}
		asked += len(wants)
		for i, h := range hints {
			if slices.Contains(wants, h) {
				p.Arrived(block(t, 10_000+i))
			}
		}
		p.Answered(1, start, wants, gather.Answer{Blocks: len(wants)})
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

// manyBlocks makes blocks that have no number below from.
func manyBlocks(t *testing.T, from, n int) (gs []ibgib.IbGib, hashes []ibgib.Hash) {
	t.Helper()
	for i := range n {
		g := block(t, from+i)
		gs, hashes = append(gs, g), append(hashes, g.Hash())
	}
	return gs, hashes
}

// Hints of one source, however many, leave room for those of another one.
func TestHintsLeaveRoomForThoseOfOthers(t *testing.T) {
	p, gs, h := needed(t, 3)
	_, rubbish := manyBlocks(t, 1000, 5000)
	_, hints := manyBlocks(t, 100, 200)
	p.Hint(0, rubbish)
	if _, ahead, _ := p.Next(0, start); ahead {
		t.Error("one that has hinted at enough is asked for more")
	}
	answers(p, 0, 0, h, gs[:1])
	wants, ahead, _ := p.Next(1, start)
	if !ahead {
		t.Error("the hints of one are no use because another one has given many")
	}
	answers(p, 1, 0, wants, gs[1:2], wants[2:]...)
	p.Hint(1, hints)
	// What it has hinted at itself comes first.
	asks(t, p, 1, 0, append([]ibgib.Hash{h[2]}, hints[:31]...)...)
}

// Who hints at what it does not have itself is not listened to; that another one lacks it
// says nothing against it.
func TestHintsAtWhatNobodyHas(t *testing.T) {
	p := gather.New()
	_, hints := manyBlocks(t, 1000, 100)
	p.Hint(0, hints)
	asks(t, p, 2, 0, hints[:32]...)
	answers(p, 2, 0, hints[:32], nil, hints[:32]...)
	asks(t, p, 0, 0, hints[32:64]...)
	answers(p, 0, 0, hints[32:64], nil, hints[32:64]...)
	p.Hint(0, hints)
	asks(t, p, 0, 0)
	p.Hint(1, hints[:5])
	asks(t, p, 1, 0, hints[:5]...)
}

// Blocks that one source has hinted at and that wait leave room for those of another.
func TestBlocksThatWaitLeaveRoom(t *testing.T) {
	p := gather.New()
	rubbish, hashes := manyBlocks(t, 10_000, 1024)
	of := make(map[ibgib.Hash]ibgib.IbGib)
	for _, g := range rubbish {
		of[g.Hash()] = g
	}
	for round := range 3 {
		p.Hint(0, hashes)
		for {
			wants, _, _ := p.Next(0, start)
			if len(wants) == 0 {
				break
			}
			var came []ibgib.IbGib
			for _, h := range wants {
				came = append(came, of[h])
			}
			answers(p, 0, 0, wants, came)
		}
		rubbish, hashes = manyBlocks(t, 20_000+2000*round, 1024)
		for _, g := range rubbish {
			of[g.Hash()] = g
		}
	}
	_, good := manyBlocks(t, 100, 64)
	p.Hint(1, good)
	asks(t, p, 1, 0, good[:32]...)
	// One that is of use does not keep the other one from being found out.
	p.Need(good[0])
	p.Useful(511)
	p.Need(good[1])
	p.Useful(1)
	p.Hint(0, hashes[:1])
	asks(t, p, 2, 0, good[32:]...)
}

// gives answers what a source is asked for so often, each time in what take says, and
// returns for how much it was asked.
func gives(t *testing.T, p *gather.Plan, gs []ibgib.IbGib, at *time.Duration, times int, take func(blocks int) time.Duration) (asked []int) {
	t.Helper()
	of := make(map[ibgib.Hash]ibgib.IbGib)
	for _, g := range gs {
		of[g.Hash()] = g
	}
	for range times {
		wants, _, _ := p.Next(0, start.Add(*at))
		var came []ibgib.IbGib
		for _, h := range wants {
			came = append(came, of[h])
		}
		*at += take(len(wants))
		answers(p, 0, *at, wants, came)
		asked = append(asked, len(wants))
	}
	return asked
}

// A long way does not keep a source from being asked for much at once, nor does it make it
// one that gives nothing: only one that has more to send takes longer for more.
func TestASourceThatIsFarIsAskedForMore(t *testing.T) {
	p, gs, _ := needed(t, 2000)
	at := time.Duration(0)
	far := func(int) time.Duration { return 1300 * time.Millisecond }
	if got := gives(t, p, gs, &at, 6, far); !slices.Equal(got, []int{32, 64, 128, 256, 256, 256}) {
		t.Errorf("one that is far is asked for %d", got)
	}
	if pace, _ := p.Pace(0, start.Add(at)); pace < gather.SlowPace || p.Tardy(0, start.Add(at)) > 0 {
		t.Errorf("one that is far has a pace of %f", pace)
	}
	p, gs, _ = needed(t, 2000)
	at = 0
	narrow := func(blocks int) time.Duration { return time.Duration(blocks) * 40 * time.Millisecond }
	if got := gives(t, p, gs, &at, 8, narrow); !slices.Equal(got, []int{32, 64, 32, 16, 32, 16, 32, 16}) {
		t.Errorf("one that has a narrow line is asked for %d", got)
	}
}

// What counts is what a source gives lately: one that gave much and gives nothing any more
// is soon the slower one.
func TestThePaceIsThatOfLate(t *testing.T) {
	p, gs, _ := needed(t, 3000)
	at := time.Duration(0)
	gives(t, p, gs, &at, 10, func(int) time.Duration { return 400 * time.Millisecond })
	if pace, _ := p.Pace(0, start.Add(at)); pace < 300 {
		t.Errorf("a pace of %f", pace)
	}
	wants, _, _ := p.Next(0, start.Add(at))
	answers(p, 0, at+13*time.Second, wants, nil)
	at += 13 * time.Second
	wants, _, _ = p.Next(0, start.Add(at))
	answers(p, 0, at+13*time.Second, wants, nil)
	at += 13 * time.Second
	if pace, _ := p.Pace(0, start.Add(at)); pace > 0 || p.Tardy(0, start.Add(at)) != 26*time.Second {
		t.Errorf("a pace of %f, tardy for %s", pace, p.Tardy(0, start.Add(at)))
	}
}

// Pieces hold up others for a bounded time, however many send some.
func TestPiecesHoldUpOthersForABoundedTime(t *testing.T) {
	p, _, h := needed(t, 1)
	asks(t, p, 0, 0, h...)
	asked := []gather.Source{0}
	drip := func(from, to time.Duration) {
		for at := from; at < to; at += 500 * time.Millisecond {
			for _, of := range asked {
				p.Piece(of, h[0], 1<<20, start.Add(at))
			}
		}
	}
	drip(0, 5*time.Second)
	for _, of := range []gather.Source{1, 2} {
		asks(t, p, of, 5*time.Second, h...)
		asked = append(asked, of)
	}
	drip(5*time.Second, 10*time.Second)
	asks(t, p, 3, 9999*time.Millisecond)
	asks(t, p, 3, 10*time.Second, h...)
}

// One that has never been asked, because another one is sending pieces, is asked at once
// when these stop.
func TestPiecesThatStopHoldUpNobody(t *testing.T) {
	p, _, h := needed(t, 1)
	asks(t, p, 0, 0, h...)
	p.Ready(1, start)
	p.Piece(0, h[0], 1<<20, start.Add(500*time.Millisecond))
	asks(t, p, 1, 1500*time.Millisecond)
	asks(t, p, 1, 1501*time.Millisecond, h...)
}
