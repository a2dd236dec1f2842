package dht

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	ma "github.com/multiformats/go-multiaddr"
)

func TestServiceName(t *testing.T) {
	name := func(mesh, secret string) string {
		t.Helper()
		s, err := ServiceName(mesh, secret)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^_ib-[a-z2-7]{12}\._udp$`).MatchString(s) {
			t.Errorf("%q is no name of a service", s)
		}
		return s
	}
	const secret = "the secret of this mesh"
	names := []string{
		name("home", ""), name("office", ""), name("", ""), name("", secret), name("", "another secret"), name(secret, ""),
	}
	if distinct := slices.Compact(slices.Sorted(slices.Values(names))); len(distinct) != len(names) {
		t.Errorf("names %q are not all different", names)
	}
	if a, b := name("home", secret), name("office", secret); a != b {
		t.Errorf("with a secret the name of the mesh counts: %s, %s", a, b)
	}
}

func iface(index int, listening []ma.Multiaddr, addrs ...string) place {
	i := inet{Interface: net.Interface{Index: index, Name: fmt.Sprint("eth", index)}}
	for _, a := range addrs {
		i.addrs = append(i.addrs, netip.MustParsePrefix(a))
	}
	return place{i, listeningOn(listening, i)}
}

func addrs(texts ...string) (list []ma.Multiaddr) {
	for _, s := range texts {
		list = append(list, ma.StringCast(s))
	}
	return list
}

func somebody(t *testing.T) peer.ID {
	t.Helper()
	return test.RandPeerIDFatal(t)
}

func TestAnnounced(t *testing.T) {
	id := somebody(t)
	listening := addrs(
		"/ip4/203.0.113.7/tcp/4200", "/ip6/2001:db8::5/tcp/4200", "/ip6/fd00::5/tcp/4200", "/ip6/fe80::5/tcp/4200",
		"/ip4/192.168.1.5/tcp/4200", "/ip4/192.168.1.5/udp/4200/quic-v1", "/ip4/10.0.0.5/tcp/4200",
		"/ip4/192.168.1.5/udp/4200/quic-v1/webtransport", "/ip4/127.0.0.1/tcp/4200", "/ip4/172.16.0.1/tcp/4200",
	)
	on := []place{
		iface(1, listening, "203.0.113.7/24", "192.168.1.5/24", "fd00::5/64", "2001:db8::5/64", "fe80::5/64"),
		iface(2, listening, "10.0.0.5/8"),
	}
	want := []string{ // of each interface its best, then their second ones
		"/ip4/192.168.1.5/udp/4200/quic-v1", "/ip4/10.0.0.5/tcp/4200", "/ip4/192.168.1.5/tcp/4200",
		"/ip4/203.0.113.7/tcp/4200", "/ip6/fd00::5/tcp/4200", "/ip6/2001:db8::5/tcp/4200",
	}
	for i := range want {
		want[i] = "dnsaddr=" + want[i] + "/p2p/" + id.String()
	}
	if got := announced(id, on); !slices.Equal(got, want) {
		t.Errorf("announced\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// With more interfaces than fit, each of the first ones gets its place, and what
// is said stays small.
func TestAnnouncedIsBounded(t *testing.T) {
	id := somebody(t)
	listening := addrs("/ip4/0.0.0.0/tcp/40000", "/ip4/0.0.0.0/udp/40000/quic-v1", "/ip6/::/tcp/40000")
	var on []place
	for i := range 40 {
		on = append(on, iface(i+1, listening, fmt.Sprintf("10.0.%d.5/24", i)))
	}
	got := announced(id, on)
	size := 0
	for i, text := range got {
		size += len(text) + 1
		if !strings.Contains(text, fmt.Sprintf("/10.0.%d.5/", i)) {
			t.Errorf("place %d is of %s", i, text)
		}
	}
	if size > maxAnnounced || len(got) < 8 {
		t.Errorf("%d addresses of %d bytes are announced", len(got), size)
	}
}

func TestFound(t *testing.T) {
	one, other := somebody(t), somebody(t)
	near := Subnets{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("2001:db8::/64")}
	text := func(id peer.ID, a string) string { return "dnsaddr=" + a + "/p2p/" + id.String() }
	tests := []struct {
		name  string
		texts []string
		want  []string // nil: nobody
	}{
		{"close ones first", []string{
			text(one, "/ip4/10.0.0.1/tcp/1"), text(one, "/ip4/192.168.1.9/tcp/1"), text(one, "/ip6/2001:db8::9/udp/1/quic-v1"),
		}, []string{"/ip4/192.168.1.9/tcp/1", "/ip6/2001:db8::9/udp/1/quic-v1", "/ip4/10.0.0.1/tcp/1"}},
		{"neither far nor loopback nor through others", []string{
			text(one, "/ip4/203.0.113.1/tcp/1"), text(one, "/ip4/127.0.0.1/tcp/1"), text(one, "/dns4/example.com/tcp/1"),
			text(one, "/ip6/fe80::1/tcp/1"), text(one, "/ip4/0.0.0.0/tcp/1"), text(one, "/ip4/224.0.0.251/udp/1/quic-v1"),
			text(one, "/ip4/192.168.1.9/tcp/1/ws"), text(one, "/ip4/192.168.1.9/tcp/1/p2p/"+other.String()+"/p2p-circuit"),
		}, nil},
		{"another peer's address", []string{text(one, "/ip4/192.168.1.9/tcp/1"), text(other, "/ip4/192.168.1.10/tcp/1")},
			[]string{"/ip4/192.168.1.9/tcp/1"}},
		{"nonsense", []string{"", "dnsaddr=", "dnsaddr=/", "dnsaddr=/ip4/192.168.1.9/tcp/1", "path=/", "dnsaddr=/p2p/" + one.String()}, nil},
		{"nothing", nil, nil},
		{"many", slices.Repeat([]string{text(one, "/ip4/192.168.1.9/tcp/1")}, 100), slices.Repeat([]string{"/ip4/192.168.1.9/tcp/1"}, maxFound)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			info, ok := found(tt.texts, near)
			if ok != (tt.want != nil) {
				t.Fatalf("found %v, %t", info, ok)
			}
			var got []string
			for _, a := range info.Addrs {
				got = append(got, a.String())
			}
			if !slices.Equal(got, tt.want) || ok && info.ID != one {
				t.Errorf("found %s at %q, want %q", info.ID, got, tt.want)
			}
		})
	}
}

func FuzzFound(f *testing.F) {
	near := Subnets{netip.MustParsePrefix("0.0.0.0/0")}
	f.Add("dnsaddr=/ip4/192.168.1.9/tcp/1/p2p/12D3KooWADgkVjeZDju3X8RWjimUNk5A1rJonyvWfJxd9QaWKUXt")
	f.Add("dnsaddr=/ip6zone/eth0/ip6/fe80::1/tcp/1")
	f.Fuzz(func(t *testing.T, text string) {
		info, ok := found([]string{text}, near)
		if ok != (info.ID != "" && len(info.Addrs) == 1) {
			t.Errorf("%t with %v", ok, info)
		}
	})
}

func TestSubnets(t *testing.T) {
	s := Subnets{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fd00::/64")}
	for addr, want := range map[string]bool{
		"/ip4/192.168.1.200/tcp/1": true, "/ip4/192.168.2.1/tcp/1": false, "/ip6/fd00::1/udp/1/quic-v1": true,
		"/ip6/fd00:0:0:1::1/tcp/1": false, "/ip6/::ffff:192.168.1.3/tcp/1": true, "/dns4/localhost/tcp/1": false,
		"/ip4/192.168.1.200/tcp/1/p2p/12D3KooWADgkVjeZDju3X8RWjimUNk5A1rJonyvWfJxd9QaWKUXt/p2p-circuit": false,
	} {
		if got := s.Has(ma.StringCast(addr)); got != want {
			t.Errorf("%s: %t", addr, got)
		}
	}
	without, err := LocalSubnets(false)
	if err != nil {
		t.Fatal(err)
	}
	with, err := LocalSubnets(true)
	if err != nil {
		t.Fatal(err)
	}
	loopback := ma.StringCast("/ip4/127.0.0.1/tcp/1")
	if without.Has(loopback) || !with.Has(loopback) {
		t.Errorf("loopback is in %v or not in %v", without, with)
	}
}
