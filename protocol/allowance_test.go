package protocol

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

func TestAllowances(t *testing.T) {
	now := time.Unix(1e9, 0)
	a := newAllowances[netip.Prefix](maxHellos, helloInterval, maxHelloAddrs, func() time.Time { return now })
	takes := func(addr string) int {
		t.Helper()
		n := 0
		for a.take(Origin(ma.StringCast(addr)), 1) {
			n++
		}
		return n
	}
	if n := takes("/ip4/192.0.2.1/tcp/1"); n != maxHellos {
		t.Errorf("%d hellos at once, want %d", n, maxHellos)
	}
	if n := takes("/ip4/192.0.2.1/udp/2/quic-v1"); n != 0 {
		t.Errorf("%d hellos more from another port", n)
	}
	now = now.Add(3 * helloInterval)
	if n := takes("/ip4/192.0.2.1/tcp/1"); n != 3 {
		t.Errorf("%d hellos after three intervals", n)
	}
	if n := takes("/ip6/2001:db8::1/tcp/1"); n != maxHellos {
		t.Errorf("%d hellos from a second address", n)
	}
	if n := takes("/ip6/2001:db8::ffff:1/tcp/1"); n != 0 {
		t.Errorf("%d hellos more from the same /64", n)
	}
	if n := takes("/ip6/2001:db8:0:1::1/tcp/1"); n != maxHellos {
		t.Errorf("%d hellos from another /64", n)
	}
	if n := takes("/p2p-circuit"); n != maxHellos {
		t.Errorf("%d hellos from what is no IP address", n)
	}
	now = now.Add(maxHellos * helloInterval)
	for i := range 2 * maxHelloAddrs {
		a.take(Origin(ma.StringCast(fmt.Sprintf("/ip4/10.0.%d.%d/tcp/1", i/256, i%256))), 1)
	}
	if n := len(a.full); n != maxHelloAddrs {
		t.Errorf("%d addresses are remembered, want %d", n, maxHelloAddrs)
	}
	now = now.Add(maxHellos * helloInterval)
	if !a.take(Origin(ma.StringCast("/ip4/192.0.2.9/tcp/1")), 1) {
		t.Error("a new address has to wait though the others have not come of late")
	}
}

// What costs several times is allowed less often.
func TestAllowanceForSeveral(t *testing.T) {
	now := time.Unix(1e9, 0)
	a := newAllowances[string](10, time.Second, 2, func() time.Time { return now })
	for _, step := range []struct {
		n    int
		want bool
	}{{11, false}, {10, true}, {1, false}} {
		if got := a.take("a", step.n); got != step.want {
			t.Errorf("%d: %t", step.n, got)
		}
	}
	now = now.Add(4 * time.Second)
	if a.take("a", 5) || !a.take("a", 4) || a.take("a", 1) {
		t.Error("after four intervals it is not four")
	}
}
