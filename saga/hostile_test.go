package saga_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// victim is an honest machine over a space; the test speaks for the other side.
type victim struct {
	*simSide
	sim  *sim
	sent []saga.Message
	err  error
}

var evilID = saga.ID{6, 6, 6}

func newVictim(t *testing.T, role saga.Role, s *space) *victim {
	t.Helper()
	o := saga.Options{Role: role, Self: "victim", Peer: "evil"}
	if role == saga.Initiator {
		o.ID = evilID
	}
	m, err := saga.NewMachine(o)
	if err != nil {
		t.Fatal(err)
	}
	side := &simSide{space: s, m: m, walker: saga.NewWalker(t.Context(), s, s)}
	t.Cleanup(func() {
		if side.release != nil {
			side.release()
		}
	})
	v := &victim{simSide: side}
	v.sim = &sim{t: t, random: rand.New(rand.NewPCG(1, 1)), trace: sha256.New(), sides: [2]*simSide{side, {}}}
	side.take(v.sim)
	v.settle()
	return v
}

// settle does all the victim's work, and keeps what it sends.
func (v *victim) settle() {
	for lane := 0; lane < len(v.lanes); lane++ {
		if len(v.lanes[lane]) == 0 || v.err != nil {
			continue
		}
		do := v.lanes[lane][0]
		v.lanes[lane] = v.lanes[lane][1:]
		v.step(do())
		lane = -1
	}
	out := &v.sim.sides[1].lanes[laneReceive]
	for _, do := range *out {
		v.sent = append(v.sent, do().(saga.Received).Message)
	}
	*out = nil
}

func (v *victim) step(e saga.Event) {
	if v.err == nil {
		if v.err = v.m.Step(e); v.err == nil {
			v.take(v.sim)
		}
	}
}

// hears delivers messages, the victim's work being done after each.
func (v *victim) hears(messages ...saga.Message) {
	for _, m := range messages {
		v.step(saga.Received{Message: m})
		v.settle()
	}
}

// last returns the newest message of the victim.
func (v *victim) last() saga.Message { return v.sent[len(v.sent)-1] }

// evil is what the other side can truly offer: a timeline of three frames.
type evil struct {
	*space
	head   ibgib.IbGib
	blocks []ibgib.IbGib // closure of head, dependencies first
	entry  timeline.Entry
	offers []ibgib.Hash
}

func newEvil(t testing.TB) *evil {
	s := newSpace(t, 66)
	frame := s.create("evil", nil)
	frame = s.change(frame, "a", "1")
	frame = s.change(frame, "a", "2")
	e := &evil{space: s, head: frame, entry: s.heads()[0]}
	get := func(a ibgib.Addr) (ibgib.IbGib, error) {
		h, _ := a.Hash()
		return s.Block(t.Context(), h)
	}
	addrs, _, err := timeline.Closure([]ibgib.Addr{frame.Addr()}, get, timeline.ClosureOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		g, _ := get(a)
		e.blocks = append(e.blocks, g)
		e.offers = append(e.offers, g.Hash())
	}
	return e
}

func (e *evil) init(fresh bool) *saga.Init {
	return &saga.Init{
		ID: evilID, Fingerprint: [32]byte{1}, Count: 1, Entries: []timeline.Entry{e.entry}, Complete: true,
		Fresh: fresh, Credit: saga.InitialCredit,
	}
}

func full(gs ...ibgib.IbGib) []saga.Item {
	items := make([]saga.Item, len(gs))
	for i, g := range gs {
		items[i] = saga.Item{Form: saga.FormFull, Bytes: g.Stored()}
	}
	return items
}

func delta(d saga.Delta) *saga.Delta {
	d.ID = evilID
	return &d
}

func hashes(n int) []ibgib.Hash {
	list := make([]ibgib.Hash, n)
	for i := range list {
		list[i] = ibgib.Hash{byte(i >> 8), byte(i), 1}
	}
	return list
}

func TestHostile(t *testing.T) {
	const (
		protocol    = saga.CodeProtocol
		limit       = saga.CodeLimit
		unsupported = saga.CodeUnsupported
		refused     = saga.CodeRefused
	)
	offer := func(e *evil) *saga.Delta { return delta(saga.Delta{Offers: e.offers}) }
	done := delta(saga.Delta{WantsDone: true, Done: true})
	lacks := func(n int, bits ...byte) *saga.Delta {
		return delta(saga.Delta{Answer: &saga.Answer{Count: uint32(n), Lacks: bits}})
	}
	chunk := func(g ibgib.IbGib, offset, n, total int) []saga.Item {
		return []saga.Item{{
			Form: saga.FormChunk, Hash: g.Hash(), Bytes: g.Stored()[offset : offset+n],
			Offset: uint64(offset), Total: uint64(total),
		}}
	}
	manyEntries := func(n, heads int) []timeline.Entry {
		list := make([]timeline.Entry, n)
		for i := range list {
			list[i] = timeline.Entry{Root: ibgib.Hash{byte(i >> 16), byte(i >> 8), byte(i), 1}, Heads: hashes(heads)}
		}
		return list
	}

	// The victim answers; it has one timeline of its own.
	responder := []struct {
		name string
		code saga.Code
		say  func(v *victim, e *evil)
	}{
		{"delta first", protocol, func(v *victim, e *evil) { v.hears(delta(saga.Delta{Credit: 1})) }},
		{"commit first", protocol, func(v *victim, e *evil) { v.hears(&saga.Commit{}) }},
		{"ack to the responder", protocol, func(v *victim, e *evil) { v.hears(&saga.Ack{}) }},
		{"no id", protocol, func(v *victim, e *evil) { v.hears(&saga.Init{}) }},
		{"working before the init", protocol, func(v *victim, e *evil) { v.hears(&saga.Working{}) }},
		{"working for ever", limit, func(v *victim, e *evil) {
			v.hears(e.init(false))
			for range saga.MaxWorking + 1 {
				v.hears(&saga.Working{ID: evilID})
			}
		}},
		{"credit for ever", limit, func(v *victim, e *evil) {
			v.hears(e.init(false))
			for range saga.MaxWorking + 1 {
				v.hears(delta(saga.Delta{Credit: 1}))
			}
		}},
		{"second init", protocol, func(v *victim, e *evil) { v.hears(e.init(false), e.init(false)) }},
		{"another saga", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), &saga.Delta{ID: saga.ID{1}, Credit: 1})
		}},
		{"named share", unsupported, func(v *victim, e *evil) {
			i := e.init(false)
			i.Shares = []string{"family"}
			v.hears(i)
		}},
		{"mode", unsupported, func(v *victim, e *evil) {
			i := e.init(false)
			i.Mode = saga.ModePush + 1
			v.hears(i)
		}},
		{"strategy", unsupported, func(v *victim, e *evil) {
			i := e.init(false)
			i.Strategy = saga.StrategyAbort + 1
			v.hears(i)
		}},
		{"roots out of order", protocol, func(v *victim, e *evil) {
			i := e.init(false)
			i.Roots = []ibgib.Hash{{2}, {1}}
			v.hears(i)
		}},
		{"too many roots", limit, func(v *victim, e *evil) {
			i := e.init(false)
			i.Roots = hashes(saga.MaxRoots + 1)
			v.hears(i)
		}},
		{"entry outside of the scope", protocol, func(v *victim, e *evil) {
			i := e.init(false)
			i.Roots = []ibgib.Hash{{1}}
			v.hears(i)
		}},
		{"offer in a pull", protocol, func(v *victim, e *evil) {
			i := e.init(false)
			i.Mode = saga.ModePull
			v.hears(i, delta(saga.Delta{Offers: e.offers}))
		}},
		{"item in a pull", protocol, func(v *victim, e *evil) {
			i := e.init(false)
			i.Mode = saga.ModePull
			v.hears(i, delta(saga.Delta{Items: full(e.blocks[0])}))
		}},
		{"want in a push", protocol, func(v *victim, e *evil) {
			i := e.init(false)
			i.Mode = saga.ModePush
			own := v.heads()[0]
			v.hears(i, delta(saga.Delta{Wants: []saga.Want{{Root: own.Root, Heads: own.Heads}}}))
		}},
		{"too many shares", limit, func(v *victim, e *evil) {
			i := e.init(false)
			i.Shares = make([]string, saga.MaxShares+1)
			v.hears(i)
		}},
		{"count and entries differ", protocol, func(v *victim, e *evil) {
			i := e.init(false)
			i.Count = 2
			v.hears(i)
		}},
		{"entries and not complete", protocol, func(v *victim, e *evil) {
			i := e.init(false)
			i.Complete = false
			v.hears(i)
		}},
		{"too many entries", limit, func(v *victim, e *evil) {
			i := e.init(false)
			i.Entries = manyEntries(saga.MaxInlineEntries+1, 1)
			i.Count = uint64(len(i.Entries))
			v.hears(i)
		}},
		{"too many heads", limit, func(v *victim, e *evil) {
			i := e.init(false)
			i.Entries = manyEntries(1, saga.MaxHeads+1)
			v.hears(i)
		}},
		{"entry twice", protocol, func(v *victim, e *evil) {
			i := e.init(false)
			i.Entries = append(i.Entries, e.entry)
			i.Count = 2
			v.hears(i)
		}},
		{"heads out of order", protocol, func(v *victim, e *evil) {
			i := e.init(false)
			h := hashes(2)
			slices.Reverse(h)
			i.Entries[0].Heads = h
			v.hears(i)
		}},
		{"no heads", protocol, func(v *victim, e *evil) {
			i := e.init(false)
			i.Entries = []timeline.Entry{{Root: ibgib.Hash{1}}}
			v.hears(i)
		}},
		{"too much credit at first", limit, func(v *victim, e *evil) {
			i := e.init(false)
			i.Credit = saga.MaxCredit + 1
			v.hears(i)
		}},
		{"too much credit in all", limit, func(v *victim, e *evil) {
			v.hears(e.init(false), delta(saga.Delta{Credit: saga.MaxCredit}))
		}},
		{"credit that overflows", limit, func(v *victim, e *evil) {
			v.hears(e.init(false), delta(saga.Delta{Credit: 1<<64 - 1}))
		}},
		{"empty delta", protocol, func(v *victim, e *evil) { v.hears(e.init(false), delta(saga.Delta{})) }},
		{"entries nobody asked for", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), delta(saga.Delta{Entries: manyEntries(1, 1)}))
		}},
		{"commit too early", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), &saga.Commit{ID: evilID})
		}},
		{"want of an unnamed timeline", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), delta(saga.Delta{Wants: []saga.Want{{Root: ibgib.Hash{9}, Heads: hashes(1)}}}))
		}},
		{"want of an unnamed head", protocol, func(v *victim, e *evil) {
			own := v.heads()[0]
			v.hears(e.init(false), delta(saga.Delta{Wants: []saga.Want{{Root: own.Root, Heads: hashes(1)}}}))
		}},
		{"want twice", protocol, func(v *victim, e *evil) {
			own := v.heads()[0]
			want := delta(saga.Delta{Wants: []saga.Want{{Root: own.Root, Heads: own.Heads}}})
			v.hears(e.init(false), want, want)
		}},
		{"want without heads", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), delta(saga.Delta{Wants: []saga.Want{{Root: v.heads()[0].Root}}}))
		}},
		{"want with too much known", limit, func(v *victim, e *evil) {
			own := v.heads()[0]
			v.hears(e.init(false), delta(saga.Delta{Wants: []saga.Want{
				{Root: own.Root, Heads: own.Heads, Known: hashes(saga.MaxKnown + 1)},
			}}))
		}},
		{"wants after the last", protocol, func(v *victim, e *evil) {
			own := v.heads()[0]
			v.hears(e.init(false), delta(saga.Delta{WantsDone: true}),
				delta(saga.Delta{Wants: []saga.Want{{Root: own.Root, Heads: own.Heads}}}))
		}},
		{"wants done twice", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), delta(saga.Delta{WantsDone: true}), delta(saga.Delta{WantsDone: true}))
		}},
		{"too many wants", limit, func(v *victim, e *evil) {
			v.hears(e.init(false), delta(saga.Delta{Wants: make([]saga.Want, saga.MaxEntries+1)}))
		}},
		{"too many offers", limit, func(v *victim, e *evil) {
			v.hears(e.init(false), delta(saga.Delta{Offers: hashes(saga.MaxOffers + 1)}))
		}},
		{"too many lists of offers", limit, func(v *victim, e *evil) {
			v.hears(e.init(false))
			for range saga.MaxOpenOffers + 1 {
				v.step(saga.Received{Message: delta(saga.Delta{Offers: hashes(1)})}) // no time to answer
			}
		}},
		{"offers without items", limit, func(v *victim, e *evil) {
			v.hears(e.init(false))
			for range 2 * saga.MaxOpenBlocks / saga.MaxOffers {
				v.hears(delta(saga.Delta{Offers: hashes(saga.MaxOffers)}))
			}
		}},
		{"offer of what was sent", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), offer(e), delta(saga.Delta{Items: full(e.blocks...)}), offer(e))
		}},
		{"item without offer", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), delta(saga.Delta{Items: full(e.blocks...)}))
		}},
		{"item that is not next", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), offer(e), delta(saga.Delta{Items: full(e.blocks[1])}))
		}},
		{"item twice", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), offer(e), delta(saga.Delta{Items: full(e.blocks[0], e.blocks[0])}))
		}},
		{"same block offered and sent twice", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), delta(saga.Delta{Offers: []ibgib.Hash{e.offers[0], e.offers[0]}}),
				delta(saga.Delta{Items: full(e.blocks[0], e.blocks[0])}))
		}},
		{"item before what it links", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), delta(saga.Delta{Offers: []ibgib.Hash{e.head.Hash()}}),
				delta(saga.Delta{Items: full(e.head)}))
		}},
		{"forged items without end", refused, func(v *victim, e *evil) {
			v.hears(e.init(false), delta(saga.Delta{Offers: hashes(saga.MaxRefusals + 1)}))
			for range saga.MaxRefusals + 1 {
				forged := slices.Clone(e.blocks[0].Stored())
				forged[10] ^= 1
				v.hears(delta(saga.Delta{Items: []saga.Item{{Bytes: forged}}}))
			}
		}},
		{"item of no ibGib, not offered", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), delta(saga.Delta{Items: []saga.Item{{Bytes: []byte("hello")}}}))
		}},
		{"empty item", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), offer(e), delta(saga.Delta{Items: []saga.Item{{}}}))
		}},
		{"item that is too large", limit, func(v *victim, e *evil) {
			v.hears(e.init(false), offer(e), delta(saga.Delta{Items: []saga.Item{{Bytes: make([]byte, saga.MaxItem+1)}}}))
		}},
		{"too many items", limit, func(v *victim, e *evil) {
			v.hears(e.init(false), offer(e), delta(saga.Delta{Items: make([]saga.Item, saga.MaxItems+1)}))
		}},
		{"derived item", unsupported, func(v *victim, e *evil) {
			v.hears(e.init(false), offer(e), delta(saga.Delta{Items: []saga.Item{{Form: saga.FormDerived, Derived: &saga.Derived{}}}}))
		}},
		{"chunk that is not next", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), offer(e), delta(saga.Delta{Items: chunk(e.blocks[1], 0, 10, 10)}))
		}},
		{"chunk from the middle", protocol, func(v *victim, e *evil) {
			g := e.blocks[0]
			v.hears(e.init(false), offer(e), delta(saga.Delta{Items: chunk(g, 10, g.Size()-10, g.Size())}))
		}},
		{"chunk that is too small", protocol, func(v *victim, e *evil) {
			g := e.blocks[0]
			v.hears(e.init(false), offer(e), delta(saga.Delta{Items: chunk(g, 0, 10, g.Size())}))
		}},
		{"chunk beyond the total", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), offer(e), delta(saga.Delta{Items: chunk(e.blocks[0], 0, 10, 9)}))
		}},
		{"chunks of too much", limit, func(v *victim, e *evil) {
			v.hears(e.init(false), offer(e), delta(saga.Delta{Items: chunk(e.blocks[0], 0, 10, saga.MaxTotal+1)}))
		}},
		{"chunks of another ibGib", protocol, func(v *victim, e *evil) {
			g := e.blocks[1]
			items := chunk(g, 0, g.Size(), g.Size())
			items[0].Hash = e.offers[0]
			v.hears(e.init(false), delta(saga.Delta{Offers: e.offers[:2]}), delta(saga.Delta{Items: items}))
		}},
		{"item between chunks", protocol, func(v *victim, e *evil) {
			large := make([]byte, saga.MaxItem)
			first := saga.Item{Form: saga.FormChunk, Hash: e.offers[0], Bytes: large, Total: 2 * saga.MaxItem}
			v.hears(e.init(false), offer(e), delta(saga.Delta{Items: []saga.Item{first}}), delta(saga.Delta{Items: full(e.blocks[0])}))
		}},
		{"answer to nothing", protocol, func(v *victim, e *evil) { v.hears(e.init(false), lacks(1, 1)) }},
		{"answer of the wrong length", protocol, func(v *victim, e *evil) {
			n := victimOffers(v, e)
			v.hears(lacks(n+1, make([]byte, (n+8)/8)...))
		}},
		{"answer with too few bits", protocol, func(v *victim, e *evil) {
			v.hears(lacks(victimOffers(v, e)))
		}},
		{"answer with bits beyond the end", protocol, func(v *victim, e *evil) {
			n := victimOffers(v, e)
			bits := make([]byte, (n+7)/8)
			bits[len(bits)-1] = 0xff
			v.hears(lacks(n, bits...))
		}},
		{"done without the wanted head", protocol, func(v *victim, e *evil) { v.hears(e.init(false), done) }},
		{"done before offered blocks came", protocol, func(v *victim, e *evil) { v.hears(e.init(false), offer(e), done) }},
		{"a block nobody wanted", protocol, func(v *victim, e *evil) {
			stone, err := ibgib.Stone(ibgib.StoneOptions{Ib: "spam", Parent: "spam"}, ibgib.Env{})
			if err != nil {
				t.Fatal(err)
			}
			v.hears(e.init(false), delta(saga.Delta{Offers: append(slices.Clone(e.offers), stone.Hash())}),
				delta(saga.Delta{Items: full(append(slices.Clone(e.blocks), stone)...)}), done)
		}},
		{"a head that is no frame", protocol, func(v *victim, e *evil) {
			stone, _ := ibgib.Stone(ibgib.StoneOptions{Ib: "spam", Parent: "spam"}, ibgib.Env{})
			e.entry.Heads = []ibgib.Hash{stone.Hash()}
			v.hears(e.init(false), delta(saga.Delta{Offers: e.entry.Heads}), delta(saga.Delta{Items: full(stone)}))
		}},
		{"a stone with another head", protocol, func(v *victim, e *evil) {
			stone, _ := ibgib.Stone(ibgib.StoneOptions{Ib: "spam", Parent: "spam"}, ibgib.Env{})
			e.entry = timeline.Entry{Root: stone.Hash(), Heads: []ibgib.Hash{stone.Hash(), e.head.Hash()}}
			slices.SortFunc(e.entry.Heads, func(a, b ibgib.Hash) int { return bytes.Compare(a[:], b[:]) })
			v.hears(e.init(false), delta(saga.Delta{Offers: []ibgib.Hash{stone.Hash()}}), delta(saga.Delta{Items: full(stone)}))
		}},
		{"offers after done", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), offer(e), delta(saga.Delta{Items: full(e.blocks...)}))
			v.step(saga.Received{Message: done})
			v.step(saga.Received{Message: offer(e)})
		}},
	}
	for _, test := range responder {
		t.Run("responder/"+test.name, func(t *testing.T) {
			s := newSpace(t, 1)
			s.change(s.create("own", nil), "a", "b")
			v := newVictim(t, saga.Responder, s)
			test.say(v, newEvil(t))
			v.mustFail(t, test.code)
		})
	}

	// The victim has nothing.
	fresh := []struct {
		name string
		code saga.Code
		say  func(v *victim, e *evil)
	}{
		{"offers", protocol, func(v *victim, e *evil) { v.hears(e.init(false), offer(e)) }},
		{"item after the wanted ones", protocol, func(v *victim, e *evil) {
			stone, _ := ibgib.Stone(ibgib.StoneOptions{Ib: "spam", Parent: "spam"}, ibgib.Env{})
			v.hears(e.init(false), delta(saga.Delta{Items: full(append(slices.Clone(e.blocks), stone)...)}))
		}},
		{"item before what it links", protocol, func(v *victim, e *evil) {
			v.hears(e.init(false), delta(saga.Delta{Items: full(e.head)}))
		}},
		{"a block nobody wanted", protocol, func(v *victim, e *evil) {
			stone, _ := ibgib.Stone(ibgib.StoneOptions{Ib: "spam", Parent: "spam"}, ibgib.Env{})
			v.hears(e.init(false), delta(saga.Delta{Items: full(append([]ibgib.IbGib{stone}, e.blocks...)...)}), done)
		}},
		{"beyond the credit", limit, func(v *victim, e *evil) {
			v.hears(e.init(false))
			for i := range saga.InitialCredit>>20 + 2 { // nothing is stored in between
				g, err := ibgib.NewBytes("large", make([]byte, saga.MaxItem-1000+i), nil)
				if err != nil {
					t.Fatal(err)
				}
				v.step(saga.Received{Message: delta(saga.Delta{Items: full(g)})})
			}
		}},
	}
	for _, test := range fresh {
		t.Run("fresh/"+test.name, func(t *testing.T) {
			v := newVictim(t, saga.Responder, newSpace(t, 1))
			test.say(v, newEvil(t))
			v.mustFail(t, test.code)
		})
	}

	// The victim begins.
	ack := func(e *evil) *saga.Ack {
		return &saga.Ack{ID: evilID, Fingerprint: [32]byte{1}, Count: 1, Entries: []timeline.Entry{e.entry}, Credit: saga.InitialCredit}
	}
	initiator := []struct {
		name string
		code saga.Code
		say  func(v *victim, e *evil)
	}{
		{"init to the initiator", protocol, func(v *victim, e *evil) { v.hears(e.init(false)) }},
		{"delta before the ack", protocol, func(v *victim, e *evil) { v.hears(delta(saga.Delta{Credit: 1})) }},
		{"second ack", protocol, func(v *victim, e *evil) { v.hears(ack(e), ack(e)) }},
		{"empty ack with more", protocol, func(v *victim, e *evil) { v.hears(&saga.Ack{ID: evilID, More: true}) }},
		{"equal and not", protocol, func(v *victim, e *evil) { v.hears(&saga.Ack{ID: evilID, Equal: true}) }},
		{"strategy", unsupported, func(v *victim, e *evil) {
			a := ack(e)
			a.Strategy = saga.StrategyAbort + 1
			v.hears(a)
		}},
		{"asks for entries it has", protocol, func(v *victim, e *evil) {
			a := ack(e)
			a.NeedEntries = true
			v.hears(a)
		}},
		{"entry that does not differ", protocol, func(v *victim, e *evil) {
			a := ack(e)
			a.Entries = v.heads()
			v.hears(a)
		}},
		{"acks that contradict", protocol, func(v *victim, e *evil) {
			a := ack(e)
			a.More = true
			v.hears(a, &saga.Ack{ID: evilID, NeedEntries: true, Entries: manyEntries(1, 1)})
		}},
		{"want of a timeline that does not differ", protocol, func(v *victim, e *evil) {
			a := ack(e)
			own := v.heads()[0]
			a.Wants = []saga.Want{{Root: own.Root, Heads: own.Heads}}
			v.hears(a)
		}},
		{"wants after the last ack", protocol, func(v *victim, e *evil) {
			v.hears(ack(e), delta(saga.Delta{Wants: []saga.Want{{Root: e.entry.Root, Heads: e.entry.Heads}}}))
		}},
		{"too many features", limit, func(v *victim, e *evil) {
			a := ack(e)
			a.Features = make([]string, saga.MaxFeatures+1)
			v.hears(a)
		}},
		{"too many conflicts", limit, func(v *victim, e *evil) {
			v.hears(ack(e), delta(saga.Delta{Offers: e.offers}), delta(saga.Delta{Items: full(e.blocks...)}))
			v.step(saga.Received{Message: delta(saga.Delta{Done: true})})
			v.step(saga.Received{Message: &saga.Commit{ID: evilID, Conflicts: make([]ibgib.Hash, saga.MaxConflicts+1)}})
		}},
		{"reports an error", saga.CodeBusy, func(v *victim, e *evil) {
			v.hears(&saga.Error{Code: saga.CodeBusy, Text: "busy", Retry: true})
			var remote *saga.Error
			if !errors.As(v.err, &remote) || !remote.Remote || !remote.Retry {
				t.Errorf("%#v", v.err)
			}
		}},
	}
	for _, test := range initiator {
		t.Run("initiator/"+test.name, func(t *testing.T) {
			s := newSpace(t, 1)
			s.change(s.create("own", nil), "a", "b")
			v := newVictim(t, saga.Initiator, s)
			test.say(v, newEvil(t))
			v.mustFail(t, test.code)
		})
	}
}

// TestHonestScript checks that the scripts above fail for what they do wrong:
// the same without a wrong goes through.
func TestHonestScript(t *testing.T) {
	s := newSpace(t, 1)
	s.change(s.create("own", nil), "a", "b")
	v, e := newVictim(t, saga.Responder, s), newEvil(t)
	v.hears(e.init(false), delta(saga.Delta{Offers: e.offers}), delta(saga.Delta{Items: full(e.blocks...)}),
		delta(saga.Delta{WantsDone: true, Done: true}))
	commit, ok := v.last().(*saga.Commit)
	if v.err != nil || !ok || !v.committed {
		t.Fatalf("%v, %T", v.err, v.last())
	}
	v.hears(commit)
	if r, err := v.m.Result(); err != nil || !r.Converged || r.Received.IbGibs != uint64(len(e.blocks)) {
		t.Errorf("%v, %+v", err, r)
	}
	v.hears(delta(saga.Delta{Credit: 1}))
	if v.err == nil {
		t.Error("a message after the end is taken")
	}
}

// victimOffers lets the victim offer its timeline; it returns how many blocks.
func victimOffers(v *victim, e *evil) int {
	own := v.heads()[0]
	v.hears(e.init(false), delta(saga.Delta{Wants: []saga.Want{{Root: own.Root, Heads: own.Heads}}, WantsDone: true}))
	d, ok := v.last().(*saga.Delta)
	if !ok || len(d.Offers) == 0 || len(d.Offers)%8 == 0 {
		panic(fmt.Sprintf("%T with %d offers", v.last(), len(d.Offers)))
	}
	return len(d.Offers)
}

// mustFail checks that the victim has stopped with an error of that code, that
// no head has moved, and that it says nothing more.
func (v *victim) mustFail(t *testing.T, code saga.Code) {
	t.Helper()
	var e *saga.Error
	switch {
	case !errors.As(v.err, &e):
		t.Fatalf("no *saga.Error: %v", v.err)
	case e.Code != code:
		t.Errorf("%v, want code %s", e, code)
	case v.committed:
		t.Error("committed")
	case len(v.heads()) > 1:
		t.Error("the heads have moved")
	case !v.m.Work().IsEmpty():
		t.Error("there is work after the error")
	case v.m.Step(saga.Stored{}) == nil:
		t.Error("the machine goes on")
	}
}
