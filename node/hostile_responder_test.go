package node

import (
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// done says that nothing is wanted, and that all has been sent.
func (a *attack) done() { a.say(a.delta(saga.Delta{WantsDone: true, Done: true})) }

// offered lets the victim offer its own timeline, and returns how many blocks.
func (a *attack) offered(init *saga.Init) int {
	a.Helper()
	a.open(init)
	a.say(a.delta(saga.Delta{Wants: []saga.Want{{Root: a.own.Root, Heads: a.own.Heads}}, WantsDone: true}))
	for {
		if n := len(next[*saga.Delta](a).Offers); n > 0 {
			return n
		}
	}
}

// stone is a constant that nobody asked for.
func (a *attack) stone() ibgib.IbGib {
	a.Helper()
	g, err := ibgib.New("spam of "+a.Name(), ibgib.String("spam"), nil)
	if err != nil {
		a.Fatal(err)
	}
	return g
}

// responderCases are the attacks of a trusted peer that begins a saga.
func (r *arena) responderCases(t *testing.T) {
	for _, group := range []struct {
		name  string
		cases []hostileCase
	}{
		{"order", r.orderCases()},
		{"knowledge", r.knowledgeCases()},
		{"payload", r.payloadCases()},
		{"chunks", r.chunkCases()},
		{"refused", refusedCases()},
		{"end", r.endCases()},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.cases {
				r.respond(t, r.evil, c)
			}
		})
	}
}

// orderCases are messages out of turn, of another saga, and without end.
func (r *arena) orderCases() []hostileCase {
	const bad, limit = saga.CodeProtocol, saga.CodeLimit
	return []hostileCase{
		{name: "ack first", want: bad, attack: func(a *attack) { a.say(&saga.Ack{ID: a.id}) }},
		{name: "delta first", want: bad, attack: func(a *attack) { a.say(a.delta(saga.Delta{Credit: 1})) }},
		{name: "commit first", want: bad, attack: func(a *attack) { a.say(&saga.Commit{ID: a.id}) }},
		{name: "working first", want: bad, attack: func(a *attack) { a.say(&saga.Working{ID: a.id}) }},
		{name: "error first", attack: func(a *attack) { a.say(&saga.Error{ID: a.id, Code: saga.CodeInternal}) }},
		{name: "second init", want: bad, attack: func(a *attack) { a.open(a.init()); a.say(a.init()) }},
		{name: "ack from the initiator", want: bad, attack: func(a *attack) { a.open(a.init()); a.say(&saga.Ack{ID: a.id}) }},
		{name: "delta of another saga", want: bad, attack: func(a *attack) {
			a.open(a.init())
			a.say(&saga.Delta{ID: saga.ID{1}, Credit: 1})
		}},
		{name: "commit before anything was sent", want: bad, attack: func(a *attack) {
			a.open(a.init())
			a.say(&saga.Commit{ID: a.id})
		}},
		{name: "empty delta", want: bad, attack: func(a *attack) { a.open(a.init()); a.say(a.delta(saga.Delta{})) }},
		{name: "working without end", want: limit, attack: func(a *attack) {
			a.open(a.init())
			for range saga.MaxWorking + 1 {
				a.say(&saga.Working{ID: a.id})
			}
		}},
		{name: "credit without end", want: limit, attack: func(a *attack) {
			a.open(a.init())
			for range saga.MaxWorking + 1 {
				a.say(a.delta(saga.Delta{Credit: 1}))
			}
		}},
		{name: "too much credit at first", want: limit, attack: func(a *attack) {
			i := a.init()
			i.Credit = saga.MaxCredit + 1
			a.say(i)
		}},
		{name: "too much credit in all", want: limit, attack: func(a *attack) {
			a.open(a.init())
			a.say(a.delta(saga.Delta{Credit: saga.MaxCredit}))
		}},
		{name: "credit that overflows", want: limit, attack: func(a *attack) {
			a.open(a.init())
			a.say(a.delta(saga.Delta{Credit: 1<<64 - 1}))
		}},
	}
}

// payloadCases are offers and items that nobody asked for, or not like this.
func (r *arena) payloadCases() []hostileCase {
	const bad, limit = saga.CodeProtocol, saga.CodeLimit
	give := func(a *attack, gs ...ibgib.IbGib) { a.say(a.delta(saga.Delta{Items: full(gs...)})) }
	return []hostileCase{
		{name: "offer in a pull", want: bad, attack: func(a *attack) {
			i := a.init()
			i.Mode = saga.ModePull
			a.open(i)
			a.say(a.delta(saga.Delta{Offers: a.offers}))
		}},
		{name: "item in a pull", want: bad, attack: func(a *attack) {
			i := a.init()
			i.Mode = saga.ModePull
			a.open(i)
			give(a, a.blocks[0])
		}},
		{name: "offers without items", want: limit, attack: func(a *attack) {
			a.open(a.init())
			for range 2 * saga.MaxOpenBlocks / saga.MaxOffers {
				a.say(a.delta(saga.Delta{Offers: hashes(saga.MaxOffers)}))
			}
		}},
		{name: "item without an offer", want: bad, attack: func(a *attack) { a.open(a.init()); give(a, a.blocks...) }},
		{name: "item that is not next", want: bad, attack: func(a *attack) { a.open(a.init()); a.asked(); give(a, a.blocks[1]) }},
		{name: "item twice", want: bad, attack: func(a *attack) {
			a.open(a.init())
			a.asked()
			give(a, a.blocks[0], a.blocks[0])
		}},
		{name: "frame replayed", want: bad, keeps: []int{0}, attack: func(a *attack) {
			a.open(a.init())
			a.asked()
			give(a, a.blocks[0])
			give(a, a.blocks[0])
		}},
		{name: "block offered and sent twice", want: bad, attack: func(a *attack) {
			a.open(a.init())
			a.offers = []ibgib.Hash{a.offers[0], a.offers[0]}
			a.asked()
			give(a, a.blocks[0], a.blocks[0])
		}},
		{name: "offer of what was sent", want: bad, keeps: []int{0}, attack: func(a *attack) {
			a.open(a.init())
			a.asked()
			give(a, a.blocks[0])
			a.say(a.delta(saga.Delta{Offers: a.offers[:1]}))
		}},
		{name: "head without its closure", want: bad, attack: func(a *attack) {
			a.open(a.init())
			a.offers = a.offers[len(a.offers)-1:]
			a.asked()
			give(a, a.head)
		}},
		{name: "closure with a hole", want: bad, attack: func(a *attack) {
			a.open(a.init())
			a.offers = a.offers[1:]
			a.asked()
			give(a, a.blocks[1:]...)
		}},
		{name: "derived item", want: saga.CodeUnsupported, attack: func(a *attack) {
			a.open(a.init())
			a.asked()
			a.say(a.delta(saga.Delta{Items: []saga.Item{{Form: saga.FormDerived, Derived: &saga.Derived{Addr: "a^GIB"}}}}))
		}},
		{name: "answer to nothing", want: bad, attack: func(a *attack) {
			a.open(a.init())
			a.say(a.delta(saga.Delta{Answer: &saga.Answer{Count: 1, Lacks: []byte{1}}}))
		}},
		{name: "answer about more than was offered", want: bad, attack: func(a *attack) {
			n := a.offered(a.init()) + 1
			a.say(a.delta(saga.Delta{Answer: &saga.Answer{Count: uint32(n), Lacks: make([]byte, (n+7)/8)}}))
		}},
		{name: "answer about less than was offered", want: bad, attack: func(a *attack) {
			n := a.offered(a.init()) - 1
			a.say(a.delta(saga.Delta{Answer: &saga.Answer{Count: uint32(n), Lacks: make([]byte, (n+7)/8)}}))
		}},
		{name: "answer twice", want: bad, attack: func(a *attack) {
			n := a.offered(a.init())
			answer := a.delta(saga.Delta{Answer: &saga.Answer{Count: uint32(n), Lacks: make([]byte, (n+7)/8)}})
			a.say(answer, answer)
		}},
	}
}

// chunkCases are lies about a large ibGib. The first block is offered, whatever
// comes in its place.
func (r *arena) chunkCases() []hostileCase {
	const bad = saga.CodeProtocol
	piece := make([]byte, saga.MaxItem)
	chunks := func(list ...saga.Item) func(a *attack) {
		return func(a *attack) {
			a.open(a.init())
			a.offers = a.offers[:1]
			a.asked()
			for _, it := range list {
				it.Form = saga.FormChunk
				if it.Hash == (ibgib.Hash{}) {
					it.Hash = a.offers[0]
				}
				a.say(a.delta(saga.Delta{Items: []saga.Item{it}}))
			}
		}
	}
	first := saga.Item{Bytes: piece, Total: 3 * saga.MaxItem}
	return []hostileCase{
		{name: "another ibGib", want: bad, attack: chunks(saga.Item{Bytes: piece, Total: 3 * saga.MaxItem, Hash: ibgib.Hash{1}})},
		{name: "from the middle", want: bad, attack: chunks(saga.Item{Bytes: piece, Offset: saga.MaxItem, Total: 3 * saga.MaxItem})},
		{name: "too small", want: bad, attack: chunks(saga.Item{Bytes: piece[:10], Total: saga.MaxItem})},
		{name: "the same piece again", want: bad, attack: chunks(first, first)},
		{name: "a gap", want: bad, attack: chunks(first, saga.Item{Bytes: piece, Offset: 2 * saga.MaxItem, Total: 3 * saga.MaxItem})},
		{name: "another total", want: bad, attack: chunks(first, saga.Item{Bytes: piece, Offset: saga.MaxItem, Total: 4 * saga.MaxItem})},
		{name: "another hash midway", want: bad, attack: chunks(first, saga.Item{Bytes: piece, Offset: saga.MaxItem, Total: 3 * saga.MaxItem, Hash: ibgib.Hash{2}})},
		{name: "done in the middle", want: bad, attack: func(a *attack) { chunks(first)(a); a.done() }},
		{name: "an item in between", want: bad, attack: func(a *attack) {
			chunks(first)(a)
			a.say(a.delta(saga.Delta{Items: full(a.blocks[0])}))
		}},
		{name: "of another ibGib than they say", want: bad, attack: func(a *attack) {
			a.open(a.init())
			a.offers = a.offers[:1]
			a.asked()
			g := a.blocks[1]
			a.say(a.delta(saga.Delta{Items: []saga.Item{{Form: saga.FormChunk, Bytes: g.Stored(), Total: uint64(g.Size()), Hash: a.offers[0]}}}))
		}},
	}
}

// endCases are false ends.
func (r *arena) endCases() []hostileCase {
	const bad = saga.CodeProtocol
	all := func(a *attack) {
		a.open(a.init())
		a.asked()
		a.say(a.delta(saga.Delta{Items: full(a.blocks...)}))
	}
	nothing := func(a *attack) *saga.Commit {
		i := a.init()
		i.Entries, i.Count = nil, 0
		a.open(i)
		a.done()
		return next[*saga.Commit](a)
	}
	// liar wants the victim's timeline, and then says that it has all of it.
	liar := func(a *attack) *saga.Commit {
		i := a.init()
		i.Entries, i.Count = nil, 0
		n := a.offered(i)
		a.say(a.delta(saga.Delta{Answer: &saga.Answer{Count: uint32(n), Lacks: make([]byte, (n+7)/8)}, Done: true}))
		return next[*saga.Commit](a)
	}
	every := []int{0, 1, 2, 3, 4, 5, 6}
	return []hostileCase{
		{name: "done without the head", want: bad, attack: func(a *attack) { a.open(a.init()); a.done() }},
		{name: "done before what was offered", want: bad, attack: func(a *attack) { a.open(a.init()); a.asked(); a.done() }},
		{name: "done, and offers", want: bad, keeps: every, commits: true, attack: func(a *attack) {
			all(a)
			a.say(a.delta(saga.Delta{Done: true}), a.delta(saga.Delta{Offers: hashes(1)}))
		}},
		{name: "a block that nothing links", want: bad, keeps: every, attack: func(a *attack) {
			a.blocks = append(a.blocks, a.stone())
			a.offers = append(a.offers, a.stone().Hash())
			all(a)
			a.done()
		}},
		// What comes after the end finds nobody.
		{name: "commit twice", ends: true, attack: func(a *attack) {
			c := nothing(a)
			a.say(c, c)
		}},
		{name: "delta after the commit", ends: true, attack: func(a *attack) {
			c := nothing(a)
			a.say(c, a.delta(saga.Delta{Credit: 1}))
		}},
		{name: "timelines aborted against the rule", want: bad, attack: func(a *attack) {
			c := nothing(a)
			c.Conflicts, c.Aborted = hashes(1), hashes(1)
			a.say(c)
		}},
		{name: "false digest", ends: true, attack: func(a *attack) {
			c := liar(a)
			c.Digest[0] ^= 1
			a.say(c)
			a.doubted()
		}},
		{name: "false count in the end", ends: true, attack: func(a *attack) {
			c := liar(a)
			c.Count++
			a.say(c)
			a.doubted()
		}},
	}
}

// doubted ends the attack's side, and checks that the victim knows that the two have
// not come to the same.
func (a *attack) doubted() {
	a.Helper()
	if err := a.verdict(); err != nil {
		a.Error(err)
	}
	a.stream.Close()
	a.left(a.T, a.by.ID())
	records, err := a.victim.Sagas(a.Context())
	if err != nil {
		a.Fatal(err)
	}
	i := slices.IndexFunc(records, func(s SagaRecord) bool { return s.SagaID == a.id.String() })
	if i < 0 || records[i].Converged {
		a.Errorf("the victim's records say that it has converged: %+v", records)
	}
}
