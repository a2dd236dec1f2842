package node

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// Invite makes an invite, which another node can redeem while this one runs. It names
// the addresses at which this node listens, or listened last.
func (n *Node) Invite(ctx context.Context) (Invite, error) {
	secret, expires, err := n.invites.make()
	if err != nil {
		return Invite{}, fmt.Errorf("node: invite: %w", err)
	}
	defer clear(secret)
	i := Invite{PeerID: n.id.id.String(), Keystone: n.self.Genesis(), Addrs: []string{}, Expires: expires}
	t := inviteText{Version: 1, Peer: n.id.id, Keystone: i.Keystone, Secret: base64.RawURLEncoding.EncodeToString(secret), Expires: expires.Unix(), Addrs: []string{}}
	for _, s := range n.Identity().Addrs {
		info, err := peer.AddrInfoFromString(s)
		if err != nil || len(info.Addrs) == 0 || len(t.Addrs) == maxInviteAddrs {
			continue
		}
		t.Addrs, i.Addrs = append(t.Addrs, info.Addrs[0].String()), append(i.Addrs, s)
	}
	text, err := json.Marshal(t)
	if err != nil {
		return Invite{}, fmt.Errorf("node: invite: %w", err)
	}
	i.Text = invitePrefix + base64.RawURLEncoding.EncodeToString(text)
	return i, nil
}

// Accept redeems an invite of another node: it connects to that node, both prove to
// each other that they know the secret of the invite, and trust each other from then
// on. It can be tried again while the invite lasts. Errors wrap ErrInput for an
// invite that cannot be used, or are *saga.Error of what went wrong between the two.
func (n *Node) Accept(ctx context.Context, invite string) (Peer, error) {
	i, err := parseInvite(invite)
	if err == nil && !i.expires.After(n.now()) {
		err = fmt.Errorf("%w: the invite has expired; make another one on the node that it is of: ibgib-node invite", ErrInput)
	}
	if err == nil && i.peer.ID == n.id.id {
		err = fmt.Errorf("%w: the invite is this node's own; it is for another one", ErrInput)
	}
	if err != nil {
		return Peer{}, fmt.Errorf("node: trust: %w", err)
	}
	if err := n.accept(ctx, i); err != nil {
		return Peer{}, fmt.Errorf("node: invite of %s: %w", i.peer.ID, err)
	}
	return n.peerNow(i.peer.ID), nil
}

func (n *Node) accept(ctx context.Context, i invitation) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	h, release, err := n.dialer()
	if err != nil {
		return err
	}
	defer release()
	n.dials.name(i.peer.ID)
	self := n.introduction(h)
	self.Invite = &i.key
	m, err := protocol.Meet(ctx, h, i.peer, self, n.wire)
	if err != nil {
		return err
	}
	if m.Genesis != i.keystone.String() {
		m.Refuse(ctx)
		return &saga.Error{Code: saga.CodeUntrusted, Text: "the node has another keystone than the invite names: " + shorten(m.Genesis)}
	}
	fresh, err := n.trust.pair(i.peer.ID, i.keystone, true)
	if err != nil {
		m.Refuse(ctx)
		return err
	}
	n.contacts.saw(i.peer.ID, i.peer.Addrs)
	if addr := m.Conn().RemoteMultiaddr(); len(i.peer.Addrs) == 0 {
		n.contacts.saw(i.peer.ID, []ma.Multiaddr{addr})
	}
	err = n.conclude(ctx, h, m, true)
	if fresh {
		n.trust.changed(i.peer.ID, PeerTrusted)
	}
	n.learn(ctx, h, m, err == nil && m.HasSessions())
	return nil
}

// introduction is what this node says of itself in meetings.
func (n *Node) introduction(h host.Host) protocol.Self {
	return protocol.Self{
		Secret: n.mesh.secret, Genesis: func() string { return n.self.Genesis().String() },
		Session: func(ctx context.Context, p peer.ID, said *protocol.Session) protocol.Session {
			return n.session(ctx, h, p, said)
		},
	}
}

// redeemed trusts a peer that has given a proof of an invite of this node. fresh tells
// that it was not trusted before. What it returns is stored, so the proof of this
// side may go out.
func (n *Node) redeemed(m *protocol.Meeting) (fresh bool) {
	if !m.HasInvite() {
		return false
	}
	named, err := ibgib.ParseAddr(m.Genesis)
	if err != nil || named.Ib() != keystone.Ib {
		return false // what it names is no keystone, so there is nothing to trust
	}
	var key protocol.InviteKey
	found, err := n.invites.redeem(m.Peer, func(k protocol.InviteKey) bool {
		key = k
		return m.Fits(k)
	})
	if err == nil && found {
		fresh, err = n.trust.pair(m.Peer, named, false)
	}
	if err != nil {
		n.log.Error("an invite was not redeemed", "peer", m.Peer, "error", err)
		return false
	}
	if found {
		m.Accept(key)
	}
	return fresh
}
