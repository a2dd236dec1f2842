package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/saga"
)

// SagaVerification says whether the record of a saga holds: its transcript is whole and
// what a saga writes, and both sides have signed it.
type SagaVerification struct {
	SagaID string          `json:"sagaId"`
	Valid  bool            `json:"valid"`
	Last   ibgib.Addr      `json:"last,omitzero"` // the last frame of the transcript, which is signed
	Sides  []SagaSignature `json:"sides"`
	// Problem is what is wrong with the transcript itself; empty: nothing.
	Problem string `json:"problem,omitempty"`
}

// SagaSignature is that of one side.
type SagaSignature struct {
	PeerID   string     `json:"peerId"`
	Role     string     `json:"role"`
	Keystone ibgib.Addr `json:"keystone,omitzero"` // that authorises the session
	Session  ibgib.Addr `json:"session,omitzero"`
	Frame    ibgib.Addr `json:"frame,omitzero"` // of the session, which signs
	// Problem is what is wrong with it; empty: nothing.
	Problem string `json:"problem,omitempty"`
}

// VerifySaga checks the record of a saga and the signatures of both sides, from what is
// stored: transcript, sessions and keystones are replayed. id is as in Saga, and so are
// the errors.
func (n *Node) VerifySaga(ctx context.Context, id string) (SagaVerification, error) {
	v, err := n.verifySaga(ctx, id)
	if err != nil {
		return v, fmt.Errorf("node: verify saga %s: %w", shorten(id), err)
	}
	return v, nil
}

func (n *Node) verifySaga(ctx context.Context, id string) (SagaVerification, error) {
	r, err := n.sagaOf(ctx, id)
	if err != nil {
		return SagaVerification{}, err
	}
	v := SagaVerification{SagaID: r.SagaID, Sides: []SagaSignature{}}
	list, err := n.transcriptBelow(ctx, r.Addr)
	if err != nil {
		return v, err
	}
	t, err := saga.ReadTranscript(list)
	switch {
	case r.Error != nil:
		v.Problem = "the saga failed, so there is no transcript"
	case err != nil:
		v.Problem = err.Error()
	case t.ID != r.SagaID:
		v.Problem = "it is the transcript of another saga"
	}
	if v.Problem != "" {
		return v, nil
	}
	v.Last, v.Valid = t.Last, true
	for i, side := range []saga.Party{t.Initiator, t.Responder} {
		role := []saga.Role{saga.Initiator, saga.Responder}[i]
		s := SagaSignature{PeerID: side.Name, Role: role.String(), Session: side.Session}
		other := []saga.Party{t.Responder, t.Initiator}[i].Name
		if side.Name != n.id.id.String() && other != n.id.id.String() {
			s.Problem = "it is no saga of this node"
		} else if err := n.verifySignature(ctx, &s, other, t.Last); err != nil {
			if ctx.Err() != nil {
				return v, ctx.Err()
			}
			s.Problem = err.Error()
		}
		v.Valid = v.Valid && s.Problem == ""
		v.Sides = append(v.Sides, s)
	}
	return v, nil
}

// transcriptBelow returns the stones and frames of a transcript, oldest first, below the
// frame that records a saga.
func (n *Node) transcriptBelow(ctx context.Context, record ibgib.Addr) ([]ibgib.IbGib, error) {
	const most = 2 * 6 // stones and frames
	var list []ibgib.IbGib
	g, err := n.store.Get(ctx, record)
	for err == nil {
		past, ok := g.LastRel("past")
		if !ok {
			break
		}
		if len(list) == most {
			return nil, fmt.Errorf("%w: the transcript is too long", ErrFormat)
		}
		if g, err = n.store.Get(ctx, past); err != nil {
			break
		}
		var stone ibgib.IbGib
		if at, ok := g.LastRel("syncmsg"); ok {
			if stone, err = n.store.Get(ctx, at); errors.Is(err, blockstore.ErrNotFound) {
				err = nil // for the reader to notice
			}
		}
		list = append(list, g, stone)
	}
	slices.Reverse(list)
	return list, err
}

// verifySignature replays the keystones of one side, and finds its signature of the
// transcript that ends with last.
func (n *Node) verifySignature(ctx context.Context, s *SagaSignature, other string, last ibgib.Addr) error {
	if s.Session.IsZero() {
		return errors.New("it has named no session")
	}
	terms, err := n.book.Session(ctx, s.Session)
	if err != nil {
		return fmt.Errorf("its session: %w", err)
	}
	p, err := peer.Decode(s.PeerID)
	if err != nil {
		return err
	}
	key, err := keyOf(p)
	if err != nil {
		return err
	}
	peers, err := keystone.PeersOf(s.PeerID, other)
	if err != nil {
		return err
	}
	if terms.Peers != peers || !terms.Key.Equal(key) {
		return errors.New("its session is one of other peers")
	}
	primary, ok := n.book.Authority(terms)
	if !ok {
		return errors.New("no keystone that is known here authorises its session")
	}
	s.Keystone = primary.Genesis()
	h, err := n.book.History(s.Session)
	if err != nil {
		return err
	}
	at, signed := h.Signed(keystone.VerbTranscript, last)
	if !signed {
		return errors.New("it has not signed, or its signature has not come: it comes when the two meet again")
	}
	s.Frame = h.Addr(at)
	for _, genesis := range []ibgib.Addr{s.Session, s.Keystone} {
		report, err := n.VerifyKeystone(ctx, genesis)
		switch {
		case err != nil:
			return err
		case !report.Valid:
			return fmt.Errorf("the keystone %s is not valid: %d violations", genesis, len(report.Violations))
		}
	}
	if h.Status() == keystone.Disputed || primary.Status() == keystone.Disputed {
		return keystone.ErrDisputed
	}
	g, err := n.store.Get(ctx, s.Frame)
	if err != nil {
		return err
	}
	if d, err := keystone.Parse(g); err != nil || d.At.After(terms.Expires) {
		return fmt.Errorf("it signed after its session had expired, at %s", terms.Expires)
	}
	return nil
}
