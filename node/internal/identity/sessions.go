package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

const (
	// MaxSessionFrames bounds the frames of a session; some 11 MB. A longer one is
	// refused.
	MaxSessionFrames = 4096
	// freshFrames is how many frames a session may have, and freshFor how long it must
	// still be good, for another connection to be proved by it.
	freshFrames = MaxSessionFrames - 512
	freshFor    = 24 * time.Hour
	// maxSessions bounds with how many peers there is a session.
	maxSessions     = 10_000
	sessionsVersion = 1
)

// ErrNoSession says that there is no session with a peer that can sign.
var ErrNoSession = errors.New("no session with this peer")

// Sessions are the session keystones by which the node speaks to its peers: with each
// of them one, which the primary has authorised. Their secrets derive from that of the
// primary, so what is stored is not secret. They are safe for concurrent use.
type Sessions struct {
	id   *Identity
	self string // peer id of the node
	path string

	begin sync.Mutex // held while a session begins; taken before id.mu

	mu     sync.Mutex // guards what follows
	own    map[string]session
	theirs map[string]ibgib.Addr // the last session that a peer has proved itself by
}

// session is one of them, as the file has it.
type session struct {
	Peer    string     `json:"peer"`
	Genesis ibgib.Addr `json:"genesis"`
	Primary ibgib.Addr `json:"primary"` // that authorises it
	Salt    []byte     `json:"salt"`
	Expires time.Time  `json:"expires"`
	// As those of state. A session of another copy of the node is never used, since
	// the other copy may have signed with it.
	Epoch string `json:"epoch"`
	Place string `json:"place"`

	begun bool // by this process, so nobody has signed with it since it was stored
}

type sessionsFile struct {
	Version  int                   `json:"version"`
	Sessions []session             `json:"sessions"`
	Theirs   map[string]ibgib.Addr `json:"theirs,omitempty"` // by peer id
}

// OpenSessions reads the sessions of the node, which has the peer id self, from a
// file; there need not be one.
func OpenSessions(path string, id *Identity, self string) (*Sessions, error) {
	s := &Sessions{id: id, self: self, path: path, own: make(map[string]session), theirs: make(map[string]ibgib.Addr)}
	var file sessionsFile
	found, err := datadir.ReadJSON(path, &file)
	switch {
	case err != nil:
		return nil, fmt.Errorf("sessions: %w", err)
	case !found:
		return s, nil
	case file.Version != sessionsVersion:
		return nil, fmt.Errorf("sessions: %s has version %d, this program knows %d", path, file.Version, sessionsVersion)
	}
	for _, own := range file.Sessions {
		s.own[own.Peer] = own
	}
	maps.Copy(s.theirs, file.Theirs)
	return s, nil
}

// Of returns the first frame of the session with a peer; zero if there is none.
func (s *Sessions) Of(peer string) ibgib.Addr { return s.with(peer).Genesis }

func (s *Sessions) with(peer string) session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own[peer]
}

// Has tells whether Renew returns a session that there is.
func (s *Sessions) Has(peer string) bool { return s.usable(s.with(peer), freshFrames, freshFor) }

// Able tells whether Renew can return a session; if not, the error is the one of it.
func (s *Sessions) Able(peer string) error {
	if s.Has(peer) {
		return nil
	}
	primary := s.id.Genesis()
	signer, err := s.signer(session{Primary: primary, Salt: make([]byte, 32)})
	if err != nil {
		return fmt.Errorf("identity: begin a session: %w", err)
	}
	signer.Secret.Zero()
	switch h := s.id.book.history(primary); {
	case h == nil:
		return fmt.Errorf("identity: begin a session: %w", ErrUnknown)
	case h.Status() == keystone.Revoked:
		return fmt.Errorf("identity: begin a session: %w", keystone.ErrRevoked)
	case h.Status() == keystone.Disputed:
		return fmt.Errorf("identity: begin a session: %w", keystone.ErrDisputed)
	}
	return nil
}

// GiveUp ends the session with a peer of which genesis is the first frame, since
// another state of the node may have signed with it. It does nothing to one that has begun
// in this process, and so was not restored.
func (s *Sessions) GiveUp(peer string, genesis ibgib.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	own, ok := s.own[peer]
	if !ok || own.begun || own.Genesis != genesis {
		return nil
	}
	all := maps.Clone(s.own)
	delete(all, peer)
	return s.write(all, s.theirs)
}

// Renew returns the first frame of a session with a peer that is good for a new
// connection: the one that there is, or one that begins now. Then the primary has
// signed, and all of it is durable. Errors are as those of Identity.Sign.
func (s *Sessions) Renew(ctx context.Context, peer string) (ibgib.Addr, error) {
	s.begin.Lock()
	defer s.begin.Unlock()
	if own := s.with(peer); s.usable(own, freshFrames, freshFor) {
		return own.Genesis, nil
	}
	genesis, err := s.start(ctx, peer)
	if err != nil {
		return ibgib.Addr{}, fmt.Errorf("identity: begin a session: %w", err)
	}
	return genesis, nil
}

// usable tells whether a session can sign when it has fewer than that many frames and
// is good for that long.
func (s *Sessions) usable(own session, frames int, good time.Duration) bool {
	if own.Genesis.IsZero() || own.Epoch != s.id.epoch || own.Place != s.id.place {
		return false
	}
	h, primary := s.id.book.history(own.Genesis), s.id.book.history(own.Primary)
	if h == nil || primary == nil || s.id.Genesis() != own.Primary || s.id.book.wasCut(own.Genesis) {
		return false
	}
	_, authorised := primary.Signed(keystone.VerbSync, own.Genesis)
	return authorised && h.Status() == keystone.Valid && primary.Status() == keystone.Valid &&
		h.Len() < frames && s.id.env.Now().Add(good).Before(own.Expires)
}

// start begins a session, with s.begin held.
func (s *Sessions) start(ctx context.Context, peer string) (ibgib.Addr, error) {
	peers, err := keystone.PeersOf(s.self, peer)
	if err != nil {
		return ibgib.Addr{}, err
	}
	primary := s.id.Genesis()
	own := session{Peer: peer, Primary: primary, Salt: make([]byte, 32), Epoch: s.id.epoch, Place: s.id.place, begun: true}
	if _, err := rand.Read(own.Salt); err != nil {
		return ibgib.Addr{}, err
	}
	signer, err := s.signer(own)
	if err != nil {
		return ibgib.Addr{}, err
	}
	defer signer.Secret.Zero()
	first, err := signer.BeginSession(peers)
	if err != nil {
		return ibgib.Addr{}, err
	}
	terms, err := keystone.ReadSession(first)
	if err != nil {
		return ibgib.Addr{}, err
	}
	own.Genesis, own.Expires = first.Addr(), terms.Expires
	if _, err := s.id.book.Extend(ctx, "", []ibgib.IbGib{first}); err != nil {
		return ibgib.Addr{}, err
	}
	if err := s.keep(own); err != nil {
		return ibgib.Addr{}, err
	}
	// A session without this is never used.
	claim := keystone.Claim{Verb: keystone.VerbSync, Target: own.Genesis}
	_, err = s.id.next(ctx, true, func(signer keystone.Signer, h *keystone.History) (ibgib.IbGib, error) {
		if h.Genesis() != primary {
			return ibgib.IbGib{}, ErrNoSession // it has been rotated meanwhile
		}
		return signer.Sign(h, keystone.Request{Claim: claim})
	})
	return own.Genesis, err
}

// signer returns what signs for a session. Its secret is to be wiped.
func (s *Sessions) signer(own session) (keystone.Signer, error) {
	if len(own.Salt) != 32 {
		return keystone.Signer{}, fmt.Errorf("%w: %s: a salt of %d bytes", ErrNoSession, s.path, len(own.Salt))
	}
	s.id.mu.Lock()
	defer s.id.mu.Unlock()
	if s.id.hasNoSecret() {
		return keystone.Signer{}, ErrNoSecret // no confirmation helps
	}
	if !s.id.confirmed {
		return keystone.Signer{}, ErrUnconfirmed
	}
	if s.id.state.Genesis != own.Primary {
		return keystone.Signer{}, ErrNoSession
	}
	if err := s.id.unlock(); err != nil {
		return keystone.Signer{}, err
	}
	secret, err := s.id.secret.Session([32]byte(own.Salt))
	if err != nil {
		return keystone.Signer{}, err
	}
	return s.id.signer(secret), nil
}

// Sign makes the next frame of the session with a peer, of which genesis is the first;
// it is durable when Sign returns. It fails with ErrNoSession if that session cannot
// sign any more, and otherwise as Identity.Sign does.
func (s *Sessions) Sign(ctx context.Context, peer string, genesis ibgib.Addr, claim keystone.Claim) (ibgib.IbGib, error) {
	fail := func(err error) (ibgib.IbGib, error) {
		return ibgib.IbGib{}, fmt.Errorf("identity: sign for the session with %s: %w", peer, err)
	}
	own := s.with(peer)
	if own.Genesis != genesis || !s.usable(own, MaxSessionFrames, 0) {
		return fail(ErrNoSession)
	}
	signer, err := s.signer(own)
	if err != nil {
		return fail(err)
	}
	defer signer.Secret.Zero()
	var made ibgib.IbGib
	if err := s.id.book.append(ctx, genesis, func(h *keystone.History) (_ []ibgib.IbGib, err error) {
		made, err = signer.Sign(h, keystone.Request{Claim: claim})
		return []ibgib.IbGib{made}, err
	}); err != nil {
		return fail(err)
	}
	return made, nil
}

// InUse returns the sessions by which the node and its peers have spoken last.
func (s *Sessions) InUse() []ibgib.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Collect(maps.Values(s.theirs))
	for _, own := range s.own {
		list = append(list, own.Genesis)
	}
	return list
}

// Theirs returns the session by which a peer has proved itself last; zero for none.
func (s *Sessions) Theirs(peer string) ibgib.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.theirs[peer]
}

// Note remembers by which session a peer has proved itself.
func (s *Sessions) Note(peer string, genesis ibgib.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.theirs[peer] == genesis {
		return nil
	}
	theirs := maps.Clone(s.theirs)
	theirs[peer] = genesis
	return s.write(s.own, theirs)
}

// keep remembers a session of the node, in the place of that with the same peer.
func (s *Sessions) keep(own session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := maps.Clone(s.own)
	all[own.Peer] = own
	now := s.id.env.Now()
	maps.DeleteFunc(all, func(_ string, o session) bool { return !now.Before(o.Expires) })
	return s.write(all, s.theirs)
}

// write writes the file, with s.mu held.
func (s *Sessions) write(own map[string]session, theirs map[string]ibgib.Addr) error {
	if len(own) > maxSessions || len(theirs) > maxSessions {
		return fmt.Errorf("sessions: %w: with too many peers", ErrFull)
	}
	file := sessionsFile{Version: sessionsVersion, Sessions: slices.Collect(maps.Values(own)), Theirs: theirs}
	slices.SortFunc(file.Sessions, func(a, b session) int { return ibgib.CompareAddr(a.Genesis, b.Genesis) })
	if err := datadir.WriteJSON(s.path, file); err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	s.own, s.theirs = own, theirs
	return nil
}
