package node

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// trust decides whom this node talks to: peers on a list by their peer id. It
// is the one place that does; Authorize is all that the rest of the node asks.
// The list is kept in a file; strangers are kept in memory.
type trust struct {
	path string
	now  func() time.Time
	// changed is told of what has changed, after that.
	changed func(peer.ID, PeerChange)

	mu      sync.Mutex
	trusted map[peer.ID]grant
	denied  map[peer.ID]time.Time // since when; a proof does not help these
	pending pending
	log     []TrustChange // oldest first; never changed in place
}

// grant says how a peer came to be trusted.
type grant struct {
	since time.Time
	// mesh is the tag of the mesh secret that the peer has proved; empty if a
	// person trusts it.
	mesh string
	// invite tells that the person did so by an invite.
	invite bool
	// keystone is the first frame of the keystone that the peer has named; zero if it
	// has not named one yet.
	keystone ibgib.Addr
	// introducer tells that whom the peer vouches for is trusted, introduce that it is
	// told for whom this node vouches; introduced is who has introduced it.
	introducer, introduce bool
	introduced            peer.ID
}

// Ways in which trust is given, as Peer.By has them.
const (
	byHand   = "hand"
	byMesh   = "mesh"
	byInvite = "invite"

	byIntroduction = "introduced" // a trusted peer vouches for it

	byRevocation = "revoked"  // the keystone of the peer is revoked
	byDispute    = "disputed" // two different frames of it follow the same one
	byRotation   = "rotation" // the keystone of the peer has handed over
)

func (g grant) by() string {
	switch {
	case g.mesh != "":
		return byMesh
	case g.invite:
		return byInvite
	case g.introduced != "":
		return byIntroduction
	}
	return byHand
}

// trustFile is the content of the file. Version 1 had no member but peerId and
// since of peers; version 2 no invite, keystone and log; version 3 no introductions.
type trustFile struct {
	Version int           `json:"version"`
	Peers   []trustRecord `json:"peers"`
	Denied  []trustRecord `json:"denied,omitempty"`
	Log     []TrustChange `json:"log,omitempty"` // oldest first
}

type trustRecord struct {
	PeerID   peer.ID    `json:"peerId"`
	Since    time.Time  `json:"since"`
	Mesh     string     `json:"mesh,omitempty"`
	Invite   bool       `json:"invite,omitempty"`
	Keystone ibgib.Addr `json:"keystone,omitzero"`

	Introducer bool    `json:"introducer,omitempty"`
	Introduce  bool    `json:"introduce,omitempty"`
	Introduced peer.ID `json:"introduced,omitempty"`
}

const trustFileVersion = 4

// maxTrustLog bounds how many changes of trust are remembered. What introducers do, who may
// say something else at any time, has a part of it, and of that each has one: so nothing
// that a person has done goes for it.
const (
	maxTrustLog        = 1000
	maxIntroduced      = maxTrustLog / 2
	maxIntroducedByOne = protocol.MaxVouched
)

// TrustChange is one change of trust, as it was written down with the change itself.
type TrustChange struct {
	Time   time.Time      `json:"time"`
	PeerID peer.ID        `json:"peerId"`
	Change TrustOperation `json:"change"`
	// By says what it was for: hand, mesh, invite or introduced; or revoked, disputed or rotation,
	// which is what became of the peer's keystone.
	By       string     `json:"by"`
	Keystone ibgib.Addr `json:"keystone,omitzero"`
	// IntroducedBy is who vouched for the peer, if that was what it was trusted for.
	IntroducedBy peer.ID `json:"introducedBy,omitempty"`
}

// TrustOperation says what has changed.
type TrustOperation string

// The changes of trust.
const (
	TrustGiven     TrustOperation = "trusted"
	TrustWithdrawn TrustOperation = "untrusted"
	// TrustBound: a trusted peer has named its keystone, for the first time.
	TrustBound TrustOperation = "bound"
	// TrustMoved: the peer's keystone has handed over to the one that is named here.
	TrustMoved TrustOperation = "moved"
)

// loadTrust reads the list; without a file nobody is trusted.
func loadTrust(path string, now func() time.Time, changed func(peer.ID, PeerChange)) (*trust, error) {
	t := &trust{
		path: path, now: now, changed: changed,
		trusted: make(map[peer.ID]grant), denied: make(map[peer.ID]time.Time), pending: newPending(now),
	}
	var file trustFile
	found, err := datadir.ReadJSON(path, &file)
	if err != nil {
		return nil, fmt.Errorf("trust list: %w", err)
	}
	if !found {
		return t, nil
	}
	if file.Version < 1 || file.Version > trustFileVersion {
		return nil, fmt.Errorf("trust list: %s has version %d, this program knows up to %d", path, file.Version, trustFileVersion)
	}
	for _, r := range file.Peers {
		t.trusted[r.PeerID] = grant{r.Since, r.Mesh, r.Invite, r.Keystone, r.Introducer, r.Introduce, r.Introduced}
	}
	t.log = file.Log
	for _, r := range file.Denied {
		t.denied[r.PeerID] = r.Since
	}
	return t, nil
}

// Authorize returns nil if sagas with the peer are allowed. Otherwise it notes
// that the stranger asked, and returns what the stranger may be told.
func (t *trust) Authorize(_ context.Context, p peer.ID) error {
	if _, ok := t.trusts(p); ok {
		return nil
	}
	t.note(p, encounter{asks: true})
	return &saga.Error{Code: saga.CodeUntrusted, Text: "this node does not trust you yet: its owner has to trust your peer id " + p.String()}
}

// note lists a stranger that has been met.
func (t *trust) note(p peer.ID, e encounter) {
	t.mu.Lock()
	_, isTrusted := t.trusted[p]
	_, isDenied := t.denied[p]
	fresh := !isTrusted && !isDenied && t.pending.note(p, e)
	t.mu.Unlock()
	if fresh {
		t.changed(p, PeerPending)
	}
}

// counts returns how many peers are trusted, and how many strangers have asked.
func (t *trust) counts() (trusted, pending int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p, s := range t.pending.strangers {
		if _, ok := t.trusted[p]; !ok && s.asked > 0 {
			pending++
		}
	}
	return len(t.trusted), pending
}

// has tells whether a peer is trusted.
func (t *trust) has(p peer.ID) bool {
	_, ok := t.trusts(p)
	return ok
}

// trusts tells whether the peer is on the list, and since when.
func (t *trust) trusts(p peer.ID) (since time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, ok := t.trusted[p]
	return g.since, ok
}

// denies tells whether a person has withdrawn trust from the peer.
func (t *trust) denies(p peer.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.denied[p]
	return ok
}

// last returns the last change of trust in a peer that the log remembers.
func (t *trust) last(p peer.ID) TrustChange {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range slices.Backward(t.log) {
		if c.PeerID == p {
			return c
		}
	}
	return TrustChange{}
}

// add puts a peer on the list, by hand. One that is on it by hand stays as it is.
func (t *trust) add(p peer.ID) error {
	fresh, err := t.grant(p, grant{}, true)
	if fresh {
		t.changed(p, PeerTrusted)
	}
	return err
}

// admit puts a peer on the list that has proved the mesh secret with that tag,
// unless a person has withdrawn trust from it. If it is new there, the caller has
// to tell changed, when the other side is ready for what follows.
func (t *trust) admit(p peer.ID, tag string) (fresh bool, err error) {
	return t.grant(p, grant{mesh: tag}, false)
}

// pair puts a peer on the list with which an invite was exchanged. byPerson tells that
// a person did so just now, which ends a withdrawal. As with admit, the caller tells
// changed.
func (t *trust) pair(p peer.ID, keystone ibgib.Addr, byPerson bool) (fresh bool, err error) {
	return t.grant(p, grant{invite: true, keystone: keystone}, byPerson)
}

// bind remembers the keystone that a trusted peer has named. It returns the one that
// it is known by, which stays: zero for a peer that is not trusted.
func (t *trust) bind(p peer.ID, keystone ibgib.Addr) (ibgib.Addr, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, ok := t.trusted[p]
	if !ok || !before.keystone.IsZero() {
		return before.keystone, nil
	}
	g := before
	g.keystone = keystone
	t.trusted[p] = g
	if err := t.save(t.change(p, TrustBound, g)); err != nil {
		t.trusted[p] = before
		return ibgib.Addr{}, err
	}
	return keystone, nil
}

// rotate lets a trusted peer be known by another keystone, to which the one before has
// handed over.
func (t *trust) rotate(p peer.ID, from, to ibgib.Addr) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, ok := t.trusted[p]
	if !ok || before.keystone != from {
		return nil
	}
	g := before
	g.keystone = to
	t.trusted[p] = g
	change := t.change(p, TrustMoved, g)
	change.By = byRotation
	if err := t.save(change); err != nil {
		t.trusted[p] = before
		return err
	}
	return nil
}

// keystone returns the keystone that a trusted peer is known by; zero if none is.
func (t *trust) keystone(p peer.ID) ibgib.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.trusted[p].keystone
}

// withKeystone lists the trusted peers that are known by a keystone.
func (t *trust) withKeystone(genesis ibgib.Addr) []peer.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []peer.ID
	for p, g := range t.trusted {
		if g.keystone == genesis {
			list = append(list, p)
		}
	}
	return list
}

// grant does what add, admit and pair do; fresh if the peer was not on the list.
// byPerson tells that a person wants it now, who may have withdrawn trust before.
func (t *trust) grant(p peer.ID, g grant, byPerson bool) (fresh bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, was := t.trusted[p]
	since, denied := t.denied[p]
	switch {
	case denied && !byPerson:
		return false, nil
	case was && before.introduced != "": // now it is trusted for its own sake
	case was && g.mesh != "", was && before.mesh == "" && !g.invite:
		return false, nil // nothing is added to what it has
	case was && g.invite && before.invite && before.keystone == g.keystone:
		return false, nil
	}
	g.since = t.now().UTC().Truncate(time.Second)
	if g.keystone.IsZero() {
		g.keystone = t.pending.keystone(p)
	}
	if was {
		// The mesh trusted it, now a person does.
		g.since = before.since
		// What an introducer has said to be its keystone need not be.
		if g.keystone.IsZero() && before.introduced == "" {
			g.keystone = before.keystone
		}
		g.introducer, g.introduce = before.introducer, before.introduce
	}
	t.trusted[p] = g
	delete(t.denied, p)
	if err := t.save(t.change(p, TrustGiven, g)); err != nil {
		delete(t.trusted, p)
		if was {
			t.trusted[p] = before
		}
		if denied {
			t.denied[p] = since
		}
		return false, err
	}
	t.pending.forget(p)
	return !was, nil
}

// change is the line of the log for a change, with t.mu held.
func (t *trust) change(p peer.ID, op TrustOperation, g grant) TrustChange {
	change := TrustChange{Time: t.now().UTC().Truncate(time.Second), PeerID: p, Change: op, By: g.by(), Keystone: g.keystone}
	if change.By == byIntroduction {
		change.IntroducedBy = g.introduced
	}
	return change
}

// changes returns the log, newest first.
func (t *trust) changes() []TrustChange {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := append([]TrustChange{}, t.log...)
	slices.Reverse(list)
	return list
}

// remove takes a peer off the list for good: a proof of the mesh secret does not
// bring it back. One that was introduced, and that no person puts out, may come back: its
// keystone was only said to be its own. false if it was not on the list.
func (t *trust) remove(p peer.ID, by string) (bool, error) {
	was, err := t.withdraw(p, by)
	if was {
		t.changed(p, PeerUntrusted)
	}
	return was, err
}

func (t *trust) withdraw(p peer.ID, by string) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, ok := t.trusted[p]
	if !ok {
		return false, nil
	}
	delete(t.trusted, p)
	change := t.change(p, TrustWithdrawn, before)
	change.By = by
	if by == byHand {
		change.IntroducedBy = ""
	}
	if by == byHand || before.introduced == "" {
		t.denied[p] = change.Time
	}
	if err := t.save(change); err != nil {
		t.trusted[p] = before
		delete(t.denied, p)
		return false, err
	}
	return true, nil
}

// useMesh ends the trust that was given for another mesh secret than that with
// this tag (empty: there is none), and returns those that it was given to. It is
// called before anything of the list is used, and so does not tell changed.
func (t *trust) useMesh(tag string) (gone []peer.ID, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := maps.Clone(t.trusted)
	var log []TrustChange
	for p, g := range before {
		if g.mesh != "" && g.mesh != tag {
			delete(t.trusted, p)
			gone = append(gone, p)
			log = append(log, t.change(p, TrustWithdrawn, g))
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	if err := t.save(log...); err != nil {
		t.trusted = before
		return nil, err
	}
	return gone, nil
}

// save writes the file, with what has changed at the end of the log. t.mu is held.
func (t *trust) save(changed ...TrustChange) error {
	log := bounded(append(t.log[:len(t.log):len(t.log)], changed...))
	file := trustFile{Version: trustFileVersion, Peers: make([]trustRecord, 0, len(t.trusted)), Log: log}
	for id, g := range t.trusted {
		file.Peers = append(file.Peers, trustRecord{id, g.since, g.mesh, g.invite, g.keystone, g.introducer, g.introduce, g.introduced})
	}
	for id, since := range t.denied {
		file.Denied = append(file.Denied, trustRecord{PeerID: id, Since: since})
	}
	for _, list := range [][]trustRecord{file.Peers, file.Denied} {
		slices.SortFunc(list, func(a, b trustRecord) int { return cmp.Compare(a.PeerID.String(), b.PeerID.String()) })
	}
	if err := datadir.WriteJSON(t.path, file); err != nil {
		return fmt.Errorf("trust list: %w", err)
	}
	t.log = log
	return nil
}

// bounded returns a log without its oldest changes, if it has too many.
func bounded(log []TrustChange) []TrustChange {
	kept := make([]TrustChange, 0, min(len(log), maxTrustLog))
	introduced, of := 0, make(map[peer.ID]int)
	for _, c := range slices.Backward(log) {
		if len(kept) == maxTrustLog {
			break
		}
		if c.IntroducedBy != "" || c.By == byIntroduction {
			if introduced == maxIntroduced || of[c.IntroducedBy] == maxIntroducedByOne {
				continue
			}
			introduced++
			of[c.IntroducedBy]++
		}
		kept = append(kept, c)
	}
	slices.Reverse(kept)
	return kept
}

// list returns the trusted peers.
func (t *trust) list() []peer.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.trusted))
}

// peer returns what is known of one peer.
func (t *trust) peer(p peer.ID) Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shown(p)
}

// shown does what peer does, with t.mu held.
func (t *trust) shown(p peer.ID) Peer {
	shown := Peer{PeerID: p.String()}
	if g, ok := t.trusted[p]; ok {
		shown.Trusted, shown.By, shown.Since, shown.Keystone = true, g.by(), g.since, g.keystone
		shown.Introducer, shown.Introduce = g.introducer, g.introduce
		if g.introduced != "" {
			shown.IntroducedBy = g.introduced.String()
		}
	} else if since, ok := t.denied[p]; ok {
		shown.Denied, shown.Since = true, since
	}
	t.pending.show(p, &shown)
	return shown
}

// peers lists trusted peers, then strangers, then those from whom trust has been
// withdrawn, each by peer id.
func (t *trust) peers() []Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Peer, 0, len(t.trusted)+len(t.pending.strangers)+len(t.denied))
	for id := range t.trusted {
		list = append(list, t.shown(id))
	}
	for id := range t.pending.strangers {
		list = append(list, t.shown(id))
	}
	for id := range t.denied {
		list = append(list, t.shown(id))
	}
	rank := func(p Peer) int {
		switch {
		case p.Trusted:
			return 0
		case p.Denied:
			return 2
		default:
			return 1
		}
	}
	slices.SortFunc(list, func(a, b Peer) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.PeerID, b.PeerID))
	})
	return list
}

// TrustLog returns the changes of trust, newest first; at most 1,000 are remembered, 500
// of them for what introducers do, and 250 for what one of them does.
func (n *Node) TrustLog(ctx context.Context) ([]TrustChange, error) {
	return n.trust.changes(), ctx.Err()
}
