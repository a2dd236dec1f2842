package node

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// The hostile suite: peers that keep to no rule talk to a real node, with a real
// store, over real connections, as initiators and as responders, trusted and not.
// Each case says what the node answers. After each the store holds nothing new but
// what an honest node brought meanwhile, whose saga has converged, and live heap
// and CPU time of all of them together have kept within bounds. The tables are in
// the files hostile_*_test.go; package saga has one for the machine alone.

// patience bounds what a hostile case waits for and expects to happen soon.
const patience = time.Minute

// arena is a node under attack, who attacks it, and an honest node.
type arena struct {
	victim *Node
	at     peer.AddrInfo // of the victim

	evil, stranger host.Host // the victim trusts the first

	friend *Node      // keeps in step with the victim
	note   ibgib.Addr // a timeline that the friend changes before each of its syncs
	own    timeline.Entry

	personas personas
	meets    sync.Mutex // one attacker meets the victim at a time, which may have little patience

	heard *hearing // all that attackers have got of the victim; nil: nobody minds

	cases   int
	idle    int64 // live heap before all cases
	worst   cost
	worstOf [2]string // the cases with the worst heap and CPU time
}

func newArena(t *testing.T, change func(*Node)) *arena {
	t.Helper()
	r := &arena{victim: openHere(t), friend: openHere(t), evil: newPeer(t), stranger: newPeer(t)}
	change(r.victim)
	for _, n := range []*Node{r.victim, r.friend} {
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	at, err := peer.AddrInfoFromString(r.victim.Identity().Addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	r.at = *at
	for _, trust := range []struct {
		who  *Node
		whom peer.ID
	}{{r.victim, r.evil.ID()}, {r.victim, r.friend.PeerID()}, {r.friend, r.victim.PeerID()}} {
		if _, err := trust.who.Trust(t.Context(), trust.whom.String()); err != nil {
			t.Fatal(err)
		}
	}
	made, err := r.victim.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "own"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if made, err = r.victim.Mut8(t.Context(), made.Tjp, ibgib.Mut8Options{
			Patch: ibgib.Object(ibgib.Member{Name: "from", Value: ibgib.String(made.Addr.String())}),
		}); err != nil {
			t.Fatal(err)
		}
	}
	root, _ := made.Tjp.Hash()
	head, _ := made.Addr.Hash()
	r.own = timeline.Entry{Root: root, Heads: []ibgib.Hash{head}}
	if made, err = r.friend.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "note"}); err != nil {
		t.Fatal(err)
	}
	r.note = made.Tjp
	r.honest(t)
	runtime.GC()
	r.idle = liveHeap()
	return r
}

// hearing keeps what several attackers hear; a nil one keeps nothing.
type hearing struct {
	mu  sync.Mutex
	got bytes.Buffer
}

func (h *hearing) Write(b []byte) (int, error) {
	if h == nil {
		return len(b), nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.got.Write(b)
}

func openHere(t testing.TB) *Node {
	t.Helper()
	n, err := Open(Config{Data: t.TempDir(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Live: Live{Off: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func newPeer(t *testing.T) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// honest changes the friend's timeline and lets the friend sync with the victim.
func (r *arena) honest(t *testing.T) {
	t.Helper()
	if _, err := r.friend.Mut8(t.Context(), r.note, ibgib.Mut8Options{
		Patch: ibgib.Object(ibgib.Member{Name: "during", Value: ibgib.String(t.Name())}),
	}); err != nil {
		t.Error(err)
		return
	}
	res, err := r.friend.Sync(t.Context(), r.victim.Identity().Addrs[0], nil)
	if err != nil || !res.Converged || res.Sent.IbGibs == 0 {
		t.Errorf("an honest saga beside it: %+v, %v", res, err)
	}
}

// hostileCase is one attack.
type hostileCase struct {
	name string
	// want is what the victim answers, and how its own sync fails; 0 that it ends the
	// stream without a word.
	want saga.Code
	// ends says that the saga comes to a good end: the attack did nothing that the
	// victim can see, or nothing that matters.
	ends  bool
	keeps []int // of the blocks of the attack, those that were asked for and good
	// commits says that what came is whole before the attack, so that the victim may have
	// committed it by then.
	commits bool
	attack  func(a *attack)
}

// respond runs a case in which from opens a stream to the victim.
func (r *arena) respond(t *testing.T, from host.Host, c hostileCase) {
	t.Run(c.name, func(t *testing.T) {
		a := r.newAttack(t)
		a.by = from
		r.judge(a, c, a.talk)
	})
}

// answer runs a case in which the victim begins a saga with the attacker. The
// attack begins when the init has come.
func (r *arena) answer(t *testing.T, c hostileCase) {
	t.Run(c.name, func(t *testing.T) {
		a := r.newAttack(t)
		a.by = r.evil
		r.judge(a, c, a.talkBack)
	})
}

// judge runs an attack by a way to talk, with an honest saga beside it, and checks what came of it.
func (r *arena) judge(a *attack, c hostileCase, talk func(func(a *attack)) error) {
	before := r.contents(a.T)
	meter := startMeter()
	honest := make(chan struct{})
	go func() {
		defer close(honest)
		r.honest(a.T)
	}()
	defer func() { <-honest }() // also after Fatal
	err := talk(c.attack)
	<-honest
	r.left(a.T, a.by.ID())
	r.charge(a.T, meter.stop(r.idle))
	switch {
	case c.ends && err != nil:
		a.Errorf("the saga ended with %v", err)
	case !c.ends && codeOf(err) != c.want:
		a.Errorf("the saga ended with %v, want code %s", err, c.want)
	}
	r.unchanged(a, before, c)
}

// codeOf returns the code of a saga error, 0 if it is none.
func codeOf(err error) saga.Code {
	var e *saga.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// left waits until the victim runs no saga with a peer any more.
func (r *arena) left(t *testing.T, p peer.ID) {
	t.Helper()
	limit := time.After(patience)
	for {
		r.victim.sagas.mu.Lock()
		var running *place
		for key, place := range r.victim.sagas.running {
			if key.peer == p {
				running = place
			}
		}
		r.victim.sagas.mu.Unlock()
		if running == nil {
			return
		}
		select {
		case <-running.ended:
		case <-limit:
			t.Fatal("the victim's saga goes on")
		}
	}
}

// contents is what a node's default share holds.
type contents struct {
	members map[ibgib.Addr]bool
	heads   map[ibgib.Addr][]ibgib.Addr // by tjp
}

func (r *arena) contents(t *testing.T) contents { return contentsOf(t, r.victim) }

func contentsOf(t *testing.T, n *Node) contents {
	t.Helper()
	c := contents{make(map[ibgib.Addr]bool), make(map[ibgib.Addr][]ibgib.Addr)}
	for a, err := range n.view.Members(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		c.members[a] = true
	}
	for e, err := range n.view.Entries(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		c.heads[e.Root] = e.Heads
	}
	return c
}

// unchanged checks that the victim holds what it held, what the friend has
// brought, and what it may keep of an attack; and heads only of the first two.
func (r *arena) unchanged(a *attack, before contents, c hostileCase) {
	a.Helper()
	friend, after := contentsOf(a.T, r.friend), r.contents(a.T)
	kept := make(map[ibgib.Addr]bool)
	for _, i := range c.keeps {
		if i < len(a.blocks) {
			kept[a.blocks[i].Addr()] = true
		}
	}
	for addr := range after.members {
		if !before.members[addr] && !friend.members[addr] && !kept[addr] {
			a.Errorf("%s was stored", addr)
		}
	}
	for addr := range before.members {
		if !after.members[addr] {
			a.Errorf("%s is gone", addr)
		}
	}
	for root, heads := range after.heads {
		if hash, _ := root.Hash(); c.commits && hash == a.entry.Root {
			continue
		}
		if !slices.Equal(heads, before.heads[root]) && root != r.note {
			a.Errorf("%s has got the heads %v", root, heads)
		}
	}
	if !slices.Equal(after.heads[r.note], friend.heads[r.note]) {
		a.Errorf("the honest timeline has the heads %v, want %v", after.heads[r.note], friend.heads[r.note])
	}
}

func TestHostilePeers(t *testing.T) {
	r := newArena(t, func(*Node) {})
	r.wireCases(t)
	r.responderCases(t)
	r.initiatorCases(t)

	report, err := r.victim.Verify(t.Context(), nil)
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("verify: %+v, %v", report, err)
	}
	t.Logf("%d cases; most heap: %d KiB over that of idle nodes (%s); most CPU time: %v (%s)",
		r.cases, r.worst.heap>>10, r.worstOf[0], r.worst.cpu.Round(time.Millisecond), r.worstOf[1])
}
