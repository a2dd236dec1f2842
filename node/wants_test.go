package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/scheduler"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

func TestWants(t *testing.T) {
	data := t.TempDir()
	n, err := Open(Config{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n.wants.now = func() time.Time { return now }
	made, err := n.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "here"})
	if err != nil {
		t.Fatal(err)
	}
	here, _ := made.Addr.Hash()
	cut := &saga.Error{Code: saga.CodeUnreachable, Text: "gone", Retry: true}
	lack := func(heads ...ibgib.Hash) saga.Result {
		return saga.Result{Lacking: []saga.Want{{Root: ibgib.Hash{1}, Heads: heads}}}
	}
	note := func(p peer.ID, r saga.Result, failure error) {
		t.Helper()
		if err := n.noteWants(t.Context(), n.shares.def, p, r, failure); err != nil {
			t.Fatal(err)
		}
	}

	note("one", lack(here, ibgib.Hash{2}), cut)
	note("two", lack(here, ibgib.Hash{2}), errors.New("no wire error"))
	note("one", lack(here, ibgib.Hash{2}), cut)
	list := n.Wants()
	if len(list) != 2 {
		t.Fatalf("wants %+v", list)
	}
	w := list[slices.IndexFunc(list, func(w Want) bool { return w.Head == (ibgib.Hash{2}).String() })]
	if w.Reason != "unreachable" || w.Detail != "gone" || w.Attempts != 3 || !w.Since.Equal(now) || !w.Retry.Equal(now.Add(4*firstRetry)) ||
		!slices.Equal(w.Peers, []string{peer.ID("two").String(), peer.ID("one").String()}) {
		t.Errorf("want %+v", w)
	}

	// A saga that ends well settles what is there by now, and says why the rest is not.
	refused := lack(ibgib.Hash{2}, ibgib.Hash{3}, ibgib.Hash{4})
	refused.Refusals = []saga.Refusal{{Hash: ibgib.Hash{3}, Rule: "gib-mismatch", Detail: "another"}}
	refused.Refused = []timeline.Rejection{{Addr: made.Addr, Rule: "n"}}
	refused.Lacking[0].Heads = append(refused.Lacking[0].Heads, here)
	note("three", refused, nil)
	reasons := make(map[string]string)
	for _, w := range n.Wants() {
		reasons[w.Head] = w.Reason
	}
	want := map[ibgib.Hash]string{{2}: reasonNeedsRefused, {3}: "gib-mismatch", {4}: reasonNeedsRefused}
	for h, reason := range want {
		if reasons[h.String()] != reason {
			t.Errorf("%s: reason %q, want %q", h, reasons[h.String()], reason)
		}
	}
	if len(reasons) != len(want) {
		t.Errorf("wants %v", reasons)
	}

	// The list is bounded and outlasts a restart.
	var many []ibgib.Hash
	for i := range maxWants {
		many = append(many, ibgib.Hash{9, byte(i >> 8), byte(i)})
	}
	note("one", lack(many...), cut)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err = Open(Config{Data: data}); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if got := n.Wants(); len(got) != maxWants || fmt.Sprint(got[0].Peers) == "[]" {
		t.Errorf("%d wants after a restart", len(got))
	}
}

// An attempt in vain makes a want whose time had come wait for the next one.
func TestSettleWants(t *testing.T) {
	n, err := Open(Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n.wants.now = func() time.Time { return now }
	made, err := n.Create(t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: "here"})
	if err != nil {
		t.Fatal(err)
	}
	here, _ := made.Addr.Hash()
	cut := &saga.Error{Code: saga.CodeUnreachable, Text: "gone", Retry: true}
	lacking := []saga.Want{{Root: ibgib.Hash{1}, Heads: []ibgib.Hash{here, {2}, {3}}}}
	if err := n.noteWants(t.Context(), n.shares.def, "one", saga.Result{Lacking: lacking}, cut); err != nil {
		t.Fatal(err)
	}
	settle := func(heads ...ibgib.Hash) map[string]time.Duration {
		t.Helper()
		if err := n.settleWants(t.Context(), n.shares.def, []scheduler.Lack{{Root: ibgib.Hash{1}, Heads: heads}}); err != nil {
			t.Fatal(err)
		}
		waits := make(map[string]time.Duration)
		for _, w := range n.Wants() {
			waits[w.Head[:2]] = w.Retry.Sub(now)
		}
		return waits
	}
	// Before its time nothing happens, but what is there is wanted no more.
	if got := settle(ibgib.Hash{2}); !maps.Equal(got, map[string]time.Duration{"02": firstRetry, "03": firstRetry}) {
		t.Errorf("before the time: %v", got)
	}
	now = now.Add(firstRetry)
	if got := settle(ibgib.Hash{2}, ibgib.Hash{4}); !maps.Equal(got, map[string]time.Duration{"02": 2 * firstRetry, "03": 0}) {
		t.Errorf("at the time: %v", got)
	}
	now = now.Add(2 * firstRetry)
	if got := settle(ibgib.Hash{2}); got["02"] != 4*firstRetry {
		t.Errorf("after two attempts: %v", got)
	}
}

// A peer that names heads by the thousand leaves room for what others name.
func TestWantsOfAPeerThatMintsHeads(t *testing.T) {
	n, err := Open(Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	note := func(p peer.ID, root byte, heads int) {
		t.Helper()
		lack := saga.Want{Root: ibgib.Hash{root}}
		for i := range heads {
			lack.Heads = append(lack.Heads, ibgib.Hash{root, byte(i >> 8), byte(i)})
		}
		if err := n.noteWants(t.Context(), n.shares.def, p, saga.Result{Lacking: []saga.Want{lack}}, errors.New("cut")); err != nil {
			t.Fatal(err)
		}
	}
	count := func(p peer.ID) (c int) {
		for _, w := range n.Wants() {
			if slices.Contains(w.Peers, p.String()) {
				c++
			}
		}
		return c
	}
	note("evil", 1, 2*maxWants)
	note("honest", 2, 10)
	note("evil", 3, 2*maxWants)
	note("other", 4, 2*maxWants)
	if evil, honest, other := count("evil"), count("honest"), count("other"); honest != 10 || evil+honest+other != maxWants || max(evil-other, other-evil) > 1 {
		t.Errorf("%d wants of the evil, %d of the honest, %d of the other", evil, honest, other)
	}
}

// What only a peer has named is wanted no more when trust in it ends.
func TestWantsOfUntrusted(t *testing.T) {
	n, err := Open(Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var peers []peer.ID
	for range 2 {
		p, err := test.RandPeerID()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Trust(t.Context(), p.String()); err != nil {
			t.Fatal(err)
		}
		peers = append(peers, p)
	}
	cut := &saga.Error{Code: saga.CodeUnreachable, Text: "gone", Retry: true}
	for i, p := range peers {
		lacking := []saga.Want{{Root: ibgib.Hash{1}, Heads: []ibgib.Hash{{2}, {byte(3 + i)}}}}
		if err := n.noteWants(t.Context(), n.shares.def, p, saga.Result{Lacking: lacking}, cut); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Untrust(t.Context(), peers[0].String()); err != nil {
		t.Fatal(err)
	}
	list := n.Wants()
	if len(list) != 2 {
		t.Fatalf("wants %+v", list)
	}
	for _, w := range list {
		if !slices.Equal(w.Peers, []string{peers[1].String()}) {
			t.Errorf("want %+v", w)
		}
	}
}

// So they do when the trust of a peer ends with the start, which is by another mesh secret.
func TestWantsOfAnotherMesh(t *testing.T) {
	dir := t.TempDir()
	n, err := Open(Config{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	p := testPeer(t, 1)
	if _, err := n.trust.admit(p, "tag of another secret"); err != nil {
		t.Fatal(err)
	}
	cut := &saga.Error{Code: saga.CodeUnreachable, Text: "gone", Retry: true}
	lacking := []saga.Want{{Root: ibgib.Hash{1}, Heads: []ibgib.Hash{{2}}}}
	if err := n.noteWants(t.Context(), n.shares.def, p, saga.Result{Lacking: lacking}, cut); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err = Open(Config{Data: dir, Listen: []string{"/ip4/127.0.0.1/tcp/0"}}); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if list := n.Wants(); len(list) != 1 {
		t.Fatalf("wants before the start: %+v", list)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := n.Wants(); len(list) != 0 || n.trust.has(p) {
		t.Errorf("wants after the start: %+v", list)
	}
}
