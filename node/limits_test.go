package node

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/ibgib/ibgib-node/node/internal/metrics"
	"github.com/ibgib/ibgib-node/protocol"
)

// limitedHost returns a host that listens and trusts everyone in peers.
func limitedHost(t *testing.T, limits Limits, trusted ...peer.ID) host.Host {
	t.Helper()
	id, err := loadPeerKey(filepath.Join(t.TempDir(), "peer.key"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := loadTrust(filepath.Join(t.TempDir(), "trust.json"), time.Now, ignoreChange)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range trusted {
		if err := list.add(p); err != nil {
			t.Fatal(err)
		}
	}
	if limits, err = limits.withDefaults(RoleNode); err != nil {
		t.Fatal(err)
	}
	h, err := newHost(id, list, limits, reach{}, nil, newDialRule(), nobody, metrics.New())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	if err := h.Network().Listen(ma.StringCast("/ip4/127.0.0.1/udp/0/quic-v1")); err != nil {
		t.Fatal(err)
	}
	return h
}

// No connection is taken beyond one and a half times the limit, however trusted
// the peers are.
func TestConnectionLimit(t *testing.T) {
	const limit = 8
	var dialers []host.Host
	var ids []peer.ID
	for range 2 * limit {
		h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		dialers, ids = append(dialers, h), append(ids, h.ID())
	}
	server := limitedHost(t, Limits{Connections: limit}, ids...)
	refused := 0
	for _, h := range dialers {
		if err := h.Connect(t.Context(), peer.AddrInfo{ID: server.ID(), Addrs: server.Addrs()}); err != nil {
			refused++
		}
	}
	if n := len(server.Network().Conns()); n > limit+limit/2 || n == 0 {
		t.Errorf("%d connections are open, want some, and at most %d", n, limit+limit/2)
	}
	if refused < 2*limit-(limit+limit/2) {
		t.Errorf("%d connections were refused, want at least %d", refused, 2*limit-(limit+limit/2))
	}
}

func TestLimitsOutOfBounds(t *testing.T) {
	for _, l := range []Limits{
		{Connections: -1}, {Memory: -1},
		{Rates: protocol.Rates{Upload: 1}}, {Rates: protocol.Rates{PeerDownload: -protocol.MinThrottle}},
	} {
		if _, err := l.withDefaults(RoleNode); !errors.Is(err, ErrInput) {
			t.Errorf("%+v: error %v, want %v", l, err, ErrInput)
		}
	}
}
