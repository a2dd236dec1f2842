package node

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

// What is kept of the peers that were seen.
const (
	maxContacts     = 1000
	maxContactAddrs = 8
)

// contacts are the addresses of trusted peers, kept in a file, so that they can be
// dialled after a restart without anybody's help. Nothing of strangers is kept.
type contacts struct {
	path string
	now  func() time.Time

	mu      sync.Mutex
	list    map[peer.ID]knownPeer
	changed bool // since the file was written
}

// knownPeer is what is known of one peer.
type knownPeer struct {
	PeerID peer.ID `json:"peerId"`
	// Addrs are at most 8 multiaddrs without the peer id, those first at which it was
	// reached last.
	Addrs   []string  `json:"addrs"`
	Seen    time.Time `json:"seen"`             // when it was last connected or found
	Reached time.Time `json:"reached,omitzero"` // when it was last dialled with success
}

// contactsFile is the content of the file.
type contactsFile struct {
	Version int         `json:"version"`
	Peers   []knownPeer `json:"peers"`
}

const contactsFileVersion = 1

// loadContacts reads the file. One that is missing or damaged is none: the peers
// will be seen again.
func loadContacts(path string, now func() time.Time) (*contacts, error) {
	c := &contacts{path: path, now: now, list: make(map[peer.ID]knownPeer)}
	var file contactsFile
	_, err := datadir.ReadJSON(path, &file)
	if err != nil && !errors.Is(err, datadir.ErrDamaged) {
		return nil, fmt.Errorf("contacts: %w", err)
	}
	if err != nil || file.Version != contactsFileVersion {
		return c, nil
	}
	for _, k := range file.Peers[:min(len(file.Peers), maxContacts)] {
		k.Addrs = k.Addrs[:min(len(k.Addrs), maxContactAddrs)]
		c.list[k.PeerID] = k
	}
	return c, nil
}

// saw notes that a trusted peer is there, with addresses that it has or may have.
func (c *contacts) saw(p peer.ID, addrs []ma.Multiaddr) { c.note(p, addrs, false) }

// reached notes that a trusted peer was dialled with success.
func (c *contacts) reached(p peer.ID, addr ma.Multiaddr) { c.note(p, []ma.Multiaddr{addr}, true) }

func (c *contacts) note(p peer.ID, addrs []ma.Multiaddr, reached bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.list[p]
	k.PeerID, k.Seen = p, c.now().UTC().Truncate(time.Second)
	var texts []string
	for _, a := range addrs {
		if isDirect(a) {
			texts = append(texts, a.String())
		}
	}
	if reached {
		k.Reached = k.Seen
		k.Addrs = append(texts, k.Addrs...)
	} else if len(texts) > 0 {
		// What it says now counts more than what it said before, but not more than
		// where it was reached.
		k.Addrs = append(append(slices.Clone(k.Addrs[:min(len(k.Addrs), 1)]), texts...), k.Addrs...)
	}
	var distinct []string
	for _, a := range k.Addrs {
		if !slices.Contains(distinct, a) && len(distinct) < maxContactAddrs {
			distinct = append(distinct, a)
		}
	}
	k.Addrs = distinct
	c.list[p] = k
	c.changed = true
	if len(c.list) > maxContacts {
		delete(c.list, c.oldest())
	}
}

func (c *contacts) oldest() peer.ID {
	var old knownPeer
	for _, k := range c.list {
		if old.PeerID == "" || k.Seen.Before(old.Seen) {
			old = k
		}
	}
	return old.PeerID
}

// forget removes a peer that is no longer trusted.
func (c *contacts) forget(p peer.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.list[p]; ok {
		delete(c.list, p)
		c.changed = true
	}
}

// addrs returns where a peer may be reached, the likeliest first.
func (c *contacts) addrs(p peer.ID) []ma.Multiaddr {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []ma.Multiaddr
	for _, s := range c.list[p].Addrs {
		if a, err := ma.NewMultiaddr(s); err == nil && isDirect(a) {
			list = append(list, a)
		}
	}
	return list
}

// show fills in what is known of a peer that is not connected.
func (c *contacts) show(p peer.ID, to *Peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.list[p]; ok {
		to.LastSeen = k.Seen
		if len(to.Addrs) == 0 {
			to.Addrs = slices.Clone(k.Addrs)
		}
	}
}

// save writes the file, if there is something new.
func (c *contacts) save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.changed {
		return nil
	}
	file := contactsFile{Version: contactsFileVersion, Peers: make([]knownPeer, 0, len(c.list))}
	for _, k := range c.list {
		file.Peers = append(file.Peers, k)
	}
	slices.SortFunc(file.Peers, func(a, b knownPeer) int { return cmp.Compare(a.PeerID.String(), b.PeerID.String()) })
	if err := datadir.WriteJSON(c.path, file); err != nil {
		return fmt.Errorf("contacts: %w", err)
	}
	c.changed = false
	return nil
}

// isDirect tells whether an address leads to a peer itself, by TCP, QUIC or WebSocket.
// Those of other transports bear certificates that are good for some days only.
func isDirect(a ma.Multiaddr) bool {
	protocols := strings.TrimSuffix(strings.TrimSuffix(protocolsOf(a), "/ws"), "/tls")
	switch protocols {
	case "ip4/tcp", "ip6/tcp", "ip4/udp/quic-v1", "ip6/udp/quic-v1", "dns4/tcp", "dns6/tcp", "dns/tcp",
		"dns4/udp/quic-v1", "dns6/udp/quic-v1", "dns/udp/quic-v1":
		return true
	}
	return false
}
