package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// shares is the list of shares, of which the store keeps the named ones, so that they
// are part of a backup, with what they hold.
//
// Who is a member of a share is up to each node, like trust: both sides list the
// other, and use the same id, which one of them has made and a person has carried over.
// The id is no secret. A peer that names a share in vain, because it is not here or the
// peer is no member, gets the same answer in both cases; what it named is listed as an
// offer.
type shares struct {
	store *blockstore.Store
	now   func() time.Time
	def   *share // the default share

	change sync.Mutex // held while the list is changed
	mu     sync.Mutex // guards what follows
	named  []*share   // by number
	offers []ShareOffer
}

// ShareOffer is a share that a trusted peer has named and that is not shared with it
// here.
type ShareOffer struct {
	ID     string    `json:"id"`
	PeerID string    `json:"peerId"` // the last one that named it
	Seen   time.Time `json:"seen"`
}

const (
	maxShares  = 250 // named ones
	maxMembers = 1000
	maxOffers  = 50
)

func loadShares(store *blockstore.Store, now func() time.Time) (*shares, error) {
	s := &shares{
		store: store, now: now,
		def: &share{number: blockstore.DefaultShare, view: store.View(blockstore.DefaultShare), shareRecord: shareRecord{Name: DefaultShareName, Direction: SendReceive}},
	}
	records, err := store.ShareRecords()
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		record, err := decodeShare(r.Text)
		if err != nil {
			return nil, fmt.Errorf("%w: share %d: %w", blockstore.ErrCorrupt, r.Share, err)
		}
		s.named = append(s.named, s.open(r.Share, record))
	}
	return s, nil
}

// keepTrusted ends the memberships of peers that are not trusted: trust was withdrawn
// and the program ended, or the store was restored beside another list.
func (s *shares) keepTrusted(t *trust) error {
	for _, sh := range s.list() {
		for _, p := range sh.Members {
			if _, ok := t.trusts(p); ok {
				continue
			}
			if _, err := s.leave(p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *shares) open(number blockstore.Share, r shareRecord) *share {
	slices.SortFunc(r.Members, func(a, b peer.ID) int { return cmp.Compare(a.String(), b.String()) })
	return &share{number: number, view: s.store.View(number), shareRecord: r}
}

// list returns the named shares, by number.
func (s *shares) list() []*share {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.named // never changed in place
}

// all returns the default share and then the named ones.
func (s *shares) all() []*share { return append([]*share{s.def}, s.list()...) }

// current returns a share as it is now; nil if it has been deleted.
func (s *shares) current(sh *share) *share {
	for _, now := range s.all() {
		if now.number == sh.number {
			return now
		}
	}
	return nil
}

// byName returns a share; the empty name is that of the default one. It fails with
// blockstore.ErrNotFound.
func (s *shares) byName(name string) (*share, error) {
	for _, sh := range s.all() {
		if sh.Name == name || name == "" {
			return sh, nil
		}
	}
	return nil, fmt.Errorf("share %q: %w", shorten(name), blockstore.ErrNotFound)
}

// with returns the shares that a trusted peer is a member of, the default one first.
func (s *shares) with(p peer.ID) []*share {
	return slices.DeleteFunc(s.all(), func(sh *share) bool { return !sh.has(p) })
}

// labels returns the labels of those shares.
func (s *shares) labels(p peer.ID) []string {
	var list []string
	for _, sh := range s.with(p) {
		list = append(list, sh.label())
	}
	return list
}

// errNoShare is the answer to a peer that names a share which is not here or which it
// is no member of.
func errNoShare() error {
	return &saga.Error{Code: saga.CodeRefused, Text: "this node has no such share with you; its owner has to add you to it, under the same id"}
}

// opened returns the share that a trusted peer means by an id: the default one by none.
func (s *shares) opened(p peer.ID, ids []string) (*share, error) {
	if len(ids) == 0 {
		return s.def, nil
	}
	if len(ids) > 1 {
		return nil, &saga.Error{Code: saga.CodeUnsupported, Text: "a scope of several shares"}
	}
	for _, sh := range s.list() {
		if sh.ID == ids[0] && sh.has(p) {
			return sh, nil
		}
	}
	s.offered(ids[0], p)
	return nil, errNoShare()
}

// offered notes a share that a peer has named in vain.
func (s *shares) offered(id string, p peer.ID) {
	if checkShareID(id) != nil {
		return
	}
	o := ShareOffer{ID: id, PeerID: p.String(), Seen: s.now().UTC().Truncate(time.Second)}
	s.mu.Lock()
	defer s.mu.Unlock()
	of := 0 // of the same peer
	s.offers = slices.DeleteFunc(s.offers, func(x ShareOffer) bool {
		if x.PeerID == o.PeerID {
			of++
		}
		return x.ID == o.ID && x.PeerID == o.PeerID
	})
	if of >= maxOffers/5 {
		i := slices.IndexFunc(s.offers, func(x ShareOffer) bool { return x.PeerID == o.PeerID })
		s.offers = slices.Delete(s.offers, max(i, 0), max(i, 0)+1)
	}
	s.offers = append(s.offers, o)
	s.offers = s.offers[max(0, len(s.offers)-maxOffers):]
}

// offerList returns what peers have named in vain and still would, newest first.
func (s *shares) offerList() []ShareOffer {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []ShareOffer{}
	for _, o := range slices.Backward(s.offers) {
		p, err := peer.Decode(o.PeerID)
		if err == nil && !slices.ContainsFunc(s.named, func(sh *share) bool { return sh.ID == o.ID && sh.has(p) }) {
			list = append(list, o)
		}
	}
	return list
}

// create makes a named share. What is forgotten everywhere is forgotten in it, too.
func (s *shares) create(ctx context.Context, r shareRecord) (*share, error) {
	s.change.Lock()
	defer s.change.Unlock()
	before := s.list()
	if len(before) >= maxShares {
		return nil, fmt.Errorf("%w: there are %d shares, which is as many as there may be", ErrInput, len(before))
	}
	for _, sh := range before {
		if strings.EqualFold(sh.Name, r.Name) || sh.ID == r.ID {
			return nil, fmt.Errorf("%w: there is a share %s with the id %s", ErrInput, sh.Name, sh.ID)
		}
	}
	r.Created = s.now().UTC().Truncate(time.Second)
	text, err := r.encode()
	if err != nil {
		return nil, err
	}
	number, err := s.store.CreateShare(text)
	if err != nil {
		return nil, err
	}
	sh := s.open(number, r)
	forgotten, err := s.def.view.Forgotten(ctx)
	for _, f := range forgotten {
		if f.Everywhere && err == nil {
			err = s.store.Forget(number, f.Root, true)
		}
	}
	if err != nil {
		return nil, err
	}
	s.put(sh)
	return sh, nil
}

// put enters a share in the list, in place of what it was before.
func (s *shares) put(sh *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(s.named), func(x *share) bool { return x.number == sh.number })
	list = append(list, sh)
	slices.SortFunc(list, func(a, b *share) int { return cmp.Compare(a.number, b.number) })
	s.named = list
}

// update changes what is kept of a share. f gets a copy of the record.
func (s *shares) update(name string, f func(*shareRecord) error) (*share, error) {
	s.change.Lock()
	defer s.change.Unlock()
	sh, err := s.namedShare(name)
	if err != nil {
		return nil, err
	}
	r := sh.shareRecord
	r.Members = slices.Clone(r.Members)
	if err := f(&r); err != nil {
		return nil, err
	}
	text, err := r.encode()
	if err != nil {
		return nil, err
	}
	if err := s.store.SetShare(sh.number, text); err != nil {
		return nil, err
	}
	sh = s.open(sh.number, r)
	s.put(sh)
	return sh, nil
}

// namedShare is byName without the default share.
func (s *shares) namedShare(name string) (*share, error) {
	sh, err := s.byName(name)
	if err == nil && !sh.isNamed() {
		err = fmt.Errorf("%w: the default share is what every trusted node gets; make one with share create", ErrInput)
	}
	return sh, err
}

// remove takes a share off the list. What it holds is for the caller to delete.
func (s *shares) remove(sh *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.named = slices.DeleteFunc(slices.Clone(s.named), func(x *share) bool { return x.number == sh.number })
}

// leave ends the membership of a peer in all shares: trust that is given to it again
// later is no reason to show it anything of them. It returns those it was a member of.
func (s *shares) leave(p peer.ID) (left []*share, err error) {
	for _, sh := range s.list() {
		if !sh.has(p) {
			continue
		}
		sh, err := s.update(sh.Name, func(r *shareRecord) error {
			r.Members = slices.DeleteFunc(r.Members, func(m peer.ID) bool { return m == p })
			return nil
		})
		if err != nil {
			return left, err
		}
		left = append(left, sh)
	}
	return left, nil
}

// homeOf returns the first share that has an entry of a root, the default one before
// others; nil if none has.
func (s *shares) homeOf(ctx context.Context, root ibgib.Hash) (*share, blockstore.Entry, error) {
	e, ok, err := s.def.view.Entry(ctx, root)
	if ok || err != nil {
		return s.def, e, err
	}
	for _, sh := range s.list() {
		if e, ok, err := sh.view.Entry(ctx, root); ok || err != nil {
			return sh, e, err
		}
	}
	return nil, blockstore.Entry{}, nil
}

// listing returns the shares that have an entry of a root.
func (s *shares) listing(ctx context.Context, root ibgib.Hash) ([]*share, error) {
	var list []*share
	for _, sh := range s.all() {
		_, ok, err := sh.view.Entry(ctx, root)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, sh)
		}
	}
	return list, nil
}
