package node

import (
	"testing"

	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// ack is a good answer to the victim's init.
func (a *attack) ack() *saga.Ack {
	return &saga.Ack{ID: a.id, Fingerprint: [32]byte{1}, Count: 1, Entries: []timeline.Entry{a.entry}, Credit: saga.InitialCredit}
}

// wanted sends the ack and hears what the victim wants.
func (a *attack) wanted() {
	a.Helper()
	a.say(a.ack())
	for !next[*saga.Delta](a).WantsDone {
	}
}

// initiatorCases are the attacks of a trusted peer with which the victim begins a
// saga.
func (r *arena) initiatorCases(t *testing.T) {
	const bad, limit = saga.CodeProtocol, saga.CodeLimit
	with := func(change func(a *attack, ack *saga.Ack)) func(a *attack) {
		return func(a *attack) {
			ack := a.ack()
			change(a, ack)
			a.say(ack)
		}
	}
	cases := []hostileCase{
		{name: "end at once", want: saga.CodeUnreachable, attack: func(a *attack) { a.stream.Close() }},
		{name: "reset at once", want: saga.CodeUnreachable, attack: func(a *attack) { a.stream.Reset() }},
		{name: "end after the ack", want: saga.CodeUnreachable, attack: func(a *attack) { a.say(a.ack()); a.stream.CloseWrite() }},
		{name: "error of a later version", want: saga.CodeInternal, attack: func(a *attack) {
			a.write(framed(fields(nil).bytes(fieldID, a.id[:]).bytes(fieldError, fields(nil).varint(1, 77))))
		}},
		{name: "untrusted", want: saga.CodeUntrusted, attack: func(a *attack) { a.say(&saga.Error{Code: saga.CodeUntrusted}) }},
		{name: "init in answer", want: bad, attack: func(a *attack) { a.say(a.init()) }},
		{name: "delta before the ack", want: bad, attack: func(a *attack) { a.say(a.delta(saga.Delta{Credit: 1})) }},
		{name: "commit before the ack", want: bad, attack: func(a *attack) { a.say(&saga.Commit{ID: a.id}) }},
		{name: "ack of another saga", want: bad, attack: with(func(a *attack, ack *saga.Ack) { ack.ID = saga.ID{1} })},
		{name: "second ack", want: bad, attack: func(a *attack) { a.say(a.ack(), a.ack()) }},
		{name: "empty ack, and more", want: bad, attack: func(a *attack) { a.say(&saga.Ack{ID: a.id, More: true}) }},
		{name: "equal, and not", want: bad, attack: func(a *attack) { a.say(&saga.Ack{ID: a.id, Equal: true}) }},
		{name: "asks for entries that it has", want: bad, attack: with(func(a *attack, ack *saga.Ack) { ack.NeedEntries = true })},
		{name: "entry that does not differ", want: bad, attack: with(func(a *attack, ack *saga.Ack) { ack.Entries = []timeline.Entry{a.own} })},
		{name: "entry twice", want: bad, attack: with(func(a *attack, ack *saga.Ack) { ack.Entries = append(ack.Entries, a.entry) })},
		{name: "acks that contradict each other", want: bad, attack: with(func(a *attack, ack *saga.Ack) {
			ack.More = true
			a.say(ack)
			ack.NeedEntries, ack.Credit = true, 0
		})},
		{name: "want of a timeline that does not differ", want: bad, attack: with(func(a *attack, ack *saga.Ack) {
			ack.Wants = []saga.Want{{Root: a.own.Root, Heads: a.own.Heads}}
		})},
		{name: "want of a head that was not named", want: bad, attack: with(func(a *attack, ack *saga.Ack) {
			ack.Wants = []saga.Want{{Root: a.entry.Root, Heads: a.entry.Heads}}
		})},
		{name: "wants after the last ack", want: bad, attack: func(a *attack) {
			a.say(a.ack(), a.delta(saga.Delta{Wants: []saga.Want{{Root: a.entry.Root, Heads: a.entry.Heads}}}))
		}},
		{name: "too much credit", want: limit, attack: with(func(a *attack, ack *saga.Ack) { ack.Credit = saga.MaxCredit + 1 })},
		{name: "acks without end", want: limit, attack: func(a *attack) {
			for page := range many() {
				a.say(&saga.Ack{ID: a.id, Fingerprint: [32]byte{1}, Count: 1 << 20, Entries: page, More: true})
			}
		}},
		{name: "working without end", want: limit, attack: func(a *attack) {
			for range saga.MaxWorking + 1 {
				a.say(&saga.Working{ID: a.id})
			}
		}},
		{name: "item without an offer", want: bad, attack: func(a *attack) { a.say(a.ack(), a.delta(saga.Delta{Items: full(a.blocks...)})) }},
		{name: "head without its closure", want: bad, attack: func(a *attack) {
			a.wanted()
			a.offers = a.offers[len(a.offers)-1:]
			a.asked()
			a.say(a.delta(saga.Delta{Items: full(a.head)}))
		}},
		{name: "done without the head", want: bad, attack: func(a *attack) {
			a.wanted()
			a.say(a.delta(saga.Delta{Done: true}))
		}},
		{name: "forged items without end", want: saga.CodeRefused, attack: func(a *attack) {
			a.wanted()
			a.offers = hashes(saga.MaxRefusals + 1)
			a.asked()
			for range saga.MaxRefusals + 1 {
				a.say(a.delta(saga.Delta{Items: []saga.Item{{Bytes: []byte("hello")}}}))
			}
		}},
		{name: "commit before all was sent", want: bad, attack: func(a *attack) {
			a.say(a.ack(), &saga.Commit{ID: a.id})
		}},
		{name: "error in the middle", want: saga.CodeInternal, attack: func(a *attack) {
			a.wanted()
			a.asked()
			a.say(&saga.Error{ID: a.id, Code: saga.CodeInternal, Text: "\x1b[2Jyour disk is mine"})
		}},
	}
	t.Run("as responder", func(t *testing.T) {
		for _, c := range cases {
			r.answer(t, c)
		}
	})
}
