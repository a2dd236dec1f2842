package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
)

// patience bounds what a test waits for and expects to happen soon.
const patience = time.Minute

// logOf keeps the end of the log of a node, to show it when the test fails.
type logOf struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logOf) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("badger: ")) {
		return len(p), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() > 1<<20 {
		l.buf.Next(l.buf.Len() / 2)
	}
	return l.buf.Write(p)
}

func (l *logOf) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// liveNode opens and starts a node that keeps in step with its peers.
func liveNode(t testing.TB, dir string) *node.Node {
	t.Helper()
	n, _ := liveNodeLog(t, dir)
	return n
}

func liveNodeLog(t testing.TB, dir string) (*node.Node, *logOf) {
	t.Helper()
	l := &logOf{}
	n, err := node.Open(node.Config{
		Data: dir, Listen: []string{overTCP},
		Log: slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", n.PeerID(), l.text())
		}
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n, l
}

func liveNodes(t *testing.T, count int) []*node.Node {
	t.Helper()
	nodes := make([]*node.Node, count)
	for i := range nodes {
		nodes[i] = liveNode(t, t.TempDir())
		for _, other := range nodes[:i] {
			pair(t, nodes[i], other)
		}
	}
	return nodes
}

func connect(t testing.TB, from, to *node.Node) {
	t.Helper()
	if err := from.Connect(t.Context(), addrOf(t, to)); err != nil {
		t.Fatal(err)
	}
}

// follow subscribes to events of a node.
func follow(t testing.TB, n *node.Node, kinds ...node.EventKind) *node.Subscription {
	t.Helper()
	s, err := n.Subscribe(t.Context(), node.EventOptions{Kinds: kinds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if e := next(t, s); e.Kind != node.EventReady || e.ID == "" {
		t.Fatalf("first event %+v", e)
	}
	return s
}

func next(t testing.TB, s *node.Subscription) node.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	e, err := s.Next(ctx)
	if err != nil {
		t.Fatalf("no event: %v", err)
	}
	return e
}

// until returns the first event that is wanted.
func until(t testing.TB, s *node.Subscription, wanted func(node.Event) bool) node.Event {
	t.Helper()
	for {
		if e := next(t, s); wanted(e) {
			return e
		}
	}
}

// isLatest tells of an event that shows a frame as the latest of its timeline.
func isLatest(a ibgib.Addr) func(node.Event) bool {
	return func(e node.Event) bool { return e.Kind == node.EventHeads && e.Heads.Latest == a }
}

// ended tells of the end of a saga that moved something or not.
func ended(equal bool) func(node.Event) bool {
	return func(e node.Event) bool {
		return e.Kind == node.EventSaga && e.Saga.State == node.SagaEnded && e.Saga.Outcome.Error == "" && e.Saga.Outcome.Equal == equal
	}
}

// inStep connects nodes and waits until each has had its saga about everything with
// each other one.
func inStep(t testing.TB, nodes []*node.Node) {
	t.Helper()
	sagas := make([]*node.Subscription, len(nodes))
	for i, n := range nodes {
		sagas[i] = follow(t, n, node.EventSaga)
	}
	for i, n := range nodes {
		for _, other := range nodes[:i] {
			connect(t, n, other)
		}
	}
	for _, s := range sagas {
		with := make(map[string]bool)
		for len(with) < len(nodes)-1 {
			with[until(t, s, ended(true)).Saga.Peer] = true
		}
	}
}

func begin(t testing.TB, n *node.Node, ib string) ibgib.Addr {
	t.Helper()
	return create(t, n, ibgib.FirstGenOptions{Ib: ib}).Addr
}

func mut8(t *testing.T, n *node.Node, addr ibgib.Addr, text string) ibgib.Addr {
	t.Helper()
	change, err := n.Mut8(t.Context(), addr, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "text", Value: ibgib.String(text)})})
	if err != nil {
		t.Fatal(err)
	}
	return change.Addr
}

// What is written on one node appears on the other, both ways.
func TestLive(t *testing.T) {
	nodes := liveNodes(t, 2)
	a, b := nodes[0], nodes[1]
	early := begin(t, a, "early")
	onA, onB := follow(t, a, node.EventHeads), follow(t, b, node.EventHeads)

	// On connect, everything.
	connect(t, b, a)
	e := until(t, onB, isLatest(early))
	if e.Heads.From != a.PeerID().String() || e.ID == "" || e.Time.IsZero() {
		t.Errorf("event %+v", e)
	}
	// A change, there and back.
	at := mut8(t, b, early, "from b")
	until(t, onB, isLatest(at))
	until(t, onA, isLatest(at))
	at = mut8(t, a, early, "from a")
	if e := until(t, onA, isLatest(at)); e.Heads.From != "" {
		t.Errorf("a local change comes from %s", e.Heads.From)
	}
	until(t, onB, isLatest(at))
	// A stone too.
	stone, err := a.Stone(t.Context(), ibgib.StoneOptions{Ib: "stone", Parent: "stone"})
	if err != nil {
		t.Fatal(err)
	}
	if e := until(t, onB, isLatest(stone.Addr)); !e.Heads.Stone {
		t.Errorf("event %+v", e)
	}
	// Both at once: a conflict, on both.
	conflicts := []*node.Subscription{follow(t, a, node.EventConflict), follow(t, b, node.EventConflict)}
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { mut8(t, n, early, fmt.Sprint("at once ", i)) })
	}
	wg.Wait()
	diverged := false
	for tjp, heads := range headsOf(t, a) {
		diverged = diverged || tjp == early.String() && len(heads) > 1
	}
	if diverged {
		for _, s := range conflicts {
			if e := next(t, s); e.Kind != node.EventConflict || len(e.Heads.Heads) != 2 {
				t.Errorf("event %+v", e)
			}
		}
	}
	for _, n := range nodes {
		mustVerify(t, n)
	}
}

// In a mesh of five a change is one saga for each node that lacks it.
func TestLiveMesh(t *testing.T) {
	nodes := liveNodes(t, 5)
	inStep(t, nodes)
	heads := make([]*node.Subscription, len(nodes))
	sagas := make([]*node.Subscription, len(nodes))
	for i, n := range nodes {
		heads[i], sagas[i] = follow(t, n, node.EventHeads), follow(t, n, node.EventSaga)
	}
	const changes = 5
	begun := 0
	for i := range changes {
		at := begin(t, nodes[i], fmt.Sprint("note ", i))
		for _, s := range heads {
			until(t, s, isLatest(at))
		}
	}
	// What each node has done is over when it has synced with each other one by hand.
	byHand := make(map[string]bool)
	for i, n := range nodes {
		for _, other := range nodes[:i] {
			r, err := n.Sync(t.Context(), other.PeerID().String(), nil)
			if err != nil {
				t.Fatal(err)
			}
			byHand[r.SagaID] = true
		}
	}
	for _, s := range sagas {
		left := len(nodes) - 1
		for left > 0 {
			e := next(t, s)
			if e.Kind != node.EventSaga {
				t.Fatalf("event %+v", e)
			}
			if e.Saga.State == node.SagaEnded && byHand[e.Saga.SagaID] {
				left--
			}
			if e.Saga.State == node.SagaBegun && e.Saga.Timelines > 0 && e.Saga.Role == saga.Initiator.String() {
				begun++
			}
		}
	}
	// One or another may have come with a saga about everything, as nodes begin them when
	// they have connected.
	if most := changes * len(nodes); begun == 0 || begun > most {
		t.Errorf("%d sagas for %d changes among %d nodes, want at most %d", begun, changes, len(nodes), most)
	}
	want := headsOf(t, nodes[0])
	for _, n := range nodes[1:] {
		if !reflect.DeepEqual(headsOf(t, n), want) {
			t.Error("heads differ")
		}
	}
}

// What was written while a node was away reaches it when it is back, and what it
// wrote the others.
func TestLiveRestart(t *testing.T) {
	nodes := liveNodes(t, 2)
	a := nodes[0]
	dir := nodes[1].DataDir()
	inStep(t, nodes)
	note := begin(t, a, "note")
	until(t, follow(t, a, node.EventSaga), ended(false))
	peers := follow(t, a, node.EventPeer)
	if err := nodes[1].Close(); err != nil {
		t.Fatal(err)
	}
	until(t, peers, func(e node.Event) bool { return e.Peer.Change == node.PeerDisconnected && !e.Peer.Connected })
	away := mut8(t, a, note, "while b is away")

	b := liveNode(t, dir)
	there := begin(t, b, "there")
	onA, onB := follow(t, a, node.EventHeads), follow(t, b, node.EventHeads)
	connect(t, b, a)
	until(t, onB, isLatest(away))
	until(t, onA, isLatest(there))
}

// A connection that breaks is no loss: after the next one all is there.
func TestLiveCut(t *testing.T) {
	for how := range breakages {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			nodes := liveNodes(t, 2)
			a, b := nodes[0], nodes[1]
			onB := follow(t, b, node.EventHeads)
			peers := follow(t, b, node.EventPeer)
			note := begin(t, a, "note")
			p, through := newProxy(t, addrOf(t, a), &cut{how: how, after: 20_000, hold: time.Second})
			if err := b.Connect(t.Context(), through); err != nil {
				t.Fatal(err)
			}
			// More than passes before the connection breaks.
			for i := range 100 {
				note = mut8(t, a, note, fmt.Sprint("change ", i))
			}
			select {
			case <-p.struck:
			case <-time.After(patience):
				t.Fatal("the connection did not break")
			}
			until(t, peers, func(e node.Event) bool { return e.Peer.Change == node.PeerDisconnected })
			connect(t, b, a)
			until(t, onB, isLatest(note))
			// What the break has left wanting is wanted no more.
			if _, err := b.Sync(t.Context(), a.PeerID().String(), nil); err != nil {
				t.Fatal(err)
			}
			if wants := b.Wants(); len(wants) > 0 {
				t.Errorf("wants %+v", wants)
			}
		})
	}
}

// Nothing passes without trust, and everything as soon as there is some.
func TestLiveTrust(t *testing.T) {
	a, b := liveNode(t, t.TempDir()), liveNode(t, t.TempDir())
	secret := begin(t, a, "secret")
	onA, onB := follow(t, a, node.EventPeer), follow(t, b)
	connect(t, b, a)
	if _, err := b.Trust(t.Context(), a.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	// b asks and is refused.
	until(t, onA, func(e node.Event) bool {
		return e.Peer.Change == node.PeerPending && e.Peer.PeerID == b.PeerID().String() && !e.Peer.Trusted
	})
	until(t, onB, func(e node.Event) bool {
		return e.Kind == node.EventPeer && e.Peer.Change == node.PeerTrusted && e.Peer.Connected
	})
	until(t, onB, func(e node.Event) bool {
		return e.Kind == node.EventSaga && e.Saga.State == node.SagaEnded && e.Saga.Outcome.Error != ""
	})
	if len(headsOf(t, b)) > 0 {
		t.Error("a stranger got something")
	}
	if _, err := a.Trust(t.Context(), b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	until(t, onB, isLatest(secret))

	// Trust that was withdrawn ends it.
	if err := a.Untrust(t.Context(), b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	until(t, onA, func(e node.Event) bool { return e.Peer.Change == node.PeerUntrusted && !e.Peer.Trusted })
	later := begin(t, a, "later")
	if _, err := b.Sync(t.Context(), a.PeerID().String(), nil); err == nil {
		t.Error("a sync after trust was withdrawn")
	}
	if _, err := b.Get(t.Context(), later); err == nil {
		t.Error("a change reached a peer that is not trusted any more")
	}
}

// A burst of changes ends in few sagas.
func TestLiveBurst(t *testing.T) {
	nodes := liveNodes(t, 2)
	a, b := nodes[0], nodes[1]
	inStep(t, nodes)
	onB, sagas := follow(t, b, node.EventHeads), follow(t, b, node.EventSaga)
	began := time.Now()
	note := begin(t, a, "note")
	for i := range 500 {
		note = mut8(t, a, note, fmt.Sprint("change ", i))
	}
	until(t, onB, isLatest(note))
	took := time.Since(began)
	if _, err := b.Sync(t.Context(), a.PeerID().String(), nil); err != nil {
		t.Fatal(err)
	}
	count := 0
	for {
		e := next(t, sagas)
		if e.Kind == node.EventMissed {
			t.Fatal("too many events")
		}
		if e.Saga.State == node.SagaEnded && e.Saga.Timelines == 0 {
			break
		}
		if e.Saga.State == node.SagaBegun && e.Saga.Timelines > 0 {
			count++
		}
	}
	if most := 15 + 5*int(took.Seconds()+1); count > most {
		t.Errorf("%d sagas for 500 changes in %s, want at most %d", count, took, most)
	}
}

// A node that is told not to does nothing by itself, but others may.
func TestLiveOff(t *testing.T) {
	a, b := liveNode(t, t.TempDir()), startNode(t, overTCP)
	pair(t, a, b)
	onA := follow(t, a, node.EventHeads)
	connect(t, a, b)
	first := begin(t, a, "first")
	if _, err := b.Sync(t.Context(), a.PeerID().String(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), first); err != nil {
		t.Error(err)
	}
	second := begin(t, b, "second")
	if _, err := a.Sync(t.Context(), b.PeerID().String(), nil); err != nil {
		t.Fatal(err)
	}
	until(t, onA, isLatest(second))
}

func TestConnect(t *testing.T) {
	a := startNode(t, overTCP)
	if err := openNode(t).Connect(t.Context(), addrOf(t, a)); !errors.Is(err, node.ErrNotStarted) {
		t.Errorf("without a start: %v", err)
	}
	if err := a.Connect(t.Context(), "nowhere"); !errors.Is(err, node.ErrInput) {
		t.Errorf("without an address: %v", err)
	}
	b := startNode(t, overTCP)
	gone := addrOf(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, a.Connect(t.Context(), gone), saga.CodeUnreachable, false)
}

// Close ends what a node does by itself.
func TestLiveCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("live", func(t *testing.T) {
		nodes := liveNodes(t, 3)
		inStep(t, nodes)
		for i := range 20 {
			begin(t, nodes[i%3], "note")
		}
	})
	waitForGoroutines(t, before)
}

// One change among more nodes than are told at once takes one saga for each node that
// lacks it, and none of the nodes takes part in nearly all of them.
func TestChangeAmongManyNodes(t *testing.T) {
	const count = 11
	nodes := liveNodes(t, count)
	inStep(t, nodes)
	events := make([]*node.Subscription, count)
	for i, n := range nodes {
		events[i] = follow(t, n, node.EventHeads, node.EventSaga)
	}
	note := begin(t, nodes[3], "note")
	sagas, total := make([]int, count), 0
	about := func(i int, e node.Event) bool {
		if e.Kind == node.EventSaga && e.Saga.State == node.SagaBegun && e.Saga.Timelines > 0 {
			sagas[i]++
			total++
		}
		return false
	}
	for i, s := range events {
		until(t, s, func(e node.Event) bool { return about(i, e) || isLatest(note)(e) })
	}
	// What came before is counted when a saga that is begun now has been told of.
	for i, n := range nodes {
		j := (i + 1) % count
		res, err := n.Sync(t.Context(), nodes[j].PeerID().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for k := range nodes {
			if k == i || k == j {
				until(t, events[k], func(e node.Event) bool {
					return about(k, e) || e.Kind == node.EventSaga && e.Saga.State == node.SagaEnded && e.Saga.SagaID == res.SagaID
				})
			}
		}
	}
	if total != 2*(count-1) {
		t.Errorf("%d sagas, counted on both sides, for one change among %d nodes, want %d", total, count, 2*(count-1))
	}
	// Those at the distances 1, 2, 3, 4 and 8, and where the node has it from.
	if most := slices.Max(sagas); most > 6 {
		t.Errorf("a node took part in %d sagas for one change, want at most 6: %v", most, sagas)
	}
}
