package node

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	ma "github.com/multiformats/go-multiaddr"
)

// TestDialRule asks where strangers and others are dialled, on a machine in a data centre
// and on one behind a NAT.
func TestDialRule(t *testing.T) {
	newPeer := func() peer.ID {
		p, err := test.RandPeerID()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	list, err := loadTrust(filepath.Join(t.TempDir(), "trust.json"), time.Now, ignoreChange)
	if err != nil {
		t.Fatal(err)
	}
	stranger, trusted, named, seed := newPeer(), newPeer(), newPeer(), newPeer()
	if err := list.add(trusted); err != nil {
		t.Fatal(err)
	}
	on := func(subnets ...string) *strangers {
		own := &networks{read: time.Now().Add(time.Hour)} // for current
		for _, s := range subnets {
			own.subnets = append(own.subnets, netip.MustParsePrefix(s))
		}
		rule := &dialRule{networks: own, isSeed: func(p peer.ID) bool { return p == seed }}
		rule.name(named)
		return newStrangers(list, Limits{}, RoleNode, rule, nobody)
	}
	public := on("127.0.0.0/8", "5.9.17.0/24", "172.17.0.0/16", "2a01:4f8::/64")
	home := on("127.0.0.0/8", "192.168.1.0/24", "2a01:4f8:1::/64")
	for _, c := range []struct {
		addr         string
		public, home bool // a stranger is dialled there
	}{
		{"/ip4/8.8.8.8/tcp/4200", true, true},
		{"/ip4/192.168.1.7/tcp/4200", false, true},
		{"/ip4/192.168.7.7/udp/4200/quic-v1", false, true},
		{"/ip4/10.0.0.1/tcp/80", false, true},
		{"/ip4/172.17.3.4/tcp/4200", true, true},
		{"/ip4/127.0.0.1/tcp/4200", true, true},
		{"/ip6/fd00::1/tcp/4200", true, true},
		{"/dns4/example.org/tcp/4200", true, true},
		{"/ip4/10.0.0.1/tcp/80/p2p/" + seed.String() + "/p2p-circuit", true, true},
	} {
		a := ma.StringCast(c.addr)
		if got := public.InterceptAddrDial(stranger, a); got != c.public {
			t.Errorf("%s: dialled from a public address: %t", a, got)
		}
		if got := home.InterceptAddrDial(stranger, a); got != c.home {
			t.Errorf("%s: dialled from behind a NAT: %t", a, got)
		}
		for _, p := range []peer.ID{trusted, named, seed} {
			if !public.InterceptAddrDial(p, a) {
				t.Errorf("%s: a peer is not dialled that is trusted or named", a)
			}
		}
	}
	for range maxNamedPeers + 1 {
		public.dials.name(newPeer())
	}
	if n := len(public.dials.named); n > maxNamedPeers {
		t.Errorf("%d named peers are remembered", n)
	}
	if own, err := new(networks).current(); err != nil || !own.Has(ma.StringCast("/ip4/127.0.0.1/tcp/1")) {
		t.Errorf("networks of this machine: %v, %v", own, err)
	}
}
