package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// TrustMode says whom a node trusts beside those that a person names.
type TrustMode string

// The trust modes.
const (
	TrustManual TrustMode = "manual" // nobody
	// TrustLAN trusts peers that prove the mesh secret over a direct connection from
	// a subnet of one of this machine's interfaces. Loopback is none, unless the
	// node was told to listen there and nowhere else.
	TrustLAN TrustMode = "lan"
)

// Mesh says which nodes belong together.
type Mesh struct {
	// Name is the one under which nodes without a secret look for each other on the
	// local network. Default "ibgib".
	Name string
	// Secret is known to all nodes of the mesh and to nobody else; see
	// ReadMeshSecret. None: nobody is trusted for it.
	Secret []byte
	// Trust is whom this node trusts by itself. Default TrustLAN with a Secret, else
	// TrustManual.
	Trust TrustMode
	// MDNS lets a started node announce itself on the local network, and look for
	// others there.
	MDNS bool
}

const (
	defaultMesh = "ibgib"
	maxMeshName = 256 // bytes
)

// mesh is a Mesh that has been checked.
type mesh struct {
	Mesh
	secret *protocol.MeshSecret // nil: none
}

func newMesh(m Mesh) (mesh, error) {
	if m.Name == "" {
		m.Name = defaultMesh
	}
	if len(m.Name) > maxMeshName {
		return mesh{}, fmt.Errorf("%w: the name of a mesh has at most %d bytes", ErrInput, maxMeshName)
	}
	checked := mesh{Mesh: m}
	if len(m.Secret) > 0 {
		var err error
		if checked.secret, err = protocol.NewMeshSecret(m.Secret); err != nil {
			return mesh{}, fmt.Errorf("%w: %w", ErrInput, err)
		}
	}
	switch m.Trust {
	case "":
		checked.Trust = TrustManual
		if checked.secret != nil {
			checked.Trust = TrustLAN
		}
	case TrustManual:
	case TrustLAN:
		if checked.secret == nil {
			return mesh{}, fmt.Errorf("%w: trust mode lan needs a mesh secret: without one, everybody on the network would be trusted", ErrInput)
		}
	default:
		return mesh{}, fmt.Errorf("%w: trust mode %q is not known: manual or lan", ErrInput, shorten(string(m.Trust)))
	}
	return checked, nil
}

// tag returns that of the secret; empty if there is none.
func (m mesh) tag() string {
	if m.secret == nil {
		return ""
	}
	return m.secret.Tag()
}

// authorize is Authorize of protocol.Handlers.
func (n *Node) authorize(h host.Host) func(context.Context, peer.ID) error {
	return func(ctx context.Context, p peer.ID) error {
		err := n.trust.Authorize(ctx, p)
		if err != nil {
			for _, c := range h.Network().ConnsToPeer(p) {
				n.trust.note(p, encounter{addr: c.RemoteMultiaddr().String()})
			}
		}
		return err
	}
}

// welcome is Meet of protocol.Handlers.
func (n *Node) welcome(h host.Host) func(context.Context, *protocol.Meeting) {
	return func(ctx context.Context, m *protocol.Meeting) {
		if n.trust.denies(m.Peer) {
			n.refuse(ctx, m)
			return
		}
		fresh := n.redeemed(m)
		fresh = n.judge(m) || fresh
		err := n.conclude(ctx, h, m, false)
		if fresh {
			n.trust.changed(m.Peer, PeerTrusted)
		}
		n.learn(ctx, h, m, err == nil && m.HasSessions())
	}
}

// refuse ends a meeting with a peer that was put out. One that was for what has become of
// the keystone that it still names is told so: its owner may not know.
func (n *Node) refuse(ctx context.Context, m *protocol.Meeting) {
	last := n.trust.last(m.Peer)
	refusal := &keystone.SessionError{Detail: "this node has trusted you by that keystone, and does no longer"}
	switch {
	case last.By == byDispute && last.Keystone.String() == m.Genesis:
		refusal.Reason = keystone.ReasonDisputed
	case last.By == byRevocation && last.Keystone.String() == m.Genesis:
		refusal.Reason = keystone.ReasonRevoked
	default:
		m.Refuse(ctx)
		return
	}
	m.Fail(ctx, sessionFailure(refusal))
}

// greet meets a peer that this node connects to.
func (n *Node) greet(ctx context.Context, h host.Host, to peer.AddrInfo) error {
	end := n.sessions.begin(to.ID)
	defer end()
	m, err := protocol.Meet(ctx, h, to, n.introduction(h), n.wire)
	if err != nil {
		var e *saga.Error
		if errors.As(err, &e) && e.Remote {
			for _, c := range h.Network().ConnsToPeer(to.ID) {
				n.trust.note(to.ID, encounter{addr: c.RemoteMultiaddr().String()})
			}
		}
		return err
	}
	fresh := n.judge(m)
	err = n.conclude(ctx, h, m, true)
	if fresh {
		n.trust.changed(m.Peer, PeerTrusted)
	}
	end()
	n.learn(ctx, h, m, err == nil && m.HasSessions())
	return err
}

// conclude lets both sides of a meeting prove who they are, and ends it.
func (n *Node) conclude(ctx context.Context, h host.Host, m *protocol.Meeting, initiator bool) error {
	end := n.sessions.begin(m.Peer)
	defer end()
	err := n.exchange(ctx, h, m, initiator)
	if err == nil {
		err = m.End(ctx)
	} else {
		m.Fail(ctx, err)
	}
	if err != nil {
		n.sessions.lost(m.Peer) // it may have taken nothing
		n.sessions.heard(m.Peer, n.self.Genesis(), err)
	}
	if session, parsed := ibgib.ParseAddr(m.Said().Genesis); parsed == nil && err == nil && m.HasSessions() {
		n.sessions.took(m.Peer, shown{m.Conn(), session})
	}
	if err != nil {
		n.log.Log(ctx, levelOfMeeting(err), "a meeting has failed", "peer", m.Peer, "error", err)
	}
	return err
}

// levelOfMeeting says how loudly the failure of a meeting is to be told: a peer that is
// trusted and cannot prove who it is concerns a person.
func levelOfMeeting(err error) slog.Level {
	var e *saga.Error
	if errors.As(err, &e) && e.Code == saga.CodeUntrusted && e.Reason != "" {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// judge decides whether a peer that has introduced itself is trusted for that, and
// lists it as a stranger if not. fresh tells that it is trusted from now on; what
// follows from that has to wait until the meeting has ended, since only then the
// other side is ready.
func (n *Node) judge(m *protocol.Meeting) (fresh bool) {
	proved := m.Proof == protocol.ProofGood
	addr := m.Conn().RemoteMultiaddr()
	if proved && n.mesh.Trust == TrustLAN && n.isNear(m.Conn()) {
		var err error
		if fresh, err = n.trust.admit(m.Peer, n.mesh.tag()); err != nil {
			n.log.Error("trust not stored", "peer", m.Peer, "error", err)
		}
	}
	named := keystoneOf(m)
	n.trust.note(m.Peer, encounter{addr: addr.String(), proved: proved, keystone: named})
	if !named.IsZero() {
		n.bind(m, named)
	}
	return fresh
}

// keystoneOf returns the keystone that the other side names for its own; zero if that
// is none.
func keystoneOf(m *protocol.Meeting) ibgib.Addr {
	named, err := ibgib.ParseAddr(m.Genesis)
	if err != nil || named.Ib() != keystone.Ib || named.IsPrimitive() || named.TjpGib() != "" {
		return ibgib.Addr{}
	}
	return named
}

// bind takes the keystone that a trusted peer names for its own, if none is known yet.
func (n *Node) bind(m *protocol.Meeting, named ibgib.Addr) {
	switch bound, err := n.trust.bind(m.Peer, named); {
	case err != nil:
		n.log.Error("keystone of a peer not stored", "peer", m.Peer, "error", err)
	case bound != named && !bound.IsZero():
		n.log.Warn("a trusted peer names another keystone than before", "peer", m.Peer, "before", bound, "now", named)
	}
}

// isNear tells whether a connection comes directly from a machine on a network
// that this one is in.
func (n *Node) isNear(c network.Conn) bool {
	if c.Stat().Limited {
		return false
	}
	subnets, err := dht.LocalSubnets(onlyLoopback(n.listen))
	if err != nil {
		n.log.Warn("interfaces not read", "error", err)
		return false
	}
	return subnets.Has(c.RemoteMultiaddr())
}

// onlyLoopback tells whether a node was told to listen on loopback and nowhere
// else.
func onlyLoopback(listen []string) bool {
	return len(listen) > 0 && !slices.ContainsFunc(listen, func(s string) bool {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return true
		}
		ip, err := manet.ToIP(a)
		if err != nil {
			return true
		}
		addr, ok := netip.AddrFromSlice(ip)
		return !ok || !addr.Unmap().IsLoopback()
	})
}
