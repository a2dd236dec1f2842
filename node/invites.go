package node

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
	"github.com/ibgib/ibgib-node/protocol"
)

// Invite is what one person gives to another, so that their nodes trust each other
// when the other one redeems it.
type Invite struct {
	// Text is all of the invite in one word. Whoever has it can redeem it, once.
	Text     string     `json:"invite"`
	PeerID   string     `json:"peerId"`
	Keystone ibgib.Addr `json:"keystone"`
	Addrs    []string   `json:"addrs"`
	Expires  time.Time  `json:"expires"`
}

const (
	// InviteLife is how long an invite can be redeemed.
	InviteLife = 24 * time.Hour
	// invitePrefix begins the text of an invite.
	invitePrefix = "ibgib-invite:"
	// maxInvites bounds the invites of a node that have not expired.
	maxInvites = 32
	// maxInviteText and maxInviteAddrs bound an invite of another node.
	maxInviteText  = 8 << 10
	maxInviteAddrs = 16
	inviteSecret   = 16 // bytes
)

// IsInvite tells whether text looks like an invite.
func IsInvite(text string) bool { return strings.HasPrefix(text, invitePrefix) }

// inviteText is the content of the text of an invite; see protocol/SPEC.md.
type inviteText struct {
	Version  int        `json:"v"`
	Peer     peer.ID    `json:"peer"`
	Keystone ibgib.Addr `json:"keystone"`
	Addrs    []string   `json:"addrs"`
	Secret   string     `json:"secret"`
	Expires  int64      `json:"expires"`
}

// invitation is an invite of another node that has been read.
type invitation struct {
	peer     peer.AddrInfo
	keystone ibgib.Addr
	key      protocol.InviteKey
	expires  time.Time
}

// parseInvite reads the text of an invite. Errors wrap ErrInput and do not show it.
func parseInvite(text string) (i invitation, err error) {
	bad := func(why string) (invitation, error) {
		return invitation{}, fmt.Errorf("%w: the invite is damaged: %s", ErrInput, why)
	}
	text = strings.TrimSpace(text)
	if !IsInvite(text) || len(text) > maxInviteText {
		return bad("it must begin with " + invitePrefix)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text[len(invitePrefix):])
	if err != nil {
		return bad("characters are missing or wrong")
	}
	var t inviteText
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil || d.More() {
		return bad("it holds something else")
	}
	if t.Version != 1 {
		return bad(fmt.Sprintf("it has version %d, this program knows 1", t.Version))
	}
	if t.Peer.Validate() != nil || t.Keystone.IsZero() || len(t.Addrs) > maxInviteAddrs {
		return bad("it names no node")
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(t.Secret)
	if err != nil {
		return bad("it has no secret")
	}
	defer clear(secret)
	if i.key, err = protocol.NewInviteKey(secret); err != nil {
		return bad("its secret is too short")
	}
	i.peer.ID, i.keystone, i.expires = t.Peer, t.Keystone, time.Unix(t.Expires, 0)
	for _, s := range t.Addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return bad("an address of it")
		}
		i.peer.Addrs = append(i.peer.Addrs, a)
	}
	return i, nil
}

// invites are those that this node has made, in a file, as keys derived from their
// secrets.
type invites struct {
	path string
	now  func() time.Time

	mu   sync.Mutex
	open []inviteRecord
}

type inviteRecord struct {
	Key     string    `json:"key"` // hex
	Expires time.Time `json:"expires"`
	UsedBy  peer.ID   `json:"usedBy,omitempty"`
}

type invitesFile struct {
	Version int            `json:"version"`
	Invites []inviteRecord `json:"invites"`
}

const invitesFileVersion = 1

func loadInvites(path string, now func() time.Time) (*invites, error) {
	l := &invites{path: path, now: now}
	var file invitesFile
	found, err := datadir.ReadJSON(path, &file)
	switch {
	case err != nil:
		return nil, fmt.Errorf("invites: %w", err)
	case !found:
		return l, nil
	case file.Version != invitesFileVersion:
		return nil, fmt.Errorf("invites: %s has version %d, this program knows %d", path, file.Version, invitesFileVersion)
	}
	l.open = file.Invites
	return l, nil
}

// make makes an invite. It fails with ErrInput if too many are open.
func (l *invites) make() (secret []byte, expires time.Time, err error) {
	secret = make([]byte, inviteSecret)
	if _, err := rand.Read(secret); err != nil {
		return nil, expires, err
	}
	key, err := protocol.NewInviteKey(secret)
	if err != nil {
		return nil, expires, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	expires = l.now().Add(InviteLife).UTC().Truncate(time.Second)
	left := l.left()
	if len(left) >= maxInvites {
		return nil, expires, fmt.Errorf("%w: %d invites are open already; the oldest expires at %s", ErrInput, len(left), left[0].Expires.Format(time.DateTime))
	}
	return secret, expires, l.save(append(left, inviteRecord{Key: hex.EncodeToString(key[:]), Expires: expires}))
}

// left returns the invites that have not expired, oldest first, with l.mu held.
func (l *invites) left() []inviteRecord {
	now := l.now()
	return slices.DeleteFunc(slices.Clone(l.open), func(r inviteRecord) bool { return !r.Expires.After(now) })
}

// redeem finds the invite that fits among those that p may use, and notes that p has
// used it. false if there is none.
func (l *invites) redeem(p peer.ID, fits func(protocol.InviteKey) bool) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := l.left()
	for i, r := range left {
		raw, err := hex.DecodeString(r.Key)
		if err != nil || len(raw) != len(protocol.InviteKey{}) || r.UsedBy != "" && r.UsedBy != p {
			continue
		}
		if !fits(protocol.InviteKey(raw)) {
			continue
		}
		if r.UsedBy == p {
			return true, nil
		}
		left[i].UsedBy = p
		return true, l.save(left)
	}
	return false, nil
}

// save writes the file, with l.mu held.
func (l *invites) save(list []inviteRecord) error {
	if err := datadir.WriteJSON(l.path, invitesFile{invitesFileVersion, list}); err != nil {
		return fmt.Errorf("invites: %w", err)
	}
	l.open = list
	return nil
}
