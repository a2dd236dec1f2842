package node

import (
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// knowledgeCases are lies about scopes, timelines and heads.
func (r *arena) knowledgeCases() []hostileCase {
	const bad, limit = saga.CodeProtocol, saga.CodeLimit
	with := func(change func(a *attack, i *saga.Init)) func(a *attack) {
		return func(a *attack) {
			i := a.init()
			change(a, i)
			a.say(i)
		}
	}
	wants := func(a *attack, ws ...saga.Want) { a.open(a.init()); a.say(a.delta(saga.Delta{Wants: ws})) }
	return []hostileCase{
		{name: "named share", want: saga.CodeRefused, attack: with(func(a *attack, i *saga.Init) { i.Shares = []string{"family"} })},
		{name: "entry out of the scope", want: bad, attack: with(func(a *attack, i *saga.Init) { i.Roots = []ibgib.Hash{{1}} })},
		{name: "false count", want: bad, attack: with(func(a *attack, i *saga.Init) { i.Count = 2 })},
		{name: "entries of a map that is not there", want: bad, attack: with(func(a *attack, i *saga.Init) { i.Complete = false })},
		{name: "entry twice", want: bad, attack: with(func(a *attack, i *saga.Init) { i.Entries, i.Count = append(i.Entries, a.entry), 2 })},
		{name: "entries out of order", want: bad, attack: with(func(a *attack, i *saga.Init) {
			i.Entries = sorted(timeline.Entry{Root: ibgib.Hash{1}, Heads: hashes(1)}, a.entry)
			slices.Reverse(i.Entries)
			i.Count = 2
		})},
		{name: "entry without heads", want: bad, attack: with(func(a *attack, i *saga.Init) { i.Entries[0].Heads = nil })},
		{name: "entries nobody asked for", want: bad, attack: func(a *attack) {
			a.open(a.init())
			a.say(a.delta(saga.Delta{Entries: []timeline.Entry{a.entry}}))
		}},
		{name: "entries that do not differ", want: bad, attack: func(a *attack) {
			a.open(&saga.Init{ID: a.id, Fingerprint: [32]byte{1}, Count: 1000})
			a.say(a.delta(saga.Delta{Entries: []timeline.Entry{a.own}}))
		}},
		{name: "entries in the millions", want: limit, attack: func(a *attack) {
			a.open(&saga.Init{ID: a.id, Fingerprint: [32]byte{1}, Count: 1 << 20})
			for page := range many() {
				a.say(a.delta(saga.Delta{Entries: page}))
			}
		}},
		{name: "want of a timeline that was not named", want: bad, attack: func(a *attack) {
			wants(a, saga.Want{Root: ibgib.Hash{9}, Heads: hashes(1)})
		}},
		{name: "want of a head that was not named", want: bad, attack: func(a *attack) {
			wants(a, saga.Want{Root: a.own.Root, Heads: hashes(1)})
		}},
		{name: "want twice", want: bad, attack: func(a *attack) {
			w := saga.Want{Root: a.own.Root, Heads: a.own.Heads}
			wants(a, w, w)
		}},
		{name: "wants after the last", want: bad, attack: func(a *attack) {
			a.open(a.init())
			a.say(a.delta(saga.Delta{WantsDone: true}), a.delta(saga.Delta{Wants: []saga.Want{{Root: a.own.Root, Heads: a.own.Heads}}}))
		}},
		{name: "wants done twice", want: bad, attack: func(a *attack) {
			a.open(a.init())
			a.say(a.delta(saga.Delta{WantsDone: true}), a.delta(saga.Delta{WantsDone: true}))
		}},
		{name: "want in a push", want: bad, attack: func(a *attack) {
			i := a.init()
			i.Mode = saga.ModePush
			a.open(i)
			a.say(a.delta(saga.Delta{Wants: []saga.Want{{Root: a.own.Root, Heads: a.own.Heads}}}))
		}},
		{name: "a timeline with a thousand heads minted", want: bad, attack: func(a *attack) {
			i := a.init()
			i.Entries[0].Heads = hashes(saga.MaxHeads)
			a.open(i)
			a.done()
		}},
		{name: "a thousand timelines minted", want: bad, attack: func(a *attack) {
			i := a.init()
			i.Entries = nil
			for _, h := range hashes(saga.MaxInlineEntries) {
				i.Entries = append(i.Entries, timeline.Entry{Root: h, Heads: []ibgib.Hash{h}})
			}
			i.Count = uint64(len(i.Entries))
			a.open(i)
			a.done()
		}},
	}
}

// many are pages of entries of timelines that do not exist, without end.
func many() func(yield func([]timeline.Entry) bool) {
	return func(yield func([]timeline.Entry) bool) {
		const size, heads = 1500, 30
		named := hashes(heads)
		page := make([]timeline.Entry, size)
		for n := 0; n < 100; n++ {
			for i := range page {
				at := n*size + i
				page[i] = timeline.Entry{Root: ibgib.Hash{byte(at >> 16), byte(at >> 8), byte(at), 1}, Heads: named}
			}
			if !yield(page) {
				return
			}
		}
	}
}
