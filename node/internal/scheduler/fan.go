package scheduler

import (
	"slices"
	"time"
)

const (
	// few peers are all told of a change at once; of more, those of the fan.
	few = 8
	// fanBase is the base of the distances in a fan.
	fanBase = 4
	// A peer that is not in the fan is told after lazyFirst, and up to lazyEach for each
	// peer, unless the two have learned by then that both have the same. Each time that
	// this was no news to it, the next time comes after twice as long, up to lazyLast.
	lazyFirst, lazyLast = time.Second, 32 * time.Second
	lazyEach            = 20 * time.Millisecond
	// graftedFor is how long a peer to which it was news is told at once: it has nobody
	// else who tells it.
	graftedFor = 10 * time.Minute
)

// fan returns which of its peers a node tells of a change at once: all if they are few.
// Else all nodes of a share, in the order of their ids, form a ring, and each tells those
// at the distances 1, 2, 3, 4, 8, 12, 16, 32, 48 and so on: the fingers of Chord (Stoica
// et al., 2001) with base 4. If everyone is connected with everyone, a change comes to n
// nodes in log4 n hops, no node tells, or serves, more than 3 log4 n others for it, and
// each is told by as many, so some may fail. Where views of the ring differ, or nodes are
// gone, whoever was left out is told later, and then belongs to the fan for a while, as
// edges are grafted to a tree by Plumtree (Leitão et al., 2007).
func fan(self Peer, peers []Peer) map[Peer]bool {
	told := make(map[Peer]bool)
	if len(peers) <= few {
		for _, p := range peers {
			told[p] = true
		}
		return told
	}
	ring := append(slices.Clone(peers), self)
	slices.Sort(ring)
	at, _ := slices.BinarySearch(ring, self)
	for stride := 1; stride < len(ring); stride *= fanBase {
		for digit := 1; digit < fanBase && digit*stride < len(ring); digit++ {
			told[ring[(at+digit*stride)%len(ring)]] = true
		}
	}
	return told
}

// graft is what is known of a peer outside the fan.
type graft struct {
	until time.Time // it is told at once until then
	vain  int       // notices in a row that came later and were no news to it
}

// told notes that the peer is told something later than others.
func (g *graft) told() { g.vain++ }

// needed notes that the peer asks for what this node has told it.
func (g *graft) needed(now time.Time) {
	if g.vain > 0 || g.until.After(now) {
		*g = graft{until: now.Add(graftedFor)}
	}
}

// delay returns how long the next notice waits.
func (g *graft) delay() time.Duration {
	return min(lazyFirst<<min(g.vain, 10), lazyLast)
}
