package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// archive starts a node with a timeline of so many changes that it provides. It returns
// the tjp, the addresses of the frames after it, and how to reach the node.
func archive(t testing.TB, changes int) (n *Node, tjp ibgib.Addr, frames []ibgib.Addr, at string) {
	t.Helper()
	n = openHere(t)
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	tjp = writeNote(t, n, "archive")
	for i := range changes {
		c, err := n.Mut8(t.Context(), tjp, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "i", Value: ibgib.Number(float64(i))})})
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, c.Addr)
	}
	if _, err := n.Provide(t.Context(), tjp); err != nil {
		t.Fatal(err)
	}
	return n, tjp, frames, n.Identity().Addrs[0]
}

func reader(t testing.TB) *Node {
	t.Helper()
	n := openHere(t)
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

func fetchFrom(t testing.TB, n *Node, addr ibgib.Addr, from ...string) (FetchResult, error) {
	t.Helper()
	return n.Fetch(t.Context(), addr, FetchOptions{From: from}, nil)
}

func mustFetch(t testing.TB, n *Node, addr ibgib.Addr, from ...string) FetchResult {
	t.Helper()
	res, err := fetchFrom(t, n, addr, from...)
	if err != nil {
		t.Fatalf("%v, sources %+v", err, res.Sources)
	}
	return res
}

// isSound fails the test if the store is not whole, or n holds another head than addr.
func isSound(t *testing.T, n *Node, addr ibgib.Addr) {
	t.Helper()
	e, err := n.entryOf(t.Context(), addr)
	if err != nil || !slices.Equal(e.Heads, []ibgib.Addr{addr}) {
		t.Errorf("heads %v, %v; want %s", e.Heads, err, addr)
	}
	report, err := n.Verify(t.Context(), nil)
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("verify: %+v, %v", report.Problems, err)
	}
}

// A stranger gets what is provided by its exact address, up to that one, and once.
func TestFetchOfAStranger(t *testing.T) {
	a, tjp, frames, at := archive(t, 40)
	b := reader(t)
	res := mustFetch(t, b, frames[9], at)
	if !res.Moved || res.IbGibs != 1+2*10 || len(res.Sources) != 1 || res.Sources[0].IbGibs != res.IbGibs {
		t.Errorf("%+v, want the tjp and 10 frames with their dna", res)
	}
	isSound(t, b, frames[9])
	if res := mustFetch(t, b, frames[9], at); res.Moved || res.IbGibs != 0 || len(res.Sources) > 0 {
		t.Errorf("fetched again: %+v", res)
	}
	if res := mustFetch(t, b, frames[39], at); res.IbGibs != 2*30 {
		t.Errorf("%d ibGibs came, want only those after the tenth", res.IbGibs)
	}
	isSound(t, b, frames[39])
	if res := mustFetch(t, b, tjp, at); res.Moved || res.IbGibs != 0 {
		t.Errorf("an old frame: %+v", res)
	}
	// What stays is the record of a stage for each fetch.
	if loose := b.store.Loose(a.PeerID().String()); loose > 8<<10 {
		t.Errorf("%d bytes count against the peer still", loose)
	}
	for _, n := range []*Node{a, b} {
		for _, other := range []*Node{a, b} {
			if n.trust.has(other.PeerID()) {
				t.Error("a fetch has made peers trusted")
			}
		}
	}
}

// What is not provided is not shown, though it is there and its address is known; nor
// what a provided frame links to in a timeline that is not. Trust changes nothing: it is
// for sagas, in which peers prove who they are.
func TestFetchOfWhatIsPrivate(t *testing.T) {
	a, tjp, frames, at := archive(t, 1)
	private := writeNote(t, a, "private")
	stone, err := ibgib.New("stone", ibgib.String("guess me"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.put(t.Context(), stone, ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	b := reader(t)
	unknown, err := ibgib.New("unknown", ibgib.String("not there"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, addr := range []ibgib.Addr{private, stone.Addr(), unknown.Addr()} {
		res, err := fetchFrom(t, b, addr, at)
		if !errors.Is(err, blockstore.ErrNotFound) || res.IbGibs != 0 || len(res.Sources) != 1 || res.Sources[0].Mark != "" {
			t.Errorf("%s: %+v, %v", addr, res, err)
		}
		if !strings.Contains(err.Error(), a.PeerID().String()+": "+res.Sources[0].Error) {
			t.Errorf("the error does not tell of the source: %v", err)
		}
		texts = append(texts, res.Sources[0].Error)
	}
	if texts[0] != texts[1] || texts[1] != texts[2] {
		t.Errorf("a stranger can tell what is there: %q", texts)
	}
	linked, err := a.Rel8(t.Context(), tjp, ibgib.Rel8Options{Add: ibgib.Rel8ns{{Name: "friend", Addrs: []ibgib.Addr{private}}}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := fetchFrom(t, b, linked.Addr, at)
	if code(err) != saga.CodeRefused || res.Moved || res.Sources[0].Mark != MarkFailed {
		t.Errorf("a frame with a private link: %+v, %v", res, err)
	}
	if _, err := b.entryOf(t.Context(), tjp); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("half a closure has a head: %v", err)
	}
	mustFetch(t, b, frames[0], at)
	isSound(t, b, frames[0])

	if _, err := a.Trust(t.Context(), b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if res, err := fetchFrom(t, b, private, at); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("private, by a trusted peer: %+v, %v", res, err)
	}
	if _, err := a.Provide(t.Context(), private); err != nil {
		t.Fatal(err)
	}
	mustFetch(t, b, linked.Addr, at)
	isSound(t, b, linked.Addr)
	if _, err := b.entryOf(t.Context(), private); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("another timeline than the one that was fetched has a head: %v", err)
	}
	if _, err := a.Unprovide(t.Context(), tjp); err != nil {
		t.Fatal(err)
	}
	c := reader(t)
	if _, err := fetchFrom(t, c, frames[0], at); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("what is provided no longer: %v", err)
	}
}

// A public timeline shows strangers no constant of a share, unless its owner includes it.
func TestFetchOfAStoneOfAShare(t *testing.T) {
	a, tjp, _, at := archive(t, 1)
	if _, err := a.CreateShare(t.Context(), ShareOptions{Name: "secret"}); err != nil {
		t.Fatal(err)
	}
	stone, err := ibgib.New("stone", ibgib.String("of the share"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.put(t.Context(), stone, ChangeOptions{Share: "secret"}); err != nil {
		t.Fatal(err)
	}
	link := ibgib.Rel8Options{Add: ibgib.Rel8ns{{Name: "file", Addrs: []ibgib.Addr{stone.Addr()}}}}
	if _, err := a.Rel8(t.Context(), tjp, link); !isHeldBack(err) {
		t.Errorf("a link out of the share: %v", err)
	}
	if _, err := a.view.Block(t.Context(), stone.Hash()); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("the default share has it: %v", err)
	}
	linked, err := a.With(ChangeOptions{Include: true}).Rel8(t.Context(), tjp, link)
	if err != nil {
		t.Fatal(err)
	}
	b := reader(t)
	mustFetch(t, b, linked.Addr, at)
	if got, err := b.Get(t.Context(), stone.Addr()); err != nil || got.Hash() != stone.Hash() {
		t.Errorf("included, and fetched: %v", err)
	}
}

// Several providers share the work.
func TestFetchFromSeveral(t *testing.T) {
	_, _, frames, at := archive(t, 1500)
	last := frames[len(frames)-1]
	from := []string{at}
	for range 2 {
		n := reader(t)
		mustFetch(t, n, last, at)
		if _, err := n.Provide(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		from = append(from, n.Identity().Addrs[0])
	}
	n := reader(t)
	res := mustFetch(t, n, last, from...)
	isSound(t, n, last)
	if res.IbGibs != 1+2*1500 || len(res.Sources) != 3 {
		t.Errorf("%d ibGibs from %d", res.IbGibs, len(res.Sources))
	}
	for _, s := range res.Sources {
		if s.IbGibs == 0 || s.IbGibs == res.IbGibs || s.Error != "" {
			t.Errorf("not shared: %+v", res.Sources)
		}
	}
}

// A large ibGib comes in pieces.
func TestFetchOfALargeIbGib(t *testing.T) {
	a, tjp, _, at := archive(t, 0)
	large, err := ibgib.NewBytes("large", make([]byte, 5<<20), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.put(t.Context(), large, ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	linked, err := a.Rel8(t.Context(), tjp, ibgib.Rel8Options{Add: ibgib.Rel8ns{{Name: "file", Addrs: []ibgib.Addr{large.Addr()}}}})
	if err != nil {
		t.Fatal(err)
	}
	b := reader(t)
	mustFetch(t, b, linked.Addr, at)
	isSound(t, b, linked.Addr)
}

// A node that is not started fetches from those that are named, and fails without.
func TestFetchByANodeThatIsNotStarted(t *testing.T) {
	_, _, frames, at := archive(t, 3)
	b := openHere(t)
	mustFetch(t, b, frames[2], at)
	isSound(t, b, frames[2])
	other, err := ibgib.New("other", ibgib.Number(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Fetch(t.Context(), other.Addr(), FetchOptions{}, nil); !errors.Is(err, ErrNoDHT) {
		t.Errorf("without a DHT: %v", err)
	}
	for _, from := range []string{"nonsense", fmt.Sprintf("/ip4/127.0.0.1/tcp/1/p2p/%s", b.PeerID())} {
		if _, err := fetchFrom(t, b, other.Addr(), from); !errors.Is(err, ErrInput) {
			t.Errorf("from %s: %v", from, err)
		}
	}
	if _, err := b.Fetch(t.Context(), mustParse(t, "note^gib"), FetchOptions{}, nil); !errors.Is(err, ErrInput) {
		t.Errorf("a primitive: %v", err)
	}
}

func mustParse(t *testing.T, s string) ibgib.Addr {
	t.Helper()
	a, err := ibgib.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A timeline that is found in the DHT by its address is fetched from who announces it.
func TestFetchThroughTheDHT(t *testing.T) {
	_, way := bootstrapNode(t)
	a, b := wideNode(t, t.TempDir(), Mesh{Secret: meshSecret}, way), wideNode(t, t.TempDir(), Mesh{Secret: otherSecret}, way)
	tjp := writeNote(t, a, "far")
	if _, err := a.Provide(t.Context(), tjp); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b fetches the timeline", func() bool {
		res, err := b.Fetch(t.Context(), tjp, FetchOptions{}, nil)
		if err != nil && !errors.Is(err, blockstore.ErrNotFound) && code(err) != saga.CodeUnreachable {
			t.Fatal(err)
		}
		return err == nil && res.Moved && res.Sources[0].Peer == a.PeerID().String()
	})
	isSound(t, b, tjp)
}

// A timeline that one node of many announces is fetched by its address by all others,
// which trust nobody, also after the bootstrap node has been stopped and begun again.
func TestFetchInAMesh(t *testing.T) {
	nodes := 30
	if testing.Short() {
		nodes = 6
	}
	dir := t.TempDir()
	boot := wideNode(t, dir, Mesh{}, Reach{Role: RoleBootstrap})
	at := boot.Identity().Addrs
	if len(at) != 1 {
		t.Fatalf("the bootstrap node is at %q, want one address", at)
	}
	all := make([]*Node, nodes)
	for i := range all {
		way := Reach{Bootstrap: at, DHT: dht.ModeClient}
		if i%2 == 0 {
			way.DHT = dht.ModeServer
		}
		all[i] = wideNode(t, t.TempDir(), Mesh{Name: fmt.Sprint("mesh", i)}, way)
	}
	for _, n := range all {
		eventually(t, "a node has entered the DHT", func() bool { return n.dhtStatus().Peers > 0 })
	}
	tjp := writeNote(t, all[0], "shared")
	last := tjp
	for i := range 20 {
		c, err := all[0].Mut8(t.Context(), tjp, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "i", Value: ibgib.Number(float64(i))})})
		if err != nil {
			t.Fatal(err)
		}
		last = c.Addr
	}
	if _, err := all[0].Provide(t.Context(), tjp); err != nil {
		t.Fatal(err)
	}
	fetched := func(n *Node) bool {
		_, err := n.Fetch(t.Context(), last, FetchOptions{}, nil)
		if err != nil && !errors.Is(err, blockstore.ErrNotFound) && code(err) != saga.CodeUnreachable {
			t.Fatal(err)
		}
		return err == nil
	}
	fetchAll := func(when string, nodes []*Node) {
		var times []time.Duration
		for _, n := range nodes {
			began := time.Now()
			eventually(t, "the timeline is fetched "+when, func() bool { return fetched(n) })
			times = append(times, time.Since(began))
			isSound(t, n, last)
		}
		slices.Sort(times)
		t.Logf("%s, found and fetched by %d of %d nodes, one after the other: median %s, at most %s", when,
			len(times), len(all), times[len(times)/2].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond))
	}
	// All are at one address, from which a node takes 16 strangers at a time, each for 30
	// seconds: with thirty nodes some have to wait.
	half := len(all) / 2
	fetchAll("at first", all[1:half])

	if err := boot.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the bootstrap node is back at its port", func() bool {
		n, err := Open(Config{Data: dir, Listen: []string{strings.Split(at[0], "/p2p/")[0]}, Reach: Reach{Role: RoleBootstrap}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		return n.Start(t.Context()) == nil
	})
	fetchAll("after the restart of the bootstrap node", all[half:])
}

// What is forgotten is shown to nobody any more, and not fetched.
func TestFetchOfWhatIsForgotten(t *testing.T) {
	a, tjp, frames, at := archive(t, 2)
	b := reader(t)
	mustFetch(t, b, tjp, at)
	if _, err := b.Forget(t.Context(), tjp); err != nil {
		t.Fatal(err)
	}
	if _, err := fetchFrom(t, b, frames[1], at); !errors.Is(err, ErrInput) {
		t.Errorf("forgotten here: %v", err)
	}
	if _, err := a.Forget(t.Context(), tjp); err != nil {
		t.Fatal(err)
	}
	if list, err := a.Provided(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("forgotten, and still provided: %+v, %v", list, err)
	}
	if _, err := fetchFrom(t, reader(t), frames[1], at); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("forgotten there: %v", err)
	}
}

// What comes counts against the budget of the peer that it comes from, which is no
// fault of that peer.
func TestFetchWithinTheBudgetOfAPeer(t *testing.T) {
	a, tjp, _, at := archive(t, 0)
	last := tjp
	for i := range 6 {
		big := ibgib.String(strings.Repeat("x", 50<<10))
		c, err := a.Mut8(t.Context(), tjp, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: fmt.Sprint("m", i), Value: big})})
		if err != nil {
			t.Fatal(err)
		}
		last = c.Addr
	}
	b, err := Open(Config{Data: t.TempDir(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Live: Live{Off: true}, Limits: Limits{PeerDisk: 400 << 10}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	res, err := fetchFrom(t, b, last, at)
	if _, full := errors.AsType[*blockstore.PeerBudgetError](err); !full || res.Moved || res.Sources[0].Mark != "" {
		t.Errorf("%+v, %v", res, err)
	}
	if loose := b.store.Loose(a.PeerID().String()); loose == 0 || loose > 400<<10 {
		t.Errorf("%d bytes count against the peer", loose)
	}
}
