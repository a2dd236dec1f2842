package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

// Five nodes change things at random for a while, are restarted and lose their
// connections: in the end all have the same, they have not grown, and no error is
// in their logs. NODE_SOAK=30m does it for so long; the default is a few seconds.
func TestSoak(t *testing.T) {
	long := 5 * time.Second
	if text := os.Getenv("NODE_SOAK"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	s := newSoak(t, 5)
	const parts = 5
	for range parts {
		for end := time.Now().Add(long / parts); time.Now().Before(end); {
			s.step()
		}
		s.settle()
		s.sizes = append(s.sizes, sizeNow())
	}
	for _, n := range s.nodes {
		mustVerify(t, n)
	}
	// What was opened at first takes its time to grow to its size.
	first, last := s.sizes[1], s.sizes[parts-1]
	if last.goroutines > first.goroutines*5/4+20 || last.heap > first.heap*3/2+32<<20 {
		t.Errorf("the nodes have grown: %v", s.sizes)
	}
	for i, l := range s.logs {
		for line := range strings.Lines(l.text()) {
			switch {
			case strings.Contains(line, "level=ERROR"):
				t.Errorf("node %d: %s", i, line)
			case strings.Contains(line, "level=WARN"):
				t.Logf("node %d: %s", i, line)
			}
		}
	}
	t.Logf("%d timelines, %d changes, %d restarts, %d cuts; %v", len(s.known), s.changes, s.restarts, s.cuts, s.sizes)
}

// soak is a mesh of nodes under load.
type soak struct {
	t     *testing.T
	rnd   *rand.Rand
	nodes []*node.Node
	logs  []*logOf
	known []ibgib.Addr // timelines

	changes, restarts, cuts int
	sizes                   []size
}

// size is what the process takes.
type size struct {
	goroutines int
	heap       uint64 // live, in bytes
}

func (s size) String() string { return fmt.Sprintf("%d goroutines, %d MB", s.goroutines, s.heap>>20) }

func sizeNow() size {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return size{runtime.NumGoroutine(), m.HeapAlloc}
}

func newSoak(t *testing.T, count int) *soak {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := &soak{t: t, rnd: rand.New(rand.NewPCG(seed, 0))}
	for i := range count {
		n, l := liveNodeLog(t, t.TempDir())
		for _, other := range s.nodes {
			pair(t, n, other)
		}
		s.nodes, s.logs = append(s.nodes, n), append(s.logs, l)
		s.connect(i)
	}
	return s
}

// step does something somewhere.
func (s *soak) step() {
	s.t.Helper()
	i := s.rnd.IntN(len(s.nodes))
	switch n := s.nodes[i]; s.rnd.IntN(500) {
	case 0:
		if err := n.Close(); err != nil {
			s.t.Error(err)
		}
		s.nodes[i], s.logs[i] = liveNodeLog(s.t, n.DataDir())
		s.restarts++
		s.connect(i)
	case 1, 2:
		if err := node.CutConnections(n); err != nil {
			s.t.Error(err)
		}
		s.cuts++
		s.connect(i)
	case 3, 4, 5, 6, 7, 8, 9:
		s.known = append(s.known, begin(s.t, n, fmt.Sprint("note ", s.changes)))
		s.changes++
	default:
		if len(s.known) == 0 {
			return
		}
		at := s.known[s.rnd.IntN(len(s.known))]
		_, err := n.Mut8(s.t.Context(), at, patch("text", ibgib.String(fmt.Sprint("change ", s.changes))))
		switch {
		case err == nil:
			s.changes++
		case !isNotFound(err): // it has not come yet
			s.t.Fatal(err)
		}
	}
}

// connect connects one node with all others.
func (s *soak) connect(i int) {
	s.t.Helper()
	for j, other := range s.nodes {
		if j != i && other != nil {
			connect(s.t, s.nodes[i], other)
		}
	}
}

// settle waits until all nodes have the same, which they come to by themselves.
func (s *soak) settle() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	moved := make(chan struct{}, 1)
	var join sync.WaitGroup
	for _, n := range s.nodes {
		sub := follow(s.t, n, node.EventHeads)
		join.Go(func() {
			defer sub.Close()
			for {
				if _, err := sub.Next(ctx); err != nil {
					return
				}
				select {
				case moved <- struct{}{}:
				default:
				}
			}
		})
	}
	for !s.same() {
		select {
		case <-moved:
		case <-ctx.Done():
			s.t.Fatal("the nodes do not come to the same")
		}
	}
	cancel()
	join.Wait()
}

func (s *soak) same() bool {
	want := headsOf(s.t, s.nodes[0])
	for _, n := range s.nodes[1:] {
		if !reflect.DeepEqual(headsOf(s.t, n), want) {
			return false
		}
	}
	return true
}
