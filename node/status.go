package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/ibgib"
)

// Status says how a node is doing, at a glance. Two nodes with the same number of
// entries and the same fingerprint have the same heads of the same timelines.
type Status struct {
	Identity
	Running bool      `json:"running"`         // it is started: it listens, and syncs by itself
	Since   time.Time `json:"since,omitzero"`  // when it was started
	Data    string    `json:"data"`            // directory
	Mesh    string    `json:"mesh,omitempty"`  // name; empty with a secret, which takes its place
	Secret  bool      `json:"meshSecret"`      // it has a mesh secret
	Trust   TrustMode `json:"trust,omitempty"` // of a started node
	// Search says how the search of the local network goes: on, off, or why it
	// cannot be done now.
	Search string `json:"search,omitempty"`

	// Of a started node that has to do with others than those on the local network.
	DHT          *DHTStatus    `json:"dht,omitempty"`
	Reachability *Reachability `json:"reachability,omitempty"`

	Trusted   int `json:"trusted"`   // peers
	Connected int `json:"connected"` // of them
	Pending   int `json:"pending"`   // strangers that asked
	Syncing   int `json:"syncing"`   // sagas that are running
	Wants     int `json:"wants"`     // heads that this node lacks of what trusted peers named

	Keystone ibgib.Addr   `json:"keystone"` // first frame of the node's
	Signs    SigningState `json:"signs"`    // whether it can sign

	Entries     uint64 `json:"entries"`     // timelines and pinned stones of the default share
	Fingerprint string `json:"fingerprint"` // hex, over their heads
	// Shares are the same of the named shares.
	Shares []ShareStatus `json:"shares,omitempty"`
}

// ShareStatus says how a named share is doing: members with the same number of entries
// and the same fingerprint have the same.
type ShareStatus struct {
	Name        string `json:"name"`
	Members     int    `json:"members"`
	Entries     uint64 `json:"entries"`
	Fingerprint string `json:"fingerprint"`
}

// DHTStatus says how the part goes that a node takes in a DHT.
type DHTStatus struct {
	Mode      dht.Mode `json:"mode"`              // server: it answers others, now; client: it only asks
	Public    bool     `json:"public"`            // it is that of IPFS
	Peers     int      `json:"peers"`             // that it asks; 0: it has not entered it
	Announced int      `json:"announced"`         // keys: timelines, and one for the mesh
	Records   int      `json:"records"`           // kept for others, the newest up to 256 not counted
	Dropped   int      `json:"dropped,omitempty"` // of others, since there was no room for them, since the start
	Problem   string   `json:"problem,omitempty"` // why it could not be entered at the last attempt
}

// dhtStatus returns how the DHT goes; nil if there is none.
func (n *Node) dhtStatus() *DHTStatus {
	w := n.wide.Load()
	if w == nil {
		return nil
	}
	k := w.kad.State()
	s := &DHTStatus{Mode: k.Mode, Public: k.Public, Peers: k.Peers, Announced: k.Announced, Records: k.Records, Dropped: k.Dropped}
	// A bootstrap node is where others begin.
	if k.Err != nil && !(n.reach.Role == RoleBootstrap && errors.Is(k.Err, dht.ErrNoBootstrap)) {
		s.Problem = k.Err.Error()
	}
	return s
}

// searchOn and searchOff are Status.Search where nothing is wrong.
const (
	searchOn  = "on"
	searchOff = "off"
)

// Status returns how the node is doing.
func (n *Node) Status(ctx context.Context) (Status, error) {
	s := Status{Identity: n.Identity(), Data: n.DataDir(), Wants: len(n.Wants()), Syncing: n.sagas.count()}
	n.mu.Lock()
	h := n.host
	s.Running, s.Since = h != nil, n.started
	n.mu.Unlock()
	if s.Running {
		s.DHT, s.Reachability = n.dhtStatus(), n.reachability(h)
		s.Secret, s.Trust, s.Search = n.mesh.secret != nil, n.mesh.Trust, searchOff
		if !s.Secret {
			s.Mesh = n.mesh.Name
		}
		if search := n.search.Load(); search != nil {
			s.Search = *search
		}
	}
	peers, err := n.Peers(ctx)
	if err != nil {
		return s, err
	}
	for _, p := range peers {
		switch {
		case p.Trusted && p.Connected:
			s.Trusted++
			s.Connected++
		case p.Trusted:
			s.Trusted++
		case p.Asked > 0:
			s.Pending++
		}
	}
	s.Keystone, s.Signs = n.self.Genesis(), SignsNoSecret
	if h, err := n.self.History(); err == nil {
		s.Signs = signs(n.self.Summary(), h.Status())
	}
	fp, err := n.view.Fingerprint(ctx)
	if err != nil {
		return s, fmt.Errorf("node: status: %w", err)
	}
	sum := fp.Sum()
	s.Entries, s.Fingerprint = fp.Count(), hex.EncodeToString(sum[:])
	for _, sh := range n.shares.list() {
		fp, err := sh.view.Fingerprint(ctx)
		if err != nil {
			return s, fmt.Errorf("node: status: %w", err)
		}
		s.Shares = append(s.Shares, ShareStatus{sh.Name, len(sh.Members), fp.Count(), fmt.Sprintf("%x", fp.Sum())})
	}
	return s, nil
}
