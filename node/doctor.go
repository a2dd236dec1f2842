package node

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/config"
)

// Check is one thing that Diagnose has looked at.
type Check struct {
	Name    string     `json:"name"`
	State   CheckState `json:"state"`
	Finding string     `json:"finding"`          // what is so
	Advice  string     `json:"advice,omitempty"` // what to do about it
}

// CheckState says how well something stands.
type CheckState string

// The states of checks.
const (
	CheckOK      CheckState = "ok"
	CheckWarning CheckState = "warning" // the node works, but perhaps not as wanted
	CheckProblem CheckState = "problem" // something does not work
)

// Diagnosis is what Diagnose has found.
type Diagnosis struct {
	Running bool    `json:"running"` // a node that is started was looked at
	Checks  []Check `json:"checks"`
}

// Problems returns how many checks have found one.
func (d Diagnosis) Problems() int {
	n := 0
	for _, c := range d.Checks {
		if c.State == CheckProblem {
			n++
		}
	}
	return n
}

func (d *Diagnosis) add(name string, state CheckState, finding, advice string) {
	d.Checks = append(d.Checks, Check{name, state, finding, advice})
}

// Diagnose looks for what keeps a node from its work, on this machine and in its
// data directory. It sends nothing, and of what is stored it reads the entries alone
// (Verify reads all).
func (n *Node) Diagnose(ctx context.Context) (Diagnosis, error) {
	s, err := n.Status(ctx)
	if err != nil {
		return Diagnosis{}, fmt.Errorf("node: diagnose: %w", err)
	}
	d := Diagnosis{Running: s.Running}
	d.directory(n)
	d.disk(n)
	d.add("store", CheckOK, fmt.Sprintf("it opens; timelines and pinned stones: %d", s.Entries), "")
	if err := d.conflicts(ctx, n); err != nil {
		return Diagnosis{}, fmt.Errorf("node: diagnose: %w", err)
	}
	d.keystone(s, n.sessions)
	d.clock(n.now(), string(n.dir))
	d.files(openFiles())
	multicast := d.interfaces()
	if s.Running {
		d.addresses(s.Addrs)
		d.search(s, multicast)
		d.dht(s)
		d.reachability(s)
		peers, err := n.Peers(ctx)
		if err != nil {
			return Diagnosis{}, fmt.Errorf("node: diagnose: %w", err)
		}
		d.peers(s, peers, n.reach.Role)
	} else {
		d.add("node", CheckWarning, "no node runs on this directory, so it syncs only when a command says so", "ibgib-node run  starts one")
	}
	return d, nil
}

// directory looks at the files a person could have touched.
func (d *Diagnosis) directory(n *Node) {
	var open []string
	for _, path := range []string{string(n.dir), n.dir.PeerKey(), n.dir.APIToken()} {
		info, err := os.Stat(path)
		if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			open = append(open, fmt.Sprintf("%s (mode %04o)", path, info.Mode().Perm()))
		}
	}
	if len(open) > 0 {
		d.add("data directory", CheckProblem, "others on this machine can read "+strings.Join(open, ", "),
			"take their rights away: chmod -R go= "+string(n.dir))
	} else {
		d.add("data directory", CheckOK, string(n.dir), "")
	}
	if _, err := config.Load(n.dir.Config()); err != nil {
		d.add("configuration", CheckProblem, err.Error(), "the next start fails: mend the file; ibgib-node config --help  shows what it may say")
	} else {
		d.add("configuration", CheckOK, "config.yaml is in order, or not there", "")
	}
}

// conflicts counts the timelines that have diverged and wait for a person.
func (d *Diagnosis) conflicts(ctx context.Context, n *Node) error {
	open, waiting := 0, 0
	for e, err := range n.entries(ctx) {
		if err != nil {
			return err
		}
		switch r, _ := reasonOf(e.Entry); r {
		case "":
		case ReasonUndecided:
			waiting++
		default:
			open++
		}
	}
	if waiting > 0 {
		d.add("merges", CheckWarning, fmt.Sprintf("diverged timelines that are to be merged yet: %d", waiting),
			"a node that runs goes on with that: ibgib-node run")
	}
	if open == 0 {
		d.add("conflicts", CheckOK, "none waits for a person", "")
		return nil
	}
	d.add("conflicts", CheckWarning, fmt.Sprintf("timelines that have diverged and wait for a person: %d", open),
		"ibgib-node conflicts list  lists them, and  ibgib-node conflicts resolve  ends them")
	return nil
}

// keystone tells whether the node can prove who it is.
func (d *Diagnosis) keystone(s Status, with *sessions) {
	disputed, revoked := with.endedFor(s.Keystone, keystone.ReasonDisputed), with.endedFor(s.Keystone, keystone.ReasonRevoked)
	anew := "ibgib-node keystone revoke --yes  ends it, and  ibgib-node keystone new  gives the node a new identity; those who trusted it have to trust that: ibgib-node trust " + s.PeerID
	signs := s.Signs == SignsReady || s.Signs == SignsSealed
	if signs && len(disputed) > 0 {
		d.add("keystone", CheckProblem, "it signs, but is disputed: so say "+several(disputed)+"; somebody else has its secret, or two copies of the node have signed",
			"stop any other copy of this node; then "+anew)
	}
	if signs && len(revoked) > 0 {
		d.add("keystone", CheckProblem, "it signs, but is revoked: so say "+several(revoked)+"; another copy of the node, or somebody else who has its secret, has ended it",
			anew)
	}
	if signs && len(disputed)+len(revoked) > 0 {
		return
	}
	switch s.Signs {
	case SignsReady:
		d.add("keystone", CheckOK, "it signs", "")
	case SignsSealed:
		d.add("keystone", CheckOK, "its secret is sealed by a passphrase, which is asked for when something is signed", "")
	case SignsUnconfirmed:
		d.add("keystone", CheckProblem, "this data directory was restored or copied, so the node signs nothing until a trusted node has confirmed its newest frame",
			"connect to a trusted node; or ibgib-node keystone rotate  gives this one a new identity")
	case SignsNoSecret:
		d.add("keystone", CheckProblem, "the file of its secret is gone", "put it back into the folder keystones; or ibgib-node keystone new  gives the node a new identity")
	case SignsRevoked:
		d.add("keystone", CheckProblem, "it is revoked", "ibgib-node keystone new  gives the node a new identity")
	case SignsDisputed:
		d.add("keystone", CheckProblem, "it is disputed: somebody else has its secret, or two copies of the node have signed", "stop any other copy of this node; then "+anew)
	}
}

// maxNamed bounds the peers that a finding names.
const maxNamed = 3

// several names peers.
func several(peers []peer.ID) string {
	text := ""
	for i, p := range peers[:min(len(peers), maxNamed)] {
		if i > 0 {
			text += ", "
		}
		text += p.String()
	}
	if more := len(peers) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func (d *Diagnosis) disk(n *Node) {
	free, floor, known := n.store.DiskSpace()
	switch finding := fmt.Sprintf("%d MiB are free, of which the store leaves %d MiB", free>>20, floor>>20); {
	case !known:
		d.add("disk", CheckOK, "this system does not tell how much is free", "")
	case free < floor:
		d.add("disk", CheckProblem, finding+": nothing new is stored", "free some space; ibgib-node gc  removes what nothing needs")
	case free < 4*floor:
		d.add("disk", CheckWarning, finding, "free some space soon")
	default:
		d.add("disk", CheckOK, finding, "")
	}
}

// clock finds clocks that are plainly wrong: set before files that were written
// here, or before this program could have been made.
func (d *Diagnosis) clock(now time.Time, dir string) {
	const slack = 2 * time.Minute
	newest := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // a file may go away meanwhile
		}
		if info, err := e.Info(); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
		return nil
	})
	if now.Add(slack).Before(newest) {
		d.add("clock", CheckProblem, fmt.Sprintf("it says %s, and there is something from %s", now.UTC().Format(time.DateTime), newest.UTC().Format(time.DateTime)),
			"set the clock: new frames would look older than they are")
		return
	}
	d.add("clock", CheckOK, now.UTC().Format(time.DateTime)+" UTC", "")
}

// minOpenFiles is enough for the store and some hundred connections.
const minOpenFiles = 1024

func (d *Diagnosis) files(limit uint64, known bool) {
	switch {
	case !known:
	case limit < minOpenFiles:
		d.add("open files", CheckWarning, fmt.Sprintf("at most %d may be open", limit), fmt.Sprintf("raise the limit to %d or more: ulimit -n, or LimitNOFILE of a service", minOpenFiles))
	default:
		d.add("open files", CheckOK, fmt.Sprintf("up to %d may be open", limit), "")
	}
}

// interfaces lists the interfaces that are up; multicast tells whether one of them
// can be searched.
func (d *Diagnosis) interfaces() (multicast bool) {
	all, err := net.Interfaces()
	if err != nil {
		d.add("interfaces", CheckProblem, "they cannot be read: "+err.Error(), "")
		return false
	}
	var up []string
	network := false
	for _, i := range all {
		addrs, err := i.Addrs()
		if i.Flags&net.FlagUp == 0 || err != nil || len(addrs) == 0 {
			continue
		}
		up = append(up, fmt.Sprintf("%s %s", i.Name, addrs[0]))
		network = network || i.Flags&net.FlagLoopback == 0
		multicast = multicast || i.Flags&net.FlagMulticast != 0 && i.Flags&net.FlagLoopback == 0
	}
	switch finding := strings.Join(up, ", "); {
	case len(up) == 0:
		d.add("interfaces", CheckProblem, "none is up", "connect this machine to a network")
	case !network:
		d.add("interfaces", CheckWarning, finding+": only this machine itself", "connect this machine to a network")
	default:
		d.add("interfaces", CheckOK, finding, "")
	}
	return multicast
}

func (d *Diagnosis) addresses(addrs []string) {
	local := func(a string) bool {
		return strings.HasPrefix(a, "/ip4/127.") || strings.HasPrefix(a, "/ip6/::1/")
	}
	switch {
	case len(addrs) == 0:
		d.add("addresses", CheckProblem, "the node listens nowhere", "check --listen")
	case !slices.ContainsFunc(addrs, func(a string) bool { return !local(a) }):
		d.add("addresses", CheckWarning, "it listens on this machine only, so no other can connect to it", "leave --listen out, or name an address of a network")
	default:
		d.add("addresses", CheckOK, fmt.Sprintf("it listens at %d", len(addrs)), "")
	}
}

func (d *Diagnosis) search(s Status, multicast bool) {
	switch {
	case s.Search == searchOff:
		d.add("local network", CheckOK, "it is not searched, as the node was told", "")
	case s.Search != searchOn:
		d.add("local network", CheckProblem, "it cannot be searched: "+s.Search, "connect an interface that can multicast, or name peers by address: ibgib-node trust MULTIADDR")
	case !multicast:
		d.add("local network", CheckWarning, "it is searched, but no interface can multicast", "connect this machine to a network")
	default:
		d.add("local network", CheckOK, "it is searched for nodes", "")
	}
}

func (d *Diagnosis) dht(s Status) {
	switch {
	case s.DHT == nil:
		d.add("DHT", CheckOK, "the node takes part in none, so only nodes on the local network and those named by address are found", "")
	case s.DHT.Peers == 0 && s.DHT.Problem == "" && s.DHT.Mode == dht.ModeServer:
		d.add("DHT", CheckOK, "others can enter it by this node; none of those who answer has, yet", "")
	case s.DHT.Peers == 0:
		finding := "it has not been entered"
		if s.DHT.Problem != "" {
			finding += ": " + s.DHT.Problem
		}
		d.add("DHT", CheckProblem, finding, "see whether a bootstrap node runs and its address is right: ibgib-node run --bootstrap MULTIADDR")
	default:
		d.add("DHT", CheckOK, fmt.Sprintf("it is entered as %s: nodes to ask: %d; keys announced, the one of the mesh included: %d", s.DHT.Mode, s.DHT.Peers, s.DHT.Announced), "")
	}
	if s.DHT != nil && s.DHT.Dropped > 0 {
		d.add("DHT records", CheckWarning, fmt.Sprintf("%d announcements of others were dropped since the start, for want of room: %d are kept, 2,000 of one node at most and 50,000 in all", s.DHT.Dropped, s.DHT.Records),
			"if that goes on, more bootstrap nodes share the work")
	}
}

func (d *Diagnosis) reachability(s Status) {
	r := s.Reachability
	if r == nil {
		return
	}
	nat := ""
	if r.NAT != "" {
		nat = "; NAT: " + r.NAT
	}
	switch {
	case r.Reach == ReachPublic:
		d.add("reachability", CheckOK, "others can connect to the node"+nat, "")
	case len(r.Relays) > 0:
		d.add("reachability", CheckOK, "others reach the node through "+strings.Join(r.Relays, ", ")+nat, "")
	case r.Reach == ReachPrivate:
		d.add("reachability", CheckWarning, "others cannot connect to the node, and no relay has taken it"+nat,
			"forward its port in the router, or name a bootstrap node, which relays: ibgib-node run --bootstrap MULTIADDR")
	default:
		d.add("reachability", CheckOK, "not known yet: too few others have told"+nat, "")
	}
}

func (d *Diagnosis) peers(s Status, peers []Peer, role Role) {
	finding := fmt.Sprintf("%d trusted, %d of them connected, %d asking", s.Trusted, s.Connected, s.Pending)
	switch {
	case s.Trusted == 0 && role == RoleBootstrap:
		d.add("peers", CheckOK, "nobody is trusted, so nothing is synced; others enter the DHT by this node all the same", "")
	case s.Trusted == 0 && s.Pending > 0:
		d.add("peers", CheckWarning, finding, "ibgib-node peers  shows who asks; ibgib-node trust PEERID  trusts one of them")
	case s.Trusted == 0:
		d.add("peers", CheckWarning, "nobody is trusted, so nothing is synced", "ibgib-node trust PEERID, or the same --mesh-secret on all nodes")
	case s.Connected == 0:
		d.add("peers", CheckWarning, finding, "see whether the others run, and whether they trust this node: ibgib-node id  shows its peer id")
	default:
		d.connected(s, finding, peers)
	}
}

// connected tells whether syncs go well with the trusted peers that are connected.
func (d *Diagnosis) connected(s Status, finding string, peers []Peer) {
	var strangers []peer.ID
	var failed []Peer
	for _, p := range peers {
		switch last := p.LastSync; {
		case !p.Trusted || !p.Connected || last == nil || last.Error == "":
		case last.stranger:
			if id, err := peer.Decode(p.PeerID); err == nil {
				strangers = append(strangers, id)
			}
		default:
			failed = append(failed, p)
		}
	}
	if len(strangers)+len(failed) == 0 {
		d.add("peers", CheckOK, finding, "")
		return
	}
	if len(strangers) > 0 {
		d.add("peers", CheckWarning, finding+"; not trusted by "+several(strangers), "so nothing is synced with it; to be run there: ibgib-node trust "+s.PeerID)
	}
	for _, p := range failed[:min(len(failed), maxNamed)] {
		of := ""
		if p.LastSync.Share != "" {
			of = " of the share " + p.LastSync.Share
		}
		d.add("peers", CheckWarning, fmt.Sprintf("%s; the last sync%s with %s failed: %s", finding, of, p.PeerID, p.LastSync.Error),
			"ibgib-node sync "+p.PeerID+"  tries again, and says what to do if it fails")
	}
}
