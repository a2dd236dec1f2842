package node

import (
	"sync"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// slowly is how long the victim of the slow peers waits for one.
const slowly = 2 * time.Second

// dribble sends bytes one by one, and far too slowly, until the stream has ended.
func (a *attack) dribble(b []byte) {
	tick := time.NewTicker(slowly / 10)
	defer tick.Stop()
	for i := range b {
		if _, err := a.stream.Write(b[i : i+1]); err != nil {
			return
		}
		<-tick.C
	}
}

// TestSlowPeers lets many peers be slow with one node at the same time, each with a
// place of its own, while an honest node syncs again and again.
func TestSlowPeers(t *testing.T) {
	r := newArena(t, func(n *Node) {
		n.idle = slowly
		n.wire = protocol.Options{StallTimeout: slowly, MeetTimeout: slowly, CloseTimeout: slowly / 2}
	})
	large := r.largeTimeline(t)
	init := func(a *attack) []byte {
		b, err := protocol.Encode(a.init())
		if err != nil {
			a.Error(err)
		}
		return framed(b)
	}
	const timeout = saga.CodeTimeout
	cases := []struct {
		name    string
		trusted bool
		begins  bool // the victim begins
		want    saga.Code
		attack  func(a *attack)
	}{
		{"a stranger that says nothing", false, false, 0, func(*attack) {}},
		{"a stranger with a byte now and then", false, false, 0, func(a *attack) { a.dribble(init(a)) }},
		{"nothing", true, false, timeout, func(*attack) {}},
		{"a byte now and then", true, false, timeout, func(a *attack) { a.dribble(init(a)) }},
		{"half a message", true, false, timeout, func(a *attack) { a.write(init(a)[:60]) }},
		{"nothing after the init", true, false, timeout, func(a *attack) { a.say(a.init()) }},
		{"half a message in a saga", true, false, timeout, func(a *attack) {
			a.open(a.init())
			a.write(framed(make([]byte, 500))[:100])
		}},
		{"a byte now and then in a saga", true, false, timeout, func(a *attack) {
			a.open(a.init())
			a.dribble(framed(make([]byte, 500)))
		}},
		{"no answer to offers", true, false, timeout, func(a *attack) { a.offered(a.init()) }},
		{"offers, and no items", true, false, timeout, func(a *attack) { a.open(a.init()); a.asked() }},
		{"half an ibGib", true, false, timeout, func(a *attack) {
			a.open(a.init())
			a.asked()
			a.say(a.delta(saga.Delta{Items: []saga.Item{{Form: saga.FormChunk, Hash: a.offers[0], Bytes: make([]byte, saga.MaxItem), Total: 2 * saga.MaxItem}}}))
		}},
		{"done, and no commit", true, false, timeout, func(a *attack) {
			a.open(a.init())
			a.asked()
			a.say(a.delta(saga.Delta{Items: full(a.blocks...), WantsDone: true, Done: true}))
		}},
		{"no credit", true, false, timeout, func(a *attack) {
			i := a.init()
			i.Credit = 0
			i.Fresh = true
			a.open(i)
			a.say(a.delta(saga.Delta{Wants: []saga.Want{large}, WantsDone: true}))
		}},
		{"asks for much, and reads nothing", true, false, 0, func(a *attack) {
			i := a.init()
			i.Fresh = true
			a.open(i)
			a.say(a.delta(saga.Delta{Wants: []saga.Want{large}, WantsDone: true}))
			r.left(a.T, a.by.ID())
		}},
		{"no ack", true, true, timeout, func(*attack) {}},
		{"half an ack", true, true, timeout, func(a *attack) { a.write(framed(make([]byte, 500))[:100]) }},
		{"nothing after the ack", true, true, timeout, func(a *attack) { a.say(a.ack()) }},
	}
	meter := startMeter()
	before := r.contents(t)
	var attacks sync.WaitGroup
	kept := make(map[ibgib.Addr]bool)
	for _, c := range cases {
		by := newPeer(t)
		if c.trusted {
			if _, err := r.victim.Trust(t.Context(), by.ID().String()); err != nil {
				t.Fatal(err)
			}
			r.believed(t, by) // while nothing else goes on
		}
		a := r.newAttack(t)
		a.by = by
		for _, g := range a.blocks {
			kept[g.Addr()] = true // some of them are asked for and come
		}
		attacks.Go(func() {
			began := time.Now()
			talk := a.talk
			if c.begins {
				talk = a.talkBack
			}
			err := talk(c.attack)
			if codeOf(err) != c.want {
				t.Errorf("%s: ended with %v, want code %s", c.name, err, c.want)
			}
			r.left(t, by.ID())
			t.Logf("%s: %v after %v", c.name, err, time.Since(began).Round(time.Millisecond))
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		attacks.Wait()
	}()
	sagas := 0
	for running := true; running; {
		r.honest(t)
		sagas++
		select {
		case <-done:
			running = false
		default:
		}
	}
	r.cases = len(cases)
	r.charge(t, meter.stop(r.idle))
	friend := contentsOf(t, r.friend)
	for addr := range r.contents(t).members {
		if !before.members[addr] && !friend.members[addr] && !kept[addr] {
			t.Errorf("%s was stored", addr)
		}
	}
	t.Logf("%d slow peers, beside them %d honest sagas; live heap %d KiB over that of idle nodes, CPU time %v",
		len(cases), sagas, r.worst.heap>>10, r.worst.cpu.Round(time.Millisecond))
}

// largeTimeline stores more at the victim than a connection holds that nobody
// reads, and returns what to want.
func (r *arena) largeTimeline(t *testing.T) saga.Want {
	t.Helper()
	m := blockstoretest.NewMaker(99)
	all := m.Timeline(t, "large")
	for i := range 8 {
		blob, err := ibgib.NewBytes("blob", append(make([]byte, 4<<20), byte(i)), nil)
		if err != nil {
			t.Fatal(err)
		}
		next := m.Rel8(t, blockstoretest.Last(all), "blob", blob.Addr())
		all = append(append(all, blob), next...)
	}
	if _, _, err := r.victim.store.Apply(t.Context(), blockstore.DefaultShare, blockstore.Origin{}, all); err != nil {
		t.Fatal(err)
	}
	head := blockstoretest.Last(all)
	root, err := ibgib.ParseHash(head.Addr().TjpGib())
	if err != nil {
		t.Fatal(err)
	}
	return saga.Want{Root: root, Heads: []ibgib.Hash{head.Hash()}}
}
