package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/dht/netlab"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

// soakVar is the environment variable that says how long the soak takes, like 30m.
const soakVar = "IBGIB_NODE_SOAK"

// TestSoakOnALAN runs five nodes on one network for a while. Things are changed at
// random on all of them, while nodes are stopped and killed, come back with another
// address, and links go down. In the end all have the same, with all that any of them
// has acknowledged; they verify, have not grown, and no error is in their logs.
// scripts/check.sh runs it; IBGIB_NODE_SOAK_SEED repeats a run as far as such a run can be.
func TestSoakOnALAN(t *testing.T) {
	text := os.Getenv(soakVar)
	if text == "" {
		t.Skip(soakVar + " does not say how long it may take")
	}
	long, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	s := newLANSoak(t, 5)
	const parts = 5
	for range parts {
		s.run(long / parts)
		s.settle()
		s.measure()
	}
	for _, n := range s.nodes {
		report, err := n.api.Verify(t.Context(), nil)
		if err != nil || len(report.Problems) > 0 {
			s.problem("%s: %+v, %v", n.name, report, err)
		}
		n.stop(t)
		s.keepLog(n)
	}
	s.judgeLogs()
	s.judgeSize()
	t.Logf("%d timelines, %d changes acknowledged; %v", len(s.latest), s.changes, s.met)
}

// soakMachine is where a node of a soak runs.
type soakMachine struct {
	machine *netlab.Machine
	link    string
	host    int    // of its address
	down    int    // steps until its link comes back; 0: it is up
	dir     string // of its node
}

// lanSoak is a network of nodes under load. nodes[i] runs on machines[i].
type lanSoak struct {
	t        *testing.T
	rnd      *rand.Rand
	mesh     []string
	machines []*soakMachine
	nodes    []*lanNode
	hosts    int                         // addresses given out
	latest   map[ibgib.Addr][]ibgib.Addr // frames acknowledged, by tjp
	tjps     []ibgib.Addr
	changes  int
	met      map[string]int
	sizes    [][]node.ProcessStats // of the nodes, after each part
	logs     []string
	problems []string
}

// problem fails the test. What failed is told once more at the end of the output, which
// the logs of the nodes make long.
func (s *lanSoak) problem(format string, args ...any) {
	s.t.Helper()
	p := fmt.Sprintf(format, args...)
	s.problems = append(s.problems, p)
	s.t.Error(p)
}

func newLANSoak(t *testing.T, count int) *lanSoak {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(soakVar + "_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d", seed)
	s := &lanSoak{
		t: t, rnd: rand.New(rand.NewPCG(seed, 0)), mesh: newMeshSecret(t),
		latest: make(map[ibgib.Addr][]ibgib.Addr), met: make(map[string]int),
	}
	t.Cleanup(func() { // after the logs of all nodes
		for _, p := range s.problems {
			t.Log(p)
		}
	})
	lab := netlab.New(t)
	lan := lab.Bridge("lan")
	dirs := t.TempDir()
	for i := range count {
		m := &soakMachine{machine: lab.Machine(fmt.Sprint("m", i)), dir: filepath.Join(dirs, fmt.Sprint("n", i))}
		s.hosts++
		m.host = s.hosts
		m.link = m.machine.Plug(lan, soakAddress(m.host))
		s.machines = append(s.machines, m)
		s.nodes = append(s.nodes, s.start(m))
	}
	together(t, s.nodes...)
	return s
}

func soakAddress(host int) string { return fmt.Sprintf("10.78.%d.%d/16", host/250, host%250+1) }

func (s *lanSoak) start(m *soakMachine) *lanNode {
	s.t.Helper()
	return runOn(s.t, m.machine, m.dir, append(s.mesh, "--log-level", "info", "--log-format", "json")...)
}

// run does something ten times a second.
func (s *lanSoak) run(long time.Duration) {
	s.t.Helper()
	end := time.After(long)
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-end:
			return
		case <-pace.C:
			s.step()
		}
	}
}

func (s *lanSoak) step() {
	s.t.Helper()
	for _, m := range s.machines {
		if m.down--; m.down == 0 {
			m.machine.IP("link", "set", m.link, "up")
		}
		m.down = max(m.down, 0)
	}
	i := s.rnd.IntN(len(s.nodes))
	m, n := s.machines[i], s.nodes[i]
	switch what := s.rnd.IntN(400); {
	case what < 2:
		s.met["links cut"]++
		if m.down == 0 {
			m.machine.IP("link", "set", m.link, "down")
		}
		m.down = 1 + s.rnd.IntN(100)
	case what == 2:
		s.met["stopped"]++
		n.stop(s.t)
		s.again(i)
	case what == 3:
		s.met["killed"]++
		n.kill(s.t)
		s.again(i)
	case what == 4:
		s.met["moved to another address"]++
		n.stop(s.t)
		m.machine.IP("addr", "del", soakAddress(m.host), "dev", m.link)
		s.hosts++
		m.host = s.hosts
		m.machine.IP("addr", "add", soakAddress(m.host), "dev", m.link)
		s.again(i)
	case what < 12:
		change, err := n.api.Create(s.t.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: fmt.Sprint("note ", s.changes)})
		if err != nil {
			s.t.Fatal(err)
		}
		s.acknowledged(change)
	case len(s.tjps) > 0:
		at := s.tjps[s.rnd.IntN(len(s.tjps))]
		text := ibgib.String(fmt.Sprint("change ", s.changes))
		change, err := n.api.Mut8(s.t.Context(), at, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "text", Value: text})})
		switch {
		case err == nil:
			s.acknowledged(change)
		case !isCode(err, api.CodeNotFound): // it has not come yet
			s.t.Fatal(err)
		}
	}
}

func (s *lanSoak) acknowledged(c node.Change) {
	if _, ok := s.latest[c.Tjp]; !ok {
		s.tjps = append(s.tjps, c.Tjp)
	}
	s.latest[c.Tjp] = append(s.latest[c.Tjp], c.Addr)
	s.changes++
}

// again starts a node that has ended.
func (s *lanSoak) again(i int) {
	s.t.Helper()
	s.keepLog(s.nodes[i])
	s.nodes[i] = s.start(s.machines[i])
}

func (s *lanSoak) keepLog(n *lanNode) {
	s.logs = append(s.logs, n.stderr.String())
}

// settle brings all links back and waits until all nodes have the same, which they come
// to by themselves; then all must have what any has acknowledged.
func (s *lanSoak) settle() {
	s.t.Helper()
	for _, m := range s.machines {
		if m.down > 0 {
			m.machine.IP("link", "set", m.link, "up")
			m.down = 0
		}
	}
	soon(s.t, "all nodes have the same", func() bool {
		want := ""
		for i, n := range s.nodes {
			status, err := n.api.Status(s.t.Context())
			if err != nil {
				s.t.Fatal(err)
			}
			if i == 0 {
				want = status.Fingerprint
			}
			if status.Fingerprint != want || int(status.Entries) < len(s.tjps) {
				return false
			}
		}
		return true
	})
	for _, n := range s.nodes {
		has := make(map[ibgib.Addr]bool)
		for addr, err := range n.api.List(s.t.Context()) {
			if err != nil {
				s.t.Fatal(err)
			}
			has[addr] = true
		}
		for tjp, frames := range s.latest {
			for _, f := range frames {
				if !has[f] {
					s.problem("%s lacks %s of %s, which was acknowledged", n.name, f, tjp)
				}
			}
		}
	}
	var latest [][]string
	for _, n := range s.nodes {
		list := n.heads(s.t)
		slices.Sort(list)
		latest = append(latest, list)
	}
	for i := range latest {
		if !slices.Equal(latest[i], latest[0]) {
			s.problem("%s and %s present other latest frames", s.nodes[0].name, s.nodes[i].name)
		}
	}
}

// measure keeps what the nodes take.
func (s *lanSoak) measure() {
	s.t.Helper()
	var sizes []node.ProcessStats
	for _, n := range s.nodes {
		stats, err := n.api.Stats(s.t.Context())
		if err != nil || stats.Process == nil {
			s.t.Fatalf("%+v, %v", stats, err)
		}
		sizes = append(sizes, *stats.Process)
	}
	s.sizes = append(s.sizes, sizes)
}

// soakRSS is what no node may have in physical memory.
const soakRSS = 512 << 20

// judgeSize wants the nodes not to grow. A node that has just come back after it was killed
// has the tables of the log that it has read in memory for a while, two or three times what
// the others take, so the one in the middle is looked at, as well as the largest.
func (s *lanSoak) judgeSize() {
	s.t.Helper()
	var middle []node.ProcessStats
	for i, sizes := range s.sizes {
		at := func(rank int) node.ProcessStats {
			return node.ProcessStats{
				Goroutines: ranked(rank, sizes, func(p node.ProcessStats) int { return p.Goroutines }),
				Heap:       ranked(rank, sizes, func(p node.ProcessStats) int64 { return p.Heap }),
				RSS:        ranked(rank, sizes, func(p node.ProcessStats) int64 { return p.RSS }),
			}
		}
		m, most := at(len(sizes)/2), at(len(sizes)-1)
		s.t.Logf("after part %d a node had %d goroutines, %d MB live heap, %d MB in memory; the largest %d, %d MB, %d MB",
			i+1, m.Goroutines, m.Heap>>20, m.RSS>>20, most.Goroutines, most.Heap>>20, most.RSS>>20)
		if most.RSS > soakRSS {
			s.problem("a node had %d MB in memory after part %d", most.RSS>>20, i+1)
		}
		middle = append(middle, m)
	}
	// What was opened at first takes its time to grow to its size.
	first, last := middle[1], middle[len(middle)-1]
	if last.Goroutines > first.Goroutines*5/4+40 || last.Heap > first.Heap*3/2+32<<20 || last.RSS > first.RSS*3/2+64<<20 {
		s.problem("the nodes have grown from %+v to %+v", first, last)
	}
}

// ranked returns the value at a place in the ascending order of what of says of each.
func ranked[V cmp.Ordered](rank int, sizes []node.ProcessStats, of func(node.ProcessStats) V) V {
	var values []V
	for _, p := range sizes {
		values = append(values, of(p))
	}
	slices.Sort(values)
	return values[rank]
}

// judgeLogs wants no errors in the logs, and counts the warnings.
func (s *lanSoak) judgeLogs() {
	s.t.Helper()
	warnings := make(map[string]int)
	for _, log := range s.logs {
		for line := range strings.Lines(log) {
			var record struct{ Level, Msg string }
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				s.problem("no record of a log: %q", line)
				continue
			}
			switch record.Level {
			case "ERROR":
				s.problem("in a log: %s", line)
			case "WARN":
				if warnings[record.Msg]++; warnings[record.Msg] == 1 {
					s.t.Logf("in a log: %s", line)
				}
			}
		}
	}
	for _, msg := range slices.Sorted(maps.Keys(warnings)) {
		s.t.Logf("%d warnings: %s", warnings[msg], msg)
	}
}
