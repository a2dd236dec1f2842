package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// findTime bounds one search in the DHT.
const findTime = time.Minute

// Provider is a node that says that it has a timeline.
type Provider struct {
	PeerID  string   `json:"peerId"`
	Addrs   []string `json:"addrs"`          // multiaddrs where it may be reached
	Trusted bool     `json:"trusted"`        // by this node
	Mark    *Mark    `json:"mark,omitempty"` // it did not give what was fetched from it
}

// Find searches the DHT for nodes that announce the timeline of addr, the address of
// any of its frames, stored here or not. It takes up to a minute, and returns at most
// dht.MaxProviders, this node left out. What they have is only what they say. It fails with ErrNoDHT if
// the node takes part in no DHT, and with a *saga.Error if it has not entered it.
func (n *Node) Find(ctx context.Context, addr ibgib.Addr) ([]Provider, error) {
	list := []Provider{}
	found, err := n.FindProviders(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("node: find %s: %w", addr, err)
	}
	for info := range found {
		p := Provider{PeerID: info.ID.String(), Addrs: []string{}}
		p.Trusted, p.Mark = n.trust.has(info.ID), n.marks.of(info.ID)
		for _, a := range info.Addrs {
			p.Addrs = append(p.Addrs, a.String())
		}
		list = append(list, p)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("node: find %s: %w", addr, err)
	}
	if err := n.notInDHT(); len(list) == 0 && err != nil {
		return nil, fmt.Errorf("node: find %s: %w", addr, err)
	}
	return list, nil
}

// notInDHT says why nobody can be found in the DHT, if that is because it has not been
// entered.
func (n *Node) notInDHT() error {
	s := n.dhtStatus()
	if s == nil || s.Peers > 0 || s.Mode != dht.ModeClient {
		return nil
	}
	text := "the DHT has not been entered yet"
	if s.Problem != "" {
		text += ": " + s.Problem
	}
	return &saga.Error{Code: saga.CodeUnreachable, Text: text, Retry: true}
}

// FindProviders is Find that yields each node as soon as it is found. It fails with
// ErrNoDHT if the node takes part in no DHT.
func (n *Node) FindProviders(ctx context.Context, addr ibgib.Addr) (iter.Seq[peer.AddrInfo], error) {
	key, err := dht.TimelineKey(addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	w := n.wide.Load()
	if w == nil {
		return nil, ErrNoDHT
	}
	return func(yield func(peer.AddrInfo) bool) {
		ctx, cancel := context.WithTimeout(ctx, findTime)
		defer cancel()
		for info := range w.kad.FindProviders(ctx, key) {
			if !yield(info) {
				return
			}
		}
	}, nil
}

// What Ping does.
const (
	pings    = 3
	pingTime = 30 * time.Second // all of them, with the search for the peer
)

// PingResult is what Ping has found out.
type PingResult struct {
	PeerID  string          `json:"peerId"`
	Addr    string          `json:"addr"`    // where it was reached
	Relayed bool            `json:"relayed"` // through another node
	Times   []time.Duration `json:"times"`   // there and back, in nanoseconds
}

// Ping connects to a peer, if need be, and measures how long a message takes there and
// back. target is a multiaddr that ends in /p2p/ and a peer id, or the peer id alone
// of one that was met before or is found in the DHT. Trust does not matter. An error of
// the connection is a *saga.Error.
func (n *Node) Ping(ctx context.Context, target string) (PingResult, error) {
	to, err := parseTarget(target)
	if err != nil {
		return PingResult{}, fmt.Errorf("node: ping: %w", err)
	}
	r, err := n.ping(ctx, to)
	if err != nil {
		return r, fmt.Errorf("node: ping %s: %w", to.ID, err)
	}
	return r, nil
}

func (n *Node) ping(ctx context.Context, to peer.AddrInfo) (PingResult, error) {
	r := PingResult{PeerID: to.ID.String(), Times: []time.Duration{}}
	n.mu.Lock()
	h := n.host
	n.mu.Unlock()
	if h == nil {
		return r, ErrNotStarted
	}
	if to.ID == n.id.id {
		return r, fmt.Errorf("%w: it is this node itself", ErrInput)
	}
	n.dials.name(to.ID)
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	unreachable := func(err error) error {
		return &saga.Error{Code: saga.CodeUnreachable, Text: "no answer: " + protocol.DialReason(err), Retry: true, Err: err}
	}
	ctx = network.WithAllowLimitedConn(ctx, "ping")
	to.Addrs = append(to.Addrs, n.contacts.addrs(to.ID)...)
	err := h.Connect(ctx, to)
	if w := n.wide.Load(); err != nil && w != nil {
		info, unknown := w.kad.FindPeer(ctx, to.ID)
		switch {
		case unknown == nil:
			err = h.Connect(ctx, info)
		case len(to.Addrs) == 0 && errors.Is(unknown, routing.ErrNotFound):
			return r, &saga.Error{Code: saga.CodeUnreachable, Text: "no address of it is known here, and nobody in the DHT knows one", Retry: true, Err: unknown}
		case len(to.Addrs) == 0:
			err = unknown // else what happened at the addresses says more
		}
	}
	if err != nil {
		return r, unreachable(err)
	}
	answers := ping.Ping(ctx, h, to.ID)
	for range pings {
		select {
		case a := <-answers:
			if a.Error != nil {
				return r, unreachable(a.Error)
			}
			r.Times = append(r.Times, a.RTT)
		case <-ctx.Done():
			return r, unreachable(ctx.Err())
		}
	}
	for _, c := range h.Network().ConnsToPeer(to.ID) {
		if r.Addr == "" || r.Relayed {
			r.Addr, r.Relayed = c.RemoteMultiaddr().String(), c.Stat().Limited
		}
	}
	return r, nil
}
