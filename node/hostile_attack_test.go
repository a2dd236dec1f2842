package node

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/ibgib/ibgib-node/blockstore/blockstoretest"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// attack is a case under way: a stream with the victim, and what may be told it.
type attack struct {
	*testing.T
	*arena
	by     host.Host // the attacker
	stream network.Stream
	in     *bufio.Reader
	id     saga.ID // of the saga

	complete bool // the victim's init bore all that it has; else the victim compares

	// What the attacker can truly offer: a timeline of three frames.
	maker  *blockstoretest.Maker
	head   ibgib.IbGib
	blocks []ibgib.IbGib // closure of head, dependencies first
	entry  timeline.Entry
	offers []ibgib.Hash
}

// newAttack makes the content of an attack.
func (r *arena) newAttack(t *testing.T) *attack {
	t.Helper()
	r.cases++
	a := &attack{T: t, arena: r, id: saga.ID{6, byte(r.cases >> 8), byte(r.cases)}}
	a.maker = blockstoretest.NewMaker(int64(r.cases))
	all := a.maker.Timeline(t, fmt.Sprint("evil ", r.cases))
	for i := range 2 {
		all = append(all, a.maker.Mut8(t, blockstoretest.Last(all), "text", fmt.Sprint(r.cases, " ", i))...)
	}
	a.offer(all)
	return a
}

// offer makes a timeline what is offered: all of the given ibGibs that its last one,
// the head, needs.
func (a *attack) offer(all []ibgib.IbGib) {
	a.Helper()
	a.head, a.blocks, a.offers = blockstoretest.Last(all), nil, nil
	byAddr := make(map[ibgib.Addr]ibgib.IbGib)
	for _, g := range all {
		byAddr[g.Addr()] = g
	}
	get := func(addr ibgib.Addr) (ibgib.IbGib, error) { return byAddr[addr], nil }
	addrs, _, err := timeline.Closure([]ibgib.Addr{a.head.Addr()}, get, timeline.ClosureOptions{})
	if err != nil {
		a.Fatal(err)
	}
	for _, addr := range addrs {
		a.blocks = append(a.blocks, byAddr[addr])
		a.offers = append(a.offers, byAddr[addr].Hash())
	}
	root, err := ibgib.ParseHash(a.head.Addr().TjpGib())
	if err != nil {
		a.Fatal(err)
	}
	a.entry = timeline.Entry{Root: root, Heads: []ibgib.Hash{a.head.Hash()}}
}

// talk opens a stream to the victim, lets the attack happen, and returns how the
// victim has ended it.
func (a *attack) talk(attack func(a *attack)) error {
	a.Helper()
	a.alone(func() { a.believed(a.T, a.by) })
	if err := a.by.Connect(a.Context(), a.at); err != nil {
		a.Fatal(err)
	}
	var err error
	if a.stream, err = a.by.NewStream(a.Context(), a.at.ID, protocol.ID); err != nil {
		a.Fatal(err)
	}
	a.begin()
	defer a.stream.Reset()
	attack(a)
	runtime.GC() // for the meter
	return a.verdict()
}

// talkBack lets the victim begin a saga, and returns how its sync has ended.
func (a *attack) talkBack(attack func(a *attack)) error {
	a.Helper()
	streams := make(chan network.Stream, 1)
	a.by.SetStreamHandler(protocol.ID, func(s network.Stream) { streams <- s })
	defer a.by.RemoveStreamHandler(protocol.ID)
	ended := make(chan error, 1)
	var init *saga.Init
	a.alone(func() {
		go func() {
			_, err := a.victim.Sync(a.Context(), fmt.Sprintf("%s/p2p/%s", a.by.Addrs()[0], a.by.ID()), nil)
			ended <- err
		}()
		init = a.first(streams, ended)
	})
	defer a.stream.Reset()
	a.id, a.complete = init.ID, init.Complete
	attack(a)
	runtime.GC() // for the meter
	told := a.verdict()
	a.stream.Reset()
	err := <-ended
	if told != nil && codeOf(told) != codeOf(err) {
		a.Errorf("the peer was told %v, the sync ended with %v", told, err)
	}
	return err
}

// alone runs what meets the victim while no other attacker does.
func (a *attack) alone(meet func()) {
	a.meets.Lock()
	defer a.meets.Unlock()
	meet()
}

// first waits for the stream on which the victim begins a saga. On others it wants to
// meet the attacker, who lets it.
func (a *attack) first(streams <-chan network.Stream, ended <-chan error) *saga.Init {
	a.Helper()
	for {
		select {
		case a.stream = <-streams:
		case err := <-ended:
			a.Fatalf("the victim has begun no saga: %v", err)
		}
		a.begin()
		if size, err := binary.ReadUvarint(a.in); err == nil {
			b := make([]byte, size)
			if _, err := io.ReadFull(a.in, b); err != nil {
				a.Fatal(err)
			}
			if m, err := protocol.Decode(b); err == nil {
				switch m := m.(type) {
				case *saga.Init:
					return m
				case *protocol.Hello:
					a.met(m)
					continue
				}
			}
		}
		a.say(&saga.Error{Code: saga.CodeUnsupported})
		a.stream.Close()
	}
}

func (a *attack) begin() {
	a.Helper()
	if err := a.stream.SetDeadline(time.Now().Add(patience)); err != nil {
		a.Fatal(err)
	}
	a.in = bufio.NewReader(io.TeeReader(a.stream, a.heard))
}

// say sends messages that are well formed. Whether the victim still listens does
// not matter.
func (a *attack) say(messages ...saga.Message) {
	a.Helper()
	var out []byte
	for _, m := range messages {
		b, err := protocol.Encode(m)
		if err != nil {
			a.Fatal(err)
		}
		out = append(out, framed(b)...)
	}
	a.write(out)
}

func framed(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }

func (a *attack) write(b []byte) { _, _ = a.stream.Write(b) }

// hear returns the next message of the victim; nil at the end of the stream,
// whatever that is like.
func (a *attack) hear() saga.Message {
	a.Helper()
	size, err := binary.ReadUvarint(a.in)
	if err != nil {
		return nil
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(a.in, b); err != nil {
		return nil
	}
	m, err := protocol.Decode(b)
	if err != nil {
		a.Fatalf("the victim sent %x: %v", b, err)
	}
	return m
}

// next returns the next message of a kind.
func next[M saga.Message](a *attack) M {
	a.Helper()
	for {
		switch m := a.hear().(type) {
		case M:
			return m
		case nil:
			a.Fatal("the victim has ended the stream")
		case *saga.Error:
			a.Fatalf("the victim has ended the saga: %v", m)
		}
	}
}

// verdict reads to the end of the stream, and returns the error that the victim
// sent, if any.
func (a *attack) verdict() error {
	a.Helper()
	for {
		switch m := a.hear().(type) {
		case nil:
			return nil
		case *saga.Error:
			if m.ID != (saga.ID{}) && m.ID != a.id {
				a.Errorf("the error is that of saga %s", m.ID)
			}
			return m
		}
	}
}

// init is a good first message.
func (a *attack) init() *saga.Init {
	return &saga.Init{
		ID: a.id, Fingerprint: [32]byte{1}, Count: 1, Entries: []timeline.Entry{a.entry}, Complete: true, Credit: saga.InitialCredit,
	}
}

// open sends an init and hears the acks.
func (a *attack) open(init *saga.Init) {
	a.Helper()
	a.say(init)
	for next[*saga.Ack](a).More {
	}
}

// delta is one of this saga.
func (a *attack) delta(d saga.Delta) *saga.Delta {
	d.ID = a.id
	return &d
}

// asked offers all blocks and hears that they are lacking.
func (a *attack) asked() {
	a.Helper()
	a.say(a.delta(saga.Delta{Offers: a.offers}))
	for next[*saga.Delta](a).Answer == nil {
	}
}

// full are blocks as payload.
func full(gs ...ibgib.IbGib) []saga.Item {
	list := make([]saga.Item, len(gs))
	for i, g := range gs {
		list[i] = saga.Item{Form: saga.FormFull, Bytes: g.Stored()}
	}
	return list
}

// hashes are those of nothing, ascending.
func hashes(n int) []ibgib.Hash {
	list := make([]ibgib.Hash, n)
	for i := range list {
		binary.BigEndian.PutUint32(list[i][:], uint32(i))
		list[i][31] = 1
	}
	return list
}

// sorted puts entries in order.
func sorted(entries ...timeline.Entry) []timeline.Entry {
	slices.SortFunc(entries, func(a, b timeline.Entry) int { return bytes.Compare(a.Root[:], b.Root[:]) })
	return entries
}
