package keystone

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// SessionLife is for how long a session may be good, from its first frame on.
const SessionLife = 30 * 24 * time.Hour

// maxPeer bounds the text of a peer id, in bytes.
const maxPeer = 128

// Members of the frameDetails of a session's first frame, beside cosigKeys.
const (
	memberPeers   = "peers"
	memberExpires = "expires"
)

// Reason says why a session is refused.
type Reason string

// The reasons. That a keystone is not trusted is for its caller to find out,
// before anything of it is looked at.
const (
	ReasonUnknown  Reason = "unknown"  // nothing that we have of the primary authorises the session
	ReasonRevoked  Reason = "revoked"  // the primary or the session
	ReasonDisputed Reason = "disputed" // the primary or the session
	ReasonExpired  Reason = "expired"
	ReasonBadProof Reason = "bad-proof" // not a session, of other peers, or a frame that does not prove what it has to
)

// SessionError is the error for a session that is refused.
type SessionError struct {
	Reason Reason
	Detail string // printable and bounded
	Err    error  // the cause, such as an *Invalid; may be nil
}

func (e *SessionError) Error() string {
	text := "keystone: session refused (" + string(e.Reason) + "): " + e.Detail
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *SessionError) Unwrap() error { return e.Err }

func refuse(reason Reason, err error, format string, args ...any) error {
	return &SessionError{Reason: reason, Detail: fmt.Sprintf(format, args...), Err: err}
}

// Peers names the two ends of a connection by their peer ids, sorted.
type Peers [2]string

// PeersOf returns the two in order. The error is for ids that are empty, too
// long or the same.
func PeersOf(a, b string) (Peers, error) {
	p := Peers{min(a, b), max(a, b)}
	if !p.valid() {
		return Peers{}, fmt.Errorf("keystone: %s and %s are not two peers", clip(a), clip(b))
	}
	return p, nil
}

func (p Peers) valid() bool {
	return p[0] != "" && p[0] < p[1] && len(p[0]) <= maxPeer && len(p[1]) <= maxPeer
}

func (p Peers) value() ibgib.Value {
	return ibgib.Array(ibgib.String(p[0]), ibgib.String(p[1]))
}

// Session is what the first frame of a session keystone says.
type Session struct {
	Genesis ibgib.Addr
	Peers   Peers
	Begins  time.Time
	Expires time.Time
	Key     ed25519.PublicKey // of the side whose session it is
}

// BeginSession makes the first frame of a session keystone, which has a secret
// of its own, between two peers. It expires SessionLife after the time that
// s.Env tells. The primary authorises it by a frame of VerbSync about it.
func (s Signer) BeginSession(peers Peers) (ibgib.IbGib, error) {
	if !peers.valid() {
		return ibgib.IbGib{}, errors.New("keystone: begin session: it needs two peers")
	}
	if len(s.Key) != ed25519.PrivateKeySize {
		return ibgib.IbGib{}, fmt.Errorf("keystone: begin session: %w", ErrCosigKey)
	}
	begins := s.Env.Now()
	s.Env.Now = func() time.Time { return begins }
	return s.Begin(Genesis{
		Configs:   []Config{SessionConfig()},
		CosigKeys: []ed25519.PublicKey{s.Key.Public().(ed25519.PublicKey)},
		Details: ibgib.Object(
			ibgib.Member{Name: memberPeers, Value: peers.value()},
			ibgib.Member{Name: memberExpires, Value: ibgib.Number(float64(begins.Add(SessionLife).UnixMilli()))},
		),
	})
}

// ReadSession reads the first frame of a session keystone. Its pools are those of
// SessionConfig, it lists one key, and says for which peers it is and when it
// expires. The error is a *SessionError of ReasonBadProof.
func ReadSession(first ibgib.IbGib) (Session, error) {
	bad := func(format string, args ...any) (Session, error) {
		return Session{}, refuse(ReasonBadProof, nil, "%s is no session: "+format, append([]any{clip(first.Addr().String())}, args...)...)
	}
	h, err := Begin(first)
	if err != nil {
		return Session{}, refuse(ReasonBadProof, err, "%s is no keystone", clip(first.Addr().String()))
	}
	d := h.tip.d
	if len(d.Pools) != 1 || d.Pools[0].shell != newPool(SessionConfig()).shell {
		return bad("other pools than a session has")
	}
	if len(h.keys) != 1 || len(d.Details.Members()) != 3 {
		return bad("frameDetails are not one key, peers and expires")
	}
	s := Session{Genesis: first.Addr(), Begins: d.At, Key: h.keys[0]}
	list, _ := d.Details.Get(memberPeers)
	items := list.Items()
	if len(items) != 2 {
		return bad("peers is no list of two: %s", shown(list))
	}
	s.Peers = Peers{items[0].Str(), items[1].Str()}
	if !s.Peers.valid() {
		return bad("peers is no sorted list of two peer ids: %s", shown(list))
	}
	expires, _ := d.Details.Get(memberExpires)
	ms := expires.Number()
	if expires.Kind() != ibgib.KindNumber || ms != math.Trunc(ms) || ms < 0 || ms > float64(d.At.Add(SessionLife).UnixMilli()) {
		return bad("expires is no time within %d days of its beginning: %s", int(SessionLife.Hours()/24), shown(expires))
	}
	s.Expires = time.UnixMilli(int64(ms)).UTC()
	return s, nil
}

// CheckSession decides whether session, whose first frame is first, speaks for
// primary at the time now, between two peers of which the one with key is the
// owner; the channel has proven that key. Whether primary is trusted has been
// asked before. The error is a *SessionError.
func CheckSession(primary, session *History, first ibgib.IbGib, peers Peers, key ed25519.PublicKey, now time.Time) (Session, error) {
	s, err := ReadSession(first)
	if err != nil {
		return Session{}, err
	}
	who := clip(s.Genesis.String())
	if session.Genesis() != s.Genesis {
		return Session{}, refuse(ReasonBadProof, nil, "%s is another keystone's first frame", who)
	}
	for _, h := range []*History{primary, session} {
		switch h.Status() {
		case Revoked:
			return Session{}, refuse(ReasonRevoked, nil, "%s is revoked", clip(h.Genesis().String()))
		case Disputed:
			return Session{}, refuse(ReasonDisputed, nil, "%s is disputed", clip(h.Genesis().String()))
		}
	}
	_, authorised := primary.Signed(VerbSync, s.Genesis)
	switch {
	case len(primary.keys) == 0:
		return Session{}, refuse(ReasonBadProof, nil, "the primary %s is not co-signed: whoever sees a frame of it could authorise a session", clip(primary.Genesis().String()))
	case !authorised:
		return Session{}, refuse(ReasonUnknown, nil, "no frame of %s authorises %s", clip(primary.Genesis().String()), who)
	case s.Peers != peers:
		return Session{}, refuse(ReasonBadProof, nil, "%s is a session of %s and %s", who, clip(s.Peers[0]), clip(s.Peers[1]))
	case !s.Key.Equal(key):
		return Session{}, refuse(ReasonBadProof, nil, "%s is not a session of the peer that shows it", who)
	case !now.Before(s.Expires):
		return Session{}, refuse(ReasonExpired, nil, "%s expired at %s", who, s.Expires.Format(time.RFC3339))
	}
	return s, nil
}

// End is one end of a connection.
type End struct {
	Peer  string
	Nonce [32]byte // random, fresh for every connection
}

// Connection returns the stone whose address both sides sign once on a
// connection; it is the same whichever end is named first. The stone does not
// travel.
//
//	ib  sync_connection
//	data  {peers: [both ids, sorted], nonces: [lower-case hex, in the order of the peers]}
//	rel8ns  ancestor [sync_connection^gib]
func Connection(a, b End) (ibgib.IbGib, error) {
	const ib = "sync_connection"
	peers, err := PeersOf(a.Peer, b.Peer)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	if peers[0] != a.Peer {
		a, b = b, a
	}
	return ibgib.Stone(ibgib.StoneOptions{
		Ib: ib, Parent: ib,
		Data: ibgib.Object(
			ibgib.Member{Name: memberPeers, Value: peers.value()},
			ibgib.Member{Name: "nonces", Value: ibgib.Array(
				ibgib.String(hex.EncodeToString(a.Nonce[:])),
				ibgib.String(hex.EncodeToString(b.Nonce[:])),
			)},
		),
	}, ibgib.Env{})
}

// Accept takes a frame by which the other side's session proves a claim: on a
// connection VerbConnect about the Connection stone, at the end of a saga
// VerbTranscript about the last frame of its transcript. The frame has to be the
// next one of the session, and becomes its tip. The error is a *SessionError,
// and the session is then what it was.
func (h *History) Accept(frame ibgib.IbGib, verb string, target ibgib.Addr) error {
	d, err := Parse(frame)
	if err != nil {
		return refuse(ReasonBadProof, err, "the proof cannot be read")
	}
	if !slices.ContainsFunc(d.Proofs, func(p Proof) bool { return p.Claim.Says(verb, target) }) {
		return refuse(ReasonBadProof, nil, "the frame does not claim %s about %s", clip(verb), clip(target.String()))
	}
	if h.Has(frame.Addr()) {
		return refuse(ReasonBadProof, nil, "the frame has been shown before")
	}
	switch h.Status() {
	case Disputed:
		return refuse(ReasonDisputed, nil, "%s is disputed", clip(h.genesis.String()))
	case Revoked:
		return refuse(ReasonRevoked, nil, "%s is revoked", clip(h.genesis.String()))
	}
	if err := h.Add(frame); err != nil {
		return refuse(ReasonBadProof, err, "the proof is not the next frame of the session")
	}
	return nil
}
