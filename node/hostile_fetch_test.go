package node

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// liar is a provider that answers a question as it likes. It ends the stream when
// answer returns false.
type liar struct {
	mu     sync.Mutex                 // guards what follows
	blocks map[ibgib.Hash]ibgib.IbGib // the true ones
	answer func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool
}

// provide starts the liar, and returns how to reach it.
func (l *liar) provide(t *testing.T) peer.AddrInfo {
	t.Helper()
	h := newPeer(t)
	h.SetStreamHandler(protocol.FetchID, func(s network.Stream) {
		defer s.Reset()
		in := bufio.NewReader(s)
		for {
			size, err := binary.ReadUvarint(in)
			if err != nil || size > protocol.MaxHello {
				return
			}
			frame := make([]byte, size)
			if _, err := io.ReadFull(in, frame); err != nil {
				return
			}
			m, err := protocol.Decode(frame)
			ask, is := m.(*protocol.Fetch)
			if err != nil || !is {
				return
			}
			send := func(m saga.Message) {
				out, err := protocol.Encode(m)
				if err != nil {
					t.Error(err)
				}
				_, _ = s.Write(append(binary.AppendUvarint(nil, uint64(len(out))), out...)) // who is gone needs none
			}
			l.mu.Lock()
			now := &liar{blocks: l.blocks, answer: l.answer}
			l.mu.Unlock()
			if !now.answer(now, ask, send) {
				return
			}
		}
	})
	return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}
}

// whole is a block as it is sent.
func whole(g ibgib.IbGib) saga.Item { return saga.Item{Form: saga.FormFull, Bytes: g.Stored()} }

// truth is an honest answer of at most most blocks.
func (l *liar) truth(ask *protocol.Fetch, most int) *protocol.Fetched {
	m := new(protocol.Fetched)
	for _, h := range ask.Wants {
		g, ok := l.blocks[h]
		switch {
		case !ok:
			m.Absent = append(m.Absent, h)
		case len(m.Items) < most:
			m.Items = append(m.Items, whole(g))
		}
	}
	return m
}

// junk makes a well-formed ibGib that nobody asked for.
func junk(i int) ibgib.IbGib {
	g, err := ibgib.New("junk", ibgib.Number(float64(i)), nil)
	if err != nil {
		panic(err)
	}
	return g
}

// lies are what providers do that keep to no rule: the mark that they get for it.
var lies = []struct {
	name   string
	mark   string
	answer func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool
}{
	{"other bytes", MarkLied, func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		send(&protocol.Fetched{Items: []saga.Item{whole(junk(0))}})
		return true
	}},
	{"bytes that are no ibGib", MarkLied, func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		send(&protocol.Fetched{Items: []saga.Item{{Form: saga.FormFull, Bytes: []byte("{}")}}})
		return true
	}},
	{"the right block twice", MarkLied, func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		g := l.blocks[ask.Wants[0]]
		send(&protocol.Fetched{Items: []saga.Item{whole(g), whole(g)}})
		return true
	}},
	{"more than was asked for", MarkLied, func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		m := l.truth(ask, 1)
		for i := range 100 {
			m.Items = append(m.Items, whole(junk(i)))
		}
		send(m)
		return true
	}},
	{"absence of what was not asked for", MarkLied, func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		send(&protocol.Fetched{Absent: []ibgib.Hash{junk(0).Hash()}})
		return true
	}},
	{"empty answers", MarkLied, func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		for range 10 {
			send(new(protocol.Fetched))
		}
		return true
	}},
	{"hints and nothing else", MarkLied, func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		send(&protocol.Fetched{Ahead: []ibgib.Hash{junk(1).Hash()}})
		return true
	}},
	{"endless data", MarkLied, func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		piece := make([]byte, saga.MaxItem)
		for at := 0; at < saga.MaxTotal; at += len(piece) {
			piece = piece[:min(len(piece), saga.MaxTotal-at)]
			send(&protocol.Fetched{Items: []saga.Item{{Form: saga.FormChunk, Bytes: piece, Hash: ask.Wants[0], Offset: uint64(at), Total: saga.MaxTotal}}})
		}
		return true
	}},
	{"chunks that begin in the middle", MarkLied, func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		send(&protocol.Fetched{Items: []saga.Item{{Form: saga.FormChunk, Bytes: []byte("x"), Hash: ask.Wants[0], Offset: 1 << 20, Total: 1<<20 + 1}}})
		return true
	}},
	{"another message", MarkLied, func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		send(&saga.Working{ID: saga.ID{1}})
		return true
	}},
	{"silence", MarkFailed, func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool { return true }},
	{"half a closure", MarkFailed, func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		if ask.Wants[0] != ask.Target {
			send(&protocol.Fetched{Absent: ask.Wants})
			return true
		}
		send(l.truth(ask, 1))
		return true
	}},
	{"an error with a text", "", func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		send(&saga.Error{Code: saga.CodeProtocol, Text: "you \x1b[31m lie"})
		return true
	}},
	{"hanging up", "", func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool { return false }},
}

// blocksOf returns the closure of an address.
func blocksOf(t *testing.T, n *Node, addr ibgib.Addr) map[ibgib.Hash]ibgib.IbGib {
	t.Helper()
	blocks := make(map[ibgib.Hash]ibgib.IbGib)
	todo := []ibgib.Addr{addr}
	for len(todo) > 0 {
		addr := todo[0]
		todo = todo[1:]
		h, ok := addr.Hash()
		if _, known := blocks[h]; known || !ok {
			continue
		}
		g, err := n.store.Get(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		blocks[h] = g
		for _, to := range g.Links() {
			todo = append(todo, to)
		}
	}
	return blocks
}

// A provider that lies costs bounded time, is marked, and the fetch completes from
// another one; the next one leaves it out.
func TestHostileProviders(t *testing.T) {
	a, _, frames, at := archive(t, 30)
	target := frames[29]
	blocks := blocksOf(t, a, target)
	for _, lie := range lies {
		t.Run(lie.name, func(t *testing.T) {
			l := &liar{blocks: blocks, answer: lie.answer}
			info := l.provide(t)
			from := info.Addrs[0].String() + "/p2p/" + info.ID.String()
			b := openHere(t)
			b.wire.IdleTimeout = 500 * time.Millisecond
			if err := b.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			res, err := b.Fetch(ctx, target, FetchOptions{From: []string{from}}, nil)
			if err == nil || res.Moved || len(res.Sources) != 1 || res.Sources[0].Mark != lie.mark || ctx.Err() != nil {
				t.Errorf("alone: %+v, %v; want mark %q", res, err, lie.mark)
			}
			if mark := b.marks.of(info.ID); lie.mark == "" && mark != nil || lie.mark != "" && (mark == nil || mark.Kind != lie.mark || mark.Detail == "") {
				t.Errorf("marked %+v, want %q", mark, lie.mark)
			}
			if res, err = b.Fetch(ctx, target, FetchOptions{From: []string{from, at}}, nil); err != nil {
				t.Fatalf("beside another one: %+v, %v", res, err)
			}
			isSound(t, b, target)

			// What it is like when nobody is named, and both are connected.
			for _, p := range []string{from, at} {
				if _, err := b.Trust(ctx, p); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "they are connected", func() bool {
				return isLinked(b.host, info.ID) && isLinked(b.host, a.PeerID())
			})
			next, err := a.Mut8(ctx, target, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "for", Value: ibgib.String(lie.name)})})
			if err != nil {
				t.Fatal(err)
			}
			l.mu.Lock()
			l.blocks, l.answer = nil, func(*liar, *protocol.Fetch, func(saga.Message)) bool {
				if lie.mark == MarkLied {
					t.Error("who has lied was asked again")
				}
				return false
			}
			l.mu.Unlock()
			if res, err := b.Fetch(ctx, next.Addr, FetchOptions{}, nil); err != nil {
				t.Fatalf("when nobody is named: %+v, %v", res, err)
			}
			isSound(t, b, next.Addr)
		})
	}
}

// Hints that lead nowhere cost no more than some questions, and the fetch goes on.
func TestHostileHints(t *testing.T) {
	a, _, frames, _ := archive(t, 700)
	target := frames[699]
	made := 0
	l := &liar{blocks: blocksOf(t, a, target), answer: func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		for _, h := range ask.Wants {
			if _, ok := l.blocks[h]; !ok { // a hint: more and more of what nobody needs
				made++
			}
		}
		m := l.truth(ask, protocol.MaxFetchWants)
		if ask.Ahead {
			for i := range protocol.MaxAhead {
				m.Ahead = append(m.Ahead, junk(made*1000+i).Hash())
			}
		}
		send(m)
		return true
	}}
	info := l.provide(t)
	b := reader(t)
	mustFetch(t, b, target, info.Addrs[0].String()+"/p2p/"+info.ID.String())
	isSound(t, b, target)
}

// A provider that gives one block at a time, slowly, does not hold up the others.
func TestHostileDrip(t *testing.T) {
	a, _, frames, at := archive(t, 200)
	target := frames[199]
	served := make(chan struct{})
	l := &liar{blocks: blocksOf(t, a, target), answer: func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		if ask.Wants[0] != ask.Target {
			<-served
		}
		send(l.truth(ask, 1))
		return true
	}}
	info := l.provide(t)
	t.Cleanup(func() { close(served) })
	b := reader(t)
	begun := time.Now()
	res := mustFetch(t, b, target, info.Addrs[0].String()+"/p2p/"+info.ID.String(), at)
	if took := time.Since(begun); took > patience/2 {
		t.Errorf("it took %s: %+v", took, res)
	}
	isSound(t, b, target)
}

// Many providers fill the disk no more than one.
func TestHostileProvidersShareABudget(t *testing.T) {
	a, tjp, _, _ := archive(t, 0)
	last := tjp
	for i := range 40 {
		c, err := a.Mut8(t.Context(), tjp, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "m", Value: ibgib.String(strings.Repeat(fmt.Sprint(i%10), 50<<10))})})
		if err != nil {
			t.Fatal(err)
		}
		last = c.Addr
	}
	blocks := blocksOf(t, a, last)
	root, _ := tjp.Hash()
	delete(blocks, root) // so that it is never whole
	const budget = 400 << 10
	b, err := Open(Config{Data: t.TempDir(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Live: Live{Off: true}, Limits: Limits{PeerDisk: budget}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	var from []string
	for range 8 {
		l := &liar{blocks: blocks, answer: func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
			send(l.truth(ask, 4))
			return true
		}}
		info := l.provide(t)
		from = append(from, info.Addrs[0].String()+"/p2p/"+info.ID.String())
	}
	for range 3 { // nor do many fetches
		res, err := fetchFrom(t, b, last, from...)
		if full, is := errors.AsType[*blockstore.PeerBudgetError](err); !is || !full.Fetched || res.Moved {
			t.Errorf("%+v, %v", res, err)
		}
		for _, s := range res.Sources {
			if s.Mark != "" {
				t.Errorf("a budget is the fault of %+v", s)
			}
		}
	}
	if loose := b.store.LooseFetched(); loose < budget/2 || loose > budget+64<<10 {
		t.Errorf("%d bytes count, the budget is %d", loose, budget)
	}
}

// What has come before a cut does not come again.
func TestFetchResumes(t *testing.T) {
	a, _, frames, at := archive(t, 300)
	target := frames[299]
	answers := 0
	l := &liar{blocks: blocksOf(t, a, target), answer: func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
		answers++
		if answers > 3 {
			return false
		}
		m := l.truth(ask, 100)
		for h := range l.blocks { // so that it is asked for many at once
			if m.Ahead = append(m.Ahead, h); len(m.Ahead) == protocol.MaxAhead {
				break
			}
		}
		send(m)
		return true
	}}
	info := l.provide(t)
	dir := t.TempDir()
	b, err := Open(Config{Data: dir, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Live: Live{Off: true}})
	if err != nil {
		t.Fatal(err)
	}
	cut, err := fetchFrom(t, b, target, info.Addrs[0].String()+"/p2p/"+info.ID.String())
	if code(err) != saga.CodeUnreachable || cut.IbGibs == 0 || cut.Moved {
		t.Fatalf("cut: %+v, %v", cut, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err = Open(Config{Data: dir, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Live: Live{Off: true}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	res := mustFetch(t, b, target, at)
	if cut.IbGibs+res.IbGibs != len(l.blocks) {
		t.Errorf("%d came before the cut and %d after it, of %d", cut.IbGibs, res.IbGibs, len(l.blocks))
	}
	isSound(t, b, target)
	if loose := b.store.Loose(info.ID.String()); loose > 8<<10 {
		t.Errorf("%d bytes count against the first peer still", loose)
	}
}

// Trusted peers that do not have what is fetched are asked first, and keep nobody out,
// however many they are.
func TestFetchBesideManyTrustedPeers(t *testing.T) {
	_, way := bootstrapNode(t)
	a, b := wideNode(t, t.TempDir(), Mesh{Secret: meshSecret}, way), wideNode(t, t.TempDir(), Mesh{Secret: otherSecret}, way)
	tjp := writeNote(t, a, "far")
	if _, err := a.Provide(t.Context(), tjp); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b finds a", func() bool {
		list, err := b.Find(t.Context(), tjp)
		return err == nil && len(list) == 1
	})
	const many = 70
	var asked atomic.Int32
	for range many {
		l := &liar{answer: func(l *liar, ask *protocol.Fetch, send func(saga.Message)) bool {
			asked.Add(1)
			send(&protocol.Fetched{Absent: ask.Wants})
			return true
		}}
		info := l.provide(t)
		if _, err := b.trust.admit(info.ID, "test"); err != nil {
			t.Fatal(err)
		}
		if err := b.host.Connect(t.Context(), info); err != nil {
			t.Fatal(err)
		}
	}
	res, err := b.Fetch(t.Context(), tjp, FetchOptions{}, nil)
	// Who has it may be found and asked while the last of the others wait for a place.
	if err != nil || res.IbGibs == 0 || asked.Load() <= many-maxFetchSources {
		t.Errorf("%d trusted peers were asked; %+v, %v", asked.Load(), res, err)
	}
}
