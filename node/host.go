package node

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"slices"
	"strings"

	golog "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/gologshim"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
	"github.com/ibgib/ibgib-node/node/internal/metrics"
)

// userAgent is what identify tells other peers; without a version, which would
// tell a stranger what to attack.
const userAgent = "ibgib-node"

// defaultListen is where a node listens that was not told where: all
// interfaces, free ports.
var defaultListen = []string{
	"/ip4/0.0.0.0/tcp/0",
	"/ip4/0.0.0.0/udp/0/quic-v1",
	"/ip6/::/tcp/0",
	"/ip6/::/udp/0/quic-v1",
}

// newHost makes a libp2p host that does not listen yet. It has TCP and QUIC, and what
// the addresses of listen need besides. What it has to do with relays and with a NAT is
// for reach to say, nothing if that is zero; at which addresses it dials strangers, for dials. Connections of strangers for which isServed
// says so are left open longer. What it costs is counted by counters.
func newHost(id peerKey, t *trust, limits Limits, reach reach, listen []string, dials *dialRule, isServed func(peer.ID) bool, counters *metrics.Set) (host.Host, error) {
	s := newStrangers(t, limits, reach.Role, dials, isServed)
	resources, conns, err := limits.managers(counters.Resources())
	if err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	peers, err := newPeerstore()
	if err != nil {
		return nil, fmt.Errorf("host: %w", errors.Join(err, conns.Close(), resources.Close()))
	}
	h, err := libp2p.New(slices.Concat(reach.options(onlyLoopback(listen)), webOptions(listen), []libp2p.Option{
		libp2p.Identity(id.key),
		libp2p.UserAgent(userAgent),
		libp2p.Peerstore(peers),
		// With shared ports a second node on a taken port would get some of the
		// first one's connections instead of an error.
		libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()),
		libp2p.Transport(quic.NewTransport),
		libp2p.ConnectionGater(s),
		libp2p.ResourceManager(resources),
		libp2p.ConnectionManager(conns),
		libp2p.NoListenAddrs,
		libp2p.DisableMetrics(),
		libp2p.BandwidthReporter(counters.Traffic(dht.KadProtocols())),
	})...)
	if err != nil {
		return nil, fmt.Errorf("host: %w", errors.Join(err, peers.Close(), conns.Close(), resources.Close()))
	}
	h.Network().Notify(s)
	return h, nil
}

// RouteLibp2pLog sends the log of libp2p, warnings and errors, to h, and what
// libraries write to the standard log, which knows no levels, as debug messages; so
// the errors of the DHT, since most are of peers that do not answer.
// The logs are one for the whole process: call it once, before the first Node
// starts.
func RouteLibp2pLog(h slog.Handler) {
	gologshim.SetDefaultHandler(quiet{h})
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(h, slog.LevelDebug).Writer())
	golog.SetPrimaryCore(zapLog{slog.New(h)})
}

// quiet drops what is below a warning.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }
func (q quiet) WithGroup(name string) slog.Handler       { return quiet{q.Handler.WithGroup(name)} }

// protocolsOf returns the names of the protocols of an address: ip4/tcp.
func protocolsOf(a ma.Multiaddr) string {
	names := make([]string, 0, 3)
	for _, p := range a.Protocols() {
		names = append(names, p.Name)
	}
	return strings.Join(names, "/")
}

// listen makes h listen. Addresses that the configuration names must all be
// free; of the default ones, one is enough. It returns where h listens.
func listen(h host.Host, configured []string, last listenRecord, log *slog.Logger) ([]ma.Multiaddr, error) {
	if len(configured) > 0 {
		for _, s := range configured {
			if err := listenAt(h, s); err != nil {
				return nil, fmt.Errorf("listen: %w", err)
			}
		}
		return h.Network().ListenAddresses(), nil
	}
	var failed []error
	for _, s := range defaultListen {
		err := errors.New("not tried")
		if again := last.like(s); again != "" {
			err = listenAt(h, again)
		}
		if err != nil {
			err = listenAt(h, s)
		}
		if err != nil {
			failed = append(failed, err)
			log.Info("cannot listen", "addr", s, "error", err)
		}
	}
	addrs := h.Network().ListenAddresses()
	if len(addrs) == 0 {
		return nil, fmt.Errorf("listen: %w", errors.Join(failed...))
	}
	return addrs, nil
}

func listenAt(h host.Host, s string) error {
	a, err := ma.NewMultiaddr(s)
	if err != nil {
		return err
	}
	return h.Network().Listen(a)
}

// listenRecord is where a node listened last, so that others find it again
// after a restart and people see its addresses while it does not run.
type listenRecord struct {
	Listen []string `json:"listen"` // multiaddrs, interfaces not resolved
	Addrs  []string `json:"addrs"`  // full ones, as Identity has them
}

// like returns the remembered address that differs from s in the port only.
func (r listenRecord) like(s string) string {
	want := strings.Split(s, "/") // "", network, address, transport, port, ...
	for _, have := range r.Listen {
		got := strings.Split(have, "/")
		if len(got) != len(want) || len(got) < 5 {
			continue
		}
		got[4] = want[4]
		if strings.Join(got, "/") == s {
			return have
		}
	}
	return ""
}

// loadListen reads the record; a file that is missing or damaged is none.
func loadListen(path string) (listenRecord, error) {
	var r listenRecord
	_, err := datadir.ReadJSON(path, &r)
	if err != nil && !errors.Is(err, datadir.ErrDamaged) {
		return listenRecord{}, fmt.Errorf("listen addresses: %w", err)
	}
	if err != nil || checkListen(r.Listen) != nil {
		return listenRecord{}, nil
	}
	return r, nil
}

func (r listenRecord) save(path string) error {
	if err := datadir.WriteJSON(path, r); err != nil {
		return fmt.Errorf("listen addresses: %w", err)
	}
	return nil
}

// fullAddrs returns the addresses at which h can be dialled from here, with its
// peer id.
func fullAddrs(h host.Host) ([]string, error) {
	resolved, err := h.Network().InterfaceListenAddresses()
	if err != nil {
		return nil, err
	}
	// A place at a relay that is to be found yet is no address.
	resolved = slices.DeleteFunc(slices.Clone(resolved), func(a ma.Multiaddr) bool { return a[0].Protocol().Code == ma.P_CIRCUIT })
	for i, a := range resolved {
		resolved[i] = withCertificates(h, a)
	}
	addrs, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: h.ID(), Addrs: resolved})
	if err != nil {
		return nil, err
	}
	full := make([]string, len(addrs))
	for i, a := range addrs {
		full[i] = a.String()
	}
	return full, nil
}

// remember keeps where h listens, with n.mu held.
func (n *Node) remember(h host.Host, listening []ma.Multiaddr) error {
	addrs, err := fullAddrs(h)
	if err != nil {
		return err
	}
	n.last = listenRecord{Addrs: addrs}
	for _, a := range listening {
		n.last.Listen = append(n.last.Listen, a.String())
	}
	return n.last.save(n.dir.Listen())
}
