package node_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
)

// sharing makes two started nodes that trust each other members of one share.
func sharing(t *testing.T, name string) (a, b *node.Node) {
	t.Helper()
	a, b = startNode(t, overTCP), startNode(t, overTCP)
	pair(t, a, b)
	share(t, name, a, b)
	return a, b
}

// share makes nodes that trust each other members of a share, of each other's.
func share(t *testing.T, name string, nodes ...*node.Node) {
	t.Helper()
	id := ""
	for _, n := range nodes {
		var members []string
		for _, m := range nodes {
			if m != n {
				members = append(members, m.PeerID().String())
			}
		}
		sh, err := n.CreateShare(t.Context(), node.ShareOptions{Name: name, ID: id, Members: members})
		if err != nil {
			t.Fatal(err)
		}
		id = sh.ID
	}
}

// createIn makes a timeline in a share.
func createIn(t *testing.T, n *node.Node, share, ib string) node.Change {
	t.Helper()
	made, err := n.With(node.ChangeOptions{Share: share}).Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: ib})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func set(t *testing.T, n *node.Node, addr ibgib.Addr, value string) node.Change {
	t.Helper()
	made, err := n.Mut8(t.Context(), addr, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "v", Value: ibgib.String(value)})})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func linkTo(addr ibgib.Addr) ibgib.Rel8Options {
	return ibgib.Rel8Options{Add: ibgib.Rel8ns{{Name: "about", Addrs: []ibgib.Addr{addr}}}}
}

// has tells whether a node has an ibGib.
func has(t *testing.T, n *node.Node, addr ibgib.Addr) bool {
	t.Helper()
	_, err := n.Get(t.Context(), addr)
	if err != nil && !errors.Is(err, blockstore.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func syncNow(t *testing.T, a, b *node.Node, o node.SyncOptions) node.SyncResult {
	t.Helper()
	res, err := a.SyncWith(t.Context(), addrOf(t, b), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// listed returns the tjps that a share lists.
func listed(t *testing.T, n *node.Node, share string) []ibgib.Addr {
	t.Helper()
	list, err := n.ShareTimelines(t.Context(), share)
	if err != nil {
		t.Fatal(err)
	}
	var tjps []ibgib.Addr
	for _, tl := range list {
		tjps = append(tjps, tl.Tjp)
	}
	return tjps
}

// TestShares syncs two shares between three nodes: each gets what it is a member of.
func TestShares(t *testing.T) {
	a, b, c := startNode(t, overTCP), startNode(t, overTCP), startNode(t, overTCP)
	for _, two := range [][2]*node.Node{{a, b}, {a, c}, {b, c}} {
		pair(t, two[0], two[1])
	}
	share(t, "family", a, b)
	share(t, "work", a, c)
	open := createIn(t, a, "", "open")
	family, work := createIn(t, a, "family", "of family"), createIn(t, a, "work", "of work")
	for _, n := range []*node.Node{b, c} {
		res := syncNow(t, a, n, node.SyncOptions{})
		if !res.Converged || len(res.Shares) != 1 || !res.Shares[0].Converged || res.Shares[0].Error != "" {
			t.Errorf("synced %+v", res)
		}
	}
	syncNow(t, b, c, node.SyncOptions{})
	for _, x := range []struct {
		n    *node.Node
		who  string
		has  []ibgib.Addr
		nots []ibgib.Addr
	}{
		{b, "b", []ibgib.Addr{open.Tjp, family.Tjp}, []ibgib.Addr{work.Tjp}},
		{c, "c", []ibgib.Addr{open.Tjp, work.Tjp}, []ibgib.Addr{family.Tjp}},
	} {
		for _, addr := range x.has {
			if !has(t, x.n, addr) {
				t.Errorf("%s lacks %s", x.who, addr)
			}
		}
		for _, addr := range x.nots {
			if has(t, x.n, addr) {
				t.Errorf("%s has %s", x.who, addr)
			}
		}
	}
	// A change travels on by the share that the timeline is in.
	changed := set(t, b, family.Tjp, "by b")
	onA := follow(t, a, node.EventSaga)
	if res := syncNow(t, b, a, node.SyncOptions{Share: "family"}); !res.Converged || res.Share != "family" || len(res.Shares) != 0 {
		t.Errorf("synced %+v", res)
	}
	if tl, err := a.Latest(t.Context(), family.Tjp); err != nil || tl.Latest != changed.Addr || tl.Share != "family" {
		t.Errorf("latest %+v, %v", tl, err)
	}
	if got := listed(t, a, "default"); !slices.Equal(got, []ibgib.Addr{open.Tjp}) {
		t.Errorf("the default share lists %v", got)
	}
	// The side that answered stores its record when the other has seen the end, and then
	// tells of it.
	until(t, onA, func(e node.Event) bool { return e.Saga.State == node.SagaEnded })
	records, err := a.Sagas(t.Context())
	if err != nil || len(records) == 0 || records[0].Share != "family" || records[0].Role != "responder" {
		t.Errorf("sagas %+v, %v", records, err)
	}
	for _, n := range []*node.Node{a, b, c} {
		mustVerify(t, n)
	}
}

// TestNoMember asks for shares in vain: one that is not there and one that the peer is no
// member of get the same answer, which an owner sees as an offer.
func TestNoMember(t *testing.T) {
	a, b := startNode(t, overTCP), startNode(t, overTCP)
	pair(t, a, b)
	own, err := a.CreateShare(t.Context(), node.ShareOptions{Name: "own"})
	if err != nil {
		t.Fatal(err)
	}
	createIn(t, a, "own", "private")
	texts := make(map[string]bool)
	for name, id := range map[string]string{"known": own.ID, "guessed": "00112233445566778899aabbccddeeff"} {
		if _, err := b.CreateShare(t.Context(), node.ShareOptions{Name: name, ID: id, Members: []string{a.PeerID().String()}}); err != nil {
			t.Fatal(err)
		}
		_, err := b.SyncWith(t.Context(), addrOf(t, a), node.SyncOptions{Share: name}, nil)
		var e *saga.Error
		if !errors.As(err, &e) || e.Code != saga.CodeRefused || !e.Remote {
			t.Fatalf("%s: %v", name, err)
		}
		texts[e.Text] = true
	}
	if len(texts) != 1 {
		t.Errorf("the answers differ: %v", texts)
	}
	if n := len(listed(t, b, "known")); n != 0 {
		t.Errorf("%d timelines came", n)
	}
	res := syncNow(t, b, a, node.SyncOptions{})
	if !res.Converged || len(res.Shares) != 2 || res.Shares[0].Error == "" || res.Shares[1].Error == "" {
		t.Errorf("synced %+v", res)
	}
	list, err := a.Shares(t.Context())
	if err != nil || len(list.Offers) != 2 || list.Offers[0].PeerID != b.PeerID().String() {
		t.Errorf("shares %+v, %v", list, err)
	}
	// Its owner joins.
	if _, err := a.AddMember(t.Context(), "own", b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if res := syncNow(t, b, a, node.SyncOptions{Share: "known"}); !res.Converged || res.Received.IbGibs == 0 {
		t.Errorf("synced %+v", res)
	}
	if list, err := a.Shares(t.Context()); err != nil || len(list.Offers) != 1 {
		t.Errorf("offers %+v, %v", list.Offers, err)
	}
	// It is put out, and by the trust too.
	if _, err := a.RemoveMember(t.Context(), "own", b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.SyncWith(t.Context(), addrOf(t, a), node.SyncOptions{Share: "known"}, nil); err == nil {
		t.Error("synced with who is no member any more")
	}
	if _, err := a.AddMember(t.Context(), "own", b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if err := a.Untrust(t.Context(), b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Trust(t.Context(), b.PeerID().String()); err != nil {
		t.Fatal(err)
	}
	if list, err := a.Shares(t.Context()); err != nil || len(list.Shares[1].Members) != 0 {
		t.Errorf("after trust was withdrawn and given again: %+v, %v", list.Shares, err)
	}
}

// TestShareDirections lets a share go one way.
func TestShareDirections(t *testing.T) {
	for _, c := range []struct {
		direction   node.Direction
		gets, gives bool
	}{{node.SendOnly, false, true}, {node.ReceiveOnly, true, false}} {
		t.Run(string(c.direction), func(t *testing.T) {
			for _, begins := range []bool{true, false} {
				a, b := startNode(t, overTCP), startNode(t, overTCP)
				pair(t, a, b)
				sh, err := a.CreateShare(t.Context(), node.ShareOptions{Name: "s", Direction: c.direction, Members: []string{b.PeerID().String()}})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := b.CreateShare(t.Context(), node.ShareOptions{Name: "s", ID: sh.ID, Members: []string{a.PeerID().String()}}); err != nil {
					t.Fatal(err)
				}
				ofA, ofB := createIn(t, a, "s", "of a"), createIn(t, b, "s", "of b")
				from, to := a, b
				if !begins {
					from, to = b, a
				}
				if res := syncNow(t, from, to, node.SyncOptions{Share: "s"}); !res.Converged {
					t.Errorf("synced %+v", res)
				}
				if gets, gives := has(t, a, ofB.Tjp), has(t, b, ofA.Tjp); gets != c.gets || gives != c.gives {
					t.Errorf("begun there %t: gets %t, gives %t", !begins, gets, gives)
				}
			}
		})
	}
}

// TestOutside links out of a share. What that would bring into the share is refused, held
// back if it comes from elsewhere, and included if that is asked for.
func TestOutside(t *testing.T) {
	a, b := sharing(t, "family")
	inside, outside := createIn(t, a, "family", "inside"), createIn(t, a, "", "outside")
	_, err := a.Rel8(t.Context(), inside.Tjp, linkTo(outside.Addr))
	var refused *node.OutsideError
	if !errors.As(err, &refused) || refused.Share != "family" || !slices.Equal(refused.Timelines, []ibgib.Addr{outside.Tjp}) {
		t.Fatalf("linked to what is outside: %v", err)
	}
	if got := listed(t, a, "family"); !slices.Equal(got, []ibgib.Addr{inside.Tjp}) {
		t.Errorf("the share lists %v", got)
	}
	if _, err := a.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "x", Rel8ns: linkTo(inside.Addr).Add}); !errors.As(err, &refused) || refused.Share != "default" {
		t.Errorf("the default share would get what is in another one: %v", err)
	}
	if _, err := a.With(node.ChangeOptions{Include: true}).Rel8(t.Context(), inside.Tjp, linkTo(outside.Addr)); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, a, "family"); len(got) != 2 {
		t.Errorf("the share lists %v", got)
	}
	// What is included moves in both shares from then on.
	changed := set(t, a, outside.Tjp, "more")
	if res := syncNow(t, a, b, node.SyncOptions{Share: "family"}); !res.Converged {
		t.Errorf("synced %+v", res)
	}
	if !has(t, b, changed.Addr) || len(listed(t, b, "default")) != 0 {
		t.Errorf("b has %v by the share, and %v by the default one", has(t, b, changed.Addr), listed(t, b, "default"))
	}

	// It also lies in the default share of a; there a link that b makes in the share, to
	// something only that has, is held back.
	only := createIn(t, b, "family", "only there")
	if _, err := b.Rel8(t.Context(), outside.Tjp, linkTo(only.Addr)); err != nil {
		t.Fatal(err)
	}
	syncNow(t, b, a, node.SyncOptions{Share: "family"})
	why, err := a.Why(t.Context(), outside.Tjp)
	if err != nil || len(why.Held) != 1 || why.Held[0].Share != "default" || !slices.Equal(why.Held[0].Outside, []ibgib.Addr{only.Tjp}) {
		t.Errorf("held back %+v, %v", why.Held, err)
	}
	if tl, err := a.Latest(t.Context(), outside.Tjp); err != nil || tl.Latest != changed.Addr {
		t.Errorf("latest %+v, %v", tl, err)
	}
	if got := listed(t, a, "default"); !slices.Equal(got, []ibgib.Addr{outside.Tjp}) {
		t.Errorf("the default share lists %v", got)
	}
	// Put into the default share, the other one lets it through.
	if _, err := a.AddToShare(t.Context(), "default", only.Tjp, node.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	set(t, b, outside.Tjp, "last")
	syncNow(t, b, a, node.SyncOptions{Share: "family"})
	if why, err = a.Why(t.Context(), outside.Tjp); err != nil || len(why.Held) != 0 {
		t.Errorf("held back %+v, %v", why.Held, err)
	}
	mustVerify(t, a)
	mustVerify(t, b)
}

// A constant that was given to a share comes into no other one by a link, as a timeline
// does not; nor does one that is a part of a timeline there.
func TestStonesOutside(t *testing.T) {
	a, b := sharing(t, "family")
	stone := func(n *node.Node, share, text string) ibgib.Addr {
		t.Helper()
		res, err := n.With(node.ChangeOptions{Share: share}).Stone(t.Context(), ibgib.StoneOptions{Ib: "stone", Parent: "ib", Data: ibgib.Object(ibgib.Member{Name: "text", Value: ibgib.String(text)})})
		if err != nil {
			t.Fatal(err)
		}
		return res.Addr
	}
	note, inside := createIn(t, a, "", "note"), createIn(t, a, "family", "inside")
	given := stone(a, "family", "given")
	frame, err := a.Get(t.Context(), set(t, a, inside.Tjp, "changed").Addr)
	if err != nil {
		t.Fatal(err)
	}
	dna, _ := frame.LastRel("dna")
	for _, addr := range []ibgib.Addr{given, dna} {
		_, err := a.Rel8(t.Context(), note.Tjp, linkTo(addr))
		var refused *node.OutsideError
		if !errors.As(err, &refused) || refused.Share != "default" || len(refused.Timelines) > 0 || !slices.Equal(refused.Stones, []ibgib.Addr{addr}) {
			t.Errorf("linked to %s: %v", addr, err)
		}
		if _, err := a.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "x", Rel8ns: linkTo(addr).Add}); !errors.As(err, &refused) {
			t.Errorf("a timeline that begins with a link to %s: %v", addr, err)
		}
	}
	// What is in the default share is for all who are trusted.
	if _, err := a.Rel8(t.Context(), inside.Tjp, linkTo(stone(a, "", "everybody's"))); err != nil {
		t.Error(err)
	}
	if _, err := a.With(node.ChangeOptions{Include: true}).Rel8(t.Context(), note.Tjp, linkTo(given)); err != nil {
		t.Error(err)
	}
	if _, err := a.Rel8(t.Context(), note.Tjp, ibgib.Rel8Options{Add: ibgib.Rel8ns{{Name: "again", Addrs: []ibgib.Addr{given}}}}); err != nil {
		t.Errorf("it is there by now: %v", err)
	}

	// What a member links to in a timeline that lies in the default share here, too.
	if _, err := a.AddToShare(t.Context(), "family", note.Tjp, node.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	syncNow(t, b, a, node.SyncOptions{Share: "family"})
	theirs := stone(b, "family", "theirs")
	if _, err := b.Rel8(t.Context(), note.Tjp, linkTo(theirs)); err != nil {
		t.Fatal(err)
	}
	syncNow(t, b, a, node.SyncOptions{Share: "family"})
	why, err := a.Why(t.Context(), note.Tjp)
	if err != nil || len(why.Held) != 1 || why.Held[0].Share != "default" || !slices.Equal(why.Held[0].Outside, []ibgib.Addr{theirs}) {
		t.Errorf("held back %+v, %v", why.Held, err)
	}
	if _, err := a.AddToShare(t.Context(), "default", theirs, node.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	set(t, b, note.Tjp, "last")
	syncNow(t, b, a, node.SyncOptions{Share: "family"})
	if why, err = a.Why(t.Context(), note.Tjp); err != nil || len(why.Held) != 0 {
		t.Errorf("held back %+v, %v", why.Held, err)
	}
	mustVerify(t, a)
	mustVerify(t, b)
}

// TestAddToShare puts a timeline into a share, moves another one there, and takes them out
// again, for good.
func TestAddToShare(t *testing.T) {
	a, b := sharing(t, "family")
	stays, moves, linked := createIn(t, a, "", "stays"), createIn(t, a, "", "moves"), createIn(t, a, "", "linked")
	if _, err := a.Rel8(t.Context(), stays.Tjp, linkTo(linked.Addr)); err != nil {
		t.Fatal(err)
	}
	var refused *node.OutsideError
	if _, err := a.AddToShare(t.Context(), "family", stays.Tjp, node.AddOptions{}); !errors.As(err, &refused) {
		t.Fatalf("added with what it links to: %v", err)
	}
	if got := listed(t, a, "family"); len(got) != 0 {
		t.Errorf("the share lists %v", got)
	}
	change, err := a.AddToShare(t.Context(), "family", stays.Tjp, node.AddOptions{Include: true})
	if err != nil || !slices.Equal(change.Included, []ibgib.Addr{linked.Tjp}) || !slices.Equal(change.In, []string{"default", "family"}) {
		t.Errorf("added %+v, %v", change, err)
	}
	change, err = a.AddToShare(t.Context(), "family", moves.Addr, node.AddOptions{Move: true})
	if err != nil || !slices.Equal(change.In, []string{"family"}) {
		t.Errorf("moved %+v, %v", change, err)
	}
	syncNow(t, a, b, node.SyncOptions{Share: "default"})
	if has(t, b, moves.Tjp) || !has(t, b, stays.Tjp) {
		t.Error("by the default share came what was moved out of it, or not what was not")
	}
	syncNow(t, a, b, node.SyncOptions{})
	if got := listed(t, b, "family"); len(got) != 3 {
		t.Errorf("b lists %v", got)
	}

	if change, err = a.RemoveFromShare(t.Context(), "family", moves.Tjp); err != nil || len(change.In) != 0 {
		t.Errorf("removed %+v, %v", change, err)
	}
	set(t, b, moves.Tjp, "changed there")
	for range 2 {
		if res := syncNow(t, b, a, node.SyncOptions{Share: "family"}); !res.Converged {
			t.Errorf("synced %+v", res)
		}
	}
	if got := listed(t, a, "family"); len(got) != 2 || slices.Contains(got, moves.Tjp) {
		t.Errorf("a lists %v", got)
	}
	if len(a.Wants()) != 0 {
		t.Errorf("wants %+v", a.Wants())
	}
	mustVerify(t, a)
	if err := a.DeleteShare(t.Context(), "family"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.GC(t.Context(), blockstore.GCOptions{Age: -1}, nil); err != nil { // it lies in the default share yet
		t.Fatal(err)
	}
	if has(t, a, moves.Tjp) || !has(t, a, stays.Tjp) {
		t.Error("a deleted share left what only it had, or took more")
	}
	mustVerify(t, a)
}

// TestForget forgets a timeline that another node goes on to change.
func TestForget(t *testing.T) {
	a, b := sharing(t, "family")
	kept, gone, private := createIn(t, a, "", "kept"), createIn(t, a, "", "gone"), createIn(t, a, "family", "private")
	syncNow(t, a, b, node.SyncOptions{})
	for _, tjp := range []ibgib.Addr{gone.Tjp, private.Tjp} {
		if _, err := a.Forget(t.Context(), tjp); err != nil {
			t.Fatal(err)
		}
	}
	set(t, b, gone.Tjp, "changed")
	set(t, b, private.Tjp, "changed")
	for _, way := range [][2]*node.Node{{b, a}, {a, b}, {b, a}, {a, b}} {
		res := syncNow(t, way[0], way[1], node.SyncOptions{})
		if !res.Converged || !res.Shares[0].Converged {
			t.Errorf("synced %+v", res)
		}
	}
	if res := syncNow(t, a, b, node.SyncOptions{}); !res.Equal || !res.Shares[0].Equal {
		t.Errorf("the next sync: %+v", res)
	}
	if heads := headsOf(t, a); len(heads) != 1 || heads[kept.Tjp.String()] == nil {
		t.Errorf("heads %v", heads)
	}
	if _, err := a.Mut8(t.Context(), gone.Tjp, ibgib.Mut8Options{}); err == nil {
		t.Error("what is forgotten is changed")
	}
	if list, err := a.Forgotten(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("forgotten %+v, %v", list, err)
	}
	if len(a.Wants()) != 0 {
		t.Errorf("wants %+v", a.Wants())
	}
	why, err := a.Why(t.Context(), gone.Tjp)
	if err != nil || !why.Forgotten {
		t.Errorf("why %+v, %v", why, err)
	}
	mustVerify(t, a)
	if _, err := a.GC(t.Context(), blockstore.GCOptions{Age: -1}, nil); err != nil {
		t.Fatal(err)
	}
	if has(t, a, gone.Addr) || has(t, a, private.Addr) || !has(t, a, kept.Addr) {
		t.Error("gc left what is forgotten, or took more")
	}
	for _, tjp := range []ibgib.Addr{gone.Tjp, private.Tjp} {
		if err := a.Remember(t.Context(), tjp); err != nil {
			t.Fatal(err)
		}
	}
	syncNow(t, a, b, node.SyncOptions{})
	if heads := headsOf(t, a); len(heads) != 3 {
		t.Errorf("after all heads %v", heads)
	}
	if got := listed(t, a, "family"); !slices.Equal(got, []ibgib.Addr{private.Tjp}) {
		t.Errorf("the share lists %v", got)
	}
	mustVerify(t, a)
}
